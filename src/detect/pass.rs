//! One reading of a whole list, and what two of them are compared by. Pure.

use super::id_set::IdSet;

/// One reading of the whole list, row by row.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    seen: IdSet,
    pub(super) digest: Digest,
    pub(super) unidentified: bool,
}

/// What two passes are compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    rows: u64,
    /// Of the ids in their order.
    sequence: u64,
    /// Of the ids in any order.
    set: u64,
    /// An id was listed twice.
    repeats: bool,
    /// Pages repeat rows of others, each of which has an id once: that a list is the same twice does not prove that it is whole.
    pub(super) overlaps: bool,
}

impl Digest {
    /// Whether two passes in a row show that nothing moved in between.
    pub(super) fn agrees_with(self, other: Self) -> bool {
        let same_set = (self.rows, self.set) == (other.rows, other.set) && !self.repeats && !other.repeats;
        same_set || (self.rows, self.sequence) == (other.rows, other.sequence)
    }
}

impl Pass {
    /// A record was listed. Answers whether it was for the first time.
    pub fn note(&mut self, id: u64) -> bool {
        self.digest.rows += 1;
        self.digest.sequence = self.digest.sequence.rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ id;
        self.digest.set = self.digest.set.wrapping_add(id);
        let is_new = self.seen.insert(id);
        self.digest.repeats |= !is_new;
        is_new
    }

    /// A record without id was listed: it may be any.
    pub fn note_unidentified(&mut self) {
        self.unidentified = true;
    }

    /// The list was read to the end of a page, and so far its pages overlap or not.
    pub fn note_overlaps(&mut self, overlaps: bool) {
        self.digest.overlaps = overlaps;
    }

    /// Whether the record was listed.
    pub fn has(&self, id: u64) -> bool {
        self.seen.has(id)
    }
}
