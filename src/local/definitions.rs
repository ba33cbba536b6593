//! Manifests in files and folders → plans, refusals and Secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::files::{Least, Sources};
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::identity::{ConnectorRef, InstanceRef, SecretRef};
use crate::api::instance::ConnectorInstance;
use crate::api::manifest::{self, Manifest};
use crate::auth::{Secret, SecretMap};
use crate::catalog;
use crate::plan::PollPlan;
use crate::plan::resolve::resolve;

/// Everything declared in a set of files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Instances that can be polled.
    pub planned: BTreeMap<InstanceRef, Planned>,
    /// Instances that are well-formed but cannot be planned, with every reason.
    pub refused: BTreeMap<InstanceRef, Vec<Problem>>,
    /// Secrets.
    pub secrets: SecretMap,
    /// A sentence for each object of another kind, which is left alone.
    pub others: Vec<String>,
    /// What instances were made of, for those who show them: a reader of definitions takes it or drops it.
    pub declared: BTreeMap<InstanceRef, Declared>,
    /// What they may be made on top of, for those who create them: a reader of definitions takes it or drops it.
    pub connectors: ConnectorSpecs,
}

/// Connectors that are not built in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectorSpecs {
    /// Declared in the files.
    pub declared: BTreeMap<ConnectorRef, ConnectorSpec>,
    /// In the mounted folder, by name.
    pub mounted: BTreeMap<String, ConnectorSpec>,
}

/// An instance as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// The manifest.
    pub instance: ConnectorInstance,
    /// Name of its file as the user knows it.
    pub file: Arc<str>,
}

/// An instance with its plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What to do.
    pub plan: Arc<PollPlan>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Why manifests cannot be used: each line names file, document, path and fix.
#[derive(Debug)]
pub struct Unusable(Vec<String>);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Definitions {
    /// One instance that no file declares, on top of the connector that it names, with the values of Secrets in its namespace.
    pub fn of_one(
        of: InstanceRef,
        instance: ConnectorInstance,
        connector: Option<ConnectorSpec>,
        secrets: impl IntoIterator<Item = (String, BTreeMap<String, Vec<u8>>)>,
    ) -> Self {
        let mut found = Found::default();
        if let (Some(spec), Some(name)) = (connector, &instance.spec.connector) {
            found.connectors.declared.insert(ConnectorRef::new(Arc::clone(&of.namespace), name.as_str()), spec);
        }
        let named =
            |(name, data): (String, _)| (SecretRef::new(Arc::clone(&of.namespace), name), Secret { data, lacks_label: None });
        found.secrets.extend(secrets.into_iter().map(named));
        found.instances.insert(of, Declared { instance, file: "".into() });
        found.plan()
    }

    /// Reads, validates and plans all manifests under `paths`.
    ///
    /// # Errors
    /// Any file that cannot be read and any document that an API server would refuse: half a set of manifests is none.
    pub fn read(sources: &Sources) -> Result<Self, Unusable> {
        let mut errors = Vec::new();
        let mut found = Found::default();
        for file in sources.catalog() {
            let entry = file.map_err(|error| vec![error]).and_then(|(name, text)| catalog::entry(&name, &text));
            match entry {
                Ok((key, connector)) => drop(found.connectors.mounted.insert(key, connector)),
                Err(refusals) => errors.extend(refusals),
            }
        }
        for file in sources.manifests() {
            let declared = match file {
                Ok((name, text)) => manifest::read(&name, &text),
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            errors.extend(declared.errors.iter().map(ToString::to_string));
            found.others.extend(declared.others);
            for (place, manifest) in declared.manifests {
                if let Err(twice) = found.add(manifest, &place.file) {
                    errors.push(format!("{place}: {twice} is declared twice; remove one"));
                }
            }
        }
        if errors.is_empty() && found.instances.is_empty() && sources.least() == Least::One {
            errors.push("no ConnectorInstance was found; name a file or folder that holds one".to_owned());
        }
        if errors.is_empty() { Ok(found.plan()) } else { Err(Unusable(errors)) }
    }
}

#[derive(Default)]
struct Found {
    instances: BTreeMap<InstanceRef, Declared>,
    connectors: ConnectorSpecs,
    secrets: BTreeMap<SecretRef, Secret>,
    others: Vec<String>,
}

impl Found {
    fn add(&mut self, manifest: Manifest, file: &Arc<str>) -> Result<(), String> {
        let (namespace, name) = manifest.key();
        let (namespace, name): (Arc<str>, Arc<str>) = (namespace.into(), name.into());
        let shown = format!("{} {namespace}/{name}", manifest.kind());
        let new = match manifest {
            Manifest::ConnectorInstance(instance) => {
                let declared = Declared { instance: *instance, file: Arc::clone(file) };
                self.instances.insert(InstanceRef::new(namespace, name), declared).is_none()
            }
            Manifest::Connector(connector) => {
                self.connectors.declared.insert(ConnectorRef::new(namespace, name), connector.spec).is_none()
            }
            Manifest::Secret(secret) => {
                self.secrets.insert(SecretRef::new(namespace, name), Secret { data: secret.data, lacks_label: None }).is_none()
            }
        };
        if new { Ok(()) } else { Err(shown) }
    }

    fn plan(self) -> Definitions {
        let ConnectorSpecs { declared: connectors, mounted } = &self.connectors;
        let mut definitions = Definitions { others: self.others, ..Definitions::default() };
        for (place, secret) in self.secrets {
            definitions.secrets.insert(&*place.namespace, &*place.name, secret);
        }
        for (key, declared) in self.instances {
            let instance = &declared.instance;
            let named = instance.spec.connector.as_deref();
            let connector = named.and_then(|name| catalog::look_up(&key.namespace, name, connectors, mounted));
            match resolve(instance, connector.map(|(_, spec)| spec)) {
                Ok(plan) => {
                    let annotations = instance.metadata.annotations.clone().unwrap_or_default();
                    definitions.planned.insert(key.clone(), Planned { plan: Arc::new(plan), annotations });
                }
                Err(problems) => {
                    definitions.refused.insert(key.clone(), problems);
                }
            }
            definitions.declared.insert(key, declared);
        }
        definitions.connectors = self.connectors;
        definitions
    }
}
