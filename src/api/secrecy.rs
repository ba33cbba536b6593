//! Which settings, headers and query parameters hold secrets: by the words of their names, and by what their values look like; and URLs without
//! them. Pure.

use serde_json::Value;

/// What stands where a secret is not shown.
pub(crate) const MASK: &str = "***";

/// Parts of a name, wherever they are in it, that say that its value is a secret.
const PARTS: [&str; 18] = [
    "secret",
    "passw",
    "passkey",
    "pwd",
    "token",
    "apikey",
    "credential",
    "private",
    "authenticat",
    "authoriz",
    "signature",
    "session",
    "cookie",
    "passphrase",
    "verifier",
    "accesskey",
    "certificate",
    "bearer",
];
/// Last words of the names of secrets: `authKey`, `access_code`.
const LAST: [&str; 14] =
    ["key", "keys", "code", "sig", "pin", "auth", "hash", "pass", "jwt", "hmac", "otp", "sas", "salt", "nonce"];
/// Words before the last one that make it harmless: a `countryCode` is none, nor a `sortKey`.
const HARMLESS: [&str; 17] = [
    "country",
    "currency",
    "language",
    "locale",
    "postal",
    "zip",
    "status",
    "state",
    "region",
    "sort",
    "order",
    "primary",
    "foreign",
    "update",
    "partition",
    "object",
    "element",
];
/// Last words of names that speak about a secret: `authentication.time`, `oauth.token.revoke_url`.
const ABOUT: [&str; 15] = [
    "url",
    "uri",
    "endpoint",
    "time",
    "date",
    "type",
    "interval",
    "expiry",
    "expires",
    "expiration",
    "timeout",
    "enabled",
    "method",
    "format",
    "version",
];
/// How tokens of well-known providers begin.
const PREFIXES: [&str; 15] = [
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "whsec_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "shpat_",
    "AKIA",
    "ya29.",
];
/// Fewest characters of a text that is taken for a token because of how it is mixed.
const LONG: usize = 20;

/// Whether a name says that its value is a secret; rather too often than too seldom.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let words = words(name);
    let Some(last) = words.last().map(String::as_str) else { return false };
    if ABOUT.contains(&last) {
        return false;
    }
    let before = words.len().checked_sub(2).map_or("", |at| words[at].as_str());
    let ends = LAST.contains(&last) && !HARMLESS.contains(&before);
    // A name in small letters has no words: authkey, monkey.
    let runs_on =
        last.len() > 3 && last.ends_with("key") && !HARMLESS.iter().any(|word| last.strip_suffix("key") == Some(word));
    let plain = words.concat();
    ends || runs_on || PARTS.iter().any(|part| plain.contains(part))
}

/// Whether a value with this name is a secret: the name says so, or the value looks like a token.
pub(crate) fn is_secret(name: &str, value: &str) -> bool {
    is_secret_name(name) || looks_like_token(name, value.trim())
}

/// The value of a member, header or parameter as it is shown: a secret is replaced by [`MASK`]. Macros stay, for they are filled in later.
pub(crate) fn shown<'v>(name: &str, value: &'v str) -> &'v str {
    if !value.is_empty() && !value.contains("${") && is_secret(name, value) { MASK } else { value }
}

/// The same in a JSON value, at any depth; `name` is that of the member whose value it is.
pub(crate) fn shown_json(name: &str, value: Value) -> Value {
    match value {
        Value::String(text) => shown(name, &text).into(),
        Value::Array(items) => items.into_iter().map(|item| shown_json(name, item)).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name.clone(), shown_json(&name, value))).collect(),
        other => other,
    }
}

/// A URL as it is shown, with the values of its query that hold secrets replaced.
pub(crate) fn shown_url(url: &str) -> String {
    with_query(url, |name, value| shown(name, value).to_owned())
}

/// A URL without any value of its query: whatever it is called, it may be the secret of a receiver.
pub(crate) fn without_values(url: &str) -> String {
    with_query(url, |_, value| if value.is_empty() { String::new() } else { MASK.to_owned() })
}

fn with_query(url: &str, shown: impl Fn(&str, &str) -> String) -> String {
    let Some((place, query)) = url.split_once('?') else { return url.to_owned() };
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => format!("{name}={}", shown(name, value)),
        None => pair.to_owned(),
    };
    format!("{place}?{}", query.split('&').map(pair).collect::<Vec<_>>().join("&"))
}

