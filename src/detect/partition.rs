//! One partition of a known set: the records whose id hash begins with the same bits.
//!
//! Snapshots of a set share its partitions. One that changes while it is shared, or while a store remembers it, moves to another
//! address: so a store sees by the pointer alone what is clean, and a commit copies and encodes nothing else.

use std::sync::Weak;

use super::details::{Detailed, DetailsStore, DetailsView};
use super::packed::{Entry, Form, PACKED, Packed, Unpacked};
use super::table::Table;

/// Records at which a partition splits. Large enough that the names of a million records' partitions are less than one of them; small
/// enough that one change rewrites 24 KiB.
pub const SPLIT_AT: usize = 1024;
/// Packed bytes at which a partition whose records have details splits: half of the most that one blob may have.
pub const SPLIT_AT_BYTES: usize = 64 * 1024;
/// Changes of a partition that are listed; after more of them it is written as a whole.
const MAX_CHANGES: usize = 128;
/// The most leading bits that distinguish partitions. A million records need ten or eleven; hashes that an attacker chose to be alike make
/// a partition large instead of the index.
pub const MAX_BITS: u8 = 12;

/// What is dated before is forgotten, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Horizons {
    pub(super) living: i64,
    pub(super) tombstones: i64,
}

impl Horizons {
    fn keep(self, entry: Entry) -> bool {
        entry.date() >= if entry.is_tombstone() { self.tombstones } else { self.living }
    }

    fn latest(self) -> i64 {
        self.living.max(self.tombstones)
    }
}

/// Leading bits of an id hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bits: u8,
    value: u64,
}

impl Prefix {
    /// Every id.
    pub const ALL: Self = Self { bits: 0, value: 0 };

    /// The ids whose leading `bits` are `value`; `None` when there are none.
    pub fn new(bits: u8, value: u64) -> Option<Self> {
        (bits < 64 && value >> bits == 0).then_some(Self { bits, value })
    }

    /// All ids in `count` prefixes of one length (a power of two), in their order.
    pub fn equal(count: usize) -> impl Iterator<Item = Self> {
        let count = count.next_power_of_two() as u64;
        let bits = u8::try_from(count.trailing_zeros()).unwrap_or_default();
        (0..count).map(move |value| Self { bits, value })
    }

    /// Number of leading bits.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// The leading bits, as a number.
    pub fn value(self) -> u64 {
        self.value
    }

    /// The least id.
    pub fn first(self) -> u64 {
        self.value.checked_shl(u64::BITS - u32::from(self.bits)).unwrap_or(0)
    }

    /// The greatest id.
    pub fn last(self) -> u64 {
        self.first() | u64::MAX >> self.bits
    }

    /// Whether the id is one of them.
    pub fn contains(self, id: u64) -> bool {
        (self.first()..=self.last()).contains(&id)
    }

    /// Whether all ids of `other` are among them.
    pub fn covers(self, other: Self) -> bool {
        self.bits <= other.bits && self.contains(other.first())
    }

    fn halves(self) -> [Self; 2] {
        [0, 1].map(|bit| Self { bits: self.bits + 1, value: self.value << 1 | bit })
    }
}

/// The records of one prefix.
#[derive(Clone, Debug)]
pub struct Partition {
    prefix: Prefix,
    /// No entry is dated before.
    oldest: i64,
    slots: Table<Slot>,
    details: Option<Box<DetailsStore>>,
    changes: Option<Box<Changes>>,
}

/// What was put since a version of the partition that a store remembers.
#[derive(Clone, Debug)]
struct Changes {
    /// That version. While it is remembered, no other one has its address.
    since: Weak<Partition>,
    ids: Vec<u64>,
}

/// What is remembered of one record.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
struct Slot {
    entry: Entry,
    /// Where its details are, or [`NO_DETAILS`].
    details: u32,
}

const NO_DETAILS: u32 = u32::MAX;

impl Partition {
    pub(super) fn new(prefix: Prefix) -> Self {
        Self { prefix, oldest: i64::MAX, slots: Table::default(), details: None, changes: None }
    }

    /// Reads a packed partition; `None` when it is damaged or of other ids.
    pub fn unpack(prefix: Prefix, bytes: &[u8], form: Form) -> Option<Self> {
        let unpacked = Unpacked::read(bytes, form)?;
        let mut partition = Self::new(prefix);
        partition.slots.reserve(unpacked.len());
        for (id, entry, details) in unpacked.entries() {
            if !prefix.contains(id) {
                return None;
            }
            partition.put(id, entry, details.as_ref());
        }
        Some(partition)
    }

