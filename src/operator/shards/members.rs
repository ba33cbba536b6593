//! Who else is alive, by the Leases of the members; and who cuts the hashes into another number of ranges.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::Moment;
use super::name::Name;
use super::record::{Observation, Stored};
use super::timing::Timing;

/// After how many leases without a sign of life a member's Lease is cleaned up.
const FORGET_AFTER: u32 = 10;

/// The other members, as last seen.
#[derive(Debug)]
pub struct Members {
    own: Name,
    timing: Timing,
    seen: BTreeMap<Name, Observation>,
}

impl Members {
    /// No member was seen yet. `own` is this process's Lease.
    pub fn new(own: Name, timing: Timing) -> Self {
        Self { own, timing, seen: BTreeMap::new() }
    }

    /// Takes in one Lease: a member's, or a range's of another partition. Others are no concern of this view.
    pub fn observe(&mut self, name: &Name, lease: Option<Stored>, now: Moment) {
        let relevant = matches!(name, Name::Member { .. }) || name.of() != self.own.of();
        if *name == self.own || !relevant {
            return;
        }
        if lease.is_none() {
            // A member takes its Lease away when it leaves; what it held has Leases of its own.
            self.seen.remove(name);
            return;
        }
        let previous = self.seen.remove(name);
        self.seen.insert(name.clone(), Observation::update(previous, lease, now));
    }

    /// Drops what a complete list did not show.
    pub fn keep_only(&mut self, listed: &BTreeMap<Name, Stored>) {
        self.seen.retain(|name, _| listed.contains_key(name));
    }

    /// The living members of the same partition, without this process.
    pub fn live(&self, now: Moment) -> BTreeSet<&str> {
        let own = self.seen.iter().filter(|(name, _)| name.of() == self.own.of());
        own.filter(|(_, seen)| self.is_live(seen, now)).filter_map(|(_, seen)| seen.holder()).collect()
    }

    /// Whether any member that may be alive cuts the hashes into another number of ranges. Then an instance could have two owners.
    pub fn disagree(&self, now: Moment) -> bool {
        self.seen.iter().any(|(name, seen)| name.of() != self.own.of() && self.is_live(seen, now))
    }

    fn is_live(&self, seen: &Observation, now: Moment) -> bool {
        now < seen.lapses(self.timing.lease())
    }

    /// The next moment at which a silent member will be found dead.
    pub fn next_lapse(&self, now: Moment) -> Moment {
        let lapses = self.seen.values().map(|seen| seen.lapses(self.timing.lease()));
        lapses.filter(|at| *at > now).min().unwrap_or(Moment::NEVER)
    }

    /// Leases of members that died long ago.
    pub fn forgettable(&self, now: Moment) -> impl Iterator<Item = (&Name, &Stored)> {
        let long = self.timing.lease() * FORGET_AFTER;
        let members = self.seen.iter().filter(|(name, _)| matches!(name, Name::Member { .. }));
        members.filter_map(move |(name, seen)| {
            let dead = now >= seen.lapses(self.timing.lease()) + long;
            dead.then_some(()).and(seen.lease.as_ref()).map(|lease| (name, lease))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::range::Range;
    use super::super::record::Record;
    use super::*;

    fn member(of: u16, process: &str) -> Name {
        Name::Member { of, process: process.to_owned() }
    }

    fn lease(holder: Option<&str>, version: u32) -> Stored {
        let seconds = if holder.is_some() { 15 } else { 1 };
        let record = Record { holder: holder.map(str::to_owned), seconds, transitions: 0, ..Record::default() };
        Stored { version: version.to_string(), uid: "uid".to_owned(), record }
    }

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn a_member_lives_a_lease_longer_than_it_is_heard_of() {
        let mut members = Members::new(member(16, "me"), Timing::default());
        members.observe(&member(16, "a"), Some(lease(Some("a"), 1)), at(0));
        members.observe(&member(16, "me"), Some(lease(Some("me"), 1)), at(0));
        members.observe(&member(16, "b"), Some(lease(None, 1)), at(0));
        // Another writer touches the labels of a: no sign of life.
        members.observe(&member(16, "a"), Some(lease(Some("a"), 2)), at(14));
        assert_eq!(members.live(at(14)).into_iter().collect::<Vec<_>>(), ["a"]);
        assert_eq!(members.next_lapse(at(14)), at(15));
        assert!(members.live(at(15)).is_empty());
        assert!(members.forgettable(at(149)).all(|(name, _)| *name != member(16, "b")));
        assert_eq!(members.forgettable(at(165)).count(), 2);
        members.keep_only(&BTreeMap::new());
        assert_eq!(members.forgettable(at(165)).count(), 0);
    }

    #[test]
    fn another_partition_is_noticed_while_anybody_may_live_by_it() {
        let mut members = Members::new(member(16, "me"), Timing::default());
        assert!(!members.disagree(at(0)));
        members.observe(&Name::Range(Range::new(0, 8).unwrap()), Some(lease(Some("old"), 1)), at(0));
        members.observe(&Name::Range(Range::new(0, 16).unwrap()), Some(lease(Some("a"), 1)), at(0));
        assert!(members.disagree(at(14)) && members.live(at(14)).is_empty());
        assert!(!members.disagree(at(15)));
        members.observe(&member(4, "x"), Some(lease(Some("x"), 1)), at(20));
        assert!(members.disagree(at(21)));
        members.observe(&member(4, "x"), None, at(22));
        assert!(!members.disagree(at(22)));
    }
}
