//! What is due when, and whose turn it is when more is due than may run at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::api::identity::InstanceRef;
use crate::egress::turns::{Permits, Standing, Ticket, Turns};

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
    later: BinaryHeap<Reverse<Due>>,
    /// All jobs are in one lane of the permit queue.
    turns: Turns<()>,
    waiting: HashMap<Ticket, Due>,
}

impl DueQueue {
    /// Nothing is due; at most `jobs` jobs run at once.
    pub(super) fn new(jobs: usize) -> Self {
        let turns = Turns::new(Permits { per_lane: jobs, in_all: jobs });
        Self { later: BinaryHeap::new(), turns, waiting: HashMap::new() }
    }

    pub(super) fn push(&mut self, due: Due) {
        self.later.push(Reverse(due));
    }

    /// When the next one comes due.
    pub(super) fn next_at(&self) -> Option<DateTime<Utc>> {
        self.later.peek().map(|Reverse(due)| due.at)
    }

    /// The next one that has come due. It is to wait for its turn.
    pub(super) fn pop(&mut self, now: DateTime<Utc>) -> Option<Due> {
        if self.next_at()? > now {
            return None;
        }
        self.later.pop().map(|Reverse(due)| due)
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
    fn jobs_that_fail_leave_some_to_others_however_many_are_due() {
        let now = Utc::now();
        let due = |number: usize| Due { at: now, key: InstanceRef::new("crm", format!("i{number}")), schedule: 0, epoch: 0 };
        let mut queue = DueQueue::new(16);
        (0..100).for_each(|number| queue.push(due(number)));
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
