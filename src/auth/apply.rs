//! Secrets put to use: headers and parameters of a request, keys of a signature.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::secrets::{Referenced, Secrets, trimmed};
use crate::api::conditions::{Problem, Reason};
use crate::api::names::is_reserved_header;
use crate::egress::Request;
use crate::egress::identity::Identity;
use crate::plan::{AuthPlan, SecretKey};

/// Authentication ready to be put on a request. Its `Debug` shows names, never values.
#[derive(Clone, Default)]
pub struct RequestAuth {
    /// Headers to set; their values are marked as sensitive.
    pub headers: HeaderMap,
    /// Query parameters to append, not yet percent-encoded.
    pub query: Vec<(String, String)>,
    /// The same for the same credential, another for another one. Only means something in this process: it is salted, so that a value seen
    /// in a log reveals nothing about the credential.
    pub fingerprint: u64,
    /// The same for all credentials of one OAuth 2.0 client, as far as they are known; without one the fingerprint.
    pub client: u64,
    /// The client certificate, in addition to any other authentication (RFC 8705), and the authorities that are trusted in addition.
    pub identity: Option<Arc<Identity>>,
}

impl fmt::Debug for RequestAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestAuth")
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("query", &self.query.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl RequestAuth {
    /// Puts the authentication on a request: headers and parameters replace those of the same name, such as those that a next link repeats.
    pub fn apply(&self, request: &mut Request) {
        for (name, value) in &self.headers {
            request.headers.insert(name.clone(), value.clone());
        }
        request.set_credentials(&self.query);
    }

    fn sealed(headers: HeaderMap, query: Vec<(String, String)>) -> Self {
        let parts: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let fingerprint = salt().hash_one((parts, &query));
        Self { headers, query, fingerprint, client: fingerprint, identity: None }
    }

    /// The same with a client certificate, which makes it another credential, or with authorities, which do not.
    #[must_use]
    pub fn with_identity(self, identity: Option<Arc<Identity>>) -> Self {
        let number = identity.as_ref().filter(|identity| identity.certificate().is_some()).map(|identity| identity.number());
        let fingerprint = number.map_or(self.fingerprint, |number| salt().hash_one((self.fingerprint, number)));
        let client = if self.client == self.fingerprint { fingerprint } else { self.client };
        Self { fingerprint, client, identity, ..self }
    }

    /// An access token in the header (RFC 6750 §2.1). `identity` identifies the credential, and `client` the client: they stay while tokens
    /// come and go.
    ///
    /// Errors: the token has a character that headers do not allow.
    pub(super) fn bearer(token: &str, identity: &[&str], client: Option<u64>) -> Option<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        let fingerprint = self::identity(identity);
        Some(Self { headers, query: Vec::new(), fingerprint, client: client.unwrap_or(fingerprint), identity: None })
    }

    /// The access token, if it was made from one.
    pub(super) fn bearer_token(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn header(name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self::sealed(HeaderMap::from_iter([(name, value)]), Vec::new())
    }
}

/// Identifies a credential in this process, see [`RequestAuth::fingerprint`].
pub(super) fn identity(parts: &[&str]) -> u64 {
    salt().hash_one(parts)
}

/// One for the process.
fn salt() -> &'static RandomState {
    static SALT: OnceLock<RandomState> = OnceLock::new();
    SALT.get_or_init(RandomState::new)
}

