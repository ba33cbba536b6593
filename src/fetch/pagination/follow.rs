//! Following links and tokens. Pure.

use http::header::LINK;
use url::{Origin, Url};
use xxhash_rust::xxh3::xxh3_128;

use super::detected::Detected;
use super::problems::too_many_empty;
use super::{Answer, Extent, Heard, MAX_EMPTY, Pager, Position};
use crate::api::conditions::{Problem, Reason};
use crate::egress::shown_origin;
use crate::fetch::evidence::Evidence;
use crate::fetch::link_header;
use crate::fetch::names::Words;
use crate::fetch::position::{Ends, carry, is_there, value_at, wrong_value};
use crate::plan::{PaginationPlan, ValueAt};

/// The words of the names of a token and of the parameter that takes it.
fn words_of(from: &ValueAt, parameter: &str) -> Words {
    let field = match from {
        ValueAt::Field(path) => path.to_string(),
        ValueAt::Header(name) => name.to_string(),
    };
    Words::of(parameter).then(&Words::of(&field))
}

/// Whether a token is an offset or page number, by its names.
fn counts(from: &ValueAt, parameter: &str) -> bool {
    let words = words_of(from, parameter);
    !words.has_any(&["token", "cursor", "key", "id"]) && words.has_any(&["page", "offset", "start", "skip", "from", "index"])
}

impl Pager {
    /// The next link or token.
    pub(super) fn follow(&mut self, heard: &Heard<'_>) -> Result<Option<Position>, Problem> {
        let Heard { answer, said, reach, repeated, repeats_first, .. } = heard;
        if said.flag() == Some(false) {
            return Ok(None);
        }
        if std::mem::take(&mut self.fell) && *repeated {
            return Ok(None);
        }
        let empty = answer.record_count == 0;
        let Some(next) = self.lead(answer)? else {
            return if *repeats_first {
                Err(self.same_page())
            } else if said.flag() == Some(true)
                || said.pages_say(reach) == Some(true)
                || (self.pages == 1 && self.leads_elsewhere(heard))
                || (!self.names_the_end(answer) && self.total_promises(heard))
            {
                Err(self.no_way_on(heard))
            } else {
                Ok(None)
            };
        };
        // A token of a feed is there on every page; the first empty one ends the list.
        if self.detected == Detected::Likely && empty && said.flag().is_none() {
            return Ok(None);
        }
        let falls = self.falls(&next, said);
        // A page that says that more follows, and leads to one that was there before, is no last page.
        self.fell = falls && said.flag().or(said.pages_say(reach)) != Some(true);
        let stands_still = self.asked.as_deref() == Some(next.mark())
            || matches!(&next, Position::Url(url) if url == answer.url)
            || (self.goes_back(&next, said) && !falls);
        if stands_still {
            return self.stand_still(heard, next);
        }
        if falls && (empty || said.pages_say(reach) == Some(false)) {
            return Ok(None);
        }
        if self.pages == 1 && matches!(self.pagination, PaginationPlan::Token { .. }) {
            self.first_ids = Some((answer.ids.0)());
        }
        if *repeated {
            return Err(self.same_page());
        }
        if self.counts_all(heard) {
            return Ok(None);
        }
        let is_new = self.seen_marks.insert(xxh3_128(next.mark().as_bytes()));
        match (is_new, empty) {
            (true, true) if self.empty > MAX_EMPTY => Err(too_many_empty()),
            (true, _) => Ok(Some(next)),
            (false, true) => Ok(None),
            // It was asked for before, and so was all that it leads to.
            (false, false) if self.fell => Ok(None),
            (false, false) => Err(self.same_position()),
        }
    }

    /// What it means when a link or token leads to the page that it came with. The last page often has one; a first page that has one, or
    /// that comes again, was never left; and a scroll has one token for all of its pages, so only the response to the next request shows
    /// whether this was the last page. So a token is sent once more, and the list goes on while other records come.
    fn stand_still(&mut self, heard: &Heard<'_>, next: Position) -> Result<Option<Position>, Problem> {
        let Heard { answer, said, reach, repeated, repeats_first, .. } = heard;
        if answer.record_count == 0 || said.pages_say(reach) == Some(false) {
            return Ok(None);
        }
        let may_scroll = self.asked.as_deref() == Some(next.mark())
            && matches!(self.pagination, PaginationPlan::Token { .. })
            && !self.goes_back(&next, said);
        let ids = if may_scroll { Some((answer.ids.0)()) } else { None };
        let is_first_again = *repeats_first || (ids.is_some() && ids == self.first_ids);
        if self.pages == 1 || is_first_again {
            return Err(self.same_position());
        }
        let came_before = *repeated || ids.is_none() || ids == self.scrolled;
        self.scrolled = ids;
        if !came_before {
            return Ok(Some(next));
        }
        // It says that more follows, and leads nowhere.
        if said.flag() == Some(true) || said.pages_say(reach) == Some(true) {
            return Err(self.same_position());
        }
        Ok(None)
    }

