//! Honest instances beside attackers of another namespace, in one process: what the honest ones get is compared with what they got
//! before the attackers came, and with what the machine takes from everyone.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use super::manifest::Instance;
use super::memory_limit::MemoryLimit;
use super::operator::health_address;
use super::pollinator::Pollinator;
use super::provider::{self, Provider};
use super::receiver::Receiver;
use super::strain::Strain;
use super::zoo::{Probes, Scrapers, Zoo};
use super::{PATIENCE, assert_perfect, settle};

/// Honest instances, spread over their providers.
const HONEST: usize = 20;
const PROVIDERS: usize = 4;
/// Attackers, unless the variable says otherwise: numbers with commas between them, which come one after the other.
const ATTACKERS: [usize; 2] = [1, 10];
const VARIABLE: &str = "POLLINATOR_ATTACKERS";
/// Polls of each honest instance that are measured, at the shortest interval.
const POLLS: usize = 2;
const POLLS_OF_A_LONG_RUN: usize = 6;
/// By which a provider knows them apart.
const HEADER: &str = "x-instance";
/// Memory that the chart grants a pod, in MiB. The kernel kills a process that wants more.
const MEMORY: u64 = 512;

/// The honest ones.
pub struct Siege {
    providers: Vec<Provider>,
}

impl Siege {
    pub fn prepare() -> Self {
        Self { providers: (0..PROVIDERS).map(|_| Provider::start()).collect() }
    }

    /// The instances, which are to run, and alone, when it begins.
    pub fn honest(&self, receiver: &Receiver) -> Vec<Instance> {
        let instance = |number: usize| {
            let name = name(number);
            let instance = Instance::new(&name, &self.providers[number % PROVIDERS].url(), &receiver.url(&name)).basic_auth();
            instance.and_resource(&format!("headers: {{{HEADER}: {name}}}"))
        };
        (0..HONEST).map(instance).collect()
    }

    /// Measures the process before `admit` lets attackers in, and beside ever more of them.
    pub fn run(&self, process: &Pollinator, receiver: &Receiver, strain: &Strain, mut admit: impl FnMut(Vec<Instance>)) {
        let long = env::var(VARIABLE).ok();
        let counts: Vec<usize> = long.as_deref().map_or(ATTACKERS.to_vec(), |text| {
            text.split(',').map(|count| count.parse().expect("numbers with commas between them")).collect()
        });
        let measured = if long.is_some() { POLLS_OF_A_LONG_RUN } else { POLLS };
        let address = health_address(process);
        let limit = MemoryLimit::try_set(process.id(), MEMORY);
        let alone = self.polls(measured, process);

        let probes = Probes::start(format!("http://{address}/livez"));
        let scrapers = Scrapers::start(address, 4, 32);
        let mut zoo = Zoo::open();
        for count in counts {
            admit(zoo.grow(count));
            zoo.wait_all_asked();
            let attacked = self.polls(measured, process);
            println!("{measured} polls of each: {alone:?} alone, {attacked:?} beside {count} attackers");
            // A tenth less, and what the machine takes from everyone.
            let bound = alone.mul_f64(1.0 / 0.9) + strain.allowance() + Duration::from_secs(1);
            assert!(attacked < bound, "{attacked:?} beside {count} attackers, {alone:?} alone\n{}", process.stderr());
        }
        for (number, provider) in self.providers.iter().enumerate() {
            provider.create(&format!("amid-{number}"));
        }
        for number in 0..HONEST {
            let (name, provider) = (name(number), &self.providers[number % PROVIDERS]);
            let verdict = settle(receiver, &name, || provider.truth(), provider::version);
            assert_perfect(&verdict, process, &name);
        }
        let slowest = probes.end();
        drop(scrapers);
        let peak = process.peak_memory();
        let counted = limit.as_ref().and_then(MemoryLimit::peak);
        println!("99 of 100 probes within {slowest:?}, peak memory {peak:?} MiB, counted by the kernel {counted:?} MiB");
        assert!(slowest < Duration::from_secs(1) + strain.allowance(), "{slowest:?}");
        assert!(peak.is_none_or(|mebibytes| mebibytes < MEMORY), "{peak:?} MiB");
    }

    /// How long an honest instance takes on average for so many polls, from one poll on: when it was due first does not matter.
    fn polls(&self, count: usize, process: &Pollinator) -> Duration {
        let begun = Instant::now();
        loop {
            let mut polls: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
            for ask in self.providers.iter().flat_map(Provider::asks).filter(|ask| ask.at >= begun) {
                polls.entry(ask.header(HEADER).expect("which instance asks").to_owned()).or_default().push(ask.at);
            }
            let took: Vec<_> = polls.values().filter_map(|at| Some(*at.get(count)? - at[0])).collect();
            if took.len() == HONEST {
                return took.iter().sum::<Duration>() / u32::try_from(HONEST).expect("a few");
            }
            assert!(begun.elapsed() < PATIENCE, "only {} were polled in time\n{}", took.len(), process.stderr());
            self.providers[0].try_wait_asked(self.providers[0].asked() + 1, Duration::from_millis(100));
        }
    }
}

fn name(number: usize) -> String {
    format!("honest-{number}")
}
