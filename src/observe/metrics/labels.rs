//! The labels: closed sets of values, and the series of a metric by them.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::detect::event::Kind;
use crate::egress::Peer;

/// A value of a label, of those that are known when the program is built.
pub(super) trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn value(self) -> &'static str;
    fn index(self) -> usize;
}

/// The values of a label, as a scrape shows them. The derive of the metrics library shows the names of the variants as Rust has them.
macro_rules! values {
    ($name:ident { $($variant:ident = $value:literal,)+ }) => {
        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn value(self) -> &'static str {
                match self {
                    $(Self::$variant => $value,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                self.value().encode(encoder)
            }
        }
    };
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$value_doc])* $variant,)+
        }

        values! { $name { $($variant = $value,)+ } }
    };
}

label! {
    /// How a poll of one resource ended.
    PollOutcome {
        /// It found changes.
        Changed = "changed",
        /// It found none.
        Unchanged = "unchanged",
        /// The provider asked to wait.
        Throttled = "throttled",
        /// It failed in a way that may pass.
        Failed = "failed",
        /// It needs a person.
        Blocked = "blocked",
    }
}

label! {
    /// What happened to a record.
    EventKind {
        /// It is new.
        Created = "created",
        /// It is another version.
        Updated = "updated",
        /// It is gone.
        Deleted = "deleted",
    }
}

label! {
    /// What became of one attempt to deliver an event.
    EventOutcome {
        /// The callback answered 2xx.
        Accepted = "accepted",
        /// It is tried again.
        Failed = "failed",
        /// It was stored with its body and is tried again by the schedule.
        SetAside = "set_aside",
        /// It is kept until a user asks for another try.
        Parked = "parked",
    }
}

label! {
    /// What became of an event in the end, however often it was tried.
    FinalOutcome {
        /// The callback answered 2xx.
        Accepted = "accepted",
        /// It is kept until a user asks for another try.
        Parked = "parked",
    }
}

label! {
    /// Class of an HTTP status.
    StatusClass {
        /// 100 to 199.
        Informational = "1xx",
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// 400 to 499.
        ClientError = "4xx",
        /// 500 and above.
        ServerError = "5xx",
        /// No answer.
        None = "none",
    }
}

label! {
    /// What one attempt to store state came to.
    CommitOutcome {
        /// It was stored.
        Stored = "stored",
        /// The object changed between reading and writing; it is read again.
        Conflict = "conflict",
        /// It failed and is tried again.
        Failed = "failed",
    }
}

label! {
    /// What a request for an access token came to.
    TokenOutcome {
        /// A token came.
        Granted = "granted",
        /// The endpoint refused: a person must act.
        Refused = "refused",
        /// The endpoint has trouble or is rate limiting requests; the request is retried.
        Failed = "failed",
        /// It is unknown whether the endpoint acted on it.
        Lost = "lost",
        /// Nothing was sent: no connection, or an address that is not allowed.
        Unsent = "unsent",
    }
}

label! {
    /// How an instance is.
    InstanceState {
        /// All its resources are polled and delivered.
        Ready = "ready",
        /// At least one resource needs a person or does not succeed.
        NotReady = "not_ready",
        /// It is suspended.
        Suspended = "suspended",
    }
}

values! {
    Peer {
        Provider = "provider",
        Callback = "callback",
        TokenEndpoint = "token_endpoint",
    }
}

impl From<Kind> for EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Created => Self::Created,
            Kind::Updated => Self::Updated,
            Kind::Deleted => Self::Deleted,
        }
    }
}

impl From<Option<StatusCode>> for StatusClass {
    fn from(status: Option<StatusCode>) -> Self {
        match status.map_or(0, |status| status.as_u16()) {
            0 => Self::None,
            1..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PollLabels {
    pub(super) outcome: PollOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EventLabels {
    pub(super) kind: EventKind,
    pub(super) outcome: FinalOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AttemptLabels {
    pub(super) kind: EventKind,
    pub(super) outcome: EventOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) peer: Peer,
    pub(super) status: StatusClass,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CommitLabels {
    pub(super) outcome: CommitOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TokenLabels {
    pub(super) outcome: TokenOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct InstanceLabels {
    pub(super) state: InstanceState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BuildLabels {
    pub(super) version: &'static str,
}

/// The series of a metric with one closed label, found without a look-up.
pub(super) struct ByOne<L, M> {
    cells: Box<[M]>,
    label: PhantomData<L>,
}

impl<L: Label, M: Clone + Default> ByOne<L, M> {
    pub(super) fn new<S: Clone + Eq + Hash>(family: &Family<S, M>, labels: impl Fn(L) -> S) -> Self {
        let cells = L::ALL.iter().map(|l| family.get_or_create_owned(&labels(*l))).collect();
        Self { cells, label: PhantomData }
    }

    pub(super) fn get(&self, label: L) -> &M {
        &self.cells[label.index()]
    }
}

/// The series of a metric with two closed labels.
pub(super) struct ByTwo<A, B> {
    cells: Box<[Counter]>,
    labels: PhantomData<(A, B)>,
}

impl<A: Label, B: Label> ByTwo<A, B> {
    pub(super) fn new<S: Clone + Eq + Hash>(family: &Family<S, Counter>, labels: impl Fn(A, B) -> S) -> Self {
        let pairs = A::ALL.iter().flat_map(|a| B::ALL.iter().map(|b| (*a, *b)));
        Self { cells: pairs.map(|(a, b)| family.get_or_create_owned(&labels(a, b))).collect(), labels: PhantomData }
    }

    pub(super) fn get(&self, a: A, b: B) -> &Counter {
        &self.cells[a.index() * B::ALL.len() + b.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_follow_the_lists() {
        fn check<L: Label>() {
            for (position, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.index(), position, "{}", label.value());
            }
        }
        check::<PollOutcome>();
        check::<EventKind>();
        check::<EventOutcome>();
        check::<FinalOutcome>();
        check::<StatusClass>();
        check::<CommitOutcome>();
        check::<InstanceState>();
        check::<Peer>();
    }

    #[test]
    fn a_status_has_one_class() {
        for (status, class) in [(100, "1xx"), (204, "2xx"), (304, "3xx"), (429, "4xx"), (503, "5xx"), (999, "5xx")] {
            let status = StatusCode::from_u16(status).expect("status");
            assert_eq!(StatusClass::from(Some(status)).value(), class);
        }
        assert_eq!(StatusClass::from(None).value(), "none");
    }
}
