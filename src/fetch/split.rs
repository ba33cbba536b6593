//! Body → [`Page`]: finds the records in one pass that also checks the whole text.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::error_shape::{self, Rows};
use super::looks::Looks;
use super::lost_list::LostList;
use super::page::{MAX_RECORDS, Page, Span};
use super::partial_shape;
use super::place::{self, Absence, Place};
use crate::plan::RecordsAs;
use crate::plan::field_path::Segment;
use crate::plan::json;
use crate::plan::json::scan::Scan;

mod error;
pub use self::error::{Kind, SplitError};

/// Bytes of a body that are still read.
pub const MAX_BODY: usize = crate::egress::ledger::LARGEST;

/// Finds the records in `body` at a path that has not been seen to lead to a list; otherwise as [`split_at`].
///
/// # Errors
/// As [`split_at`].
pub fn split(body: Bytes, path: Option<&[Segment]>, form: RecordsAs) -> Result<Page, SplitError> {
    split_at(body, &Place { path, is_given: true, held_list: false, is_success: false, only: None, requested: None }, form)
}

/// Finds the records in `body`. The place leads to them; an empty path means the body itself, and no path takes the body if it
/// is a list, else its only member that is a list of objects or an empty list. Of repeated names the last one counts.
///
/// # Errors
/// A body that is not JSON within its bounds, that has no records at the place and is not just an empty answer, or that says
/// that something went wrong.
pub fn split_at(body: Bytes, place: &Place<'_>, form: RecordsAs) -> Result<Page, SplitError> {
    if body.len() > MAX_BODY {
        return Err(SplitError::BodyTooLarge);
    }
    let mut body = String::from_utf8(Vec::from(body)).map_err(|e| SplitError::Encoding { at: e.utf8_error().valid_up_to() })?;
    if body.starts_with('\u{FEFF}') {
        body.drain(..'\u{FEFF}'.len_utf8());
    }
    if body.trim_ascii().is_empty() {
        return Err(SplitError::Empty);
    }
    match find(&body, place, form) {
        Ok(found) => {
            let Cut { spans, decoded, list, path } = found;
            let brackets = if form == RecordsAs::Map { "{}" } else { "[]" };
            let envelope = [&body[..list.start], brackets, &body[list.end..]].concat();
            let digest = xxh3_128(body[list].as_bytes());
            let page = Page { body, spans, decoded, envelope, digest, path, listed: true, lost: None, share: None };
            if !place.is_success && says_error(&page, place, form) {
                return Err(SplitError::ErrorAnswer);
            }
            whole(page, place)
        }
        Err(
            error @ (SplitError::Null { .. }
            | SplitError::Missing { .. }
            | SplitError::WrongKind { .. }
            | SplitError::Undecided { .. }),
        ) => {
            if !place.is_success && error_shape::is_error(&body, &[], Rows::Absent) {
                return Err(SplitError::ErrorAnswer);
            }
            match place::absence(&body, place, form) {
                Absence::Empty => without_list(body, place),
                Absence::Moved => Err(SplitError::Moved { arrays: place::array_names(&body) }),
                Absence::Wrong => Err(error),
            }
        }
        Err(SplitError::Malformed(error, _)) => Err(SplitError::Malformed(error, Looks::of(&body, error.at))),
        Err(error) => Err(error),
    }
}

/// The page of an answer that leaves its list out, unless it says something else in its place.
fn without_list(body: String, place: &Place<'_>) -> Result<Page, SplitError> {
    let path = place.path.unwrap_or_default();
    if !place.is_success
        && let Some(member) = error_shape::said_instead(&body, path)
    {
        return Err(SplitError::SaysElse { member });
    }
    let lost = if place.is_given && place.held_list { LostList::find(&body, path) } else { None };
    whole(Page { lost, ..Page::without_list(body, path.to_vec()) }, place)
}

/// The page, unless the answer says that rows of it are missing.
fn whole(page: Page, place: &Place<'_>) -> Result<Page, SplitError> {
    match partial_shape::marker(&page.envelope, &page.path) {
        Some(member) if !place.is_success => Err(SplitError::Partial { member }),
        Some(_) | None => Ok(page),
    }
}

