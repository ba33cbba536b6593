//! The packed form of what is known of records, and the form in memory.

use super::details::DetailsView;
use super::known::{Age, Known};

/// Bytes of a packed entry: id hash, version hash, date with its flags.
pub(super) const PACKED: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) version: u64,
    /// Microseconds shifted left by three; below them two bits of age and one that says deleted. The greatest value is "no date", so
    /// that it never ages.
    pub(super) date_and_flags: i64,
}

const FLAGS: u32 = 3;
const NO_DATE: i64 = i64::MAX >> FLAGS;

impl Entry {
    pub(super) fn of(known: Known) -> Self {
        let date = known.date.map_or(NO_DATE, |date| date.clamp(-NO_DATE, NO_DATE - 1));
        let age = match known.age {
            Age::Settled => 0,
            Age::Open => 1,
            Age::Ahead => 2,
            Age::AheadSettled => 3,
        };
        Self { version: known.version, date_and_flags: date << FLAGS | age << 1 | i64::from(known.deleted) }
    }

    pub(super) fn known(self) -> Known {
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

    pub(super) fn date(self) -> i64 {
        self.date_and_flags >> FLAGS
    }

    pub(super) fn is_tombstone(self) -> bool {
        self.date_and_flags & 1 == 1
    }

    pub(super) fn is_tombstone_before(self, horizon: i64) -> bool {
        self.is_tombstone() && self.date() < horizon
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
    /// Entries by rising id hash, each 24 bytes big-endian.
    Second,
    /// The number of entries, the entries as in the second form, and the details that some of them have.
    Third,
}

/// Packed entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The least form that can say them.
    pub form: Form,
    /// The entries.
    pub bytes: Vec<u8>,
}

impl Packed {
    pub(super) fn of(mut entries: Vec<(u64, Entry, Option<DetailsView<'_>>)>) -> Self {
        entries.sort_unstable_by_key(|(id, ..)| *id);
        let details = || entries.iter().filter_map(|(id, _, details)| Some((*id, (*details)?)));
        let extra: usize = details().map(|(_, details)| details.packed_len()).sum();
        let form = if extra == 0 { Form::Second } else { Form::Third };
        let mut bytes = Vec::with_capacity(4 + entries.len() * PACKED + extra);
        if form == Form::Third {
            bytes.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
        for (id, entry, _) in &entries {
            bytes.extend_from_slice(&id.to_be_bytes());
            bytes.extend_from_slice(&entry.version.to_be_bytes());
            bytes.extend_from_slice(&entry.date_and_flags.to_be_bytes());
        }
        details().for_each(|(id, details)| details.pack_into(id, &mut bytes));
        Self { form, bytes }
    }
}

/// Packed entries that were found to be whole.
#[derive(Debug)]
pub(super) struct Unpacked<'a> {
    form: Form,
    entries: &'a [[u8; PACKED]],
    /// Sorted by id.
    details: Vec<(u64, DetailsView<'a>)>,
}

impl<'a> Unpacked<'a> {
    /// `None` when the bytes are not of the form.
    pub(super) fn read(bytes: &'a [u8], form: Form) -> Option<Self> {
        let (packed, mut rest) = match form {
            Form::First | Form::Second => (bytes, &[][..]),
            Form::Third => {
                let (count, rest) = bytes.split_first_chunk::<4>()?;
                rest.split_at_checked(usize::try_from(u32::from_be_bytes(*count)).ok()?.checked_mul(PACKED)?)?
            }
        };
        let (entries, []) = packed.as_chunks::<PACKED>() else { return None };
        let mut details = Vec::new();
        while !rest.is_empty() {
            let (id, one, after) = DetailsView::unpack(rest)?;
            details.push((id, one));
            rest = after;
        }
        // as they are written
        if !details.is_sorted_by_key(|(id, _)| *id) {
            details.sort_by_key(|(id, _)| *id);
        }
        Some(Self { form, entries, details })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, Entry, Option<DetailsView<'a>>)> {
        let form = self.form;
        let details = |id: u64| {
            let place = self.details.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            self.details.get(place).map(|(_, details)| *details)
        };
        self.entries.iter().filter_map(move |entry| {
            let ([id, version, date], []) = entry.as_chunks::<8>() else { return None };
            let (version, date) = (u64::from_be_bytes(*version), i64::from_be_bytes(*date));
            let entry = match form {
                Form::First => Entry::of_first_form(version, date),
                Form::Second | Form::Third => Entry { version, date_and_flags: date },
            };
            let id = u64::from_be_bytes(*id);
            Some((id, entry, details(id)))
        })
    }
}
