//! The known set: which version of which record was last delivered.
//!
//! It consists of [`Partition`]s by the leading bits of the id hash, each of which splits as it grows. A copy of a set shares them until
//! one of the two changes.

use std::hash::Hasher;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use super::details::{Details, DetailsView, Presence};
use super::event::Kind;
use super::packed::{Entry, PACKED, Unpacked};
pub use super::packed::{Form, Packed};
use super::partition::{Horizons, SPLIT_AT};
pub use super::partition::{Partition, Prefix};

/// Most records that one resource may remember, which then take half a gigabyte of memory, or nearly twice as much with the texts of their ids.
pub const MAX_KNOWN: usize = 10_000_000;

/// Partitions that hold less than this on average are laid out again: fewer of them, and of the usual size.
const SPARSE: usize = SPLIT_AT / 8;
/// What a packed text begins with, and the version of its form. Texts of the first form (0.1.0) begin with an entry; Base64 has no colon.
const FORMS: [(&str, Form); 2] = [("2:", Form::Second), ("3:", Form::Third)];

/// What is remembered of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Hash of the bytes that were delivered.
    pub version: u64,
    /// Its version date, in microseconds since 1970; `None` when it had none that could be read.
    pub date: Option<i64>,
    /// Where its date was on the provider's clock when it was seen.
    pub age: Age,
    /// It was a tombstone.
    pub deleted: bool,
}

/// Versions that no record has: of one that was sent as new, or as updated, and that no sink has confirmed.
const SENT: [(Kind, u64); 2] = [(Kind::Created, 0x7365_6e74_206e_6577), (Kind::Updated, 0x7365_6e74_2075_7064)];

impl Known {
    /// What is remembered of a record that no sink was known to have, once it was sent as this kind and not confirmed: a sink may have it.
    /// `self` is what is known of it once it is confirmed. `None` for a deletion.
    pub fn unconfirmed(self, kind: Kind) -> Option<Self> {
        let (_, version) = SENT.into_iter().find(|(sent, _)| *sent == kind)?;
        Some(Self { version, age: Age::Open, deleted: false, ..self })
    }

    /// As which kind a record was sent that no sink has confirmed; `None` for what every sink has.
    pub fn sent_as(self) -> Option<Kind> {
        SENT.into_iter().find(|(_, version)| *version == self.version && !self.deleted).map(|(kind, _)| kind)
    }
}

/// Where a version's date was on the provider's clock when the version was seen. A date says nothing finer than its unit, so until
/// that is over a second change may have the same date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// The unit of the date was over: every later change has a later date, whatever the bytes do.
    Settled,
    /// The unit was not over: another change within it has the same date and can be recognised by its bytes alone.
    Open,
    /// The date was beyond the provider's clock, so it says nothing about what comes later.
    Ahead,
    /// The same, and it was shown long enough for the unit to be over on the clock that wrote it.
    AheadSettled,
}

impl Age {
    /// Whether the date was beyond the provider's clock.
    pub fn is_ahead(self) -> bool {
        matches!(self, Self::Ahead | Self::AheadSettled)
    }

    /// Whether the same date means the same version, whatever the bytes.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Settled | Self::AheadSettled)
    }
}

/// Map of id hash to what is remembered. Serialised as one packed string: many small fields cost an API server far more than
/// the same bytes in one.
#[derive(Clone, Debug, Default)]
pub struct KnownSet {
    /// In the order of their prefixes, which are those of all ids; empty while nothing is remembered.
    parts: Vec<Arc<Partition>>,
    /// For each value of the leading `bits` the place of its partition. Empty as long as there is one partition.
    index: Vec<u16>,
    bits: u8,
    len: usize,
}

impl KnownSet {
    /// What is remembered of an id.
    pub fn get(&self, id: u64) -> Option<Known> {
        self.entry(id).map(Entry::known)
    }

