//! Owns the running instances: starts a job when it is due, takes in how it ended, and says what changed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::claim::Claim;
use super::context::EngineContext;
use super::cycle;
use super::instance::Instance;
use super::report::{Facts, Job, Outcome, Report};
use super::schedule;
use super::status::{self, Health, InstanceStatus};
use crate::api::conditions::{ConditionStatus, Problem, Reaction, Reason};
use crate::api::identity::InstanceRef;
use crate::deliver::schedule::Cause;
use crate::fetch::listing::Validators;
use crate::observe::metrics::{self, Metrics, PollOutcome};
use crate::observe::{pulse, span};
use crate::plan::{PollPlan, ResourcePlan};
use crate::state::InstanceState;
use crate::state::adopt::adopt;

/// Jobs under way at once; more wait until one ends. Most of them only wait, for a permit of their host or for a slow callback:
/// so many that these cannot keep the others from being polled.
const MAX_JOBS: usize = 4_096;
/// A wish to run at once is granted after this: a deadline that has passed must not make a loop.
const SHORTEST_WAKE: chrono::Duration = chrono::Duration::seconds(1);
/// A difference between wall clock and monotonic clock from here on is a step, not drift.
const CLOCK_STEP: chrono::Duration = chrono::Duration::seconds(5);
/// States saved at once when the process ends.
const MAX_SAVES: usize = 16;
/// How long an instance waits whose state could not be read.
const RELOAD_STATE: chrono::Duration = chrono::Duration::seconds(10);
/// How long a suspended instance waits whose state could not be stored.
const SAVE_AGAIN: chrono::Duration = chrono::Duration::seconds(10);

/// A change of what is declared.
#[derive(Clone, Debug)]
pub enum Command {
    /// An instance is new or changed.
    Put {
        /// What to do.
        plan: Arc<PollPlan>,
        /// Requests by annotation.
        annotations: BTreeMap<String, String>,
        /// Ends when the instance is not this process's any more: what is under way is broken off.
        claim: Claim,
    },
    /// An instance is declared but cannot be planned.
    Refuse {
        /// Which one.
        instance: InstanceRef,
        /// Generation of the manifest, if an API server counts them.
        generation: Option<i64>,
        /// Why.
        problem: Problem,
    },
    /// An instance is no longer declared. Its state stays where it is kept.
    Remove(InstanceRef),
    /// Secrets changed: what failed is tried at once.
    RetryFailed,
    /// A person may have given consent for an instance: if that is what it waits for, it is tried at once.
    Consented(InstanceRef),
}

/// How long the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Until it is told to stop.
    Forever,
    /// Until every resource of the instances put so far was polled once.
    Once,
}

/// The scheduler of all instances of this process.
pub struct Engine {
    core: Arc<EngineContext>,
    run: Run,
    instances: HashMap<InstanceRef, InstanceEntry>,
    due: BinaryHeap<Reverse<Due>>,
    jobs: JoinSet<Done>,
    reports: mpsc::UnboundedSender<InstanceStatus>,
    next_epoch: u64,
    /// The two clocks, read together.
    clocks: (DateTime<Utc>, std::time::Instant),
}

struct InstanceEntry {
    epoch: u64,
    kind: Kind,
    reported: Reported,
}

/// What was last told of an instance.
#[derive(Clone, Copy, Default)]
struct Reported {
    /// Hash of the status.
    status: u64,
    state: Option<metrics::InstanceState>,
    parked: i64,
    set_aside: i64,
}

enum Kind {
    Running(Box<Running>),
    Refused { generation: Option<i64>, problem: Box<Problem>, reload: Option<Pending> },
}

struct Running {
    instance: Arc<Instance>,
    schedules: Vec<ResourceSchedule>,
    jobs: usize,
    next: Option<Next>,
}

/// What follows once the jobs of an instance have ended.
enum Next {
    Replace(Pending),
    Refuse { generation: Option<i64>, problem: Problem },
    Remove,
}

#[derive(Clone)]
struct Pending {
    plan: Arc<PollPlan>,
    annotations: BTreeMap<String, String>,
    claim: Claim,
}

