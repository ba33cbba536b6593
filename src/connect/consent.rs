//! One consent, from the button to the answer. Pure.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use percent_encoding::utf8_percent_encode;
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

use crate::api::conditions::Problem;
use crate::api::names;
use crate::api::uri::RESERVED;
use crate::auth::oauth2::stored::{Fingerprint, PendingConsent, StoredTokens};
use crate::plan::Oauth2Plan;

/// How long a person has between the button and the answer.
pub const LIFETIME: Duration = Duration::minutes(10);
/// Longest query of an answer that is looked at.
pub const LONGEST_QUERY: usize = 16 * 1024;
/// Characters of 32 random bytes.
const RANDOM: usize = 43;
/// Parameters of an authorization request that are made here (RFC 6749 §4.1.1, RFC 7636 §4.3).
const OWN_PARAMETERS: [&str; 8] =
    ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method", "audience"];

/// The `state` of an authorization request: whose consent it is about, and a part that cannot be guessed.
#[derive(Clone, PartialEq, Eq)]
pub struct StateParameter {
    /// Namespace of the instance.
    pub namespace: String,
    /// Name of the instance.
    pub name: String,
    random: String,
}

impl StateParameter {
    /// Reads one; `None`: it was not made here.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, rest) = text.split_once('.')?;
        let (name, random) = rest.rsplit_once('.')?;
        let is_random = random.len() == RANDOM && random.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c));
        (names::is_label(namespace) && names::is_subdomain(name) && is_random).then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            random: random.to_owned(),
        })
    }
}

impl fmt::Display for StateParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.namespace, self.name, self.random)
    }
}

/// Random values of one consent, 32 bytes each.
#[derive(Clone, Copy)]
pub struct Randomness {
    /// Of the state.
    pub state: [u8; 32],
    /// Of the cookie.
    pub browser: [u8; 32],
    /// Of the PKCE verifier.
    pub verifier: [u8; 32],
}

/// A consent that was begun. Has no `Debug`, since it holds secrets.
pub struct Begun {
    /// To be stored before the browser is sent anywhere.
    pub pending: PendingConsent,
    /// Where the browser is sent.
    pub authorization_url: Url,
    /// Value of the cookie that identifies the browser.
    pub cookie: String,
}

/// What begins a consent.
#[derive(Clone, Copy)]
pub struct Beginning<'a> {
    /// The plan; `None` if it names no place for consent.
    pub authorization_url: &'a Url,
    /// Scopes and audience.
    pub plan: &'a Oauth2Plan,
    /// Namespace, name and uid of the instance.
    pub instance: (&'a str, &'a str, &'a str),
    /// `client_id`.
    pub client_id: &'a str,
    /// Where the answer is sent.
    pub redirect_uri: &'a str,
    /// Salt of the tokens with which it is stored.
    pub salt: &'a str,
}

/// Begins a consent.
pub fn begin(asked: Beginning<'_>, random: &Randomness, now: DateTime<Utc>) -> Begun {
    let encode = |bytes: &[u8; 32]| URL_SAFE_NO_PAD.encode(bytes);
    let (namespace, name, uid) = asked.instance;
    let state = StateParameter { namespace: namespace.to_owned(), name: name.to_owned(), random: encode(&random.state) };
    let (state, verifier, cookie) = (state.to_string(), encode(&random.verifier), encode(&random.browser));
    let scope = asked.plan.scopes.join(" ");
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", asked.client_id),
        ("redirect_uri", asked.redirect_uri),
        ("state", &state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    if !scope.is_empty() {
        parameters.push(("scope", &scope));
    }
    if let Some(audience) = &asked.plan.audience {
        parameters.push(("audience", audience));
    }
    Begun {
        pending: PendingConsent {
            instance: name.to_owned(),
            state: Fingerprint::of(asked.salt, &[state.as_bytes(), uid.as_bytes()]),
            browser: Fingerprint::of(asked.salt, &[cookie.as_bytes()]),
            verifier,
            expires_at: now + LIFETIME,
        },
        authorization_url: with_parameters(asked.authorization_url, &parameters),
        cookie,
    }
}

/// The endpoint with these parameters; others that are in its query stay (RFC 6749 §3.1).
fn with_parameters(endpoint: &Url, parameters: &[(&str, &str)]) -> Url {
    let mut query = String::new();
    let mut push = |name: &str, value: &str| {
        if !query.is_empty() {
            query.push('&');
        }
        query.extend(utf8_percent_encode(name, RESERVED));
        query.push('=');
        query.extend(utf8_percent_encode(value, RESERVED));
    };
    for (name, value) in endpoint.query_pairs().filter(|(name, _)| !OWN_PARAMETERS.contains(&name.as_ref())) {
        push(&name, &value);
    }
    for (name, value) in parameters {
        push(name, value);
    }
    let mut url = endpoint.clone();
    url.set_query(Some(&query));
    url
}

/// The provider's answer in the query of the callback. Has no `Debug`, since it holds a code.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    issuer: Option<String>,
}