    /// What is remembered of an id in addition to its version.
    pub fn details(&self, id: u64) -> Option<DetailsView<'_>> {
        self.parts.get(self.place(id))?.details(id)
    }

    /// The hashes of the record's fields, as far as they are remembered.
    pub fn fields(&self, id: u64) -> Vec<(u32, u32)> {
        self.details(id).map_or_else(Vec::new, |details| details.fields().collect())
    }

    /// Remembers a version in place of what was known of the id.
    pub fn remember(&mut self, id: u64, known: Known) {
        self.remember_with(id, known, None);
    }

    /// The same, with more than the version.
    #[expect(clippy::needless_pass_by_value, reason = "it is kept in another form, and callers make it for this")]
    pub fn remember_with(&mut self, id: u64, known: Known, details: Option<Details>) {
        self.put(id, Entry::of(known), details.as_ref());
    }

    /// The date of what is known of an id is older by now.
    pub fn set_age(&mut self, id: u64, age: Age) {
        let Some(known) = self.get(id).filter(|known| known.age != age) else { return };
        let details = self.details(id).map(DetailsView::to_details);
        self.put(id, Entry::of(Known { age, ..known }), details.as_ref());
    }

    /// Forgets every record whose date lies before `horizon`; records without a date stay.
    pub fn forget_before(&mut self, horizon: DateTime<Utc>) {
        self.forget_before_but_tombstones(horizon, horizon);
    }

    /// The same, but of tombstones forgets those that are dated before a horizon of their own.
    pub fn forget_before_but_tombstones(&mut self, living: DateTime<Utc>, tombstones: DateTime<Utc>) {
        let horizons = Horizons { living: living.timestamp_micros(), tombstones: tombstones.timestamp_micros() };
        for part in &mut self.parts {
            // A partition that keeps everything stays as it is stored.
            if part.reaches_before(horizons) {
                self.len -= Arc::make_mut(part).forget_before(horizons);
            }
        }
        if self.parts.len() > 1 && self.len < SPARSE * self.parts.len() {
            let sparse = std::mem::take(self);
            for part in sparse.parts {
                for (id, entry, details) in part.of(Prefix::ALL) {
                    self.put(id, entry, details.map(DetailsView::to_details).as_ref());
                }
            }
        }
    }

    /// Forgets the tombstones that are dated before `horizon`.
    pub fn forget_tombstones_before(&mut self, horizon: DateTime<Utc>) {
        let horizon = horizon.timestamp_micros();
        for part in &mut self.parts {
            if part.has_tombstone_before(horizon) {
                self.len -= Arc::make_mut(part).forget_tombstones_before(horizon);
            }
        }
    }

    /// All records, in any order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Known, Option<DetailsView<'_>>)> {
        let entries = self.parts.iter().flat_map(|part| part.of(Prefix::ALL));
        entries.map(|(id, entry, details)| (id, entry.known(), details))
    }

    /// The number of records without details that takes as many bytes.
    pub fn weight(&self) -> usize {
        let bytes: usize = self.parts.iter().map(|part| part.packed_len()).sum();
        bytes.div_ceil(PACKED)
    }

    /// Number of records remembered.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The packed form: entries by rising id hash, each 24 bytes big-endian, in Base64 without padding, after the version of the form.
    pub fn pack(&self) -> String {
        let Packed { form, bytes } = self.packed(Prefix::ALL);
        let name = FORMS.iter().find(|(_, one)| *one == form).map_or("", |(name, _)| name);
        let mut text = String::with_capacity(name.len() + bytes.len().div_ceil(3) * 4);
        text.push_str(name);
        BASE64.encode_string(bytes, &mut text);
        text
    }

    /// The packed records of a prefix.
    pub fn packed(&self, prefix: Prefix) -> Packed {
        Packed::of(self.under(prefix).iter().flat_map(|part| part.of(prefix)).collect())
    }

    /// The packed records of some ids, as far as they are known.
    pub fn packed_ids(&self, ids: &[u64]) -> Packed {
        Packed::of(ids.iter().filter_map(|id| Some((*id, self.entry(*id)?, self.details(*id)))).collect())
    }

    /// The partitions, in the order of their prefixes.
    pub fn parts(&self) -> &[Arc<Partition>] {
        &self.parts
    }

    /// The partitions with the ids of a prefix. The first and the last one may have others, too.
    pub fn under(&self, prefix: Prefix) -> &[Arc<Partition>] {
        self.parts.get(self.place(prefix.first())..=self.place(prefix.last())).unwrap_or_default()
    }

    /// A set of partitions that were kept. `None` unless their prefixes are those of all ids, in their order.
    pub fn of_parts(parts: Vec<Partition>) -> Option<Self> {
        let mut next = Some(0);
        for part in &parts {
            if next != Some(part.prefix().first()) {
                return None;
            }
            next = part.prefix().last().checked_add(1);
        }
        let len = parts.iter().map(Partition::len).sum();
        let set = Self { parts: parts.into_iter().map(Arc::new).collect(), index: Vec::new(), bits: 0, len }.indexed();
        (next.is_none() || set.parts.is_empty()).then_some(set)
    }

    /// Adds packed entries. `None` when the bytes are damaged; then nothing is added.
    pub fn add_partition(&mut self, bytes: &[u8], form: Form) -> Option<()> {
        let unpacked = Unpacked::read(bytes, form)?;
        for (id, entry, details) in unpacked.entries() {
            self.put(id, entry, details.map(DetailsView::to_details).as_ref());
        }
        Some(())
    }

    /// Reads the packed form, this one or an older one. `None` when it is neither.
    pub fn unpack(text: &str) -> Option<Self> {
        let named = FORMS.iter().find_map(|(name, form)| Some((text.strip_prefix(name)?, *form)));
        let (text, form) = named.unwrap_or((text, Form::First));
        let mut set = Self::default();
        set.add_partition(&BASE64.decode(text).ok()?, form)?;
        Some(set)
    }

    /// Where the partition of an id stands.
    fn place(&self, id: u64) -> usize {
        let leading = id.checked_shr(u64::BITS - u32::from(self.bits)).and_then(|leading| usize::try_from(leading).ok());
        leading.and_then(|leading| self.index.get(leading)).map_or(0, |place| usize::from(*place))
    }

    fn entry(&self, id: u64) -> Option<Entry> {
        self.parts.get(self.place(id))?.get(id)
    }

    fn put(&mut self, id: u64, entry: Entry, details: Option<&Details>) {
        if self.parts.is_empty() {
            self.parts.push(Arc::new(Partition::new(Prefix::ALL)));
        }
        let place = self.place(id);
        let Some(shared) = self.parts.get_mut(place) else { return };
        // What is known already changes nothing, so nothing needs to be copied and stored.
        let is_shared = Arc::strong_count(shared) > 1 || Arc::weak_count(shared) > 0;
        let has = |details: Option<&Details>| match (shared.details(id), details) {
            (Some(own), Some(details)) => own.is(details),
            (own, details) => own.is_none() && details.is_none(),
        };
        if is_shared && shared.get(id) == Some(entry) && has(details) {
            return;
        }
        let remembered = (Arc::weak_count(shared) > 0).then(|| Arc::downgrade(shared));
        let part = Arc::make_mut(shared);
        if let Some(version) = remembered {
            part.list_changes(version);
        }
        self.len += usize::from(part.put(id, entry, details));
        if part.is_full() {
            self.split(place);
        }
    }

    /// Splits a partition until none of its parts is too large.
    fn split(&mut self, place: usize) {
        let Some(part) = self.parts.get_mut(place) else { return };
        let mut waiting = vec![std::mem::replace(Arc::make_mut(part), Partition::new(Prefix::ALL))];
        let mut split = Vec::new();
        while let Some(part) = waiting.pop() {
            if part.is_full() { waiting.extend(part.split()) } else { split.push(Arc::new(part)) }
        }
        split.sort_unstable_by_key(|part| part.prefix().first());
        self.parts.splice(place..=place, split);
        *self = std::mem::take(self).indexed();
    }

    fn indexed(mut self) -> Self {
        self.bits = self.parts.iter().map(|part| part.prefix().bits()).max().unwrap_or_default();
        self.index.clear();
        if self.parts.len() > 1 {
            for (place, part) in (0..).zip(&self.parts) {
                let values = 1 << (self.bits - part.prefix().bits());
                self.index.extend(std::iter::repeat_n(place, values));
            }
        }
        self
    }
}

