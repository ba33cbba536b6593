//! Many instances and several replicas: who polled what, and when.
//!
//! Every instance marks its requests to the provider, and so does every replica, by a connector of the same name in a catalogue of
//! its own. Each replica has its own `ServiceAccount` with the documented rights, and its own proxy to the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::api_proxy::ApiProxy;
use super::claims::Claims;
use super::control_plane::ControlPlane;
use super::history::History;
use super::manifest::Instance;
use super::operator::Cluster;
use super::oracle::{self, Delivered, Verdict};
use super::pollinator::Pollinator;
use super::provider::{self, Provider};
use super::receiver::Post;
use super::traffic::Traffic;
use super::{PATIENCE, rights, turns};

/// Into how many shares the work is cut, as by default.
pub const SHARES: usize = 16;
/// The shortest interval there is, which all instances have.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// Instances, spread over providers: instance `i` belongs to provider `i` modulo their number.
pub struct Fleet<'p> {
    pub cluster: Cluster<'p>,
    pub claims: Claims,
    /// Every version of every instance.
    pub versions: History,
    pub providers: Vec<Provider>,
    instances: Vec<String>,
    _place: Place,
}

/// So many instances at once, of all tests that have many: more of them measure the machine.
const AT_ONCE: u32 = 200;

/// First come, first served.
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE as usize);

/// While it lives, other tests have fewer instances.
type Place = SemaphorePermit<'static>;

/// Waits until there is a place for so many instances, or for all.
fn place_for(instances: usize) -> Place {
    let wanted = u32::try_from(instances).map_or(AT_ONCE, |wanted| wanted.min(AT_ONCE));
    let place = turns::without(|| futures::executor::block_on(PLACES.acquire_many(wanted)));
    turns::take_with_fleet();
    place.expect("nobody closes it")
}

/// Lets nobody else create tens of instances, or measure what hundreds cost, while the guard lives.
pub fn alone() -> Place {
    place_for(usize::MAX)
}

/// One process of the operator.
pub struct Replica<'p> {
    pub name: String,
    pub proxy: ApiProxy<'p>,
    pub process: Pollinator,
}

/// One poll: when, and by which replica.
#[derive(Clone, Debug)]
pub struct Polled {
    pub at: Instant,
    pub by: String,
}

impl<'p> Fleet<'p> {
    /// Applies so many instances; `accounts` are the names of replicas that may be started.
    pub fn new(plane: &'p ControlPlane, test: &str, instances: usize, providers: usize, accounts: &[&str]) -> Self {
        Self::with(plane, test, instances, providers, accounts, |_, instance| instance)
    }

    /// The same with instances that differ from the everyday one; `adjust` is told the number of each one's provider.
    pub fn with(
        plane: &'p ControlPlane,
        test: &str,
        instances: usize,
        providers: usize,
        accounts: &[&str],
        adjust: impl Fn(usize, Instance) -> Instance,
    ) -> Self {
        let room = place_for(instances);
        let cluster = Cluster::new(plane, test);
        for name in accounts {
            cluster.ns.token(name);
        }
        rights::grant(&cluster.ns, accounts);
        let claims = Claims::watch(&cluster.ns);
        let fleet = Self {
            claims,
            versions: History::watch(cluster.ns.api(), &cluster.ns.instances()),
            providers: (0..providers).map(|_| Provider::start()).collect(),
            instances: (0..instances).map(|index| format!("it-{index:03}")).collect(),
            cluster,
            _place: room,
        };
        for (index, name) in fleet.instances.iter().enumerate() {
            let mut instance = adjust(index % providers, fleet.cluster.instance()).spec("connector: fleet");
            instance = instance.and_resource(&format!("headers: {{X-Instance: {name}}}")).callback("timeout: 30s");
            (instance.base_url, instance.callback_url) = (fleet.provider(index).url(), fleet.cluster.receiver.url(name));
            instance.name.clone_from(name);
            let yaml = instance.yaml().replace("namespace: it", &format!("namespace: {}", fleet.cluster.ns.name()));
            fleet.cluster.ns.api().apply(&fleet.cluster.ns.instance(name), "it", &yaml).ok();
        }
        fleet
    }

    fn provider(&self, instance: usize) -> &Provider {
        &self.providers[instance % self.providers.len()]
    }

