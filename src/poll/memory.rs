//! What one poll of a resource leaves to the next in this process. Without it the next poll costs more or reports less, but loses nothing.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::strategy::PageLengths;
use crate::detect::turnover::{Shown, Size};
use crate::detect::volatile::VolatileWatch;
use crate::fetch::copy::Made;
use crate::fetch::validators::Validators;

/// What one poll of a resource leaves to the next in this process.
#[derive(Debug, Default)]
pub struct Memory {
    /// Those of the last poll that was clean.
    pub validators: Option<Validators>,
    /// What changes by content showed.
    pub watch: VolatileWatch,
    /// Sweeps in a row that failed, and when the next one may begin.
    pub sweep_failures: Option<(u32, DateTime<Utc>)>,
    /// How far it came.
    pub trail: Trail,
    /// That of the list of deleted ids.
    pub deleted_list: Option<Box<Self>>,
    /// Those of the lists of a resource that has one for each of several values.
    pub lists: Option<Box<ListMemories>>,
}

/// What the polls of several lists leave to the next ones.
#[derive(Debug, Default)]
pub struct ListMemories {
    /// By name.
    lists: HashMap<Arc<str>, Box<Memory>>,
}

impl ListMemories {
    /// Takes that of the list with this name.
    pub fn take(&mut self, name: &str) -> Memory {
        self.lists.remove(name).map_or_else(Memory::default, |memory| *memory)
    }

    /// Whether the sweep of a list waits to be tried again.
    pub fn has_failed_sweep(&self) -> bool {
        self.lists.values().any(|memory| memory.sweep_failures.is_some())
    }

    /// Drops those of lists that are no longer polled.
    pub fn retain(&mut self, is_polled: impl Fn(&str) -> bool) {
        self.lists.retain(|name, _| is_polled(name));
    }

    /// Keeps that of the list with this name.
    pub fn put(&mut self, name: &Arc<str>, memory: Memory) {
        self.lists.extend(memory.boxed().map(|memory| (Arc::clone(name), memory)));
    }
}

/// How far the polls of a resource came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// When the list was last read to its end and all of it delivered, on the provider's clock.
    pub read_at: Option<DateTime<Utc>>,
    /// Hash of the ids of the last listing, if its pages overlapped.
    pub overlaps: Option<u64>,
    /// What the last poll saw of a list that is read whole.
    pub shown: Option<Shown>,
    /// How many records the list had before it had next to none.
    pub size: Size,
    /// First polls whose responses had no list at all.
    pub hollow: u8,
    /// Answers had another list of objects next to the records, at some time.
    pub has_other_lists: bool,
    /// Records came into the list with old dates, at some time.
    pub has_newcomers: bool,
    /// When the answer was made that was read last.
    pub made: Option<Made>,
    /// How long the pages of a list may be that is asked for by date.
    pub page_lengths: PageLengths,
    /// When a token for the next poll was last kept for good.
    pub token_kept_at: Option<DateTime<Utc>>,
}

impl Memory {
    /// `None` if there is nothing in it: most resources need none.
    pub fn boxed(self) -> Option<Box<Self>> {
        let is_empty = self.validators.is_none() && self.watch.is_empty() && self.sweep_failures.is_none();
        let has_lists = self.deleted_list.is_some() || self.lists.is_some();
        (!is_empty || self.trail != Trail::default() || has_lists).then(|| Box::new(self))
    }
}
