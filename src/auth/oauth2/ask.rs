//! One request to the token endpoint: marked before, booked and stored afterwards.

use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;

use super::credential::{Credential, Inner, Wish};
use super::material::{Material, Sends, Source};
use super::memory::Forced;
use super::request::{self, Client, Proof, TokenRequest};
use super::step::{self, Ask, Outcome};
use super::store::{SaveFailure, Version};
use super::stored::StoredTokens;
use super::unsaved::Unsaved;
use super::{answer, assertion, problem};
use crate::api::conditions::Problem;
use crate::auth::Secret;
use crate::egress::Peer;
use crate::egress::hosts::Permit;
use crate::observe::metrics::TokenOutcome;
use crate::plan::Oauth2Plan;

impl Credential {
    /// Sends one request and records its result; the next decision says what that means. Returns the Secret if it was read again.
    pub(super) async fn ask(
        self: &Arc<Self>,
        inner: &mut Inner,
        plan: &Oauth2Plan,
        material: &Material,
        ask: Ask,
        (stored, mut seen): (Option<StoredTokens>, Version),
        wish: Wish<'_>,
    ) -> Result<Option<Option<Arc<Secret>>>, Problem> {
        let origin = plan.token_url.origin();
        let identity = self.secret.identity(plan);
        let permit = self.parts.hosts.acquire(&origin, &wish.user.instance, identity).await;
        let permit = permit.map_err(|wait| problem::retry_after(plan, wait))?;
        if !(wish.holds)() {
            return Err(problem::not_ours(plan));
        }
        let mut before = stored.unwrap_or_else(|| StoredTokens { in_flight: None, ..ask.chain.clone() });
        if ask.stores_first {
            match self.parts.store.save(&self.place, wish.user, &ask.chain, &seen).await {
                Ok(version) => (seen, before) = (version, ask.chain.clone()),
                Err(SaveFailure::Conflict) => return Ok(None),
                Err(SaveFailure::Failed(problem)) => return Err(problem),
            }
        }
        let outcome = if (wish.holds)() {
            inner.memory.note_sending(&ask);
            self.send(plan, material, &ask, &permit).await
        } else {
            Outcome::Unsent(problem::not_ours(plan))
        };
        drop(permit);
        self.count(plan, &outcome);
        let is_refused = matches!(outcome, Outcome::Failed(answer::Failure::InvalidGrant));
        let now = Utc::now();
        if wish.refused.is_some() && matches!(outcome, Outcome::Granted(_)) {
            self.forced.lock().insert(wish.user.name().to_owned(), Forced { at: now, worked: false });
        }
        let next = step::settle(&mut inner.memory, plan, &ask, outcome, now);
        if let Some(access) = next.access.as_ref().filter(|access| access.obtained_at == now)
            && let Some(life) = access.expires_at.and_then(|end| (end - now).to_std().ok())
        {
            let since = Instant::now();
            inner.ends.retain(|_, end| since < *end);
            inner.ends.insert(access.token.clone(), since + life);
        }
        if !plan.keeps_tokens() {
            inner.held = Some(next);
            return Ok(None);
        }
        if next != before {
            inner.unsaved = Some(Unsaved { next, before, seen });
            self.save_or_go_on(inner, wish.user).await?;
        }
        if !is_refused {
            return Ok(None);
        }
        // It may have been renewed in the meantime, and memory need not know yet.
        self.parts.secrets.get_anew(&self.secret.namespace, &self.secret.name).await.map(Some)
    }

    async fn send(&self, plan: &Oauth2Plan, material: &Material, ask: &Ask, permit: &Permit) -> Outcome {
        let is_refresh = !matches!(ask.sends, Sends::ClientCredentials | Sends::Code(Source::Code { .. }));
        let ids = [(); 2].map(|()| uuid::Uuid::new_v4().to_string());
        let place = request::place(plan, is_refresh);
        let signed = match assertion::sign(plan, material, place, [&ids[0], &ids[1]], Utc::now()) {
            Ok(signed) => signed,
            Err(problem) => return Outcome::Unsent(problem),
        };
        let client =
            Client { id: &material.client_id, proof: Proof::of(signed.client.as_deref(), material.client_secret.as_deref()) };
        let asked = match &ask.sends {
            Sends::ClientCredentials => match &signed.grant {
                Some(assertion) => TokenRequest::JwtBearer { assertion },
                None => TokenRequest::ClientCredentials,
            },
            Sends::RefreshToken(token) | Sends::Code(Source::RefreshToken(token)) => TokenRequest::RefreshToken(token),
            Sends::Code(Source::Code { code, redirect_uri, code_verifier }) => TokenRequest::AuthorizationCode {
                code,
                redirect_uri: redirect_uri.as_deref(),
                code_verifier: code_verifier.as_deref(),
            },
        };
        let sent = self.parts.egress.send_apart(request::build(plan, client, asked), material.identity.as_deref()).await;
        permit.note(&sent);
        self.parts.metrics.request(Peer::TokenEndpoint, sent.as_ref().ok().map(|response| response.status));
        match sent {
            Ok(response) => {
                match answer::read(&plan.response, response.status, &response.headers, &response.body, Utc::now()) {
                    Ok(granted) => Outcome::Granted(granted),
                    Err(failure) => Outcome::Failed(failure),
                }
            }
            Err(error) if error.is_unsent() => Outcome::Unsent(error.into_problem(Peer::TokenEndpoint)),
            Err(error) => Outcome::Lost(error.into_problem(Peer::TokenEndpoint)),
        }
    }

    fn count(&self, plan: &Oauth2Plan, outcome: &Outcome) {
        use answer::Failure;
        let counted = match outcome {
            Outcome::Granted(_) => TokenOutcome::Granted,
            Outcome::Unsent(_) => TokenOutcome::Unsent,
            Outcome::Lost(_) | Outcome::Failed(Failure::Lost(_)) => TokenOutcome::Lost,
            Outcome::Failed(Failure::NotJson { .. } | Failure::Throttled(_) | Failure::Trouble(_)) => TokenOutcome::Failed,
            Outcome::Failed(_) => TokenOutcome::Refused,
        };
        self.parts.metrics.token_request(counted);
        let grant = plan.grant;
        match outcome {
            Outcome::Granted(granted) => tracing::debug!(?grant, ?granted, "an access token was issued"),
            Outcome::Failed(failure) => tracing::warn!(?grant, ?failure, "no access token was issued"),
            Outcome::Unsent(problem) | Outcome::Lost(problem) => {
                tracing::warn!(?grant, ?counted, "no access token was issued: {}", problem.message);
            }
        }
    }
}
