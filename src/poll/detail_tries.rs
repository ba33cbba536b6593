//! Which single records could not be read lately, so that one that never can holds up no event for good. Pure.
//!
//! Tries live as long as the process. What counts in addition is how old the version is: so a process a poll gives up, too.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use serde_json::value::RawValue;

use crate::api::conditions::{Problem, Reason};
use crate::fetch::detail;

/// A record that cannot be read is sent as the list has it once this number of polls have failed to read it that could read others.
const TRIES: u32 = 3;
/// So is a version that is older than this, once a poll that could not read it has read others.
const OLD: TimeDelta = TimeDelta::hours(1);
/// A list may be ahead of the single records for this long: a record that is missing may appear.
const AHEAD: TimeDelta = TimeDelta::minutes(1);
/// A server of single records may lag behind that of the list for this long.
const LAG: TimeDelta = TimeDelta::minutes(10);
/// Records whose tries are counted.
const MAX_COUNTED: usize = 1_000;
/// Bytes of records that are kept until the end of the poll, for other events about the same objects.
const MAX_KEPT: usize = 4 * 1024 * 1024;
/// The first requests of a poll that fail without one that goes well: the others would, too.
const FIRST: usize = 4;

/// The tries of records that could not be read.
#[derive(Debug, Default)]
pub struct DetailTries {
    /// Polls that did not read a record.
    tries: HashMap<u64, u32>,
    /// Records that this poll did not read.
    failed: HashSet<u64>,
    /// Of these, how many the provider does not have.
    missing: usize,
    /// Whether a record was older than its row.
    has_older: bool,
    /// Whether this poll has read one.
    has_read: bool,
    /// Why the last one could not be read.
    problem: Option<Problem>,
    /// What was read in this poll.
    kept: HashMap<u64, Box<RawValue>>,
    kept_bytes: usize,
}

/// What became of the requests for single records in a poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DetailOutcome {
    /// There were none.
    #[default]
    None,
    /// All went well.
    Read,
    /// Some did not.
    Failed(Problem),
}

impl DetailOutcome {
    /// Adds what became of those of another list of the same resource.
    pub fn add(&mut self, other: Self) {
        match (&self, &other) {
            (Self::Failed(_), _) | (_, Self::None) => {}
            _ => *self = other,
        }
    }
}

impl DetailTries {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.tries.is_empty()
    }

    /// Whether this poll has asked for a record in vain: it is not asked for again.
    pub fn has_failed(&self, object: u64) -> bool {
        self.failed.contains(&object)
    }

    /// A record was read.
    pub fn note_read(&mut self, object: u64) {
        self.has_read = true;
        self.tries.remove(&object);
    }

    /// The provider has no record of which the list has a version of this age. Answers whether it has had the time to have one.
    pub fn note_missing(&mut self, object: u64, age: Option<TimeDelta>) -> bool {
        self.missing += usize::from(self.failed.insert(object));
        age.is_none_or(|age| age.abs() >= AHEAD)
    }

    /// A record is older than its row, a version of this age. Answers whether it is to be taken as it is: its server has had the time.
    pub fn note_older(&mut self, object: u64, age: Option<TimeDelta>) -> bool {
        (self.has_older, self.has_read) = (true, true);
        let is_taken = age.is_none_or(|age| age.abs() >= LAG);
        if !is_taken {
            self.missing += usize::from(self.failed.insert(object));
        }
        is_taken
    }

    /// A record could not be read.
    pub fn note_failed(&mut self, object: u64, problem: Problem) {
        self.problem = Some(problem);
        self.failed.insert(object);
    }

    /// Whether a record that could not be read, in a version of this age, is to be sent as the list has it.
    pub fn gives_up(&self, object: u64, age: Option<TimeDelta>) -> bool {
        let is_old = age.is_some_and(|age| age >= OLD);
        self.has_read && (is_old || self.tries.get(&object).is_some_and(|tries| *tries >= TRIES))
    }

    /// Why no further record is to be asked for in this poll.
    pub fn hopeless(&self) -> Option<&Problem> {
        self.problem.as_ref().filter(|_| !self.has_read && self.failed.len() - self.missing >= FIRST)
    }

    /// Keeps a record until the end of the poll.
    pub fn keep(&mut self, object: u64, json: &RawValue) {
        let bytes = json.get().len();
        if self.kept_bytes + bytes <= MAX_KEPT && !self.kept.contains_key(&object) {
            self.kept_bytes += bytes;
            self.kept.insert(object, json.to_owned());
        }
    }

    /// A record that was read in this poll.
    pub fn kept(&self, object: u64) -> Option<&RawValue> {
        self.kept.get(&object).map(|json| &**json)
    }

    /// The poll is over. While not one record could be read, the fault is not theirs, and no try counts.
    pub fn end_poll(&mut self) -> DetailOutcome {
        let failed = std::mem::take(&mut self.failed);
        let missing = std::mem::take(&mut self.missing);
        let problem = self.problem.take().or_else(|| (!self.has_read && missing >= FIRST).then(all_missing));
        let has_older = std::mem::take(&mut self.has_older);
        self.kept.clear();
        self.kept_bytes = 0;
        let has_read = std::mem::take(&mut self.has_read);
        if self.tries.len() >= MAX_COUNTED {
            self.tries.retain(|object, _| failed.contains(object));
        }
        if has_read && problem.is_some() {
            for object in &failed {
                self.count(*object);
            }
        }
        match problem.or_else(|| has_older.then(detail::older)) {
            Some(problem) => DetailOutcome::Failed(problem),
            None if has_read => DetailOutcome::Read,
            None => DetailOutcome::None,
        }
    }

    fn count(&mut self, object: u64) {
        if self.tries.len() < MAX_COUNTED || self.tries.contains_key(&object) {
            *self.tries.entry(object).or_insert(0) += 1;
        }
    }
}

