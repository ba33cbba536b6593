//! The credentials of all instances of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio_util::task::TaskTracker;

use super::credential::{Credential, Wish, lock};
use super::parts::{Holds, Parts};
use super::problem;
use super::store::Owner;
use crate::api::conditions::{Problem, Reason};
use crate::auth::{RequestAuth, prepare};
use crate::plan::{AuthPlan, Oauth2Plan};

/// The credentials of all instances of this process.
pub struct Credentials {
    parts: Arc<Parts>,
    /// Told apart from every other process by markers.
    process: Arc<str>,
    by_key: Mutex<HashMap<Key, Arc<Credential>>>,
    /// Requests and writes that must not be broken off.
    running: TaskTracker,
}

/// Owner, and the field of the plan: an instance may have one credential for the provider and one for the callback.
type Key = (Owner, &'static str);

impl Credentials {
    /// None yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            process: uuid::Uuid::new_v4().to_string().into(),
            by_key: Mutex::default(),
            running: TaskTracker::new(),
        }
    }

    /// Makes a request's authentication. `refused` is one that was just answered 401: then it is renewed, at most once for each
    /// access token. A request to the token endpoint goes on even when the caller is dropped, and its answer is kept.
    ///
    /// # Errors
    /// Why there is none, or none that is better than the refused one (`Unauthorized`).
    pub async fn authorize(
        &self,
        plan: &AuthPlan,
        owner: &Owner,
        holds: Holds,
        refused: Option<&RequestAuth>,
    ) -> Result<RequestAuth, Problem> {
        let AuthPlan::Oauth2(plan) = plan else {
            return prepare("spec.auth", plan, &owner.namespace, &*self.parts.secrets);
        };
        let refused = refused.and_then(RequestAuth::bearer_token);
        let credential = self.credential(owner, plan.field);
        if let Some(token) = credential.current(plan, refused) {
            return bearer(plan, owner, &token);
        }
        let (refused, asked) = (refused.map(str::to_owned), Arc::clone(plan));
        let obtaining = self
            .running
            .spawn(async move { credential.obtain(&asked, Wish { refused: refused.as_deref(), holds: &holds }).await });
        let token = obtaining.await.unwrap_or_else(|_| {
            Err(Problem::transient(
                Reason::InternalError,
                "asking for an access token ended unexpectedly; please report this with the log",
            ))
        })?;
        bearer(plan, owner, &token.token)
    }

    /// Is the authentication still the one that would be made now? If not, it is to be made anew before it is refused.
    pub fn is_current(&self, plan: &AuthPlan, owner: &Owner, auth: &RequestAuth) -> bool {
        let AuthPlan::Oauth2(plan) = plan else { return true };
        let current = self.credential(owner, plan.field).current(plan, None);
        current.is_some() && current.as_deref() == auth.bearer_token()
    }

    /// The provider took the authentication.
    pub fn note_accepted(&self, plan: &AuthPlan, owner: &Owner) {
        if let AuthPlan::Oauth2(plan) = plan {
            self.credential(owner, plan.field).note_accepted();
        }
    }

    /// The instance is no longer this process's: what is remembered of it is forgotten, unless a request or a write is under way.
    pub fn release(&self, namespace: &str, name: &str) {
        lock(&self.by_key).retain(|(owner, _), credential| {
            owner.namespace != namespace || owner.name != name || Arc::strong_count(credential) > 1
        });
    }

    /// Waits until every request has its answer and every answer is kept.
    pub async fn finish(&self) {
        self.running.close();
        self.running.wait().await;
    }

    fn credential(&self, owner: &Owner, field: &'static str) -> Arc<Credential> {
        let mut by_key = lock(&self.by_key);
        let credential = by_key.entry((owner.clone(), field)).or_insert_with(|| {
            Arc::new(Credential::new(owner.clone(), Arc::clone(&self.parts), Arc::clone(&self.process), self.running.clone()))
        });
        Arc::clone(credential)
    }
}

fn bearer(plan: &Oauth2Plan, owner: &Owner, token: &str) -> Result<RequestAuth, Problem> {
    RequestAuth::bearer(token, &[&owner.namespace, &owner.name, &owner.uid, plan.field]).ok_or_else(|| problem::unusable(plan))
}
