//! Rows of a list that have no id and so cannot be delivered: how many, what is wrong with the first of them, and where its id most likely
//! is. Pure.

use std::fmt;

use crate::api::nearest::plain;
use crate::api::visible;
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::id::IdPlan;
use crate::plan::json::{for_each_member, scalar_text};

/// Characters of a path that a message shows.
const LONGEST: usize = 80;
/// Members of a row that are looked at.
const MAX_MEMBERS: usize = 200;
/// Names of ids other than `id`, without case and separators, the most common first.
const NAMES: &[&str] = &["uuid", "guid", "uid", "gid", "sysid", "objectid", "recordid", "key", "urn"];

/// The field that names the type of an event.
pub(super) const TYPE_FIELD: &str = "feed.typeField";

/// Rows without an id that can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unidentified {
    /// Rows that are `null`: there is no record.
    nulls: u64,
    /// All others.
    rows: u64,
    /// What is wrong with the first of these.
    first: Option<Fault>,
}

/// Why a row has no id.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// It is no object.
    NoObject,
    /// What is where its id was looked for.
    At { field: &'static str, path: String, found: Found, near: Option<String> },
}

/// What is there instead of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Null,
    EmptyText,
    Object,
    List,
    /// A text with half a character.
    Malformed,
}

impl Unidentified {
    /// Notes a row of a resource in which `id` found none.
    pub(super) fn note(&mut self, resource: &str, id: &IdPlan, json: &str) {
        if json == "null" {
            self.nulls += 1;
        } else {
            self.rows += 1;
            self.first.get_or_insert_with(|| Fault::of(resource, id.field(), id.paths(), json));
        }
    }

    /// Notes an event of a feed that says nothing, because there is nothing at a path that a field of the manifest names.
    pub(super) fn note_event(&mut self, resource: &str, (field, path): (&'static str, &FieldPath), json: &str) {
        self.rows += 1;
        let paths = std::slice::from_ref(path);
        self.first.get_or_insert_with(|| Fault::of(resource, field, paths, json));
    }

    /// Of these rows of `contacts` those in which there is no id at this path, or none that can be used.
    #[cfg(test)]
    pub(crate) fn of(path: &str, rows: &[&str]) -> Self {
        let id = IdPlan::Field(FieldPath::parse(path).expect("a path"));
        let mut unidentified = Self::default();
        for row in rows {
            unidentified.note("contacts", &id, row);
        }
        unidentified
    }

    /// Rows without an id that are not `null`.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows without an id, those included that are `null`.
    pub fn count(&self) -> u64 {
        self.rows + self.nulls
    }

    /// Whether every row has an id.
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && self.nulls == 0
    }

    /// Adds those of another list of the same resource.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { nulls: self.nulls + other.nulls, rows: self.rows + other.rows, first: self.first.or(other.first) }
    }

    /// What a user reads where no row of the list has an id.
    pub fn of_all(&self) -> String {
        match &self.first {
            Some(Fault::NoObject) => {
                "recordsPath: no row of the list is an object, so nothing can be delivered; set recordsPath to the list of the records"
                    .to_owned()
            }
            Some(Fault::At { field, path, found, near }) => format!(
                "{field}: no record has a text or number at {path}{}, so nothing can be delivered; {}",
                if *found == Found::Nothing { String::new() } else { format!(" (the first has {found} there)") },
                fix(field, near.as_deref())
            ),
            None => self.of_some(),
        }
    }

    /// What a user reads where other rows have one. The number is round, for a status that changes is written.
    pub fn of_some(&self) -> String {
        let rows = rounded(self.rows);
        match &self.first {
            Some(Fault::NoObject) => format!(
                "recordsPath: some rows of the list are no objects and are not delivered ({rows} when rows were last listed); set recordsPath to the \
                 list of the records"
            ),
            Some(Fault::At { field, path, found, near }) => format!(
                "{field}: some records have {found} at {path} and are not delivered ({rows} when rows were last listed); {}",
                fix(field, near.as_deref())
            ),
            None => format!(
                "recordsPath: some rows of the list are null and are skipped ({} when rows were last listed), as providers write what the credentials \
                 may not read; extend their permissions, or leave these rows out by query",
                rounded(self.nulls)
            ),
        }
    }
}

fn fix(field: &str, near: Option<&str>) -> String {
    match near {
        _ if field == "idFields" => "name members that every record has".to_owned(),
        _ if field == TYPE_FIELD => format!("set {field} to the path of an event's type"),
        Some(near) => format!("set {field} to {near}, which looks like the id"),
        None => format!("set {field} to the path of the id"),
    }
}

/// A count as a status shows it: with each new number the status would be written again.
pub(super) fn rounded(count: u64) -> String {
    if count == 1 { "1".to_owned() } else { format!("up to {}", next_decade(count)) }
}

