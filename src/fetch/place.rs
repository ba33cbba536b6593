//! Where the records of a list are thought to be, and what it means when there is no list. Pure.
//!
//! Servers write an empty list in many ways: proto3 leaves it out, Go writes `null`, PHP `[]` for a map and `{}` for a list. So
//! once a place held a list, nothing in it is an empty list. Before, a path that leads nowhere may as well be misspelt.

use super::error_shape::{self, Rows};
use super::names::Words;
use crate::api::visible;
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json;
use crate::plan::{ExtractPlan, RecordsAs};

/// Array names that a message lists.
const MAX_NAMES: usize = 5;
/// Characters of one such name.
const MAX_NAME: usize = 40;
/// Objects inside objects in which other lists are looked for.
const MAX_LEVELS: usize = 4;
/// Characters of a path that is kept.
const MAX_KEPT: usize = 512;
/// The text for the answer itself being the list.
const ROOT: &str = "$";

/// Where the records are thought to be.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Path to them; empty for the answer itself, `None` to look for them.
    pub path: Option<&'a [Segment]>,
    /// The manifest says so; else it was found out.
    pub is_given: bool,
    /// A list was there before.
    pub held_list: bool,
    /// A rule of the manifest says that the response is a usual one, whatever in it looks like an error.
    pub is_success: bool,
    /// How records are read, where an object in the place of the list may be the only one of them.
    pub only: Option<&'a ExtractPlan>,
    /// The last segment of the path that was requested: a list of that name is one of records, whatever lists of that name are elsewhere.
    pub requested: Option<&'a str>,
}

/// Whether an object in the place of a list is the only record of it, as converters of XML write a list of one. It has an id, and a date
/// where records have dates; without dates, what could be an error is none. In the place of the whole response an object may be anything.
pub(super) fn is_only_record(place: &Place<'_>, object: &str) -> bool {
    let (Some(plan), Some([_, ..])) = (place.only, place.path) else { return false };
    let mut dates = [&plan.updated, &plan.created].into_iter().flatten().peekable();
    let rows = if dates.peek().is_some() { Rows::Known } else { Rows::Absent };
    let is_dated = rows == Rows::Absent || dates.any(|date| date.path.find(object).is_some());
    let has_id = plan.id.find(object).is_some_and(|id| plan.id.text(&id).is_some_and(|id| !id.is_empty()));
    has_id && is_dated && !error_shape::is_error(object, &[], rows)
}

/// What it means that there is no list at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// There are no records.
    Empty,
    /// The records are somewhere else now.
    Moved,
    /// The place is wrong.
    Wrong,
}

/// What is in a place that has no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    LeftOut,
    /// An empty text: converters of XML write an empty element so, whatever may be in it.
    Blank,
    Null,
    /// `{}`, `false`, `0`, or one of them on the way.
    Hollow,
    Something,
}

/// Interprets a response without a list at its place, which says nothing of an error.
pub(super) fn absence(text: &str, place: &Place<'_>, form: RecordsAs) -> Absence {
    let Some(path) = place.path else {
        return if form == RecordsAs::Map && text.trim() == "[]" { Absence::Empty } else { Absence::Wrong };
    };
    let found = what_is_at(text.trim(), path);
    let others = || other_lists(text, path);
    let is_array = || value_at(text.trim(), path).is_some_and(|value| value.starts_with('['));
    match (found, place.held_list) {
        // PHP has one empty array for both.
        (Found::Hollow, false) if form == RecordsAs::Map && is_array() => Absence::Empty,
        (Found::Null, false) if place.is_given => Absence::Empty,
        (Found::LeftOut | Found::Blank, false) if place.is_given && !others().any && !counts_rows(text) => Absence::Empty,
        (Found::Something, _) | (_, false) => Absence::Wrong,
        // Where it was found out, no other list of objects was there; where it is given, one may always have been.
        (_, true) if others().with_objects && (!place.is_given || (found == Found::LeftOut && counts_rows(text))) => {
            Absence::Moved
        }
        (_, true) => Absence::Empty,
    }
}

