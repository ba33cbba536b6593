//! Instances and connectors as Open Connectors shows them.

use serde_json::{Map, Value, json};

use super::settings::{callback_url, entry_pollers, settings};
use super::token::token;
use crate::api::connector::{ConnectorAuth, ConnectorSpec};
use crate::api::identity::{IMPORTED_NAME, number};
use crate::api::instance::ConnectorInstance;
use crate::instances::number_of;

/// An instance; `None` before it has begun, when it has no number yet.
pub fn instance(instance: &ConnectorInstance, connector: Option<&ConnectorSpec>) -> Option<Value> {
    let number = number_of(instance)?;
    let (metadata, spec) = (&instance.metadata, &instance.spec);
    let key = spec.connector.as_deref().unwrap_or_default();
    let mut shown = json!({
        "id": number,
        "name": name(instance),
        "token": token(number),
        "element": element(key, connector),
        "elementId": self::number(key),
        "tags": spec.tags,
        "provisionInteractions": [],
        "valid": is_valid(instance),
        "disabled": spec.suspend,
        "maxCacheSize": 0,
        "cacheTimeToLive": 0,
        "providerData": {},
        "configuration": settings(spec, connector),
        "eventsEnabled": !spec.suspend,
        "eventsNotificationCallbackUrl": callback_url(&spec.callback),
        "traceLoggingEnabled": false,
        "cachingEnabled": false,
        "externalAuthentication": "none",
        "user": {"id": self::number(metadata.namespace.as_deref().unwrap_or_default())},
    });
    if let Some(created) = &metadata.creation_timestamp {
        shown["createdDate"] = json!(created);
    }
    Some(shown)
}

/// The name as Open Connectors has it.
pub fn name(instance: &ConnectorInstance) -> &str {
    let annotations = instance.metadata.annotations.as_ref();
    let imported = annotations.and_then(|annotations| annotations.get(IMPORTED_NAME));
    imported.or(instance.metadata.name.as_ref()).map_or("", String::as_str)
}

/// Whether its credentials are good, as far as is known.
fn is_valid(instance: &ConnectorInstance) -> bool {
    let conditions = instance.status.iter().flat_map(|status| &status.conditions);
    !conditions.into_iter().any(|condition| condition.type_ == "Authenticated" && condition.status == "False")
}

/// A connector.
pub fn element(key: &str, connector: Option<&ConnectorSpec>) -> Value {
    let mut shown = Map::new();
    let mut set = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    set("id", number(key).into());
    set("key", key.into());
    set("name", connector.and_then(|connector| connector.title.as_deref()).unwrap_or(key).into());
    if let Some(hub) = connector.and_then(hub) {
        set("hub", hub.into());
    }
    let kind = match connector.and_then(|connector| connector.auth.as_ref()) {
        Some(ConnectorAuth::Oauth2(_)) => "oauth2",
        Some(ConnectorAuth::Basic(_)) => "basic",
        Some(ConnectorAuth::ApiKey(_) | ConnectorAuth::Bearer(_)) => "apiKey",
        None => "none",
    };
    set("authentication", json!({"type": kind}));
    Value::Object(shown)
}

/// `crm` of `/hubs/crm/contacts`.
fn hub(connector: &ConnectorSpec) -> Option<&str> {
    let mut paths = connector.resources.iter().flat_map(|entry| &entry.hub_paths);
    paths.find_map(|path| path.strip_prefix("/hubs/")?.split('/').next())
}

/// What is known of a connector's events.
pub fn metadata(key: &str, connector: &ConnectorSpec) -> Value {
    let mut shown = element(key, Some(connector));
    shown["events"] = json!({"supported": true, "methods": ["polling"], "polling": entry_pollers(connector)});
    shown["parameters"] = connector
        .parameters
        .iter()
        .map(|parameter| {
            json!({
                "name": parameter.name, "description": parameter.description, "required": parameter.default_value.is_none(),
            })
        })
        .collect();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::identity::NUMBER_LABEL;
    use crate::catalog;

    fn sample() -> ConnectorInstance {
        let spec = json!({"connector": "infusionsoftrest", "tags": ["Docs"], "callback": {"url": "https://a.example/in"}});
        let mut instance = ConnectorInstance::new("keap", serde_json::from_value(spec).unwrap());
        instance.metadata.namespace = Some("crm".to_owned());
        instance
    }

    #[test]
    fn an_instance_has_the_fields_of_open_connectors() {
        let mut begun = sample();
        assert_eq!(instance(&begun, None), None, "it has no number yet");
        begun.metadata.uid = Some("u-1".to_owned());
        begun.metadata.labels = Some([(NUMBER_LABEL.to_owned(), "42".to_owned())].into());
        let shown = instance(&begun, catalog::built_in("infusionsoftrest")).unwrap();
        for field in [
            "id",
            "name",
            "token",
            "element",
            "elementId",
            "tags",
            "provisionInteractions",
            "valid",
            "disabled",
            "maxCacheSize",
            "cacheTimeToLive",
            "providerData",
            "configuration",
            "eventsEnabled",
            "eventsNotificationCallbackUrl",
            "traceLoggingEnabled",
            "cachingEnabled",
            "externalAuthentication",
            "user",
        ] {
            assert!(shown.get(field).is_some(), "{field}");
        }
        let element = &shown["element"];
        assert_eq!((&shown["id"], &shown["name"], &shown["valid"]), (&json!(42), &json!("keap"), &json!(true)));
        assert_eq!(
            [&element["key"], &element["hub"], &element["authentication"]["type"]],
            ["infusionsoftrest", "crm", "oauth2"]
        );
        assert_eq!(element["id"], shown["elementId"]);

        begun.status = serde_json::from_value(json!({"conditions": [{
            "type": "Authenticated", "status": "False", "reason": "r", "message": "", "lastTransitionTime": "2026-01-31T00:00:00Z",
        }]}))
        .unwrap();
        assert_eq!(instance(&begun, None).unwrap()["valid"], false);
    }
}
