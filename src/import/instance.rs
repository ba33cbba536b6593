//! An instance, whole or in parts → a draft of its manifest.

use serde_json::Value;

use super::callback;
use super::credentials::Credentials;
use super::draft::{Draft, Known};
use super::fields::{Field, Fields, Place};
use super::poller::is_poller;
use super::read::{Kind, Part, unwrapped};
use super::report::{Section, Verdict};
use super::settings;
use super::value::{self, Said, slug};
use crate::api::identity::{IMPORTED_ID, IMPORTED_NAME, number};

/// Members of an instance that need nothing here.
const NEEDLESS: [(&str, &str); 17] = [
    ("token", "it names the instance on the platform, and has no use here"),
    ("elementId", "describes the connector on the platform"),
    ("createdDate", "describes the instance on the platform"),
    ("updatedDate", "describes the instance on the platform"),
    ("provisionInteractions", "describes the instance on the platform"),
    ("valid", "status says whether it works"),
    ("maxCacheSize", "responses are not cached"),
    ("cacheTimeToLive", "responses are not cached"),
    ("cachingEnabled", "responses are not cached"),
    ("traceLoggingEnabled", "see --log"),
    ("externalAuthentication", "describes the instance on the platform"),
    ("user", "describes the account on the platform"),
    ("description", "a manifest has comments"),
    ("ownerAccountId", "describes the account on the platform"),
    ("accountId", "describes the account on the platform"),
    ("companyId", "describes the account on the platform"),
    ("userId", "describes the account on the platform"),
];

/// Most tags of an instance.
const MOST_TAGS: usize = 32;
/// Characters of a name that are kept.
pub(super) const LONGEST_NAME: usize = 253;
/// What became of a longer one.
pub(super) const CUT_NAME: &str = "it is longer than 253 characters, and is cut there";

/// Names of manifests, each given once.
#[derive(Debug, Default)]
pub(super) struct Names(std::collections::BTreeSet<String>);

impl Names {
    /// A name like this one that is still free.
    pub fn claim(&mut self, like: &str) -> String {
        let like = distinct(like);
        let numbered = (2..).map(|number| format!("{like}-{number}"));
        let name = std::iter::once(like.clone()).chain(numbered).find(|name| !self.0.contains(name)).unwrap_or(like);
        self.0.insert(name.clone());
        name
    }
}

/// A name that reads like a text. One that a name cannot say whole ends in a hash of it, so that texts which differ in other letters
/// than names have do not meet, and one that is sent again gets its name again.
fn distinct(text: &str) -> String {
    let plain = slug(text);
    let is_said = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.');
    if text.trim().chars().all(is_said) && text.trim().len() <= 50 && !plain.is_empty() {
        return plain;
    }
    let hash = format!("{:08x}", number(text.trim()) & 0xffff_ffff);
    let plain = if plain.is_empty() { "instance" } else { &plain[..plain.len().min(41)] };
    format!("{}-{hash}", plain.trim_end_matches('-'))
}

/// The input of one instance, taken apart.
struct Input {
    place: Place,
    key: Option<String>,
    name: Option<String>,
    id: Option<String>,
    tags: Vec<String>,
    is_disabled: bool,
    settings: Fields,
    provider_data: Fields,
    callback: Option<Field>,
}

/// Imports an instance; `stem` names it when nothing in it does. `None`: there is nothing to poll, as the report says.
pub(super) fn import<'a>(
    part: Part,
    stem: &str,
    names: &mut Names,
    known: &dyn Fn(&str) -> Known<'a>,
    section: &mut Section,
) -> Option<Draft> {
    if let Some(reason) = nothing_to_poll(&part) {
        section.dropped(&part.place, reason);
        return None;
    }
    let mut input = take_apart(part, section);
    let key = input.key.clone().unwrap_or_else(|| {
        let key = Some(slug(stem)).filter(|key| !key.is_empty()).unwrap_or_else(|| "connector".to_owned());
        let text = format!("no element.key is given: spec.connector is {key}, after the file; correct it");
        section.result(Verdict::ToDo, "spec.connector", text);
        key
    });
    let known = known(&key);
    let like = input.name.clone().unwrap_or_else(|| key.clone());
    let mut draft = Draft::new(names.claim(&like));
    draft.spec.connector = Some(key.clone());
    draft.stub.key = known.spec.is_none().then_some(key);
    draft.spec.tags = std::mem::take(&mut input.tags);
    for (annotation, value) in [(IMPORTED_NAME, input.name.take()), (IMPORTED_ID, input.id.take())] {
        draft.annotations.extend(value.map(|value| (annotation.to_owned(), value)));
    }
    draft.spec.suspend = input.is_disabled;
    settings::switches(&mut input.settings, known, &mut draft, section);
    settings::pollers(&mut input.settings, known, &mut draft, section);
    let (fields, provider_data) = (&mut input.settings, &mut input.provider_data);
    Credentials { known, settings: fields, provider_data, draft: &mut draft, section }.import();
    callback::import(&mut input.settings, input.callback.take(), &mut draft, section);
    for field in input.provider_data {
        section.unused(&field.place, &field.value, "it belongs to a consent that was given to the platform");
    }
    settings::left(input.settings, known, &mut draft, section);
    settings::missing_parameters(&mut draft, section);
    if draft.spec.resources.is_empty() && known.spec.is_none_or(|spec| spec.resources.is_empty()) {
        section.result(
            Verdict::ToDo,
            format!("{}", input.place),
            "it says nothing to poll, and no entry of the catalog does: no manifest is written; export it with its poller configuration",
        );
        return None;
    }
    Some(draft)
}

