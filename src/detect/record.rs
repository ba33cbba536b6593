//! One record as detection sees it: id, dates, tombstone and content, read from its bytes in one pass.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::plan::date_format::DateReading;
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json::scalar_text;
use crate::plan::{DateField, ExtractPlan};

/// What detection needs to know of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting<'a> {
    /// Id as the text that was sent: `1` and `"1"` are the same id, big integers keep every digit.
    pub id: Cow<'a, str>,
    /// The updated date as it was sent; part of the event's identity.
    pub updated_text: Option<Cow<'a, str>>,
    /// When it was last changed: the greater of its updated and created dates, since some servers leave `updated` null until
    /// the first change.
    pub version_date: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_date: Option<DateTime<Utc>>,
    /// It is a tombstone.
    pub deleted: bool,
    /// Hash of the bytes that were sent.
    pub content: u128,
    /// A date is there but cannot be read.
    pub bad_date: bool,
}

impl Sighting<'_> {
    /// Hash of the id, as the known set keeps it.
    pub fn id_hash(&self) -> u64 {
        id_hash(&self.id)
    }

    /// Hash of the version, as the known set keeps it. The bytes include the updated date.
    #[allow(clippy::cast_possible_truncation)] // the low half of a 128-bit hash is a 64-bit hash
    pub fn version_hash(&self) -> u64 {
        self.content as u64
    }
}

/// Hash under which an id is remembered.
pub fn id_hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// The record has no usable id: the field is missing, null, empty, an array or an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingId;

/// Number of fields that are read: id, updated, created, deleted.
const FIELDS: usize = 4;

/// Reads sightings after an [`ExtractPlan`].
#[derive(Debug)]
pub struct Reader<'p> {
    plan: &'p ExtractPlan,
    paths: [Option<&'p FieldPath>; FIELDS],
}

impl<'p> Reader<'p> {
    /// Prepares reading.
    pub fn new(plan: &'p ExtractPlan) -> Self {
        let date = |field: &'p Option<DateField>| field.as_ref().map(|f| &f.path);
        let paths = [plan.id.as_ref(), date(&plan.updated), date(&plan.created), plan.deleted.as_ref().map(|flag| &flag.path)];
        Self { plan, paths }
    }

    /// Reads one record. `key` is its key in a map of records, which is the id unless an id field says otherwise.
    ///
    /// # Errors
    /// [`MissingId`].
    pub fn read<'a>(&self, json: &'a str, key: Option<&'a str>) -> Result<Sighting<'a>, MissingId> {
        let [id, updated, created, deleted] = capture(json, &self.paths);
        let id = match (id.and_then(scalar_text), key) {
            (Some(id), _) if !id.is_empty() => id,
            (None, Some(key)) if self.plan.id.is_none() => Cow::Borrowed(key),
            _ => return Err(MissingId),
        };
        let mut bad_date = false;
        let mut read_date =
            |field: &Option<DateField>, sent: Option<&'a str>| -> (Option<Cow<'a, str>>, Option<DateTime<Utc>>) {
                let Some((field, sent)) = field.as_ref().zip(sent) else { return (None, None) };
                // Servers that write XML as JSON, and PHP, have an empty list or object for null.
                if sent == "null" || sent.bytes().all(|byte| b"[]{} \t\r\n".contains(&byte)) {
                    return (None, None);
                }
                let text = scalar_text(sent);
                match text.as_deref().map_or(DateReading::Unreadable, |text| field.format.read(text)) {
                    DateReading::At(at) => (text, Some(at)),
                    DateReading::Never => (None, None),
                    DateReading::Unreadable => {
                        bad_date = true;
                        (text, None)
                    }
                }
            };
        let (updated_text, updated_date) = read_date(&self.plan.updated, updated);
        let (_, created_date) = read_date(&self.plan.created, created);
        let deleted =
            self.plan.deleted.as_ref().is_some_and(|flag| deleted.and_then(scalar_text).is_some_and(|text| text == flag.value));
        Ok(Sighting {
            id,
            updated_text,
            version_date: updated_date.max(created_date),
            created_date,
            deleted,
            content: xxh3_128(json.as_bytes()),
            bad_date,
        })
    }
}

/// The values at up to eight paths, found in one pass over the record's members.
fn capture<'a>(json: &'a str, paths: &[Option<&FieldPath>; FIELDS]) -> [Option<&'a str>; FIELDS] {
    struct Capture<'p>(&'p [Option<&'p FieldPath>; FIELDS]);
    impl<'de> Visitor<'de> for Capture<'_> {
        type Value = [Option<&'de str>; FIELDS];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found: Self::Value = [None; FIELDS];
            while let Some(wanted) = map.next_key_seed(Wanted(self.0))? {
                if wanted == 0 {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                let value = map.next_value::<&RawValue>()?.get();
                for (slot, _) in found.iter_mut().enumerate().filter(|(i, _)| wanted & (1 << i) != 0).map(|(i, s)| (s, i)) {
                    *slot = Some(value);
                }
            }
            Ok(found)
        }
    }
    let mut de = serde_json::Deserializer::from_str(json);
    let Ok(mut found) = de.deserialize_map(Capture(paths)) else { return [None; FIELDS] };
    for (slot, path) in found.iter_mut().zip(paths) {
        if let (Some(value), Some(path)) = (*slot, path)
            && path.segments().len() > 1
        {
            *slot = path.find_below_first(value);
        }
    }
    found
}

/// Which of the paths start with a key, as bits.
struct Wanted<'p>(&'p [Option<&'p FieldPath>; FIELDS]);
impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = u8;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<u8, D::Error> {
        d.deserialize_str(self)
    }
}
impl Visitor<'_> for Wanted<'_> {
    type Value = u8;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<u8, E> {
        let starts = |path: &FieldPath| matches!(path.segments().first(), Some(Segment::Key(first)) if first == key);
        Ok(self.0.iter().enumerate().fold(0, |bits, (i, path)| if path.is_some_and(starts) { bits | 1 << i } else { bits }))
    }
}

#[cfg(test)]
#[path = "record_dates_tests.rs"]
mod dates_tests;
