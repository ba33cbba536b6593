//! The page of fields, made from the schema, so that it cannot say anything else than the API server does.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::chapters::CHAPTERS;
use super::duration;
use super::editor::union_members;
use super::schema::crds;

const INTRODUCTION: &str = "\
# Fields

This page lists every field of both kinds. A test generates it from their schema (`UPDATE_GENERATED=1 cargo test --lib fields`).
`kubectl explain connectorinstance.spec` prints the same if the definitions are installed, and
[your editor](../get-started/install.md#in-your-editor) shows it with the [schemas](../../schemas). The API server writes a default in `code` into
the object; the operator applies any other default, after the connector's value. Unknown fields are refused.
";

/// The section between spec and status, where the pages of other operators explain how to work with a kind.
const WORKING: [(&str, &str); 2] = [
    (
        "ConnectorInstance",
        "To create a first instance, see [Install on a cluster](../get-started/install.md#the-first-instance). See also\n\
         [status and annotations](../operate/operator.md#status-and-annotations), [the contract for receivers](delivery.md) and\n\
         [how changes are found](../concepts/detection.md).\n",
    ),
    (
        "Connector",
        "An instance names a Connector in [`spec.connector`](#ConnectorInstance.spec.connector) and overrides it field by field. A Connector in the\n\
         instance's namespace overrides a file of `--catalog`, and that overrides the built-in [catalog](catalog.md). `pollinator plan FILE` prints\n\
         the result.\n",
    ),
];

/// The text of `docs/reference/fields.md`.
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for crd in crds() {
        let kind = crd.spec.names.kind.clone();
        page += &heading(&crd);
        for (_, part, order) in CHAPTERS.iter().filter(|(of, ..)| *of == kind) {
            let schema = part_schema(&crd, part);
            let chapter = if *part == "spec" { format!("Writing a {kind} spec") } else { format!("{kind} status") };
            let is_spec = *part == "spec";
            let mut chapter = Chapter { page: format!("\n### {chapter}\n\n"), is_spec, seen: Vec::new() };
            chapter.part(&format!("{kind}.{part}"), &schema, order);
            page += &chapter.page;
            if is_spec && let Some((_, text)) = WORKING.iter().find(|(of, _)| *of == kind) {
                page = page + "\n### Working with " + &kind + "s\n\n" + text;
            }
        }
    }
    page
}

fn part_schema(crd: &CustomResourceDefinition, part: &str) -> Value {
    let version = crd.spec.versions.first();
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let schema = schema.and_then(|schema| serde_json::to_value(schema).ok()).unwrap_or_default();
    schema["properties"][part].clone()
}

fn heading(crd: &CustomResourceDefinition) -> String {
    let (spec, names) = (&crd.spec, &crd.spec.names);
    let version = spec.versions.first();
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let description = schema.and_then(|schema| schema.description.clone()).unwrap_or_default();
    let mut text = format!("\n## {}\n\n{description}\n\n| | |\n|---|---|\n", names.kind);
    let mut row = |what: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "| {what} | {value} |");
    };
    row("API version", format!("`{}/{}`", spec.group, version.map(|version| version.name.as_str()).unwrap_or_default()));
    let short = names.short_names.iter().flatten();
    let known: Vec<_> = std::iter::once(&names.plural).chain(&names.singular).chain(short).map(code).collect();
    row("Names for kubectl", known.join(", "));
    row("Category", names.categories.iter().flatten().map(code).collect::<Vec<_>>().join(", "));
    row("Scope", spec.scope.clone());
    let columns: Vec<_> = version.into_iter().flat_map(|version| version.additional_printer_columns.iter().flatten()).collect();
    let titles = |wide: bool| {
        let wanted = columns.iter().filter(|column| (column.priority.unwrap_or_default() > 0) == wide);
        wanted.map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    row("Columns", titles(false));
    if !titles(true).is_empty() {
        row("Wide columns", titles(true));
    }
    let selectable: Vec<_> = version
        .into_iter()
        .flat_map(|version| version.selectable_fields.iter().flatten())
        .map(|field| code(field.json_path.trim_start_matches('.')))
        .collect();
    if !selectable.is_empty() {
        row("Field selectors", selectable.join(", "));
    }
    text
}

fn code(text: impl AsRef<str>) -> String {
    format!("`{}`", text.as_ref())
}

struct Chapter {
    page: String,
    /// What is observed has no defaults.
    is_spec: bool,
    /// Objects that were explained, and where: the same object is explained only once.
    seen: Vec<(Value, String)>,
}

impl Chapter {
    /// A table of the part's own fields, then one for each field that has fields.
    fn part(&mut self, path: &str, schema: &Value, order: &[&str]) {
        let required = required(schema);
        let fields = || order.iter().filter_map(|name| Some((*name, schema["properties"].get(name)?)));
        self.head(schema);
        for (name, field) in fields() {
            let has_fields = inner(field).is_some();
            let default = if required.contains(&name) { "required".to_owned() } else { default_of(field) };
            self.row(path, name, field, &default, has_fields);
        }
        for (name, field) in fields() {
            let Some((suffix, object)) = inner(field) else { continue };
            let path = format!("{path}.{name}{suffix}");
            // Writing to a String does not fail.
            let _ = write!(self.page, "\n#### `{path}`\n\n{}\n\n", text(field));
            self.head(object);
            self.fields(&path, "", object);
        }
    }