/// One resource of a running instance.
struct ResourceSchedule {
    plan: Arc<ResourcePlan>,
    health: Health,
    validators: Option<Box<Validators>>,
    /// The next poll in rhythm; `None` once nothing more is to be asked.
    tick: Option<DateTime<Utc>>,
    /// An earlier wish.
    wake: Option<(DateTime<Utc>, Job)>,
    running: bool,
    /// A consent may have come while it was running.
    consented: bool,
}

impl ResourceSchedule {
    fn due(&self) -> Option<(DateTime<Utc>, Job)> {
        let tick = self.tick.map(|at| (at, Job::Poll));
        [tick, self.wake].into_iter().flatten().min()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: DateTime<Utc>,
    key: InstanceRef,
    schedule: usize,
    epoch: u64,
}

struct Done {
    key: InstanceRef,
    schedule: usize,
    epoch: u64,
    report: Report,
    validators: Option<Validators>,
}

impl Engine {
    /// An engine without instances. Statuses that changed go to `reports`.
    pub fn new(core: EngineContext, run: Run, reports: mpsc::UnboundedSender<InstanceStatus>) -> Self {
        Self {
            core: Arc::new(core),
            run,
            instances: HashMap::new(),
            due: BinaryHeap::new(),
            jobs: JoinSet::new(),
            reports,
            next_epoch: 0,
            clocks: (Utc::now(), std::time::Instant::now()),
        }
    }

    /// Runs until `shutdown`, then lets the requests under way end within `grace`.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Vec<Command>>, shutdown: CancellationToken, grace: Duration) {
        let mut open = true;
        loop {
            self.core.metrics.pulse().beat(std::time::Instant::now());
            self.follow_clock(Utc::now());
            self.start_due_jobs(Utc::now());
            if self.run == Run::Once && !open && self.jobs.is_empty() && self.nothing_waits() {
                return;
            }
            let next = self.due.peek().map(|Reverse(due)| due.at);
            let full = self.jobs.len() >= MAX_JOBS;
            tokio::select! {
                () = shutdown.cancelled() => break,
                batch = commands.recv(), if open => match batch {
                    Some(batch) => self.apply_commands(batch, Utc::now()),
                    None => open = false,
                },
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => self.on_job_finished(done, Utc::now()),
                () = sleep_until(next), if next.is_some() && !full => {}
                () = tokio::time::sleep(pulse::BEAT) => {}
            }
        }
        self.core.metrics.pulse().rest();
        self.stop(grace).await;
    }

    fn nothing_waits(&self) -> bool {
        self.instances.values().all(|entry| match &entry.kind {
            Kind::Running(running) => {
                running.next.is_none()
                    && (running.instance.plan.suspended || running.schedules.iter().all(|schedule| schedule.health.polled))
            }
            Kind::Refused { .. } => true,
        })
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
        let unsaved: Vec<_> = unsaved.collect();
        let saved = futures::stream::iter(unsaved).for_each_concurrent(MAX_SAVES, |instance| async move {
            if let Err(problem) = instance.commit().await {
                let plan = &instance.plan;
                span::reconcile(&plan.instance).in_scope(|| tracing::error!("{}", problem.message));
            }
        });
        // Tokens that came are kept by nobody else.
        let kept = async { tokio::join!(saved, self.core.credentials.finish()) };
        if tokio::time::timeout(grace, kept).await.is_err() {
            tracing::error!("the grace period is over before everything was saved: what is not will be repeated");
        }
    }

    fn apply_commands(&mut self, batch: Vec<Command>, now: DateTime<Utc>) {
        let puts = batch.iter().map(|c| if let Command::Put { plan, .. } = c { plan.resources.len() } else { 0 }).sum();
        for command in batch {
            match command {
                Command::Put { plan, annotations, claim } => {
                    let instance = plan.instance.clone();
                    self.change(&instance, Next::Replace(Pending { plan, annotations, claim }), puts, now);
                }
                Command::Refuse { instance, generation, problem } => {
                    self.change(&instance, Next::Refuse { generation, problem }, puts, now);
                }
                Command::Remove(instance) => self.change(&instance, Next::Remove, puts, now),
                Command::RetryFailed => self.retry_failed(now),
                Command::Consented(instance) => self.retry_consented(&instance, now),
            }
        }
    }

