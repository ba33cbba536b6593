//! A set of id hashes that takes about as many bytes as they have. Pure.

use super::table::Table;

/// Ids of one part on average before there are more parts.
const PART: usize = 1_024;
/// Bits by which parts are divided when there are too few.
const GROWTH: u32 = 2;

/// A set of hashes. They are kept in parts by their leading bits, so that a new one moves only few others.
#[derive(Clone, Debug, Default)]
pub(super) struct IdSet {
    /// None while it is empty, else two to the power of `bits`.
    parts: Vec<Table<()>>,
    bits: u32,
    len: usize,
}

impl IdSet {
    /// Whether it is new.
    pub(super) fn insert(&mut self, id: u64) -> bool {
        if self.parts.is_empty() {
            self.parts.push(Table::default());
        } else if self.len > PART << self.bits {
            self.grow();
        }
        let place = self.place(id);
        let is_new = self.parts.get_mut(place).is_some_and(|part| part.insert(id, ()).is_none());
        self.len += usize::from(is_new);
        is_new
    }

    /// Whether it was inserted.
    pub(super) fn has(&self, id: u64) -> bool {
        self.parts.get(self.place(id)).is_some_and(|part| part.get(id).is_some())
    }

    fn place(&self, id: u64) -> usize {
        id.checked_shr(u64::BITS - self.bits).and_then(|leading| usize::try_from(leading).ok()).unwrap_or_default()
    }

    fn grow(&mut self) {
        self.bits += GROWTH;
        let parts = std::mem::take(&mut self.parts);
        self.parts.resize_with(1 << self.bits, Table::default);
        for (id, ()) in parts.iter().flat_map(Table::iter) {
            let place = self.place(id);
            if let Some(part) = self.parts.get_mut(place) {
                part.insert(id, ());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    #[test]
    fn it_is_a_set_however_large() {
        let (mut set, mut model) = (IdSet::default(), HashSet::new());
        // hashes, and ids that are alike
        let ids = (0..30_000u64).map(|number| if number % 7 == 0 { number } else { xxh3_64(&(number % 20_000).to_be_bytes()) });
        for id in ids {
            assert_eq!(set.insert(id), model.insert(id));
        }
        assert_eq!(set.len, model.len());
        assert!(model.iter().all(|id| set.has(*id)));
        assert!((0..1_000u64).map(|number| xxh3_64(&(number + 1_000_000).to_be_bytes())).all(|id| !set.has(id)));
    }
}
