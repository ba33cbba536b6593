//! Processes that own ranges: this very test binary, told by its environment to be one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{env, thread};

use kube::config::{KubeConfigOptions, Kubeconfig};
use pollinator::moment::{self, Moment};
use pollinator::operator::outage_log::OutageLog;
use pollinator::operator::shards::timing::Timing;
use pollinator::operator::shards::{Drain, OwnedRanges, OwnershipGuard, Shards, ShardsConfig, lease};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::acts::{Act, Acts, RANGES};
use crate::rig::PATIENCE;
use crate::rig::api_proxy::ApiProxy;
use crate::rig::control_plane::api::Api;
use crate::rig::control_plane::guard::Guarded;
use crate::rig::control_plane::{ControlPlane, Namespace, shared};

/// Shorter than in production, long enough for a busy machine.
pub const LEASE: Duration = Duration::from_secs(6);

/// What a member process is told.
const TASK: &str = "POLLINATOR_IT_SHARDS_MEMBER";

/// A namespace, its members, and the log of all acts.
pub struct Scene {
    members: BTreeMap<String, Guarded>,
    ns: Namespace<'static>,
    folder: TempDir,
}

impl Scene {
    /// `None` without a control plane.
    pub fn start(test: &str) -> Option<Self> {
        let ns = shared()?.namespace(test);
        let folder = tempfile::Builder::new().prefix(test).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Some(Self { members: BTreeMap::new(), ns, folder })
    }

    pub fn plane(&self) -> &'static ControlPlane {
        self.ns.plane()
    }

    pub fn api(&self) -> &'static Api {
        self.ns.api()
    }

    /// Starts a member; returns its name.
    pub fn join(&mut self, name: &str) -> String {
        let kubeconfig = self.ns.kubeconfig().to_owned();
        self.spawn(name, &kubeconfig)
    }

    pub fn join_through(&mut self, name: &str, proxy: &ApiProxy<'_>) -> String {
        let kubeconfig = proxy.kubeconfig(&self.plane().identity().admin_token, self.ns.name());
        self.spawn(name, &kubeconfig)
    }

    fn spawn(&mut self, name: &str, kubeconfig: &Path) -> String {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        let task = json!({"kubeconfig": kubeconfig, "namespace": self.ns.name(), "name": name, "log": self.log()});
        let program = env::current_exe().unwrap();
        let arguments = ["-i", &format!("{TASK}={task}"), &program.to_string_lossy()]
            .into_iter()
            .chain(["--exact", "shards::member::be_a_member", "--nocapture"])
            .map(str::to_owned)
            .collect::<Vec<_>>();
        self.members.insert(name.to_owned(), Guarded::spawn(Path::new("env"), &arguments, &folder));
        name.to_owned()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("acts")
    }

    pub fn signal(&self, member: &str, name: &str) {
        self.members[member].signal(name);
    }

    /// `kill -9`; returns the time.
    pub fn kill(&mut self, member: &str) -> Duration {
        self.signal(member, "KILL");
        let at = now();
        self.members.remove(member);
        at
    }

    /// Asks a member to end and waits until it has.
    pub fn end(&mut self, member: &str) {
        self.signal(member, "TERM");
        let guarded = self.members.get_mut(member).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !guarded.has_ended() {
            assert!(Instant::now() < deadline, "{}", guarded.last_words());
            thread::park_timeout(Duration::from_millis(25));
        }
        self.members.remove(member);
    }

    pub fn acts(&self) -> Acts {
        Acts::read(&fs::read_to_string(self.log()).unwrap_or_default())
    }

    /// Waits until these members, and nobody else, act in all ranges by shares that differ by one.
    pub fn wait_balance(&self, members: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let since = now();
            thread::park_timeout(Duration::from_millis(300));
            let acts = self.acts();
            let owners = acts.owners_since(since);
            let shares: Vec<usize> =
                members.iter().map(|member| owners.values().filter(|owner| *owner == member).count()).collect();
            let all = shares.iter().sum::<usize>() == usize::from(RANGES);
            if all && shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1 {
                return;
            }
            if Instant::now() > deadline {
                let words: Vec<_> = self.members.values().map(Guarded::last_words).collect();
                panic!("no balance in time, but {owners:?}\n{}", words.join("\n"));
            }
        }
    }

    /// Path of a Lease.
    pub fn lease(&self, name: &str) -> String {
        self.ns.group("coordination.k8s.io/v1", &format!("leases/{name}"))
    }

    pub fn lease_names(&self) -> Vec<String> {
        let list = self.api().get(&self.ns.group("coordination.k8s.io/v1", "leases")).ok();
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// Not a test: what the member processes run. Without a task it does nothing.
#[test]
fn be_a_member() {
    let Ok(task) = env::var(TASK) else { return };
    let task: Value = serde_json::from_str(&task).unwrap();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(run(&task));
}

async fn run(task: &Value) {
    let text = |key: &str| task[key].as_str().unwrap().to_owned();
    let kubeconfig = Kubeconfig::read_from(text("kubeconfig")).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = lease::client(config).unwrap();
    let shutdown = CancellationToken::new();
    let timing = Timing::of_lease(u32::try_from(LEASE.as_secs()).unwrap()).unwrap();
    let config = ShardsConfig { timing, ranges: RANGES, ..ShardsConfig::new(text("namespace"), text("name")) };
    let (mut shards, mut drains) = Shards::start(client, &config, Arc::new(OutageLog::new("")), shutdown.clone()).unwrap();

    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let (to_worker, for_worker) = mpsc::channel();
    let log = File::options().create(true).append(true).open(text("log")).unwrap();
    let (owned, name) = (shards.owned(), text("name"));
    thread::spawn(move || work(&owned, &for_worker, &name, &log));
    loop {
        tokio::select! {
            _ = terminated.recv() => shutdown.cancel(),
            Some(drain) = drains.recv() => to_worker.send(drain).unwrap(),
            ended = shards.ended() => return ended.unwrap(),
        }
    }
}

/// Acts in every range until its guard forbids it or its drain is asked for: like work that was begun long ago and looks at nothing
/// else. A thread of its own goes on at once when the process does, before any timer.
fn work(owned: &watch::Receiver<OwnedRanges>, drains: &mpsc::Receiver<Drain>, member: &str, log: &File) {
    let mut guards: Vec<OwnershipGuard> = Vec::new();
    loop {
        let same = |one: &OwnershipGuard, other: &OwnershipGuard| (one.range(), one.epoch()) == (other.range(), other.epoch());
        while let Ok(drain) = drains.try_recv() {
            guards.retain(|guard| !same(guard, drain.guard()));
            drain.ended();
        }
        for new in owned.borrow().iter() {
            if !guards.iter().any(|guard| same(guard, new)) {
                guards.push(new.clone());
            }
        }
        guards.retain(|guard| act(guard, member, log));
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// The moment comes first: a process that is stopped in between must not have acted later than it was allowed to.
fn act(guard: &OwnershipGuard, member: &str, mut log: &File) -> bool {
    let at = now();
    let allowed = guard.check().is_ok();
    if allowed {
        let epoch = (guard.epoch().lease.to_string(), guard.epoch().number);
        let act = Act { at, member: member.to_owned(), range: guard.range().to_string(), epoch };
        log.write_all(act.line().as_bytes()).unwrap();
    }
    allowed
}

/// On the clock of the acts.
pub fn now() -> Duration {
    moment::now().since(Moment::ORIGIN)
}
