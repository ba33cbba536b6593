//! Which bodies fit into the memory for bodies, and which of those that wait is next. Pure.
//!
//! A body whose length is announced reserves it before it is read; another one reserves more in steps as it grows, and may have to wait
//! while it holds something. That cannot end in a deadlock, because part of the memory is the **lifeline**: as much as the largest body may
//! take, for one body at a time. Where nothing that waits fits, the next one gets it. It then never waits again, so it is read to its end
//! or its deadline, and its holder needs no further memory in order to let go: a listing that gathers pages asks for another one only while
//! no other body waits ([`Ledger::has_room`]).
//!
//! The memory outside the lifeline is shared fairly: small bodies have an eighth for themselves, and a namespace may hold up to twice what
//! is free. Next is who fits, the namespace that holds least, then the instance that does, then the one that came first.
//!
//! Events in retry queues are held for days, so they may take at most a quarter of the memory outside the lifeline, shared by the same rule. What
//! does not fit stays with the provider. Queues that were stored are taken over whatever room there is.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use crate::api::identity::InstanceRef;

/// Bytes of the largest body.
pub const LARGEST: usize = 32 * 1024 * 1024;
/// Up to this many bytes, a body is small.
const SMALL: usize = 1024 * 1024;
/// A namespace may hold this many times what is free.
const SHARE: usize = 2;
/// Retry queues may take this part of the memory outside the lifeline.
const QUEUES: usize = 4;

/// One body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyId(u64);

/// Bytes that bodies hold and want. Takes no memory for those that are gone.
#[derive(Debug)]
pub struct Ledger {
    /// What all bodies but that on the lifeline may hold.
    pool: usize,
    last: u64,
    bodies: BTreeMap<BodyId, Body>,
    lifeline: Option<BodyId>,
    waiting: usize,
    used: usize,
    by_namespace: HashMap<Arc<str>, usize>,
    by_instance: HashMap<InstanceRef, usize>,
    queues: Queues,
}

/// What retry queues hold.
#[derive(Debug, Default)]
struct Queues {
    held: usize,
    by_namespace: HashMap<Arc<str>, usize>,
    by_instance: HashMap<InstanceRef, usize>,
}

#[derive(Debug)]
struct Body {
    instance: InstanceRef,
    held: usize,
    /// More than `held` while it waits.
    wanted: usize,
}

impl Ledger {
    /// Room for `limit` bytes, the lifeline included. Less than twice [`LARGEST`] counts as that.
    pub fn new(limit: usize) -> Self {
        Self {
            pool: limit.max(2 * LARGEST) - LARGEST,
            last: 0,
            bodies: BTreeMap::new(),
            lifeline: None,
            waiting: 0,
            used: 0,
            by_namespace: HashMap::new(),
            by_instance: HashMap::new(),
            queues: Queues::default(),
        }
    }

    /// A body of an instance that holds nothing yet.
    pub fn open(&mut self, instance: &InstanceRef) -> BodyId {
        self.last += 1;
        let id = BodyId(self.last);
        self.bodies.insert(id, Body { instance: instance.clone(), held: 0, wanted: 0 });
        id
    }