    /// Makes the change now, or as soon as the jobs of the old plan have ended: no event of the old plan goes to the new callback.
    fn change(&mut self, key: &InstanceRef, next: Next, starting: usize, now: DateTime<Utc>) {
        if let Some(InstanceEntry { kind: Kind::Running(running), .. }) = self.instances.get_mut(key) {
            running.instance.stop.cancel();
            if running.jobs > 0 {
                running.next = Some(next);
                return;
            }
        }
        match next {
            Next::Replace(pending) => self.put(key, pending, starting, now),
            Next::Refuse { generation, problem } => self.refuse(key, generation, problem, None),
            Next::Remove => self.remove(key),
        }
    }

    fn put(&mut self, key: &InstanceRef, pending: Pending, starting: usize, now: DateTime<Utc>) {
        let plan = Arc::clone(&pending.plan);
        let (old, reported) = match self.instances.remove(key) {
            Some(InstanceEntry { kind: Kind::Running(old), reported, .. }) => (Some(old.instance), reported),
            Some(InstanceEntry { reported, .. }) => (None, reported),
            None => (None, Reported::default()),
        };
        let mut state = match &old {
            Some(old) => old.state().clone(),
            None => match self.core.store.load(&plan.instance) {
                Ok(Some(state)) => state,
                Ok(None) => InstanceState::new(uuid::Uuid::new_v4().to_string()),
                Err(problem) => return self.refuse(key, plan.generation, problem, Some(pending)),
            },
        };
        if old.as_ref().is_some_and(|old| old.plan.callback.fingerprint() != plan.callback.fingerprint()) {
            state.callback.forget();
        }
        let adopted = adopt(&mut state, &plan, &pending.annotations, now);
        for (resource, reason) in &adopted.resets {
            span::poll(&plan.instance, resource)
                .in_scope(|| tracing::warn!(reason, "cursor reset: spec.polling.startFrom decides what is sent"));
        }
        // The first job saves it before anything else: a uid that is not kept would make other event ids after a restart. Saved
        // here, thousands of new instances would wait for one disk write after the other.
        let unsaved = adopted.changed || old.as_ref().is_some_and(|old| old.is_unsaved());
        let uid = state.uid.clone();
        let store = Arc::clone(&self.core.store);
        let instance = Arc::new(Instance::new(Arc::clone(&plan), state, unsaved, store, pending.claim));
        // Nobody polls a suspended one, and yet what was asked for by annotation is acted on, and told.
        let save = plan.suspended && unsaved;
        let auths = plan.resources.iter().map(|resource| &*resource.auth).chain([&*plan.callback.auth]);
        self.core.credentials.join(&plan.instance, auths);
        let schedule = |(index, resource): (usize, &Arc<ResourcePlan>)| {
            let immediately = adopted.poll_now || old.is_some() || self.run == Run::Once;
            let delay = if immediately {
                Duration::ZERO
            } else {
                schedule::first_delay(&uid, &resource.name, resource.interval, starting)
            };
            ResourceSchedule {
                plan: Arc::clone(resource),
                health: Health::default(),
                validators: None,
                tick: (!plan.suspended).then(|| now + chrono::Duration::from_std(delay).unwrap_or_default()),
                wake: if save && index == 0 { Some((now, Job::Save)) } else { schedule::keep_alive(&plan, resource, now) },
                running: false,
                consented: false,
            }
        };
        let schedules: Vec<_> = plan.resources.iter().enumerate().map(schedule).collect();
        let epoch = self.next_epoch();
        let running = Box::new(Running { instance, schedules, jobs: 0, next: None });
        self.instances.insert(key.clone(), InstanceEntry { epoch, kind: Kind::Running(running), reported });
        for schedule in 0..plan.resources.len() {
            self.enqueue(key, schedule);
        }
        self.report(key, now);
    }

