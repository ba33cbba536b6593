//! Sessions against a model of an API server, in simulated time: members join, leave and crash. Checked at every event: no range
//! has two owners and one hand-over is under way at most; in the end: every range is owned and the shares differ by one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::super::call::Request;
use super::super::record::Record;
use super::super::tenure::{Held, Loss};
use super::super::tests::dice::Dice;
use super::*;

const RANGES: u16 = 16;
const LONGEST_DRAIN: u64 = 800;

/// Milliseconds of simulated time.
type Time = u64;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    Listed(usize, Time),
    ListArrives(usize, Time),
    Arrives(usize, u64),
    Answered(usize, u64),
    Noticed(usize, Name, usize),
    Drained(usize, Range, i32),
}

struct Member {
    session: Session,
    alive: bool,
    leaving: bool,
    owned: BTreeMap<Range, Held>,
    draining: BTreeMap<Range, Time>,
    calls: BTreeMap<u64, (Name, Request)>,
    answers: BTreeMap<u64, (Name, Reply)>,
    lists: BTreeMap<Time, BTreeMap<Name, Stored>>,
    wakes: Time,
    /// A watch keeps its order.
    last_event: Time,
}

struct World {
    now: Time,
    dice: Dice,
    order: u64,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    leases: BTreeMap<Name, Stored>,
    shown: Vec<Option<Stored>>,
    versions: u64,
    members: Vec<Member>,
    /// What the members note in their Leases; 0.1.0 notes nothing.
    scopes: Vec<Option<Scope>>,
    partition: u16,
    /// What those that join watch.
    scope: Option<Scope>,
    calls: u64,
    /// Percent of calls and answers lost.
    loss: u64,
    watch_works: bool,
    drains_end: bool,
    /// Since when each range has no owner.
    unowned: BTreeMap<Range, Time>,
    longest_gap: Time,
    hand_overs: u64,
    moving: BTreeSet<Range>,
    most_moving: usize,
    writes: u64,
    violation: Option<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            now: 100_000,
            dice: Dice::new(seed),
            order: 0,
            events: BinaryHeap::new(),
            leases: BTreeMap::new(),
            shown: Vec::new(),
            versions: 0,
            members: Vec::new(),
            scopes: Vec::new(),
            partition: RANGES,
            scope: None,
            calls: 0,
            loss: 0,
            watch_works: true,
            drains_end: true,
            unowned: Range::all(RANGES).map(|range| (range, 100_000)).collect(),
            longest_gap: 0,
            hand_overs: 0,
            moving: BTreeSet::new(),
            most_moving: 0,
            writes: 0,
            violation: None,
        }
    }

    fn delay(&mut self) -> Time {
        self.now + 1 + self.dice.roll(30)
    }

    fn is_lost(&mut self) -> bool {
        self.dice.roll(100) < self.loss
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    fn local(at: Time) -> Moment {
        Moment::at(Duration::from_millis(at))
    }

    fn join(&mut self) -> usize {
        let index = self.members.len();
        let session = Session::new(&format!("m{index}"), self.partition, Timing::default(), Duration::from_secs(20));
        let session = session.watching(self.scope.clone().unwrap_or_default());
        self.scopes.push(self.scope.clone());
        self.members.push(Member {
            session,
            alive: true,
            leaving: false,
            owned: BTreeMap::new(),
            draining: BTreeMap::new(),
            calls: BTreeMap::new(),
            answers: BTreeMap::new(),
            lists: BTreeMap::new(),
            wakes: 0,
            last_event: 0,
        });
        self.schedule(self.now, Event::Wake(index));
        index
    }

    fn join_all(&mut self, count: usize) {
        for _ in 0..count {
            self.join();
        }
    }

    fn leave(&mut self, member: usize) {
        self.members[member].leaving = true;
        self.members[member].session.leave();
        self.schedule(self.now, Event::Wake(member));
    }

    fn crash(&mut self, member: usize) {
        self.members[member].alive = false;
        let owned: Vec<_> = self.members[member].owned.keys().copied().collect();
        self.members[member].draining.clear();
        for range in owned {
            self.members[member].owned.remove(&range);
            self.moving.remove(&range);
            self.unowned.insert(range, self.now);
        }
    }

    fn run(&mut self, span: Time) {
        let until = self.now + span;
        while let Some(Reverse((at, _, event))) = self.events.peek().cloned()
            && at <= until
            && self.violation.is_none()
        {
            self.events.pop();
            self.now = at;
            self.happen(event);
        }
        self.now = until;
    }

    fn happen(&mut self, event: Event) {
        let now = Self::local(self.now);
        let roll = f64::from(u32::try_from(self.dice.roll(1000)).unwrap()) / 1000.0;
        let index = match event {
            Event::ListArrives(index, asked) => {
                let leases = self.leases.clone();
                self.members[index].lists.insert(asked, leases);
                let at = self.delay();
                return self.schedule(at, Event::Listed(index, asked));
            }
            Event::Arrives(index, call) => return self.arrive(index, call),
            Event::Wake(index) => index,
            Event::Listed(index, asked) => {
                let member = &mut self.members[index];
                let leases = member.lists.remove(&asked);
                member.session.listed(leases, Self::local(asked), now, roll);
                index
            }
            Event::Answered(index, call) => {
                let member = &mut self.members[index];
                let reply = member.answers.remove(&call);
                let asked = member.calls.remove(&call).map(|(name, _)| (name, Reply::Failed));
                if let Some((name, reply)) = reply.or(asked) {
                    member.session.replied(&name, reply, now, roll);
                }
                index
            }
            Event::Noticed(index, name, shown) => {
                let lease = self.shown[shown].clone();
                self.members[index].session.noticed(&name, lease, now);
                index
            }
            Event::Drained(index, range, number) => {
                self.members[index].session.drained(range, number);
                index
            }
        };
        if self.members[index].alive {
            self.act(index);
        }
        self.judge();
    }

    fn act(&mut self, index: usize) {
        let now = Self::local(self.now);
        let (actions, wake) = self.members[index].session.step(now, DateTime::UNIX_EPOCH);
        for action in actions {
            self.perform(index, action);
        }
        let wake = u64::try_from(wake.since(Moment::ORIGIN).as_millis()).unwrap_or(u64::MAX).max(self.now);
        if wake < u64::MAX && self.members[index].wakes != wake {
            self.members[index].wakes = wake;
            self.schedule(wake + 1, Event::Wake(index));
        }
    }

    fn perform(&mut self, index: usize, action: Action) {
        match action {
            Action::List(within) => {
                let asked = self.now;
                if self.is_lost() {
                    let at = self.now + u64::try_from(within.as_millis()).unwrap();
                    self.schedule(at, Event::Listed(index, asked));
                } else {
                    let at = self.delay();
                    self.schedule(at, Event::ListArrives(index, asked));
                }
            }
            Action::Call(name, request) => {
                self.calls += 1;
                let call = self.calls;
                let within = match &request {
                    Request::Read(within) => *within,
                    Request::Write(write) => write.within,
                };
                self.members[index].calls.insert(call, (name, request));
                if self.is_lost() {
                    let at = self.now + u64::try_from(within.as_millis()).unwrap();
                    self.schedule(at, Event::Answered(index, call));
                } else {
                    let at = self.delay();
                    self.schedule(at, Event::Arrives(index, call));
                }
            }
            Action::Forget(name, _) => self.put(&name, None, None),
            Action::Own(range, held) => {
                let since = self.unowned.remove(&range);
                self.longest_gap = self.longest_gap.max(since.map_or(0, |since| self.now - since));
                self.members[index].owned.insert(range, held);
            }
            Action::Extend(range, held) => {
                self.members[index].owned.insert(range, held);
            }
            Action::Drain(range, held) => {
                self.hand_overs += u64::from(!self.members[index].leaving);
                self.members[index].draining.insert(range, self.now);
                self.unowned.insert(range, self.now);
                if !self.members[index].leaving {
                    self.moving.insert(range);
                }
                if self.drains_end {
                    let at = self.now + self.dice.roll(LONGEST_DRAIN);
                    self.schedule(at, Event::Drained(index, range, held.epoch.number));
                }
            }
            Action::Lose(range, loss) => {
                let member = &mut self.members[index];
                member.owned.remove(&range);
                let drained = member.draining.remove(&range).is_some();
                assert!(drained || loss != Loss::Released, "given back without a drain");
                self.unowned.entry(range).or_insert(self.now);
                assert_ne!(loss, Loss::Taken, "no other writer meddles here");
            }
        }
    }

    fn arrive(&mut self, index: usize, call: u64) {
        let Some((name, request)) = self.members[index].calls.get(&call).cloned() else { return };
        let there = self.leases.get(&name).cloned();
        let reply = match request {
            Request::Read(_) => Reply::Found(there),
            Request::Write(write) => match (there, &write.version) {
                (None, Some(_)) => Reply::Missing,
                (Some(_), None) => Reply::Conflict,
                (Some(lease), Some(version)) if lease.version != *version => Reply::Conflict,
                _ => {
                    self.put(&name, Some(write.record), Some(index));
                    Reply::Stored(self.leases[&name].clone())
                }
            },
        };
        if !self.is_lost() {
            self.members[index].answers.insert(call, (name, reply));
        }
        let at = self.delay();
        self.schedule(at, Event::Answered(index, call));
    }

    fn put(&mut self, name: &Name, record: Option<Record>, writer: Option<usize>) {
        self.writes += 1;
        self.versions += 1;
        let uid = self.leases.get(name).map_or_else(|| self.versions.to_string(), |lease| lease.uid.clone());
        let scope = writer.filter(|_| matches!(name, Name::Member { .. })).and_then(|index| self.scopes[index].clone());
        let lease = record.map(|record| Stored { version: self.versions.to_string(), uid, record, scope });
        match lease.clone() {
            Some(lease) => drop(self.leases.insert(name.clone(), lease)),
            None => drop(self.leases.remove(name)),
        }
        // Others may see the new holder before it knows itself.
        if let (Name::Range(range), Some(lease)) = (name, &lease)
            && lease.record.holder.is_some()
            && !self.members.iter().any(|member| member.draining.contains_key(range))
        {
            self.moving.remove(range);
        }
        self.shown.push(lease);
        for index in 0..self.members.len() {
            if self.watch_works {
                let at = self.delay().max(self.members[index].last_event);
                self.members[index].last_event = at;
                self.schedule(at, Event::Noticed(index, name.clone(), self.shown.len() - 1));
            }
        }
    }

    fn owners(&self, range: Range) -> Vec<usize> {
        let now = Self::local(self.now);
        let owns = |member: &Member| member.alive && member.owned.get(&range).is_some_and(|held| now < held.until);
        (0..self.members.len()).filter(|index| owns(&self.members[*index])).collect()
    }

    fn judge(&mut self) {
        self.most_moving = self.most_moving.max(self.moving.len());
        for range in Range::all(RANGES) {
            let owners = self.owners(range);
            if owners.len() > 1 {
                self.violation = Some(format!("{range} has owners {owners:?} at {}", self.now));
            }
        }
    }

    fn shares(&self) -> Vec<usize> {
        let living = self.members.iter().filter(|member| member.alive && !member.leaving);
        living.map(|member| member.owned.len()).collect()
    }

    #[track_caller]
    fn assert_balanced(&self) {
        assert_eq!(self.violation, None);
        let shares = self.shares();
        assert_eq!(shares.iter().sum::<usize>(), usize::from(RANGES), "{shares:?}");
        assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
    }
}