/// Whether a map of records is rather an error: all of its objects are error members.
pub(super) fn is_error_map(text: &str) -> bool {
    let mut others = false;
    json::for_each_member(text, |key, value| {
        others |= value.starts_with(['{', '['])
            && !Words::of(key).has_any(&["error", "errors", "fault", "exception"])
            && value != "{}"
            && value != "[]";
    });
    !others && error_shape::is_error(text, &[], Rows::Absent)
}

fn value_at<'a>(text: &'a str, path: &[Segment]) -> Option<&'a str> {
    path.iter().try_fold(text, |value, step| match step {
        Segment::Key(key) => json::member(value, key),
        Segment::Index(index) => json::element(value, *index),
    })
}

/// Whether the member at the end of a path, or one on the way, is not there.
pub(super) fn is_left_out(text: &str, path: &[Segment]) -> bool {
    what_is_at(text.trim(), path) == Found::LeftOut
}

fn what_is_at(text: &str, path: &[Segment]) -> Found {
    let mut value = text;
    for step in path {
        let inner = match (value.as_bytes().first(), step) {
            (Some(b'{'), Segment::Key(key)) => json::member(value, key),
            (Some(b'['), Segment::Index(index)) => json::element(value, *index),
            _ => return if is_hollow(value) { hollow(value) } else { Found::Something },
        };
        let Some(inner) = inner else { return Found::LeftOut };
        value = inner.trim();
    }
    if is_hollow(value) { hollow(value) } else { Found::Something }
}

fn hollow(value: &str) -> Found {
    match value {
        "null" => Found::Null,
        "\"\"" => Found::Blank,
        _ => Found::Hollow,
    }
}

fn is_hollow(value: &str) -> bool {
    match value.as_bytes().first() {
        Some(b'{' | b'[') => value.bytes().filter(|b| !b.is_ascii_whitespace()).count() == 2,
        _ => matches!(value, "null" | "false" | "0" | "\"\"" | "\"[]\"" | "\"{}\"" | "\"null\""),
    }
}

/// Lists in other places.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    /// Lists of objects, or empty ones.
    any: bool,
    /// Lists of objects.
    with_objects: bool,
}

fn other_lists(text: &str, path: &[Segment]) -> Others {
    let mut others = Others::default();
    if text.trim_start().starts_with('[') {
        others.see(text.trim(), path.is_empty());
    }
    others.look(text, path, MAX_LEVELS);
    others
}

impl Others {
    fn see(&mut self, array: &str, is_place: bool) {
        if is_place {
            return;
        }
        let first = array[1..].trim_start();
        self.with_objects |= first.starts_with('{');
        self.any |= first.starts_with(['{', ']']);
    }

    fn look(&mut self, object: &str, path: &[Segment], levels: usize) {
        json::for_each_member(object, |key, value| {
            let below = match path.split_first() {
                Some((Segment::Key(step), rest)) if step == key => Some(rest),
                _ => None,
            };
            if value.starts_with('[') && !is_aside(key) {
                // An array on the way is no other list.
                self.see(value, below.is_some());
            } else if value.starts_with('{') && levels > 0 {
                self.look(value, below.unwrap_or_default(), levels - 1);
            }
        });
    }
}

/// Whether there is another list of objects next to the one at `path`. Had the two come together at first, it would not have been found out
/// where the records are.
pub(super) fn has_lists_beside(envelope: &str, path: &[Segment]) -> bool {
    let [Segment::Key(own)] = path else { return false };
    let mut has_others = false;
    json::for_each_member(envelope, |key, value| {
        let is_list = value.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with('{'));
        has_others |= is_list && key != own && !is_aside(key);
    });
    has_others
}