    fn refuse(&mut self, key: &InstanceRef, generation: Option<i64>, problem: Problem, reload: Option<Pending>) {
        let (epoch, problem) = (self.next_epoch(), Box::new(problem));
        if reload.is_some() && self.run == Run::Forever {
            self.due.push(Reverse(Due { at: Utc::now() + RELOAD_STATE, key: key.clone(), schedule: 0, epoch }));
        }
        let kind = Kind::Refused { generation, problem, reload };
        let reported = self.instances.get(key).map(|entry| entry.reported).unwrap_or_default();
        if let Some(InstanceEntry { kind: Kind::Running(_), .. }) =
            self.instances.insert(key.clone(), InstanceEntry { epoch, kind, reported })
        {
            self.release(key);
        }
        self.report(key, Utc::now());
    }

    fn remove(&mut self, key: &InstanceRef) {
        if let Some(entry) = self.instances.remove(key) {
            recount(&self.core.metrics, entry.reported, Reported::default());
            if matches!(entry.kind, Kind::Running(_)) {
                self.release(key);
            }
        }
    }

    fn release(&self, key: &InstanceRef) {
        self.core.store.release(key);
        self.core.credentials.release(key);
    }

    fn retry_failed(&mut self, now: DateTime<Utc>) {
        let mut woken = Vec::new();
        for (key, entry) in &mut self.instances {
            let Kind::Running(running) = &mut entry.kind else { continue };
            let mut state = running.instance.state();
            let refused = state.callback.cause == Some(Cause::Unauthorized);
            if refused {
                // New Secrets may be what a callback that answered 401 was waiting for.
                state.callback.forget();
            }
            drop(state);
            for (index, schedule) in running.schedules.iter_mut().enumerate() {
                if (refused || schedule.health.failures > 0) && schedule.tick.is_some() {
                    schedule.tick = Some(now);
                    woken.push((key.clone(), index));
                }
            }
        }
        for (key, schedule) in woken {
            self.enqueue(&key, schedule);
        }
    }

    fn retry_consented(&mut self, key: &InstanceRef, now: DateTime<Utc>) {
        let Some(InstanceEntry { kind: Kind::Running(running), .. }) = self.instances.get_mut(key) else { return };
        let mut woken = Vec::new();
        for (index, schedule) in running.schedules.iter_mut().enumerate() {
            schedule.consented = schedule.running;
            if schedule.health.waits_for_consent() && schedule.tick.is_some() {
                schedule.tick = Some(now);
                woken.push(index);
            }
        }
        for schedule in woken {
            self.enqueue(key, schedule);
        }
    }

    fn next_epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    fn enqueue(&mut self, key: &InstanceRef, schedule: usize) {
        let Some(InstanceEntry { epoch, kind: Kind::Running(running), .. }) = self.instances.get(key) else { return };
        if let Some((at, _)) = running.schedules[schedule].due() {
            self.due.push(Reverse(Due { at, key: key.clone(), schedule, epoch: *epoch }));
        }
    }

    /// When the wall clock was set, the rhythm of polls moves with it: set back an hour, nothing waits for an hour.
    fn follow_clock(&mut self, now: DateTime<Utc>) {
        let (wall, monotonic) = self.clocks;
        let elapsed = chrono::Duration::from_std(monotonic.elapsed()).unwrap_or_default();
        self.clocks = (now, std::time::Instant::now());
        let step = now - (wall + elapsed);
        if step.abs() < CLOCK_STEP {
            return;
        }
        tracing::warn!(seconds = step.num_seconds(), "the wall clock was set; due times move with it");
        let mut keys = Vec::new();
        for (key, entry) in &mut self.instances {
            let Kind::Running(running) = &mut entry.kind else { continue };
            for (index, schedule) in running.schedules.iter_mut().enumerate() {
                schedule.tick = schedule.tick.map(|tick| tick + step);
                keys.push((key.clone(), index));
            }
        }
        for (key, schedule) in keys {
            self.enqueue(&key, schedule);
        }
    }