/// Why an instance is left out as a whole.
fn nothing_to_poll(part: &Part) -> Option<&'static str> {
    let settings = match part.kind {
        Kind::Instance => &part.value["configuration"],
        Kind::Settings => &part.value,
        _ => return None,
    };
    let wrapped = settings.as_str().and_then(unwrapped);
    let settings = wrapped.as_ref().unwrap_or(settings);
    let setting = |key: &str| -> Option<&Value> {
        match settings {
            Value::Array(items) => items.iter().find(|item| item["key"] == key).and_then(|item| item.get("propertyValue")),
            other => other.get(key),
        }
    };
    let says = |key: &str| setting(key).map_or(Said::Nothing, Said::of);
    if let Said::Text(kind) = says("event.vendor.type")
        && kind.to_ascii_lowercase().starts_with("webhook")
    {
        return Some("the provider sends webhooks to it and nothing is polled: register the receiver at the provider");
    }
    let is_off = setting("event.notification.enabled").is_none_or(|value| value::switch(value) != Some(true));
    let names = ["event.poller.configuration", "event.poller.urls", "event.objects"];
    let is_empty = |key: &&str| {
        matches!(says(key), Said::Nothing) || setting(key).is_some_and(|v| v.as_object().is_some_and(serde_json::Map::is_empty))
    };
    let direct = settings.as_object().is_some_and(|members| members.values().any(is_poller));
    (is_off && !direct && names.iter().all(is_empty)).then_some("its events are off and nothing is configured to be polled")
}

fn take_apart(part: Part, section: &mut Section) -> Input {
    let place = part.place.clone();
    let mut input = Input {
        place: place.clone(),
        key: None,
        name: None,
        id: None,
        tags: Vec::new(),
        is_disabled: false,
        settings: Fields::default(),
        provider_data: Fields::default(),
        callback: None,
    };
    match (part.kind, part.value) {
        (Kind::Instance, Value::Object(members)) => whole(&mut input, Fields::of(&place, &members), section),
        (Kind::Settings, value) => {
            input.settings = settings::by_key(Field { name: String::new(), place, value }, section);
            input.key = element_key(&mut input.settings, section);
        }
        (Kind::PollerUrls, value) => input.settings.add(Field { name: "event.poller.urls".into(), place, value }),
        (_, value) => input.settings.add(Field { name: "event.poller.configuration".into(), place, value }),
    }
    input
}

