//! Provider, engine and receiver in one process, joined by loopback sockets alone.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::oracle::{Delivery, Report, compare};
use super::provider::SampleProvider;
use crate::api::conditions::ConditionStatus;
use crate::egress::{Egress, EgressPolicy};
use crate::instances::current::Current;
use crate::instances::folder::FolderInstances;
use crate::local::definitions::Definitions;
use crate::local::files::{Least, Sources};
use crate::observe::Journal;
use crate::observe::metrics::Metrics;
use crate::poll::claim::Claim;
use crate::poll::command::Command;
use crate::poll::context::EngineContext;
use crate::poll::engine::{Engine, Run};
use crate::poll::status::InstanceStatus;
use crate::receive::read::Received;
use crate::receive::server::{Receiver, ReceiverOptions, RunningReceiver};
use crate::receive::verify::Key;
use crate::state::directory::Directory;

/// How long the last changes may take to arrive before they count as missing; a first retry is due within it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is checked whether all has arrived.
const LOOK: Duration = Duration::from_millis(100);
/// Polls that follow once all has arrived, so that a duplicate has the time to show.
const POLLS_BEHIND: u32 = 3;
/// How long requests under way may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// A running provider, engine and receiver.
pub struct Session {
    provider: SampleProvider,
    receiver: RunningReceiver,
    engine: JoinHandle<()>,
    statuses: mpsc::UnboundedReceiver<InstanceStatus>,
    stop: CancellationToken,
    interval: Duration,
    folder: Folder,
    instances: Arc<FolderInstances>,
    journal: Journal,
    current: Current,
}

/// An event that arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The event.
    pub event: Received,
    /// From the change at the provider to the arrival at the receiver.
    pub latency: Duration,
}

/// How a session went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The result of the check.
    pub report: Report,
    /// Latencies of all events, shortest first.
    pub latencies: Vec<Duration>,
}

