//! The lives of a record that sweeps look for: what is remembered of it besides its version, and the event of its deletion. Pure.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::event::{Change, Event, EventId, Kind, VersionToken};
use super::known::{Age, Details, Known, KnownSet, Presence};
use super::record::RecordView;
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json::scalar_text;
use crate::plan::{ChangeBy, ResourcePlan};

/// What is remembered of a record besides its version, where sweeps look for it: it was listed, and this is its id.
pub(super) fn details(
    plan: &ResourcePlan,
    view: &RecordView<'_>,
    before: Option<Known>,
    old: Option<&Details>,
) -> Option<Details> {
    plan.snapshot.as_ref()?;
    let id = view.id_json.map_or_else(|| quoted(&view.id), str::to_owned);
    let returned = before.is_some_and(|known| known.deleted);
    let (lives, fields) = old.map_or((0, Box::default()), |old| (old.lives, old.fields.clone()));
    Some(Details { id: Some(id.into()), fields, lives: lives.saturating_add(returned.into()), presence: Presence::Listed })
}

/// A record was listed: what is known of it, which no longer says that it is missing. Answers, too, whether that was news.
pub(super) fn listed(plan: &ResourcePlan, view: &RecordView<'_>, id: u64, known: &mut KnownSet) -> (Option<Known>, bool) {
    let before = known.get(id);
    let Some(living) = before.filter(|before| plan.snapshot.is_some() && !before.deleted) else { return (before, false) };
    let old = known.details(id);
    let fresh = details(plan, view, before, old);
    match old.filter(|old| old.id.is_some()).map(|old| old.presence) {
        Some(Presence::Listed) => (before, false),
        Some(Presence::Missed | Presence::Held) | None => {
            known.remember_with(id, living, fresh);
            (before, true)
        }
        Some(Presence::Gone) => {
            // A sink may have its deletion already, though it did not say so: whatever the version, it is a change, and another one than
            // ever before. Where updates do not count, only a creation can tell.
            let deleted = plan.change_by == ChangeBy::Created && !plan.compare_content;
            let again = Known { version: !living.version, date: None, age: Age::Open, deleted };
            let lives = fresh.as_ref().map_or(0, |fresh| fresh.lives).saturating_add(u32::from(!deleted));
            known.remember_with(id, again, fresh.map(|fresh| Details { lives, ..fresh }));
            (Some(again), true)
        }
    }
}

/// What tells the changes of one life of a record from the same changes of another one. The first life has nothing to tell.
pub(super) fn salt(lives: u32) -> u128 {
    if lives == 0 { 0 } else { xxh3_128(&lives.to_be_bytes()) }
}

/// The deletion of a record that sweeps no longer find; `None` when it cannot be told of.
pub fn deletion(
    plan: &ResourcePlan,
    identity: &str,
    (object, known, details): (u64, Known, &Details),
    detected_at: DateTime<Utc>,
) -> Option<Change> {
    let json = details.id.as_deref()?;
    let id = scalar_text(json)?;
    // What was last known of it, and in which life.
    let version = VersionToken { updated_text: None, content: u128::from(known.version) ^ salt(details.lives) };
    let event = EventId::new(identity, &plan.name, &id, Kind::Deleted, &version);
    Some(Change {
        object,
        known: Known {
            version: xxh3_64(event.as_str().as_bytes()),
            date: Some(detected_at.timestamp_micros()),
            age: Age::Open,
            deleted: true,
        },
        details: Some(Details { lives: details.lives, ..Details::default() }),
        date: None,
        event: Event {
            id: event,
            kind: Kind::Deleted,
            resource: Arc::clone(&plan.name),
            object_id: id.into_owned(),
            version_date: None,
            detected_at,
            data: RawValue::from_string(data(plan.extract.id.as_ref(), json)).unwrap_or_default(),
        },
    })
}

/// A record of which only the id is left, where a record has it.
fn data(path: Option<&FieldPath>, id: &str) -> String {
    let keys: Option<Vec<_>> = path.map_or(Some(vec!["id"]), |path| {
        let keys = path.segments().iter();
        keys.map(|segment| if let Segment::Key(key) = segment { Some(key.as_ref()) } else { None }).collect()
    });
    // Inside an array there is no such record: its path stands for it.
    let flat = path.map(ToString::to_string).unwrap_or_default();
    let keys = keys.unwrap_or_else(|| vec![&flat]);
    let nested = keys.iter().rev().fold(id.to_owned(), |inner, key| format!("{{{}:{inner}}}", quoted(key)));
    nested
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
