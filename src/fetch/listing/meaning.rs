//! What one answer means: by the manifest, by its head, and the records that its body has.

use chrono::Utc;
use http::{HeaderMap, StatusCode};
use url::Url;

use super::PageReader;
use crate::api::conditions::{Problem, Reason};
use crate::egress::Response;
use crate::fetch::answer::{self, ContentClass, Verdict};
use crate::fetch::error_shape;
use crate::fetch::page::Page;
use crate::fetch::place::{self, Place};
use crate::fetch::split::{SplitError, split_at};
use crate::fetch::unreadable::unreadable;
use crate::plan::error_rules;
use crate::plan::id::IdPlan;

impl PageReader<'_> {
    /// What the manifest says of an answer, else what its head says.
    pub(super) async fn interpret(&self, response: &Response) -> Result<Verdict, Problem> {
        let Response { status, headers, body, .. } = response;
        let rules = &self.resource.extract.error_rules;
        let means = if error_rules::concern(rules, *status) {
            self.asker.cpu.work(self.instance, body.len(), || error_rules::meaning(rules, *status, body)).await
        } else {
            None
        };
        let now = Utc::now();
        let verdict = match means {
            Some(means) => answer::by_rule(means, *status, headers, self.resource.limits.as_deref(), now),
            // The counts said that the list ends before this page.
            None if self.pager.is_probing() && answer::refuses_a_page(*status) => return Ok(Verdict::Empty),
            None => answer::interpret(*status, headers, body, now).map_err(|problem| match self.pages {
                0 => self.token.explained(self.resource.delta.as_ref(), answer::of_url(problem, &response.url), *status),
                pages => answer::of_page(problem, *status, pages + 1),
            }),
        };
        verdict.map_err(|problem| self.asker.explain(self.resource, &self.auth, response, problem))
    }

    pub(super) fn split(
        &self,
        body: bytes::Bytes,
        (status, is_success): (StatusCode, bool),
        headers: &HeaderMap,
        url: &Url,
    ) -> Result<Page, Problem> {
        let page = self.split_body(body, is_success, headers, url);
        if status != StatusCode::ACCEPTED {
            return page;
        }
        // What a provider still prepares has no records yet, whatever form its answer has.
        match page {
            Ok(page) if !page.is_empty() => Ok(page),
            Err(problem) if problem.reason == Reason::ErrorInResponse => Err(problem),
            _ => Err(answer::not_prepared(headers, Utc::now())),
        }
    }

    fn split_body(&self, body: bytes::Bytes, is_success: bool, headers: &HeaderMap, url: &Url) -> Result<Page, Problem> {
        if !is_success && answer::is_problem_type(headers) {
            return Err(answer::error_in_response());
        }
        let extract = &self.resource.extract;
        let given = extract.records_path.as_ref().map(place::given);
        let seen = self.records_path.as_deref().or(self.known_path.as_deref());
        let place = Place {
            path: given.or(seen),
            is_given: given.is_some(),
            held_list: seen.is_some() && given.is_none_or(|given| Some(given) == seen),
            is_success,
            only: Some(extract),
            requested: url.path_segments().and_then(|parts| parts.rev().find(|part| !part.is_empty())),
        };
        // Blanks alone were sent on purpose, as no bytes are whose number is declared.
        let is_blank = !body.is_empty() && ContentClass::of(headers) != ContentClass::Html;
        match split_at(body, &place, extract.records_as) {
            Err(SplitError::Empty) if place.held_list && (is_blank || answer::is_declared_empty(headers)) => Ok(Page::empty()),
            Err(error) if self.pager.is_probing() && error.is_without_list() => Ok(Page::empty()),
            split => split.map_err(|error| unreadable(&error, headers, extract.records_as)),
        }
    }
}

/// Whether the last row is no record but an error: a provider that writes a list while it reads it has no other place for what goes wrong
/// on the way.
pub(super) fn ends_with_an_error(page: &Page, id: &IdPlan) -> bool {
    let mut records = page.records();
    let Some(last) = records.next_back().filter(|last| last.key.is_none() && id.find(last.json).is_none()) else {
        return false;
    };
    let others_are_records = records.next().is_none_or(|first| id.find(first.json).is_some());
    // A text behind records says what went wrong; null and an empty object are rather rows that may not be read.
    others_are_records && (last.json.starts_with('"') || error_shape::is_error(last.json, &[], error_shape::Rows::Absent))
}
