//! What is to be done next for an access token. Pure: all that the shell knows goes in, one decision comes out.

use chrono::{DateTime, Duration, Utc};

use super::answer::Failure;
use super::material::{Material, Sends, Source};
use super::problem;
use super::stored::{AccessToken, Fingerprint, InFlight, Rotation, StoredTokens};
use crate::api::auth::Rotates;
use crate::api::conditions::Problem;
use crate::plan::Oauth2Plan;

/// After this, whoever left a marker has the answer and has stored it, or never will: the longest token request, and the writes
/// around it.
pub const IN_FLIGHT: Duration = Duration::seconds(45);
/// Shortest and longest pause after a token call that failed.
const FIRST_PAUSE: Duration = Duration::seconds(30);
const LONGEST_PAUSE: Duration = Duration::minutes(15);
/// A provider that answers 401 to every token gets a new one this often, no faster.
const FORCED_AGAIN: Duration = Duration::minutes(15);
/// Settings whose failures are remembered at once.
const MAX_SETTINGS: usize = 4;
/// So often a refresh token may be sent whose answer was lost: once more is the only chance there is.
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
    /// May another process use the same tokens at this moment?
    pub is_shared: bool,
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
    /// Must it be stored before? Else the chain is what is stored already.
    pub stores_first: bool,
    /// Identifies plan, client and source: what one of them was refused, no other was.
    pub setting: Fingerprint,
    /// Identifies the setting and what is sent under it.
    pub attempt: Fingerprint,
}

/// What a process remembers of its own token calls.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What only a person can mend, by setting.
    blocked: Vec<(Fingerprint, Problem)>,
    /// What is waited for, by setting: who changes a Secret to and fro gets no more calls.
    pauses: Vec<Pause>,
    /// Calls without an answer, in a row, for one token.
    unanswered: Option<(Fingerprint, u32)>,
    forced: Option<Forced>,
}

#[derive(Clone, Debug)]
struct Pause {
    setting: Fingerprint,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    failures: u32,
    problem: Problem,
}

#[derive(Clone, Copy, Debug)]
struct Forced {
    at: DateTime<Utc>,
    /// The API took a token since.
    worked: bool,
}

impl Memory {
    /// The API took the access token.
    pub fn note_accepted(&mut self) {
        if let Some(forced) = &mut self.forced {
            forced.worked = true;
        }
    }

    /// A request is about to be sent: until its answer is there it counts as lost.
    pub fn note_sending(&mut self, ask: &Ask) {
        let token = ask.chain.fingerprint(ask.sends.token());
        self.unanswered = Some((token.clone(), self.unanswered(&token) + 1));
    }

    fn unanswered(&self, token: &Fingerprint) -> u32 {
        self.unanswered.as_ref().filter(|(unanswered, _)| unanswered == token).map_or(0, |(_, count)| *count)
    }

    fn blocked(&self, setting: &Fingerprint) -> Option<&Problem> {
        self.blocked.iter().find(|(blocked, _)| blocked == setting).map(|(_, problem)| problem)
    }

    fn pause(&self, setting: &Fingerprint) -> Option<&Pause> {
        self.pauses.iter().find(|pause| pause.setting == *setting)
    }

    fn note_granted(&mut self, forced: bool, now: DateTime<Utc>) {
        self.blocked.clear();
        self.pauses.clear();
        self.unanswered = None;
        if forced {
            self.forced = Some(Forced { at: now, worked: false });
        }
    }

    /// The endpoint refused in a way that no repetition mends.
    fn block(&mut self, ask: &Ask, problem: Problem) {
        if self.blocked.len() >= MAX_SETTINGS {
            self.blocked.remove(0);
        }
        self.blocked.push((ask.setting.clone(), problem));
    }

    fn note_failure(&mut self, ask: &Ask, problem: Problem, now: DateTime<Utc>) {
        let failures = self.pause(&ask.setting).map_or(0, |pause| pause.failures) + 1;
        let doubled = FIRST_PAUSE * (1 << failures.min(6).saturating_sub(1));
        let wished = problem.retry_after.and_then(|wait| Duration::from_std(wait).ok()).unwrap_or_else(Duration::zero);
        let until = now + doubled.min(LONGEST_PAUSE).max(wished);
        self.pauses.retain(|pause| pause.setting != ask.setting);
        if self.pauses.len() >= MAX_SETTINGS {
            self.pauses.remove(0);
        }
        self.pauses.push(Pause { setting: ask.setting.clone(), since: now, until, failures, problem });
    }
}

