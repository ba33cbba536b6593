//! The settings of an instance: switches, pollers, and what is left of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::credentials::is_endpoint;
use super::draft::{Draft, Known};
use super::fields::{Field, Fields};
use super::host;
use super::legacy;
use super::poller::{Pollers, is_poller, secret_key, shown};
use super::read::unwrapped;
use super::report::{Section, Verdict};
use super::value::{self, PLACEHOLDER, Said, duration};
use crate::api::connector::Parameter;
use crate::api::instance::Polling;
use crate::api::secrecy::is_secret;
use crate::plan::overlay;

/// Why a switch says nothing.
pub(super) const NO_SWITCH: &str = "it is neither true nor false; write one of them";

/// Longest and shortest interval in minutes: what a manifest takes.
const MAX_MINUTES: f64 = 168.0 * 60.0;
const MIN_MINUTES: f64 = 5.0 / 60.0;

/// Settings that need nothing here.
const NEEDLESS_SETTINGS: [(&str, &str); 14] = [
    ("event.notification.subscription.id", "no webhook is registered at the provider"),
    ("event.notification.instance.finder", "routes webhooks, and has no use here"),
    ("event.notification.type", "every resource is polled"),
    ("event.vendor.type", "every resource is polled"),
    ("event.metadata", "created and updated follow from the dates"),
    ("event.helper.key", "names code of the platform; the connector's entry does its work"),
    ("event.raw.enabled", "events always carry the records"),
    ("filterByUpdatedDate", "the date of change decides in any case"),
    ("oauth.callback.url", "only a code needs it; the connect page has its own"),
    ("expires_in", "access tokens are requested when they are needed"),
    ("authentication.time", "access tokens are requested when they are needed"),
    ("authentication.type", "the connector's entry says how requests are authenticated"),
    ("oauth.token.refresh_url", "the token endpoint answers requests for new tokens, too"),
    ("oauth.token.revoke_url", "tokens are not revoked"),
];

/// The settings by key, from an object, a string of JSON, or a list.
pub(super) fn by_key(field: Field, section: &mut Section) -> Fields {
    let value = match field.value {
        Value::String(text) => unwrapped(&text).unwrap_or(Value::String(text)),
        other => other,
    };
    match value {
        Value::Object(members) if !members.is_empty() => Fields::of(&field.place, &members),
        Value::Array(items) if !items.is_empty() => {
            let mut found = Fields::default();
            for (index, item) in items.into_iter().enumerate() {
                let place = field.place.item(index);
                if let (Some(name), Some(value)) = (item["key"].as_str(), item.get("propertyValue")) {
                    found.add(Field { name: name.to_owned(), place, value: value.clone() });
                } else {
                    let text = "it is not a setting: key and propertyValue are expected";
                    section.without_effect(Verdict::Dropped, &place, text);
                }
            }
            found
        }
        value if Said::of(&value) == Said::Nothing || is_empty(&value) => {
            section.dropped(&field.place, "it holds no settings");
            Fields::default()
        }
        _ => {
            section.ask(&field.place, "it holds no settings: an object of them is expected");
            Fields::default()
        }
    }
}

