//! What a commit writes of a known set: the partitions that changed, or the records that changed in them. Pure.
//!
//! A commit that touches a few partitions writes those. One of many events touches nearly all of them, each in a few records: then the
//! changed records are written instead, all that changed since their partitions were written, in one blob of **recent** changes next to
//! them. When that would become too large the partitions are written. A generation says which of the two is newer.

use std::sync::{Arc, Weak};

use super::head::Place;
use crate::detect::known::{KnownSet, Packed, Partition};

/// Most partitions that a commit writes rather than the records that changed in them.
const MAX_PARTITIONS: usize = 4;
/// Most bytes of recent changes: those of 5,000 records.
const MAX_RECENT: usize = 120_000;

/// A known set as it was last read or written.
#[derive(Debug, Default)]
pub(super) struct WrittenSet {
    /// In the order of their prefixes.
    pub(super) parts: Vec<Written>,
    pub(super) recent: Option<Recent>,
}

/// One partition as it was last read or written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) place: Place,
    /// Itself, with the recent changes. Its address is another one as soon as it changes.
    pub(super) partition: Weak<Partition>,
}

/// Records that changed since their partitions were written.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    pub(super) generation: u64,
    /// Sorted.
    pub(super) ids: Arc<[u64]>,
}

/// What a commit writes of a set.
pub(super) struct NextSet<'a> {
    pub(super) written: WrittenSet,
    /// Partitions that are written as a whole.
    pub(super) new: Vec<&'a Partition>,
    /// Recent changes that are written.
    pub(super) recent_bytes: Option<Packed>,
}

/// Decides what a commit of this generation writes of a set, of which `before` was written.
pub(super) fn next<'a>(before: Option<&WrittenSet>, set: &'a KnownSet, generation: u64) -> NextSet<'a> {
    let none = WrittenSet::default();
    let before = before.unwrap_or(&none);
    let stands = with_what_stands(&before.parts, set);
    let is_clean = |part: &Arc<Partition>, old: &Written| std::ptr::eq(old.partition.as_ptr(), Arc::as_ptr(part));
    let dirty = stands.iter().filter(|(part, old)| !old.is_some_and(|old| is_clean(part, old))).count();
    let old_recent = before.recent.as_ref();
    // What is listed of a partition's changes, which is all when it was clean.
    let changes = |part: &'a Arc<Partition>, old: Option<&Written>| match old {
        Some(old) if is_clean(part, old) => Some(&[][..]),
        Some(old) => part.changed_since(&old.partition),
        None => None,
    };
    let (mut recent, mut recent_bytes) = (old_recent.cloned(), None);
    // All that is recent becomes too much: partitions that it touches are written, even those that did not change now.
    let mut is_flushed = false;
    if dirty > MAX_PARTITIONS {
        let mut ids = old_recent.map(|recent| recent.ids.to_vec()).unwrap_or_default();
        ids.extend(stands.iter().filter_map(|(part, old)| changes(part, *old)).flatten());
        ids.sort_unstable();
        ids.dedup();
        let packed = set.packed_ids(&ids);
        is_flushed = packed.bytes.len() > MAX_RECENT;
        let is_kept = !is_flushed && !packed.bytes.is_empty();
        recent = is_kept.then(|| Recent { generation, ids: ids.into() });
        recent_bytes = is_kept.then_some(packed);
    }
    let mut next =
        NextSet { written: WrittenSet { parts: Vec::with_capacity(stands.len()), recent }, new: Vec::new(), recent_bytes };
    for (part, old) in stands {
        let stays = old.filter(|old| match (is_clean(part, old), is_flushed) {
            (true, false) => true,
            // Its recent changes go.
            (true, true) => !old_recent.is_some_and(|recent| recent.generation > old.place.generation && recent.touches(part)),
            (false, _) => next.recent_bytes.is_some() && changes(part, Some(old)).is_some(),
        });
        let place = stays.map_or(Place { prefix: part.prefix(), generation }, |old| old.place);
        if stays.is_none() {
            next.new.push(part);
        }
        next.written.parts.push(Written { place, partition: Arc::downgrade(part) });
    }
    next
}

impl Recent {
    fn touches(&self, part: &Partition) -> bool {
        let prefix = part.prefix();
        let first = self.ids.partition_point(|id| *id < prefix.first());
        self.ids.get(first).is_some_and(|id| prefix.contains(*id))
    }
}

/// Each partition of a set with the one of its prefix that was written.
fn with_what_stands<'a, 'b>(mut before: &'b [Written], set: &'a KnownSet) -> Vec<(&'a Arc<Partition>, Option<&'b Written>)> {
    let with = |part: &'a Arc<Partition>| {
        while let [first, rest @ ..] = before
            && first.place.prefix.first() < part.prefix().first()
        {
            before = rest;
        }
        (part, before.first().filter(|old| old.place.prefix == part.prefix()))
    };
    set.parts().iter().map(with).collect()
}
