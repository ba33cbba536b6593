//! A store outside the API server for known sets that are too large for it: a shared folder, or a bucket of a cloud.
//!
//! ```text
//!   instances/<uid>/<set>/index, instances/<uid>/<set>/<partition>   known sets (see external_set)
//!   clusters/<cluster>/<namespace>/<uid>                             which cluster collects them when the instance is gone
//! ```

use std::io;
use std::sync::Arc;

use super::blob::{Blob, BlobStore, PutError, Tag};
#[cfg(feature = "object-store")]
use super::bucket::Bucket;
use super::shared_folder::SharedFolder;
use super::store_url::StoreUrl;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceId;

const INSTANCES: &str = "instances";
const CLUSTERS: &str = "clusters";
/// Longest text in which a cluster is named.
const CLUSTER_DIGITS: usize = 16;

/// Why the store does not do what it is asked for. Each is another next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// This program cannot use buckets.
    #[error("this build of Pollinator has no object stores; use a released one, or build it with the feature object-store")]
    NotBuilt,
    /// The environment says nothing that can be used.
    #[error(
        "the credentials or the end point of the object store cannot be used; check the environment of the process, the log has the cause"
    )]
    Configuration,
    /// It knows the caller not, or does not permit the call.
    #[error("the state store denies access; allow the operator to get, put, list and delete objects under --state-store")]
    Denied,
    /// There is no such bucket.
    #[error("the state store does not exist; create the bucket or the folder that --state-store names")]
    NoBucket,
    /// It cannot write under a condition.
    #[error("the state store cannot write conditionally (If-Match and If-None-Match); use one that can")]
    Unconditional,
    /// Anything that may be better later.
    #[error("the state store does not answer at the moment; the cursor waits; retrying")]
    Unavailable,
}

impl StoreError {
    /// What people read.
    pub fn problem(self) -> Problem {
        match self {
            Self::Unavailable => Problem::transient(Reason::StateUnavailable, self.to_string()),
            _ => Problem::human(Reason::StateUnavailable, self.to_string()),
        }
    }
}

/// A store that is in use. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct ExternalStore {
    place: Place,
    /// Its address.
    at: Arc<str>,
    /// Which cluster keeps its instances there.
    cluster: Arc<str>,
}

#[derive(Clone, Debug)]
enum Place {
    Folder(SharedFolder),
    #[cfg(feature = "object-store")]
    Bucket(Bucket),
}

impl ExternalStore {
    /// The store at `url`, as `cluster` uses it: a text that no other cluster has, up to 16 letters and digits.
    ///
    /// # Errors
    /// Of a bucket: [`StoreError::Configuration`] or [`StoreError::NotBuilt`]. Nothing is asked yet.
    pub fn open(url: &StoreUrl, cluster: &str) -> Result<Self, StoreError> {
        let place = match url {
            StoreUrl::Folder(path) => Place::Folder(SharedFolder::new(path.clone())),
            #[cfg(feature = "object-store")]
            StoreUrl::Bucket(url) => Place::Bucket(Bucket::open(url)?),
            #[cfg(not(feature = "object-store"))]
            StoreUrl::Bucket(_) => return Err(StoreError::NotBuilt),
        };
        Ok(Self { place, at: url.to_string().into(), cluster: cluster.chars().take(CLUSTER_DIGITS).collect::<String>().into() })
    }

    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self { place: Place::Bucket(Bucket::in_memory()), at: "memory".into(), cluster: "test".into() }
    }

    /// Whether this is the same store.
    pub fn is(&self, other: &Self) -> bool {
        self.at == other.at
    }

    /// What the names of the blobs of an instance begin with.
    pub fn folder_of(uid: &str) -> String {
        format!("{INSTANCES}/{uid}/")
    }

    /// Notes that this cluster has an instance here, so that [`Self::collect`] finds it when it is gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn register(&self, owner: &InstanceId) -> Result<(), StoreError> {
        let name = format!("{CLUSTERS}/{}/{}/{}", self.cluster, owner.namespace(), owner.uid);
        match self.put(&name, owner.name().as_bytes(), None).await {
            Ok(_) | Err(PutError::Conflict) => Ok(()),
            Err(PutError::Failed(error)) => Err(error),
        }
    }

    /// The instances of this cluster that are registered, in a namespace or in all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn registered(&self, namespace: Option<&str>) -> Result<Vec<Registered>, StoreError> {
        let mut folder = format!("{CLUSTERS}/{}/", self.cluster);
        if let Some(namespace) = namespace {
            folder = format!("{folder}{namespace}/");
        }
        let names = self.names_under(&folder).await?;
        let uid = |name: &str| name.rsplit('/').next().filter(|uid| !uid.is_empty()).map(str::to_owned);
        Ok(names.into_iter().filter_map(|entry| Some(Registered { uid: uid(&entry)?, entry })).collect())
    }

    /// Deletes all that is kept of an instance that is gone.
    ///
    /// # Errors
    /// [`StoreError`]; what is left is found again.
    pub async fn collect(&self, gone: &Registered) -> Result<(), StoreError> {
        for name in self.names_under(&Self::folder_of(&gone.uid)).await? {
            self.delete(&name).await?;
        }
        self.delete(&gone.entry).await
    }

    /// Names of all blobs that begin with `folder`, which ends with `/`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn names_under(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        match &self.place {
            Place::Folder(shared) => {
                let folder = folder.to_owned();
                blocking(shared, move |shared| shared.names_under(&folder).map_err(Into::into)).await
            }
            #[cfg(feature = "object-store")]
            Place::Bucket(bucket) => bucket.names_under(folder).await,
        }
    }
}

