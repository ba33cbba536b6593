//! Instances as a service: what serves people lists, reads, creates, changes and deletes them here, and hears how they are,
//! without knowing whether they live in a [`folder`] or in a [`cluster`].
//!
//! The connect page reads through it ([`consents`]).

pub mod brief;
pub mod callers;
pub mod changes;
pub mod cluster;
pub mod consents;
pub mod current;
pub mod folder;
pub mod glance;
mod own_secrets;
pub mod receiver;
pub mod secret_edits;
pub mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::broadcast;

use glance::Glance;
use secret_edits::SecretEdits;
use waiting::WaitingEvent;

use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::identity::{InstanceRef, NUMBER_LABEL, SecretRef};
use crate::api::instance::ConnectorInstance;
use crate::operator::cluster::CallError;
use crate::poll::status::InstanceStatus;
use crate::state::wish::Wish;

/// The instances of a folder or of a cluster, as one caller may see and change them.
///
/// An instance that is read has its namespace and name, labels, annotations, spec, and a `resourceVersion` that guards an
/// [`update`](Self::update). Once it has begun it has a uid, and the label [`NUMBER_LABEL`] with the number of its identity, whatever is
/// stored. Its status is the last one that was reported; what only the engine reads of it is left out.
pub trait Instances: Send + Sync {
    /// All instances of a namespace, or of all namespaces that are looked at, by namespace and name.
    ///
    /// # Errors
    /// [`InstancesError::Call`].
    fn list<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Result<Vec<ConnectorInstance>, InstancesError>>;

    /// One line about each, in no order.
    ///
    /// # Errors
    /// [`InstancesError::Call`].
    fn glances<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Glance>, InstancesError>> {
        Box::pin(async move { Ok(self.list(namespace).await?.iter().map(Glance::of).collect()) })
    }

    /// One instance.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`], [`InstancesError::NotUnderstood`], [`InstancesError::State`], [`InstancesError::Call`].
    fn get<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<ConnectorInstance, InstancesError>>;

    /// Declares a new one with the namespace and name, labels, annotations and spec of `new`, and its Secrets: all or nothing. Where it
    /// is there already with the same annotations, spec and Secrets, that one is meant: a repeated call makes no second one.
    ///
    /// # Errors
    /// [`InstancesError::Exists`], [`InstancesError::Leaving`], [`InstancesError::SecretNotOurs`], [`InstancesError::Refused`] and
    /// those of writing.
    fn create(&self, new: ConnectorInstance, secrets: SecretEdits) -> BoxFuture<'_, Result<Created, InstancesError>>;

    /// Replaces labels, annotations and spec of an instance that was read before, and edits its Secrets: `metadata.resourceVersion` must
    /// be that of the reading. Returns it as it is stored.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`], [`InstancesError::Changed`], [`InstancesError::SecretNotOurs`],
    /// [`InstancesError::SecretsNotSaved`], [`InstancesError::Refused`] and those of writing.
    fn update(
        &self,
        changed: ConnectorInstance,
        secrets: SecretEdits,
    ) -> BoxFuture<'_, Result<ConnectorInstance, InstancesError>>;

    /// Deletes an instance, and with it its state and the Secrets that were created with it.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`] and those of writing.
    fn delete<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<(), InstancesError>>;

    /// One instance, and who declares it where that is not this product: a change of its spec belongs there.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn get_declared<'a>(
        &'a self,
        of: &'a InstanceRef,
    ) -> BoxFuture<'a, Result<(ConnectorInstance, Option<String>), InstancesError>>;

    /// The values of a Secret that an instance names, for a trial of the instance. `None`: it is not kept with the instance, is not there,
    /// or the caller may not read it.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`], [`InstancesError::File`], [`InstancesError::Call`].
    fn stored_secret<'a>(
        &'a self,
        of: &'a InstanceRef,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretEdits>, InstancesError>>;

    /// The events of an instance that wait for their next try or for a person, oldest first, as they were last stored.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`], [`InstancesError::State`], [`InstancesError::Call`].
    fn waiting<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<Vec<WaitingEvent>, InstancesError>>;

    /// Asks the engine that runs an instance for something that changes no manifest: whatever declares it, a caller that may change it may
    /// ask. It is done a moment later.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`], [`InstancesError::NotRun`], [`InstancesError::Pending`], [`InstancesError::Changed`] and those of
    /// writing.
    fn ask<'a>(&'a self, of: &'a InstanceRef, wish: Wish) -> BoxFuture<'a, Result<(), InstancesError>>;

    /// The settings of the connector that an instance in a namespace means by a name.
    ///
    /// # Errors
    /// [`InstancesError::Call`].
    fn connector<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<ConnectorSpec>, InstancesError>>;

    /// Names of all connectors that an instance in a namespace can name.
    ///
    /// # Errors
    /// [`InstancesError::Call`].
    fn connectors<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<BTreeSet<String>, InstancesError>>;

    /// Titles of all connectors that an instance in a namespace can name, by name; the name of one without a title.
    ///
    /// # Errors
    /// [`InstancesError::Call`].
    fn titles<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<BTreeMap<String, String>, InstancesError>> {
        Box::pin(async move {
            let mut titles = BTreeMap::new();
            for name in self.connectors(namespace).await? {
                let spec = self.connector(namespace, &name).await?;
                let title = spec.and_then(|spec| spec.title).unwrap_or_else(|| name.clone());
                titles.insert(name, title);
            }
            Ok(titles)
        })
    }

    /// The namespaces that are looked at; none: all.
    fn watched(&self) -> &[String] {
        &[]
    }

    /// Whether the caller may do something in a namespace, or in all. In a folder everyone who gets in may do everything.
    ///
    /// # Errors
    /// [`InstancesError::Call`].
    fn may<'a>(&'a self, _: Right, _: Option<&'a str>) -> BoxFuture<'a, Result<bool, InstancesError>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    /// The statuses that this process reports from now on, of the instances that it runs. A subscriber that reads too slowly gets
    /// [`Lagged`](broadcast::error::RecvError::Lagged) and reads what it needs with [`get`](Self::get).
    fn changes(&self) -> broadcast::Receiver<Arc<InstanceStatus>>;
}

