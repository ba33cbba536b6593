//! The instances API of SAP Open Connectors: its paths, names and status codes, in front of [`Instances`](crate::instances::Instances).
//!
//! A request is admitted by a [`Gate`] ([`access`]), which says whose instances it may see. A body becomes an instance
//! and its Secrets, or a change of them (`change`, by the importer and `revise`); what is stored is shown again as Open Connectors
//! shows it (`shown`, `settings`), without the value of any Secret. Nothing here holds state.

pub mod access;
mod catalogue;
mod change;
mod deliveries;
mod failure;
mod history;
mod instances;
pub mod namespaces;
mod openapi;
mod paging;
mod revise;
mod settings;
mod shown;
mod token;
mod warnings;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Router, middleware};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Limits, Peer, Server};
use crate::connect::budget::{Budgets, Rate};
use crate::import::posted::body;
use access::{Gate, Presented, Realm};
use failure::Failure;

/// Where the API is.
pub const BASE: &str = "/elements/api-v2";

/// What its address grants: bodies of one instance, and scripts that keep a connection.
pub const LIMITS: Limits = Limits { body: 1024 * 1024, connection: Duration::from_mins(10), ..Limits::DEFAULT };

/// Of one client: a script that moves hundreds of instances is not held up.
const CLIENT: Rate = Rate { burst: 300, each_second: 50 };
/// Of all clients together, for the sake of the API server.
const ALL: Rate = Rate { burst: 600, each_second: 100 };

/// What the handlers share.
pub struct Elements {
    gate: Box<dyn Gate>,
    budgets: Mutex<Budgets>,
}

/// Serves the API behind a gate until `stop`, then lets changes under way end.
pub async fn serve(server: Server, gate: impl Gate + 'static, stop: CancellationToken) {
    let running = TaskTracker::new();
    server.run(router(gate, running.clone()), stop).await;
    running.close();
    running.wait().await;
}

fn router(gate: impl Gate + 'static, running: TaskTracker) -> Router {
    let elements = Arc::new(Elements { gate: Box::new(gate), budgets: Mutex::new(Budgets::of(CLIENT, ALL)) });
    let paths = Router::new()
        .route(
            "/instances",
            get(instances::list).post(instances::create).patch(instances::lay_own).delete(instances::delete_own),
        )
        .route("/instances/enabled", put(instances::enable).delete(instances::disable))
        .route("/instances/polling-disabled", get(instances::disabled))
        .route("/instances/configuration", get(instances::own_configuration).patch(instances::lay_own_configuration))
        .route("/instances/configuration/{setting}", get(instances::own_setting).patch(instances::lay_own_setting))
        .route("/instances/event-poller-records", get(history::records))
        .route("/instances/events", get(history::own_events))
        .route("/instances/events/{event}", get(history::own_event))
        .route("/instances/{id}", get(instances::show).put(instances::replace).patch(instances::lay).delete(instances::delete))
        .route("/instances/{id}/configuration", get(instances::configuration).patch(instances::lay_configuration))
        .route("/instances/{id}/configuration/{setting}", get(instances::setting).patch(instances::lay_setting))
        .route("/instances/{id}/enabled", put(instances::enable_one).delete(instances::disable_one))
        .route("/instances/{id}/status", get(instances::status))
        .route("/instances/{id}/events", get(history::events))
        .route("/instances/{id}/events/{event}", get(history::event))
        .route("/instances/{id}/deliveries", get(deliveries::of_one))
        .route("/instances/{id}/deliveries/{event}", put(deliveries::redeliver_one).delete(deliveries::discard_one))
        .route("/notifications/subscriptions/deliveries", get(deliveries::list).put(deliveries::redeliver))
        .route("/openapi.json", get(openapi::show))
        .route("/elements", get(catalogue::list))
        .route("/elements/{key}", get(catalogue::show))
        .route("/elements/{key}/instances", post(instances::create_of))
        .route("/elements/{key}/metadata", get(catalogue::metadata))
        .route("/elements/{key}/oauth/url", get(catalogue::oauth_url))
        .method_not_allowed_fallback(|| async { Failure::WrongMethod })
        .with_state(elements);
    let routed = Router::new()
        .nest(BASE, paths)
        .fallback(|| async { Failure::Unknown(format!("there is nothing at this path; the API is below {BASE}")) });
    Router::new()
        .fallback_service(routed)
        .layer(middleware::from_fn(without_slash))
        .layer(middleware::from_fn_with_state(running, to_its_end))
        .layer(middleware::map_response(guard))
}

/// A path that ends in a slash is the same without it. What comes after this looks for a route.
///
/// An `{id}` that a script has left empty is no id: the change that it is about must not become one of the instance of the token.
async fn without_slash(mut request: Request, next: Next) -> Response {
    let (path, query) = (request.uri().path(), request.uri().query());
    let lacks_id = !matches!(*request.method(), Method::GET | Method::POST) && path.ends_with("/instances/");
    if let Some(path) = path.strip_suffix('/').filter(|path| !path.is_empty() && !lacks_id) {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = format!("{path}{query}").parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    next.run(request).await
}

/// A change that was begun ends even when the client goes away: it is all or nothing.
async fn to_its_end(State(running): State<TaskTracker>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let ended = running.spawn(next.run(request)).await;
    ended.unwrap_or_else(|_| {
        Failure::Broken("the request ended unexpectedly; please report this with the log".to_owned()).into_response()
    })
}

/// The headers of every answer, whichever handler gave it.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Who asks, from where, and what it may see.
pub struct Caller {
    realm: Realm,
    client: IpAddr,
    /// What the `Element` token names, if there is one.
    element: Option<Named>,
}

/// What an `Element` token names.
#[derive(Clone, Copy)]
enum Named {
    /// The instance of this number.
    Instance(u64),
    /// It is no token, or a damaged one.
    Nothing,
}

impl FromRequestParts<Arc<Elements>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, elements: &Arc<Elements>) -> Result<Self, Failure> {
        let Some(Peer(client)) = parts.extensions.get::<Peer>().copied() else {
            return Err(Failure::Broken("the peer of the connection is unknown; please report this".to_owned()));
        };
        if !elements.budgets.lock().take(client, Instant::now()) {
            return Err(Failure::Busy);
        }
        let presented = Presented::read(&parts.headers)?;
        let realm = elements.gate.admit(&presented).await?;
        Ok(Self {
            realm,
            client,
            element: presented.element.map(|text| token::number(&text).map_or(Named::Nothing, Named::Instance)),
        })
    }
}

/// A body that is an object of JSON.
pub struct Body(Map<String, Value>);

impl FromRequest<Arc<Elements>> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, elements: &Arc<Elements>) -> Result<Self, Failure> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(Failure::NotJson);
        }
        let bytes = Bytes::from_request(request, elements).await.map_err(|error: BytesRejection| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Failure::TooLarge
            } else {
                Failure::unusable(error.body_text())
            }
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Failure::unusable("the body is not UTF-8"))?;
        body(text).map(Self).map_err(Failure::unusable)
    }
}
