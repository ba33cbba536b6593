//! What the first poll of a resource sends.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::detect::classify::Mode;
use crate::detect::window;
use crate::observe::output;
use crate::plan::start_from::IN_THE_FUTURE;
use crate::plan::{ResourcePlan, StartFrom};

/// How a trial reads the list: as the second poll would, were nothing known, so that every record is a change. What the first one sends of all
/// records is asked for without a lower bound.
pub(super) fn mode(resource: &ResourcePlan, since: Option<DateTime<Utc>>) -> Mode {
    if since.is_none() && resource.start_from == StartFrom::Earliest { Mode::FirstRead } else { Mode::Usual }
}

/// What it sends of what is there.
pub(super) fn sends(resource: &ResourcePlan) -> String {
    match resource.start_from {
        StartFrom::Now if window::needs_whole_baseline(resource) => {
            "startFrom: Now reads this list once and sends none of them".to_owned()
        }
        StartFrom::Now => "startFrom: Now reads its last hours once and sends none of them".to_owned(),
        StartFrom::Earliest => "startFrom: Earliest sends all records that exist".to_owned(),
        StartFrom::Time(time) => format!("startFrom sends those since {}", time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
    }
}

/// Shows what may surprise.
pub(super) fn show_warnings(resource: &ResourcePlan) {
    if resource.starts_later(Utc::now()) {
        output::line(format_args!("  warning:      {IN_THE_FUTURE}"));
    }
    if let Some(note) = resource.old_records() {
        output::line(format_args!("  note:         {note}"));
    }
}
