//! What a person can do to an instance, and what each button says.

use crate::api::identity::InstanceRef;
use crate::instances::secret_edits::SecretEdits;
use crate::instances::{Instances, InstancesError};
use crate::state::wish::{Parked, Wish};

/// One button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Polls all resources at once.
    PollNow,
    /// Stops polling and delivery.
    Suspend,
    /// Starts them again.
    Resume,
    /// Forgets the cursor of a resource.
    Reset,
    /// Tries the parked events of a resource again.
    Redeliver,
    /// Drops parked events.
    Discard,
    /// Lets deletions be sent that wait.
    ApproveDeletes,
}

impl Action {
    const ALL: [Self; 7] =
        [Self::PollNow, Self::Suspend, Self::Resume, Self::Reset, Self::Redeliver, Self::Discard, Self::ApproveDeletes];

    /// Its word in addresses and audit lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PollNow => "poll-now",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Reset => "reset",
            Self::Redeliver => "redeliver",
            Self::Discard => "discard",
            Self::ApproveDeletes => "approve-deletes",
        }
    }

    /// The action of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// What is said once it is done.
    pub const fn done(self) -> &'static str {
        match self {
            Self::PollNow => "All resources are polled now.",
            Self::Suspend => "The instance is suspended within a few seconds. Cursors and events in the retry queue are kept.",
            Self::Resume => "The instance is polled again within a few seconds.",
            Self::Reset => "The cursor was forgotten. The next poll is the first one again.",
            Self::Redeliver => "What was parked is tried again now.",
            Self::Discard => "What was parked is dropped. It is never sent.",
            Self::ApproveDeletes => "The deletions are sent with the next poll, which is now.",
        }
    }

    /// Does it. `resource`, `event`: which ones, for what is done to one; without an event to all that are parked of the resource.
    ///
    /// # Errors
    /// [`InstancesError`].
    pub async fn act(
        self,
        instances: &dyn Instances,
        of: &InstanceRef,
        resource: &str,
        event: Option<&str>,
    ) -> Result<(), InstancesError> {
        let parked = || Parked { resource: resource.to_owned(), event: event.map(str::to_owned) };
        let wish = match self {
            Self::PollNow => Wish::PollNow,
            Self::Reset => Wish::Reset(resource.to_owned()),
            Self::Redeliver => Wish::Redeliver(parked()),
            Self::Discard => Wish::Discard(parked()),
            Self::ApproveDeletes => Wish::ApproveDeletes(resource.to_owned()),
            Self::Suspend | Self::Resume => {
                let mut instance = instances.get(of).await?;
                instance.spec.suspend = self == Self::Suspend;
                return instances.update(instance, SecretEdits::default()).await.map(drop);
            }
        };
        instances.ask(of, wish).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_word_of_its_own() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
            assert!(action.done().ends_with('.'));
        }
        assert_eq!(Action::parse("delete"), None);
    }
}
