//! One job from outside: it ends with the claim to its instance, a panic is its own, and how it ended is counted.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::FutureExt as _;

use super::context::EngineContext;
use super::cycle;
use super::instance::Instance;
use super::memory::Memory;
use super::report::{Facts, Job, Outcome, Report, Wakes};
use crate::api::conditions::{Problem, Reaction, Reason};
use crate::cpu::metered::metered;
use crate::observe::metrics::{Metrics, PollOutcome};
use crate::plan::ResourcePlan;

/// Runs a job that was due then to its end, or until its instance is another process's.
pub(super) async fn run(
    core: &EngineContext,
    instance: &Arc<Instance>,
    resource: &ResourcePlan,
    (job, due): (Job, DateTime<Utc>),
    memory: &mut Memory,
) -> Report {
    let started = Instant::now();
    let ended = |outcome| Report { outcome, facts: Facts::default(), wakes: Wakes::default() };
    let (cpu, key) = (&core.asker.cpu, &instance.plan.instance);
    let job = async {
        tokio::select! {
            biased;
            () = instance.claim.ended() => ended(Outcome::Stopped),
            report = metered(cpu, key, cycle::run(core, instance, resource, (job, due), memory)) => report,
        }
    };
    let report = AssertUnwindSafe(job).catch_unwind().await.unwrap_or_else(|_| {
        core.metrics.panic();
        ended(Outcome::Failed(Problem::transient(
            Reason::InternalError,
            "the poll ended unexpectedly; please report this with the log",
        )))
    });
    let took = started.elapsed();
    count(&core.metrics, &report, took);
    if let Some(poll) = report.journaled(took) {
        core.journal.polled(key, &resource.name, poll, Utc::now());
    }
    report
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
        Outcome::RetryQueueSent | Outcome::CallbackClosed | Outcome::CallbackGone | Outcome::Stopped => return,
    };
    metrics.poll(outcome, took, report.facts.seen.records);
}
