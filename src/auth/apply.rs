//! Secrets put to use: headers and parameters of a request, keys of a signature.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::secrets::{Referenced, Secrets, trimmed};
use crate::api::conditions::Problem;
use crate::egress::Request;
use crate::plan::{AuthPlan, SecretKey};

/// Authentication ready to be put on a request. Its `Debug` shows names, never values.
#[derive(Clone, Default)]
pub struct RequestAuth {
    /// Headers to set; their values are marked as sensitive.
    pub headers: HeaderMap,
    /// Query parameters to append, not yet percent-encoded.
    pub query: Vec<(String, String)>,
    /// The same for the same credential, another for another one. Only means something in this process: it is salted, so that a
    /// value seen in a log tells nothing about the credential.
    pub fingerprint: u64,
}

impl fmt::Debug for RequestAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestAuth")
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("query", &self.query.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Everything but the unreserved characters of RFC 3986: a space becomes `%20`, never `+`.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl RequestAuth {
    /// Puts the authentication on a request: headers replace those of the same name, parameters are appended to the query.
    pub fn apply(&self, request: &mut Request) {
        for (name, value) in &self.headers {
            request.headers.insert(name.clone(), value.clone());
        }
        if self.query.is_empty() {
            return;
        }
        let mut query = request.url.query().unwrap_or_default().to_owned();
        for (name, value) in &self.query {
            if !query.is_empty() {
                query.push('&');
            }
            query.extend(utf8_percent_encode(name, QUERY));
            query.push('=');
            query.extend(utf8_percent_encode(value, QUERY));
        }
        request.url.set_query(Some(&query));
    }

    fn sealed(headers: HeaderMap, query: Vec<(String, String)>) -> Self {
        static SALT: OnceLock<RandomState> = OnceLock::new();
        let parts: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let fingerprint = SALT.get_or_init(RandomState::new).hash_one((parts, &query));
        Self { headers, query, fingerprint }
    }

    fn header(name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self::sealed(HeaderMap::from_iter([(name, value)]), Vec::new())
    }
}

/// Makes a request's authentication from the Secrets that the plan names.
///
/// Errors: `SecretNotFound`, `SecretKeyMissing`, `SecretInvalid`.
pub fn prepare(plan: &AuthPlan, namespace: &str, secrets: &dyn Secrets) -> Result<RequestAuth, Problem> {
    match plan {
        AuthPlan::None => Ok(RequestAuth::sealed(HeaderMap::new(), Vec::new())),
        AuthPlan::ApiKeyHeader { name, prefix, secret } => {
            let value = header_value("auth.apiKey", prefix, secret, namespace, secrets)?;
            Ok(RequestAuth::header(name.clone(), value))
        }
        AuthPlan::ApiKeyQuery { name, prefix, secret } => {
            let found = Referenced::find("auth.apiKey.secretRef", namespace, &secret.name, secrets)?;
            let key = found.text(&secret.key, found.required(&secret.key)?)?;
            Ok(RequestAuth::sealed(HeaderMap::new(), vec![(name.clone(), format!("{prefix}{key}"))]))
        }
        AuthPlan::Basic { secret } => basic(secret, namespace, secrets),
        AuthPlan::Bearer { secret } => {
            let value = header_value("auth.bearer", "Bearer ", secret, namespace, secrets)?;
            Ok(RequestAuth::header(header::AUTHORIZATION, value))
        }
    }
}

fn header_value(
    member: &str,
    prefix: &str,
    secret: &SecretKey,
    namespace: &str,
    secrets: &dyn Secrets,
) -> Result<HeaderValue, Problem> {
    let field = format!("{member}.secretRef");
    let found = Referenced::find(&field, namespace, &secret.name, secrets)?;
    let mut bytes = prefix.as_bytes().to_vec();
    bytes.extend_from_slice(found.required(&secret.key)?);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).map_err(|_| not_a_header(&found, &secret.key))
}

fn not_a_header(found: &Referenced<'_>, key: &str) -> Problem {
    found.invalid(key, "has a character that no header may carry, such as a line break", "store the bare credential")
}

/// RFC 7617: UTF-8, and no colon in the user name.
fn basic(secret: &str, namespace: &str, secrets: &dyn Secrets) -> Result<RequestAuth, Problem> {
    const USERNAME: &str = "username";
    const PASSWORD: &str = "password";
    let found = Referenced::find("auth.basic.secretRef", namespace, secret, secrets)?;
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

/// The keys that sign an event: the current one, then `<key>-previous` while a secret rotates. `whsec_<base64>` is decoded
/// (Standard Webhooks), anything else is taken as it is.
///
/// Errors: `SecretNotFound`, `SecretKeyMissing`, `SecretInvalid`.
pub fn signing_keys(plan: &SecretKey, namespace: &str, secrets: &dyn Secrets) -> Result<Vec<Vec<u8>>, Problem> {
    let found = Referenced::find("callback.signature.secretRef", namespace, &plan.name, secrets)?;
    let mut keys = vec![signing_key(&found, &plan.key, found.required(&plan.key)?)?];
    let previous = format!("{}-previous", plan.key);
    if let Some(value) = found.optional(&previous)? {
        keys.push(signing_key(&found, &previous, value)?);
    }
    Ok(keys)
}

fn signing_key(found: &Referenced<'_>, key: &str, value: &[u8]) -> Result<Vec<u8>, Problem> {
    let Some(encoded) = value.strip_prefix(b"whsec_") else { return Ok(value.to_vec()) };
    match STANDARD.decode(encoded) {
        Ok(decoded) if !decoded.is_empty() => Ok(decoded),
        _ => Err(found.invalid(key, "starts with whsec_ but is no Base64 behind it", "store the secret as it was issued")),
    }
}

/// The headers of a Secret whose every key is a header name.
///
/// Errors: `SecretNotFound`; `SecretInvalid` for a name or value that no header may have, and for names that Pollinator or the
/// protocol sets itself.
pub fn extra_headers(secret: &str, namespace: &str, secrets: &dyn Secrets) -> Result<HeaderMap, Problem> {
    let found = Referenced::find("callback.headersSecretRef", namespace, secret, secrets)?;
    let mut headers = HeaderMap::new();
    for key in found.secret.data.keys() {
        let name = HeaderName::try_from(key.as_str())
            .map_err(|_| found.invalid(key, "is not a header name", "name each key after the header it is sent as"))?;
        if is_reserved(&name) {
            return Err(found.invalid(key, "names a header that Pollinator sets itself", "remove the key"));
        }
        let value = found.required(key)?;
        let mut value = HeaderValue::from_bytes(value).map_err(|_| not_a_header(&found, key))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Framing of the message, form of the body, identity and signature of the event.
fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "host"
            | "connection"
            | "content-length"
            | "content-type"
            | "content-encoding"
            | "transfer-encoding"
            | "accept-encoding"
            | "expect"
            | "keep-alive"
            | "te"
            | "trailer"
            | "upgrade"
            | "user-agent"
    ) || ["proxy-", "webhook-", "ce-", "elements-webhook-"].iter().any(|prefix| name.starts_with(prefix))
}