    /// Starts a replica.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Replica<'p> {
        let catalogue = self.cluster.folder().join(format!("catalog-{name}"));
        let entry = format!(
            "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: fleet}}\nspec: {{headers: {{X-Replica: {name}}}}}\n"
        );
        fs::create_dir_all(&catalogue).expect("the test's own folder");
        fs::write(catalogue.join("fleet.yaml"), entry).expect("the test's own folder");
        let plane = self.cluster.ns.plane();
        let proxy = ApiProxy::start(plane);
        let token = self.cluster.ns.token(name);
        let catalogue = catalogue.to_string_lossy();
        let own = ["--pod-name", name, "--catalog", &catalogue];
        let process = self.cluster.start_through(&proxy, &token, &[&own, arguments].concat());
        Replica { name: name.to_owned(), proxy, process }
    }

    /// Waits until the first state of every instance is stored: what changes from then on must be delivered, whoever dies.
    pub fn wait_ready(&self) {
        let is_ready = |instance: &Value| {
            let conditions = instance["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True" && one["reason"] == "Polling")
        };
        let ready = self.versions.wait_each(self.instances.len(), PATIENCE, is_ready);
        ready.unwrap_or_else(|ready| panic!("only {ready} are ready in time"));
    }

    /// Every poll of every instance, in the order of time.
    pub fn polls(&self) -> BTreeMap<String, Vec<Polled>> {
        let mut polls: BTreeMap<String, Vec<Polled>> = BTreeMap::new();
        for ask in self.providers.iter().flat_map(Provider::asks) {
            let header = |name: &str| ask.header(name).unwrap_or_default().to_owned();
            polls.entry(header("x-instance")).or_default().push(Polled { at: ask.at, by: header("x-replica") });
        }
        for polls in polls.values_mut() {
            polls.sort_by_key(|poll| poll.at);
        }
        polls
    }

    /// Waits until every quiet instance was polled after a moment: those of all but the first providers.
    pub fn wait_quiet_polled_since(&self, changing: usize, since: Instant) {
        self.wait_polled(|provider| provider >= changing, since);
    }

    /// Waits until every instance was polled after a moment.
    pub fn wait_polled_since(&self, since: Instant) {
        self.wait_polled(|_| true, since);
    }

    /// Waits until every instance of these providers was polled after a moment.
    fn wait_polled(&self, of: impl Fn(usize) -> bool, since: Instant) {
        let instances = self.instances.iter().enumerate().filter(|(index, _)| of(index % self.providers.len()));
        let mut waiting: BTreeSet<&str> = instances.map(|(_, name)| name.as_str()).collect();
        let mut read = vec![0; self.providers.len()];
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (provider, read) in self.providers.iter().zip(&mut read) {
                *read += provider.look(|asks| {
                    let new = &asks[*read..];
                    for ask in new.iter().filter(|ask| ask.at >= since) {
                        waiting.remove(ask.header("x-instance").unwrap_or_default());
                    }
                    new.len()
                });
            }
            if waiting.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "not polled in time: {waiting:?}");
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// The longest times between two polls of one instance since a moment: by one replica, and by one after another. Now counts as
    /// a poll by nobody.
    pub fn longest_gaps(&self, since: Instant) -> Gaps {
        let mut gaps = Gaps::default();
        let now = Polled { at: Instant::now(), by: "nobody".to_owned() };
        for (instance, polls) in self.polls() {
            let polls: Vec<_> = polls.iter().filter(|poll| poll.at >= since).chain([&now]).collect();
            for pair in polls.windows(2) {
                let longest = if pair[0].by == pair[1].by { &mut gaps.by_one } else { &mut gaps.by_two };
                let gap = (pair[1].at - pair[0].at, format!("{instance}, by {} and {}", pair[0].by, pair[1].by));
                *longest = gap.max(std::mem::take(longest));
            }
        }
        gaps
    }

    /// Waits until the status of every instance counts every event that the receiver accepted.
    pub fn wait_stored(&self) {
        let posts = self.cluster.receiver.by_instance();
        let accepted = |name: &str| {
            let accepted = posts.get(name).into_iter().flatten().filter(|post| post.accepted());
            accepted.flat_map(Post::events).map(|event| event.event_id).collect::<BTreeSet<_>>().len()
        };
        let expected: BTreeMap<_, _> = self.instances.iter().map(|name| (name.as_str(), accepted(name))).collect();
        let stored = |instance: &Value| instance["status"]["delivered"].as_u64().unwrap_or_default();
        let is_stored = |instance: &Value| {
            let expected = instance["metadata"]["name"].as_str().and_then(|name| expected.get(name));
            expected.is_some_and(|expected| stored(instance) == *expected as u64)
        };
        let all = self.versions.wait_each(self.instances.len(), PATIENCE, is_stored);
        all.unwrap_or_else(|stored| panic!("stored in time are only {stored} of {}: {expected:?}", self.instances.len()));
    }

    /// Over all versions of all instances: no cursor ever moved backwards, nor did a count of what was delivered. Answers how many
    /// versions there were.
    pub fn assert_cursors_rise(&self) -> usize {
        let (versions, instances) = self.versions.assert_cursors_rise();
        assert_eq!(instances.len(), self.instances.len(), "a cursor of every instance was seen");
        versions
    }

    /// Changes records of all providers in turn, one at a time, until `during` has returned.
    pub fn while_records_change<R>(&self, every: Duration, during: impl FnOnce() -> R) -> R {
        self.while_some_change(self.providers.len(), every, during)
    }

    /// The same of the first providers alone; the others' instances are quiet.
    pub fn while_some_change<R>(&self, providers: usize, every: Duration, during: impl FnOnce() -> R) -> R {
        let over = AtomicBool::new(false);
        thread::scope(|threads| {
            let changing = threads.spawn(|| {
                let mut traffic: Vec<_> = (0..).map(Traffic::new).take(providers).collect();
                for turn in (0..providers).cycle() {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    traffic[turn].run(&mut &self.providers[turn], 1);
                    thread::park_timeout(every);
                }
            });
            // also when it panics
            let stop = Stop(&over);
            let result = during();
            drop(stop);
            changing.thread().unpark();
            result
        })
    }

    /// Creates a record at each provider.
    pub fn create_for_each(&self, id: &str) {
        self.providers.iter().for_each(|provider| provider.create(id));
    }

    /// Waits until all is delivered to all, and judges what came to each.
    pub fn verdicts(&self) -> BTreeMap<String, Verdict> {
        let (mut deadline, mut arrived) = (Instant::now() + PATIENCE, 0);
        let mut verdicts = BTreeMap::new();
        loop {
            let posts = self.cluster.receiver.by_instance();
            let count = posts.values().map(Vec::len).sum();
            if count > arrived {
                (arrived, deadline) = (count, Instant::now() + PATIENCE);
            }
            let truths: Vec<_> = self.providers.iter().map(Provider::truth).collect();
            let is_complete = |verdict: &Verdict| verdict.missing.is_empty();
            // those that were complete are judged again when all seem to be
            let all = verdicts.values().all(is_complete);
            for (index, name) in self.instances.iter().enumerate() {
                if all || verdicts.get(name).is_none_or(|verdict| !is_complete(verdict)) {
                    let accepted = posts.get(name).into_iter().flatten().filter(|post| post.accepted());
                    let delivered: Vec<Delivered> = accepted.flat_map(Post::events).collect();
                    let truth = &truths[index % self.providers.len()];
                    verdicts.insert(name.clone(), oracle::judge(truth, &delivered, provider::version));
                }
            }
            if all && verdicts.values().all(is_complete) {
                return verdicts;
            }
            if !verdicts.values().all(is_complete) {
                if Instant::now() > deadline {
                    return verdicts;
                }
                self.cluster.receiver.try_wait_total(count + 200, Duration::from_secs(1));
            }
        }
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Times in which an instance was not polled, and which instance that was.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    pub by_one: (Duration, String),
    pub by_two: (Duration, String),
}

impl Replica<'_> {
    /// Nothing that it asked of the API server was forbidden.
    pub fn assert_allowed(&self) {
        let calls = self.proxy.calls();
        let refused: Vec<_> = calls.iter().filter(|call| matches!(call.status, Some(401 | 403))).collect();
        assert!(refused.is_empty(), "{}: {refused:?}", self.name);
        assert!(calls.iter().any(|call| call.is("patch", "leases")), "{}", self.name);
    }
}
