//! What the log says of the callback of an instance: a line when it begins to fail or fails in another way, and one when it works again.

use chrono::{DateTime, Utc};

use super::instance::Instance;
use super::report::Report;
use super::status::sink_problem;
use crate::api::conditions::{Problem, Reason};
use crate::deliver::sink::CALLBACK;
use crate::observe::span;
use crate::plan::ResourcePlan;

/// What was last logged of a callback. The default: nothing, or that it works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CallbackLog {
    fails: Option<Reason>,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Fails,
    Works,
}

impl CallbackLog {
    /// A job of a resource has ended. Costs nothing while all is well.
    pub(super) fn note(&mut self, instance: &Instance, resource: &ResourcePlan, report: &Report, now: DateTime<Utc>) {
        let plan = &instance.plan;
        let problem = {
            let state = instance.state();
            if self.fails.is_none() && state.sinks.health(&CALLBACK).is_fresh() {
                return;
            }
            sink_problem(plan, &state, now).map(|callback| callback.problem)
        };
        let accepted = report.facts.sums.accepted > 0;
        span::delivery(&plan.instance, &resource.name).in_scope(|| match (self.step(problem.as_ref(), accepted), &problem) {
            (Some(Line::Fails), Some(problem)) => {
                tracing::warn!(reason = %problem.reason, host = plan.callback.host(), "{}", problem.message);
            }
            (Some(Line::Works), _) => tracing::info!(host = plan.callback.host(), "the callback accepts events again"),
            _ => {}
        });
    }

    /// A problem that is gone without an accepted event was forgotten on request, which shows nothing.
    fn step(&mut self, problem: Option<&Problem>, accepted: bool) -> Option<Line> {
        match problem {
            Some(problem) if self.fails != Some(problem.reason) => {
                self.fails = Some(problem.reason);
                Some(Line::Fails)
            }
            None if accepted => self.fails.take().map(|_| Line::Works),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_has_one_line() {
        let (failing, down) = (Problem::transient(Reason::CallbackFailing, "x"), Problem::transient(Reason::CallbackDown, "y"));
        let mut log = CallbackLog::default();
        let mut step = |problem: Option<&Problem>, accepted| log.step(problem, accepted);
        assert_eq!(step(None, true), None, "it has always worked");
        assert_eq!(step(Some(&failing), false), Some(Line::Fails));
        assert_eq!(step(Some(&failing), true), None, "another try");
        assert_eq!(step(Some(&down), false), Some(Line::Fails));
        assert_eq!(step(None, false), None, "a person asked for a try");
        assert_eq!(step(Some(&down), false), None, "which failed in the same way");
        assert_eq!(step(None, true), Some(Line::Works));
        assert_eq!(step(None, true), None);
    }
}
