//! The instances of a folder of manifests. What is created here gets a file of its own, and only such files are changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use parking_lot::RwLock;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use xxhash_rust::xxh3::xxh3_128;

use super::changes::StatusChanges;
use super::consents::ConsentPlans;
use super::{Instances, InstancesError, name_of, version_of};
use crate::api::API_VERSION;
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::api::manifest::{self, Manifest};
use crate::api::status::ConnectorInstanceStatus;
use crate::connect::candidate::consent_plan;
use crate::local::definitions::{Declared, Definitions, Planned};
use crate::operator::status;
use crate::plan::Oauth2Plan;
use crate::poll::status::InstanceStatus;
use crate::state::directory::Directory;
use crate::state::folder::replace;

/// First line of the files that are written here: what lacks it is somebody's own.
const MARK: &str = "# Managed by Pollinator, which replaces this file as a whole. Remove this line to manage it yourself.";

/// What is declared in files, as the definitions were last read, with what was written here since.
pub struct FolderInstances {
    /// Where new ones go; `None`: there are only single files, or standard input.
    folder: Option<PathBuf>,
    store: Arc<Directory>,
    known: RwLock<BTreeMap<InstanceRef, Known>>,
    reported: RwLock<BTreeMap<InstanceRef, Reported>>,
    changes: StatusChanges,
    /// One change at a time.
    writing: tokio::sync::Mutex<()>,
}

struct Known {
    declared: Declared,
    consent: Option<Arc<Oauth2Plan>>,
}

/// The last status of an instance.
struct Reported {
    status: Arc<InstanceStatus>,
    at: DateTime<Utc>,
}

impl FolderInstances {
    /// Takes over what the definitions say of instances. New ones are written to `folder`, which must be among the definitions'
    /// sources.
    pub fn new(folder: Option<PathBuf>, store: Arc<Directory>, definitions: &mut Definitions) -> Self {
        let new = Self {
            folder,
            store,
            known: RwLock::default(),
            reported: RwLock::default(),
            changes: StatusChanges::default(),
            writing: tokio::sync::Mutex::default(),
        };
        new.replace(definitions);
        new
    }

    /// The definitions were read anew.
    pub fn replace(&self, definitions: &mut Definitions) {
        let declared = std::mem::take(&mut definitions.declared);
        let consent = |planned: &Planned| consent_plan(&planned.plan).cloned();
        let known: BTreeMap<_, _> = declared
            .into_iter()
            .map(|(of, declared)| {
                let consent = definitions.planned.get(&of).and_then(consent);
                (of, Known { declared, consent })
            })
            .collect();
        self.reported.write().retain(|of, _| known.contains_key(of));
        *self.known.write() = known;
    }

    /// Takes a status in and tells the subscribers.
    pub fn note(&self, status: Arc<InstanceStatus>) {
        self.changes.publish(&status);
        if self.known.read().contains_key(&status.instance) {
            self.reported.write().insert(status.instance.clone(), Reported { status, at: Utc::now() });
        }
    }

    /// The instance as it is given out.
    fn shown(&self, of: &InstanceRef, instance: &ConnectorInstance) -> ConnectorInstance {
        let mut shown = instance.clone();
        shown.metadata.resource_version = Some(version(instance));
        shown.status = self.reported.read().get(of).and_then(told);
        shown
    }

    fn file(&self, of: &InstanceRef) -> Option<PathBuf> {
        // A namespace is a DNS label, so the first dot is unambiguous.
        self.folder.as_ref().map(|folder| folder.join(format!("{}.{}.yaml", of.namespace, of.name)))
    }

    /// The file of an instance that is managed here.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`], [`InstancesError::NotOurs`].
    fn own_file(&self, of: &InstanceRef) -> Result<PathBuf, InstancesError> {
        let known = self.known.read();
        let place = &known.get(of).ok_or_else(|| InstancesError::NotFound(of.clone()))?.declared.file;
        let own = self.file(of).filter(|own| own.display().to_string() == **place);
        own.ok_or_else(|| InstancesError::NotOurs(of.clone(), place.to_string()))
    }