/// Whether and how often it is polled, and where the provider is.
pub(super) fn switches(settings: &mut Fields, known: Known<'_>, draft: &mut Draft, section: &mut Section) {
    if let Some(field) = settings.take("event.notification.enabled") {
        let switch = value::switch(&field.value);
        draft.spec.suspend |= switch != Some(true);
        match (switch, Said::of(&field.value)) {
            (Some(true), _) => section.kept(&field.place, "events are on"),
            (Some(false), _) | (None, Said::Nothing) => {
                section.changed(&field.place, "spec.suspend: true, since events are off");
            }
            (None, _) => section.ask(&field.place, format!("{NO_SWITCH}: spec.suspend is true")),
        }
    } else if !settings.is_empty() {
        draft.spec.suspend = true;
        section.result(
            Verdict::Changed,
            "spec.suspend",
            "it is true: event.notification.enabled is missing, which means that events are off",
        );
    }
    if let Some(field) = settings.take("event.poller.refresh_interval") {
        let minutes = value::number(&field.value).filter(|minutes| *minutes > 0.0);
        let bounded = minutes.map(|minutes| minutes.clamp(MIN_MINUTES, MAX_MINUTES));
        let interval = bounded.map_or_else(|| "15m".to_owned(), |minutes| duration(minutes * 60.0));
        match (minutes, bounded, Said::of(&field.value)) {
            (Some(given), Some(bounded), _) if (given - bounded).abs() > f64::EPSILON => {
                section.adjusted(&field.place, format!("polling.interval: {interval}, the nearest valid value"));
            }
            (Some(_), ..) => section.changed(&field.place, format!("polling.interval: {interval}")),
            (None, _, Said::Nothing) => section.changed(&field.place, "polling.interval: 15m, since it has no value"),
            (None, _, Said::Placeholder) => {
                section.adjusted(&field.place, "polling.interval: 15m, since it is not a number of minutes");
            }
            // Someone wanted something, and it is not known what.
            (None, ..) => {
                section.ask(
                    &field.place,
                    "polling.interval: 15m, since it is not a number of minutes above 0; write the interval",
                );
            }
        }
        draft.spec.polling = Some(Polling { interval: Some(interval), start_from: None });
    }
    if let Some(field) = settings.take("base.url") {
        let is_known = known.spec.is_some_and(|spec| spec.base_url.is_some());
        match Said::of(&field.value) {
            Said::Text(url) if url.contains('{') && is_known => {
                section.dropped(&field.place, "it is a template of the platform: the connector's baseUrl applies");
            }
            Said::Text(url) if url.contains('{') => {
                let filled = host::filled(&url, settings).filter(|url| is_endpoint(url) && !url.contains('?'));
                match filled {
                    Some(_) => section.changed(&field.place, "spec.baseUrl, with the values of the settings that it names"),
                    None => section.ask(
                        &field.place,
                        "it has a placeholder that no setting fills, or is not a valid baseUrl, and was left out; write baseUrl",
                    ),
                }
                draft.spec.base_url = filled;
            }
            Said::Text(url) if is_endpoint(&url) && !url.contains('?') => {
                section.kept(&field.place, "spec.baseUrl");
                draft.spec.base_url = Some(url);
            }
            Said::Nothing => section.dropped(&field.place, "it has no value"),
            _ => section.ask(
                &field.place,
                "it is not a valid baseUrl, and was left out; write baseUrl if the connector's is not right",
            ),
        }
    }
}

