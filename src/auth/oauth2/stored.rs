//! What is kept of the tokens of a Secret. Pure.

use std::fmt;

use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::Sha256;

use super::answer::Granted;

/// Version of the form; a greater one is refused. Form 1 (version 0.1.0) was kept for each instance, form 2 is kept for each Secret.
pub const FORMAT: u32 = 2;
/// Beginnings of earlier chains that are remembered.
const MAX_SPENT: usize = 16;
/// Chains that were merged into this one and are remembered.
const MAX_INHERITED: usize = 64;
/// Requests that were refused and are remembered: one for each different request that instances of the Secret make.
const MAX_REFUSED: usize = 32;
/// Access tokens for different requests.
const MAX_ACCESS: usize = 16;
/// Consents that people have begun, at most one for each instance.
const MAX_CONSENTS: usize = 32;
/// Least of early, most of early: a token is renewed this much before its end.
const EARLY_SHARE: i32 = 10;
const EARLY_MOST: Duration = Duration::minutes(5);

/// The tokens of one Secret: one chain, from what a person supplied to the newest answer. All instances that name the Secret use it.
/// Its `Debug` shows no token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredTokens {
    /// Form of this.
    pub format: u32,
    /// Salt of all fingerprints here, so that they reveal nothing about a token.
    pub salt: String,
    /// The refresh token or code in the user's Secret from which the chain began, or which was there when consent was given. The
    /// Secret may go on holding it, which changes nothing; another one begins a new chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Fingerprint>,
    /// Beginnings of earlier chains: none of them begins another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<Fingerprint>,
    /// Salts and beginnings of other chains of the same Secret that were merged into this one: none of them begins another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherited: Vec<Inherited>,
    /// The newest access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessToken>,
    /// Access tokens for requests with another audience or other parameters than the newest one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_access: Vec<AccessToken>,
    /// The newest refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// What refreshes of this chain did to the refresh token.
    #[serde(default)]
    pub rotation: Rotation,
    /// A refresh token or code that may have been sent and whose answer is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<InFlight>,
    /// What the provider refused for good: not requested again as long as plan and Secret stay what they were.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Fingerprint>,
    /// The token endpoint whose tokens these are, see [`Oauth2Plan::endpoint`](crate::plan::Oauth2Plan::endpoint); `None` until
    /// something was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// When the token endpoint last answered with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<DateTime<Utc>>,
    /// Consents that people have begun at the connect page. Each goes with its first answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<PendingConsent>,
    /// The Secret to whose chain these tokens have moved: they are used from there alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
}

/// What is remembered of a chain that was merged into another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inherited {
    /// The salt of its fingerprints, which also distinguishes the chain from all others.
    pub salt: String,
    /// Its beginnings.
    pub began: Vec<Fingerprint>,
}

/// Form 1 kept one refused request.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Fingerprint>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(Fingerprint),
        Many(Vec<Fingerprint>),
    }
    Ok(match Option::<Either>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Either::One(one)) => vec![one],
        Some(Either::Many(many)) => many,
    })
}

/// A consent that a person has begun: what its answer is checked against. Its `Debug` does not show the verifier.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingConsent {
    /// The instance at whose page it was begun.
    pub instance: String,
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
    /// For which requests it serves, see [`Oauth2Plan::variant`](crate::plan::Oauth2Plan::variant); `None`: for all, as form 1
    /// has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
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

