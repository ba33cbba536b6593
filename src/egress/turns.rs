//! Who is next when permits are scarce: namespaces first, then instances, each the one that uses the fewest. Pure.
//!
//! A permit may be held for as long as a peer cares to hang, so a fair order alone would not do: a caller that comes while all permits hang
//! would wait until one of them times out. Two rules keep permits free instead:
//!
//! - **What an instance is known for decides how many permits it leaves to others.** The last quarter is closed to those whose last request
//!   hung, and the last eighth to those of whom nothing is known yet. However many hang, an instance that answers finds a permit. The last permit
//!   of a lane is closed to those whose last request hung, too, and to those of whom nothing is known and who have one there already: instances
//!   that share a host do not wait for each other's requests to end.
//! - **A namespace may use up to sixteen times what is free** (as switches share their buffers between ports). Alone it gets nearly
//!   everything, and still leaves some; the more of them are greedy, the less each gets.
//!
//! The same structure serves requests, whose lanes are hosts, and jobs, which have one lane.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use crate::api::identity::InstanceRef;

/// A namespace may use this many times what is free.
const SHARE: usize = 16;

/// What is known of an instance: how its last request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It was answered, or failed at once: its permit came back.
    Answers,
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// A deadline passed, or the answer took very long.
    Hangs,
}

/// How many permits there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permits {
    /// In one lane.
    pub per_lane: usize,
    /// In all.
    pub in_all: usize,
}

/// One that waits or has a permit. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Permits, who has one, and who waits. Takes no memory for those who do neither.
#[derive(Debug)]
pub struct Turns<L> {
    permits: Permits,
    last: u64,
    /// Permits that are used in each lane.
    lanes: HashMap<L, usize>,
    /// Of these, those of each instance.
    in_lane: HashMap<(L, InstanceRef), usize>,
    holders: HashMap<Ticket, Place<L>>,
    places: HashMap<Ticket, (Place<L>, Standing)>,
    /// Those who wait, by what decides whether any of them may have a permit, so that they are passed over together: all of a lane that is
    /// full, then those of a namespace.
    waiting: HashMap<L, BTreeMap<(Standing, Arc<str>), Waiters>>,
    by_namespace: HashMap<Arc<str>, usize>,
    by_instance: HashMap<InstanceRef, usize>,
}

/// Those who wait in one lane for the same reason, in the order in which they came.
type Waiters = BTreeMap<Ticket, InstanceRef>;

/// For whom a permit is, and in which lane.
#[derive(Clone, Debug)]
struct Place<L> {
    instance: InstanceRef,
    lane: L,
}

impl<L: Clone + Eq + Hash> Turns<L> {
    /// No permit is taken.
    pub fn new(permits: Permits) -> Self {
        Self {
            permits,
            last: 0,
            lanes: HashMap::new(),
            in_lane: HashMap::new(),
            holders: HashMap::new(),
            places: HashMap::new(),
            waiting: HashMap::new(),
            by_namespace: HashMap::new(),
            by_instance: HashMap::new(),
        }
    }

