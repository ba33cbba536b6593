//! Where events go: the callback among the settings → `spec.callback` and Secrets.

use std::collections::BTreeSet;

use serde_json::Value;
use url::Url;

use super::credentials::put;
use super::draft::{Draft, NO_CALLBACK};
use super::fields::{Field, Fields};
use super::poller::secret_key;
use super::read::unwrapped;
use super::report::{Section, Verdict};
use super::value::Said;
use crate::api::auth::{ApiKey, Auth, Basic, Place, SecretKeyRef, SecretRef};
use crate::api::instance::Signature;
use crate::api::names::is_reserved_header;
use crate::api::secrecy::is_secret;
use crate::plan::resolve::receives_for_open_connectors;

/// Hosts of the platform and of what it was before.
const PLATFORM: [&str; 3] = [".openconnectors.ext.hana.ondemand.com", ".cloud-elements.com", ".cloudelements.io"];

/// Takes the settings of the callback. `elsewhere` is the URL that an export says outside of its configuration.
pub(super) fn import(settings: &mut Fields, elsewhere: Option<Field>, draft: &mut Draft, section: &mut Section) {
    let secret = format!("{}-callback", draft.name);
    login(settings, &secret, draft, section);
    let given = settings.take("event.notification.callback.url");
    let has_url = given.as_ref().is_some_and(|field| Said::of(&field.value) != Said::Nothing);
    let (given, other) = if has_url { (given, elsewhere) } else { (elsewhere, given) };
    if let Some(other) = other {
        let is_other = given.as_ref().is_none_or(|field| Said::of(&field.value) != Said::of(&other.value));
        match (has_url, Said::of(&other.value)) {
            (true, Said::Text(_)) if is_other => {
                section.lost(&other.place, "the setting event.notification.callback.url is used");
            }
            (true, _) => section.dropped(&other.place, "the setting event.notification.callback.url has it"),
            (false, _) => section.dropped(&other.place, "it has no value"),
        }
    }
    match given {
        Some(field) => url(&field, &secret, draft, section),
        None => section.result(
            Verdict::ToDo,
            "callback.url",
            format!("no callback is configured: it is {NO_CALLBACK}; write yours"),
        ),
    }
    if let Some(field) = settings.take("event.notification.signature.key") {
        if Said::of(&field.value) == Said::Nothing {
            section.dropped(&field.place, "it has no value: requests are not signed");
        } else {
            put(draft, section, Some(field), (&secret, "signing-key"), true);
            draft.spec.callback.signature =
                Some(Signature { secret_ref: SecretKeyRef { name: secret.clone(), key: "signing-key".to_owned() } });
        }
    }
    if let Some(field) = settings.take("event.notification.callback.headers") {
        headers(&field, draft, section);
    }
}

