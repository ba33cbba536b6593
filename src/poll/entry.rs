//! What the engine holds of one instance: whether it runs, when each of its resources is due, and what follows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::callback_log::CallbackLog;
use super::claim::Claim;
use super::command::Refusal;
use super::due::Due;
use super::health::Health;
use super::instance::Instance;
use super::memory::Memory;
use super::report::{Job, Outcome, Report, Wakes};
use super::reported::Reported;
use super::schedule::{self, Rhythm};
use super::status::{Kept, Observed};
use crate::api::conditions::{Reason, Remedy};
use crate::api::identity::InstanceRef;
use crate::deliver::sink::CALLBACK;
use crate::egress::turns::{Standing, Ticket};
use crate::observe::metrics::{Metrics, Watched};
use crate::observe::span;
use crate::plan::{PollPlan, ResourcePlan};
use crate::state::wish::Wish;

/// A wish to run at once is granted after this: a deadline that has passed must not make a loop.
const SHORTEST_WAKE: chrono::Duration = chrono::Duration::seconds(1);
/// How often an instance is expected to be polled whose spec is not known: the default of `spec.polling.interval`.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(15);
/// How long a suspended instance waits whose state could not be stored.
const SAVE_AGAIN: chrono::Duration = chrono::Duration::seconds(10);

/// One declared instance.
pub(super) struct InstanceEntry {
    pub(super) epoch: u64,
    pub(super) kind: Kind,
    pub(super) reported: Reported,
}

impl InstanceEntry {
    /// Whether each resource was polled, as far as any is to be.
    pub(super) fn was_polled(&self) -> bool {
        match &self.kind {
            Kind::Running(running) => {
                let all = running.schedules.iter().all(|schedule| schedule.health.polled);
                running.next.is_none() && (running.instance.plan.suspended || all)
            }
            Kind::Refused(_) => true,
        }
    }
}

/// Whether it can be run.
pub(super) enum Kind {
    Running(Box<Running>),
    Refused(Box<Refused>),
}

/// An instance that cannot be run.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    /// What is to be run once its state can be read.
    pub(super) reload: Option<Pending>,
    /// The polls that are missing go on to be counted.
    watched: Vec<Watched>,
}

impl Refused {
    /// Keeps of what it was `before` what it still has: events that wait, and how long ago its resources were polled.
    #[allow(clippy::needless_pass_by_value)] // what is matched is a reference already
    pub(super) fn new(
        before: Option<&mut Kind>,
        mut refusal: Refusal,
        reload: Option<Pending>,
        metrics: &Metrics,
        now: DateTime<Utc>,
    ) -> Self {
        let mut watched = match before {
            Some(Kind::Running(running)) => {
                refusal.kept = Kept::of(&running.instance.plan, &running.instance.state());
                running.schedules.iter_mut().filter_map(|schedule| schedule.watched.take()).collect()
            }
            Some(Kind::Refused(before)) => {
                refusal.kept = before.refusal.kept.clone();
                std::mem::take(&mut before.watched)
            }
            // How many resources it has, and how often they would be polled, is not known.
            None if !refusal.kept.suspended => vec![metrics.watch(DEFAULT_INTERVAL, now)],
            None => Vec::new(),
        };
        if refusal.problem.reason == Reason::Deleting {
            watched.clear();
        }
        Self { refusal, reload, watched }
    }
}

/// A running instance.
pub(super) struct Running {
    pub(super) instance: Arc<Instance>,
    pub(super) schedules: Vec<ResourceSchedule>,
    pub(super) jobs: usize,
    pub(super) next: Option<Next>,
    pub(super) callback_log: CallbackLog,
}

impl Running {
    /// Secrets changed: what failed is due now. Answers which resources.
    pub(super) fn retry_failed(&mut self, now: DateTime<Utc>) -> Vec<usize> {
        // New Secrets may be what a sink that refused the credentials was waiting for, and so may each event that it refused.
        let refused = {
            let mut state = self.instance.state();
            let refused = state.sinks.forget_unauthorized(now);
            if refused {
                state.retry_failing(now, |_| true);
            }
            refused
        };
        self.make_due(now, |schedule| refused || schedule.health.failures > 0)
    }

    /// What would end a failure may have come: what waits for it is due now. Answers which resources.
    pub(super) fn wake(&mut self, remedy: Remedy, now: DateTime<Utc>) -> Vec<usize> {
        for schedule in &mut self.schedules {
            if let Activity::Running { came } = &mut schedule.activity {
                *came = Some(remedy);
            }
        }
        self.make_due(now, |schedule| schedule.health.waits_for(remedy))
    }

