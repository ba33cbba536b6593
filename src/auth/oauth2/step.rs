//! What is to be done next for an access token. Pure: all that the shell knows goes in, one decision comes out.

use chrono::{DateTime, Duration, Utc};

use super::answer::Failure;
use super::material::{Material, Sends, Source};
use super::memory::{Forced, Memory};
use super::problem;
use super::stored::{AccessToken, FORMAT, Fingerprint, InFlight, Rotation, StoredTokens};
use crate::api::auth::Rotates;
use crate::api::conditions::Problem;
use crate::plan::Oauth2Plan;

/// After this, the process that left a marker has the answer and has stored it, or never will: the longest token request, and the writes
/// around it.
pub const IN_FLIGHT: Duration = Duration::seconds(45);
/// A provider that answers 401 to every token gets a new one this often, no faster.
const FORCED_AGAIN: Duration = Duration::minutes(15);
/// How often a refresh token may be sent whose answer was lost: once more is the only chance there is.
const MOST_LOST: u32 = 2;

/// Everything that decides.
pub struct Situation<'a> {
    /// The plan.
    pub plan: &'a Oauth2Plan,
    /// The user's Secret.
    pub material: &'a Material,
    /// What is stored; for client credentials, what this process holds.
    pub stored: Option<&'a StoredTokens>,
    /// What this process remembers of its own calls.
    pub memory: &'a Memory,
    /// The access token that the API has just answered 401 to.
    pub refused: Option<&'a str>,
    /// Now.
    pub now: DateTime<Utc>,
    /// The name of this process.
    pub process: &'a str,
    /// Whether another process may use the same tokens at this moment.
    pub is_shared: bool,
    /// The last renewal that a 401 forced for the instance that asks.
    pub forced: Option<Forced>,
    /// Another instance of the Secret, if there is one whose plan names the token endpoint to which the stored chain belongs.
    pub rightful: Option<&'a str>,
    /// Salt of a chain that begins now.
    pub salt: &'a str,
}

/// What to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Decision {
    /// Use this access token.
    Use(AccessToken),
    /// Ask the token endpoint.
    Ask(Box<Ask>),
    /// Another process is renewing the tokens: look again what it stored. The problem says how long at most.
    Await(Problem),
    /// Nothing now: the problem says how long.
    Wait(Problem),
    /// Nothing until a person acts.
    Stop(Problem),
    /// The access token was refused and there is no other one to be had yet.
    Refused,
}

/// One request to the token endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is sent.
    pub sends: Sends,
    /// The chain as it has to be stored before, its marker included.
    pub chain: StoredTokens,
    /// Whether it must be stored before. Else the chain is what is stored already.
    pub stores_first: bool,
    /// Identifies plan, client and source: what one of them was refused, no other was.
    pub setting: Fingerprint,
    /// Identifies the setting and what is sent under it.
    pub attempt: Fingerprint,
}

impl Ask {
    /// The refresh token or code of the user's Secret, when it is what is sent: the chain begins with it.
    pub fn beginning(&self) -> Option<&str> {
        match &self.sends {
            Sends::ClientCredentials => None,
            Sends::RefreshToken(token) => self.chain.refresh_token.is_none().then_some(token),
            Sends::Code(source) => Some(source.token()),
        }
    }
}

/// Decides.
pub fn decide(s: &Situation<'_>) -> Decision {
    let chain = match chain(s) {
        Ok(chain) => chain,
        Err(problem) => return Decision::Stop(problem),
    };
    if let Some(problem) = other_endpoint(s, &chain) {
        return Decision::Stop(problem);
    }
    let own = if s.plan.keeps_tokens() { chain.access_for(&s.plan.variant()) } else { chain.access.as_ref() };
    let access = own.filter(|access| s.refused != Some(access.token.as_str()));
    if let Some(access) = access
        && access.is_fresh(s.now)
        && !is_idle_long(s, &chain)
    {
        return Decision::Use(access.clone());
    }
    let is_forced = s.refused.is_some() && access.is_none() && own.is_some();
    if is_forced && s.forced.is_some_and(|forced| !forced.worked && (forced.at..forced.at + FORCED_AGAIN).contains(&s.now)) {
        return Decision::Refused;
    }
    let usable = access.filter(|access| access.is_valid(s.now)).cloned();
    match (ask(s, chain), usable) {
        (decision @ Decision::Ask(_), _) | (decision, None) => decision,
        // There is no new one to be had, and the old one still holds.
        (_, Some(access)) => Decision::Use(access),
    }
}

/// Whether another instance names the token endpoint to which a chain belongs only matters when this plan names another one.
pub fn is_elsewhere(plan: &Oauth2Plan, stored: &StoredTokens) -> bool {
    stored.endpoint.as_ref().is_some_and(|endpoint| *endpoint != plan.endpoint())
}

