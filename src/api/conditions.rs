//! The words in which Pollinator reports: types and reasons of conditions, and problems sorted by what happens next.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Defines a closed set of words that users read. The name of a variant is the word.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$of:meta])* $word:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$of])* $word,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$word,)+];

            /// The word as users read it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// Status of a condition, as in all of Kubernetes.
    pub enum ConditionStatus {
        /// It holds.
        True,
        /// It does not hold.
        False,
        /// It has not been observed yet.
        Unknown,
    }
}

words! {
    /// Type of a condition.
    pub enum ConditionType {
        // of an instance
        /// Sums up the others.
        Ready,
        /// The provider answers as it should.
        ProviderReachable,
        /// The provider accepts the credentials.
        Authenticated,
        /// The callback accepts events.
        CallbackReachable,
        /// Events wait for their next try, or are parked. Present only while true.
        EventsWaiting,
        /// kstatus: not ready, and it may become so by itself. Present only while true.
        Reconciling,
        /// kstatus: not ready, and only a person can change that. Present only while true.
        Stalled,
        /// The installed CRD lacks fields. Present only while true.
        CrdOutdated,
        // of a resource; all but the first are present only while false
        /// The last poll succeeded.
        Polled,
        /// The list that is read is the only one that may have records.
        RecordsLocated,
        /// Records have an id.
        RecordsIdentified,
        /// Each id is that of one record.
        IdsUnique,
        /// Marks of deleted records are those of the plan.
        DeletionsReadable,
        /// Records have what the manifest names to mask, leave out, keep or ignore.
        FieldsFound,
        /// Types of events are those of the manifest.
        EventTypesKnown,
        /// Dates can be read.
        DatesReadable,
        /// Dates are not far ahead of the provider's clock.
        DatesPlausible,
        /// The list is in the declared order.
        Ordered,
        /// The list held still while it was read.
        Settled,
        /// The provider lists all records of one date, and all that there are.
        WithinCap,
        /// The list was continued from where the last poll ended.
        Continuous,
        /// Records that come into the list are announced, whatever their date.
        NewcomersFound,
        /// There is room for events that the callback does not accept.
        LedgerOpen,
        /// Dates and the provider's clock agree on the time zone.
        ZoneFits,
        /// The provider lists only what it is asked for.
        Filtered,
        /// `filter` is true or false for each record.
        FilterEvaluated,
        /// Content differs only where a record has changed.
        ContentStable,
        /// Deletions are found and sent, where the whole list shows them.
        DeletesFound,
        /// The complete readings that compare content go well.
        Swept,
        /// The whole records of events can be read.
        Detailed,
        /// The list of each value of `forEach` can be polled.
        ListsPolled,
        /// The polls cost no more CPU time than the share of the instance.
        WithinShare,
        // of a connector
        /// Instances can use it.
        Accepted,
    }
}

impl ConditionType {
    /// Those of an instance, in the order in which a status shows them.
    pub const OF_INSTANCE: [Self; 8] = [
        Self::Ready,
        Self::ProviderReachable,
        Self::Authenticated,
        Self::CallbackReachable,
        Self::EventsWaiting,
        Self::Reconciling,
        Self::Stalled,
        Self::CrdOutdated,
    ];
}

/// What happens after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Only a person can fix it. Polling continues slowly, or waits for a change of the manifest or Secret.
    Human,
    /// The peer is rate limiting requests: wait as long as its retry-after says.
    Throttled,
    /// It may pass by itself: try again with back-off.
    Transient,
}

/// What would end a failure, where it is known and may come at any moment. It is for the code that goes on, which brings it or wakes what
/// waits for it; users read the [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// Other credentials of the same kind: those of the request were refused, and renewed ones may be accepted.
    RenewedCredentials,
    /// The approval of a person. It is stored next to the user's objects and not in them, by this process or by another one.
    Approval,
}

