//! Where tokens are kept.

use std::collections::HashMap;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::stored::StoredTokens;
use crate::api::conditions::Problem;
use crate::api::identity::{InstanceId, SecretRef};
use crate::plan::Oauth2Plan;

impl SecretRef {
    /// The Secret of a plan.
    pub fn of(namespace: &str, plan: &Oauth2Plan) -> Self {
        Self::new(namespace, &*plan.secret)
    }

    /// Distinguishes the credential of a plan from all others of this process.
    pub(super) fn parts<'a>(&'a self, plan: &'a Oauth2Plan) -> [&'a str; 3] {
        [&self.namespace, &self.name, plan.field]
    }

    /// Identifies a credential in this process: what a host asks one of them to wait, it asks all that share it.
    pub(super) fn identity(&self, plan: &Oauth2Plan) -> u64 {
        crate::auth::identity(&self.parts(plan))
    }
}

/// Where a chain of tokens is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TokenPlace {
    /// With the Secret from which it began: all instances that name the Secret share it.
    Secret(SecretRef),
    /// With an instance, as version 0.1.0 kept it. Such a chain is moved to its Secret.
    Instance(InstanceId),
}

impl TokenPlace {
    /// The namespace.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Secret(secret) => &secret.namespace,
            Self::Instance(instance) => instance.namespace(),
        }
    }
}

/// What was stored when it was last read or written. The default: nothing was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Changes with each write; opaque to all but the store. `None`: nothing was stored.
    pub number: Option<String>,
    /// For whom the store keeps the tokens, if it notes that: when all of them are gone, so are the tokens.
    pub keepers: Vec<Keeper>,
}

/// An object for which tokens are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// It is the user's Secret, not an instance.
    pub is_secret: bool,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Version {
    /// Whether more than one instance uses the tokens, as far as the store knows.
    pub fn is_shared(&self) -> bool {
        self.keepers.iter().filter(|keeper| !keeper.is_secret).count() > 1
    }
}

/// Why tokens were not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveFailure {
    /// What is stored is not what the caller has seen: read it again.
    Conflict,
    /// It was not stored, or that is not known.
    Failed(Problem),
}

/// Keeps tokens. After `Ok` a save survives a crash.
pub trait TokenStore: Send + Sync {
    /// Reads the tokens of a place, never from a cache; `None` when there are none.
    ///
    /// # Errors
    /// Tokens that are there but cannot be read are never taken for none.
    fn load<'a>(&'a self, place: &'a TokenPlace) -> BoxFuture<'a, Result<(Option<StoredTokens>, Version), Problem>>;

    /// Replaces the tokens of a place if they are still those of `seen`, and keeps them for `user`, too.
    ///
    /// # Errors
    /// [`SaveFailure`].
    fn save<'a>(
        &'a self,
        place: &'a TokenPlace,
        user: &'a InstanceId,
        tokens: &'a StoredTokens,
        seen: &'a Version,
    ) -> BoxFuture<'a, Result<Version, SaveFailure>>;

    /// Places whose chains may have begun with what `secret` holds: those of instances of its namespace as version 0.1.0 kept them,
    /// and those of other Secrets, at least where `user` used them.
    ///
    /// # Errors
    /// They cannot be listed.
    fn related<'a>(&'a self, secret: &'a SecretRef, user: &'a InstanceId) -> BoxFuture<'a, Result<Vec<TokenPlace>, Problem>>;

    /// An instance of other processes, other than `user`, whose plan names the Secret and this token endpoint
    /// ([`Oauth2Plan::endpoint`](crate::plan::Oauth2Plan::endpoint)), if there is one.
    ///
    /// # Errors
    /// Instances cannot be listed.
    fn rightful<'a>(
        &'a self,
        _secret: &'a SecretRef,
        _user: &'a InstanceId,
        _endpoint: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Problem>> {
        Box::pin(async { Ok(None) })
    }

    /// Whether tokens of this version are kept for the instance, so that they do not go while it is there.
    fn is_kept_for(&self, _user: &InstanceId, _seen: &Version) -> bool {
        true
    }

    /// Whether another process may be using the same tokens at this moment. If not, a marker of another process is that of a dead one.
    fn is_shared(&self) -> bool;

    /// What a message calls the place, such as a Secret or a file.
    fn name(&self, place: &TokenPlace) -> String;
}

/// Tokens in memory, for a trial and for tests: they end with the process.
#[derive(Debug, Default)]
pub struct MemoryTokens {
    held: Mutex<HashMap<TokenPlace, (StoredTokens, u64)>>,
}

impl TokenStore for MemoryTokens {
    fn load<'a>(&'a self, place: &'a TokenPlace) -> BoxFuture<'a, Result<(Option<StoredTokens>, Version), Problem>> {
        let held = self.held.lock().get(place).cloned();
        Box::pin(async move {
            Ok(match held {
                Some((tokens, count)) => (Some(tokens), Version { number: Some(count.to_string()), ..Version::default() }),
                None => (None, Version::default()),
            })
        })
    }

    fn save<'a>(
        &'a self,
        place: &'a TokenPlace,
        _user: &'a InstanceId,
        tokens: &'a StoredTokens,
        seen: &'a Version,
    ) -> BoxFuture<'a, Result<Version, SaveFailure>> {
        Box::pin(async move {
            let mut held = self.held.lock();
            let count = held.get(place).map(|(_, count)| *count);
            if count.map(|count| count.to_string()) != seen.number {
                return Err(SaveFailure::Conflict);
            }
            let count = count.unwrap_or(0) + 1;
            held.insert(place.clone(), (tokens.clone(), count));
            Ok(Version { number: Some(count.to_string()), ..Version::default() })
        })
    }

    fn related<'a>(&'a self, _secret: &'a SecretRef, _user: &'a InstanceId) -> BoxFuture<'a, Result<Vec<TokenPlace>, Problem>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn name(&self, _place: &TokenPlace) -> String {
        "memory".to_owned()
    }
}
