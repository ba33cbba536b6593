//! A session of a person, and the sessions of `local`: browsers that opened a URL that this process printed. Given the time.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A session ends when no person has used it for this time; what a page loads by itself does not count.
pub const IDLE: TimeDelta = TimeDelta::minutes(60);
/// Every session ends after this time.
pub const LONGEST: TimeDelta = TimeDelta::hours(12);
/// How often a use is noted where that costs a cookie.
const NOTED: TimeDelta = TimeDelta::minutes(5);
/// Sessions at once; one more ends the one that was used least recently.
const MOST: usize = 32;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What every form of the session must bring.
    pub csrf: String,
    /// By which audit lines distinguish sessions. It opens nothing.
    pub label: String,
    /// Who it is, where the API server said so.
    pub user: Option<String>,
    begun: DateTime<Utc>,
    used: DateTime<Utc>,
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// The browser has none, or one that this process does not know.
    Unknown,
    /// It has timed out.
    Over,
}

/// All sessions, and the ticket that begins the next one.
pub struct Sessions {
    ticket: String,
    /// By the digest of their ids: who reads this memory cannot use them.
    open: HashMap<[u8; 32], Session>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { ticket: random(), open: HashMap::new() }
    }
}

impl Sessions {
    /// What begins the next session, once.
    pub fn ticket(&self) -> &str {
        &self.ticket
    }

    /// Begins a session with the ticket, which is replaced. Yields the id of the session: always a new one, whatever the browser had.
    pub fn begin(&mut self, ticket: &str, now: DateTime<Utc>) -> Option<String> {
        if !bool::from(self.ticket.as_bytes().ct_eq(ticket.as_bytes())) {
            return None;
        }
        self.ticket = random();
        self.open.retain(|_, session| session.is_open(now));
        if self.open.len() >= MOST {
            let oldest = self.open.iter().min_by_key(|(_, session)| session.used).map(|(digest, _)| *digest);
            oldest.map(|digest| self.open.remove(&digest));
        }
        let id = random();
        self.open.insert(digest(&id), Session::new(None, now));
        Some(id)
    }

    /// The session of an id. `by_person`: the use makes it last longer.
    ///
    /// # Errors
    /// [`NoSession`].
    pub fn find(&mut self, id: &str, by_person: bool, now: DateTime<Utc>) -> Result<Session, NoSession> {
        let digest = digest(id);
        let session = self.open.get_mut(&digest).ok_or(NoSession::Unknown)?;
        if !session.is_open(now) {
            self.open.remove(&digest);
            return Err(NoSession::Over);
        }
        if by_person {
            session.used = now;
        }
        Ok(session.clone())
    }

    /// The session of an id, also one that has timed out.
    pub fn look_up(&self, id: &str) -> Option<Session> {
        self.open.get(&digest(id)).cloned()
    }

    /// Ends a session.
    pub fn end(&mut self, id: &str) {
        self.open.remove(&digest(id));
    }
}

impl Session {
    /// A new one, of a person whose name may be known.
    pub fn new(user: Option<String>, now: DateTime<Utc>) -> Self {
        Self { csrf: random(), label: random().chars().take(6).collect(), user, begun: now, used: now }
    }

    /// Whether it has not timed out.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        now - self.used < IDLE && now - self.begun < LONGEST
    }

    /// Makes it last longer. Answers whether that is worth keeping: not at each request.
    pub fn use_again(&mut self, now: DateTime<Utc>) -> bool {
        let is_due = now - self.used >= NOTED;
        if is_due {
            self.used = now;
        }
        is_due
    }

    /// Whether the form came from a page of this session.
    pub fn has_token(&self, token: &str) -> bool {
        self.csrf.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

fn digest(id: &str) -> [u8; 32] {
    Sha256::digest(id).into()
}

/// 256 bits that no one can guess.
fn random() -> String {
    BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::minutes(minutes)
    }

    #[test]
    fn a_ticket_serves_once_and_each_session_has_a_new_id() {
        let mut sessions = Sessions::default();
        let ticket = sessions.ticket().to_owned();
        assert_eq!(sessions.begin("", at(0)), None);
        assert_eq!(sessions.begin(&ticket[1..], at(0)), None);
        let id = sessions.begin(&ticket, at(0)).unwrap();
        assert_eq!(sessions.begin(&ticket, at(0)), None, "used up");
        let next = sessions.ticket().to_owned();
        let other = sessions.begin(&next, at(0)).unwrap();
        assert!(id != other && id.len() == 43);
        let (mine, theirs) = (sessions.find(&id, true, at(0)).unwrap(), sessions.find(&other, true, at(0)).unwrap());
        assert!(mine.has_token(&mine.csrf) && !mine.has_token(&theirs.csrf) && !mine.has_token(""));
        sessions.end(&id);
        assert_eq!(sessions.find(&id, true, at(0)), Err(NoSession::Unknown));
        assert!(sessions.find(&other, true, at(0)).is_ok());
    }

    #[test]
    fn a_session_ends_unused_and_in_any_case_after_its_time() {
        let mut sessions = Sessions::default();
        let ticket = sessions.ticket().to_owned();
        let id = sessions.begin(&ticket, at(0)).unwrap();
        assert!(sessions.find(&id, false, at(59)).is_ok());
        assert_eq!(sessions.find(&id, false, at(60)), Err(NoSession::Over), "what the page loads is no use");
        let ticket = sessions.ticket().to_owned();
        let id = sessions.begin(&ticket, at(0)).unwrap();
        for hour in 0..14 {
            assert!(sessions.find(&id, true, at(50 * hour)).is_ok(), "{hour}");
        }
        assert_eq!(sessions.find(&id, true, at(12 * 60)), Err(NoSession::Over));
    }

    #[test]
    fn there_are_only_so_many() {
        let mut sessions = Sessions::default();
        let mut begin = |minute| {
            let ticket = sessions.ticket().to_owned();
            (sessions.begin(&ticket, at(minute)).unwrap(), sessions.open.len())
        };
        let (first, _) = begin(0);
        for _ in 0..MOST {
            assert!(begin(1).1 <= MOST);
        }
        assert_eq!(sessions.find(&first, true, at(1)), Err(NoSession::Unknown));
    }
}