/// What a caller may do with the instances of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Add one, with its Secrets.
    Create,
    /// Change one, or ask for something ([`Instances::ask`]).
    Change,
    /// Delete one.
    Delete,
}

/// What came of a wish for a new instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// As it is stored.
    pub instance: ConnectorInstance,
    /// It was not there before.
    pub is_new: bool,
}

/// The number of an instance that was read (see [`identity::number`](crate::api::identity::number)); none before it has begun.
pub fn number_of(instance: &ConnectorInstance) -> Option<u64> {
    instance.metadata.uid.as_ref()?;
    instance.metadata.labels.as_ref()?.get(NUMBER_LABEL)?.parse().ok()
}

/// Why instances cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum InstancesError {
    /// There is none of that name.
    #[error("there is no instance {0}")]
    NotFound(InstanceRef),
    /// There is one of that name.
    #[error("there is an instance {0} already, and it is another one; change that one, or choose another name")]
    Exists(InstanceRef),
    /// The one of that name was deleted, and the engine has not let go of it yet.
    #[error("the instance {0} that was deleted is still ending; try again in a few seconds")]
    Leaving(InstanceRef),
    /// A Secret of that name did not come with the instance.
    #[error(
        "Secret {0} does not belong to this instance; change it where it is declared, or choose another name for the instance"
    )]
    SecretNotOurs(SecretRef),
    /// The instance was changed, and its Secrets were not.
    #[error("the settings of instance {0} were saved, and its credentials were not: {1}; enter the credentials again")]
    SecretsNotSaved(InstanceRef, #[source] Box<InstancesError>),
    /// Someone else changed it since it was read.
    #[error("instance {0} has changed since it was read; read it again and repeat the change")]
    Changed(InstanceRef),
    /// There is no room for another wish until the engine has acted on earlier ones.
    #[error("instance {0} has requests that were not acted on yet; try again in a few seconds")]
    Pending(InstanceRef),
    /// It is declared and cannot be run.
    #[error("nothing was done, because instance {0} is not run; its conditions say why: fix that and try again")]
    NotRun(InstanceRef),
    /// What was sent is no valid instance; one line for each field.
    #[error("{0}")]
    Refused(String),
    /// The stored object is of a version that this one does not understand.
    #[error("instance {0} is not understood: {1}; run the version of Pollinator that it was written for")]
    NotUnderstood(InstanceRef, #[source] serde_json::Error),
    /// It is in a file that was not written here.
    #[error("instance {0} is declared in {1}, which Pollinator does not manage; change it there")]
    NotOurs(InstanceRef, String),
    /// Its own file was edited, and no longer declares it.
    #[error("{1}, the file of instance {0}, cannot be used: {2}; fix the file, or remove it to end the instance")]
    Damaged(InstanceRef, String, String),
    /// `local` does not run without an instance.
    #[error("{0} is the only instance, and there must be one; set spec.suspend to true, or stop the process")]
    Last(InstanceRef),
    /// The definitions come from standard input or from single files.
    #[error("no folder of manifests was given, so there is no place to write instances to; name one as PATH")]
    NoFolder,
    /// The state of the instance cannot be read.
    #[error("{0}")]
    State(Problem),
    /// A manifest cannot be written, read or removed.
    #[error("{path}: {source}; make room, or make the folder writable")]
    File {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The API server did not do it.
    #[error("the API server: {0}")]
    Call(#[from] CallError),
}

/// The name of an instance that has both of its parts.
///
/// # Errors
/// [`InstancesError::Refused`].
fn name_of(instance: &ConnectorInstance) -> Result<InstanceRef, InstancesError> {
    let part = |field: &str, value: &Option<String>| {
        value.as_deref().filter(|value| !value.is_empty()).map(Arc::from).ok_or_else(|| required(field, "name it"))
    };
    let namespace = part("metadata.namespace", &instance.metadata.namespace)?;
    Ok(InstanceRef { namespace, name: part("metadata.name", &instance.metadata.name)? })
}

/// The version that was read.
///
/// # Errors
/// [`InstancesError::Refused`].
fn version_of(instance: &ConnectorInstance) -> Result<&str, InstancesError> {
    let version = instance.metadata.resource_version.as_deref();
    version
        .ok_or_else(|| required("metadata.resourceVersion", "read the instance, change it, and send it back with its version"))
}

fn required(field: &str, fix: &str) -> InstancesError {
    InstancesError::Refused(format!("{field}: Required value: {fix}"))
}
