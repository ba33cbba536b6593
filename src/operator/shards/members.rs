//! Who else is alive, by the Leases of the members; who cuts the hashes into another number of ranges; and who watches other namespaces.

use std::collections::{BTreeMap, BTreeSet};

use super::name::Name;
use super::record::{Observation, Stored};
use super::scope::{Relation, Scope};
use super::timing::Timing;
use crate::moment::Moment;

/// After how many leases without a sign of life a member's Lease is cleaned up.
const FORGET_AFTER: u32 = 10;

/// Why this process may not share the work with a living member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispute {
    /// It cuts the hashes into another number of ranges: an instance could have two owners.
    Ranges,
    /// It watches namespaces that this one does not, and the reverse: instances would have an owner that does not see them.
    Namespaces,
    /// It watches all that this one does, and more: this one gives everything to it.
    Outscoped,
}

/// The other members, as last seen.
#[derive(Debug)]
pub struct Members {
    own: Name,
    timing: Timing,
    scope: Scope,
    seen: BTreeMap<Name, Observation>,
}

impl Members {
    /// No member was seen yet. `own` is this process's Lease.
    pub fn new(own: Name, timing: Timing) -> Self {
        Self { own, timing, scope: Scope::All, seen: BTreeMap::new() }
    }

    /// The same, with what this process watches.
    pub fn watch(&mut self, scope: Scope) {
        self.scope = scope;
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

    /// The living members of the same partition that can do the work of this process, without this one.
    pub fn live(&self, now: Moment) -> BTreeSet<&str> {
        let able = |seen: &Observation| matches!(self.relation(seen), Relation::Same | Relation::Wider);
        self.live_of_own(now).filter(|seen| able(seen)).filter_map(Observation::holder).collect()
    }

    fn live_of_own(&self, now: Moment) -> impl Iterator<Item = &Observation> {
        let own = self.seen.iter().filter(|(name, _)| name.of() == self.own.of());
        own.filter(move |(_, seen)| self.is_live(seen, now)).map(|(_, seen)| seen)
    }

    /// How what a member watches relates to what this process watches.
    fn relation(&self, seen: &Observation) -> Relation {
        let noted = seen.lease.as_ref().and_then(|lease| lease.scope.as_ref());
        noted.map_or(Relation::Same, |scope| self.scope.relation(scope))
    }

    /// Why no range may be claimed, if any member that may be alive is a reason.
    pub fn dispute(&self, now: Moment) -> Option<Dispute> {
        if self.seen.iter().any(|(name, seen)| name.of() != self.own.of() && self.is_live(seen, now)) {
            return Some(Dispute::Ranges);
        }
        // All members come to the same answer: one that gave its work away to two that are apart would leave it to no one.
        let noted = self.live_of_own(now).filter_map(|seen| seen.lease.as_ref()?.scope.as_ref());
        let scopes: Vec<&Scope> = noted.chain([&self.scope]).collect();
        let apart = |scope: &Scope| scopes.iter().any(|other| scope.relation(other) == Relation::Apart);
        if scopes.iter().any(|scope| apart(scope)) {
            return Some(Dispute::Namespaces);
        }
        scopes.iter().any(|other| self.scope.relation(other) == Relation::Wider).then_some(Dispute::Outscoped)
    }

    /// What a living member watches with which this process is at odds for that.
    pub fn other_scope(&self, now: Moment) -> Option<&Scope> {
        let odd = |seen: &&Observation| matches!(self.relation(seen), Relation::Apart | Relation::Wider);
        self.live_of_own(now).find(odd)?.lease.as_ref()?.scope.as_ref()
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
        Stored { version: version.to_string(), uid: "uid".to_owned(), record, scope: None }
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
        assert_eq!(members.dispute(at(0)), None);
        members.observe(&Name::Range(Range::new(0, 8).unwrap()), Some(lease(Some("old"), 1)), at(0));
        members.observe(&Name::Range(Range::new(0, 16).unwrap()), Some(lease(Some("a"), 1)), at(0));
        assert_eq!(members.dispute(at(14)), Some(Dispute::Ranges));
        assert!(members.live(at(14)).is_empty());
        assert_eq!(members.dispute(at(15)), None);
        members.observe(&member(4, "x"), Some(lease(Some("x"), 1)), at(20));
        assert_eq!(members.dispute(at(21)), Some(Dispute::Ranges));
        members.observe(&member(4, "x"), None, at(22));
        assert_eq!(members.dispute(at(22)), None);
    }

    #[test]
    fn other_namespaces_are_noticed_while_anybody_lives_who_watches_them() {
        let watches = |text: Option<&str>| Some(Stored { scope: text.and_then(Scope::read), ..lease(Some("a"), 1) });
        let mut members = Members::new(member(16, "me"), Timing::default());
        members.watch(Scope::read("crm,shop").unwrap());
        for (other, dispute, is_able) in [
            (None, None, true),
            (Some("shop,crm"), None, true),
            (Some("shop"), None, false),
            (Some("crm,sales"), Some(Dispute::Namespaces), false),
            (Some("*"), Some(Dispute::Outscoped), true),
        ] {
            members.observe(&member(16, "a"), watches(other), at(0));
            assert_eq!(members.dispute(at(14)), dispute, "{other:?}");
            assert_eq!(!members.live(at(14)).is_empty(), is_able, "{other:?}");
            let said = members.other_scope(at(14)).map(ToString::to_string);
            assert_eq!(said.as_deref(), other.filter(|_| dispute.is_some()), "{other:?}");
            assert_eq!(members.dispute(at(15)), None, "dead: {other:?}");
        }
        // Neither of two that are apart gets what this one has.
        members.watch(Scope::read("crm").unwrap());
        for (name, other) in [("b", "crm,shop"), ("c", "crm,sales")] {
            members.observe(&member(16, name), watches(Some(other)), at(16));
        }
        assert_eq!(members.dispute(at(17)), Some(Dispute::Namespaces));
        // A range's Lease has no note, and its holder need not be what is noted.
        members.observe(&Name::Range(Range::new(0, 16).unwrap()), watches(Some("sales")), at(40));
        assert_eq!(members.dispute(at(41)), None);
    }
}