#[test]
fn the_first_member_owns_all_at_once() {
    let mut world = World::new(1);
    world.join();
    world.run(300);
    assert_eq!(world.shares(), [16]);
    world.assert_balanced();
}

#[test]
fn members_that_start_together_share_at_once() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        world.join_all(3);
        world.run(1_000);
        assert!(world.unowned.is_empty(), "seed {seed}: {:?}", world.unowned);
        world.run(30_000);
        world.assert_balanced();
    }
}

#[test]
fn a_newcomer_is_handed_its_share_one_range_at_a_time() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        world.join();
        world.run(10_000);
        world.join();
        world.run(10_000);
        world.join();
        world.longest_gap = 0;
        world.run(60_000);
        world.assert_balanced();
        assert_eq!(world.most_moving, 1, "seed {seed}");
        assert_eq!(world.hand_overs, 8 + 5, "seed {seed}: no range moves for nothing");
        assert!(world.longest_gap < LONGEST_DRAIN + 200, "seed {seed}: {} ms from drain to new owner", world.longest_gap);
        assert!(world.unowned.is_empty());
    }
}

#[test]
fn whoever_leaves_hands_over_all_within_its_drain_and_a_moment() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        world.join_all(3);
        world.run(40_000);
        world.longest_gap = 0;
        world.leave(1);
        world.run(3_000);
        assert!(world.members[1].session.is_over(), "seed {seed}");
        world.run(30_000);
        world.assert_balanced();
        assert!(world.longest_gap < LONGEST_DRAIN + 200, "seed {seed}: {} ms", world.longest_gap);
    }
}

