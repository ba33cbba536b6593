//! Which single records could not be read lately, so that one that never can holds up no event for good, and none keeps others from being
//! read. Pure.
//!
//! Tries are part of the state, so that polls from a timer count on. What counts in addition is how old the version is.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use serde_json::value::RawValue;

use crate::api::conditions::{Problem, Reason};
use crate::fetch::detail;
use crate::state::Unread;

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
    /// Those that earlier polls could not read, in the order in which they were last asked for.
    before: Vec<Unread>,
    /// Records that this poll did not read, in their order.
    failed: Vec<u64>,
    /// The same, to look them up.
    has_failed: HashSet<u64>,
    /// Of these, how many the provider does not have.
    missing: usize,
    /// Records that earlier polls could not read, which this one asked for before it had read any,
    asked_again: usize,
    /// and did not ask for.
    put_off: usize,
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
    /// With what earlier polls could not read.
    pub fn new(before: Vec<Unread>) -> Self {
        Self { before, ..Self::default() }
    }

    /// The place of a record in the order in which records are asked for: first those that earlier polls have not asked for in vain, then
    /// those that were asked for longest ago.
    pub fn turn(&self, object: u64) -> usize {
        self.place(object).map_or(0, |place| place + 1)
    }

    /// Whether a record is asked for only after `last`: what becomes of that one says whether others can be read.
    pub fn comes_later(&self, last: Option<u64>, object: u64) -> bool {
        last.is_some_and(|last| self.place(last).is_none()) && self.place(object).is_some()
    }

    /// Whether a record may be asked for now. While this poll has read none, few of those are that earlier ones could not read: if the fault is
    /// theirs alone, there are others to read.
    pub fn may_ask(&mut self, object: u64) -> bool {
        if self.has_read || self.place(object).is_none() {
            return true;
        }
        let may = self.asked_again + 1 < FIRST;
        *(if may { &mut self.asked_again } else { &mut self.put_off }) += 1;
        may
    }

    fn place(&self, object: u64) -> Option<usize> {
        self.before.iter().position(|unread| unread.object == object)
    }

    /// Whether this poll has asked for a record in vain: it is not asked for again.
    pub fn has_failed(&self, object: u64) -> bool {
        self.has_failed.contains(&object)
    }

    /// A record was read.
    pub fn note_read(&mut self, object: u64) {
        self.has_read = true;
        self.before.retain(|unread| unread.object != object);
    }

    /// The provider has no record of which the list has a version of this age. Answers whether it has had the time to have one.
    pub fn note_missing(&mut self, object: u64, age: Option<TimeDelta>) -> bool {
        self.missing += usize::from(self.fail(object));
        age.is_none_or(|age| age.abs() >= AHEAD)
    }

    /// A record is older than its row, a version of this age. Answers whether it is to be taken as it is: its server has had the time.
    pub fn note_older(&mut self, object: u64, age: Option<TimeDelta>) -> bool {
        (self.has_older, self.has_read) = (true, true);
        let is_taken = age.is_none_or(|age| age.abs() >= LAG);
        if !is_taken {
            self.missing += usize::from(self.fail(object));
        }
        is_taken
    }

    /// A record could not be read.
    pub fn note_failed(&mut self, object: u64, problem: Problem) {
        self.problem = Some(problem);
        self.fail(object);
    }

    fn fail(&mut self, object: u64) -> bool {
        let is_first = self.has_failed.insert(object);
        if is_first {
            self.failed.push(object);
        }
        is_first
    }

    /// Whether a record that could not be read, in a version of this age, is to be sent as the list has it.
    pub fn gives_up(&self, object: u64, age: Option<TimeDelta>) -> bool {
        let is_old = age.is_some_and(|age| age >= OLD);
        self.has_read && (is_old || self.place(object).is_some_and(|place| self.before[place].tries >= TRIES))
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

    /// Every change that the poll found was delivered: none waits for a record.
    pub fn all_delivered(&mut self) {
        self.before.clear();
    }

    /// Why the poll counts as failed although it came to its end: not one of many records could be read.
    pub fn read_nothing(&self) -> Option<&Problem> {
        let count = self.failed.len() - self.missing;
        self.problem.as_ref().filter(|_| !self.has_read && self.put_off > 0 && count + self.put_off >= FIRST)
    }

    /// The poll is over: what it could not read, for the next one. While not one record could be read, the fault is not theirs, and no try
    /// counts.
    pub fn end_poll(&mut self) -> (DetailOutcome, Vec<Unread>) {
        let (mut failed, missing) = (std::mem::take(&mut self.failed), std::mem::take(&mut self.missing));
        let problem = self.problem.take().or_else(|| (!self.has_read && missing >= FIRST).then(all_missing));
        let has_older = std::mem::take(&mut self.has_older);
        self.kept.clear();
        (self.kept_bytes, self.asked_again, self.put_off) = (0, 0, 0);
        let has_read = std::mem::take(&mut self.has_read);
        if problem.is_none() {
            failed.clear();
        }
        let counts = u32::from(has_read);
        let (asked, mut unread): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.before).into_iter().partition(|unread| self.has_failed.contains(&unread.object));
        self.has_failed.clear();
        for object in failed {
            let before = asked.iter().find(|unread| unread.object == object).map_or(0, |unread| unread.tries);
            unread.push(Unread { object, tries: before.saturating_add(counts) });
        }
        // Those that were asked for last are in most need of it.
        unread.drain(..unread.len().saturating_sub(MAX_COUNTED));
        let outcome = match problem.or_else(|| has_older.then(detail::older)) {
            Some(problem) => DetailOutcome::Failed(problem),
            None if has_read => DetailOutcome::Read,
            None => DetailOutcome::None,
        };
        (outcome, unread)
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

    /// Ends a poll, and begins the next one with what it leaves.
    fn end(tries: &mut DetailTries) -> DetailOutcome {
        let (outcome, unread) = tries.end_poll();
        *tries = DetailTries::new(unread);
        outcome
    }

    fn is_empty(tries: &DetailTries) -> bool {
        tries.before.is_empty()
    }

    #[test]
    fn a_record_that_never_can_be_read_is_given_up_once_others_can() {
        let mut tries = DetailTries::default();
        for _ in 0..10 {
            tries.note_failed(1, problem());
            assert!(!tries.gives_up(1, Some(TimeDelta::days(1))), "alone, it says nothing about the record");
            assert_eq!(end(&mut tries), DetailOutcome::Failed(problem()));
        }
        for poll in 0..5 {
            tries.note_failed(1, problem());
            assert!(!tries.gives_up(1, Some(TimeDelta::days(1))), "no other has been read yet");
            tries.note_read(2);
            assert_eq!(tries.gives_up(1, Some(TimeDelta::zero())), poll >= 3, "{poll}");
            assert!(tries.gives_up(1, Some(TimeDelta::hours(1))), "it is old");
            assert!(tries.has_failed(1) && !tries.has_failed(2));
            end(&mut tries);
        }
        tries.note_read(1);
        assert_eq!((end(&mut tries), is_empty(&tries)), (DetailOutcome::Read, true));
        assert_eq!(end(&mut tries), DetailOutcome::None);
        tries.note_failed(1, problem());
        end(&mut tries);
        tries.all_delivered();
        assert!(is_empty(&tries), "it was taken as the list has it");
    }

    #[test]
    fn what_was_asked_for_in_vain_comes_last_and_the_longest_ago_first() {
        let mut tries = DetailTries::default();
        for object in [1, 2, 3] {
            tries.note_failed(object, problem());
        }
        end(&mut tries);
        tries.note_failed(2, problem());
        end(&mut tries);
        let mut objects = [1, 2, 3, 4, 5];
        objects.sort_by_key(|object| tries.turn(*object));
        assert_eq!(objects, [4, 5, 1, 3, 2]);
    }

    #[test]
    fn records_that_never_can_be_read_keep_no_others_from_being_read() {
        let mut tries = DetailTries::default();
        // four of them come first, and the poll gives up
        for object in 0..4 {
            tries.note_failed(object, problem());
        }
        assert!(tries.hopeless().is_some());
        end(&mut tries);
        for object in 0..6 {
            let may = tries.may_ask(object);
            assert_eq!(may, object != 3, "{object}");
            if may && object < 4 {
                tries.note_failed(object, problem());
            }
        }
        assert!(tries.hopeless().is_none(), "so that the poll comes to the others");
        assert_eq!(tries.read_nothing(), Some(&problem()));
        tries.note_read(4);
        assert!(tries.may_ask(3) && tries.read_nothing().is_none());
        end(&mut tries);
        assert_eq!(tries.turn(3), 1, "it was not asked for, and comes first of them");
    }

    #[test]
    fn a_missing_record_has_a_minute_to_appear() {
        let mut tries = DetailTries::default();
        for (age, had_time) in [(Some(0), false), (Some(59), false), (Some(-59), false), (Some(60), true), (None, true)] {
            assert_eq!(tries.note_missing(1, age.map(TimeDelta::seconds)), had_time, "{age:?}");
        }
        assert_eq!((end(&mut tries), is_empty(&tries)), (DetailOutcome::None, true), "which is no fault");
        for object in 0..4 {
            assert!(tries.note_missing(object, None));
        }
        assert!(tries.hopeless().is_none());
        assert!(matches!(end(&mut tries), DetailOutcome::Failed(problem) if problem.reason == Reason::NotFound));
    }

    #[test]
    fn a_record_that_is_older_than_its_row_is_waited_for_and_then_taken() {
        let mut tries = DetailTries::default();
        for (age, is_taken) in [(Some(0), false), (Some(599), false), (Some(600), true), (None, true)] {
            assert_eq!(tries.note_older(1, age.map(TimeDelta::seconds)), is_taken, "{age:?}");
            assert_eq!(tries.has_failed(1), !is_taken, "{age:?}");
            assert_eq!(end(&mut tries), DetailOutcome::Failed(detail::older()), "{age:?}");
        }
        tries.note_read(1);
        assert_eq!((end(&mut tries), is_empty(&tries)), (DetailOutcome::Read, true));
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
        end(&mut tries);
        assert!(tries.before.len() <= MAX_COUNTED && tries.kept(1).is_none());
    }
}
