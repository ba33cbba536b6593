//! Changes that no sink has confirmed, of records that are as before. Pure.
//!
//! A receiver may have stored an event of which the answer was lost. While the provider shows the change, it is sent again, with the same id.
//! If the provider has gone back to what is known, nothing differs any more, and yet the receiver may have the change. So the way back is a
//! change, too. Only content says so: a date that is earlier again is most often a copy that lags behind.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use super::Detector;
use crate::detect::classify::Class;
use crate::detect::event::Kind;
use crate::detect::known::{AlreadyHashed, Known};
use crate::detect::record::{RecordView, object_hash};

/// Objects whose last change was tried and not taken when the poll began, by their hash.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed(HashSet<u64, BuildHasherDefault<AlreadyHashed>>);

impl Detector<'_> {
    /// The last changes of these objects were tried, and no sink has taken them.
    pub fn expect_undone(&mut self, objects: impl IntoIterator<Item = u64>) {
        self.unconfirmed.0.extend(objects);
    }

    /// What a record is whose change is undone, where its class says that it is as it is known.
    pub(super) fn unless_undone(&mut self, class: Class, view: &RecordView<'_>, before: Option<Known>) -> Class {
        // Each event of a feed is a record of its own.
        if self.unconfirmed.0.is_empty() || self.plan.feed.is_some() {
            return class;
        }
        let object = object_hash(self.plan.list_of.as_ref().map(|list| &*list.value), &view.id);
        let is_by_content = before.is_some_and(|before| self.classifier.is_by_content(view, &before));
        match class {
            Class::Same if is_by_content && self.unconfirmed.0.remove(&object) => {
                Class::Change(if view.is_gone() { Kind::Deleted } else { Kind::Updated })
            }
            // It is sent again.
            Class::Change(_) => {
                self.unconfirmed.0.remove(&object);
                class
            }
            _ => class,
        }
    }
}
