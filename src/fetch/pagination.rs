//! From one response to the position of the next one: follows links, tokens, offsets and page numbers, trusts a response's own statement
//! about the end of the list more than the length of its pages, and stops listings that repeat themselves. Pure.

use std::collections::HashSet;

use http::HeaderMap;
use url::{Origin, Url};
use xxhash_rust::xxh3::xxh3_128;

use super::evidence::{Evidence, Reach, asks_for_size};
pub use super::position::Position;
use crate::api::conditions::{Problem, Reason};
use crate::detect::sweep::Claim;
use crate::fetch::members;
use crate::plan::delta::DeltaPlan;
use crate::plan::field_path::Segment;
use crate::plan::{PaginationPlan, RequestPlan, ValueAt};

mod claim;
mod count;
mod detected;
mod follow;
mod full_page;
mod last_id;
mod manifest;
mod problems;
mod units;

use self::detected::Detected;
pub use self::full_page::FULL_PAGE;
use self::full_page::FullPage;
pub use self::manifest::manifest_text;
pub use self::units::may_count_rows;

/// Pages that one listing may have.
pub const MAX_PAGES: u32 = 100_000;
/// Pages in a row that may be empty while the answer says that more follow: all of their rows may be hidden.
const MAX_EMPTY: u32 = 100;
/// The same, when only a total says so: it may count rows that the request does not list.
const MAX_EMPTY_BY_TOTAL: u32 = 10;

/// The parts of an answer that say where the next page is.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// URL that answered; relative links start from it.
    pub url: &'a Url,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// Body without its records.
    pub envelope: &'a str,
    /// Where the records were cut out.
    pub path: &'a [Segment],
    /// Number of records.
    pub record_count: usize,
    /// Digest of the records.
    pub digest: u128,
    /// Which records they are.
    pub ids: Ids<'a>,
}

/// A digest over the ids of a page's records, for pages whose bytes differ in each response. Read only where a listing may repeat a page.
#[derive(Clone, Copy)]
pub struct Ids<'a>(pub &'a (dyn Fn() -> u128 + Sync));

impl std::fmt::Debug for Ids<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ids")
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// The whole list.
    Whole,
    /// Records from a date on: a total may count others, too.
    Part,
}

/// Where a page lies, by what counts say of the end of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    BeforeTheEnd,
    /// It is asked for because counts may be old.
    BehindTheEnd,
}

/// What was known of the page that is asked for, before it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Promise {
    /// Nothing: only a page that is not there shows where the list ends.
    #[default]
    None,
    /// A link, a token or a total led to it. The last page of some lists has one, too.
    Leads,
    /// The page before it said that it follows.
    Says,
}

/// State of one pass over the pages of a list.
#[derive(Clone, Debug)]
pub struct Pager {
    pagination: PaginationPlan,
    detected: Detected,
    method: http::Method,
    origin: Origin,
    /// Rows a page that are asked for.
    page_size: Option<u32>,
    requested: Option<u64>,
    full_page: FullPage,
    extent: Extent,
    first_number: u64,
    /// Offset or page number of the page that was asked for last.
    number: u64,
    /// Number of the first page as the provider counts.
    first_page: Option<u64>,
    first_count: Option<usize>,
    first_digest: Option<u128>,
    /// Ids of the first page, where a token leads on from it.
    first_ids: Option<u128>,
    /// Ids of the last page whose token led to itself.
    scrolled: Option<u128>,
    /// Most rows of a page so far.
    longest: u64,
    /// Fewest rows of a page before the last one that has some.
    shortest: u64,
    /// Rows of the last page that has some.
    latest: u64,
    /// Rows so far.
    rows: u64,
    pages: u32,
    /// Empty pages in a row, up to the last one.
    empty: u32,
    /// The last step forward was shorter than a page may be.
    cautious: bool,
    /// The token of the last page was a number below its own: it leads on, or back to where the list began.
    fell: bool,
    /// Where the page lies that was asked for last.
    spot: Spot,
    promise: Promise,
    /// Ids of the page before, where it had records.
    ids_before: Option<u128>,
    /// What the answer with which the listing ended says of the list.
    claim: Claim,
    /// The listing ended with rows that came before.
    ends_again: bool,
    /// Identifies the page that was asked for last, unless it is the first.
    asked: Option<String>,
    seen_pages: HashSet<u128>,
    seen_marks: HashSet<u128>,
    /// JSON text of the id of the last record, where it leads on.
    last_id: Option<String>,
    /// The member or header with the token of the next poll, which leads to no page.
    beside: Option<String>,
}

/// What one response means for the listing.
struct Heard<'a> {
    answer: &'a Answer<'a>,
    said: Evidence,
    reach: Reach,
    /// Its records came before.
    repeated: bool,
    /// They are those of the first page.
    repeats_first: bool,
    /// Ids of its records, if they were read.
    ids: Option<u128>,
}

