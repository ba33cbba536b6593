//! One response without what is anyone's: what the plan reads stays, or is replaced in the same way everywhere; all else becomes a neutral
//! value of the same type. Pure.

use std::collections::{BTreeMap, HashSet};

use http::HeaderMap;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, DATE, LINK};
use serde_json::value::RawValue;

use super::links::Links;
use super::neutral;
use super::pseudonyms::Pseudonyms;
use crate::fetch::{is_about_pages, is_end};
use crate::plan::date_format::DateReading;
use crate::plan::delta::DeltaPlan;
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json::{for_each_element, for_each_member, scalar_text};
use crate::plan::{DateField, PaginationPlan, RecordsAs, ResourcePlan, ValueAt};

/// Digits of a number that may count pages or rows.
const MOST_DIGITS: usize = 9;
/// Characters of a date as providers write it.
const LONGEST_DATE: usize = 40;

/// How the responses to one list are masked.
#[derive(Debug)]
pub struct Mask<'a> {
    resource: &'a ResourcePlan,
    /// Where the records are.
    records: Vec<Segment>,
    /// Where values lead on, to a page or to the next poll.
    leads: Vec<&'a ValueAt>,
    links: Links,
    /// All texts of the responses: a member that is named like one of them is an entry of a map.
    texts: HashSet<String>,
    pseudonyms: &'a mut Pseudonyms,
}

/// Which part of a body a value is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Around the records, where pages are spoken of.
    Envelope,
    /// In a record: paths are those of the plan.
    Record,
    /// In something else, of which nothing is read.
    Aside,
}

impl<'a> Mask<'a> {
    /// For a list whose records are at `records`, with the pagination that is declared or was detected.
    pub fn new(
        resource: &'a ResourcePlan,
        pagination: &'a PaginationPlan,
        records: Vec<Segment>,
        links: Links,
        pseudonyms: &'a mut Pseudonyms,
    ) -> Self {
        let page = match pagination {
            PaginationPlan::NextLink(from) | PaginationPlan::Token { from, .. } => Some(from),
            _ => None,
        };
        let leads = page.into_iter().chain(resource.delta.as_ref().map(|DeltaPlan { from, .. }| from)).collect();
        Self { resource, records, leads, links, texts: HashSet::new(), pseudonyms }
    }

    /// Takes notice of the texts of a body. What is masked later has no member that is named like one of them, unless the plan reads it.
    pub fn note(&mut self, body: &[u8]) {
        if let Some(json) = json(body) {
            collect(json, &mut self.texts);
        }
    }

    /// The headers that say something of a list.
    pub fn headers(&mut self, headers: &HeaderMap) -> BTreeMap<String, String> {
        let mut kept = BTreeMap::new();
        for name in headers.keys() {
            let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
            let text = values.join(", ");
            let leads = self.leads.iter().any(|lead| matches!(lead, ValueAt::Header(own) if own == name));
            let masked = match *name {
                _ if leads => Some(self.lead(&text)),
                LINK => Some(self.link_header(&text)),
                DATE => chrono::DateTime::parse_from_rfc2822(&text).ok().map(|_| text),
                CONTENT_TYPE => text.split(';').next().map(str::trim).filter(|kind| is_media_type(kind)).map(str::to_owned),
                CONTENT_RANGE => is_range(&text).then_some(text),
                _ if is_about_pages(name.as_str()) => Some(self.lead(&text)),
                _ => None,
            };
            if let Some(masked) = masked {
                kept.insert(name.as_str().to_owned(), masked);
            }
        }
        kept
    }

    /// A body; `None` if it is no JSON.
    pub fn body(&mut self, body: &[u8]) -> Option<Box<RawValue>> {
        let text = json(body)?;
        let mut masked = String::with_capacity(text.len());
        self.value(text, &mut Vec::new(), Part::Envelope, &mut masked);
        RawValue::from_string(masked).ok()
    }

    fn value(&mut self, json: &str, at: &mut Vec<Segment>, part: Part, out: &mut String) {
        match json.as_bytes().first() {
            Some(b'{') => self.object(json, at, part, out),
            Some(b'[') => self.array(json, at, part, out),
            _ => self.scalar(json, at, part, out),
        }
    }