/// The next of 10, 100, 1000 and so on.
fn next_decade(count: u64) -> u64 {
    let decade = 10_u64.saturating_pow(count.max(1).ilog10());
    if decade == count && count > 1 { decade } else { decade.saturating_mul(10) }
}

impl Fault {
    fn of(resource: &str, field: &'static str, paths: &[FieldPath], json: &str) -> Self {
        if !json.starts_with('{') {
            return Self::NoObject;
        }
        let wrong = paths.iter().find_map(|path| Some((path, Found::at(path, json)?)));
        // The id of a map's record is its key, which is always there.
        let Some((path, found)) = wrong.or_else(|| paths.first().map(|path| (path, Found::Nothing))) else {
            return Self::NoObject;
        };
        let near = likely(resource, path, found, json).map(|near| visible::beginning(&near.to_string(), LONGEST));
        Self::At { field, path: visible::beginning(&path.to_string(), LONGEST), found, near }
    }
}

impl Found {
    /// What a record has at a path, unless that can be an id.
    fn at(path: &FieldPath, json: &str) -> Option<Self> {
        let Some(value) = path.find(json) else { return Some(Self::Nothing) };
        match value.as_bytes().first() {
            Some(b'n') => Some(Self::Null),
            Some(b'{') => Some(Self::Object),
            Some(b'[') => Some(Self::List),
            _ => match scalar_text(value) {
                None => Some(Self::Malformed),
                Some(text) if text.is_empty() => Some(Self::EmptyText),
                Some(_) => None,
            },
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Null => "null",
            Self::EmptyText => "an empty text",
            Self::Object => "an object",
            Self::List => "a list",
            Self::Malformed => "a malformed text",
        })
    }
}

/// Where a record most likely has the id that is not at `path`: in the object that is there, next to it under a name of ids, or in the one
/// object that wraps the record. An id of something else, such as `contact_id` in an appointment, is never meant: many records have the same.
fn likely(resource: &str, path: &FieldPath, found: Found, json: &str) -> Option<FieldPath> {
    let (last, before) = path.segments().split_last()?;
    if found == Found::Object {
        let inner = only(members(path.find(json)?).filter(|(_, value)| is_id(value)))?;
        return Some(below(path.segments(), inner.0));
    }
    // An id that is there and empty is in the right place.
    if !matches!(found, Found::Nothing | Found::Null) {
        return None;
    }
    let own = match last {
        Segment::Key(key) => plain(key),
        Segment::Index(_) => return None,
    };
    let beside = if before.is_empty() { Some(json) } else { FieldPath::of(before).find(json) };
    let named = |object: &str| {
        let ids: Vec<_> = members(object).filter(|(_, value)| is_id(value)).map(|(name, _)| name).collect();
        let like = |name: &str| ids.iter().find(|id| plain(id) == name).cloned();
        let typical = || std::iter::once("id").chain(NAMES.iter().copied()).find_map(like);
        like(&own).or_else(typical).or_else(|| only(ids.iter().filter(|id| is_own_id(id, resource)).cloned()))
    };
    if let Some(name) = beside.and_then(named) {
        return Some(below(before, name));
    }
    if let Some(name) = named(json).filter(|_| !before.is_empty()) {
        return Some(below(&[], name));
    }
    let is_alone = members(json).nth(1).is_none();
    let objects = members(json).filter(|(name, value)| value.starts_with('{') && (is_alone || is_named(name, resource)));
    let (wrapper, name) = only(objects.filter_map(|(wrapper, inner)| Some((wrapper, named(inner)?))))?;
    Some(FieldPath::of(&[Segment::Key(wrapper), Segment::Key(name)]))
}

fn below(path: &[Segment], name: String) -> FieldPath {
    FieldPath::of(&path.iter().cloned().chain([Segment::Key(name)]).collect::<Vec<_>>())
}

/// The only item, if there is one and no more.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

fn members(object: &str) -> impl Iterator<Item = (String, &str)> {
    let mut members = Vec::new();
    for_each_member(object, |name, value| {
        if members.len() < MAX_MEMBERS {
            members.push((name.to_owned(), value));
        }
    });
    members.into_iter()
}

/// Whether a value can be an id.
fn is_id(value: &str) -> bool {
    !matches!(value, "true" | "false") && scalar_text(value).is_some_and(|text| !text.is_empty())
}

/// In `contacts`: `contactId`, `contact_id`, `ContactID`.
fn is_own_id(name: &str, resource: &str) -> bool {
    ["_id", "-id", "Id", "ID"].iter().any(|end| name.strip_suffix(end).is_some_and(|stem| is_named(stem, resource)))
}

