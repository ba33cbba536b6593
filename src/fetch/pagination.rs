//! From one answer to the place of the next one: follows links, tokens, offsets and page numbers, and stops walks that go in
//! circles.

use std::collections::HashSet;

use http::HeaderMap;
use http::header::LINK;
use url::{Origin, Url};
use xxhash_rust::xxh3::xxh3_128;

use super::detection::{self, Detection};
use super::link_header;
use crate::api::conditions::{Problem, Reason};
use crate::plan::field_path::FieldPath;
use crate::plan::json;
use crate::plan::{PaginationPlan, RequestPlan, TokenPlace, ValueAt};

/// Pages that one walk may have.
pub const MAX_PAGES: u32 = 10_000;

/// What a request adds to the plan's request to reach one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Nothing.
    Start,
    /// It is sent to this URL; the plan's query is part of it already.
    Url(Url),
    /// Query parameters, in place of those of the same name.
    Query(Vec<(String, String)>),
    /// A header.
    Header {
        /// Name.
        name: String,
        /// Value.
        value: String,
    },
    /// A field of the JSON body, in place of what the plan has there.
    Body {
        /// Path of objects' members.
        field: FieldPath,
        /// JSON text, as the provider sent it.
        json: String,
    },
}

/// The parts of an answer that say where the next page is.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// URL that answered; relative links start from it.
    pub url: &'a Url,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// Body without its records.
    pub envelope: &'a str,
    /// Number of records.
    pub record_count: usize,
    /// Digest of the records.
    pub digest: u128,
}

/// State of one walk through the pages of a list.
#[derive(Clone, Debug)]
pub struct Pager {
    pagination: PaginationPlan,
    detected: bool,
    method: http::Method,
    origin: Origin,
    page_size: Option<u32>,
    /// Offset or page number of the page that was asked for last.
    number: u64,
    first_count: Option<usize>,
    pages: u32,
    seen_pages: HashSet<u128>,
    seen_marks: HashSet<u128>,
}

impl Pager {
    /// Begins a walk.
    pub fn new(request: &RequestPlan, pagination: &PaginationPlan, page_size: Option<u32>) -> Self {
        let number = match pagination {
            PaginationPlan::Page { first, .. } => u64::from(*first),
            // Some lists count from 1: a start that the plan's query names is kept.
            PaginationPlan::Offset { parameter, .. } => request
                .query
                .iter()
                .find(|(name, _)| name == parameter)
                .and_then(|(_, value)| value.as_str().parse().ok())
                .unwrap_or(0),
            _ => 0,
        };
        Self {
            pagination: pagination.clone(),
            detected: false,
            method: request.method.clone(),
            origin: request.origin.clone(),
            page_size,
            number,
            first_count: None,
            pages: 0,
            seen_pages: HashSet::new(),
            seen_marks: HashSet::new(),
        }
    }

    /// Where the first page is.
    pub fn first(&self) -> Position {
        match &self.pagination {
            PaginationPlan::Offset { parameter, size_parameter } | PaginationPlan::Page { parameter, size_parameter, .. } => {
                self.numbered(parameter, size_parameter.as_deref())
            }
            _ => Position::Start,
        }
    }

    /// What detection chose, once the first answer was seen. `None` when the plan decides, or when nothing hints at more pages.
    pub fn detected(&self) -> Option<&PaginationPlan> {
        self.detected.then_some(&self.pagination)
    }

