//! One member of the group as a state machine: elections for all ranges, its own sign of life, and the balance between members.
//! What was heard, on this machine's clock → what to do. No I/O.
//!
//! Joining: list (is this the very first start?), put up the own Lease, list again (does any member disagree?), only then reach for ranges.
//! Leaving: take the own Lease back, so that others know; drain and give back every range; then be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::action::{Action, Todo};
use super::call::Reply;
use super::election::{Election, Step, Wish};
use super::members::{Dispute, Members};
use super::name::Name;
use super::range::Range;
use super::record::Stored;
use super::rendezvous;
use super::scope::Scope;
use super::slot::{Drain, Slot};
use super::timing::Timing;
use crate::moment::Moment;

/// Dead members' Leases that are cleaned up after one list.
const FORGET_AT_ONCE: usize = 8;

/// The state of this member in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Not yet, or for the time being not, able to reach for ranges.
    Joining,
    /// Claims its ranges.
    Member,
    /// No range is claimed until a live member is gone.
    Disagreement(Dispute),
    /// Gives everything back.
    Leaving,
}

impl Membership {
    /// Whether it does what it is there for. One whose work another member does, because that one watches more, is as good as one without
    /// a range: a roll-out that changes what is watched goes on.
    pub fn is_ready(self) -> bool {
        match self {
            Self::Member | Self::Disagreement(Dispute::Outscoped) => true,
            Self::Joining | Self::Leaving | Self::Disagreement(Dispute::Ranges | Dispute::Namespaces) => false,
        }
    }
}

/// One member.
#[derive(Debug)]
pub struct Session {
    me: Arc<str>,
    timing: Timing,
    drain_bound: Duration,
    slots: Vec<Slot>,
    own: Election,
    own_name: Name,
    members: Members,
    entry: Entry,
    /// Since when the own Lease stands.
    visible: Option<Moment>,
    listing: bool,
    next_list: Moment,
    /// The living, and since when they are these.
    live: (BTreeSet<String>, Moment),
    forgets: Vec<Action>,
    leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// Nothing is known yet.
    Arrived,
    /// A list was taken in.
    Listed,
    /// A list was read that was asked for after the own Lease existed: earlier members were seen, later ones see this one.
    Admitted,
}

impl Session {
    /// A member that has not joined yet. `me` must be unique to this process and fit into the name of a Lease.
    pub fn new(me: &str, ranges: u16, timing: Timing, drain_bound: Duration) -> Self {
        let me: Arc<str> = me.into();
        let slot = |range| Slot::new(range, Election::new(Arc::clone(&me), timing));
        let own_name = Name::Member { of: ranges, process: me.to_string() };
        let mut own = Election::new(Arc::clone(&me), timing);
        // Its name is this process's alone.
        own.assume_never_made();
        Self {
            slots: Range::all(ranges).map(slot).collect(),
            members: Members::new(own_name.clone(), timing),
            own,
            own_name,
            timing,
            drain_bound,
            entry: Entry::Arrived,
            visible: None,
            listing: false,
            next_list: Moment::ORIGIN,
            live: (BTreeSet::new(), Moment::ORIGIN),
            forgets: Vec::new(),
            leaving: false,
            me,
        }
    }

    /// The same, with what this process watches.
    #[must_use]
    pub fn watching(mut self, scope: Scope) -> Self {
        self.members.watch(scope);
        self
    }

    /// Takes in a list of the group's Leases that was asked for at `asked`; `None` if it failed.
    pub fn listed(&mut self, leases: Option<BTreeMap<Name, Stored>>, asked: Moment, now: Moment, roll: f64) {
        self.listing = false;
        let Some(leases) = leases else {
            self.next_list = now + self.timing.holder_pause(roll);
            return;
        };
        self.next_list = now + self.timing.look_every().mul_f64(0.9 + 0.2 * roll);
        if self.entry == Entry::Arrived {
            // No member has ever owned anything here, as far as the list shows: no claim need be waited for.
            let deserted = leases.keys().all(|name| name.of() != self.own_name.of());
            if deserted {
                self.slots.iter_mut().for_each(|slot| slot.election.assume_never_made());
            }
        }
        for slot in &mut self.slots {
            slot.election.observe(leases.get(&Name::Range(slot.range)).cloned(), Some(asked), now);
        }
        self.own.observe(leases.get(&self.own_name).cloned(), Some(asked), now);
        self.members.keep_only(&leases);
        for (name, lease) in leases {
            self.members.observe(&name, Some(lease), now);
        }
        let admitted = self.visible.is_some_and(|since| asked >= since);
        self.entry = if admitted { Entry::Admitted } else { Entry::Listed };
        // One member is enough to clean up.
        if admitted && self.members.live(now).first().is_none_or(|first| *self.me < **first) {
            let dead = self.members.forgettable(now).take(FORGET_AT_ONCE);
            self.forgets.extend(dead.map(|(name, lease)| Action::Forget(name.clone(), lease.clone())));
        }
    }

