//! What a trial shows of paths of the manifest that no record has, and of the types of events.

use std::collections::BTreeSet;

use crate::api::visible::one_line;
use crate::detect::detector::Detector;
use crate::observe::output;

/// Types that are shown.
const SHOWN: usize = 10;

/// What is most likely misspelt; `types` are those of the events that were read.
pub(super) fn show(detector: &Detector<'_>, types: &BTreeSet<String>) {
    if !types.is_empty() {
        let shown: Vec<_> = types.iter().take(SHOWN).map(|of_type| one_line(of_type).to_string()).collect();
        let more = if types.len() > SHOWN { ", and others" } else { "" };
        output::line(format_args!("  types:        {}{more}", shown.join(", ")));
    }
    if let Some(absent) = detector.field_evidence().absent() {
        output::line(format_args!("  warning:      {absent}"));
    }
    if let Some(unmatched) = detector.event_types().unmatched() {
        output::line(format_args!("  warning:      {unmatched}"));
    }
}
