//! What is kept of an instance's tokens. Pure.

use std::fmt;

use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::answer::Granted;

/// Version of the form; a greater one is refused.
pub const FORMAT: u32 = 1;
/// Beginnings of earlier chains that are remembered.
const MAX_SPENT: usize = 16;
/// Least of early, most of early: a token is renewed this much before its end.
const EARLY_SHARE: i32 = 10;
const EARLY_MOST: Duration = Duration::minutes(5);

/// The tokens of one instance: one chain, from what a person supplied to the newest answer. Its `Debug` shows no token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredTokens {
    /// Form of this.
    pub format: u32,
    /// Salt of all fingerprints here, so that they tell nothing about a token.
    pub salt: String,
    /// The refresh token or code in the user's Secret from which the chain began, or which was there when consent was given. The
    /// Secret may go on holding it, which changes nothing; another one begins a new chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Fingerprint>,
    /// Beginnings of earlier chains: none of them begins another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<Fingerprint>,
    /// The newest access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessToken>,
    /// The newest refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// What refreshes of this chain did to the refresh token.
    #[serde(default)]
    pub rotation: Rotation,
    /// A refresh token or code that may have been sent and whose answer is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<InFlight>,
    /// What the provider refused for good: not to be asked again as long as plan and Secret stay what they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Fingerprint>,
    /// When the token endpoint last answered with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<DateTime<Utc>>,
    /// A consent that a person has begun at the connect page. It goes with its first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<PendingConsent>,
}

/// A consent that a person has begun: what its answer is judged by. Its `Debug` does not show the verifier.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingConsent {
    /// Of the `state` (RFC 6749 §4.1.1), together with the uid of the instance.
    pub state: Fingerprint,
    /// Of the cookie of the browser that began it.
    pub browser: Fingerprint,
    /// The secret behind the challenge (RFC 7636 §4.1).
    pub verifier: String,
    /// Until when an answer is taken.
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for PendingConsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingConsent").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// An access token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessToken {
    /// The token.
    pub token: String,
    /// When it came.
    pub obtained_at: DateTime<Utc>,
    /// When it ends; `None`: the provider did not say, so an answer 401 will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// What refreshes did to the refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rotation {
    /// There was no refresh yet.
    #[default]
    Unknown,
    /// No new refresh token came: the old one stays valid.
    Kept,
    /// A new one came: the old one may be spent.
    Rotated,
}

/// A marker: this token or code may have been sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// Which.
    pub token: Fingerprint,
    /// When.
    pub at: DateTime<Utc>,
    /// By which process: a name made at its start.
    pub owner: String,
}

/// Tells tokens apart without showing one: HMAC-SHA256 under the chain's salt, shortened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of some parts, in their order.
    #[allow(clippy::expect_used, clippy::missing_panics_doc)] // HMAC takes keys of any length (RFC 2104 §2)
    pub fn of(salt: &str, parts: &[&[u8]]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(salt.as_bytes()).expect("a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Self(data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()[..16]))
    }
}

impl StoredTokens {
    /// A chain that has not begun. `salt`: random, at least 16 bytes as text.
    pub fn new(salt: impl Into<String>) -> Self {
        Self {
            format: FORMAT,
            salt: salt.into(),
            source: None,
            spent: Vec::new(),
            access: None,
            refresh_token: None,
            rotation: Rotation::Unknown,
            in_flight: None,
            refused: None,
            answered_at: None,
            consent: None,
        }
    }

    /// The chain that begins after this one, from another refresh token or code, or from a person's consent (`None`: the Secret
    /// held neither).
    #[must_use]
    pub fn succeeded_by(&self, source: Option<Fingerprint>) -> Self {
        let mut spent = self.spent.clone();
        spent.extend(self.source.clone().filter(|old| Some(old) != source.as_ref() && !self.spent.contains(old)));
        let surplus = spent.len().saturating_sub(MAX_SPENT);
        spent.drain(..surplus);
        Self { source, spent, consent: self.consent.clone(), ..Self::new(self.salt.clone()) }
    }

    /// The chain with an answer's tokens. `sent`: the refresh token that was used, which stays the newest unless another came.
    #[must_use]
    pub fn granted(&self, granted: &Granted, sent: Option<&str>, now: DateTime<Utc>) -> Self {
        let mut next = self.clone();
        next.access = Some(AccessToken {
            token: granted.access_token.clone(),
            obtained_at: now,
            expires_at: granted
                .expires_in
                .and_then(|life| Duration::from_std(life).ok())
                .and_then(|life| now.checked_add_signed(life)),
        });
        next.take_refresh_token(granted.refresh_token.as_deref(), sent);
        (next.in_flight, next.refused, next.answered_at) = (None, None, Some(now));
        next
    }

    /// This chain as it is to be written over `found`, when it was to be written over `before`. A consent that a person has begun
    /// meanwhile stands beside the tokens and goes on standing there. `None`: somebody else went on with the tokens.
    #[must_use]
    pub fn over(&self, found: &Self, before: &Self) -> Option<Self> {
        let consent = found.consent.clone();
        (*found == Self { consent: consent.clone(), ..before.clone() }).then(|| Self { consent, ..self.clone() })
    }

    /// Takes the refresh token of an answer, if there was one.
    pub(super) fn take_refresh_token(&mut self, came: Option<&str>, sent: Option<&str>) {
        let is_new = came.is_some() && came != sent;
        if sent.is_some() {
            let rotates = is_new || self.rotation == Rotation::Rotated;
            self.rotation = if rotates { Rotation::Rotated } else { Rotation::Kept };
        }
        if let Some(newest) = came.or(sent) {
            self.refresh_token = Some(newest.to_owned());
        }
    }

