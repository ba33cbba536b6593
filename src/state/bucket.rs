//! Blobs in a bucket of a cloud. Every write has a condition: that there is no object of the name, or the very one that was read.
//!
//! Credentials and end points are those of the process's environment, as the cloud's own tools read them: variables, the token of a
//! service account, the metadata server of the machine.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig, UpdateVersion};

use super::blob::{Blob, PutError, Tag};
use super::external_store::StoreError;
use super::store_url::{BucketUrl, Cloud};

/// How long a request is repeated; then the poll waits, and the next commit tries again.
const RETRYING: Duration = Duration::from_secs(20);
const MAX_RETRIES: usize = 4;

/// A bucket, or a folder in it.
#[derive(Clone, Debug)]
pub struct Bucket {
    objects: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Bucket {
    /// Does not ask the cloud anything yet.
    ///
    /// # Errors
    /// What the environment says of credentials or end points cannot be used, or not enough.
    pub fn open(url: &BucketUrl) -> Result<Self, StoreError> {
        // The process may have chosen a provider before; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRYING, ..RetryConfig::default() };
        let bucket = url.bucket.as_str();
        let built = match url.cloud {
            Cloud::S3 => {
                let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
                builder.build().map(|objects| Arc::new(objects) as Arc<dyn ObjectStore>)
            }
            Cloud::Google => {
                let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry);
                builder.build().map(|objects| Arc::new(objects) as Arc<dyn ObjectStore>)
            }
            Cloud::Azure => {
                let builder = MicrosoftAzureBuilder::from_env().with_container_name(bucket).with_retry(retry);
                builder.build().map(|objects| Arc::new(objects) as Arc<dyn ObjectStore>)
            }
        };
        let objects = built.map_err(|error| {
            tracing::error!("--state-store: {error}");
            StoreError::Configuration
        })?;
        Ok(Self { objects, prefix: url.prefix.clone() })
    }

    #[cfg(test)]
    pub(super) fn in_memory() -> Self {
        Self { objects: Arc::new(object_store::memory::InMemory::new()), prefix: "p".to_owned() }
    }

    /// Reads a blob.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, name: &str) -> Result<Option<Blob>, StoreError> {
        let found = match self.objects.get(&self.path(name)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let tag = tag(found.meta.e_tag.clone(), found.meta.version.clone());
        let bytes = found.bytes().await.map_err(|error| failed(&error))?;
        Ok(Some(Blob { bytes: bytes.to_vec(), tag }))
    }

    /// Writes a blob over the one that was `seen`; with `None`, where none is.
    ///
    /// # Errors
    /// A conflict, or [`StoreError`].
    pub async fn put(&self, name: &str, bytes: &[u8], seen: Option<&Tag>) -> Result<Tag, PutError<StoreError>> {
        let mode = seen.map_or(PutMode::Create, |tag| PutMode::Update(version(tag)));
        match self.objects.put_opts(&self.path(name), bytes.to_vec().into(), mode.into()).await {
            Ok(written) => Ok(tag(written.e_tag, written.version)),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {
                Err(PutError::Conflict)
            }
            // S3 says so of the object that was seen and is gone; a bucket that is gone is noticed when nothing was seen.
            Err(Error::NotFound { .. }) if seen.is_some() => Err(PutError::Conflict),
            Err(error) => Err(PutError::Failed(failed(&error))),
        }
    }

    /// Deletes a blob, which need not be there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        match self.objects.delete(&self.path(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Names of all blobs that begin with `folder`, which ends with `/`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn names_under(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let path = self.path(folder.trim_end_matches('/'));
        let found = self.objects.list(Some(&path)).map_ok(|object| object.location);
        let found: Vec<Path> = found.try_collect().await.map_err(|error| failed(&error))?;
        let start = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        Ok(found.iter().filter_map(|path| path.as_ref().strip_prefix(&start).map(str::to_owned)).collect())
    }

    fn path(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }
}

/// Azure and S3 compare the entity tag, Google the generation.
fn tag(e_tag: Option<String>, version: Option<String>) -> Tag {
    Tag(format!("{}\n{}", e_tag.unwrap_or_default(), version.unwrap_or_default()))
}

fn version(Tag(text): &Tag) -> UpdateVersion {
    let some = |part: &str| (!part.is_empty()).then(|| part.to_owned());
    let (e_tag, version) = text.split_once('\n').unwrap_or((text, ""));
    UpdateVersion { e_tag: some(e_tag), version: some(version) }
}

/// The cloud's words go to the log; people get a sentence that is the same each time.
fn failed(error: &Error) -> StoreError {
    tracing::debug!("the state store: {error}");
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StoreError::Denied,
        Error::NotFound { .. } => StoreError::NoBucket,
        Error::NotImplemented { .. } | Error::NotSupported { .. } => StoreError::Unconditional,
        _ => StoreError::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_what_the_cloud_compares() {
        for (e_tag, own) in [(Some("\"a\""), None), (None, Some("17")), (Some("\"a\""), Some("17"))] {
            let (e_tag, own) = (e_tag.map(str::to_owned), own.map(str::to_owned));
            let UpdateVersion { e_tag: back, version: own_back } = version(&tag(e_tag.clone(), own.clone()));
            assert_eq!((back, own_back), (e_tag, own));
        }
    }
}
