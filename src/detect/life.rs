//! The lives of a record: what is remembered of it in addition to its version, and the event of its deletion by a sweep. Pure.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::event::{Change, Event, EventId, Kind, VersionToken};
use super::known::{Age, Details, DetailsView, Known, KnownSet, Presence};
use super::record::{RecordView, object_hash};
use crate::plan::{ChangeBy, ResourcePlan};

/// What is remembered of a record in addition to its version: how often it changed [`again`], and where sweeps look for it, that it was
/// listed, and its id.
pub(super) fn details(
    plan: &ResourcePlan,
    view: &RecordView<'_>,
    old: Option<DetailsView<'_>>,
    again: bool,
) -> Option<Details> {
    let (lives, fields) = old.map_or((0, Box::default()), |old| (old.lives, old.fields().collect()));
    let lives = lives.saturating_add(again.into());
    let id = plan.snapshot.as_ref().map(|_| view.id_json.as_deref().map_or_else(|| quoted(&view.id), str::to_owned).into());
    (id.is_some() || lives > 0).then_some(Details { id, fields, lives, presence: Presence::Listed })
}

/// Whether a change of a record may look like an earlier one: it is back after it was deleted, or no later date distinguishes the two. A
/// record that goes from one content to another and back again changes three times, and each is an event of its own.
pub(super) fn again(view: &RecordView<'_>, before: Option<Known>) -> bool {
    let date = view.version_date().map(|date| date.timestamp_micros());
    before.is_some_and(|before| before.deleted || date.is_none() || date <= before.date)
}

/// What it says of a record that it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing new.
    None,
    /// It is not missing after all, or its id was not kept until now.
    Found,
    /// It is back, and its deletion may have been sent.
    Returned,
}

/// A record was listed: what is known of it, which no longer says that it is missing, and what that says of it.
pub(super) fn listed(plan: &ResourcePlan, view: &RecordView<'_>, id: u64, known: &mut KnownSet) -> (Option<Known>, Sign) {
    let before = known.get(id);
    let Some(living) = before.filter(|before| plan.snapshot.is_some() && !before.deleted) else {
        return (before, Sign::None);
    };
    let old = known.details(id);
    match old.filter(|old| old.id.is_some()).map(|old| old.presence) {
        Some(Presence::Listed) => (before, Sign::None),
        Some(Presence::Missed | Presence::Held) | None => {
            let fresh = details(plan, view, old, false);
            known.remember_with(id, living, fresh);
            (before, Sign::Found)
        }
        Some(Presence::Gone) => {
            // A sink may have its deletion already, though it did not say so: whatever the version, it is a change, and another one than
            // ever before. Where updates do not count, only a creation can say so.
            let deleted = plan.change_by == ChangeBy::Created && !plan.compare_content;
            let fresh = details(plan, view, old, false);
            let lives = fresh.as_ref().map_or(0, |fresh| fresh.lives).saturating_add(u32::from(!deleted));
            let again = Known { version: unlike(living.version, lives), date: None, age: Age::Open, deleted };
            known.remember_with(id, again, fresh.map(|fresh| Details { lives, ..fresh }));
            (Some(again), Sign::Returned)
        }
    }
}

/// A version that no record has. It is another one each time that a record comes back, since its return may not be taken before it is
/// missing again.
fn unlike(version: u64, lives: u32) -> u64 {
    xxh3_64(&[version.to_be_bytes(), u64::from(lives).to_be_bytes()].concat())
}

/// Distinguishes the changes of one life of a record from the same changes of another one. The first life needs no salt.
pub(super) fn salt(lives: u32) -> u128 {
    if lives == 0 { 0 } else { xxh3_128(&lives.to_be_bytes()) }
}

