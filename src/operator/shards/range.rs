//! Instance → one of S fixed ranges of hashes.

use std::fmt;

/// Ranges when nothing else is configured.
pub const DEFAULT_RANGES: u16 = 16;
/// More would only make more Leases.
pub const MAX_RANGES: u16 = 256;

/// One of the S ranges that all hashes are cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    index: u16,
    of: u16,
}

impl Range {
    /// The range with this index among `of`; `None` if there is none.
    pub const fn new(index: u16, of: u16) -> Option<Self> {
        if index < of { Some(Self { index, of }) } else { None }
    }

    /// Where a uid belongs. Contiguous ranges of the 64-bit FNV-1a hash of `metadata.uid`, the key and hash of Kubernetes'
    /// sharded list and watch (KEP-5866), so that the API server may do this selection one day. All belong to range 0 of 1 if
    /// `of` is zero.
    pub fn of_uid(uid: &str, of: u16) -> Self {
        let of = of.max(1);
        let index = (u128::from(fnv1a(uid.as_bytes())) * u128::from(of)) >> 64;
        // A 64-bit number times S, without its lower 64 bits, is below S.
        Self { index: u16::try_from(index).unwrap_or(0), of }
    }

    /// All ranges in order.
    pub fn all(of: u16) -> impl Iterator<Item = Self> {
        (0..of).map(move |index| Self { index, of })
    }

    /// Position, from 0.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// How many there are.
    pub const fn of(self) -> u16 {
        self.of
    }
}

impl fmt::Display for Range {
    /// `07-of-16`: two configurations never share the name of a Lease.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-of-{:02}", self.index, self.of)
    }
}

impl std::str::FromStr for Range {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (index, of) = text.split_once("-of-").ok_or(())?;
        Self::new(index.parse().map_err(|_| ())?, of.parse().map_err(|_| ())?).ok_or(())
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hashes_as_the_draft_says() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn spreads_uids_over_all_ranges() {
        let mut counts = [0u32; 16];
        for _ in 0..16_000 {
            counts[usize::from(Range::of_uid(&uuid::Uuid::new_v4().to_string(), 16).index())] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn never_moves() {
        // Pinned: another value here would let two versions poll the same instance.
        assert_eq!(Range::of_uid("8a4e1fc2-6b0e-4f1b-9d55-0c6a3e9c7f10", 16).to_string(), "00-of-16");
        assert_eq!(Range::of_uid("3b1d2f4e-7c1a-4a55-8f0e-2d9a61b0c4e7", 16).to_string(), "09-of-16");
        assert_eq!(Range::of_uid("8a4e1fc2-6b0e-4f1b-9d55-0c6a3e9c7f10", 1).to_string(), "00-of-01");
    }

    proptest! {
        #[test]
        fn cuts_the_hashes_in_order(uid in ".{0,40}", of in 1u16..=MAX_RANGES) {
            let range = Range::of_uid(&uid, of);
            prop_assert!(range.index() < of);
            let (low, high) = (u128::from(range.index()), u128::from(range.index()) + 1);
            let hash = u128::from(fnv1a(uid.as_bytes()));
            prop_assert!(hash * u128::from(of) >= low << 64 && hash * u128::from(of) < high << 64);
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
    }
}
