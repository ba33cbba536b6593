//! One body of the instances API → what it declares.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::draft::Known;
use super::fields::Place;
use super::instance::{self, CUT_NAME, LONGEST_NAME, Names};
use super::read::{self, Kind, Part};
use super::report::{Line, Section, Severity, Verdict};
use super::value::Said;
use crate::api::connector::ConnectorSpec;
use crate::api::identity::IMPORTED_NAME;
use crate::api::instance::ConnectorInstanceSpec;

/// What a body declares. Its `Debug` shows no value of a Secret.
#[derive(Debug)]
pub struct Posted {
    /// Name of the manifest.
    pub name: String,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The instance, without what only a person can know: see [`Self::open`].
    pub spec: ConnectorInstanceSpec,
    secrets: super::draft::Secrets,
    section: Section,
}

impl Posted {
    /// Values of Secrets, by the Secret's name and key; `None`: the body has none for a key that is needed, or a mask in its place.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
        self.secrets.values()
    }

    /// Secrets that the body hides whole, so that no key of them is known.
    pub fn hidden(&self) -> impl Iterator<Item = &str> {
        self.secrets.names().filter(|name| self.secrets.values().all(|(other, ..)| other != *name))
    }

    /// What keeps it from working, one sentence each.
    pub fn open(&self) -> Vec<String> {
        self.lines(|line| line.verdict == Verdict::ToDo && line.severity == Severity::Verdict)
    }

    /// Values that the body masks, one sentence each.
    pub fn masked(&self) -> Vec<String> {
        self.lines(|line| line.verdict == Verdict::Masked)
    }

    /// What in the body has no effect, or another one than it asks for, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.lines(|line| line.severity == Severity::Warning)
    }

    fn lines(&self, is_meant: impl Fn(&Line) -> bool) -> Vec<String> {
        self.section.lines.iter().filter(|line| is_meant(line)).map(Line::sentence).collect()
    }
}

/// Reads the text of a body.
///
/// # Errors
/// It is no object of JSON.
pub fn body(text: &str) -> Result<Map<String, Value>, String> {
    match read::json(text) {
        Ok(Value::Object(mut members)) => match members.remove("elementInstance") {
            // As Open Connectors answers when a person has given consent.
            Some(Value::Object(inner)) => Ok(inner),
            Some(other) => {
                members.insert("elementInstance".to_owned(), other);
                Ok(members)
            }
            None => Ok(members),
        },
        Ok(_) => Err("the body must be a JSON object".to_owned()),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    }
}

/// The key of the connector that a body names.
pub fn element_key(body: &Map<String, Value>) -> Option<&str> {
    let of = |name: &str| match body.get(name)? {
        Value::Object(element) => element.get("key")?.as_str(),
        other => other.as_str(),
    };
    ["element", "elementKey", "element.key"].into_iter().find_map(of).map(str::trim).filter(|key| !key.is_empty())
}

/// Imports a body as an instance of this connector. `name`: that of the manifest, when there is one already.
///
/// # Errors
/// It says nothing to poll; the sentences say why.
pub fn posted(mut body: Map<String, Value>, name: Option<&str>, connector: &ConnectorSpec) -> Result<Posted, Vec<String>> {
    let display = match name {
        Some(name) => body.insert("name".to_owned(), name.into()),
        None => None,
    };
    let mut section = Section::default();
    // An unknown member of the body is none of the parts that an export has around an instance.
    let part = Part { kind: Kind::Instance, place: Place::default(), value: Value::Object(body), around: Vec::new() };
    let known = |_: &str| Known { spec: Some(connector), filters: None };
    let draft = instance::import(part, "instance", &mut Names::default(), &known, &mut section);
    let Some(mut draft) = draft else { return Err(section.lines.iter().rev().take(1).map(Line::sentence).collect()) };
    if name.is_some() {
        draft.annotations.remove(IMPORTED_NAME);
        draft
            .annotations
            .extend(display.and_then(|given| display_name(&given, &mut section)).map(|name| (IMPORTED_NAME.to_owned(), name)));
    }
    let name = name.map_or(draft.name, str::to_owned);
    Ok(Posted { name, annotations: draft.annotations, spec: draft.spec, secrets: draft.secrets, section })
}