fn says_error(page: &Page, place: &Place<'_>, form: RecordsAs) -> bool {
    let is_root = page.path.is_empty();
    if form == RecordsAs::Map && is_root {
        // Each member counts as a record, so that an error would, too.
        return !place.is_given && place::is_error_map(&page.body);
    }
    let rows = match (page.is_empty(), place.path) {
        (true, _) => Rows::Empty,
        (false, None) => Rows::Guessed,
        (false, Some(_)) => Rows::Known,
    };
    error_shape::is_error(&page.envelope, &page.path, rows)
        || (is_root
            && !(place.is_given && place.path.is_some())
            && error_shape::are_errors(page.records().map(|record| record.json)))
}

/// Where the records are in a body.
struct Cut {
    spans: Vec<Span>,
    decoded: Vec<(usize, Box<str>)>,
    list: std::ops::Range<usize>,
    path: Vec<Segment>,
}

fn find(text: &str, place: &Place<'_>, form: RecordsAs) -> Result<Cut, SplitError> {
    let mut split = Split { scan: Scan::new(text), form, found: None, spans: Vec::new(), decoded: Vec::new() };
    let path = match (place.path, form) {
        (Some(path), _) => {
            split.follow(path)?;
            path.to_vec()
        }
        (None, RecordsAs::Map) => {
            split.collect()?;
            Vec::new()
        }
        (None, RecordsAs::List) => match split.detect(place.requested)? {
            Detected::Root => Vec::new(),
            Detected::Member(name) => vec![Segment::Key(name)],
            Detected::Undecided => {
                split.scan.end()?;
                return Err(SplitError::Undecided { arrays: place::array_names(text) });
            }
        },
    };
    split.scan.end()?;
    let root = if text.trim_start().starts_with('[') { Kind::Array } else { Kind::Object };
    let Split { found, spans, decoded, .. } = split;
    match found {
        Some(Found::List(list)) => Ok(Cut { spans, decoded, list, path }),
        Some(Found::Object(object)) if place::is_only_record(place, &text[object.clone()]) => {
            let span = Span { start: position(object.start), end: position(object.end), key_start: 0, key_end: 0 };
            Ok(Cut { spans: vec![span], decoded, list: object, path })
        }
        Some(Found::Null { at }) => Err(SplitError::Null { at }),
        Some(Found::Object(_)) if path.is_empty() => Err(SplitError::Missing { root, arrays: place::array_names(text) }),
        Some(Found::Object(_)) => Err(SplitError::WrongKind { found: Kind::Object }),
        Some(Found::Other(found)) => Err(SplitError::WrongKind { found }),
        None => Err(SplitError::Missing { root, arrays: place::array_names(text) }),
    }
}

enum Found {
    List(std::ops::Range<usize>),
    Null { at: usize },
    Object(std::ops::Range<usize>),
    Other(Kind),
}

enum Detected {
    Root,
    Member(String),
    Undecided,
}

struct Split<'a> {
    scan: Scan<'a>,
    form: RecordsAs,
    found: Option<Found>,
    spans: Vec<Span>,
    decoded: Vec<(usize, Box<str>)>,
}

