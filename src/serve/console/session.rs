//! Who may use the console of `local`: browsers that opened a URL that this process printed. Given the time.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A session ends when no person has used it for this time; what a page loads by itself does not count.
pub const IDLE: TimeDelta = TimeDelta::minutes(60);
/// Every session ends after this time.
pub const LONGEST: TimeDelta = TimeDelta::hours(12);
/// Sessions at once; one more ends the one that was used least recently.
const MOST: usize = 32;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What every form of the session must bring.
    pub csrf: String,
    /// By which audit lines distinguish sessions. It opens nothing.
    pub label: String,
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
    open: HashMap<[u8; 32], Open>,
}

/// A session with what is kept for it.
struct Open {
    session: Session,
    /// Secrets that were entered in a form that is not done with, by the names of their fields: they are not shown again, and need not be
    /// entered again.
    kept: BTreeMap<String, String>,
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
        self.open.retain(|_, open| is_open(&open.session, now));
        if self.open.len() >= MOST {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.session.used).map(|(digest, _)| *digest);
            oldest.map(|digest| self.open.remove(&digest));
        }
        let id = random();
        let label = random().chars().take(6).collect();
        let session = Session { csrf: random(), label, begun: now, used: now };
        self.open.insert(digest(&id), Open { session, kept: BTreeMap::new() });
        Some(id)
    }

    /// The session of an id. `by_person`: the use makes it last longer.
    ///
    /// # Errors
    /// [`NoSession`].
    pub fn find(&mut self, id: &str, by_person: bool, now: DateTime<Utc>) -> Result<Session, NoSession> {
        let digest = digest(id);
        let session = &mut self.open.get_mut(&digest).ok_or(NoSession::Unknown)?.session;
        if !is_open(session, now) {
            self.open.remove(&digest);
            return Err(NoSession::Over);
        }
        if by_person {
            session.used = now;
        }
        Ok(session.clone())
    }

    /// Keeps secrets that were entered, by the names of their fields, next to those of before. Yields all of them.
    pub fn keep(&mut self, id: &str, entered: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
        let Some(open) = self.open.get_mut(&digest(id)) else { return BTreeMap::new() };
        open.kept.extend(entered);
        open.kept.clone()
    }

    /// Drops the secrets that were kept.
    pub fn drop_kept(&mut self, id: &str) {
        if let Some(open) = self.open.get_mut(&digest(id)) {
            open.kept.clear();
        }
    }

    /// Ends a session.
    pub fn end(&mut self, id: &str) {
        self.open.remove(&digest(id));
    }
}

impl Session {
    /// Whether the form came from a page of this session.
    pub fn has_token(&self, token: &str) -> bool {
        self.csrf.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

fn is_open(session: &Session, now: DateTime<Utc>) -> bool {
    now - session.used < IDLE && now - session.begun < LONGEST
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
    fn secrets_of_a_form_are_kept_for_their_session_alone() {
        let mut sessions = Sessions::default();
        let mut begin = || {
            let ticket = sessions.ticket().to_owned();
            sessions.begin(&ticket, at(0)).unwrap()
        };
        let (own, other) = (begin(), begin());
        let pair = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
        sessions.keep(&own, pair("token", "a"));
        assert_eq!(sessions.keep(&own, pair("key", "b")).len(), 2);
        assert!(sessions.keep(&other, []).is_empty() && sessions.keep("unknown", pair("token", "a")).is_empty());
        sessions.drop_kept(&own);
        assert!(sessions.keep(&own, []).is_empty());
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
