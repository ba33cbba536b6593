//! Moves chains to the Secret to which they belong: those that version 0.1.0 kept for each instance, and those of Secrets that are
//! gone. [`super::adoption`] decides, this reads and writes.

use chrono::Utc;

use super::adoption::{self, Adoption, Moving};
use super::parts::Parts;
use super::problem;
use super::step::IN_FLIGHT;
use super::store::{SaveFailure, TokenPlace, Version};
use super::stored::{Rotation, StoredTokens};
use crate::api::auth::Rotates;
use crate::api::conditions::Problem;
use crate::api::identity::{InstanceId, SecretRef};
use crate::plan::Oauth2Plan;

/// Reads and writes for one chain: each change that another process makes meanwhile costs one more.
const MAX_ROUNDS: usize = 12;

/// Whether a chain may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Yes.
    Free,
    /// A chain that began with the same was taken over: look again what is to be done.
    TookOver,
    /// Another Secret's chain is beginning with the same: what comes of it shows whether the token lasts.
    Await(Problem),
}

/// What the use of a token means for another use of it.
enum Use {
    /// The provider takes it again.
    Harmless,
    /// It is not known yet.
    Undecided,
    /// It is spent.
    Spent,
}

/// A takeover for the Secret of a plan.
#[derive(Clone, Copy)]
pub struct Takeover<'a> {
    /// Where tokens and Secrets are.
    pub parts: &'a Parts,
    /// The plan.
    pub plan: &'a Oauth2Plan,
    /// The Secret of the plan.
    pub secret: &'a SecretRef,
    /// The instance that asks.
    pub user: &'a InstanceId,
    /// The refresh token or code in the Secret.
    pub source: Option<&'a str>,
}

