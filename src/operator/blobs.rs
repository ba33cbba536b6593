//! Known sets that are too large for the status: partitions by id hash, so that a change rewrites one of them. Pure.

use crate::api::conditions::{Problem, Reason};
use crate::detect::known::{Form, KnownSet, MAX_KNOWN, Packed};

/// Most records that one resource may remember in the API server.
pub const MAX_RECORDS: usize = 50_000;
/// Most bytes of one partition.
pub const MAX_PARTITION: usize = 128 * 1024;
/// Records of a partition, on average, when the partitions are laid out again.
const RECORDS: usize = 1024;
/// The same in an external store, where each write takes its time, however small it is.
const RECORDS_IN_STORE: usize = 4096;
/// Partitions of a resource at most: the status names each of them.
const MAX_PARTITIONS: usize = 256;
/// The same in an external store, whose index names them.
const MAX_PARTITIONS_IN_STORE: usize = 4096;
/// Magic and generation precede the entries.
pub const HEADER: usize = 16;
/// What a partition begins with, by the form of its entries. The first is that of 0.1.0; the third is written only where entries have
/// details.
const MAGIC: [([u8; 8], Form); 3] = [(*b"PLLKNWN1", Form::First), (*b"PLLKNWN2", Form::Second), (*b"PLLKNWN3", Form::Third)];

/// Where a resource's known set goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into the status.
    Status,
    /// Into this number of partitions.
    Partitions(usize),
}

/// What keeps the partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// `ConfigMaps`.
    ConfigMaps,
    /// The store that `--state-store` names.
    Store,
}

impl Medium {
    /// Records of a partition on average, and partitions at most.
    fn layout(self) -> (usize, usize) {
        match self {
            Self::ConfigMaps => (RECORDS, MAX_PARTITIONS),
            Self::Store => (RECORDS_IN_STORE, MAX_PARTITIONS_IN_STORE),
        }
    }

    fn check(self, resource: &str, records: usize) -> Result<(), Problem> {
        let text = match self {
            Self::ConfigMaps if records > MAX_RECORDS => format!(
                "resource {resource} has more than {MAX_RECORDS} records to remember, which is what the API server can keep; start the operator with --state-store, filter the list with ${{since}} or add datesConfiguration"
            ),
            Self::Store if records > MAX_KNOWN => format!(
                "resource {resource} has more than {MAX_KNOWN} records to remember, which is the most that one resource may have; filter the list with ${{since}} or add datesConfiguration"
            ),
            Self::ConfigMaps | Self::Store => return Ok(()),
        };
        Err(Problem::human(Reason::StateTooLarge, text))
    }
}

/// Decides where `records` go that are in `now` and take as much as `weight` records without details, when at most `max_inline` of these
/// fit in the status. A layout stays until it is far too large or far too small.
///
/// # Errors
/// `StateTooLarge`.
pub fn place(
    resource: &str,
    (records, weight): (usize, usize),
    now: Place,
    max_inline: usize,
    medium: Medium,
) -> Result<Place, Problem> {
    medium.check(resource, records)?;
    let (average, most) = medium.layout();
    let fresh = Place::Partitions(weight.div_ceil(average).next_power_of_two().min(most));
    Ok(match now {
        Place::Status if weight <= max_inline => Place::Status,
        Place::Partitions(_) if weight <= max_inline / 2 => Place::Status,
        Place::Partitions(count) if weight > 2 * average * count || (count > 1 && weight < average / 4 * count) => fresh,
        Place::Partitions(_) => now,
        Place::Status => fresh,
    })
}

/// Name of the `ConfigMap` of one partition. The count is part of it: another layout never overwrites the one that is in use.
pub fn name(instance: &str, resource: &str, count: usize, partition: usize) -> String {
    let resource = xxhash_rust::xxh3::xxh3_64(resource.as_bytes());
    format!("{instance}-known-{resource:016x}-{count}-{partition}")
}

/// The bytes of one partition.
pub fn encode(generation: u64, entries: &Packed) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + entries.bytes.len());
    bytes.extend(MAGIC.iter().filter(|(_, form)| *form == entries.form).flat_map(|(magic, _)| magic));
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(&entries.bytes);
    bytes
}