/// The deletion of a record that sweeps no longer find; `None` when it cannot be announced.
pub fn deletion(
    plan: &ResourcePlan,
    identity: &str,
    (record, known, details): (u64, Known, DetailsView<'_>),
    detected_at: DateTime<Utc>,
) -> Option<Change> {
    let json = details.id?;
    let id = plan.extract.id.text(json)?;
    // What was last known of it, and in which life.
    let version = VersionToken { updated_text: None, content: u128::from(known.version) ^ salt(details.lives) };
    let event = EventId::new(identity, &plan.name, &id, Kind::Deleted, &version);
    let list = plan.list_of.as_ref();
    Some(Change {
        object: object_hash(list.map(|list| &*list.value), &id),
        record,
        known: Known {
            version: xxh3_64(event.as_str().as_bytes()),
            date: Some(detected_at.timestamp_micros()),
            age: Age::Open,
            deleted: true,
        },
        details: Some(Details { lives: details.lives, ..Details::default() }),
        is_announcement: false,
        date: None,
        event: Event {
            id: event,
            kind: Kind::Deleted,
            resource: Arc::clone(plan.object_type()),
            object_id: id.into_owned(),
            parent: list.map(|list| Arc::clone(&list.value)),
            version_date: None,
            detected_at,
            changes: None,
            partial: false,
            truncated: false,
            data: RawValue::from_string(plan.extract.id.record(json)).unwrap_or_default(),
        },
    })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::classify::Mode;
    use crate::detect::detector::{Detector, Moment, View};
    use crate::detect::record::{Record, id_hash};
    use crate::detect::window::UNBOUNDED;
    use crate::plan::{SnapshotPlan, sample};

    fn plan() -> ResourcePlan {
        let snapshot = SnapshotPlan { interval: None, max_count: 10, max_percent: 20, confirm: None, asked: 1 };
        ResourcePlan { snapshot: Some(Arc::new(snapshot)), ..sample::resource() }
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    /// Lists one record whose date is long before the cursor.
    fn list(plan: &ResourcePlan, known: &mut KnownSet, json: &str) -> Vec<Change> {
        let view = View { mode: Mode::Usual, cursor: Some(at("10:00:00")), window: UNBOUNDED, rehash: false };
        let mut detector = Detector::new(plan, "uid", view, at("10:01:00"));
        detector.begin_listing(None, false);
        let moment = Moment::new(Some(at("10:01:00")), at("10:01:00"));
        let found = detector.page([Record { json, key: None }].into_iter(), known, moment).unwrap();
        for change in &found.changes {
            known.remember_with(change.object, change.known, change.details.clone());
        }
        found.changes
    }

    fn mark(known: &mut KnownSet, id: &str, presence: Presence) {
        let (as_known, details) = (known.get(id_hash(id)).unwrap(), known.details(id_hash(id)).unwrap().to_details());
        known.remember_with(id_hash(id), as_known, Some(Details { presence, ..details }));
    }

    fn deleted(plan: &ResourcePlan, known: &mut KnownSet, id: &str) -> Change {
        let of = id_hash(id);
        let change = deletion(plan, "uid", (of, known.get(of).unwrap(), known.details(of).unwrap()), at("10:02:00")).unwrap();
        known.remember_with(change.object, change.known, change.details.clone());
        change
    }

    const OLD: &str = r#"{"id":7,"updated":"2026-11-24T08:00:00Z","created":"2026-11-24T08:00:00Z"}"#;

    #[test]
    fn each_life_of_the_same_record_has_events_of_its_own() {
        let (plan, mut known) = (plan(), KnownSet::default());
        let mut ids = std::collections::BTreeSet::new();
        for life in 0..3 {
            let created = list(&plan, &mut known, OLD);
            assert_eq!((created.len(), created[0].event.kind), (1, Kind::Created), "life {life}, however old it is");
            assert!(list(&plan, &mut known, OLD).is_empty(), "once");
            mark(&mut known, "7", Presence::Gone);
            let change = deleted(&plan, &mut known, "7");
            assert_eq!((change.event.data.get(), &*change.event.object_id), (r#"{"id":7}"#, "7"));
            assert!(ids.insert(created[0].event.id.clone()) && ids.insert(change.event.id));
        }
    }

    #[test]
    fn a_record_that_was_sent_as_new_and_is_not_found_any_more_is_deleted() {
        let (plan, mut known) = (plan(), KnownSet::default());
        let send = |known: &mut KnownSet| {
            let change = list(&plan, &mut known.clone(), OLD).remove(0);
            let sent = change.known.unconfirmed(change.event.kind).unwrap();
            known.remember_with(change.record, sent, change.details.clone());
            assert!(change.is_announcement);
            (change.event.kind, change.event.id)
        };
        let first = send(&mut known);
        mark(&mut known, "7", Presence::Missed);
        assert_eq!(send(&mut known), first, "it was missed once, and is listed again");
        assert_eq!(known.details(id_hash("7")).unwrap().presence, Presence::Listed);
        mark(&mut known, "7", Presence::Gone);
        let change = deleted(&plan, &mut known, "7");
        assert_eq!((change.event.kind, &*change.event.object_id), (Kind::Deleted, "7"));
        let again = list(&plan, &mut known, OLD).remove(0).event;
        assert_eq!((again.kind, again.id == first.1), (Kind::Created, false));
    }

    /// These must never change: receivers recognise repeated events by them.
    #[test]
    fn the_id_of_a_deletion_is_the_same_for_ever() {
        let known = Known { version: 5, date: None, age: Age::Open, deleted: false };
        let id = |lives, presence| {
            let details = Details { id: Some("\"42\"".into()), lives, presence, ..Details::default() };
            let mut set = KnownSet::default();
            set.remember_with(1, known, Some(details));
            deletion(&plan(), "uid", (1, known, set.details(1).unwrap()), at("10:00:00")).unwrap().event.id.to_string()
        };
        assert_eq!(id(0, Presence::Gone), id(0, Presence::Listed));
        insta::assert_snapshot!([id(0, Presence::Gone), id(1, Presence::Gone)].join("\n"), @"
        omlry2pojnmqttpr4rbivar2ugjea2hu
        qv3dm7wtrll7z5zqmeawgtdwfbiepbm3
        ");
    }

    #[test]
    fn being_listed_ends_every_suspicion() {
        let (plan, mut known) = (plan(), KnownSet::default());
        list(&plan, &mut known, OLD);
        for presence in [Presence::Missed, Presence::Held] {
            mark(&mut known, "7", presence);
            assert!(list(&plan, &mut known, OLD).is_empty());
            assert_eq!(known.details(id_hash("7")).unwrap().presence, Presence::Listed);
        }
        // its deletion may have arrived
        mark(&mut known, "7", Presence::Gone);
        let changes = list(&plan, &mut known, OLD);
        assert_eq!((changes.len(), changes[0].event.kind), (1, Kind::Updated));
        assert!(list(&plan, &mut known, OLD).is_empty());
    }

    #[test]
    fn what_was_known_before_sweeps_looked_for_it_gets_its_name() {
        let (plan, mut known) = (plan(), KnownSet::default());
        list(&ResourcePlan { snapshot: None, ..plan.clone() }, &mut known, OLD);
        assert_eq!(known.details(id_hash("7")), None);
        assert!(list(&plan, &mut known, OLD).is_empty());
        assert_eq!(known.details(id_hash("7")).unwrap().id, Some("7"));
    }
}
