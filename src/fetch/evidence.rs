//! What an answer says about the rest of its list: flags, totals, page counts, and members that lead on.
//!
//! Providers have no common word for it, so names are read by their words and values by their kind; a closed list of
//! spellings would miss the next one. What is said close to the list (at the root, in paging objects, in what wraps the list)
//! counts more than what is said elsewhere, which may be data.

use http::HeaderMap;

use self::meaning::{Counted, Part, Repeated, counted, flag, lead, number, part, repeated_size, says_previous};
use super::members::{self, Member, Members};
use super::names::Words;
use crate::plan::field_path::Segment;

mod lexicon;
mod meaning;
pub(super) use self::meaning::{asks_for_size, counts_pages, counts_rows, may_ask_for_size};

/// A member that leads on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lead {
    /// Names of members from the root; a header's name alone.
    pub(super) path: Vec<String>,
    pub(super) to: To,
    /// Its name says that it leads to the next page; else it may be of the page itself.
    pub(super) sure: bool,
    /// A position counts pages, not rows; `None` where the name does not say which.
    pub(super) in_pages: Option<bool>,
    pub(super) is_header: bool,
}

/// Where a [`Lead`] leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// A URL.
    Link,
    /// An opaque text, or a number that is no position.
    Token,
    /// An offset or page number.
    Position(u64),
    /// Something that cannot be carried over, such as an object.
    Other,
    /// Nowhere: the list is over.
    Nowhere,
}

/// How far a listing is, for counts to be compared with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reach {
    /// Records on this page.
    pub(super) rows: u64,
    /// Pages before this one.
    pub(super) index: u64,
    /// Number of the first page as the provider counts, if it said so.
    pub(super) first_page: Option<u64>,
    /// Rows up to the end of this page, hidden ones included as far as they are known.
    pub(super) position: u64,
    /// Rows that there are at least, by those that were read.
    pub(super) proven: u64,
    /// The page has as many rows as a page may have, as far as that is known: others may be behind it, whatever a count says.
    pub(super) is_full: bool,
    /// The page number that was asked for.
    pub(super) asked_page: Option<u64>,
    /// The offset that was asked for.
    pub(super) asked_row: Option<u64>,
}

/// The object that is the whole answer.
const ROOT: usize = 0;

/// A number and the object that says it.
#[derive(Clone, Copy, Debug)]
struct Count {
    object: usize,
    number: u64,
}

/// Whether the name of a member is about pages and nothing else: its value is a count, a flag, a link or a token.
pub(crate) fn is_about_pages(name: &str) -> bool {
    const DECIDE: &[&str] = &[
        "page",
        "pages",
        "paging",
        "pagination",
        "pagelen",
        "limit",
        "total",
        "count",
        "next",
        "prev",
        "previous",
        "first",
        "last",
        "current",
        "offset",
        "start",
        "skip",
        "token",
        "cursor",
        "marker",
        "bookmark",
        "continuation",
        "scroll",
        "more",
        "remaining",
        "truncated",
    ];
    let words = Words::of(name);
    words.has_any(DECIDE) && words.is_of_paging()
}

/// What one answer says.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    flag: Option<(bool, String)>,
    leads: Vec<Lead>,
    page: Vec<Count>,
    pages: Vec<Count>,
    size: Vec<Count>,
    start: Vec<Count>,
    total: Vec<Count>,
    /// `count`: of the list, of the page, or as asked for.
    count: Vec<Count>,
    /// What may be the size of a page as it was asked for.
    repeated: Vec<(Count, Repeated)>,
    remaining: Option<u64>,
    /// A flag says that there are pages before this one.
    has_previous: bool,
    /// The root looks like one object, of which the list is a part.
    is_object: bool,
}

impl Evidence {
    /// Reads it from headers and the body without its records; `path` leads to the records. The member `beside` says nothing of pages.
    pub(super) fn read(headers: &HeaderMap, envelope: &str, path: &[Segment], beside: Option<&str>) -> Self {
        let members = Members::read(headers, envelope, path);
        let mut said = Self { is_object: members.is_object(), ..Self::default() };
        for member in members.iter().filter(|member| beside.is_none_or(|beside| member.path.join(".") != beside)) {
            said.hear(member);
        }
        if let Some((start, total)) = members.content_range() {
            said.total.insert(0, Count { object: usize::MAX, number: total });
            said.start.push(Count { object: usize::MAX, number: start });
        }
        // Where the next page is named, other tokens are of this one.
        if said.leads.iter().any(|lead| lead.sure) {
            said.leads.retain(|lead| lead.sure);
        }
        said
    }

