//! The known set: which version of which record was last delivered.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most records that one resource may remember.
pub const MAX_KNOWN: usize = 1_000_000;

/// Bytes of a packed entry: id hash, version hash, date with its flags.
const PACKED: usize = 24;
/// What a packed text begins with, and the version of its form. Texts of the first form (0.1.0) begin with an entry; Base64 has no colon.
const FORM: &str = "2:";

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
    /// Was the date beyond the provider's clock?
    pub fn is_ahead(self) -> bool {
        matches!(self, Self::Ahead | Self::AheadSettled)
    }

    /// Does the same date mean the same version, whatever the bytes?
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Settled | Self::AheadSettled)
    }
}

/// Map of id hash to what is remembered. Serialised as one packed string: many small fields cost an API server far more than
/// the same bytes in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownSet {
    entries: HashMap<u64, Entry, BuildHasherDefault<AlreadyHashed>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    version: u64,
    /// Microseconds shifted left by three; below them two bits of age and one that says deleted. The greatest value is "no date", so
    /// that it never ages.
    date_and_flags: i64,
}

const FLAGS: u32 = 3;
const NO_DATE: i64 = i64::MAX >> FLAGS;

impl Entry {
    fn of(known: Known) -> Self {
        let date = known.date.map_or(NO_DATE, |date| date.clamp(-NO_DATE, NO_DATE - 1));
        let age = match known.age {
            Age::Settled => 0,
            Age::Open => 1,
            Age::Ahead => 2,
            Age::AheadSettled => 3,
        };
        Self { version: known.version, date_and_flags: date << FLAGS | age << 1 | i64::from(known.deleted) }
    }

    fn known(self) -> Known {
        let date = self.date();
        Known {
            version: self.version,
            date: (date != NO_DATE).then_some(date),
            age: match self.date_and_flags >> 1 & 3 {
                0 => Age::Settled,
                1 => Age::Open,
                2 => Age::Ahead,
                _ => Age::AheadSettled,
            },
            deleted: self.date_and_flags & 1 == 1,
        }
    }

    fn date(self) -> i64 {
        self.date_and_flags >> FLAGS
    }

    /// An entry as 0.1.0 stored it: milliseconds shifted left by one. It did not say how old the date was, so its bytes count once more.
    fn of_first_form(version: u64, date_and_deleted: i64) -> Self {
        let date = date_and_deleted >> 1;
        let date = (date != i64::MAX >> 1).then(|| date.saturating_mul(1000));
        Self::of(Known { version, date, age: Age::Open, deleted: date_and_deleted & 1 == 1 })
    }
}

/// The form in which entries were packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As 0.1.0 packed them: dates in milliseconds, without age.
    First,
    /// As [`KnownSet::pack`] packs them.
    Second,
}

impl KnownSet {
    /// What is remembered of an id.
    pub fn get(&self, id: u64) -> Option<Known> {
        self.entries.get(&id).map(|entry| entry.known())
    }

    /// Remembers a version in place of what was known of the id.
    pub fn remember(&mut self, id: u64, known: Known) {
        self.entries.insert(id, Entry::of(known));
    }

    /// The date of what is known of an id is older by now.
    pub fn set_age(&mut self, id: u64, age: Age) {
        if let Some(entry) = self.entries.get_mut(&id) {
            *entry = Entry::of(Known { age, ..entry.known() });
        }
    }

    /// Forgets every record whose date lies before `horizon`; records without a date stay.
    pub fn forget_before(&mut self, horizon: DateTime<Utc>) {
        let horizon = horizon.timestamp_micros();
        self.entries.retain(|_, entry| entry.date() >= horizon);
        if self.entries.capacity() > 4 * self.entries.len() + 16 {
            self.entries.shrink_to_fit();
        }
    }

    /// Number of records remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The packed form: entries by rising id hash, each 24 bytes big-endian, in Base64 without padding, after the version of the form.
    pub fn pack(&self) -> String {
        let bytes = self.partitions(1).concat();
        let mut text = String::with_capacity(FORM.len() + bytes.len().div_ceil(3) * 4);
        text.push_str(FORM);
        BASE64.encode_string(bytes, &mut text);
        text
    }

    /// The packed entries, split by the leading bits of the id hash into `count` parts (a power of two), each in the order of
    /// [`Self::pack`].
    pub fn partitions(&self, count: usize) -> Vec<Vec<u8>> {
        let mut parts = vec![Vec::new(); count.next_power_of_two()];
        let bits = parts.len().trailing_zeros();
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(id, _)| **id);
        for (id, entry) in entries {
            // The leading bits: a shift by all 64 would overflow, and means the one part there is.
            let part = id.checked_shr(u64::BITS - bits).and_then(|part| usize::try_from(part).ok()).unwrap_or(0);
            if let Some(bytes) = parts.get_mut(part) {
                bytes.extend_from_slice(&id.to_be_bytes());
                bytes.extend_from_slice(&entry.version.to_be_bytes());
                bytes.extend_from_slice(&entry.date_and_flags.to_be_bytes());
            }
        }
        parts
    }

    /// Adds the entries of one part. `None` when the bytes are not one; then nothing is added.
    pub fn add_partition(&mut self, bytes: &[u8], form: Form) -> Option<()> {
        let (packed, []) = bytes.as_chunks::<PACKED>() else { return None };
        self.entries.reserve(packed.len());
        for entry in packed {
            let ([id, version, date], []) = entry.as_chunks::<8>() else { return None };
            let (version, date) = (u64::from_be_bytes(*version), i64::from_be_bytes(*date));
            let entry = match form {
                Form::First => Entry::of_first_form(version, date),
                Form::Second => Entry { version, date_and_flags: date },
            };
            self.entries.insert(u64::from_be_bytes(*id), entry);
        }
        Some(())
    }

    /// Reads the packed form, this one or that of 0.1.0. `None` when it is neither.
    pub fn unpack(text: &str) -> Option<Self> {
        let (form, text) = match text.strip_prefix(FORM) {
            Some(text) => (Form::Second, text),
            None => (Form::First, text),
        };
        let mut set = Self::default();
        set.add_partition(&BASE64.decode(text).ok()?, form)?;
        Some(set)
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
            for part in set.partitions(8) {
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