    /// The records of a prefix that this one covers.
    #[must_use]
    pub fn only(&self, prefix: Prefix) -> Self {
        let mut partition = Self::new(prefix);
        for (id, entry, details) in self.of(prefix) {
            partition.put(id, entry, details.as_ref());
        }
        partition
    }

    /// From now on changes are listed, since this version is one that a store remembers.
    pub(super) fn list_changes(&mut self, since: Weak<Self>) {
        self.changes = Some(Box::new(Changes { since, ids: Vec::new() }));
    }

    /// The ids that were put since a version, some of them several times. `None` where that is not known, or more than that changed.
    pub fn changed_since(&self, version: &Weak<Self>) -> Option<&[u64]> {
        let changes = self.changes.as_ref().filter(|changes| Weak::ptr_eq(&changes.since, version))?;
        Some(&changes.ids)
    }

    /// Takes over those records of `newer` that belong here.
    pub fn put_all(&mut self, newer: &Self) {
        for (id, entry, details) in newer.of(self.prefix) {
            self.put(id, entry, details.as_ref());
        }
    }

    /// The ids of its records, sorted.
    pub fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<_> = self.slots.iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// The ids that are kept here.
    pub fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// No record.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The packed form.
    pub fn packed(&self) -> Packed {
        Packed::of(self.of(Prefix::ALL).collect())
    }

    /// Bytes of the packed form.
    pub(super) fn packed_len(&self) -> usize {
        self.slots.len() * PACKED + self.details.as_ref().map_or(0, |details| details.packed_len())
    }

    /// The records of a prefix, in any order.
    pub(super) fn of(&self, prefix: Prefix) -> impl Iterator<Item = (u64, Entry, Option<DetailsView<'_>>)> {
        let slots = self.slots.iter().filter(move |(id, _)| prefix.contains(*id));
        slots.map(|(id, slot)| (id, slot.entry, self.details_of(slot)))
    }

    pub(super) fn get(&self, id: u64) -> Option<Entry> {
        self.slots.get(id).map(|slot| slot.entry)
    }