impl Session {
    /// Starts all three and waits until the first poll has ended: from then on every change counts. The plan comes from a
    /// manifest in the usual way; only its interval is replaced, since manifests allow none below five seconds.
    ///
    /// # Errors
    /// What could not be started and why, in words for a user.
    pub async fn start(seed: u64, interval: Duration) -> Result<Self, String> {
        let loopback = |error: std::io::Error| format!("no port on 127.0.0.1 can be used: {error}");
        let provider = SampleProvider::start(seed).await.map_err(loopback)?;
        let secret = signing_secret();
        let key = Key::parse(secret.as_bytes()).map_err(|error| format!("the signing secret {error}"))?;
        let receiver = Receiver::start(ReceiverOptions { keys: vec![key], ..Default::default() }).await.map_err(loopback)?;
        let folder = Folder::make()?;
        let mut definitions = folder.declare(&manifests(&provider.base_url(), &receiver.url(), &secret))?;
        let commands: Vec<_> = definitions.planned.values().map(|planned| put(planned, interval)).collect();
        let egress = Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() })
            .map_err(|error| format!("the HTTP client cannot be created: {error}"))?;
        let metrics = Metrics::new();
        let store = Arc::new(Directory::open(&folder.0.join("state")).map_err(|error| error.to_string())?);
        let (reports, statuses) = mpsc::unbounded_channel();
        let (commands_to, commands_of) = mpsc::channel(1);
        let instances = FolderInstances::new(None, Arc::clone(&store), Least::One, &mut definitions, commands_to.clone());
        let core = EngineContext::new(egress, metrics, Arc::new(definitions.secrets), Arc::clone(&store) as _, store);
        let journal = core.journal.clone();
        let stop = CancellationToken::new();
        let engine = tokio::spawn(Engine::new(core, Run::Forever, reports).run(commands_of, stop.clone(), GRACE));
        // The engine's task has just begun and holds the other end.
        let _ = commands_to.send(commands).await;
        let instances = Arc::new(instances);
        let current = Current::new(commands_to);
        let mut session = Self { provider, receiver, engine, statuses, stop, interval, folder, instances, journal, current };
        session.wait_for_first_poll().await?;
        Ok(session)
    }

    async fn wait_for_first_poll(&mut self) -> Result<(), String> {
        let ready = tokio::time::timeout(PATIENCE, async {
            while let Some(status) = self.statuses.recv().await {
                let status = Arc::new(status);
                self.instances.note(Arc::clone(&status));
                match status.ready {
                    ConditionStatus::True => return Ok(()),
                    ConditionStatus::False => return Err(format!("{}: {}", status.reason, status.message)),
                    ConditionStatus::Unknown => {}
                }
            }
            Err("the engine ended unexpectedly; please report this with the log".to_owned())
        });
        ready.await.unwrap_or_else(|_| Err("the first poll did not end; please report this with the log".to_owned()))
    }

    /// Where the provider is.
    pub fn provider_url(&self) -> String {
        self.provider.base_url()
    }

    /// Where events go.
    pub fn callback_url(&self) -> String {
        self.receiver.url()
    }

    /// What is polled, for people who look.
    pub fn instances(&self) -> Arc<FolderInstances> {
        Arc::clone(&self.instances)
    }

    /// The last polls and deliveries.
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// How the instance is at this moment.
    pub fn current(&self) -> Current {
        self.current.clone()
    }

    /// Makes this number of changes, one each `pace`, shows each arrival, waits until all has arrived, and checks the deliveries. `None`
    /// when interrupted before that.
    pub async fn run(
        &mut self,
        changes: u32,
        pace: Duration,
        interrupt: &CancellationToken,
        mut show: impl FnMut(&Arrival),
    ) -> Option<Outcome> {
        let mut deliveries = Vec::new();
        let mut latencies = Vec::new();
        let mut made = 0;
        let mut change = interval(pace.max(Duration::from_millis(1)));
        // A late change must not be followed by a burst.
        change.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(LOOK);
        let mut end = Instant::now();
        let mut complete = false;
        loop {
            let done = made == changes;
            tokio::select! {
                () = interrupt.cancelled() => return None,
                _ = change.tick(), if !done => {
                    self.provider.change_one().await;
                    made += 1;
                    end = Instant::now() + PATIENCE;
                }
                event = self.receiver.events.recv() => {
                    let Some(event) = event else { break };
                    let (arrival, delivery) = arrive(event, Utc::now());
                    show(&arrival);
                    latencies.push(arrival.latency);
                    deliveries.push(delivery);
                }
                Some(status) = self.statuses.recv() => self.instances.note(Arc::new(status)),
                _ = look.tick(), if done && !complete => {
                    complete = compare(&self.provider.truth(), &deliveries).missing.is_empty();
                    if complete {
                        end = Instant::now() + self.interval * POLLS_BEHIND;
                    }
                }
                () = sleep_until(end), if done => break,
            }
        }
        latencies.sort();
        Some(Outcome { report: compare(&self.provider.truth(), &deliveries), latencies })
    }

    /// Goes on polling, without changes, for people who look, until it is interrupted.
    pub async fn stay(&mut self, interrupt: &CancellationToken) {
        loop {
            tokio::select! {
                () = interrupt.cancelled() => return,
                Some(status) = self.statuses.recv() => self.instances.note(Arc::new(status)),
                Some(_) = self.receiver.events.recv() => {}
            }
        }
    }

    /// Lets what is under way end, the engine before its ends.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = self.engine.await;
        self.receiver.shutdown().await;
        drop(self.folder);
    }
}

fn arrive(event: Received, now: DateTime<Utc>) -> (Arrival, Delivery) {
    #[derive(Deserialize)]
    struct Record {
        updated_at: String,
    }
    let data = event.data.as_deref().map_or("", |data| data.get());
    // A record without it is no record of the sample provider: the oracle finds no such version.
    let version = serde_json::from_str(data).map_or_else(|_| String::new(), |record: Record| record.updated_at);
    let changed_at = DateTime::parse_from_rfc3339(&version).map_or(now, |at| at.to_utc());
    let delivery = Delivery {
        event_id: event.event_id.clone(),
        object_id: event.object_id.clone(),
        kind: event.kind,
        version,
        data_hash: xxh3_64(data.as_bytes()),
        at: now,
    };
    (Arrival { event, latency: (now - changed_at).to_std().unwrap_or_default() }, delivery)
}

