//! What is remembered of a record in addition to its version, and the details of many records in one allocation. Pure.

/// Bytes of a packed field of a record.
const FIELD: usize = 8;
/// Bytes that are no longer used before the others are moved together.
const UNUSED: usize = 512;

/// What is remembered of a record in addition to its version, where a resource needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The id as the provider writes it.
    pub id: Option<Box<str>>,
    /// Of each field that is compared by itself the low halves of the hash of its path and of the hash of its value.
    pub fields: Box<[(u32, u32)]>,
    /// How often it has come back after it was deleted, or changed without a later date: a change of another life is another event.
    pub lives: u32,
    /// What complete readings of the list have shown of it.
    pub presence: Presence,
}

/// What complete readings of the list have shown of a record that is known as living.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It was listed when it was last looked for.
    #[default]
    Listed,
    /// It was missing once.
    Missed,
    /// It was missing again, but with too many others: its deletion waits for a person.
    Held,
    /// It is deleted, and its deletion is sent until a sink has it.
    Gone,
}

/// What is remembered of a record in addition to its version, wherever it is.
pub(super) trait Detailed {
    /// See [`Details::id`].
    fn text(&self) -> Option<&str>;
    /// See [`Details::lives`] and [`Details::presence`].
    fn life(&self) -> (u32, Presence);
    /// See [`Details::fields`].
    fn hashes(&self) -> impl ExactSizeIterator<Item = (u32, u32)>;
}

impl Detailed for Details {
    fn text(&self) -> Option<&str> {
        self.id.as_deref()
    }
    fn life(&self) -> (u32, Presence) {
        (self.lives, self.presence)
    }
    fn hashes(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.fields.iter().copied()
    }
}

impl Detailed for DetailsView<'_> {
    fn text(&self) -> Option<&str> {
        self.id
    }
    fn life(&self) -> (u32, Presence) {
        (self.lives, self.presence)
    }
    fn hashes(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.fields()
    }
}

/// [`Details`] where they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetailsView<'a> {
    /// See [`Details::id`].
    pub id: Option<&'a str>,
    /// See [`Details::lives`].
    pub lives: u32,
    /// See [`Details::presence`].
    pub presence: Presence,
    fields: &'a [[u8; FIELD]],
}

impl DetailsView<'_> {
    /// See [`Details::fields`].
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.fields
            .iter()
            .map(|[a, b, c, d, e, f, g, h]| (u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h])))
    }

    /// A copy.
    pub fn to_details(self) -> Details {
        Details { id: self.id.map(Into::into), fields: self.fields().collect(), lives: self.lives, presence: self.presence }
    }

    /// Whether they are these.
    pub(super) fn is(&self, details: &Details) -> bool {
        (self.text(), self.life()) == (details.text(), details.life()) && self.hashes().eq(details.hashes())
    }

    /// Bytes of the packed form.
    pub(super) fn packed_len(&self) -> usize {
        8 + 4 + 4 + self.id.map_or(0, str::len) + 4 + FIELD * self.fields.len()
    }

    /// Packed: id hash, lives with presence in the two lowest bits, length of the text plus one, text, number of fields, fields.
    pub(super) fn pack_into(&self, id: u64, bytes: &mut Vec<u8>) {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&life(self.lives, self.presence).to_be_bytes());
        bytes.extend_from_slice(&count(self.id.map_or(0, |text| text.len() + 1)));
        bytes.extend_from_slice(self.id.unwrap_or_default().as_bytes());
        bytes.extend_from_slice(&count(self.fields.len()));
        bytes.extend_from_slice(self.fields.as_flattened());
    }

    /// Reads the packed form and says what follows it.
    pub(super) fn unpack(bytes: &[u8]) -> Option<(u64, DetailsView<'_>, &[u8])> {
        let (id, rest) = bytes.split_first_chunk::<8>()?;
        let (view, rest) = read(rest, |bytes| {
            let (count, rest) = bytes.split_first_chunk::<4>()?;
            Some((u32::from_be_bytes(*count), rest))
        })?;
        Some((u64::from_be_bytes(*id), view, rest))
    }
}

fn life(lives: u32, presence: Presence) -> u32 {
    let presence = match presence {
        Presence::Listed => 0,
        Presence::Missed => 1,
        Presence::Held => 2,
        Presence::Gone => 3,
    };
    lives << 2 | presence
}

/// Reads details whose numbers are written in some way, and says what follows.
fn read<'a>(bytes: &'a [u8], number: impl Fn(&'a [u8]) -> Option<(u32, &'a [u8])>) -> Option<(DetailsView<'a>, &'a [u8])> {
    let (life, rest) = number(bytes)?;
    let presence = match life & 3 {
        0 => Presence::Listed,
        1 => Presence::Missed,
        2 => Presence::Held,
        _ => Presence::Gone,
    };
    let (len, rest) = number(rest)?;
    let (id, rest) = match usize::try_from(len).ok()?.checked_sub(1) {
        Some(len) => {
            let (text, rest) = rest.split_at_checked(len)?;
            (Some(str::from_utf8(text).ok()?), rest)
        }
        None => (None, rest),
    };
    let (count, rest) = number(rest)?;
    let (fields, rest) = rest.split_at_checked(usize::try_from(count).ok()?.checked_mul(FIELD)?)?;
    let (fields, _) = fields.as_chunks::<FIELD>();
    Some((DetailsView { id, lives: life >> 2, presence, fields }, rest))
}