/// Whether a list of that name, as it was sent, is never the list of records, unless the manifest says so: one of errors, or one that many APIs
/// send next to the records and that is not what was requested.
pub(super) fn is_never_records(sent: &str, requested: Option<&str>) -> bool {
    let Some(name) = json::name_text(sent) else { return false };
    let words = Words::of(&name);
    let is_requested = requested.is_some_and(|requested| words.is_in(&Words::of(requested)));
    words.has_any(&["error", "errors", "fault", "faults", "exception", "exceptions"]) || (is_aside(&name) && !is_requested)
}

/// Whether a member of that name, as it was sent, is where records are wherever they are not named for what they are.
pub(super) fn is_generic(sent: &str) -> bool {
    let name = json::name_text(sent);
    name.is_some_and(|name| {
        Words::of(&name).is_one_of(&[
            &["data"],
            &["records"],
            &["items"],
            &["results"],
            &["rows"],
            &["entries"],
            &["values"],
            &["elements"],
            &["objects"],
            &["documents"],
            &["hits"],
            &["list"],
            &["collection"],
        ])
    })
}

/// Lists that many APIs send next to the records and that are not records.
pub(super) fn is_aside(name: &str) -> bool {
    Words::of(name).has_any(&[
        "error",
        "errors",
        "warning",
        "warnings",
        "notice",
        "notices",
        "link",
        "links",
        "included",
        "includes",
        "fault",
        "faults",
        "exceptions",
        "deprecations",
        "facets",
        "aggregations",
        "schema",
        "columns",
        "fields",
        "sort",
        "filters",
    ])
}

/// Whether a number says that there are rows.
fn counts_rows(text: &str) -> bool {
    let mut counts = false;
    json::for_each_member(text, |key, value| {
        let words = Words::of(key);
        let is_total = words.within(&[&[
            "total", "count", "results", "records", "items", "rows", "elements", "size", "hits", "found", "num", "number",
        ]]) && words.has_any(&["total", "count", "found"]);
        counts |= is_total && value.parse::<u64>().is_ok_and(|count| count > 0);
    });
    counts
}

/// A path as it is kept and shown; `None` where it would not be read back as the same.
pub(super) fn kept(path: &[Segment]) -> Option<String> {
    if path.is_empty() {
        return Some(ROOT.to_owned());
    }
    let text = shown_path(path);
    (text.len() <= MAX_KEPT && read(&text).as_deref() == Some(path)).then_some(text)
}

/// Reads a kept path, or one of a manifest.
pub(super) fn read(text: &str) -> Option<Vec<Segment>> {
    if text == ROOT {
        return Some(Vec::new());
    }
    FieldPath::parse(text).ok().map(|path| path.segments().to_vec())
}

/// The steps of a path of a manifest; `$` means the answer itself.
pub(super) fn given(path: &FieldPath) -> &[Segment] {
    match path.segments() {
        [Segment::Key(root)] if root == ROOT => &[],
        segments => segments,
    }
}

fn shown_path(path: &[Segment]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Segment::Key(key) if !key.contains(['.', '[', ']', '\'', '"', ' ', '$', '@']) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Key(key) if key.contains('\'') => text.extend(["[\"", key, "\"]"]),
            Segment::Key(key) => text.extend(["['", key, "']"]),
            Segment::Index(index) => text.extend(["[", &index.to_string(), "]"]),
        }
    }
    text
}

/// Paths of the arrays in the first two levels: what a person may have meant. Only read for a message.
pub(super) fn array_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    json::for_each_member(text, |key, value| {
        if value.starts_with('[') {
            names.push(shown(key));
        } else if value.starts_with('{') {
            json::for_each_member(value, |inner, value| {
                if value.starts_with('[') && names.len() < MAX_NAMES {
                    names.push(format!("{}.{}", shown(key), shown(inner)));
                }
            });
        }
    });
    names.truncate(MAX_NAMES);
    names
}

fn shown(name: &str) -> String {
    let plain = visible::beginning(name, MAX_NAME);
    if plain.contains(['.', '[', ']', '\'', ' ']) { format!("['{plain}']") } else { plain }
}

#[cfg(test)]
mod tests;
