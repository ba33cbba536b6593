//! Whether a request is one that the description allows.

use chrono::{DateTime, NaiveDate};
use regex::Regex;
use serde_json::Value;

use super::description::{Description, Found, Operation, json_schema};
use super::value::{kind, parts};
use crate::rig::http::Ask;

/// The parameter that the mock adds to the links it hands out.
pub const OWN: &str = "mock-page";

/// Everything that is wrong with a request, in words of which each is stable: what, name, why.
pub fn faults(operation: &Operation<'_>, ask: &Ask) -> Vec<String> {
    let description = operation.description;
    let mut faults = Vec::new();
    let query: Vec<_> = ask.query().into_iter().filter(|(name, _)| name != OWN).collect();
    for (at, (name, value)) in query.iter().enumerate() {
        let Some(parameter) = operation.parameter(name, "query") else {
            faults.push(format!("query {name} is not described"));
            continue;
        };
        let schema = schema_of(description, parameter, name);
        if let Some(why) = unfit(description, schema, value) {
            faults.push(format!("query {name}={value}: {why}"));
        }
        let is_list = |of: &&Value| kind(&[of]) == Some("array") || of["repeated"] == true;
        let is_repeated = query[..at].iter().any(|(earlier, _)| earlier == name);
        if is_repeated && !parts(description, schema).iter().any(is_list) {
            faults.push(format!("query {name} is there twice"));
        }
    }
    for (name, place) in operation.required() {
        let is_there = match place.as_str() {
            "query" => query
                .iter()
                .any(|(have, _)| *have == name || *have == format!("{name}[]") || have.starts_with(&format!("{name}["))),
            _ => ask.header(&name).is_some(),
        };
        // some descriptions list as parameters what HTTP has anyway; credentials are compared elsewhere
        if !is_there && !["accept", "authorization", "content-type", "token"].contains(&&*name.to_lowercase()) {
            faults.push(format!("{place} {name} is missing"));
        }
    }
    if ask.method == "POST" {
        match serde_json::from_slice::<Value>(&ask.body) {
            Ok(body) => members(operation, &body, &mut Vec::new(), &mut faults),
            Err(_) => faults.push("body is not JSON".to_owned()),
        }
    }
    faults
}

fn members(operation: &Operation<'_>, body: &Value, path: &mut Vec<String>, faults: &mut Vec<String>) {
    let description = operation.description;
    let schema = json_schema(&description.resolve(&operation.parts[0]["requestBody"])["content"]).unwrap_or(&Value::Null);
    let (_, here) = description.member(schema, &path.iter().map(String::as_str).collect::<Vec<_>>());
    // an object of which nothing is said may have any member
    if !here.iter().any(|schema| schema["properties"].is_object()) {
        return;
    }
    for (name, value) in body.as_object().into_iter().flatten() {
        path.push(name.clone());
        match operation.body(&path.iter().map(String::as_str).collect::<Vec<_>>()) {
            Found::Yes => members(operation, value, path, faults),
            Found::Cut => {}
            Found::No => faults.push(format!("body {} is not described", path.join("."))),
        }
        path.pop();
    }
}

/// The schema of a parameter; of one that is an object, and written `name[member]`, the member's.
fn schema_of<'a>(description: &'a Description, parameter: &'a Value, name: &str) -> &'a Value {
    let schema = parameter.get("schema").unwrap_or(parameter);
    let Some((_, member)) = name.strip_suffix(']').and_then(|name| name.split_once('[')) else { return schema };
    let declared = parameter["name"].as_str().unwrap_or_default();
    if member.is_empty() || declared == name {
        return schema;
    }
    parts(description, schema).into_iter().find_map(|part| part["properties"].get(member)).unwrap_or(schema)
}

