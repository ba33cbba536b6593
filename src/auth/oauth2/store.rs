//! Where tokens are kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;

use super::stored::StoredTokens;
use crate::api::conditions::Problem;

/// Whose tokens they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Namespace of the instance.
    pub namespace: String,
    /// Name of the instance.
    pub name: String,
    /// Its uid: tokens of an instance that was deleted are not those of one that has its name.
    pub uid: String,
}

/// What was stored when it was last read or written; opaque to all but the store. The default: nothing was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version(pub Option<String>);

/// Why tokens were not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveFailure {
    /// What is stored is not what the caller has seen: read it again.
    Conflict,
    /// It was not stored, or that is not known.
    Failed(Problem),
}

/// Keeps the tokens of instances. After `Ok` a save survives a crash.
pub trait TokenStore: Send + Sync {
    /// Reads the tokens of an instance, never from a cache; `None` when there are none.
    ///
    /// # Errors
    /// Tokens that are there but cannot be read are never taken for none.
    fn load<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<(Option<StoredTokens>, Version), Problem>>;

    /// Replaces the tokens of an instance if they are still those of `seen`.
    ///
    /// # Errors
    /// [`SaveFailure`].
    fn save<'a>(
        &'a self,
        owner: &'a Owner,
        tokens: &'a StoredTokens,
        seen: &'a Version,
    ) -> BoxFuture<'a, Result<Version, SaveFailure>>;

    /// May another process be using the same tokens at this moment? If not, whoever left a marker is dead.
    fn is_shared(&self) -> bool;

    /// What a message calls the place, such as a Secret or a file.
    fn place(&self, owner: &Owner) -> String;
}

/// Tokens in memory, for a trial and for tests: they end with the process.
#[derive(Debug, Default)]
pub struct MemoryTokens {
    held: Mutex<HashMap<Owner, (StoredTokens, u64)>>,
}

impl TokenStore for MemoryTokens {
    fn load<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<(Option<StoredTokens>, Version), Problem>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(owner).cloned();
        Box::pin(async move {
            Ok(match held {
                Some((tokens, count)) => (Some(tokens), Version(Some(count.to_string()))),
                None => (None, Version::default()),
            })
        })
    }

    fn save<'a>(
        &'a self,
        owner: &'a Owner,
        tokens: &'a StoredTokens,
        seen: &'a Version,
    ) -> BoxFuture<'a, Result<Version, SaveFailure>> {
        Box::pin(async move {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let count = held.get(owner).map(|(_, count)| *count);
            if count.map(|count| count.to_string()) != seen.0 {
                return Err(SaveFailure::Conflict);
            }
            let count = count.unwrap_or(0) + 1;
            held.insert(owner.clone(), (tokens.clone(), count));
            Ok(Version(Some(count.to_string())))
        })
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn place(&self, _owner: &Owner) -> String {
        "memory".to_owned()
    }
}