impl Answer {
    /// Reads the query.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: a parameter came twice (RFC 6749 §3.1), or the query is too long.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        if query.len() > LONGEST_QUERY {
            return Err(Refusal::Malformed);
        }
        let mut answer = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut answer.state,
                "code" => &mut answer.code,
                "error" => &mut answer.error,
                "iss" => &mut answer.issuer,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(Refusal::Malformed);
            }
        }
        Ok(answer)
    }

    /// The state, if it can be one of ours.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn state(&self) -> Result<StateParameter, Refusal> {
        self.state.as_deref().and_then(StateParameter::parse).ok_or(Refusal::Malformed)
    }

    /// The code that the person's consent brought.
    ///
    /// # Errors
    /// [`Refusal::OtherIssuer`], [`Refusal::Denied`], [`Refusal::Provider`], [`Refusal::NoCode`].
    pub fn code(&self, plan: &Oauth2Plan) -> Result<&str, Refusal> {
        // RFC 9207 §2.4: before anything else in the answer is believed, its error included.
        if let (Some(issuer), Some(authorization)) = (&self.issuer, &plan.authorization_url)
            && !is_issuer(issuer, plan.issuer.as_deref(), authorization)
        {
            return Err(Refusal::OtherIssuer);
        }
        match self.error.as_deref() {
            Some("access_denied") => return Err(Refusal::Denied),
            Some(error) => return Err(Refusal::Provider(known(error))),
            None => {}
        }
        self.code.as_deref().filter(|code| !code.is_empty()).ok_or(Refusal::NoCode)
    }
}

/// Whether this is the issuer that the instance asks. Without one in the plan, it is a URL of the origin that asked the person.
fn is_issuer(answered: &str, planned: Option<&str>, authorization: &Url) -> bool {
    match planned {
        Some(planned) => answered == planned,
        None => Url::parse(answered).is_ok_and(|answered| answered.origin() == authorization.origin()),
    }
}

/// Error codes of authorization endpoints (RFC 6749 §4.1.2.1, `OpenID` Connect Core §3.1.2.6); others are never shown.
const KNOWN: [&str; 10] = [
    "invalid_request",
    "unauthorized_client",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "interaction_required",
    "login_required",
    "consent_required",
    "invalid_target",
];

fn known(error: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| **known == error).copied()
}

/// Checks an answer against what is kept: the consent that it belongs to.
///
/// # Errors
/// [`Refusal::UnknownState`], [`Refusal::Expired`], [`Refusal::OtherBrowser`]. In the latter two cases the consent is known and is
/// over, too.
pub fn judge(
    kept: Option<&StoredTokens>,
    state: &StateParameter,
    uid: &str,
    cookie: Option<&str>,
    now: DateTime<Utc>,
) -> Result<PendingConsent, Refusal> {
    let Some(kept) = kept else { return Err(Refusal::UnknownState) };
    let own = of_state(kept, state, uid);
    let Some(pending) = kept.consents.iter().find(|pending| pending.state == own) else { return Err(Refusal::UnknownState) };
    // A clock that was set back makes no link live longer than was meant.
    if now >= pending.expires_at || now < pending.expires_at - LIFETIME {
        return Err(Refusal::Expired);
    }
    match cookie {
        Some(cookie) if Fingerprint::of(&kept.salt, &[cookie.as_bytes()]) == pending.browser => Ok(pending.clone()),
        _ => Err(Refusal::OtherBrowser),
    }
}

/// The consent of this state is over.
pub fn end(kept: &mut StoredTokens, state: &StateParameter, uid: &str) {
    let own = of_state(kept, state, uid);
    kept.consents.retain(|pending| pending.state != own);
}

fn of_state(kept: &StoredTokens, state: &StateParameter, uid: &str) -> Fingerprint {
    Fingerprint::of(&kept.salt, &[state.to_string().as_bytes(), uid.as_bytes()])
}

