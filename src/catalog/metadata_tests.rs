//! Entries of Microsoft Graph against its published metadata (CSDL in JSON, OData 4.01), which has types and functions, and no paths.

use std::fs;

use serde_json::Value;

use super::described_tests::entries;
use super::published_tests::{UNDESCRIBED, folder};
use crate::api::connector::ConnectorResource;
use crate::api::deletes::Deletes;

/// The file with the metadata.
const FILE: &str = "msgraph.json";
/// The types of the records: entry, resource, type.
const TYPES: &[(&str, &str, &str)] = &[
    ("azuread", "groups", "group"),
    ("azuread", "users", "user"),
    ("onedrivebusiness", "documents", "driveItem"),
    ("outlookemail", "calendar-view", "event"),
    ("outlookemail", "contacts", "contact"),
    ("outlookemail", "events", "event"),
    ("outlookemail", "folder-messages", "message"),
    ("outlookemail", "messages", "message"),
    ("sharepoint", "documents", "driveItem"),
    ("sharepoint", "list-items", "listItem"),
];

struct Metadata(Value);

impl Metadata {
    /// Whether a type or one that it is based on has a property.
    fn has(&self, name: &str, property: &str) -> bool {
        let of = &self.0["types"][format!("microsoft.graph.{}", name.trim_start_matches("microsoft.graph."))];
        of.get(property).is_some() || of["$BaseType"].as_str().is_some_and(|base| self.has(base, property))
    }

    /// Whether lists of a type can be asked for what changed.
    fn has_delta(&self, name: &str) -> bool {
        let of = Value::from(format!("Collection(microsoft.graph.{name})"));
        // Items of a drive hang on one of them, its root.
        let one = Value::from(format!("microsoft.graph.{name}"));
        let functions = self.0["functions"]["microsoft.graph.delta"].as_array();
        functions.into_iter().flatten().any(|function| [&of, &one].contains(&&function["$Parameter"][0]["$Type"]))
    }

    /// The facts of a resource that the metadata does not have.
    fn lacks(&self, name: &str, of: &ConnectorResource) -> Vec<String> {
        let resource = &of.resource;
        let dates = resource.dates_configuration.as_ref();
        let mut properties = vec![resource.id_field.as_deref().unwrap_or("id")];
        properties.extend(dates.and_then(|dates| dates.updated_date_field.as_deref()));
        properties.extend(dates.and_then(|dates| dates.created_date_field.as_deref()));
        if let Some(Deletes::Flag(flag)) = &resource.deletes {
            properties.push(&flag.field);
        }
        properties.extend(
            ["$select", "$expand", "$orderby"].iter().filter_map(|name| resource.query.get(*name)).flat_map(|of| of.split(',')),
        );
        // Annotations, such as @removed, are no properties.
        properties.retain(|property| !property.contains('@'));
        let mut lacks: Vec<_> =
            properties.into_iter().filter(|property| !self.has(name, property)).map(str::to_owned).collect();
        if resource.delta.is_some() && !self.has_delta(name) {
            lacks.push("delta".to_owned());
        }
        lacks
    }
}

#[test]
fn entries_of_microsoft_graph_have_the_members_of_its_types() {
    let Ok(text) = fs::read_to_string(folder().join(FILE)) else {
        assert!(!folder().is_dir(), "{FILE} is missing in {}", folder().display());
        // The other test of descriptions says aloud that the folder is not there.
        return;
    };
    let metadata = Metadata(serde_json::from_str(&text).unwrap());
    let (mut seen, mut lacks) = (Vec::new(), Vec::new());
    for (key, text) in entries().into_iter().filter(|(key, _)| TYPES.iter().any(|(entry, ..)| entry == key)) {
        assert!(UNDESCRIBED.iter().any(|(entry, _)| *entry == key), "{key}");
        let (_, connector) = super::entry(&key, &text).unwrap_or_else(|errors| panic!("{key}: {errors:?}"));
        for of in &connector.resources {
            let name = of.resource.name.as_str();
            let found = TYPES.iter().find(|(entry, resource, _)| (*entry, *resource) == (key.as_str(), name));
            let (_, _, record) =
                found.unwrap_or_else(|| panic!("{key} {name}: TYPES does not say of which type its records are"));
            seen.push(*record);
            lacks.extend(metadata.lacks(record, of).into_iter().map(|what| format!("{key} {name}: {record} has no {what}")));
        }
    }
    assert!(lacks.is_empty(), "{}", lacks.join("\n"));
    assert_eq!(seen.len(), TYPES.len());
}

#[test]
fn what_the_metadata_lacks_is_found() {
    let metadata = Metadata(serde_json::json!({
        "types": {"microsoft.graph.entity": {"id": {}}, "microsoft.graph.message": {"$BaseType": "microsoft.graph.entity", "sent": {}}},
        "functions": {"microsoft.graph.delta": [{"$Parameter": [{"$Type": "Collection(microsoft.graph.event)"}]}]},
    }));
    for (resource, lacks) in [
        ("{name: a, datesConfiguration: {updatedDateField: sent}}", vec![]),
        ("{name: a, idField: key, datesConfiguration: {updatedDateField: sent, createdDateField: born}}", vec!["key", "born"]),
        ("{name: a, query: {$select: 'id,subject'}, deletes: {flag: {field: deleted}}}", vec!["deleted", "subject"]),
        ("{name: a, deletes: {flag: {field: \"['@removed']\"}}, delta: {link: {field: l}}}", vec!["delta"]),
    ] {
        let of: ConnectorResource = serde_saphyr::from_str(resource).unwrap();
        assert_eq!(metadata.lacks("message", &of), lacks, "{resource}");
    }
}