    fn start_due_jobs(&mut self, now: DateTime<Utc>) {
        while self.jobs.len() < MAX_JOBS && self.due.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = self.due.pop() else { return };
            self.start(due, now);
        }
    }

    fn start(&mut self, due: Due, now: DateTime<Utc>) {
        let Some(entry) = self.instances.get_mut(&due.key).filter(|entry| entry.epoch == due.epoch) else { return };
        let running = match &mut entry.kind {
            Kind::Running(running) => running,
            Kind::Refused { reload, .. } => {
                if let Some(pending) = reload.take() {
                    self.put(&due.key, pending, 0, now);
                }
                return;
            }
        };
        if running.next.is_some() || running.instance.stop.is_cancelled() {
            return;
        }
        let schedule = &mut running.schedules[due.schedule];
        self.core.metrics.poll_delay((now - due.at).to_std().unwrap_or_default());
        // Entries of the queue that were overtaken by an earlier or later wish are stale.
        let Some((at, job)) = schedule.due().filter(|_| !schedule.running) else { return };
        if at != due.at {
            return;
        }
        schedule.running = true;
        running.jobs += 1;
        let (core, instance, resource) = (Arc::clone(&self.core), Arc::clone(&running.instance), Arc::clone(&schedule.plan));
        let mut validators = schedule.validators.take().map(|boxed| *boxed);
        let span = span::poll(&instance.plan.instance, &resource.name);
        let work = async move {
            let started = std::time::Instant::now();
            let job = async {
                tokio::select! {
                    biased;
                    () = instance.claim.ended() => {
                        Report { outcome: Outcome::Stopped, facts: Facts::default(), wake: None }
                    }
                    report = cycle::run(&core, &instance, &resource, job, &mut validators) => report,
                }
            };
            let job = AssertUnwindSafe(job).catch_unwind().await;
            let report = job.unwrap_or_else(|_| {
                core.metrics.panic();
                Report {
                    outcome: Outcome::Failed(Problem::transient(
                        Reason::InternalError,
                        "the poll ended unexpectedly; please report this with the log",
                    )),
                    facts: Facts::default(),
                    wake: None,
                }
            });
            count(&core.metrics, &report, started.elapsed());
            Done { key: due.key, schedule: due.schedule, epoch: due.epoch, report, validators }
        };
        self.jobs.spawn(work.instrument(span));
    }

    fn on_job_finished(&mut self, done: Result<Done, tokio::task::JoinError>, now: DateTime<Utc>) {
        // A job catches its own panic, so only an aborted one has no result; its requests are repeated after the restart.
        let Ok(Done { key, schedule: index, epoch, report, validators }) = done else { return };
        let Some(entry) = self.instances.get_mut(&key).filter(|entry| entry.epoch == epoch) else { return };
        let Kind::Running(running) = &mut entry.kind else { return };
        running.jobs -= 1;
        let schedule = &mut running.schedules[index];
        schedule.running = false;
        schedule.validators = validators.map(Box::new);
        let before = schedule.health.clone();
        schedule.health.note(&report, now);
        schedule.tick = next_tick(schedule, &report, now);
        if std::mem::take(&mut schedule.consented) && schedule.health.waits_for_consent() {
            schedule.tick = schedule.tick.map(|tick| tick.min(now));
        }
        schedule.wake = if running.instance.plan.suspended {
            let save = (report.outcome.is_failed() && running.instance.is_unsaved()).then_some((now + SAVE_AGAIN, Job::Save));
            save.or_else(|| schedule::keep_alive(&running.instance.plan, &schedule.plan, now))
        } else {
            report.wake.map(|(at, job)| {
                // What failed keeps its back-off, whoever else would like to be served.
                let earliest = if matches!(report.outcome, Outcome::Failed(_) | Outcome::CallbackUnusable(_)) {
                    schedule.tick
                } else {
                    None
                };
                (at.max(now + SHORTEST_WAKE).max(earliest.unwrap_or(at)), job)
            })
        };
        log(&running.instance.plan, &schedule.plan, &report, &before);
        let changed = schedule.health != before || report.facts.sums.dirty || !matches!(report.outcome, Outcome::Polled);
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
            self.change(&key, next, 0, now);
        } else {
            self.enqueue(&key, index);
        }
    }

    fn report(&mut self, key: &InstanceRef, now: DateTime<Utc>) {
        let Some(entry) = self.instances.get_mut(key) else { return };
        let status = match &entry.kind {
            Kind::Running(running) => {
                let health: Vec<_> = running.schedules.iter().map(|schedule| &schedule.health).collect();
                let mut status = status::report(&running.instance.plan, &running.instance.state(), &health, now);
                if let Some(connect) = &self.core.connect {
                    status::offer_consent(&mut status, &running.instance.plan, connect);
                }
                status
            }
            Kind::Refused { generation, problem, .. } => status::refused(key.clone(), *generation, problem),
        };
        let mut hasher = DefaultHasher::new();
        status.hash(&mut hasher);
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let new = Reported {
            status: hasher.finish(),
            state: Some(match (&entry.kind, status.ready) {
                (Kind::Running(running), _) if running.instance.plan.suspended => metrics::InstanceState::Suspended,
                (_, ConditionStatus::True) => metrics::InstanceState::Ready,
                _ => metrics::InstanceState::NotReady,
            }),
            parked: count(status.parked),
            set_aside: count(status.set_aside),
        };
        let old = std::mem::replace(&mut entry.reported, new);
        recount(&self.core.metrics, old, new);
        if old.status != new.status {
            // Nobody reads any more: the process is about to end.
            let _ = self.reports.send(status);
        }
    }
}

