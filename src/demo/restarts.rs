//! Every poll in an engine of its own, as `local --once` from a timer: all that one poll leaves for the next goes through the state.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::oracle::{Delivery, compare};
use super::provider::SampleProvider;
use crate::egress::{Egress, EgressPolicy};
use crate::local::definitions::Definitions;
use crate::local::files::Sources;
use crate::local::reload;
use crate::observe::metrics::Metrics;
use crate::poll::context::EngineContext;
use crate::poll::engine::{Engine, Run};
use crate::receive::read::Received;
use crate::receive::server::{Receiver, ReceiverOptions, RunningReceiver};
use crate::receive::verify::Key;
use crate::state::directory::Directory;

struct World {
    provider: SampleProvider,
    receiver: RunningReceiver,
    folder: TempDir,
    deliveries: Vec<Delivery>,
}

impl World {
    /// The manifest leaves to detection what can be detected: where the records are, how pages follow, in which order.
    async fn start(format: &str) -> Self {
        let provider = SampleProvider::start(11).await.unwrap();
        let keys = vec![Key::parse(b"secret").unwrap()];
        let receiver = Receiver::start(ReceiverOptions { keys, ..ReceiverOptions::default() }).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let manifests = format!(
            r#"apiVersion: pollinator.dev/v1alpha1
kind: ConnectorInstance
metadata: {{name: sample, namespace: demo}}
spec:
  baseUrl: "{}"
  resources:
  - name: contacts
    url: /contacts
    query: {{since: "${{since}}"}}
    idField: id
    datesConfiguration: {{updatedDateField: updated_at, createdDateField: created_at}}
    deletes: {{flag: {{field: deleted}}}}
  callback:
    url: "{}"
    allowInsecureHttp: true
    format: {format}
    signature: {{secretRef: {{name: signing, key: signing-key}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: signing, namespace: demo}}
stringData: {{signing-key: secret}}
"#,
            provider.base_url(),
            receiver.url()
        );
        std::fs::write(folder.path().join("sample.yaml"), manifests).unwrap();
        Self { provider, receiver, folder, deliveries: Vec::new() }
    }

    async fn change(&self, changes: usize) {
        for _ in 0..changes {
            self.provider.change_one().await;
        }
    }

    fn take_arrivals(&mut self) {
        while let Ok(event) = self.receiver.events.try_recv() {
            self.deliveries.push(delivery(&event));
        }
    }
}

async fn poll_once(folder: &Path) {
    let sources = Sources::new(vec![folder.join("sample.yaml")], None);
    let definitions = Definitions::read(&sources).unwrap_or_else(|error| panic!("{error}"));
    let egress = Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }).unwrap();
    let metrics = Metrics::new();
    let store = Arc::new(Directory::open(&folder.join("state")).unwrap());
    let core = EngineContext::new(egress, metrics, Arc::new(definitions.secrets.clone()), Arc::clone(&store) as _, store);
    let (reports, _) = mpsc::unbounded_channel();
    let (commands, received) = mpsc::channel(1);
    commands.send(reload::first(&definitions)).await.unwrap();
    drop(commands);
    Engine::new(core, Run::Once, reports).run(received, CancellationToken::new(), Duration::ZERO).await;
}

fn delivery(event: &Received) -> Delivery {
    #[derive(Deserialize)]
    struct Record {
        updated_at: String,
    }
    let data = event.data.as_deref().map_or("", RawValue::get);
    let record: Record = serde_json::from_str(data).unwrap();
    Delivery {
        event_id: event.event_id.clone(),
        object_id: event.object_id.clone(),
        kind: event.kind,
        version: record.updated_at,
        data_hash: xxh3_64(data.as_bytes()),
        at: DateTime::<Utc>::UNIX_EPOCH,
    }
}

async fn every_change_arrives(format: &str) {
    let mut world = World::start(format).await;
    poll_once(world.folder.path()).await;
    for round in 1..=5 {
        world.change(60).await;
        poll_once(world.folder.path()).await;
        world.take_arrivals();
        let report = compare(&world.provider.truth(), &world.deliveries);
        assert!(report.is_clean(), "{format}, round {round}: {report:?}");
    }
    assert_eq!(world.deliveries.iter().map(|delivery| delivery.kind).collect::<HashSet<_>>().len(), 3);
    poll_once(world.folder.path()).await;
    assert!(world.receiver.events.try_recv().is_err(), "an idle poll sends nothing");
}

#[tokio::test]
async fn every_change_arrives_as_cloud_event() {
    every_change_arrives("CloudEvents").await;
}

#[tokio::test]
async fn every_change_arrives_in_open_connectors_batches() {
    every_change_arrives("OpenConnectors").await;
}

#[tokio::test]
async fn nothing_is_lost_while_pages_shift_under_the_poll() {
    let mut world = World::start("CloudEvents").await;
    poll_once(world.folder.path()).await;
    for _ in 0..4 {
        // Several pages to read, and each contact that changes meanwhile leaves its place for the end of the list.
        world.change(150).await;
        tokio::join!(world.change(60), poll_once(world.folder.path()));
        world.take_arrivals();
    }
    poll_once(world.folder.path()).await;
    world.take_arrivals();
    let report = compare(&world.provider.truth(), &world.deliveries);
    assert!(report.is_clean(), "{report:?}");
    assert!(report.delivered > 400, "{report:?}");
}
