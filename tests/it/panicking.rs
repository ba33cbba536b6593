//! A job panics, again and again: it ends, is told and counted, and harms no other; once it can, it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use pollinator::api::conditions::Problem;
use pollinator::api::identity::InstanceRef;
use pollinator::egress::{Egress, EgressPolicy};
use pollinator::local::definitions::Definitions;
use pollinator::local::files::Sources;
use pollinator::local::reload;
use pollinator::observe::metrics::{Format, Metrics};
use pollinator::poll::context::EngineContext;
use pollinator::poll::engine::{Engine, Run};
use pollinator::state::directory::Directory;
use pollinator::state::{InstanceState, StateStore};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::rig::manifest::Instance;
use crate::rig::oracle::Verdict;
use crate::rig::pollinator::Site;
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;
use crate::rig::{PATIENCE, settle};

/// A folder of states that panics when it is to store that of `broken`.
struct Panicking {
    folder: Arc<Directory>,
    is_broken: Arc<AtomicBool>,
}

impl StateStore for Panicking {
    fn load(&self, instance: &InstanceRef) -> Result<Option<InstanceState>, Problem> {
        self.folder.load(instance)
    }

    fn save<'a>(&'a self, instance: &'a InstanceRef, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>> {
        assert!(!(self.is_broken.load(Ordering::SeqCst) && &*instance.name == "broken"), "the test has this job panic");
        self.folder.save(instance, state)
    }
}

#[test]
fn a_job_that_panics_ends_alone_and_goes_on_once_it_can() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let instance = |name: &str| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().yaml();
    let site = Site::new(&[instance("broken"), instance("well")]);
    let definitions = Definitions::read(&Sources::new(vec![site.manifests()], None)).unwrap_or_else(|error| panic!("{error}"));
    let (metrics, is_broken, shutdown) = (Metrics::new(), Arc::new(AtomicBool::new(false)), CancellationToken::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (reports, mut statuses) = mpsc::unbounded_channel();
    let running = runtime.spawn({
        let folder = Arc::new(Directory::open(&site.state()).expect("a state folder"));
        let store = Arc::new(Panicking { folder: Arc::clone(&folder), is_broken: Arc::clone(&is_broken) });
        let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
        async move {
            let egress = Egress::new(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }).expect("a client");
            let core = EngineContext::new(egress, metrics, Arc::new(definitions.secrets.clone()), store, folder);
            let (commands, orders) = mpsc::channel(1);
            commands.send(reload::first(&definitions)).await.expect("there is room for one");
            Engine::new(core, Run::Forever, reports).run(orders, shutdown, Duration::from_secs(5)).await;
            drop(commands);
        }
    });
    let verdict = |name: &str| -> Verdict { settle(&receiver, name, || provider.truth(), provider::version) };
    let mut wait_for = |names: &[&str], reason: &str, ready: &str| {
        let (mut left, deadline) = (names.to_vec(), Instant::now() + PATIENCE);
        while !left.is_empty() {
            assert!(Instant::now() < deadline, "{left:?} do not tell {reason}");
            let next = runtime.block_on(async { tokio::time::timeout(PATIENCE, statuses.recv()).await });
            let status = serde_json::to_value(next.expect("a status in time").expect("it runs")).expect("a status is JSON");
            let tells = status["ready"] == ready && status.to_string().contains(reason);
            left.retain(|name| !(tells && status["name"] == *name));
        }
    };
    let panics = || {
        let scrape = metrics.encode(Format::Text);
        let line = scrape.lines().find_map(|line| line.strip_prefix("pollinator_panics_total "));
        line.expect("the metric").parse::<u64>().expect("a count")
    };
    wait_for(&["broken", "well"], "Polling", "True");
    assert_eq!(panics(), 0);

    is_broken.store(true, Ordering::SeqCst);
    provider.create("amid");
    wait_for(&["broken"], "InternalError", "False");
    assert!(panics() > 0);
    let well = verdict("well");
    assert!(well.is_perfect(), "{well}");

    is_broken.store(false, Ordering::SeqCst);
    wait_for(&["broken"], "Polling", "True");
    provider.create("after");
    for name in ["broken", "well"] {
        let verdict = verdict(name);
        assert!(verdict.is_sound() && (name == "broken" || verdict.is_perfect()), "{name}: {verdict}");
    }

    // It panics also when all is stored at the end, which keeps nobody else's state from being stored.
    is_broken.store(true, Ordering::SeqCst);
    shutdown.cancel();
    let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, running).await });
    ended.expect("it ends in time").expect("and not by a panic");
}
