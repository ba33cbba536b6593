//! What outlives a process: positions, hashes, and those events that a sink does not accept. Never a queue of events: the provider is the
//! log, and what was not saved is polled again.
//!
//! Of each resource there is a cursor, a dedup window behind it, and the known set: which version of which record was delivered. Of each
//! sink there is its health and its retry queue. All of an instance is one [`InstanceState`], which [`live`] holds in memory while the
//! instance runs; [`adopt`] adapts it to a changed plan, and decides whether an edit keeps the cursor.
//!
//! A commit makes it durable through a [`StateStore`]: in a folder ([`directory`]), or in the cluster (`operator`). Both store a small
//! [`head`] and, where much is known, [`partitions`] of the known set as [`blob`]s. A commit writes the partitions that changed and then
//! the head that names them, so that its cost depends on what changed and not on what is known.
//!
//! In a cluster, large known sets can be in a store outside of it ([`external_store`], [`external_set`]), where several processes meet.
//!
//! What every store keeps to:
//!
//! - **State is complete or refused.** Each blob has a form, a generation and a checksum. What is missing, damaged, or written by a newer
//!   version is a problem with a sentence that says what to do; it is never taken for a fresh start, which would send everything again.
//! - **A crash costs repeats, never a loss.** Partitions are durable before a head names them, and the head is replaced as a whole, last.
//! - **One writer.** A folder is locked by its process. In the cluster a write is a compare-and-swap on what was last read.
//! - **A commit that fails loses nothing in this process.** The progress stays in memory, and the next commit that succeeds saves it.
//! - **An idle poll writes nothing.** A cursor that moved without an event is saved with the next one: after a crash the older cursor costs
//!   one more read, and no event.
//!
//! A person can take a state out of one place and into another ([`backup`]), as a whole and in one file.
//!
//! Event ids depend on the uid under which an instance was first seen, and the state carries it, so that a restored backup makes the same
//! ids.

pub mod adopt;
pub mod backup;
pub mod blob;
#[cfg(feature = "object-store")]
pub mod bucket;
pub mod bystander;
pub mod delta_token;
pub mod directory;
pub mod external_set;
pub mod external_store;
pub mod folder;
pub mod head;
mod lists;
pub mod live;
pub mod partitions;
mod recent;
pub mod set_part;
mod shared_folder;
pub mod store_url;
mod token_file;
pub mod waiting;
pub mod wish;

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use self::delta_token::DeltaToken;
use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::deliver::delivery_state::{Failing, Taken};
use crate::deliver::health::SinkHealth;
use crate::deliver::retry_queue::QueuedEvent;
use crate::deliver::sink::SinkName;
use crate::deliver::sinks::Sinks;
use crate::detect::filter::FilterEvidence;
use crate::detect::known::KnownSet;
use crate::detect::sweep::SweepState;
use crate::detect::zone::ZoneEvidence;

/// Version of the state's form; a greater one is refused.
pub const FORMAT: u32 = 2;
/// A wait that the provider demands is stored from this length on, and again when it grows by as much.
const WORTH_KEEPING: TimeDelta = TimeDelta::seconds(5);

/// Everything that is kept of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "StoredState")]
pub struct InstanceState {
    /// Form of this state.
    pub format: u32,
    /// Uid of the instance: in a cluster that of the object at the moment, in a folder made once and kept.
    pub uid: String,
    /// What event ids hang on, where it is not `uid`: that under which the instance was first seen, before it was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_uid: Option<Box<str>>,
    /// Until when the provider wants not to be asked, as of the last long wait that it demanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<DateTime<Utc>>,
    /// What the totals count of resources that are no longer there.
    #[serde(default, skip_serializing_if = "RemovedResources::is_none")]
    pub removed: RemovedResources,
    /// Per resource, by name. Boxed, since a map makes room for eleven values with the first one.
    pub resources: BTreeMap<String, Box<ResourceState>>,
    /// Health and retry queue of each sink.
    #[serde(flatten)]
    pub sinks: Sinks,
    /// Annotation values that were acted on, so that each is acted on once.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub handled: BTreeMap<String, String>,
}

/// The same as it is read: a flattened field cannot keep records byte for byte.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredState {
    format: u32,
    uid: String,
    #[serde(default)]
    first_uid: Option<Box<str>>,
    #[serde(default)]
    retry_after: Option<DateTime<Utc>>,
    #[serde(default)]
    removed: RemovedResources,
    #[serde(default)]
    resources: BTreeMap<String, Box<ResourceState>>,
    #[serde(default)]
    ledger: Vec<QueuedEvent>,
    #[serde(default)]
    callback: SinkHealth,
    #[serde(default)]
    sinks: BTreeMap<SinkName, SinkHealth>,
    #[serde(default)]
    accepted: BTreeMap<SinkName, u64>,
    #[serde(default)]
    handled: BTreeMap<String, String>,
}

