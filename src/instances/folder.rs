//! The instances of a folder of manifests. What is created here gets a file of its own, and only such files are changed.

mod consents;
mod kept;
mod known;
mod made;
mod own_file;
mod reported;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use serde_json::json;
use tokio::sync::{broadcast, mpsc, oneshot};
use xxhash_rust::xxh3::xxh3_128;

use super::changes::StatusChanges;
use super::glance::Glance;
use super::secret_edits::SecretEdits;
use super::waiting::WaitingEvent;
use super::{Created, Instances, InstancesError, name_of, version_of};
use crate::api::connector::ConnectorSpec;
use crate::api::identity::{InstanceRef, SecretRef};
use crate::api::instance::ConnectorInstance;
use crate::catalog;
use crate::connect::candidate::consent_plan;
use crate::local::definitions::{ConnectorSpecs, Definitions, Planned};
use crate::local::files::Least;
use crate::poll::command::{Command, Granting};
use crate::poll::status::InstanceStatus;
use crate::state::directory::Directory;
use crate::state::folder::replace;
use crate::state::wish::Wish;
use kept::keep;
use known::{Known, Manifest};
use made::Made;
pub use own_file::is_declared;
use own_file::{OwnFile, annotations, blocking, failed, label, now, path_in, remove, remove_unfinished, stored};
use reported::{Reported, told};

/// What is declared in files, as the definitions were last read, with what was written here since.
pub struct FolderInstances {
    /// Where new ones go; `None`: there are only single files, or standard input.
    folder: Option<PathBuf>,
    store: Arc<Directory>,
    /// How many instances there must be.
    least: Least,
    known: RwLock<BTreeMap<InstanceRef, Known>>,
    /// What was changed here since the files were last read. Locked after `known`.
    made: Mutex<Made>,
    /// Secrets in all files.
    secrets: RwLock<BTreeSet<SecretRef>>,
    connectors: RwLock<Arc<ConnectorSpecs>>,
    reported: RwLock<BTreeMap<InstanceRef, Reported>>,
    changes: StatusChanges,
    /// To the engine of this process.
    commands: mpsc::Sender<Vec<Command>>,
    /// One change at a time.
    writing: tokio::sync::Mutex<()>,
}

impl FolderInstances {
    /// Takes over what the definitions say of instances. New ones are written to `folder`, which must be among the definitions'
    /// sources; `least` of them must stay. What is asked of running ones goes to `commands`.
    pub fn new(
        folder: Option<PathBuf>,
        store: Arc<Directory>,
        least: Least,
        definitions: &mut Definitions,
        commands: mpsc::Sender<Vec<Command>>,
    ) -> Self {
        let new = Self {
            folder,
            store,
            least,
            secrets: RwLock::default(),
            connectors: RwLock::default(),
            known: RwLock::default(),
            made: Mutex::default(),
            reported: RwLock::default(),
            changes: StatusChanges::default(),
            commands,
            writing: tokio::sync::Mutex::default(),
        };
        if let Some(folder) = &new.folder {
            remove_unfinished(folder);
        }
        new.replace(definitions);
        new
    }

    /// The definitions are about to be read again.
    pub fn begin_reading(&self) {
        self.made.lock().begin_reading();
    }

    /// The definitions were read again. What was changed here meanwhile stays as it is until the next reading, which has it.
    pub fn replace(&self, definitions: &mut Definitions) {
        let declared = std::mem::take(&mut definitions.declared);
        *self.connectors.write() = Arc::clone(&definitions.connectors);
        let mut secrets: BTreeSet<_> =
            definitions.secrets.names().map(|(namespace, name)| SecretRef::new(namespace, name)).collect();
        let consent = |planned: &Planned| consent_plan(&planned.plan).cloned();
        let mut read: BTreeMap<_, _> = declared
            .into_iter()
            .map(|(of, declared)| {
                let consent = definitions.planned.get(&of).and_then(consent);
                let mut known = Known::new(&of, &declared.instance, declared.file);
                (known.is_read, known.consent) = (true, consent);
                (of, known)
            })
            .collect();
        let mut known = self.known.write();
        self.made.lock().put_over(&mut read, &mut secrets, &mut known, definitions);
        *self.secrets.write() = secrets;
        keep(definitions, &mut read, &mut known);
        self.reported.write().retain(|of, _| read.contains_key(of));
        *known = read;
    }

