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
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cluster::Kind;
use super::outage_log::{Cause, OutageLog, Source};
use super::unusable::Unusable;
use crate::api::connector::Connector;
use crate::api::identity::{ConnectorRef, InstanceRef, SecretRef};
use crate::api::instance::ConnectorInstance;
use crate::state::adopt::ANNOTATIONS;
use crate::state::wish;

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// Pauses after a failed list or watch, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// A list or watch that has not failed for this time works: it is longer than a connection takes to be given up.
const CALM: Duration = Duration::from_secs(45);
/// The shortest time between two lists, which are not free.
pub const SHORTEST_RELIST: Duration = Duration::from_secs(10);
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

/// The annotations of an object that ask for something, as [`acted_on`] has them.
pub fn annotations_of(object: &Value) -> BTreeMap<String, String> {
    let all = object["metadata"]["annotations"].as_object().into_iter().flatten();
    let texts = all.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    acted_on(Some(&texts.collect()))
}

/// The annotations that ask for something, their values cut to what is stored, and the names of those that are misspelt.
pub fn acted_on(annotations: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let found = |key: &&str| {
        let value = annotations?.get(*key)?;
        Some(((*key).to_owned(), value.chars().take(MAX_ANNOTATION).collect()))
    };
    let misspelt = annotations.into_iter().flatten().filter(|(key, _)| wish::is_misspelt(key));
    ANNOTATIONS.iter().filter_map(found).chain(misspelt.map(|(key, _)| (key.clone(), String::new()))).collect()
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
    /// Takes why a list or watch fails.
    pub outages: Arc<OutageLog>,
}

impl Watches {
    /// Watches instances, connectors and Secrets until the receiver is gone.
    pub async fn run(self) {
        let each = self.namespaces.iter().map(|namespace| Some(Arc::from(namespace.as_str())));
        let places: Vec<Option<Arc<str>>> = if self.namespaces.is_empty() { vec![None] } else { each.collect() };
        let watching = places.iter().map(|place| async {
            tokio::join!(
                self.watch(
                    Of::<ConnectorInstance, _>::new(Kind::ConnectorInstance, InstanceRef::new, WatchEvent::Instance),
                    place.clone()
                ),
                self.watch(Of::<Connector, _>::new(Kind::Connector, ConnectorRef::new, WatchEvent::Connector), place.clone()),
                self.watch(Of::<Secret, _>::new(Kind::Secret, SecretRef::new, WatchEvent::Secret), place.clone()),
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
        let source = Source::Watch(of.kind.names().1, namespace.cloned());
        let stream = watcher(api, watcher::Config::default().page_size(PAGE));
        let mut stream = std::pin::pin!(stream);
        let mut listed = HashSet::new();
        let mut relist: Option<Instant> = None;
        // A watch that begins again says nothing until an object changes.
        let mut calm: Option<Instant> = None;
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = tokio::time::sleep_until(relist.unwrap_or_else(Instant::now)), if relist.is_some() => return true,
                () = tokio::time::sleep_until(calm.unwrap_or_else(Instant::now)), if calm.is_some() => {
                    calm = None;
                    self.outages.note(&source, None);
                    continue;
                }
            };
            if matches!(event, Some(Ok(_))) && calm.take().is_some() {
                self.outages.note(&source, None);
            }
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
                    self.outages.note(&source, None);
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
                    tracing::debug!(kind = of.kind.names().1, "watch: {error}");
                    if self.events.is_closed() {
                        return false;
                    }
                    if let Some(cause) = cause(&error, of.kind, namespace.map(|name| &**name)) {
                        self.outages.note(&source, Some(cause));
                        calm = Some(Instant::now() + CALM);
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
    kind: Kind,
    objects: PhantomData<fn() -> K>,
}

impl<K, R: Eq + Hash> Of<K, R> {
    fn new(kind: Kind, reference: fn(String, String) -> R, event: fn(Change<R>) -> WatchEvent) -> Self {
        Self { reference, event, kind, objects: PhantomData }
    }

    fn name(&self, metadata: &ObjectMeta) -> R {
        (self.reference)(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }
}

/// Why a list or watch cannot begin; `None`: it began, and ended, as each does at times.
fn cause(error: &watcher::Error, kind: Kind, namespace: Option<&str>) -> Option<Cause> {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else { return None };
    if let Some(unusable) = Unusable::of(error) {
        return Some(Cause::Unusable(unusable));
    }
    let kube::Error::Api(status) = error else { return None };
    let (group, plural) = kind.group_and_plural();
    let resource = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    let place = namespace.map_or_else(|| "in all namespaces".to_owned(), |name| format!("in namespace {name}"));
    Some(match status.code {
        // The server answers this for a whole kind while its CRD is not there.
        404 => Cause::Undefined(kind.names().1),
        403 => Cause::Refused(format!(
            "the API server forbids to list or watch {resource} {place}: grant get, list and watch on it to the operator's service account"
        )),
        code => Cause::Refused(format!("the API server answers {code} to a list or watch of {resource} {place}; retrying")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::adopt::{POLL_NOW, REQUESTED_AT, RESET};

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

    #[test]
    fn of_a_misspelt_annotation_the_name_counts() {
        let own = [("pollinator.dev/poll_now", "1"), ("pollinator.dev/imported-id", "7"), ("example.com/poll-now", "1")];
        let kept = acted_on(metadata(&own).annotations.as_ref());
        assert_eq!(kept, BTreeMap::from([("pollinator.dev/poll_now".to_owned(), String::new())]));
    }

    #[test]
    fn a_list_that_fails_has_its_cause_and_a_watch_that_ends_has_none() {
        let failed = |code| {
            let status = kube::core::Status { code, ..kube::core::Status::default() };
            watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
        };
        let of = |code| cause(&failed(code), Kind::Connector, Some("crm"));
        assert_eq!(of(401), Some(Cause::Unusable(Unusable::Unauthorized)));
        assert_eq!(of(404), Some(Cause::Undefined("Connector")));
        let Some(Cause::Refused(text)) = of(403) else { panic!("{:?}", of(403)) };
        assert!(text.contains("list or watch connectors.pollinator.dev in namespace crm: grant"), "{text}");
        let ended = watcher::Error::WatchFailed(kube::Error::ReadEvents(std::io::Error::other("reset")));
        assert_eq!(cause(&ended, Kind::Secret, None), None);
    }
}
