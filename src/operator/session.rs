//! What the operator holds of one instance that it is responsible for: between the engine, which changes the state, and the
//! writer, which stores it.
//!
//! What is decided about it is decided by two small machines, under one lock: who has it (`phase`), and which status is still to be
//! written (`reports`). What is known of its stored form is locked apart, for as long as a write takes.

mod phase;
mod reports;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::phase::{Effect, Event, SessionPhase};
use self::reports::Reports;
use super::overflow::Overflow;
use super::shards::OwnershipGuard;
use crate::api::identity::{InstanceId, InstanceRef};
use crate::egress::pace::Pace;
use crate::poll::status::InstanceStatus;
use crate::state::InstanceState;
use crate::state::adopt::RESET;

/// Writes without an answer that are remembered.
const MAX_DIGESTS: usize = 16;

/// One instance, from its first sight to its end here.
#[derive(Debug)]
pub struct Session {
    /// Which instance: another one under the same name has another uid.
    pub id: InstanceId,
    /// What is known of the stored form; held while it is being written.
    pub(super) record: tokio::sync::Mutex<Record>,
    shared: Mutex<Shared>,
    report_came: Notify,
}

/// What reconciler, engine and writer share. Never locked across an await.
#[derive(Debug, Default)]
struct Shared {
    phase: SessionPhase,
    reports: Reports,
    /// The latest claim to its range.
    guard: Option<OwnershipGuard>,
    /// A hash of the version of the object that the writer wrote last, or found to need no write.
    version: Option<u64>,
}

/// The stored form of an instance as it was last read or written.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// `None` while only conditions are written.
    pub(super) stored: Option<Box<Stored>>,
    /// Keeps the writes of one instance apart.
    pub(super) pace: Pace,
    /// Keeps the Events about it within a rate.
    pub(super) told: Pace,
    /// The first polls after the start have ended.
    pub(super) confirmed: bool,
    /// The value of the annotation `reset` that was there when the state was first found damaged, or nothing. Without a bookkeeping
    /// that can be read, only another value is a request.
    pub(super) reset_seen: Option<String>,
}

/// The state in the API server.
#[derive(Debug)]
pub(super) struct Stored {
    /// Digests of what may be there: of what was last read or written, and of writes without an answer.
    pub(super) digests: Vec<u64>,
    /// What does not fit into the status.
    pub(super) overflow: Overflow,
}

impl Stored {
    /// A write whose answer may get lost is about to be sent.
    pub(super) fn note_attempt(&mut self, digest: u64) {
        if !self.digests.contains(&digest) {
            // The first is what was read; of many attempts without an answer, the last ones count.
            if self.digests.len() >= MAX_DIGESTS {
                self.digests.remove(1);
            }
            self.digests.push(digest);
        }
    }
}

impl Session {
    fn new(id: InstanceId) -> Self {
        Self { id, record: tokio::sync::Mutex::default(), shared: Mutex::default(), report_came: Notify::new() }
    }

    fn step(&self, event: Event) -> Effect {
        self.shared.lock().phase.step(event)
    }

    /// Renews the claim under which anything is written.
    pub(super) fn renew(&self, guard: OwnershipGuard) {
        self.shared.lock().guard = Some(guard);
    }

    /// Whether anything may be written at this moment.
    pub(super) fn is_owned(&self) -> bool {
        self.shared.lock().guard.as_ref().is_some_and(|guard| guard.check().is_ok())
    }

    /// Hands over the state that was read; from now on the engine runs the instance.
    pub(super) async fn open(&self, state: InstanceState, digest: u64, overflow: Overflow) {
        let mut record = self.record.lock().await;
        record.stored = Some(Box::new(Stored { digests: vec![digest], overflow }));
        record.confirmed = false;
        record.reset_seen = None;
        self.step(Event::Opened(Box::new(state)));
    }

    /// Whether the value of the annotation `reset` is a request that was not acted on yet, for a state that is damaged. `handled`: what was
    /// acted on, if that can be read.
    pub(super) async fn is_new_reset(&self, reset: Option<&str>, handled: Option<&BTreeMap<String, String>>) -> bool {
        let mut record = self.record.lock().await;
        let seen = record.reset_seen.get_or_insert_with(|| reset.unwrap_or_default().to_owned());
        reset.is_some_and(|reset| match handled {
            Some(handled) => handled.get(RESET).is_none_or(|handled| handled != reset),
            None => seen != reset,
        })
    }

    /// The engine has the instance, or is about to take it.
    pub fn is_running(&self) -> bool {
        self.shared.lock().phase.is_held()
    }

    /// The engine has it, and someone else wrote its state: nothing more is stored until it has been read again.
    pub fn is_lost(&self) -> bool {
        self.shared.lock().phase.is_overwritten()
    }