/// The words of a name in small letters: `oauth.apiKey`, `API_Key` and `api-key` all end in the word key.
pub(crate) fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| characters[at]);
        let begins = character.is_ascii_uppercase()
            && (before.is_some_and(|before| !before.is_ascii_uppercase())
                || characters.get(at + 1).is_some_and(char::is_ascii_lowercase));
        if begins || !character.is_ascii_alphanumeric() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (character.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(character.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A JWT, a token of a provider that marks its tokens, or a long text without sense. Ids are long, too: those that say so are none.
fn looks_like_token(name: &str, value: &str) -> bool {
    let is_jwt = value.starts_with("eyJ") && value.split('.').count() == 3;
    let is_marked = value.len() >= LONG && PREFIXES.iter().any(|prefix| value.starts_with(prefix));
    let scheme = value.split_once(' ').map_or("", |(scheme, _)| scheme);
    let is_credential = ["bearer", "basic"].contains(&scheme.to_ascii_lowercase().as_str());
    let words = words(name);
    let is_id = words.last().is_some_and(|last| ["id", "ids", "uuid", "guid"].contains(&last.as_str()) || last.ends_with("id"));
    is_jwt || is_marked || is_credential || !is_id && is_random(value)
}

/// Whether a text mixes letters and digits as random texts do.
fn is_random(value: &str) -> bool {
    let plain = value.trim_end_matches('=');
    if plain.len() < LONG || !plain.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+/".contains(&b)) {
        return false;
    }
    if plain.len() >= 32 && plain.bytes().all(|b| b.is_ascii_hexdigit()) && plain.bytes().any(|b| b.is_ascii_alphabetic()) {
        return true;
    }
    let has = |kind: fn(&u8) -> bool| plain.as_bytes().iter().any(kind);
    let next_to_digits =
        plain.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit) && next_to_digits >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_secret_and_keeps_the_rest() {
        for (url, as_shown) in [
            ("https://h.example/in", "https://h.example/in"),
            ("https://h.example/in?token=s3cret&v=2&flag&sig=", "https://h.example/in?token=***&v=2&flag&sig="),
            ("/c?since=${since}&api_key=${since}", "/c?since=${since}&api_key=${since}"),
            ("/c?q=Bearer s3cret", "/c?q=***"),
        ] {
            assert_eq!(shown_url(url), as_shown);
        }
        assert_eq!(without_values("https://h.example/in?k=s3cret&v=2&e="), "https://h.example/in?k=***&v=***&e=");
        let body = serde_json::json!({"auth": {"apiKey": "s3cret", "n": 1}, "tokens": ["s3cret"], "filter": {"name": "a"}});
        let masked = serde_json::json!({"auth": {"apiKey": "***", "n": 1}, "tokens": ["***"], "filter": {"name": "a"}});
        assert_eq!(shown_json("", body), masked);
        assert_eq!((shown("x-api-key", "s3cret"), shown("accept", "text/plain")), (MASK, "text/plain"));
    }

    #[test]
    fn names_of_secrets() {
        for name in [
            "oauth.api.secret",
            "user.password",
            "oauth.user.refresh_token",
            "stripe.api.key",
            "APIkey",
            "code",
            "x-sig",
            "authKey",
            "appKey",
            "consumerKey",
            "subscriptionKey",
            "licenseKey",
            "signingKey",
            "userKey",
            "passkey",
            "pass",
            "jwt",
            "accessCode",
            "hmac",
            "AccessCODE",
            "authkey",
            "API_KEY",
            "userPIN",
            "Ocp-Apim-Subscription-Key",
            "X-HMAC",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "base.url",
            "site.address",
            "event.poller.refresh_interval",
            "keyboard",
            "subdomain",
            "authentication.time",
            "authentication.type",
            "oauth.token.revoke_url",
            "oauth.token.refresh_url",
            "tokenExpiry",
            "oauth.user.refresh_interval",
            "countryCode",
            "currency_code",
            "sortKey",
            "updateKey",
            "company.name",
            "bypass.cache",
            "",
            "decode",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn values_of_secrets() {
        for (name, value) in [
            ("q", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"),
            ("q", "xoxb-123456789012-abcdefgh"),
            ("h", "Bearer abc"),
            ("q", "9f86d081884c7d659a2feaa0c55ad015"),
            ("q", "aB3dE6gH9jK2mN5pQ8sT"),
            ("fileId", "ghp_aaaaaaaaaaaaaaaaaaaaaaaa"),
        ] {
            assert!(is_secret(name, value), "{value}");
        }
        for (name, value) in [
            ("q", "2026-01-31T00:00:00Z"),
            ("q", "${date:yyyy-MM-dd'T'HH:mm:ss}"),
            ("fields", "firstName,lastName,Address1Line2"),
            ("path", "/crm/v3/objects/contacts/search"),
            ("folderId", "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms"),
            ("sys_id", "9f86d081884c7d659a2feaa0c55ad015"),
            ("q", "6a7b1c2d-6a57-4f5e-8a5e-2f2c4b1f7a10"),
            ("orderBy", "LastModifiedDateTimeDescending"),
            ("q", "12345678901234567890"),
            ("a", ""),
        ] {
            assert!(!is_secret(name, value), "{value}");
        }
    }
}
