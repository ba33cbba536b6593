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
use super::value::{Said, is_secret_name};
use crate::api::auth::{ApiKey, Auth, Basic, Place, SecretKeyRef, SecretRef};
use crate::api::instance::Signature;
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
        let text = if has_url { "the setting event.notification.callback.url has it" } else { "it has no value" };
        section.dropped(&other.place, text);
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
    let mut is_open = false;
    if !url.username().is_empty() || url.password().is_some() {
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
        // Neither fails for a URL with a host.
        let _ = (url.set_username(""), url.set_password(None));
        if draft.spec.callback.auth.is_none() {
            draft.secrets.put(secret, "username", Some(user));
            draft.secrets.put(secret, "password", Some(password));
            draft.spec.callback.auth = Some(Auth::Basic(Basic { secret_ref: SecretRef { name: secret.to_owned() } }));
            notes.push(format!("user name and password went into Secret {secret}"));
        } else {
            draft.secrets.keep(secret, "url-username", Some(user));
            draft.secrets.keep(secret, "url-password", Some(password));
            is_open = true;
            notes.push(format!(
                "user name and password went into Secret {secret}, and those of the settings are used; check it"
            ));
        }
    }
    let secrets = without_secrets(&mut url);
    for (index, (name, value)) in secrets.into_iter().enumerate() {
        let key = draft.secrets.keep(secret, &format!("query-{}", secret_key(&name)), Some(value));
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
    let verdict = match (is_open, notes.is_empty()) {
        (true, _) => Verdict::ToDo,
        (false, false) => Verdict::Changed,
        (false, true) => Verdict::Kept,
    };
    notes.insert(0, "callback.url".to_owned());
    section.field(verdict, &field.place, notes.join("; "));
}

/// Takes the parameters whose names say that they are secrets out of the query.
fn without_secrets(url: &mut Url) -> Vec<(String, String)> {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let (secrets, rest): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| is_secret_name(name));
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
            section.dropped(&field.place, "no user name is set: requests are sent without one");
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
        Said::Masked | Said::Placeholder => String::new(),
        Said::Text(text) => text,
    };
    let found: Vec<(String, String)> = match unwrapped(&text) {
        Some(Value::Object(members)) => members
            .iter()
            .filter_map(|(name, value)| if let Said::Text(text) = Said::of(value) { Some((name.clone(), text)) } else { None })
            .collect(),
        _ => text
            .split(['\n', ';'])
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect(),
    };
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let distinct: BTreeSet<_> = found.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    if found.is_empty() || distinct.len() < found.len() || !found.iter().all(|(name, _)| is_name(name)) {
        let more = format!("{}-more", draft.name);
        draft.secrets.keep(&more, "callback-headers", Some(text).filter(|text| !text.is_empty()));
        section.ask(
            &field.place,
            format!("no headers were found in it; it is in Secret {more}, key callback-headers: write one key a header"),
        );
        return;
    }
    for (name, value) in found {
        draft.secrets.put(&secret, &name, Some(value));
    }
    draft.spec.callback.headers_secret_ref = Some(SecretRef { name: secret.clone() });
    section.changed(&field.place, format!("each header is a key of Secret {secret}, which callback.headersSecretRef names"));
}
