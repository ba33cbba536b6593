//! A map by id hash that takes little more memory than what is in it. Pure.
//!
//! A hash map keeps a third of its places free, and up to two thirds after it has grown. Here rows are sorted in one allocation. Hashes
//! are spread evenly, so a row is about where its id says. New rows wait at the end until there are enough of them to be sorted in
//! together.

/// New rows that wait to be sorted in.
const WAITING: usize = 32;
/// One part of this many is the room that is made for further rows.
const ROOM: usize = 8;

/// A map of id hash to a value that can be copied.
#[derive(Clone, Debug)]
pub(super) struct Table<V: Copy> {
    /// The first ones are sorted by id, and the others are not.
    rows: Vec<Row<V>>,
    sorted: usize,
}

/// Packed, because a value is seldom a multiple of eight bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
struct Row<V: Copy> {
    id: u64,
    value: V,
}

impl<V: Copy> Default for Table<V> {
    fn default() -> Self {
        Self { rows: Vec::new(), sorted: 0 }
    }
}

impl<V: Copy> Table<V> {
    /// What is known of an id.
    pub(super) fn get(&self, id: u64) -> Option<V> {
        let row = self.rows.get(self.place(id)?)?;
        Some(row.value)
    }

    /// Puts a value in place of what was known of the id, which is returned.
    pub(super) fn insert(&mut self, id: u64, value: V) -> Option<V> {
        if let Some(row) = self.place(id).and_then(|place| self.rows.get_mut(place)) {
            return Some(std::mem::replace(row, Row { id, value }).value);
        }
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(self.rows.len() / ROOM + 4);
        }
        let is_next = self.sorted == self.rows.len() && self.rows.last().is_none_or(|last| last.id < id);
        self.rows.push(Row { id, value });
        if is_next {
            self.sorted += 1;
        } else if self.rows.len() - self.sorted > WAITING {
            self.sort();
        }
        None
    }

    /// Keeps the rows that satisfy a condition.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(u64, V) -> bool) {
        self.sort();
        self.rows.retain(|row| stays(row.id, row.value));
        self.sorted = self.rows.len();
        if self.rows.capacity() > 4 * self.rows.len() + 16 {
            self.rows.shrink_to_fit();
        }
    }

    /// Puts another value in place of each.
    pub(super) fn update(&mut self, mut to: impl FnMut(V) -> V) {
        for row in &mut self.rows {
            row.value = to(row.value);
        }
    }

    /// All rows, in any order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, V)> {
        self.rows.iter().map(|row| (row.id, row.value))
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// No row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Makes room for further rows.
    pub(super) fn reserve(&mut self, more: usize) {
        self.rows.reserve_exact(more);
    }

    fn sort(&mut self) {
        if self.sorted < self.rows.len() {
            // stable sorts merge what is sorted already
            self.rows.sort_by_key(|row| row.id);
        }
        self.sorted = self.rows.len();
    }

    fn place(&self, id: u64) -> Option<usize> {
        let (sorted, waiting) = self.rows.split_at_checked(self.sorted)?;
        match search(sorted, id) {
            Some(place) => Some(place),
            None => waiting.iter().position(|row| row.id == id).map(|place| self.sorted + place),
        }
    }
}

/// Where a row stands among sorted ones: from where its id would be if ids were spread evenly, in steps that grow.
fn search<V: Copy>(rows: &[Row<V>], id: u64) -> Option<usize> {
    let (first, last) = (rows.first()?.id, rows.last()?.id);
    if id < first || id > last {
        return None;
    }
    let guess = guess(id - first, last - first, rows.len());
    let mut step = 1;
    let (from, to) = if rows.get(guess)?.id < id {
        let mut from = guess;
        while rows.get(from + step).is_some_and(|row| row.id < id) {
            from += step;
            step *= 2;
        }
        (from, rows.len().min(from + step + 1))
    } else {
        let mut to = guess;
        while to.checked_sub(step).and_then(|place| rows.get(place)).is_some_and(|row| row.id > id) {
            to -= step;
            step *= 2;
        }
        (to.saturating_sub(step), to + 1)
    };
    let among = rows.get(from..to)?.binary_search_by_key(&id, |row| row.id).ok()?;
    Some(from + among)
}

/// The place at which a distance from the first id would be; `span` is the distance of the last one.
fn guess(distance: u64, span: u64, count: usize) -> usize {
    let surplus = 32u32.saturating_sub(span.leading_zeros());
    let (distance, span) = (distance >> surplus, span >> surplus);
    let place = distance.saturating_mul(count as u64 - 1) / span.max(1);
    usize::try_from(place).map_or(0, |place| place.min(count - 1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        Insert(u64, u32),
        Many(u64, u64),
        Retain(u32),
    }

    /// Ids as hashes are, ids that are close together, and the greatest and the least.
    fn id() -> impl Strategy<Value = u64> {
        prop_oneof![
            4 => (0..500u64).prop_map(|number| xxhash_rust::xxh3::xxh3_64(&number.to_be_bytes())),
            2 => 0..200u64,
            1 => (0..50u64).prop_map(|number| u64::MAX - number),
        ]
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            6 => (id(), 0..100u32).prop_map(|(id, value)| Act::Insert(id, value)),
            2 => (any::<u64>(), 1..300u64).prop_map(|(seed, count)| Act::Many(seed, count)),
            1 => (0..100u32).prop_map(Act::Retain),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_map(acts in prop::collection::vec(act(), 0..120), absent in prop::collection::vec(id(), 20)) {
            let (mut table, mut model) = (Table::<u32>::default(), HashMap::new());
            for act in acts {
                match act {
                    Act::Insert(id, value) => prop_assert_eq!(table.insert(id, value), model.insert(id, value)),
                    Act::Many(seed, count) => for number in 0..count {
                        let id = xxhash_rust::xxh3::xxh3_64_with_seed(&number.to_be_bytes(), seed);
                        prop_assert_eq!(table.insert(id, 7), model.insert(id, 7));
                    }
                    Act::Retain(least) => {
                        table.retain(|_, value| value >= least);
                        model.retain(|_, value| *value >= least);
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
            for (id, value) in &model {
                prop_assert_eq!(table.get(*id), Some(*value));
            }
            for id in absent {
                prop_assert_eq!(table.get(id), model.get(&id).copied());
            }
            prop_assert_eq!(table.iter().collect::<HashMap<_, _>>(), model);
        }
    }

    #[test]
    fn a_row_takes_what_its_id_and_value_take_and_little_room_is_left() {
        assert_eq!(size_of::<Row<[u32; 5]>>(), 28);
        let mut table = Table::default();
        for number in 0..1_000u64 {
            table.insert(xxhash_rust::xxh3::xxh3_64(&number.to_be_bytes()), number);
        }
        assert!(table.rows.capacity() <= 1_000 + 1_000 / ROOM + 4, "{}", table.rows.capacity());
    }

    #[test]
    fn ids_that_are_not_spread_are_found_in_few_steps() {
        // all but one at one end: the guess is as wrong as can be
        let mut table = Table::default();
        for id in (0..1_000).chain([u64::MAX]) {
            table.insert(id, id);
        }
        assert!((0..1_000).chain([u64::MAX]).all(|id| table.get(id) == Some(id)));
        assert_eq!(table.get(1_000), None);
    }
}
