//! The console: pages to look at instances and to act on them, in front of [`Instances`](crate::instances::Instances).
//!
//! A request comes under the address of the console (`Console::address`), has a session ([`sign_in`], `visit`), and gets a page that
//! is a function of what is stored and of the time (`look`, [`overview`], [`instance`]; the templates are in `templates/console`). In a
//! cluster everything is read and written with the token of the person, so the API server decides what is shown and done. A change is a
//! form with the token of its session (`visit::Form`, [`action`]), and leaves a line in the log. Pages work without their script, which
//! only keeps them fresh (`live`). While no one looks, nothing runs.

pub mod action;
pub mod advice;
mod change;
mod create;
mod delete;
mod draft;
mod drafts;
mod edit;
mod edit_form;
mod form;
mod history;
mod hour;
pub mod instance;
mod kept;
mod lists;
mod live;
mod look;
mod manifest;
mod mistakes;
pub mod overview;
mod page;
pub mod pass;
pub mod preview;
pub mod refusal;
pub mod sample;
pub mod seal;
pub mod session;
pub mod sign_in;
pub mod stamp;
mod visit;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use chrono::Utc;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Limits, Server};
use crate::api::identity::InstanceRef;
use crate::api::names;
use crate::api::visible::one_line;
use crate::connect::ConnectUrl;
use crate::connect::budget::{Budgets, Rate};
use crate::instances::Right;
use crate::instances::current::Current;
use crate::observe::Journal;
use action::Action;
use drafts::Drafts;
use page::{Frame, Refused};
use preview::Preview;
use refusal::Refusal;
use sample::SampleInstance;
use seal::Seal;
use sign_in::SignIn;
use visit::{Form, Stranger, Visit};

/// What its address grants: forms of a page, and streams that last.
pub const LIMITS: Limits = Limits { body: 256 * 1024, connection: Duration::from_mins(10), ..Limits::DEFAULT };

/// Of one client; a page is four requests when it is first opened, and one whenever something changes.
const CLIENT: Rate = Rate { burst: 200, each_second: 20 };
/// Of all clients together.
const ALL: Rate = Rate { burst: 400, each_second: 60 };

/// What the handlers share.
pub struct Console {
    /// Where people reach it.
    address: ConnectUrl,
    sign_in: SignIn,
    seal: Seal,
    next_step: String,
    replica: Option<String>,
    journal: Journal,
    current: Current,
    preview: Arc<dyn Preview>,
    sample: Option<Arc<dyn SampleInstance>>,
    budgets: Mutex<Budgets>,
    drafts: Mutex<Drafts>,
    watchers: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What a console shows, and to whom.
pub struct Content {
    /// How people sign in, and whose instances they see then.
    pub sign_in: SignIn,
    /// Encrypts what browsers keep.
    pub seal: Seal,
    /// What a person does who has no instance.
    pub next_step: String,
    /// The name of this process among others that serve the same console; `None`: there are no others.
    pub replica: Option<String>,
    /// The last polls and deliveries.
    pub journal: Journal,
    /// How the instances of this process are at this moment.
    pub current: Current,
    /// Tries instances before they are saved.
    pub preview: Arc<dyn Preview>,
    /// An instance for people who look around; `None`: there is none.
    pub sample: Option<Arc<dyn SampleInstance>>,
}

impl Console {
    /// At an address, until `stop`.
    pub fn new(content: Content, address: ConnectUrl, stop: CancellationToken) -> Self {
        let Content { sign_in, seal, next_step, replica, journal, current, preview, sample } = content;
        Self {
            address,
            sign_in,
            seal,
            next_step,
            replica,
            journal,
            current,
            preview,
            sample,
            budgets: Mutex::new(Budgets::of(CLIENT, ALL)),
            drafts: Mutex::default(),
            watchers: Arc::new(Semaphore::new(live::MOST)),
            stop,
        }
    }

    /// What is around a page for a person. `namespace`: the one that it is about; `None`: all.
    async fn frame(&self, visit: &Visit, namespace: Option<&str>) -> Result<Frame, Refused> {
        let new = match &self.sign_in {
            SignIn::Url { new_in, .. } => new_in.as_ref().map(|_| "/new".to_owned()),
            SignIn::Token(_) => {
                let namespace = namespace.or(match visit.instances.watched() {
                    [only] => Some(only),
                    _ => None,
                });
                let may = visit.instances.may(Right::Create, namespace).await?;
                may.then(|| create::href(namespace))
            }
        };
        Ok(Frame::new(Some(&visit.session), Utc::now()).adding(new))
    }

    /// Who declares an instance, for people: a file, or the manager of a manifest.
    fn owner(&self, owner: &str) -> String {
        let owner = one_line(owner);
        match self.sign_in {
            SignIn::Url { .. } => owner.into_owned(),
            SignIn::Token(_) => format!("a manifest of {owner}"),
        }
    }

    /// Cookies are of a host, whatever the port: each console has its own.
    fn cookie_name(&self) -> String {
        let origin = self.address.to_string();
        // No other origin may set a cookie of that beginning (RFC 6265bis §4.1.3.2).
        let beginning = if self.address.is_secure() { "__Host-" } else { "" };
        format!("{beginning}pollinator-console-{:08x}", xxhash_rust::xxh3::xxh3_64(origin.as_bytes()) >> 32)
    }

