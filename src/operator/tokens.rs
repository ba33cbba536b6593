//! Tokens in the cluster: one Secret for each of the user's Secrets, next to it and never the same, so that no tool that owns the
//! user's Secret undoes a rotation.
//!
//! It belongs to the user's Secret and to the instances that use it, all as owner references: the garbage collector removes it when
//! the last of them is gone. So neither a user's Secret that is made again nor an instance that is made again loses the chain.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::BoxFuture;
use serde::Deserialize as _;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::cluster::{CallError, Cluster, Denial, Denied, Kind, MANAGER};
use super::connectors::Connectors;
use super::objects::version;
use super::overflow::{is_owned, owned};
use super::secrets::ClusterSecrets;
use super::state_error::call_problem;
use super::watch::Seen;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::{InstanceId, InstanceRef, SecretRef};
use crate::api::instance::{ConnectorInstance, ConnectorInstanceSpec};
use crate::auth::oauth2::store::{Keeper, SaveFailure, TokenPlace, TokenStore, Version};
use crate::auth::oauth2::stored::{FORMAT, StoredTokens};
use crate::plan::AuthPlan;

/// Key of the one value.
const TOKENS: &str = "tokens.json";
/// Label that says what an object of ours is.
const COMPONENT: &str = "app.kubernetes.io/component";
/// Its value at the tokens of a Secret, and at those of an instance before and after they were moved.
const OF_SECRET: &str = "oauth-tokens";
const OF_INSTANCE: &str = "state";
const MOVED: &str = "moved-oauth-token";
/// Endings of the names of these Secrets.
const SECRET_ENDING: &str = "-oauth-tokens";
const INSTANCE_ENDING: &str = "-oauth-token";
/// Longest name of a Secret, and what is kept of a longer one in addition to a hash.
const LONGEST_NAME: usize = 253;
const KEPT_OF_NAME: usize = 220;

/// Keeps tokens in Secrets.
pub struct ClusterTokens {
    cluster: Cluster,
    secrets: Arc<ClusterSecrets>,
    connectors: Arc<Connectors>,
}

impl ClusterTokens {
    /// Tokens in this cluster.
    pub fn new(cluster: Cluster, secrets: Arc<ClusterSecrets>, connectors: Arc<Connectors>) -> Self {
        Self { cluster, secrets, connectors }
    }