impl From<StoredState> for InstanceState {
    fn from(stored: StoredState) -> Self {
        let StoredState { format, uid, first_uid, retry_after, removed, resources, ledger, callback, sinks, accepted, handled } =
            stored;
        let sinks = Sinks::restore(callback, sinks, accepted, ledger);
        Self { format, uid, first_uid, retry_after, removed, resources, sinks, handled }
    }
}

/// What the totals of an instance count of resources that are no longer there: they never fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedResources {
    /// Events accepted by the callback.
    #[serde(default)]
    delivered: u64,
    /// When a change was last accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_change_time: Option<DateTime<Utc>>,
}

impl RemovedResources {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Everything that is kept of one resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceState {
    /// The plan's meaning for which the cursor holds, in hexadecimal.
    pub meaning: String,
    /// The first read is over.
    #[serde(default)]
    pub started: bool,
    /// The list began after that of other parents: its first read sends all of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_new: bool,
    /// Lower bound of the next poll, inclusive; exact to the nanosecond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<DateTime<Utc>>,
    /// With what the next poll continues, where the provider answers with what has changed since a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<DeltaToken>,
    /// Which version of which record was delivered.
    #[serde(default, skip_serializing_if = "KnownSet::is_empty")]
    pub known: KnownSet,
    /// So far behind the cursor the known records reach, in whole seconds: what lies before was forgotten. A look-back or a
    /// tolerance that is widened has to wait until they reach as far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reach: u64,
    /// Digest of the `ignoreFields` and `compareContent` under which content was hashed; empty without any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hashed_without: String,
    /// How far the dates of new records were from the provider's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneEvidence>,
    /// In how many polls in a row the provider ignored the filter.
    #[serde(default, skip_serializing_if = "FilterEvidence::is_none")]
    pub filter_ignored: FilterEvidence,
    /// Digest of the declared order that rows of the list broke; empty without any ([`crate::detect::order`]).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub broken_order: String,
    /// What the complete readings of the list have shown.
    #[serde(default, skip_serializing_if = "SweepState::is_fresh")]
    pub sweep: SweepState,
    /// Where the records were last found in an answer: a path, or `$` for the answer itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_path: Option<String>,
    /// Changes that failed once or twice and will be asked for again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<Failing>,
    /// Changes that one sink has and another lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<Taken>,
    /// Single records that could not be read, in the order in which they were last asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// The last round over the lists of a resource ended early, and the next one begins with this list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begins_round: bool,
    /// Since when the limits of the provider have kept it from being polled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_since: Option<DateTime<Utc>>,
    /// Events accepted by the callback.
    #[serde(default)]
    pub delivered: u64,
    /// When a change was last accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_time: Option<DateTime<Utc>>,
    /// Why the cursor was last given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_reason: Option<String>,
    /// When a poll last succeeded, at the least, as the status in a cluster has it; elsewhere it is not kept.
    #[serde(skip)]
    pub last_poll: Option<DateTime<Utc>>,
}

/// A single record that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Hash of the object's id.
    pub object: u64,
    /// Polls that did not read it, and read others.
    pub tries: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_zero(seconds: &u64) -> bool {
    *seconds == 0
}

impl ResourceState {
    /// Forgets the tries of changes that no longer turn up, but for those of `deletions`, which turn up only where they are remembered. Answers
    /// whether there were any.
    pub fn forget_tries(&mut self, deletions: &HashSet<u64>) -> bool {
        let before = self.failing.len() + self.taken.len();
        self.failing.retain(|failing| deletions.contains(&failing.object));
        self.taken.retain(|taken| deletions.contains(&taken.object));
        self.failing.len() + self.taken.len() < before
    }

    /// A poll ended: the limits of the provider kept it from reading all, after it had read some or none. Answers whether that is news.
    pub fn note_denied(&mut self, is_denied: bool, has_read: bool, now: DateTime<Utc>) -> bool {
        let since = is_denied.then(|| self.denied_since.filter(|_| !has_read).unwrap_or(now));
        std::mem::replace(&mut self.denied_since, since) != since
    }