    /// An instance wants a permit in a lane: from now on it waits.
    pub fn ask(&mut self, instance: &InstanceRef, standing: Standing, lane: L) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        let lane_waiters = self.waiting.entry(lane.clone()).or_default();
        let group = lane_waiters.entry((standing, Arc::clone(&instance.namespace))).or_default();
        group.insert(ticket, instance.clone());
        self.places.insert(ticket, (Place { instance: instance.clone(), lane }, standing));
        ticket
    }

    /// Gives the next one its permit, if anyone who waits may have one. To be called until it gives none.
    pub fn grant_next(&mut self) -> Option<Ticket> {
        let ticket = self.fairest()?;
        let place = self.stop_waiting(ticket)?;
        *self.lanes.entry(place.lane.clone()).or_default() += 1;
        *self.in_lane.entry((place.lane.clone(), place.instance.clone())).or_default() += 1;
        *self.by_namespace.entry(Arc::clone(&place.instance.namespace)).or_default() += 1;
        *self.by_instance.entry(place.instance.clone()).or_default() += 1;
        self.holders.insert(ticket, place);
        Some(ticket)
    }

    /// Gives a permit back, or waits no more. Others may be next now.
    pub fn leave(&mut self, ticket: Ticket) {
        match self.holders.remove(&ticket) {
            Some(Place { instance, lane }) => {
                take_one(&mut self.lanes, &lane);
                take_one(&mut self.by_namespace, &instance.namespace);
                take_one(&mut self.by_instance, &instance);
                take_one(&mut self.in_lane, &(lane, instance));
            }
            None => drop(self.stop_waiting(ticket)),
        }
    }

    /// How many have a permit.
    pub fn used(&self) -> usize {
        self.holders.len()
    }

    fn stop_waiting(&mut self, ticket: Ticket) -> Option<Place<L>> {
        let (place, standing) = self.places.remove(&ticket)?;
        let key = (standing, Arc::clone(&place.instance.namespace));
        if let Some(lane_waiters) = self.waiting.get_mut(&place.lane) {
            if let Some(group) = lane_waiters.get_mut(&key) {
                group.remove(&ticket);
                if group.is_empty() {
                    lane_waiters.remove(&key);
                }
            }
            if lane_waiters.is_empty() {
                self.waiting.remove(&place.lane);
            }
        }
        Some(place)
    }

    /// Of those who may have a permit: the one whose namespace uses the fewest, then the instance that does, then the first that came.
    fn fairest(&self) -> Option<Ticket> {
        let mut found = None;
        for (lane, groups) in &self.waiting {
            let lane_used = count(&self.lanes, lane);
            if lane_used >= self.permits.per_lane {
                continue;
            }
            for ((standing, namespace), waiters) in groups {
                if lane_used >= self.lane_most(*standing) {
                    continue;
                }
                let (room, used) = (self.room(*standing), count(&self.by_namespace, namespace));
                if room == 0 || used >= room.saturating_mul(SHARE) {
                    continue;
                }
                let own = self.first_of(waiters, lane, *standing).map(|(own, ticket)| (used, own, ticket));
                found = [found, own].into_iter().flatten().min();
            }
        }
        found.map(|(_, _, ticket)| ticket)
    }

    /// Of those who wait in one lane: the one whose instance uses the fewest permits, and how many. The first whose instance uses none ends
    /// the search: thousands may wait.
    fn first_of(&self, waiters: &Waiters, lane: &L, standing: Standing) -> Option<(usize, Ticket)> {
        let is_last = self.permits.per_lane > 1 && count(&self.lanes, lane) + 1 == self.permits.per_lane;
        let leaves_last = is_last && standing == Standing::Unknown;
        let mut first = None;
        for (ticket, instance) in waiters {
            let used = count(&self.by_instance, instance);
            if leaves_last && used > 0 && self.in_lane.contains_key(&(lane.clone(), instance.clone())) {
                continue;
            }
            if first.is_none_or(|(least, _)| used < least) {
                first = Some((used, *ticket));
            }
            if used == 0 {
                break;
            }
        }
        first
    }

    /// Permits of a lane that are used when one that is known so has to wait. One that hangs leaves a permit to others who ask the same host.
    fn lane_most(&self, standing: Standing) -> usize {
        self.permits.per_lane - usize::from(standing == Standing::Hangs && self.permits.per_lane > 1)
    }

    /// Permits that are free for instances that are known this well.
    fn room(&self, standing: Standing) -> usize {
        let left = match standing {
            Standing::Answers => 0,
            Standing::Unknown => self.permits.in_all / 8,
            Standing::Hangs => self.permits.in_all / 4,
        };
        self.permits.in_all.saturating_sub(left + self.used())
    }

    /// Whether anyone has a permit or waits for one.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let nobody_waits = self.waiting.is_empty() && self.places.is_empty();
        nobody_waits
            && self.lanes.is_empty()
            && self.in_lane.is_empty()
            && self.by_namespace.is_empty()
            && self.by_instance.is_empty()
    }
}

fn count<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or_default()
}

