//! What the operator holds of one instance that it is responsible for: between the engine, which changes the state, and the
//! writer, which stores it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::overflow::Overflow;
use super::pace::Pace;
use super::shards::OwnershipGuard;
use crate::api::identity::{InstanceId, InstanceRef};
use crate::poll::status::InstanceStatus;
use crate::state::InstanceState;

/// Writes without an answer that are remembered.
const MAX_DIGESTS: usize = 16;

/// One instance, from its first sight to its end here.
#[derive(Debug)]
pub struct Session {
    /// Which instance: another one under the same name has another uid.
    pub id: InstanceId,
    /// What is known of the stored form; held while it is being written.
    pub(super) record: tokio::sync::Mutex<Record>,
    /// A writer task is on its way with the pending status.
    pub(super) flushing: AtomicBool,
    /// Read for the engine, which takes it when it starts the instance.
    state: Mutex<Option<Box<InstanceState>>>,
    /// The latest claim to its range.
    guard: Mutex<Option<OwnershipGuard>>,
    pending: Mutex<Option<Box<InstanceStatus>>>,
    /// A status came, be it written or not.
    reported: AtomicBool,
    report_came: Notify,
    /// The engine runs it.
    running: AtomicBool,
    /// Somebody else wrote its state: nothing more may be stored.
    lost: AtomicBool,
    /// The operator is done with it.
    ended: AtomicBool,
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
        Self {
            id,
            record: tokio::sync::Mutex::default(),
            flushing: AtomicBool::new(false),
            state: Mutex::new(None),
            guard: Mutex::new(None),
            pending: Mutex::new(None),
            reported: AtomicBool::new(false),
            report_came: Notify::new(),
            running: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Renews the claim under which anything is written.
    pub(super) fn renew(&self, guard: OwnershipGuard) {
        *self.guard.lock() = Some(guard);
    }

    /// May anything be written at this moment?
    pub(super) fn is_owned(&self) -> bool {
        self.guard.lock().as_ref().is_some_and(|guard| guard.check().is_ok())
    }

    /// Hands over the state that was read; from now on the engine runs the instance.
    pub(super) async fn open(&self, state: InstanceState, digest: u64, overflow: Overflow) {
        let mut record = self.record.lock().await;
        record.stored = Some(Box::new(Stored { digests: vec![digest], overflow }));
        record.confirmed = false;
        *self.state.lock() = Some(Box::new(state));
        self.lost.store(false, Ordering::Release);
        self.running.store(true, Ordering::Release);
    }

    /// The engine has the instance, or is about to take it.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Somebody else wrote its state.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(super) fn lose(&self) -> bool {
        !self.lost.swap(true, Ordering::AcqRel)
    }

    /// Nothing is written any more.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn put_pending(&self, status: Box<InstanceStatus>) {
        *self.pending.lock() = Some(status);
        if !self.reported.swap(true, Ordering::AcqRel) {
            self.report_came.notify_waiters();
        }
    }

    /// Waits for the first status of the instance.
    pub(super) async fn first_report(&self) {
        let came = self.report_came.notified();
        tokio::pin!(came);
        came.as_mut().enable();
        if !self.reported.load(Ordering::Acquire) {
            came.await;
        }
    }

    /// Puts a status back that could not be written, unless a newer one waits.
    pub(super) fn return_pending(&self, status: Option<Box<InstanceStatus>>) {
        let mut pending = self.pending.lock();
        if pending.is_none() {
            *pending = status;
        }
    }

    pub(super) fn take_pending(&self) -> Option<Box<InstanceStatus>> {
        self.pending.lock().take()
    }

    pub(super) fn has_pending(&self) -> bool {
        self.pending.lock().is_some()
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    by_instance: Mutex<HashMap<InstanceRef, Arc<Session>>>,
    released: Notify,
    /// The engine has ended: what is opened now is run by nobody.
    closed: AtomicBool,
}

impl Sessions {
    /// The session of an instance.
    pub fn get(&self, key: &InstanceRef) -> Option<Arc<Session>> {
        self.by_instance.lock().get(key).cloned()
    }

    /// The session of an instance; a new one if there is none of this uid.
    pub fn begin(&self, key: &InstanceRef, uid: &str) -> Arc<Session> {
        let mut sessions = self.by_instance.lock();
        match sessions.get(key) {
            Some(session) if *session.id.uid == *uid && !session.is_ended() => Arc::clone(session),
            _ => {
                let session = Arc::new(Session::new(InstanceId::new(key.clone(), uid)));
                sessions.insert(key.clone(), Arc::clone(&session));
                session
            }
        }
    }

    /// Ends the session as soon as the engine has let go of it.
    pub fn end(&self, session: &Session) {
        session.ended.store(true, Ordering::Release);
        self.forget(session);
    }

    /// The state that was read for the engine.
    pub(super) fn take_state(&self, key: &InstanceRef) -> Option<Box<InstanceState>> {
        self.get(key).and_then(|session| session.state.lock().take())
    }

    /// The engine has let go of an instance.
    pub(super) fn release(&self, key: &InstanceRef) {
        if let Some(session) = self.get(key) {
            session.running.store(false, Ordering::Release);
            *session.state.lock() = None;
            self.forget(&session);
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
        self.closed.store(true, Ordering::Release);
        for session in self.by_instance.lock().values() {
            session.running.store(false, Ordering::Release);
        }
        self.released.notify_waiters();
    }

    /// Has the engine ended?
    pub fn are_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Waits until the engine has let go of all instances with such a uid.
    pub async fn all_released(&self, wanted: impl Fn(&str) -> bool) {
        let running: Vec<_> = {
            let sessions = self.by_instance.lock();
            sessions.values().filter(|session| session.is_running() && wanted(&session.id.uid)).cloned().collect()
        };
        for session in running {
            self.released(&session).await;
        }
    }

    fn forget(&self, session: &Session) {
        if session.is_ended() && !session.is_running() {
            let mut sessions = self.by_instance.lock();
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
