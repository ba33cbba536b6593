//! Who has used how much CPU time lately, who of those that wait for a turn is next, and how long one that used too much waits. Pure.
//!
//! What was used is forgotten exponentially: after [`MEMORY`] a third of it is left. Divided by [`MEMORY`] it is a rate, in cores.
//!
//! Turns go to the namespace that used least, then to the instance that did. While all together use less than half of the machine, which is
//! what turns can take, instances wait for nothing but a turn. Above it, that half is shared out: equal parts for namespaces, and in them
//! for their instances, where what one does not need goes to the others. An instance that is over its fair share begins nothing new until
//! its rate has come down to it. One that is alone has no share to keep to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::identity::InstanceRef;

/// How long what was used is remembered.
pub const MEMORY: Duration = Duration::from_secs(10);
/// The part of the machine that is shared out; the rest is for everything else.
const SHARED_OUT: f64 = 0.5;
/// No single wait is longer.
const LONGEST: Duration = Duration::from_mins(1);
/// The part of its time for which an instance has waited for turns that is worth reporting.
const DELAYED: f64 = 0.2;
/// A rate below it is as none, in cores.
const NOTHING: f64 = 0.000_1;
/// Instances that are remembered before the idle ones are looked for.
const SWEEP: usize = 256;

/// One that waits for a turn or has one. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// An instance used more CPU time than its fair share, and others want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverShare {
    /// How long until it may begin something new, if nothing changes.
    pub wait: Duration,
    /// What it uses, in percent of a core.
    pub used: u32,
    /// What it may use, in percent of a core.
    pub share: u32,
}

/// Turns and usage.
#[derive(Debug)]
pub struct Shares {
    cores: f64,
    /// Turns at once.
    turns: usize,
    taken: usize,
    last: u64,
    waiting: BTreeMap<Ticket, InstanceRef>,
    usage: HashMap<Arc<str>, HashMap<InstanceRef, Used>>,
    /// Number of entries at which the idle ones are dropped.
    sweep_at: usize,
    instances: usize,
}

/// Seconds of CPU time that were used, and seconds for which turns were waited for, as of a time.
#[derive(Clone, Copy, Debug)]
struct Used {
    seconds: f64,
    waited: f64,
    at: Instant,
}

impl Used {
    /// In cores.
    fn rate(self, now: Instant) -> f64 {
        self.seconds * self.left(now) / MEMORY.as_secs_f64()
    }

    /// The part of the time for which turns were waited for, by all its jobs together.
    fn waiting(self, now: Instant) -> f64 {
        self.waited * self.left(now) / MEMORY.as_secs_f64()
    }