#[test]
fn a_rolling_restart_leaves_no_range_alone_for_long() {
    for seed in 0..5 {
        let mut world = World::new(seed);
        world.join_all(3);
        world.run(40_000);
        world.longest_gap = 0;
        for old in 0..3 {
            world.join();
            world.run(5_000);
            world.leave(old);
            world.run(5_000);
        }
        world.run(60_000);
        world.assert_balanced();
        assert!(world.longest_gap < 5_000, "seed {seed}: {} ms", world.longest_gap);
    }
}

#[test]
fn a_crash_is_made_up_for_within_a_lease_and_two_seconds() {
    for seed in 0..10 {
        for watch_works in [true, false] {
            let mut world = World::new(seed);
            world.watch_works = watch_works;
            world.join_all(3);
            world.run(60_000);
            world.run(seed * 97);
            world.longest_gap = 0;
            world.crash(2);
            world.run(60_000);
            world.assert_balanced();
            assert!(world.unowned.is_empty());
            let bound = if watch_works { 17_000 } else { 18_500 };
            assert!(world.longest_gap < bound, "seed {seed}: {} ms", world.longest_gap);
        }
    }
}

#[test]
fn a_drain_that_does_not_end_is_left_to_run_out() {
    let mut world = World::new(7);
    world.drains_end = false;
    world.join();
    world.run(10_000);
    world.join();
    world.run(25_000);
    // Abandoned after 20 s, and not given back: work that ignores the loss may still be under way.
    assert_eq!(world.owners(*world.unowned.keys().next().unwrap()), Vec::<usize>::new());
    assert_eq!(world.unowned.len(), 1);
    world.drains_end = true;
    world.run(60_000);
    world.assert_balanced();
}

