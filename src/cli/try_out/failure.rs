//! Why a list could not be shown.

use crate::api::conditions::{Problem, Reaction};
use crate::observe::output;
use crate::plan::ResourcePlan;

/// Prints it. A request without a bound asks for everything since 1970, which some providers refuse and others cannot answer in time.
pub(super) fn print(list: &ResourcePlan, problem: &Problem, is_bounded: bool) {
    output::line(format_args!("  failed:       {problem}"));
    if let Some(seen) = &problem.seen {
        output::line(format_args!("                {seen}"));
    }
    if !is_bounded && list.request.uses_since() && problem.reaction == Reaction::Human {
        let hint = "this asked for everything since 1970; if the provider refuses that, try --since with a recent time";
        output::line(format_args!("                {hint}"));
    }
}
