//! Where events go. A sink encodes and sends, and answers in words that belong to no protocol.

pub mod http;
#[cfg(test)]
pub(crate) mod memory_sample;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use self::http::interpret::HttpCause;
use crate::api::conditions::Problem;
use crate::detect::event::Event;
use crate::plan::CallbackPlan;

/// Name of a sink. Its delivery state is kept under this name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SinkName(Cow<'static, str>);

/// The sink that `spec.callback` declares.
pub static CALLBACK: SinkName = SinkName(Cow::Borrowed("callback"));

impl SinkName {
    /// A sink with a name of its own.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn text(&self) -> Cow<'static, str> {
        self.0.clone()
    }

    /// Is it the sink that `spec.callback` declares? Stored state names a sink only when it is not.
    pub fn is_callback(&self) -> bool {
        *self == CALLBACK
    }
}

/// Stored state that names no sink is about `callback`.
impl Default for SinkName {
    fn default() -> Self {
        CALLBACK.clone()
    }
}

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What became of the events of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The sink has them.
    Accepted,
    /// They are tried again by the schedule.
    Retry {
        /// How soon a try can help.
        pace: Pace,
        /// How long the sink as a whole asks to be left alone.
        retry_after: Option<Duration>,
        /// What failed.
        cause: Cause,
    },
    /// The sink works and does not want these events. One that is refused five times is parked.
    Refused {
        /// How it refused them.
        cause: Cause,
    },
    /// The target is gone for good: nothing is sent until the sink is changed.
    Gone,
    /// No request could be made and a person must act. That says nothing about the events, so no try is counted.
    Unusable(Problem),
}

/// How soon another try can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The failure may pass by itself.
    Usual,
    /// A person must act, so the schedule starts where it is slow.
    Slow,
}

/// How a sink failed, in the terms of its protocol. Retry logic passes it on; only the sentence for people looks into it.
///
/// Stored without a tag: each protocol's causes are written in a form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cause {
    /// Of an HTTP sink.
    Http(HttpCause),
}

impl Cause {
    /// Whether the sink refused the credentials, so that changed Secrets may help.
    pub fn is_unauthorized(self) -> bool {
        match self {
            Self::Http(cause) => cause == HttpCause::Unauthorized,
        }
    }

    /// What a user reads when the callback fails: what is wrong and how to fix it.
    pub fn explain(self, callback: &CallbackPlan) -> Problem {
        match self {
            Self::Http(cause) => cause.explain(callback),
        }
    }
}

/// How much one request carries at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// Events.
    pub events: usize,
    /// Bytes, as [`Sink::size`] counts them, except that one event always fits.
    pub bytes: usize,
}

/// A place where events go, prepared for one job.
pub trait Sink: Send + Sync {
    /// Under which name its state is kept.
    fn name(&self) -> &SinkName;

    /// Fingerprint of its target: what is known of one target (gone, down) says nothing about another.
    fn target(&self) -> u64;

    /// How much one request carries.
    fn batch_limit(&self) -> BatchLimit;

    /// How much of [`BatchLimit::bytes`] an event takes. Only asked of a sink whose requests may carry several events.
    fn size(&self, event: &Event) -> usize;

    /// Requests under way at once.
    fn max_in_flight(&self) -> usize;

    /// Sends events of one resource in one request, in this order. They share its fate.
    fn send<'s>(&'s self, events: &'s [&'s Event]) -> BoxFuture<'s, Delivery>;
}