/// An instance that a cluster has in a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registered {
    /// Uid of the object.
    pub uid: String,
    entry: String,
}

impl BlobStore for ExternalStore {
    type Error = StoreError;

    async fn get(&self, name: &str) -> Result<Option<Blob>, StoreError> {
        match &self.place {
            Place::Folder(shared) => {
                let name = name.to_owned();
                blocking(shared, move |shared| shared.get(&name).map_err(Into::into)).await
            }
            #[cfg(feature = "object-store")]
            Place::Bucket(bucket) => bucket.get(name).await,
        }
    }

    async fn put(&self, name: &str, bytes: &[u8], seen: Option<&Tag>) -> Result<Tag, PutError<StoreError>> {
        match &self.place {
            Place::Folder(shared) => {
                let (name, bytes, seen) = (name.to_owned(), bytes.to_vec(), seen.cloned());
                blocking(shared, move |shared| {
                    shared.put(&name, &bytes, seen.as_ref()).map_err(|error| match error {
                        PutError::Conflict => PutError::Conflict,
                        PutError::Failed(error) => PutError::Failed(error.into()),
                    })
                })
                .await
            }
            #[cfg(feature = "object-store")]
            Place::Bucket(bucket) => bucket.put(name, bytes, seen).await,
        }
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        match &self.place {
            Place::Folder(shared) => {
                let name = name.to_owned();
                blocking(shared, move |shared| shared.delete(&name).map_err(Into::into)).await
            }
            #[cfg(feature = "object-store")]
            Place::Bucket(bucket) => bucket.delete(name).await,
        }
    }
}

/// A disk may be slow, and another writer may have to be waited for.
async fn blocking<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    shared: &SharedFolder,
    call: impl FnOnce(SharedFolder) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let shared = shared.clone();
    // It ends early only with the process.
    tokio::task::spawn_blocking(move || call(shared)).await.unwrap_or_else(|_| Err(StoreError::Unavailable.into()))
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        tracing::debug!("the state store: {error}");
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied,
            io::ErrorKind::NotFound => Self::NoBucket,
            _ => Self::Unavailable,
        }
    }
}

impl From<StoreError> for PutError<StoreError> {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::identity::InstanceRef;
    use crate::state::blob::contract;

    fn stores(folder: &tempfile::TempDir) -> [ExternalStore; 2] {
        let url = StoreUrl::Folder(folder.path().join("store"));
        [ExternalStore::open(&url, "test").unwrap(), ExternalStore::in_memory()]
    }

    #[tokio::test]
    async fn every_store_keeps_to_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        for store in stores(&folder) {
            contract::is_kept(&store).await;
        }
    }

    #[tokio::test]
    async fn only_what_the_own_cluster_registered_is_collected() {
        let folder = tempfile::tempdir().unwrap();
        for store in stores(&folder) {
            let other = ExternalStore { cluster: "other".into(), ..store.clone() };
            for (store, namespace, uid) in [(&store, "crm", "u1"), (&store, "erp", "u2"), (&other, "crm", "u3")] {
                let owner = InstanceId::new(InstanceRef::new(namespace, "keap"), uid);
                store.register(&owner).await.unwrap();
                store.register(&owner).await.unwrap();
                store.put(&format!("{}s/index", ExternalStore::folder_of(uid)), b"1", None).await.unwrap();
            }
            assert_eq!(store.registered(None).await.unwrap().len(), 2);
            let crm = store.registered(Some("crm")).await.unwrap();
            assert_eq!(crm.iter().map(|one| &*one.uid).collect::<Vec<_>>(), ["u1"]);
            store.collect(&crm[0]).await.unwrap();
            assert_eq!(store.registered(Some("crm")).await.unwrap(), []);
            assert_eq!(store.names_under("instances/u1/").await.unwrap(), Vec::<String>::new());
            assert_eq!(store.names_under("instances/").await.unwrap().len(), 2);
        }
    }

    #[tokio::test]
    async fn of_many_writers_at_once_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        for store in stores(&folder) {
            let seen = store.put("a/b", b"0", None).await.unwrap();
            let writers: Vec<_> = (1..=8_u8)
                .map(|number| {
                    let (store, seen) = (store.clone(), seen.clone());
                    tokio::spawn(async move { store.put("a/b", &[number], Some(&seen)).await.is_ok().then_some(number) })
                })
                .collect();
            let won = futures::future::join_all(writers).await.into_iter().filter_map(Result::unwrap).collect::<Vec<_>>();
            assert_eq!(won.len(), 1, "{won:?}");
            assert_eq!(store.get("a/b").await.unwrap().unwrap().bytes, won);
        }
    }
}