/// Why no connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address is none that was made here.
    Malformed,
    /// There is no such instance, or a person can give no consent for it.
    UnknownInstance,
    /// The instance does not wait for a consent.
    Connected,
    /// Whether the instance needs a consent is not known yet.
    Unsettled,
    /// The consent is over, was never begun, or belonged to an instance that was deleted.
    UnknownState,
    /// It took longer than [`LIFETIME`].
    Expired,
    /// Another browser began it.
    OtherBrowser,
    /// Another site sent the browser here.
    OtherSite,
    /// The page was asked for under another address than `--connect-url`.
    OtherAddress,
    /// The person said no.
    Denied,
    /// The provider refused; its error code if it is one that is known.
    Provider(Option<&'static str>),
    /// The answer came from another issuer than was asked (RFC 9207).
    OtherIssuer,
    /// An answer without a code.
    NoCode,
    /// The code was sent, and no answer came.
    Ambiguous,
    /// What was asked for cannot be done; with the instance's words.
    Failed(Problem),
    /// Too many ask at once.
    Busy,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;

    fn now() -> DateTime<Utc> {
        "2026-01-31T10:00:00Z".parse().unwrap()
    }

    const RANDOMNESS: Randomness = Randomness { state: [1; 32], browser: [2; 32], verifier: [3; 32] };
    const UID: &str = "u1";

    fn plan() -> Oauth2Plan {
        sample::oauth2_with_consent("https://login.example/authorize?prompt=consent&state=x")
    }

    fn begun(plan: &Oauth2Plan, tokens: &StoredTokens) -> Begun {
        begin(
            Beginning {
                authorization_url: plan.authorization_url.as_ref().unwrap(),
                plan,
                instance: ("crm", "keap", UID),
                client_id: "client/1",
                redirect_uri: "https://p.example/connect/callback",
                salt: &tokens.salt,
            },
            &RANDOMNESS,
            now(),
        )
    }

    fn parameter(url: &Url, name: &str) -> Vec<String> {
        url.query_pairs().filter(|(have, _)| have == name).map(|(_, value)| value.into_owned()).collect()
    }

    #[test]
    fn the_authorization_request_is_whole_and_has_each_parameter_once() {
        let plan = Oauth2Plan { scopes: vec!["read".into(), "a+b".into()], audience: Some("https://api".into()), ..plan() };
        let begun = begun(&plan, &StoredTokens::new("salt"));
        let url = &begun.authorization_url;
        for (name, value) in [
            ("prompt", "consent"),
            ("response_type", "code"),
            ("client_id", "client/1"),
            ("redirect_uri", "https://p.example/connect/callback"),
            ("scope", "read a+b"),
            ("audience", "https://api"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(parameter(url, name), [value], "{url}");
        }
        assert!(url.query().unwrap().contains("scope=read%20a%2Bb"), "{url}");
        let state = StateParameter::parse(&parameter(url, "state")[0]).unwrap();
        assert_eq!((state.namespace.as_str(), state.name.as_str()), ("crm", "keap"));
        assert!(!url.as_str().contains(&begun.pending.verifier) && !url.as_str().contains(&begun.cookie));
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        // appendix B, from the octets of its verifier
        let octets = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105, 214, 191, 240,
            91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let plan = plan();
        let random = Randomness { verifier: octets, ..RANDOMNESS };
        let asked = Beginning {
            authorization_url: plan.authorization_url.as_ref().unwrap(),
            plan: &plan,
            instance: ("crm", "keap", UID),
            client_id: "c",
            redirect_uri: "r",
            salt: "s",
        };
        let begun = begin(asked, &random, now());
        assert_eq!(begun.pending.verifier, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(parameter(&begun.authorization_url, "code_challenge"), ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"]);
    }

    /// Tokens with a consent that was begun, its state and its cookie.
    fn pending() -> (StoredTokens, StateParameter, String) {
        let mut tokens = StoredTokens::new("salt");
        let begun = begun(&plan(), &tokens);
        let state = StateParameter::parse(&parameter(&begun.authorization_url, "state")[0]).unwrap();
        tokens.begin_consent(begun.pending, now());
        (tokens, state, begun.cookie)
    }

    #[test]
    fn an_answer_serves_the_browser_the_instance_and_the_time_for_which_it_was_asked() {
        let (tokens, state, cookie) = pending();
        let judged = |tokens: Option<&StoredTokens>, state: &StateParameter, uid: &str, cookie: Option<&str>, after: i64| {
            judge(tokens, state, uid, cookie, now() + Duration::seconds(after)).map(|pending| pending.verifier)
        };
        let (all, good) = (Some(&tokens), Some(cookie.as_str()));
        assert!(judged(all, &state, UID, good, 0).is_ok());
        assert!(judged(all, &state, UID, good, 599).is_ok());
        assert_eq!(judged(all, &state, UID, good, 600), Err(Refusal::Expired));
        assert_eq!(judged(all, &state, UID, good, -1), Err(Refusal::Expired));
        assert_eq!(judged(all, &state, UID, None, 0), Err(Refusal::OtherBrowser));
        assert_eq!(judged(all, &state, UID, Some("other"), 0), Err(Refusal::OtherBrowser));
        assert_eq!(judged(all, &state, "u2", good, 0), Err(Refusal::UnknownState), "deleted and made again");
        assert_eq!(judged(None, &state, UID, good, 0), Err(Refusal::UnknownState));
        assert_eq!(judged(Some(&StoredTokens::new("salt")), &state, UID, good, 0), Err(Refusal::UnknownState), "taken before");
        for other in [
            StateParameter { namespace: "other".into(), ..state.clone() },
            StateParameter { name: "other".into(), ..state.clone() },
            StateParameter { random: "A".repeat(43), ..state.clone() },
        ] {
            assert_eq!(judged(all, &other, UID, good, 0), Err(Refusal::UnknownState));
        }
    }

    #[test]
    fn nothing_that_is_kept_tells_the_state_or_the_cookie() {
        let (tokens, state, cookie) = pending();
        let kept = serde_json::to_string(&tokens).unwrap();
        assert!(!kept.contains(&cookie) && !kept.contains(&state.random), "{kept}");
        let shown = format!("{tokens:?} {:?}", tokens.consents);
        assert!(!shown.contains(&tokens.consents[0].verifier), "{shown}");
    }

    #[test]
    fn a_state_that_was_not_made_here_is_none() {
        let random = "A".repeat(43);
        let parsed = StateParameter::parse(&format!("crm.keap.eu.{random}")).unwrap();
        assert_eq!((parsed.namespace.as_str(), parsed.name.as_str()), ("crm", "keap.eu"));
        assert_eq!(parsed.to_string(), format!("crm.keap.eu.{random}"));
        for text in [
            "",
            "crm",
            "crm.keap",
            "crm.keap.short",
            &format!("crm.{random}"),
            &format!("crm..{random}"),
            &format!(".keap.{random}"),
            &format!("crm....{random}"),
            &format!("crm.-keap.{random}"),
            &format!("{}.keap.{random}", "a".repeat(64)),
            &format!("crm.ke/ap.{random}"),
            &format!("CRM.keap.{random}"),
            &format!("crm.<b>.{random}"),
            &format!("crm.keap.{random}A"),
            &format!("crm.keap.{}=", &random[1..]),
        ] {
            assert!(StateParameter::parse(text).is_none(), "{text}");
        }
    }

    fn code(query: &str) -> Result<String, Refusal> {
        Answer::parse(query)?.code(&plan()).map(str::to_owned)
    }

    #[test]
    fn an_answer_is_read_with_care() {
        assert_eq!(code("code=a%2Fb+c&state=s&session_state=x"), Ok("a/b c".to_owned()));
        assert_eq!(code("error=access_denied&state=s&error_description=%3Cb%3E"), Err(Refusal::Denied));
        assert_eq!(code("error=invalid_scope"), Err(Refusal::Provider(Some("invalid_scope"))));
        assert_eq!(code("error=%3Cscript%3E"), Err(Refusal::Provider(None)));
        assert_eq!(code("error=server_error&code=c"), Err(Refusal::Provider(Some("server_error"))));
        for nothing in ["", "code=", "state=s", "Code=c"] {
            assert_eq!(code(nothing), Err(Refusal::NoCode), "{nothing}");
        }
        for twice in ["code=a&code=b", "state=a&state=a&code=c", "error=x&error=y", "iss=a&iss=b&code=c"] {
            assert_eq!(code(twice), Err(Refusal::Malformed), "{twice}");
        }
        assert_eq!(code(&format!("code={}", "a".repeat(LONGEST_QUERY))), Err(Refusal::Malformed));
    }

    #[test]
    fn an_answer_of_another_issuer_is_not_believed() {
        assert!(code("code=c&iss=https%3A%2F%2Flogin.example").is_ok());
        assert!(code("code=c&iss=https%3A%2F%2Flogin.example%2Ftenant").is_ok());
        for other in [
            "https%3A%2F%2Fother.example",
            "https%3A%2F%2Flogin.example%3A444",
            "http%3A%2F%2Flogin.example",
            "login.example",
            "",
            "https%3A%2F%2Fa.login.example",
        ] {
            assert_eq!(code(&format!("code=c&iss={other}")), Err(Refusal::OtherIssuer), "{other}");
            assert_eq!(code(&format!("error=access_denied&iss={other}")), Err(Refusal::OtherIssuer), "{other}");
        }
        let plan = Oauth2Plan { issuer: Some("https://issuer.example/t1".into()), ..plan() };
        let with = |query: &str| Answer::parse(query).unwrap().code(&plan).is_ok();
        assert!(with("code=c&iss=https%3A%2F%2Fissuer.example%2Ft1"));
        assert!(!with("code=c&iss=https%3A%2F%2Fissuer.example%2Ft2") && !with("code=c&iss=https%3A%2F%2Flogin.example"));
    }
}
