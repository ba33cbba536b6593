//! `pollinator catalog`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::own_catalog::{CatalogFolder, OwnCatalog, find};
use crate::api::connector::ConnectorSpec;
use crate::catalog::words;
use crate::observe::output;

/// Shows the catalog: which providers and which of their lists an instance can poll by name.
#[derive(Debug, Args)]
pub struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
}

#[derive(Debug, Subcommand)]
enum CatalogCommand {
    /// Print the key, the name and the resources of every entry.
    List {
        #[command(flatten)]
        catalog: CatalogFolder,
    },
    /// Print an entry as it was written, with its sources and comments.
    Show {
        /// Key of the entry, as in spec.connector.
        key: String,
        #[command(flatten)]
        catalog: CatalogFolder,
    },
    /// Print how a resource is polled.
    Explain {
        /// Key of the entry, as in spec.connector.
        key: String,
        /// Name of the resource.
        resource: String,
        #[command(flatten)]
        catalog: CatalogFolder,
    },
}

/// 1 when the output cannot be written, 2 when there is no such entry or resource, or when an own entry cannot be used.
pub fn run(args: &CatalogArgs) -> ExitCode {
    show(shown(&args.command))
}

fn shown(command: &CatalogCommand) -> Result<String, String> {
    match command {
        CatalogCommand::List { catalog } => Ok(list(&catalog.read()?)),
        CatalogCommand::Show { key, catalog } => {
            let own = catalog.read()?;
            own.entry(key)?;
            Ok(own.text(key).unwrap_or_default().to_owned())
        }
        CatalogCommand::Explain { key, resource, catalog } => {
            let own = catalog.read()?;
            let spec = own.entry(key)?;
            Ok(words::explain(key, spec, find(key, spec, resource)?))
        }
    }
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

fn list(own: &OwnCatalog) -> String {
    let entries: Vec<_> = own.names().into_iter().filter_map(|key| Some((key, own.get(key)?))).collect();
    let width = entries.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let line = |(key, spec): &(&str, &ConnectorSpec)| {
        let resources: Vec<_> = spec.resources.iter().map(|resource| resource.resource.name.as_str()).collect();
        format!("{key:<width$}  {}: {}\n", spec.title.as_deref().unwrap_or(key), resources.join(", "))
    };
    entries.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_a_line() {
        let shown = list(&OwnCatalog::default());
        assert_eq!(shown.lines().count(), crate::catalog::names().count());
        assert!(shown.lines().any(|line| line.starts_with("github ") && line.contains("GitHub: issues, ")), "{shown}");
    }
}
