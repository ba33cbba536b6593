//! What the answers show of the pagination, where the manifest declares none. Pure.

use super::{Heard, Pager};
use crate::api::conditions::{Problem, Reason};
use crate::fetch::detection::{self, Detection};
use crate::plan::PaginationPlan;

/// Whether the pagination was detected in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    /// The manifest declares it, or no answer has shown it yet.
    No,
    /// It may be a token of another kind.
    Likely,
    Surely,
}

impl Pager {
    /// The pagination that an answer shows; [`PaginationPlan::None`] where it shows no other page.
    ///
    /// # Errors
    /// More pages follow, and it is not clear how they are asked for.
    pub(super) fn detect(&mut self, heard: &Heard<'_>) -> Result<PaginationPlan, Problem> {
        let Heard { answer, said, reach, .. } = heard;
        let (plan, likely) = match detection::detect(&self.method, answer.headers, answer.envelope, said, reach) {
            Detection::Found(plan) => (plan, false),
            Detection::Likely(plan) => (plan, true),
            Detection::Nothing => {
                self.note_full_page(heard);
                return Ok(PaginationPlan::None);
            }
            Detection::Unclear(name) => {
                let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
                return Err(Problem::human(
                    Reason::PaginationUnclear,
                    format!(
                        "resources[].pagination: the answer suggests that more pages follow{name}, but not how they are asked for; \
                         set pagination to what the provider's documentation says, or to none to read the first page only"
                    ),
                ));
            }
        };
        self.detected = if likely { Detected::Likely } else { Detected::Surely };
        Ok(plan)
    }
}