    /// Whether there are tries to forget.
    pub fn has_tries(&self, deletions: &HashSet<u64>) -> bool {
        let mut objects = self.failing.iter().map(|failing| failing.object).chain(self.taken.iter().map(|taken| taken.object));
        objects.any(|object| !deletions.contains(&object))
    }
}

impl InstanceState {
    /// The state of an instance never seen before.
    pub fn new(uid: String) -> Self {
        Self {
            format: FORMAT,
            uid,
            first_uid: None,
            retry_after: None,
            removed: RemovedResources::default(),
            resources: BTreeMap::new(),
            sinks: Sinks::default(),
            handled: BTreeMap::new(),
        }
    }

    /// The wall clock was set. What this process has chosen moves with it; cursors and dates are of the provider's clock.
    pub fn move_clock(&mut self, step: TimeDelta) {
        self.retry_after = self.retry_after.map(|until| until + step);
        self.sinks.move_clock(step);
        for own in self.resources.values_mut() {
            own.last_poll = own.last_poll.map(|at| at + step);
            own.failing.iter_mut().for_each(|failing| failing.next_try += step);
        }
    }

    /// A person asks for a try: what failed at any sink is due now, whatever its health was.
    pub fn retry_deliveries(&mut self, now: DateTime<Utc>) {
        self.sinks.forget_all_health(now);
        self.retry_failing(now, |_| true);
    }

    /// A sink was changed: what failed at the old target is due now at the new one.
    pub fn retry_deliveries_to(&mut self, sink: &SinkName, now: DateTime<Utc>) {
        self.sinks.forget_health(sink, now);
        self.retry_failing(now, |failing| failing.sink == *sink);
    }

    /// Changes that failed once or twice, and have their next try before them, are due now.
    pub fn retry_failing(&mut self, now: DateTime<Utc>, is_meant: impl Fn(&Failing) -> bool) {
        let failing = self.resources.values_mut().flat_map(|own| &mut own.failing);
        failing.filter(|failing| is_meant(failing)).for_each(|failing| failing.next_try = failing.next_try.min(now));
    }

    /// A poll has ended, with which the provider demanded to be left alone for `wait`, or demanded nothing. Answers whether that is worth
    /// a write.
    pub fn note_retry_after(&mut self, wait: Option<TimeDelta>, now: DateTime<Utc>) -> bool {
        // One that is over goes with the next write.
        self.retry_after = self.retry_after.filter(|until| *until > now);
        let Some(until) = wait.filter(|wait| *wait >= WORTH_KEEPING).map(|wait| now + wait) else { return false };
        let is_news = self.retry_after.is_none_or(|kept| until - kept >= WORTH_KEEPING);
        if is_news {
            self.retry_after = Some(until);
        }
        is_news
    }

    /// Identity of the instance, part of every event id: minted at first sight and kept, wherever the state is taken.
    pub fn identity(&self) -> &str {
        self.first_uid.as_deref().unwrap_or(&self.uid)
    }

    /// Events accepted by the callback, all resources, those that were removed included.
    pub fn delivered(&self) -> u64 {
        self.removed.delivered + self.resources.values().map(|r| r.delivered).sum::<u64>()
    }

    /// When a change was last accepted, any resource.
    pub fn last_change_time(&self) -> Option<DateTime<Utc>> {
        self.resources.values().filter_map(|r| r.last_change_time).max().max(self.removed.last_change_time)
    }

    /// The totals were these, and what is missing of them was counted by resources that are no longer there.
    pub fn keep_totals(&mut self, delivered: u64, last_change_time: Option<DateTime<Utc>>) {
        self.removed.delivered += delivered.saturating_sub(self.delivered());
        if self.last_change_time() < last_change_time {
            self.removed.last_change_time = last_change_time;
        }
    }
}

/// Where state is kept. Each call is one instance; the caller never has two saves of one instance under way.
pub trait StateStore: Send + Sync {
    /// Reads an instance's state; `None` when there never was one.
    ///
    /// # Errors
    /// State that is there but cannot be read is never taken for a fresh start.
    fn load(&self, instance: &InstanceRef) -> Result<Option<InstanceState>, Problem>;

    /// Replaces an instance's state, durably: after `Ok` it survives a crash; after `Err` the old state is intact.
    ///
    /// # Errors
    /// A full or read-only medium.
    fn save<'a>(&'a self, instance: &'a InstanceRef, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>>;

    /// The engine let go of an instance: no save follows unless it is loaded again.
    fn release(&self, _instance: &InstanceRef) {}