/// Decides.
pub fn decide(s: &Situation<'_>) -> Decision {
    let chain = match chain(s) {
        Ok(chain) => chain,
        Err(problem) => return Decision::Stop(problem),
    };
    let access = chain.access.as_ref().filter(|access| s.refused != Some(access.token.as_str()));
    if let Some(access) = access
        && access.is_fresh(s.now)
        && !is_idle_long(s, &chain)
    {
        return Decision::Use(access.clone());
    }
    let is_forced = s.refused.is_some() && access.is_none() && chain.access.is_some();
    if is_forced
        && s.memory.forced.is_some_and(|forced| !forced.worked && (forced.at..forced.at + FORCED_AGAIN).contains(&s.now))
    {
        return Decision::Refused;
    }
    let usable = access.filter(|access| access.is_valid(s.now)).cloned();
    match (ask(s, chain), usable) {
        (decision @ Decision::Ask(_), _) | (decision, None) => decision,
        // There is no new one to be had, and the old one still holds.
        (_, Some(access)) => Decision::Use(access),
    }
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
    let Ok(source) = source else { return Ok(stored) };
    let print = stored.fingerprint(source.token());
    if stored.source.as_ref() == Some(&print) {
        return Ok(stored);
    }
    // Two who fight over the Secret must not make us go back to a token that was used before.
    let is_usable_again = stored.refused.is_some() && matches!(source, Source::RefreshToken(_)) && !may_rotate(s, &stored);
    if stored.spent.contains(&print) && !is_usable_again { Ok(stored) } else { Ok(stored.succeeded_by(Some(print))) }
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
    if chain.refused.as_ref() == Some(&attempt) {
        return Decision::Stop(problem::refused(s.plan, &sends));
    }
    // A clock that was set back makes nobody wait longer than was meant.
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
            // Clocks differ: one that runs ahead must not make anybody wait for long.
            let answered = found.at.min(s.now) + IN_FLIGHT;
            if s.is_shared && s.now < answered && (!in_grace || answered < grace_end) {
                return Decision::Wait(problem::in_flight(s.plan, answered - s.now));
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

/// May the use of the refresh token spend it?
fn may_rotate(s: &Situation<'_>, chain: &StoredTokens) -> bool {
    match s.plan.refresh.rotates {
        Some(Rotates::Never) => false,
        Some(Rotates::Always) => true,
        None => chain.rotation != Rotation::Kept,
    }
}

/// The refresh token was not used for so long that the provider may soon forget it.
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
    /// No answer: nobody knows whether the endpoint acted on it.
    Lost(Problem),
}

/// Books an outcome, and returns the chain as it is to be stored now.
pub fn settle(
    memory: &mut Memory,
    plan: &Oauth2Plan,
    ask: &Ask,
    outcome: Outcome,
    forced: bool,
    now: DateTime<Utc>,
) -> StoredTokens {
    let failure = match outcome {
        Outcome::Granted(granted) => {
            memory.note_granted(forced, now);
            return ask.chain.granted(&granted, ask.sends.refresh_token(), now);
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
    memory.unanswered = None;
    let mut next = StoredTokens { in_flight: None, ..ask.chain.clone() };
    match failure {
        Err(problem) => memory.note_failure(ask, problem, now),
        Ok(Failure::InvalidGrant) => next.refused = Some(ask.attempt.clone()),
        Ok(failure) => {
            let problem = problem::failed(plan, &failure);
            match &failure {
                Failure::NotJson { .. } | Failure::Throttled(_) | Failure::Trouble(_) => memory.note_failure(ask, problem, now),
                _ => memory.block(ask, problem),
            }
            if let Failure::NoAccessToken { refresh_token: Some(came) } = &failure {
                next.take_refresh_token(Some(came), ask.sends.refresh_token());
                next.answered_at = Some(now);
            }
        }
    }
    next
}
