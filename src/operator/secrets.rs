//! The Secrets that instances refer to, and no others.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::BoxFuture;
use parking_lot::RwLock;
use serde_json::Value;

use super::cluster::{CallError, Cluster, Kind};
use super::required_label::RequiredLabel;
use super::state_error::call_problem;
use crate::api::conditions::Problem;
use crate::api::identity::SecretRef;
use crate::auth::{Secret, Secrets};

/// Referenced Secrets in memory.
pub struct ClusterSecrets {
    cluster: Cluster,
    /// Only Secrets with this label have values.
    label: Option<RequiredLabel>,
    held: RwLock<HashMap<SecretRef, Held>>,
}

#[derive(Clone)]
struct Held {
    /// Its `resourceVersion`; `None` when it does not exist.
    version: Option<String>,
    uid: Option<String>,
    secret: Option<Arc<Secret>>,
}

impl ClusterSecrets {
    /// Holds none yet. `label`: what Secrets must have before instances may use them.
    pub fn new(cluster: Cluster, label: Option<RequiredLabel>) -> Self {
        Self { cluster, label, held: RwLock::default() }
    }

    /// The values of a Secret, if instances may use it.
    fn usable(&self, object: &Value) -> Secret {
        match &self.label {
            Some(label) if !label.is_on(object) => Secret::withheld(label.to_string()),
            _ => values(object),
        }
    }

    /// Whether it is held, even as one that does not exist.
    pub fn is_held(&self, key: &SecretRef) -> bool {
        self.held.read().contains_key(key)
    }

    /// Whether it is held in another version than this.
    pub fn is_stale(&self, key: &SecretRef, version: Option<&str>) -> bool {
        let held = self.held.read();
        held.get(key).is_some_and(|held| held.version.as_deref() != version)
    }

    /// All that are held and exist.
    pub fn existing(&self) -> Vec<SecretRef> {
        let held = self.held.read();
        held.iter().filter(|(_, held)| held.version.is_some()).map(|(key, _)| key.clone()).collect()
    }

    /// The uid of a Secret, `None` when it does not exist; read unless it is held.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn uid(&self, key: &SecretRef) -> Result<Option<String>, CallError> {
        let held = self.held.read().get(key).map(|held| held.uid.clone());
        if let Some(uid) = held {
            return Ok(uid);
        }
        match self.cluster.get(Kind::Secret, &key.namespace, &key.name).await {
            Ok(object) => Ok(object["metadata"]["uid"].as_str().map(str::to_owned)),
            Err(CallError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a Secret unless it is held.
    ///
    /// # Errors
    /// [`CallError`], never `NotFound`: that it does not exist is held, too.
    pub async fn hold(&self, key: &SecretRef) -> Result<(), CallError> {
        if self.is_held(key) { Ok(()) } else { self.read(key).await.map(drop) }
    }

    /// Reads a Secret again. Returns whether its values changed.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub async fn read(&self, key: &SecretRef) -> Result<bool, CallError> {
        let fresh = match self.cluster.get(Kind::Secret, &key.namespace, &key.name).await {
            Ok(object) => Held {
                version: object["metadata"]["resourceVersion"].as_str().map(str::to_owned),
                uid: object["metadata"]["uid"].as_str().map(str::to_owned),
                secret: Some(Arc::new(self.usable(&object))),
            },
            Err(CallError::NotFound) => Held { version: None, uid: None, secret: None },
            Err(error) => return Err(error),
        };
        let mut held = self.held.write();
        let old = held.insert(key.clone(), fresh.clone());
        Ok(old.is_none_or(|old| old.secret != fresh.secret))
    }

    /// Releases a Secret that is no longer referred to.
    pub fn let_go(&self, key: &SecretRef) {
        self.held.write().remove(key);
    }
}

impl Secrets for ClusterSecrets {
    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Secret>> {
        let held = self.held.read();
        held.get(&SecretRef::new(namespace, name))?.secret.clone()
    }

    /// What is held stays as it is: the watch reports that it changed, to all who use it.
    fn get_anew<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<Secret>>, Problem>> {
        Box::pin(async move {
            match self.cluster.get(Kind::Secret, namespace, name).await {
                Ok(object) => Ok(Some(Arc::new(self.usable(&object)))),
                Err(CallError::NotFound) => Ok(None),
                Err(error) => Err(call_problem(&error)),
            }
        })
    }
}

fn values(object: &Value) -> Secret {
    let data = object["data"].as_object().into_iter().flatten();
    data.filter_map(|(key, value)| Some((key.clone(), BASE64.decode(value.as_str()?).ok()?))).collect()
}
