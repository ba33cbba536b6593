//! What is kept of a manifest between two looks at the files. Pure.

use std::sync::Arc;

use serde_json::json;

use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::instances::InstancesError;
use crate::instances::brief::Brief;
use crate::plan::Oauth2Plan;

/// An instance of a folder. It is kept as JSON, which takes a tenth of the memory of a parsed manifest and is read when someone looks at
/// that one instance; what lists show is kept as it is.
pub(super) struct Known {
    manifest: Manifest,
    brief: Brief,
    /// Name of its file as the user knows it.
    pub file: Arc<str>,
    /// The definitions had it when they were last read: the engine may run it.
    pub is_read: bool,
    /// How a person's consent for it is obtained.
    pub consent: Option<Arc<Oauth2Plan>>,
}

impl Known {
    /// One that no definitions have had yet.
    pub fn new(of: &InstanceRef, instance: &ConnectorInstance, file: Arc<str>) -> Self {
        // The names of the key are shared, and a manifest has no status.
        let brief = Brief { of: of.clone(), status: None, ..Brief::from(instance) };
        Self { manifest: Manifest(json!(instance).to_string().into()), brief, file, is_read: false, consent: None }
    }

    /// The manifest, to be read once no lock is held.
    pub fn manifest(&self) -> Manifest {
        self.manifest.clone()
    }

    /// What lists show of it.
    pub fn brief(&self) -> &Brief {
        &self.brief
    }
}

/// The text of a manifest.
#[derive(Clone)]
pub(super) struct Manifest(Arc<str>);

impl Manifest {
    /// What it says of an instance.
    ///
    /// # Errors
    /// [`InstancesError::NotUnderstood`], which no text that was written here should be.
    pub fn read(&self, of: &InstanceRef) -> Result<ConnectorInstance, InstancesError> {
        serde_json::from_str(&self.0).map_err(|error| InstancesError::NotUnderstood(of.clone(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::manifest::{self, Manifest};

    #[test]
    fn a_manifest_is_small_and_comes_back_as_it_was() {
        let text = "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {name: keap, namespace: crm, labels: {a: b}}\n\
                    spec:\n  baseUrl: https://api.example.com\n  suspend: true\n  auth: {bearer: {secretRef: {name: s, key: token}}}\n  \
                    resources: [{name: contacts, url: /contacts, deletes: {snapshot: {interval: 24h}}}]\n  callback: {url: \"https://h.example/in\"}\n";
        let read = manifest::read("", text).manifests.pop();
        let Some((_, Manifest::ConnectorInstance(instance))) = read else { panic!("{text}") };
        let known = Known::new(&InstanceRef::new("crm", "keap"), &instance, "all.yaml".into());
        assert_eq!(known.manifest().read(&InstanceRef::new("crm", "keap")).unwrap(), *instance);
        assert_eq!((known.brief().resources, known.brief().is_suspended), (1, true));
        let size = size_of::<Known>() + known.manifest.0.len();
        assert!(size * 3 < size_of::<ConnectorInstance>() + size_of_val(&*instance.spec.resources), "{size}");
    }
}
