//! `configuration` of an instance: what Open Connectors has settings for, all of it as text, and a mask for every secret.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use url::form_urlencoded;

use crate::api::auth::{ApiKey, Auth, Grant, Place};
use crate::api::connector::{ConnectorAuth, ConnectorSpec};
use crate::api::dates::DatesConfiguration;
use crate::api::duration;
use crate::api::instance::{Callback, ConnectorInstanceSpec};
use crate::api::resource::{ChangeBy, Resource};

/// Stands for every value of a Secret.
pub const MASK: &str = "********";
/// Setting of the pollers.
pub const POLLERS: &str = "event.poller.configuration";
/// Setting of the switch.
pub const ENABLED: &str = "event.notification.enabled";

/// The settings of an instance on top of its connector.
pub fn settings(spec: &ConnectorInstanceSpec, connector: Option<&ConnectorSpec>) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = spec.parameters.clone();
    let mut set = |name: &str, value: String| drop(settings.insert(name.to_owned(), value));
    set(ENABLED, (!spec.suspend).to_string());
    set("event.vendor.type", "polling".to_owned());
    set("event.notification.callback.url", callback_url(&spec.callback));
    let interval = spec.polling.as_ref().and_then(|polling| polling.interval.as_deref());
    let interval = interval.or_else(|| connector?.polling.as_ref()?.interval.as_deref()).unwrap_or("15m");
    set("event.poller.refresh_interval", minutes(interval));
    if let Some(url) = &spec.base_url {
        set("base.url", url.clone());
    }
    if let Some(Auth::Oauth2(own)) = &spec.auth {
        for (name, url) in [("oauth.token.url", &own.token_url), ("oauth.authorization.url", &own.authorization_url)] {
            if let Some(url) = url {
                set(name, url.clone());
            }
        }
        if !own.scopes.is_empty() {
            set("oauth.scope", own.scopes.join(" "));
        }
    }
    let masked = secrets(spec, connector).iter().chain(callback_secrets(spec));
    masked.for_each(|name| set(name, MASK.to_owned()));
    let pollers = pollers(spec, connector);
    if !pollers.is_empty() {
        set(POLLERS, Value::Object(pollers).to_string());
    }
    settings
}

/// The URL of the callback, with a mask for the secret that its query has when a request is sent.
pub fn callback_url(callback: &Callback) -> String {
    let Some(Auth::ApiKey(ApiKey { place: Some(Place::Query), name: Some(name), .. })) = &callback.auth else {
        return callback.url.clone();
    };
    let joint = if callback.url.contains('?') { '&' } else { '?' };
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("{}{joint}{name}={MASK}", callback.url)
}

/// Names of the settings that hold the credentials of the provider.
fn secrets(spec: &ConnectorInstanceSpec, connector: Option<&ConnectorSpec>) -> &'static [&'static str] {
    const CLIENT: &[&str] = &["oauth.api.key", "oauth.api.secret"];
    const USER: &[&str] = &["oauth.api.key", "oauth.api.secret", "oauth.user.refresh_token"];
    const LOGIN: &[&str] = &["username", "password"];
    let grant = |own: Option<Grant>| {
        let entry = match connector.and_then(|connector| connector.auth.as_ref()) {
            Some(ConnectorAuth::Oauth2(entry)) => Some(entry.grant),
            _ => None,
        };
        match own.or(entry) {
            Some(Grant::RefreshToken | Grant::AuthorizationCode) => USER,
            _ => CLIENT,
        }
    };
    match (&spec.auth, connector.and_then(|connector| connector.auth.as_ref())) {
        (Some(Auth::Oauth2(own)), _) => grant(own.grant),
        (None, Some(ConnectorAuth::Oauth2(_))) => grant(None),
        (Some(Auth::Basic(_)), _) | (None, Some(ConnectorAuth::Basic(_))) => LOGIN,
        (Some(Auth::ApiKey(_)), _) | (None, Some(ConnectorAuth::ApiKey(_))) => &["api.key"],
        (Some(Auth::Bearer(_)), _) | (None, Some(ConnectorAuth::Bearer(_))) => &["oauth.user.token"],
        (None, None) => &[],
    }
}

/// Names of the settings that hold what is kept of the callback in Secrets.
fn callback_secrets(spec: &ConnectorInstanceSpec) -> impl Iterator<Item = &'static &'static str> {
    let login: &[&str] = match spec.callback.auth {
        Some(Auth::Basic(_)) => &["event.notification.basic.username", "event.notification.basic.password"],
        _ => &[],
    };
    let signature: &[&str] = if spec.callback.signature.is_some() { &["event.notification.signature.key"] } else { &[] };
    let headers: &[&str] =
        if spec.callback.headers_secret_ref.is_some() { &["event.notification.callback.headers"] } else { &[] };
    login.iter().chain(signature).chain(headers)
}