    /// Someone else wrote its state. Answers whether that is news, so that it is to be read again.
    pub(super) fn lose(&self) -> bool {
        matches!(self.step(Event::Overwritten), Effect::ReadAgain)
    }

    /// The writer wrote this version, or found that it needs no write.
    pub(super) fn note_version(&self, version: &str) {
        self.shared.lock().version = Some(version_hash(version));
    }

    /// A status came. Answers whether a task is to be started that flushes it.
    pub(super) fn report(&self, status: Box<InstanceStatus>) -> bool {
        let starts = self.shared.lock().reports.come(status);
        if starts {
            self.report_came.notify_waiters();
        }
        starts
    }

    /// Waits for the first status of the instance.
    pub(super) async fn first_report(&self) {
        let came = self.report_came.notified();
        tokio::pin!(came);
        came.as_mut().enable();
        if self.shared.lock().reports.is_awaited() {
            came.await;
        }
    }

    /// Whether a status waits to be written, although no state goes with it.
    pub(super) fn wants_flush(&self) -> bool {
        let shared = self.shared.lock();
        shared.reports.has_pending() && !shared.phase.is_ending()
    }

    /// The flushing task has done what it could. Answers whether it goes on with a status that came meanwhile.
    pub(super) fn flushed(&self, is_last: bool) -> bool {
        let Shared { phase, reports, .. } = &mut *self.shared.lock();
        reports.flushed(!is_last && !phase.is_overwritten() && !phase.is_ending())
    }

    /// Takes the status that waits, to write it.
    pub(super) fn take_pending(&self) -> TakenStatus<'_> {
        TakenStatus { session: self, status: self.shared.lock().reports.take() }
    }

    pub(super) fn has_pending(&self) -> bool {
        self.shared.lock().reports.has_pending()
    }
}

/// A status on its way to the API server. Unless it was written, it waits again once this is dropped, as by a job that is aborted in the
/// middle: then it goes with the state that is saved last.
pub(super) struct TakenStatus<'s> {
    session: &'s Session,
    status: Option<Box<InstanceStatus>>,
}

impl TakenStatus<'_> {
    /// The status, if one waited.
    pub(super) fn get(&self) -> Option<&InstanceStatus> {
        self.status.as_deref()
    }

    /// It was written.
    pub(super) fn written(mut self) {
        self.status = None;
    }
}

impl Drop for TakenStatus<'_> {
    fn drop(&mut self) {
        // A newer one that waits takes its place.
        self.session.shared.lock().reports.put_back(self.status.take());
    }
}

/// What is remembered of a `resourceVersion`.
pub(super) fn version_hash(version: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(version.as_bytes())
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    all: Mutex<All>,
    released: Notify,
}

#[derive(Debug, Default)]
struct All {
    by_instance: HashMap<InstanceRef, Arc<Session>>,
    engine: EngineLife,
}

/// Whether there is an engine that takes what is opened, and lets go of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum EngineLife {
    /// It runs, or is about to.
    #[default]
    Running,
    /// It has ended: what is opened now is run by no one. Never left.
    Ended,
}

impl Sessions {
    /// The session of an instance.
    pub fn get(&self, key: &InstanceRef) -> Option<Arc<Session>> {
        self.all.lock().by_instance.get(key).cloned()
    }

    /// The session of an instance; a new one if there is none of this uid.
    pub fn begin(&self, key: &InstanceRef, uid: &str) -> Arc<Session> {
        let sessions = &mut self.all.lock().by_instance;
        match sessions.get(key) {
            Some(session) if *session.id.uid == *uid && !session.shared.lock().phase.is_ending() => Arc::clone(session),
            _ => {
                let session = Arc::new(Session::new(InstanceId::new(key.clone(), uid)));
                sessions.insert(key.clone(), Arc::clone(&session));
                session
            }
        }
    }

    /// A hash of the version of an instance that the writer wrote last, or found to need no write; `None` before its first status.
    pub(super) fn version(&self, key: &InstanceRef) -> Option<u64> {
        self.get(key)?.shared.lock().version
    }

    /// Ends the session as soon as the engine has let go of it.
    pub fn end(&self, session: &Session) {
        self.step(session, Event::End);
    }

    /// The state that was read for the engine.
    pub(super) fn take_state(&self, key: &InstanceRef) -> Option<Box<InstanceState>> {
        match self.get(key)?.step(Event::Taken) {
            Effect::HandOver(state) => Some(state),
            Effect::None | Effect::ReadAgain | Effect::Forget => None,
        }
    }

    /// The engine has let go of an instance.
    pub(super) fn release(&self, key: &InstanceRef) {
        if let Some(session) = self.get(key) {
            self.step(&session, Event::Released);
        }
        self.released.notify_waiters();
    }