    /// The header that gives a browser its session, or takes it.
    fn cookie(&self, id: &str) -> HeaderValue {
        let secure = if self.address.is_secure() { "; Secure" } else { "" };
        let age = if id.is_empty() { "; Max-Age=0" } else { "" };
        let text = format!("{}={id}; Path=/; HttpOnly; SameSite=Strict{secure}{age}", self.cookie_name());
        // A name and an id of Base64 are visible ASCII.
        let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

/// Serves the console until its `stop`, then lets changes under way end.
pub async fn serve(server: Server, console: Console) {
    let (running, stop) = (TaskTracker::new(), console.stop.clone());
    console.sign_in.print_url(&console);
    server.run(router(Arc::new(console), running.clone()), stop).await;
    running.close();
    running.wait().await;
}

fn router(console: Arc<Console>, running: TaskTracker) -> Router {
    Router::new()
        .route("/", get(look::all))
        .route("/instances/{namespace}/{name}", get(look::one))
        .route("/instances/{namespace}/{name}/edit", get(edit::show).post(edit::submit))
        .route("/instances/{namespace}/{name}/delete", get(delete::show).post(delete::submit))
        .route("/instances/{namespace}/{name}/{action}", post(act))
        .route("/new", get(create::choose))
        .route("/new/plain", get(create::plain_form).post(create::submit_plain))
        .route("/new/from/{key}", get(create::form_of).post(create::submit_of))
        .route("/sample", post(sample::create))
        .route("/open", get(sign_in::open))
        .route("/sign-in", post(sign_in::sign_in))
        .route("/leave", post(sign_in::leave))
        .route("/live", get(live::show))
        .route("/assets/{name}", get(asset))
        .method_not_allowed_fallback(|| async { Refused::from(Refusal::WrongMethod) })
        .fallback(|| async { Refused::from(Refusal::NotFound) })
        .layer(from_fn_with_state(running, to_its_end))
        .layer(from_fn(visit::keep_session))
        .layer(from_fn_with_state(Arc::clone(&console), at_home))
        .layer(map_response(guard))
        .with_state(console)
}

/// A change that was begun ends even when the browser goes away.
async fn to_its_end(State(running): State<TaskTracker>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let ended = running.spawn(next.run(request)).await;
    ended.unwrap_or_else(|_| Refused::from(Refusal::Broken("the request ended unexpectedly")).into_response())
}

/// Answers what asks under the address of the console: a name that leads here without being ours (DNS rebinding) sees nothing.
async fn at_home(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let address = &console.address;
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).filter(|_| hosts.next().is_none());
    // A target in absolute form wins over the header (RFC 9112 §3.2.2), so both must be ours.
    let is_target = request.uri().authority().is_none_or(|authority| address.is_host(authority.as_str()));
    if is_target && host.is_some_and(|host| address.is_host(host)) {
        next.run(request).await
    } else {
        Refused::from(Refusal::OtherAddress { address: address.to_string() }).into_response()
    }
}

/// What every response has, whatever produced it.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Under `no-referrer` browsers send forms with `Origin: null`.
        (REFERRER_POLICY, "same-origin"),
        (CONTENT_SECURITY_POLICY, page::POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=(), interest-cohort=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn act(place: Result<Path<(String, String, String)>, PathRejection>, form: Form) -> Result<Response, Refused> {
    let Path((namespace, name, action)) = place.map_err(|_| Refusal::NotFound)?;
    let (of, action) = (named(&namespace, &name)?, Action::parse(&action).ok_or(Refusal::NotFound)?);
    let (resource, event) = (form.field("resource"), form.field("event"));
    let event = Some(event).filter(|event| !event.is_empty());
    let acted = action.act(&*form.visit.instances, &of, resource, event).await;
    let (session, user, client) = (&form.visit.session.label, &form.visit.session.user, form.visit.client);
    let resource = names::is_label(resource).then_some(resource);
    match acted {
        Ok(()) => {
            tracing::info!(namespace, instance = name, resource, action = action.as_str(), session, user, %client, "console: a change was made");
            Ok(to(&format!("{}?done={}", instance::href(&of), action.as_str())))
        }
        Err(error) => {
            tracing::warn!(namespace, instance = name, resource, action = action.as_str(), session, user, %client, "console: no change: {error}");
            Err(error.into())
        }
    }
}

async fn asset(_: Stranger, name: Result<Path<String>, PathRejection>) -> Result<Response, Refused> {
    let Path(name) = name.map_err(|_| Refusal::NotFound)?;
    page::asset(&name).ok_or_else(|| Refusal::NotFound.into())
}

/// What is said once something is done.
fn done_text(word: &str) -> Option<&'static str> {
    match word {
        "create" => Some("The instance was created. Its first poll begins within a few seconds."),
        "sample" => {
            Some("The sample was created. Its first events arrive within a minute. When you have seen enough, select Delete.")
        }
        "edit" => Some("The settings were saved. They take effect within a few seconds."),
        "edit-left" => Some(
            "The settings were saved. The callback has another scheme, host or port, so the credentials of the old one were removed. \
             If the new one needs its own, add them to spec.callback in the manifest.",
        ),
        "delete" => Some("The instance was deleted. Its polling ends within a few seconds."),
        "no-change" => Some("Nothing was saved, because nothing was changed."),
        word => Action::parse(word).map(Action::done),
    }
}

/// What can be no name costs nothing and gets nowhere.
fn named(namespace: &str, name: &str) -> Result<InstanceRef, Refusal> {
    let is_name = names::is_label(namespace) && names::is_subdomain(name);
    if is_name { Ok(InstanceRef::new(namespace, name)) } else { Err(Refusal::NotFound) }
}

/// Shows another page after a form.
fn to(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}
