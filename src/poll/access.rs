//! A job's access to the provider or the callback: the authentication of its requests, and its renewal while the job goes on.

use std::sync::Arc;

use chrono::Utc;

use super::context::EngineContext;
use super::instance::Instance;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceId;
use crate::auth::oauth2::parts::Holds;
use crate::auth::oauth2::problem::still_refused;
use crate::auth::{RequestAuth, client_identity};
use crate::egress::identity::Identity;
use crate::plan::AuthPlan;

/// The access of one job.
pub struct Access<'a> {
    core: &'a EngineContext,
    instance: &'a Arc<Instance>,
    plan: Arc<AuthPlan>,
    /// Of credentials that are renewed.
    user: Option<InstanceId>,
    auth: Arc<RequestAuth>,
    accepted: bool,
    identity: Option<Arc<Identity>>,
}

impl<'a> Access<'a> {
    /// Prepares it, which may ask for a token. `root`: `spec.auth` or `spec.callback.auth`.
    ///
    /// # Errors
    /// Why there are no credentials.
    pub async fn prepare(
        core: &'a EngineContext,
        instance: &'a Arc<Instance>,
        root: &str,
        plan: &Arc<AuthPlan>,
    ) -> Result<Self, Problem> {
        let plan = Arc::clone(plan);
        let AuthPlan::Oauth2(_) = &*plan else {
            let auth = crate::auth::prepare(root, &plan, &instance.plan.instance.namespace, &*core.secrets)?;
            return Ok(Self { core, instance, plan, user: None, auth: Arc::new(auth), accepted: false, identity: None });
        };
        let user = InstanceId::new(instance.plan.instance.clone(), &*instance.state().uid);
        let auth = core.credentials.authorize(&plan, &user, holds(instance), None).await?;
        Ok(Self { core, instance, plan, user: Some(user), auth: Arc::new(auth), accepted: false, identity: None })
    }

    /// The same with the client certificate in the Secret of that name.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn with_certificate(self, secret: Option<&str>) -> Result<Self, Problem> {
        let Some(secret) = secret else { return Ok(self) };
        let namespace = &*self.instance.plan.instance.namespace;
        let identity = Some(client_identity(namespace, secret, &*self.core.secrets, Utc::now())?);
        let auth = Arc::new((*self.auth).clone().with_identity(identity.clone()));
        Ok(Self { auth, identity, ..self })
    }

    /// The authentication as it is now.
    pub fn auth(&self) -> Arc<RequestAuth> {
        Arc::clone(&self.auth)
    }

    /// Can it be renewed?
    pub fn is_renewable(&self) -> bool {
        self.user.is_some()
    }

    /// The other side took it.
    pub fn note_accepted(&mut self) {
        if let Some(user) = self.user.as_ref().filter(|_| !self.accepted) {
            self.accepted = true;
            self.core.credentials.note_accepted(&self.plan, user);
        }
    }

    /// Another authentication when this one is about to end; a long list takes longer than many a token lives.
    ///
    /// # Errors
    /// There is no other one, and this one has ended.
    pub async fn renew_in_time(&mut self) -> Result<Option<RequestAuth>, Problem> {
        let Some(user) = &self.user else { return Ok(None) };
        if self.core.credentials.is_current(&self.plan, user, &self.auth) {
            return Ok(None);
        }
        self.renew(false).await
    }

    /// Another authentication after this one was answered 401; `problem` is returned when it cannot be renewed at all.
    ///
    /// # Errors
    /// There is no other one.
    pub async fn renew_refused(&mut self, problem: Problem) -> Result<RequestAuth, Problem> {
        if self.user.is_none() || problem.reason != Reason::Unauthorized {
            return Err(problem);
        }
        self.renew(true).await?.ok_or(problem)
    }

    /// What to say when the renewed one was refused, too: the same as later, when it is not renewed any more.
    pub fn refused_again(&self, problem: Problem) -> Problem {
        match &*self.plan {
            AuthPlan::Oauth2(plan) if problem.reason == Reason::Unauthorized => still_refused(plan),
            _ => problem,
        }
    }

    async fn renew(&mut self, refused: bool) -> Result<Option<RequestAuth>, Problem> {
        let Some(user) = &self.user else { return Ok(None) };
        let refused = refused.then_some(&*self.auth);
        let auth = self.core.credentials.authorize(&self.plan, user, holds(self.instance), refused).await?;
        let auth = auth.with_identity(self.identity.clone());
        (self.auth, self.accepted) = (Arc::new(auth.clone()), false);
        Ok(Some(auth))
    }
}

fn holds(instance: &Arc<Instance>) -> Holds {
    let claim = instance.claim.clone();
    Arc::new(move || claim.holds())
}
