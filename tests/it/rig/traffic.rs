//! Scripted creates, updates and deletes, the same for every provider and every run with the same seed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::oracle::Truth;
use super::provider::Provider;

/// A few changes come so often while something else happens.
const RHYTHM: Duration = Duration::from_millis(200);

/// Pseudo-random numbers (`SplitMix64`, Steele et al. 2014): a seed repeats a run.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// What traffic needs of a provider.
pub trait Records {
    fn create(&mut self, id: &str, version: i64);
    fn update(&mut self, id: &str, version: i64);
    fn delete(&mut self, id: &str);
}

impl Records for &Provider {
    fn create(&mut self, id: &str, _: i64) {
        Provider::create(self, id);
    }

    fn update(&mut self, id: &str, _: i64) {
        Provider::update(self, id);
    }

    fn delete(&mut self, id: &str) {
        Provider::delete(self, id);
    }
}

/// Changes records at a provider, without a pause, for as long as `scene` takes. The provider keeps the history.
pub fn meanwhile<R>(provider: &Provider, seed: u64, scene: impl FnOnce() -> R) -> R {
    /// A scene that panics must not wait for its own traffic.
    struct Over<'a>(&'a AtomicBool, thread::Thread);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
            self.1.unpark();
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let mut traffic = Traffic::new(seed);
            while !over.load(Ordering::SeqCst) {
                traffic.run(&mut { provider }, 2);
                thread::park_timeout(RHYTHM);
            }
        });
        let _over = Over(&over, changing.thread().clone());
        scene()
    })
}

/// Makes changes and keeps their history.
pub struct Traffic {
    dice: Dice,
    deletes: bool,
    living: Vec<(String, i64)>,
    born: u64,
    pub truth: Truth,
}

impl Traffic {
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), deletes: true, living: Vec::new(), born: 0, truth: Truth::default() }
    }

    /// For providers that do not say what was deleted.
    pub fn without_deletes(self) -> Self {
        Self { deletes: false, ..self }
    }

    /// Creates records that are there before the first poll.
    pub fn baseline(&mut self, records: &mut impl Records, count: usize) {
        for _ in 0..count {
            let id = self.next_id();
            records.create(&id, 0);
            self.truth.baseline(&id, 0);
            self.living.push((id, 0));
        }
    }

    /// So many changes: half creates, a third updates, the rest deletes.
    pub fn run(&mut self, records: &mut impl Records, changes: usize) {
        for _ in 0..changes {
            match self.dice.below(6) {
                0 if self.deletes && !self.living.is_empty() => {
                    let at = self.pick();
                    let (id, _) = self.living.swap_remove(at);
                    records.delete(&id);
                    self.truth.deleted(&id);
                }
                1..=2 if !self.living.is_empty() => {
                    let at = self.pick();
                    let (id, version) = &mut self.living[at];
                    *version += 1;
                    records.update(id, *version);
                    self.truth.changed(id, *version);
                }
                _ => {
                    let id = self.next_id();
                    records.create(&id, 1);
                    self.truth.changed(&id, 1);
                    self.living.push((id, 1));
                }
            }
        }
    }

    fn pick(&mut self) -> usize {
        let bound = self.living.len() as u64;
        usize::try_from(self.dice.below(bound)).expect("below a length")
    }

    /// A version 4 UUID (RFC 9562), which every provider takes as an id.
    fn next_id(&mut self) -> String {
        self.born += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.dice.below(1 << 32), self.born)
    }
}