/// The details of many records, one after the other: as packed, but for the id hash and numbers that take one byte if they are small.
#[derive(Clone, Debug, Default)]
pub(super) struct DetailsStore {
    bytes: Vec<u8>,
    /// Bytes of those that were replaced or removed.
    unused: usize,
    /// The packed length of the others.
    packed: usize,
}

impl DetailsStore {
    /// The details at a place.
    pub(super) fn get(&self, place: u32) -> Option<DetailsView<'_>> {
        read(self.bytes.get(usize::try_from(place).ok()?..)?, small).map(|(view, _)| view)
    }

    /// Adds details, and says where they are.
    pub(super) fn add(&mut self, details: &impl Detailed) -> Option<u32> {
        let place = u32::try_from(self.bytes.len()).ok()?;
        let (text, (lives, presence), fields) = (details.text(), details.life(), details.hashes());
        let len = 3 + text.map_or(0, str::len) + FIELD * fields.len();
        if self.bytes.capacity() < self.bytes.len() + len {
            self.bytes.reserve_exact(self.bytes.len() / 8 + len);
        }
        put_small(life(lives, presence), &mut self.bytes);
        put_small(u32::try_from(text.map_or(0, |text| text.len() + 1)).ok()?, &mut self.bytes);
        self.bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        put_small(u32::try_from(fields.len()).ok()?, &mut self.bytes);
        for (path, value) in fields {
            self.bytes.extend_from_slice(&path.to_be_bytes());
            self.bytes.extend_from_slice(&value.to_be_bytes());
        }
        self.packed += self.get(place)?.packed_len();
        Some(place)
    }

    /// The details at a place are not used any more.
    pub(super) fn remove(&mut self, place: u32) {
        let Some(from) = usize::try_from(place).ok().and_then(|place| self.bytes.get(place..)) else { return };
        if let Some((view, rest)) = read(from, small) {
            self.unused += from.len() - rest.len();
            self.packed -= view.packed_len();
        }
    }

    /// Whether most of it is not used.
    pub(super) fn is_loose(&self) -> bool {
        self.unused > UNUSED && self.unused * 2 > self.bytes.len()
    }

    /// Nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.packed == 0
    }

    /// Bytes of the packed form.
    pub(super) fn packed_len(&self) -> usize {
        self.packed
    }
}

/// What the first byte says if the number follows it.
const LARGE: u8 = u8::MAX;

fn put_small(number: u32, bytes: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(byte) if byte < LARGE => bytes.push(byte),
        _ => {
            bytes.push(LARGE);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn small(bytes: &[u8]) -> Option<(u32, &[u8])> {
    match bytes.split_first()? {
        (&LARGE, rest) => {
            let (number, rest) = rest.split_first_chunk::<4>()?;
            Some((u32::from_be_bytes(*number), rest))
        }
        (byte, rest) => Some((u32::from(*byte), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(text: usize, fields: u32, lives: u32) -> Details {
        let fields = (0..fields).map(|field| (field, field * 7)).collect();
        Details { id: (text > 0).then(|| "x".repeat(text).into()), fields, lives, presence: Presence::Held }
    }

    #[test]
    fn small_and_large_ones_are_read_back_and_removed() {
        let all = [
            details(0, 0, 0),
            details(1, 2, 3),
            details(253, 0, 63),
            details(254, 254, 64),
            details(70_000, 300, u32::MAX >> 2),
        ];
        let mut store = DetailsStore::default();
        let places: Vec<u32> = all.iter().map(|one| store.add(one).unwrap()).collect();
        for (place, one) in places.iter().zip(&all) {
            assert!(store.get(*place).unwrap().is(one));
            assert_eq!(&store.get(*place).unwrap().to_details(), one);
        }
        assert_eq!(store.packed_len(), all.len() * 20 + 70_508 + 8 * 556);
        assert!(store.get(u32::MAX).is_none());
        store.remove(places[4]);
        assert!(store.is_loose() && !store.is_empty());
        places[..4].iter().for_each(|place| store.remove(*place));
        assert!(store.is_empty());
    }

    #[test]
    fn other_details_are_not_the_same() {
        let mut store = DetailsStore::default();
        let place = store.add(&details(5, 2, 3)).unwrap();
        let view = store.get(place).unwrap();
        for other in
            [details(4, 2, 3), details(5, 1, 3), details(5, 2, 4), Details { presence: Presence::Gone, ..details(5, 2, 3) }]
        {
            assert!(!view.is(&other), "{other:?}");
        }
    }
}