/// The pollers, wherever they stand.
pub(super) fn pollers(settings: &mut Fields, known: Known<'_>, draft: &mut Draft, section: &mut Section) {
    let zone = ["TimeZone", "time.zone"].iter().find_map(|name| match Said::of(&settings.peek(name)?.value) {
        Said::Text(zone) => super::dates::zone(&zone).text,
        _ => None,
    });
    // Even an empty configuration is one; the other settings are often exported without a value.
    let is_told = settings.peek("event.poller.configuration").is_some()
        || ["event.poller.urls", "event.objects"]
            .iter()
            .any(|key| settings.peek(key).is_some_and(|field| Said::of(&field.value) != Said::Nothing));
    let before = section.lines.len();
    let configured = settings.take("event.poller.configuration");
    let urls = settings.take("event.poller.urls");
    let objects = settings.take("event.objects");
    let mut direct = Vec::new();
    while let Some(field) = settings.take_where(|field| is_poller(&field.value)) {
        direct.push(field);
    }
    let mut pollers = Pollers { known, zone, draft, section };
    let others = [&urls, &objects].into_iter().flatten().any(|field| Said::of(&field.value) != Said::Nothing);
    let is_alone = direct.is_empty() && !others;
    let mut names: BTreeSet<String> = BTreeSet::new();
    if let Some(field) = configured {
        let value = match &field.value {
            Value::String(text) => unwrapped(text),
            other => Some(other.clone()),
        };
        match value {
            Some(Value::Object(members)) if !members.is_empty() => {
                for (name, poller) in &members {
                    pollers.add(name, &field.place.member(name), poller);
                    names.insert(name.clone());
                }
            }
            value if Said::of(&field.value) == Said::Nothing || value.as_ref().is_some_and(is_empty) => {
                if is_alone {
                    pollers.section.ask(
                        &field.place,
                        "it is empty, and no other setting names a resource; write the resources to poll, or take the setting out to \
                         poll all of the connector's",
                    );
                } else {
                    pollers.section.dropped(&field.place, "it is empty");
                }
            }
            _ => pollers.section.ask(&field.place, "it cannot be read as JSON; write the resources, or export it again"),
        }
    }
    for field in direct {
        if !names.insert(field.name.clone()) {
            pollers.section.lost(&field.place, TWICE);
            continue;
        }
        let what = format!("resource {}", field.name);
        pollers.section.result(Verdict::Changed, what, "it was among the settings by mistake, and is a resource");
        pollers.add(&field.name, &field.place, &field.value);
    }
    if let Some(field) = urls {
        match Said::of(&field.value) {
            Said::Text(text) => {
                for (index, (name, poller)) in legacy::pollers(&text).into_iter().enumerate() {
                    if names.insert(name.clone()) {
                        pollers.add(&name, &field.place.item(index), &poller);
                    } else {
                        pollers.section.lost(&field.place.item(index), TWICE);
                    }
                }
            }
            Said::Nothing => pollers.section.dropped(&field.place, "it has no value"),
            _ => pollers.section.ask(&field.place, "it is not a text that names resources; write the resources to poll"),
        }
    }
    if let Some(field) = objects {
        match Said::of(&field.value) {
            Said::Text(text) if pollers.draft.spec.resources.is_empty() => {
                let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                for (index, name) in names.enumerate() {
                    pollers.add(name, &field.place.item(index), &Value::Object(serde_json::Map::new()));
                }
            }
            Said::Text(_) | Said::Nothing => {
                pollers.section.dropped(&field.place, "the poller configuration says what is polled");
            }
            _ => pollers.section.ask(&field.place, "it is not a list of names between commas; write the resources to poll"),
        }
    }
    if is_told && draft.spec.resources.is_empty() && !section.needs_a_person_since(before) {
        let text =
            "no setting names a resource: without one, all of the connector's would be polled; write the resources to poll";
        section.result(Verdict::ToDo, "spec.resources", text);
    }
    if !is_told && draft.spec.resources.is_empty() {
        let all = known.spec.into_iter().flat_map(|spec| &spec.resources).map(|entry| entry.resource.name.as_str());
        let all: Vec<_> = all.collect();
        if !all.is_empty() {
            let text =
                format!("event.poller.configuration is missing: all resources of the connector are polled: {}", all.join(", "));
            section.result(Verdict::Changed, "spec.resources", text);
        }
    }
}