fn url(field: &Field, secret: &str, draft: &mut Draft, section: &mut Section) {
    let Said::Text(text) = Said::of(&field.value) else {
        section.ask(&field.place, format!("it has no value: callback.url is {NO_CALLBACK}; write yours"));
        return;
    };
    let Some(mut url) = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) else {
        section.ask(&field.place, format!("it is not an http or https URL: callback.url is {NO_CALLBACK}; write yours"));
        return;
    };
    let host = format!(".{}", url.host_str().unwrap_or_default().to_ascii_lowercase());
    let is_regional = host.contains(".openconnectors.") && host.ends_with(".hana.ondemand.com");
    if is_regional || PLATFORM.iter().any(|platform| host.ends_with(platform)) || receives_for_open_connectors(&url) {
        section.ask(
            &field.place,
            format!(
                "refused: it is an address of Open Connectors itself, which would send the events in a loop; callback.url is \
                 {NO_CALLBACK}; write the URL of the application that receives the events"
            ),
        );
        return;
    }
    let mut notes = Vec::new();
    let (mut is_open, mut is_masked, mut is_cut) = (false, false, false);
    // A mask stands for a value, which belongs to the URL that it was hidden in.
    let mut value = |text: String| {
        let is_hidden = Said::of(&Value::String(text.clone())) == Said::Masked;
        is_masked |= is_hidden;
        Some(text).filter(|_| !is_hidden)
    };
    if !url.username().is_empty() || url.password().is_some() {
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (value(decoded(url.username())), value(decoded(url.password().unwrap_or_default())));
        // Neither fails for a URL with a host.
        let _ = (url.set_username(""), url.set_password(None));
        if draft.spec.callback.auth.is_none() {
            draft.secrets.put(secret, "username", user);
            draft.secrets.put(secret, "password", password);
            draft.spec.callback.auth = Some(Auth::Basic(Basic { secret_ref: SecretRef { name: secret.to_owned() } }));
            notes.push(format!("user name and password went into Secret {secret}"));
        } else {
            draft.secrets.keep(secret, "url-username", user);
            draft.secrets.keep(secret, "url-password", password);
            is_open = true;
            notes.push(format!(
                "user name and password went into Secret {secret}, and those of the settings are used; check it"
            ));
        }
    }
    let secrets = without_secrets(&mut url);
    for (index, (name, text)) in secrets.into_iter().enumerate() {
        let key = draft.secrets.keep(secret, &format!("query-{}", secret_key(&name)), value(text));
        if index == 0 && draft.spec.callback.auth.is_none() {
            let secret_ref = SecretKeyRef { name: secret.to_owned(), key };
            draft.spec.callback.auth =
                Some(Auth::ApiKey(ApiKey { place: Some(Place::Query), name: Some(name), prefix: None, secret_ref }));
            notes.push(format!("a secret in its query is in Secret {secret} now, and is sent by callback.auth.apiKey"));
        } else {
            is_open = true;
            notes
                .push(format!("a second secret went into Secret {secret}; a callback has one auth: let the receiver take one"));
        }
    }
    if url.fragment().is_some() {
        url.set_fragment(None);
        is_cut = true;
        notes.push("the fragment was removed".to_owned());
    }
    if url.scheme() == "http" {
        draft.spec.callback.allow_insecure_http = true;
        notes.push("allowInsecureHttp: true, since it is http: events can be read in transit; use https".to_owned());
    }
    if url.as_str().len() > 2048 {
        section.ask(&field.place, format!("it is longer than 2,048 characters: callback.url is {NO_CALLBACK}; write yours"));
        return;
    }
    let is_same = notes.is_empty() && text.starts_with("https://");
    draft.spec.callback.url = if is_same { text } else { url.into() };
    let verdict = match (is_open, is_masked, notes.is_empty()) {
        (true, ..) => Verdict::ToDo,
        (false, true, _) => Verdict::Masked,
        (false, false, false) => Verdict::Changed,
        (false, false, true) => Verdict::Kept,
    };
    notes.insert(0, "callback.url".to_owned());
    if is_masked {
        notes.push("the value of a secret in it is hidden: write it".to_owned());
    }
    if is_cut && verdict == Verdict::Changed {
        section.without_effect(verdict, &field.place, notes.join("; "));
    } else {
        section.field(verdict, &field.place, notes.join("; "));
    }
}

/// Takes the parameters that are secrets, by their names or values, out of the query.
fn without_secrets(url: &mut Url) -> Vec<(String, String)> {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let (secrets, rest): (Vec<_>, Vec<_>) = pairs
        .into_iter()
        .partition(|(name, value)| is_secret(name, value) || Said::of(&Value::String(value.clone())) == Said::Masked);
    if !secrets.is_empty() {
        url.set_query(None);
        if !rest.is_empty() {
            url.query_pairs_mut().extend_pairs(rest);
        }
    }
    secrets
}

fn login(settings: &mut Fields, secret: &str, draft: &mut Draft, section: &mut Section) {
    let user = settings.take("event.notification.basic.username");
    let password = settings.take("event.notification.basic.password");
    // Exports mask a password that was never set, too.
    if user.as_ref().is_none_or(|field| Said::of(&field.value) == Said::Nothing) {
        for field in [user, password].into_iter().flatten() {
            section.unused(&field.place, &field.value, "no user name is set: requests are sent without one");
        }
        return;
    }
    put(draft, section, user, (secret, "username"), true);
    put(draft, section, password, (secret, "password"), false);
    draft.spec.callback.auth = Some(Auth::Basic(Basic { secret_ref: SecretRef { name: secret.to_owned() } }));
}

