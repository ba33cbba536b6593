//! Blobs in the API server: `ConfigMaps` and Secrets that belong to an instance and have one value each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::cluster::{CallError, Cluster, Kind};
use super::overflow::{is_owned, owned};
use super::state_error::StateError;
use crate::api::identity::InstanceId;
use crate::state::blob::{Blob, BlobStore, PutError, Tag};

/// How many times an object is read again whose write was refused because it had changed.
const MAX_CONFLICTS: usize = 3;
/// Annotation with the checksum of the value. 0.1.0 wrote none.
const CHECKSUM: &str = "pollinator.dev/checksum";

/// The objects of one kind that an instance owns.
#[derive(Clone, Copy)]
pub struct Objects<'a> {
    cluster: &'a Cluster,
    owner: &'a InstanceId,
    kind: Kind,
    /// Key of their value.
    key: &'static str,
    /// Asked before every single write: a process that slept finds out here.
    is_ours: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Objects<'a> {
    /// `ConfigMaps` with binary data.
    pub fn config_maps(
        cluster: &'a Cluster,
        owner: &'a InstanceId,
        key: &'static str,
        is_ours: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self { cluster, owner, kind: Kind::ConfigMap, key, is_ours }
    }

    /// Secrets.
    pub fn secrets(
        cluster: &'a Cluster,
        owner: &'a InstanceId,
        key: &'static str,
        is_ours: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self { cluster, owner, kind: Kind::Secret, key, is_ours }
    }

    /// Writes over the object that was seen, or over what is there instead: the status was found to be ours just before, so that is a
    /// left-over of a write without an answer, or of an owner before us.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn overwrite(&self, name: &str, bytes: &[u8], mut seen: Option<Tag>) -> Result<Tag, StateError> {
        for _ in 0..MAX_CONFLICTS {
            match self.put(name, bytes, seen.as_ref()).await {
                Ok(tag) => return Ok(tag),
                Err(PutError::Failed(error)) => return Err(error),
                Err(PutError::Conflict) => seen = self.make_way(name).await?,
            }
        }
        Err(CallError::Conflict.into())
    }

    /// What is there of ours. What is not ours is of an instance of the same name that was deleted, and goes.
    async fn make_way(&self, name: &str) -> Result<Option<Tag>, StateError> {
        match self.cluster.get(self.kind, self.owner.namespace(), name).await {
            Ok(found) if is_owned(&found, self.owner) => Ok(version(&found).map(Tag)),
            Ok(_) => {
                self.delete(name).await?;
                Ok(None)
            }
            Err(CallError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn data(&self) -> &'static str {
        if self.kind == Kind::Secret { "data" } else { "binaryData" }
    }
}

impl BlobStore for Objects<'_> {
    type Error = StateError;

    /// What is damaged has no bytes.
    async fn get(&self, name: &str) -> Result<Option<Blob>, StateError> {
        let object = match self.cluster.get(self.kind, self.owner.namespace(), name).await {
            Ok(object) if is_owned(&object, self.owner) => object,
            Ok(_) | Err(CallError::NotFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let bytes = object[self.data()][self.key].as_str().and_then(|text| BASE64.decode(text).ok());
        let bytes = bytes.filter(|bytes| is_whole(&object, bytes)).unwrap_or_default();
        Ok(Some(Blob { bytes, tag: Tag(version(&object).unwrap_or_default()) }))
    }

    async fn put(&self, name: &str, bytes: &[u8], seen: Option<&Tag>) -> Result<Tag, PutError<StateError>> {
        if !(self.is_ours)() {
            return Err(PutError::Failed(StateError::NotOurs));
        }
        let mut object = owned(self.kind, self.owner, name);
        object["metadata"]["annotations"] = json!({CHECKSUM: checksum(bytes)});
        object[self.data()] = json!({self.key: BASE64.encode(bytes)});
        if self.kind == Kind::Secret {
            object["type"] = json!("Opaque");
        }
        let written = if let Some(Tag(version)) = seen {
            object["metadata"]["resourceVersion"] = json!(version);
            self.cluster.replace(self.kind, self.owner.namespace(), name, &object).await
        } else {
            self.cluster.create(self.kind, self.owner.namespace(), &object).await
        };
        match written {
            Ok(answer) => Ok(Tag(version(&answer).unwrap_or_default())),
            Err(CallError::Conflict) => Err(PutError::Conflict),
            Err(CallError::NotFound) if seen.is_some() => Err(PutError::Conflict),
            Err(error) => Err(PutError::Failed(error.into())),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), StateError> {
        match self.cluster.delete(self.kind, self.owner.namespace(), name).await {
            Ok(()) | Err(CallError::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

fn is_whole(object: &Value, bytes: &[u8]) -> bool {
    object["metadata"]["annotations"][CHECKSUM].as_str().is_none_or(|kept| kept == checksum(bytes))
}

/// The version of an object as the API server gave it.
pub(super) fn version(object: &Value) -> Option<String> {
    object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_checksum_is_taken_and_one_with_another_is_not() {
        let with = |checksum: Option<String>| json!({"metadata": {"annotations": {CHECKSUM: checksum}}});
        assert!(is_whole(&json!({"metadata": {}}), b"as 0.1.0 wrote it"));
        assert!(is_whole(&with(Some(checksum(b"1"))), b"1"));
        assert!(!is_whole(&with(Some(checksum(b"1"))), b"2"));
    }
}
