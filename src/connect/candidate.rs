//! Instances as the connect page sees them.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::api::conditions::Problem;
use crate::plan::{AuthPlan, Oauth2Plan, PollPlan};

/// An instance for which a person may give consent.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Uid of the instance: one that was deleted and made again is another one.
    pub uid: String,
    /// Where consent is given, and where tokens come from.
    pub plan: Arc<Oauth2Plan>,
    /// Whether it needs one now.
    pub need: Need,
}

/// Whether an instance needs a consent at this moment, as its status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It waits for one: `status.connect` is there.
    Waits,
    /// The provider accepts its credentials.
    Connected,
    /// Not known yet: it has not been polled since it was made or changed, or something else keeps it from being polled.
    Unsettled,
}

impl Need {
    /// From a status: whether it has `connect`, and the status of its condition `Authenticated`.
    pub fn told_by(has_connect: bool, authenticated: Option<&str>) -> Self {
        match authenticated {
            _ if has_connect => Self::Waits,
            Some("True") => Self::Connected,
            _ => Self::Unsettled,
        }
    }
}

/// Where the connect page finds instances.
pub trait Candidates: Send + Sync {
    /// The instance of that name, if a person can give consent for it.
    ///
    /// # Errors
    /// Why that is unknown at the moment.
    fn find<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Candidate>, Problem>>;

    /// Consent was given and its tokens are stored: what waits for it need not wait longer.
    fn note_consent<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, ()>;
}

/// How tokens for the provider are obtained, where a person can give consent for them.
pub fn consent_plan(plan: &PollPlan) -> Option<&Arc<Oauth2Plan>> {
    let mut plans = plan.resources.iter().filter_map(|resource| match &*resource.auth {
        AuthPlan::Oauth2(plan) => Some(plan),
        _ => None,
    });
    plans.next().filter(|plan| plan.takes_consent())
}