words! {
    /// Machine-readable cause in a condition, a closed set. The name of the variant is the reason as users see it.
    pub enum Reason {
        // Ready
        /// Everything works.
        Polling,
        /// `spec.suspend` is true.
        Suspended,
        /// Nothing has been observed yet.
        Starting,
        /// The object is being deleted, and something waits for that with a finalizer.
        Deleting,
        // the manifest
        /// The plan cannot be made from spec and connector.
        InvalidSpec,
        /// `spec.connector` names nothing that exists.
        ConnectorNotFound,
        /// Plans can be made from the connector.
        Accepted,
        // credentials
        /// A referenced Secret does not exist.
        SecretNotFound,
        /// A referenced Secret lacks a key.
        SecretKeyMissing,
        /// A Secret's value cannot be used.
        SecretInvalid,
        /// The operator has no permission to read a referenced Secret.
        SecretUnreadable,
        /// The provider answered 401.
        Unauthorized,
        /// The provider answered 403.
        Forbidden,
        /// The token endpoint does not accept the client.
        InvalidClient,
        /// A person must give consent again, or supply a refresh token or code.
        ReauthorizationRequired,
        /// No answer from the token endpoint, or one that says it has trouble.
        TokenEndpointUnreachable,
        /// The token endpoint's answer brought no token.
        TokenResponseInvalid,
        /// The token was not granted a scope that is needed.
        InsufficientScope,
        // asking
        /// The address is not allowed by the egress policy.
        EgressDenied,
        /// No answer: DNS, connect, reset.
        ProviderUnreachable,
        /// No answer in time.
        ProviderTimeout,
        /// TLS could not be agreed on or verified.
        TlsError,
        /// The provider answered 404 or 410 for the list.
        NotFound,
        /// The provider answered 429, or 503 with `Retry-After`.
        RateLimited,
        /// The provider answered 5xx.
        ProviderError,
        /// The provider answered another status outside 2xx.
        UnexpectedStatus,
        /// The provider answered with a redirect that is not followed.
        RedirectRefused,
        /// Body, headers, a record or the whole listing exceed their bound.
        ResponseTooLarge,
        /// The body is not the JSON that the plan expects.
        InvalidResponse,
        /// No array of records was found; `recordsPath` is needed or wrong.
        RecordsNotFound,
        /// The answer is a success by its status and an error by its content.
        ErrorInResponse,
        /// The answer says that more pages follow, but not how they are asked for.
        PaginationUnclear,
        /// A next link, token or page came twice, or there were too many pages.
        PaginationLoop,
        /// A next link leads to another origin.
        CrossOriginNextLink,
        /// The data changed so fast while being read that the listing could not be confirmed.
        ListingUnsettled,
        /// Pages of the list repeat rows of others although nothing changes, so that it may hide records.
        PagesOverlap,
        /// The provider does not list more records at once than it has of one date, or in the whole list.
        ResultCapReached,
        /// The provider no longer accepts the token of the last poll, so the list was read whole.
        DeltaTokenExpired,
        /// No token holds for the request as it is, so the list was read whole.
        DeltaTokenMissing,
        /// No poll succeeded for longer than the provider lists changes.
        CursorOutOfReach,
        /// The provider's clock is behind the cursor, which it moved there before.
        CursorAhead,
        /// The time from which on records are sent has not come.
        StartsLater,
        /// All of the list is new since the last poll.
        ListTurnedOver,
        /// The list had many records and has had next to none for some polls.
        ListEmptied,
        /// Records came into the list with dates before those that are known.
        OldNewcomers,
        /// Reading the list costs more CPU time than the share of the instance, so its polls wait.
        Throttled,
        // records
        /// A response has another list of objects than the one that is read.
        OtherLists,
        /// Records without the id field.
        MissingId,
        /// Several records of one answer have one id.
        RepeatedId,
        /// No record has a date field that the plan names.
        DateFieldMissing,
        /// No record has a path that `maskFields`, `dropFields`, `keepFields`, `ignoreFields` or `feed.objectField` names.
        FieldMissing,
        /// No key of `feed.typeMap` fits the type of any event.
        EventTypesUnmatched,
        /// Records whose date could not be read.
        InvalidDate,
        /// Records whose date is further ahead of the provider's clock than `maxFuture`.
        FutureDates,
        /// Records had a date of change and have none now.
        DatesLost,
        /// Dates that are written as instants are all at one time of the day.
        DatesAreDays,
        /// The dates of new records are a whole time zone away from the provider's clock.
        SuspectedTimeZone,
        /// Most of a list that is filtered by the cursor is from long before it, poll after poll.
        FilterIgnored,
        /// `filter` is neither true nor false for some records, which are delivered.
        FilterFailed,
        /// The same records are reported as changed poll after poll, because of the same members.
        VolatileRecords,
        /// The mark of deleted records is set to something else than `deletes.flag.value`.
        DeletedFlagUnmatched,
        /// No record has the mark of deleted records, and they have one of a similar name.
        DeletedFlagMissing,
        /// Too many records are missing at once: their deletion waits for a person.
        DeletesHeld,
        /// Requests for single records that are missing do not say whether they are deleted.
        DeletesUnclear,
        /// The whole list kept changing while it was read, so that it proves no deletion.
        SweepUnsettled,
        /// The list is not in the declared order.
        UnorderedResource,
        // delivering
        /// The callback accepts events.
        Delivering,
        /// The last delivery got a status outside 2xx.
        CallbackFailing,
        /// The last five distinct objects all failed.
        CallbackDown,
        /// No usable answer from the callback: DNS, connect, reset, deadline.
        CallbackUnreachable,
        /// The callback answered 401 or 403.
        CallbackUnauthorized,
        /// The callback answered 410.
        CallbackGone,
        /// Events are waiting for their next try.
        Retrying,
        /// Events are parked.
        EventsParked,
        /// The limit of queued and parked events is reached.
        ParkedFull,
        // state
        /// State could not be read or written.
        StateUnavailable,
        /// There is more to remember than the place for it takes.
        StateTooLarge,
        /// The installed CRD lacks fields that the operator stores.
        CrdOutdated,
        /// A defect of Pollinator.
        InternalError,
    }
}

