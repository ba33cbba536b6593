//! Instances as a service: what serves people lists, reads, creates, changes and deletes them here, and hears how they are,
//! without knowing whether they live in a [`folder`] or in a [`cluster`].
//!
//! The connect page reads through it ([`consents`]).

pub mod changes;
pub mod cluster;
pub mod consents;
pub mod folder;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::broadcast;

use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::operator::cluster::CallError;
use crate::poll::status::InstanceStatus;

/// The instances of a folder or of a cluster, as one caller may see and change them.
///
/// An instance that is read has its namespace and name, labels, annotations, spec, and a `resourceVersion` that guards an
/// [`update`](Self::update). Its status is the last one that was reported; what only the engine reads of it is left out.
pub trait Instances: Send + Sync {
    /// All instances of a namespace, or of all namespaces that are looked at, by namespace and name. In a folder they have no uid.
    ///
    /// # Errors
    /// [`InstancesError::Call`].
    fn list<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Result<Vec<ConnectorInstance>, InstancesError>>;

    /// One instance.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`], [`InstancesError::NotUnderstood`], [`InstancesError::State`], [`InstancesError::Call`].
    fn get<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<ConnectorInstance, InstancesError>>;

    /// Declares a new one with the namespace and name, labels, annotations and spec of `new`, and returns it as it is stored.
    ///
    /// # Errors
    /// [`InstancesError::Exists`], [`InstancesError::Refused`] and those of writing.
    fn create(&self, new: ConnectorInstance) -> BoxFuture<'_, Result<ConnectorInstance, InstancesError>>;

    /// Replaces labels, annotations and spec of an instance that was read before: `metadata.resourceVersion` must be that of the
    /// reading. Returns it as it is stored.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`], [`InstancesError::Changed`], [`InstancesError::Refused`] and those of writing.
    fn update(&self, changed: ConnectorInstance) -> BoxFuture<'_, Result<ConnectorInstance, InstancesError>>;

    /// Deletes an instance, and with it its state.
    ///
    /// # Errors
    /// [`InstancesError::NotFound`] and those of writing.
    fn delete<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<(), InstancesError>>;

    /// The statuses that this process reports from now on, of the instances that it runs. Who reads too slowly is told
    /// [`Lagged`](broadcast::error::RecvError::Lagged) and reads what it needs with [`get`](Self::get).
    fn changes(&self) -> broadcast::Receiver<Arc<InstanceStatus>>;
}

/// Why instances cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum InstancesError {
    /// There is none of that name.
    #[error("there is no instance {0}")]
    NotFound(InstanceRef),
    /// There is one of that name.
    #[error("there is an instance {0} already; choose another name")]
    Exists(InstanceRef),
    /// Someone else changed it since it was read.
    #[error("instance {0} has changed since it was read; read it again and repeat the change")]
    Changed(InstanceRef),
    /// What was sent is no valid instance; one line for each field.
    #[error("{0}")]
    Refused(String),
    /// The stored object is of a version that this one does not understand.
    #[error("instance {0} is not understood: {1}; run the version of Pollinator that it was written for")]
    NotUnderstood(InstanceRef, #[source] serde_json::Error),
    /// It stands in a file that was not written here.
    #[error("instance {0} is declared in {1}, which Pollinator does not manage; change it there")]
    NotOurs(InstanceRef, String),
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
