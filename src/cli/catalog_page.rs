//! The page of the catalog, made from its entries.

use std::fmt::Write as _;

use crate::api::connector::{ConnectorResource, ConnectorSpec};
use crate::catalog::{self, words};

const INTRODUCTION: &str = "\
# Catalog

The entries that are built in: set `spec.connector` to a key, and list the resources to poll by name. A test generates this page from
[catalog](../../catalog) (`UPDATE_GENERATED=1 cargo test --lib catalog_page`). `pollinator catalog explain KEY RESOURCE` prints how a resource is
polled, and `pollinator new KEY` a first manifest. A `Connector` of the same name in the namespace of the instance, or in the folder of
`--catalog`, overrides an entry.

Another test compares the entries with the descriptions that the providers published: paths, parameters, places of records, ids and dates, and
page sizes. None has been tried against a live account yet. What an entry says beyond a description is marked `[K]` in its file.

A resource that reads the whole list costs as many requests per poll as the list has pages: give it a longer `interval`.
\"By content\" means that records are compared as a whole. Where deleted records are not seen, they leave the list without an event.
";

/// The text of `docs/reference/catalog.md`.
pub fn page() -> String {
    let entries: Vec<_> = catalog::names().filter_map(|key| Some((key, catalog::built_in(key)?))).collect();
    let resources: usize = entries.iter().map(|(_, spec)| spec.resources.len()).sum();
    let mut page = format!("{INTRODUCTION}\nThere are {} entries with {resources} resources.\n", entries.len());
    for (key, spec) in entries {
        page += &section(key, spec);
    }
    page
}

fn section(key: &str, spec: &ConnectorSpec) -> String {
    let mut text = format!("\n## `{key}`\n\n{}. ", spec.title.as_deref().unwrap_or(key));
    // Writing to a String does not fail.
    let _ = write!(text, "Credentials: {}. ", words::auth(spec.auth.as_ref()));
    let links: Vec<_> = spec.documentation.iter().map(|link| format!("<{link}>")).collect();
    if let (Some(limits), Some(known)) = (words::limits(spec, None), &spec.limits) {
        let source = known.source.as_ref().map(|source| format!(" ([source]({source}))")).unwrap_or_default();
        let _ = write!(text, "Limits: {limits}{source}. ");
    }
    let _ = writeln!(text, "Checked on {}. Documentation: {}", words::verified(spec), links.join(", "));
    if !spec.parameters.is_empty() {
        text += "\nParameters:\n\n";
    }
    for parameter in &spec.parameters {
        let default = parameter.default_value.as_ref().map(|value| format!(" Default: `{value}`.")).unwrap_or_default();
        let description = parameter.description.as_deref().unwrap_or_default();
        let _ = writeln!(text, "- `{}`: {}{default}", parameter.name, cell(description));
    }
    text += "\n| Resource | Request | Changes | Deletes | Hub path |\n|---|---|---|---|---|\n";
    for resource in &spec.resources {
        text += &row(resource);
    }
    text
}

fn row(resource: &ConnectorResource) -> String {
    let hubs: Vec<_> = resource.hub_paths.iter().map(|path| format!("`{path}`")).collect();
    format!(
        "| `{}` | `{}` | {} | {} | {} |\n",
        resource.resource.name,
        words::request(resource),
        cell(&words::changes(resource)),
        cell(&words::deletes(resource)),
        hubs.join(", ")
    )
}

/// A text in which nothing is markup of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('_', "\\_").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_page_of_the_catalog_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/catalog.md");
        let expected = page();
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "docs/reference/catalog.md is stale: run UPDATE_GENERATED=1 cargo test --lib catalog_page");
    }
}
