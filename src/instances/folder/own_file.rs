//! A file that is managed here: the manifest of one instance, and after it the Secrets that came with it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{SecondsFormat, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value, json};

use crate::api::API_VERSION;
use crate::api::identity::{InstanceRef, NUMBER_LABEL, number};
use crate::api::instance::ConnectorInstance;
use crate::api::manifest::{self, Manifest};
use crate::instances::secret_edits::SecretEdits;
use crate::instances::{InstancesError, name_of};
use crate::local::definitions::Declared;
use crate::local::files::MANAGED;

/// The Secrets of an instance: their values by name and key.
type Kept = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// What such a file holds.
pub(super) struct OwnFile {
    pub instance: ConnectorInstance,
    kept: Kept,
}

impl OwnFile {
    /// A file for an instance without Secrets.
    pub fn new(instance: ConnectorInstance) -> Self {
        Self { instance, kept: Kept::new() }
    }

    /// Reads the text of the file `path`, if it is managed here and holds no other instance.
    ///
    /// # Errors
    /// [`InstancesError::NotOurs`], [`InstancesError::Damaged`].
    pub fn read(path: &str, text: &str, of: &InstanceRef) -> Result<Self, InstancesError> {
        let not_ours = || InstancesError::NotOurs(of.clone(), path.to_owned());
        let read = manifest::read("", text);
        if !text.starts_with(MANAGED) {
            return Err(not_ours());
        }
        if let Some(error) = read.errors.first() {
            return Err(InstancesError::Damaged(of.clone(), path.to_owned(), error.finding.to_string()));
        }
        let (mut instance, mut kept) = (None, Kept::new());
        for (_, manifest) in read.manifests {
            match manifest {
                Manifest::ConnectorInstance(found) if instance.is_none() && name_of(&found).is_ok_and(|name| name == *of) => {
                    instance = Some(*found);
                }
                Manifest::Secret(declared) if declared.namespace == *of.namespace => {
                    kept.insert(declared.name, declared.data);
                }
                _ => return Err(not_ours()),
            }
        }
        instance.map(|instance| Self { instance, kept }).ok_or_else(not_ours)
    }

    /// Names of its Secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.kept.keys().map(String::as_str)
    }

    /// The values of a Secret that are text.
    pub fn values(&self, name: &str) -> Option<SecretEdits> {
        let mut values = SecretEdits::default();
        for (key, value) in self.kept.get(name)? {
            if let Ok(text) = std::str::from_utf8(value) {
                values.set(name, key, text.to_owned());
            }
        }
        Some(values)
    }

    /// Changes the Secrets. One without keys is left out.
    pub fn edit(&mut self, edits: &SecretEdits) {
        for (name, keys) in edits.each() {
            let kept = self.kept.entry(name.to_owned()).or_default();
            if edits.is_cleared(name) {
                kept.clear();
            }
            for (key, value) in keys {
                match value {
                    Some(value) => drop(kept.insert(key.clone(), value.clone().into_bytes())),
                    None => drop(kept.remove(key)),
                }
            }
        }
        self.kept.retain(|_, values| !values.is_empty());
    }

    /// Whether the Secrets would be the same after these changes.
    pub fn has(&self, edits: &SecretEdits) -> bool {
        let mut edited = Self { instance: self.instance.clone(), kept: self.kept.clone() };
        edited.edit(edits);
        edited.kept == self.kept
    }

    /// Its text, and the instance as it is declared there: the same to the last default.
    ///
    /// # Errors
    /// [`InstancesError::Refused`]: what an API server would refuse, too.
    pub fn write(&self, of: &InstanceRef) -> Result<(String, ConnectorInstance), InstancesError> {
        let mut text = format!("{MANAGED}\n{}", yaml(&manifest(of, &self.instance))?);
        for (name, values) in &self.kept {
            text.push_str("---\n");
            text.push_str(&yaml(&secret(of, name, values))?);
        }
        let mut read = manifest::read("", &text);
        if !read.errors.is_empty() {
            let findings: Vec<_> = read.errors.iter().map(|error| error.finding.to_string()).collect();
            return Err(InstancesError::Refused(findings.join("\n")));
        }
        match read.manifests.swap_remove(0) {
            (_, Manifest::ConnectorInstance(instance)) => Ok((text, *instance)),
            (_, other) => Err(InstancesError::Refused(format!("a {} is not an instance", other.kind()))),
        }
    }
}

/// The file of an instance.
///
/// # Errors
/// [`InstancesError::NotOurs`], [`InstancesError::File`].
pub(super) fn stored(path: &Path, of: &InstanceRef) -> Result<OwnFile, InstancesError> {
    let text = fs::read_to_string(path).map_err(|error| failed(path, error))?;
    OwnFile::read(&path.display().to_string(), &text, of)
}

