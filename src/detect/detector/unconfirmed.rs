//! Changes that a sink may have stored, though it did not confirm them. Pure.
//!
//! The answer to an event may be lost after the receiver has stored it. While the provider shows the change, it is sent again, with the same
//! id. If the provider has gone back meanwhile, nothing would differ from what is known, and yet the receiver may have the change. So:
//!
//! - **A change of a known record that is undone** is followed by a change back. Only content says that it is undone: a date that is earlier
//!   again is most often a copy that lags behind.
//! - **A record that was sent as new** is remembered as sent ([`Known::sent_as`]), where its deletion can be found. If it is deleted or leaves the
//!   filter, its deletion is sent; while it is listed, it is sent again as what it was sent before.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use chrono::{DateTime, Utc};

use super::Detector;
use crate::detect::classify::Class;
use crate::detect::clock::ProviderClock;
use crate::detect::event::Kind;
use crate::detect::known::{AlreadyHashed, Known};
use crate::detect::record::{RecordView, object_hash};
use crate::plan::ChangeBy;

/// Objects whose last change was tried and not taken when the poll began, by their hash.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed(HashSet<u64, BuildHasherDefault<AlreadyHashed>>);

impl Detector<'_> {
    /// The last changes of these objects were tried, and not every sink has taken them.
    pub fn expect_undone(&mut self, objects: impl IntoIterator<Item = u64>) {
        self.unconfirmed.0.extend(objects);
    }

    /// Classifies a record that is known as `before`, or was sent as new and is not confirmed.
    pub(super) fn class(
        &mut self,
        view: &RecordView<'_>,
        seen: (u64, Option<DateTime<Utc>>),
        (before, sent_as): (Option<Known>, Option<Kind>),
        clock: &ProviderClock,
    ) -> Class {
        let class = match sent_as {
            Some(kind) => self.classifier.classify_sent(view, kind),
            None => self.classify(view, seen, before, clock),
        };
        self.unless_undone(class, view, before)
    }

    /// What a record is whose change is undone, where its class says that it is as it is known.
    fn unless_undone(&mut self, class: Class, view: &RecordView<'_>, before: Option<Known>) -> Class {
        // Each event of a feed is a record of its own.
        if self.unconfirmed.0.is_empty() || self.plan.feed.is_some() {
            return class;
        }
        let object = object_hash(self.plan.list_of.as_ref().map(|list| &*list.value), &view.id);
        let is_by_content = before.is_some_and(|before| self.classifier.is_by_content(view, &before));
        match class {
            Class::Same if is_by_content && self.unconfirmed.0.remove(&object) => Class::Change(self.way_back(view)),
            // It is sent again.
            Class::Change(_) => {
                self.unconfirmed.0.remove(&object);
                class
            }
            _ => class,
        }
    }

    /// Whether something shows that a record was deleted: then one that was sent as new must be known from its first try on.
    pub(super) fn finds_deletions(&self) -> bool {
        let is_marked = self.plan.extract.deleted.is_some() || self.classifier.tells_leaving();
        self.plan.feed.is_none() && (is_marked || self.plan.snapshot.is_some())
    }

    fn way_back(&self, view: &RecordView<'_>) -> Kind {
        // Where updates do not count, what may be undone is a deletion.
        let counts_creations = self.plan.change_by == ChangeBy::Created && !self.plan.compare_content;
        match view.is_gone() {
            true => Kind::Deleted,
            false if counts_creations => Kind::Created,
            false => Kind::Updated,
        }
    }
}