fn take_one<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const PERMITS: Permits = Permits { per_lane: 4, in_all: 1_280 };

    fn instance(namespace: usize, name: usize) -> InstanceRef {
        InstanceRef::new(format!("n{namespace}"), format!("i{name}"))
    }

    fn grant_all(turns: &mut Turns<usize>) -> Vec<Ticket> {
        std::iter::from_fn(|| turns.grant_next()).collect()
    }

    /// Instances that hang, each at its own host, `of(i)` in namespace; none gives a permit back.
    fn hanging(turns: &mut Turns<usize>, count: usize, standing: Standing, of: impl Fn(usize) -> usize) -> usize {
        let asked = (0..count).map(|i| {
            turns.ask(&instance(of(i), i), standing, i);
            grant_all(turns).len()
        });
        asked.sum()
    }

    fn gets_a_permit_at_once(turns: &mut Turns<usize>, namespace: usize, standing: Standing) -> bool {
        let healthy = turns.ask(&instance(namespace, 1_000_000), standing, 1_000_000 + namespace);
        grant_all(turns).contains(&healthy)
    }

    #[test]
    fn a_thousand_hanging_instances_leave_a_permit_to_one_of_which_nothing_is_known() {
        for spread in [1, 7, 1_000] {
            let mut turns = Turns::new(PERMITS);
            assert_eq!(hanging(&mut turns, 1_000, Standing::Unknown, |i| i % spread), 1_000);
            assert!(gets_a_permit_at_once(&mut turns, 0, Standing::Unknown), "in a namespace of theirs, {spread}");
            assert!(gets_a_permit_at_once(&mut turns, 9_999, Standing::Unknown), "in another namespace, {spread}");
        }
    }

    #[test]
    fn any_number_that_is_known_to_hang_leaves_permits_to_those_that_answer_and_to_newcomers() {
        for spread in [1, 7, 3_000] {
            for standing in [Standing::Answers, Standing::Unknown] {
                let mut turns = Turns::new(PERMITS);
                let granted = hanging(&mut turns, 3_000, Standing::Hangs, |i| i % spread);
                assert!((700..=960).contains(&granted), "{granted}");
                assert!(gets_a_permit_at_once(&mut turns, 0, standing), "{spread}");
                assert!(gets_a_permit_at_once(&mut turns, 99_999, standing), "{spread}");
            }
        }
    }

    #[test]
    fn any_number_of_newcomers_that_hang_leaves_permits_to_those_that_answer() {
        let mut turns = Turns::new(PERMITS);
        hanging(&mut turns, 3_000, Standing::Unknown, |i| i);
        assert!(gets_a_permit_at_once(&mut turns, 0, Standing::Answers));
    }

    #[test]
    fn a_greedy_namespace_whose_hosts_begin_to_hang_leaves_permits_to_others() {
        let mut turns = Turns::new(PERMITS);
        hanging(&mut turns, 3_000, Standing::Answers, |_| 0);
        assert!((0..50).all(|namespace| gets_a_permit_at_once(&mut turns, 1 + namespace, Standing::Answers)));
    }

    #[test]
    fn a_host_keeps_a_permit_for_those_whose_requests_do_not_hang() {
        let mut turns = Turns::new(PERMITS);
        (0..10).for_each(|i| {
            turns.ask(&instance(0, i), Standing::Hangs, 0);
        });
        assert_eq!(grant_all(&mut turns).len(), 3);
        let other = turns.ask(&instance(1, 0), Standing::Answers, 0);
        assert_eq!(grant_all(&mut turns), [other]);
    }

    #[test]
    fn an_instance_of_which_nothing_is_known_leaves_the_last_permit_of_a_host_to_others() {
        let mut turns = Turns::new(PERMITS);
        (0..12).for_each(|_| {
            turns.ask(&instance(0, 0), Standing::Unknown, 0);
        });
        let held = grant_all(&mut turns);
        assert_eq!(held.len(), 3);
        let newcomer = turns.ask(&instance(0, 1), Standing::Unknown, 0);
        assert_eq!(grant_all(&mut turns), [newcomer]);
        turns.leave(newcomer);
        assert!(grant_all(&mut turns).is_empty());
        // what it has at other hosts does not count
        turns.ask(&instance(0, 2), Standing::Unknown, 1);
        let elsewhere = turns.ask(&instance(0, 2), Standing::Unknown, 0);
        assert!(grant_all(&mut turns).contains(&elsewhere));
        // one that answers may have all four
        let mut turns = Turns::new(PERMITS);
        (0..12).for_each(|_| {
            turns.ask(&instance(0, 0), Standing::Answers, 0);
        });
        assert_eq!(grant_all(&mut turns).len(), 4);
    }

    #[test]
    fn within_an_instance_who_came_first_is_first() {
        let mut turns = Turns::new(Permits { per_lane: 1, in_all: 10 });
        let asked: Vec<_> = (0..5).map(|_| turns.ask(&instance(0, 0), Standing::Answers, 0)).collect();
        let mut served = Vec::new();
        while let Some(ticket) = turns.grant_next() {
            served.push(ticket);
            turns.leave(ticket);
        }
        assert_eq!(served, asked);
    }

    #[test]
    fn the_next_permit_goes_to_the_namespace_and_then_to_the_instance_that_uses_the_fewest() {
        let mut turns = Turns::new(Permits { per_lane: 4, in_all: 4 });
        let greedy: Vec<_> = (0..9).map(|lane| turns.ask(&instance(0, 0), Standing::Answers, lane)).collect();
        assert_eq!(grant_all(&mut turns), greedy[..4]);
        let sibling = turns.ask(&instance(0, 1), Standing::Answers, 20);
        let stranger = turns.ask(&instance(1, 0), Standing::Answers, 21);
        let next: Vec<_> = greedy[..3]
            .iter()
            .map(|ticket| {
                turns.leave(*ticket);
                turns.grant_next()
            })
            .collect();
        assert_eq!(next, [Some(stranger), Some(sibling), Some(greedy[4])]);
    }

    proptest! {
        /// Whatever comes and goes: no bound is exceeded, no caller that may have a permit waits, and in the end nothing is left.
        #[test]
        fn bounds_hold_and_nobody_waits_in_vain(steps in proptest::collection::vec((0usize..3, 0usize..4, 0usize..3, 0usize..5, 0usize..64), 1..200)) {
            let permits = Permits { per_lane: 2, in_all: 8 };
            let mut turns = Turns::new(permits);
            let (mut held, mut waiting) = (BTreeSet::new(), BTreeMap::new());
            for (action, namespace, name, lane, pick) in steps {
                let standing = [Standing::Answers, Standing::Unknown, Standing::Hangs][pick % 3];
                if action < 2 {
                    let ticket = turns.ask(&instance(namespace, name), standing, lane);
                    waiting.insert(ticket, standing);
                } else {
                    let all: Vec<_> = held.iter().copied().chain(waiting.keys().copied()).collect();
                    if let Some(ticket) = all.get(pick % all.len().max(1)) {
                        turns.leave(*ticket);
                        held.remove(ticket);
                        waiting.remove(ticket);
                    }
                }
                for ticket in grant_all(&mut turns) {
                    prop_assert!(waiting.remove(&ticket).is_some() && held.insert(ticket));
                }
                prop_assert!(held.len() <= permits.in_all);
                prop_assert!(turns.lanes.values().all(|used| *used <= permits.per_lane));
                prop_assert_eq!(turns.used(), held.len());
                // Nothing but the bounds hinders an instance that answers.
                let is_free = held.len() < permits.in_all;
                for (ticket, _) in waiting.iter().filter(|(_, standing)| **standing == Standing::Answers) {
                    let lane = &turns.places[ticket].0.lane;
                    prop_assert!(!is_free || turns.lanes[lane] == permits.per_lane);
                }
            }
            for ticket in held.into_iter().chain(waiting.into_keys()) {
                turns.leave(ticket);
                while let Some(next) = turns.grant_next() {
                    turns.leave(next);
                }
            }
            prop_assert!(turns.is_idle());
        }
    }
}
