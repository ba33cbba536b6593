//! Events that wait to be published, in turn by namespace: one whose conditions flap takes no turn and no room of another. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What waits, by namespace. Takes no memory for namespaces that have nothing.
#[derive(Debug)]
pub(super) struct EventQueue<T> {
    most: usize,
    waiting: usize,
    by_namespace: HashMap<Arc<str>, VecDeque<T>>,
    /// Namespaces with something that waits, in the order of their turns.
    turns: VecDeque<Arc<str>>,
}

impl<T> EventQueue<T> {
    /// Room for `most` events in all.
    pub(super) fn new(most: usize) -> Self {
        Self { most, waiting: 0, by_namespace: HashMap::new(), turns: VecDeque::new() }
    }

    /// Takes one in. When there is no room, the newest of the namespace that has the most is dropped, which may be this one. Answers
    /// whether one was dropped.
    pub(super) fn push(&mut self, namespace: &Arc<str>, event: T) -> bool {
        let own = self.by_namespace.entry(Arc::clone(namespace)).or_default();
        if own.is_empty() {
            self.turns.push_back(Arc::clone(namespace));
        }
        own.push_back(event);
        self.waiting += 1;
        if self.waiting <= self.most {
            return false;
        }
        let longest = self.by_namespace.iter().max_by_key(|(_, events)| events.len()).map(|(name, _)| Arc::clone(name));
        if let Some(longest) = longest {
            self.take(&longest, VecDeque::pop_back);
        }
        true
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<T> {
        let namespace = self.turns.pop_front()?;
        self.turns.push_back(Arc::clone(&namespace));
        self.take(&namespace, VecDeque::pop_front)
    }

    fn take(&mut self, namespace: &Arc<str>, from: impl FnOnce(&mut VecDeque<T>) -> Option<T>) -> Option<T> {
        let events = self.by_namespace.get_mut(namespace)?;
        let taken = from(events)?;
        self.waiting -= 1;
        if events.is_empty() {
            self.by_namespace.remove(namespace);
            self.turns.retain(|waits| waits != namespace);
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> [Arc<str>; 3] {
        ["a".into(), "b".into(), "c".into()]
    }

    #[test]
    fn a_namespace_that_floods_loses_its_own_and_delays_no_other() {
        let [flood, other, _] = names();
        let mut queue = EventQueue::new(10);
        let dropped = (0..100).filter(|number| queue.push(&flood, *number)).count();
        assert_eq!(dropped, 90);
        assert!(queue.push(&other, 1_000), "one of the flood made room");
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(0), Some(1_000), Some(1)), "in turn, the oldest first");
    }

    proptest! {
        #[test]
        fn what_is_taken_in_comes_out_once_and_in_the_order_of_its_namespace(steps in proptest::collection::vec(0usize..5, 0..200)) {
            let (names, mut queue) = (names(), EventQueue::new(8));
            let (mut pushed, mut dropped, mut popped) = (0, 0, Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                match names.get(step) {
                    Some(name) => {
                        pushed += 1;
                        dropped += usize::from(queue.push(name, (step, number)));
                    }
                    None => popped.extend(queue.pop()),
                }
                prop_assert!(queue.waiting <= 8 && queue.waiting == queue.by_namespace.values().map(VecDeque::len).sum::<usize>());
            }
            popped.extend(std::iter::from_fn(|| queue.pop()));
            prop_assert_eq!(popped.len() + dropped, pushed);
            for name in 0..3 {
                prop_assert!(popped.iter().filter(|(of, _)| *of == name).is_sorted());
            }
            prop_assert!(queue.turns.is_empty() && queue.by_namespace.is_empty());
        }
    }
}