    fn remember(&self, of: &InstanceRef, instance: ConnectorInstance, file: &Path) -> ConnectorInstance {
        let shown = self.shown(of, &instance);
        let declared = Declared { instance, file: file.display().to_string().into() };
        // It is planned when the files are looked at next.
        self.known.write().insert(of.clone(), Known { declared, consent: None });
        shown
    }
}

impl Instances for FolderInstances {
    fn list<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Result<Vec<ConnectorInstance>, InstancesError>> {
        Box::pin(async move {
            let known = self.known.read();
            let asked = known.iter().filter(|(of, _)| namespace.is_none_or(|namespace| *of.namespace == *namespace));
            Ok(asked.map(|(of, known)| self.shown(of, &known.declared.instance)).collect())
        })
    }

    fn get<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<ConnectorInstance, InstancesError>> {
        Box::pin(async move {
            let mut shown = match self.known.read().get(of) {
                Some(known) => self.shown(of, &known.declared.instance),
                None => return Err(InstancesError::NotFound(of.clone())),
            };
            shown.metadata.uid = self.store.uid(of).map_err(InstancesError::State)?;
            Ok(shown)
        })
    }

    /// The engine takes it up as any other edit of the folder, about two seconds later.
    fn create(&self, new: ConnectorInstance) -> BoxFuture<'_, Result<ConnectorInstance, InstancesError>> {
        Box::pin(async move {
            let of = name_of(&new)?;
            let file = self.file(&of).ok_or(InstancesError::NoFolder)?;
            let (text, instance) = manifest(&of, &new)?;
            let _alone = self.writing.lock().await;
            if self.known.read().contains_key(&of) {
                return Err(InstancesError::Exists(of));
            }
            let (own, path) = (of.clone(), file.clone());
            blocking(&file, move || {
                // It may declare what was not looked at yet, or what is not understood.
                if path.try_exists().map_err(|error| failed(&path, error))? {
                    return Err(InstancesError::NotOurs(own, path.display().to_string()));
                }
                replace(&path, text.as_bytes()).map_err(|error| failed(&path, error))
            })
            .await?;
            Ok(self.remember(&of, instance, &file))
        })
    }

    /// The engine takes it up as any other edit of the folder, about two seconds later.
    fn update(&self, changed: ConnectorInstance) -> BoxFuture<'_, Result<ConnectorInstance, InstancesError>> {
        Box::pin(async move {
            let of = name_of(&changed)?;
            let read = version_of(&changed)?.to_owned();
            let (text, instance) = manifest(&of, &changed)?;
            let _alone = self.writing.lock().await;
            let file = self.own_file(&of)?;
            let (own, path) = (of.clone(), file.clone());
            blocking(&file, move || {
                if version(&stored(&path, &own)?) != read {
                    return Err(InstancesError::Changed(own));
                }
                replace(&path, text.as_bytes()).map_err(|error| failed(&path, error))
            })
            .await?;
            Ok(self.remember(&of, instance, &file))
        })
    }

    /// The engine lets go of it about two seconds later. Its state stays in the state folder.
    fn delete<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<(), InstancesError>> {
        Box::pin(async move {
            let _alone = self.writing.lock().await;
            let file = self.own_file(of)?;
            if self.known.read().len() == 1 {
                return Err(InstancesError::Last(of.clone()));
            }
            let (own, path) = (of.clone(), file.clone());
            blocking(&file, move || {
                stored(&path, &own)?;
                remove(&path).map_err(|error| failed(&path, error))
            })
            .await?;
            self.known.write().remove(of);
            self.reported.write().remove(of);
            Ok(())
        })
    }

    fn changes(&self) -> broadcast::Receiver<Arc<InstanceStatus>> {
        self.changes.subscribe()
    }
}

impl ConsentPlans for FolderInstances {
    /// As the definitions were last planned, which is what the engine runs.
    fn consent_plan(&self, instance: &ConnectorInstance) -> Option<Arc<Oauth2Plan>> {
        let of = name_of(instance).ok()?;
        self.known.read().get(&of)?.consent.clone()
    }

