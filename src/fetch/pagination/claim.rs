//! What the last answer of a listing says of rows that were not read. Pure.

use super::Heard;
use crate::detect::sweep::Claim;

/// `followed` is the link or token that was followed up to here, by the names that lead to it. The listing ended although the answer may
/// have one, as each page of a scroll has, even an empty one: it promises no more.
pub(super) fn claim(heard: &Heard<'_>, rows: u64, followed: Option<&str>) -> Claim {
    let Heard { said, reach, .. } = heard;
    let mut leads = said.leads().iter().filter(|lead| followed.is_none_or(|followed| lead.path.join(".") != followed));
    let leads_on = leads.any(|lead| lead.sure && said.goes_on(lead, reach));
    Claim {
        counted: said.total().is_some_and(|total| total <= rows),
        short: said.total().map_or(0, |total| total.saturating_sub(rows)),
        more: said.flag().unwrap_or(leads_on || said.pages_say(reach) == Some(true)),
    }
}
