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
use crate::catalog;
use crate::plan::PollPlan;
use crate::plan::resolve::resolve;

/// Namespace and name.
pub type Key = (String, String);

/// Where definitions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Manifests: files and folders.
    pub paths: Vec<PathBuf>,
    /// Folder of catalogue entries that win over the built-in ones.
    pub catalog: Option<PathBuf>,
}

/// Name, size and time of change of every file.
pub type Fingerprint = Vec<(PathBuf, u64, Option<SystemTime>)>;

impl Sources {
    /// Changes whenever a file does: name, size and time of change of each.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut unread = Vec::new();
        let mut all = files(&self.paths, &mut unread);
        all.extend(files(self.catalog.as_slice(), &mut unread));
        all.into_iter()
            .map(|file| {
                let metadata = fs::metadata(&file);
                let size = metadata.as_ref().map_or(0, fs::Metadata::len);
                (file, size, metadata.ok().and_then(|m| m.modified().ok()))
            })
            .collect()
    }
}

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
    pub fn read(sources: &Sources) -> Result<Self, Unusable> {
        let mut errors = Vec::new();
        let mut found = Found::default();
        for file in files(sources.catalog.as_slice(), &mut errors) {
            let Some(text) = text_of(&file, &mut errors) else { continue };
            match catalog::entry(&file.display().to_string(), &text) {
                Ok((key, connector)) => drop(found.mounted.insert(key, connector)),
                Err(refusals) => errors.extend(refusals),
            }
        }
        for file in files(&sources.paths, &mut errors) {
            let Some(text) = text_of(&file, &mut errors) else { continue };
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
    mounted: BTreeMap<String, ConnectorSpec>,
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
            let named = instance.spec.connector.as_deref();
            let connector = named.and_then(|name| catalog::look_up(&key.0, name, &self.connectors, &self.mounted));
            match resolve(&instance, connector.map(|(_, spec)| spec)) {
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

fn text_of(file: &Path, errors: &mut Vec<String>) -> Option<String> {
    fs::read_to_string(file).map_err(|error| errors.push(format!("{}: cannot be read: {error}", file.display()))).ok()
}

/// The manifest files under `paths`, in the order given, folders in the order of their names. A file named outright is read
/// whatever its ending.
pub(crate) fn files(paths: &[PathBuf], errors: &mut Vec<String>) -> Vec<PathBuf> {
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