#[test]
fn two_partitions_are_never_active_together() {
    let mut world = World::new(3);
    let old = world.join();
    world.run(10_000);
    world.partition = 8;
    let new = world.join();
    world.run(60_000);
    assert_eq!(world.members[new].session.membership(World::local(world.now)), Membership::Disagreement(Dispute::Ranges));
    assert!(world.members[new].owned.is_empty());
    world.leave(old);
    world.run(20_000);
    assert!(world.members[old].owned.is_empty());
    assert_eq!(world.members[new].owned.len(), 8);
    assert_eq!(world.members[new].session.membership(World::local(world.now)), Membership::Member);
}

#[test]
fn members_that_watch_other_namespaces_take_nothing_from_one_another() {
    let mut world = World::new(3);
    world.scope = Scope::read("crm");
    let first = world.join();
    world.run(10_000);
    world.scope = Scope::read("shop");
    let second = world.join();
    world.run(60_000);
    let stands = |world: &World, index: usize| world.members[index].session.membership(World::local(world.now));
    for member in [first, second] {
        assert_eq!(stands(&world, member), Membership::Disagreement(Dispute::Namespaces));
        assert!(!stands(&world, member).is_ready());
    }
    assert_eq!(world.members[first].owned.len(), usize::from(RANGES), "it goes on");
    assert!(world.members[second].owned.is_empty());
    world.leave(first);
    world.run(20_000);
    assert_eq!((world.members[second].owned.len(), stands(&world, second)), (usize::from(RANGES), Membership::Member));
}

