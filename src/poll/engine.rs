//! Owns the running instances: starts a job when it is due, records how it ended, and says what changed.

mod adopted;
mod clock;
#[cfg(test)]
mod tests;
mod wishes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::callback_log::CallbackLog;
use super::command::{Command, Refusal};
use super::context::EngineContext;
use super::due::{Due, DueQueue, sleep_until};
use super::entry::{Done, InstanceEntry, Kind, Next, Pending, Refused, ResourceSchedule, Running};
use super::instance::{self, Instance};
use super::job;
use super::memory::Memory;
use super::report::Job;
use super::reported::Reported;
use super::schedule::{self, Rhythm};
use super::start::{self, Before, Starts};
use super::status::{InstanceStatus, Kept};
use super::wall_clock::WallClock;
use crate::api::identity::InstanceRef;
use crate::deliver::sink::CALLBACK;
use crate::egress::turns::Ticket;
use crate::moment;
use crate::observe::{pulse, span};
use crate::plan::ResourcePlan;
use crate::state::InstanceState;
use crate::state::adopt::{adopt, forget_cursor};

/// Jobs under way at once; more wait until one ends. Most of them only wait, for a permit of their host or for a slow callback:
/// [`crate::egress::turns`] says how many of them are left to others.
const MAX_JOBS: usize = 4_096;
/// How long an instance waits whose state could not be read.
const RELOAD_STATE: chrono::Duration = chrono::Duration::seconds(10);

/// How long the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Until it is stopped.
    Forever,
    /// Until every resource of the instances put so far was polled once.
    Once,
}

/// Why the loop of the engine goes on.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Woken {
    /// Commands came; `None`: no more will.
    Commands(Option<Vec<Command>>),
    /// A job ended.
    Ended(Result<Done, JoinError>),
    /// Something may be due.
    Due,
}

/// The scheduler of all instances of this process.
pub struct Engine {
    core: Arc<EngineContext>,
    run: Run,
    instances: HashMap<InstanceRef, InstanceEntry>,
    due: DueQueue,
    jobs: JoinSet<Done>,
    reports: mpsc::UnboundedSender<InstanceStatus>,
    next_epoch: u64,
    starts: Starts,
    clock: WallClock,
}

impl Engine {
    /// An engine without instances. Statuses that changed go to `reports`.
    pub fn new(core: EngineContext, run: Run, reports: mpsc::UnboundedSender<InstanceStatus>) -> Self {
        Self {
            core: Arc::new(core),
            run,
            instances: HashMap::new(),
            due: DueQueue::new(MAX_JOBS, rand::random()),
            jobs: JoinSet::new(),
            reports,
            next_epoch: 0,
            starts: Starts::default(),
            clock: WallClock::new(Utc::now(), moment::now()),
        }
    }

