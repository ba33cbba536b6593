//! The description of the API, in the language of `OpenAPI`.

use axum::Json;
use serde_json::{Map, Value, json};

use super::BASE;

/// What a request has for a body, and what an answer.
#[derive(Clone, Copy)]
enum Shape {
    Nothing,
    /// A body of `POST /instances`.
    Body,
    Instance,
    Instances,
    Setting,
    Settings,
    Element,
    Elements,
    Event,
    Events,
    PollerRecords,
    Delivery,
    Deliveries,
    Object,
}

impl Shape {
    fn schema(self) -> Option<Value> {
        let named = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let list = |name: &str| json!({"type": "array", "items": named(name)});
        match self {
            Self::Nothing => None,
            Self::Body => Some(named("Body")),
            Self::Instance => Some(named("Instance")),
            Self::Instances => Some(json!({"oneOf": [list("Instance"), named("Instance")]})),
            Self::Setting => Some(named("Setting")),
            Self::Settings => Some(list("Setting")),
            Self::Element => Some(named("Element")),
            Self::Elements => Some(list("Element")),
            Self::Event => Some(named("Event")),
            Self::Events => Some(list("Event")),
            Self::PollerRecords => Some(list("PollerRecord")),
            Self::Delivery => Some(named("Delivery")),
            Self::Deliveries => Some(list("Delivery")),
            Self::Object => Some(json!({"type": "object"})),
        }
    }
}

/// Path, method, what it does, body, answer.
type Operation = (&'static str, &'static str, &'static str, Shape, Shape);

/// All of the API.
const OPERATIONS: [Operation; 38] = [
    ("/elements", "get", "Lists the connectors", Shape::Nothing, Shape::Elements),
    ("/elements/{key}", "get", "Shows a connector", Shape::Nothing, Shape::Element),
    ("/elements/{key}/instances", "post", "Creates an instance of a connector", Shape::Body, Shape::Instance),
    ("/elements/{key}/metadata", "get", "Shows the resources and parameters of a connector", Shape::Nothing, Shape::Object),
    ("/elements/{key}/oauth/url", "get", "Returns the URL at which a person gives consent", Shape::Nothing, Shape::Object),
    ("/instances", "get", "Lists all instances, or shows that of the Element token", Shape::Nothing, Shape::Instances),
    ("/instances", "post", "Creates an instance", Shape::Body, Shape::Instance),
    ("/instances", "patch", "Changes the instance of the Element token", Shape::Body, Shape::Instance),
    ("/instances", "delete", "Deletes the instance of the Element token", Shape::Nothing, Shape::Nothing),
    (
        "/instances/configuration",
        "get",
        "Lists the settings of the instance of the Element token",
        Shape::Nothing,
        Shape::Settings,
    ),
    (
        "/instances/configuration",
        "patch",
        "Sets settings of the instance of the Element token, by their keys",
        Shape::Object,
        Shape::Settings,
    ),
    (
        "/instances/configuration/{setting}",
        "get",
        "Shows a setting of the instance of the Element token, by its id or key",
        Shape::Nothing,
        Shape::Setting,
    ),
    (
        "/instances/configuration/{setting}",
        "patch",
        "Sets the value of a setting of the instance of the Element token",
        Shape::Setting,
        Shape::Setting,
    ),
    ("/instances/enabled", "put", "Resumes the instance of the Element token", Shape::Nothing, Shape::Instance),
    ("/instances/enabled", "delete", "Suspends the instance of the Element token", Shape::Nothing, Shape::Instance),
    (
        "/instances/event-poller-records",
        "get",
        "Lists a record for each polled resource of all instances, or of that of the Element token",
        Shape::Nothing,
        Shape::PollerRecords,
    ),
    (
        "/instances/events",
        "get",
        "Lists the last events of the instance of the Element token, as this process has sent them",
        Shape::Nothing,
        Shape::Events,
    ),
    ("/instances/events/{event}", "get", "Shows an event of the instance of the Element token", Shape::Nothing, Shape::Event),
    ("/instances/polling-disabled", "get", "Lists the instances that are suspended", Shape::Nothing, Shape::Instances),
    ("/instances/{id}", "get", "Shows an instance", Shape::Nothing, Shape::Instance),
    ("/instances/{id}", "put", "Replaces an instance", Shape::Body, Shape::Instance),
    ("/instances/{id}", "patch", "Changes an instance", Shape::Body, Shape::Instance),
    ("/instances/{id}", "delete", "Deletes an instance with its Secrets and its state", Shape::Nothing, Shape::Nothing),
    ("/instances/{id}/configuration", "get", "Lists the settings of an instance", Shape::Nothing, Shape::Settings),
    ("/instances/{id}/configuration", "patch", "Sets settings of an instance, by their keys", Shape::Object, Shape::Settings),
    ("/instances/{id}/configuration/{setting}", "get", "Shows a setting, by its id or key", Shape::Nothing, Shape::Setting),
    ("/instances/{id}/configuration/{setting}", "patch", "Sets the value of a setting", Shape::Setting, Shape::Setting),
    ("/instances/{id}/enabled", "put", "Resumes an instance", Shape::Nothing, Shape::Instance),
    ("/instances/{id}/enabled", "delete", "Suspends an instance", Shape::Nothing, Shape::Instance),
    ("/instances/{id}/status", "get", "Shows the conditions of an instance", Shape::Nothing, Shape::Object),
    (
        "/instances/{id}/deliveries",
        "get",
        "Lists the deliveries of an instance: parked, to be tried again, and lately accepted",
        Shape::Nothing,
        Shape::Deliveries,
    ),
    ("/instances/{id}/deliveries/{event}", "put", "Sends a parked event again", Shape::Nothing, Shape::Delivery),
    ("/instances/{id}/deliveries/{event}", "delete", "Drops a parked event", Shape::Nothing, Shape::Delivery),
    (
        "/instances/{id}/events",
        "get",
        "Lists the last events of an instance, as this process has sent them",
        Shape::Nothing,
        Shape::Events,
    ),
    ("/instances/{id}/events/{event}", "get", "Shows an event of an instance", Shape::Nothing, Shape::Event),
    (
        "/notifications/subscriptions/deliveries",
        "get",
        "Lists the deliveries of all instances, or of that of the Element token",
        Shape::Nothing,
        Shape::Deliveries,
    ),
    ("/notifications/subscriptions/deliveries", "put", "Sends all parked events again", Shape::Nothing, Shape::Deliveries),
    ("/openapi.json", "get", "Shows this document", Shape::Nothing, Shape::Object),
];

/// Of the numbers that stand for identities: 53 bits.
const LARGEST_NUMBER: u64 = (1 << 53) - 1;

/// Statuses with which each request may be refused.
const REFUSALS: [(u16, &str); 11] = [
    (400, "The request is not valid"),
    (401, "A secret is missing or wrong"),
    (403, "You have no permission"),
    (404, "Not found"),
    (405, "The path does not take this method, as when a parameter in it is empty"),
    (409, "It exists already, is managed elsewhere, or has changed meanwhile"),
    (413, "The body is larger than 1 MiB"),
    (415, "The body is not JSON"),
    (429, "Too many requests"),
    (500, "A file cannot be read or written, or something unexpected happened; the log says more"),
    (503, "The state or the API server cannot be read; try again"),
];

/// `GET /openapi.json`.
pub async fn show() -> Json<Value> {
    Json(document())
}

/// The document. It says nothing of a caller, and is the same for all.
fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (path, method, summary, body, answer) in OPERATIONS {
        let mut operation = json!({"summary": summary, "responses": responses(method, body, answer)});
        let parameters: Vec<_> = parameters(path, method).collect();
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(schema) = body.schema() {
            operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
        }
        if path == "/openapi.json" {
            operation["security"] = json!([]);
        }
        paths.entry(path).or_insert_with(|| json!({}))[method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Pollinator: the instances API of SAP Open Connectors",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{"url": BASE}],
        "security": [{"authorization": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"authorization": {
                "type": "apiKey", "in": "header", "name": "Authorization",
                "description": "User <user secret>, Organization <organization secret>[, Element <token>]",
            }},
            "schemas": schemas().into_iter().chain(history_schemas()).collect::<Map<_, _>>(),
        },
    })
}

