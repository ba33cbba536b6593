//! A thousand instances and what they cost the API server; fewer, with replicas that come and go ([`fleet`]) and API servers that fail
//! ([`outages`]). These take minutes, so they come first and run beside all others.
//!
//! `POLLINATOR_IDLE_ROUNDS` is how many rounds of polls a long run watches in which nothing may be written.

mod fleet;
mod outages;

use std::env;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::rig::api_proxy::Call;
use crate::rig::control_plane::shared;
use crate::rig::fleet::alone;
use crate::rig::history::History;
use crate::rig::operator::Cluster;
use crate::rig::provider::Provider;

const INSTANCES: usize = 1_000;
/// Of these, so many poll a provider of their own: one in a hundred.
const APART: usize = INSTANCES / 100;
/// At an interval of 15 s, a minute and a half. Whether an idle poll writes follows from the state, which is the same in every round; so
/// what one round does not show can only be written because time passed. Of the times after which an operator does something, the
/// longest are [`RELIST`] and the 45 s of a watch that has not failed; these rounds contain two of each.
const IDLE_ROUNDS: usize = 6;
/// How often all instances are listed again, which is every ten minutes by default.
const RELIST: &str = "40s";
const VARIABLE: &str = "POLLINATOR_IDLE_ROUNDS";
/// So many rounds at most until all is told that was to be told at the start.
const CALM_ROUNDS: usize = 20;
/// Far more than a round of polls takes.
const ROUND: Duration = Duration::from_mins(3);

struct Crowd<'p> {
    cluster: Cluster<'p>,
    /// What the few poll.
    other: Provider,
}

impl Crowd<'_> {
    fn create(&self) {
        let numbers: Vec<_> = (0..INSTANCES).collect();
        thread::scope(|scope| {
            for part in numbers.chunks(INSTANCES / 8) {
                scope.spawn(move || part.iter().for_each(|number| self.create_one(*number)));
            }
        });
    }

    fn create_one(&self, number: usize) {
        let mut instance = self.cluster.instance().and_resource("interval: 15s");
        (instance.name, instance.callback_url) = (format!("it-{number}"), self.cluster.receiver.url("it"));
        if number < APART {
            instance.base_url = self.other.url();
        }
        self.cluster.create(&instance);
    }

    fn wait_ready(&self) {
        let is_ready = |instance: &Value| {
            let conditions = instance["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
        };
        let versions = History::watch(self.cluster.ns.api(), &self.cluster.ns.instances());
        let ready = versions.wait_each(INSTANCES, ROUND, is_ready);
        ready.unwrap_or_else(|ready| panic!("{ready} are ready, and no more come"));
    }

    /// That the last ones became ready is still being written, and told as Events, a few at a time.
    fn wait_calm(&self) {
        let mut writes = Vec::new();
        for _ in 0..CALM_ROUNDS {
            writes = self.watch(1, |_| {}).1;
            if writes.is_empty() {
                return;
            }
        }
        panic!("never a round without a write: {writes:?}");
    }

    fn polls(&self) -> usize {
        self.cluster.provider.asked() + self.other.asked()
    }

    /// Waits until every instance was polled so many times more, and returns how many polls there were and what was written,
    /// renewals of Leases aside.
    fn watch(&self, rounds: usize, mut change: impl FnMut(usize)) -> (usize, Vec<Call>) {
        let (polls, calls) = (self.polls(), self.cluster.proxy.calls().len());
        for round in 0..rounds {
            change(round);
            let (many, few) = (self.cluster.provider.asked(), self.other.asked());
            assert!(self.cluster.provider.try_wait_asked(many + INSTANCES - APART, ROUND), "the many are not polled in time");
            assert!(self.other.try_wait_asked(few + APART, ROUND), "the few are not polled in time");
        }
        let written = self.cluster.proxy.calls().split_off(calls);
        (self.polls() - polls, written.into_iter().filter(|call| call.is_write() && call.resource != "leases").collect())
    }
}

#[allow(clippy::cast_precision_loss)] // small numbers, for people
fn per_thousand(writes: usize, polls: usize) -> f64 {
    writes as f64 * 1000.0 / polls as f64
}

#[test]
fn a_thousand_idle_instances_cost_no_write_and_changes_one_each() {
    let Some(plane) = shared() else { return };
    let crowd = Crowd { cluster: Cluster::new(plane, "crowd"), other: Provider::start() };
    let start = alone();
    crowd.create();
    let operator = crowd.cluster.start_with(&["--relist-interval", RELIST, "--shards", "16"]);
    crowd.wait_ready();
    drop(start);
    crowd.wait_calm();

    let rounds = env::var(VARIABLE).map_or(IDLE_ROUNDS, |text| text.parse().expect("a number of rounds"));
    let lists = || crowd.cluster.proxy.count("list", "connectorinstances");
    let listed = lists();
    let (idle, writes) = crowd.watch(rounds, |_| {});
    assert!(writes.is_empty(), "{} writes in {idle} idle polls: {writes:?}", writes.len());
    let renewals = crowd.cluster.proxy.calls().iter().filter(|call| call.is_write() && call.resource == "leases").count();
    assert!(renewals > 0, "claims are renewed");
    assert!(lists() > listed, "all instances are listed again meanwhile");
    println!("writes per 1,000 polls: 0 while nothing changes ({idle} polls of {INSTANCES} instances)");

    // the first event of an instance also shows that the callback accepts events: a condition of its own, once
    let posts = crowd.cluster.receiver.count();
    let (_, mut writes) = crowd.watch(1, |_| {
        crowd.other.create("first-few");
        crowd.cluster.provider.create("first-many");
    });
    writes.extend(crowd.watch(1, |_| {}).1);
    assert_eq!(crowd.cluster.receiver.count() - posts, INSTANCES, "the first change, once for each instance");
    let first = writes.iter().filter(|call| call.is("update", "connectorinstances/status")).count();
    assert!(first <= 2 * INSTANCES, "{first} writes of status for the first event of {INSTANCES} instances");
    crowd.wait_calm();

    for (share, changing, rounds) in [("1 %", APART, 3), ("100 %", INSTANCES, 2)] {
        let posts = crowd.cluster.receiver.count();
        let (polls, mut writes) = crowd.watch(rounds, |round| {
            crowd.other.create(&format!("{changing}-few-{round}"));
            if changing == INSTANCES {
                crowd.cluster.provider.create(&format!("{changing}-many-{round}"));
            }
        });
        // what the last round found is still being delivered and written
        let (_, rest) = crowd.watch(1, |_| {});
        writes.extend(rest);
        let delivered = crowd.cluster.receiver.count() - posts;
        assert_eq!(
            delivered,
            rounds * changing,
            "each change, once for each instance that polls it\n{}",
            operator.report("it")
        );
        let statuses = writes.iter().filter(|call| call.is("update", "connectorinstances/status")).count();
        println!(
            "writes per 1,000 polls: {:.1} while {share} of the polls change ({statuses} in {polls} polls, {delivered} events)",
            per_thousand(statuses, polls)
        );
        assert!(statuses <= delivered, "{statuses} writes of status for {delivered} events");
        assert_eq!(writes.len(), statuses, "{writes:?}");
    }
}
