//! The one writer of status: state and conditions of an instance go into one `PUT` of the object as it was just read.
//!
//! The object's `resourceVersion` guards against everyone who writes at the same time; the digest of the stored state guards against an
//! owner that does not know that it no longer is one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::cluster::{CallError, Cluster, Kind};
use super::events::{self, Publisher, Transition};
use super::notice::Notice;
use super::objects::version;
use super::probe::{OUTDATED, Probe, keeps};
use super::session::{Record, Session, Sessions};
use super::state_error::StateError;
use super::{status, stored};
use crate::api::conditions::{ConditionStatus, ConditionType};
use crate::egress::pace::Pace;
use crate::egress::turn_queue::TurnQueue;
use crate::egress::turns::Standing;
use crate::observe::metrics::{CommitOutcome, Metrics};
use crate::observe::span;
use crate::poll::status::InstanceStatus;
use crate::state::InstanceState;
use crate::state::external_store::ExternalStore;

/// Writes under way at once.
const MAX_WRITES: usize = 16;
/// How many times an object is read again that changed between reading and writing.
const MAX_CONFLICTS: usize = 5;
/// How long a status waits for a state that goes with it.
const LINGER: Duration = Duration::from_millis(200);
/// How long a first state waits for a first status: without a condition `Ready`, tools take an instance for ready.
const FIRST_REPORT: Duration = Duration::from_secs(2);
/// A status that could not be written is tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// Commits of a busy instance are so far apart.
const APART: Duration = Duration::from_secs(1);
/// Unless there were few lately.
const BURST: Duration = Duration::from_secs(4);
/// Average distance of events about one instance; a status that flaps faster is announced less often.
const EVENT_APART: Duration = Duration::from_secs(30);
/// Unless there were fewer than twenty lately.
const EVENT_BURST: Duration = Duration::from_mins(10);
/// The time for a byte written to the API server, all instances together: 1 MB a second is what its database can take between two
/// compactions.
const BYTE: Duration = Duration::from_micros(1);
/// After trouble that lasted this long, everything that failed is tried again once it is over.
const OUTAGE: Duration = Duration::from_secs(10);

/// Writes statuses.
pub struct Writer {
    cluster: Cluster,
    /// Where large known sets go; `None`: into the cluster.
    store: Option<ExternalStore>,
    sessions: Arc<Sessions>,
    publisher: Publisher,
    notices: mpsc::UnboundedSender<Notice>,
    writes: TurnQueue,
    bytes: Mutex<Pace>,
    probe: Arc<Probe>,
    metrics: Metrics,
    /// Since when states cannot be stored, for a reason that is not one instance's.
    troubled: Mutex<Option<Instant>>,
    flushes: TaskTracker,
    /// Where statuses are written that no caller waits for.
    thread: Handle,
}