    /// Takes a status in and sends it to the subscribers.
    pub fn note(&self, status: Arc<InstanceStatus>) {
        self.changes.publish(&status);
        if self.known.read().contains_key(&status.instance) {
            self.reported.write().insert(status.instance.clone(), Reported { status, at: Utc::now() });
        }
    }

    /// The instance as it is given out.
    fn shown(&self, of: &InstanceRef, mut shown: ConnectorInstance) -> ConnectorInstance {
        shown.metadata.resource_version = Some(version(&shown));
        if let Ok(Some((uid, identity))) = self.store.ids(of) {
            label(&mut shown, &identity);
            shown.metadata.uid = Some(uid);
        }
        shown.status = self.reported.read().get(of).and_then(told);
        shown
    }

    /// Whether there is a Secret of that name in any file.
    fn has_secret(&self, of: &InstanceRef, name: &str) -> bool {
        self.secrets.read().contains(&SecretRef::new(Arc::clone(&of.namespace), name))
    }

    fn file(&self, of: &InstanceRef) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| path_in(folder, of))
    }

    /// The file of an instance that is managed here.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`], [`InstancesError::NotOurs`].
    fn own_file(&self, of: &InstanceRef) -> Result<PathBuf, InstancesError> {
        let known = self.known.read();
        let place = &known.get(of).ok_or_else(|| InstancesError::NotFound(of.clone()))?.file;
        let own = self.file(of).filter(|own| own.display().to_string() == **place);
        own.ok_or_else(|| InstancesError::NotOurs(of.clone(), place.to_string()))
    }

    fn remember(&self, of: &InstanceRef, instance: ConnectorInstance, file: &Path) -> ConnectorInstance {
        let mut new = Known::new(of, &instance, file.display().to_string().into());
        let mut known = self.known.write();
        new.is_read = known.get(of).is_some_and(|known| known.is_read);
        // It is planned when the files are looked at next.
        known.insert(of.clone(), new);
        self.made.lock().written(of);
        drop(known);
        self.shown(of, instance)
    }
}

impl Instances for FolderInstances {
    fn list<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Result<Vec<ConnectorInstance>, InstancesError>> {
        Box::pin(async move {
            let asked: Vec<(InstanceRef, Manifest)> = {
                let known = self.known.read();
                let asked = known.iter().filter(|(of, _)| namespace.is_none_or(|namespace| *of.namespace == *namespace));
                asked.map(|(of, known)| (of.clone(), known.manifest())).collect()
            };
            // Each reads a file, which no lock may wait for.
            asked.into_iter().map(|(of, manifest)| Ok(self.shown(&of, manifest.read(&of)?))).collect()
        })
    }

    /// No file is read.
    fn glances<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Glance>, InstancesError>> {
        Box::pin(async move {
            let (known, reported) = (self.known.read(), self.reported.read());
            let asked = known.iter().filter(|(of, _)| namespace.is_none_or(|namespace| *of.namespace == *namespace));
            let glance = |(of, known): (_, &Known)| Glance::reported(known.brief(), reported.get(of).map(|own| &*own.status));
            Ok(asked.map(glance).collect())
        })
    }

    fn get<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<ConnectorInstance, InstancesError>> {
        Box::pin(async move {
            // An error here says what keeps it from being read.
            self.store.ids(of).map_err(InstancesError::State)?;
            let manifest = self.known.read().get(of).map(Known::manifest);
            let manifest = manifest.ok_or_else(|| InstancesError::NotFound(of.clone()))?;
            Ok(self.shown(of, manifest.read(of)?))
        })
    }

