//! What a process remembers of its own token calls. Pure.

use chrono::{DateTime, Duration, Utc};

use super::step::Ask;
use super::stored::Fingerprint;
use crate::api::conditions::Problem;

/// Shortest and longest pause after a token call that failed.
const FIRST_PAUSE: Duration = Duration::seconds(30);
const LONGEST_PAUSE: Duration = Duration::minutes(15);
/// Settings whose failures are remembered at once: instances of one Secret may differ in what they ask for.
const MAX_SETTINGS: usize = 32;

/// What a process remembers of its own token calls.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What only a person can fix, by setting.
    blocked: Vec<(Fingerprint, Problem)>,
    /// What is waited for, by setting: who changes a Secret to and fro gets no more calls.
    pauses: Vec<Pause>,
    /// Calls without an answer, in a row, for one token.
    unanswered: Option<(Fingerprint, u32)>,
}

#[derive(Clone, Debug)]
pub(super) struct Pause {
    setting: Fingerprint,
    pub(super) since: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
    failures: u32,
    pub(super) problem: Problem,
}

/// A renewal that an answer 401 forced. Each instance has its own: what one API refuses, another may take.
#[derive(Clone, Copy, Debug)]
pub struct Forced {
    /// When.
    pub at: DateTime<Utc>,
    /// The API took a token since.
    pub worked: bool,
}

impl Memory {
    /// A request is about to be sent: until its answer is there it counts as lost.
    pub fn note_sending(&mut self, ask: &Ask) {
        let token = ask.chain.fingerprint(ask.sends.token());
        self.unanswered = Some((token.clone(), self.unanswered(&token) + 1));
    }

    pub(super) fn unanswered(&self, token: &Fingerprint) -> u32 {
        self.unanswered.as_ref().filter(|(unanswered, _)| unanswered == token).map_or(0, |(_, count)| *count)
    }

    /// An answer came, so that it is known what became of what was sent.
    pub(super) fn note_answered(&mut self) {
        self.unanswered = None;
    }

    pub(super) fn blocked(&self, setting: &Fingerprint) -> Option<&Problem> {
        self.blocked.iter().find(|(blocked, _)| blocked == setting).map(|(_, problem)| problem)
    }

    pub(super) fn pause(&self, setting: &Fingerprint) -> Option<&Pause> {
        self.pauses.iter().find(|pause| pause.setting == *setting)
    }

    pub(super) fn note_granted(&mut self) {
        self.blocked.clear();
        self.pauses.clear();
        self.unanswered = None;
    }

    /// The endpoint refused in a way that repetition does not change.
    pub(super) fn block(&mut self, ask: &Ask, problem: Problem) {
        if self.blocked.len() >= MAX_SETTINGS {
            self.blocked.remove(0);
        }
        self.blocked.push((ask.setting.clone(), problem));
    }

    pub(super) fn note_failure(&mut self, ask: &Ask, problem: Problem, now: DateTime<Utc>) {
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
