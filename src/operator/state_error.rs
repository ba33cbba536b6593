//! Why the state of an instance cannot be read or stored in the API server, and the sentence that people read about it.

use super::cluster::{CallError, Denial, Denied, Outage};
use super::probe::OUTDATED;
use crate::api::conditions::{Problem, Reason};
use crate::state::external_set::SaveError;
use crate::state::external_store::StoreError;

/// Why state, or a status, was not read or not stored. Each variant is another next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// What is stored cannot be used, or what is to be stored does not fit: as it says.
    #[error("{0}")]
    Unusable(Problem),
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A call of the external store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The status names an external store, and there is none.
    #[error("there is no external store")]
    NoStore,
    /// A newer version wrote what is in the external store.
    #[error("a newer version wrote the state")]
    Newer,
    /// The instance is another replica's: nothing more was written.
    #[error("another replica is responsible for the instance")]
    NotOurs,
    /// Someone else wrote the state: it is to be read again, and nothing is stored over it.
    #[error("another writer changed the state")]
    Overwritten,
    /// The instance is gone, or another one has its name.
    #[error("the instance was deleted")]
    Deleted,
    /// The installed definition lacks fields: what is stored would be pruned.
    #[error("the installed definition lacks fields")]
    Outdated,
    /// The engine asks for a state that was not read for it.
    #[error("the state has not been read yet")]
    Unread,
    /// The engine stores the state of an instance that is no longer the one it began with.
    #[error("the instance was deleted or is taken over")]
    Replaced,
}

impl From<SaveError> for StateError {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::NotOurs => Self::NotOurs,
            SaveError::Overwritten => Self::Overwritten,
            SaveError::Failed(error) => Self::Store(error),
        }
    }
}

impl StateError {
    /// What people read.
    pub fn problem(&self) -> Problem {
        let later = |text: &str| Problem::transient(Reason::StateUnavailable, text);
        match self {
            Self::Unusable(problem) => problem.clone(),
            Self::Call(error) => call_problem(error),
            Self::Store(error) => error.problem(),
            Self::NoStore => Problem::human(
                Reason::StateUnavailable,
                "the records that this instance remembers are in a state store; start the operator with its --state-store, or move them with pollinator state move",
            ),
            Self::Newer => Problem::human(
                Reason::StateUnavailable,
                "the state in the state store was written by a newer version of Pollinator; run that version or a newer one",
            ),
            Self::NotOurs => later("another replica is responsible for this instance now"),
            Self::Overwritten => later(
                "the state in status was changed by another writer, so it is read again; if this repeats, another installation of Pollinator watches the namespace: let only one watch it",
            ),
            Self::Deleted => later("this ConnectorInstance was deleted"),
            Self::Outdated => Problem::human(Reason::CrdOutdated, OUTDATED),
            Self::Unread => later("the state of this instance has not been read yet"),
            Self::Replaced => later("this ConnectorInstance was deleted or is taken over"),
        }
    }
}

/// What a failed call means for the state of an instance.
pub(crate) fn call_problem(error: &CallError) -> Problem {
    match error {
        CallError::Forbidden(Denial { of: Denied::Quota, .. }) => Problem::transient(
            Reason::StateUnavailable,
            "a ResourceQuota of the namespace is used up, so the state of this instance is not stored; raise the quota for configmaps and secrets or delete some that are not needed; the cursor waits; retrying",
        ),
        CallError::Forbidden(denial) if denial.of == Denied::Policy => {
            tracing::error!("an admission policy refuses to store a state: {}", denial.words);
            let by = denial.policy().map(|name| format!(" ({name})")).unwrap_or_default();
            Problem::human(
                Reason::StateUnavailable,
                format!(
                    "an admission policy{by} refuses to store the state of this instance; make it allow the statuses, ConfigMaps and Secrets that the operator writes; the operator's log has its message"
                ),
            )
        }
        CallError::Forbidden(Denial { words, .. }) => {
            tracing::warn!("the API server does not permit it: {words}");
            Problem::human(
                Reason::StateUnavailable,
                "the operator is not permitted to store or read the state of this instance; allow it get on connectorinstances, update on connectorinstances/status, and get, create, update and delete on configmaps and secrets",
            )
        }
        CallError::Refused(words) => {
            tracing::error!("the API server refuses to store a state: {words}");
            Problem::human(
                Reason::StateUnavailable,
                "the API server refuses to store the state of this instance; please report this with the operator's log, which has its response",
            )
        }
        CallError::Unavailable(Outage::StoreFull) => Problem::transient(
            Reason::StateUnavailable,
            "the store of the API server (etcd) is out of space, so the state of this instance is not stored; free space in etcd and clear its alarm NOSPACE: the cursor waits and it is tried again",
        ),
        CallError::NotFound | CallError::Conflict | CallError::Unavailable(Outage::Other(_)) => {
            tracing::debug!("the API server: {error}");
            Problem::transient(
                Reason::StateUnavailable,
                "the API server does not store the state of this instance at the moment; the cursor waits; retrying",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_refuses_is_named_as_the_cause_and_its_words_are_not_shown() {
        let denied = |of, words: &str| call_problem(&CallError::Forbidden(Denial { of, words: words.to_owned() })).message;
        let words = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'need-team' with binding 'b' denied request: secret words";
        let message = denied(Denied::Policy, words);
        assert!(message.starts_with("an admission policy (ValidatingAdmissionPolicy need-team) refuses"), "{message}");
        assert!(!message.contains("permitted") && !message.contains("secret words"), "{message}");
        assert!(denied(Denied::Policy, "no known words").starts_with("an admission policy refuses"));
        assert!(denied(Denied::Call, words).starts_with("the operator is not permitted"));
    }
}
