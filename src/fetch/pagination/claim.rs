//! What the last answer of a listing says of rows that were not read. Pure.

use super::Heard;
use crate::detect::sweep::Claim;

pub(super) fn claim(heard: &Heard<'_>, rows: u64) -> Claim {
    let Heard { said, reach, .. } = heard;
    let leads_on = said.leads().iter().any(|lead| lead.sure && said.goes_on(lead, reach));
    Claim {
        counted: said.total().is_some_and(|total| total <= rows),
        short: said.total().map_or(0, |total| total.saturating_sub(rows)),
        more: said.flag().unwrap_or(leads_on || said.pages_say(reach) == Some(true)),
    }
}
