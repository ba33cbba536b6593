//! Orders the rows of one answer, and of the pages of one listing, that have one id.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use chrono::{DateTime, Utc};

use super::clock::ProviderClock;
use super::id_set::IdSet;
use super::known::AlreadyHashed;
use crate::plan::Order;

/// Ids of earlier pages of a listing whose date does not distinguish versions, with that date.
#[derive(Debug, Default)]
pub(super) struct Listed {
    dated: HashMap<u64, DateTime<Utc>, BuildHasherDefault<AlreadyHashed>>,
    /// Where nothing is dated, these are all ids of the list.
    undated: IdSet,
}

impl Listed {
    /// A page ended that has the id.
    pub(super) fn insert(&mut self, id: u64, date: Option<DateTime<Utc>>) {
        if let Some(date) = date {
            self.dated.insert(id, date);
        } else {
            self.dated.remove(&id);
            self.undated.insert(id);
        }
    }

    /// Whether a row with this id is later than the one of an earlier page; `None`: there is none.
    pub(super) fn precedes(&self, id: u64, date: Option<DateTime<Utc>>) -> Option<bool> {
        match self.dated.get(&id) {
            Some(listed) => Some(date > Some(*listed)),
            None => self.undated.has(id).then_some(date.is_some()),
        }
    }
}

/// Versions of records.
#[derive(Debug, Default)]
pub(super) struct Told(IdSet);

impl Told {
    pub(super) fn insert(&mut self, id: u64, version: u64) {
        self.0.insert(id ^ version);
    }

    pub(super) fn has(&self, id: u64, version: u64) -> bool {
        self.0.has(id ^ version)
    }
}

/// Which of two rows with one id is the later version?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    First,
    Second,
    /// They are one version.
    Neither,
}

/// Orders two rows by date, and by position where dates say nothing.
pub(super) fn later(order: Order, first: Option<DateTime<Utc>>, second: Option<DateTime<Utc>>, clock: &ProviderClock) -> Later {
    let by_position = if order == Order::Descending { Later::First } else { Later::Second };
    match (first, second) {
        (Some(first), Some(second)) if first == second => Later::Neither,
        (Some(first), Some(second)) if clock.is_far_ahead(first) == clock.is_far_ahead(second) => {
            if second > first {
                Later::Second
            } else {
                Later::First
            }
        }
        (None, None) => Later::Neither,
        _ => by_position,
    }
}
