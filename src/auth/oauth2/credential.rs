//! One credential, shared by all instances that name its Secret: its access token is asked for once at a time, kept before it is used,
//! and kept in memory while it is fresh.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::exchange::new_salt;
use super::material::{Material, Source};
use super::memory::{Forced, Memory};
use super::parts::{Holds, Parts};
use super::problem;
use super::step::{self, Decision, Situation};
use super::store::{TokenPlace, Version};
use super::stored::{AccessToken, StoredTokens};
use super::takeover::{Beginning, Takeover};
use super::unsaved::{Saved, Unsaved};
use crate::api::conditions::Problem;
use crate::api::identity::{InstanceId, SecretRef};
use crate::auth::Secret;
use crate::observe::span;
use crate::plan::Oauth2Plan;

/// Decisions for one access token: each change that another process makes meanwhile costs one more.
const MAX_ROUNDS: usize = 6;
/// Writes that are tried at once, and the pause between them.
const QUICK_SAVES: u32 = 3;
const QUICK_PAUSE: Duration = Duration::from_millis(300);
/// Pauses between later ones.
const FIRST_SAVE_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(15);
/// How long an instance waits for the answer that another process is waiting for, and the pauses between two looks: it mostly comes
/// within a second.
const LONGEST_AWAIT: Duration = Duration::from_secs(5);
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// How many times within its idle time it is checked whether a refresh token must be used.
const LOOKS_AT_IDLE: u32 = 20;

/// One credential.
pub(super) struct Credential {
    pub(super) secret: SecretRef,
    pub(super) place: TokenPlace,
    pub(super) parts: Arc<Parts>,
    process: Arc<str>,
    salt: String,
    running: TaskTracker,
    /// Instances of this process that use it, and the token endpoint that each of them names.
    users: Mutex<HashMap<String, String>>,
    /// By plan: plans may ask for different access tokens of one chain.
    current: Mutex<HashMap<u64, Current>>,
    /// Renewals that a 401 forced, by instance.
    pub(super) forced: Mutex<HashMap<String, Forced>>,
    /// Instances that may use the chain: tokens that version 0.1.0 kept for them were moved here, or there were none.
    moved: Mutex<HashSet<InstanceId>>,
    inner: tokio::sync::Mutex<Inner>,
}

/// Why a token is asked for, and by what right.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    /// The instance that asks.
    pub(super) user: &'a InstanceId,
    /// The access token that was answered 401.
    pub(super) refused: Option<&'a str>,
    /// Whether the right holds.
    pub(super) holds: &'a Holds,
}

/// The access token in use.
struct Current {
    secret: Option<Arc<Secret>>,
    token: AccessToken,
    fresh_until: Option<Instant>,
}

/// What one request at a time changes.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) memory: Memory,
    /// Tokens that are kept nowhere else.
    pub(super) held: Option<StoredTokens>,
    /// When access tokens that this process was given end, on a clock that no one sets.
    pub(super) ends: HashMap<String, Instant>,
    /// Tokens that came and are not stored yet.
    pub(super) unsaved: Option<Unsaved>,
}

impl Credential {
    pub(super) fn new(secret: SecretRef, parts: Arc<Parts>, process: Arc<str>, running: TaskTracker) -> Self {
        Self {
            place: TokenPlace::Secret(secret.clone()),
            secret,
            parts,
            process,
            salt: new_salt(),
            running,
            users: Mutex::default(),
            current: Mutex::default(),
            forced: Mutex::default(),
            moved: Mutex::default(),
            inner: tokio::sync::Mutex::default(),
        }
    }

    /// An instance uses it from now on.
    pub(super) fn join(&self, instance: &str, plan: &Oauth2Plan) {
        self.users.lock().insert(instance.to_owned(), plan.endpoint());
    }

    /// An instance uses it no longer. Answers whether no other one does.
    pub(super) fn leave(&self, instance: &str) -> bool {
        self.forced.lock().remove(instance);
        self.moved.lock().retain(|moved| moved.name() != instance);
        let mut users = self.users.lock();
        users.remove(instance);
        users.is_empty()
    }

    /// The API took a token.
    pub(super) fn note_accepted(&self, instance: &str) {
        if let Some(forced) = self.forced.lock().get_mut(instance) {
            forced.worked = true;
        }
    }

    fn has_moved(&self, user: &InstanceId) -> bool {
        self.moved.lock().contains(user)
    }

