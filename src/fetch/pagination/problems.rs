//! Why a listing is stopped, as a user reads it. Pure.

use super::{Heard, Pager};
use crate::api::conditions::{Problem, Reason};
use crate::plan::PaginationPlan;

impl Pager {
    pub(super) fn same_page(&self) -> Problem {
        let PaginationPlan::Token { parameter, .. } = &self.pagination else {
            return loops("the provider sent the same page twice");
        };
        if !self.is_detected() {
            return loops("the provider sent the same page twice");
        }
        Problem::human(
            Reason::PaginationUnclear,
            format!(
                "resources[].pagination: the provider gives a token for more pages, but sends the same page again when {parameter} \
                 carries it; set pagination.token with the parameter that its documentation names, or none to read the first page only"
            ),
        )
    }

    pub(super) fn same_position(&self) -> Problem {
        if self.is_detected() && matches!(self.pagination, PaginationPlan::Token { .. }) {
            return self.same_page();
        }
        loops("the provider gave the same next link or token twice")
    }

    pub(super) fn no_way_on(&self, heard: &Heard<'_>) -> Problem {
        let field = match &self.pagination {
            PaginationPlan::LinkHeader => "linkHeader",
            PaginationPlan::NextLink(_) => "nextLink",
            _ => "token",
        };
        let name = heard.said.witness(&heard.reach).map(|name| format!(" ({name})")).unwrap_or_default();
        Problem::human(
            Reason::PaginationUnclear,
            format!(
                "resources[].pagination.{field}: the answer says that more pages follow{name}, but has no next link or token there; \
                 correct pagination to what the provider's documentation says"
            ),
        )
    }
}

fn loops(what: &str) -> Problem {
    Problem::transient(
        Reason::PaginationLoop,
        format!(
            "resources[].pagination: {what}; check that it knows the parameters in query and pagination, and set pagination to what \
             its documentation says"
        ),
    )
}

pub(super) fn too_many_empty() -> Problem {
    Problem::transient(
        Reason::PaginationLoop,
        "resources[].pagination: the provider keeps saying that more follows, but sends only empty pages; check pagination \
         against its documentation, or filter with query so that a poll reads less",
    )
}

pub(super) fn not_the_first_page() -> Problem {
    Problem::human(
        Reason::PaginationUnclear,
        "resources[].pagination.page.first: the answer to page 1 says that there are pages before it; set first to 0 if the \
         provider counts pages from 0",
    )
}

pub(super) fn counts_pages_not_rows(parameter: &str) -> Problem {
    Problem::human(
        Reason::PaginationUnclear,
        format!(
            "resources[].pagination.offset.parameter: the provider seems to count pages with {parameter} and not rows, so most rows are \
             never read; set pagination.page with this parameter, and its first to 0 if the provider counts pages from 0"
        ),
    )
}

pub(super) fn counts_rows_not_pages(parameter: &str) -> Problem {
    Problem::human(
        Reason::PaginationUnclear,
        format!(
            "resources[].pagination.page.parameter: the provider counts rows with {parameter} and not pages, so pages overlap; set \
             pagination.offset with this parameter"
        ),
    )
}

pub(super) fn lacks_a_page() -> Problem {
    Problem::human(
        Reason::PaginationUnclear,
        "resources[].pagination.page.first: the answers' total counts one page more than the pages from 1 on have; set first to 0 if \
         the provider counts pages from 0, else to 1",
    )
}