    async fn read(&self, place: &TokenPlace) -> Result<(Option<StoredTokens>, Version), Problem> {
        let name = name(place);
        let object = match self.cluster.get(Kind::Secret, place.namespace(), &name).await {
            Ok(object) => object,
            Err(CallError::NotFound) => return Ok((None, Version::default())),
            Err(error) => return Err(problem(&name, &error)),
        };
        match place {
            TokenPlace::Secret(_) if !is_ours(&object) => {
                return Err(Problem::human(
                    Reason::StateUnavailable,
                    format!("Secret {name} is not Pollinator's, but has the name under which tokens are kept; rename it"),
                ));
            }
            // Of an instance of the same name that was deleted, or no one's tokens.
            TokenPlace::Instance(instance) if !is_owned(&object, instance) => return Ok((None, Version::default())),
            TokenPlace::Secret(_) | TokenPlace::Instance(_) => {}
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
        Ok((Some(tokens), Version { number: version(&object), keepers: keepers(&object) }))
    }

    async fn write(
        &self,
        place: &TokenPlace,
        user: &InstanceId,
        tokens: &StoredTokens,
        seen: &Version,
    ) -> Result<Version, SaveFailure> {
        let (name, namespace) = (name(place), place.namespace());
        let text = serde_json::to_vec(tokens).unwrap_or_default();
        let mut object = owned(Kind::Secret, user, &name);
        match place {
            TokenPlace::Secret(secret) => {
                let uid = self.secrets.uid(secret).await;
                let uid = uid.map_err(|error| SaveFailure::Failed(problem(&secret.name, &error)))?;
                object["metadata"]["labels"][COMPONENT] = json!(OF_SECRET);
                object["metadata"]["ownerReferences"] = references(&kept_for(&seen.keepers, secret, uid, user));
            }
            TokenPlace::Instance(_) if !tokens.has_tokens() => object["metadata"]["labels"][COMPONENT] = json!(MOVED),
            TokenPlace::Instance(_) => {}
        }
        object["type"] = json!("Opaque");
        object["data"] = json!({TOKENS: BASE64.encode(&text)});
        let written: Result<Value, CallError> = if let Some(seen) = &seen.number {
            object["metadata"]["resourceVersion"] = json!(seen);
            self.cluster.replace(Kind::Secret, namespace, &name, &object).await
        } else {
            self.cluster.create(Kind::Secret, namespace, &object).await
        };
        match written {
            Ok(answer) => Ok(Version { number: version(&answer), keepers: keepers(&answer) }),
            Err(CallError::Conflict) => Err(SaveFailure::Conflict),
            Err(CallError::NotFound) if seen.number.is_some() => Err(SaveFailure::Conflict),
            Err(error) => Err(SaveFailure::Failed(problem(&name, &error))),
        }
    }

    async fn list_related(&self, secret: &SecretRef, user: &InstanceId) -> Result<Vec<TokenPlace>, Problem> {
        let labels = format!("app.kubernetes.io/managed-by={MANAGER},{COMPONENT} in ({OF_SECRET},{OF_INSTANCE})");
        let listed = self.cluster.list(Kind::Secret, Some(&secret.namespace), Some(&labels), true).await;
        let listed = listed.map_err(|error| problem(&format!("*{SECRET_ENDING}"), &error))?;
        Ok(listed.iter().filter_map(|object| related(object, &secret.namespace, user)).collect())
    }

    async fn find_rightful(&self, secret: &SecretRef, user: &InstanceId, endpoint: &str) -> Result<Option<String>, Problem> {
        let listed = self.cluster.list(Kind::ConnectorInstance, Some(&secret.namespace), None, false).await;
        let listed = listed.map_err(|error| call_problem(&error))?;
        let names = |object: &Value| {
            let name = object["metadata"]["name"].as_str()?;
            let mut instance = ConnectorInstance::new(name, ConnectorInstanceSpec::deserialize(&object["spec"]).ok()?);
            instance.metadata.namespace = Some(secret.namespace.to_string());
            let plan = self.connectors.plan(&instance).ok()?;
            let names = plan.resources.iter().any(|resource| match &*resource.auth {
                AuthPlan::Oauth2(plan) => plan.keeps_tokens() && *plan.secret == *secret.name && plan.endpoint() == endpoint,
                _ => false,
            });
            (names && name != user.name() && !object["metadata"]["deletionTimestamp"].is_string()).then(|| name.to_owned())
        };
        Ok(listed.iter().find_map(names))
    }
}

impl TokenStore for ClusterTokens {
    fn load<'a>(&'a self, place: &'a TokenPlace) -> BoxFuture<'a, Result<(Option<StoredTokens>, Version), Problem>> {
        Box::pin(self.read(place))
    }

    fn save<'a>(
        &'a self,
        place: &'a TokenPlace,
        user: &'a InstanceId,
        tokens: &'a StoredTokens,
        seen: &'a Version,
    ) -> BoxFuture<'a, Result<Version, SaveFailure>> {
        Box::pin(self.write(place, user, tokens, seen))
    }

    fn related<'a>(&'a self, secret: &'a SecretRef, user: &'a InstanceId) -> BoxFuture<'a, Result<Vec<TokenPlace>, Problem>> {
        Box::pin(self.list_related(secret, user))
    }

    fn rightful<'a>(
        &'a self,
        secret: &'a SecretRef,
        user: &'a InstanceId,
        endpoint: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Problem>> {
        Box::pin(self.find_rightful(secret, user, endpoint))
    }

    fn is_kept_for(&self, user: &InstanceId, seen: &Version) -> bool {
        seen.keepers.iter().any(|keeper| *keeper.uid == *user.uid)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn name(&self, place: &TokenPlace) -> String {
        format!("Secret {}", name(place))
    }
}

