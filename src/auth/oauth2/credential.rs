//! One credential: its access token is asked for once at a time, kept before it is used, and kept in memory while it is fresh.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::task::TaskTracker;

use super::exchange::new_salt;
use super::material::{Material, Sends, Source};
use super::parts::{Holds, Parts};
use super::problem;
use super::request::{self, Client, Proof, TokenRequest};
use super::step::{self, Ask, Decision, Memory, Outcome, Situation};
use super::store::{Owner, SaveFailure, Version};
use super::stored::{AccessToken, StoredTokens};
use super::unsaved::{Saved, Unsaved};
use super::{answer, assertion};
use crate::api::conditions::Problem;
use crate::auth::Secret;
use crate::egress::Peer;
use crate::observe::metrics::TokenOutcome;
use crate::plan::Oauth2Plan;

/// Decisions for one access token: each change that somebody else makes meanwhile costs one more.
const MAX_ROUNDS: usize = 6;
/// Writes that are tried at once, and the pause between them.
const QUICK_SAVES: u32 = 3;
const QUICK_PAUSE: Duration = Duration::from_millis(300);
/// Pauses between later ones.
const FIRST_SAVE_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(15);

/// So often within its idle time it is seen whether a refresh token must be used.
const LOOKS_AT_IDLE: u32 = 20;

/// One credential.
pub(super) struct Credential {
    owner: Owner,
    parts: Arc<Parts>,
    process: Arc<str>,
    salt: String,
    running: TaskTracker,
    current: Mutex<Option<Current>>,
    /// The API took a token.
    accepted: AtomicBool,
    inner: tokio::sync::Mutex<Inner>,
}

/// Why a token is asked for, and by what right.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    /// The access token that was answered 401.
    pub(super) refused: Option<&'a str>,
    /// Does the right hold?
    pub(super) holds: &'a Holds,
}

/// The access token in use.
struct Current {
    plan: u64,
    secret: Option<Arc<Secret>>,
    token: AccessToken,
    fresh_until: Option<Instant>,
}

#[derive(Default)]
struct Inner {
    memory: Memory,
    /// Tokens that are kept nowhere else.
    held: Option<StoredTokens>,
    /// When an access token that this process was given ends, on a clock that nobody sets.
    ends: Option<(String, Instant)>,
    /// Tokens that came and are not stored yet.
    unsaved: Option<Unsaved>,
}

impl Credential {
    pub(super) fn new(owner: Owner, parts: Arc<Parts>, process: Arc<str>, running: TaskTracker) -> Self {
        Self {
            owner,
            parts,
            process,
            salt: new_salt(),
            running,
            current: Mutex::new(None),
            accepted: AtomicBool::new(false),
            inner: tokio::sync::Mutex::default(),
        }
    }

    /// The API took a token.
    pub(super) fn note_accepted(&self) {
        self.accepted.store(true, Ordering::Release);
    }

    /// The access token in memory, while it is fresh and was not refused.
    pub(super) fn current(&self, plan: &Oauth2Plan, refused: Option<&str>) -> Option<String> {
        let secret = self.parts.secrets.get(&self.owner.namespace, &plan.secret);
        let current = lock(&self.current);
        let current = current.as_ref().filter(|current| current.plan == plan.fingerprint() && current.secret == secret)?;
        let is_fresh = current.fresh_until.is_none_or(|end| Instant::now() < end);
        (is_fresh && refused != Some(current.token.token.as_str())).then(|| current.token.token.clone())
    }

