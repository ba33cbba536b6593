//! What changed in the cluster, by metadata alone: code that reacts reads the object itself. So nothing that cannot be decoded stops a
//! watch, status writes cost next to nothing here, and no object is kept. The API server is asked for metadata alone, too (an `Api` of
//! `PartialObjectMeta` does that): no value of a Secret travels unless an instance names that Secret.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cluster::Kind;
use crate::api::connector::Connector;
use crate::api::identity::{ConnectorRef, InstanceRef, SecretRef};
use crate::api::instance::ConnectorInstance;
use crate::state::adopt::{APPROVE_DELETES, DISCARD, POLL_NOW, REDELIVER, REQUESTED_AT, RESET};
use crate::state::wish;

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// Pauses after a failed list or watch, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// The shortest time between two lists, which are not free.
pub const SHORTEST_RELIST: Duration = Duration::from_secs(10);
/// The annotations that are acted on.
const ANNOTATIONS: [&str; 6] = [RESET, REDELIVER, DISCARD, APPROVE_DELETES, POLL_NOW, REQUESTED_AT];
/// Longer values are cut: they are compared and stored.
const MAX_ANNOTATION: usize = wish::LONGEST_VALUE;

/// What a watch reports, by the kind of the object.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// Of instances.
    Instance(Change<InstanceRef>),
    /// Of connectors.
    Connector(Change<ConnectorRef>),
    /// Of Secrets.
    Secret(Change<SecretRef>),
}

/// Something that a watch saw of objects of one kind, which are named by `R`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<R: Eq + Hash> {
    /// An object is there, new or changed.
    Seen(Seen<R>),
    /// An object is gone.
    Gone(R),
    /// A complete list ended.
    Listed(Listing<R>),
    /// A list or watch fails.
    Failing(Failing),
}

/// A list or watch that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The namespace that is watched; `None`: all.
    pub namespace: Option<Arc<str>>,
    /// Whether the server does not know the kind.
    pub is_unknown: bool,
}

impl Failing {
    /// Logs it. That the definitions are not installed is said once.
    pub(super) fn log(&self, kind: Kind, said_missing: &mut bool) {
        let name = kind.names().1;
        if !self.is_unknown {
            tracing::warn!(kind = name, namespace = self.namespace.as_deref(), "watch failed or is not permitted; retrying");
        } else if !std::mem::replace(said_missing, true) {
            tracing::error!(
                "the API server does not know {name}: the CRDs are not installed; apply the output of `pollinator crds`; waiting for them"
            );
        }
    }
}

/// A complete list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<R: Eq + Hash> {
    /// The namespace that was listed; `None`: all.
    pub namespace: Option<Arc<str>>,
    /// All that there are in it.
    pub all: HashSet<R>,
}

impl<R: Eq + Hash> Listing<R> {
    /// Whether the object, which is in this namespace, is known to be gone.
    pub fn lacks(&self, namespace: &str, object: &R) -> bool {
        self.namespace.as_deref().is_none_or(|listed| listed == namespace) && !self.all.contains(object)
    }
}

/// An object by its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<R> {
    /// Which object.
    pub object: R,
    /// Uid.
    pub uid: String,
    /// Changes with every write.
    pub version: String,
    /// Changes with the spec, and with nothing else.
    pub generation: Option<i64>,
    /// What decides whether anything is to be done: uid, generation, acted-on annotations, whether it is being deleted.
    pub fingerprint: u64,
}

impl<R> Seen<R> {
    fn of(object: R, metadata: &ObjectMeta) -> Self {
        let annotations = acted_on(metadata.annotations.as_ref());
        let parts =
            format!("{:?} {:?} {annotations:?} {}", metadata.uid, metadata.generation, metadata.deletion_timestamp.is_some());
        Self {
            object,
            uid: metadata.uid.clone().unwrap_or_default(),
            version: metadata.resource_version.clone().unwrap_or_default(),
            generation: metadata.generation,
            fingerprint: xxhash_rust::xxh3::xxh3_64(parts.as_bytes()),
        }
    }
}

/// The annotations that ask for something, their values cut to what is stored.
pub fn acted_on(annotations: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let found = |key: &&str| {
        let value = annotations?.get(*key)?;
        Some(((*key).to_owned(), value.chars().take(MAX_ANNOTATION).collect()))
    };
    ANNOTATIONS.iter().filter_map(found).collect()
}

/// Where to look.
#[derive(Clone)]
pub struct Watches {
    /// Must not have a read timeout: a watch is silent for minutes.
    pub client: Client,
    /// These namespaces, each named once; none: all.
    pub namespaces: Arc<[String]>,
    /// Everything is listed again about this long after the last list, which finds what a watch missed.
    pub relist: Duration,
    /// Takes what is seen.
    pub events: mpsc::Sender<WatchEvent>,
}

impl Watches {
    /// Watches instances, connectors and Secrets until the receiver is gone.
    pub async fn run(self) {
        let each = self.namespaces.iter().map(|namespace| Some(Arc::from(namespace.as_str())));
        let places: Vec<Option<Arc<str>>> = if self.namespaces.is_empty() { vec![None] } else { each.collect() };
        let watching = places.iter().map(|place| async {
            tokio::join!(
                self.watch(Of::<ConnectorInstance, _>::new(InstanceRef::new, WatchEvent::Instance), place.clone()),
                self.watch(Of::<Connector, _>::new(ConnectorRef::new, WatchEvent::Connector), place.clone()),
                self.watch(Of::<Secret, _>::new(SecretRef::new, WatchEvent::Secret), place.clone()),
            );
        });
        futures::future::join_all(watching).await;
    }