    /// Waits until the engine has let go of an instance: then all that it accepted was stored, or was refused.
    pub async fn released(&self, session: &Session) {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if !session.is_running() || self.are_closed() {
                return;
            }
            released.await;
        }
    }

    /// The engine has ended, and with it all that it ran or was about to run.
    pub fn release_all(&self) {
        let all = &mut *self.all.lock();
        all.engine = EngineLife::Ended;
        all.by_instance.retain(|_, session| !matches!(session.step(Event::Released), Effect::Forget));
        self.released.notify_waiters();
    }

    /// Whether the engine has ended.
    pub fn are_closed(&self) -> bool {
        self.all.lock().engine == EngineLife::Ended
    }

    /// Waits until the engine has let go of all instances with such a uid.
    pub async fn all_released(&self, wanted: impl Fn(&str) -> bool) {
        let running: Vec<_> = {
            let sessions = &self.all.lock().by_instance;
            sessions.values().filter(|session| session.is_running() && wanted(&session.id.uid)).cloned().collect()
        };
        for session in running {
            self.released(&session).await;
        }
    }

    fn step(&self, session: &Session, event: Event) {
        if matches!(session.step(event), Effect::Forget) {
            let sessions = &mut self.all.lock().by_instance;
            // Another one may have taken its place.
            if sessions.get(&session.id.instance).is_some_and(|own| std::ptr::eq(Arc::as_ptr(own), session)) {
                sessions.remove(&session.id.instance);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> InstanceRef {
        InstanceRef::new("crm", "keap")
    }

    #[tokio::test]
    async fn nothing_is_waited_for_once_the_engine_has_ended() {
        let sessions = Sessions::default();
        sessions.release_all();
        // read for an engine that will not take it any more
        let late = sessions.begin(&key(), "u1");
        late.open(InstanceState::new("u1".into()), 0, Overflow::default()).await;
        assert!(late.is_running());
        sessions.released(&late).await;
        sessions.all_released(|_| true).await;
    }

    #[test]
    fn a_status_whose_writing_is_broken_off_waits_again() {
        let sessions = Sessions::default();
        let session = sessions.begin(&key(), "u1");
        let numbered = |number| {
            let problem = crate::api::conditions::Problem::human(crate::api::conditions::Reason::InvalidSpec, "x");
            Box::new(crate::poll::status::refused(key(), Some(number), &problem))
        };
        assert!(session.report(numbered(1)));
        let taken = session.take_pending();
        assert!(taken.get().is_some() && !session.has_pending());
        drop(taken);
        assert!(session.has_pending(), "the job that wrote it was aborted");
        let taken = session.take_pending();
        session.report(numbered(2));
        drop(taken);
        assert_eq!(session.take_pending().get().and_then(|status| status.generation), Some(2), "the newer one counts");
        session.take_pending().written();
        assert!(!session.has_pending());
    }

    #[tokio::test]
    async fn a_session_ends_once_the_engine_has_let_go() {
        let sessions = Arc::new(Sessions::default());
        let session = sessions.begin(&key(), "u1");
        session.open(InstanceState::new("u1".into()), 0, Overflow::default()).await;
        assert!(sessions.take_state(&key()).is_some() && sessions.take_state(&key()).is_none());
        sessions.end(&session);
        assert!(session.is_running() && sessions.get(&key()).is_some());
        let waiting = tokio::spawn({
            let (sessions, session) = (Arc::clone(&sessions), Arc::clone(&session));
            async move { sessions.released(&session).await }
        });
        sessions.release(&key());
        waiting.await.unwrap();
        assert!(sessions.get(&key()).is_none());
    }

    #[tokio::test]
    async fn only_a_reset_that_is_new_gives_a_damaged_state_up() {
        let sessions = Sessions::default();
        let handled = BTreeMap::from([(RESET.to_owned(), "contacts".to_owned())]);
        let readable = sessions.begin(&key(), "u1");
        assert!(!readable.is_new_reset(Some("contacts"), Some(&handled)).await, "it was acted on");
        assert!(readable.is_new_reset(Some("contacts 2"), Some(&handled)).await);
        assert!(!readable.is_new_reset(None, Some(&handled)).await);
        // Which values were acted on is not known.
        let unreadable = sessions.begin(&InstanceRef::new("crm", "other"), "u2");
        assert!(!unreadable.is_new_reset(Some("contacts"), None).await, "it may be an old one");
        assert!(!unreadable.is_new_reset(Some("contacts"), None).await);
        assert!(unreadable.is_new_reset(Some("contacts 2"), None).await);
    }

    #[test]
    fn another_uid_is_another_session() {
        let sessions = Sessions::default();
        let first = sessions.begin(&key(), "u1");
        assert!(Arc::ptr_eq(&first, &sessions.begin(&key(), "u1")));
        let second = sessions.begin(&key(), "u2");
        assert!(!Arc::ptr_eq(&first, &second));
        sessions.end(&first);
        assert!(sessions.get(&key()).is_some(), "the end of the first is not that of the second");
    }
}
