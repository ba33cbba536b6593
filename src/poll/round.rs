//! One round over the lists of a resource that is polled once for each of several values: in which order, and what the failure of one list
//! means for the others. Pure.

use std::sync::Arc;

use crate::api::conditions::{Problem, Reaction};

/// Lists in a row that fail, each for what may pass by itself: the provider is the cause, and the others would fail, too.
const IN_A_ROW: usize = 3;
/// Values that a message names.
const NAMED: usize = 3;

/// The values in the order in which their lists are polled. A round that ended early goes on at `next`, so that all lists get their turn. After a
/// whole round those with changes that wait for another try come first.
pub fn order(values: &[Arc<str>], next: Option<&str>, waits: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
    if let Some(start) = next.and_then(|next| values.iter().position(|value| **value == *next)) {
        let (before, from) = values.split_at(start);
        return [from, before].concat();
    }
    let (waiting, others): (Vec<_>, Vec<_>) = values.iter().cloned().partition(|value| waits(value));
    [waiting, others].concat()
}

/// What a round has met.
#[derive(Clone, Debug, Default)]
pub struct Round {
    polled: usize,
    failed: usize,
    in_a_row: usize,
    named: Vec<Arc<str>>,
    first: Option<Problem>,
}

/// What became of the lists of a resource in a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListsOutcome {
    /// Nothing is to be said of them.
    #[default]
    None,
    /// All of them were polled.
    Polled,
    /// Some could not be polled.
    Failed(Problem),
}

/// What follows the failure of one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// The others are polled.
    GoOn,
    /// The round ends, and the next one begins with this list.
    BeginHere(Problem),
    /// The round ends, and the next one begins behind this list: those that fail must not keep the others from their turn.
    BeginBehind(Problem),
}

impl Round {
    /// A list was polled.
    pub fn note_polled(&mut self) {
        (self.polled, self.in_a_row) = (self.polled + 1, 0);
    }

    /// The list of a value could not be polled.
    pub fn note_failed(&mut self, value: &Arc<str>, problem: Problem) -> AfterFailure {
        if problem.reaction == Reaction::Throttled {
            return AfterFailure::BeginHere(problem);
        }
        (self.failed, self.in_a_row) = (self.failed + 1, self.in_a_row + 1);
        if self.named.len() < NAMED {
            self.named.push(Arc::clone(value));
        }
        self.first.get_or_insert_with(|| problem.clone());
        let is_everywhere = problem.reaction == Reaction::Transient || self.polled == 0;
        if self.in_a_row >= IN_A_ROW && is_everywhere { AfterFailure::BeginBehind(problem) } else { AfterFailure::GoOn }
    }

    /// The round is over. What to report of the lists that failed, or why it failed as a whole.
    ///
    /// # Errors
    /// No list could be polled.
    pub fn end(self) -> Result<ListsOutcome, Problem> {
        match &self.first {
            Some(problem) if self.polled == 0 => Err(problem.clone()),
            Some(_) => Ok(self.break_off()),
            None => Ok(ListsOutcome::Polled),
        }
    }

    /// The round ends before its last list. What to report of the lists that failed so far.
    pub fn break_off(self) -> ListsOutcome {
        let Some(problem) = self.first else { return ListsOutcome::None };
        let message = format!("forEach: {} could not be polled: {}", lists(&self.named, self.failed), problem.message);
        ListsOutcome::Failed(Problem { message, ..problem })
    }
}

fn lists(named: &[Arc<str>], count: usize) -> String {
    let (lists, named) = (if count == 1 { "the list of" } else { "the lists of" }, named.join(", "));
    let more = match count {
        0..=NAMED => "",
        _ => " and others",
    };
    format!("{lists} {named}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::Reason;

    fn values(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn gone() -> Problem {
        Problem::human(Reason::NotFound, "gone")
    }

    fn down() -> Problem {
        Problem::transient(Reason::ProviderError, "down")
    }

    #[test]
    fn a_round_goes_on_where_the_last_one_ended_and_begins_with_what_waits() {
        let all = values(&["a", "b", "c", "d"]);
        let order = |next: Option<&str>, waiting: &str| order(&all, next, |value| value == waiting).join("");
        assert_eq!(
            (order(None, ""), order(Some("c"), ""), order(Some("gone"), "")),
            ("abcd".into(), "cdab".into(), "abcd".into())
        );
        assert_eq!((order(None, "b"), order(Some("gone"), "b")), ("bacd".into(), "bacd".into()));
        assert_eq!(order(Some("c"), "b"), "cdab", "what waits keeps no other from its turn");
    }

    #[test]
    fn a_list_that_fails_is_named_and_stops_no_other() {
        let mut round = Round::default();
        round.note_polled();
        for value in values(&["a", "b", "c", "d", "e"]) {
            assert_eq!(round.note_failed(&value, gone()), AfterFailure::GoOn, "that is its own");
        }
        let Ok(ListsOutcome::Failed(told)) = round.end() else { panic!("they failed") };
        assert_eq!(
            (told.reason, &*told.message),
            (Reason::NotFound, "forEach: the lists of a, b, c and others could not be polled: gone")
        );
        let mut round = Round::default();
        round.note_failed(&"a".into(), down());
        round.note_polled();
        let told = Problem { message: "forEach: the list of a could not be polled: down".to_owned(), ..down() };
        assert_eq!(round.end(), Ok(ListsOutcome::Failed(told)));
        let mut round = Round::default();
        round.note_polled();
        assert_eq!(round.end(), Ok(ListsOutcome::Polled));
    }

    #[test]
    fn what_would_fail_for_all_ends_the_round() {
        let all = values(&["a", "b", "c"]);
        let mut round = Round::default();
        let after: Vec<_> = all.iter().map(|value| round.note_failed(value, gone())).collect();
        assert_eq!(after, [AfterFailure::GoOn, AfterFailure::GoOn, AfterFailure::BeginBehind(gone())], "none was ever polled");
        assert_eq!(round.end(), Err(gone()));
        let mut round = Round::default();
        round.note_polled();
        let after: Vec<_> = all.iter().map(|value| round.note_failed(value, down())).collect();
        assert_eq!(after[2], AfterFailure::BeginBehind(down()));
        let limited = Problem::throttled(Reason::RateLimited, "x", None);
        assert_eq!(Round::default().note_failed(&all[0], limited.clone()), AfterFailure::BeginHere(limited));
    }
}