/// The command that starts a plan, with another interval.
fn put(planned: &crate::local::definitions::Planned, interval: Duration) -> Command {
    let mut plan = (*planned.plan).clone();
    for resource in &mut plan.resources {
        Arc::make_mut(resource).interval = interval;
    }
    Command::Put { plan: Arc::new(plan), annotations: planned.annotations.clone(), claim: Claim::for_ever() }
}

/// A new signing secret, as Standard Webhooks write it.
pub(super) fn signing_secret() -> String {
    format!("whsec_{}", BASE64.encode(rand::random::<[u8; 32]>()))
}

/// The instance of this namespace and name that polls the sample provider and signs with this key of this Secret.
pub(super) fn manifest((namespace, name): (&str, &str), provider: &str, callback: &str, (secret, key): (&str, &str)) -> String {
    format!(
        r#"apiVersion: pollinator.dev/v1alpha1
kind: ConnectorInstance
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  baseUrl: {provider}
  polling: {{interval: 5s, startFrom: Now}}
  resources:
  - name: contacts
    url: /contacts
    query: {{since: "${{since}}"}}
    recordsPath: contacts
    idField: id
    order: Ascending
    datesConfiguration: {{updatedDateField: updated_at, createdDateField: created_at}}
    deletes: {{flag: {{field: deleted}}}}
    pagination: {{nextLink: {{field: next}}}}
  callback:
    url: {callback}
    allowInsecureHttp: true
    signature: {{secretRef: {{name: {secret}, key: {key}}}}}
"#
    )
}

/// The same, and the Secret.
fn manifests(provider: &str, callback: &str, secret: &str) -> String {
    let instance = manifest(("demo", "sample-crm"), provider, callback, ("demo-callback", "signing-key"));
    format!(
        r"{instance}---
apiVersion: v1
kind: Secret
metadata: {{name: demo-callback, namespace: demo}}
stringData: {{signing-key: {secret}}}
"
    )
}

/// A folder of its own that goes with the session.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("pollinator-demo-{}", uuid::Uuid::new_v4()));
        // A signing secret will lie in it.
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| format!("the folder {} cannot be made: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Writes the manifest and reads it as every manifest is read.
    fn declare(&self, manifests: &str) -> Result<Definitions, String> {
        let file: &Path = &self.0.join("sample-crm.yaml");
        fs::write(file, manifests).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        let sources = Sources::new(vec![file.to_owned()], None);
        let definitions = Definitions::read(&sources).map_err(|errors| errors.to_string())?;
        match definitions.refused.values().flatten().next() {
            Some(problem) => Err(problem.to_string()),
            None => Ok(definitions),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing of value is in it, and the system empties its temporary folder in the end.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn all_that_happens_arrives_once_in_order_and_signed() {
        let mut session = Session::start(7, FAST).await.unwrap();
        let folder = session.folder.0.clone();
        let mut shown = 0;
        let outcome = session.run(150, Duration::from_millis(5), &CancellationToken::new(), |_| shown += 1).await.unwrap();
        assert!(outcome.report.is_clean(), "{:?}", outcome.report);
        assert_eq!(outcome.report.changes, 150);
        assert!(shown > 0 && shown == outcome.report.delivered && shown == outcome.latencies.len());
        assert_eq!(outcome.report.delivered + outcome.report.coalesced, 150);
        session.end().await;
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn an_interrupt_ends_it_without_a_judgement() {
        let mut session = Session::start(7, FAST).await.unwrap();
        let interrupt = CancellationToken::new();
        interrupt.cancel();
        assert!(session.run(1_000_000, Duration::from_millis(1), &interrupt, |_| {}).await.is_none());
        session.end().await;
    }

    #[test]
    fn the_folder_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::make().unwrap();
        assert_eq!(fs::metadata(&folder.0).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
