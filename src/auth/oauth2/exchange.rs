//! The code of a consent that was given at the connect page → tokens that are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;

use super::answer::{self, Failure, Granted};
use super::assertion;
use super::material::{Material, Source};
use super::parts::Parts;
use super::problem;
use super::request::{self, Client, Proof, TokenRequest};
use super::store::{SaveFailure, TokenPlace, Version};
use super::stored::StoredTokens;
use super::takeover::Takeover;
use crate::api::conditions::Problem;
use crate::api::identity::{InstanceId, SecretRef};
use crate::auth::certificate::identity_in;
use crate::egress::Peer;
use crate::observe::metrics::TokenOutcome;
use crate::plan::Oauth2Plan;

/// How often storing the tokens is tried, and the pause between: they exist nowhere else.
const SAVES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);
/// Changes by others that are waited out without a pause.
const MAX_CONFLICTS: u32 = 20;

/// Why a consent brought no tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTokens {
    /// A person must fix something, or it may pass by itself.
    Failed(Problem),
    /// The code was sent and no answer came. It is never sent again.
    Lost,
}

/// What is asked for with the code.
#[derive(Clone, Copy)]
pub struct Consent<'a> {
    /// The code.
    pub code: &'a str,
    /// Where it was sent (RFC 6749 §4.1.3).
    pub redirect_uri: &'a str,
    /// The secret behind the challenge (RFC 7636 §4.5).
    pub verifier: &'a str,
}

/// The id of the client, as the authorization request names it.
///
/// # Errors
/// The user's Secret cannot be used.
pub async fn client_id(parts: &Parts, plan: &Oauth2Plan, user: &InstanceId) -> Result<String, Problem> {
    material(parts, plan, user).await.map(|material| material.client_id)
}

/// Moves tokens that version 0.1.0 kept for the instance to their Secret: a consent begins a chain that knows what was before.
///
/// # Errors
/// They cannot be moved.
pub async fn move_tokens(parts: &Parts, plan: &Oauth2Plan, user: &InstanceId) -> Result<(), Problem> {
    let material = material(parts, plan, user).await?;
    let source = material.source.as_ref().ok().map(Source::token);
    let secret = SecretRef::of(user.namespace(), plan);
    Takeover { parts, plan, secret: &secret, user, source }.of_the_instance().await
}

/// Exchanges the code, once, and stores the tokens: they begin a new chain. The caller has taken the pending consent away before, so that
/// no other process sends the code.
///
/// # Errors
/// [`NoTokens`].
pub async fn exchange(parts: &Parts, plan: &Oauth2Plan, user: &InstanceId, consent: Consent<'_>) -> Result<(), NoTokens> {
    let material = material(parts, plan, user).await.map_err(NoTokens::Failed)?;
    let granted = send(parts, plan, user, &material, consent).await?;
    keep(parts, plan, user, &granted).await.map_err(NoTokens::Failed)
}

/// Read where it is kept: this process need not be the one that polls the instance and holds its Secret.
async fn material(parts: &Parts, plan: &Oauth2Plan, user: &InstanceId) -> Result<Material, Problem> {
    let secret = parts.secrets.get_anew(user.namespace(), &plan.secret).await?;
    let mut material = Material::read(plan, user.namespace(), secret)?;
    if let Some(tls) = plan.tls.as_deref() {
        let mut read = BTreeMap::new();
        for name in tls.secrets() {
            read.insert(name, parts.secrets.get_anew(user.namespace(), name).await?);
        }
        material.identity = identity_in(tls, user.namespace(), &read, Utc::now())?;
    }
    Ok(material)
}

async fn send(
    parts: &Parts,
    plan: &Oauth2Plan,
    user: &InstanceId,
    material: &Material,
    consent: Consent<'_>,
) -> Result<Granted, NoTokens> {
    let identity = SecretRef::of(user.namespace(), plan).identity(plan);
    let permit = parts.hosts.acquire(&plan.token_url.origin(), &user.instance, identity).await;
    let permit = permit.map_err(|wait| NoTokens::Failed(problem::retry_after(plan, wait)))?;
    let id = uuid::Uuid::new_v4().to_string();
    let signed = assertion::sign(plan, material, request::place(plan, false), [&id, &id], Utc::now());
    let signed = signed.map_err(NoTokens::Failed)?;
    let client =
        Client { id: &material.client_id, proof: Proof::of(signed.client.as_deref(), material.client_secret.as_deref()) };
    let asked = TokenRequest::AuthorizationCode {
        code: consent.code,
        redirect_uri: Some(consent.redirect_uri),
        code_verifier: Some(consent.verifier),
    };
    let sent = parts.egress.send_apart(request::build(plan, client, asked), material.identity.as_deref()).await;
    permit.note(&sent);
    parts.metrics.request(Peer::TokenEndpoint, sent.as_ref().ok().map(|response| response.status));
    let read =
        match sent {
            Ok(response) => answer::read(&plan.response, response.status, &response.headers, &response.body, Utc::now())
                .map_err(|failure| match failure {
                    Failure::Lost(_) => (TokenOutcome::Lost, NoTokens::Lost),
                    failure => (TokenOutcome::Refused, NoTokens::Failed(problem::failed(plan, &failure))),
                }),
            Err(error) if error.is_unsent() => {
                Err((TokenOutcome::Unsent, NoTokens::Failed(error.into_problem(Peer::TokenEndpoint))))
            }
            Err(_) => Err((TokenOutcome::Lost, NoTokens::Lost)),
        };
    parts.metrics.token_request(read.as_ref().map_or_else(|(outcome, _)| *outcome, |_| TokenOutcome::Granted));
    read.map_err(|(_, none)| none)
}

/// Whatever chain there is by now, this consent is newer.
async fn keep(parts: &Parts, plan: &Oauth2Plan, user: &InstanceId, granted: &Granted) -> Result<(), Problem> {
    let (mut tries, mut conflicts) = (0, 0);
    loop {
        let failed = match keep_once(parts, plan, user, granted).await {
            Ok(()) => return Ok(()),
            Err(SaveFailure::Conflict) if conflicts < MAX_CONFLICTS => {
                conflicts += 1;
                continue;
            }
            Err(SaveFailure::Conflict) => {
                problem::contended(plan, &parts.store.name(&TokenPlace::Secret(SecretRef::of(user.namespace(), plan))))
            }
            Err(SaveFailure::Failed(problem)) => problem,
        };
        tries += 1;
        if tries >= SAVES {
            return Err(failed);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn keep_once(parts: &Parts, plan: &Oauth2Plan, user: &InstanceId, granted: &Granted) -> Result<(), SaveFailure> {
    let place = TokenPlace::Secret(SecretRef::of(user.namespace(), plan));
    let (stored, seen): (_, Version) = parts.store.load(&place).await.map_err(SaveFailure::Failed)?;
    let stored = stored.unwrap_or_else(|| StoredTokens::new(new_salt()));
    // The Secret may still hold what the old chain began with: that begins no other one.
    let material = material(parts, plan, user).await.map_err(SaveFailure::Failed)?;
    let source = material.source.ok().map(|source| stored.fingerprint(source.token()));
    let begun = StoredTokens { endpoint: Some(plan.endpoint()), ..stored.succeeded_by(source) };
    let next = begun.granted(granted, None, Some(&plan.variant()), Utc::now());
    parts.store.save(&place, user, &next, &seen).await.map(drop)
}

/// Salt of a chain that begins.
pub fn new_salt() -> String {
    data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>())
}
