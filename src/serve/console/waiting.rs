//! Events that the callback did not accept, as a person sees them: those that are tried again, and those that are parked. Pure.

use chrono::{DateTime, Utc};

use super::stamp::Stamp;
use crate::api::visible::one_line;
use crate::instances::waiting::WaitingEvent;

/// Events that are shown; the page says how many more there are.
const MOST: usize = 100;

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingList {
    /// The parked ones first, each group the oldest first.
    pub rows: Vec<WaitingRow>,
    /// How many are not shown.
    pub more: usize,
    /// There are some, and the person may not read the Secret that has them.
    pub is_hidden: bool,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingRow {
    /// Its id.
    pub event: String,
    /// Which resource.
    pub resource: String,
    /// What happened to the object.
    pub kind: &'static str,
    /// The id of the object.
    pub object: String,
    /// Tries so far.
    pub attempts: u32,
    /// When the change was found.
    pub found: Stamp,
    /// When it is tried next; `None`: it is parked.
    pub next_try: Option<Stamp>,
}

/// The list of events that wait.
pub fn waiting(mut events: Vec<WaitingEvent>, now: DateTime<Utc>) -> WaitingList {
    events.sort_by_key(|event| (!event.is_parked(), event.found));
    let more = events.len().saturating_sub(MOST);
    events.truncate(MOST);
    let row = |event: WaitingEvent| WaitingRow {
        event: event.event.as_str().to_owned(),
        resource: one_line(&event.resource).into_owned(),
        kind: event.kind.as_str(),
        object: one_line(&event.object).into_owned(),
        attempts: event.attempts,
        found: Stamp::new(event.found, now),
        next_try: event.next_try.map(|at| Stamp::new(at, now)),
    };
    WaitingList { rows: events.into_iter().map(row).collect(), more, is_hidden: false }
}