    /// The fingerprint of a refresh token or code under this chain's salt.
    pub fn fingerprint(&self, token: &str) -> Fingerprint {
        Fingerprint::of(&self.salt, &[token.as_bytes()])
    }
}

impl AccessToken {
    /// When it is to be renewed: 10 % of its life before its end, but at most five minutes.
    pub fn renew_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at.map(|end| end - ((end - self.obtained_at) / EARLY_SHARE).min(EARLY_MOST))
    }

    /// Is it too early to renew it?
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.renew_at().is_none_or(|at| now < at)
    }

    /// May it still be used?
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

impl fmt::Debug for StoredTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredTokens")
            .field("access", &self.access)
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("rotation", &self.rotation)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn granted(refresh_token: Option<&str>, life: Option<u64>) -> Granted {
        Granted {
            access_token: "a".into(),
            refresh_token: refresh_token.map(str::to_owned),
            expires_in: life.map(std::time::Duration::from_secs),
            scope: None,
            token_type: None,
        }
    }

    #[test]
    fn a_token_is_renewed_a_tenth_of_its_life_or_five_minutes_before_its_end() {
        for (life, fresh_for) in [(5, 4), (100, 89), (3_000, 2_699), (3_600, 3_299), (86_400, 86_099)] {
            let tokens = StoredTokens::new("s").granted(&granted(None, Some(life)), None, at(0));
            let access = tokens.access.unwrap();
            assert!(access.is_fresh(at(fresh_for)) && !access.is_fresh(at(fresh_for + 1)), "{life}");
            let end = i64::try_from(life).unwrap();
            assert!(access.is_valid(at(end - 1)) && !access.is_valid(at(end)), "{life}");
        }
        let lasting = StoredTokens::new("s").granted(&granted(None, None), None, at(0)).access.unwrap();
        assert!(lasting.is_fresh(at(1_000_000_000)) && lasting.is_valid(at(1_000_000_000)));
    }

    #[test]
    fn what_refreshes_do_to_the_refresh_token_is_observed() {
        let tokens = StoredTokens::new("s").granted(&granted(Some("r1"), None), None, at(0));
        assert_eq!((tokens.rotation, tokens.refresh_token.as_deref()), (Rotation::Unknown, Some("r1")));
        let kept = tokens.granted(&granted(None, None), Some("r1"), at(1));
        assert_eq!((kept.rotation, kept.refresh_token.as_deref()), (Rotation::Kept, Some("r1")));
        assert_eq!(tokens.granted(&granted(Some("r1"), None), Some("r1"), at(1)).rotation, Rotation::Kept);
        let rotated = kept.granted(&granted(Some("r2"), None), Some("r1"), at(2));
        assert_eq!((rotated.rotation, rotated.refresh_token.as_deref()), (Rotation::Rotated, Some("r2")));
        assert_eq!(rotated.granted(&granted(None, None), Some("r2"), at(3)).rotation, Rotation::Rotated, "it may again");
    }

    #[test]
    fn the_form_is_kept_and_fingerprints_are_salted() {
        let mut tokens = StoredTokens::new("s").succeeded_by(Some(Fingerprint::of("s", &[b"r0"])));
        tokens.in_flight = Some(InFlight { token: tokens.fingerprint("r1"), at: at(0), owner: "p".into() });
        let tokens = StoredTokens {
            refused: Some(tokens.fingerprint("x")),
            ..tokens.granted(&granted(Some("r1"), Some(60)), None, at(0))
        };
        let text = serde_json::to_string(&tokens).unwrap();
        assert_eq!(serde_json::from_str::<StoredTokens>(&text).unwrap(), tokens);
        assert_ne!(Fingerprint::of("s", &[b"r0"]), Fingerprint::of("t", &[b"r0"]));
        assert_ne!(Fingerprint::of("s", &[b"a", b"b"]), Fingerprint::of("s", &[b"ab"]));
        let shown = format!("{tokens:?}");
        assert!(!shown.contains("r1") && !shown.contains("\"a\""), "{shown}");
    }

    #[test]
    fn earlier_beginnings_are_remembered_within_a_bound() {
        let print = |n: usize| Some(Fingerprint::of("s", &[&n.to_be_bytes()]));
        let mut tokens = StoredTokens::new("s");
        for n in 0..40 {
            tokens = tokens.succeeded_by(print(n));
        }
        assert_eq!(tokens.spent.len(), MAX_SPENT);
        assert!(tokens.spent.contains(&print(38).unwrap()) && !tokens.spent.contains(&print(39).unwrap()));
        assert_eq!(tokens.succeeded_by(print(39)).spent, tokens.spent, "the same again is no earlier one");
    }

    /// A person opens the connect page while a refresh is under way: what came of the refresh is not lost for it.
    #[test]
    fn a_consent_that_begins_beside_a_refresh_overtakes_nobody() {
        let before = StoredTokens::new("s").granted(&granted(Some("r1"), None), None, at(0));
        let next = before.granted(&granted(Some("r2"), None), Some("r1"), at(1));
        let consent = Some(PendingConsent {
            state: Fingerprint::of("s", &[b"state"]),
            browser: Fingerprint::of("s", &[b"browser"]),
            verifier: "v".into(),
            expires_at: at(600),
        });
        let found = StoredTokens { consent: consent.clone(), ..before.clone() };
        assert_eq!(next.over(&found, &before), Some(StoredTokens { consent, ..next.clone() }));
        assert_eq!(next.over(&before, &before), Some(next.clone()));
        assert_eq!(before.over(&before, &found), Some(before.clone()), "and one that ended meanwhile");
        let other = before.granted(&granted(Some("r9"), None), Some("r1"), at(1));
        assert_eq!(next.over(&other, &before), None);
    }
}
