//! The settings of an instance: switches, pollers, and what is left of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::credentials::is_endpoint;
use super::draft::{Draft, Known};
use super::fields::{Field, Fields};
use super::legacy;
use super::poller::{Pollers, is_poller, secret_key, shown};
use super::read::unwrapped;
use super::report::{Section, Verdict};
use super::value::{self, PLACEHOLDER, Said, duration, is_secret_name};
use crate::api::instance::Polling;

/// Longest and shortest interval in minutes: what a manifest takes.
const MAX_MINUTES: f64 = 168.0 * 60.0;
const MIN_MINUTES: f64 = 5.0 / 60.0;

/// Settings that need nothing here.
const NEEDLESS_SETTINGS: [(&str, &str); 11] = [
    ("event.notification.subscription.id", "no webhook is registered at the provider"),
    ("event.notification.instance.finder", "routes webhooks, and has no use here"),
    ("event.notification.type", "every resource is polled"),
    ("event.vendor.type", "every resource is polled"),
    ("event.metadata", "created and updated follow from the dates"),
    ("event.helper.key", "names code of the platform; the connector's entry does its work"),
    ("event.raw.enabled", "events always carry the records"),
    ("filter.response.nulls", "records are sent as the provider sends them, with nulls"),
    ("filterByUpdatedDate", "the date of change decides in any case"),
    ("oauth.callback.url", "only a code needs it; the connect page has its own"),
    ("expires_in", "access tokens are requested when they are needed"),
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
                match (item["key"].as_str(), item.get("propertyValue")) {
                    (Some(name), Some(value)) => found.add(Field { name: name.to_owned(), place, value: value.clone() }),
                    _ => section.dropped(&place, "it is not a setting: key and propertyValue are expected"),
                }
            }
            found
        }
        _ => {
            section.dropped(&field.place, "it holds no settings");
            Fields::default()
        }
    }
}

/// Whether and how often it is polled, and where the provider is.
pub(super) fn switches(settings: &mut Fields, draft: &mut Draft, section: &mut Section) {
    if let Some(field) = settings.take("event.notification.enabled") {
        if value::switch(&field.value) == Some(true) {
            section.kept(&field.place, "events are on");
        } else {
            draft.spec.suspend = true;
            section.changed(&field.place, "spec.suspend: true, since events are off");
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
        let text = match (minutes, bounded) {
            (Some(given), Some(bounded)) if (given - bounded).abs() > f64::EPSILON => {
                format!("polling.interval: {interval}, the nearest valid value")
            }
            (Some(_), _) => format!("polling.interval: {interval}"),
            (None, _) => "polling.interval: 15m, since it is not a number of minutes".to_owned(),
        };
        // Someone wanted something, and it is not known what.
        if value::number(&field.value).is_none() && !matches!(Said::of(&field.value), Said::Placeholder | Said::Nothing) {
            section.ask(&field.place, format!("{text}; write the interval"));
        } else {
            section.changed(&field.place, text);
        }
        draft.spec.polling = Some(Polling { interval: Some(interval), start_from: None });
    }
    if let Some(field) = settings.take("base.url") {
        match Said::of(&field.value) {
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
    let configured = settings.take("event.poller.configuration");
    let urls = settings.take("event.poller.urls");
    let objects = settings.take("event.objects");
    let mut direct = Vec::new();
    while let Some(field) = settings.take_where(|field| is_poller(&field.value)) {
        direct.push(field);
    }
    let mut pollers = Pollers { known, zone: zone.unwrap_or_else(|| "GMT".to_owned()), draft, section };
    if let Some(field) = configured {
        let value = match &field.value {
            Value::String(text) => unwrapped(text),
            other => Some(other.clone()),
        };
        match value {
            Some(Value::Object(members)) if !members.is_empty() => {
                for (name, poller) in &members {
                    pollers.add(name, &field.place.member(name), poller);
                }
            }
            _ if Said::of(&field.value) == Said::Nothing => pollers.section.dropped(&field.place, "it is empty"),
            Some(Value::Object(_)) => pollers.section.dropped(&field.place, "it is empty"),
            _ => pollers.section.ask(&field.place, "it cannot be read as JSON; write the resources, or export it again"),
        }
    }
    for field in direct {
        let what = format!("resource {}", field.name);
        pollers.section.result(Verdict::Changed, what, "it was among the settings by mistake, and is a resource");
        pollers.add(&field.name, &field.place, &field.value);
    }
    if let Some(field) = urls {
        match Said::of(&field.value) {
            Said::Text(text) => {
                for (index, (name, poller)) in legacy::pollers(&text).into_iter().enumerate() {
                    pollers.add(&name, &field.place.item(index), &poller);
                }
            }
            _ => pollers.section.dropped(&field.place, "it has no value"),
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
            _ => pollers.section.dropped(&field.place, "the poller configuration says what is polled"),
        }
    }
}

/// The settings that nothing has taken: parameters, secrets, and what no field stands for. Their values are never shown.
pub(super) fn left(settings: Fields, known: Known<'_>, draft: &mut Draft, section: &mut Section) {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for parameter in known.spec.into_iter().flat_map(|spec| &spec.parameters) {
        parameters.insert(parameter.name.to_ascii_lowercase(), parameter.name.clone());
        if parameter.default_value.is_none() {
            draft.wanted.insert(parameter.name.clone());
        }
    }
    parameters.extend(draft.wanted.iter().map(|name| (name.to_ascii_lowercase(), name.clone())));
    let more = format!("{}-more", draft.name);
    for field in settings {
        let lower = field.name.to_ascii_lowercase();
        let last = lower.rsplit('.').next().unwrap_or_default();
        let parameter = parameters.get(&lower).or_else(|| parameters.get(last)).cloned();
        let needless = NEEDLESS_SETTINGS.iter().find(|(name, _)| *name == field.name).map(|(_, reason)| *reason);
        let (place, said) = (&field.place, Said::of(&field.value));
        match (needless, parameter, said) {
            (Some(reason), ..) => section.dropped(place, reason),
            (None, _, Said::Nothing) => section.dropped(place, "it has no value"),
            (None, Some(name), Said::Text(text)) if !is_secret_name(&field.name) && text.len() <= 256 => {
                section.kept(place, format!("spec.parameters.{name}"));
                draft.spec.parameters.insert(name, text);
            }
            (None, _, Said::Placeholder) => {
                section.ask(place, "it is a placeholder of the documentation, and no field corresponds to it");
            }
            (None, _, Said::Masked) => {
                let key = draft.secrets.keep(&more, &secret_key(&field.name), None);
                section.field(
                    Verdict::Masked,
                    place,
                    format!("Secret {more}, key {key}: fill it in if it is needed; nothing uses it yet"),
                );
            }
            (None, _, Said::Text(text)) if is_secret_name(&field.name) => {
                let key = draft.secrets.keep(&more, &secret_key(&field.name), Some(text));
                section.ask(place, format!("Secret {more}, key {key}, since it looks like a secret; nothing uses it yet"));
            }
            (None, _, _) if lower.starts_with("oauth.") || lower.starts_with("pagination.") => {
                section.dropped(place, "the connector's entry says it");
            }
            (None, ..) => section.dropped(place, "no field of a manifest corresponds to it"),
        }
    }
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
