//! Manifests in files and folders → plans, refusals and Secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::instance::ConnectorInstance;
use crate::api::manifest::{self, Manifest};
use crate::auth::{Secret, SecretMap};
use crate::plan::PollPlan;
use crate::plan::resolve::resolve;

/// Namespace and name.
pub type Key = (String, String);

/// Everything declared in a set of files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Instances that can be polled.
    pub planned: BTreeMap<Key, Planned>,
    /// Instances that are well-formed but cannot be planned, with every reason.
    pub refused: BTreeMap<Key, Vec<Problem>>,
    /// Secrets.
    pub secrets: SecretMap,
}

/// An instance with its plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What to do.
    pub plan: Arc<PollPlan>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Why manifests cannot be used: each line names file, document, path and fix.
#[derive(Debug)]
pub struct Unusable(Vec<String>);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Definitions {
    /// Reads, judges and plans all manifests under `paths`.
    ///
    /// # Errors
    /// Any file that cannot be read and any document that an API server would refuse: half a set of manifests is none.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Unusable> {
        let mut errors = Vec::new();
        let mut found = Found::default();
        for file in files(paths, &mut errors) {
            let text = match fs::read_to_string(&file) {
                Ok(text) => text,
                Err(error) => {
                    errors.push(format!("{}: cannot be read: {error}", file.display()));
                    continue;
                }
            };
            let declared = manifest::read(&file.display().to_string(), &text);
            errors.extend(declared.errors.iter().map(ToString::to_string));
            for (place, manifest) in declared.manifests {
                if let Err(twice) = found.add(manifest) {
                    errors.push(format!("{place}: {twice} is declared twice; remove one of them"));
                }
            }
        }
        if errors.is_empty() && found.instances.is_empty() {
            errors.push("no ConnectorInstance was found; name a file or folder that holds one".to_owned());
        }
        if errors.is_empty() { Ok(found.plan()) } else { Err(Unusable(errors)) }
    }
}

#[derive(Default)]
struct Found {
    instances: BTreeMap<Key, ConnectorInstance>,
    connectors: BTreeMap<Key, ConnectorSpec>,
    secrets: BTreeMap<Key, Secret>,
}

impl Found {
    fn add(&mut self, manifest: Manifest) -> Result<(), String> {
        let (kind, key) = (manifest.kind(), {
            let (namespace, name) = manifest.key();
            (namespace.to_owned(), name.to_owned())
        });
        let shown = format!("{kind} {}/{}", key.0, key.1);
        let new = match manifest {
            Manifest::ConnectorInstance(instance) => self.instances.insert(key, *instance).is_none(),
            Manifest::Connector(connector) => self.connectors.insert(key, connector.spec).is_none(),
            Manifest::Secret(secret) => self.secrets.insert(key, Secret { data: secret.data }).is_none(),
        };
        if new { Ok(()) } else { Err(shown) }
    }

    fn plan(self) -> Definitions {
        let mut definitions = Definitions::default();
        for ((namespace, name), secret) in self.secrets {
            definitions.secrets.insert(namespace, name, secret);
        }
        for (key, instance) in self.instances {
            let named = instance.spec.connector.as_ref();
            let connector = named.and_then(|name| self.connectors.get(&(key.0.clone(), name.clone())));
            match resolve(&instance, connector) {
                Ok(plan) => {
                    let annotations = instance.metadata.annotations.unwrap_or_default();
                    definitions.planned.insert(key, Planned { plan: Arc::new(plan), annotations });
                }
                Err(problems) => {
                    definitions.refused.insert(key, problems);
                }
            }
        }
        definitions
    }
}

/// The manifest files under `paths`, in the order given, folders in the order of their names. A file named outright is read
/// whatever its ending.
fn files(paths: &[PathBuf], errors: &mut Vec<String>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            match list(path) {
                Ok(listed) => files.extend(listed),
                Err(error) => errors.push(format!("{}: cannot be listed: {error}", path.display())),
            }
        } else {
            files.push(path.clone());
        }
    }
    files
}

/// Hidden entries are left out: mounted `ConfigMaps` keep their versions in them.
fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        if entry.is_dir() {
            files.extend(list(&entry)?);
        } else if entry.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known)) {
            files.push(entry);
        }
    }
    Ok(files)
}

/// Changes whenever a file under `paths` does: name, size and time of change of each.
pub fn fingerprint(paths: &[PathBuf]) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    files(paths, &mut Vec::new())
        .into_iter()
        .map(|file| {
            let metadata = fs::metadata(&file);
            let size = metadata.as_ref().map_or(0, fs::Metadata::len);
            (file, size, metadata.ok().and_then(|m| m.modified().ok()))
        })
        .collect()
}
