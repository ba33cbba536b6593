//! Which statuses are to be compared again with what was reported, because an object has a version that this process neither read nor
//! wrote: another writer may have removed conditions, and polls that find nothing new would never write them again. Pure.
//!
//! The pace of each instance is bounded, so that two controllers that disagree about a status cost one write each now and then.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::identity::InstanceRef;

/// The answer to an own write may come later than the watch's news of it.
const DELAY: Duration = Duration::from_secs(2);
/// The shortest time between two comparisons of one instance.
const APART: Duration = Duration::from_secs(30);

/// What waits to be compared. Takes memory only for instances that were changed lately.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// The version that was seen last, and when to compare.
    waiting: HashMap<InstanceRef, (u64, Instant)>,
    by_time: BTreeSet<(Instant, InstanceRef)>,
    /// When a status was last compared.
    last: HashMap<InstanceRef, Instant>,
}

impl Repairs {
    /// An object was seen in a version that is not known. `version`: a hash of it.
    pub(super) fn note(&mut self, instance: &InstanceRef, version: u64, now: Instant) {
        if let Some((seen, _)) = self.waiting.get_mut(instance) {
            *seen = version;
            return;
        }
        let earliest = self.last.get(instance).map_or(now, |last| *last + APART);
        let at = earliest.max(now + DELAY);
        self.waiting.insert(instance.clone(), (version, at));
        self.by_time.insert((at, instance.clone()));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// One that is due, with the version that was seen last. `known`: the version of an instance that this process read or wrote last;
    /// what it knows meanwhile needs no comparison.
    pub(super) fn take_due(&mut self, now: Instant, known: impl Fn(&InstanceRef) -> Option<u64>) -> Option<InstanceRef> {
        self.last.retain(|_, last| *last + APART > now);
        loop {
            if self.next()? > now {
                return None;
            }
            let (_, instance) = self.by_time.pop_first()?;
            let Some((version, _)) = self.waiting.remove(&instance) else { continue };
            // Without a known version no one runs it here.
            if known(&instance).is_some_and(|known| known != version) {
                self.last.insert(instance.clone(), now);
                return Some(instance);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> InstanceRef {
        InstanceRef::new("crm", name)
    }

    #[test]
    fn a_foreign_version_is_compared_once_and_an_own_one_never() {
        let (mut repairs, start) = (Repairs::default(), Instant::now());
        repairs.note(&key("foreign"), 7, start);
        repairs.note(&key("own"), 8, start);
        repairs.note(&key("elsewhere"), 9, start);
        let known = |instance: &InstanceRef| (*instance.name != *"elsewhere").then_some(8);
        assert_eq!(repairs.take_due(start, known), None, "an answer may be on its way");
        let due = repairs.next().unwrap();
        assert_eq!(repairs.take_due(due, known), Some(key("foreign")));
        assert_eq!((repairs.take_due(due, known), repairs.next()), (None, None));
    }

    #[test]
    fn two_that_disagree_take_turns_at_a_bounded_pace() {
        let (mut repairs, start) = (Repairs::default(), Instant::now());
        let mut compared = 0;
        for second in 0..300 {
            let now = start + Duration::from_secs(second);
            // The other one writes each second, whatever is done here.
            repairs.note(&key("it"), second, now);
            compared += usize::from(repairs.take_due(now, |_| Some(u64::MAX)).is_some());
        }
        assert_eq!(compared, 10, "in five minutes");
        assert!(repairs.last.len() <= 1 && repairs.waiting.len() <= 1);
        let later = start + Duration::from_secs(1000);
        while repairs.take_due(later, |_| Some(u64::MAX)).is_some() {}
        repairs.take_due(later + APART, |_| None);
        assert!(repairs.last.is_empty() && repairs.by_time.is_empty(), "nothing is kept");
    }
}
