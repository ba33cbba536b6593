//! What a user reads of the provider: whether it answers, and whether it accepts the credentials. Pure.

use super::{Condition, Observed};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem, Reason};
use crate::fetch::contact::Contact;
use crate::plan::{AuthPlan, PollPlan, ResourcePlan};

/// `ProviderReachable` and `Authenticated`, each worst of all resources; unknown until an answer shows it.
pub(super) fn provider_conditions(plan: &PollPlan, observed: &[Observed<'_>]) -> [Condition; 2] {
    let condition = |kind, found: Option<(&str, &Problem)>, seen: bool, fine: &str, unknown: &str| match found {
        Some((resource, problem)) => {
            Condition::new(kind, ConditionStatus::False, problem.reason, format!("resource {resource}: {}", problem.message))
        }
        None if seen => Condition::new(kind, ConditionStatus::True, Reason::Polling, fine),
        None => Condition::new(kind, ConditionStatus::Unknown, Reason::Starting, unknown),
    };
    let shows = |own: &ResourcePlan| own.tls.as_ref().is_some_and(|tls| tls.client_certificate.is_some());
    let anonymous = plan.resources.iter().all(|own| matches!(*own.auth, AuthPlan::None) && !shows(own));
    let (accepted, open) = if anonymous {
        ("the provider answers without credentials", "no answer has shown yet whether the provider needs credentials")
    } else {
        ("the provider accepts the credentials", "no answer has shown yet whether the provider accepts the credentials")
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
            accepted,
            open,
        ),
    ]
}

/// What `Authenticated` says is wrong with the credentials.
pub(super) fn credentials_problem<'a>(plan: &PollPlan, observed: &[Observed<'a>]) -> Option<&'a Problem> {
    find(plan, observed, ConditionType::Authenticated).map(|(_, problem)| problem)
}

/// The first resource with a problem that makes this condition false.
fn find<'p, 'o>(plan: &'p PollPlan, observed: &[Observed<'o>], kind: ConditionType) -> Option<(&'p str, &'o Problem)> {
    let problems =
        plan.resources.iter().zip(observed).filter_map(|(r, own)| Some((&*r.name, own.health.at_provider.as_deref()?)));
    problems.into_iter().find(|(_, problem)| made_false(problem.reason) == Some(kind))
}

/// Which of the two turns false when a poll fails for this reason; `None` for one that only `Ready` reports, and for one that fails no poll.
const fn made_false(reason: Reason) -> Option<ConditionType> {
    match reason {
        Reason::SecretNotFound
        | Reason::SecretKeyMissing
        | Reason::SecretInvalid
        | Reason::SecretUnreadable
        | Reason::Unauthorized
        | Reason::Forbidden
        | Reason::InvalidClient
        | Reason::ReauthorizationRequired
        | Reason::TokenEndpointUnreachable
        | Reason::TokenResponseInvalid
        | Reason::InsufficientScope => Some(ConditionType::Authenticated),
        // The request cannot be made as the spec says, or its answer cannot be used.
        Reason::InvalidSpec
        | Reason::EgressDenied
        | Reason::ProviderUnreachable
        | Reason::ProviderTimeout
        | Reason::TlsError
        | Reason::NotFound
        | Reason::RateLimited
        | Reason::ProviderError
        | Reason::UnexpectedStatus
        | Reason::RedirectRefused
        | Reason::ResponseTooLarge
        | Reason::InvalidResponse
        | Reason::RecordsNotFound
        | Reason::ErrorInResponse
        | Reason::PaginationUnclear
        | Reason::PaginationLoop
        | Reason::CrossOriginNextLink
        | Reason::ListingUnsettled
        | Reason::UnorderedResource => Some(ConditionType::ProviderReachable),
        Reason::CallbackFailing
        | Reason::CallbackDown
        | Reason::CallbackUnreachable
        | Reason::CallbackUnauthorized
        | Reason::CallbackGone
        | Reason::ConnectorNotFound
        | Reason::ParkedFull
        | Reason::StateUnavailable
        | Reason::StateTooLarge
        | Reason::CrdOutdated
        | Reason::InternalError
        | Reason::Polling
        | Reason::Suspended
        | Reason::Starting
        | Reason::Deleting
        | Reason::Accepted
        | Reason::Delivering
        | Reason::Retrying
        | Reason::EventsParked
        | Reason::DeltaTokenExpired
        | Reason::DeltaTokenMissing
        | Reason::CursorOutOfReach
        | Reason::CursorAhead
        | Reason::StartsLater
        | Reason::ListTurnedOver
        | Reason::ListEmptied
        | Reason::OldNewcomers
        | Reason::Throttled
        | Reason::OtherLists
        | Reason::MissingId
        | Reason::RepeatedId
        | Reason::DateFieldMissing
        | Reason::FieldMissing
        | Reason::EventTypesUnmatched
        | Reason::InvalidDate
        | Reason::DatesLost
        | Reason::DatesAreDays
        | Reason::SuspectedTimeZone
        | Reason::FutureDates
        | Reason::FilterIgnored
        | Reason::FilterFailed
        | Reason::VolatileRecords
        | Reason::DeletedFlagUnmatched
        | Reason::DeletedFlagMissing
        | Reason::DeletesHeld
        | Reason::DeletesUnclear
        | Reason::ResultCapReached
        | Reason::PagesOverlap
        | Reason::SweepUnsettled => None,
    }
}
