//! The Secrets that instances refer to, and no others.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::BoxFuture;
use parking_lot::RwLock;
use serde_json::Value;

use super::cluster::{CallError, Cluster, Kind};
use super::objects::version;
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
    known: RwLock<Known>,
}

/// What is known of Secrets, and what is being read.
#[derive(Default)]
struct Known {
    held: HashMap<SecretRef, Held>,
    /// Reads under way.
    reading: HashMap<SecretRef, usize>,
    /// Reads that were begun, in their order.
    begun: u64,
}

impl Known {
    /// Yields the number of the read.
    fn begin(&mut self, key: &SecretRef) -> u64 {
        *self.reading.entry(key.clone()).or_default() += 1;
        self.begun += 1;
        self.begun
    }

    /// A read has ended; `None`: without an answer. Returns whether the values changed. An answer that is older than what is held means
    /// nothing: answers may come in another order than the reads were begun.
    fn end(&mut self, key: &SecretRef, fresh: Option<Held>) -> bool {
        if let Some(under_way) = self.reading.get_mut(key) {
            *under_way -= 1;
            if *under_way == 0 {
                self.reading.remove(key);
            }
        }
        let Some(fresh) = fresh else { return false };
        match self.held.get(key) {
            Some(held) if held.read > fresh.read => false,
            held => {
                let is_changed = held.is_none_or(|held| held.secret != fresh.secret);
                self.held.insert(key.clone(), fresh);
                is_changed
            }
        }
    }

    /// Whether there may be another version than what is held or about to be.
    fn is_stale(&self, key: &SecretRef, version: Option<&str>) -> bool {
        match self.held.get(key) {
            Some(held) => held.version.as_deref() != version,
            // The first read is under way, and may have been answered before this version was there.
            None => self.reading.contains_key(key),
        }
    }
}

struct Held {
    /// The number of the read.
    read: u64,
    /// Its `resourceVersion`; `None` when it does not exist.
    version: Option<String>,
    uid: Option<String>,
    secret: Option<Arc<Secret>>,
}

impl ClusterSecrets {
    /// Holds none yet. `label`: what Secrets must have before instances may use them.
    pub fn new(cluster: Cluster, label: Option<RequiredLabel>) -> Self {
        Self { cluster, label, known: RwLock::default() }
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
        self.known.read().held.contains_key(key)
    }

    /// Whether it is held as one that does not exist.
    pub fn is_missing(&self, key: &SecretRef) -> bool {
        self.known.read().held.get(key).is_some_and(|held| held.version.is_none())
    }

    /// Whether it is held in another version than this, or about to be held without it being known in which.
    pub fn is_stale(&self, key: &SecretRef, version: Option<&str>) -> bool {
        self.known.read().is_stale(key, version)
    }

    /// All that are held and exist.
    pub fn existing(&self) -> Vec<SecretRef> {
        let known = self.known.read();
        known.held.iter().filter(|(_, held)| held.version.is_some()).map(|(key, _)| key.clone()).collect()
    }

    /// The uid of a Secret, `None` when it does not exist; read unless it is held.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn uid(&self, key: &SecretRef) -> Result<Option<String>, CallError> {
        let held = self.known.read().held.get(key).map(|held| held.uid.clone());
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
        let read = self.known.write().begin(key);
        let fresh = match self.cluster.get(Kind::Secret, &key.namespace, &key.name).await {
            Ok(object) => Ok(Held {
                read,
                version: version(&object),
                uid: object["metadata"]["uid"].as_str().map(str::to_owned),
                secret: Some(Arc::new(self.usable(&object))),
            }),
            Err(CallError::NotFound) => Ok(Held { read, version: None, uid: None, secret: None }),
            Err(error) => Err(error),
        };
        let mut known = self.known.write();
        match fresh {
            Ok(fresh) => Ok(known.end(key, Some(fresh))),
            Err(error) => {
                known.end(key, None);
                Err(error)
            }
        }
    }

    /// Releases a Secret that is no longer referred to.
    pub fn let_go(&self, key: &SecretRef) {
        self.known.write().held.remove(key);
    }
}

impl Secrets for ClusterSecrets {
    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Secret>> {
        let known = self.known.read();
        known.held.get(&SecretRef::new(namespace, name))?.secret.clone()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn held(read: u64, version: Option<&str>) -> Held {
        let secret = version.map(|version| {
            let values = [("token".to_owned(), version.as_bytes().to_vec())];
            Arc::new(values.into_iter().collect::<Secret>())
        });
        Held { read, version: version.map(str::to_owned), uid: version.map(|_| "u".to_owned()), secret }
    }

    /// An instance and its Secret are often created together.
    #[test]
    fn a_secret_that_comes_while_it_is_read_for_the_first_time_is_read_again() {
        let (mut known, key) = (Known::default(), SecretRef::new("crm", "keap"));
        assert!(!known.is_stale(&key, Some("7")), "no one refers to it");
        let first = known.begin(&key);
        assert!(known.is_stale(&key, Some("7")), "the answer may be without it");
        let second = known.begin(&key);
        assert!(known.end(&key, Some(held(second, Some("7")))));
        // the answer of the first read is late, and older
        assert!(!known.end(&key, Some(held(first, None))));
        assert!(!known.is_stale(&key, Some("7")) && known.held[&key].secret.is_some() && known.reading.is_empty());
        assert!(known.is_stale(&key, Some("8")));
        let third = known.begin(&key);
        assert!(!known.end(&key, None), "no answer changes nothing");
        let fourth = known.begin(&key);
        assert!(third < fourth && known.end(&key, Some(held(fourth, None))) && known.is_stale(&key, Some("9")));
    }
}