impl Split<'_> {
    fn forget(&mut self) {
        self.spans.clear();
        self.decoded.clear();
    }

    /// Reads the next value and collects what stands at `path` in it.
    fn follow(&mut self, path: &[Segment]) -> Result<(), SplitError> {
        let Some((step, rest)) = path.split_first() else {
            return self.collect();
        };
        match (self.scan.peek()?, step) {
            (b'{', Segment::Key(key)) => {
                let mut more = self.scan.enter(b'}')?;
                while more {
                    if json::is_name(self.scan.name()?, key) {
                        self.found = None;
                        self.forget();
                        self.follow(rest)?;
                    } else {
                        self.scan.skip()?;
                    }
                    more = self.scan.more(b'}')?;
                }
            }
            (b'[', Segment::Index(wanted)) => {
                let mut more = self.scan.enter(b']')?;
                let mut index = 0;
                while more {
                    if index == *wanted {
                        self.follow(rest)?;
                    } else {
                        self.scan.skip()?;
                    }
                    index += 1;
                    more = self.scan.more(b']')?;
                }
            }
            _ => self.scan.skip()?,
        }
        Ok(())
    }

    /// Reads the next value as the list, or map, of records.
    fn collect(&mut self) -> Result<(), SplitError> {
        let first = self.scan.peek()?;
        let start = self.scan.at();
        self.found = Some(match (first, self.form) {
            (b'[', RecordsAs::List) => {
                self.elements()?;
                Found::List(start..self.scan.at())
            }
            (b'{', RecordsAs::Map) => {
                self.members()?;
                Found::List(start..self.scan.at())
            }
            _ => {
                self.scan.skip()?;
                match first {
                    b'n' => Found::Null { at: start },
                    b'{' => Found::Object(start..self.scan.at()),
                    b'[' => Found::Other(Kind::Array),
                    _ => Found::Other(Kind::Scalar),
                }
            }
        });
        Ok(())
    }

    /// Reads an array; returns whether it can be a list of records.
    fn elements(&mut self) -> Result<bool, SplitError> {
        let mut rows = Elements::default();
        let mut more = self.scan.enter(b']')?;
        while more {
            rows.note(self.scan.peek()?);
            self.record(0..0)?;
            more = self.scan.more(b']')?;
        }
        Ok(rows.may_be_records())
    }

    fn members(&mut self) -> Result<(), SplitError> {
        let mut more = self.scan.enter(b'}')?;
        while more {
            self.scan.peek()?;
            let key_start = self.scan.at() + 1;
            let name = self.scan.name()?;
            if self.scan.peek()? == b'n' {
                // A key without a value has no record: it has gone, or there was none.
                self.scan.skip()?;
            } else {
                if name.contains('\\')
                    && let Some(text) = json::name_text(name)
                {
                    self.decoded.push((self.spans.len(), text.into()));
                }
                self.record(key_start..key_start + name.len())?;
            }
            more = self.scan.more(b'}')?;
        }
        Ok(())
    }

    fn record(&mut self, key: std::ops::Range<usize>) -> Result<(), SplitError> {
        self.scan.peek()?;
        let start = self.scan.at();
        self.scan.skip()?;
        let end = self.scan.at();
        if self.spans.len() == MAX_RECORDS {
            return Err(SplitError::TooManyRecords);
        }
        self.spans.push(Span {
            start: position(start),
            end: position(end),
            key_start: position(key.start),
            key_end: position(key.end),
        });
        Ok(())
    }

    /// Reads the whole text and takes it, or its only array member, as the list.
    fn detect(&mut self, requested: Option<&str>) -> Result<Detected, SplitError> {
        if self.scan.peek()? != b'{' {
            self.collect()?;
            return Ok(Detected::Root);
        }
        let mut chosen: Option<&str> = None;
        let mut undecided = false;
        // Null is where records are usually: a list of another name next to it may be anything.
        let mut nothing = false;
        let mut more = self.scan.enter(b'}')?;
        while more {
            let name = self.scan.name()?;
            if chosen == Some(name) {
                chosen = None;
                self.forget();
                self.found = None;
            }
            if self.scan.peek()? == b'n' && place::is_generic(name) {
                nothing = true;
                self.scan.skip()?;
            } else if self.scan.peek()? == b'[' && place::is_never_records(name, requested) {
                self.scan.skip()?;
            } else if self.scan.peek()? == b'[' && chosen.is_none() {
                let start = self.scan.at();
                if self.elements()? {
                    chosen = Some(name);
                    self.found = Some(Found::List(start..self.scan.at()));
                } else {
                    self.forget();
                }
            } else if self.scan.peek()? == b'[' {
                undecided |= self.passed_over()?;
            } else {
                self.scan.skip()?;
            }
            more = self.scan.more(b'}')?;
        }
        undecided |= nothing && chosen.is_some_and(|name| !place::is_generic(name));
        let name = chosen.filter(|_| !undecided).and_then(json::name_text);
        Ok(name.map_or(Detected::Undecided, |name| Detected::Member(name.into_owned())))
    }

    /// The same of an array that is not kept.
    fn passed_over(&mut self) -> Result<bool, SplitError> {
        let mut rows = Elements::default();
        let mut more = self.scan.enter(b']')?;
        while more {
            rows.note(self.scan.peek()?);
            self.scan.skip()?;
            more = self.scan.more(b']')?;
        }
        Ok(rows.may_be_records())
    }
}

/// The kinds of the elements of an array.
#[derive(Clone, Copy, Debug, Default)]
struct Elements {
    objects: bool,
    nulls: bool,
    others: bool,
}

impl Elements {
    fn note(&mut self, first: u8) {
        match first {
            b'{' => self.objects = true,
            b'n' => self.nulls = true,
            _ => self.others = true,
        }
    }

    /// None, or objects, between which `null` may stand for those that may not be read.
    fn may_be_records(self) -> bool {
        !self.others && (self.objects || !self.nulls)
    }
}

fn position(at: usize) -> u32 {
    // Lossless: MAX_BODY is checked first.
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
