//! What a user reads of the provider: whether it answers, and whether it accepts the credentials. Pure.

use super::{Condition, Observed};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem, Reason};
use crate::fetch::contact::Contact;
use crate::plan::PollPlan;

/// `ProviderReachable` and `Authenticated`, each worst of all resources; unknown until an answer shows it.
pub(super) fn provider_conditions(plan: &PollPlan, observed: &[Observed<'_>]) -> [Condition; 2] {
    let condition = |kind, found: Option<(&str, &Problem)>, seen: bool, fine: &str, unknown: &str| match found {
        Some((resource, problem)) => {
            Condition::new(kind, ConditionStatus::False, problem.reason, format!("resource {resource}: {}", problem.message))
        }
        None if seen => Condition::new(kind, ConditionStatus::True, Reason::Polling, fine),
        None => Condition::new(kind, ConditionStatus::Unknown, Reason::Starting, unknown),
    };
    let contact = observed.iter().map(|own| own.health.contact).max().unwrap_or_default();
    [
        condition(
            ConditionType::ProviderReachable,
            find(plan, observed, ConditionType::ProviderReachable),
            contact >= Contact::Answered,
            "the provider answers",
            "the provider has not answered yet",
        ),
        condition(
            ConditionType::Authenticated,
            find(plan, observed, ConditionType::Authenticated),
            contact >= Contact::Accepted,
            "the provider accepts the credentials",
            "no answer has shown yet whether the provider accepts the credentials",
        ),
    ]
}

/// What `Authenticated` says is wrong with the credentials.
pub(super) fn credentials_problem<'a>(plan: &PollPlan, observed: &[Observed<'a>]) -> Option<&'a Problem> {
    find(plan, observed, ConditionType::Authenticated).map(|(_, problem)| problem)
}

/// The first resource with a problem that makes this condition false.
fn find<'p, 'o>(plan: &'p PollPlan, observed: &[Observed<'o>], kind: ConditionType) -> Option<(&'p str, &'o Problem)> {
    let problems = plan.resources.iter().zip(observed).filter_map(|(r, own)| Some((&*r.name, own.health.at_provider()?)));
    problems.into_iter().find(|(_, problem)| problem.reason.makes_false() == Some(kind))
}