fn next_tick(schedule: &ResourceSchedule, report: &Report, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let interval = schedule.plan.interval;
    let tick = schedule.tick?;
    match &report.outcome {
        Outcome::Polled => {
            let patient = report.facts.patience.and_then(|wait| chrono::Duration::from_std(wait).ok()).map(|wait| now + wait);
            Some(schedule::next_tick(tick.min(now), interval, now)).max(patient)
        }
        Outcome::EntriesSent | Outcome::Stopped => Some(tick),
        // The reopening wakes it; until then nothing that is found could be sent.
        Outcome::CallbackClosed => Some(report.wake.map_or(tick, |(at, _)| at.max(now))),
        Outcome::CallbackGone => None,
        Outcome::Failed(problem) | Outcome::CallbackUnusable(problem) => {
            Some(schedule::after_failure(problem, schedule.health.failures, interval, now))
        }
    }
}

/// Keeps the gauges in step with what is reported.
fn recount(metrics: &Metrics, old: Reported, new: Reported) {
    if old.state != new.state {
        old.state.into_iter().for_each(|state| metrics.instances(state, -1));
        new.state.into_iter().for_each(|state| metrics.instances(state, 1));
    }
    if old.parked != new.parked {
        metrics.parked(new.parked - old.parked);
    }
    if old.set_aside != new.set_aside {
        metrics.set_aside(new.set_aside - old.set_aside);
    }
}

fn count(metrics: &Metrics, report: &Report, took: Duration) {
    let outcome = match &report.outcome {
        Outcome::Polled if report.facts.sums.accepted + report.facts.sums.failed > 0 => PollOutcome::Changed,
        Outcome::Polled => PollOutcome::Unchanged,
        Outcome::Failed(problem) => match problem.reaction {
            Reaction::Human => PollOutcome::Blocked,
            Reaction::Throttled => PollOutcome::Throttled,
            Reaction::Transient => PollOutcome::Failed,
        },
        Outcome::CallbackUnusable(_) => PollOutcome::Blocked,
        Outcome::EntriesSent | Outcome::CallbackClosed | Outcome::CallbackGone | Outcome::Stopped => return,
    };
    metrics.poll(outcome, took, report.facts.seen.records);
}

fn log(plan: &PollPlan, resource: &ResourcePlan, report: &Report, before: &Health) {
    span::poll(&plan.instance, &resource.name).in_scope(|| match &report.outcome {
        Outcome::Failed(problem) | Outcome::CallbackUnusable(problem) if before.failures == 0 => {
            tracing::warn!(reason = %problem.reason, "{}", problem.message);
        }
        Outcome::Polled if before.failures > 0 => tracing::info!("polling works again"),
        Outcome::Polled if report.facts.sums.accepted > 0 => {
            tracing::info!(delivered = report.facts.sums.accepted, "changes delivered");
        }
        _ => tracing::debug!(outcome = ?report.outcome, "job ended"),
    });
}

/// Sleeps until a wall-clock time, in slices, so that a stepped clock is noticed.
async fn sleep_until(at: Option<DateTime<Utc>>) {
    let Some(at) = at else { return };
    let wait = (at - Utc::now()).to_std().unwrap_or_default();
    tokio::time::sleep(wait.min(Duration::from_mins(1))).await;
}