/// Removes a file for good.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Removes what was left of managed files when a process ended while it wrote one: it may hold Secrets.
pub(super) fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_meant = path.extension().is_some_and(|ending| ending == "new")
            && path.file_stem().is_some_and(|file| Path::new(file).extension().is_some_and(|ending| ending == "yaml"));
        if !is_meant {
            continue;
        }
        // Only what we began to write; the first line may be all that there is, or less.
        let Ok(text) = fs::read(&path) else { continue };
        let is_ours = text.starts_with(MANAGED.as_bytes()) || MANAGED.as_bytes().starts_with(&text);
        if is_ours && let Err(error) = fs::remove_file(&path) {
            tracing::warn!("{} is left of an earlier process and cannot be removed: {error}; remove it", path.display());
        }
    }
}

pub(super) fn failed(path: &Path, source: io::Error) -> InstancesError {
    InstancesError::File { path: path.to_owned(), source }
}

/// Does slow things to a file where they hold up no one.
pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, InstancesError> + Send + 'static,
) -> Result<T, InstancesError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(path, io::Error::other(error))))
}

/// The manifest with what a caller decides.
fn manifest(of: &InstanceRef, declared: &ConnectorInstance) -> Value {
    let mut metadata = metadata(&of.namespace, &of.name);
    if let Some(created) = &declared.metadata.creation_timestamp {
        metadata.insert("creationTimestamp".to_owned(), json!(created));
    }
    for (field, values) in [("labels", &declared.metadata.labels), ("annotations", &declared.metadata.annotations)] {
        if let Some(values) = values.as_ref().filter(|values| !values.is_empty()) {
            metadata.insert(field.to_owned(), json!(values));
        }
    }
    json!({"apiVersion": API_VERSION, "kind": "ConnectorInstance", "metadata": metadata, "spec": declared.spec})
}

fn secret(of: &InstanceRef, name: &str, values: &BTreeMap<String, Vec<u8>>) -> Value {
    let texts: Option<Map<_, _>> =
        values.iter().map(|(key, value)| Some((key.clone(), std::str::from_utf8(value).ok()?.into()))).collect();
    let (field, values) = match texts {
        Some(texts) => ("stringData", texts),
        None => ("data", values.iter().map(|(key, value)| (key.clone(), STANDARD.encode(value).into())).collect()),
    };
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata(&of.namespace, name), "type": "Opaque", field: values})
}

fn metadata(namespace: &str, name: &str) -> Map<String, Value> {
    [("name".to_owned(), json!(name)), ("namespace".to_owned(), json!(namespace))].into_iter().collect()
}

fn yaml(object: &Value) -> Result<String, InstancesError> {
    let mut text = serde_saphyr::to_string(object).map_err(|error| InstancesError::Refused(error.to_string()))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// The time as an API server writes it.
pub(super) fn now() -> Option<Time> {
    serde_json::from_value(json!(Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true))).ok()
}

/// Writes the number of an instance into its label.
pub(super) fn label(instance: &mut ConnectorInstance, identity: &str) {
    let labels = instance.metadata.labels.get_or_insert_default();
    labels.insert(NUMBER_LABEL.to_owned(), number(identity).to_string());
}

/// The file that is written for an instance.
pub(super) fn path_in(folder: &Path, of: &InstanceRef) -> PathBuf {
    // A namespace is a DNS label, so the first dot is unambiguous.
    folder.join(format!("{}.{}.yaml", of.namespace, of.name))
}

/// Whether an instance is declared in the file that is written for it here: with this identity, if the file says which one it has. A file that
/// came after the definitions were read counts.
pub fn is_declared(
    folder: Option<&Path>,
    declared: &BTreeMap<InstanceRef, Declared>,
    of: &InstanceRef,
    identity: Option<&str>,
) -> bool {
    let Some(path) = folder.map(|folder| path_in(folder, of)) else { return false };
    let Some(declared) = declared.get(of) else { return path.exists() };
    let labels = declared.instance.metadata.labels.as_ref();
    let said = labels.and_then(|labels| labels.get(NUMBER_LABEL)).zip(identity);
    *declared.file == *path.display().to_string() && said.is_none_or(|(label, identity)| *label == number(identity).to_string())
}

/// Annotations; none are the same as an empty map.
pub(super) fn annotations(instance: &ConnectorInstance) -> BTreeMap<String, String> {
    instance.metadata.annotations.clone().unwrap_or_default()
}