    fn hear(&mut self, member: &Member<'_>) {
        let Member { words, value, near, .. } = member;
        if let Some(more) = flag(words, value, *near)
            && (*near || more)
            && !(self.is_object
                && member.is_at_root()
                && words.has_any(&["done", "complete", "completed", "finished", "final", "end"]))
        {
            // One "more" is enough: a list may end in one direction and go on in the other.
            if self.flag.as_ref().is_none_or(|(said, _)| more && !said) {
                self.flag = Some((more, member.shown()));
            }
            return;
        }
        if !near {
            return;
        }
        self.has_previous |= says_previous(words, value);
        if let Some(lead) = lead(member) {
            self.leads.push(lead);
            return;
        }
        let object = if member.is_at_root() { ROOT } else { member.object.saturating_add(1) };
        if let Some(part) = part(words, value) {
            let count = |number| Count { object, number };
            match part {
                Part::Page { page, of } => {
                    self.page.push(count(page));
                    self.pages.push(count(of));
                }
                Part::Rows { of } => self.total.push(count(of)),
            }
            return;
        }
        let Some(number) = number(value) else { return };
        let count = Count { object, number };
        match counted(words, member.in_total) {
            Some(Counted::Pages) => self.pages.push(count),
            Some(Counted::Page) => self.page.push(count),
            Some(Counted::Size) => self.size.push(count),
            Some(Counted::Start) => self.start.push(count),
            Some(Counted::Filtered) => self.total.insert(0, count),
            Some(Counted::Total) => self.total.push(count),
            Some(Counted::Rows) => self.count.push(count),
            Some(Counted::Remaining) => self.remaining = self.remaining.or(Some(number)),
            None => self.repeated.extend(repeated_size(words).map(|repeated| (count, repeated))),
        }
    }

    /// The root looks like one object, of which the list is a part.
    pub(super) fn is_object(&self) -> bool {
        self.is_object
    }

    /// A flag that says whether more follows, such as `has_more` or `isLast`.
    pub(super) fn flag(&self) -> Option<bool> {
        self.flag.as_ref().map(|(more, _)| *more)
    }

    /// Whether a flag says that there are pages before this one, such as `hasPrevious`, or `first` with false.
    pub(super) fn has_previous(&self) -> bool {
        self.has_previous
    }

    /// Members that lead on, in the order in which they were sent.
    pub(super) fn leads(&self) -> &[Lead] {
        &self.leads
    }

    /// The number of this page, as the provider counts.
    pub(super) fn page(&self) -> Option<u64> {
        let beside = self.pages.first().and_then(|pages| self.page.iter().find(|page| page.object == pages.object));
        beside.or(self.page.first()).map(|count| count.number)
    }

    /// Rows that a page has, as the provider says; hidden ones included.
    pub(super) fn size(&self) -> Option<u64> {
        let size = self.size.first().map(|count| count.number);
        // Next to a start and without a total, `count` is what was asked for.
        size.or_else(|| self.count_as_size()).filter(|size| *size > 0)
    }

    fn count_as_size(&self) -> Option<u64> {
        let count = self.count.first().filter(|_| self.total.is_empty())?;
        self.start.iter().any(|start| start.object == count.object).then_some(count.number)
    }

    /// Whether a number next to the place of this page says that it has as many rows as were asked for. One that may as well count the rows
    /// of the page, whatever they are, has to be round.
    pub(super) fn repeats_size(&self, rows: u64) -> bool {
        let is_round = rows > 0 && (rows.is_multiple_of(10) || rows.is_multiple_of(25) || (rows > 7 && rows.is_power_of_two()));
        let has_place = |object| self.start.iter().chain(&self.page).any(|place| place.object == object);
        self.repeated.iter().any(|(count, repeated)| {
            count.number == rows && has_place(count.object) && (*repeated == Repeated::Asked || is_round)
        })
    }

    /// Rows before this page, as the provider says.
    pub(super) fn start(&self) -> Option<u64> {
        self.start.first().map(|count| count.number)
    }

    /// Rows of the whole list, where a member says so and does not count something else.
    pub(super) fn total(&self) -> Option<u64> {
        let total = self
            .total
            .iter()
            .find(|count| !(self.is_object && count.object == ROOT && self.is_bare(count)))
            .map(|count| count.number);
        total.or_else(|| {
            let count = self.count.first().filter(|_| self.total.is_empty() && self.count_as_size().is_none())?;
            (!self.is_object || count.object != ROOT).then_some(count.number)
        })
    }

