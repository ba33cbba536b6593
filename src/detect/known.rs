//! The known set: which version of which record was last delivered.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most records that one resource may remember.
pub const MAX_KNOWN: usize = 1_000_000;

/// Bytes of a packed entry: id hash, version hash, date with the deleted bit.
const PACKED: usize = 24;

/// What is remembered of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Hash of the version that was delivered.
    pub version: u64,
    /// Its version date, in milliseconds; `None` when it had none that could be read.
    pub date: Option<i64>,
    /// It was a tombstone.
    pub deleted: bool,
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
    /// Milliseconds shifted left by one, the lowest bit says deleted; the greatest value is "no date", so that it never ages.
    date_and_deleted: i64,
}

const NO_DATE: i64 = i64::MAX >> 1;

impl KnownSet {
    /// What is remembered of an id.
    pub fn get(&self, id: u64) -> Option<Known> {
        let entry = self.entries.get(&id)?;
        let date = entry.date_and_deleted >> 1;
        Some(Known {
            version: entry.version,
            date: (date != NO_DATE).then_some(date),
            deleted: entry.date_and_deleted & 1 == 1,
        })
    }

    /// Remembers a version in place of what was known of the id.
    pub fn remember(&mut self, id: u64, known: Known) {
        let date = known.date.map_or(NO_DATE, |ms| ms.clamp(i64::MIN >> 2, NO_DATE - 1));
        let entry = Entry { version: known.version, date_and_deleted: date << 1 | i64::from(known.deleted) };
        self.entries.insert(id, entry);
    }

    /// Forgets every record whose date lies before `horizon`; records without a date stay.
    pub fn forget_before(&mut self, horizon: DateTime<Utc>) {
        let horizon = horizon.timestamp_millis();
        self.entries.retain(|_, entry| entry.date_and_deleted >> 1 >= horizon);
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

    /// The packed form: entries by rising id hash, each 24 bytes big-endian, in Base64 without padding.
    pub fn pack(&self) -> String {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(id, _)| **id);
        let mut bytes = Vec::with_capacity(entries.len() * PACKED);
        for (id, entry) in entries {
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&entry.version.to_be_bytes());
            bytes.extend_from_slice(&entry.date_and_deleted.to_be_bytes());
        }
        BASE64.encode(bytes)
    }

    /// The packed entries, parted by the leading bits of the id hash into `count` parts (a power of two), each in the order of
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
                bytes.extend_from_slice(&entry.date_and_deleted.to_be_bytes());
            }
        }
        parts
    }

    /// Adds the entries of one part. `None` when the bytes are not one; then nothing is added.
    pub fn add_partition(&mut self, bytes: &[u8]) -> Option<()> {
        let (packed, []) = bytes.as_chunks::<PACKED>() else { return None };
        self.entries.reserve(packed.len());
        for entry in packed {
            let ([id, version, date], []) = entry.as_chunks::<8>() else { return None };
            let value = Entry { version: u64::from_be_bytes(*version), date_and_deleted: i64::from_be_bytes(*date) };
            self.entries.insert(u64::from_be_bytes(*id), value);
        }
        Some(())
    }

    /// Reads the packed form. `None` when it is not one.
    pub fn unpack(text: &str) -> Option<Self> {
        let mut set = Self::default();
        set.add_partition(&BASE64.decode(text).ok()?)?;
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
struct AlreadyHashed(u64);
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
        let at = |ms| DateTime::from_timestamp_millis(ms).unwrap();
        for (id, date) in [(1, Some(999)), (2, Some(1000)), (3, None), (4, Some(-5))] {
            set.remember(id, Known { version: 7, date, deleted: id == 2 });
        }
        set.forget_before(at(1000));
        assert_eq!(set.get(1), None);
        assert_eq!(set.get(2), Some(Known { version: 7, date: Some(1000), deleted: true }));
        assert_eq!(set.get(3), Some(Known { version: 7, date: None, deleted: false }));
        assert_eq!(set.get(4), None);
    }

    #[test]
    fn refuses_a_cut_string() {
        let mut set = KnownSet::default();
        set.remember(1, Known { version: 2, date: Some(3), deleted: false });
        let packed = set.pack();
        assert_eq!(KnownSet::unpack(&packed), Some(set));
        assert_eq!(KnownSet::unpack(&packed[..packed.len() / 2]), None);
        assert_eq!(KnownSet::unpack("%"), None);
    }

    proptest! {
        #[test]
        fn packing_keeps_every_entry(entries in prop::collection::hash_map(any::<u64>(), (any::<u64>(), prop::option::of(-1_000_000_000_000_000i64..1_000_000_000_000_000), any::<bool>()), 0..50)) {
            let mut set = KnownSet::default();
            for (id, (version, date, deleted)) in &entries {
                set.remember(*id, Known { version: *version, date: *date, deleted: *deleted });
            }
            let mut parted = KnownSet::default();
            for part in set.partitions(8) {
                parted.add_partition(&part).unwrap();
            }
            prop_assert_eq!(&parted, &set);
            let back = KnownSet::unpack(&set.pack()).unwrap();
            prop_assert_eq!(back.len(), entries.len());
            for (id, (version, date, deleted)) in &entries {
                prop_assert_eq!(back.get(*id), Some(Known { version: *version, date: *date, deleted: *deleted }));
            }
        }
    }
}