/// Identifies a token without showing it: HMAC-SHA256 under the chain's salt, shortened.
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
            inherited: Vec::new(),
            access: None,
            other_access: Vec::new(),
            refresh_token: None,
            rotation: Rotation::Unknown,
            in_flight: None,
            refused: Vec::new(),
            endpoint: None,
            answered_at: None,
            consents: Vec::new(),
            moved_to: None,
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
        let (inherited, consents) = (self.inherited.clone(), self.consents.clone());
        Self { source, spent, inherited, consents, ..Self::new(self.salt.clone()) }
    }

    /// Whether this refresh token or code began an earlier chain, one that was merged into this one included.
    pub fn is_spent(&self, token: &str) -> bool {
        let inherited = |one: &Inherited| one.began.contains(&Fingerprint::of(&one.salt, &[token.as_bytes()]));
        self.spent.contains(&self.fingerprint(token)) || self.inherited.iter().any(inherited)
    }

    /// Whether this refresh token or code began this chain or an earlier one.
    pub fn knows(&self, token: &str) -> bool {
        self.source.as_ref() == Some(&self.fingerprint(token)) || self.is_spent(token)
    }

    /// Whether there are tokens of a consent that is valid, as far as is known.
    pub fn is_alive(&self, now: DateTime<Utc>) -> bool {
        let has_access = self.access.iter().chain(&self.other_access).any(|access| access.is_valid(now));
        self.refused.is_empty() && (self.refresh_token.is_some() || has_access)
    }

    /// Whether tokens are kept here, or it is known that one may be spent.
    pub fn has_tokens(&self) -> bool {
        self.access.is_some() || !self.other_access.is_empty() || self.refresh_token.is_some() || self.in_flight.is_some()
    }

    /// Whether this is the other chain's continuation, or the other one was merged into it.
    pub fn continues(&self, other: &Self) -> bool {
        self.salt == other.salt || self.inherited.iter().any(|one| one.salt == other.salt)
    }

    /// This chain, which also remembers what `other` remembers of beginnings.
    #[must_use]
    pub fn inheriting(mut self, other: &Self) -> Self {
        if self.salt != other.salt {
            let began = other.source.iter().chain(&other.spent).cloned().collect();
            self.inherited.push(Inherited { salt: other.salt.clone(), began });
        }
        for one in &other.inherited {
            if one.salt != self.salt && self.inherited.iter().all(|own| own.salt != one.salt) {
                self.inherited.push(one.clone());
            }
        }
        let surplus = self.inherited.len().saturating_sub(MAX_INHERITED);
        self.inherited.drain(..surplus);
        self
    }

    /// The newest access token for requests of this variant.
    pub fn access_for(&self, variant: &str) -> Option<&AccessToken> {
        let serves = |access: &&AccessToken| access.variant.as_deref().is_none_or(|own| own == variant);
        self.access.iter().find(serves).or_else(|| self.other_access.iter().find(serves))
    }

    fn set_access(&mut self, access: AccessToken) {
        let old = self.access.replace(access);
        let (new, now) =
            (self.access.as_ref().and_then(|new| new.variant.clone()), self.access.as_ref().map(|new| new.obtained_at));
        let others = old.into_iter().chain(std::mem::take(&mut self.other_access));
        let serves_others = |old: &AccessToken| old.variant.is_some() && new.is_some() && old.variant != new;
        let holds = |old: &AccessToken| now.is_none_or(|now| old.is_valid(now));
        self.other_access = others.filter(|old| serves_others(old) && holds(old)).take(MAX_ACCESS - 1).collect();
    }

    /// Notes a request that the provider refused for good.
    pub fn note_refused(&mut self, attempt: Fingerprint) {
        if !self.refused.contains(&attempt) {
            self.refused.push(attempt);
        }
        let surplus = self.refused.len().saturating_sub(MAX_REFUSED);
        self.refused.drain(..surplus);
    }

    /// Begins a consent. What was begun for the same instance before is over, and so is what took too long.
    pub fn begin_consent(&mut self, consent: PendingConsent, now: DateTime<Utc>) {
        self.consents.retain(|one| one.instance != consent.instance && now < one.expires_at);
        let surplus = (self.consents.len() + 1).saturating_sub(MAX_CONSENTS);
        self.consents.drain(..surplus);
        self.consents.push(consent);
    }

    /// The chain with an answer's tokens. `sent`: the refresh token that was used, which stays the newest unless another came.
    /// `variant`: for which requests the access token serves; `None`: for all.
    #[must_use]
    pub fn granted(&self, granted: &Granted, sent: Option<&str>, variant: Option<&str>, now: DateTime<Utc>) -> Self {
        let mut next = self.clone();
        next.set_access(AccessToken {
            token: granted.access_token.clone(),
            variant: variant.map(str::to_owned),
            obtained_at: now,
            expires_at: granted
                .expires_in
                .and_then(|life| Duration::from_std(life).ok())
                .and_then(|life| now.checked_add_signed(life)),
        });
        next.take_refresh_token(granted.refresh_token.as_deref(), sent);
        (next.format, next.in_flight, next.answered_at) = (FORMAT, None, Some(now));
        next.refused.clear();
        next
    }

    /// This chain as it is to be written over `found`, when it was to be written over `before`. Consents that people have begun
    /// meanwhile and beginnings of other chains are kept with the tokens and stay. `None`: another process went on with the tokens.
    #[must_use]
    pub fn over(&self, found: &Self, before: &Self) -> Option<Self> {
        let (consents, inherited) = (found.consents.clone(), found.inherited.clone());
        let same = Self { consents: consents.clone(), inherited: inherited.clone(), ..before.clone() };
        (*found == same).then(|| Self { inherited, consents, ..self.clone() })
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

    /// Whether it is too early to renew it.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.renew_at().is_none_or(|at| now < at)
    }

    /// Whether it may still be used.
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
            let tokens = StoredTokens::new("s").granted(&granted(None, Some(life)), None, None, at(0));
            let access = tokens.access.unwrap();
            assert!(access.is_fresh(at(fresh_for)) && !access.is_fresh(at(fresh_for + 1)), "{life}");
            let end = i64::try_from(life).unwrap();
            assert!(access.is_valid(at(end - 1)) && !access.is_valid(at(end)), "{life}");
        }
        let lasting = StoredTokens::new("s").granted(&granted(None, None), None, None, at(0)).access.unwrap();
        assert!(lasting.is_fresh(at(1_000_000_000)) && lasting.is_valid(at(1_000_000_000)));
    }

    #[test]
    fn what_refreshes_do_to_the_refresh_token_is_observed() {
        let tokens = StoredTokens::new("s").granted(&granted(Some("r1"), None), None, None, at(0));
        assert_eq!((tokens.rotation, tokens.refresh_token.as_deref()), (Rotation::Unknown, Some("r1")));
        let kept = tokens.granted(&granted(None, None), Some("r1"), None, at(1));
        assert_eq!((kept.rotation, kept.refresh_token.as_deref()), (Rotation::Kept, Some("r1")));
        assert_eq!(tokens.granted(&granted(Some("r1"), None), Some("r1"), None, at(1)).rotation, Rotation::Kept);
        let rotated = kept.granted(&granted(Some("r2"), None), Some("r1"), None, at(2));
        assert_eq!((rotated.rotation, rotated.refresh_token.as_deref()), (Rotation::Rotated, Some("r2")));
        assert_eq!(rotated.granted(&granted(None, None), Some("r2"), None, at(3)).rotation, Rotation::Rotated, "it may again");
    }

    #[test]
    fn the_form_is_kept_and_fingerprints_are_salted() {
        let mut tokens = StoredTokens::new("s").succeeded_by(Some(Fingerprint::of("s", &[b"r0"])));
        tokens.in_flight = Some(InFlight { token: tokens.fingerprint("r1"), at: at(0), owner: "p".into() });
        let tokens = StoredTokens {
            refused: vec![tokens.fingerprint("x")],
            ..tokens.granted(&granted(Some("r1"), Some(60)), None, None, at(0))
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
        let before = StoredTokens::new("s").granted(&granted(Some("r1"), None), None, None, at(0));
        let next = before.granted(&granted(Some("r2"), None), Some("r1"), None, at(1));
        let consents = vec![PendingConsent {
            instance: "keap".into(),
            state: Fingerprint::of("s", &[b"state"]),
            browser: Fingerprint::of("s", &[b"browser"]),
            verifier: "v".into(),
            expires_at: at(600),
        }];
        let found = StoredTokens { consents: consents.clone(), ..before.clone() };
        assert_eq!(next.over(&found, &before), Some(StoredTokens { consents, ..next.clone() }));
        assert_eq!(next.over(&before, &before), Some(next.clone()));
        assert_eq!(before.over(&before, &found), Some(before.clone()), "and one that ended meanwhile");
        let other = before.granted(&granted(Some("r9"), None), Some("r1"), None, at(1));
        assert_eq!(next.over(&other, &before), None);
    }
}