fn responses(method: &str, body: Shape, answer: Shape) -> Value {
    let mut responses = Map::new();
    let granted = match answer.schema() {
        Some(schema) => json!({"description": "Done", "content": {"application/json": {"schema": schema}}}),
        None => json!({"description": "Done"}),
    };
    responses.insert("200".to_owned(), granted);
    let is_possible = |status: u16| match status {
        409 => method != "get",
        // About a body, which these requests do not have.
        413 | 415 => body.schema().is_some(),
        _ => true,
    };
    for (status, description) in REFUSALS.into_iter().filter(|(status, _)| is_possible(*status)) {
        let schema = json!({"$ref": "#/components/schemas/Error"});
        responses.insert(
            status.to_string(),
            json!({"description": description, "content": {"application/json": {"schema": schema}}}),
        );
    }
    Value::Object(responses)
}

fn parameters(path: &str, method: &str) -> impl Iterator<Item = Value> {
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        let schema = if name == "id" { number() } else { json!({"type": "string", "minLength": 1}) };
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    });
    let in_query: &[(&str, &str, bool)] = match (path, method) {
        ("/elements/{key}/oauth/url", _) => &[
            ("apiKey", "string", true),
            ("callbackUrl", "string", true),
            ("state", "string", false),
            ("siteAddress", "string", false),
        ],
        (
            "/elements"
            | "/instances"
            | "/instances/configuration"
            | "/instances/polling-disabled"
            | "/instances/event-poller-records"
            | "/instances/events"
            | "/instances/{id}/configuration"
            | "/instances/{id}/events",
            "get",
        ) => &[("page", "integer", false), ("pageSize", "integer", false)],
        ("/instances/{id}/deliveries" | "/notifications/subscriptions/deliveries", "get") => {
            &[("where", "string", false), ("page", "integer", false), ("pageSize", "integer", false)]
        }
        ("/notifications/subscriptions/deliveries", "put") => &[("where", "string", false)],
        _ => &[],
    };
    let in_query = in_query
        .iter()
        .map(|(name, kind, required)| json!({"name": name, "in": "query", "required": required, "schema": {"type": kind}}));
    in_path.chain(in_query)
}

