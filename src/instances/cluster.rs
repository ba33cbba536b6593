//! The instances of a cluster.

mod object;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::Utc;
use futures::future::BoxFuture;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::brief::ListedInstance;
use super::changes::StatusChanges;
use super::glance::Glance;
use super::secret_edits::SecretEdits;
use super::waiting::WaitingEvent;
use super::{Created, Instances, InstancesError, Right, name_of, own_secrets, version_of};
use crate::api::API_VERSION;
use crate::api::connector::ConnectorSpec;
use crate::api::identity::{InstanceId, InstanceRef, NUMBER_LABEL, number};
use crate::api::instance::ConnectorInstance;
use crate::catalog;
use crate::operator::cluster::{CallError, Cluster, Denial, Denied, Kind};
use crate::operator::required_label::RequiredLabel;
use crate::operator::reviews::Verb;
use crate::operator::state_error::StateError;
use crate::operator::{overflow, stored};
use crate::poll::status::InstanceStatus;
use crate::state::wish::Wish;
use object::{instance, lay};

/// How often a wish is written again when the object has changed in between.
const ASKED_AGAIN: usize = 5;

/// The cluster as one client may use it: each caller that has a token of its own gets one of these.
#[derive(Clone)]
pub struct ClusterInstances {
    cluster: Cluster,
    /// The namespaces that are looked at; none: all.
    watched: Arc<[String]>,
    changes: StatusChanges,
    mounted: Arc<BTreeMap<String, ConnectorSpec>>,
    secret_label: Option<RequiredLabel>,
    /// Whether what others declare is read-only.
    minds_owners: bool,
}

impl ClusterInstances {
    /// Every call is made by `cluster`, with the credentials of its client. `changes`: what this process reports.
    pub fn new(cluster: Cluster, watched: Arc<[String]>, changes: StatusChanges) -> Self {
        Self { cluster, watched, changes, mounted: Arc::default(), secret_label: None, minds_owners: false }
    }

    /// With the entries of the mounted catalogue folder, by name.
    #[must_use]
    pub fn with_mounted(self, mounted: Arc<BTreeMap<String, ConnectorSpec>>) -> Self {
        Self { mounted, ..self }
    }

    /// Puts this label on the Secrets that come with instances: without it they could not be used.
    #[must_use]
    pub fn with_secret_label(self, secret_label: Option<RequiredLabel>) -> Self {
        Self { secret_label, ..self }
    }

    /// Changes and deletes nothing that others declare: they would undo it.
    #[must_use]
    pub fn minding_owners(self) -> Self {
        Self { minds_owners: true, ..self }
    }

    /// The name of the caller.
    ///
    /// # Errors
    /// [`InstancesError::Call`].
    pub async fn who(&self) -> Result<String, InstancesError> {
        Ok(self.cluster.who().await?)
    }

    /// The object as the server has it, unless others declare it and that counts.
    async fn read_own(&self, of: &InstanceRef) -> Result<Value, InstancesError> {
        match self.read_declared(of).await? {
            (_, Some(who)) if self.minds_owners => Err(InstancesError::NotOurs(of.clone(), format!("a manifest of {who}"))),
            (object, _) => Ok(object),
        }
    }

    /// The object as the server has it, and who declares it.
    async fn read_declared(&self, of: &InstanceRef) -> Result<(Value, Option<String>), InstancesError> {
        if !self.covers(&of.namespace) {
            return Err(InstancesError::NotFound(of.clone()));
        }
        let read = self.cluster.get_declared(&of.namespace, &of.name).await;
        read.map_err(|error| failed(error, InstancesError::Changed, of))
    }

    /// Whether this namespace is watched.
    fn covers(&self, namespace: &str) -> bool {
        self.watched.is_empty() || self.watched.iter().any(|watched| watched == namespace)
    }

    /// Where a list is to be looked for; `None`: everywhere at once.
    fn places<'a>(&'a self, namespace: Option<&'a str>) -> Vec<Option<&'a str>> {
        match namespace {
            Some(namespace) if !self.covers(namespace) => Vec::new(),
            None if !self.watched.is_empty() => self.watched.iter().map(|watched| Some(watched.as_str())).collect(),
            namespace => vec![namespace],
        }
    }