    /// A person asks for something: it is done at once, and what follows from it is due now. Answers which resources are.
    pub(super) fn ask(&mut self, wish: &Wish, now: DateTime<Utc>) -> Vec<usize> {
        self.instance.change(|state| wish.grant(state, now));
        if let Some(first) = self.schedules.first_mut().filter(|_| self.instance.plan.suspended) {
            // It is not polled, and yet what was asked for is kept.
            first.wake = Some((now, Job::Save));
            return vec![0];
        }
        for schedule in &mut self.schedules {
            // A person who asks begins again what had been given up, such as a callback that is gone.
            schedule.tick.get_or_insert(now);
        }
        self.make_due(now, |_| true)
    }

    /// What is stored is gone: the next job stores the state, and one is due now. Answers of which resource.
    pub(super) fn save_again(&mut self, now: DateTime<Utc>) -> usize {
        self.instance.change(|_| ());
        let polled = self.schedules.iter().position(|schedule| schedule.tick.is_some());
        let index = polled.unwrap_or_default();
        if let Some(schedule) = self.schedules.get_mut(index) {
            match &mut schedule.tick {
                Some(tick) => *tick = now.min(*tick),
                None => schedule.wake = Some((now, Job::Save)),
            }
        }
        index
    }

    /// What is known of a resource that is due; `None` if it is not.
    pub(super) fn standing(&self, due: &Due) -> Option<Standing> {
        self.job(due)?;
        let health = &self.schedules[due.schedule].health;
        Some(match (health.failures, health.polled) {
            (0, true) => Standing::Answers,
            (0, false) => Standing::Unknown,
            _ => Standing::Hangs,
        })
    }

    /// Begins the job that is due. `None` if it is due no more.
    pub(super) fn begin(&mut self, due: &Due) -> Option<Job> {
        let job = self.job(due)?;
        self.schedules[due.schedule].activity = Activity::Running { came: None };
        self.jobs += 1;
        Some(job)
    }

    fn job(&self, due: &Due) -> Option<Job> {
        if self.next.is_some() || self.instance.stop.is_cancelled() {
            return None;
        }
        let schedule = &self.schedules[due.schedule];
        // Entries of the queue that were overtaken by an earlier or later wish are stale.
        let (at, job) = schedule.due().filter(|_| schedule.activity == Activity::Idle)?;
        (at == due.at).then_some(job)
    }

    fn make_due(&mut self, now: DateTime<Utc>, wanted: impl Fn(&ResourceSchedule) -> bool) -> Vec<usize> {
        let mut due = Vec::new();
        for (index, schedule) in self.schedules.iter_mut().enumerate() {
            if schedule.tick.is_some() && wanted(schedule) {
                schedule.tick = Some(now);
                due.push(index);
            }
        }
        due
    }

    /// The wall clock was set: the rhythm of polls moves with it, and so does all that waits for a time.
    pub(super) fn move_clock(&mut self, step: chrono::Duration) {
        for schedule in &mut self.schedules {
            schedule.tick = schedule.tick.map(|tick| tick + step);
            schedule.wake = schedule.wake.map(|(at, job)| (at + step, job));
        }
        self.instance.state().move_clock(step);
    }
}

/// What follows once the jobs of an instance have ended.
pub(super) enum Next {
    Replace(Pending),
    Refuse(Refusal),
    Remove,
}

/// A plan that is to be run.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) plan: Arc<PollPlan>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) claim: Claim,
    /// Resources whose cursors a person wants to be forgotten.
    pub(super) resets: Vec<String>,
}

impl Next {
    /// What follows instead of what was to follow: a newer plan still does what was asked for under the older one.
    pub(super) fn instead_of(mut self, before: Option<Self>) -> Self {
        if let (Self::Replace(pending), Some(Self::Replace(before))) = (&mut self, before) {
            pending.resets.extend(before.resets);
        }
        self
    }
}

/// Whether a job of a resource runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// None does.
    Idle,
    /// One does. `came`: what arrived meanwhile; the job may have failed before that because it was missing.
    Running { came: Option<Remedy> },
}

/// One resource of a running instance.
pub(super) struct ResourceSchedule {
    pub(super) plan: Arc<ResourcePlan>,
    /// What its rhythm and the jitter of its retries hang on.
    seed: u64,
    pub(super) health: Health,
    /// When a poll last succeeded.
    pub(super) last_success: Option<DateTime<Utc>>,
    pub(super) memory: Option<Box<Memory>>,
    /// The next poll in rhythm; `None` once nothing more is to be asked.
    pub(super) tick: Option<DateTime<Utc>>,
    /// An earlier wish.
    pub(super) wake: Option<(DateTime<Utc>, Job)>,
    activity: Activity,
    /// Its part in the metrics of freshness.
    watched: Option<Watched>,
}

