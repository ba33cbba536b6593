//! From a record that is a change to the event that says so. Pure.

use std::sync::Arc;

use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

use super::Detector;
use crate::detect::changes;
use crate::detect::event::{Change, Event, EventId, Kind, VersionToken};
use crate::detect::feed::{self, Lacks};
use crate::detect::known::{Details, DetailsView, Known, KnownSet};
use crate::detect::life;
use crate::detect::record::{RecordView, object_hash};
use crate::detect::shape;
use crate::detect::unidentified::TYPE_FIELD;

impl Detector<'_> {
    /// What to remember of a record in addition to its version.
    pub(super) fn details(
        &self,
        view: &RecordView<'_>,
        json: &str,
        before: Option<Known>,
        old: Option<DetailsView<'_>>,
    ) -> Option<Details> {
        changes::remembered(self.plan, view, json, life::details(self.plan, view, old, life::again(view, before)))
    }

    /// The version that is known is listed again: its fields are remembered, if that was not asked for before. Answers whether that was
    /// news.
    pub(super) fn note_fields(
        &self,
        view: &RecordView<'_>,
        (id, json): (u64, &str),
        before: Option<Known>,
        known: &mut KnownSet,
    ) -> bool {
        let is_it = before.is_some_and(|before| !before.deleted && before.version == self.classifier.version(view));
        if self.plan.changes.is_none() || !is_it || known.details(id).is_some_and(|details| details.fields().len() > 0) {
            return false;
        }
        let old = known.details(id).map(DetailsView::to_details);
        let details = changes::remembered(self.plan, view, json, old.clone());
        let (Some(same), true) = (known.get(id), details != old) else { return false };
        known.remember_with(id, same, details);
        true
    }

    /// The change that a record is; `None` for an event of a feed that says nothing to send.
    pub(super) fn change(
        &mut self,
        view: &RecordView<'_>,
        kind: Kind,
        json: &str,
        (before, known): (Option<Known>, Known),
        (details, changes): (Option<Details>, Option<String>),
    ) -> Option<Change> {
        let record = view.id_hash();
        let (object_id, kind, json, version) = match &self.plan.feed {
            None => {
                let life = life::salt(details.as_ref().map_or(0, |details| details.lives));
                let version = VersionToken { updated_text: view.updated_text.as_deref(), content: view.content ^ life };
                (view.id.clone(), kind, json, version)
            }
            Some(plan) => {
                let said = match feed::read(plan, json) {
                    Ok(said) => said,
                    Err(lacks) => {
                        let place = match lacks {
                            Lacks::Type => (TYPE_FIELD, &plan.type_field),
                            Lacks::Object => ("feed.objectIdField", &plan.object_id),
                        };
                        self.unidentified.note_event(&self.plan.name, place, json);
                        return None;
                    }
                };
                // The id of the event distinguishes it from others: its bytes may differ at each look.
                let version = VersionToken { updated_text: None, content: xxh3_128(view.id.as_bytes()) };
                (said.object_id, said.kind?, said.object, version)
            }
        };
        Some(Change {
            object: object_hash(self.plan.list_of.as_ref().map(|list| &*list.value), &object_id),
            record,
            date: self.classifier.listed_date(view),
            known,
            details,
            is_announcement: before.is_none_or(|before| before.deleted) && self.finds_deletions(),
            event: Event {
                id: EventId::new(self.identity, &self.plan.name, &object_id, kind, &version),
                kind,
                resource: Arc::clone(self.plan.object_type()),
                parent: self.plan.list_of.as_ref().map(|list| Arc::clone(&list.value)),
                object_id: object_id.into_owned(),
                version_date: view.version_date(),
                detected_at: self.polled_at,
                changes,
                partial: false,
                truncated: false,
                // The page was checked to be JSON, so each of its records is.
                data: RawValue::from_string(shape::delivered(json, view, kind, &self.plan.extract, self.identity))
                    .unwrap_or_default(),
            },
        })
    }
}
