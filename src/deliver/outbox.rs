//! What is sent when: the changes of one job go to every sink, several at once and never two of one object to the same sink.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::future::join_all;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::batch::{Parts, batches};
use super::delivery_state::SharedState;
use super::health::Admission;
use super::journaled::Tried;
use super::outcome::{DeliveryOutcome, Try, apply_change, apply_retry};
use super::sink::{Delivery, Sink, SinkName};
use super::triage::{Ready, Step, Targets, triage};
use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::detect::event::{Change, Event, Kind};
use crate::detect::window::Undelivered;
use crate::egress::turn_queue::TurnQueue;
use crate::observe::Journal;
use crate::observe::metrics::{CommitOutcome, Metrics};

/// Events that are sent between two looks at the clock and the commit bound.
const CHUNK: usize = 128;
/// A crash may repeat at most this many events: more accepted ones are never uncommitted.
const MAX_UNCOMMITTED: usize = 256;
/// Accepted events are committed at least this often while more are being sent.
const MAX_UNCOMMITTED_TIME: Duration = Duration::from_secs(1);

/// A sink of the instance.
pub struct Outlet<'a> {
    /// The sink, prepared for this job.
    pub sink: Box<dyn Sink + 'a>,
    /// Bounds the requests to it that are under way, for all jobs of the instance.
    pub in_flight: &'a Semaphore,
    /// Held by the request that probes it while it is down, for all jobs of the instance.
    pub probe: &'a Mutex<()>,
    /// Shares out the requests to the sinks of all instances that are under way.
    pub turns: &'a TurnQueue,
}

/// Sends the changes of one job, which is one resource's.
pub struct Outbox<'a, S> {
    state: &'a S,
    instance: &'a InstanceRef,
    resource: &'a str,
    /// Name of the list whose changes are sent: that of the resource, unless it has several.
    list: Arc<str>,
    outlets: Vec<Outlet<'a>>,
    /// The outlets' names, in their order.
    names: Vec<SinkName>,
    /// Why an outlet cannot be asked at all; a person must act. In their order.
    unusable: Vec<Option<Problem>>,
    metrics: &'a Metrics,
    /// Where tries are noted for people who look.
    journal: Option<&'a Journal>,
    /// No request is begun after its end.
    stop: &'a CancellationToken,
    uncommitted: usize,
    uncommitted_since: Option<Instant>,
    /// Sums over the whole job.
    pub sums: Sums,
}

/// What became of the changes of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Events that sinks took.
    pub accepted: u64,
    /// Events that failed this time.
    pub failed: u64,
    /// The retry queue was full when an event should have been deferred.
    pub queue_full: bool,
    /// State changed in a way that must be saved.
    pub dirty: bool,
}

/// What became of one batch of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Changes that were tried now, as opposed to held until their next try.
    pub tried: usize,
    /// What some sink did not take.
    pub undelivered: Undelivered,
    /// Nothing more may be sent in this job.
    pub closed: bool,
}

impl Sent {
    /// Of no changes.
    pub const NONE: Self = Self { tried: 0, undelivered: Undelivered::None, closed: false };

    /// Adds what became of another batch.
    pub fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.undelivered = self.undelivered.with(other.undelivered);
        self.closed |= other.closed;
    }
}

/// What became of some changes, by their index in the batch; and why the sink cannot be asked, if that turned out.
type Results = (Vec<(usize, DeliveryOutcome)>, Option<Problem>);

impl<'a, S: SharedState> Outbox<'a, S> {
    /// An outbox for the changes of a resource of an instance.
    pub fn new(
        state: &'a S,
        instance: &'a InstanceRef,
        resource: &'a str,
        outlets: Vec<Outlet<'a>>,
        metrics: &'a Metrics,
        stop: &'a CancellationToken,
    ) -> Self {
        let names: Vec<_> = outlets.iter().map(|outlet| outlet.sink.name().clone()).collect();
        Self {
            state,
            instance,
            resource,
            list: resource.into(),
            unusable: vec![None; names.len()],
            names,
            outlets,
            metrics,
            journal: None,
            stop,
            uncommitted: 0,
            uncommitted_since: None,
            sums: Sums::default(),
        }
    }