impl Takeover<'_> {
    /// Moves what was kept for the instance itself, and sees to it that the tokens of its Secret do not go while it is there.
    ///
    /// # Errors
    /// They cannot be read or written now, or are of another consent than the Secret's.
    pub async fn of_the_instance(&self) -> Result<(), Problem> {
        self.take_over(&TokenPlace::Instance(self.user.clone())).await?;
        let place = TokenPlace::Secret(self.secret.clone());
        for _ in 0..MAX_ROUNDS {
            let (Some(tokens), seen) = self.parts.store.load(&place).await? else { return Ok(()) };
            if self.parts.store.is_kept_for(self.user, &seen) {
                return Ok(());
            }
            match self.parts.store.save(&place, self.user, &tokens, &seen).await {
                Ok(_) => return Ok(()),
                Err(SaveFailure::Conflict) => {}
                Err(SaveFailure::Failed(problem)) => return Err(problem),
            }
        }
        Err(problem::contended(self.plan, &self.parts.store.name(&place)))
    }

    /// Before the refresh token or code in the Secret is sent for the first time: is there a chain that began with it? One that was
    /// kept for an instance, or that belongs to a Secret that is gone, is taken over.
    ///
    /// # Errors
    /// It is the chain of another Secret, or that cannot be found out now.
    pub async fn before_beginning(&self, beginning: &str) -> Result<Beginning, Problem> {
        let own = TokenPlace::Secret(self.secret.clone());
        let mut took_over = false;
        for place in self.parts.store.related(self.secret, self.user).await? {
            if self.parts.store.name(&place) == self.parts.store.name(&own) {
                continue;
            }
            let Some(found) = self.parts.store.load(&place).await?.0.filter(|found| found.knows(beginning)) else { continue };
            let is_near = place.namespace() == &*self.secret.namespace;
            let is_moving_here = is_near && found.moved_to.as_deref() == Some(&*self.secret.name) && found.has_tokens();
            if found.moved_to.is_some() && !is_moving_here {
                continue;
            }
            if let TokenPlace::Secret(other) = &place {
                match self.use_by(Some(&found)) {
                    Use::Harmless => continue,
                    Use::Undecided => return Ok(Beginning::Await(problem::in_flight(self.plan, IN_FLIGHT))),
                    Use::Spent => {}
                }
                if !is_near || self.parts.secrets.get_anew(&other.namespace, &other.name).await?.is_some() {
                    return Err(problem::used_elsewhere(self.plan, &other.name));
                }
            }
            if is_near {
                took_over |= self.take_over(&place).await?;
            }
        }
        if took_over { Ok(Beginning::TookOver) } else { self.claim(beginning).await }
    }

    /// Two Secrets with one refresh token, both new: the first one has it.
    async fn claim(&self, beginning: &str) -> Result<Beginning, Problem> {
        let endpoint = self.plan.endpoint();
        let Some(other) = self.parts.beginnings.claim(&endpoint, beginning, self.secret) else { return Ok(Beginning::Free) };
        if self.parts.secrets.get(&other.namespace, &other.name).is_none() {
            self.parts.beginnings.replace(&endpoint, beginning, self.secret);
            return Ok(Beginning::Free);
        }
        let found = self.parts.store.load(&TokenPlace::Secret(other.clone())).await?.0;
        match self.use_by(found.as_ref()) {
            Use::Harmless => {
                self.parts.beginnings.replace(&endpoint, beginning, self.secret);
                Ok(Beginning::Free)
            }
            Use::Undecided => Ok(Beginning::Await(problem::in_flight(self.plan, IN_FLIGHT))),
            Use::Spent => Err(problem::used_elsewhere(self.plan, &other.name)),
        }
    }

    /// What the use of the token by the chain of another Secret means for it.
    fn use_by(&self, other: Option<&StoredTokens>) -> Use {
        if self.plan.refresh.rotates == Some(Rotates::Never) {
            return Use::Harmless;
        }
        let Some(other) = other else { return Use::Undecided };
        let is_elsewhere = other.endpoint.as_ref().is_some_and(|endpoint| *endpoint != self.plan.endpoint());
        if is_elsewhere || other.rotation == Rotation::Kept {
            return Use::Harmless;
        }
        match &other.in_flight {
            _ if other.answered_at.is_some() || !other.refused.is_empty() => Use::Spent,
            Some(marker) if Utc::now() < marker.at + IN_FLIGHT => Use::Undecided,
            Some(_) => Use::Spent,
            // It was sent and certainly not taken, or not sent yet.
            None => Use::Harmless,
        }
    }

    /// Moves the chain of one place. Answers whether the chain of the Secret changed.
    async fn take_over(&self, place: &TokenPlace) -> Result<bool, Problem> {
        let store = &self.parts.store;
        let own = TokenPlace::Secret(self.secret.clone());
        let mut changed = false;
        for _ in 0..MAX_ROUNDS {
            let (Some(old), old_seen) = store.load(place).await? else { return Ok(changed) };
            let (chain, seen) = store.load(&own).await?;
            let moving = Moving {
                chain: chain.as_ref(),
                old: &old,
                secret: &self.secret.name,
                source: self.source,
                is_shared: store.is_shared(),
                now: Utc::now(),
            };
            let written = match adoption::next(&moving) {
                Adoption::Done => return Ok(changed),
                Adoption::Wait => return Err(problem::in_flight(self.plan, IN_FLIGHT)),
                Adoption::OtherConsent => return Err(problem::other_consent(self.plan, &store.name(place))),
                Adoption::Old(next) => self.save(place, &next, &old_seen).await?,
                Adoption::Chain(next) => {
                    let written = self.save(&own, &next, &seen).await?;
                    changed |= written;
                    written
                }
            };
            if written {
                tracing::debug!(place = store.name(place), "tokens are being moved to their Secret");
            }
        }
        Err(problem::contended(self.plan, &store.name(place)))
    }

    /// `false`: another process wrote in between.
    async fn save(&self, place: &TokenPlace, tokens: &StoredTokens, seen: &Version) -> Result<bool, Problem> {
        // The object of an instance stays that instance's.
        let user = if let TokenPlace::Instance(instance) = place { instance } else { self.user };
        match self.parts.store.save(place, user, tokens, seen).await {
            Ok(_) => Ok(true),
            Err(SaveFailure::Conflict) => Ok(false),
            Err(SaveFailure::Failed(problem)) => Err(problem),
        }
    }
}