    /// The access token in memory, while it is fresh and was not refused.
    pub(super) fn current(&self, plan: &Oauth2Plan, user: &InstanceId, refused: Option<&str>) -> Option<String> {
        // An instance that has tokens of another account may not use these.
        if plan.keeps_tokens() && !self.has_moved(user) {
            return None;
        }
        let secret = self.parts.secrets.get(&self.secret.namespace, &self.secret.name);
        let current = self.current.lock();
        let current = current.get(&plan.fingerprint()).filter(|current| current.secret == secret)?;
        let is_fresh = current.fresh_until.is_none_or(|end| Instant::now() < end);
        (is_fresh && refused != Some(current.token.token.as_str())).then(|| current.token.token.clone())
    }

    pub(super) async fn obtain(self: &Arc<Self>, plan: &Oauth2Plan, wish: Wish<'_>) -> Result<AccessToken, Problem> {
        let mut inner = self.inner.lock().await;
        let namespace = &self.secret.namespace;
        let mut secret = self.parts.secrets.get(namespace, &self.secret.name);
        let (mut rounds, mut waited, mut look) = (0, Duration::ZERO, FIRST_LOOK);
        while rounds < MAX_ROUNDS {
            self.save_unsaved(&mut inner, wish.user).await?;
            let material = Material::read(plan, namespace, secret.clone())?;
            let material = material.with_tls(plan, namespace, &*self.parts.secrets, Utc::now())?;
            let takeover = self.takeover(plan, &material, wish.user);
            let (stored, version) = if plan.keeps_tokens() {
                if !self.has_moved(wish.user) {
                    takeover.of_the_instance().await?;
                    self.moved.lock().insert(wish.user.clone());
                }
                self.parts.store.load(&self.place).await?
            } else {
                (inner.held.clone(), Version::default())
            };
            self.note_beginning(plan, &material, stored.as_ref());
            let rightful = self.rightful(plan, stored.as_ref(), wish.user).await?;
            let now = Utc::now();
            let timed = stored.clone().map(|stored| on_own_clock(&inner.ends, stored, now));
            let decision = step::decide(&Situation {
                plan,
                material: &material,
                stored: timed.as_ref(),
                memory: &inner.memory,
                refused: wish.refused,
                now,
                process: &self.process,
                is_shared: self.parts.store.is_shared(),
                forced: self.forced.lock().get(wish.user.name()).copied(),
                rightful: rightful.as_deref(),
                salt: &self.salt,
            });
            let awaited = match decision {
                Decision::Use(token) => {
                    self.keep_current(plan, secret, &token, now);
                    return Ok(token);
                }
                Decision::Wait(problem) | Decision::Stop(problem) => return Err(self.explained(plan, problem, &version)),
                Decision::Refused => return Err(problem::still_refused(plan)),
                Decision::Await(problem) => problem,
                Decision::Ask(ask) => {
                    rounds += 1;
                    let beginning = match ask.beginning().filter(|_| plan.keeps_tokens()) {
                        Some(token) => takeover.before_beginning(token).await?,
                        None => Beginning::Free,
                    };
                    match beginning {
                        Beginning::Await(problem) => problem,
                        Beginning::TookOver => continue,
                        Beginning::Free => {
                            if let Some(again) = self.ask(&mut inner, plan, &material, *ask, (stored, version), wish).await? {
                                secret = again;
                            }
                            continue;
                        }
                    }
                }
            };
            if waited >= LONGEST_AWAIT {
                return Err(awaited);
            }
            if !(wish.holds)() {
                return Err(problem::not_ours(plan));
            }
            tokio::time::sleep(look).await;
            waited += look;
            look = (look * 2).min(LONGEST_LOOK);
        }
        Err(problem::contended(plan, &self.parts.store.name(&self.place)))
    }

    fn takeover<'a>(&'a self, plan: &'a Oauth2Plan, material: &'a Material, user: &'a InstanceId) -> Takeover<'a> {
        let source = material.source.as_ref().ok().map(Source::token);
        Takeover { parts: &self.parts, plan, secret: &self.secret, user, source }
    }

    /// A copy of the token in another Secret begins no second chain.
    fn note_beginning(&self, plan: &Oauth2Plan, material: &Material, stored: Option<&StoredTokens>) {
        if let (true, Ok(source), Some(stored)) = (plan.keeps_tokens(), &material.source, stored)
            && stored.knows(source.token())
        {
            self.parts.beginnings.claim(&plan.endpoint(), source.token(), &self.secret);
        }
    }