/// Whether a name is the one of a resource, or of one of its records: `company` of `companies`.
fn is_named(name: &str, resource: &str) -> bool {
    let (name, resource) = (plain(name), plain(resource));
    let one = |end: &str, other: &str| resource.strip_suffix(end).is_some_and(|stem| format!("{stem}{other}") == name);
    name == resource || one("s", "") || one("es", "") || one("ies", "y")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, rows: &[&str]) -> Unidentified {
        Unidentified::of(path, rows)
    }

    #[test]
    fn the_place_where_the_id_most_likely_is_is_named() {
        for (path, row, near) in [
            ("id", r#"{"_id":"a","name":"x"}"#, Some("_id")),
            ("id", r#"{"ID":1}"#, Some("ID")),
            ("id", r#"{"@id":"/c/1","uuid":"u"}"#, Some("@id")),
            ("id", r#"{"name":"x","uuid":"u"}"#, Some("uuid")),
            ("id", r#"{"name":"x","key":"k","guid":"g"}"#, Some("guid")),
            ("id", r#"{"contact_id":7,"name":"x"}"#, Some("contact_id")),
            ("id", r#"{"ContactID":7,"ownerId":8}"#, Some("ContactID")),
            ("id", r#"{"company_id":7,"name":"x"}"#, None),
            ("id", r#"{"name":"x","owner":{"id":1}}"#, None),
            ("id", r#"{"name":"x","contact":{"id":1}}"#, Some("contact.id")),
            ("id", r#"{"row":{"id":1}}"#, Some("row.id")),
            ("id", r#"{"contact":{"id":1,"name":"x"}}"#, Some("contact.id")),
            ("id", r#"{"a":{"id":1},"b":{"id":2}}"#, None),
            ("id", r#"{"id":{"$oid":"5f"}}"#, Some("id.$oid")),
            ("id", r#"{"id":{"a":1,"b":2}}"#, None),
            ("id", r#"{"id":null,"uuid":"u"}"#, Some("uuid")),
            ("id", r#"{"id":"","uuid":"u"}"#, None),
            ("id", r#"{"id":[1],"uuid":"u"}"#, None),
            ("id", r#"{"active":true,"name":"x"}"#, None),
            ("contact.id", r#"{"contact":{"uuid":"u"}}"#, Some("contact.uuid")),
            ("contact.id", r#"{"id":1}"#, Some("id")),
            ("number", r#"{"id":1}"#, Some("id")),
        ] {
            let Some(Fault::At { near: found, .. }) = of(path, &[row]).first else { panic!("{row}") };
            assert_eq!(found.as_deref(), near, "{path} in {row}");
        }
    }

    #[test]
    fn a_record_is_named_as_its_resource() {
        for (name, resource, is_same) in [
            ("contact", "contacts", true),
            ("contacts", "contacts", true),
            ("company", "companies", true),
            ("box", "boxes", true),
            ("BankTransaction", "bank-transactions", true),
            ("contact", "appointments", false),
            ("contact", "contact-notes", false),
        ] {
            assert_eq!(is_named(name, resource), is_same, "{name} {resource}");
        }
    }

    #[test]
    fn one_sentence_says_field_cause_and_fix() {
        let good = "idField: some records have an object at id and are not delivered (1 when rows were last listed); set idField to id.$oid, which looks \
                    like the id";
        assert_eq!(of("id", &[r#"{"id":{"$oid":"5f"}}"#]).of_some(), good);
        let five = of("id", &["{}", r#"{"id":""}"#, "null", "{}"]);
        assert_eq!(
            five.of_some(),
            "idField: some records have nothing at id and are not delivered (up to 10 when rows were last listed); set idField to the path of the id"
        );
        assert_eq!(
            five.of_all(),
            "idField: no record has a text or number at id, so nothing can be delivered; set idField to the path of the id"
        );
        assert_eq!(
            of("id", &[r#"{"id":[7]}"#]).of_all(),
            "idField: no record has a text or number at id (the first has a list there), so nothing can be delivered; set idField to the \
             path of the id"
        );
        assert_eq!(
            of("id", &["7", "8"]).of_all(),
            "recordsPath: no row of the list is an object, so nothing can be delivered; set recordsPath to the list of the records"
        );
        assert!(
            of("id", &["null", "null"])
                .of_some()
                .starts_with("recordsPath: some rows of the list are null and are skipped (up to 10")
        );
        assert!(of("id", &[r#"{"id":"\ud800"}"#]).of_some().contains("a malformed text at id"));
    }

    #[test]
    fn counts_are_round() {
        assert_eq!([2, 9, 10, 11, 100, 101].map(next_decade), [10, 10, 10, 100, 100, 1000]);
    }
}
