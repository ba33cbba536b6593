//! Sends changes to the callback, several at once and never two of one object, and books each answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use tokio::sync::Mutex;
use tracing::Instrument as _;

use super::access::Access;
use super::context::EngineContext;
use super::instance::Instance;
use super::report::Sums;
use super::settle::{Settled, settle_change, settle_entry};
use crate::api::conditions::{Problem, Reason};
use crate::deliver::callback::Admission;
use crate::deliver::format::MAX_DATA;
use crate::deliver::schedule::Verdict;
use crate::deliver::sender::PreparedCallback;
use crate::detect::event::{Change, Event, Kind};
use crate::detect::window::Undelivered;
use crate::observe::metrics::{CommitOutcome, EventOutcome};
use crate::observe::span;
use crate::plan::EventFormat;

/// Changes that are sent between two looks at the clock and the commit bound.
const CHUNK: usize = 128;
/// A crash may repeat at most this many events: more accepted ones are never uncommitted.
const MAX_UNCOMMITTED: usize = 256;
/// Accepted events are committed at least this often while more are being sent.
const MAX_UNCOMMITTED_TIME: Duration = Duration::from_secs(1);
/// Events of one OpenConnectors request, as many as Open Connectors sends for polled resources.
const OPEN_CONNECTORS_BATCH: usize = 10;

/// Sends the changes of one job.
pub struct Dispatcher<'a> {
    core: &'a EngineContext,
    instance: &'a Arc<Instance>,
    callback: PreparedCallback,
    /// One renewal at a time.
    access: Mutex<Access<'a>>,
    uncommitted: usize,
    uncommitted_since: Option<Instant>,
    /// Sums over the whole job.
    pub sums: Sums,
    /// Why the callback cannot be asked at all; a person must act.
    pub refusal: Option<Problem>,
}

/// What became of one batch of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatched {
    /// Changes that were tried now, as opposed to held until their next try.
    pub tried: usize,
    /// What was not taken.
    pub undelivered: Undelivered,
    /// Nothing more may be sent in this job.
    pub closed: bool,
}

impl<'a> Dispatcher<'a> {
    /// Prepares sending.
    pub fn new(core: &'a EngineContext, instance: &'a Arc<Instance>, callback: PreparedCallback, access: Access<'a>) -> Self {
        Self {
            core,
            instance,
            callback,
            access: Mutex::new(access),
            uncommitted: 0,
            uncommitted_since: None,
            sums: Sums::default(),
            refusal: None,
        }
    }

    /// Sends changes of distinct objects.
    ///
    /// # Errors
    /// State that cannot be saved: then nothing more may be sent, or a crash would repeat more than the bound. A callback that
    /// cannot be asked at all.
    pub async fn send_changes(&mut self, changes: Vec<Change>) -> Result<Dispatched, Problem> {
        let mut done = Dispatched { tried: 0, undelivered: Undelivered::None, closed: false };
        let mut waiting = VecDeque::from(changes);
        while !waiting.is_empty() {
            self.commit_within_bounds().await?;
            let chunk: Vec<_> = waiting.drain(..waiting.len().min(CHUNK)).collect();
            let (mut ready, held) = self.triage(chunk);
            for change in held {
                done.undelivered = done.undelivered.and(change.date);
            }
            let Some(admission) = self.admission() else {
                return Ok(done.close(ready.into_iter().chain(waiting)));
            };
            if admission == Admission::Probe && !ready.is_empty() {
                // The object that failed least is the best probe: one that fails by itself must not keep the callback closed.
                let probe = self.take_probe(&mut ready);
                ready.into_iter().rev().for_each(|change| waiting.push_front(change));
                ready = vec![probe];
            }
            done.tried += ready.len();
            let mut refusal = None;
            for (change, settled) in self.send_concurrently(ready, &mut refusal).await {
                self.note(&Noted::of(&change.event), settled);
                if !settled.is_taken() {
                    done.undelivered = done.undelivered.and(change.date);
                }
            }
            if let Some(problem) = refusal {
                return Err(self.refuse(problem));
            }
        }
        Ok(done)
    }

    /// Sends the set-aside events of a resource whose next try has come.
    ///
    /// # Errors
    /// As [`Self::send_changes`].
    pub async fn send_due_entries(&mut self, resource: &str) -> Result<(), Problem> {
        let due = self.instance.state().ledger.due(resource, Utc::now());
        for entry in due {
            self.commit_within_bounds().await?;
            if self.admission().is_none() {
                break;
            }
            let noted = Noted::of(&entry.event);
            let verdict = match self.post(&[&entry.event]).await {
                Ok(verdict) => verdict,
                Err(problem) => return Err(self.refuse(problem)),
            };
            let settled = settle_entry(&mut self.instance.state(), entry, verdict, self.callback.fingerprint(), Utc::now());
            self.note(&noted, settled);
        }
        Ok(())
    }