    /// A body is to hold `bytes`; at most [`LARGEST`] are counted. It waits from now on, unless it holds them already.
    pub fn want(&mut self, id: BodyId, bytes: usize) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        let waited = body.wanted > body.held;
        body.wanted = body.wanted.max(bytes.min(LARGEST));
        if body.wanted > body.held && !waited {
            self.waiting += 1;
        }
    }

    /// Whether it wants more than it holds.
    pub fn waits(&self, id: BodyId) -> bool {
        self.bodies.get(&id).is_some_and(|body| body.wanted > body.held)
    }

    /// A body is complete and has this number of bytes: it gives back what it holds beyond them, and waits for nothing.
    pub fn settle(&mut self, id: BodyId, bytes: usize) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        self.waiting -= usize::from(body.wanted > body.held);
        let left = body.held.saturating_sub(bytes);
        body.held -= left;
        body.wanted = body.held;
        if self.lifeline != Some(id) {
            let instance = body.instance.clone();
            self.give_back(&instance, left);
        }
    }

    /// A body is gone.
    pub fn close(&mut self, id: BodyId) {
        self.settle(id, 0);
        if self.lifeline == Some(id) {
            self.lifeline = None;
        }
        self.bodies.remove(&id);
    }

    /// Gives the next body that waits what it wants. To be called after every change until it gives none.
    pub fn grant_next(&mut self) -> Option<BodyId> {
        self.free_lifeline();
        if self.waiting == 0 {
            return None;
        }
        let (id, rank) = self.first_waiting()?;
        match rank.fits {
            Fits::Lifeline => self.put_on_lifeline(id),
            Fits::Pool => {}
        }
        let body = self.bodies.get_mut(&id)?;
        let more = body.wanted - body.held;
        body.held = body.wanted;
        self.waiting -= 1;
        if self.lifeline != Some(id) {
            let instance = body.instance.clone();
            self.take(&instance, more);
        }
        Some(id)
    }

    /// Retry queues of an instance held `before` bytes, and hold `bytes` from now on.
    pub fn hold_queued(&mut self, instance: &InstanceRef, before: usize, bytes: usize) {
        let queues = &mut self.queues;
        take_off(&mut queues.by_namespace, &instance.namespace, before);
        take_off(&mut queues.by_instance, instance, before);
        queues.held = queues.held - before + bytes;
        if bytes > 0 {
            *queues.by_namespace.entry(Arc::clone(&instance.namespace)).or_default() += bytes;
            *queues.by_instance.entry(instance.clone()).or_default() += bytes;
        }
    }

    /// The bytes that the retry queues of an instance may hold, at least what they hold: a namespace may hold up to twice what is left.
    pub fn room_of_queues(&self, instance: &InstanceRef) -> usize {
        let free = (self.pool / QUEUES).saturating_sub(self.queues.held);
        let of_namespace = count(&self.queues.by_namespace, &instance.namespace);
        count(&self.queues.by_instance, instance) + (free * SHARE).saturating_sub(of_namespace) / (SHARE + 1)
    }

    /// Whether one that already holds pages may read another one, only so as to have more of them together.
    pub fn has_room(&self) -> bool {
        self.waiting == 0 && self.free() >= self.pool / 4
    }

    /// Bytes that are held in all.
    pub fn held(&self) -> usize {
        self.used + self.lifeline.and_then(|id| self.bodies.get(&id)).map_or(0, |body| body.held)
    }

    fn first_waiting(&self) -> Option<(BodyId, Rank)> {
        let waiting = self.bodies.iter().filter(|(_, body)| body.wanted > body.held);
        waiting.filter_map(|(id, body)| Some((*id, self.rank(*id, body)?))).min_by_key(|(_, rank)| *rank)
    }

    /// How soon it is a body's turn; `None` while it does not fit at all.
    fn rank(&self, id: BodyId, body: &Body) -> Option<Rank> {
        let fits = if self.lifeline == Some(id) || self.fits(body, body.wanted - body.held) {
            Fits::Pool
        } else if self.lifeline.is_none() {
            Fits::Lifeline
        } else {
            return None;
        };
        let namespace = count(&self.by_namespace, &body.instance.namespace);
        let instance = count(&self.by_instance, &body.instance);
        Some(Rank { fits, namespace, instance, id })
    }

    fn fits(&self, body: &Body, more: usize) -> bool {
        let left = if body.wanted > SMALL { self.pool / 8 } else { 0 };
        let room = self.free().saturating_sub(left);
        let own = count(&self.by_namespace, &body.instance.namespace);
        more <= room && own < room.saturating_mul(SHARE)
    }

    /// What neither bodies nor retry queues hold, the lifeline aside. Queues that were taken over may exceed it.
    fn free(&self) -> usize {
        self.pool.saturating_sub(self.used + self.queues.held)
    }

    /// What it holds counts no more among the others, for the lifeline has room for all of it.
    fn put_on_lifeline(&mut self, id: BodyId) {
        if let Some(Body { instance, held, .. }) = self.bodies.get(&id) {
            let (instance, held) = (instance.clone(), *held);
            self.give_back(&instance, held);
            self.lifeline = Some(id);
        }
    }

    /// A body that needs the lifeline no more, because what it holds fits elsewhere by now, leaves it to others.
    fn free_lifeline(&mut self) {
        let Some(body) = self.lifeline.and_then(|id| self.bodies.get(&id)) else { return };
        let held = body.held;
        if body.wanted == held && self.waiting > 0 && self.fits(body, held) {
            let instance = body.instance.clone();
            self.lifeline = None;
            self.take(&instance, held);
        }
    }

    fn take(&mut self, instance: &InstanceRef, bytes: usize) {
        if bytes > 0 {
            self.used += bytes;
            *self.by_namespace.entry(Arc::clone(&instance.namespace)).or_default() += bytes;
            *self.by_instance.entry(instance.clone()).or_default() += bytes;
        }
    }

    fn give_back(&mut self, instance: &InstanceRef, bytes: usize) {
        if bytes > 0 {
            self.used -= bytes;
            take_off(&mut self.by_namespace, &instance.namespace, bytes);
            take_off(&mut self.by_instance, instance, bytes);
        }
    }
}

