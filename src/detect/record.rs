//! One record as detection sees it: id, dates, tombstone and content, read from its bytes in one pass.

use std::borrow::Cow;
use std::cell::OnceCell;

use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed, xxh3_128};

use super::canonical::{self, below_element, below_key};
use super::mark;
pub use super::mark::Mark;
use crate::plan::date_format::{DateReading, WrittenDate};
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::id::MAX_MEMBERS;
use crate::plan::json::{for_each_element, for_each_member, is_name, members, scalar_text};
use crate::plan::{DateField, ExtractPlan};

/// One record of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Byte for byte as sent. Mostly an object; anything else is a record without id.
    pub json: &'a str,
    /// Its name in a map of records; `None` in a list.
    pub key: Option<&'a str>,
}

/// What detection needs to know of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordView<'a> {
    /// Id as the text that was sent: `1` and `"1"` are the same id, big integers keep every digit.
    pub id: Cow<'a, str>,
    /// The id as JSON, as [`IdPlan::read`](crate::plan::id::IdPlan::read) gives it; `None` when it is a key in a map of records.
    pub id_json: Option<Cow<'a, str>>,
    /// The updated date as it was sent; part of the event's identity.
    pub updated_text: Option<Cow<'a, str>>,
    /// When it says that it was last changed; `None` also until the first change, on some servers.
    pub updated: Option<WrittenDate>,
    /// When it was created.
    pub created: Option<WrittenDate>,
    /// What the mark of deleted records says.
    pub mark: Mark,
    /// Hash of the bytes that were sent, without the ignored fields.
    pub content: u128,
    /// A date is there but cannot be read.
    pub bad_date: bool,
    /// It has the field of the updated date, whatever its value.
    pub has_updated_field: bool,
    /// It has the field of the created date.
    pub has_created_field: bool,
    /// What the filter says of it.
    pub selected: Selected,
    /// Its bytes, and what of them is ignored.
    compared: Compared<'a>,
}

/// What is compared of a record where no date distinguishes its versions.
#[derive(Clone, Debug)]
struct Compared<'a> {
    json: &'a str,
    ignored: &'a [FieldPath],
    /// Most records are never compared so.
    hash: OnceCell<u64>,
}

impl PartialEq for Compared<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.json, self.ignored) == (other.json, other.ignored)
    }
}

/// What the filter says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selected {
    /// It is delivered: the filter is true, cannot be evaluated, or there is none.
    Yes,
    /// It is not.
    No,
}

impl RecordView<'_> {
    /// Hash of the id, as the known set keeps it.
    pub fn id_hash(&self) -> u64 {
        id_hash(&self.id)
    }

    /// Hash of the version, as the known set keeps it. The bytes include the updated date; where only that distinguishes versions, it is
    /// the updated date alone, since bytes may differ at each look.
    pub fn version_hash(&self) -> u64 {
        match &self.updated_text {
            Some(text) if self.is_created_later() => xxh3_64(text.as_bytes()),
            _ => self.content_hash(),
        }
    }

    /// Hash of the bytes, as 0.1.0 kept it for every version.
    #[allow(clippy::cast_possible_truncation)] // the low half of a 128-bit hash is a 64-bit hash
    pub fn content_hash(&self) -> u64 {
        self.content as u64
    }

    /// Hash of its members in any order, by which it is compared where no date distinguishes its versions.
    pub fn canonical_hash(&self) -> u64 {
        *self.compared.hash.get_or_init(|| canonical::hash(self.compared.json, self.compared.ignored))
    }

    /// When it says that it was last changed.
    pub fn updated_date(&self) -> Option<DateTime<Utc>> {
        self.updated.map(|date| date.at)
    }

    /// When it says that it was created.
    pub fn created_date(&self) -> Option<DateTime<Utc>> {
        self.created.map(|date| date.at)
    }

    /// When it came to be as it is: the greater of its updated and created dates.
    pub fn version_date(&self) -> Option<DateTime<Utc>> {
        self.updated_date().max(self.created_date())
    }

    /// It says when it was changed, and that this was before it was created: its version date does not distinguish its versions.
    pub fn is_created_later(&self) -> bool {
        self.updated_date().is_some() && self.created_date() > self.updated_date()
    }

    /// It is a tombstone.
    pub fn is_deleted(&self) -> bool {
        self.mark == Mark::Deleted
    }

    /// The filter excludes it: for the receiver there is no such record.
    pub fn is_excluded(&self) -> bool {
        self.selected == Selected::No
    }

    /// For the receiver there is no such record: it is a tombstone, or excluded.
    pub fn is_gone(&self) -> bool {
        self.is_deleted() || self.is_excluded()
    }
}