    fn head(&mut self, schema: &Value) {
        let refusals = refusals(schema);
        if !refusals.is_empty() {
            self.page += "Refused with:\n\n";
            for refusal in refusals {
                self.page.extend(["- ", &refusal, "\n"]);
            }
            self.page.push('\n');
        }
        self.page += if self.is_spec {
            "| Field | Type | Default | Meaning |\n|---|---|---|---|\n"
        } else {
            "| Field | Type | Meaning |\n|---|---|---|\n"
        };
    }

    /// The rows of an object and of all that is in it; `prefix` ends with a dot, or is empty.
    fn fields(&mut self, path: &str, prefix: &str, schema: &Value) {
        let Some(fields) = schema["properties"].as_object() else { return };
        let required = required(schema);
        let members = rules(schema).find_map(|rule| union_members(rule["rule"].as_str()?)).unwrap_or_default();
        let (must, may): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| required.contains(&name.as_str()));
        for (name, field) in must.into_iter().chain(may) {
            let shown = format!("{prefix}{name}");
            let default = match name.as_str() {
                name if required.contains(&name) => "required".to_owned(),
                name if members.contains(&name) => "one of a union".to_owned(),
                _ => default_of(field),
            };
            let told = self.row(path, &shown, field, &default, false);
            if let Some((suffix, object)) = inner(field).filter(|_| !told) {
                self.fields(path, &format!("{shown}{suffix}."), object);
            }
        }
    }

    /// One field; returns whether its own fields are explained elsewhere.
    fn row(&mut self, path: &str, name: &str, field: &Value, default: &str, has_chapter: bool) -> bool {
        let at = format!("{path}.{name}");
        let mut kind = type_of(field);
        let mut told = false;
        if let Some((suffix, object)) = inner(field) {
            let shape = without_descriptions(object);
            if has_chapter {
                kind = format!("[{kind}](#{})", anchor(&format!("{at}{suffix}")));
                self.seen.push((shape, at.clone()));
            } else if let Some((_, place)) = self.seen.iter().find(|(seen, _)| *seen == shape) {
                told = true;
                kind = format!("{kind}, as [{place}](#{place})");
            } else {
                self.seen.push((shape, at.clone()));
            }
        }
        let mut meaning = text(field);
        // The fields of an object with a chapter are listed in that chapter.
        if !has_chapter {
            for refusal in refusals(field) {
                meaning.extend(["<br>Refused with: ", &refusal]);
            }
        }
        let mut cells = vec![format!("<a id=\"{at}\"></a>`{name}`"), kind];
        cells.extend(self.is_spec.then(|| default.to_owned()));
        cells.push(meaning);
        self.page.extend(["| ", &cells.join(" | "), " |\n"]);
        told
    }
}

/// The object in a field, with the suffix of the field's name that leads to it.
fn inner(field: &Value) -> Option<(&'static str, &Value)> {
    let has_fields = |schema: &&Value| schema["properties"].as_object().is_some_and(|fields| !fields.is_empty());
    Some(("", field))
        .filter(|(_, field)| has_fields(field))
        .or(Some(("[]", &field["items"])).filter(|(_, items)| has_fields(items)))
}

fn required(schema: &Value) -> Vec<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A description without its default, as a table's cell.
fn text(field: &Value) -> String {
    cell(split_default(field["description"].as_str().unwrap_or_default()).0)
}

/// A description and the default that is its last sentence.
fn split_default(description: &str) -> (&str, &str) {
    match description.rsplit_once("Default: ") {
        Some((meaning, default)) => (meaning.trim_end(), default.trim_end_matches('.')),
        None => (description, ""),
    }
}

/// What holds without the field: the server's default as code, or what the description says.
fn default_of(field: &Value) -> String {
    match field.get("default") {
        Some(default) => code(default.as_str().map_or_else(|| default.to_string(), str::to_owned)),
        None => cell(split_default(field["description"].as_str().unwrap_or_default()).1),
    }
}

/// Text as a table cell can hold it.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

/// The type and its bounds in words.
fn type_of(schema: &Value) -> String {
    let is_duration = rules(schema).any(|rule| rule["rule"].as_str().is_some_and(duration::is_rule));
    let mut words = vec![match schema["type"].as_str() {
        Some("array") => format!("list of {}", each(&schema["items"])),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map of {}", each(&schema["additionalProperties"]))
        }
        Some("string") if schema["format"] == "date-time" => "time (RFC 3339)".to_owned(),
        Some("string") if is_duration => "duration".to_owned(),
        Some(name) => name.to_owned(),
        None => String::new(),
    }];
    if let Some(allowed) = schema["enum"].as_array() {
        let allowed: Vec<_> = allowed.iter().filter_map(Value::as_str).map(code).collect();
        words.push(allowed.join(", "));
    }
    let bounds = [
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "items"),
        ("minProperties", "maxProperties", "entries"),
        ("minimum", "maximum", ""),
    ];
    for (least, most, unit) in bounds {
        let bound = |keyword: &str| schema[keyword].as_f64().map(|bound| format!("{bound}"));
        let range = match (bound(least), bound(most)) {
            _ if is_duration => continue,
            (Some(least), Some(most)) => format!("{least} to {most} {unit}"),
            (None, Some(most)) => format!("at most {most} {unit}"),
            (Some(least), None) => format!("at least {least} {unit}"),
            (None, None) => continue,
        };
        words.push(range.trim_end().to_owned());
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        words.push(format!("matches `{}`", pattern.replace('|', "\\|")));
    }
    words.join("; ")
}