impl Writer {
    /// A writer that works on a thread's run time, and gives notice of instances whose state was written by another process.
    pub fn new(
        (cluster, store): (Cluster, Option<ExternalStore>),
        probe: Arc<Probe>,
        publisher: Publisher,
        notices: mpsc::UnboundedSender<Notice>,
        metrics: Metrics,
        thread: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            store,
            sessions: Arc::default(),
            publisher,
            notices,
            writes: TurnQueue::new(MAX_WRITES),
            bytes: Mutex::default(),
            probe,
            metrics,
            troubled: Mutex::default(),
            flushes: TaskTracker::new(),
            thread,
        })
    }

    /// All sessions.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// Takes a status in; it is written soon, with the state if that changes, too.
    pub fn report(self: &Arc<Self>, report: InstanceStatus) {
        let Some(session) = self.sessions.get(&report.instance) else { return };
        if session.report(Box::new(report)) {
            let writer = Arc::clone(self);
            let span = span::status(&session.id.instance);
            self.flushes.spawn_on(async move { writer.flush(&session).await }.instrument(span), &self.thread);
        }
    }

    /// Writes what waits, and waits for it until `at_most` has passed.
    pub async fn finish(&self, at_most: Duration) {
        self.flushes.close();
        if tokio::time::timeout(at_most, self.flushes.wait()).await.is_err() {
            tracing::warn!("not every status could be written before the end");
        }
    }

    async fn flush(&self, session: &Session) {
        tokio::time::sleep(LINGER).await;
        loop {
            if session.wants_flush()
                && let Err(error) = self.commit(session, None).await
            {
                tracing::warn!("the status is not written yet: {}", error.problem().message);
                if !session.is_lost() && !self.flushes.is_closed() {
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            if !session.flushed(self.flushes.is_closed()) {
                return;
            }
        }
    }

    /// Stores a state, and the status that waits. After `Ok` both survive.
    ///
    /// # Errors
    /// See [`StateError`]; the old state is intact.
    pub async fn commit(&self, session: &Session, state: Option<&InstanceState>) -> Result<(), StateError> {
        let mut record = session.record.lock().await;
        if state.is_none() && !session.has_pending() {
            return Ok(());
        }
        if session.is_lost() {
            return Err(StateError::Overwritten);
        }
        if !session.is_owned() {
            return Err(StateError::NotOurs);
        }
        // It is on its way, unless the process ends.
        let _ = tokio::time::timeout(FIRST_REPORT, session.first_report()).await;
        let wait = record.pace.reserve(APART, BURST, Instant::now());
        tokio::time::sleep(wait).await;
        let _turn = self.writes.acquire(&session.id.instance, Standing::Answers).await;
        let pending = session.take_pending();
        let written = self.write(session, &mut record, state, pending.get()).await;
        match &written {
            Ok(()) => {
                pending.written();
                if state.is_some() {
                    self.note_stored();
                }
            }
            Err(error) => {
                drop(pending);
                if *error == StateError::Overwritten && state.is_some() {
                    self.metrics.commit(CommitOutcome::Conflict);
                }
                if *error == StateError::Overwritten && session.lose() {
                    tracing::warn!(
                        "the state was changed by another writer, so it is read again; if this repeats, another installation of \
                         Pollinator watches the namespace"
                    );
                    // The receiver is gone when the process ends.
                    let _ = self.notices.send(Notice::Lost(session.id.instance.clone()));
                }
            }
        }
        written
    }

    async fn write(
        &self,
        session: &Session,
        record: &mut Record,
        state: Option<&InstanceState>,
        report: Option<&InstanceStatus>,
    ) -> Result<(), StateError> {
        let (namespace, name) = (session.id.namespace(), session.id.name());
        for _ in 0..MAX_CONFLICTS {
            let mut object = match self.cluster.get(Kind::ConnectorInstance, namespace, name).await {
                Ok(object) if object["metadata"]["uid"] == *session.id.uid => object,
                Ok(_) | Err(CallError::NotFound) => return Err(StateError::Deleted),
                Err(error) => return Err(self.trouble(error).into()),
            };
            let before = object["status"].take();
            // While no one runs it, memory holds nothing that another's write could invalidate.
            if let Some(own) = record.stored.as_ref().filter(|_| session.is_running()) {
                let digest = stored::state_digest(&before);
                if !own.digests.contains(&digest) {
                    // What is gone says nothing that memory does not know better.
                    if digest != stored::empty_digest() {
                        return Err(StateError::Overwritten);
                    }
                    tracing::warn!("the status was removed by another writer; it is written again");
                    if state.is_none() {
                        // The receiver is gone when the process ends.
                        let _ = self.notices.send(Notice::Wiped(session.id.instance.clone()));
                    }
                }
            }
            let complete = self.probe.crd_is_complete(&session.id.instance, &object, state.is_some()).await?;
            let mut status = before.as_object().cloned().unwrap_or_default();
            let mut overflow_bytes = 0;
            if let Some(state) = state {
                if !complete {
                    self.note_trouble();
                    return Err(StateError::Outdated);
                }
                let Some(own) = record.stored.as_deref_mut() else { return Err(StateError::Overwritten) };
                let saved =
                    own.overflow.save(&self.cluster, self.store.as_ref(), &session.id, &|| session.is_owned(), state).await;
                let (places, bytes) = saved.map_err(|error| match error {
                    StateError::Call(error) => self.trouble(error).into(),
                    StateError::Store(error) => {
                        self.note_trouble();
                        error.into()
                    }
                    other => other,
                })?;
                overflow_bytes = bytes;
                stored::lay(&mut status, state, &places);
            }
            if let Some(report) = report {
                status::lay(&mut status, report, record.confirmed, Utc::now());
            }
            status::lay_outdated(&mut status, (!complete).then_some(OUTDATED), Utc::now());
            status::fit(&mut status);
            if before.as_object().map_or_else(|| status.is_empty(), |before| *before == status) {
                session.note_version(&version(&object).unwrap_or_default());
                return Ok(());
            }
            if let Some(report) = report {
                status::lay_times(&mut status, report);
            }
            let status = Value::Object(status);
            if let Some(own) = record.stored.as_deref_mut() {
                own.note_attempt(stored::state_digest(&status));
            }
            object["status"] = status;
            let body = object.to_string().into_bytes();
            self.spend(body.len() + overflow_bytes).await;
            // Right before the write: a process that slept finds out here.
            if !session.is_owned() {
                return Err(StateError::NotOurs);
            }
            match self.cluster.replace_status(namespace, name, body, false).await {
                Ok(mut answer) => {
                    session.note_version(&version(&answer).unwrap_or_default());
                    let after = answer["status"].take();
                    let pruned = complete && !keeps(&object["status"], &after);
                    self.note_written(session, record, report, &before, &after).await;
                    if pruned {
                        self.probe.note_pruned();
                        return Err(StateError::Outdated);
                    }
                    return Ok(());
                }
                Err(CallError::Conflict) => {
                    // The outbox counts how a commit ends; only here it is known that a try of one was in vain.
                    if state.is_some() {
                        self.metrics.commit(CommitOutcome::Conflict);
                    }
                }
                Err(CallError::NotFound) => return Err(StateError::Deleted),
                Err(error) => return Err(self.trouble(error).into()),
            }
        }
        Err(CallError::Conflict.into())
    }

    async fn note_written(
        &self,
        session: &Session,
        record: &mut Record,
        report: Option<&InstanceStatus>,
        before: &Value,
        after: &Value,
    ) {
        if let Some(own) = record.stored.as_deref_mut() {
            own.digests = vec![stored::state_digest(after)];
            if session.is_owned() {
                own.overflow.clean(&self.cluster, session.id.namespace()).await;
            }
        }
        if let Some(report) = report {
            let all_well = report.resources.iter().all(|own| {
                own.conditions
                    .iter()
                    .any(|condition| condition.kind == ConditionType::Polled && condition.status == ConditionStatus::True)
            });
            record.confirmed |= report.ready == ConditionStatus::False || all_well;
        }
        let mut told = events::transitions(before, after);
        // The conditions say the same, and kubectl shows them.
        told.retain(|_| record.told.admit(EVENT_APART, EVENT_BURST, Instant::now()));
        self.publisher.publish(&session.id, told);
    }

    /// Publishes an Event about what no status shows.
    pub fn announce(&self, session: &Session, reason: &str, note: String) {
        self.publisher.publish(&session.id, vec![Transition { warning: true, reason: reason.to_owned(), note }]);
    }

    fn note_trouble(&self) {
        self.troubled.lock().get_or_insert_with(Instant::now);
    }

    /// A state was stored again. What failed meanwhile may be waiting for up to an hour.
    fn note_stored(&self) {
        let since = self.troubled.lock().take();
        if since.is_some_and(|since| since.elapsed() >= OUTAGE) {
            // The receiver is gone when the process ends.
            let _ = self.notices.send(Notice::Recovered);
        }
    }

    /// Notes that a failed call may be a problem of all instances.
    fn trouble(&self, error: CallError) -> CallError {
        if matches!(error, CallError::Unavailable(_)) {
            self.note_trouble();
        }
        error
    }

    /// Waits until this number of bytes may be written.
    async fn spend(&self, bytes: usize) {
        let cost = BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
        let wait = {
            let mut pace = self.bytes.lock();
            pace.reserve(cost, BURST, Instant::now())
        };
        tokio::time::sleep(wait).await;
    }
}