    /// The object as the server has it.
    async fn read(&self, of: &InstanceRef) -> Result<Value, InstancesError> {
        if !self.covers(&of.namespace) {
            return Err(InstancesError::NotFound(of.clone()));
        }
        let read = self.cluster.get(Kind::ConnectorInstance, &of.namespace, &of.name).await;
        read.map_err(|error| failed(error, InstancesError::Changed, of))
    }

    /// What an earlier call of the same content has made.
    async fn earlier(&self, of: &InstanceRef, new: &ConnectorInstance) -> Result<Value, InstancesError> {
        let object = self.read(of).await?;
        let there = instance(object.clone())?;
        let annotations = |instance: &ConnectorInstance| instance.metadata.annotations.clone().unwrap_or_default();
        // Others may annotate it, too.
        let has = annotations(&there);
        let is_same = there.spec == new.spec && annotations(new).iter().all(|(name, value)| has.get(name) == Some(value));
        if is_same { Ok(object) } else { Err(InstancesError::Exists(of.clone())) }
    }

    /// Keeps the number of a new instance in its label, by which people find it. Without the label it is found all the same.
    async fn labelled(&self, of: &InstanceRef, object: Value) -> Value {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let number = number(uid).to_string();
        if object["metadata"]["labels"][NUMBER_LABEL] == *number {
            return object;
        }
        let mut labelled = object.clone();
        labelled["metadata"]["labels"][NUMBER_LABEL] = number.into();
        match self.cluster.replace(Kind::ConnectorInstance, &of.namespace, &of.name, &labelled).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::debug!(namespace = &*of.namespace, instance = &*of.name, "not labelled: {error}");
                object
            }
        }
    }
}

impl Instances for ClusterInstances {
    fn list<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Result<Vec<ConnectorInstance>, InstancesError>> {
        Box::pin(async move {
            let mut objects = Vec::new();
            for namespace in self.places(namespace) {
                // The server lists by namespace and name.
                objects.extend(self.cluster.list(Kind::ConnectorInstance, namespace, None, false).await?);
            }
            let understood = objects.into_iter().filter_map(|object| {
                let parsed = instance(object);
                if let Err(error) = &parsed {
                    tracing::warn!("{error}");
                }
                parsed.ok()
            });
            Ok(understood.collect())
        })
    }

    /// Of each object no more is kept than is shown.
    fn glances<'a>(&'a self, namespace: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Glance>, InstancesError>> {
        Box::pin(async move {
            let mut glances = Vec::new();
            for namespace in self.places(namespace) {
                let found = self.cluster.list_each(Kind::ConnectorInstance, namespace, |listed: ListedInstance| {
                    glances.push(Glance::of(listed));
                });
                found.await?;
            }
            Ok(glances)
        })
    }

    fn get<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<ConnectorInstance, InstancesError>> {
        Box::pin(async move { instance(self.read(of).await?) })
    }

