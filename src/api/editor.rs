//! JSON Schemas of both kinds for editors, in draft 7, which is read by every editor that knows JSON Schema.
//!
//! They mark what has the wrong form: misspelt fields, types, bounds, patterns, unions. What compares fields or calculates is CEL and
//! stays with the API server and [`validate`](super::validate).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use super::duration;
use super::schema::crds;
use super::shape::object_meta;

/// Keywords that mean the same in a CRD and in JSON Schema.
const SHARED: [&str; 13] = [
    "default",
    "description",
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minItems",
    "minLength",
    "minProperties",
    "pattern",
    "required",
    "type",
    "uniqueItems",
];

/// The schema of one kind as a text, and the name of its file: `<kind>_<version>.json`, as catalogues of CRD schemas have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditorSchema {
    /// The kind, such as `ConnectorInstance`.
    pub kind: String,
    /// File name, such as `connectorinstance_v1alpha1.json`.
    pub file: String,
    /// The schema as indented JSON, with a final line break.
    pub text: String,
}

/// The schemas of both kinds, `ConnectorInstance` first, as `pollinator schema` prints them.
pub fn editor_schemas() -> Vec<EditorSchema> {
    crds()
        .iter()
        .map(|crd| {
            let kind = crd.spec.names.kind.clone();
            let version = crd.spec.versions.first().map(|version| version.name.clone()).unwrap_or_default();
            // An alternate form indents, and a tree of texts and numbers can always be written.
            EditorSchema { file: format!("{}_{version}.json", kind.to_lowercase()), text: format!("{:#}\n", schema(crd)), kind }
        })
        .collect()
}

fn schema(crd: &CustomResourceDefinition) -> Value {
    let version = crd.spec.versions.first();
    let served = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let served = served.and_then(|schema| serde_json::to_value(schema).ok()).unwrap_or_default();
    let (kind, group) = (&crd.spec.names.kind, &crd.spec.group);
    let api_version = format!("{group}/{}", version.map(|version| version.name.as_str()).unwrap_or_default());
    let description = served["description"].as_str().unwrap_or_default();
    let mut properties = Map::new();
    properties.insert("apiVersion".into(), json!({"description": "The group and version of the API.", "const": api_version}));
    properties.insert("kind".into(), json!({"description": "The kind of object.", "const": kind}));
    properties.insert("metadata".into(), convert(&object_meta(), Part::Declared));
    for (name, part) in [("spec", Part::Declared), ("status", Part::Observed)] {
        if let Some(field) = served["properties"].get(name) {
            properties.insert(name.into(), convert(field, part));
        }
    }
    let mut required = vec![json!("apiVersion"), json!("kind"), json!("metadata")];
    required.extend(served["required"].as_array().cloned().unwrap_or_default());
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": kind,
        "description": format!(
            "{description} Rules that compare fields are left to the API server and to `pollinator plan FILE`."
        ),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Who writes a part of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// People: it must be whole.
    Declared,
    /// The operator. In a manifest it is ignored, so nothing of it must be there; a misspelt field is refused all the same.
    Observed,
}

fn convert(schema: &Value, part: Part) -> Value {
    let mut made = Map::new();
    for keyword in SHARED {
        if part == Part::Observed && matches!(keyword, "required" | "default") {
            continue;
        }
        if let Some(value) = schema.get(keyword) {
            made.insert(keyword.into(), value.clone());
        }
    }
    for keyword in ["minimum", "maximum"] {
        if let Some(bound) = schema[keyword].as_f64() {
            made.insert(keyword.into(), whole(bound));
        }
    }
    if schema["x-kubernetes-list-type"] == "set" {
        made.insert("uniqueItems".into(), json!(true));
    }
    for validation in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let rule = validation["rule"].as_str().unwrap_or_default();
        if duration::is_rule(rule) {
            made.insert("pattern".into(), json!(duration::PATTERN));
            // what the YAML language server says in place of the pattern; others pass it over
            made.insert("patternErrorMessage".into(), validation["message"].clone());
        }
        if let Some(members) = union_members(rule) {
            let alternatives: Vec<_> = members.iter().map(|member| json!({"required": [member]})).collect();
            made.insert("oneOf".into(), alternatives.into());
        }
    }
    if let Some(items) = schema.get("items") {
        made.insert("items".into(), convert(items, part));
    }
    if let Some(fields) = schema["properties"].as_object() {
        let fields: Map<_, _> = fields.iter().map(|(name, field)| (name.clone(), convert(field, part))).collect();
        made.insert("properties".into(), fields.into());
    }
    match schema.get("additionalProperties") {
        Some(others) => {
            made.insert("additionalProperties".into(), convert(others, part));
        }
        None if schema["type"] == "object" && schema["x-kubernetes-preserve-unknown-fields"] != true => {
            made.insert("additionalProperties".into(), json!(false));
        }
        None => {}
    }
    made.into()
}

/// `64` for what the CRD's types hold as `64.0`.
fn whole(bound: f64) -> Value {
    let text = format!("{bound:.0}");
    text.parse::<i64>().ok().filter(|_| bound.fract() == 0.0).map_or_else(|| json!(bound), |whole| json!(whole))
}

