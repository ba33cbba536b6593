//! Asks providers: one request within what its host and its provider allow, and within the memory for bodies.

use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;

use super::restraint::Restraint;
use super::transcript::Transcript;
use crate::api::conditions::{Problem, Reaction};
use crate::api::identity::InstanceRef;
use crate::auth::RequestAuth;
use crate::cpu::CpuBudget;
use crate::egress::byte_budget::{ByteBudget, Share};
use crate::egress::hosts::HostBudget;
use crate::egress::{Egress, Peer, Request, Response};
use crate::observe::Metrics;
use crate::plan::ResourcePlan;

/// Asks providers: the client and the budget of every host.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The one client.
    pub egress: Egress,
    /// How much each host is asked.
    pub hosts: HostBudget,
    /// How many bytes of pages are held.
    pub bytes: ByteBudget,
    /// Whose turn it is to do what costs much CPU time.
    pub cpu: CpuBudget,
    /// Counts requests.
    pub metrics: Metrics,
    /// Keeps what comes back, for those who record it.
    pub transcript: Transcript,
}

impl Asker {
    /// Sends one request of a resource once it is its turn, and then calls `begun`. The memory of the body is given back with the share.
    ///
    /// # Errors
    /// The provider is rate limiting requests, or there is no response.
    pub async fn send(
        &self,
        instance: &InstanceRef,
        resource: &ResourcePlan,
        auth: &RequestAuth,
        request: Request,
        begun: impl FnOnce(),
    ) -> Result<(Response, Share), Problem> {
        let restraint = Restraint::new(&self.hosts, resource, auth);
        let _turn = restraint.turn().await;
        let permit = restraint.permit(instance).await?;
        begun();
        let mut share = self.bytes.share(instance);
        let asked = self.transcript.before(&request.url);
        let sent = self.egress.send_sharing(request, auth.identity.as_deref(), Some(&mut share)).await;
        permit.note(&sent);
        self.metrics.request(Peer::Provider, sent.as_ref().ok().map(|response| response.status));
        let response = sent.map_err(|error| error.into_problem(Peer::Provider))?;
        self.transcript.after(asked, &response);
        Ok((response, share))
    }

    /// Keeps what a response says of what is left of the limits of its resource.
    pub fn note_limits(&self, resource: &ResourcePlan, auth: &RequestAuth, response: &Response) -> Option<Duration> {
        Restraint::new(&self.hosts, resource, auth).after(&response.headers, Utc::now())
    }

    /// The problem of a response, by what it says of the limits. The wait that it demands is kept.
    pub fn explain(&self, resource: &ResourcePlan, auth: &RequestAuth, response: &Response, problem: Problem) -> Problem {
        let problem = Restraint::explain(problem, response.status, self.note_limits(resource, auth, response));
        if let Some(wait) = problem.retry_after.filter(|_| problem.reaction == Reaction::Throttled) {
            self.hosts.hold(&resource.request.origin, auth.fingerprint, Instant::now() + wait);
        }
        problem
    }
}
