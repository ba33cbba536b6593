//! Hands out turns for work that costs much CPU time.
//!
//! There are fewer turns than async workers, so that one is always free for everything else. The work is done by a worker all the same, and
//! not by threads of its own: with `block_in_place`, forty large pages at once took 100 to 300 MiB more, because what one thread allocates
//! and another one frees is not used again for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::clock;
use super::shares::{OverShare, Shares, Ticket};
use crate::api::identity::InstanceRef;

/// Bytes of an answer of everyday size. What it costs, a turn would cost again: 64 KiB are read in a quarter of a millisecond.
const EVERYDAY: usize = 64 * 1024;

/// Shorter waits for a turn are not counted.
const WORTH_NOTING: Duration = Duration::from_millis(1);

/// Shares out CPU time. A clone shares the budget.
#[derive(Clone, Debug)]
pub struct CpuBudget {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    shares: Shares,
    calls: HashMap<Ticket, oneshot::Sender<()>>,
}

/// The right to do one piece of work that costs much. Dropping it gives the turn to the next one.
#[derive(Debug)]
struct Turn {
    budget: CpuBudget,
    instance: InstanceRef,
    ticket: Ticket,
}

impl Default for CpuBudget {
    /// Of the cores that this process may use, by its affinity and its cgroup.
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl CpuBudget {
    /// Of a machine with this number of cores.
    pub fn new(cores: usize) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { shares: Shares::new(cores), calls: HashMap::new() })) }
    }

    /// Waits for a turn. [`super::shares`] says who is next.
    async fn turn(&self, instance: &InstanceRef) -> Turn {
        let (ticket, called) = {
            let mut shared = self.shared.lock();
            let ticket = shared.shares.ask(instance);
            let (call, called) = oneshot::channel();
            shared.calls.insert(ticket, call);
            shared.call_next();
            (ticket, called)
        };
        let began = Instant::now();
        // Made before waiting: a caller that gives up gives the place back.
        let turn = Turn { budget: self.clone(), instance: instance.clone(), ticket };
        // The end of a call is dropped only with its turn.
        let _ = called.await;
        let waited = began.elapsed();
        if waited >= WORTH_NOTING {
            self.shared.lock().shares.note_wait(instance, waited, Instant::now());
        }
        turn
    }

    /// Whether an instance is to begin nothing new for a while, because it used more than its fair share and others want the time.
    pub fn over_share(&self, instance: &InstanceRef) -> Option<OverShare> {
        self.shared.lock().shares.over_share(instance, Instant::now())
    }

    /// Does a piece of work over this number of bytes: at once if it is of everyday size, else in a turn.
    pub async fn work<T>(&self, instance: &InstanceRef, bytes: usize, work: impl FnOnce() -> T) -> T {
        if bytes <= EVERYDAY {
            return work();
        }
        let turn = self.turn(instance).await;
        // The task that was woken last on this worker is taken over by no other one: it goes first.
        tokio::task::yield_now().await;
        turn.run(work)
    }

    /// What an instance uses at the moment, in cores.
    #[cfg(test)]
    pub(super) fn rate(&self, instance: &InstanceRef) -> f64 {
        self.shared.lock().shares.rate_of(instance, Instant::now())
    }

    /// Whether an instance has lately spent much of its time on waiting for turns.
    pub fn delayed(&self, instance: &InstanceRef) -> Option<OverShare> {
        self.shared.lock().shares.delayed(instance, Instant::now())
    }

    /// An instance has used this time outside its turns.
    pub(super) fn note(&self, instance: &InstanceRef, spent: Duration) {
        self.shared.lock().shares.note(instance, spent, Instant::now());
    }
}

impl Turn {
    /// Does the work and counts what it costs.
    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        let before = clock::used();
        let done = work();
        let spent = clock::used().saturating_sub(before);
        clock::count(spent);
        self.budget.note(&self.instance, spent);
        done
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut shared = self.budget.shared.lock();
        shared.calls.remove(&self.ticket);
        shared.shares.leave(self.ticket);
        shared.call_next();
    }
}

impl Shared {
    fn call_next(&mut self) {
        while let Some(ticket) = self.shares.grant_next(Instant::now()) {
            // One that has just given up does not hear it, and gives the turn back when it is dropped.
            if let Some(call) = self.calls.remove(&ticket) {
                let _ = call.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn of(name: usize) -> InstanceRef {
        InstanceRef::new("crm", format!("i{name}"))
    }

    #[tokio::test]
    async fn a_turn_is_waited_for_and_given_back_by_whoever_gives_up() {
        let budget = CpuBudget::new(2);
        let (a, b, c) = (of(0), of(1), of(2));
        let first = budget.turn(&a).now_or_never().expect("it is free");
        let mut second = Box::pin(budget.turn(&b));
        let mut third = Box::pin(budget.turn(&c));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        drop(second);
        assert_eq!(first.run(|| 7), 7);
        drop(third.await);
        assert!(budget.turn(&a).now_or_never().is_some() && budget.shared.lock().calls.is_empty());
    }

    /// All turns are taken by work that waits for another task: without a worker that is free, this test never ends.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn other_tasks_go_on_while_one_works() {
        let budget = CpuBudget::new(2);
        let (tell, told) = std::sync::mpsc::channel();
        let work = tokio::spawn(async move { budget.work(&of(0), EVERYDAY + 1, move || told.recv()).await.is_ok() });
        let other = tokio::spawn(async move { tell.send(()) });
        assert!(work.await.unwrap());
        other.await.unwrap().unwrap();
    }
}