    /// Takes in an event of a watch: the Lease, or that it is gone.
    pub fn noticed(&mut self, name: &Name, lease: Option<Stored>, now: Moment) {
        if let Some(slot) = self.slot_of(name) {
            slot.election.observe(lease, None, now);
        } else {
            self.members.observe(name, lease, now);
        }
    }

    /// Takes in what came of a call.
    pub fn replied(&mut self, name: &Name, reply: Reply, now: Moment, roll: f64) {
        if *name == self.own_name {
            self.own.reply(reply, now, roll);
        } else if let Some(slot) = self.slot_of(name) {
            slot.election.reply(reply, now, roll);
        }
    }

    fn slot_of(&mut self, name: &Name) -> Option<&mut Slot> {
        let Name::Range(range) = name else { return None };
        self.slots.get_mut(usize::from(range.index())).filter(|slot| slot.range == *range)
    }

    /// Takes in that all work in a range has ended which was under way when [`Action::Drain`] asked for it. `number` is the
    /// epoch's, so that a late word does not count for another claim.
    pub fn drained(&mut self, range: Range, number: i32) {
        if let Some(slot) = self.slot_of(&Name::Range(range))
            && slot.drain.is_some()
            && slot.election.held().is_some_and(|held| held.epoch.number == number)
        {
            slot.drain = Some(Drain::Ended);
        }
    }

    /// Takes in that the guard of a range has ended. The Lease is left to run out.
    pub fn abandon(&mut self, range: Range) {
        if let Some(slot) = self.slot_of(&Name::Range(range)) {
            slot.abandoned = true;
        }
    }

    /// Begins to leave the group.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether everything has been given back, after [`Self::leave`].
    pub fn is_over(&self) -> bool {
        let idle = |election: &Election| !election.is_involved() && !election.is_calling();
        self.leaving && idle(&self.own) && self.slots.iter().all(|slot| idle(&slot.election) && slot.told.is_none())
    }

    /// The own Lease, to be deleted once [`Self::is_over`].
    pub fn own_lease(&self) -> Option<(&Name, &Stored)> {
        self.own.seen().map(|lease| (&self.own_name, lease))
    }

    /// How this member stands.
    pub fn membership(&self, now: Moment) -> Membership {
        if self.leaving {
            Membership::Leaving
        } else if self.entry != Entry::Admitted {
            Membership::Joining
        } else {
            self.members.dispute(now).map_or(Membership::Member, Membership::Disagreement)
        }
    }

    /// What a living member watches with which this one is at odds for that.
    pub fn other_scope(&self, now: Moment) -> Option<&Scope> {
        self.members.other_scope(now)
    }

    /// Decides what to do now, and when to ask again if nothing is heard before. `wall` is the time of day for readers of Leases.
    pub fn step(&mut self, now: Moment, wall: DateTime<Utc>) -> (Vec<Action>, Moment) {
        let mut todo = Todo { actions: std::mem::take(&mut self.forgets), wake: Moment::NEVER };
        self.show_oneself(now, wall, &mut todo);
        self.note_living(now);
        let view = self.view(now);
        self.start_drains(&view, now);
        let membership = self.membership(now);
        for index in 0..self.slots.len() {
            let wish = self.wish(index, membership, &view, now, &mut todo);
            self.slots[index].advance(wish, self.drain_bound, now, wall, &mut todo);
        }
        if !self.listing {
            if now >= self.next_list {
                self.listing = true;
                todo.actions.push(Action::List(self.timing.call()));
            } else {
                todo.wake_at(self.next_list);
            }
        }
        todo.wake_at(self.members.next_lapse(now));
        (todo.actions, todo.wake)
    }