#[test]
fn whoever_watches_more_gets_everything_without_a_pause() {
    for (seed, order) in [(1, ["crm", "crm,shop"]), (2, ["*", "crm"])] {
        let mut world = World::new(seed);
        world.scope = Scope::read(order[0]);
        world.join();
        world.run(20_000);
        world.longest_gap = 0;
        world.scope = Scope::read(order[1]);
        world.join();
        world.run(60_000);
        let (wide, narrow) = if order[0] == "*" { (0, 1) } else { (1, 0) };
        let stands = |index: usize| world.members[index].session.membership(World::local(world.now));
        assert_eq!((stands(wide), stands(narrow)), (Membership::Member, Membership::Disagreement(Dispute::Outscoped)));
        assert!(stands(narrow).is_ready(), "a roll-out goes on");
        assert_eq!(world.members[wide].owned.len(), usize::from(RANGES), "{order:?}");
        assert!(world.unowned.is_empty() && world.longest_gap < LONGEST_DRAIN + 200, "{order:?}: {}", world.longest_gap);
        world.crash(wide);
        world.run(60_000);
        assert_eq!(world.members[narrow].owned.len(), usize::from(RANGES), "it is the only one left");
    }
}

#[test]
fn members_of_the_first_release_share_the_work_with_any() {
    let mut world = World::new(3);
    world.join();
    world.run(10_000);
    world.scope = Scope::read("*");
    world.join();
    world.run(60_000);
    world.assert_balanced();
}

#[test]
fn dead_members_are_forgotten_in_the_end() {
    let mut world = World::new(3);
    world.join_all(2);
    world.run(10_000);
    world.crash(1);
    world.run(60_000);
    let dead = Name::Member { of: RANGES, process: "m1".to_owned() };
    assert!(world.leases.contains_key(&dead));
    world.run(200_000);
    assert!(!world.leases.contains_key(&dead));
}

#[test]
fn a_quiet_group_writes_one_renewal_a_lease_every_few_seconds() {
    let mut world = World::new(3);
    world.join_all(3);
    world.run(60_000);
    world.writes = 0;
    world.run(100_000);
    // 16 ranges and 3 members, every 3.3 s.
    assert!((500..=600).contains(&world.writes), "{}", world.writes);
}

#[derive(Clone, Debug)]
enum Turn {
    Join,
    Leave(prop::sample::Index),
    Crash(prop::sample::Index),
}

fn turn() -> impl Strategy<Value = (Time, Turn)> {
    let turn = prop_oneof![
        3 => Just(Turn::Join),
        2 => any::<prop::sample::Index>().prop_map(Turn::Leave),
        2 => any::<prop::sample::Index>().prop_map(Turn::Crash),
    ];
    (0u64..40_000, turn)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn comings_and_goings_end_in_balance(
        seed in any::<u64>(), loss in 0u64..25, watch_works in any::<bool>(), turns in prop::collection::vec(turn(), 1..10)
    ) {
        let mut world = World::new(seed);
        world.watch_works = watch_works;
        world.loss = loss;
        world.join();
        for (pause, turn) in turns {
            world.run(pause);
            let active: Vec<usize> =
                (0..world.members.len()).filter(|index| world.members[*index].alive && !world.members[*index].leaving).collect();
            match turn {
                Turn::Join if active.len() < 6 => world.join_all(1),
                Turn::Leave(index) if active.len() > 1 => world.leave(active[index.index(active.len())]),
                Turn::Crash(index) if active.len() > 1 => world.crash(active[index.index(active.len())]),
                _ => {}
            }
        }
        world.loss = 0;
        world.run(150_000);
        world.assert_balanced();
        let over = world.members.iter().filter(|member| member.alive && member.leaving).all(|member| member.session.is_over());
        prop_assert!(over);
    }
}
