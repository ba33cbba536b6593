//! Manifests in files and folders → plans, refusals and Secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::files::Sources;
use super::reading::Reading;
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorSpec;
use crate::api::identity::{ConnectorRef, InstanceRef, SecretRef};
use crate::api::instance::ConnectorInstance;
use crate::api::manifest::Manifest;
use crate::auth::{Secret, SecretMap};
use crate::catalog;
use crate::plan::PollPlan;
use crate::plan::resolve::resolve;

/// Kinds of objects.
pub(super) const INSTANCE: &str = "ConnectorInstance";
pub(super) const SECRET: &str = "Secret";

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
    /// What they may be made on top of, for those who create them.
    pub connectors: Arc<ConnectorSpecs>,
    /// Where each object is declared.
    pub(super) origins: BTreeMap<Object, Origin>,
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
pub struct Unusable(pub(super) Vec<String>);

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
        match Reading::of(sources, None).finish(sources.least(), &Self::default()) {
            Ok((definitions, None)) => Ok(definitions),
            Ok((_, Some(errors))) | Err(errors) => Err(errors),
        }
    }

    /// The same while `last` is in effect. A file that cannot be used does not keep the others from being used: what it declared stays
    /// as it was, and so does all that is missing and may have moved there. Yields why such files cannot be used, too.
    ///
    /// # Errors
    /// There would be fewer instances than there must be.
    pub fn read_over(sources: &Sources, last: &Self) -> Result<(Self, Option<Unusable>), Unusable> {
        Reading::of(sources, Some(last)).finish(sources.least(), last)
    }
}

/// An object that can be declared: kind, namespace and name.
pub(super) type Object = (&'static str, Arc<str>, Arc<str>);

/// Where an object is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name of the file as the user knows it.
    pub file: Arc<str>,
    /// Pollinator writes the file, and no one else.
    pub is_managed: bool,
}

/// What was found in files, before it is planned.
#[derive(Default)]
pub(super) struct Found {
    pub instances: BTreeMap<InstanceRef, Declared>,
    pub connectors: ConnectorSpecs,
    pub secrets: BTreeMap<SecretRef, Secret>,
    pub others: Vec<String>,
    pub origins: BTreeMap<Object, Origin>,
}

impl Found {
    /// Takes in an object; one that is declared already is replaced.
    pub fn add(&mut self, (kind, namespace, name): Object, manifest: Manifest, origin: Origin) {
        match manifest {
            Manifest::ConnectorInstance(instance) => {
                let declared = Declared { instance: *instance, file: Arc::clone(&origin.file) };
                self.instances.insert(InstanceRef::new(Arc::clone(&namespace), Arc::clone(&name)), declared);
            }
            Manifest::Connector(connector) => {
                let of = ConnectorRef::new(Arc::clone(&namespace), Arc::clone(&name));
                self.connectors.declared.insert(of, connector.spec);
            }
            Manifest::Secret(secret) => {
                let of = SecretRef::new(Arc::clone(&namespace), Arc::clone(&name));
                self.secrets.insert(of, Secret { data: secret.data, lacks_label: None });
            }
        }
        self.origins.insert((kind, namespace, name), origin);
    }

    /// Takes an object out.
    pub fn remove(&mut self, object: &Object) {
        let (_, namespace, name) = object;
        match object.0 {
            INSTANCE => drop(self.instances.remove(&InstanceRef::new(Arc::clone(namespace), Arc::clone(name)))),
            SECRET => drop(self.secrets.remove(&SecretRef::new(Arc::clone(namespace), Arc::clone(name)))),
            _ => drop(self.connectors.declared.remove(&ConnectorRef::new(Arc::clone(namespace), Arc::clone(name)))),
        }
        self.origins.remove(object);
    }

    pub fn plan(self) -> Definitions {
        let ConnectorSpecs { declared: connectors, mounted } = &self.connectors;
        let mut definitions = Definitions { others: self.others, origins: self.origins, ..Definitions::default() };
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
        definitions.connectors = Arc::new(self.connectors);
        definitions
    }
}
