//! A session in a cluster: all of it is in the cookie of the browser, encrypted, so that every replica knows it and none keeps it. Pure.

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::seal::Seal;
use super::session::Session;

/// What the encryption is for.
const PURPOSE: &str = "session";
/// Characters of a cookie with its name that every browser keeps (RFC 6265 §6.1), less some for the name.
const LONGEST: usize = 4096 - 64;

/// What the cookie has.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The session.
    pub session: Session,
    /// The token that a person pasted; `None`: a proxy passes one with each request.
    token: Option<String>,
    /// The digest of the token for which the session was begun.
    of: String,
}

impl Pass {
    /// For a token that was pasted.
    pub fn pasted(token: &str, user: String, now: DateTime<Utc>) -> Self {
        Self { session: Session::new(Some(user), now), token: Some(token.to_owned()), of: digest(token) }
    }

    /// For a token that a proxy passed. `before`: forms of the pages that are open in the browser stay usable.
    pub fn passed(token: &str, user: String, before: Option<Self>, now: DateTime<Utc>) -> Self {
        let mut session = Session::new(Some(user), now);
        if let Some(before) = before {
            (session.csrf, session.label) = (before.session.csrf, before.session.label);
        }
        Self { session, token: None, of: digest(token) }
    }

    /// Its token, unless the request brings one: then that one, if the session is of it.
    pub fn token<'a>(&'a self, passed: Option<&'a str>) -> Option<&'a str> {
        match passed {
            Some(token) => (digest(token) == self.of).then_some(token),
            None => self.token.as_deref(),
        }
    }

    /// As the value of a cookie; `None`: the token is too long for one.
    pub fn close(&self, seal: &Seal) -> Option<String> {
        let text = serde_json::to_vec(self).ok()?;
        seal.close(PURPOSE, text).filter(|sealed| sealed.len() <= LONGEST)
    }

    /// From the value of a cookie.
    pub fn open(seal: &Seal, sealed: &str) -> Option<Self> {
        serde_json::from_slice(&seal.open(PURPOSE, sealed)?).ok()
    }
}

fn digest(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + chrono::TimeDelta::minutes(minutes)
    }

    #[test]
    fn every_replica_with_the_key_knows_the_session_and_no_one_reads_the_token() {
        let pass = Pass::pasted("hunter2", "ann".to_owned(), at(0));
        let sealed = pass.close(&Seal::of(&[1; 32])).unwrap();
        let read = Pass::open(&Seal::of(&[1; 32]), &sealed).unwrap();
        assert!(read == pass && read.session.user.as_deref() == Some("ann"));
        assert!(Pass::open(&Seal::of(&[2; 32]), &sealed).is_none());
        let bytes = data_encoding::BASE64URL_NOPAD.decode(sealed.as_bytes()).unwrap();
        for part in ["hunter2", "ann", &*pass.session.csrf] {
            assert!(!bytes.windows(part.len()).any(|window| window == part.as_bytes()), "{part}");
        }
    }

    #[test]
    fn a_token_that_a_proxy_passes_wins_and_the_session_is_of_its_person_alone() {
        let kept = Pass::pasted("own", "ann".to_owned(), at(0));
        assert_eq!((kept.token(None), kept.token(Some("own")), kept.token(Some("other"))), (Some("own"), Some("own"), None));
        let first = Pass::passed("first", "ann".to_owned(), None, at(0));
        assert_eq!((first.token(None), first.token(Some("first")), first.token(Some("next"))), (None, Some("first"), None));
        let next = Pass::passed("next", "bob".to_owned(), Some(first.clone()), at(1));
        assert!(next.session.csrf == first.session.csrf && next.session.user.as_deref() == Some("bob"));
        assert_eq!(next.token(Some("first")), None);
    }

    #[test]
    fn a_token_that_fits_no_cookie_is_refused() {
        let long = |length: usize| Pass::pasted(&"a".repeat(length), "ann".to_owned(), at(0)).close(&Seal::random());
        assert!(long(2_500).is_some() && long(4_000).is_none());
    }
}