    pub(super) fn details(&self, id: u64) -> Option<DetailsView<'_>> {
        self.details.as_ref()?;
        self.details_of(self.slots.get(id)?)
    }

    fn details_of(&self, slot: Slot) -> Option<DetailsView<'_>> {
        self.details.as_ref()?.get(slot.details)
    }

    /// Returns whether this is new. What was known of the id is replaced, with its details.
    pub(super) fn put(&mut self, id: u64, entry: Entry, details: Option<&impl Detailed>) -> bool {
        self.oldest = self.oldest.min(entry.date());
        if let Some(changes) = &mut self.changes {
            if changes.ids.len() < MAX_CHANGES { changes.ids.push(id) } else { self.changes = None }
        }
        let details = details.and_then(|details| self.details.get_or_insert_default().add(details)).unwrap_or(NO_DETAILS);
        let old = self.slots.insert(id, Slot { entry, details });
        self.drop_details(old.map(|old| old.details));
        old.is_none()
    }

    /// Details at these places are not used any more.
    fn drop_details(&mut self, places: impl IntoIterator<Item = u32>) {
        let Some(store) = &mut self.details else { return };
        for place in places {
            store.remove(place);
        }
        if store.is_empty() {
            self.details = None;
        } else if store.is_loose() {
            let mut compact = DetailsStore::default();
            self.slots.update(|slot| {
                let moved = store.get(slot.details).and_then(|details| compact.add(&details));
                Slot { details: moved.unwrap_or(NO_DETAILS), ..slot }
            });
            **store = compact;
        }
    }

    /// Whether an entry is dated before its horizon. Where none is, the next look may cost less.
    pub(super) fn reaches_before(&self, horizons: Horizons) -> bool {
        self.oldest < horizons.latest() && self.entries().any(|entry| !horizons.keep(entry))
    }

    /// Forgets what is dated before its horizon, and says how many that were.
    pub(super) fn forget_before(&mut self, horizons: Horizons) -> usize {
        let gone = self.keep(|entry| horizons.keep(entry));
        self.oldest = self.entries().map(Entry::date).min().unwrap_or(i64::MAX);
        gone
    }

    /// Whether there is a tombstone that is dated before.
    pub(super) fn has_tombstone_before(&self, horizon: i64) -> bool {
        self.entries().any(|entry| entry.is_tombstone_before(horizon))
    }

    /// Forgets the tombstones that are dated before, and says how many that were.
    pub(super) fn forget_tombstones_before(&mut self, horizon: i64) -> usize {
        self.keep(|entry| !entry.is_tombstone_before(horizon))
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.slots.iter().map(|(_, slot)| slot.entry)
    }

    /// Forgets the other entries, and says how many those were.
    fn keep(&mut self, stays: impl Fn(Entry) -> bool) -> usize {
        // What goes is not listed.
        self.changes = None;
        let (before, mut places) = (self.slots.len(), Vec::new());
        self.slots.retain(|_, slot| {
            let stays = stays(slot.entry);
            if !stays && slot.details != NO_DETAILS {
                places.push(slot.details);
            }
            stays
        });
        self.drop_details(places);
        before - self.slots.len()
    }

    /// Whether it should be split.
    pub(super) fn is_full(&self) -> bool {
        let bytes = if self.details.is_some() { self.packed_len() } else { 0 };
        (self.slots.len() > SPLIT_AT || bytes > SPLIT_AT_BYTES) && self.prefix.bits < MAX_BITS
    }

    /// Splits it by the next bit.
    pub(super) fn split(&self) -> [Self; 2] {
        let [mut low, mut high] = self.prefix.halves().map(Self::new);
        let half = self.slots.len() / 2;
        low.slots.reserve(half);
        high.slots.reserve(half);
        for (id, entry, details) in self.of(Prefix::ALL) {
            let part = if high.prefix.contains(id) { &mut high } else { &mut low };
            part.put(id, entry, details.as_ref());
        }
        [low, high]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::details::{Details, Presence};
    use proptest::prelude::*;

    #[test]
    fn prefixes_say_which_ids_are_theirs() {
        let prefix = Prefix::new(2, 0b10).unwrap();
        assert_eq!((prefix.first(), prefix.last()), (1 << 63, (1 << 63 | 1 << 62) - 1));
        assert!(prefix.contains(1 << 63) && !prefix.contains(1 << 62) && !prefix.contains(u64::MAX));
        assert!(Prefix::ALL.covers(prefix) && prefix.covers(prefix) && !prefix.covers(Prefix::ALL));
        assert!(Prefix::new(1, 1).unwrap().covers(prefix) && !Prefix::new(1, 0).unwrap().covers(prefix));
        assert_eq!((Prefix::ALL.first(), Prefix::ALL.last()), (0, u64::MAX));
        assert_eq!((Prefix::new(2, 4), Prefix::new(64, 0)), (None, None));
    }

    fn details() -> impl Strategy<Value = Option<Details>> {
        let id = prop::option::of(".{0,20}".prop_map(String::into_boxed_str));
        let fields = prop::collection::vec(any::<(u32, u32)>(), 0..5).prop_map(Vec::into_boxed_slice);
        let presence = prop_oneof![Just(Presence::Listed), Just(Presence::Missed), Just(Presence::Held), Just(Presence::Gone)];
        let whole = (id, fields, 0..1_u32 << 30, presence);
        prop::option::of(whole.prop_map(|(id, fields, lives, presence)| Details { id, fields, lives, presence }))
    }

    proptest! {
        #[test]
        fn what_was_packed_is_read_back_with_its_details(
            entries in prop::collection::hash_map(any::<u64>(), (any::<u64>(), any::<i64>(), details()), 0..50)
        ) {
            let mut partition = Partition::new(Prefix::ALL);
            for (id, (version, date_and_flags, details)) in entries.clone() {
                partition.put(id, Entry { version, date_and_flags }, details.as_ref());
            }
            let packed = partition.packed();
            prop_assert_eq!(packed.form == Form::Third, entries.values().any(|(.., details)| details.is_some()));
            let back = Partition::unpack(Prefix::ALL, &packed.bytes, packed.form).unwrap();
            prop_assert_eq!(back.len(), entries.len());
            for (id, (version, date_and_flags, details)) in &entries {
                prop_assert_eq!(back.get(*id), Some(Entry { version: *version, date_and_flags: *date_and_flags }));
                prop_assert_eq!(back.details(*id).map(DetailsView::to_details), details.clone());
            }
            prop_assert_eq!(back.packed_len(), partition.packed_len());
            // one byte less is never taken for less
            if let Some((_, cut)) = packed.bytes.split_last() {
                prop_assert!(Partition::unpack(Prefix::ALL, cut, packed.form).is_none());
            }
        }
    }
}