    /// The engine takes it up as any other edit of the folder, about two seconds later.
    fn create(&self, new: ConnectorInstance, secrets: SecretEdits) -> BoxFuture<'_, Result<Created, InstancesError>> {
        Box::pin(async move {
            let of = name_of(&new)?;
            let file = self.file(&of).ok_or(InstancesError::NoFolder)?;
            let _alone = self.writing.lock().await;
            if self.store.is_leaving(&of) {
                return Err(InstancesError::Leaving(of));
            }
            let is_declared = self.known.read().contains_key(&of);
            let taken: Vec<_> = secrets.names().filter(|name| self.has_secret(&of, name)).map(str::to_owned).collect();
            let (own, path, store) = (of.clone(), file.clone(), Arc::clone(&self.store));
            let (instance, is_new) = blocking(&file, move || {
                if path.try_exists().map_err(|error| failed(&path, error))? {
                    // It may declare what was not looked at yet, or what is not understood.
                    let there = stored(&path, &own)?;
                    let is_same = there.instance.spec == new.spec && annotations(&there.instance) == annotations(&new);
                    let is_same = is_same && there.has(&secrets);
                    return if is_same { Ok((there.instance, false)) } else { Err(InstancesError::Exists(own)) };
                }
                if is_declared {
                    return Err(InstancesError::Exists(own));
                }
                if let Some(name) = taken.into_iter().next() {
                    return Err(InstancesError::SecretNotOurs(SecretRef::new(own.namespace, name)));
                }
                let uid = uuid::Uuid::new_v4().to_string();
                let mut written = OwnFile::new(new);
                written.instance.metadata.creation_timestamp = now();
                label(&mut written.instance, &uid);
                written.edit(&secrets);
                let (text, instance) = written.write(&own)?;
                store.begin(&own, uid, secrets.names()).map_err(InstancesError::State)?;
                let written = replace(&path, text.as_bytes());
                match &written {
                    Ok(()) => store.confirm(&own),
                    Err(_) => store.erase(&own, secrets.names()),
                }
                written.map_err(|error| failed(&path, error))?;
                Ok((instance, true))
            })
            .await?;
            let instance = if is_new { self.remember(&of, instance, &file) } else { self.shown(&of, instance) };
            Ok(Created { instance, is_new })
        })
    }

    /// The engine takes it up as any other edit of the folder, about two seconds later.
    fn update(
        &self,
        changed: ConnectorInstance,
        secrets: SecretEdits,
    ) -> BoxFuture<'_, Result<ConnectorInstance, InstancesError>> {
        Box::pin(async move {
            let of = name_of(&changed)?;
            let read = version_of(&changed)?.to_owned();
            let _alone = self.writing.lock().await;
            let file = self.own_file(&of)?;
            let elsewhere: Vec<_> = secrets.names().filter(|name| self.has_secret(&of, name)).map(str::to_owned).collect();
            let (own, path) = (of.clone(), file.clone());
            let instance = blocking(&file, move || {
                let mut there = stored(&path, &own)?;
                if version(&there.instance) != read {
                    return Err(InstancesError::Changed(own));
                }
                let strange = elsewhere.into_iter().find(|name| there.secrets().all(|own| own != name));
                if let Some(name) = strange {
                    return Err(InstancesError::SecretNotOurs(SecretRef::new(own.namespace, name)));
                }
                there.instance = changed;
                there.edit(&secrets);
                let (text, instance) = there.write(&own)?;
                replace(&path, text.as_bytes()).map_err(|error| failed(&path, error))?;
                Ok(instance)
            })
            .await?;
            Ok(self.remember(&of, instance, &file))
        })
    }

    /// The engine lets go of it about two seconds later. Its Secrets go with its file, and its state once the engine has let go.
    fn delete<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<(), InstancesError>> {
        Box::pin(async move {
            let _alone = self.writing.lock().await;
            let file = self.own_file(of)?;
            if self.known.read().len() == 1 && self.least == Least::One {
                return Err(InstancesError::Last(of.clone()));
            }
            let is_running = self.known.read().get(of).is_some_and(|known| known.is_read);
            let (own, path, store) = (of.clone(), file.clone(), Arc::clone(&self.store));
            let secrets = blocking(&file, move || {
                let secrets: Vec<String> = stored(&path, &own)?.secrets().map(str::to_owned).collect();
                store.leave(&own, &secrets);
                remove(&path).inspect_err(|_| store.confirm(&own)).map_err(|error| failed(&path, error))?;
                store.forget(&own, secrets.clone(), is_running);
                Ok(secrets)
            })
            .await?;
            let mut known = self.known.write();
            known.remove(of);
            self.reported.write().remove(of);
            self.secrets.write().retain(|place| place.namespace != of.namespace || !secrets.iter().any(|s| **s == *place.name));
            self.made.lock().deleted(of, secrets);
            Ok(())
        })
    }

    fn get_declared<'a>(
        &'a self,
        of: &'a InstanceRef,
    ) -> BoxFuture<'a, Result<(ConnectorInstance, Option<String>), InstancesError>> {
        Box::pin(async move {
            let instance = self.get(of).await?;
            match self.own_file(of) {
                Ok(_) => Ok((instance, None)),
                Err(InstancesError::NotOurs(_, file)) => Ok((instance, Some(file))),
                Err(error) => Err(error),
            }
        })
    }

    /// Of Secrets in other files no more than their names is known here.
    fn stored_secret<'a>(
        &'a self,
        of: &'a InstanceRef,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretEdits>, InstancesError>> {
        Box::pin(async move {
            let (own, path, wanted) = (of.clone(), self.own_file(of)?, name.to_owned());
            blocking(&path.clone(), move || Ok(stored(&path, &own)?.values(&wanted))).await
        })
    }

    fn waiting<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<Vec<WaitingEvent>, InstancesError>> {
        Box::pin(async move {
            if !self.known.read().contains_key(of) {
                return Err(InstancesError::NotFound(of.clone()));
            }
            self.store.queued(of).map(|queued| queued.iter().map(WaitingEvent::from).collect()).map_err(InstancesError::State)
        })
    }

    /// The engine gets it: the manifest may be in a file that is not written here.
    fn ask<'a>(&'a self, of: &'a InstanceRef, wish: Wish) -> BoxFuture<'a, Result<(), InstancesError>> {
        Box::pin(async move {
            if !self.known.read().contains_key(of) {
                return Err(InstancesError::NotFound(of.clone()));
            }
            let (answer, answered) = oneshot::channel();
            // The process ends when the engine has ended.
            let _ = self.commands.send(vec![Command::Ask { instance: of.clone(), wish, answer }]).await;
            match answered.await {
                Ok(Granting::NotRun) => Err(InstancesError::NotRun(of.clone())),
                Ok(Granting::Granted) | Err(_) => Ok(()),
            }
        })
    }

    fn connector<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<ConnectorSpec>, InstancesError>> {
        Box::pin(async move {
            let connectors = self.connectors.read();
            let found = catalog::look_up(namespace, name, &connectors.declared, &connectors.mounted);
            Ok(found.map(|(_, spec)| spec.clone()))
        })
    }

    fn connectors<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<BTreeSet<String>, InstancesError>> {
        Box::pin(async move {
            let connectors = self.connectors.read();
            let declared = connectors.declared.keys().filter(|of| *of.namespace == *namespace).map(|of| of.name.to_string());
            let mounted = connectors.mounted.keys().cloned();
            Ok(catalog::names().map(str::to_owned).chain(declared).chain(mounted).collect())
        })
    }

    fn changes(&self) -> broadcast::Receiver<Arc<InstanceStatus>> {
        self.changes.subscribe()
    }
}

/// What guards an update: it is another one after every change of what a caller decides.
fn version(instance: &ConnectorInstance) -> String {
    let metadata = &instance.metadata;
    format!("{:032x}", xxh3_128(json!([metadata.labels, metadata.annotations, instance.spec]).to_string().as_bytes()))
}

#[cfg(test)]
mod tests;
