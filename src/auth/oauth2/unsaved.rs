//! Tokens that came and are not stored yet: they exist nowhere else.

use super::store::{SaveFailure, TokenPlace, TokenStore, Version};
use super::stored::StoredTokens;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceId;

/// How many times an object is written again that was changed by another writer who left its tokens alone.
const MAX_TOUCHES: usize = 3;

/// Tokens on their way to the store.
#[derive(Clone)]
pub(super) struct Unsaved {
    /// What is to be stored.
    pub(super) next: StoredTokens,
    /// What is stored as far as this process knows, marker included.
    pub(super) before: StoredTokens,
    /// The version of that.
    pub(super) seen: Version,
}

/// What a write came to.
pub(super) enum Saved {
    /// They are stored.
    Stored,
    /// Another process went on from there: what came is of no use.
    Overtaken,
    /// Not yet.
    Failed(Problem),
}

impl Unsaved {
    /// Writes them once. What another process stored meanwhile is never overwritten.
    pub(super) async fn write(&mut self, store: &dyn TokenStore, place: &TokenPlace, user: &InstanceId) -> Saved {
        for _ in 0..MAX_TOUCHES {
            match store.save(place, user, &self.next, &self.seen).await {
                Ok(_) => return Saved::Stored,
                Err(SaveFailure::Failed(problem)) => return Saved::Failed(problem),
                Err(SaveFailure::Conflict) => match store.load(place).await {
                    Err(problem) => return Saved::Failed(problem),
                    // An earlier write whose answer was lost.
                    Ok((Some(found), _)) if found == self.next => return Saved::Stored,
                    Ok((Some(found), version)) => {
                        let Some(next) = self.next.over(&found, &self.before) else {
                            tracing::warn!(place = store.name(place), "another process stored tokens meanwhile; using those");
                            return Saved::Overtaken;
                        };
                        (self.next, self.before, self.seen) = (next, found, version);
                    }
                    Ok((None, version)) => self.seen = version,
                },
            }
        }
        Saved::Failed(Problem::transient(
            Reason::StateUnavailable,
            format!("the tokens in {} keep changing; retrying", store.name(place)),
        ))
    }
}
