//! What another receiver must not get: the credentials of the callback that was there before. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use url::{Origin, Url};

use super::secret_edits::SecretEdits;
use crate::api::instance::Callback;

/// What requests to a callback carry for its receiver alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `callback.auth`.
    Auth,
    /// `callback.headersSecretRef`.
    Headers,
}

/// What requests to a callback carry for its receiver alone, in words.
pub fn credentials_of(callback: &Callback) -> Option<&'static str> {
    match (&callback.auth, &callback.headers_secret_ref) {
        (None, None) => None,
        (Some(_), None) => Some("login"),
        (None, Some(_)) => Some("secret headers"),
        (Some(_), Some(_)) => Some("login and secret headers"),
    }
}

/// Whether another URL of a callback is that of another receiver: it has another origin.
pub fn is_another(was: &str, now: &str) -> bool {
    was != now && origin(was).is_none_or(|was| origin(now) != Some(was))
}

/// Takes the credentials out of a callback whose URL has another origin than before, unless they are `given` with the new URL. Yields
/// what was taken out. The key of the signature stays, because no request carries it.
pub fn leave_credentials(was: &Callback, now: &mut Callback, given: impl Fn(Credential) -> bool) -> Vec<Credential> {
    if !is_another(&was.url, &now.url) {
        return Vec::new();
    }
    let mut left = Vec::new();
    if now.auth.is_some() && !given(Credential::Auth) {
        now.auth = None;
        left.push(Credential::Auth);
    }
    if now.headers_secret_ref.is_some() && !given(Credential::Headers) {
        now.headers_secret_ref = None;
        left.push(Credential::Headers);
    }
    left
}

fn origin(url: &str) -> Option<Origin> {
    Url::parse(url).ok().map(|url| url.origin())
}

/// Removes what a callback no longer names from the Secrets that the importer made for the instance `name`.
pub fn unnamed(name: &str, was: &Callback, now: &Callback) -> SecretEdits {
    let own = [format!("{name}-callback"), format!("{name}-headers")];
    let (was, now) = (held(was), held(now));
    let mut edits = SecretEdits::default();
    for (secret, key) in was.difference(&now).filter(|(secret, _)| own.contains(secret)) {
        match key {
            Some(key) => edits.remove(secret, key),
            None if now.iter().all(|(other, _)| other != secret) => edits.clear(secret),
            None => {}
        }
    }
    edits
}

/// The Secrets that a callback names, each with a key; without one where it takes all of them.
fn held(callback: &Callback) -> BTreeSet<(String, Option<String>)> {
    let mut held = BTreeSet::new();
    collect(&json!(callback), &mut held);
    held
}

fn collect(value: &Value, held: &mut BTreeSet<(String, Option<String>)>) {
    for (field, value) in value.as_object().into_iter().flatten() {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        if !field.to_ascii_lowercase().ends_with("secretref") {
            let login = value.pointer("/secretRef/name").and_then(Value::as_str).filter(|_| field == "basic");
            match login {
                Some(name) => held.extend(["username", "password"].map(|key| (name.to_owned(), Some(key.to_owned())))),
                None => collect(value, held),
            }
        } else if let Some(name) = text("name") {
            held.insert((name, text("key")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callback(value: Value) -> Callback {
        serde_json::from_value(value).unwrap()
    }

    fn sample(url: &str) -> Callback {
        callback(json!({
            "url": url,
            "auth": {"basic": {"secretRef": {"name": "keap-callback"}}},
            "headersSecretRef": {"name": "keap-headers"},
            "signature": {"secretRef": {"name": "keap-callback", "key": "signing-key"}},
        }))
    }

    #[test]
    fn another_origin_gets_no_credentials_of_the_old_one() {
        let was = sample("https://a.example/in");
        for same in ["https://a.example/in", "https://a.example/other?x=1", "https://A.example:443/in"] {
            let mut now = sample(same);
            assert!(leave_credentials(&was, &mut now, |_| false).is_empty() && now.auth.is_some(), "{same}");
        }
        for other in ["https://b.example/in", "http://a.example/in", "https://a.example:8443/in", "https://a.example.evil/in"] {
            let mut now = sample(other);
            assert_eq!(leave_credentials(&was, &mut now, |_| false), [Credential::Auth, Credential::Headers], "{other}");
            assert!(now.auth.is_none() && now.headers_secret_ref.is_none() && now.signature.is_some(), "{other}");
            let mut now = sample(other);
            assert_eq!(leave_credentials(&was, &mut now, |given| given == Credential::Auth), [Credential::Headers], "{other}");
        }
    }

    #[test]
    fn what_is_no_longer_named_leaves_the_secrets_of_the_instance() {
        let was = sample("https://a.example/in");
        let bare = callback(json!({"url": "https://b.example/in", "signature": was.signature}));
        let edits = unnamed("keap", &was, &bare);
        let removed: Vec<_> =
            edits.each().flat_map(|(name, keys)| keys.keys().map(move |key| format!("{name}/{key}"))).collect();
        assert_eq!(removed, ["keap-callback/password", "keap-callback/username"]);
        assert!(edits.is_cleared("keap-headers") && !edits.is_cleared("keap-callback"));
        let query = callback(json!({"url": "https://a.example/in", "auth": {"apiKey": {
            "in": "Query", "name": "token", "secretRef": {"name": "keap-callback", "key": "query-token"}
        }}}));
        let edits = unnamed("keap", &query, &was);
        assert_eq!(edits.each().map(|(_, keys)| keys.clone()).collect::<Vec<_>>(), [[("query-token".to_owned(), None)].into()]);
        assert!(unnamed("other", &was, &bare).is_empty(), "it may belong to another owner");
    }
}