    /// Another instance that names the token endpoint to which the stored chain belongs, when this plan names another one.
    async fn rightful(
        &self,
        plan: &Oauth2Plan,
        stored: Option<&StoredTokens>,
        user: &InstanceId,
    ) -> Result<Option<String>, Problem> {
        let Some(stored) = stored.filter(|stored| step::is_elsewhere(plan, stored)) else { return Ok(None) };
        let endpoint = stored.endpoint.clone().unwrap_or_default();
        let own = self
            .users
            .lock()
            .iter()
            .filter(|(name, at)| **name != user.name() && **at == endpoint)
            .map(|(n, _)| n.clone())
            .min();
        match own {
            Some(other) => Ok(Some(other)),
            None => self.parts.store.rightful(&self.secret, user, &endpoint).await,
        }
    }

    /// Says that the Secret is shared, where a person must know it.
    fn explained(&self, plan: &Oauth2Plan, problem: Problem, version: &Version) -> Problem {
        if self.users.lock().len() > 1 || version.is_shared() { problem::shared(plan, problem) } else { problem }
    }

    /// Stores what came. What cannot be stored now is stored later; without it nothing more is asked.
    pub(super) async fn save_or_go_on(self: &Arc<Self>, inner: &mut Inner, user: &InstanceId) -> Result<(), Problem> {
        let mut last = None;
        for attempt in 0..QUICK_SAVES {
            if attempt > 0 {
                tokio::time::sleep(QUICK_PAUSE).await;
            }
            match self.save_once(inner, user).await {
                Saved::Stored | Saved::Overtaken => return Ok(()),
                Saved::Failed(problem) => last = Some(problem),
            }
        }
        let (credential, user) = (Arc::clone(self), user.clone());
        let span = span::token(&user.instance, &self.secret.name);
        self.running.spawn(async move { credential.save_later(&user).await }.instrument(span));
        last.map_or(Ok(()), Err)
    }

    async fn save_unsaved(&self, inner: &mut Inner, user: &InstanceId) -> Result<(), Problem> {
        if inner.unsaved.is_none() {
            return Ok(());
        }
        match self.save_once(inner, user).await {
            Saved::Stored | Saved::Overtaken => Ok(()),
            Saved::Failed(problem) => Err(problem),
        }
    }

    /// The tokens that came exist nowhere else: their write is repeated until it succeeds or another process went on.
    async fn save_later(&self, user: &InstanceId) {
        let mut pause = FIRST_SAVE_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_SAVE_PAUSE);
            let mut inner = self.inner.lock().await;
            if inner.unsaved.is_none() {
                return;
            }
            match self.save_once(&mut inner, user).await {
                Saved::Stored | Saved::Overtaken => return,
                Saved::Failed(problem) => {
                    tracing::warn!("tokens are not stored yet: {}", problem.message);
                }
            }
        }
    }

    async fn save_once(&self, inner: &mut Inner, user: &InstanceId) -> Saved {
        let Some(unsaved) = &mut inner.unsaved else { return Saved::Stored };
        let saved = unsaved.write(&*self.parts.store, &self.place, user).await;
        if !matches!(saved, Saved::Failed(_)) {
            inner.unsaved = None;
        }
        saved
    }

    fn keep_current(&self, plan: &Oauth2Plan, secret: Option<Arc<Secret>>, token: &AccessToken, now: DateTime<Utc>) {
        let fresh = token.renew_at().map(|end| (end - now).to_std().unwrap_or_default());
        // A refresh token that is not used is looked at now and then, however long the access token lives.
        let look = plan.refresh.idle_ttl.map(|ttl| ttl / LOOKS_AT_IDLE);
        let fresh_until = fresh.into_iter().chain(look).min().map(|wait| Instant::now() + wait);
        let mut current = self.current.lock();
        // Plans that no instance has any more leave nothing behind.
        current.retain(|_, one| one.secret == secret);
        current.insert(plan.fingerprint(), Current { secret, token: token.clone(), fresh_until });
    }
}

/// The wall clock may have been set since a token came; how long it lives does not change by that.
fn on_own_clock(ends: &HashMap<String, Instant>, mut stored: StoredTokens, now: DateTime<Utc>) -> StoredTokens {
    for access in stored.access.iter_mut().chain(&mut stored.other_access) {
        if let Some(end) = ends.get(&access.token)
            && let Some(expires_at) = access.expires_at
        {
            let left = chrono::Duration::from_std(end.saturating_duration_since(Instant::now())).unwrap_or_default();
            access.obtained_at += now + left - expires_at;
            access.expires_at = Some(now + left);
        }
    }
    stored
}
