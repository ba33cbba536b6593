//! `pollinator catalog`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::api::connector::{ConnectorResource, ConnectorSpec};
use crate::api::nearest::nearest;
use crate::catalog::{self, words};
use crate::observe::output;

/// Shows the built-in catalog: which providers and which of their lists an instance can poll by name.
#[derive(Debug, Args)]
pub struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
}

#[derive(Debug, Subcommand)]
enum CatalogCommand {
    /// Print the key, the name and the resources of every entry.
    List,
    /// Print an entry as it was written, with its sources and comments.
    Show {
        /// Key of the entry, as in spec.connector.
        key: String,
    },
    /// Print how a resource is polled.
    Explain {
        /// Key of the entry, as in spec.connector.
        key: String,
        /// Name of the resource.
        resource: String,
    },
}

/// 1 when the output cannot be written, 2 when there is no such entry or resource.
pub fn run(args: &CatalogArgs) -> ExitCode {
    let shown = match &args.command {
        CatalogCommand::List => Ok(list()),
        CatalogCommand::Show { key } => entry(key).map(|_| catalog::text(key).unwrap_or_default().to_owned()),
        CatalogCommand::Explain { key, resource } => {
            entry(key).and_then(|spec| Ok(words::explain(key, spec, find(key, spec, resource)?)))
        }
    };
    show(shown)
}

/// Prints a text, or why there is none.
pub(super) fn show(shown: Result<String, String>) -> ExitCode {
    match shown {
        Ok(text) => {
            output::text(text);
            output::finish(ExitCode::SUCCESS)
        }
        Err(why) => {
            output::error(format_args!("pollinator: {why}"));
            ExitCode::from(2)
        }
    }
}

fn list() -> String {
    let entries: Vec<_> = catalog::names().filter_map(|key| Some((key, catalog::built_in(key)?))).collect();
    let width = entries.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let line = |(key, spec): &(&str, &ConnectorSpec)| {
        let resources: Vec<_> = spec.resources.iter().map(|resource| resource.resource.name.as_str()).collect();
        format!("{key:<width$}  {}: {}\n", spec.title.as_deref().unwrap_or(key), resources.join(", "))
    };
    entries.iter().map(line).collect()
}

/// The entry of that key.
///
/// # Errors
/// A sentence with the nearest key.
pub(super) fn entry(key: &str) -> Result<&'static ConnectorSpec, String> {
    catalog::built_in(key).ok_or_else(|| match nearest(key, catalog::names()) {
        Some(near) => format!("the catalog has no entry {key}; did you mean {near}?"),
        None => format!("the catalog has no entry {key}; pollinator catalog list prints all"),
    })
}

/// The resource of that name.
///
/// # Errors
/// A sentence with the names of all.
pub(super) fn find<'a>(key: &str, spec: &'a ConnectorSpec, name: &str) -> Result<&'a ConnectorResource, String> {
    spec.resources.iter().find(|resource| resource.resource.name == name).ok_or_else(|| {
        let known: Vec<_> = spec.resources.iter().map(|resource| resource.resource.name.as_str()).collect();
        format!("the entry {key} has no resource {name}; it has {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_a_line() {
        let shown = list();
        assert_eq!(shown.lines().count(), catalog::names().count());
        assert!(shown.lines().any(|line| line.starts_with("github ") && line.contains("GitHub: issues, ")), "{shown}");
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        assert_eq!(entry("githup").unwrap_err(), "the catalog has no entry githup; did you mean github?");
        let none = find("mollie", entry("mollie").unwrap(), "orders").err().unwrap();
        assert!(none.starts_with("the entry mollie has no resource orders; it has payments, "), "{none}");
    }
}