/// A refresh token that may rotate is sent to the endpoint that gave it and to no other one: while other instances of the Secret use
/// it there, it would be spent for nothing.
fn other_endpoint(s: &Situation<'_>, chain: &StoredTokens) -> Option<Problem> {
    let other = s.rightful.filter(|_| is_elsewhere(s.plan, chain) && may_rotate(s, chain))?;
    Some(problem::other_endpoint(s.plan, other))
}

/// The chain that goes on, or the one that begins.
fn chain(s: &Situation<'_>) -> Result<StoredTokens, Problem> {
    let stored = s.stored.cloned();
    if !s.plan.keeps_tokens() {
        let begun = stored.unwrap_or_else(|| StoredTokens::new(s.salt));
        let source = Some(begun.fingerprint(&client(s, &begun.salt)));
        return Ok(if begun.source == source { begun } else { StoredTokens { source, ..StoredTokens::new(s.salt) } });
    }
    let source = s.material.source.as_ref();
    let Some(stored) = stored else {
        let source = source.map_err(Clone::clone)?;
        let new = StoredTokens::new(s.salt);
        let print = new.fingerprint(source.token());
        return Ok(new.succeeded_by(Some(print)));
    };
    let Ok(source) = source else {
        return if let Some(other) = &stored.moved_to { Err(problem::used_elsewhere(s.plan, other)) } else { Ok(stored) };
    };
    if let Some(other) = stored.moved_to.as_ref().filter(|_| stored.knows(source.token())) {
        return Err(problem::used_elsewhere(s.plan, other));
    }
    let print = stored.fingerprint(source.token());
    if stored.source.as_ref() == Some(&print) {
        return Ok(stored);
    }
    // Two who fight over the Secret must not make us go back to a token that was used before.
    let is_usable_again = !stored.refused.is_empty() && matches!(source, Source::RefreshToken(_)) && !may_rotate(s, &stored);
    if stored.is_spent(source.token()) && !is_usable_again { Ok(stored) } else { Ok(stored.succeeded_by(Some(print))) }
}

fn ask(s: &Situation<'_>, mut chain: StoredTokens) -> Decision {
    let sends = match sends(s, &chain) {
        Ok(sends) => sends,
        Err(problem) => return Decision::Stop(problem),
    };
    let setting = setting(s, &chain);
    let token = chain.fingerprint(sends.token());
    let attempt = Fingerprint::of(&chain.salt, &[format!("{setting:?}").as_bytes(), sends.token().as_bytes()]);
    if let Some(problem) = s.memory.blocked(&setting) {
        return Decision::Stop(problem.clone());
    }
    if chain.refused.contains(&attempt) || chain.refused.contains(&token) {
        return Decision::Stop(problem::refused(s.plan, &sends));
    }
    // A clock that was set back makes no wait longer than was meant.
    if let Some(pause) = s.memory.pause(&setting).filter(|pause| (pause.since..pause.until).contains(&s.now)) {
        return Decision::Wait(Problem { retry_after: (pause.until - s.now).to_std().ok(), ..pause.problem.clone() });
    }
    let is_code = matches!(sends, Sends::Code(_));
    let marks = is_code || (sends.refresh_token().is_some() && may_rotate(s, &chain));
    let found = chain.in_flight.take().filter(|found| found.token == token);
    if let Some(found) = found.as_ref().filter(|_| marks) {
        let grace_end = found.at + Duration::from_std(s.plan.refresh.grace).unwrap_or_else(|_| Duration::zero());
        let in_grace = !is_code && s.now < grace_end;
        if found.owner == s.process {
            let most = if is_code { 1 } else { MOST_LOST };
            if s.memory.unanswered(&token) >= most && !in_grace {
                return Decision::Stop(problem::ambiguous(s.plan, &sends));
            }
        } else {
            // Clocks differ: one that runs ahead must not cause a long wait.
            let answered = found.at.min(s.now) + IN_FLIGHT;
            if s.is_shared && s.now < answered && (!in_grace || answered < grace_end) {
                return Decision::Await(problem::in_flight(s.plan, answered - s.now));
            }
            if !in_grace {
                return Decision::Stop(problem::ambiguous(s.plan, &sends));
            }
        }
    }
    let own = found.filter(|found| found.owner == s.process);
    let stores_first = marks && own.is_none();
    // The grace runs from the first use.
    let at = own.as_ref().map_or(s.now, |own| own.at);
    chain.in_flight = marks.then(|| InFlight { token, at, owner: s.process.to_owned() });
    chain.format = FORMAT;
    if s.plan.keeps_tokens() {
        chain.endpoint = Some(s.plan.endpoint());
    }
    Decision::Ask(Box::new(Ask { sends, chain, stores_first, setting, attempt }))
}