impl Pager {
    /// Begins a listing.
    pub fn new(request: &RequestPlan, pagination: &PaginationPlan, page_size: Option<u32>) -> Self {
        let literal = |wanted: &dyn Fn(&str) -> bool| {
            request.query.iter().find(|(name, _)| wanted(name)).and_then(|(_, value)| value.as_str().parse().ok())
        };
        let (number, sized) = match pagination {
            PaginationPlan::Page { first, size_parameter, .. } => (u64::from(first.unwrap_or(1)), size_parameter.is_some()),
            // Some lists count from 1: a start that the plan's query names is kept.
            PaginationPlan::Offset { parameter, size_parameter } => {
                (literal(&|name| name == parameter).unwrap_or(0), size_parameter.is_some())
            }
            _ => (0, false),
        };
        let requested = page_size.map(u64::from).filter(|_| sized).or_else(|| literal(&asks_for_size));
        Self {
            pagination: pagination.clone(),
            detected: Detected::No,
            method: request.method.clone(),
            origin: request.origin.clone(),
            page_size,
            requested: requested.filter(|size| *size > 0),
            full_page: FullPage::of(request),
            extent: if request.uses_since() { Extent::Part } else { Extent::Whole },
            first_number: number,
            number,
            first_page: None,
            first_count: None,
            first_digest: None,
            first_ids: None,
            scrolled: None,
            longest: 0,
            shortest: u64::MAX,
            latest: u64::MAX,
            rows: 0,
            pages: 0,
            empty: 0,
            cautious: false,
            fell: false,
            spot: Spot::BeforeTheEnd,
            promise: Promise::None,
            ids_before: None,
            claim: Claim::default(),
            ends_again: false,
            asked: None,
            seen_pages: HashSet::new(),
            seen_marks: HashSet::new(),
            last_id: None,
            beside: None,
        }
    }

    /// Leaves out of account what is the token of the next poll.
    #[must_use]
    pub fn beside(self, delta: Option<&DeltaPlan>) -> Self {
        Self { beside: delta.map(|delta| named(&delta.from)), ..self }
    }

    /// Begins at a token of the last poll. Where pages have theirs in the same place, an answer that has this one again is the end.
    pub fn continue_from(&mut self, token: &str) {
        if matches!(&self.pagination, PaginationPlan::Token { from, .. } if self.beside == Some(named(from))) {
            self.asked = Some(token.to_owned());
        }
    }

    /// Where the first page is.
    pub fn first(&self) -> Position {
        match (&self.pagination, self.page_size) {
            (PaginationPlan::Keyset { size_parameter: Some(name) }, Some(size)) => {
                Position::Query(vec![(name.clone(), size.to_string())])
            }
            _ => self.numbered().unwrap_or(Position::Start),
        }
    }

    /// What detection chose, once the first answer was seen. `None` when the plan decides, or when nothing hints at more pages.
    pub fn detected(&self) -> Option<&PaginationPlan> {
        self.is_detected().then_some(&self.pagination)
    }

    fn is_detected(&self) -> bool {
        self.detected != Detected::No
    }

    /// Whether the page that was asked for last lies behind the end that counts name: that the provider refuses it is the end.
    pub fn is_probing(&self) -> bool {
        self.spot == Spot::BehindTheEnd
    }

    /// What was known of the page that was asked for last, before it came.
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// What the last answer says of the list, once the listing has ended.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// Whether the page with which the listing ended shows rows that came before: a last page that leads to itself or back to the first
    /// one, and a server that answers so behind the end, are no further page.
    pub fn ends_again(&self) -> bool {
        self.ends_again
    }