/// The order in which bodies that wait get what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    fits: Fits,
    namespace: usize,
    instance: usize,
    id: BodyId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fits {
    Pool,
    Lifeline,
}

fn count<K: Eq + Hash>(sums: &HashMap<K, usize>, key: &K) -> usize {
    sums.get(key).copied().unwrap_or_default()
}

fn take_off<K: Eq + Hash>(sums: &mut HashMap<K, usize>, key: &K, bytes: usize) {
    if let Some(sum) = sums.get_mut(key) {
        *sum -= bytes;
        if *sum == 0 {
            sums.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1024 * 1024;

    fn of(namespace: usize) -> InstanceRef {
        InstanceRef::new(format!("n{namespace}"), "i")
    }

    fn ask(ledger: &mut Ledger, namespace: usize, bytes: usize) -> BodyId {
        let id = ledger.open(&of(namespace));
        ledger.want(id, bytes);
        id
    }

    fn grant_all(ledger: &mut Ledger) -> Vec<BodyId> {
        std::iter::from_fn(|| ledger.grant_next()).collect()
    }

    #[test]
    fn forty_large_bodies_are_held_a_few_at_a_time_and_small_ones_never_wait_for_them() {
        let mut ledger = Ledger::new(128 * MIB);
        let mut left: Vec<_> = (0..40).map(|namespace| ask(&mut ledger, namespace, 29 * MIB)).collect();
        while !left.is_empty() {
            let granted = grant_all(&mut ledger);
            assert!(ledger.held() <= 128 * MIB);
            let small: Vec<_> = (100..110).map(|namespace| ask(&mut ledger, namespace, MIB)).collect();
            assert_eq!(grant_all(&mut ledger), small);
            for id in small {
                ledger.close(id);
            }
            let done = *left.iter().find(|id| ledger.bodies[id].held > 0).unwrap_or_else(|| panic!("{granted:?}"));
            ledger.close(done);
            left.retain(|id| *id != done);
        }
        assert!(grant_all(&mut ledger).is_empty());
        assert_eq!((ledger.held(), ledger.bodies.len(), ledger.by_instance.len()), (0, 0, 0));
    }

    /// Fills the queue of an instance, as far as it may, by events of this many bytes.
    fn fill(ledger: &mut Ledger, instance: &InstanceRef, event: usize) -> usize {
        let mut held = 0;
        while held + event <= ledger.room_of_queues(instance).min(MIB / 2) {
            ledger.hold_queued(instance, held, held + event);
            held += event;
        }
        held
    }

    #[test]
    fn a_thousand_full_retry_queues_take_a_quarter_and_leave_room_to_another_namespace() {
        let mut ledger = Ledger::new(128 * MIB);
        let greedy: Vec<_> = (0..1_000).map(|name| InstanceRef::new("greedy", format!("i{name}"))).collect();
        let taken: usize = greedy.iter().map(|instance| fill(&mut ledger, instance, 1024)).sum();
        assert!((15 * MIB..=16 * MIB).contains(&taken), "two thirds of 24 MiB: {taken}");
        for namespace in 0..8 {
            assert_eq!(fill(&mut ledger, &of(namespace), 1024), MIB / 2, "{namespace}");
        }
        assert!(ledger.queues.held <= 24 * MIB);
        // Pages still have what is left, and all is given back.
        let page = ask(&mut ledger, 9, 32 * MIB);
        assert_eq!(grant_all(&mut ledger), [page]);
        assert_eq!(ledger.lifeline, None);
        for instance in greedy.iter().cloned().chain((0..8).map(of)) {
            let held = count(&ledger.queues.by_instance, &instance);
            ledger.hold_queued(&instance, held, 0);
        }
        assert_eq!((ledger.queues.held, ledger.queues.by_instance.len(), ledger.queues.by_namespace.len()), (0, 0, 0));
    }

    #[test]
    fn queues_that_were_stored_are_taken_over_and_may_only_shrink_while_there_is_no_room() {
        let mut ledger = Ledger::new(64 * MIB);
        let stored: Vec<_> = (0..100).map(|name| InstanceRef::new("n0", format!("i{name}"))).collect();
        for instance in &stored {
            ledger.hold_queued(instance, 0, MIB / 2);
        }
        assert_eq!(ledger.room_of_queues(&stored[0]), MIB / 2, "what it has, and no more");
        assert_eq!(ledger.room_of_queues(&of(1)), 0);
        // A page is read all the same, on the lifeline.
        let page = ask(&mut ledger, 2, MIB);
        assert_eq!((grant_all(&mut ledger), ledger.lifeline), (vec![page], Some(page)));
        ledger.hold_queued(&stored[0], MIB / 2, 100);
        assert_eq!(ledger.room_of_queues(&stored[0]), 100);
    }

    #[test]
    fn bodies_that_grow_in_steps_all_come_to_their_end() {
        let mut ledger = Ledger::new(64 * MIB);
        let mut growing: BTreeMap<_, _> = (0..40).map(|i| (ask(&mut ledger, i % 3, MIB), MIB)).collect();
        while !growing.is_empty() {
            let granted = grant_all(&mut ledger);
            assert!(!granted.is_empty(), "all wait: {ledger:?}");
            for id in granted {
                let size = growing.get_mut(&id).expect("it grows");
                if *size == LARGEST {
                    ledger.close(id);
                    growing.remove(&id);
                } else {
                    *size += MIB;
                    ledger.want(id, *size);
                }
                assert!(ledger.held() <= 64 * MIB);
            }
        }
    }

    #[test]
    fn a_namespace_leaves_room_to_others_and_the_one_that_holds_least_is_next() {
        let mut ledger = Ledger::new(128 * MIB);
        (0..2_000).for_each(|_| {
            ask(&mut ledger, 0, MIB / 2);
        });
        grant_all(&mut ledger);
        // Without the one on the lifeline.
        assert!((60 * MIB..70 * MIB).contains(&ledger.used), "{}", ledger.used);
        let other = ask(&mut ledger, 1, 8 * MIB);
        assert_eq!(grant_all(&mut ledger), [other]);
    }

    #[test]
    fn who_gathers_stops_while_anyone_waits_or_little_is_left() {
        let mut ledger = Ledger::new(64 * MIB);
        assert!(ledger.has_room());
        let first = ask(&mut ledger, 0, 26 * MIB);
        grant_all(&mut ledger);
        assert!(!ledger.has_room());
        ledger.close(first);
        assert!(ledger.has_room());
    }

    proptest! {
        /// Whatever is asked for, grows, ends or is given up: the limit holds, no sum is wrong, and every waiting body is served as soon as
        /// the others let go.
        #[test]
        fn the_limit_holds_and_nobody_waits_in_vain(steps in proptest::collection::vec((0usize..4, 0usize..3, 0usize..40, 0usize..64), 1..150)) {
            let mut ledger = Ledger::new(64 * MIB);
            let mut open = Vec::new();
            for (action, namespace, size, pick) in steps {
                let picked = (!open.is_empty()).then(|| pick % open.len());
                match (action, picked) {
                    (0, Some(index)) => ledger.close(open.swap_remove(index)),
                    (1, Some(index)) => ledger.settle(open[index], size * MIB),
                    (2, Some(index)) => ledger.want(open[index], size * MIB),
                    _ => open.push(ask(&mut ledger, namespace, size * MIB)),
                }
                grant_all(&mut ledger);
                prop_assert!(ledger.held() <= 64 * MIB);
                let pooled: usize = ledger.bodies.iter().filter(|(id, _)| ledger.lifeline != Some(**id)).map(|(_, body)| body.held).sum();
                prop_assert_eq!(ledger.used, pooled);
                prop_assert_eq!(ledger.by_namespace.values().sum::<usize>(), pooled);
                prop_assert_eq!(ledger.waiting, ledger.bodies.values().filter(|body| body.wanted > body.held).count());
                // One goes on, so that none waits for ever.
                let goes_on = ledger.lifeline.is_some_and(|id| ledger.bodies[&id].wanted == ledger.bodies[&id].held);
                prop_assert!(ledger.waiting == 0 || goes_on);
            }
            while !open.is_empty() {
                let done = open.iter().position(|id| ledger.bodies[id].wanted == ledger.bodies[id].held);
                ledger.close(open.swap_remove(done.expect("someone goes on")));
                grant_all(&mut ledger);
            }
            prop_assert_eq!((ledger.held(), ledger.waiting, ledger.by_namespace.len()), (0, 0, 0));
        }
    }
}
