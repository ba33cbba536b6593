//! What keeps the requests of a resource within what its provider allows: what the connector declares, and what answers say is left.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use url::Origin;

use crate::api::conditions::{Problem, Reaction, Reason};
use crate::api::identity::InstanceRef;
use crate::api::limits::LimitScope;
use crate::auth::RequestAuth;
use crate::egress::allowance::Allowance;
use crate::egress::hosts::{HostBudget, Permit, PutOff};
use crate::egress::quota;
use crate::egress::retry_after::server_clock;
use crate::egress::spending::Charge;
use crate::plan::{LimitsPlan, RequestLimitPlan, ResourcePlan};

/// The limits that the requests of a resource count against.
pub(super) struct Restraint<'a> {
    hosts: &'a HostBudget,
    origin: &'a Origin,
    limits: Option<&'a LimitsPlan>,
    auth: &'a RequestAuth,
}

impl<'a> Restraint<'a> {
    pub(super) fn new(hosts: &'a HostBudget, resource: &'a ResourcePlan, auth: &'a RequestAuth) -> Self {
        Self { hosts, origin: &resource.request.origin, limits: resource.limits.as_deref(), auth }
    }

    /// Waits until one more request may be under way. The place is given back when what this yields is dropped.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let most = self.limits.and_then(|limits| limits.concurrent)?;
        self.hosts.turn(self.origin, self.auth.fingerprint, most).await
    }

    /// Waits until a request may be sent, and counts it.
    ///
    /// # Errors
    /// It would have to wait long; it is not counted then.
    pub(super) async fn permit(&self, instance: &InstanceRef) -> Result<Permit, Problem> {
        let charges: Vec<_> = self.limits().map(|limit| self.charge(limit)).collect();
        let permit = self.hosts.admit(self.origin, instance, self.auth.fingerprint, &charges).await;
        permit.map_err(|put_off| match put_off {
            PutOff::Held(wait) => {
                let text =
                    "polling.interval: the provider is rate limiting requests; if this persists, increase polling.interval";
                Problem::throttled(Reason::RateLimited, text, Some(wait))
            }
            PutOff::UsedUp(wait) => used_up(Some(wait)),
        })
    }

    /// Reads what an answer says is left. How long no further request is allowed; `None`: one is.
    pub(super) fn after(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
        if let Some(low) = quota::low(headers, now) {
            self.hosts.pace(self.origin, self.auth.fingerprint, low.gap, low.lasts);
        }
        let by_provider = server_clock(headers, now);
        let text = |name: &Option<HeaderName>| headers.get(name.as_ref()?)?.to_str().ok();
        let spent = self.limits().filter_map(|limit| {
            let left = text(&limit.remaining)?.trim().parse().ok()?;
            let renewed = text(&limit.reset).and_then(|renewed| quota::renewed_in(renewed, by_provider));
            self.hosts.believe(self.origin, &self.charge(limit), left, renewed).filter(|_| left == 0)
        });
        spent.max()
    }

    /// What a refusal means when a limit is spent: that, and not that the credential may not read the list.
    pub(super) fn explain(problem: Problem, status: StatusCode, spent: Option<Duration>) -> Problem {
        match problem.reaction {
            Reaction::Throttled => Problem { retry_after: problem.retry_after.max(spent), ..problem },
            Reaction::Human if spent.is_some() && status == StatusCode::FORBIDDEN => used_up(spent),
            _ => problem,
        }
    }

    fn limits(&self) -> impl Iterator<Item = &'a RequestLimitPlan> {
        self.limits.into_iter().flat_map(|limits| &limits.requests)
    }

    fn charge(&self, limit: &RequestLimitPlan) -> Charge {
        let subject = match limit.scope {
            LimitScope::Credential => self.auth.fingerprint,
            LimitScope::Client => self.auth.client,
        };
        Charge { subject, group: limit.group, allowance: Allowance { count: limit.count, period: limit.period } }
    }
}

fn used_up(wait: Option<Duration>) -> Problem {
    let text = "polling.interval: the requests that the provider allows are used up for now; the poll is repeated when more are \
                allowed. If this persists, increase polling.interval or poll fewer resources";
    Problem::throttled(Reason::RateLimited, text, wait)
}