/// Headers as JSON, or as lines of `Name: value`.
fn headers(field: &Field, draft: &mut Draft, section: &mut Section) {
    let secret = format!("{}-headers", draft.name);
    let text = match Said::of(&field.value) {
        Said::Nothing => {
            section.dropped(&field.place, "it has no value");
            return;
        }
        Said::Structure => field.value.to_string(),
        Said::Masked => {
            // Which ones there are, the mask does not say.
            draft.secrets.open(&secret);
            draft.spec.callback.headers_secret_ref = Some(SecretRef { name: secret.clone() });
            let text = format!("Secret {secret}, which has none yet: write one key a header");
            section.field(Verdict::Masked, &field.place, text);
            return;
        }
        Said::Placeholder => String::new(),
        Said::Text(text) => text,
    };
    let found = read_headers(&text);
    let distinct: BTreeSet<_> = found.iter().flatten().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let problem = match &found {
        None => Some("no headers were found in it, or one whose value is no text".to_owned()),
        Some(found) if distinct.len() < found.len() => Some("a header is in it twice".to_owned()),
        Some(found) => found.iter().find(|(name, value)| !is_key(name) || !is_sent(name, value)).map(|(name, _)| {
            if is_key(name) {
                format!("{name} cannot be sent, because its value has control characters or Pollinator sets this header itself")
            } else {
                "one of its headers has no valid name".to_owned()
            }
        }),
    };
    if let Some(problem) = problem {
        let more = format!("{}-more", draft.name);
        draft.secrets.keep(&more, "callback-headers", Some(text).filter(|text| !text.is_empty()));
        section.ask(
            &field.place,
            format!(
                "{problem}; the setting is in Secret {more}, key callback-headers: write one key a header into Secret {secret}"
            ),
        );
        return;
    }
    for (name, value) in found.into_iter().flatten() {
        draft.secrets.put(&secret, &name, Some(value));
    }
    draft.spec.callback.headers_secret_ref = Some(SecretRef { name: secret.clone() });
    section.changed(&field.place, format!("each header is a key of Secret {secret}, which callback.headersSecretRef names"));
}

/// Names and values; `None`: there are none, or a value is neither a text nor a list of texts.
fn read_headers(text: &str) -> Option<Vec<(String, String)>> {
    let found = match unwrapped(text) {
        Some(Value::Object(members)) => {
            members.iter().map(|(name, value)| Some((name.clone(), header_value(value)?))).collect::<Option<Vec<_>>>()?
        }
        Some(_) => return None,
        None => header_lines(text)?,
    };
    (!found.is_empty()).then_some(found)
}

/// Several values of a header are one with commas (RFC 9110 section 5.3).
fn header_value(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let texts = items.iter().map(|item| if item.is_array() { None } else { header_value(item) });
            Some(texts.collect::<Option<Vec<_>>>()?.join(", "))
        }
        other => match Said::of(other) {
            Said::Text(text) => Some(text),
            Said::Nothing | Said::Masked | Said::Placeholder | Said::Structure => None,
        },
    }
}

/// Lines, or what is between semicolons where a header begins behind each: values have semicolons, too.
fn header_lines(text: &str) -> Option<Vec<(String, String)>> {
    let header = |part: &str| {
        let (name, value) = part.split_once(':').filter(|(_, value)| !value.starts_with("//"))?;
        is_key(name.trim()).then(|| (name.trim().to_owned(), value.trim().to_owned()))
    };
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let parts: Option<Vec<_>> = line.split(';').filter(|part| !part.trim().is_empty()).map(header).collect();
        match parts {
            Some(parts) => found.extend(parts),
            None => found.push(header(line)?),
        }
    }
    Some(found)
}

/// Whether a callback can be sent a header: its name is free, and its value has no control characters (RFC 9110 section 5.5).
fn is_sent(name: &str, value: &str) -> bool {
    !is_reserved_header(&name.to_ascii_lowercase()) && value.chars().all(|c| c == '\t' || !c.is_control())
}

/// Whether a header's name can be a key of a Secret.
fn is_key(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_whole_values() {
        for (text, expected) in [
            ("X-Key: a", vec![("X-Key", "a")]),
            ("Cookie: session=abc; role=poller", vec![("Cookie", "session=abc; role=poller")]),
            ("X-Sig: a=1;b=2\nX-B: 2", vec![("X-Sig", "a=1;b=2"), ("X-B", "2")]),
            ("X-A: 1;X-B: 2;", vec![("X-A", "1"), ("X-B", "2")]),
            ("Link: a; https://b.example/c", vec![("Link", "a; https://b.example/c")]),
            (r#"{"X-A": 1, "X-List": ["p", "q"]}"#, vec![("X-A", "1"), ("X-List", "p, q")]),
        ] {
            let found = read_headers(text).unwrap();
            let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{text}");
        }
        for text in ["", "hunter2", "X-A: 1\nrest", "{}", "[]", r#"{"X-A": {}}"#, r#"{"X-A": null}"#, "a b: c"] {
            assert_eq!(read_headers(text), None, "{text}");
        }
    }
}
