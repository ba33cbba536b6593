//! Tokens in the cluster: one Secret an instance, beside the user's and never the same, so that no tool that owns the user's
//! Secret undoes a rotation.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::cluster::{CallError, Cluster, Kind, MANAGER};
use super::outside::{self, is_owned, owned, version};
use super::session::Key;
use super::watch::Seen;
use super::writer;
use crate::api::conditions::{Problem, Reason};
use crate::auth::oauth2::store::{Owner, SaveFailure, TokenStore, Version};
use crate::auth::oauth2::stored::{FORMAT, StoredTokens};

/// Key of the one value.
const TOKENS: &str = "tokens.json";

/// Keeps tokens in Secrets that their instances own.
pub struct ClusterTokens {
    cluster: Cluster,
}

impl ClusterTokens {
    /// Tokens in this cluster.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    async fn read(&self, owner: &Owner) -> Result<(Option<StoredTokens>, Version), Problem> {
        let name = name(owner);
        let object = match self.cluster.get(Kind::Secret, &owner.namespace, &name).await {
            Ok(object) => object,
            Err(CallError::NotFound) => return Ok((None, Version::default())),
            Err(error) => return Err(problem(&name, &error)),
        };
        if !is_owned(&object, reference(owner)) {
            if object["metadata"]["labels"]["app.kubernetes.io/managed-by"] != MANAGER {
                return Err(Problem::human(
                    Reason::StateUnavailable,
                    format!("Secret {name} is not Pollinator's, and that is the name under which tokens are kept; rename it"),
                ));
            }
            // Of an instance of the same name that was deleted.
            return match self.cluster.delete(Kind::Secret, &owner.namespace, &name).await {
                Ok(()) | Err(CallError::NotFound) => Ok((None, Version::default())),
                Err(error) => Err(problem(&name, &error)),
            };
        }
        let bytes = object["data"][TOKENS].as_str().and_then(|text| BASE64.decode(text).ok()).unwrap_or_default();
        let tokens: StoredTokens = serde_json::from_slice(&bytes).map_err(|_| {
            Problem::human(
                Reason::StateUnavailable,
                format!("Secret {name} with the tokens is damaged; put it back, or delete it and store a new refresh_token or code in the user's Secret"),
            )
        })?;
        if tokens.format > FORMAT {
            return Err(Problem::human(
                Reason::StateUnavailable,
                format!("Secret {name} was written by a newer version of Pollinator; run that version or a newer one"),
            ));
        }
        Ok((Some(tokens), Version(version(&object))))
    }

    async fn write(&self, owner: &Owner, tokens: &StoredTokens, seen: &Version) -> Result<Version, SaveFailure> {
        let name = name(owner);
        let text = serde_json::to_vec(tokens).unwrap_or_default();
        let mut object = owned(Kind::Secret, reference(owner), &name);
        object["type"] = json!("Opaque");
        object["data"] = json!({TOKENS: BASE64.encode(&text)});
        let written: Result<Value, CallError> = if let Some(seen) = &seen.0 {
            object["metadata"]["resourceVersion"] = json!(seen);
            self.cluster.replace(Kind::Secret, &owner.namespace, &name, &object).await
        } else {
            self.cluster.create(Kind::Secret, &owner.namespace, &object).await
        };
        match written {
            Ok(answer) => Ok(Version(version(&answer))),
            Err(CallError::Conflict) => Err(SaveFailure::Conflict),
            Err(CallError::NotFound) if seen.0.is_some() => Err(SaveFailure::Conflict),
            Err(error) => Err(SaveFailure::Failed(problem(&name, &error))),
        }
    }
}

impl TokenStore for ClusterTokens {
    fn load<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<(Option<StoredTokens>, Version), Problem>> {
        Box::pin(self.read(owner))
    }

    fn save<'a>(
        &'a self,
        owner: &'a Owner,
        tokens: &'a StoredTokens,
        seen: &'a Version,
    ) -> BoxFuture<'a, Result<Version, SaveFailure>> {
        Box::pin(self.write(owner, tokens, seen))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn place(&self, owner: &Owner) -> String {
        format!("Secret {}", name(owner))
    }
}

/// Ending of the names of these Secrets.
const ENDING: &str = "-oauth-token";

fn name(owner: &Owner) -> String {
    format!("{}{ENDING}", owner.name)
}

/// Sees tokens change: somebody, perhaps at the connect page of another replica, wrote them.
#[derive(Debug, Default)]
pub struct TokenSights(HashMap<Key, String>);

impl TokenSights {
    /// The instance whose tokens are not those that were last seen. The first sight of any counts only when `listed`: before, all
    /// are new.
    pub fn changed(&mut self, seen: &Seen, listed: bool) -> Option<Key> {
        let instance = seen.key.1.strip_suffix(ENDING)?;
        let old = self.0.insert(seen.key.clone(), seen.version.clone());
        let is_new = old.map_or(listed, |old| old != seen.version);
        is_new.then(|| (seen.key.0.clone(), instance.to_owned()))
    }

    /// They are gone.
    pub fn forget(&mut self, secret: &Key) {
        self.0.remove(secret);
    }
}

fn reference(owner: &Owner) -> outside::Owner<'_> {
    outside::Owner { namespace: &owner.namespace, name: &owner.name, uid: &owner.uid }
}

fn problem(name: &str, error: &CallError) -> Problem {
    match error {
        CallError::Forbidden => Problem::human(
            Reason::StateUnavailable,
            format!(
                "the operator may not keep tokens in Secret {name}; allow it get, create, update and delete on secrets in this namespace"
            ),
        ),
        error => writer::problem(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_somebody_wrote_are_noticed_once() {
        let seen = |name: &str, version: &str| Seen {
            key: ("crm".into(), name.into()),
            uid: "u".into(),
            version: version.into(),
            fingerprint: 0,
        };
        let mut sights = TokenSights::default();
        let keap = Some(("crm".to_owned(), "keap".to_owned()));
        assert_eq!(sights.changed(&seen("keap-oauth-token", "1"), false), None, "part of the first list");
        assert_eq!(sights.changed(&seen("keap-oauth-token", "1"), true), None, "listed again");
        assert_eq!(sights.changed(&seen("keap-oauth-token", "2"), true), keap);
        assert_eq!(sights.changed(&seen("keap", "1"), true), None, "a Secret of somebody else");
        sights.forget(&("crm".into(), "keap-oauth-token".into()));
        assert_eq!(sights.changed(&seen("keap-oauth-token", "2"), true), keap, "made again");
    }
}