    fn object(&mut self, json: &str, at: &mut Vec<Segment>, part: Part, out: &mut String) {
        let is_list = part == Part::Envelope && self.resource.extract.records_as == RecordsAs::Map && *at == self.records;
        out.push('{');
        for_each_member(json, |name, value| {
            if !out.ends_with('{') {
                out.push(',');
            }
            at.push(Segment::Key(name.to_owned()));
            let masked = if is_list { self.pseudonyms.id(name) } else { self.name(name, at, part) };
            push_string(out, &masked);
            out.push(':');
            if is_list {
                self.value(value, &mut Vec::new(), Part::Record, out);
            } else {
                self.value(value, at, part, out);
            }
            at.pop();
        });
        out.push('}');
    }

    fn array(&mut self, json: &str, at: &mut Vec<Segment>, part: Part, out: &mut String) {
        let is_list = part == Part::Envelope && self.resource.extract.records_as == RecordsAs::List && *at == self.records;
        let mut index = 0;
        out.push('[');
        for_each_element(json, |value| {
            if index > 0 {
                out.push(',');
            }
            at.push(Segment::Index(index));
            match part {
                _ if is_list => self.value(value, &mut Vec::new(), Part::Record, out),
                // Of other arrays than those on the way to the records nothing is read.
                Part::Envelope if !self.records.starts_with(at) => self.value(value, at, Part::Aside, out),
                _ => self.value(value, at, part, out),
            }
            at.pop();
            index += 1;
        });
        out.push(']');
    }

    /// The name of a member: kept where the plan reads something there, or where it looks like a name and is no value elsewhere.
    fn name(&mut self, name: &str, at: &[Segment], part: Part) -> String {
        let leads = |path: &FieldPath| path.segments().starts_with(at) || is_at(path, at);
        let is_read = match part {
            Part::Envelope => self.records.starts_with(at) || self.leading().any(leads),
            Part::Record => self.ids().chain(self.dates().map(|date| &date.path)).chain(self.marks()).any(leads),
            Part::Aside => false,
        };
        let is_data = || {
            let speaks = part == Part::Envelope && is_about_pages(name);
            !neutral::is_name(name) || self.pseudonyms.known(name).is_some() || (self.texts.contains(name) && !speaks)
        };
        if !is_read && is_data() { self.pseudonyms.name(name) } else { name.to_owned() }
    }

    fn scalar(&mut self, json: &str, at: &[Segment], part: Part, out: &mut String) {
        let Some(text) = scalar_text(json) else { return out.push_str(json) };
        let is_text = json.starts_with('"');
        let is_bool = json == "true" || json == "false";
        let masked = match part {
            Part::Record if self.dates().any(|date| is_at(&date.path, at) && is_date(date, &text)) => text.into_owned(),
            Part::Record if self.ids().any(|path| is_at(path, at)) && !is_bool => self.pseudonyms.id(&text),
            Part::Record if self.is_read_mark(at, json, &text) => text.into_owned(),
            Part::Envelope if is_bool => text.into_owned(),
            Part::Envelope if self.leading().any(|path| is_at(path, at)) => self.lead_of(is_text, &text),
            Part::Envelope if last_name(at).is_some_and(is_about_pages) => self.lead_of(is_text, &text),
            Part::Envelope if is_code(at, &text) => text.into_owned(),
            _ if is_bool => "false".to_owned(),
            _ => match (self.pseudonyms.known(&text), is_text) {
                (Some(known), _) => known.to_owned(),
                (None, false) => neutral::number(&text),
                (None, true) if part == Part::Envelope && neutral::is_neutral(&text) => text.into_owned(),
                // A text that begins with a slash or question mark is a link only where one is expected.
                (None, true) => {
                    let link = text.contains("://").then(|| self.links.rewrite(&text, self.pseudonyms)).flatten();
                    link.unwrap_or_else(|| neutral::text(&text))
                }
            },
        };
        if is_text {
            push_string(out, &masked);
        } else {
            out.push_str(&masked);
        }
    }

    fn lead_of(&mut self, is_text: bool, text: &str) -> String {
        if is_text {
            return self.lead(text);
        }
        let is_count = text.len() <= MOST_DIGITS && self.pseudonyms.known(text).is_none();
        if is_count || is_end(text) { text.to_owned() } else { self.pseudonyms.number(text) }
    }

    /// A text that leads on or counts.
    fn lead(&mut self, text: &str) -> String {
        if is_end(&format!("\"{text}\""))
            || (is_digits(text) && text.len() <= MOST_DIGITS && self.pseudonyms.known(text).is_none())
        {
            return text.to_owned();
        }
        if let Some(link) = self.links.rewrite(text, self.pseudonyms) {
            return link;
        }
        if is_digits(text) { self.pseudonyms.number(text) } else { self.pseudonyms.token(text) }
    }