    /// First the instance, then its Secrets, which it owns: whatever ends this in between, no Secret is left without an instance, and
    /// a repeated call completes it. What cannot be completed is taken back.
    fn create(&self, new: ConnectorInstance, secrets: SecretEdits) -> BoxFuture<'_, Result<Created, InstancesError>> {
        Box::pin(async move {
            let of = name_of(&new)?;
            if !self.covers(&of.namespace) {
                return Err(InstancesError::Refused(format!(
                    "metadata.namespace: this operator looks only at these namespaces: {}; choose one of them",
                    self.watched.join(", ")
                )));
            }
            let mut object = json!({
                "apiVersion": API_VERSION, "kind": "ConnectorInstance", "metadata": {"namespace": of.namespace, "name": of.name},
            });
            lay(&mut object, &new);
            let (object, is_new) = match self.cluster.create(Kind::ConnectorInstance, &of.namespace, &object).await {
                Ok(created) => (created, true),
                Err(CallError::Conflict) => (self.earlier(&of, &new).await?, false),
                Err(error) => return Err(failed(error, InstancesError::Exists, &of)),
            };
            let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
            let owner = InstanceId::new(of.clone(), uid);
            if let Err(error) = own_secrets::create(&self.cluster, &owner, &secrets, self.secret_label.as_ref()).await {
                if is_new && let Err(left) = self.cluster.delete(Kind::ConnectorInstance, &of.namespace, &of.name).await {
                    tracing::warn!(
                        namespace = &*of.namespace,
                        instance = &*of.name,
                        "an instance whose Secret cannot be created stays: {left}; delete it, or send it again"
                    );
                }
                return Err(error);
            }
            Ok(Created { instance: instance(self.labelled(&of, object).await)?, is_new })
        })
    }

    /// Everything else in the object stays, fields of a newer version included.
    fn update(
        &self,
        changed: ConnectorInstance,
        secrets: SecretEdits,
    ) -> BoxFuture<'_, Result<ConnectorInstance, InstancesError>> {
        Box::pin(async move {
            let of = name_of(&changed)?;
            let version = version_of(&changed)?;
            let mut object = self.read_own(&of).await?;
            let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
            let owner = InstanceId::new(of.clone(), uid);
            own_secrets::check(&self.cluster, &owner, &secrets).await?;
            lay(&mut object, &changed);
            object["metadata"]["resourceVersion"] = version.into();
            let replaced = self.cluster.replace(Kind::ConnectorInstance, &of.namespace, &of.name, &object).await;
            let updated = instance(replaced.map_err(|error| failed(error, InstancesError::Changed, &of))?)?;
            let edited = own_secrets::update(&self.cluster, &owner, &secrets, self.secret_label.as_ref()).await;
            edited.map_err(|error| InstancesError::SecretsNotSaved(of, Box::new(error)))?;
            Ok(updated)
        })
    }

    fn delete<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<(), InstancesError>> {
        Box::pin(async move {
            if self.minds_owners {
                self.read_own(of).await?;
            } else if !self.covers(&of.namespace) {
                return Err(InstancesError::NotFound(of.clone()));
            }
            let deleted = self.cluster.delete(Kind::ConnectorInstance, &of.namespace, &of.name).await;
            deleted.map_err(|error| failed(error, InstancesError::Changed, of))
        })
    }

    fn get_declared<'a>(
        &'a self,
        of: &'a InstanceRef,
    ) -> BoxFuture<'a, Result<(ConnectorInstance, Option<String>), InstancesError>> {
        Box::pin(async move {
            let (object, declared_by) = self.read_declared(of).await?;
            Ok((instance(object)?, declared_by))
        })
    }

    fn stored_secret<'a>(
        &'a self,
        of: &'a InstanceRef,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<SecretEdits>, InstancesError>> {
        Box::pin(async move {
            match self.cluster.get(Kind::Secret, &of.namespace, name).await {
                Ok(object) => Ok(Some(own_secrets::values(name, &object))),
                Err(CallError::NotFound | CallError::Forbidden(Denial { of: Denied::Call, .. })) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// As the last commit stored them: in a Secret next to the instance, which the caller must be allowed to read.
    fn waiting<'a>(&'a self, of: &'a InstanceRef) -> BoxFuture<'a, Result<Vec<WaitingEvent>, InstancesError>> {
        Box::pin(async move {
            let object = self.read(of).await?;
            let count = |field: &str| object["status"][field].as_u64().unwrap_or_default();
            // Most have none, and no Secret.
            if count("parked") + count("setAside") == 0 {
                return Ok(Vec::new());
            }
            let owner = InstanceId::new(of.clone(), object["metadata"]["uid"].as_str().unwrap_or_default());
            let queued = overflow::queued(&self.cluster, &owner).await;
            let queued = queued.map_err(|error| match error {
                StateError::Call(error) => InstancesError::Call(error),
                other => InstancesError::State(other.problem()),
            })?;
            Ok(queued.iter().map(WaitingEvent::from).collect())
        })
    }

    /// Written into an annotation, which the replica that runs the instance acts on.
    fn ask<'a>(&'a self, of: &'a InstanceRef, wish: Wish) -> BoxFuture<'a, Result<(), InstancesError>> {
        Box::pin(async move {
            let key = wish.annotation();
            for _ in 0..ASKED_AGAIN {
                let mut object = self.read(of).await?;
                let there = object["metadata"]["annotations"][key].as_str();
                let handled = object["status"]["bookkeeping"].as_str().and_then(|text| stored::handled(text, key));
                let pending = there.filter(|there| handled.as_deref() != Some(*there));
                let value = wish.value(pending, Utc::now()).ok_or_else(|| InstancesError::Pending(of.clone()))?;
                object["metadata"]["annotations"][key] = value.into();
                match self.cluster.replace(Kind::ConnectorInstance, &of.namespace, &of.name, &object).await {
                    Ok(_) => return Ok(()),
                    // The status was written in between, most likely.
                    Err(CallError::Conflict) => {}
                    Err(error) => return Err(failed(error, InstancesError::Changed, of)),
                }
            }
            Err(InstancesError::Changed(of.clone()))
        })
    }

    fn connector<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<ConnectorSpec>, InstancesError>> {
        Box::pin(async move {
            match self.cluster.get(Kind::Connector, namespace, name).await {
                Ok(mut object) => Ok(ConnectorSpec::deserialize(object["spec"].take()).ok()),
                Err(CallError::NotFound) => Ok(self.mounted.get(name).or_else(|| catalog::built_in(name)).cloned()),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn connectors<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<BTreeSet<String>, InstancesError>> {
        Box::pin(async move {
            let declared = self.cluster.list(Kind::Connector, Some(namespace), None, true).await?;
            let declared = declared.iter().filter_map(|object| object["metadata"]["name"].as_str()).map(str::to_owned);
            Ok(catalog::names().map(str::to_owned).chain(self.mounted.keys().cloned()).chain(declared).collect())
        })
    }

    /// One call, whatever the number of connectors.
    fn titles<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<BTreeMap<String, String>, InstancesError>> {
        Box::pin(async move {
            let title = |name: &str, spec: Option<&ConnectorSpec>| {
                spec.and_then(|spec| spec.title.clone()).unwrap_or_else(|| name.to_owned())
            };
            let built_in = catalog::names().map(|name| (name.to_owned(), title(name, catalog::built_in(name))));
            let mut titles: BTreeMap<_, _> = built_in.collect();
            titles.extend(self.mounted.iter().map(|(name, spec)| (name.clone(), title(name, Some(spec)))));
            for object in self.cluster.list(Kind::Connector, Some(namespace), None, false).await? {
                if let Some(name) = object["metadata"]["name"].as_str() {
                    titles.insert(name.to_owned(), object["spec"]["title"].as_str().unwrap_or(name).to_owned());
                }
            }
            Ok(titles)
        })
    }

    fn watched(&self) -> &[String] {
        &self.watched
    }

    fn may<'a>(&'a self, right: Right, namespace: Option<&'a str>) -> BoxFuture<'a, Result<bool, InstancesError>> {
        Box::pin(async move {
            // Where nothing is looked at, nothing can be done.
            if namespace.is_some_and(|namespace| !self.covers(namespace)) {
                return Ok(false);
            }
            let may = |verb, kind| self.cluster.may(verb, kind, namespace);
            Ok(match right {
                Right::Change => may(Verb::Update, Kind::ConnectorInstance).await?,
                Right::Delete => may(Verb::Delete, Kind::ConnectorInstance).await?,
                Right::Create => may(Verb::Create, Kind::ConnectorInstance).await? && may(Verb::Create, Kind::Secret).await?,
            })
        })
    }

    fn changes(&self) -> broadcast::Receiver<Arc<InstanceStatus>> {
        self.changes.subscribe()
    }
}

/// What a failed call means for a caller; `conflict`: what a conflict means.
fn failed(error: CallError, conflict: fn(InstanceRef) -> InstancesError, of: &InstanceRef) -> InstancesError {
    match error {
        CallError::NotFound => InstancesError::NotFound(of.clone()),
        CallError::Conflict => conflict(of.clone()),
        CallError::Refused(words) | CallError::Forbidden(Denial { of: Denied::Policy, words }) => {
            InstancesError::Refused(words)
        }
        error @ (CallError::Forbidden(_) | CallError::Unavailable(_)) => error.into(),
    }
}
