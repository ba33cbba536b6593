//! What is due when, and whose turn it is when more is due than may run at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::identity::InstanceRef;
use crate::egress::turns::{Permits, Standing, Ticket, Turns};

/// What comes due within this time starts together, in microseconds. To wake a sleeping processor for one idle poll costs more than
/// the poll.
const BATCH: i64 = 50_000;

/// An entry of the queue: when a resource of an instance is to run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: DateTime<Utc>,
    pub(super) key: InstanceRef,
    pub(super) schedule: usize,
    pub(super) epoch: u64,
}

/// First by time, then by turn: what has come due waits until it may run.
pub(super) struct DueQueue {
    /// By the time at which each starts.
    later: BinaryHeap<Reverse<(DateTime<Utc>, Due)>>,
    /// Where the batches of this process begin, in microseconds. Replicas that woke at the same moments would send their requests in
    /// one burst.
    offset: u64,
    /// All jobs are in one lane of the permit queue.
    turns: Turns<()>,
    waiting: HashMap<Ticket, Due>,
}

impl DueQueue {
    /// Nothing is due; at most `jobs` run at once. `seed` decides at which moments what is due starts.
    pub(super) fn new(jobs: usize, seed: u64) -> Self {
        let turns = Turns::new(Permits { per_lane: jobs, in_all: jobs });
        let offset = seed % BATCH.unsigned_abs();
        Self { later: BinaryHeap::new(), offset, turns, waiting: HashMap::new() }
    }

    /// Starts it when it is due: at once if that is now, else with all that come due within [`BATCH`].
    pub(super) fn push(&mut self, due: Due, now: DateTime<Utc>) {
        let start = if due.at <= now { due.at } else { self.batch_of(due.at) };
        self.later.push(Reverse((start, due)));
    }

    /// When the next one starts.
    pub(super) fn next_at(&self) -> Option<DateTime<Utc>> {
        self.later.peek().map(|Reverse((start, _))| *start)
    }

    /// The next one that is to start. It is to wait for its turn.
    pub(super) fn pop(&mut self, now: DateTime<Utc>) -> Option<Due> {
        if self.next_at()? > now {
            return None;
        }
        self.later.pop().map(|Reverse((_, due))| due)
    }

    /// The end of the batch in which something is due, which is never before it.
    fn batch_of(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let since_offset = at.timestamp_micros().wrapping_sub_unsigned(self.offset);
        at + TimeDelta::microseconds(since_offset.wrapping_neg().rem_euclid(BATCH))
    }

    /// It waits for its turn from now on.
    pub(super) fn wait(&mut self, due: Due, standing: Standing) {
        let ticket = self.turns.ask(&due.key, standing, ());
        self.waiting.insert(ticket, due);
    }

    /// The one whose turn it is: it runs until it leaves.
    pub(super) fn next(&mut self) -> Option<(Ticket, Due)> {
        let ticket = self.turns.grant_next()?;
        self.waiting.remove(&ticket).map(|due| (ticket, due))
    }

    /// It does not run any more.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.turns.leave(ticket);
    }
}

/// Sleeps until a wall-clock time, in slices, so that a stepped clock is noticed.
pub(super) async fn sleep_until(at: Option<DateTime<Utc>>) {
    if let Some(wait) = at.map(|at| (at - Utc::now()).to_std().unwrap_or_default()) {
        tokio::time::sleep(wait.min(Duration::from_mins(1))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_due_within_a_batch_starts_together_and_never_early() {
        let now = DateTime::from_timestamp_micros(1_800_000_000_000_000).unwrap();
        let at = |micros: i64| now + TimeDelta::microseconds(micros);
        let due = |micros: i64| Due { at: at(micros), key: InstanceRef::new("crm", "keap"), schedule: 0, epoch: 0 };
        let start = |seed: u64, micros: i64| {
            let mut queue = DueQueue::new(16, seed);
            queue.push(due(micros), now);
            (queue.next_at().unwrap() - now).num_microseconds().unwrap()
        };
        assert_eq!([-7, 0].map(|micros| start(0, micros)), [-7, 0], "what is due already starts at once");
        assert_eq!([1, 49_999, 50_000, 50_001].map(|micros| start(0, micros)), [50_000, 50_000, 50_000, 100_000]);
        assert_eq!([1, 20_000, 20_001].map(|micros| start(50_020_000, micros)), [20_000, 20_000, 70_000]);
        for seed in 0..200 {
            let wait = start(seed * 7_919, 1_234_567) - 1_234_567;
            assert!((0..BATCH).contains(&wait), "{wait}");
        }
        let mut queue = DueQueue::new(16, 0);
        for micros in [30_000, 10_000, 60_000] {
            queue.push(due(micros), now);
        }
        assert_eq!(queue.pop(at(49_999)), None);
        assert_eq!([0; 3].map(|_| queue.pop(at(50_000)).map(|due| due.at)), [Some(at(10_000)), Some(at(30_000)), None]);
    }

    #[test]
    fn jobs_that_fail_leave_some_to_others_however_many_are_due() {
        let now = Utc::now();
        let due = |number: usize| Due { at: now, key: InstanceRef::new("crm", format!("i{number}")), schedule: 0, epoch: 0 };
        let mut queue = DueQueue::new(16, 0);
        (0..100).for_each(|number| queue.push(due(number), now));
        assert_eq!(queue.pop(now - chrono::Duration::seconds(1)), None, "nothing is due yet");
        while let Some(due) = queue.pop(now) {
            queue.wait(due, Standing::Hangs);
        }
        let running: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(running.len(), 12);
        queue.wait(due(200), Standing::Answers);
        let (ticket, healthy) = queue.next().expect("there is a turn for it");
        assert_eq!(healthy, due(200));
        queue.leave(ticket);
        assert!(queue.next().is_none());
        queue.leave(running[0].0);
        assert!(queue.next().is_some());
    }
}