    /// Where the page after `answer` is; `None` when that was the last one. Call it once an answer, in order.
    ///
    /// # Errors
    /// A page, link or token that came before, too many pages, a link to another origin, or a value that is no link or token.
    pub fn next(&mut self, answer: &Answer<'_>) -> Result<Option<Position>, Problem> {
        if answer.record_count > 0 && !self.seen_pages.insert(answer.digest) {
            return Err(Problem::transient(
                Reason::PaginationLoop,
                "resources[].pagination: the provider sent the same page twice; check that it knows the pagination \
                 parameters, and set pagination to what its documentation says",
            ));
        }
        self.pages += 1;
        let first = *self.first_count.get_or_insert(answer.record_count);
        if self.pagination == PaginationPlan::Detect {
            self.pagination = self.detect(answer)?;
        }
        let more = match self.pagination {
            PaginationPlan::None | PaginationPlan::Detect => return Ok(None),
            _ => detection::says_more(answer.envelope) != Some(false),
        };
        if !more {
            return Ok(None);
        }
        let next = match &self.pagination {
            PaginationPlan::None | PaginationPlan::Detect => None,
            PaginationPlan::LinkHeader => {
                let links = answer.headers.get_all(LINK).iter().filter_map(|v| v.to_str().ok());
                let target = link_header::next_target(links);
                target.map(|target| self.link(answer.url, target, "resources[].pagination.linkHeader")).transpose()?
            }
            PaginationPlan::NextLink(from) => match value_at(from, answer, "resources[].pagination.nextLink")? {
                Some(Value { text: Some(target), .. }) => {
                    Some(self.link(answer.url, &target, "resources[].pagination.nextLink")?)
                }
                Some(Value { text: None, .. }) => return Err(wrong_value("resources[].pagination.nextLink", "a number")),
                None => None,
            },
            PaginationPlan::Token { from, parameter, place } => value_at(from, answer, "resources[].pagination.token")?
                .map(|token| carry(token, parameter, *place))
                .transpose()?,
            PaginationPlan::Offset { parameter, size_parameter } => {
                if answer.record_count == 0 || answer.record_count < first {
                    return Ok(None);
                }
                self.number += answer.record_count as u64;
                Some(self.numbered(parameter, size_parameter.as_deref()))
            }
            PaginationPlan::Page { parameter, size_parameter, .. } => {
                if answer.record_count == 0 || answer.record_count < first {
                    return Ok(None);
                }
                self.number += 1;
                Some(self.numbered(parameter, size_parameter.as_deref()))
            }
        };
        let Some(next) = next else { return Ok(None) };
        if self.pages >= MAX_PAGES {
            return Err(Problem::human(
                Reason::PaginationLoop,
                "resources[].pagination: the list has more than 10000 pages; raise pageSize, or filter with query so that a \
                 poll reads less",
            ));
        }
        let mark = match &next {
            Position::Url(url) => xxh3_128(url.as_str().as_bytes()),
            Position::Header { value, .. } => xxh3_128(value.as_bytes()),
            Position::Body { json, .. } => xxh3_128(json.as_bytes()),
            Position::Query(pairs) => xxh3_128(pairs.first().map_or("", |(_, value)| value).as_bytes()),
            Position::Start => 0,
        };
        let stands_still = matches!(&next, Position::Url(url) if url == answer.url);
        if stands_still || !self.seen_marks.insert(mark) {
            return Err(Problem::transient(
                Reason::PaginationLoop,
                "resources[].pagination: the provider gave the same next link or token twice; check query and pagination \
                 against its documentation",
            ));
        }
        Ok(Some(next))
    }

    fn detect(&mut self, answer: &Answer<'_>) -> Result<PaginationPlan, Problem> {
        match detection::detect(&self.method, answer.headers, answer.envelope) {
            Detection::Found(plan) => {
                self.detected = true;
                Ok(plan)
            }
            Detection::Nothing => Ok(PaginationPlan::None),
            Detection::Unclear => Err(Problem::human(
                Reason::InvalidSpec,
                "resources[].pagination: the provider says that more pages follow, but not in a way that is recognised; set \
                 pagination to what its documentation says, or to none to read the first page only",
            )),
        }
    }

    fn numbered(&self, parameter: &str, size_parameter: Option<&str>) -> Position {
        let mut pairs = vec![(parameter.to_owned(), self.number.to_string())];
        if let (Some(name), Some(size)) = (size_parameter, self.page_size) {
            pairs.push((name.to_owned(), size.to_string()));
        }
        Position::Query(pairs)
    }

    fn link(&self, base: &Url, target: &str, field: &str) -> Result<Position, Problem> {
        let mut url = base.join(target).map_err(|_| wrong_value(field, "a text that is no URL"))?;
        if url.origin() != self.origin {
            return Err(self.off_origin(&url));
        }
        url.set_fragment(None);
        // Same origin, so both calls succeed. A client would turn user info into credentials.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Position::Url(url))
    }

