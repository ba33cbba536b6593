//! The one writer of the statuses of `Connector`s: whether each is accepted, and how many instances name it. A connector belongs to the
//! replica that owns the shard of its uid, as an instance does, so no two replicas write the same status. Each write is guarded by the
//! `resourceVersion` of what was read for it, and what a status shows already is not written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use futures::StreamExt as _;
use futures::stream;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch as channel};
use tokio_util::sync::CancellationToken;

use super::cluster::{CallError, Cluster, Kind};
use super::connector_status::{Counts, News, Statuses, lay};
use super::objects::version;
use super::shards::OwnedRanges;
use crate::api::conditions::{Problem, Reason};
use crate::api::connector::ConnectorSpec;
use crate::api::identity::ConnectorRef;
use crate::plan::connector::findings;

/// Namespaces that are looked at together.
const AT_ONCE: usize = 4;

/// Writes the statuses of connectors.
pub struct ConnectorWriter {
    cluster: Cluster,
    owned: channel::Receiver<OwnedRanges>,
    statuses: Statuses,
}

/// What came of looking at a namespace.
struct Looked {
    namespace: Arc<str>,
    /// What each status shows now, by the version of its object.
    settled: Vec<(ConnectorRef, String, Option<i64>)>,
    counted: Result<usize, ()>,
}

impl ConnectorWriter {
    /// Knows none yet.
    pub fn new(cluster: Cluster, owned: channel::Receiver<OwnedRanges>) -> Self {
        Self { cluster, owned, statuses: Statuses::default() }
    }

    /// Runs until `shutdown`, or until no one has news.
    pub async fn run(mut self, mut news: mpsc::UnboundedReceiver<News>, shutdown: CancellationToken) {
        // Marked as unseen, so that what is owned already counts.
        self.owned.mark_changed();
        loop {
            let next = self.statuses.next();
            let until_due = tokio::time::sleep_until(next.unwrap_or_else(Instant::now).into());
            tokio::select! {
                () = shutdown.cancelled() => return,
                one = news.recv() => match one {
                    Some(one) => {
                        let owned = self.owned.borrow();
                        self.statuses.note(one, |uid| owned.guard_of(uid).is_some(), Instant::now());
                    }
                    None => return,
                },
                Ok(()) = self.owned.changed() => {
                    let owned = self.owned.borrow_and_update();
                    self.statuses.share(|uid| owned.guard_of(uid).is_some(), Instant::now());
                }
                () = until_due, if next.is_some() => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        let due = self.statuses.take_due(AT_ONCE, Instant::now());
        let looks: Vec<_> = due.into_iter().map(|namespace| self.look_at(namespace)).collect();
        let looked: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        for Looked { namespace, settled, counted } in looked {
            for (key, version, count) in settled {
                self.statuses.settle(&key, version, count);
            }
            self.statuses.rest(&namespace, counted, Instant::now());
        }
    }

    async fn look_at(&self, namespace: Arc<str>) -> Looked {
        let mut looked = Looked { namespace, settled: Vec::new(), counted: Err(()) };
        let counts = match self.count(&looked.namespace).await {
            Ok(counts) => counts,
            Err(error) => {
                tracing::warn!(
                    namespace = &*looked.namespace,
                    "instances cannot be counted for the status of connectors: {error}"
                );
                return looked;
            }
        };
        looked.counted = Ok(counts.instances);
        for (key, count) in self.statuses.unsettled(&looked.namespace, &counts) {
            match self.write(&key, count).await {
                Ok(Some(version)) => looked.settled.push((key, version, count)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(
                        namespace = &*key.namespace,
                        connector = &*key.name,
                        "the status of the connector is not written: {error}"
                    );
                    looked.counted = Err(());
                }
            }
        }
        looked
    }

    async fn count(&self, namespace: &str) -> Result<Counts, CallError> {
        let (mut counts, mut continued) = (Counts::default(), None);
        loop {
            let page = self.cluster.table(Kind::ConnectorInstance, namespace, continued.as_deref()).await?;
            counts.add(&page);
            match page["metadata"]["continue"].as_str().filter(|next| !next.is_empty()) {
                Some(next) => continued = Some(next.to_owned()),
                None => return Ok(counts),
            }
        }
    }

    /// Writes what is to be said, unless the status says it already; the version that says it, or nothing if there is no such object of
    /// ours any more.
    async fn write(&self, key: &ConnectorRef, count: Option<i64>) -> Result<Option<String>, CallError> {
        let object = match self.cluster.get(Kind::Connector, &key.namespace, &key.name).await {
            Ok(object) => object,
            Err(CallError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = &object["metadata"];
        let version = |object: &Value| version(object).unwrap_or_default();
        let before = object["status"].as_object().cloned().unwrap_or_default();
        let mut status = before.clone();
        lay(&mut status, &problems(key, &object["spec"]), count, metadata["generation"].as_i64(), Utc::now());
        if status == before {
            return Ok(Some(version(&object)));
        }
        // Right before the write: a process that slept finds out here.
        if self.owned.borrow().guard_of(metadata["uid"].as_str().unwrap_or_default()).is_none() {
            return Ok(None);
        }
        let patch = json!({"metadata": {"resourceVersion": version(&object)}, "status": difference(&before, &status)});
        match self.cluster.patch_connector_status(&key.namespace, &key.name, &patch).await {
            Ok(answer) => Ok(Some(version(&answer))),
            // It was there a moment ago.
            Err(CallError::NotFound) if self.cluster.get(Kind::Connector, &key.namespace, &key.name).await.is_ok() => {
                Err(CallError::Refused(
                    "the installed CRD connectors.pollinator.dev has no status; apply the CRDs of this version".to_owned(),
                ))
            }
            Err(CallError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What instances that use it would report.
fn problems(key: &ConnectorRef, spec: &Value) -> Vec<Problem> {
    match ConnectorSpec::deserialize(spec) {
        Ok(spec) => findings(&key.name, &spec),
        Err(_) => vec![Problem::human(
            Reason::InvalidSpec,
            "spec is not understood by this version of the operator; correct it, or run the version that it was written for",
        )],
    }
}

/// The members that differ; those that are gone are null (RFC 7396).
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> HashMap<String, Value> {
    let changed = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    changed.map(|(name, value)| (name.clone(), value.clone())).chain(gone.map(|name| (name.clone(), Value::Null))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_holds_what_differs() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let before = object(json!({"a": 1, "b": [2], "c": 3}));
        let patch = difference(&before, &object(json!({"a": 1, "b": [4], "d": 5})));
        assert_eq!(json!(patch), json!({"b": [4], "c": null, "d": 5}));
    }

    #[test]
    fn a_spec_that_is_not_understood_is_a_finding() {
        let key = ConnectorRef::new("crm", "shop");
        assert_eq!(problems(&key, &json!({})), Vec::new());
        assert_eq!(problems(&key, &json!({"auth": {"magic": {}}}))[0].reason, Reason::InvalidSpec);
    }
}
