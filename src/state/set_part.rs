//! A partition of a known set that is stored under a condition, as it was last read or written. Pure.

use std::sync::{Arc, Weak};

use super::blob::Tag;
use crate::detect::known::{KnownSet, Partition, Prefix};

/// One partition as it was last read or written.
#[derive(Clone, Debug, Default)]
pub struct SetPart {
    /// In which commit it was written.
    pub generation: u64,
    /// The condition of the next write; `None` when it is to be created.
    pub tag: Option<Tag>,
    /// Digest of its content.
    pub digest: u64,
    /// The partitions in memory that it was made of.
    pub of: Vec<Weak<Partition>>,
}

impl SetPart {
    /// Whether it is what is known of the ids of a prefix, without a look at them.
    pub fn is_of(&self, known: &KnownSet, prefix: Prefix) -> bool {
        let under = known.under(prefix);
        self.tag.is_some()
            && self.of.len() == under.len()
            && self.of.iter().zip(under).all(|(old, part)| std::ptr::eq(old.as_ptr(), Arc::as_ptr(part)))
    }
}

/// Where the partitions of a known set are in which the ids of a prefix are. One that changes moves.
pub fn addresses(known: &KnownSet, prefix: Prefix) -> Vec<Weak<Partition>> {
    known.under(prefix).iter().map(Arc::downgrade).collect()
}