/// Adds one partition to a set and returns its generation and form. `None` when the bytes are damaged.
pub fn decode(bytes: &[u8], into: &mut KnownSet) -> Option<(u64, Form)> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (generation, entries) = rest.split_first_chunk::<8>()?;
    let (_, form) = MAGIC.iter().find(|(own, _)| own == magic)?;
    into.add_partition(entries, *form)?;
    Some((u64::from_be_bytes(*generation), *form))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::known::{Age, Known, Prefix};

    fn known(count: u64) -> KnownSet {
        let mut known = KnownSet::default();
        for id in 0..count {
            let hash = xxhash_rust::xxh3::xxh3_64(&id.to_be_bytes());
            known.remember(hash, Known { version: id, date: Some(5), age: Age::Settled, deleted: false });
        }
        known
    }

    #[test]
    fn small_sets_stay_in_the_status_and_large_ones_never_flap() {
        let at = |records, now| place("r", (records, records), now, 80, Medium::ConfigMaps).unwrap();
        assert_eq!(at(80, Place::Status), Place::Status);
        assert_eq!(at(81, Place::Status), Place::Partitions(1));
        assert_eq!(at(41, Place::Partitions(1)), Place::Partitions(1));
        assert_eq!(at(40, Place::Partitions(1)), Place::Status);
        assert_eq!(at(2048, Place::Partitions(1)), Place::Partitions(1));
        assert_eq!(at(2049, Place::Partitions(1)), Place::Partitions(4));
        assert_eq!(at(1024, Place::Partitions(4)), Place::Partitions(4));
        assert_eq!(at(1023, Place::Partitions(4)), Place::Partitions(1));
        assert_eq!(at(50_000, Place::Status), Place::Partitions(64));
        assert_eq!(
            place("r", (40, 81), Place::Status, 80, Medium::ConfigMaps),
            Ok(Place::Partitions(1)),
            "their ids take room, too"
        );
        assert_eq!(place("r", (50_000, 900_000), Place::Status, 80, Medium::ConfigMaps), Ok(Place::Partitions(256)));
        let refused = place("r", (50_001, 50_001), Place::Partitions(64), 80, Medium::ConfigMaps).unwrap_err();
        assert!(refused.message.contains("resource r has more than 50000 records"), "{}", refused.message);
        assert!(refused.message.contains("--state-store"), "{}", refused.message);
    }

    #[test]
    fn a_store_has_room_for_ten_million_records() {
        let at = |records, now| place("r", (records, records), now, 80, Medium::Store);
        assert_eq!(at(50_001, Place::Status), Ok(Place::Partitions(16)));
        assert_eq!(at(1_000_000, Place::Status), Ok(Place::Partitions(256)));
        assert_eq!(at(1_000_100, Place::Partitions(256)), Ok(Place::Partitions(256)));
        assert_eq!(at(10_000_000, Place::Partitions(256)), Ok(Place::Partitions(4096)));
        assert_eq!(at(10_000_001, Place::Status).unwrap_err().reason, Reason::StateTooLarge);
    }

    #[test]
    fn every_partition_is_bounded() {
        for count in [2_048, 50_000] {
            let Place::Partitions(parts) = place("r", (count, count), Place::Partitions(1), 80, Medium::ConfigMaps).unwrap()
            else {
                panic!()
            };
            let known = known(count as u64);
            let largest = Prefix::equal(parts).map(|prefix| encode(1, &known.packed(prefix)).len()).max();
            assert!(largest.unwrap() <= MAX_PARTITION, "{largest:?}");
        }
    }

    #[test]
    fn a_change_touches_one_partition() {
        let mut set = known(5_000);
        let packed = |set: &KnownSet| Prefix::equal(8).map(|prefix| set.packed(prefix).bytes).collect::<Vec<_>>();
        let before = packed(&set);
        set.remember(
            xxhash_rust::xxh3::xxh3_64(&7u64.to_be_bytes()),
            Known { version: 99, date: None, age: Age::Open, deleted: true },
        );
        let changed = packed(&set).iter().zip(&before).filter(|(new, old)| new != old).count();
        assert_eq!(changed, 1);
    }

    #[test]
    fn what_was_encoded_is_read_back() {
        let set = known(3_000);
        let mut back = KnownSet::default();
        for (generation, prefix) in (0..).zip(Prefix::equal(4)) {
            assert_eq!(decode(&encode(generation, &set.packed(prefix)), &mut back), Some((generation, Form::Second)));
        }
        assert_eq!(back, set);
        for damaged in [
            &b""[..],
            b"PLLKNWN1",
            b"PLLKNWN4\0\0\0\0\0\0\0\x01",
            b"PLLKNWN3\0\0\0\0\0\0\0\x01",
            b"PLLKNWN1\0\0\0\0\0\0\0\x01half an entry",
        ] {
            assert_eq!(decode(damaged, &mut back), None);
        }
    }

    #[test]
    fn names_are_dns_subdomains_and_tell_layouts_apart() {
        let name = |count, partition| name(&"n".repeat(63), "CRM/contacts", count, partition);
        assert!(name(64, 63).len() <= 253);
        assert_ne!(name(4, 1), name(8, 1));
        assert!(name(4, 1).bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
    }
}
