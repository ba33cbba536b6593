//! A server on loopback that repeats recorded responses, and the listings that read them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::listing::{self, Ask, Read};
use super::pseudonyms::ORIGIN;
use super::{Answer, Asked, Exchange, Listing, blank};
use crate::api::conditions::Problem;
use crate::auth::RequestAuth;
use crate::egress::{Egress, EgressPolicy};
use crate::fetch::transcript::Transcript;
use crate::plan::PollPlan;
use crate::serve::{Limits, Server};

/// What is repeated.
#[derive(Clone, Debug)]
pub enum Script {
    /// Responses in this order, whatever is asked.
    InOrder(Vec<Answer>),
    /// Each response for its request alone.
    Strict(Vec<Exchange>),
}

/// What came of it.
#[derive(Debug)]
pub struct Replayed {
    /// The listings up to the first that failed.
    pub listings: Vec<Result<Read, Problem>>,
    /// What was asked, in its order.
    pub asked: Vec<Asked>,
    /// Of that, what has no response.
    pub unknown: Vec<Asked>,
    /// Recorded requests that were not asked.
    pub left: Vec<Asked>,
}

/// Reads listings by the plan of an instance without an account, with nothing but what is recorded.
///
/// # Errors
/// A sentence: no port may be used, or the plan has no URL.
pub async fn replay(plan: &PollPlan, listings: &[Listing], script: Script) -> Result<Replayed, String> {
    let cannot = |what: &dyn std::fmt::Display| format!("the recorded responses cannot be repeated: {what}");
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), Limits::DEFAULT).await.map_err(|error| cannot(&error))?;
    let origin = Url::parse(&format!("http://{}", server.address())).map_err(|error| cannot(&error))?;
    let planned = plan.resources.first().ok_or("the plan has no resource")?;
    let resource = blank::at(planned, &origin)?;
    let egress =
        Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }).map_err(|error| cannot(&error))?;
    let desk = Arc::new(Desk {
        origin: origin.origin().ascii_serialization(),
        set: resource.request.headers.iter().map(|(name, _)| name.as_str().to_owned()).collect(),
        book: Mutex::new(Book { script, asked: Vec::new(), unknown: Vec::new() }),
    });
    let stop = CancellationToken::new();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&desk));
    let serving = tokio::spawn(server.run(router, stop.clone()));
    let mut read = Vec::new();
    let mut token = None;
    for listing in listings {
        let ask = Ask {
            since: listing.since,
            token: token.take().filter(|_| listing.continues),
            now: listing.now,
            pages: listing.seen.pages.max(1),
        };
        let asker = listing::asker(egress.clone(), Transcript::default());
        let outcome = listing::read(&asker, &plan.instance, &resource, &RequestAuth::default(), &ask).await;
        let failed = outcome.is_err();
        if let Ok(found) = &outcome {
            token.clone_from(&found.token);
        }
        read.push(outcome);
        if failed {
            break;
        }
    }
    stop.cancel();
    // It ends by itself; that it panicked would have failed the listing.
    let _ = serving.await;
    let book = std::mem::take(&mut *desk.book.lock());
    let left = if let Script::Strict(left) = book.script {
        left.into_iter().map(|exchange| exchange.request).collect()
    } else {
        Vec::new()
    };
    Ok(Replayed { listings: read, asked: book.asked, unknown: book.unknown, left })
}

struct Desk {
    /// Of this server, as responses name it.
    origin: String,
    /// Names of the headers that the plan sets.
    set: Vec<String>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    script: Script,
    asked: Vec<Asked>,
    unknown: Vec<Asked>,
}

impl Default for Script {
    fn default() -> Self {
        Self::Strict(Vec::new())
    }
}

async fn answer(State(desk): State<Arc<Desk>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut named: Vec<_> = desk.set.iter().filter(|name| headers.contains_key(name.as_str())).cloned().collect();
    named.sort();
    let asked = Asked {
        method: method.as_str().to_owned(),
        path: uri.path().to_owned(),
        query: url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        headers: named,
        body: serde_json::from_slice(&body).ok(),
    };
    let mut book = desk.book.lock();
    let found = match &mut book.script {
        Script::InOrder(answers) => (!answers.is_empty()).then(|| answers.remove(0)),
        Script::Strict(exchanges) => {
            let at = exchanges.iter().position(|exchange| exchange.request.is_same(&asked));
            at.map(|at| exchanges.remove(at).response)
        }
    };
    if found.is_none() {
        book.unknown.push(asked.clone());
    }
    book.asked.push(asked);
    drop(book);
    found.map_or_else(not_recorded, |found| respond(&found, &desk.origin))
}

impl Asked {
    /// Whether two requests are one; the order of parameters says nothing.
    fn is_same(&self, other: &Self) -> bool {
        let sorted = |asked: &Self| {
            let mut query = asked.query.clone();
            query.sort();
            query
        };
        (&self.method, &self.path, &self.headers, &self.body) == (&other.method, &other.path, &other.headers, &other.body)
            && sorted(self) == sorted(other)
    }
}

/// A status that no provider uses, and that no one retries.
fn not_recorded() -> Response {
    let mut response = Response::new(Body::from("not recorded"));
    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    response
}

fn respond(answer: &Answer, origin: &str) -> Response {
    let local = |text: &str| text.replace(ORIGIN, origin);
    let body = answer.body.as_ref().map(|body| local(body.get())).unwrap_or_default();
    let mut builder = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        builder = builder.header(name, local(value));
    }
    if answer.body.is_some() && !answer.headers.contains_key(header::CONTENT_TYPE.as_str()) {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    // A file that was written by hand may have anything for a header.
    builder.body(Body::from(body)).unwrap_or_else(|_| not_recorded())
}