    /// Runs until `shutdown`, then lets the requests under way end within `grace`.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Vec<Command>>, shutdown: CancellationToken, grace: Duration) {
        let mut open = true;
        loop {
            self.core.metrics.pulse().beat(std::time::Instant::now());
            self.start_due_jobs(Utc::now());
            let is_done = || !open && self.jobs.is_empty() && self.instances.values().all(InstanceEntry::was_polled);
            if self.run == Run::Once && is_done() {
                return;
            }
            let next = self.due.next_at();
            let woken = tokio::select! {
                () = shutdown.cancelled() => break,
                batch = commands.recv(), if open => Woken::Commands(batch),
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => Woken::Ended(done),
                () = sleep_until(next), if next.is_some() => Woken::Due,
                () = tokio::time::sleep(pulse::BEAT) => Woken::Due,
            };
            // Before anything is planned from this time on: a time of the new clock must not be moved with those of the old one.
            let now = Utc::now();
            self.follow_clock(now, moment::now());
            match woken {
                Woken::Commands(Some(batch)) => self.apply_commands(batch, now),
                Woken::Commands(None) => open = false,
                Woken::Ended(done) => {
                    let mut ended = Some(done);
                    while let Some(done) = ended {
                        self.on_job_finished(done, now);
                        ended = self.jobs.try_join_next();
                    }
                }
                Woken::Due => {}
            }
        }
        self.core.metrics.pulse().rest();
        self.stop(grace).await;
    }

    async fn stop(mut self, grace: Duration) {
        for entry in self.instances.values() {
            if let Kind::Running(running) = &entry.kind {
                running.instance.stop.cancel();
            }
        }
        let ended = tokio::time::timeout(grace, async {
            while let Some(done) = self.jobs.join_next().await {
                self.on_job_finished(done, Utc::now());
            }
        })
        .await;
        if ended.is_err() {
            tracing::warn!(
                jobs = self.jobs.len(),
                "the grace period is over: requests under way are aborted and will be repeated"
            );
        }
        self.jobs.shutdown().await;
        // An aborted job could not save what had been accepted before.
        let unsaved = self.instances.values().filter_map(|entry| match &entry.kind {
            Kind::Running(running) if running.jobs > 0 || running.instance.is_unsaved() => Some(Arc::clone(&running.instance)),
            _ => None,
        });
        let saved = instance::save_all(unsaved.collect(), &self.core.metrics);
        // Credentials that came are kept by no one else.
        let kept = async { tokio::join!(saved, self.core.credentials.finish()) };
        if tokio::time::timeout(grace, kept).await.is_err() {
            tracing::error!("the grace period ended before everything was saved: what was not saved will be repeated");
        }
    }

    fn apply_commands(&mut self, batch: Vec<Command>, now: DateTime<Utc>) {
        for command in batch {
            match command {
                Command::Put { plan, annotations, claim } => {
                    let instance = plan.instance.clone();
                    self.change(&instance, Next::Replace(Pending { plan, annotations, claim, resets: Vec::new() }), now);
                }
                Command::Refuse { instance, refusal } => self.change(&instance, Next::Refuse(refusal), now),
                Command::Remove(instance) => self.change(&instance, Next::Remove, now),
                Command::RetryFailed => self.retry_failed(now),
                Command::Wake(instance, remedy) => self.wake(&instance, remedy, now),
                Command::Report(instance) => self.report_again(&instance, now),
                Command::Restore(instance) => self.restore(&instance, now),
                Command::Ask { instance, wish, answer } => {
                    // Who asked may not wait for it.
                    let _ = answer.send(self.ask(&instance, &wish, now));
                }
                // Nor may who looks.
                Command::Look { instances, answer } => drop(answer.send(self.look(&instances, now))),
            }
        }
    }

    /// Makes the change now, or as soon as the jobs of the old plan have ended: no event of the old plan goes to the new callback.
    fn change(&mut self, key: &InstanceRef, next: Next, now: DateTime<Utc>) {
        if let Some(InstanceEntry { kind: Kind::Running(running), .. }) = self.instances.get_mut(key) {
            running.instance.stop.cancel();
            if running.jobs > 0 {
                running.next = Some(next.instead_of(running.next.take()));
                return;
            }
        }
        match next {
            Next::Replace(pending) => self.put(key, pending, now),
            Next::Refuse(refusal) => self.refuse(key, refusal, None),
            Next::Remove => self.remove(key),
        }
    }

    fn put(&mut self, key: &InstanceRef, pending: Pending, now: DateTime<Utc>) {
        let plan = Arc::clone(&pending.plan);
        let (mut state, is_minted) = match self.instances.get(key).map(|entry| &entry.kind) {
            Some(Kind::Running(old)) => (old.instance.state().clone(), false),
            Some(Kind::Refused(_)) | None => match self.core.store.load(&plan.instance) {
                Ok(Some(state)) => (state, false),
                Ok(None) => (InstanceState::new(uuid::Uuid::new_v4().to_string()), true),
                Err(problem) => {
                    let refusal = Refusal { generation: plan.generation, problem, kept: Kept::default() };
                    return self.refuse(key, refusal, Some(pending));
                }
            },
        };
        let (old, reported) = match self.instances.remove(key) {
            Some(InstanceEntry { kind: Kind::Running(old), reported, .. }) => (Some(old.instance), reported),
            Some(InstanceEntry { reported, .. }) => (None, reported),
            None => (None, Reported::default()),
        };
        if old.as_ref().is_some_and(|old| old.plan.callback.fingerprint() != plan.callback.fingerprint()) {
            state.retry_deliveries_to(&CALLBACK, now);
        }
        let mut adopted = adopt(&mut state, &plan, &pending.annotations, now);
        pending.resets.iter().for_each(|name| forget_cursor(&mut state, name, "asked for by a person", &mut adopted));
        adopted::announce(&self.core, &plan.instance, &adopted);
        // The first job saves it before anything else: a uid that was made here and is not kept would make other event ids after a
        // restart. Saved here, thousands of new instances would wait for one disk write after the other.
        let unsaved = is_minted || adopted.changed || old.as_ref().is_some_and(|old| old.is_unsaved());
        let instance = Arc::new(Instance::new(Arc::clone(&plan), state, unsaved, &self.core, pending.claim, old.is_some()));
        let auths = plan.resources.iter().map(|resource| &*resource.auth).chain([&*plan.callback.auth]);
        self.core.credentials.join(&plan.instance, auths);
        let immediately = adopted.poll_now || old.is_some() || self.run == Run::Once;
        let schedule = |(index, resource): (usize, &Arc<ResourcePlan>)| {
            let seed = schedule::seed(&instance.state().uid, &resource.name);
            let before = Before::of(&instance.state(), &resource.name);
            let mut first = || self.starts.first_poll(Rhythm::new(seed, resource.interval), before, now);
            let ahead = start::ahead(&instance.state(), &resource.name);
            let tick = (!plan.suspended).then(|| if immediately { now - ahead } else { first() });
            // A suspended one is not polled, and yet what was asked for by annotation is acted on and reported.
            let save = (plan.suspended && unsaved && index == 0).then_some((now, Job::Save));
            // Soon: no process may have run it for that long. When the credentials were used last is stored with them.
            let keep_alive = schedule::keep_alive(&plan, resource)
                .map(|every| (self.starts.first_poll(Rhythm::new(seed, every), Before::Polled(None), now), Job::KeepAlive));
            // Each job saves first.
            let wake = keep_alive.or(save);
            ResourceSchedule::new(Arc::clone(resource), seed, tick, wake, &self.core.metrics, now)
        };
        let schedules: Vec<_> = plan.resources.iter().enumerate().map(schedule).collect();
        let epoch = self.next_epoch();
        let running = Box::new(Running { instance, schedules, jobs: 0, next: None, callback_log: CallbackLog::default() });
        self.instances.insert(key.clone(), InstanceEntry { epoch, kind: Kind::Running(running), reported });
        for schedule in 0..plan.resources.len() {
            self.enqueue(key, schedule, now);
        }
        self.report(key, now);
    }

    fn refuse(&mut self, key: &InstanceRef, refusal: Refusal, reload: Option<Pending>) {
        let (epoch, now) = (self.next_epoch(), Utc::now());
        if reload.is_some() && self.run == Run::Forever {
            self.due.push(Due { at: now + RELOAD_STATE, key: key.clone(), schedule: 0, epoch }, now);
        }
        let before = self.instances.get_mut(key).map(|entry| &mut entry.kind);
        let kind = Kind::Refused(Box::new(Refused::new(before, refusal, reload, &self.core.metrics, now)));
        let reported = self.instances.get(key).map(|entry| entry.reported).unwrap_or_default();
        if let Some(InstanceEntry { kind: Kind::Running(_), .. }) =
            self.instances.insert(key.clone(), InstanceEntry { epoch, kind, reported })
        {
            self.release(key);
        }
        self.report(key, now);
    }

    fn remove(&mut self, key: &InstanceRef) {
        if let Some(mut entry) = self.instances.remove(key) {
            entry.reported.replace(Reported::default(), &self.core.metrics);
            if matches!(entry.kind, Kind::Running(_)) {
                self.release(key);
            }
        }
        self.core.store.removed(key);
        self.core.journal.forget(key);
    }

    fn release(&self, key: &InstanceRef) {
        self.core.store.release(key);
        self.core.credentials.release(key);
    }

    fn next_epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    fn enqueue(&mut self, key: &InstanceRef, schedule: usize, now: DateTime<Utc>) {
        let Some(InstanceEntry { epoch, kind: Kind::Running(running), .. }) = self.instances.get(key) else { return };
        if let Some((at, _)) = running.schedules[schedule].due() {
            self.due.push(Due { at, key: key.clone(), schedule, epoch: *epoch }, now);
        }
    }

    fn start_due_jobs(&mut self, now: DateTime<Utc>) {
        while let Some(due) = self.due.pop(now) {
            self.await_turn(due, now);
        }
        while let Some((ticket, due)) = self.due.next() {
            if !self.start(due, ticket) {
                self.due.leave(ticket);
            }
        }
    }

    fn await_turn(&mut self, due: Due, now: DateTime<Utc>) {
        let Some(entry) = self.instances.get_mut(&due.key).filter(|entry| entry.epoch == due.epoch) else { return };
        match &mut entry.kind {
            Kind::Running(running) => {
                if let Some(standing) = running.standing(&due) {
                    self.due.wait(due, standing);
                }
            }
            Kind::Refused(refused) => {
                if let Some(pending) = refused.reload.take() {
                    self.put(&due.key, pending, now);
                }
            }
        }
    }

    /// Begins a job. Answers whether there was still one to begin.
    fn start(&mut self, due: Due, ticket: Ticket) -> bool {
        let Some(entry) = self.instances.get_mut(&due.key).filter(|entry| entry.epoch == due.epoch) else { return false };
        let Kind::Running(running) = &mut entry.kind else { return false };
        let Some(job) = running.begin(&due) else { return false };
        let schedule = &mut running.schedules[due.schedule];
        let (core, instance, resource) = (Arc::clone(&self.core), Arc::clone(&running.instance), Arc::clone(&schedule.plan));
        let mut memory = schedule.memory.take().map_or_else(Memory::default, |boxed| *boxed);
        let span = span::poll(&instance.plan.instance, &resource.name);
        let work = async move {
            let report = job::run(&core, &instance, &resource, (job, due.at), &mut memory).await;
            Done { ticket, key: due.key, schedule: due.schedule, epoch: due.epoch, report, memory }
        };
        self.jobs.spawn(work.instrument(span));
        true
    }

    fn on_job_finished(&mut self, done: Result<Done, JoinError>, now: DateTime<Utc>) {
        // A job catches its own panic, so only an aborted one has no result; its requests are repeated after the restart.
        let Ok(Done { ticket, key, schedule: index, epoch, report, memory }) = done else { return };
        self.due.leave(ticket);
        let Some(entry) = self.instances.get_mut(&key).filter(|entry| entry.epoch == epoch) else { return };
        let Kind::Running(running) = &mut entry.kind else { return };
        running.jobs -= 1;
        let schedule = &mut running.schedules[index];
        schedule.memory = memory.boxed();
        let changed = schedule.finish(&report, &running.instance, now);
        running.callback_log.note(&running.instance, &schedule.plan, &report, now);
        if self.run == Run::Once {
            (schedule.tick, schedule.wake) = (None, None);
        }
        if changed {
            self.report(&key, now);
        }
        let Some(InstanceEntry { kind: Kind::Running(running), .. }) = self.instances.get_mut(&key) else { return };
        if running.jobs == 0
            && let Some(next) = running.next.take()
        {
            self.change(&key, next, now);
        } else {
            self.enqueue(&key, index, now);
        }
    }

    fn report(&mut self, key: &InstanceRef, now: DateTime<Utc>) {
        let Some(entry) = self.instances.get_mut(key) else { return };
        let (status, suspended) = wishes::current(&self.core, key, &entry.kind, now);
        if entry.reported.replace(Reported::of(&status, suspended), &self.core.metrics) {
            // There is no reader any more: the process is about to end.
            let _ = self.reports.send(status);
        }
    }
}