fn sends(s: &Situation<'_>, chain: &StoredTokens) -> Result<Sends, Problem> {
    if !s.plan.keeps_tokens() {
        return Ok(Sends::ClientCredentials);
    }
    if let Some(token) = &chain.refresh_token {
        return Ok(Sends::RefreshToken(token.clone()));
    }
    if chain.answered_at.is_some() {
        return Err(problem::no_refresh_token(s.plan));
    }
    let source = s.material.source.as_ref().map_err(Clone::clone)?;
    if chain.source.as_ref() != Some(&chain.fingerprint(source.token())) {
        // The chain has begun with another one, and this one was used before it.
        return Err(problem::used_before(s.plan));
    }
    match source {
        Source::RefreshToken(token) => Ok(Sends::RefreshToken(token.clone())),
        code @ Source::Code { .. } => Ok(Sends::Code(code.clone())),
    }
}

/// Whether the use of the refresh token may spend it.
fn may_rotate(s: &Situation<'_>, chain: &StoredTokens) -> bool {
    match s.plan.refresh.rotates {
        Some(Rotates::Never) => false,
        Some(Rotates::Always) => true,
        None => chain.rotation != Rotation::Kept,
    }
}

/// The refresh token has not been used for a time after which the provider may soon forget it.
fn is_idle_long(s: &Situation<'_>, chain: &StoredTokens) -> bool {
    let ttl = s.plan.refresh.idle_ttl.and_then(|ttl| Duration::from_std(ttl).ok());
    let (Some(ttl), Some(last), Some(_)) = (ttl, chain.answered_at, &chain.refresh_token) else { return false };
    s.now >= last + ttl * 4 / 5
}

/// Plan, client and the beginning of the chain. What else the Secret holds does not matter: who puts an old token back has changed
/// nothing.
fn setting(s: &Situation<'_>, chain: &StoredTokens) -> Fingerprint {
    let source = chain.source.as_ref().map(|source| format!("{source:?}")).unwrap_or_default();
    Fingerprint::of(&chain.salt, &[client(s, &chain.salt).as_bytes(), source.as_bytes()])
}

fn client(s: &Situation<'_>, salt: &str) -> String {
    format!("{:?}", s.material.client_print(salt, s.plan.fingerprint()))
}

/// What came of a request to the token endpoint.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Tokens.
    Granted(super::answer::Granted),
    /// An answer without tokens.
    Failed(Failure),
    /// The endpoint has certainly not seen the request.
    Unsent(Problem),
    /// No answer: it is unknown whether the endpoint acted on it.
    Lost(Problem),
}

/// Books an outcome, and returns the chain as it is to be stored now.
pub fn settle(memory: &mut Memory, plan: &Oauth2Plan, ask: &Ask, outcome: Outcome, now: DateTime<Utc>) -> StoredTokens {
    let failure = match outcome {
        Outcome::Granted(granted) => {
            memory.note_granted();
            let variant = plan.keeps_tokens().then(|| plan.variant());
            return ask.chain.granted(&granted, ask.sends.refresh_token(), variant.as_deref(), now);
        }
        Outcome::Lost(problem) => {
            memory.note_failure(ask, problem, now);
            return ask.chain.clone();
        }
        Outcome::Failed(failure @ Failure::Lost(_)) => {
            memory.note_failure(ask, problem::failed(plan, &failure), now);
            return ask.chain.clone();
        }
        Outcome::Unsent(problem) => Err(problem),
        Outcome::Failed(failure) => Ok(failure),
    };
    // One that was sent before, and whose answer was lost, is spent: no other request gets anything for it.
    let token = ask.chain.fingerprint(ask.sends.token());
    let is_spent = memory.unanswered(&token) > 1 && ask.sends.refresh_token().is_some();
    memory.note_answered();
    let mut next = StoredTokens { in_flight: None, ..ask.chain.clone() };
    let is_refused = matches!(failure, Ok(Failure::InvalidGrant));
    if next.answered_at.is_none() && !is_refused {
        // Nothing is known to be spent there, so that another instance, or a corrected plan, may begin elsewhere.
        next.endpoint = None;
    }
    match failure {
        Err(problem) => memory.note_failure(ask, problem, now),
        Ok(Failure::InvalidGrant) => next.note_refused(if is_spent { token } else { ask.attempt.clone() }),
        Ok(failure) => {
            let problem = problem::failed(plan, &failure);
            match &failure {
                Failure::NotJson { .. } | Failure::Throttled(_) | Failure::Trouble(_) => memory.note_failure(ask, problem, now),
                _ => memory.block(ask, problem),
            }
            if let Failure::NoAccessToken { refresh_token: Some(came) } = &failure {
                next.take_refresh_token(Some(came), ask.sends.refresh_token());
                next.answered_at = Some(now);
                next.endpoint = Some(plan.endpoint());
            }
        }
    }
    next
}