/// A failure as a user sees it: one stable sentence that names field, cause and fix. Never a secret, a body, an id or a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Problem {
    /// What happens next.
    pub reaction: Reaction,
    /// Closed-set cause.
    pub reason: Reason,
    /// Field, cause and fix in one sentence.
    pub message: String,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
    /// What would end it; `None`: nothing that comes by itself, or nothing that is known.
    pub remedy: Option<Remedy>,
    /// What the other side said, for those who try a manifest. It is part of no condition, log line or Event.
    pub seen: Option<Box<str>>,
}

impl Problem {
    /// A problem that only a person can fix.
    pub fn human(reason: Reason, message: impl Into<String>) -> Self {
        Self { reaction: Reaction::Human, reason, message: message.into(), retry_after: None, remedy: None, seen: None }
    }

    /// One condition has one message: the first problem's reason, every problem's sentence.
    pub fn all_in_one(problems: &[Self]) -> Self {
        let reason = problems.first().map_or(Reason::InvalidSpec, |problem| problem.reason);
        let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        Self::human(reason, messages.join("; "))
    }

    /// A problem that may pass by itself.
    pub fn transient(reason: Reason, message: impl Into<String>) -> Self {
        Self { reaction: Reaction::Transient, reason, message: message.into(), retry_after: None, remedy: None, seen: None }
    }

    /// A request to wait.
    pub fn throttled(reason: Reason, message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self { reaction: Reaction::Throttled, reason, message: message.into(), retry_after, remedy: None, seen: None }
    }

    /// The same, with what the other side said.
    #[must_use]
    pub fn seeing(self, said: impl Into<Box<str>>) -> Self {
        Self { seen: Some(said.into()), ..self }
    }

    /// The same, with what would end it.
    #[must_use]
    pub fn ended_by(self, remedy: Remedy) -> Self {
        Self { remedy: Some(remedy), ..self }
    }
}