/// The same records are known, however they are laid out.
impl PartialEq for KnownSet {
    fn eq(&self, other: &Self) -> bool {
        let is_known = |part: &Partition| {
            part.of(Prefix::ALL).all(|(id, entry, details)| other.entry(id) == Some(entry) && other.details(id) == details)
        };
        let mut parts = self.parts.iter().enumerate();
        self.len == other.len
            && parts.all(|(place, part)| other.parts.get(place).is_some_and(|own| Arc::ptr_eq(own, part)) || is_known(part))
    }
}

impl Serialize for KnownSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.pack())
    }
}

impl<'de> Deserialize<'de> for KnownSet {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::unpack(&text).ok_or_else(|| serde::de::Error::custom("the packed known set is damaged"))
    }
}

/// The keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AlreadyHashed(u64);
impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forgets_by_date_but_never_what_has_none() {
        let mut set = KnownSet::default();
        let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
        for (id, date) in [(1, Some(999)), (2, Some(1000)), (3, None), (4, Some(-5))] {
            set.remember(id, Known { version: 7, date, age: Age::Settled, deleted: id == 2 });
        }
        set.forget_before(at(1000));
        assert_eq!(set.get(1), None);
        assert_eq!(set.get(2), Some(Known { version: 7, date: Some(1000), age: Age::Settled, deleted: true }));
        assert_eq!(set.get(3), Some(Known { version: 7, date: None, age: Age::Settled, deleted: false }));
        assert_eq!(set.get(4), None);
    }

    #[test]
    fn refuses_a_cut_string() {
        let mut set = KnownSet::default();
        set.remember(1, Known { version: 2, date: Some(3), age: Age::Open, deleted: false });
        let packed = set.pack();
        assert_eq!(KnownSet::unpack(&packed), Some(set));
        assert_eq!(KnownSet::unpack(&packed[..packed.len() / 2]), None);
        assert_eq!(KnownSet::unpack("%"), None);
        assert_eq!(KnownSet::unpack("2:%"), None);
    }

    #[test]
    fn the_form_of_the_first_release_is_read() {
        // id 1, version 2, 1,800,000,000,123 ms, deleted; then id 5, version 6 without a date: as 0.1.0 packs them
        let entries: [[u64; 3]; 2] = [[1, 2, 1_800_000_000_123 << 1 | 1], [5, 6, u64::MAX >> 1 & !1]];
        let bytes: Vec<u8> = entries.iter().flatten().flat_map(|value| value.to_be_bytes()).collect();
        let set = KnownSet::unpack(&BASE64.encode(bytes)).unwrap();
        assert_eq!(set.get(1), Some(Known { version: 2, date: Some(1_800_000_000_123_000), age: Age::Open, deleted: true }));
        assert_eq!(set.get(5), Some(Known { version: 6, date: None, age: Age::Open, deleted: false }));
        assert_eq!(set.len(), 2);
    }

    fn settled(version: u64, date: Option<i64>) -> Known {
        Known { version, date, age: Age::Settled, deleted: false }
    }

    /// Ids as hashes are, and ids that begin alike.
    fn id(number: u64) -> u64 {
        if number.is_multiple_of(5) { number } else { xxhash_rust::xxh3::xxh3_64(&number.to_be_bytes()) }
    }

    #[test]
    fn a_copy_shares_all_that_does_not_change() {
        let mut set = KnownSet::default();
        (0..20_000).for_each(|number| set.remember(id(5 * number + 1), settled(1, Some(7))));
        assert!(set.parts().iter().all(|part| part.len() <= SPLIT_AT) && set.parts().len() < 64, "{}", set.parts().len());
        let before = set.clone();
        let moved = |set: &KnownSet| set.parts().iter().zip(before.parts()).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        // what is known already, and what is forgotten already
        set.remember(id(6), settled(1, Some(7)));
        set.set_age(id(6), Age::Settled);
        set.forget_before(DateTime::from_timestamp_micros(7).unwrap());
        assert_eq!(moved(&set), 0);
        set.remember(id(6), settled(2, Some(7)));
        assert_eq!((moved(&set), set == before, before.get(id(6))), (1, false, Some(settled(1, Some(7)))));
        set.remember(id(6), settled(1, Some(7)));
        assert_eq!((moved(&set), &set), (1, &before));
        set.forget_before(DateTime::from_timestamp_micros(8).unwrap());
        assert!(set.is_empty() && set.parts().is_empty(), "few records need few partitions");
    }

    /// A store that remembers where a partition was sees that it changed, although nothing else holds it.
    #[test]
    fn a_partition_that_changes_moves() {
        let mut set = KnownSet::default();
        set.remember(1, settled(1, None));
        let stored = Arc::downgrade(&set.parts()[0]);
        let is_stored = |set: &KnownSet| std::ptr::eq(stored.as_ptr(), Arc::as_ptr(&set.parts()[0]));
        set.remember(1, settled(1, None));
        assert!(is_stored(&set));
        set.remember(2, settled(1, None));
        assert!(!is_stored(&set));
    }

    #[test]
    fn parts_that_do_not_cover_all_ids_are_no_set() {
        let part = |bits, value| Partition::new(Prefix::new(bits, value).unwrap());
        assert!(KnownSet::of_parts(vec![]).is_some() && KnownSet::of_parts(vec![part(0, 0)]).is_some());
        assert!(KnownSet::of_parts(vec![part(1, 0), part(2, 2), part(2, 3)]).is_some());
        for wrong in
            [vec![part(1, 0)], vec![part(1, 1), part(1, 0)], vec![part(1, 0), part(2, 3)], vec![part(0, 0), part(0, 0)]]
        {
            assert_eq!(KnownSet::of_parts(wrong), None);
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Remember(u64, Option<i64>),
        RememberMany(u64, u64),
        RememberWith(u64, u16),
        SetAge(u64),
        ForgetBefore(i64),
        Copy,
        ReadBack,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0..9_000u64, prop::option::of(-50..50i64)).prop_map(|(id, date)| Act::Remember(id, date)),
            (0..6_000u64, 1..3_000u64).prop_map(|(first, count)| Act::RememberMany(first, count)),
            (0..9_000u64, 0..3_000u16).prop_map(|(id, len)| Act::RememberWith(id, len)),
            (0..9_000u64).prop_map(Act::SetAge),
            (-60..60i64).prop_map(Act::ForgetBefore),
            Just(Act::Copy),
            Just(Act::ReadBack),
        ]
    }

    type Model = std::collections::HashMap<u64, (Known, Option<Details>)>;

    fn check(set: &KnownSet, model: &Model) {
        assert_eq!(set.len(), model.len());
        for (id, (known, details)) in model {
            assert_eq!((set.get(*id), set.details(*id).map(DetailsView::to_details)), (Some(*known), details.clone()));
        }
        let parts: Vec<Partition> = set.parts().iter().map(|part| (**part).clone()).collect();
        assert!(parts.iter().all(|part| !part.is_full()), "what can be split is split");
        assert_eq!(KnownSet::of_parts(parts).as_ref(), Some(set));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_map_whatever_is_split_copied_and_forgotten(acts in prop::collection::vec(act(), 1..40)) {
            let (mut set, mut model) = (KnownSet::default(), Model::new());
            let mut copies: Vec<(KnownSet, Model)> = Vec::new();
            for (version, act) in (0..).zip(acts) {
                match act {
                    Act::Remember(number, date) => {
                        set.remember(id(number), settled(version, date));
                        model.insert(id(number), (settled(version, date), None));
                    }
                    Act::RememberMany(first, count) => for number in first..first + count {
                        let known = settled(version, Some(i64::try_from(number % 100).unwrap() - 50));
                        set.remember(id(number), known);
                        model.insert(id(number), (known, None));
                    }
                    Act::RememberWith(number, len) => {
                        let details = Details { id: Some("x".repeat(len.into()).into()), fields: [(1, len.into())].into(), ..Details::default() };
                        set.remember_with(id(number), settled(version, None), Some(details.clone()));
                        model.insert(id(number), (settled(version, None), Some(details)));
                    }
                    Act::SetAge(number) => {
                        set.set_age(id(number), Age::Ahead);
                        model.entry(id(number)).and_modify(|(known, _)| known.age = Age::Ahead);
                    }
                    Act::ForgetBefore(horizon) => {
                        set.forget_before(DateTime::from_timestamp_micros(horizon).unwrap());
                        model.retain(|_, (known, _)| known.date.is_none_or(|date| date >= horizon));
                    }
                    Act::Copy => copies.push((set.clone(), model.clone())),
                    Act::ReadBack => {
                        let back = KnownSet::unpack(&set.pack()).unwrap();
                        assert_eq!(back, set);
                        set = back;
                    }
                }
                check(&set, &model);
            }
            for (set, model) in &copies {
                check(set, model);
            }
        }
    }

    proptest! {
        #[test]
        fn packing_keeps_every_entry(entries in prop::collection::hash_map(any::<u64>(), (any::<u64>(), prop::option::of(-1_000_000_000_000_000_000i64..1_000_000_000_000_000_000), 0u8..4, any::<bool>()), 0..50)) {
            let known = |(version, date, age, deleted): &(u64, Option<i64>, u8, bool)| Known {
                version: *version,
                date: *date,
                age: [Age::Settled, Age::Open, Age::Ahead, Age::AheadSettled][usize::from(*age)],
                deleted: *deleted,
            };
            let mut set = KnownSet::default();
            for (id, entry) in &entries {
                set.remember(*id, known(entry));
            }
            let mut parted = KnownSet::default();
            for part in Prefix::equal(8).map(|prefix| set.packed(prefix).bytes) {
                parted.add_partition(&part, Form::Second).unwrap();
            }
            prop_assert_eq!(&parted, &set);
            let back = KnownSet::unpack(&set.pack()).unwrap();
            prop_assert_eq!(back.len(), entries.len());
            for (id, entry) in &entries {
                prop_assert_eq!(back.get(*id), Some(known(entry)));
            }
        }
    }
}