    fn off_origin(&self, url: &Url) -> Problem {
        let part = match (&self.origin, url.origin()) {
            (Origin::Tuple(_, ours, _), Origin::Tuple(_, host, _)) if *ours != host => "host",
            (Origin::Tuple(ours, ..), Origin::Tuple(scheme, ..)) if *ours != scheme => "scheme",
            (Origin::Tuple(..), Origin::Tuple(..)) => "port",
            _ => "scheme",
        };
        Problem::human(
            Reason::CrossOriginNextLink,
            format!(
                "resources[].pagination: the provider's next link has another {part} than baseUrl and was not followed, for \
                 credentials must not leave the origin; correct baseUrl, or page with token, offset or page instead"
            ),
        )
    }
}

/// A value that an answer carries.
struct Value {
    /// As JSON text.
    json: String,
    /// The text of a string; `None` for a number.
    text: Option<String>,
}

/// The value at a place; `None` when it is missing, null, false or empty: there is no next page.
fn value_at(at: &ValueAt, answer: &Answer<'_>, field: &str) -> Result<Option<Value>, Problem> {
    let json = match at {
        ValueAt::Header(name) => {
            let Some(text) = answer.headers.get(name).and_then(|v| v.to_str().ok()).filter(|text| !text.is_empty()) else {
                return Ok(None);
            };
            let json = serde_json::Value::from(text).to_string();
            return Ok(Some(Value { json, text: Some(text.to_owned()) }));
        }
        // `@odata.nextLink` is one name, though it reads like two.
        ValueAt::Field(path) => path.find(answer.envelope).or_else(|| json::member(answer.envelope, &path.to_string())),
    };
    match json {
        None | Some("null" | "false" | "\"\"") => Ok(None),
        Some("true") => Err(wrong_value(field, "true")),
        Some(json) if json.starts_with('{') => Err(wrong_value(field, "an object")),
        Some(json) if json.starts_with('[') => Err(wrong_value(field, "an array")),
        Some(json) if json.starts_with('"') => match json::scalar_text(json) {
            Some(text) => Ok(Some(Value { json: json.to_owned(), text: Some(text.into_owned()) })),
            None => Err(wrong_value(field, "a malformed text")),
        },
        Some(json) => Ok(Some(Value { json: json.to_owned(), text: None })),
    }
}

fn wrong_value(field: &str, found: &str) -> Problem {
    Problem::human(
        Reason::InvalidResponse,
        format!("{field}: it leads to {found} in the provider's answer, not to a link or token; correct it"),
    )
}

fn carry(token: Value, parameter: &str, place: TokenPlace) -> Result<Position, Problem> {
    let Value { json, text } = token;
    let text = text.unwrap_or_else(|| json.clone());
    Ok(match place {
        TokenPlace::Query => Position::Query(vec![(parameter.to_owned(), text)]),
        TokenPlace::Header => Position::Header { name: parameter.to_owned(), value: text },
        TokenPlace::Body => {
            let field = FieldPath::parse(parameter)
                .map_err(|e| Problem::human(Reason::InvalidSpec, format!("resources[].pagination.token.parameter: {e}")))?;
            Position::Body { field, json }
        }
    })
}

/// A pagination as it is written in a manifest, to be pinned there.
pub fn manifest_text(pagination: &PaginationPlan) -> String {
    let at = |at: &ValueAt| match at {
        ValueAt::Field(path) => format!("field: {}", scalar(&path.to_string())),
        ValueAt::Header(name) => format!("header: {}", scalar(name.as_str())),
    };
    let size = |size: &Option<String>| size.as_ref().map(|s| format!(", sizeParameter: {}", scalar(s))).unwrap_or_default();
    match pagination {
        PaginationPlan::Detect => "detected from the first answer".to_owned(),
        PaginationPlan::None => "none: {}".to_owned(),
        PaginationPlan::LinkHeader => "linkHeader: {}".to_owned(),
        PaginationPlan::NextLink(from) => format!("nextLink: {{{}}}", at(from)),
        PaginationPlan::Token { from, parameter, place } => {
            format!("token: {{{}, parameter: {}, in: {place:?}}}", at(from), scalar(parameter))
        }
        PaginationPlan::Offset { parameter, size_parameter } => {
            format!("offset: {{parameter: {}{}}}", scalar(parameter), size(size_parameter))
        }
        PaginationPlan::Page { parameter, first, size_parameter } => {
            format!("page: {{parameter: {}, first: {first}{}}}", scalar(parameter), size(size_parameter))
        }
    }
}

/// A YAML scalar: plain where that is safe, else quoted as JSON is.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests;
