//! What was entered in forms that were sent and are not done with, for browsers without scripts: going back asks for the form again, and
//! it shows what was entered. With scripts the browser keeps it itself. Secrets are never among it. Given the time.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::change::{carried, merged, uncarried};
use super::draft::Fields;
use super::session::{IDLE, Session};

/// Field of a form that a script sends.
pub const BY_SCRIPT: &str = "script";
/// Drafts at once; one more replaces the oldest one.
const MOST: usize = 128;
/// Longest text that is kept of a form, in bytes.
const LONGEST: usize = 64 * 1024;

/// All drafts. They are in the memory of this process alone.
#[derive(Default)]
pub struct Drafts(HashMap<Key, Draft>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Digest of what forms of the session bring.
    session: [u8; 32],
    /// Where the form is.
    form: String,
}

struct Draft {
    was: String,
    entered: String,
    at: DateTime<Utc>,
}

impl Drafts {
    /// Keeps what was entered in a form; `was`: the entries before. What is too long is not kept.
    pub fn keep(&mut self, session: &Session, form: &str, (was, entered): (&Fields, &Fields), now: DateTime<Utc>) {
        self.0.retain(|_, draft| now - draft.at < IDLE);
        let key = key(session, form);
        let draft = Draft { was: carried(was), entered: carried(entered), at: now };
        if draft.was.len() + draft.entered.len() > LONGEST {
            self.0.remove(&key);
            return;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, draft)| draft.at).map(|(key, _)| key.clone());
            oldest.map(|key| self.0.remove(&key));
        }
        self.0.insert(key, draft);
    }

    /// What was entered, over what the form would show `now_there` otherwise.
    pub fn over(&self, session: &Session, form: &str, now_there: &Fields, now: DateTime<Utc>) -> Option<Fields> {
        let draft = self.0.get(&key(session, form)).filter(|draft| now - draft.at < IDLE)?;
        Some(merged(&uncarried(&draft.was), &uncarried(&draft.entered), now_there))
    }

    /// The form is done with.
    pub fn done(&mut self, session: &Session, form: &str) {
        self.0.remove(&key(session, form));
    }

    /// The session has ended.
    pub fn end(&mut self, session: &Session) {
        let ended = digest(session);
        self.0.retain(|key, _| key.session != ended);
    }
}

fn key(session: &Session, form: &str) -> Key {
    Key { session: digest(session), form: form.to_owned() }
}

fn digest(session: &Session) -> [u8; 32] {
    Sha256::digest(session.csrf.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_draft_is_of_one_session_and_form_and_ends_with_either() {
        let now: DateTime<Utc> = "2026-12-01T03:00:00Z".parse().unwrap();
        let (one, other) = (Session::new(None, now), Session::new(None, now));
        let (was, entered) = (fields(&[("interval", "5m")]), fields(&[("interval", "7m"), ("name", "crm")]));
        let mut drafts = Drafts::default();
        drafts.keep(&one, "/new/from/keap", (&was, &entered), now);
        drafts.keep(&one, "/new/plain", (&was, &entered), now);
        let over = |drafts: &Drafts, session, form, at| {
            let shown = drafts.over(session, form, &fields(&[("interval", "5m"), ("format", "CloudEvents")]), at)?;
            Some(["name", "interval", "format"].map(|name| shown.one(name).to_owned()).join(" "))
        };
        // what others have changed meanwhile shows where nothing was entered
        assert_eq!(over(&drafts, &one, "/new/from/keap", now).as_deref(), Some("crm 7m CloudEvents"));
        assert_eq!(over(&drafts, &other, "/new/from/keap", now), None);
        assert_eq!(over(&drafts, &one, "/new/from/github", now), None);
        assert_eq!(over(&drafts, &one, "/new/from/keap", now + IDLE), None);
        drafts.done(&one, "/new/from/keap");
        assert_eq!(over(&drafts, &one, "/new/from/keap", now), None);
        drafts.end(&one);
        assert_eq!(over(&drafts, &one, "/new/plain", now), None);
    }

    #[test]
    fn drafts_are_bounded() {
        let now: DateTime<Utc> = "2026-12-01T03:00:00Z".parse().unwrap();
        let session = Session::new(None, now);
        let mut drafts = Drafts::default();
        let (was, entered) = (Fields::default(), fields(&[("name", "crm")]));
        for number in 0..MOST + 3 {
            let at = now + TimeDelta::seconds(i64::try_from(number).unwrap());
            drafts.keep(&session, &format!("/new/{number}"), (&was, &entered), at);
        }
        assert_eq!(drafts.0.len(), MOST);
        assert!(drafts.over(&session, "/new/2", &was, now).is_none() && drafts.over(&session, "/new/3", &was, now).is_some());
        let long = fields(&[("name", &"x".repeat(LONGEST))]);
        drafts.keep(&session, "/new/3", (&was, &long), now);
        assert!(drafts.over(&session, "/new/3", &was, now).is_none(), "less than all is none");
    }
}