/// The name that an instance is shown under, when it has one in its manifest.
fn display_name(given: &Value, section: &mut Section) -> Option<String> {
    let place = Place::default().member("name");
    match Said::of(given) {
        Said::Text(name) => {
            if name.chars().nth(LONGEST_NAME).is_some() {
                section.adjusted(&place, CUT_NAME);
            }
            Some(name.chars().take(LONGEST_NAME).collect())
        }
        Said::Nothing | Said::Placeholder => None,
        Said::Masked | Said::Structure => {
            section.lost(&place, "it is not a name: the instance keeps its own");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog;

    /// A body with more settings, pollers' members, and members.
    fn sent(settings: Value, members: Value, around: Value) -> Result<Posted, Vec<String>> {
        let mut poller =
            json!({"url": "/hubs/crm/contacts", "idField": "id", "datesConfiguration": {"updatedDateField": "last_updated"}});
        let mut configuration = json!({
            "event.notification.enabled": "true", "event.notification.callback.url": "https://a.example/in",
            "oauth.api.key": "k", "oauth.api.secret": "s",
        });
        let lay = |over: &mut Value, with: Value| {
            for (name, value) in with.as_object().unwrap() {
                over[name] = value.clone();
            }
        };
        lay(&mut poller, members);
        configuration["event.poller.configuration"] = json!({"contacts": poller});
        lay(&mut configuration, settings);
        let mut body = json!({"name": "a", "element": {"key": "infusionsoftrest"}, "providerData": {"code": "c"}, "configuration": configuration});
        lay(&mut body, around);
        let Value::Object(body) = body else { panic!("{body}") };
        posted(body, None, catalog::built_in("infusionsoftrest").unwrap())
    }

    fn open(settings: Value, members: Value, around: Value) -> Vec<String> {
        sent(settings, members, around).map_or_else(|lines| lines, |posted| posted.open())
    }

    #[test]
    fn a_wrong_type_never_widens_what_is_polled() {
        for pollers in [
            json!({"contacts": 5}),
            json!({"contacts": null}),
            json!({"contacts": [{"url": "/hubs/crm/contacts"}]}),
            json!({"contacts": "x"}),
            json!({"contacts": {"url": {"a": 1}}}),
            json!({"contacts": {"url": ["/hubs/crm/contacts"]}}),
            json!([{"contacts": {}}]),
            json!(5),
            json!(null),
            json!({}),
            json!("{\"contacts\": 5}"),
        ] {
            let refused = open(json!({"event.poller.configuration": pollers}), json!({}), json!({}));
            assert!(!refused.is_empty(), "{pollers}");
        }
        for (setting, value) in
            [("event.objects", json!({"a": 1})), ("event.objects", json!([])), ("event.poller.urls", json!(["x"]))]
        {
            let mut settings = json!({"event.poller.configuration": ""});
            settings[setting] = value;
            assert!(!open(settings.clone(), json!({}), json!({})).is_empty(), "{settings}");
        }
    }

    #[test]
    fn a_value_that_decides_whether_and_what_is_polled_is_understood_or_refused() {
        for (name, value) in [
            ("event.notification.enabled", json!("yes")),
            ("event.notification.enabled", json!(1)),
            ("event.notification.enabled", json!({})),
            ("event.poller.refresh_interval", json!("abc")),
            ("event.poller.refresh_interval", json!(-5)),
            ("event.poller.refresh_interval", json!(0)),
            ("event.poller.refresh_interval", json!("0")),
            ("event.poller.refresh_interval", json!([1])),
        ] {
            let mut settings = json!({});
            settings[name] = value;
            let refused = open(settings.clone(), json!({}), json!({}));
            assert!(refused.len() == 1 && refused[0].contains(name), "{settings}: {refused:?}");
        }
        for members in [
            json!({"datesConfiguration": 5}),
            json!({"datesConfiguration": ["updatedDateField"]}),
            json!({"datesConfiguration": "x"}),
            json!({"filterByUpdatedDate": "banana"}),
            json!({"filterByUpdatedDate": 0}),
        ] {
            assert_eq!(open(json!({}), members.clone(), json!({})).len(), 1, "{members}");
        }
        for around in [json!({"disabled": "banana"}), json!({"eventsEnabled": 1})] {
            assert_eq!(open(json!({}), json!({}), around.clone()).len(), 1, "{around}");
        }
        let whole =
            sent(json!({}), json!({"datesConfiguration": "{\"updatedDateField\": \"u\"}"}), json!({"eventsEnabled": "false"}))
                .unwrap();
        assert!(whole.open().is_empty() && whole.spec.suspend, "{:?}", whole.open());
        let dates = whole.spec.resources[0].dates_configuration.as_ref().unwrap();
        assert_eq!(dates.updated_date_field.as_deref(), Some("u"));
    }

    #[test]
    fn what_is_lost_or_changed_is_warned_of() {
        let none = json!({});
        let tags: Vec<_> = (0..40).map(|number| number.to_string()).collect();
        for (settings, members, around, says) in [
            (json!({"event.vendor.type": "pigeon"}), none.clone(), none.clone(), "event.vendor.type"),
            (json!({"filterByUpdatedDate": "false"}), none.clone(), none.clone(), "filterByUpdatedDate"),
            (json!({"event.notification.basic.password": "p"}), none.clone(), none.clone(), "no user name"),
            (json!({"event.notification.callback.url": "https://a.example/#part"}), none.clone(), none.clone(), "fragment"),
            (json!({"event.poller.refresh_interval": 1e9}), none.clone(), none.clone(), "polling.interval: 168h"),
            (json!({"event.poller.refresh_interval": 0.01}), none.clone(), none.clone(), "polling.interval: 5s"),
            (none.clone(), json!({"postHooks": ["x"]}), none.clone(), "postHooks"),
            (none.clone(), json!({"xPath": "/a"}), none.clone(), "xPath"),
            (none.clone(), json!({"parameters": {"a": 1}}), none.clone(), "parameters"),
            (none.clone(), json!({"objectName": "Foo"}), none.clone(), "objectName"),
            (none.clone(), json!({"pollDelay": 1e9}), none.clone(), "lookback: 168h"),
            (none.clone(), json!({"pageSize": 1e9}), none.clone(), "pageSize"),
            (none.clone(), json!({"pageSize": 2.5}), none.clone(), "pageSize: 2, without"),
            (
                none.clone(),
                json!({"datesConfiguration": {"updatedDateField": "last_updated", "updatedDateTimezone": "{TimeZone}"}}),
                none.clone(),
                "GMT",
            ),
            (
                none.clone(),
                json!({"datesConfiguration": {"updatedDateFormat": "milliseconds"}}),
                none.clone(),
                "names no field",
            ),
            (none.clone(), none.clone(), json!({"name": {}}), "name: it is not a name"),
            (none.clone(), none.clone(), json!({"name": "n".repeat(5000)}), "253"),
            (none.clone(), none.clone(), json!({"tags": tags}), "tags"),
            (none.clone(), none.clone(), json!({"tags": ["a", {}]}), "tags"),
            (none.clone(), none.clone(), json!({"providerData": {"code": "c", "password": "p"}}), "providerData.password"),
            (
                none.clone(),
                none.clone(),
                json!({"eventsNotificationCallbackUrl": "https://b.example/in"}),
                "eventsNotificationCallbackUrl",
            ),
        ] {
            let done = sent(settings, members, around).unwrap();
            let warnings = done.warnings();
            assert!(
                done.open().is_empty() && warnings.len() == 1 && warnings[0].contains(says),
                "{says}: {warnings:?} {:?}",
                done.open()
            );
        }
        let plain = sent(
            json!({"event.vendor.type": "polling", "event.poller.refresh_interval": 15, "event.notification.basic.password": "********"}),
            json!({"postHooks": [], "pageSize": 50}),
            json!({"tags": ["a", "a"], "eventsEnabled": true, "disabled": false, "eventsNotificationCallbackUrl": "https://a.example/in"}),
        );
        assert_eq!(plain.unwrap().warnings(), Vec::<String>::new());
        let mut renamed = json!({"url": "/hubs/crm/contacts"});
        renamed["idField"] = "id".into();
        let done = sent(json!({"event.poller.configuration": {"con tacts": renamed}}), json!({}), json!({})).unwrap();
        assert!(done.warnings().iter().any(|line| line.contains("con-tacts")), "{:?}", done.warnings());
    }

    #[test]
    fn an_answer_of_open_connectors_is_read_like_its_instance() {
        let inner = body(r#"{"status": "success", "elementInstance": {"name": "a"}}"#).unwrap();
        assert_eq!(Value::Object(inner), json!({"name": "a"}));
        assert!(body("[]").is_err() && body("{\"elementInstance\": 1}").unwrap().contains_key("elementInstance"));
    }
}