fn whole(input: &mut Input, mut fields: Fields, section: &mut Section) {
    input.key = element_key(&mut fields, section);
    if let Some(field) = fields.take("name") {
        match Said::of(&field.value) {
            Said::Text(name) => {
                if name.chars().nth(LONGEST_NAME).is_some() {
                    section.adjusted(&field.place, CUT_NAME);
                } else {
                    let text = "metadata.name; the name as it was is in annotation pollinator.dev/imported-name";
                    section.changed(&field.place, text);
                }
                input.name = Some(name.chars().take(LONGEST_NAME).collect());
            }
            Said::Placeholder => {
                section.ask(&field.place, "it is a placeholder: metadata.name follows the connector; choose one");
            }
            Said::Nothing => section.dropped(&field.place, "it has no value: metadata.name follows the connector"),
            Said::Masked | Said::Structure => {
                section.lost(&field.place, "it is not a name: metadata.name follows the connector");
            }
        }
    }
    if let Some(field) = fields.take("id") {
        match Said::of(&field.value) {
            Said::Text(id) => {
                input.id = Some(id);
                section.changed(&field.place, "annotation pollinator.dev/imported-id; events carry an instanceId of their own");
            }
            _ => section.dropped(&field.place, "it has no value"),
        }
    }
    if let Some(field) = fields.take("tags") {
        tags(input, &field, section);
    }
    if let Some(field) = fields.take("disabled") {
        match (value::switch(&field.value), Said::of(&field.value)) {
            (None, Said::Nothing) => section.dropped(&field.place, "it has no value"),
            (None, _) => section.ask(&field.place, settings::NO_SWITCH),
            (Some(is_disabled), _) => {
                input.is_disabled = is_disabled;
                section.changed(&field.place, format!("spec.suspend: {is_disabled}"));
            }
        }
    }
    if let Some(field) = fields.take("eventsEnabled") {
        match (value::switch(&field.value), Said::of(&field.value)) {
            (Some(true), _) | (None, Said::Nothing) => {
                section.dropped(&field.place, "the setting event.notification.enabled has it");
            }
            (Some(false), _) => {
                input.is_disabled = true;
                section.changed(&field.place, "spec.suspend: true, since events are off");
            }
            (None, _) => section.ask(&field.place, settings::NO_SWITCH),
        }
    }
    if let Some(field) = fields.take("providerData") {
        match &field.value {
            Value::Object(members) if !members.is_empty() => input.provider_data = Fields::of(&field.place, members),
            Value::Object(_) | Value::Null => section.dropped(&field.place, "it has no code"),
            _ => section.lost(&field.place, "it is no object with a code"),
        }
    }
    input.callback = fields.take("eventsNotificationCallbackUrl");
    if let Some(field) = fields.take("configuration") {
        input.settings = settings::by_key(field, section);
    }
    for field in fields {
        let reason = NEEDLESS.iter().find(|(name, _)| *name == field.name).map(|(_, reason)| *reason);
        match reason {
            Some(reason) => section.dropped(&field.place, reason),
            None => section.without_effect(Verdict::Dropped, &field.place, "no field of a manifest corresponds to it"),
        }
    }
}

/// `element.key`, `element` or `elementKey`.
fn element_key(fields: &mut Fields, section: &mut Section) -> Option<String> {
    let mut found = None;
    for name in ["element", "elementKey", "element.key"] {
        let Some(field) = fields.take(name) else { continue };
        let mut inner = match &field.value {
            Value::Object(members) if !members.is_empty() => Fields::of(&field.place, members),
            _ => {
                let mut one = Fields::default();
                one.add(Field { name: "key".to_owned(), ..field });
                one
            }
        };
        if let Some(key) = inner.take("key") {
            match Said::of(&key.value) {
                Said::Text(text) if !slug(&text).is_empty() && found.is_none() => {
                    let (name, text) = (slug(&text), text);
                    let verdict = if name == text { Verdict::Kept } else { Verdict::Changed };
                    section.field(verdict, &key.place, format!("spec.connector: {name}"));
                    found = Some(name);
                }
                Said::Text(_) if found.is_some() => section.dropped(&key.place, "another field has it already"),
                _ => section.dropped(&key.place, "it is not a key of a connector"),
            }
        }
        for field in inner {
            section.dropped(&field.place, "describes the connector on the platform");
        }
    }
    found
}

fn tags(input: &mut Input, field: &Field, section: &mut Section) {
    let given: Vec<Value> = match &field.value {
        Value::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    let (mut is_same, mut is_whole) = (true, true);
    for tag in &given {
        match Said::of(tag) {
            Said::Text(text) if input.tags.len() < MOST_TAGS => {
                let tag: String = text.chars().take(63).collect();
                is_whole &= tag == text;
                is_same &= tag == text && !input.tags.contains(&tag);
                if !input.tags.contains(&tag) {
                    input.tags.push(tag);
                }
            }
            Said::Nothing | Said::Placeholder => is_same = false,
            Said::Text(_) | Said::Masked | Said::Structure => (is_same, is_whole) = (false, false),
        }
    }
    let text = "spec.tags, at most 32 of 63 characters, without repetitions, placeholders and values that are not text";
    match (is_same, is_whole) {
        (true, _) => section.kept(&field.place, "spec.tags"),
        (false, true) => section.changed(&field.place, text),
        (false, false) => section.adjusted(&field.place, text),
    }
}