    /// A `Link` header with its targets rewritten, and of its parameters the relation and whether there are results.
    fn link_header(&mut self, text: &str) -> String {
        let mut links = Vec::new();
        let mut rest = text;
        while let Some((target, after)) = rest.split_once('<').and_then(|(_, from)| from.split_once('>')) {
            let end = after.find('<').unwrap_or(after.len());
            let target = self.links.rewrite(target, self.pseudonyms).unwrap_or_else(|| "https://example.com/masked".to_owned());
            let mut link = format!("<{target}>");
            for parameter in after[..end].split([';', ',']) {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
                if ["rel", "results"].contains(&&*name) && neutral::is_name(value) {
                    link.extend(["; ", &*name, "=\"", value, "\""]);
                }
            }
            links.push(link);
            rest = &after[end..];
        }
        links.join(", ")
    }

    fn leading(&self) -> impl Iterator<Item = &'a FieldPath> {
        self.leads.iter().filter_map(|lead| match lead {
            ValueAt::Field(path) => Some(path),
            ValueAt::Header(_) => None,
        })
    }

    /// Paths to ids in a record.
    fn ids(&self) -> impl Iterator<Item = &'a FieldPath> {
        let last = match &self.resource.pagination {
            PaginationPlan::LastId { field, .. } => field.as_ref(),
            _ => None,
        };
        let feed = self.resource.feed.as_ref().map(|feed| &feed.object_id);
        self.resource.extract.id.paths().iter().chain(last).chain(feed)
    }

    fn dates(&self) -> impl Iterator<Item = &'a DateField> {
        let extract = &self.resource.extract;
        extract.updated.iter().chain(&extract.created)
    }

    /// Paths to marks of deleted records and types of events.
    fn marks(&self) -> impl Iterator<Item = &'a FieldPath> {
        let deleted = self.resource.extract.deleted.as_ref().map(|flag| &flag.path);
        deleted.into_iter().chain(self.resource.feed.as_ref().map(|feed| &feed.type_field))
    }

    /// Whether a mark says what the plan names, or is a truth value, or the type of an event.
    fn is_read_mark(&self, at: &[Segment], json: &str, text: &str) -> bool {
        let flag = self.resource.extract.deleted.as_ref().filter(|flag| is_at(&flag.path, at));
        let says = flag.is_some_and(|flag| {
            json == "true" || json == "false" || neutral::is_neutral(text) || flag.value.as_deref() == Some(text)
        });
        let is_type = self.resource.feed.as_ref().is_some_and(|feed| is_at(&feed.type_field, at));
        says || (is_type && neutral::is_name(text))
    }
}

/// The text of a body, as far as it can be read.
fn json(body: &[u8]) -> Option<&str> {
    Some(std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}').trim())
}

/// Adds all texts in a value.
fn collect(json: &str, texts: &mut HashSet<String>) {
    match json.as_bytes().first() {
        Some(b'{') => for_each_member(json, |_, value| collect(value, texts)),
        Some(b'[') => for_each_element(json, |value| collect(value, texts)),
        Some(b'"') => texts.extend(scalar_text(json).map(std::borrow::Cow::into_owned)),
        _ => {}
    }
}

/// Whether a path leads exactly here. `@odata.nextLink` is one name, though it reads like two.
fn is_at(path: &FieldPath, at: &[Segment]) -> bool {
    path.segments() == at || matches!(at, [Segment::Key(name)] if *name == path.to_string())
}

fn last_name(at: &[Segment]) -> Option<&str> {
    match at.last() {
        Some(Segment::Key(name)) => Some(name),
        _ => None,
    }
}

/// A number of at most three digits that says how the request went.
fn is_code(at: &[Segment], text: &str) -> bool {
    let says = |name: &str| ["code", "status", "error", "err", "errno", "ret", "result"].contains(&&*name.to_lowercase());
    text.len() <= 3 && is_digits(text) && last_name(at).is_some_and(says)
}

/// Whether a text is a date of the format, and nothing more.
fn is_date(field: &DateField, text: &str) -> bool {
    text.len() <= LONGEST_DATE && field.format.read(text) != DateReading::Unreadable
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_media_type(text: &str) -> bool {
    text.len() <= 80 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.+-".contains(&byte))
}

/// `items 0-9/120`
fn is_range(text: &str) -> bool {
    let (unit, numbers) = text.split_once(' ').unwrap_or_default();
    unit.bytes().all(|byte| byte.is_ascii_lowercase())
        && !numbers.is_empty()
        && numbers.bytes().all(|byte| byte.is_ascii_digit() || b"-/*".contains(&byte))
}

fn push_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
