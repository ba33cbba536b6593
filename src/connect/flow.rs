//! Begins and ends consents: reads and writes what is kept, and asks the token endpoint.

use std::sync::Arc;

use chrono::Utc;

use super::ConnectUrl;
use super::candidate::{Candidate, Candidates, Need};
use super::consent::{self, Answer, Beginning, Begun, Randomness, Refusal, StateParameter};
use crate::api::conditions::Problem;
use crate::api::identity::{InstanceId, InstanceRef, SecretRef};
use crate::auth::oauth2::exchange::{self, Consent, NoTokens};
use crate::auth::oauth2::parts::Parts;
use crate::auth::oauth2::store::{SaveFailure, TokenPlace};
use crate::auth::oauth2::stored::{PendingConsent, StoredTokens};

/// Changes by others that are waited out.
const MAX_ROUNDS: usize = 10;

/// Everything that a consent needs.
pub struct Flow {
    /// Where people reach the connect page.
    pub address: ConnectUrl,
    /// Where people reach the console, if there is one.
    pub console: Option<ConnectUrl>,
    /// Where instances are found.
    pub candidates: Arc<dyn Candidates>,
    /// The way to the token endpoint, and where Secrets and tokens are.
    pub parts: Parts,
}

impl Flow {
    /// The instance of that name, if a person can give consent for it.
    ///
    /// # Errors
    /// [`Refusal::UnknownInstance`], [`Refusal::Failed`].
    pub async fn candidate(&self, namespace: &str, name: &str) -> Result<Candidate, Refusal> {
        let found = self.candidates.find(namespace, name).await.map_err(Refusal::Failed)?;
        found.ok_or(Refusal::UnknownInstance)
    }

    /// What a person removes to be able to connect again.
    pub fn place(&self, namespace: &str, candidate: &Candidate) -> String {
        self.parts.store.name(&place(namespace, candidate))
    }

    /// Begins a consent: keeps what its answer will be checked against.
    ///
    /// # Errors
    /// Why it cannot be begun.
    pub async fn begin(&self, namespace: &str, name: &str) -> Result<Begun, Refusal> {
        let candidate = self.candidate(namespace, name).await?;
        match candidate.need {
            Need::Waits => {}
            Need::Connected => return Err(Refusal::Connected),
            Need::Unsettled => return Err(Refusal::Unsettled),
        }
        let Some(authorization_url) = &candidate.plan.authorization_url else { return Err(Refusal::UnknownInstance) };
        let user = user(namespace, name, &candidate.uid);
        let client_id = exchange::client_id(&self.parts, &candidate.plan, &user).await.map_err(Refusal::Failed)?;
        exchange::move_tokens(&self.parts, &candidate.plan, &user).await.map_err(Refusal::Failed)?;
        let random = Randomness { state: rand::random(), browser: rand::random(), verifier: rand::random() };
        let redirect_uri = self.address.callback();
        let (place, now) = (place(namespace, &candidate), Utc::now());
        self.change(&place, &user, |kept| {
            let begun = consent::begin(
                Beginning {
                    authorization_url,
                    plan: &candidate.plan,
                    instance: (namespace, name, &candidate.uid),
                    client_id: &client_id,
                    redirect_uri: &redirect_uri,
                    salt: &kept.salt,
                },
                &random,
                now,
            );
            kept.begin_consent(begun.pending.clone(), now);
            Ok(begun)
        })
        .await
    }

    /// Ends a consent: checks the answer, exchanges its code and keeps the tokens.
    ///
    /// # Errors
    /// Why no connection was made.
    pub async fn finish(&self, state: &StateParameter, answer: &Answer, cookie: Option<&str>) -> Result<(), Refusal> {
        let (namespace, name) = (state.namespace.as_str(), state.name.as_str());
        // A caller without a state that was made for it must not learn whether there is such an instance.
        let candidate = self.candidate(namespace, name).await.map_err(|refusal| match refusal {
            Refusal::UnknownInstance => Refusal::UnknownState,
            other => other,
        })?;
        let user = user(namespace, name, &candidate.uid);
        let pending = self.take(&place(namespace, &candidate), &user, state, cookie).await?;
        let code = answer.code(&candidate.plan)?;
        let redirect_uri = self.address.callback();
        let consent = Consent { code, redirect_uri: &redirect_uri, verifier: &pending.verifier };
        exchange::exchange(&self.parts, &candidate.plan, &user, consent).await.map_err(|none| match none {
            NoTokens::Lost => Refusal::Ambiguous,
            NoTokens::Failed(problem) => Refusal::Failed(problem),
        })?;
        self.candidates.note_consent(namespace, name).await;
        Ok(())
    }

    /// Takes a pending consent away, so that no answer is taken twice, whichever replica gets it.
    async fn take(
        &self,
        place: &TokenPlace,
        user: &InstanceId,
        state: &StateParameter,
        cookie: Option<&str>,
    ) -> Result<PendingConsent, Refusal> {
        let judged = self.change(place, user, |kept| {
            let judged = consent::judge(Some(kept), state, &user.uid, cookie, Utc::now());
            if judged == Err(Refusal::UnknownState) {
                return Err(Refusal::UnknownState);
            }
            // The right state is used up, whatever came with it.
            consent::end(kept, state, &user.uid);
            Ok(judged)
        });
        judged.await?
    }

    /// Changes what is kept by compare-and-swap.
    async fn change<T>(
        &self,
        place: &TokenPlace,
        user: &InstanceId,
        mut change: impl FnMut(&mut StoredTokens) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let store = &self.parts.store;
        for _ in 0..MAX_ROUNDS {
            let (kept, seen) = store.load(place).await.map_err(Refusal::Failed)?;
            let mut kept = kept.unwrap_or_else(|| StoredTokens::new(exchange::new_salt()));
            let result = change(&mut kept)?;
            match store.save(place, user, &kept, &seen).await {
                Ok(_) => return Ok(result),
                Err(SaveFailure::Conflict) => {}
                Err(SaveFailure::Failed(problem)) => return Err(Refusal::Failed(problem)),
            }
        }
        Err(Refusal::Failed(contended(&store.name(place))))
    }
}

fn contended(place: &str) -> Problem {
    Problem::transient(
        crate::api::conditions::Reason::StateUnavailable,
        format!("the tokens in {place} keep changing; try again"),
    )
}

fn user(namespace: &str, name: &str, uid: &str) -> InstanceId {
    InstanceId::new(InstanceRef::new(namespace, name), uid)
}

/// Tokens belong to the Secret: the consent for one instance serves all that name it.
fn place(namespace: &str, candidate: &Candidate) -> TokenPlace {
    TokenPlace::Secret(SecretRef::of(namespace, &candidate.plan))
}