/// Makes a request's authentication from the Secrets that the plan names. `root` begins the name of the field in a message:
/// `spec.auth` or `spec.callback.auth`.
///
/// OAuth 2.0 needs more than a Secret: see [`super::oauth2::credentials::Credentials`].
///
/// Errors: `SecretNotFound`, `SecretKeyMissing`, `SecretInvalid`.
pub fn prepare(root: &str, plan: &AuthPlan, namespace: &str, secrets: &dyn Secrets) -> Result<RequestAuth, Problem> {
    let field = |member: &str| format!("{root}.{member}.secretRef");
    match plan {
        AuthPlan::None => Ok(RequestAuth::sealed(HeaderMap::new(), Vec::new())),
        AuthPlan::ApiKeyHeader { name, prefix, secret } => {
            let value = header_value(&field("apiKey"), prefix, secret, namespace, secrets)?;
            Ok(RequestAuth::header(name.clone(), value))
        }
        AuthPlan::ApiKeyQuery { name, prefix, secret } => {
            let field = field("apiKey");
            let found = Referenced::find(&field, namespace, &secret.name, secrets)?;
            let key = found.text(&secret.key, found.required(&secret.key)?)?;
            Ok(RequestAuth::sealed(HeaderMap::new(), vec![(name.clone(), format!("{prefix}{key}"))]))
        }
        AuthPlan::Basic { secret } => basic(&field("basic"), secret, namespace, secrets),
        AuthPlan::Bearer { secret } => {
            let value = header_value(&field("bearer"), "Bearer ", secret, namespace, secrets)?;
            Ok(RequestAuth::header(header::AUTHORIZATION, value))
        }
        AuthPlan::Oauth2(_) => Err(Problem::human(
            Reason::InternalError,
            format!("{root}.oauth2: no token was requested; please report this with the log"),
        )),
    }
}

fn header_value(
    field: &str,
    prefix: &str,
    secret: &SecretKey,
    namespace: &str,
    secrets: &dyn Secrets,
) -> Result<HeaderValue, Problem> {
    let found = Referenced::find(field, namespace, &secret.name, secrets)?;
    let mut bytes = prefix.as_bytes().to_vec();
    bytes.extend_from_slice(found.required(&secret.key)?);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).map_err(|_| not_a_header(&found, &secret.key))
}

fn not_a_header(found: &Referenced<'_>, key: &str) -> Problem {
    found.invalid(key, "has a character that headers do not allow, such as a line break", "store the bare credential")
}

/// RFC 7617: UTF-8, and no colon in the user name.
fn basic(field: &str, secret: &str, namespace: &str, secrets: &dyn Secrets) -> Result<RequestAuth, Problem> {
    const USERNAME: &str = "username";
    const PASSWORD: &str = "password";
    let found = Referenced::find(field, namespace, secret, secrets)?;
    let username = found.text(USERNAME, found.required(USERNAME)?)?;
    if username.contains(':') {
        return Err(found.invalid(USERNAME, "contains a colon, which Basic authentication cannot carry", "correct it"));
    }
    // A password may be missing or empty: many APIs take a key as user name and nothing else.
    let password = match found.secret.data.get(PASSWORD) {
        Some(value) if trimmed(value).is_empty() => "",
        _ => match found.optional(PASSWORD)? {
            Some(value) => found.text(PASSWORD, value)?,
            None => "",
        },
    };
    let value = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
    let value = HeaderValue::try_from(value).map_err(|_| not_a_header(&found, USERNAME))?;
    Ok(RequestAuth::header(header::AUTHORIZATION, value))
}

/// Base64 with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys that sign an event: the current one, then `<key>-previous` while a secret rotates. `whsec_<base64>` is decoded
/// (Standard Webhooks), anything else is taken as it is. The libraries of Standard Webhooks decode a secret without that prefix, too. So
/// what may be such a secret signs twice, as the text and decoded: a receiver verifies with either.
///
/// Errors: `SecretNotFound`, `SecretKeyMissing`, `SecretInvalid`.
pub fn signing_keys(plan: &SecretKey, namespace: &str, secrets: &dyn Secrets) -> Result<Vec<Vec<u8>>, Problem> {
    let found = Referenced::find("spec.callback.signature.secretRef", namespace, &plan.name, secrets)?;
    let mut keys = signing_key(&found, &plan.key, found.required(&plan.key)?)?;
    let previous = format!("{}-previous", plan.key);
    if let Some(value) = found.optional(&previous)? {
        keys.extend(signing_key(&found, &previous, value)?);
    }
    Ok(keys)
}