impl ResourceSchedule {
    /// A resource that has not run yet: the first poll of its rhythm, and what it runs for before that.
    pub(super) fn new(
        plan: Arc<ResourcePlan>,
        seed: u64,
        tick: Option<DateTime<Utc>>,
        wake: Option<(DateTime<Utc>, Job)>,
        metrics: &Metrics,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            // A suspended one is not expected to be polled.
            watched: tick.map(|first| metrics.watch(plan.interval, first.max(now))),
            plan,
            seed,
            health: Health::default(),
            last_success: None,
            memory: None,
            tick,
            wake,
            activity: Activity::Idle,
        }
    }

    /// What its status reports.
    pub(super) fn observed(&self) -> Observed<'_> {
        Observed { health: &self.health, last_success: self.last_success, next_poll: self.tick }
    }

    /// When it runs next, and for what.
    pub(super) fn due(&self) -> Option<(DateTime<Utc>, Job)> {
        let tick = self.tick.map(|at| (at, Job::Poll));
        [tick, self.wake].into_iter().flatten().min()
    }

    /// A job ended: notes how, and when it runs next. Answers whether something about the instance is to be reported.
    pub(super) fn finish(&mut self, report: &Report, instance: &Instance, now: DateTime<Utc>) -> bool {
        let activity = std::mem::replace(&mut self.activity, Activity::Idle);
        let before = self.health.clone();
        self.health.note(report, now);
        if report.outcome == Outcome::Polled {
            self.last_success = Some(now);
        }
        if let Some(watched) = self.watched.as_ref().filter(|_| report.outcome.is_poll()) {
            watched.poll_ended(report.outcome == Outcome::Polled, now);
        }
        self.tick = self.next_tick(report, now);
        if let Activity::Running { came: Some(remedy) } = activity
            && self.health.waits_for(remedy)
        {
            self.tick = self.tick.map(|tick| tick.min(now));
        }
        self.wake = if instance.plan.suspended {
            let save = (report.outcome.is_failed() && instance.is_unsaved()).then_some((now + SAVE_AGAIN, Job::Save));
            save.or_else(|| Some((now + schedule::keep_alive(&instance.plan, &self.plan)?, Job::KeepAlive)))
        } else {
            self.next_wake(report, instance.is_unsaved(), now)
        };
        log(&instance.plan, &self.plan, report, &before);
        // What fails becomes worth a person's attention by time alone.
        let may_last = self.health.failures > 0 || instance.state().sinks.health(&CALLBACK).failing_since().is_some();
        self.health != before || report.facts.sums.dirty || may_last || !matches!(report.outcome, Outcome::Polled)
    }

    /// What it runs for before its tick. What fails keeps its back-off: before that, only queued events are sent, which need nothing of the
    /// provider. Those that are due and could not be sent because nothing can be saved wait, too.
    fn next_wake(&self, report: &Report, unsaved: bool, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Job)> {
        let Wakes { poll, queue } = report.wakes;
        let poll = poll.filter(|_| self.health.problem().is_none());
        let queue = match report.outcome {
            Outcome::Failed(_) => queue.filter(|at| !unsaved || *at > now),
            Outcome::CallbackUnusable(_) => None,
            _ => queue,
        };
        let wakes = [poll.map(|at| (at, Job::Poll)), queue.map(|at| (at, Job::RetryQueue))];
        wakes.into_iter().flatten().min().map(|(at, job)| (at.max(now + SHORTEST_WAKE), job))
    }

    fn next_tick(&self, report: &Report, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let interval = self.plan.interval;
        let tick = self.tick?;
        match &report.outcome {
            Outcome::Polled => {
                let patient =
                    report.facts.retry_after.and_then(|wait| chrono::Duration::from_std(wait).ok()).map(|wait| now + wait);
                Some(Rhythm::new(self.seed, interval).next_tick(tick.min(now), now)).max(patient)
            }
            Outcome::RetryQueueSent | Outcome::Stopped => Some(tick),
            // The reopening wakes it; until then nothing that is found could be sent.
            Outcome::CallbackClosed => {
                let reopens = report.wakes.poll.map_or(tick, |at| at.max(now));
                Some(if self.health.problem().is_some() { reopens.max(tick) } else { reopens })
            }
            Outcome::CallbackGone => None,
            Outcome::Failed(problem) | Outcome::CallbackUnusable(problem) => {
                Some(schedule::after_failure(problem, self.health.failures, interval, self.seed, now))
            }
        }
    }
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

