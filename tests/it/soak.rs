//! Honest instances beside the whole zoo for a while: nothing restarts, nothing is lost, and the memory does not grow.
//!
//! The suite has the short form. `POLLINATOR_SOAK` is the length of a long run in seconds, which also has ten thousand tiny resources.

use std::env;
use std::time::{Duration, Instant};

use crate::rig::manifest::Instance;
use crate::rig::memory_limit::MemoryLimit;
use crate::rig::pollinator::Site;
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;
use crate::rig::zoo::{Scrapers, Zoo};
use crate::rig::{assert_perfect, settle};

/// Memory that the chart grants a pod, in MiB.
const MEMORY: u64 = 512;
const VARIABLE: &str = "POLLINATOR_SOAK";
const SECONDS: u64 = 24;
const HONEST: usize = 5;
/// Two of each kind.
const ANIMALS: usize = 16;
/// Instances with tiny resources, the resources of each, and their interval: in the suite, and in a long run.
const TINY: (usize, usize, &str) = (10, 20, "5s");
const TINY_OF_A_LONG_RUN: (usize, usize, &str) = (200, 50, "2m");

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[test]
fn the_whole_zoo_restarts_nothing_loses_nothing_and_leaves_the_memory_flat() {
    let long: Option<u64> = env::var(VARIABLE).ok().map(|text| text.parse().expect("seconds"));
    let length = Duration::from_secs(long.unwrap_or(SECONDS));
    let (instances, resources, interval) = if long.is_some() { TINY_OF_A_LONG_RUN } else { TINY };
    let receiver = Receiver::start();
    let providers: Vec<_> = (0..HONEST).map(|_| Provider::start()).collect();
    let name = |number: usize| format!("honest-{number}");
    let mut zoo = Zoo::open();
    let honest = providers.iter().enumerate().map(|(number, provider)| {
        Instance::new(&name(number), &provider.url(), &receiver.url(&name(number))).basic_auth().yaml()
    });
    let mut documents: Vec<_> = honest.collect();
    let hostile = zoo.grow(ANIMALS).iter().map(Instance::yaml).collect::<Vec<_>>();
    let hostile = hostile.into_iter().chain(zoo.tiny(instances, resources, interval));
    documents.extend(hostile.map(|yaml| yaml.replace("namespace: it", "namespace: zoo")));
    let site = Site::new(&documents);
    let mut command = site.command();
    command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let mut pollinator = site.spawn(command);
    let line = pollinator.wait_stderr("serving /metrics");
    let start = line.find("127.0.0.1:").expect("the address is told");
    let address: String = line[start..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    let limit = MemoryLimit::try_set(pollinator.id(), MEMORY);
    (0..HONEST).for_each(|number| drop(pollinator.wait_ready(&name(number))));
    let scrapers = Scrapers::start(address.parse().expect("an address"), 4, 32);
    zoo.wait_all_asked();

    let (begun, mut memory, mut round) = (Instant::now(), Vec::new(), 0);
    while begun.elapsed() < length {
        for provider in &providers {
            provider.create(&format!("r-{round}"));
            if round > 0 {
                provider.update(&format!("r-{}", round - 1));
            }
        }
        round += 1;
        memory.extend(pollinator.memory("VmRSS"));
        // Until the next poll, or a second.
        providers[0].try_wait_asked(providers[0].asked() + 1, Duration::from_secs(1));
    }
    for (number, provider) in providers.iter().enumerate() {
        let verdict = settle(&receiver, &name(number), || provider.truth(), provider::version);
        assert_perfect(&verdict, &pollinator, &name(number));
    }
    drop(scrapers);
    if !memory.is_empty() {
        let third = memory.len() / 3;
        let (middle, last) = (median(&memory[third..2 * third]), median(&memory[2 * third..]));
        println!(
            "{round} rounds, {middle} KiB in the middle, {last} KiB at the end, peak {:?} MiB, counted by the kernel {:?} MiB",
            pollinator.peak_memory(),
            limit.as_ref().and_then(MemoryLimit::peak)
        );
        // What one page of the largest kind takes may come and go.
        assert!(last < middle * 5 / 4 + 96 * 1024, "{middle} KiB, then {last} KiB");
        assert!(pollinator.peak_memory().is_none_or(|mebibytes| mebibytes < MEMORY), "{:?}", pollinator.peak_memory());
    }
    // It is the process that was started, and ends as asked.
    assert!(pollinator.sigterm().success());
}