/// Sizes of the keys that Standard Webhooks has, in bytes.
const WEBHOOK_KEY: RangeInclusive<usize> = 24..=64;

fn signing_key(found: &Referenced<'_>, key: &str, value: &[u8]) -> Result<Vec<Vec<u8>>, Problem> {
    let Some(encoded) = value.strip_prefix(b"whsec_") else {
        let decoded = LENIENT.decode(value).ok().filter(|decoded| WEBHOOK_KEY.contains(&decoded.len()));
        return Ok([Some(value.to_vec()), decoded].into_iter().flatten().collect());
    };
    match LENIENT.decode(encoded) {
        Ok(decoded) if !decoded.is_empty() => Ok(vec![decoded]),
        _ => Err(found.invalid(key, "starts with whsec_ but is not Base64 after it", "store the secret as it was issued")),
    }
}

/// The headers of a Secret whose every key is a header name.
///
/// Errors: `SecretNotFound`; `SecretInvalid` for a name or value that no header may have, and for names that Pollinator or the
/// protocol sets itself.
pub fn extra_headers(secret: &str, namespace: &str, secrets: &dyn Secrets) -> Result<HeaderMap, Problem> {
    let found = Referenced::find("spec.callback.headersSecretRef", namespace, secret, secrets)?;
    let mut headers = HeaderMap::new();
    for key in found.secret.data.keys() {
        let name = HeaderName::try_from(key.as_str())
            .map_err(|_| found.invalid(key, "is not a header name", "name each key after the header it is sent as"))?;
        if is_reserved_header(name.as_str()) {
            return Err(found.invalid(key, "names a header that Pollinator sets itself", "remove the key"));
        }
        let value = found.required(key)?;
        let mut value = HeaderValue::from_bytes(value).map_err(|_| not_a_header(&found, key))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Secret, SecretMap};
    use crate::egress::{Limits, Overflow, Redirects};
    use std::time::Duration;

    const NS: &str = "crm";
    const ROOT: &str = "spec.auth";

    fn secrets(entries: &[(&str, &[u8])]) -> SecretMap {
        let mut map = SecretMap::default();
        map.insert(NS, "s", entries.iter().map(|(key, value)| (*key, *value)).collect::<Secret>());
        map
    }

    fn key(key: &str) -> SecretKey {
        SecretKey { name: "s".to_owned(), key: key.to_owned() }
    }

    fn bearer() -> AuthPlan {
        AuthPlan::Bearer { secret: key("token") }
    }

    fn reason<T: fmt::Debug>(result: Result<T, Problem>) -> Reason {
        result.expect_err("this must fail").reason
    }

    fn request(url: &str) -> Request {
        Request {
            method: http::Method::GET,
            url: url.parse().expect(url),
            headers: HeaderMap::new(),
            body: None,
            credentials: Vec::new(),
            redirects: Redirects::Never,
            limits: Limits {
                body: 1,
                overflow: Overflow::Refuse,
                first_byte: Duration::from_secs(1),
                total: Duration::from_secs(1),
            },
        }
    }

    #[test]
    fn every_kind_of_authentication_is_put_on_the_request() {
        let map = secrets(&[("token", b"t0k\n"), ("username", "jürgen".as_bytes()), ("password", b"p:w\r\n")]);
        let header = |plan: &AuthPlan, name: &str| {
            let mut request = request("https://api.example/");
            prepare(ROOT, plan, NS, &map).expect("auth").apply(&mut request);
            assert!(request.headers[name].is_sensitive());
            String::from_utf8(request.headers[name].as_bytes().to_vec()).expect("text")
        };
        assert_eq!(header(&bearer(), "authorization"), "Bearer t0k");
        let plan = AuthPlan::ApiKeyHeader {
            name: HeaderName::from_static("x-api-key"),
            prefix: "Key ".to_owned(),
            secret: key("token"),
        };
        assert_eq!(header(&plan, "x-api-key"), "Key t0k");
        let plan = AuthPlan::Basic { secret: "s".to_owned() };
        let expected = format!("Basic {}", STANDARD.encode("jürgen:p:w"));
        assert_eq!(header(&plan, "authorization"), expected);
    }

    #[test]
    fn the_example_of_rfc_7617() {
        let map = secrets(&[("username", b"Aladdin"), ("password", b"open sesame")]);
        let auth = prepare(ROOT, &AuthPlan::Basic { secret: "s".to_owned() }, NS, &map).expect("auth");
        assert_eq!(auth.headers["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn a_query_key_is_appended_and_encoded() {
        let map = secrets(&[("token", b"a b&c=d/\xc3\xa4+%\n")]);
        let plan = AuthPlan::ApiKeyQuery { name: "api key".to_owned(), prefix: String::new(), secret: key("token") };
        let auth = prepare(ROOT, &plan, NS, &map).expect("auth");
        for (before, after) in [
            ("https://x.example/l", "https://x.example/l?api%20key=a%20b%26c%3Dd%2F%C3%A4%2B%25"),
            ("https://x.example/l?q=1%20%2B", "https://x.example/l?q=1%20%2B&api%20key=a%20b%26c%3Dd%2F%C3%A4%2B%25"),
        ] {
            let mut request = request(before);
            auth.apply(&mut request);
            assert_eq!(request.url.as_str(), after);
        }
    }

    #[test]
    fn a_missing_password_is_empty() {
        for entries in [
            &[("username", &b"u"[..])][..],
            &[("username", b"u"), ("password", b"")],
            &[("username", b"u"), ("password", b"\n")],
        ] {
            let auth = prepare(ROOT, &AuthPlan::Basic { secret: "s".to_owned() }, NS, &secrets(entries)).expect("auth");
            assert_eq!(auth.headers["authorization"], format!("Basic {}", STANDARD.encode("u:")));
        }
    }

    #[test]
    fn what_cannot_be_used_has_its_reason() {
        let plan = bearer();
        assert_eq!(reason(prepare(ROOT, &plan, NS, &SecretMap::default())), Reason::SecretNotFound);
        assert_eq!(reason(prepare(ROOT, &plan, "default", &secrets(&[("token", b"x")]))), Reason::SecretNotFound);
        assert_eq!(reason(prepare(ROOT, &plan, NS, &secrets(&[("other", b"x")]))), Reason::SecretKeyMissing);
        for value in [&b""[..], b"\n", b"\r\n", b"null", b"null\n", b"a\nb", b"a\n\n", b"\0", b"a\rb"] {
            assert_eq!(reason(prepare(ROOT, &plan, NS, &secrets(&[("token", value)]))), Reason::SecretInvalid, "{value:?}");
        }
        let basic = AuthPlan::Basic { secret: "s".to_owned() };
        for entries in [
            &[("username", &b"a:b"[..])][..],
            &[("username", b"")],
            &[("username", b"\xff")],
            &[("username", b"u"), ("password", b"null")],
            &[("username", b"u"), ("password", b"\xff")],
        ] {
            assert_eq!(reason(prepare(ROOT, &basic, NS, &secrets(entries))), Reason::SecretInvalid, "{entries:?}");
        }
        assert_eq!(reason(prepare(ROOT, &basic, NS, &secrets(&[("password", b"p")]))), Reason::SecretKeyMissing);
    }

    #[test]
    fn neither_debug_nor_a_problem_shows_a_value() {
        let canary = "c4n4ry\u{1}";
        let map =
            secrets(&[("token", canary.as_bytes()), ("good", b"c4n4ry"), ("username", b"c4n4ry:x"), ("k", b"whsec_c4n4ry!")]);
        let mut shown = Vec::new();
        for plan in [bearer(), AuthPlan::Basic { secret: "s".to_owned() }] {
            shown.push(format!("{:?}", prepare(ROOT, &plan, NS, &map).expect_err("a bad secret")));
        }
        shown.push(format!("{:?}", signing_keys(&key("k"), NS, &map).expect_err("a bad secret")));
        shown.push(format!("{:?}", extra_headers("s", NS, &map).expect_err("a bad secret")));
        for plan in [
            AuthPlan::Bearer { secret: key("good") },
            AuthPlan::ApiKeyQuery { name: "key".to_owned(), prefix: String::new(), secret: key("good") },
        ] {
            let auth = prepare(ROOT, &plan, NS, &map).expect("auth");
            let mut request = request("https://api.example/list");
            auth.apply(&mut request);
            shown.push(format!("{auth:?} {request:?} {:?}", auth.headers));
        }
        for text in shown {
            assert!(!text.contains("c4n4ry") && !text.contains("YzRuN"), "{text}");
        }
    }

    #[test]
    fn a_fingerprint_tells_credentials_apart() {
        let print = |value: &[u8]| prepare(ROOT, &bearer(), NS, &secrets(&[("token", value)])).expect("auth").fingerprint;
        assert_eq!(print(b"a"), print(b"a\n"));
        assert_ne!(print(b"a"), print(b"b"));
        assert_ne!(print(b"a"), prepare(ROOT, &AuthPlan::None, NS, &SecretMap::default()).expect("none").fingerprint);
    }

    #[test]
    fn signing_keys_are_raw_or_decoded_and_two_while_rotating() {
        let plan = key("signing-key");
        let current = secrets(&[("signing-key", b"raw bytes \xff\n")]);
        assert_eq!(signing_keys(&plan, NS, &current), Ok(vec![b"raw bytes \xff".to_vec()]));
        let both = secrets(&[("signing-key", b"whsec_bmV3ZXI="), ("signing-key-previous", b"whsec_b2xkZXI\n")]);
        assert_eq!(signing_keys(&plan, NS, &both), Ok(vec![b"newer".to_vec(), b"older".to_vec()]));
        for entries in [&[("signing-key", &b"whsec_"[..])][..], &[("signing-key", b"whsec_***")], &[("signing-key", b"")]] {
            assert_eq!(reason(signing_keys(&plan, NS, &secrets(entries))), Reason::SecretInvalid, "{entries:?}");
        }
        let encoded = |bytes: usize| STANDARD.encode(vec![7; bytes]);
        for (bytes, decoded) in [(23, false), (24, true), (64, true), (65, false)] {
            let text = encoded(bytes);
            let keys = [Some(text.clone().into_bytes()), decoded.then(|| vec![7; bytes])];
            let found = signing_keys(&plan, NS, &secrets(&[("signing-key", text.as_bytes())]));
            assert_eq!(found, Ok(keys.into_iter().flatten().collect()), "{bytes}");
        }
        let only_previous = secrets(&[("signing-key-previous", b"x")]);
        assert_eq!(reason(signing_keys(&plan, NS, &only_previous)), Reason::SecretKeyMissing);
    }

    #[test]
    fn extra_headers_are_all_keys_or_a_reason() {
        let headers =
            extra_headers("s", NS, &secrets(&[("X-Tenant", b"acme\n"), ("authorization", b"Basic eA==")])).expect("headers");
        assert_eq!(headers["x-tenant"], "acme");
        assert!(headers.values().all(HeaderValue::is_sensitive));
        assert_eq!(headers.len(), 2);
        for name in
            ["Host", "content-length", "Content-Type", "Transfer-Encoding", "webhook-signature", "ce-id", "proxy-authorization"]
        {
            assert_eq!(reason(extra_headers("s", NS, &secrets(&[(name, b"x")]))), Reason::SecretInvalid, "{name}");
        }
        assert_eq!(reason(extra_headers("s", NS, &secrets(&[("not a name", b"x")]))), Reason::SecretInvalid);
        assert_eq!(reason(extra_headers("s", NS, &secrets(&[("x-a", b"a\nb")]))), Reason::SecretInvalid);
        assert_eq!(reason(extra_headers("t", NS, &secrets(&[]))), Reason::SecretNotFound);
    }
}