    /// Nothing next to it is about pages.
    fn is_bare(&self, count: &Count) -> bool {
        ![&self.page, &self.pages, &self.size, &self.start]
            .iter()
            .any(|others| others.iter().any(|other| other.object == count.object))
    }

    /// Whether more pages follow by their count. A first page may be number 0 or 1.
    pub(super) fn pages_say(&self, reach: &Reach) -> Option<bool> {
        let pages =
            self.pages.iter().find(|count| !(self.is_object && count.object == ROOT && self.is_bare_pages(count)))?.number;
        Some(match (self.page(), reach.first_page) {
            _ if pages <= 1 => false,
            (Some(page), Some(first)) if page >= first => page - first + 1 < pages,
            (Some(page), None) => page < pages,
            _ => reach.index + 1 < pages,
        })
    }

    fn is_bare_pages(&self, count: &Count) -> bool {
        ![&self.page, &self.total, &self.size, &self.start]
            .iter()
            .any(|others| others.iter().any(|other| other.object == count.object))
    }

    /// What sure members that lead on say: they lead somewhere, or explicitly nowhere.
    fn leads_say(&self, reach: &Reach) -> Option<bool> {
        let sure = || self.leads.iter().filter(|lead| lead.sure);
        sure().next().map(|_| sure().any(|lead| self.goes_on(lead, reach)))
    }

    /// Whether a member leads forward. The number of this page or a smaller one, or a place behind the last row, does not.
    pub(super) fn goes_on(&self, lead: &Lead, reach: &Reach) -> bool {
        let To::Position(next) = lead.to else { return lead.to != To::Nowhere };
        let page = reach.asked_page.or(self.page()).filter(|_| lead.in_pages == Some(true));
        let row = reach.asked_row.or(self.start()).filter(|_| lead.in_pages == Some(false));
        let is_behind = |total: &&Count| total.number > 0 && total.number >= reach.proven && next >= total.number;
        let behind = self.total.first().filter(|_| lead.in_pages == Some(false)).filter(is_behind);
        page.or(row).is_none_or(|here| next > here) && behind.is_none()
    }

    /// What the answer itself says about whether more follows, by whatever it has: `None` when it says nothing.
    pub(super) fn more(&self, reach: &Reach) -> Option<bool> {
        if let Some(more) = self.flag() {
            return Some(more);
        }
        let pages = self.pages_say(reach);
        let leads = self.leads_say(reach);
        let remaining = self.remaining.map(|left| left > 0);
        if [pages, leads, remaining].contains(&Some(true)) {
            return Some(true);
        }
        // Pages may be counted by another length than they have. Behind a short page a total rather counts rows that are not listed.
        if pages == Some(false) && leads.is_none() && reach.is_full && self.total_says(reach) == Some(true) {
            return Some(true);
        }
        leads.or(pages).or(remaining).or_else(|| self.total_says(reach))
    }

    /// Whether rows are missing at this position. A total that equals the rows of the page proves nothing: it may count them. Nor does
    /// one below the rows that were read: it is an old one.
    pub(super) fn total_says(&self, reach: &Reach) -> Option<bool> {
        let total = self.total()?;
        if total > reach.position {
            return Some(true);
        }
        (total > reach.rows && total >= reach.proven).then_some(false)
    }

    /// Whether nothing but counts can have said that the list ends here: no flag, and no member that leads nowhere.
    pub(super) fn only_counts(&self) -> bool {
        self.flag.is_none() && self.remaining.is_none() && !self.leads.iter().any(|lead| lead.sure && lead.to == To::Nowhere)
    }

    /// Whether all that is said speaks for a list that is whole on its first page.
    pub(super) fn is_whole(&self, reach: &Reach) -> bool {
        reach.rows == 0 || self.more(reach) == Some(false) || self.total.first().is_some_and(|total| total.number == reach.rows)
    }

    /// Whether the page has as many rows as the provider gives at once, and nothing says that it is the last one.
    pub(super) fn is_full(&self, reach: &Reach) -> bool {
        reach.rows > 0 && self.size().is_some_and(|size| reach.rows >= size) && self.total.is_empty() && self.pages.is_empty()
    }

    /// The member that says that more follows, for a message.
    pub(super) fn witness(&self, reach: &Reach) -> Option<String> {
        if let Some((true, name)) = &self.flag {
            return Some(name.clone());
        }
        self.leads.iter().find(|lead| self.goes_on(lead, reach)).map(|lead| members::shown(&lead.path))
    }
}