    pub(super) async fn obtain(self: &Arc<Self>, plan: &Oauth2Plan, wish: Wish<'_>) -> Result<AccessToken, Problem> {
        let mut inner = self.inner.lock().await;
        if self.accepted.swap(false, Ordering::AcqRel) {
            inner.memory.note_accepted();
        }
        let mut secret = self.parts.secrets.get(&self.owner.namespace, &plan.secret);
        for _ in 0..MAX_ROUNDS {
            self.save_unsaved(&mut inner).await?;
            let material = Material::read(plan, &self.owner.namespace, secret.clone())?.with_certificate(
                plan,
                &self.owner.namespace,
                &*self.parts.secrets,
                Utc::now(),
            )?;
            let (stored, version) = if plan.keeps_tokens() {
                self.parts.store.load(&self.owner).await?
            } else {
                (inner.held.clone(), Version::default())
            };
            let now = Utc::now();
            let timed = stored.clone().map(|stored| on_own_clock(inner.ends.as_ref(), stored, now));
            let decision = step::decide(&Situation {
                plan,
                material: &material,
                stored: timed.as_ref(),
                memory: &inner.memory,
                refused: wish.refused,
                now,
                process: &self.process,
                is_shared: self.parts.store.is_shared(),
                salt: &self.salt,
            });
            let ask = match decision {
                Decision::Use(token) => {
                    self.keep_current(plan, secret, &token, now);
                    return Ok(token);
                }
                Decision::Wait(problem) | Decision::Stop(problem) => return Err(problem),
                Decision::Refused => return Err(problem::still_refused(plan)),
                Decision::Ask(ask) => ask,
            };
            if let Some(again) = self.ask(&mut inner, plan, &material, *ask, (stored, version), wish).await? {
                secret = again;
            }
        }
        Err(problem::contended(plan, &self.parts.store.place(&self.owner)))
    }

    /// Asks once and books what came of it; the next decision says what that means. Answers the Secret if it was read anew.
    async fn ask(
        self: &Arc<Self>,
        inner: &mut Inner,
        plan: &Oauth2Plan,
        material: &Material,
        ask: Ask,
        (stored, mut seen): (Option<StoredTokens>, Version),
        wish: Wish<'_>,
    ) -> Result<Option<Option<Arc<Secret>>>, Problem> {
        let origin = plan.token_url.origin();
        let identity = crate::auth::identity(&[&self.owner.namespace, &self.owner.name, &self.owner.uid, plan.field]);
        let permit = self.parts.hosts.acquire(&origin, identity).await.map_err(|wait| problem::patience(plan, wait))?;
        if !(wish.holds)() {
            return Err(problem::not_ours(plan));
        }
        let mut before = stored.unwrap_or_else(|| StoredTokens { in_flight: None, ..ask.chain.clone() });
        if ask.stores_first {
            match self.parts.store.save(&self.owner, &ask.chain, &seen).await {
                Ok(version) => (seen, before) = (version, ask.chain.clone()),
                Err(SaveFailure::Conflict) => return Ok(None),
                Err(SaveFailure::Failed(problem)) => return Err(problem),
            }
        }
        let outcome = if (wish.holds)() {
            inner.memory.note_sending(&ask);
            self.send(plan, material, &ask).await
        } else {
            Outcome::Unsent(problem::not_ours(plan))
        };
        drop(permit);
        self.count(plan, &outcome);
        let is_refused = matches!(outcome, Outcome::Failed(answer::Failure::InvalidGrant));
        let now = Utc::now();
        let next = step::settle(&mut inner.memory, plan, &ask, outcome, wish.refused.is_some(), now);
        if let Some(access) = next.access.as_ref().filter(|access| access.obtained_at == now)
            && let Some(life) = access.expires_at.and_then(|end| (end - now).to_std().ok())
        {
            inner.ends = Some((access.token.clone(), Instant::now() + life));
        }
        if !plan.keeps_tokens() {
            inner.held = Some(next);
            return Ok(None);
        }
        if next != before {
            inner.unsaved = Some(Unsaved { next, before, seen });
            self.save_or_go_on(inner).await?;
        }
        if !is_refused {
            return Ok(None);
        }
        // Somebody may have renewed it in the meantime, and memory need not know yet.
        self.parts.secrets.get_anew(&self.owner.namespace, &plan.secret).await.map(Some)
    }

