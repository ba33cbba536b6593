//! Single polls in the test's own process: each in an engine of its own, as `local --once` from a timer, so that all that one poll
//! tells the next goes through the state. A process a poll would cost ten times as much.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use pollinator::egress::{Egress, EgressPolicy};
use pollinator::local::definitions::Definitions;
use pollinator::local::files::Sources;
use pollinator::local::reload;
use pollinator::observe::metrics::Metrics;
use pollinator::poll::context::EngineContext;
use pollinator::poll::engine::{Engine, Run};
use pollinator::poll::status::InstanceStatus;
use pollinator::state::directory::{Directory, OpenError};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::manifest;
use super::pollinator::{Row, Site};
use super::provider::Provider;
use super::receiver::Receiver;

/// A folder of manifests and a state folder.
pub struct Polls {
    site: Site,
    lane: Arc<Lane>,
    // reading manifests, or making a client, costs more than a poll
    definitions: Arc<Definitions>,
    egress: Egress,
}

/// What polls of several sites, one after the other, run in.
pub struct Lane {
    runtime: Runtime,
    egress: Egress,
}

impl Lane {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { runtime: runtime(), egress: egress() })
    }
}

/// An engine that polls everything once.
struct Running {
    statuses: mpsc::UnboundedReceiver<InstanceStatus>,
    ended: JoinHandle<()>,
}

impl Polls {
    /// Of these instances.
    pub fn new(documents: &[String]) -> Self {
        Self::new_in(Lane::new(), documents)
    }

    /// Of these instances, in a lane that others had before.
    pub fn new_in(lane: Arc<Lane>, documents: &[String]) -> Self {
        let site = Site::in_memory(documents);
        let sources = Sources::new(vec![site.manifests()], None);
        let definitions = Definitions::read(&sources).unwrap_or_else(|error| panic!("{error}"));
        Self { site, definitions: Arc::new(definitions), egress: lane.egress.clone(), lane }
    }

    /// The manifests change, the state stays.
    pub fn rewrite(&mut self, documents: &[String]) {
        manifest::write(&self.site.manifests(), "instances.yaml", documents);
        let sources = Sources::new(vec![self.site.manifests()], None);
        let definitions = Definitions::read(&sources).unwrap_or_else(|error| panic!("{error}"));
        self.definitions = Arc::new(definitions);
    }

    /// Where the manifests are.
    pub fn manifests(&self) -> std::path::PathBuf {
        self.site.manifests()
    }

    /// The next sweep for deletions is due at the next poll.
    pub fn forget_sweep(&self) {
        self.site.edit_state("\"at\":\"[^\"]+\",?", "");
    }

    /// Whatever waits is tried by the next poll.
    pub fn age(&self) {
        self.site.age(TimeDelta::days(2));
    }

    fn start(&self, runtime: &Runtime, egress: Egress) -> Running {
        let definitions = Arc::clone(&self.definitions);
        let (reports, statuses) = mpsc::unbounded_channel();
        let store = Arc::new(self.open());
        let ended = runtime.spawn(async move {
            let secrets = Arc::new(definitions.secrets.clone());
            let core = EngineContext::new(egress, Metrics::new(), secrets, Arc::clone(&store) as _, store);
            let (commands, received) = mpsc::channel(1);
            commands.send(reload::first(&definitions)).await.expect("there is room for one");
            drop(commands);
            Engine::new(core, Run::Once, reports).run(received, CancellationToken::new(), Duration::ZERO).await;
        });
        Running { statuses, ended }
    }

    /// The state folder. A child that another test starts has its lock, too, between fork and exec, and so have tasks of the last
    /// poll until they are dropped.
    fn open(&self) -> Directory {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Directory::open(&self.site.state()) {
                Ok(directory) => return directory,
                Err(OpenError::InUse(_)) if Instant::now() < deadline => thread::park_timeout(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Polls once, and gives the last status of the one instance.
    pub fn poll(&self) -> Row {
        let mut running = self.start(&self.lane.runtime, self.egress.clone());
        let ended = self.lane.runtime.block_on(async { tokio::time::timeout(PATIENCE, &mut running.ended).await });
        ended.expect("a poll ends in time").expect("the engine does not panic");
        running.last_status().expect("a poll says how it went")
    }

    /// Begins a poll and kills it when so many further requests came to the receiver, or lets it end when fewer do. What was under
    /// way ends where it waits; only what is on disk remains. What the dead still asked is answered before this returns.
    pub fn poll_and_die(&mut self, provider: &Provider, receiver: &Receiver, posts: usize) {
        let want = receiver.count() + posts;
        let runtime = runtime();
        // connections belong to the runtime, too
        let running = self.start(&runtime, egress());
        let deadline = Instant::now() + PATIENCE;
        while !running.ended.is_finished() && !receiver.try_wait_total(want, Duration::from_millis(2)) {
            assert!(Instant::now() < deadline, "a poll ends in time");
            thread::yield_now();
        }
        runtime.shutdown_timeout(PATIENCE);
        provider.hear_out();
        receiver.hear_out();
        // the servers closed the connections of the living, too
        self.egress = egress();
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

fn egress() -> Egress {
    Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }).expect("a client")
}

impl Running {
    fn last_status(&mut self) -> Option<Row> {
        let mut last = None;
        while let Ok(status) = self.statuses.try_recv() {
            last = Some(status);
        }
        let status = serde_json::to_value(last?).expect("a status is JSON");
        Some(serde_json::from_value(status).expect("a line of `local --output json`"))
    }
}