    /// Something happened to the state that a person should know and that no condition shows; the log has it, too. `reason` is one word.
    fn announce(&self, _instance: &InstanceRef, _reason: &'static str, _text: String) {}

    /// An instance is not declared any more, and nothing runs for it.
    fn removed(&self, _instance: &InstanceRef) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::health::{Blame, Failure};
    use crate::deliver::retry_queue::MAX_BYTES;
    use crate::deliver::sink::http::interpret::HttpCause;
    use crate::deliver::sink::{CALLBACK, Cause};

    /// As it was written while the callback was the only sink that there could be: five objects failed, one event waits and one is parked,
    /// a third object failed once.
    const STORED: &str = concat!(
        r#"{"format":2,"uid":"u","resources":{"contacts":{"meaning":"07","started":true,"#,
        r#""failing":[{"object":5,"attempts":1,"refusals":0,"nextTry":"2027-01-15T08:00:05Z"}],"delivered":3}},"#,
        r#""ledger":[{"object":7,"event":{"id":"a","kind":"updated","resource":"contacts","objectId":"7","#,
        r#""detectedAt":"2027-01-15T08:00:00Z","data":{"id": 7, "price":1.10}},"attempts":3,"refusals":0,"#,
        r#""nextTry":"2027-01-15T08:30:00Z"},{"object":8,"event":{"id":"b","kind":"deleted","resource":"contacts","#,
        r#""objectId":"8","detectedAt":"2027-01-15T08:00:00Z","data":{"id":8}},"attempts":5,"refusals":5}],"#,
        r#""callback":{"failedObjects":[1,2,3,4,5],"down":{"steps":1,"probeAt":"2027-01-15T08:00:05Z"},"#,
        r#""holdUntil":"2027-01-15T08:00:07Z","cause":{"Status":503}},"handled":{"pollinator.dev/poll-now":"1"}}"#,
    );

    #[test]
    fn the_delivery_state_of_the_callback_is_stored_as_that_of_the_only_sink() {
        let state: InstanceState = serde_json::from_str(STORED).unwrap();
        assert_eq!((state.sinks.deferred(), state.sinks.parked()), (1, 1));
        assert!(state.sinks.health(&CALLBACK).is_down());
        assert_eq!(state.resources["contacts"].failing[0].sink, CALLBACK);
        assert_eq!(serde_json::to_string(&state).unwrap(), STORED);
        let fresh = InstanceState::new("u".into());
        assert_eq!(serde_json::to_string(&fresh).unwrap(), r#"{"format":2,"uid":"u","resources":{}}"#);
    }

    #[test]
    fn a_demanded_wait_is_worth_a_write_once_and_only_if_it_is_long() {
        let (mut state, now) = (InstanceState::new("u".into()), DateTime::UNIX_EPOCH);
        let fresh = state.clone();
        let at = |seconds| now + TimeDelta::seconds(seconds);
        let seconds = |seconds| Some(TimeDelta::seconds(seconds));
        assert!(!state.note_retry_after(None, now) && !state.note_retry_after(seconds(4), now));
        assert_eq!(state, fresh);
        assert!(state.note_retry_after(seconds(60), now));
        assert!(!state.note_retry_after(seconds(50), at(10)), "what is left of it is no news");
        assert!(!state.note_retry_after(None, at(20)));
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.contains(r#""retryAfter":"1970-01-01T00:01:00Z""#), "{text}");
        assert_eq!(serde_json::from_str::<InstanceState>(&text).unwrap(), state);
        assert!(state.note_retry_after(seconds(3_600), at(30)), "a longer one");
        assert!(!state.note_retry_after(None, at(4_000)));
        assert_eq!(state, fresh, "one that is over is not kept");
    }

    #[test]
    fn the_delivery_state_of_other_sinks_is_kept_too() {
        let mut state: InstanceState = serde_json::from_str(STORED).unwrap();
        let archive = SinkName::new("archive");
        let failure = Failure { retry_after: None, cause: Cause::Http(HttpCause::Status(500)), blame: Blame::Sink };
        state.sinks.note_failed(&archive, 1, failure, DateTime::UNIX_EPOCH, 0);
        let mut event = state.sinks.queue(&CALLBACK).events()[0].clone();
        event.sink = archive.clone();
        state.sinks.enqueue(event, MAX_BYTES).unwrap();
        let failing = Failing { sink: archive.clone(), ..state.resources["contacts"].failing[0].clone() };
        let own = state.delivery("contacts");
        own.failing.push(failing);
        own.taken.push(Taken { sink: archive, object: 9, event: 1 });
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<InstanceState>(&text).unwrap(), state);
    }
}