    /// Notes each try in a journal.
    #[must_use]
    pub fn with_journal(self, journal: &'a Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Why a sink cannot be asked at all; a person must act.
    pub fn refusal(&self) -> Option<&Problem> {
        self.unusable.iter().flatten().next()
    }

    /// Sends changes of distinct objects.
    ///
    /// # Errors
    /// State that cannot be saved: then nothing more may be sent, or a crash would repeat more than the bound. No sink that could
    /// be asked at all.
    pub async fn send_changes(&mut self, changes: Vec<Change>) -> Result<Sent, Problem> {
        let mut sent = Sent::NONE;
        let mut waiting = VecDeque::from(changes);
        while !waiting.is_empty() {
            self.commit_within_bounds().await?;
            let size = (CHUNK / self.outlets.len().max(1)).clamp(1, waiting.len());
            let chunk: Vec<_> = waiting.drain(..size).collect();
            let mut step = self.triage(&chunk);
            self.sums.dirty |= step.superseded;
            self.sums.queue_full |= step.queue_full;
            if step.is_open {
                sent.tried += step.tried();
                self.send(&chunk, &mut step).await;
            } else {
                sent.closed = true;
                waiting.drain(..).for_each(|change| sent.undelivered = sent.undelivered.and(change.date));
            }
            for (index, change) in chunk.into_iter().enumerate().rev() {
                match (step.lacking[index], step.after_probe[index] && step.is_open) {
                    (0, _) => {}
                    (_, true) => waiting.push_front(change),
                    (_, false) => sent.undelivered = sent.undelivered.and(change.date),
                }
            }
            self.check_usable()?;
        }
        Ok(sent)
    }

    /// Sends the queued events of the resource whose next try has come.
    ///
    /// # Errors
    /// As [`Self::send_changes`].
    pub async fn send_due(&mut self) -> Result<(), Problem> {
        for index in 0..self.outlets.len() {
            let due =
                self.state.step(self.resource, |state| state.sinks.queue(&self.names[index]).due(self.resource, Utc::now()));
            for queued in due {
                self.commit_within_bounds().await?;
                let Some(_pass) = self.pass(index).await else { break };
                let noted = Noted::of(&queued.event);
                let begun = Instant::now();
                let delivery = self.outlets[index].sink.send(&[&queued.event]).await;
                let took = begun.elapsed();
                let tried = Tried::of(&queued.event, queued.attempts);
                let outcome =
                    self.state.step(self.resource, |state| apply_retry(state, queued, &delivery, &self.attempt(index)));
                self.journal(index, [(tried, outcome)], &delivery, took);
                self.note(&noted, outcome);
                if let Delivery::Unusable(problem) = delivery {
                    self.unusable[index] = Some(problem);
                    break;
                }
            }
        }
        self.check_usable()
    }

    /// Saves what has been taken so far.
    ///
    /// # Errors
    /// The store's problem.
    pub async fn commit(&mut self) -> Result<(), Problem> {
        (self.uncommitted, self.uncommitted_since) = (0, None);
        let saved = self.state.commit().await;
        self.metrics.commit(if saved.is_ok() { CommitOutcome::Stored } else { CommitOutcome::Failed });
        saved
    }

    async fn commit_within_bounds(&mut self) -> Result<(), Problem> {
        let late = self.uncommitted_since.is_some_and(|since| since.elapsed() >= MAX_UNCOMMITTED_TIME);
        if late || self.uncommitted + CHUNK > MAX_UNCOMMITTED { self.commit().await } else { Ok(()) }
    }

    /// As long as one sink can be asked, the job goes on for its sake.
    fn check_usable(&self) -> Result<(), Problem> {
        match self.refusal() {
            Some(problem) if self.unusable.iter().all(Option::is_some) => Err(problem.clone()),
            _ => Ok(()),
        }
    }

    /// The fingerprint of an outlet's target, if it may be asked.
    fn open(&self, index: usize) -> Option<u64> {
        let may_be_asked = self.unusable[index].is_none() && !self.stop.is_cancelled();
        may_be_asked.then(|| self.outlets[index].sink.target())
    }

    /// Whether something may be sent to an outlet now; `None`: it must not be asked any more.
    fn admission(&self, index: usize) -> Option<Admission> {
        let (target, now) = (self.open(index)?, Utc::now());
        Some(self.state.step(&self.list, |state| state.sinks.health(&self.names[index]).admission(target, now)))
    }

    fn attempt(&self, index: usize) -> Try<'_> {
        let target = self.outlets[index].sink.target();
        Try { sink: &self.names[index], target, all: &self.names, now: Utc::now() }
    }

    fn triage(&self, chunk: &[Change]) -> Step {
        let open: Vec<_> = (0..self.outlets.len()).map(|index| self.open(index)).collect();
        let targets = Targets { names: &self.names, open: &open };
        self.state.step(&self.list, |state| triage(state, chunk, targets, Utc::now()))
    }