/// A duration in minutes, as exactly as it is.
fn minutes(interval: &str) -> String {
    let millis = duration::parse(interval).map_or(900_000, |interval| interval.as_millis());
    let (whole, rest) = (millis / 60_000, millis % 60_000);
    if rest == 0 {
        return whole.to_string();
    }
    // The fifth decimal of a minute is less than a millisecond.
    let decimals = format!("{:05}", (rest * 100_000 + 30_000) / 60_000);
    format!("{whole}.{}", decimals.trim_end_matches('0'))
}

/// The pollers by resource: those of the instance, or, where it names none, all of its connector's.
pub fn pollers(spec: &ConnectorInstanceSpec, connector: Option<&ConnectorSpec>) -> Map<String, Value> {
    if spec.resources.is_empty() {
        connector.map(entry_pollers).unwrap_or_default()
    } else {
        spec.resources.iter().map(|resource| (resource.name.clone(), poller(resource, None))).collect()
    }
}

/// The pollers that a connector brings.
pub fn entry_pollers(connector: &ConnectorSpec) -> Map<String, Value> {
    let entries = connector.resources.iter();
    entries
        .map(|entry| {
            let path = entry.hub_paths.first().map(String::as_str);
            (entry.resource.name.clone(), poller(&entry.resource, path))
        })
        .collect()
}

fn poller(resource: &Resource, hub_path: Option<&str>) -> Value {
    let mut poller = Map::new();
    if let Some(url) = hub_path.or(resource.url.as_deref()) {
        poller.insert("url".to_owned(), url.into());
    }
    if let Some(id) = &resource.id_field {
        poller.insert("idField".to_owned(), id.as_str().into());
    }
    // Open Connectors has no such field; without it, a body that comes back would read as one with the default id.
    if !resource.id_fields.is_empty() {
        poller.insert("idFields".to_owned(), json!(resource.id_fields));
    }
    let dates = resource.dates_configuration.as_ref().map(dates).unwrap_or_default();
    if !dates.is_empty() {
        poller.insert("datesConfiguration".to_owned(), dates.into());
    }
    for (name, value) in [("createdCheckTolerance", &resource.created_tolerance), ("pollDelay", &resource.lookback)] {
        if let Some(seconds) = value.as_deref().and_then(duration::parse).map(|value| value.as_secs()) {
            poller.insert(name.to_owned(), seconds.into());
        }
    }
    if resource.change_by == Some(ChangeBy::Created) {
        poller.insert("filterByUpdatedDate".to_owned(), false.into());
    }
    if let Some(size) = resource.page_size {
        poller.insert("pageSize".to_owned(), size.into());
    }
    Value::Object(poller)
}

fn dates(dates: &DatesConfiguration) -> Map<String, Value> {
    match json!(dates) {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn everything_is_text_and_secrets_are_masked() {
        let spec: ConnectorInstanceSpec = serde_json::from_value(json!({
            "connector": "infusionsoftrest",
            "auth": {"oauth2": {"secretRef": {"name": "keap"}}},
            "polling": {"interval": "90s"},
            "resources": [{
                "name": "appointments", "url": "/appointments", "idField": "id", "lookback": "2m", "changeBy": "Created",
            }],
            "callback": {"url": "https://a.example/in", "signature": {"secretRef": {"name": "c", "key": "k"}}},
        }))
        .unwrap();
        let shown = settings(&spec, catalog::built_in("infusionsoftrest"));
        let expected = json!({
            "event.notification.enabled": "true",
            "event.vendor.type": "polling",
            "event.notification.callback.url": "https://a.example/in",
            "event.notification.signature.key": MASK,
            "event.poller.refresh_interval": "1.5",
            "event.poller.configuration": r#"{"appointments":{"filterByUpdatedDate":false,"idField":"id","pollDelay":120,"url":"/appointments"}}"#,
            "oauth.api.key": MASK, "oauth.api.secret": MASK, "oauth.user.refresh_token": MASK,
        });
        assert_eq!(json!(shown), expected);
    }

    #[test]
    fn intervals_are_minutes() {
        for (interval, shown) in
            [("15m", "15"), ("1h30m", "90"), ("5s", "0.08333"), ("6s", "0.1"), ("90s", "1.5"), ("30s", "0.5")]
        {
            assert_eq!(minutes(interval), shown);
        }
    }
}