    /// All instances that name the Secret share its tokens.
    fn sharing(&self, of: &InstanceRef) -> Vec<InstanceRef> {
        let known = self.known.read();
        let Some(own) = known.get(of).and_then(|known| known.consent.as_ref()) else { return Vec::new() };
        let plans = known.iter().filter_map(|(other, known)| Some((other, known.consent.as_ref()?)));
        let sharing = plans.filter(|(other, plan)| other.namespace == of.namespace && plan.secret == own.secret);
        sharing.map(|(other, _)| other.clone()).collect()
    }
}

/// The text of a manifest with what a caller decides, and what it declares: the same to the last default.
///
/// # Errors
/// [`InstancesError::Refused`]: what an API server would refuse, too.
fn manifest(of: &InstanceRef, declared: &ConnectorInstance) -> Result<(String, ConnectorInstance), InstancesError> {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(of.name));
    metadata.insert("namespace".to_owned(), json!(of.namespace));
    for (field, values) in [("labels", &declared.metadata.labels), ("annotations", &declared.metadata.annotations)] {
        if let Some(values) = values.as_ref().filter(|values| !values.is_empty()) {
            metadata.insert(field.to_owned(), json!(values));
        }
    }
    let object = json!({
        "apiVersion": API_VERSION, "kind": "ConnectorInstance", "metadata": metadata, "spec": declared.spec,
    });
    let text = serde_saphyr::to_string(&object).map_err(|error| InstancesError::Refused(error.to_string()))?;
    let text = format!("{MARK}\n{text}");
    let mut read = manifest::read("", &text);
    match (read.manifests.pop(), &*read.errors) {
        (Some((_, Manifest::ConnectorInstance(instance))), []) => Ok((text, *instance)),
        (_, errors) => {
            let findings: Vec<_> = errors.iter().map(|error| error.finding.to_string()).collect();
            Err(InstancesError::Refused(findings.join("\n")))
        }
    }
}

/// The instance that a file holds, if it is one that is managed here and holds no other.
///
/// # Errors
/// [`InstancesError::NotOurs`], [`InstancesError::File`].
fn stored(path: &Path, of: &InstanceRef) -> Result<ConnectorInstance, InstancesError> {
    let text = fs::read_to_string(path).map_err(|error| failed(path, error))?;
    let read = manifest::read("", &text);
    let mut manifests = read.manifests.into_iter().map(|(_, manifest)| manifest);
    match (manifests.next(), manifests.next()) {
        (Some(Manifest::ConnectorInstance(instance)), None)
            if text.starts_with(MARK) && read.errors.is_empty() && name_of(&instance).is_ok_and(|name| name == *of) =>
        {
            Ok(*instance)
        }
        _ => Err(InstancesError::NotOurs(of.clone(), path.display().to_string())),
    }
}

/// What guards an update: it is another one after every change of what a caller decides.
fn version(instance: &ConnectorInstance) -> String {
    let metadata = &instance.metadata;
    format!("{:032x}", xxh3_128(json!([metadata.labels, metadata.annotations, instance.spec]).to_string().as_bytes()))
}

/// A report in the form of a status. Its conditions hold since then at the latest.
fn told(reported: &Reported) -> Option<ConnectorInstanceStatus> {
    let Reported { status: report, at } = reported;
    let mut told = Map::new();
    status::lay(&mut told, report, true, *at);
    status::lay_times(&mut told, report);
    for (field, value) in [
        ("delivered", json!(report.delivered)),
        ("parked", json!(report.parked)),
        ("setAside", json!(report.set_aside)),
        ("waiting", json!(report.waiting)),
        ("lastChangeTime", json!(report.last_change_time)),
    ] {
        told.insert(field.to_owned(), value);
    }
    ConnectorInstanceStatus::deserialize(Value::Object(told)).ok()
}

/// Removes a file for good.
fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn failed(path: &Path, source: io::Error) -> InstancesError {
    InstancesError::File { path: path.to_owned(), source }
}

/// Does slow things to a file where they hold up nobody.
async fn blocking(
    path: &Path,
    work: impl FnOnce() -> Result<(), InstancesError> + Send + 'static,
) -> Result<(), InstancesError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(path, io::Error::other(error))))
}

#[cfg(test)]
mod tests;