    /// Where the page after `answer` is; `None` when that was the last one. Call it once an answer, in order.
    ///
    /// # Errors
    /// A page, link or token that came before, too many pages, a link to another origin, a value that is no link or token, or
    /// an answer that says that more follows, but not how.
    pub fn next(&mut self, answer: &Answer<'_>) -> Result<Option<Position>, Problem> {
        if matches!(self.pagination, PaginationPlan::Keyset { .. }) {
            return Ok(None);
        }
        let heard = self.hear(answer);
        if self.pagination == PaginationPlan::Detect {
            self.pagination = self.detect(&heard)?;
        }
        // Rows before the first page would never be read.
        if matches!(&self.pagination, PaginationPlan::Page { first: None | Some(1), .. })
            && self.pages == 1
            && heard.said.has_previous()
        {
            return Err(problems::not_the_first_page());
        }
        self.check_units(&heard)?;
        let next = match &self.pagination {
            PaginationPlan::None | PaginationPlan::Keyset { .. } | PaginationPlan::Detect => None,
            PaginationPlan::Offset { .. } | PaginationPlan::Page { .. } => self.count_on(&heard)?,
            PaginationPlan::LastId { .. } => self.after_last(&heard)?,
            PaginationPlan::LinkHeader | PaginationPlan::NextLink(_) | PaginationPlan::Token { .. } => self.follow(&heard)?,
        };
        self.promise = self.promised(&heard);
        let Some(next) = next else {
            let followed = match &self.pagination {
                PaginationPlan::NextLink(from) | PaginationPlan::Token { from, .. } => Some(named(from)),
                _ => None,
            };
            self.ends_again = heard.repeated;
            self.rows -= if heard.repeated { heard.reach.rows } else { 0 };
            self.claim = claim::claim(&heard, self.rows, followed.as_deref(), self.counts_all(&heard));
            return self.end(&heard);
        };
        if self.pages >= MAX_PAGES {
            return Err(Problem::human(
                Reason::PaginationLoop,
                format!(
                    "resources[].pagination: the list has more than {MAX_PAGES} pages; raise pageSize, or filter with query so that a poll reads less"
                ),
            ));
        }
        self.ids_before = (heard.reach.rows > 0).then(|| heard.ids.unwrap_or_else(|| (answer.ids.0)()));
        self.asked = Some(next.mark().to_owned());
        Ok(Some(next))
    }

    /// Counts an answer in.
    fn hear<'a>(&mut self, answer: &'a Answer<'a>) -> Heard<'a> {
        let rows = answer.record_count as u64;
        // A list of changes shows a record as often as it changed: only the whole of an answer shows that it came before.
        let is_log = self.beside.is_some();
        let digest = if is_log { answer.digest ^ xxh3_128(answer.envelope.as_bytes()) } else { answer.digest };
        // Links that are signed again in each answer make other bytes of the same records.
        let before = self.ids_before.filter(|_| rows > 0 && !is_log);
        let ids = before.map(|_| (answer.ids.0)());
        let repeats_last = before.is_some() && before == ids;
        let repeated = (rows > 0 && !self.seen_pages.insert(digest)) || repeats_last;
        let repeats_first = repeated && (self.first_digest == Some(digest) || (repeats_last && self.pages == 1));
        if rows > 0 {
            self.first_digest.get_or_insert(digest);
        }
        self.pages += 1;
        self.first_count.get_or_insert(answer.record_count);
        self.longest = self.longest.max(rows);
        if rows > 0 {
            let before = std::mem::replace(&mut self.latest, rows);
            self.shortest = self.shortest.min(if self.empty > 0 { 0 } else { before });
        }
        self.rows = self.rows.saturating_add(rows);
        self.empty = if rows == 0 { self.empty + 1 } else { 0 };
        let said = Evidence::read(answer.headers, answer.envelope, answer.path, self.beside.as_deref());
        if self.pages == 1 {
            self.first_page = said.page().filter(|page| *page <= 1);
        }
        let reach = self.reach(&said, rows);
        Heard { answer, said, reach, repeated, repeats_first, ids }
    }

    fn reach(&self, said: &Evidence, rows: u64) -> Reach {
        let ahead = self.number.saturating_sub(self.first_number);
        let is_full = rows > 0
            && match self.pages {
                1 => said.size().or(self.requested).is_some_and(|size| rows >= size),
                _ => rows >= self.longest,
            };
        let reach = Reach { rows, first_page: self.first_page, proven: self.rows, is_full, ..Reach::default() };
        match &self.pagination {
            PaginationPlan::Offset { .. } => {
                let position = ahead.saturating_add(self.step(said, rows).0);
                // Steps may overlap.
                let proven = if rows > 0 { ahead.saturating_add(rows) } else { 0 };
                Reach { index: u64::from(self.pages - 1), position, proven, asked_row: Some(self.number), ..reach }
            }
            PaginationPlan::Page { .. } => {
                let position = self.page_length(said, rows).saturating_mul(ahead.saturating_add(1)).max(self.rows);
                Reach { index: ahead, position, asked_page: Some(self.number), ..reach }
            }
            _ => {
                // Without some rows a page is as long as it says; without most of them its word is rather a wish.
                let total = said.total().unwrap_or(0);
                let trusted = |_: &u64| rows == 0 || rows.saturating_mul(4) >= total.saturating_mul(3) || total <= rows + 2;
                let length = said.size().filter(trusted).unwrap_or(rows).max(rows);
                let start = said.start().filter(|start| self.pages == 1 && *start > 1).unwrap_or(self.rows - rows);
                Reach { index: u64::from(self.pages - 1), position: start.saturating_add(length), ..reach }
            }
        }
    }
}

/// The names that lead to a value, as one text.
fn named(value: &ValueAt) -> String {
    match value {
        ValueAt::Field(path) => members::joined(path.segments()),
        ValueAt::Header(name) => name.to_string(),
    }
}

#[cfg(test)]
mod tests;