/// The schema of a number that stands for an identity.
fn number() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": LARGEST_NUMBER})
}

fn schemas() -> Map<String, Value> {
    let text = json!({"type": "string"});
    let number = number();
    object(json!({
        "Error": {"type": "object", "required": ["requestId", "message"], "properties": {"requestId": text, "message": text}},
        "Body": {
            "type": "object",
            "properties": {
                "element": {"type": "object", "properties": {"key": text}},
                "providerData": {"type": "object", "properties": {"code": text}},
                "configuration": {"type": "object"},
                "tags": {"type": "array", "items": text},
                "name": text,
            },
        },
        "Element": {
            "type": "object", "required": ["id", "key", "name", "authentication"],
            "properties": {
                "id": number, "key": text, "name": text, "hub": text,
                "authentication": {"type": "object", "properties": {"type": {"enum": ["oauth2", "basic", "apiKey", "none"]}}},
            },
        },
        "Setting": {"type": "object", "properties": {"id": number, "key": text, "name": text, "propertyValue": {}}},
        "Instance": {
            "type": "object",
            "required": ["id", "name", "token", "element", "elementId", "tags", "valid", "disabled", "configuration"],
            "properties": {
                "id": number, "name": text, "token": text, "element": {"$ref": "#/components/schemas/Element"},
                "elementId": number, "createdDate": text, "tags": {"type": "array", "items": text},
                "provisionInteractions": {"type": "array"}, "valid": {"type": "boolean"}, "disabled": {"type": "boolean"},
                "maxCacheSize": {"type": "integer"}, "cacheTimeToLive": {"type": "integer"}, "providerData": {"type": "object"},
                "configuration": {"type": "object", "additionalProperties": text}, "eventsEnabled": {"type": "boolean"},
                "eventsNotificationCallbackUrl": text, "traceLoggingEnabled": {"type": "boolean"},
                "cachingEnabled": {"type": "boolean"}, "externalAuthentication": text, "user": {"type": "object"},
            },
        },
    }))
}

/// What the paths of events and deliveries answer.
fn history_schemas() -> Map<String, Value> {
    let text = json!({"type": "string"});
    let number = number();
    object(json!({
        "Event": {
            "type": "object", "required": ["id", "eventDate", "status", "providerData", "notifiedData"],
            "properties": {
                "id": text, "eventDate": text, "status": {"enum": ["DISPATCHED", "NOTIFIED"]}, "providerData": text,
                "notifiedData": {"type": "array", "items": {"type": "object"}},
            },
        },
        "PollerRecord": {
            "type": "object", "required": ["id", "instanceId", "objectName"],
            "properties": {
                "id": number, "instanceId": number, "instanceName": text, "objectName": text,
                "lastPollDate": {"type": ["string", "null"]}, "nextPollDate": {"type": ["string", "null"]},
                "lastPoll": {"type": "object"}, "alikePolls": {"type": "object"},
            },
        },
        "Delivery": {
            "type": "object",
            "required": ["notificationId", "subscriptionId", "status", "createdDate", "updatedDate", "notification", "subscription"],
            "properties": {
                "notificationId": text, "subscriptionId": number, "status": {"enum": ["delivered", "retry", "queued"]},
                "createdDate": text, "updatedDate": text, "notification": {"type": "object"}, "subscription": {"type": "object"},
            },
        },
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The routes as the router has them, read in its source.
    #[test]
    fn the_document_has_all_routes_and_no_others() {
        let source = include_str!("../elements.rs");
        let route = regex::Regex::new(r#"(?s)\.route\(\s*"([^"]+)",\s*(.*?)\)\s*(?:\.route|,\s*\)|\.method_not)"#).unwrap();
        let method = regex::Regex::new(r"\b(get|put|post|patch|delete)\(").unwrap();
        // One route ends where the next begins.
        let source = source.replace(".route(", ".route.route(");
        let served: BTreeSet<_> = route
            .captures_iter(&source)
            .flat_map(|found| {
                let path = found[1].to_owned();
                method
                    .captures_iter(found.get(2).unwrap().as_str())
                    .map(|one| (path.clone(), one[1].to_owned()))
                    .collect::<Vec<_>>()
            })
            .collect();
        let described: BTreeSet<_> =
            OPERATIONS.iter().map(|(path, method, ..)| ((*path).to_owned(), (*method).to_owned())).collect();
        assert_eq!(described.len(), OPERATIONS.len());
        assert_eq!(served, described);
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"").skip(1) {
            let name = reference.split('"').next().unwrap().trim_start_matches('#');
            assert!(document.pointer(name).is_some(), "{name}");
        }
        assert!(text.contains("\"openapi\":\"3.1.0\""));
    }
}