/// The type of what is in a list or map, in the plural, its bounds in brackets.
fn each(schema: &Value) -> String {
    let one = type_of(schema);
    match one.split_once("; ") {
        Some((kind, bounds)) => format!("{kind}s ({bounds})"),
        None => format!("{one}s"),
    }
}

fn rules(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["x-kubernetes-validations"].as_array().into_iter().flatten()
}

/// What the server says when a rule does not hold; parts that it computes are shown as `…`.
fn refusals(schema: &Value) -> Vec<String> {
    let told = |rule: &Value| {
        let message = rule["message"].as_str().map(str::to_owned);
        message.or_else(|| rule["messageExpression"].as_str().map(literals))
    };
    rules(schema).filter_map(told).map(|message| cell(&message)).collect()
}

/// The literals of a CEL concatenation, with `…` for each computed part.
fn literals(expression: &str) -> String {
    let mut parts: Vec<String> = vec![String::new()];
    let (mut quoted, mut depth) = (false, 0);
    for character in expression.chars() {
        match character {
            '\'' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth -= 1,
            '+' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    let literal = |part: &String| {
        let part = part.trim();
        part.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or("…").to_owned()
    };
    parts.iter().map(literal).collect()
}

/// A schema by which two fields can be seen to be the same.
fn without_descriptions(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, value)| *name != "description" || !value.is_string());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_descriptions(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_descriptions).collect(),
        other => other.clone(),
    }
}

/// The anchor that hosts of Markdown make of a heading.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn the_page_of_fields_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/fields.md");
        let expected = page();
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "docs/reference/fields.md is stale: run UPDATE_GENERATED=1 cargo test --lib fields");
    }

    #[test]
    fn the_order_of_chapters_leaves_no_field_out() {
        for crd in crds() {
            let kind = &crd.spec.names.kind;
            for part in ["spec", "status"] {
                let schema = part_schema(&crd, part);
                let there: BTreeSet<_> =
                    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                let order: Vec<_> =
                    CHAPTERS.iter().filter(|(of, its, _)| of == kind && *its == part).flat_map(|(.., order)| *order).collect();
                assert_eq!(order.len(), there.len(), "{kind}.{part}");
                assert_eq!(order.into_iter().copied().collect::<BTreeSet<_>>(), there, "{kind}.{part}");
            }
        }
    }

    /// Every path of the schema, lists with `[]`, except what is explained elsewhere.
    #[test]
    fn every_field_has_its_row_or_is_told_where_its_like_is() {
        fn walk(path: &str, schema: &Value, page: &str, found: &mut (usize, usize)) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                let at = format!("{path}.{name}");
                assert!(page.contains(&format!("<a id=\"{at}\"></a>")), "{at}");
                found.0 += 1;
                let Some((suffix, object)) = inner(field) else { continue };
                let row = page.lines().find(|line| line.contains(&format!("<a id=\"{at}\"></a>"))).unwrap();
                if row.contains(", as [") {
                    found.1 += 1;
                } else {
                    walk(&format!("{at}{suffix}"), object, page, found);
                }
            }
        }
        let page = page();
        let mut found = (0, 0);
        for crd in crds() {
            for part in ["spec", "status"] {
                walk(&format!("{}.{part}", crd.spec.names.kind), &part_schema(&crd, part), &page, &mut found);
            }
        }
        assert!(found.0 > 120 && found.1 > 3, "{found:?}");
        let anchors: Vec<_> = page.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(anchors.iter().collect::<BTreeSet<_>>().len(), anchors.len(), "an anchor is there once");
        for link in page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
            let heading = |line: &str| line.strip_prefix("#### ").is_some_and(|heading| anchor(heading) == link);
            assert!(anchors.contains(&link) || page.lines().any(heading), "#{link}");
        }
    }

    /// Every field of a spec says what holds without it.
    #[test]
    fn every_field_of_a_spec_is_required_or_has_a_default() {
        let page = page();
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| <a id=") && line.contains(".spec.")).collect();
        assert!(rows.len() > 100, "{}", rows.len());
        for row in rows {
            assert!(!row.split(" | ").nth(2).unwrap().is_empty(), "{row}");
        }
    }

    #[test]
    fn computed_messages_are_shown_by_their_words() {
        let expression = "'resource ' + self.resources.map(r, !has(r.url) + '+', r.name)[0] + ' needs a url'";
        assert_eq!(literals(expression), "resource … needs a url");
    }
}