/// The first requests of a poll found nothing, which is more than deletions in between.
fn all_missing() -> Problem {
    Problem::human(
        Reason::NotFound,
        "detail.url: the provider has no record at the URL of any row, so events have what the list shows; correct detail.url",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        Problem::transient(Reason::ProviderError, "detail: x")
    }

    #[test]
    fn a_record_that_never_can_be_read_is_given_up_once_others_can() {
        let mut tries = DetailTries::default();
        for _ in 0..10 {
            tries.note_failed(1, problem());
            assert!(!tries.gives_up(1, Some(TimeDelta::days(1))), "alone, it says nothing about the record");
            assert_eq!(tries.end_poll(), DetailOutcome::Failed(problem()));
        }
        for poll in 0..5 {
            tries.note_failed(1, problem());
            assert!(!tries.gives_up(1, Some(TimeDelta::days(1))), "no other has been read yet");
            tries.note_read(2);
            assert_eq!(tries.gives_up(1, Some(TimeDelta::zero())), poll >= 3, "{poll}");
            assert!(tries.gives_up(1, Some(TimeDelta::hours(1))), "it is old");
            assert!(tries.has_failed(1) && !tries.has_failed(2));
            tries.end_poll();
        }
        tries.note_read(1);
        assert_eq!((tries.end_poll(), tries.is_empty()), (DetailOutcome::Read, true));
        assert_eq!(tries.end_poll(), DetailOutcome::None);
    }

    #[test]
    fn a_missing_record_has_a_minute_to_appear() {
        let mut tries = DetailTries::default();
        for (age, had_time) in [(Some(0), false), (Some(59), false), (Some(-59), false), (Some(60), true), (None, true)] {
            assert_eq!(tries.note_missing(1, age.map(TimeDelta::seconds)), had_time, "{age:?}");
        }
        assert_eq!((tries.end_poll(), tries.is_empty()), (DetailOutcome::None, true), "which is no fault");
        for object in 0..4 {
            assert!(tries.note_missing(object, None));
        }
        assert!(tries.hopeless().is_none());
        assert!(matches!(tries.end_poll(), DetailOutcome::Failed(problem) if problem.reason == Reason::NotFound));
    }

    #[test]
    fn a_record_that_is_older_than_its_row_is_waited_for_and_then_taken() {
        let mut tries = DetailTries::default();
        for (age, is_taken) in [(Some(0), false), (Some(599), false), (Some(600), true), (None, true)] {
            assert_eq!(tries.note_older(1, age.map(TimeDelta::seconds)), is_taken, "{age:?}");
            assert_eq!(tries.has_failed(1), !is_taken, "{age:?}");
            assert_eq!(tries.end_poll(), DetailOutcome::Failed(detail::older()), "{age:?}");
        }
        tries.note_read(1);
        assert_eq!((tries.end_poll(), tries.is_empty()), (DetailOutcome::Read, true));
    }

    #[test]
    fn where_nothing_can_be_read_the_poll_gives_up() {
        let mut tries = DetailTries::default();
        for object in 0..4 {
            assert!(tries.hopeless().is_none());
            tries.note_failed(object, problem());
        }
        assert!(tries.hopeless().is_some());
        tries.note_read(9);
        assert!(tries.hopeless().is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut tries = DetailTries::default();
        let large = RawValue::from_string(format!("\"{}\"", "x".repeat(MAX_KEPT / 2))).unwrap();
        tries.keep(1, &large);
        tries.keep(2, &large);
        assert!(tries.kept(1).is_some() && tries.kept(2).is_none());
        for object in 0..3_000 {
            tries.note_failed(object, problem());
        }
        tries.note_read(5_000);
        tries.end_poll();
        assert!(tries.tries.len() <= MAX_COUNTED && tries.kept(1).is_none());
    }
}