    /// Saves what has been taken so far.
    ///
    /// # Errors
    /// The store's problem.
    pub async fn commit(&mut self) -> Result<(), Problem> {
        (self.uncommitted, self.uncommitted_since) = (0, None);
        let saved = self.instance.commit().await;
        self.core.metrics.commit(if saved.is_ok() { CommitOutcome::Stored } else { CommitOutcome::Failed });
        saved
    }

    fn refuse(&mut self, problem: Problem) -> Problem {
        self.refusal.get_or_insert(problem).clone()
    }

    /// Open or probe; `None` when nothing may be sent now.
    fn admission(&self) -> Option<Admission> {
        if self.instance.stop.is_cancelled() {
            return None;
        }
        let admission = self.instance.state().callback.admission(self.callback.fingerprint(), Utc::now());
        matches!(admission, Admission::Open | Admission::Probe).then_some(admission)
    }

    async fn commit_within_bounds(&mut self) -> Result<(), Problem> {
        let late = self.uncommitted_since.is_some_and(|since| since.elapsed() >= MAX_UNCOMMITTED_TIME);
        if late || self.uncommitted + CHUNK > MAX_UNCOMMITTED { self.commit().await } else { Ok(()) }
    }

    /// Parts changes that may be sent now from those whose object waits for its next try. A newer version of an object in the
    /// ledger takes the older one's place there.
    fn triage(&mut self, changes: Vec<Change>) -> (Vec<Change>, Vec<Change>) {
        let now = Utc::now();
        let mut state = self.instance.state();
        let (mut ready, mut held) = (Vec::new(), Vec::new());
        for change in changes {
            let resource = Arc::clone(&change.event.resource);
            if state.ledger.holds(&resource, change.object) {
                if let Ok(()) = state.ledger.supersede(change.object, change.event.clone(), now) {
                    state.resources.entry(resource.to_string()).or_default().known.remember(change.object, change.known);
                    self.sums.dirty = true;
                } else {
                    self.sums.ledger_full = true;
                    held.push(change);
                }
                continue;
            }
            let waits = state
                .resources
                .get(&*resource)
                .is_some_and(|own| own.failing.iter().any(|failing| failing.object == change.object && failing.next_try > now));
            if waits { held.push(change) } else { ready.push(change) }
        }
        (ready, held)
    }

    fn take_probe(&self, ready: &mut Vec<Change>) -> Change {
        let state = self.instance.state();
        let attempts = |change: &Change| {
            let own = state.resources.get(&*change.event.resource);
            own.and_then(|own| own.failing.iter().find(|f| f.object == change.object)).map_or(0, |f| f.attempts)
        };
        let best = ready.iter().enumerate().min_by_key(|(_, change)| attempts(change)).map_or(0, |(index, _)| index);
        ready.remove(best)
    }

    async fn send_concurrently(&self, ready: Vec<Change>, refusal: &mut Option<Problem>) -> Vec<(Change, Settled)> {
        let requests = self.batch(ready);
        let width = self.callback.plan().max_in_flight.max(1) as usize;
        let sent: Vec<_> =
            futures::stream::iter(requests).map(|batch| self.send_batch(batch)).buffer_unordered(width).collect().await;
        let mut settled = Vec::new();
        for (batch, problem) in sent {
            settled.extend(batch);
            *refusal = refusal.take().or(problem);
        }
        settled
    }

    /// One event a request; for OpenConnectors up to ten, as far as their records fit one event's bound, but an object that
    /// failed before travels alone.
    fn batch(&self, ready: Vec<Change>) -> Vec<Vec<Change>> {
        if self.callback.plan().format == EventFormat::CloudEvents {
            return ready.into_iter().map(|change| vec![change]).collect();
        }
        let (alone, together): (Vec<_>, Vec<_>) = {
            let state = self.instance.state();
            ready.into_iter().partition(|change| {
                let own = state.resources.get(&*change.event.resource);
                own.is_some_and(|own| own.failing.iter().any(|f| f.object == change.object))
            })
        };
        let mut requests: Vec<_> = alone.into_iter().map(|change| vec![change]).collect();
        let mut room = 0;
        for change in together {
            let bytes = change.event.data_len();
            match requests.last_mut() {
                Some(batch) if room >= bytes && batch.len() < OPEN_CONNECTORS_BATCH => {
                    room -= bytes;
                    batch.push(change);
                }
                _ => {
                    room = MAX_DATA.saturating_sub(bytes);
                    requests.push(vec![change]);
                }
            }
        }
        requests
    }

