//! The credentials of all instances of this process: one for each Secret, however many instances name it.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::Utc;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::credential::{Credential, Wish};
use super::parts::{Holds, Parts};
use super::problem;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::{InstanceId, InstanceRef, SecretRef};
use crate::auth::{RequestAuth, identity, prepare, tls_identity};
use crate::observe::span;
use crate::plan::{AuthPlan, Oauth2Plan, ResourcePlan};

/// The credentials of all instances of this process.
pub struct Credentials {
    parts: Arc<Parts>,
    /// Distinguishes this process from every other one in markers.
    process: Arc<str>,
    by_key: Mutex<HashMap<Key, Arc<Credential>>>,
    /// What each instance uses.
    used: Mutex<HashMap<InstanceRef, Vec<Key>>>,
    /// Requests and writes that must not be broken off.
    running: TaskTracker,
}

/// What a credential is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    secret: SecretRef,
    /// For tokens that no chain leads to, the field and the fingerprint of the plan. A chain is one, whatever is asked for with it.
    request: Option<(&'static str, u64)>,
}

impl Key {
    fn of(namespace: &str, plan: &Oauth2Plan) -> Self {
        let request = (!plan.keeps_tokens()).then(|| (plan.field, plan.fingerprint()));
        Self { secret: SecretRef::of(namespace, plan), request }
    }
}

impl Credentials {
    /// None yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            process: uuid::Uuid::new_v4().to_string().into(),
            by_key: Mutex::default(),
            used: Mutex::default(),
            running: TaskTracker::new(),
        }
    }

    /// An instance is polled from now on, with these plans alone: what it used before and no other one uses is forgotten.
    pub fn join<'a>(&self, instance: &InstanceRef, plans: impl IntoIterator<Item = &'a AuthPlan>) {
        let mut keys = Vec::new();
        for plan in plans {
            let AuthPlan::Oauth2(plan) = plan else { continue };
            let key = Key::of(&instance.namespace, plan);
            self.credential(&key).join(&instance.name, plan);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let old = if keys.is_empty() {
            self.used.lock().remove(instance)
        } else {
            self.used.lock().insert(instance.clone(), keys.clone())
        };
        self.leave(&instance.name, old.into_iter().flatten().filter(|key| !keys.contains(key)));
    }

    /// Makes a request's authentication. `refused` is one that was just answered 401: then it is renewed, at most once for each
    /// access token. A request to the token endpoint goes on even when the caller is dropped, and its answer is kept.
    ///
    /// # Errors
    /// Why there is none, or none that is better than the refused one (`Unauthorized`).
    pub async fn authorize(
        &self,
        plan: &AuthPlan,
        user: &InstanceId,
        holds: Holds,
        refused: Option<&RequestAuth>,
    ) -> Result<RequestAuth, Problem> {
        let AuthPlan::Oauth2(plan) = plan else {
            return prepare("spec.auth", plan, user.namespace(), &*self.parts.secrets);
        };
        let refused = refused.and_then(RequestAuth::bearer_token);
        let key = Key::of(user.namespace(), plan);
        let credential = self.credential(&key);
        if let Some(token) = credential.current(plan, user, refused) {
            return self.bearer(plan, &key.secret, &token);
        }
        let (refused, asked, user) = (refused.map(str::to_owned), Arc::clone(plan), user.clone());
        let span = span::token(&user.instance, &key.secret.name);
        let obtain =
            async move { credential.obtain(&asked, Wish { user: &user, refused: refused.as_deref(), holds: &holds }).await };
        let obtaining = self.running.spawn(obtain.instrument(span));
        let token = obtaining.await.unwrap_or_else(|_| {
            Err(Problem::transient(
                Reason::InternalError,
                "requesting an access token ended unexpectedly; please report this with the log",
            ))
        })?;
        self.bearer(plan, &key.secret, &token.token)
    }

    /// The same with the TLS of the resource, for commands that make it once.
    ///
    /// # Errors
    /// As [`Credentials::authorize`], and what is wrong with a certificate or authorities.
    pub async fn authorize_once(&self, resource: &ResourcePlan, user: &InstanceId) -> Result<RequestAuth, Problem> {
        let auth = self.authorize(&resource.auth, user, Arc::new(|| true), None).await?;
        let identity = resource.tls.as_deref().map(|tls| tls_identity(tls, user.namespace(), &*self.parts.secrets, Utc::now()));
        Ok(auth.with_identity(identity.transpose()?.flatten()))
    }

    /// Whether the authentication is still the one that would be made now. If not, it is made again before it is refused.
    pub fn is_current(&self, plan: &AuthPlan, user: &InstanceId, auth: &RequestAuth) -> bool {
        let AuthPlan::Oauth2(plan) = plan else { return true };
        let current = self.credential(&Key::of(user.namespace(), plan)).current(plan, user, None);
        current.is_some() && current.as_deref() == auth.bearer_token()
    }

    /// The provider took the authentication.
    pub fn note_accepted(&self, plan: &AuthPlan, user: &InstanceId) {
        if let AuthPlan::Oauth2(plan) = plan {
            self.credential(&Key::of(user.namespace(), plan)).note_accepted(user.name());
        }
    }

    /// The instance is no longer this process's: what only it used is forgotten, unless a request or a write is under way.
    pub fn release(&self, instance: &InstanceRef) {
        let used = self.used.lock().remove(instance);
        self.leave(&instance.name, used.into_iter().flatten());
    }

    fn leave(&self, name: &str, keys: impl Iterator<Item = Key>) {
        let mut by_key = self.by_key.lock();
        for key in keys {
            let is_last =
                by_key.get(&key).is_some_and(|credential| credential.leave(name) && Arc::strong_count(credential) == 1);
            if is_last {
                by_key.remove(&key);
            }
        }
    }

    /// Waits until every request has its answer and every answer is kept.
    pub async fn finish(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Instances that share a credential share what a host asks it to wait; those that share a client share what it may ask.
    fn bearer(&self, plan: &Oauth2Plan, secret: &SecretRef, token: &str) -> Result<RequestAuth, Problem> {
        let found = self.parts.secrets.get(&secret.namespace, &secret.name);
        let id = found.as_ref().and_then(|found| std::str::from_utf8(found.data.get("client_id")?).ok());
        let client = id.map(|id| identity(&["client", plan.token_url.as_str(), id.trim()]));
        RequestAuth::bearer(token, &secret.parts(plan), client).ok_or_else(|| problem::unusable(plan))
    }

    fn credential(&self, key: &Key) -> Arc<Credential> {
        let mut by_key = self.by_key.lock();
        if let Some(credential) = by_key.get(key) {
            return Arc::clone(credential);
        }
        let (parts, process) = (Arc::clone(&self.parts), Arc::clone(&self.process));
        let credential = Arc::new(Credential::new(key.secret.clone(), parts, process, self.running.clone()));
        by_key.insert(key.clone(), Arc::clone(&credential));
        credential
    }
}
