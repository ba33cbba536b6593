//! How busy the machine is: bounds in seconds are stretched by what was measured, not by a guess.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::client;
use super::control_plane::api::Api;

/// How often it is measured.
const EVERY: Duration = Duration::from_millis(200);
/// What is measured is one small call; what bounds are about takes several, one after the other.
const CALLS: u32 = 4;

/// Measures from its start to its end how long a small call to the API server takes at worst, with the thread that makes it.
pub struct Strain {
    worst: Arc<Mutex<Duration>>,
    over: Arc<AtomicBool>,
}

impl Strain {
    pub fn measure(api: &Api) -> Self {
        let api = api.clone();
        Self::of(move || drop(api.try_send("GET", "/version", None)))
    }

    /// The same of a small call to a double.
    pub fn measure_by(url: String) -> Self {
        Self::of(move || drop(client::send("GET", &url, None)))
    }

    fn of(call: impl Fn() + Send + 'static) -> Self {
        let strain = Self { worst: Arc::default(), over: Arc::default() };
        let (worst, over) = (Arc::clone(&strain.worst), Arc::clone(&strain.over));
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                thread::park_timeout(EVERY);
                call();
                let took = begun.elapsed().saturating_sub(EVERY);
                let mut worst = worst.lock().unwrap_or_else(PoisonError::into_inner);
                *worst = took.max(*worst);
            }
        });
        strain
    }

    /// How much longer than on a quiet machine something may have taken.
    pub fn allowance(&self) -> Duration {
        *self.worst.lock().unwrap_or_else(PoisonError::into_inner) * CALLS
    }
}

impl Drop for Strain {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