/// Why a resource is left out that another setting has.
const TWICE: &str = "another setting has a resource of this name, which is polled";

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// The settings that nothing has taken: parameters, secrets, and what no field stands for. Their values are never shown.
pub(super) fn left(settings: Fields, known: Known<'_>, draft: &mut Draft, section: &mut Section) {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for parameter in known.spec.into_iter().flat_map(|spec| &spec.parameters) {
        parameters.insert(parameter.name.to_ascii_lowercase(), parameter.name.clone());
    }
    want(known, draft);
    parameters.extend(draft.wanted.iter().map(|name| (name.to_ascii_lowercase(), name.clone())));
    let of_host = known.spec.and_then(|spec| host::parameter(spec, &settings, &parameters));
    let more = format!("{}-more", draft.name);
    for field in settings {
        let lower = field.name.to_ascii_lowercase();
        let parameter = host::own(&field.name, &parameters).cloned();
        let parameter =
            parameter.or_else(|| of_host.as_ref().filter(|(setting, _)| *setting == field.name).map(|(_, own)| own.clone()));
        let needless = NEEDLESS_SETTINGS.iter().find(|(name, _)| *name == field.name).map(|(_, reason)| *reason);
        let (place, said) = (&field.place, Said::of(&field.value));
        if field.name == "filter.response.nulls" {
            match value::switch(&field.value) {
                Some(false) => {
                    let text = "members that are null are left out of records in any case; other formats of events have them";
                    section.without_effect(Verdict::Dropped, place, text);
                }
                _ => section.kept(place, "members that are null are left out of records"),
            }
            continue;
        }
        match (needless, parameter, said) {
            (Some(reason), ..) if asks_for_more(&field) => section.lost(place, reason),
            (Some(reason), ..) => section.dropped(place, reason),
            (None, _, Said::Nothing) => section.dropped(place, "it has no value"),
            // What the entry declares is a part of URLs, whatever it is called: the store of BigCommerce is a storeHash.
            (None, Some(name), Said::Text(text))
                if (is_declared(&name, known) || !is_secret(&field.name, &text)) && text.len() <= 256 =>
            {
                let template = known.spec.and_then(|spec| spec.base_url.as_deref()).unwrap_or_default();
                let part = host::part(&text, &name, template);
                if part == text {
                    section.kept(place, format!("spec.parameters.{name}"));
                } else {
                    section.changed(place, format!("spec.parameters.{name}, the part of the address that it stands for"));
                }
                draft.spec.parameters.insert(name, part);
            }
            (None, _, Said::Placeholder) => {
                section.ask(place, "it is a placeholder of the documentation, and no field corresponds to it");
            }
            (None, Some(name), Said::Masked) => {
                let text = format!("spec.parameters.{name}: the export hides its value; write it");
                section.field(Verdict::Masked, place, text);
            }
            (None, None, Said::Masked) if known.spec.is_some() => {
                section.without_effect(Verdict::Dropped, place, "its value is hidden, and nothing of the connector uses it");
            }
            // A person who writes the Connector may need it.
            (None, None, Said::Masked) => {
                let key = draft.secrets.keep(&more, &secret_key(&field.name), None);
                section.field(
                    Verdict::Masked,
                    place,
                    format!("Secret {more}, key {key}: fill it in if it is needed; nothing uses it yet"),
                );
            }
            (None, _, Said::Text(text)) if is_secret(&field.name, &text) => {
                let key = draft.secrets.keep(&more, &secret_key(&field.name), Some(text));
                let verdict = Verdict::ToDo;
                section.without_effect(
                    verdict,
                    place,
                    format!("Secret {more}, key {key}, since it looks like a secret; nothing uses it yet"),
                );
            }
            (None, _, _) if lower.starts_with("oauth.") || lower.starts_with("pagination.") => {
                section.dropped(place, "the connector's entry says it");
            }
            (None, ..) if lower.starts_with("bulk.") => section.dropped(place, "nothing is sent to the provider in bulk"),
            (None, ..) => section.without_effect(Verdict::Dropped, place, "no field of a manifest corresponds to it"),
        }
    }
}

/// Whether a setting that needs nothing has a value that says otherwise.
fn asks_for_more(field: &Field) -> bool {
    match field.name.as_str() {
        "event.vendor.type" => match Said::of(&field.value) {
            Said::Text(kind) => !["polling", "webhook", "webhooks"].contains(&kind.to_ascii_lowercase().as_str()),
            Said::Nothing => false,
            Said::Masked | Said::Placeholder | Said::Structure => true,
        },
        "filterByUpdatedDate" | "event.raw.enabled" => {
            value::switch(&field.value) != Some(true) && Said::of(&field.value) != Said::Nothing
        }
        _ => false,
    }
}

/// Whether the entry of the catalog has a parameter of this name.
fn is_declared(name: &str, known: Known<'_>) -> bool {
    known.filters.is_none() && known.spec.is_some_and(|spec| spec.parameters.iter().any(|parameter| parameter.name == name))
}

/// The parameters that must have a value: those that the polled resources use and that have no default.
fn want(known: Known<'_>, draft: &mut Draft) {
    let Some(spec) = known.spec else { return };
    let has_default = |parameter: &Parameter| parameter.default_value.is_some();
    // What cannot be laid over the connector is refused later; until then all parameters count as used.
    let used = match overlay::resources(&draft.spec, spec) {
        Ok(polled) => spec.parameters_for(&polled, |_| false),
        Err(_) => Cow::Borrowed(spec.parameters.as_slice()),
    };
    draft.wanted.retain(|name| !spec.parameters.iter().any(|parameter| parameter.name == *name && has_default(parameter)));
    draft.wanted.extend(used.iter().filter(|parameter| !has_default(parameter)).map(|parameter| parameter.name.clone()));
}

/// Placeholders that nothing fills.
pub(super) fn missing_parameters(draft: &mut Draft, section: &mut Section) {
    for name in std::mem::take(&mut draft.wanted) {
        let shown_name = shown(&name);
        draft.spec.parameters.entry(name).or_insert_with(|| {
            let text = format!("the URLs have the placeholder {{{shown_name}}}, for which the input has no value; write it");
            section.result(Verdict::ToDo, format!("spec.parameters.{shown_name}"), text);
            PLACEHOLDER.to_owned()
        });
    }
}