/// Why a text is no value of a schema.
fn unfit(description: &Description, schema: &Value, text: &str) -> Option<String> {
    let schema = description.resolve(schema);
    for union in ["oneOf", "anyOf"] {
        if let Some(all) = schema[union].as_array() {
            let whys: Vec<_> = all.iter().map(|one| unfit(description, one, text)).collect();
            return if whys.contains(&None) { None } else { whys.into_iter().flatten().next() };
        }
    }
    if let Some(why) = schema["allOf"].as_array().into_iter().flatten().find_map(|part| unfit(description, part, text)) {
        return Some(why);
    }
    let number = |key: &str| schema[key].as_f64().or_else(|| schema[key].as_str()?.parse().ok());
    let in_bounds = |value: f64| match (number("minimum"), number("maximum")) {
        (Some(least), _) if value < least => Some(format!("below {least}")),
        (_, Some(most)) if value > most => Some(format!("above {most}")),
        _ => None,
    };
    match kind(&[schema]) {
        Some("integer") => match text.parse::<i64>() {
            #[allow(clippy::cast_precision_loss, reason = "sizes of pages are small")]
            Ok(value) => in_bounds(value as f64),
            Err(_) => Some("not an integer".to_owned()),
        },
        Some("number") => text.parse().map_or_else(|_| Some("not a number".to_owned()), in_bounds),
        Some("boolean") => (!["true", "false"].contains(&text)).then(|| "not a boolean".to_owned()),
        Some("array") => text.split(',').find_map(|item| unfit(description, &schema["items"], item)),
        _ => unfit_text(schema, text),
    }
}

fn unfit_text(schema: &Value, text: &str) -> Option<String> {
    if let Some(values) = schema["enum"].as_array() {
        return (!values.iter().any(|value| value == text)).then(|| "not one of the values that are described".to_owned());
    }
    let is_good = match schema["format"].as_str() {
        Some("date-time" | "google-datetime") => DateTime::parse_from_rfc3339(text).is_ok(),
        Some("date") => NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        _ => true,
    };
    if !is_good {
        return Some("not in the described format".to_owned());
    }
    let pattern = schema["pattern"].as_str().and_then(|pattern| Regex::new(pattern).ok());
    pattern.filter(|pattern| !pattern.is_match(text)).map(|_| "does not match the described pattern".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_fault_is_found() {
        let published = json!({"openapi": "3.0.0", "servers": [{"url": "https://a.example"}], "paths": {"/x": {"get": {"parameters": [
            {"name": "limit", "in": "query", "required": true, "schema": {"type": "integer", "maximum": 100, "minimum": 1}},
            {"name": "sort", "in": "query", "schema": {"type": "array", "items": {"enum": ["id", "-id"]}}},
            {"name": "since", "in": "query", "schema": {"type": "string", "format": "date-time"}},
            {"name": "created", "in": "query", "schema": {"anyOf": [{"type": "object", "properties": {"gte": {"type": "integer"}}}, {"type": "integer"}]}},
            {"name": "Version", "in": "header", "required": true},
        ]}}}});
        let description = Description::read(&published.to_string()).unwrap().remove(0);
        let operation = description.operation("GET", "https://a.example/x").unwrap();
        let faults = |query: &str, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let ask =
                Ask { at: Instant::now(), method: "GET".to_owned(), target: format!("/x?{query}"), headers, body: Vec::new() };
            super::faults(&operation, &ask)
        };
        let version = [("version", "1")];
        assert_eq!(faults("limit=100&sort=id,-id&since=2026-01-02T03:04:05Z&created[gte]=1&mock-page=2", &version), [""; 0]);
        for (query, fault) in [
            ("limit=101", "query limit=101: above 100"),
            ("limit=0", "query limit=0: below 1"),
            ("limit=many", "query limit=many: not an integer"),
            ("limit=1&limit=1", "query limit is there twice"),
            ("limit=1&sort=name", "query sort=name: not one of the values that are described"),
            ("limit=1&since=2026-01-02", "query since=2026-01-02: not in the described format"),
            ("limit=1&created[gte]=x", "query created[gte]=x: not an integer"),
            ("limit=1&created[gt]=1", "query created[gt] is not described"),
            ("limit=1&size=1", "query size is not described"),
            ("", "query limit is missing"),
        ] {
            assert_eq!(faults(query, &version), [fault], "{query}");
        }
        assert_eq!(faults("limit=1", &[]), ["header Version is missing"]);
    }
}
