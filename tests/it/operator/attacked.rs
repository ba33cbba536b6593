//! Attackers in a namespace beside honest instances: what the honest ones get is compared with what they got before the attackers came.

use std::env;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::rig::control_plane::{Namespace, shared};
use crate::rig::fleet;
use crate::rig::manifest::Instance;
use crate::rig::operator::{Cluster, health_address};
use crate::rig::pollinator::Pollinator;
use crate::rig::provider::{self, Provider};
use crate::rig::strain::Strain;
use crate::rig::zoo::{Probes, Scrapers, Zoo};
use crate::rig::{PATIENCE, assert_perfect, settle};

/// Honest instances, spread over their providers.
const HONEST: usize = 20;
const PROVIDERS: usize = 4;
/// Attackers, unless the variable says otherwise: numbers with commas between them, which come one after the other.
const ATTACKERS: usize = 10;
const VARIABLE: &str = "POLLINATOR_ATTACKERS";
/// Polls of each honest instance that are measured, at the shortest interval.
const POLLS: usize = 2;
const POLLS_OF_A_LONG_RUN: usize = 6;
/// Memory that the chart grants a pod, in MiB.
const MEMORY: u64 = 512;

fn create(ns: &Namespace<'_>, instance: &Instance) {
    let yaml = instance.yaml().replace("namespace: it", &format!("namespace: {}", ns.name()));
    let object: Value = serde_saphyr::from_str(&yaml).expect("a manifest");
    ns.api().create(&ns.instances(), &object).ok();
}

/// How long it takes until the honest instances have polled this many times in all.
fn polls(providers: &[Provider], count: usize, operator: &Pollinator) -> Duration {
    let asked = || providers.iter().map(Provider::asked).sum::<usize>();
    let (begun, goal) = (Instant::now(), asked() + count);
    while asked() < goal {
        assert!(begun.elapsed() < PATIENCE, "{} polls are missing\n{}", goal - asked(), operator.stderr());
        providers[0].try_wait_asked(providers[0].asked() + 1, Duration::from_millis(100));
    }
    begun.elapsed()
}

#[test]
fn attackers_of_another_namespace_take_no_poll_no_probe_and_no_lease_from_honest_instances() {
    let Some(plane) = shared() else { return };
    let long = env::var(VARIABLE).ok();
    let counts: Vec<usize> = long.as_deref().map_or(vec![ATTACKERS], |text| {
        text.split(',').map(|count| count.parse().expect("numbers with commas between them")).collect()
    });
    let measured = HONEST * if long.is_some() { POLLS_OF_A_LONG_RUN } else { POLLS };
    let _alone = fleet::alone();
    let cluster = Cluster::new(plane, "honest");
    let hostile = plane.namespace("hostile");
    let providers: Vec<_> = (0..PROVIDERS).map(|_| Provider::start()).collect();
    let names: Vec<_> = (0..HONEST).map(|number| format!("honest-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let provider = &providers[number % PROVIDERS];
        create(&cluster.ns, &Instance::new(name, &provider.url(), &cluster.receiver.url(name)).basic_auth());
    }
    let operator = cluster.start_with(&["--watch-namespace", hostile.name()]);
    for name in &names {
        cluster.wait_ready(name);
    }
    let strain = Strain::measure(cluster.ns.api());
    let address = health_address(&operator);
    let alone = polls(&providers, measured, &operator);

    let probes = Probes::start(format!("http://{address}/livez"));
    let scrapers = Scrapers::start(address, 4, 32);
    let mut zoo = Zoo::open();
    for count in counts {
        zoo.grow(count).iter().for_each(|instance| create(&hostile, instance));
        zoo.wait_all_asked();
        let attacked = polls(&providers, measured, &operator);
        println!("{measured} polls: {alone:?} alone, {attacked:?} beside {count} attackers");
        // A tenth less, and what the machine takes from everyone.
        let bound = alone.mul_f64(1.0 / 0.9) + strain.allowance() + Duration::from_secs(1);
        assert!(attacked < bound, "{attacked:?} beside {count} attackers, {alone:?} alone\n{}", operator.stderr());
    }
    for (number, provider) in providers.iter().enumerate() {
        provider.create(&format!("amid-{number}"));
    }
    for (number, name) in names.iter().enumerate() {
        let provider = &providers[number % PROVIDERS];
        let verdict = settle(&cluster.receiver, name, || provider.truth(), provider::version);
        assert_perfect(&verdict, &operator, name);
    }
    let slowest = probes.end();
    drop(scrapers);
    let peak = operator.peak_memory();
    println!("99 of 100 probes within {slowest:?}, peak memory {peak:?} MiB");
    assert!(slowest < Duration::from_secs(1) + strain.allowance(), "{slowest:?}");
    assert!(peak.is_none_or(|mebibytes| mebibytes < MEMORY), "{peak:?} MiB");
    assert!(!operator.stderr().contains("range lost"), "{}", operator.stderr());
}