fn name(place: &TokenPlace) -> String {
    let (name, ending) = match place {
        TokenPlace::Secret(secret) => (&*secret.name, SECRET_ENDING),
        TokenPlace::Instance(instance) => (instance.name(), INSTANCE_ENDING),
    };
    if name.len() + ending.len() <= LONGEST_NAME {
        return format!("{name}{ending}");
    }
    // Names are ASCII (RFC 1123), so that every cut is one between characters.
    format!("{}-{:016x}{ending}", &name[..KEPT_OF_NAME].trim_end_matches(['.', '-']), xxh3_64(name.as_bytes()))
}

fn is_ours(object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    labels["app.kubernetes.io/managed-by"] == MANAGER && labels[COMPONENT] == OF_SECRET
}

/// The place of an object, if its chain may have begun with what a Secret holds that `user` uses.
fn related(object: &Value, namespace: &str, user: &InstanceId) -> Option<TokenPlace> {
    let name = object["metadata"]["name"].as_str()?;
    let keepers = keepers(object);
    if object["metadata"]["labels"][COMPONENT] == OF_SECRET {
        let is_used = keepers.iter().any(|keeper| *keeper.uid == *user.uid);
        let name = name.strip_suffix(SECRET_ENDING).filter(|_| is_used)?;
        return Some(TokenPlace::Secret(SecretRef::new(namespace, name)));
    }
    let name = name.strip_suffix(INSTANCE_ENDING)?;
    let uid = keepers.into_iter().find(|keeper| keeper.name == name)?.uid;
    Some(TokenPlace::Instance(InstanceId::new(InstanceRef::new(namespace, name), uid)))
}

fn keepers(object: &Value) -> Vec<Keeper> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let references = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let keeper = |one: &Value| Keeper { is_secret: one["kind"] == "Secret", name: text(&one["name"]), uid: text(&one["uid"]) };
    references.map(keeper).collect()
}

/// Those for whom tokens were kept, the user's Secret as it is now, and the instance.
fn kept_for(before: &[Keeper], secret: &SecretRef, uid: Option<String>, user: &InstanceId) -> Vec<Keeper> {
    let mut keepers: Vec<_> = before.iter().filter(|keeper| !keeper.is_secret || uid.is_none()).cloned().collect();
    if let Some(uid) = uid {
        keepers.insert(0, Keeper { is_secret: true, name: secret.name.to_string(), uid });
    }
    if keepers.iter().all(|keeper| *keeper.uid != *user.uid) {
        keepers.push(Keeper { is_secret: false, name: user.name().to_owned(), uid: user.uid.to_string() });
    }
    keepers
}

fn references(keepers: &[Keeper]) -> Value {
    let reference = |keeper: &Keeper| {
        let (api_version, kind) = if keeper.is_secret { Kind::Secret.names() } else { Kind::ConnectorInstance.names() };
        json!({"apiVersion": api_version, "kind": kind, "name": keeper.name, "uid": keeper.uid})
    };
    keepers.iter().map(reference).collect()
}

/// Sees tokens change: another process, perhaps at its connect page, wrote them.
#[derive(Debug, Default)]
pub struct TokenSights(HashMap<SecretRef, String>);

impl TokenSights {
    /// The user's Secret whose tokens are not those that were last seen. The first sight of any counts only when `listed`: before,
    /// all are new.
    pub fn changed(&mut self, seen: &Seen<SecretRef>, listed: bool) -> Option<SecretRef> {
        let secret = seen.object.name.strip_suffix(SECRET_ENDING)?;
        let old = self.0.insert(seen.object.clone(), seen.version.clone());
        let is_new = old.map_or(listed, |old| old != seen.version);
        is_new.then(|| SecretRef::new(&*seen.object.namespace, secret))
    }

    /// They are gone.
    pub fn forget(&mut self, secret: &SecretRef) {
        self.0.remove(secret);
    }
}