    /// What the answer has in the place of the next link or token.
    fn lead(&self, answer: &Answer<'_>) -> Result<Option<Position>, Problem> {
        Ok(match &self.pagination {
            PaginationPlan::LinkHeader => {
                let links = answer.headers.get_all(LINK).iter().filter_map(|v| v.to_str().ok());
                let target = link_header::next_target(links).filter(|target| !target.is_empty() && *target != "#");
                target.map(|target| self.link(answer.url, target, "resources[].pagination.linkHeader")).transpose()?
            }
            PaginationPlan::NextLink(from) => match value_at(from, answer, "resources[].pagination.nextLink", Ends::AnyWord)? {
                Some(value) => match value.text {
                    Some(target) => Some(self.link(answer.url, &target, "resources[].pagination.nextLink")?),
                    None => return Err(wrong_value("resources[].pagination.nextLink", "a number")),
                },
                None => None,
            },
            PaginationPlan::Token { from, parameter, place } => {
                let ends = if self.is_detected() || counts(from, parameter) { Ends::AnyWord } else { Ends::NoValue };
                value_at(from, answer, "resources[].pagination.token", ends)?
                    .map(|token| carry(token, parameter, *place))
                    .transpose()?
            }
            _ => None,
        })
    }

    /// Whether the place of the link or token is there and says that it leads nowhere; else it may have been left out.
    fn names_the_end(&self, answer: &Answer<'_>) -> bool {
        match &self.pagination {
            PaginationPlan::LinkHeader => answer.headers.contains_key(LINK),
            PaginationPlan::NextLink(from) | PaginationPlan::Token { from, .. } => is_there(from, answer),
            _ => true,
        }
    }

    /// Whether a total says that rows follow this page. A total may count rows that are hidden or that the filter leaves out, so only a page
    /// that is as long as a page may be proves it, or the only page of a whole list whose length is not known.
    fn total_promises(&self, heard: &Heard<'_>) -> bool {
        let Heard { said, reach, .. } = heard;
        let is_long = match self.pages {
            1 => match said.size().filter(|size| self.requested != Some(*size)) {
                Some(size) => reach.rows >= size,
                None => self.extent == Extent::Whole || reach.is_full,
            },
            _ => reach.is_full,
        };
        reach.rows > 0 && is_long && said.total_says(reach) == Some(true)
    }

    /// Whether another member leads on than the one that the plan names.
    fn leads_elsewhere(&self, heard: &Heard<'_>) -> bool {
        !self.is_detected() && heard.said.leads().iter().any(|lead| lead.sure && heard.said.goes_on(lead, &heard.reach))
    }

    /// Whether a token is an offset or page number that is not greater than the one of this page.
    fn goes_back(&self, next: &Position, said: &Evidence) -> bool {
        self.numbers(next, said).is_some_and(|(next, here)| next <= here)
    }

    /// Whether a token of the manifest is a smaller number than that of this page. Whatever its name says, it may be the date or the id
    /// of the last row of a list that begins with the newest: the page that it leads to shows whether it goes forward.
    fn falls(&self, next: &Position, said: &Evidence) -> bool {
        !self.is_detected() && self.numbers(next, said).is_some_and(|(next, here)| next < here)
    }

    /// A token that is an offset or page number, and the one of this page.
    fn numbers(&self, next: &Position, said: &Evidence) -> Option<(u64, u64)> {
        let PaginationPlan::Token { from, parameter, .. } = &self.pagination else { return None };
        if !counts(from, parameter) {
            return None;
        }
        let words = words_of(from, parameter);
        let number = next.mark().parse::<u64>().ok()?;
        let said_now =
            || if words.has("page") { said.page().filter(|page| *page > 0) } else { said.start().filter(|start| *start > 0) };
        // On a first page the token itself may read like the place of the page.
        let here = self.asked.as_deref().and_then(|asked| asked.parse().ok());
        let here = here.or_else(|| said_now().filter(|here| self.is_detected() || *here != number));
        here.map(|here| (number, here))
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
        .seeing(format!("the next link leads to {}", shown_origin(url)))
    }
}