    /// Sends what a step says, to all sinks side by side, and counts off what they took.
    async fn send(&mut self, chunk: &[Change], step: &mut Step) {
        let sends = std::mem::take(&mut step.sends);
        let sending = sends.iter().enumerate().map(|(index, ready)| self.send_to(index, chunk, ready));
        let results = join_all(sending).await;
        for (index, (outcomes, problem)) in results.into_iter().enumerate() {
            for (change, outcome) in outcomes {
                self.note(&Noted::of(&chunk[change].event), outcome);
                step.lacking[change] -= usize::from(outcome.is_taken());
            }
            if problem.is_some() {
                self.unusable[index] = problem;
            }
        }
    }

    async fn send_to(&self, index: usize, chunk: &[Change], ready: &[Ready]) -> Results {
        let sink = &*self.outlets[index].sink;
        let requests = batches(ready, sink.batch_limit(), |change| sink.size(&chunk[change].event));
        let sending = futures::stream::iter(requests).map(|batch| self.send_batch(index, chunk, batch));
        let sent: Vec<Results> = sending.buffer_unordered(sink.max_in_flight().max(1)).collect().await;
        let mut results: Results = (Vec::with_capacity(ready.len()), None);
        for (outcomes, problem) in sent {
            results.0.extend(outcomes);
            results.1 = results.1.or(problem);
        }
        results
    }

    /// Sends one request, and its parts when it is refused. With a problem, what a part carried is untouched: no try is counted.
    async fn send_batch(&self, index: usize, chunk: &[Change], batch: Vec<usize>) -> Results {
        let Some(pass) = self.pass(index).await else { return (untried(batch), None) };
        let mut results: Results = (Vec::with_capacity(batch.len()), None);
        let mut parts = Parts::of(batch);
        while let Some(part) = parts.take_next() {
            if results.1.is_some() || !self.admits(index, &pass) {
                results.0.extend(untried(part));
                continue;
            }
            let events: Vec<_> = part.iter().map(|change| &chunk[*change].event).collect();
            let begun = Instant::now();
            let delivery = self.outlets[index].sink.send(&events).await;
            let took = begun.elapsed();
            if matches!(delivery, Delivery::Refused { .. }) && part.len() > 1 {
                // One of them is refused: find out which, so that it does not take the others with it.
                parts.split(part);
                continue;
            }
            let (outcomes, problem) = self.apply(index, chunk, part, (delivery, took));
            results.0.extend(outcomes);
            results.1 = problem;
        }
        results
    }

    /// Applies what became of one request, and notes how long it took.
    fn apply(&self, index: usize, chunk: &[Change], batch: Vec<usize>, (delivery, took): (Delivery, Duration)) -> Results {
        if let Delivery::Unusable(problem) = delivery {
            return (untried(batch), Some(problem));
        }
        let attempt = self.attempt(index);
        let tried: Vec<_> = self.state.step(&self.list, |state| {
            let apply = |change: usize| {
                let before = state.failing_at(attempt.sink, chunk[change].object).map_or(0, |failing| failing.attempts);
                (change, before, apply_change(state, &chunk[change], &delivery, &attempt))
            };
            batch.into_iter().map(apply).collect()
        });
        let events = tried.iter().map(|(change, before, outcome)| (Tried::of(&chunk[*change].event, *before), *outcome));
        self.journal(index, events, &delivery, took);
        (tried.into_iter().map(|(change, _, outcome)| (change, outcome)).collect(), None)
    }

    /// Notes tries for people who look.
    fn journal(
        &self,
        index: usize,
        tried: impl IntoIterator<Item = (Tried, DeliveryOutcome)>,
        delivery: &Delivery,
        took: Duration,
    ) {
        let Some(journal) = self.journal else { return };
        let name = &self.names[index];
        let entries = tried.into_iter().filter_map(|(tried, outcome)| tried.entry(name, delivery, outcome, took));
        journal.delivered(self.instance, Utc::now(), entries);
    }

    fn note(&mut self, event: &Noted, outcome: DeliveryOutcome) {
        let Some(counted) = outcome.counted() else { return };
        self.metrics.attempts(event.kind.into(), counted, 1);
        self.sums.dirty = true;
        self.sums.queue_full |= outcome == DeliveryOutcome::QueueFull;
        if outcome != DeliveryOutcome::Accepted {
            self.sums.failed += 1;
            return;
        }
        self.sums.accepted += 1;
        self.uncommitted += 1;
        self.uncommitted_since.get_or_insert_with(Instant::now);
        if let Some(lag) = event.version_date.and_then(|date| (Utc::now() - date).to_std().ok()) {
            self.metrics.event_lag(lag);
        }
    }
}

fn untried(changes: impl IntoIterator<Item = usize>) -> Vec<(usize, DeliveryOutcome)> {
    changes.into_iter().map(|change| (change, DeliveryOutcome::Untried)).collect()
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

mod pass;
mod ready;
#[cfg(test)]
mod tests;