/// Hash under which an id is remembered.
pub fn id_hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// Hash under which an object is delivered: one id in the lists of two values is the id of two objects.
pub fn object_hash(list: Option<&str>, id: &str) -> u64 {
    list.map_or_else(|| id_hash(id), |value| xxh3_64_with_seed(id.as_bytes(), xxh3_64(value.as_bytes())))
}

/// The record has no usable id: the field is missing, null, empty, an array or an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingId;

/// Number of fields that are read in addition to the id: updated, created, deleted.
const OTHERS: usize = 3;

/// Reads record views after an [`ExtractPlan`].
#[derive(Debug)]
pub struct RecordReader<'p> {
    plan: &'p ExtractPlan,
    paths: Paths<'p>,
}

/// Paths to the fields that are read; those of the id come last.
#[derive(Debug)]
enum Paths<'p> {
    /// The id has one member, or is a key.
    One([Option<&'p FieldPath>; OTHERS + 1]),
    /// The id has several members.
    Several([Option<&'p FieldPath>; OTHERS + MAX_MEMBERS]),
}

impl<'p> RecordReader<'p> {
    /// Prepares reading.
    pub fn new(plan: &'p ExtractPlan) -> Self {
        let date = |field: &'p Option<DateField>| field.as_ref().map(|f| &f.path);
        let (updated, created, deleted) =
            (date(&plan.updated), date(&plan.created), plan.deleted.as_ref().map(|flag| &flag.path));
        let paths = match plan.id.paths() {
            [] => Paths::One([updated, created, deleted, None]),
            [id] => Paths::One([updated, created, deleted, Some(id)]),
            [first, second, rest @ ..] => {
                let (third, fourth) = (rest.first(), rest.get(1));
                Paths::Several([updated, created, deleted, Some(first), Some(second), third, fourth])
            }
        };
        Self { plan, paths }
    }

    /// Reads one record. `key` is its key in a map of records, which is the id unless an id field says otherwise.
    ///
    /// # Errors
    /// [`MissingId`].
    pub fn read<'a>(&self, json: &'a str, key: Option<&'a str>) -> Result<RecordView<'a>, MissingId>
    where
        'p: 'a,
    {
        let (id, [updated_json, created_json, deleted]) = match &self.paths {
            Paths::One(paths) => {
                let [updated, created, deleted, id] = capture(json, paths);
                (self.plan.id.read(&[id], key), [updated, created, deleted])
            }
            Paths::Several(paths) => {
                let [updated, created, deleted, members @ ..] = capture(json, paths);
                (self.plan.id.read(&members, key), [updated, created, deleted])
            }
        };
        let (id, id_json) = id.ok_or(MissingId)?;
        let mut bad_date = false;
        let mut read_date = |field: &Option<DateField>, sent: Option<&'a str>| -> (Option<Cow<'a, str>>, Option<WrittenDate>) {
            let Some((field, sent)) = field.as_ref().zip(sent) else { return (None, None) };
            // Servers that write XML as JSON, and PHP, have an empty list or object for null.
            if sent == "null" || sent.bytes().all(|byte| b"[]{} \t\r\n".contains(&byte)) {
                return (None, None);
            }
            let text = scalar_text(sent);
            match text.as_deref().map_or(DateReading::Unreadable, |text| field.format.read_written(text)) {
                DateReading::At(date) => (text, Some(date)),
                DateReading::Never => (None, None),
                DateReading::Unreadable => {
                    bad_date = true;
                    (text, None)
                }
            }
        };
        let (updated_text, updated) = read_date(&self.plan.updated, updated_json);
        let (_, created) = read_date(&self.plan.created, created_json);
        Ok(RecordView {
            id,
            id_json,
            updated_text,
            updated,
            created,
            mark: self.plan.deleted.as_ref().zip(deleted).map_or(Mark::Absent, |(flag, sent)| mark::read(flag, sent)),
            content: content_hash(json, &self.plan.ignored),
            bad_date,
            has_updated_field: updated_json.is_some(),
            has_created_field: created_json.is_some(),
            selected: Selected::Yes,
            compared: Compared { json, ignored: &self.plan.ignored, hash: OnceCell::new() },
        })
    }
}

/// Hash of a record's bytes without what lies at the ignored paths.
fn content_hash(json: &str, ignored: &[FieldPath]) -> u128 {
    if ignored.is_empty() {
        return xxh3_128(json.as_bytes());
    }
    let mut hash = Xxh3::new();
    hash_without(json, &ignored.iter().map(FieldPath::segments).collect::<Vec<_>>(), &mut hash);
    hash.digest128()
}

fn hash_without(json: &str, ignored: &[&[Segment]], hash: &mut Xxh3) {
    match json.as_bytes().first() {
        Some(b'{') => {
            hash.update(b"{");
            for_each_member(json, |key, value| {
                let below = below_key(ignored, key);
                if below.iter().any(|rest| rest.is_empty()) {
                    return;
                }
                // The length keeps a name and its value apart.
                hash.update(&(key.len() as u64).to_le_bytes());
                hash.update(key.as_bytes());
                hash_without(value, &below, hash);
            });
            hash.update(b"}");
        }
        Some(b'[') if !ignored.is_empty() => {
            hash.update(b"[");
            let mut index = 0;
            for_each_element(json, |value| {
                let below = below_element(ignored, index);
                index += 1;
                if !below.iter().any(|rest| rest.is_empty()) {
                    hash_without(value, &below, hash);
                    hash.update(b",");
                }
            });
            hash.update(b"]");
        }
        _ => {
            hash.update(&(json.len() as u64).to_le_bytes());
            hash.update(json.as_bytes());
        }
    }
}

/// The values at some paths, found in one pass over the record's members.
fn capture<'a, const FIELDS: usize>(json: &'a str, paths: &[Option<&FieldPath>; FIELDS]) -> [Option<&'a str>; FIELDS] {
    let mut found = [None; FIELDS];
    let ended = members(json, |name, value| {
        for (slot, path) in found.iter_mut().zip(paths) {
            if path.is_some_and(|path| matches!(path.segments().first(), Some(Segment::Key(first)) if is_name(name, first))) {
                *slot = Some(value);
            }
        }
    });
    if ended.is_err() {
        return [None; FIELDS];
    }
    for (slot, path) in found.iter_mut().zip(paths) {
        if let (Some(value), Some(path)) = (*slot, path)
            && path.segments().len() > 1
        {
            *slot = path.find_below_first(value);
        }
    }
    found
}

#[cfg(test)]
#[path = "record_dates_tests.rs"]
mod dates_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;

    #[test]
    fn a_missing_id_is_a_fault_of_the_record() {
        let plan = sample::resource();
        let reader = RecordReader::new(&plan.extract);
        for json in ["{}", r#"{"id":null}"#, r#"{"id":""}"#, r#"{"id":[1]}"#, r#"{"id":{}}"#, "1", "null", "[]", r#""x""#] {
            assert!(reader.read(json, None).is_err(), "{json}");
        }
        assert_eq!(reader.read(r#"{"id":1}"#, None).unwrap().id, reader.read(r#"{"id":"1"}"#, None).unwrap().id);
    }

    #[test]
    fn content_is_compared_without_ignored_fields() {
        let paths = ["views", "cover.url", "files.link", "tags[0]"].map(|path| FieldPath::parse(path).unwrap());
        let hash = |json: &str| content_hash(json, &paths);
        let base = hash(
            r#"{"id":1,"views":1,"cover":{"url":"a","name":"n"},"files":[{"link":"x","n":1},{"link":"y","n":2}],"tags":["t","u"]}"#,
        );
        for same in [
            r#"{"id":1,"views":2,"cover":{"url":"b","name":"n"},"files":[{"link":"p","n":1},{"n":2}],"tags":["s","u"]}"#,
            r#"{"id":1,"cover":{"name":"n"},"files":[{"n":1},{"n":2}],"tags":["","u"],"views":null}"#,
        ] {
            assert_eq!(hash(same), base, "{same}");
        }
        for other in [
            r#"{"id":1,"cover":{"name":"m"},"files":[{"n":1},{"n":2}],"tags":["","u"]}"#,
            r#"{"id":1,"cover":{"name":"n"},"files":[{"n":1},{"n":3}],"tags":["","u"]}"#,
            r#"{"id":1,"cover":{"name":"n"},"files":[{"n":1}],"tags":["","u"]}"#,
            r#"{"id":1,"cover":{"name":"n"},"files":[{"n":1},{"n":2}],"tags":["","v"]}"#,
            r#"{"id":1,"cover":"url","files":[{"n":1},{"n":2}],"tags":["","u"]}"#,
        ] {
            assert_ne!(hash(other), base, "{other}");
        }
    }
}
