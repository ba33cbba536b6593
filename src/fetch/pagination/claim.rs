//! What an answer says of rows that were not read yet: of the next page, and at the end of the list. Pure.

use super::{Heard, Pager, Promise, Spot};
use crate::detect::sweep::Claim;
use crate::plan::PaginationPlan;

impl Pager {
    /// What an answer says of the next page, if there is one.
    pub(super) fn promised(&self, heard: &Heard<'_>) -> Promise {
        let Heard { said, reach, .. } = heard;
        let follows =
            matches!(self.pagination, PaginationPlan::LinkHeader | PaginationPlan::NextLink(_) | PaginationPlan::Token { .. });
        if self.spot == Spot::BehindTheEnd {
            Promise::None
        } else if said.flag() == Some(true) || said.pages_say(reach) == Some(true) {
            Promise::Says
        } else if follows || said.more(reach) == Some(true) {
            Promise::Leads
        } else {
            Promise::None
        }
    }
}

/// `followed` is the link or token that was followed up to here, by the names that lead to it. The listing ended although the answer may
/// have one, as each page of a scroll has, even an empty one: it promises no more. Nor does any after an answer that counts all rows that were
/// read.
pub(super) fn claim(heard: &Heard<'_>, rows: u64, followed: Option<&str>, counts_all: bool) -> Claim {
    let Heard { said, reach, .. } = heard;
    let mut leads = said.leads().iter().filter(|lead| followed.is_none_or(|followed| lead.path.join(".") != followed));
    let leads_on = !counts_all && leads.any(|lead| lead.sure && said.goes_on(lead, reach));
    Claim {
        counted: said.total().is_some_and(|total| total <= rows),
        short: said.total().map_or(0, |total| total.saturating_sub(rows)),
        more: said.flag().unwrap_or(leads_on || said.pages_say(reach) == Some(true)),
    }
}
