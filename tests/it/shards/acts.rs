//! What the members did, and when: one line an act, on the machine's common clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Number of ranges in these tests.
pub const RANGES: u16 = 16;

/// One act in a range under a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    /// Since the machine's start.
    pub at: Duration,
    pub member: String,
    pub range: String,
    /// Of the Lease when the claim began: the Lease's uid and number.
    pub epoch: (String, i32),
}

impl Act {
    pub fn line(&self) -> String {
        format!("{} {} {} {} {}\n", self.at.as_nanos(), self.member, self.range, self.epoch.0, self.epoch.1)
    }

    fn read(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        Self {
            at: Duration::from_nanos(words[0].parse().unwrap()),
            member: words[1].to_owned(),
            range: words[2].to_owned(),
            epoch: (words[3].to_owned(), words[4].parse().unwrap()),
        }
    }
}

/// All acts in the order of time.
pub struct Acts(Vec<Act>);

impl Acts {
    /// Reads the common log; a line that is still being written is left out.
    pub fn read(log: &str) -> Self {
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let mut acts: Vec<_> = whole.lines().map(Act::read).collect();
        acts.sort();
        Self(acts)
    }

    /// Between two acts of one owner under one claim there is none of another, and a later claim has a greater number.
    pub fn assert_one_owner_at_a_time(&self) {
        let mut current: BTreeMap<&str, &Act> = BTreeMap::new();
        let mut over: BTreeSet<(&str, &str, &(String, i32))> = BTreeSet::new();
        for act in &self.0 {
            let claim = (act.member.as_str(), act.range.as_str(), &act.epoch);
            assert!(!over.contains(&claim), "acted after another owner did: {act:?}");
            if let Some(last) = current.insert(&act.range, act)
                && (&last.member, &last.epoch) != (&act.member, &act.epoch)
            {
                over.insert((&last.member, &last.range, &last.epoch));
                let rises = last.epoch.0 != act.epoch.0 || act.epoch.1 > last.epoch.1;
                assert!(rises, "{last:?} was followed by {act:?}");
            }
        }
        assert!(!over.is_empty(), "nothing ever changed hands");
    }

    /// The owners of all ranges by their acts since a moment.
    pub fn owners_since(&self, since: Duration) -> BTreeMap<&str, &str> {
        let since = self.0.iter().filter(|act| act.at > since);
        since.map(|act| (act.range.as_str(), act.member.as_str())).collect()
    }

    /// The ranges in which a member was the last to act before a moment.
    pub fn held_at(&self, member: &str, at: Duration) -> Vec<&str> {
        let before = self.0.iter().filter(|act| act.at <= at);
        let owners: BTreeMap<_, _> = before.map(|act| (act.range.as_str(), act.member.as_str())).collect();
        owners.into_iter().filter(|(_, owner)| *owner == member).map(|(range, _)| range).collect()
    }

    /// A member's last act in a range.
    pub fn last_of(&self, member: &str, range: &str) -> Duration {
        self.0.iter().rfind(|act| act.member == member && act.range == range).unwrap().at
    }

    /// How long after the `last` act of its owner, and after an event, the next act in a range came.
    pub fn gap_after(&self, range: &str, last: Duration, event: Duration) -> (Duration, Duration) {
        let next = self.0.iter().find(|act| act.range == range && act.at > last).unwrap().at;
        (next.saturating_sub(last), next.saturating_sub(event))
    }
}
