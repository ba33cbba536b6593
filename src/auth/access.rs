//! A job's access to the provider or to a sink: the authentication of its requests, and its renewal while the job goes on.

use std::sync::Arc;

use chrono::Utc;

use super::oauth2::credentials::Credentials;
use super::oauth2::parts::Holds;
use super::oauth2::problem::still_refused;
use super::{RequestAuth, Secrets, tls_identity};
use crate::api::conditions::{Problem, Remedy};
use crate::api::identity::InstanceId;
use crate::egress::identity::Identity;
use crate::plan::{AuthPlan, TlsPlan};

/// For whom requests are authenticated, and out of what.
#[derive(Clone)]
pub struct Requester<'a> {
    /// The instance.
    pub instance: InstanceId,
    /// Secrets of its namespace.
    pub secrets: &'a dyn Secrets,
    /// Access tokens.
    pub credentials: &'a Credentials,
    /// Whether this process may still act for the instance.
    pub holds: Holds,
}

/// The access of one job.
pub struct Access<'a> {
    requester: Requester<'a>,
    plan: Arc<AuthPlan>,
    auth: Arc<RequestAuth>,
    accepted: bool,
    identity: Option<Arc<Identity>>,
}

impl<'a> Access<'a> {
    /// Prepares it, which may ask for a token. `root`: `spec.auth` or `spec.callback.auth`.
    ///
    /// # Errors
    /// Why there are no credentials.
    pub async fn prepare(requester: Requester<'a>, root: &str, plan: &Arc<AuthPlan>) -> Result<Self, Problem> {
        let plan = Arc::clone(plan);
        let auth = match &*plan {
            AuthPlan::Oauth2(_) => {
                let holds = Arc::clone(&requester.holds);
                requester.credentials.authorize(&plan, &requester.instance, holds, None).await?
            }
            _ => super::prepare(root, &plan, requester.instance.namespace(), requester.secrets)?,
        };
        Ok(Self { requester, plan, auth: Arc::new(auth), accepted: false, identity: None })
    }

    /// The same with the client certificate and the authorities that a plan names.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn with_tls(self, plan: Option<&TlsPlan>) -> Result<Self, Problem> {
        let Some(plan) = plan else { return Ok(self) };
        let namespace = self.requester.instance.namespace();
        let identity = tls_identity(plan, namespace, self.requester.secrets, Utc::now())?;
        let auth = Arc::new((*self.auth).clone().with_identity(identity.clone()));
        Ok(Self { auth, identity, ..self })
    }

    /// The authentication as it is now.
    pub fn auth(&self) -> Arc<RequestAuth> {
        Arc::clone(&self.auth)
    }

    /// Whether it can be renewed.
    pub fn is_renewable(&self) -> bool {
        matches!(*self.plan, AuthPlan::Oauth2(_))
    }

    /// The other side took it.
    pub fn note_accepted(&mut self) {
        if self.is_renewable() && !self.accepted {
            self.accepted = true;
            self.requester.credentials.note_accepted(&self.plan, &self.requester.instance);
        }
    }

    /// Another authentication when this one is about to end; a long list takes longer than many a token lives.
    ///
    /// # Errors
    /// There is no other one, and this one has ended.
    pub async fn renew_in_time(&mut self) -> Result<Option<RequestAuth>, Problem> {
        if !self.is_renewable() || self.requester.credentials.is_current(&self.plan, &self.requester.instance, &self.auth) {
            return Ok(None);
        }
        self.renew(false).await.map(Some)
    }

    /// Another authentication after this one was refused, as `problem` says; it is returned when it cannot be renewed at all.
    ///
    /// # Errors
    /// There is no other one.
    pub async fn renew_refused(&mut self, problem: Problem) -> Result<RequestAuth, Problem> {
        if !self.is_renewable() || problem.remedy != Some(Remedy::RenewedCredentials) {
            return Err(problem);
        }
        self.renew(true).await
    }

    /// What to say when the renewed one was refused, too: the same as later, when it is not renewed any more.
    pub fn refused_again(&self, problem: Problem) -> Problem {
        match &*self.plan {
            AuthPlan::Oauth2(plan) if problem.remedy == Some(Remedy::RenewedCredentials) => still_refused(plan),
            _ => problem,
        }
    }

    async fn renew(&mut self, refused: bool) -> Result<RequestAuth, Problem> {
        let Requester { instance, credentials, holds, .. } = &self.requester;
        let refused = refused.then_some(&*self.auth);
        let auth = credentials.authorize(&self.plan, instance, Arc::clone(holds), refused).await?;
        let auth = auth.with_identity(self.identity.clone());
        (self.auth, self.accepted) = (Arc::new(auth.clone()), false);
        Ok(auth)
    }
}