/// The members of a union, from the rule that the schema has for one, or for a choice of two fields.
pub(super) fn union_members<'a>(rule: &'a str) -> Option<Vec<&'a str>> {
    let listed = rule.strip_prefix('[').and_then(|rest| rest.strip_suffix("].exists_one(x, x)"));
    let members: Vec<_> = listed.map_or_else(|| rule.split(" != ").collect(), |inner| inner.split(", ").collect());
    let name = |member: &&'a str| {
        let name = member.strip_prefix("has(self.")?.strip_suffix(')')?;
        name.chars().all(char::is_alphanumeric).then_some(name)
    };
    members.iter().map(name).collect::<Option<Vec<_>>>().filter(|names| names.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::super::cases::{ACCEPTED, REFUSED, base, cases, object};
    use super::*;
    use crate::api::finding::Finding;
    use crate::api::validate::{self, Kind};
    use boon::{Compiler, Schemas};
    use std::path::Path;

    /// Both schemas, ready to validate with.
    struct Editor {
        schemas: Schemas,
        kinds: Vec<(String, boon::SchemaIndex)>,
    }

    impl Editor {
        fn new() -> Self {
            let (mut schemas, mut compiler, mut kinds) = (Schemas::new(), Compiler::new(), Vec::new());
            for made in editor_schemas() {
                // Adding it checks it against the meta-schema of its draft.
                compiler.add_resource(&made.file, serde_json::from_str(&made.text).unwrap()).unwrap();
                let index = compiler.compile(&made.file, &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
                kinds.push((made.kind, index));
            }
            Self { schemas, kinds }
        }

        /// What it marks, if anything.
        fn mark(&self, object: &Value) -> Option<String> {
            let kind = object["kind"].as_str().unwrap_or_default();
            let (_, index) = self.kinds.iter().find(|(known, _)| known == kind).unwrap();
            self.schemas.validate(object, *index).err().map(|error| format!("{error:#}"))
        }
    }

    /// Whether a finding of the validation is about the form of one field, which an editor can see.
    fn is_form(finding: &Finding, object: &Value) -> bool {
        let message = finding.message.as_str();
        let words = [
            "must be of type",
            "Unsupported value",
            "Required value",
            "Too long",
            "Too many",
            "should be",
            "should have at least",
            "should match",
            "unknown field",
            "exactly one of",
            // of a list of texts; that of objects is found by their keys, which JSON Schema cannot
            "Duplicate value: \"",
        ];
        let value = object.pointer(&format!("/{}", finding.path.replace(['.', '['], "/").replace(']', "")));
        let malformed = message.starts_with("must be a duration")
            && value.and_then(Value::as_str).is_some_and(|text| duration::parse(text).is_none());
        malformed || words.iter().any(|word| message.starts_with(word))
    }

    #[test]
    fn what_is_accepted_is_not_marked() {
        let editor = Editor::new();
        for case in cases(ACCEPTED) {
            assert_eq!(editor.mark(&object(&case)), None, "{}", case["name"]);
        }
    }

    /// Marked is what has a wrong form, and that alone: an editor that marks what the server accepts would be ignored.
    #[test]
    fn what_has_the_wrong_form_is_marked_and_nothing_else() {
        let editor = Editor::new();
        let (mut marked, mut left) = (0, 0);
        for case in cases(REFUSED) {
            let object = object(&case);
            let findings = validate::validate(Kind::ConnectorInstance, &object).unwrap_err();
            let expected = findings.iter().any(|finding| is_form(finding, &object));
            let found = editor.mark(&object);
            assert_eq!(found.is_some(), expected, "{}: {findings:?} {found:?}", case["name"]);
            *(if expected { &mut marked } else { &mut left }) += 1;
        }
        assert!(marked > 35 && left > 20, "{marked} {left}");
    }

    #[test]
    fn a_misspelt_field_is_marked_at_every_depth() {
        let editor = Editor::new();
        for path in
            ["", "/metadata", "/spec", "/spec/auth", "/spec/auth/bearer/secretRef", "/spec/resources/0", "/spec/callback"]
        {
            let mut object = base();
            object.pointer_mut(path).unwrap()["mispelt"] = json!("x");
            let marked = editor.mark(&object).unwrap_or_default();
            assert!(marked.contains("mispelt"), "{path}: {marked}");
        }
    }

    #[test]
    fn entries_of_the_catalogue_are_not_marked() {
        let editor = Editor::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path().join("connector.yaml");
            let connector: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(editor.mark(&connector), None, "{}", path.display());
            let mut wrong = connector;
            wrong["spec"]["callback"] = json!({});
            assert!(editor.mark(&wrong).is_some());
        }
    }

    /// `UPDATE_GENERATED=1 cargo test` rewrites the files.
    #[test]
    fn the_committed_schemas_are_fresh() {
        for EditorSchema { file, text, .. } in editor_schemas() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(&file);
            if std::env::var_os("UPDATE_GENERATED").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "schemas/{file} is stale: run UPDATE_GENERATED=1 cargo test --lib editor");
        }
    }
}
