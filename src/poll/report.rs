//! What a job is to do, and what it says when it has ended.

use chrono::{DateTime, Utc};

use crate::api::conditions::Problem;
use crate::deliver::outbox::Sums;
use crate::detect::absent::AbsentDate;
use crate::detect::seen::Seen;

/// What a job is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Send due events of the retry queues, then poll.
    Poll,
    /// Only send due events of the retry queues.
    RetryQueue,
    /// Only store what changed: the instance is suspended.
    Save,
    /// Only see to it that the provider does not forget the refresh token: the instance is suspended.
    KeepAlive,
}

/// What a job did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What it met.
    pub facts: Facts,
    /// An earlier time than the interval's at which the resource wants to run again, and for what.
    pub wake: Option<(DateTime<Utc>, Job)>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The list was read to its end, or answered 304.
    Polled,
    /// Only events of the retry queues were sent.
    RetryQueueSent,
    /// Nothing may be sent to the callback for now, so nothing was asked either: the provider is the log.
    CallbackClosed,
    /// The callback answered 410.
    CallbackGone,
    /// The callback cannot be asked at all until a person acts: a Secret is missing, the address is not allowed.
    CallbackUnusable(Problem),
    /// The plan changed, the process ends, or nothing was to be polled.
    Stopped,
    /// It failed.
    Failed(Problem),
}

impl Outcome {
    /// Was a poll due, and did this decide what became of it?
    pub fn is_poll(&self) -> bool {
        !matches!(self, Self::RetryQueueSent | Self::Stopped)
    }

    /// Did it fail for the provider's or the state's sake?
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// What a job met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Pages read.
    pub pages: u64,
    /// What detection saw.
    pub seen: Seen,
    /// A date field that no record has.
    pub absent_date: Option<AbsentDate>,
    /// The data did not hold still while being read, so the cursor waits.
    pub unsettled: bool,
    /// The provider's wish for patience on an answer that was fine (`Backoff`).
    pub retry_after: Option<std::time::Duration>,
    /// How further pages are asked for, if that was detected.
    pub pagination: Option<String>,
    /// What became of the changes.
    pub sums: Sums,
}