    fn left(self, now: Instant) -> f64 {
        (-now.saturating_duration_since(self.at).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

impl Shares {
    /// Of a machine with this number of cores. Half of them may take turns at once.
    pub fn new(cores: usize) -> Self {
        #[allow(clippy::cast_precision_loss)] // no machine has 2^52 cores
        let all = cores.max(1) as f64;
        let turns = (cores / 2).max(1);
        Self {
            cores: all,
            turns,
            taken: 0,
            last: 0,
            waiting: BTreeMap::new(),
            usage: HashMap::new(),
            sweep_at: SWEEP,
            instances: 0,
        }
    }

    /// An instance has used this time.
    pub fn note(&mut self, instance: &InstanceRef, spent: Duration, now: Instant) {
        self.add(instance, (spent, Duration::ZERO), now);
    }

    /// An instance has waited this long for a turn.
    pub fn note_wait(&mut self, instance: &InstanceRef, waited: Duration, now: Instant) {
        self.add(instance, (Duration::ZERO, waited), now);
    }

    fn add(&mut self, instance: &InstanceRef, (spent, waited): (Duration, Duration), now: Instant) {
        let (spent, waited) = (spent.as_secs_f64(), waited.as_secs_f64());
        if let Some(used) = self.usage.get_mut(&instance.namespace).and_then(|own| own.get_mut(instance)) {
            let left = used.left(now);
            *used = Used { seconds: used.seconds * left + spent, waited: used.waited * left + waited, at: now };
            return;
        }
        if self.instances >= self.sweep_at {
            self.sweep(now);
        }
        let used = Used { seconds: spent, waited, at: now };
        self.usage.entry(Arc::clone(&instance.namespace)).or_default().insert(instance.clone(), used);
        self.instances += 1;
    }

    /// An instance wants a turn: from now on it waits.
    pub fn ask(&mut self, instance: &InstanceRef) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.waiting.insert(ticket, instance.clone());
        ticket
    }

    /// Gives the next one its turn, if there is one. To be called until it gives none.
    pub fn grant_next(&mut self, now: Instant) -> Option<Ticket> {
        if self.taken >= self.turns || self.waiting.is_empty() {
            return None;
        }
        let next = if self.waiting.len() == 1 { self.waiting.keys().next().copied() } else { self.least_used(now) };
        self.waiting.remove(&next?);
        self.taken += 1;
        next
    }

    /// Gives a turn back, or waits no more. Others may be next now.
    pub fn leave(&mut self, ticket: Ticket) {
        if self.waiting.remove(&ticket).is_none() {
            self.taken = self.taken.saturating_sub(1);
        }
    }

    /// Whether an instance is to begin nothing new for a while.
    pub fn over_share(&self, instance: &InstanceRef, now: Instant) -> Option<OverShare> {
        let used = self.rate_of(instance, now);
        if used < NOTHING || self.instances < 2 {
            return None;
        }
        let all = self.usage.values().map(|own| total(own, now)).sum::<f64>();
        if all - used < NOTHING || all <= self.cores * SHARED_OUT {
            return None;
        }
        let share = self.share(instance, self.cores * SHARED_OUT, now);
        if used <= share * 1.01 {
            return None;
        }
        let wait = MEMORY.mul_f64((used / share).ln()).min(LONGEST);
        Some(OverShare { wait, used: percent(used), share: percent(share) })
    }

    /// Whether an instance has lately spent much of its time on waiting for turns. There is nothing more that it should wait for.
    pub fn delayed(&self, instance: &InstanceRef, now: Instant) -> Option<OverShare> {
        let used = self.usage.get(&instance.namespace)?.get(instance)?;
        if used.waiting(now) < DELAYED {
            return None;
        }
        let all = self.usage.values().map(|own| total(own, now)).sum::<f64>();
        // A little less than what all get, for they want more.
        let share = self.share(instance, (all * 0.999).min(self.cores * SHARED_OUT), now);
        Some(OverShare { wait: Duration::ZERO, used: percent(used.rate(now)), share: percent(share) })
    }

    /// What an instance may have of a whole, in cores.
    fn share(&self, instance: &InstanceRef, whole: f64, now: Instant) -> f64 {
        let of_namespace = level(self.usage.values().map(|own| total(own, now)).collect(), whole);
        let own = self.usage.get(&instance.namespace);
        let wants: Vec<f64> = own.map(|own| own.values().map(|used| used.rate(now)).collect()).unwrap_or_default();
        let namespace = wants.iter().sum::<f64>();
        level(wants, of_namespace.min(namespace)).max(NOTHING)
    }

    fn least_used(&self, now: Instant) -> Option<Ticket> {
        let mut namespaces: HashMap<&Arc<str>, f64> = HashMap::new();
        let ranked = self.waiting.iter().map(|(ticket, instance)| {
            let of_namespace = namespaces.entry(&instance.namespace);
            let namespace =
                *of_namespace.or_insert_with(|| self.usage.get(&instance.namespace).map_or(0.0, |own| total(own, now)));
            (namespace, self.rate_of(instance, now), *ticket)
        });
        let least = ranked.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        least.map(|(_, _, ticket)| ticket)
    }

    pub(super) fn rate_of(&self, instance: &InstanceRef, now: Instant) -> f64 {
        self.usage.get(&instance.namespace).and_then(|own| own.get(instance)).map_or(0.0, |used| used.rate(now))
    }

    fn sweep(&mut self, now: Instant) {
        for own in self.usage.values_mut() {
            own.retain(|_, used| used.rate(now) >= NOTHING || used.waiting(now) >= NOTHING);
        }
        self.usage.retain(|_, own| !own.is_empty());
        self.instances = self.usage.values().map(HashMap::len).sum();
        self.sweep_at = (self.instances * 2).max(SWEEP);
    }
}

fn total(own: &HashMap<InstanceRef, Used>, now: Instant) -> f64 {
    own.values().map(|used| used.rate(now)).sum()
}

/// The most that one may have if `whole` is shared out equally, and what some do not need goes to the others.
fn level(mut wants: Vec<f64>, whole: f64) -> f64 {
    wants.sort_by(f64::total_cmp);
    let (mut left, mut level) = (whole, whole);
    for (index, want) in wants.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)] // fewer than 2^52
        let others = (wants.len() - index) as f64;
        level = left / others;
        if *want > level {
            break;
        }
        left -= want;
        level = whole;
    }
    level
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some thousands at most, and never negative
fn percent(cores: f64) -> u32 {
    (cores * 100.0).round() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(namespace: usize, name: usize) -> InstanceRef {
        InstanceRef::new(format!("n{namespace}"), format!("i{name}"))
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// Uses that much of every second, for a minute.
    fn use_for_a_minute(shares: &mut Shares, users: &[(InstanceRef, f64)], from: Instant) -> Instant {
        (0..60).fold(from, |now, _| {
            for (instance, cores) in users {
                shares.note(instance, SECOND.mul_f64(*cores), now);
            }
            now + SECOND
        })
    }

    #[test]
    fn what_is_left_over_goes_to_those_who_need_it() {
        assert!((level(vec![1.0, 1.0], 1.0) - 0.5).abs() < 1e-9);
        assert!((level(vec![0.1, 1.0, 1.0], 1.0) - 0.45).abs() < 1e-9);
        assert!(level(vec![0.1, 0.2], 1.0) >= 1.0 - 1e-9, "no instance needs more");
    }

    #[test]
    fn nobody_waits_while_there_is_time_or_nobody_else() {
        let mut shares = Shares::new(2);
        let now = use_for_a_minute(&mut shares, &[(of(0, 0), 1.9)], Instant::now());
        assert_eq!(shares.over_share(&of(0, 0), now), None, "alone");
        let now = use_for_a_minute(&mut shares, &[(of(0, 0), 0.5), (of(1, 0), 0.4)], now);
        assert_eq!(shares.over_share(&of(0, 0), now), None, "there is time");
    }

    #[test]
    fn whoever_is_over_its_share_waits_in_proportion_and_the_others_do_not() {
        let mut shares = Shares::new(2);
        let users = [(of(0, 0), 0.2), (of(0, 1), 0.8), (of(0, 2), 0.6), (of(1, 0), 0.1)];
        let now = use_for_a_minute(&mut shares, &users, Instant::now());
        // Of one core, one namespace needs a tenth; what is left is for the three of the other one.
        let wait = |name| shares.over_share(&of(0, name), now).map(|over| over.wait);
        assert_eq!(wait(0), None);
        assert_eq!(shares.over_share(&of(1, 0), now), None);
        let (much, less) = (wait(1).unwrap(), wait(2).unwrap());
        assert!(much > less && less > Duration::ZERO && much < MEMORY, "{much:?} {less:?}");
        let later = now + much;
        assert!(shares.over_share(&of(0, 1), later).is_none(), "it waited");
    }

    #[test]
    fn a_namespace_with_many_instances_gets_no_more_than_one_with_few() {
        let mut shares = Shares::new(2);
        let mut users: Vec<_> = (0..100).map(|name| (of(0, name), 0.02)).collect();
        users.push((of(1, 0), 0.4));
        let now = use_for_a_minute(&mut shares, &users, Instant::now());
        assert_eq!(shares.over_share(&of(1, 0), now), None);
        let over = shares.over_share(&of(0, 50), now).expect("a hundred of them are over");
        assert!(over.wait > Duration::ZERO && over.used >= over.share);
    }

    #[test]
    fn turns_go_to_whoever_used_least() {
        let mut shares = Shares::new(2);
        let now = Instant::now();
        shares.note(&of(0, 0), SECOND, now);
        let running = shares.ask(&of(0, 0));
        assert_eq!(shares.grant_next(now), Some(running));
        let heavy: Vec<_> = (0..50).map(|_| shares.ask(&of(0, 0))).collect();
        let neighbour = shares.ask(&of(0, 1));
        let other = shares.ask(&of(1, 0));
        assert_eq!(shares.grant_next(now), None, "one turn of two cores");
        shares.leave(running);
        assert_eq!(shares.grant_next(now), Some(other));
        shares.leave(other);
        assert_eq!(shares.grant_next(now), Some(neighbour));
        shares.leave(heavy[0]);
        shares.leave(neighbour);
        assert_eq!(shares.grant_next(now), Some(heavy[1]), "in their order, without the one that gave up");
    }

    #[test]
    fn long_waits_for_turns_are_told() {
        let (mut shares, now) = (Shares::new(2), Instant::now());
        for name in 0..4 {
            shares.note(&of(0, name), SECOND, now);
        }
        shares.note_wait(&of(0, 0), SECOND, now);
        shares.note_wait(&of(0, 1), SECOND * 3, now);
        assert_eq!(shares.delayed(&of(0, 0), now), None, "a second of ten");
        assert_eq!(shares.delayed(&of(0, 1), now), Some(OverShare { wait: Duration::ZERO, used: 10, share: 10 }));
        assert_eq!(shares.delayed(&of(0, 1), now + MEMORY), None, "it is over");
    }

    #[test]
    fn those_that_use_nothing_are_forgotten() {
        let (mut shares, mut now) = (Shares::new(2), Instant::now());
        for name in 0..10_000 {
            shares.note(&of(name % 7, name), Duration::from_millis(2), now);
            now += SECOND;
            assert!(shares.instances <= SWEEP + 1);
        }
    }

    proptest! {
        /// Whatever is used, the shares of all are no more than what is shared out, and an instance below its fair share does not wait.
        #[test]
        fn shares_add_up(wants in proptest::collection::vec((0usize..4, 0.0f64..2.0), 2..20)) {
            let mut shares = Shares::new(4);
            let users: Vec<_> = wants.iter().enumerate().map(|(name, (namespace, cores))| (of(*namespace, name), *cores)).collect();
            let now = use_for_a_minute(&mut shares, &users, Instant::now());
            let rates: Vec<_> = users.iter().map(|(instance, _)| shares.rate_of(instance, now)).collect();
            let over: Vec<_> = users.iter().map(|(instance, _)| shares.over_share(instance, now)).collect();
            if rates.iter().sum::<f64>() <= 2.0 {
                prop_assert!(over.iter().all(Option::is_none));
            } else {
                // a hundredth over its fair share, none waits yet
                let is_clear = rates.iter().sum::<f64>() > 2.0 * 1.02;
                let is_alone = rates.iter().filter(|rate| **rate > NOTHING).count() < 2;
                prop_assert!(!is_clear || is_alone || over.iter().any(Option::is_some));
                let kept = rates.iter().zip(&over).map(|(rate, over)| {
                    over.map_or(*rate, |over| rate * (-over.wait.as_secs_f64() / MEMORY.as_secs_f64()).exp())
                });
                prop_assert!(kept.sum::<f64>() <= 2.0 * 1.05, "{:?}", over);
            }
        }
    }
}
