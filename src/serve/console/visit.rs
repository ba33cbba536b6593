//! Who asks: each request that is not for everyone has a session, and each form comes from a page of that session.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_TYPE, COOKIE, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use chrono::Utc;
use parking_lot::Mutex;
use url::form_urlencoded;

use super::page::Refused;
use super::refusal::Refusal;
use super::session::Session;
use super::{Console, drafts};
use crate::instances::Instances;
use crate::serve::Peer;

/// Header of what the page loads by itself, which is no use of the session.
pub const BY_SCRIPT: HeaderName = HeaderName::from_static("x-console-refresh");
/// Name of the field of every form that has the token of its session.
pub const TOKEN: &str = "csrf";

/// A person who is signed in.
pub struct Visit {
    /// The session.
    pub session: Session,
    /// The instances, as the person may see and change them.
    pub instances: Arc<dyn Instances>,
    /// The value of the cookie.
    pub id: String,
    /// Where the browser is, or the proxy before it.
    pub client: IpAddr,
}

/// A place for the cookie that the answer is to set.
#[derive(Clone, Default)]
pub struct NewCookie(Arc<Mutex<Option<HeaderValue>>>);

/// Sets the cookie of a session that goes on, unless the answer sets another one.
pub async fn keep_session(mut request: Request, next: Next) -> Response {
    let kept = NewCookie::default();
    request.extensions_mut().insert(kept.clone());
    let mut response = next.run(request).await;
    if let Some(cookie) = kept.0.lock().take() {
        response.headers_mut().entry(SET_COOKIE).or_insert(cookie);
    }
    response
}

impl FromRequestParts<Arc<Console>> for Visit {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Refused> {
        let client = peer(parts)?;
        let by_person = !parts.headers.contains_key(BY_SCRIPT);
        let id = cookie(&parts.headers, &console.cookie_name());
        // A session that was opened is one client, wherever it comes from; who has none shares the budget of the address.
        let session = console.open_session(id, Utc::now());
        may_ask(console, client, session.as_deref())?;
        let admitted = console.admit(&parts.headers, id, by_person, Utc::now()).await?;
        if let Some(kept) = parts.extensions.get::<NewCookie>() {
            *kept.0.lock() = admitted.cookie;
        }
        let id = id.unwrap_or_default().to_owned();
        Ok(Self { session: admitted.session, instances: admitted.instances, id, client })
    }
}

/// Anyone, before there is a session.
pub struct Stranger;

impl FromRequestParts<Arc<Console>> for Stranger {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Refused> {
        client(parts, console)?;
        Ok(Self)
    }
}

/// A form that a person sent.
pub struct Form {
    /// Who.
    pub visit: Visit,
    fields: Vec<(String, String)>,
}

impl Form {
    /// Whether a script sent it, and not the browser itself.
    pub fn is_by_script(&self) -> bool {
        !self.field(drafts::BY_SCRIPT).is_empty()
    }

    /// All fields but the token and who sent it.
    pub fn fields(self) -> (Visit, Vec<(String, String)>) {
        let fields = self.fields.into_iter().filter(|(name, _)| name != TOKEN && name != drafts::BY_SCRIPT).collect();
        (self.visit, fields)
    }

    /// The first value of a field; empty without one.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value)
    }
}

impl FromRequest<Arc<Console>> for Form {
    type Rejection = Refused;

    async fn from_request(request: Request, console: &Arc<Console>) -> Result<Self, Refused> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, console).await.map_err(Refused::of_form)?;
        let fields = sent(Request::from_parts(parts, body), console).await?;
        let form = Self { visit, fields };
        if form.visit.session.has_token(form.field(TOKEN)) { Ok(form) } else { Err(Refusal::OldForm.into()) }
    }
}

/// A form that someone sent who has no session.
pub struct StrangersForm {
    /// Where the browser is, or the proxy before it.
    pub client: IpAddr,
    fields: Vec<(String, String)>,
}

impl StrangersForm {
    /// The first value of a field; empty without one.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value)
    }
}

impl FromRequest<Arc<Console>> for StrangersForm {
    type Rejection = Refused;

    async fn from_request(request: Request, console: &Arc<Console>) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let client = client(&parts, console)?;
        Ok(Self { client, fields: sent(Request::from_parts(parts, body), console).await? })
    }
}

/// The fields of a form that a page of the console sent.
async fn sent(request: Request, console: &Arc<Console>) -> Result<Vec<(String, String)>, Refusal> {
    check_form(request.headers(), console)?;
    let bytes = Bytes::from_request(request, console).await;
    let bytes = bytes.map_err(|error: BytesRejection| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLong,
        _ => Refusal::Malformed,
    })?;
    Ok(form_urlencoded::parse(&bytes).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
}

fn check_form(headers: &HeaderMap, console: &Console) -> Result<(), Refusal> {
    // What is no text is a value all the same, and not ours.
    let header = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if !console.address.is_own_form(header(ORIGIN), header(HeaderName::from_static("sec-fetch-site"))) {
        return Err(Refusal::OtherSite);
    }
    let kind = header(CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") { Ok(()) } else { Err(Refusal::Malformed) }
}

/// Who asks, if that is not too often.
fn client(parts: &Parts, console: &Console) -> Result<IpAddr, Refused> {
    let client = peer(parts)?;
    may_ask(console, client, None)?;
    Ok(client)
}

fn peer(parts: &Parts) -> Result<IpAddr, Refused> {
    let peer = parts.extensions.get::<Peer>().copied();
    peer.map(|Peer(client)| client).ok_or_else(|| Refusal::Broken("the peer of the connection is not known").into())
}

/// `session`: what identifies an open session.
fn may_ask(console: &Console, client: IpAddr, session: Option<&str>) -> Result<(), Refused> {
    let (mut budgets, now) = (console.budgets.lock(), Instant::now());
    let may = match session {
        Some(session) => budgets.take_session(session, now),
        None => budgets.take(client, now),
    };
    if may { Ok(()) } else { Err(Refusal::Busy.into()) }
}

/// The value of a cookie. Of several of one name, none is believed: another site of the host may have set one.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.by_ref().filter(|(have, _)| *have == name).map(|(_, value)| value);
    values.next().filter(|_| values.next().is_none())
}