fn problem(name: &str, error: &CallError) -> Problem {
    match error {
        CallError::Forbidden(Denial { of: Denied::Caller | Denied::Call, .. }) => Problem::human(
            Reason::StateUnavailable,
            format!(
                "the operator is not permitted to keep tokens in Secret {name}; allow it get, list, create and update on secrets in this namespace"
            ),
        ),
        error => call_problem(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_another_process_wrote_are_noticed_once() {
        let seen = |name: &str, version: &str| Seen {
            object: SecretRef::new("crm", name),
            uid: "u".into(),
            version: version.into(),
            generation: None,
            fingerprint: 0,
        };
        let mut sights = TokenSights::default();
        let keap = Some(SecretRef::new("crm", "keap"));
        assert_eq!(sights.changed(&seen("keap-oauth-tokens", "1"), false), None, "part of the first list");
        assert_eq!(sights.changed(&seen("keap-oauth-tokens", "1"), true), None, "listed again");
        assert_eq!(sights.changed(&seen("keap-oauth-tokens", "2"), true), keap);
        assert_eq!(sights.changed(&seen("keap", "1"), true), None, "another Secret");
        assert_eq!(sights.changed(&seen("keap-oauth-token", "1"), true), None, "of version 0.1.0");
        sights.forget(&SecretRef::new("crm", "keap-oauth-tokens"));
        assert_eq!(sights.changed(&seen("keap-oauth-tokens", "2"), true), keap, "made again");
    }

    fn instance(name: &str) -> InstanceId {
        InstanceId::new(InstanceRef::new("crm", name), format!("uid-of-{name}"))
    }

    fn secret() -> SecretRef {
        SecretRef::new("crm", "oauth")
    }

    #[test]
    fn tokens_are_kept_for_the_secret_as_it_is_and_for_every_instance() {
        let first = kept_for(&[], &secret(), Some("s1".into()), &instance("sales"));
        let both = kept_for(&first, &secret(), Some("s1".into()), &instance("billing"));
        let names = |keepers: &[Keeper]| keepers.iter().map(|keeper| keeper.uid.clone()).collect::<Vec<_>>();
        assert_eq!(names(&both), ["s1", "uid-of-sales", "uid-of-billing"]);
        assert!(Version { number: None, keepers: both.clone() }.is_shared());
        assert!(!Version { number: None, keepers: first }.is_shared());
        // made again by the tool that owns it
        let again = kept_for(&both, &secret(), Some("s2".into()), &instance("sales"));
        assert_eq!(names(&again), ["s2", "uid-of-sales", "uid-of-billing"]);
        let gone = kept_for(&again, &secret(), None, &instance("sales"));
        assert_eq!(gone, again, "gone for the moment");
        let object = json!({"metadata": {"ownerReferences": references(&again)}});
        assert_eq!(keepers(&object), again);
        assert!(!object.to_string().contains("controller"), "it has no one controller");
    }

    #[test]
    fn names_are_never_too_long_and_never_another_ones() {
        let of = |name: &str| super::name(&TokenPlace::Secret(SecretRef::new("crm", name)));
        assert_eq!(of("oauth"), "oauth-oauth-tokens");
        let (one, other) = ("a".repeat(253), format!("{}b", "a".repeat(252)));
        assert!(of(&one).len() <= LONGEST_NAME && of(&one) != of(&other));
        // an instance that is named like a Secret
        assert_ne!(of("oauth"), super::name(&TokenPlace::Instance(instance("oauth"))));
    }

    #[test]
    fn old_tokens_of_a_namespace_are_found_and_set_aside_events_are_not() {
        let object = |name: &str, component: &str, uid: &str, owner: &str| {
            json!({"metadata": {
                "name": name, "labels": {COMPONENT: component}, "ownerReferences": [{"kind": "ConnectorInstance", "name": owner, "uid": uid}],
            }})
        };
        let found = |object: &Value| related(object, "crm", &instance("sales"));
        let billing = instance("billing");
        assert_eq!(
            found(&object("billing-oauth-token", OF_INSTANCE, &billing.uid, "billing")),
            Some(TokenPlace::Instance(billing.clone()))
        );
        assert_eq!(found(&object("billing-set-aside-events", OF_INSTANCE, &billing.uid, "billing")), None);
        assert_eq!(found(&object("other-oauth-tokens", OF_SECRET, &billing.uid, "billing")), None, "used by others alone");
        let renamed = found(&object("other-oauth-tokens", OF_SECRET, &instance("sales").uid, "sales"));
        assert_eq!(renamed, Some(TokenPlace::Secret(SecretRef::new("crm", "other"))));
    }
}
