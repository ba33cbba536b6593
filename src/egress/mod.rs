//! The one way out: every socket to a provider, a next link or a callback is opened here, behind the address guard, with
//! deadlines and bounds.
//!
//! [`Egress::send`] is all that the rest needs. [`guard`] checks addresses, `resolve` applies it to names, `body` reads within bounds,
//! [`error`] says what a failure means for the user, [`hosts`], [`spending`] and [`retry_after`] keep a host from being asked too much.

pub mod address;
pub mod allowance;
mod body;
pub mod byte_budget;
mod client;
pub mod descriptors;
pub mod error;
pub mod guard;
pub mod hosts;
pub mod identity;
pub mod ledger;
pub mod pace;
mod query;
pub mod quota;
mod resolve;
pub mod retry_after;
pub mod spending;
#[cfg(test)]
mod tests;
pub mod turn_queue;
pub mod turns;
mod written_wait;

pub use client::Egress;
pub use error::{EgressError, Peer};
pub use guard::{AllowRule, EgressPolicy};

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::api::visible;

/// Characters of an origin that a message shows.
const LONGEST_ORIGIN: usize = 100;

/// One request, ready to be sent.
///
/// Its `Debug` leaves out what may be secret: query, header values, body.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Absolute http or https URL.
    pub url: Url,
    /// All headers but Host, Content-Length and Accept-Encoding.
    pub headers: HeaderMap,
    /// Body.
    pub body: Option<Bytes>,
    /// Parameters of the query that carry credentials, not encoded: a redirect that is followed has them, too.
    pub credentials: Vec<(String, String)>,
    /// Which redirects are followed.
    pub redirects: Redirects,
    /// Bounds.
    pub limits: Limits,
}

impl Request {
    /// Puts parameters with credentials into the query, in place of those of the same name.
    pub fn set_credentials(&mut self, parameters: &[(String, String)]) {
        query::put(&mut self.url, parameters);
        self.credentials = parameters.to_vec();
    }
}

/// Which redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// None: a 3xx is an answer like any other.
    Never,
    /// At most this number, and only to the same scheme, host and port.
    WithinOrigin(u8),
}

/// Bounds of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the body after inflating.
    pub body: usize,
    /// What happens to a body above its bound.
    pub overflow: Overflow,
    /// From the start to the response head.
    pub first_byte: Duration,
    /// From the start to the last byte.
    pub total: Duration,
}

/// What happens to a body above its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The request fails with [`EgressError::TooLarge`].
    Refuse,
    /// The rest is not read and the connection is closed; the status counts (answers of callbacks).
    Discard,
}

/// An answer whose body was read within its bounds.
///
/// Its `Debug` leaves out what may be secret or large: query, header values, body.
#[derive(Clone)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Inflated body.
    pub body: Bytes,
    /// The URL that answered, after redirects.
    pub url: Url,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &without_query(&self.url))
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.as_ref().map_or(0, Bytes::len))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("url", &without_query(&self.url))
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The origin of a URL for a message, without the port that its scheme has anyway; the scheme alone where there is no host.
pub fn shown_origin(url: &Url) -> String {
    let origin = url.origin();
    if origin.is_tuple() {
        visible::beginning(&origin.ascii_serialization(), LONGEST_ORIGIN)
    } else {
        format!("{}:", url.scheme())
    }
}

fn without_query(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}