/// A job that has ended.
pub(super) struct Done {
    pub(super) ticket: Ticket,
    pub(super) key: InstanceRef,
    pub(super) schedule: usize,
    pub(super) epoch: u64,
    pub(super) report: Report,
    pub(super) memory: Memory,
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::api::conditions::{Problem, Reason};
    use crate::auth::SecretMap;
    use crate::egress::{Egress, EgressPolicy};
    use crate::plan::sample;
    use crate::poll::context::EngineContext;
    use crate::poll::report::Facts;
    use crate::state::InstanceState;
    use crate::state::directory::Directory;

    struct World {
        _folder: tempfile::TempDir,
        instance: Instance,
        schedule: ResourceSchedule,
        now: DateTime<Utc>,
    }

    impl World {
        /// A resource whose poll has just been due.
        fn new() -> Self {
            let (folder, now) = (tempfile::tempdir().unwrap(), Utc::now());
            let (store, metrics) = (Arc::new(Directory::open(folder.path()).unwrap()), Metrics::new());
            let egress = Egress::new(EgressPolicy::default()).unwrap();
            let secrets = Arc::new(SecretMap::default());
            let context = EngineContext::new(egress, metrics.clone(), secrets, Arc::clone(&store) as _, store);
            let plan = Arc::new(sample::instance(sample::resource()));
            let state = InstanceState::new("u".into());
            let instance = Instance::new(Arc::clone(&plan), state, false, &context, Claim::for_ever(), false);
            let schedule = ResourceSchedule::new(Arc::clone(&plan.resources[0]), 7, Some(now), None, &metrics, now);
            Self { _folder: folder, instance, schedule, now }
        }

        /// A job ends now, and wants a poll and a try of what is queued at these times, in seconds from now. When what runs next, and which.
        fn finish(&mut self, outcome: Outcome, poll: Option<i64>, queue: Option<i64>) -> (i64, Job) {
            let at = |seconds: Option<i64>| seconds.map(|seconds| self.now + TimeDelta::seconds(seconds));
            let wakes = Wakes { poll: at(poll), queue: at(queue) };
            self.schedule.finish(&Report { outcome, facts: Facts::default(), wakes }, &self.instance, self.now);
            let (at, job) = self.schedule.due().unwrap();
            ((at - self.now).num_seconds(), job)
        }

        fn tick(&self) -> i64 {
            (self.schedule.tick.unwrap() - self.now).num_seconds()
        }
    }

    fn unauthorized() -> Problem {
        Problem::human(Reason::Unauthorized, "spec.auth: the provider answered 401")
    }

    #[tokio::test]
    async fn what_fails_keeps_its_back_off_and_what_is_queued_does_not_wait_for_it() {
        let mut world = World::new();
        assert_eq!(world.finish(Outcome::Failed(unauthorized()), Some(2), Some(3)), (3, Job::RetryQueue));
        let back_off = world.tick();
        assert!(back_off >= 59, "an interval: {back_off}");
        assert_eq!(world.finish(Outcome::RetryQueueSent, Some(0), Some(9)), (9, Job::RetryQueue));
        assert_eq!(world.finish(Outcome::RetryQueueSent, Some(0), None), (back_off, Job::Poll));
        assert_eq!(world.finish(Outcome::CallbackClosed, Some(5), Some(8)), (8, Job::RetryQueue));
        assert_eq!(world.tick(), back_off, "the reopening makes no provider well");
        assert_eq!(
            world.finish(Outcome::Failed(unauthorized()), None, Some(-4)),
            (1, Job::RetryQueue),
            "it came due meanwhile"
        );
        world.instance.change(|_| ());
        let (at, job) = world.finish(Outcome::Failed(unauthorized()), None, Some(-4));
        assert_eq!((at, job), (world.tick(), Job::Poll), "nothing can be saved");
        let (at, job) = world.finish(Outcome::CallbackUnusable(unauthorized()), Some(2), Some(3));
        assert_eq!((at, job), (world.tick(), Job::Poll), "it cannot be sent either");
    }

    #[tokio::test]
    async fn what_is_well_runs_for_whatever_comes_first() {
        let mut world = World::new();
        assert_eq!(world.finish(Outcome::Polled, Some(2), Some(3)), (2, Job::Poll));
        assert_eq!(world.finish(Outcome::Polled, Some(3), Some(2)), (2, Job::RetryQueue));
        assert_eq!(
            world.finish(Outcome::CallbackClosed, Some(4), Some(4)),
            (4, Job::Poll),
            "a poll sends what is queued first"
        );
    }
}
