//! When what could not be read is tried again: each object at most once, at the time that its last reading decided. Pure.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use tokio::time::Instant;

/// What is to be tried again. Takes memory only for that.
#[derive(Debug)]
pub(super) struct Retries<T> {
    at: HashMap<T, Instant>,
    by_time: BTreeSet<(Instant, T)>,
}

impl<T> Default for Retries<T> {
    fn default() -> Self {
        Self { at: HashMap::new(), by_time: BTreeSet::new() }
    }
}

impl<T: Clone + Eq + Hash + Ord> Retries<T> {
    /// The last reading of an object has ended: it is tried again then, or not by itself. What an earlier reading decided is forgotten.
    pub(super) fn set(&mut self, object: &T, at: Option<Instant>) {
        if let Some(before) = self.at.remove(object) {
            self.by_time.remove(&(before, object.clone()));
        }
        if let Some(at) = at {
            self.at.insert(object.clone(), at);
            self.by_time.insert((at, object.clone()));
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// One that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<T> {
        self.next().filter(|at| *at <= now)?;
        let (_, object) = self.by_time.pop_first()?;
        self.at.remove(&object);
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hundred_readings_leave_one_retry() {
        let (mut retries, start) = (Retries::default(), Instant::now());
        for touch in 0..100 {
            retries.set(&"it", Some(start + Duration::from_secs(touch)));
        }
        let end = start + Duration::from_mins(5);
        assert_eq!((retries.take_due(start), retries.next()), (None, Some(start + Duration::from_secs(99))));
        assert_eq!((retries.take_due(end), retries.take_due(end)), (Some("it"), None));
        retries.set(&"it", Some(start));
        retries.set(&"it", None);
        assert_eq!((retries.take_due(end), retries.at.len(), retries.by_time.len()), (None, 0, 0), "it was read");
    }

    proptest! {
        /// As a map from each object to the time that was set last.
        #[test]
        fn each_object_is_due_once_at_the_time_that_was_set_last(
            acts in proptest::collection::vec((0_u8..4, proptest::option::of(0_u64..50), 0_u64..20), 0..80),
        ) {
            let (mut retries, mut model, start) = (Retries::default(), BTreeMap::new(), Instant::now());
            let mut now = start;
            for (object, wait, passes) in acts {
                let at = wait.map(|wait| now + Duration::from_secs(wait));
                retries.set(&object, at);
                model.remove(&object);
                model.extend(at.map(|at| (object, at)));
                now += Duration::from_secs(passes);
                prop_assert_eq!(retries.next(), model.values().min().copied());
                let mut due: Vec<_> = std::iter::from_fn(|| retries.take_due(now)).collect();
                due.sort_unstable();
                let expected: Vec<_> = model.iter().filter(|(_, at)| **at <= now).map(|(object, _)| *object).collect();
                prop_assert_eq!(due, expected);
                model.retain(|_, at| *at > now);
                prop_assert_eq!((retries.at.len(), retries.by_time.len()), (model.len(), model.len()));
            }
        }
    }
}
