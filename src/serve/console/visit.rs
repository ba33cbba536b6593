//! Who asks: each request that is not for everyone has a session, and each form comes from a page of that session.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_TYPE, COOKIE, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;
use chrono::Utc;
use url::form_urlencoded;

use super::Console;
use super::page::Refused;
use super::refusal::Refusal;
use super::session::{NoSession, Session};
use crate::serve::Peer;

/// Header of what the page loads by itself, which is no use of the session.
pub const BY_SCRIPT: HeaderName = HeaderName::from_static("x-console-refresh");
/// Name of the field of every form that has the token of its session.
pub const TOKEN: &str = "csrf";

/// A person who is signed in.
pub struct Visit {
    /// The session.
    pub session: Session,
    /// Its id.
    pub id: String,
    /// Where the browser is, or the proxy before it.
    pub client: IpAddr,
}

impl FromRequestParts<Arc<Console>> for Visit {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Refused> {
        let client = client(parts, console)?;
        let by_person = !parts.headers.contains_key(BY_SCRIPT);
        let name = console.cookie_name();
        let id = cookie(&parts.headers, &name).ok_or(Refusal::NoSession(NoSession::Unknown))?.to_owned();
        let session = console.sessions.lock().find(&id, by_person, Utc::now()).map_err(Refusal::NoSession)?;
        Ok(Self { session, id, client })
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
    /// All fields but the token.
    pub fn fields(self) -> (Visit, Vec<(String, String)>) {
        let fields = self.fields.into_iter().filter(|(name, _)| name != TOKEN).collect();
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
        let visit = Visit::from_request_parts(&mut parts, console).await?;
        // What is no text is a value all the same, and not ours.
        let header = |name: HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
        if !console.address.is_own_form(header(ORIGIN), header(HeaderName::from_static("sec-fetch-site"))) {
            return Err(Refusal::OtherSite.into());
        }
        let kind = header(CONTENT_TYPE).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Refusal::Malformed.into());
        }
        let bytes = Bytes::from_request(Request::from_parts(parts, body), console).await;
        let bytes = bytes.map_err(|error: BytesRejection| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLong,
            _ => Refusal::Malformed,
        })?;
        let fields = form_urlencoded::parse(&bytes).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let form = Self { visit, fields };
        if form.visit.session.has_token(form.field(TOKEN)) { Ok(form) } else { Err(Refusal::OldForm.into()) }
    }
}

/// Who asks, if that is not too often.
fn client(parts: &Parts, console: &Console) -> Result<IpAddr, Refused> {
    let Some(Peer(client)) = parts.extensions.get::<Peer>().copied() else {
        return Err(Refusal::Broken("the peer of the connection is not known").into());
    };
    if console.budgets.lock().take(client, Instant::now()) { Ok(client) } else { Err(Refusal::Busy.into()) }
}

/// The value of a cookie. Of several of one name, none is believed: another site of the host may have set one.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.by_ref().filter(|(have, _)| *have == name).map(|(_, value)| value);
    values.next().filter(|_| values.next().is_none())
}
