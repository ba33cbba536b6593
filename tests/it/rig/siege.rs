//! Honest instances beside attackers of another namespace, in one process: what the honest ones get is compared with what they got
//! before the attackers came, and with what the machine takes from everyone.

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
            Instance::new(&name, &self.providers[number % PROVIDERS].url(), &receiver.url(&name)).basic_auth()
        };
        (0..HONEST).map(instance).collect()
    }

    /// Measures the process before `admit` lets attackers in, and beside ever more of them.
    pub fn run(&self, process: &Pollinator, receiver: &Receiver, strain: &Strain, mut admit: impl FnMut(Vec<Instance>)) {
        let long = env::var(VARIABLE).ok();
        let counts: Vec<usize> = long.as_deref().map_or(ATTACKERS.to_vec(), |text| {
            text.split(',').map(|count| count.parse().expect("numbers with commas between them")).collect()
        });
        let measured = HONEST * if long.is_some() { POLLS_OF_A_LONG_RUN } else { POLLS };
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
            println!("{measured} polls: {alone:?} alone, {attacked:?} beside {count} attackers");
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

    /// How long it takes until the honest instances have polled this many times in all.
    fn polls(&self, count: usize, process: &Pollinator) -> Duration {
        let asked = || self.providers.iter().map(Provider::asked).sum::<usize>();
        let (begun, goal) = (Instant::now(), asked() + count);
        while asked() < goal {
            assert!(begun.elapsed() < PATIENCE, "{} polls are missing\n{}", goal - asked(), process.stderr());
            self.providers[0].try_wait_asked(self.providers[0].asked() + 1, Duration::from_millis(100));
        }
        begun.elapsed()
    }
}

fn name(number: usize) -> String {
    format!("honest-{number}")
}
