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
            Self::Object => Some(json!({"type": "object"})),
        }
    }
}

/// Path, method, what it does, body, answer.
type Operation = (&'static str, &'static str, &'static str, Shape, Shape);

/// All of the API.
const OPERATIONS: [Operation; 24] = [
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
    ("/instances/enabled", "put", "Resumes the instance of the Element token", Shape::Nothing, Shape::Instance),
    ("/instances/enabled", "delete", "Suspends the instance of the Element token", Shape::Nothing, Shape::Instance),
    ("/instances/polling-disabled", "get", "Lists the instances that are suspended", Shape::Nothing, Shape::Instances),
    ("/instances/{id}", "get", "Shows an instance", Shape::Nothing, Shape::Instance),
    ("/instances/{id}", "put", "Replaces an instance", Shape::Body, Shape::Instance),
    ("/instances/{id}", "patch", "Changes an instance", Shape::Body, Shape::Instance),
    ("/instances/{id}", "delete", "Deletes an instance with its Secrets and its state", Shape::Nothing, Shape::Nothing),
    ("/instances/{id}/configuration", "get", "Lists the settings of an instance", Shape::Nothing, Shape::Settings),
    ("/instances/{id}/configuration/{setting}", "get", "Shows a setting, by its id or key", Shape::Nothing, Shape::Setting),
    ("/instances/{id}/configuration/{setting}", "patch", "Sets the value of a setting", Shape::Setting, Shape::Setting),
    ("/instances/{id}/enabled", "put", "Resumes an instance", Shape::Nothing, Shape::Instance),
    ("/instances/{id}/enabled", "delete", "Suspends an instance", Shape::Nothing, Shape::Instance),
    ("/instances/{id}/status", "get", "Shows the conditions of an instance", Shape::Nothing, Shape::Object),
    ("/openapi.json", "get", "Shows this document", Shape::Nothing, Shape::Object),
];

/// Statuses with which each request may be refused.
const REFUSALS: [(u16, &str); 8] = [
    (400, "The request cannot be used"),
    (401, "A secret is missing or wrong"),
    (403, "You have no permission"),
    (404, "Not found"),
    (409, "It exists already, is managed elsewhere, or has changed meanwhile"),
    (413, "The body is larger than 1 MiB"),
    (415, "The body is not JSON"),
    (429, "Too many requests"),
];

/// `GET /openapi.json`.
pub async fn show() -> Json<Value> {
    Json(document())
}

/// The document. It says nothing of a caller, and is the same for all.
fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (path, method, summary, body, answer) in OPERATIONS {
        let mut operation = json!({"summary": summary, "responses": responses(answer)});
        let parameters: Vec<_> = parameters(path).collect();
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
            "schemas": schemas(),
        },
    })
}

fn responses(answer: Shape) -> Value {
    let mut responses = Map::new();
    let granted = match answer.schema() {
        Some(schema) => json!({"description": "Done", "content": {"application/json": {"schema": schema}}}),
        None => json!({"description": "Done"}),
    };
    responses.insert("200".to_owned(), granted);
    for (status, description) in REFUSALS {
        let schema = json!({"$ref": "#/components/schemas/Error"});
        responses.insert(
            status.to_string(),
            json!({"description": description, "content": {"application/json": {"schema": schema}}}),
        );
    }
    Value::Object(responses)
}

fn parameters(path: &str) -> impl Iterator<Item = Value> {
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        let kind = if name == "id" { "integer" } else { "string" };
        json!({"name": name, "in": "path", "required": true, "schema": {"type": kind}})
    });
    let of_consent: &[(&str, bool)] = match path {
        "/elements/{key}/oauth/url" => &[("apiKey", true), ("callbackUrl", true), ("state", false), ("siteAddress", false)],
        _ => &[],
    };
    let in_query = of_consent
        .iter()
        .map(|(name, required)| json!({"name": name, "in": "query", "required": required, "schema": {"type": "string"}}));
    in_path.chain(in_query)
}

fn schemas() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer", "minimum": 1, "maximum": 9_007_199_254_740_991_u64});
    json!({
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
    })
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