    /// Keeps the own Lease.
    fn show_oneself(&mut self, now: Moment, wall: DateTime<Utc>, todo: &mut Todo) {
        let wish = if self.leaving { Wish::Release } else { Wish::Take };
        loop {
            match self.own.step(wish, now, wall) {
                Step::StepDown(_) => {}
                Step::Wait(until) => {
                    todo.wake_at(until);
                    break;
                }
                step => {
                    todo.call(&self.own_name, step);
                    break;
                }
            }
        }
        match (self.own.held(), self.visible) {
            (Some(_), None) => {
                self.visible = Some(now);
                self.next_list = now;
            }
            (None, Some(_)) => (self.visible, self.entry) = (None, Entry::Listed),
            _ => {}
        }
    }

    /// Notes who is alive. A member that let a range lapse is as good as dead, though its own Lease may last a little longer.
    fn note_living(&mut self, now: Moment) {
        let suspects: BTreeSet<&str> = self.slots.iter().filter_map(|slot| slot.lapsed_holder(now)).collect();
        let mut live: BTreeSet<String> =
            self.members.live(now).into_iter().filter(|member| !suspects.contains(member)).map(str::to_owned).collect();
        if !self.leaving && !self.is_outscoped(now) {
            live.insert(self.me.to_string());
        }
        if live != self.live.0 {
            self.live = (live, now);
        }
    }

    fn view(&self, now: Moment) -> View {
        let live: Vec<&str> = self.live.0.iter().map(String::as_str).collect();
        let holders: Vec<Option<&str>> =
            self.slots.iter().map(|slot| slot.holder(&self.me, now).filter(|holder| live.contains(holder))).collect();
        let targets = rendezvous::assign(&live, &holders);
        View {
            mine: targets.iter().map(|target| **target == *self.me).collect(),
            ranks: self.slots.iter().map(|slot| rendezvous::rank(&self.me, slot.range, &live)).collect(),
            hand_over: rendezvous::hand_over(&self.me, &live, &holders),
        }
    }

    /// Whether another member is to have everything that this one has.
    fn is_outscoped(&self, now: Moment) -> bool {
        self.membership(now) == Membership::Disagreement(Dispute::Outscoped)
    }

    /// Hands over one range if this member has the greatest surplus, nothing else is moving, and the members are stable. All of them when
    /// leaving, or when another member watches what this one does, and more.
    fn start_drains(&mut self, view: &View, now: Moment) {
        if self.leaving || self.is_outscoped(now) {
            for slot in self.slots.iter_mut().filter(|slot| slot.election.held().is_some() && slot.drain.is_none()) {
                slot.drain = Some(Drain::Due(now));
            }
            return;
        }
        let settled = now >= self.live.1 + 2 * self.timing.retry();
        let moving = self.slots.iter().any(|slot| slot.drain.is_some());
        if let Some(range) = view.hand_over
            && settled
            && !moving
            && self.membership(now) == Membership::Member
            && let Some(slot) = self.slots.get_mut(usize::from(range.index()))
        {
            slot.drain = Some(Drain::Due(now));
        }
    }

    fn wish(&self, index: usize, membership: Membership, view: &View, now: Moment, todo: &mut Todo) -> Wish {
        let slot = &self.slots[index];
        if slot.drain == Some(Drain::Ended) {
            return Wish::Release;
        }
        let Some(free) = slot.election.free_from().filter(|_| membership == Membership::Member) else { return Wish::Keep };
        if view.mine.get(index).copied().unwrap_or_default() {
            return Wish::Take;
        }
        if slot.election.is_unmade(now) {
            return Wish::Seed;
        }
        // Availability before balance: the member that should take it may be unable to.
        let rank = u32::try_from(view.ranks[index]).unwrap_or(u32::MAX);
        let turn = free + self.timing.retry().saturating_mul(rank.saturating_add(2));
        if now >= turn {
            return Wish::Take;
        }
        if !slot.election.is_involved() {
            todo.wake_at(if now < free { free } else { turn });
        }
        Wish::Keep
    }
}

/// Who should hold what, as this member sees it.
struct View {
    mine: Vec<bool>,
    ranks: Vec<usize>,
    hand_over: Option<Range>,
}

#[cfg(test)]
mod tests;
