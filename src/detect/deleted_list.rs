//! What a row of a list of deleted ids means for the record that it names. Pure.
//!
//! The rows are detected as records are, in a known set of their own, so each deletion comes here once. Between the two lists **the later
//! date wins**: a record whose known version is later than the deletion was created again and reported since, and what the other list shows
//! of a deleted record that is not later than its deletion is what was deleted. Of a date only its unit is known. Within one unit the
//! deletion wins, but where the unit is long, such as a day: there a record that differs from what was deleted is one that came back.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::event::{Change, Event, EventId, Kind, VersionToken};
use super::known::{Age, Known};
use super::record::{id_hash, object_hash};
use crate::plan::ResourcePlan;
use crate::plan::date_format::{DateReading, Zeros};
use crate::plan::json::scalar_text;

/// Within a unit of at most this length the deletion wins.
const SHORT: TimeDelta = TimeDelta::seconds(1);
/// Dates with fractions of a second have this unit.
const FINEST: TimeDelta = TimeDelta::milliseconds(1);
/// Distinguishes the version that was deleted from the same version of a living record.
const DELETED: u64 = 0x6465_6c65_7465_6421;

/// What is remembered of a version once it is known that it was deleted.
pub(super) fn version_of_deleted(version: u64) -> u64 {
    version ^ DELETED
}

/// What a row means.
#[derive(Debug)]
pub enum RowMeaning {
    /// This deletion is to be sent.
    Deletion(Box<Change>),
    /// The receiver knows of it. This is known of the record from now on.
    Again(Known),
    /// The record was created again since.
    Superseded,
}

/// What a row of the list of deleted ids `list` means for the resource of `plan`. `before` is what is known of the record.
pub fn meaning(plan: &ResourcePlan, list: &ResourcePlan, identity: &str, row: &Change, before: Option<Known>) -> RowMeaning {
    let (id, json) = (&row.event.object_id, row.event.data.get());
    let date = row.event.version_date;
    let text = date.and_then(|_| list.extract.updated.as_ref()?.path.find(json)).and_then(scalar_text);
    let latest = date.map(|date| latest(list, date, text.as_deref().unwrap_or_default()));
    let is_long = date.zip(latest).is_some_and(|(date, latest)| latest - date >= SHORT);
    let until = date.filter(|_| is_long).or(latest).map(|date| date.timestamp_micros());
    // What the filter excludes is known as deleted, too.
    let is_told = |known: Known| known.deleted && (plan.extract.filter.is_some() || until <= known.date);
    match before {
        Some(known) if is_told(known) => return RowMeaning::Again(Known { date: known.date.max(until), ..known }),
        Some(known) if !known.deleted && is_later(known, latest) => return RowMeaning::Superseded,
        Some(_) | None => {}
    }
    let content = if text.is_some() { 0 } else { xxh3_128(json.as_bytes()) };
    let event = EventId::new(identity, &plan.name, id, Kind::Deleted, &VersionToken { updated_text: text.as_deref(), content });
    let version = match before {
        Some(known) if known.deleted => known.version,
        Some(known) => version_of_deleted(known.version),
        None => xxh3_64(event.as_str().as_bytes()),
    };
    let id_json = list.extract.id.find(json).unwrap_or_default();
    let list = plan.list_of.as_ref();
    RowMeaning::Deletion(Box::new(Change {
        object: object_hash(list.map(|list| &*list.value), id),
        record: id_hash(id),
        known: Known { version, date: until, age: Age::Open, deleted: true },
        details: None,
        is_announcement: false,
        date: row.date,
        event: Event {
            id: event,
            kind: Kind::Deleted,
            resource: Arc::clone(plan.object_type()),
            object_id: id.clone(),
            parent: list.map(|list| Arc::clone(&list.value)),
            version_date: date,
            detected_at: row.event.detected_at,
            changes: None,
            partial: false,
            truncated: false,
            data: RawValue::from_string(plan.extract.id.record(&id_json)).unwrap_or_default(),
        },
    }))
}

/// Whether a version that is known is certainly later than the unit that ends at `last`.
fn is_later(known: Known, last: Option<DateTime<Utc>>) -> bool {
    !known.age.is_ahead() && known.date.zip(last).is_some_and(|(known, last)| known > last.timestamp_micros())
}

/// The last moment that the date of a row may stand for, which has this text. Midnight stands for its day.
fn latest(list: &ResourcePlan, date: DateTime<Utc>, text: &str) -> DateTime<Utc> {
    let format = list.extract.updated.as_ref().map(|date| &date.format);
    let read = format.and_then(|format| match format.read_written(text) {
        DateReading::At(date) => Some(format.end_of(&date, Zeros::Midnight)),
        DateReading::Never | DateReading::Unreadable => None,
    });
    let end = read.unwrap_or(date);
    // RFC 3339 may write fractions of a second, and need not.
    let end = if end - date <= SHORT && text.contains('.') { end.min(date + FINEST) } else { end };
    end.checked_sub_signed(TimeDelta::microseconds(1)).map_or(date, |last| last.max(date))
}

#[cfg(test)]
#[path = "deleted_list_tests.rs"]
mod tests;