    /// Sends one request. With a problem, what it carried is untouched: neither tried nor settled.
    async fn send_batch(&self, batch: Vec<Change>) -> (Vec<(Change, Settled)>, Option<Problem>) {
        // The semaphore is never closed.
        let _permit = self.instance.in_flight.acquire().await;
        if self.admission().is_none() {
            return (untouched(batch), None);
        }
        let events: Vec<_> = batch.iter().map(|change| &change.event).collect();
        let verdict = match self.post(&events).await {
            Ok(verdict) => verdict,
            Err(problem) => return (untouched(batch), Some(problem)),
        };
        if !matches!(verdict, Verdict::Refused { .. }) || batch.len() == 1 {
            return (batch.into_iter().map(|change| self.settle(change, verdict)).collect(), None);
        }
        // One of them is refused: find out which, so that it does not take the others with it.
        let mut settled = Vec::with_capacity(batch.len());
        let mut singles = batch.into_iter();
        while let Some(change) = singles.next() {
            match self.post(&[&change.event]).await {
                Ok(verdict) => settled.push(self.settle(change, verdict)),
                Err(problem) => {
                    settled.extend(untouched(std::iter::once(change).chain(singles)));
                    return (settled, Some(problem));
                }
            }
        }
        (settled, None)
    }

    fn settle(&self, change: Change, verdict: Verdict) -> (Change, Settled) {
        let settled = settle_change(&mut self.instance.state(), &change, verdict, self.callback.fingerprint(), Utc::now());
        (change, settled)
    }

    async fn post(&self, events: &[&Event]) -> Result<Verdict, Problem> {
        let plan = &self.instance.plan;
        let resource = events.first().map_or("", |event| &*event.resource);
        self.post_once_or_twice(events).instrument(span::delivery(&plan.instance, resource)).await
    }

    /// A token that the callback does not accept is renewed, and then it is asked once more.
    async fn post_once_or_twice(&self, events: &[&Event]) -> Result<Verdict, Problem> {
        let uid = self.instance.state().uid.clone();
        let core = self.core;
        let auth = {
            let mut access = self.access.lock().await;
            access.renew_in_time().await?;
            access.auth()
        };
        let posted = self.callback.post(&core.egress, &core.metrics, &self.instance.plan, &uid, &auth, events).await?;
        let auth = {
            let mut access = self.access.lock().await;
            if !posted.is_unauthorized || !access.is_renewable() {
                access.note_accepted();
                return Ok(posted.verdict);
            }
            // Another request may have renewed it already.
            if Arc::ptr_eq(&auth, &access.auth()) {
                let refused =
                    Problem::human(Reason::Unauthorized, "spec.callback.auth: the callback answered 401 Unauthorized");
                if access.renew_refused(refused).await.is_err() {
                    return Ok(posted.verdict);
                }
            }
            access.auth()
        };
        let posted = self.callback.post(&core.egress, &core.metrics, &self.instance.plan, &uid, &auth, events).await?;
        Ok(posted.verdict)
    }

    fn note(&mut self, event: &Noted, settled: Settled) {
        if settled == Settled::Untried {
            return;
        }
        self.sums.dirty = true;
        let outcome = match settled {
            Settled::Accepted => EventOutcome::Accepted,
            Settled::SetAside => EventOutcome::SetAside,
            Settled::Parked => EventOutcome::Parked,
            Settled::Undelivered | Settled::LedgerFull | Settled::Untried => EventOutcome::Failed,
        };
        self.core.metrics.events(event.kind.into(), outcome, 1);
        match settled {
            Settled::Accepted => {
                self.sums.accepted += 1;
                self.uncommitted += 1;
                if let Some(lag) = event.version_date.and_then(|date| (Utc::now() - date).to_std().ok()) {
                    self.core.metrics.event_lag(lag);
                }
                self.uncommitted_since.get_or_insert_with(Instant::now);
            }
            Settled::LedgerFull => {
                self.sums.failed += 1;
                self.sums.ledger_full = true;
            }
            Settled::SetAside | Settled::Parked | Settled::Undelivered => self.sums.failed += 1,
            Settled::Untried => {}
        }
    }
}

fn untouched(changes: impl IntoIterator<Item = Change>) -> Vec<(Change, Settled)> {
    changes.into_iter().map(|change| (change, Settled::Untried)).collect()
}

/// What the metrics count of an event.
struct Noted {
    kind: Kind,
    version_date: Option<DateTime<Utc>>,
}

impl Noted {
    fn of(event: &Event) -> Self {
        Self { kind: event.kind, version_date: event.version_date }
    }
}

impl Dispatched {
    fn close(mut self, rest: impl Iterator<Item = Change>) -> Self {
        self.closed = true;
        for change in rest {
            self.undelivered = self.undelivered.and(change.date);
        }
        self
    }
}
