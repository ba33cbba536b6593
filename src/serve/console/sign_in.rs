//! How people get a session: in `local` by a URL that the process printed, in a cluster by a token of theirs, with which every call is made.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::header::{AUTHORIZATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use url::form_urlencoded;

use super::page::{Frame, OpenedTemplate, Refused, shown};
use super::pass::Pass;
use super::refusal::{NoToken, Refusal};
use super::session::{NoSession, Session, Sessions};
use super::visit::{Form, Stranger, StrangersForm};
use super::{Console, to};
use crate::instances::Instances;
use crate::instances::callers::CallerInstances;
use crate::observe::output;

/// How people sign in, and whose instances they see then.
pub enum SignIn {
    /// With a URL that this process prints; everyone who has one may do everything.
    Url {
        /// Browsers that are signed in.
        sessions: Mutex<Sessions>,
        /// The instances.
        instances: Arc<dyn Instances>,
        /// The namespace of new instances; `None`: there is no place for any.
        new_in: Option<String>,
    },
    /// With a token of the cluster.
    Token(CallerInstances),
}

/// A session, and what it may see.
pub struct Admitted {
    /// The session.
    pub session: Session,
    /// The instances, as its person may see and change them.
    pub instances: Arc<dyn Instances>,
    /// What the browser is to keep from now on.
    pub cookie: Option<HeaderValue>,
}

impl SignIn {
    /// Prints the URL that signs in the next browser, where that is how it is done.
    pub(super) fn print_url(&self, console: &Console) {
        if let Self::Url { sessions, .. } = self {
            let url = format!("{}/open?ticket={}", console.address, sessions.lock().ticket());
            output::error(format_args!("open the console once, in the browser to be signed in: {url}"));
        }
    }
}

impl Console {
    /// What only the open session of a cookie has, if there is one. Nothing is asked of anyone for it.
    pub(super) fn open_session(&self, cookie: Option<&str>, now: DateTime<Utc>) -> Option<String> {
        let session = match &self.sign_in {
            SignIn::Url { sessions, .. } => sessions.lock().look_up(cookie?)?,
            SignIn::Token(_) => Pass::open(&self.seal, cookie?)?.session,
        };
        session.is_open(now).then_some(session.csrf)
    }

    /// The session of a request. `by_person`: the use makes it last longer.
    pub(super) async fn admit(
        &self,
        headers: &HeaderMap,
        cookie: Option<&str>,
        by_person: bool,
        now: DateTime<Utc>,
    ) -> Result<Admitted, Refused> {
        match &self.sign_in {
            SignIn::Url { sessions, instances, .. } => {
                let id = cookie.ok_or(Refusal::NoSession(NoSession::Unknown))?;
                let session = sessions.lock().find(id, by_person, now).map_err(Refusal::NoSession)?;
                Ok(Admitted { session, instances: Arc::clone(instances), cookie: None })
            }
            SignIn::Token(callers) => self.admit_by_token(callers, bearer(headers)?, cookie, by_person, now).await,
        }
    }

    async fn admit_by_token(
        &self,
        callers: &CallerInstances,
        passed: Option<&str>,
        cookie: Option<&str>,
        by_person: bool,
        now: DateTime<Utc>,
    ) -> Result<Admitted, Refused> {
        let kept = cookie.and_then(|sealed| Pass::open(&self.seal, sealed));
        let was_there = kept.is_some();
        let mut kept = kept.filter(|pass| pass.session.is_open(now));
        if let Some(pass) = &mut kept
            && let Some(token) = pass.token(passed).map(str::to_owned)
        {
            let instances = instances_of(callers, &token)?;
            let cookie = if by_person && pass.session.use_again(now) { self.keep(pass)? } else { None };
            return Ok(Admitted { session: pass.session.clone(), instances: Arc::new(instances), cookie });
        }
        let Some(token) = passed else {
            return Err(Refusal::NoToken(if was_there && kept.is_none() { NoToken::Over } else { NoToken::Absent }).into());
        };
        let instances = instances_of(callers, token)?;
        let pass = Pass::passed(token, instances.who().await?, kept, now);
        tracing::info!(session = pass.session.label, user = pass.session.user, "console: a proxy signed a person in");
        Ok(Admitted { session: pass.session.clone(), instances: Arc::new(instances), cookie: self.keep(&pass)? })
    }

    fn keep(&self, pass: &Pass) -> Result<Option<HeaderValue>, Refusal> {
        let sealed = pass.close(&self.seal).ok_or(Refusal::NoToken(NoToken::TooLong))?;
        Ok(Some(self.cookie(&sealed)))
    }
}

fn instances_of(callers: &CallerInstances, token: &str) -> Result<crate::instances::cluster::ClusterInstances, Refusal> {
    // What can be no header is no token.
    callers.of(token).map_err(|_| Refusal::NoToken(NoToken::Unknown))
}

/// The token of `Authorization: Bearer`, which an authenticating proxy passes. Other schemes are for the proxy.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut lines = headers.get_all(AUTHORIZATION).into_iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Ok(None) };
    let line = line.to_str().map_err(|_| Refusal::NoToken(NoToken::Unknown))?;
    let token = line.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty()))
}

/// Begins a session with the URL that was printed.
pub async fn open(
    State(console): State<Arc<Console>>,
    _: Stranger,
    method: Method,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    // A method that only asks whether there is something spends nothing (RFC 9110 §9.2.1), and no person sees the answer.
    if method != Method::GET {
        return Err(Refusal::WrongMethod.into());
    }
    let SignIn::Url { sessions, .. } = &console.sign_in else { return Err(Refusal::NotFound.into()) };
    let query = query.unwrap_or_default();
    let ticket = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ticket");
    let ticket = ticket.map(|(_, ticket)| ticket).unwrap_or_default();
    let id = sessions.lock().begin(&ticket, Utc::now()).ok_or(Refusal::UsedUp)?;
    tracing::info!("console: a browser signed in");
    console.sign_in.print_url(&console);
    // A page and no redirect: after one that another site began, browsers would leave the cookie out (SameSite=Strict).
    let mut response = shown(&OpenedTemplate { frame: Frame::new(None, Utc::now()) })?;
    response.headers_mut().insert(SET_COOKIE, console.cookie(&id));
    Ok(response)
}

/// Begins a session with a token that a person pasted: always a new one, whatever the browser had.
pub async fn sign_in(State(console): State<Arc<Console>>, form: StrangersForm) -> Result<Response, Refused> {
    let SignIn::Token(callers) = &console.sign_in else { return Err(Refusal::NotFound.into()) };
    let token = form.field("token").trim();
    if token.is_empty() {
        return Err(Refusal::NoToken(NoToken::Absent).into());
    }
    let user = instances_of(callers, token)?.who().await?;
    let pass = Pass::pasted(token, user, Utc::now());
    let mut response = to("/");
    if let Some(cookie) = console.keep(&pass)? {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    let client = form.client;
    tracing::info!(session = pass.session.label, user = pass.session.user, %client, "console: a person signed in");
    Ok(response)
}

/// Ends a session.
pub async fn leave(State(console): State<Arc<Console>>, form: Form) -> Response {
    if let SignIn::Url { sessions, .. } = &console.sign_in {
        sessions.lock().end(&form.visit.id);
    }
    console.drafts.lock().end(&form.visit.session);
    let (session, user, client) = (&form.visit.session.label, &form.visit.session.user, form.visit.client);
    tracing::info!(session, user, %client, "console: a browser signed out");
    let mut response = to("/");
    response.headers_mut().insert(SET_COOKIE, console.cookie(""));
    response
}
