//! The catalog as a command that has `--catalog` sees it: the user's own entries over the built-in ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use crate::api::connector::{ConnectorResource, ConnectorSpec};
use crate::api::nearest::nearest;
use crate::catalog;
use crate::local::files::in_folder;

/// Where a user's own entries are.
#[derive(Clone, Debug, Default, Args)]
pub struct CatalogFolder {
    /// Folder with your own catalog entries, one Connector per file; they take precedence over the built-in ones.
    #[arg(long = "catalog", value_name = "DIR", env = "POLLINATOR_CATALOG")]
    pub folder: Option<PathBuf>,
}

impl CatalogFolder {
    /// The entries as they are now.
    ///
    /// # Errors
    /// A line for each that cannot be used.
    pub fn read(&self) -> Result<OwnCatalog, String> {
        let mut own = OwnCatalog::default();
        let mut errors = Vec::new();
        for file in self.folder.iter().flat_map(|folder| in_folder(folder)) {
            let entry = file.map_err(|error| vec![error.to_string()]).and_then(|(name, text)| {
                let (key, spec) = catalog::entry(&name, &text)?;
                Ok((key, spec, text))
            });
            match entry {
                Ok((key, spec, text)) => {
                    own.texts.insert(key.clone(), text);
                    own.specs.insert(key, spec);
                }
                Err(refusals) => errors.extend(refusals),
            }
        }
        if errors.is_empty() { Ok(own) } else { Err(errors.join("\n")) }
    }
}

/// A user's own entries.
#[derive(Debug, Default)]
pub struct OwnCatalog {
    /// By key.
    pub specs: BTreeMap<String, ConnectorSpec>,
    texts: BTreeMap<String, String>,
}

impl OwnCatalog {
    /// The keys of all entries, in order.
    pub fn names(&self) -> BTreeSet<&str> {
        let mut names: BTreeSet<&str> = self.specs.keys().map(String::as_str).collect();
        for built_in in catalog::names() {
            names.insert(built_in);
        }
        names
    }

    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&ConnectorSpec> {
        self.specs.get(key).or_else(|| catalog::built_in(key))
    }

    /// The entry of a key as it was written.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str).or_else(|| catalog::text(key))
    }

    /// The entry of a key.
    ///
    /// # Errors
    /// A sentence with the nearest key.
    pub fn entry(&self, key: &str) -> Result<&ConnectorSpec, String> {
        self.get(key).ok_or_else(|| match nearest(key, self.names()) {
            Some(near) => format!("the catalog has no entry {key}; did you mean {near}?"),
            None => format!(
                "the catalog has no entry {key}; pollinator catalog list prints all, and --catalog DIR adds entries of your own"
            ),
        })
    }
}

/// The resource of that name.
///
/// # Errors
/// A sentence with the names of all.
pub fn find<'a>(key: &str, spec: &'a ConnectorSpec, name: &str) -> Result<&'a ConnectorResource, String> {
    spec.resources.iter().find(|resource| resource.resource.name == name).ok_or_else(|| {
        let known: Vec<_> = spec.resources.iter().map(|resource| resource.resource.name.as_str()).collect();
        format!("the entry {key} has no resource {name}; it has {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let own = OwnCatalog::default();
        assert_eq!(own.entry("githup").unwrap_err(), "the catalog has no entry githup; did you mean github?");
        let none = find("mollie", own.entry("mollie").unwrap(), "orders").err().unwrap();
        assert!(none.starts_with("the entry mollie has no resource orders; it has payments, "), "{none}");
    }

    #[test]
    fn own_entries_are_added_and_take_precedence() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        let entry = |key: &str| {
            format!(
                "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: {key}}} # ours\nspec: {{title: Ours}}\n"
            )
        };
        for key in ["github", "intranet"] {
            write(&format!("{key}.yaml"), &entry(key));
        }
        let read = || CatalogFolder { folder: Some(folder.path().to_owned()) }.read();
        let own = read().unwrap();
        assert_eq!(own.names().len(), catalog::names().count() + 1);
        for key in ["github", "intranet"] {
            assert_eq!(own.entry(key).unwrap().title.as_deref(), Some("Ours"));
            assert_eq!(own.text(key), Some(&*entry(key)), "with its comments");
        }
        assert_eq!(own.get("mollie"), catalog::built_in("mollie"));
        assert!(own.entry("intranett").unwrap_err().contains("did you mean intranet?"));
        write("broken.yaml", "kind: Connector\n");
        assert!(read().unwrap_err().contains("broken.yaml"));
    }
}