    async fn watch<K, R>(&self, of: Of<K, R>, namespace: Option<Arc<str>>)
    where
        R: Eq + Hash,
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let api: Api<PartialObjectMeta<K>> = match &namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let mut pause = FIRST_PAUSE;
        while self.follow(&of, api.clone(), namespace.as_ref(), &mut pause).await {}
    }

    /// Follows one list and its watch until it is time to list again; `false`: the receiver is gone.
    async fn follow<K, R>(
        &self,
        of: &Of<K, R>,
        api: Api<PartialObjectMeta<K>>,
        namespace: Option<&Arc<str>>,
        pause: &mut Duration,
    ) -> bool
    where
        R: Eq + Hash,
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let stream = watcher(api, watcher::Config::default().page_size(PAGE));
        let mut stream = std::pin::pin!(stream);
        let mut listed = HashSet::new();
        let mut relist: Option<Instant> = None;
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = tokio::time::sleep_until(relist.unwrap_or_else(Instant::now)), if relist.is_some() => return true,
            };
            let change = match event {
                None => return true,
                Some(Ok(Event::Init)) => {
                    listed.clear();
                    relist = None;
                    continue;
                }
                Some(Ok(Event::InitApply(object))) => {
                    listed.insert(of.name(&object.metadata));
                    Change::Seen(Seen::of(of.name(&object.metadata), &object.metadata))
                }
                Some(Ok(Event::InitDone)) => {
                    *pause = FIRST_PAUSE;
                    // Not all kinds and replicas at once.
                    relist = Some(Instant::now() + self.relist.mul_f64(0.9 + 0.2 * rand::random::<f64>()));
                    Change::Listed(Listing { namespace: namespace.cloned(), all: std::mem::take(&mut listed) })
                }
                Some(Ok(Event::Apply(object))) => {
                    *pause = FIRST_PAUSE;
                    Change::Seen(Seen::of(of.name(&object.metadata), &object.metadata))
                }
                Some(Ok(Event::Delete(object))) => Change::Gone(of.name(&object.metadata)),
                Some(Err(error)) => {
                    tracing::debug!(kind = &*K::kind(&()), "watch: {error}");
                    let failing = Change::Failing(Failing { namespace: namespace.cloned(), is_unknown: is_unknown(&error) });
                    if self.events.send((of.event)(failing)).await.is_err() {
                        return false;
                    }
                    tokio::time::sleep(*pause).await;
                    *pause = (*pause * 2).min(LAST_PAUSE);
                    continue;
                }
            };
            if self.events.send((of.event)(change)).await.is_err() {
                return false;
            }
        }
    }
}

/// How objects of the kind `K` are named and reported.
struct Of<K, R: Eq + Hash> {
    reference: fn(String, String) -> R,
    event: fn(Change<R>) -> WatchEvent,
    kind: PhantomData<fn() -> K>,
}

impl<K, R: Eq + Hash> Of<K, R> {
    fn new(reference: fn(String, String) -> R, event: fn(Change<R>) -> WatchEvent) -> Self {
        Self { reference, event, kind: PhantomData }
    }

    fn name(&self, metadata: &ObjectMeta) -> R {
        (self.reference)(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }
}

/// The server answers 404 for a whole kind while its CRD is not there.
fn is_unknown(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(annotations: &[(&str, &str)]) -> ObjectMeta {
        ObjectMeta {
            namespace: Some("crm".into()),
            name: Some("keap".into()),
            uid: Some("u".into()),
            generation: Some(1),
            resource_version: Some("7".into()),
            annotations: Some(annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn a_status_write_changes_nothing_that_counts() {
        let before = Seen::of((), &metadata(&[("example.com/other", "1")]));
        let after = Seen::of((), &ObjectMeta { resource_version: Some("8".into()), ..metadata(&[("example.com/other", "2")]) });
        assert_eq!(before.fingerprint, after.fingerprint);
        assert_ne!(before.version, after.version);
    }

    #[test]
    fn what_asks_for_something_counts() {
        let before = Seen::of((), &metadata(&[])).fingerprint;
        for changed in [
            metadata(&[(POLL_NOW, "1")]),
            metadata(&[(REQUESTED_AT, "1")]),
            ObjectMeta { generation: Some(2), ..metadata(&[]) },
            ObjectMeta { uid: Some("other".into()), ..metadata(&[]) },
            ObjectMeta { deletion_timestamp: Some(serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap()), ..metadata(&[]) },
        ] {
            assert_ne!(before, Seen::of((), &changed).fingerprint, "{changed:?}");
        }
    }

    #[test]
    fn a_list_of_one_namespace_says_nothing_of_another() {
        let (kept, gone) = (InstanceRef::new("crm", "a"), InstanceRef::new("crm", "b"));
        let elsewhere = InstanceRef::new("shop", "b");
        let lacks = |listing: &Listing<InstanceRef>, of: &InstanceRef| listing.lacks(&of.namespace, of);
        let of_one = Listing { namespace: Some("crm".into()), all: HashSet::from([kept.clone()]) };
        assert!(!lacks(&of_one, &kept) && lacks(&of_one, &gone) && !lacks(&of_one, &elsewhere));
        let of_all = Listing { namespace: None, ..of_one };
        assert!(!lacks(&of_all, &kept) && lacks(&of_all, &gone) && lacks(&of_all, &elsewhere));
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let cut = acted_on(metadata(&[(RESET, &"ü".repeat(400)), ("other", "1")]).annotations.as_ref());
        assert_eq!(cut.len(), 1);
        assert_eq!(cut[RESET].chars().count(), MAX_ANNOTATION);
    }
}