    async fn send(&self, plan: &Oauth2Plan, material: &Material, ask: &Ask) -> Outcome {
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
        let sent = self.parts.egress.send_as(request::build(plan, client, asked), material.identity.as_deref()).await;
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
        let (instance, grant) = (&*self.owner.name, plan.grant);
        match outcome {
            Outcome::Granted(granted) => tracing::debug!(instance, ?grant, ?granted, "an access token came"),
            Outcome::Failed(failure) => tracing::warn!(instance, ?grant, ?failure, "no access token came"),
            Outcome::Unsent(problem) | Outcome::Lost(problem) => {
                tracing::warn!(instance, ?grant, ?counted, "no access token came: {}", problem.message);
            }
        }
    }

    /// Stores what came. What cannot be stored now is stored later; without it nothing more is asked.
    async fn save_or_go_on(self: &Arc<Self>, inner: &mut Inner) -> Result<(), Problem> {
        let mut last = None;
        for attempt in 0..QUICK_SAVES {
            if attempt > 0 {
                tokio::time::sleep(QUICK_PAUSE).await;
            }
            match self.save_once(inner).await {
                Saved::Stored | Saved::Overtaken => return Ok(()),
                Saved::Failed(problem) => last = Some(problem),
            }
        }
        let credential = Arc::clone(self);
        self.running.spawn(async move { credential.save_later().await });
        last.map_or(Ok(()), Err)
    }

    async fn save_unsaved(&self, inner: &mut Inner) -> Result<(), Problem> {
        if inner.unsaved.is_none() {
            return Ok(());
        }
        match self.save_once(inner).await {
            Saved::Stored | Saved::Overtaken => Ok(()),
            Saved::Failed(problem) => Err(problem),
        }
    }

    /// The tokens that came exist nowhere else: their write is repeated until it succeeds or somebody else went on.
    async fn save_later(&self) {
        let mut pause = FIRST_SAVE_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_SAVE_PAUSE);
            let mut inner = self.inner.lock().await;
            if inner.unsaved.is_none() {
                return;
            }
            match self.save_once(&mut inner).await {
                Saved::Stored | Saved::Overtaken => return,
                Saved::Failed(problem) => {
                    tracing::warn!(instance = %self.owner.name, "tokens are not stored yet: {}", problem.message);
                }
            }
        }
    }

    async fn save_once(&self, inner: &mut Inner) -> Saved {
        let Some(unsaved) = &mut inner.unsaved else { return Saved::Stored };
        let saved = unsaved.write(&*self.parts.store, &self.owner).await;
        if !matches!(saved, Saved::Failed(_)) {
            inner.unsaved = None;
        }
        saved
    }

    fn keep_current(&self, plan: &Oauth2Plan, secret: Option<Arc<Secret>>, token: &AccessToken, now: DateTime<Utc>) {
        let fresh = token.renew_at().map(|end| (end - now).to_std().unwrap_or_default());
        // A refresh token that nobody uses is looked at now and then, however long the access token lives.
        let look = plan.refresh.idle_ttl.map(|ttl| ttl / LOOKS_AT_IDLE);
        let fresh_until = fresh.into_iter().chain(look).min().map(|wait| Instant::now() + wait);
        *lock(&self.current) = Some(Current { plan: plan.fingerprint(), secret, token: token.clone(), fresh_until });
    }
}

/// The wall clock may have been set since a token came; how long it lives does not change by that.
fn on_own_clock(ends: Option<&(String, Instant)>, mut stored: StoredTokens, now: DateTime<Utc>) -> StoredTokens {
    if let Some(access) = &mut stored.access
        && let Some((_, end)) = ends.filter(|(token, _)| *token == access.token)
        && let Some(expires_at) = access.expires_at
    {
        let left = chrono::Duration::from_std(end.saturating_duration_since(Instant::now())).unwrap_or_default();
        access.obtained_at += now + left - expires_at;
        access.expires_at = Some(now + left);
    }
    stored
}

/// Every critical section leaves its value whole, so a panic elsewhere is no reason to stop.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
