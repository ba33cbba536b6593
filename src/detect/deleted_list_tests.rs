use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;

use super::*;
use crate::detect::classify::Mode;
use crate::detect::detector::{Detector, Ending, Moment, View};
use crate::detect::known::KnownSet;
use crate::detect::record::Record;
use crate::detect::window;
use crate::detect::window::Undelivered;
use crate::plan::date_format::DateFormat;
use crate::plan::field_path::FieldPath;
use crate::plan::id::IdPlan;
use crate::plan::{ChangeBy, DateField, sample};

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

/// Contacts, and a list whose rows are `{"record":{"id":…},"at":…}`.
fn plan(format: Option<&str>) -> ResourcePlan {
    in_zone(format, None)
}

fn in_zone(format: Option<&str>, zone: Option<&str>) -> ResourcePlan {
    let path = |text: &str| FieldPath::parse(text).unwrap();
    let mut list = ResourcePlan { name: "contacts/deleted".into(), ..sample::resource() };
    let extract = Arc::make_mut(&mut list.extract);
    let date = DateField { path: path("at"), format: DateFormat::new(format, zone).unwrap() };
    (extract.id, extract.deleted) = (IdPlan::Field(path("record.id")), None);
    (extract.updated, extract.created) = (Some(date.clone()), Some(date));
    let mut plan = ResourcePlan { deleted_list: Some(Arc::new(list)), ..sample::resource() };
    Arc::make_mut(&mut plan.extract).deleted = None;
    plan
}

/// Both lists, and what is remembered of them.
struct Bench {
    plan: ResourcePlan,
    records: KnownSet,
    rows: KnownSet,
    record_cursor: Option<DateTime<Utc>>,
    row_cursor: Option<DateTime<Utc>>,
    told: Vec<(Kind, String, EventId)>,
}

impl Bench {
    fn new(plan: ResourcePlan, cursor: DateTime<Utc>) -> Self {
        let (records, rows) = (KnownSet::default(), KnownSet::default());
        Self { plan, records, rows, record_cursor: Some(cursor), row_cursor: Some(cursor), told: Vec::new() }
    }

    fn detect(
        plan: &ResourcePlan,
        cursor: &mut Option<DateTime<Utc>>,
        known: &mut KnownSet,
        list: &[String],
        now: DateTime<Utc>,
    ) -> Vec<Change> {
        let view = View { mode: Mode::Usual, cursor: *cursor, window: Duration::from_hours(1), rehash: false };
        let mut detector = Detector::new(plan, "uid", view, now);
        detector.begin_listing(window::asked_from(plan, *cursor), false);
        let records = list.iter().map(|json| Record { json, key: None });
        let found = detector.page(records, known, Moment::new(Some(now), now)).unwrap();
        *cursor = detector.finish(Ending { undelivered: Undelivered::None, baseline_from: None }).cursor;
        found.changes
    }

    /// The list of deleted ids is read first.
    fn read_rows(&mut self, rows: &[String], now: DateTime<Utc>) {
        let list = Arc::clone(self.plan.deleted_list.as_ref().unwrap());
        for row in Self::detect(&list, &mut self.row_cursor, &mut self.rows, rows, now) {
            match meaning(&self.plan, &list, "uid", &row, self.records.get(row.object)) {
                RowMeaning::Deletion(change) => self.take(*change),
                RowMeaning::Again(known) => self.records.remember(row.object, known),
                RowMeaning::Superseded => {}
            }
            self.rows.remember(row.record, row.known);
        }
    }

    fn read_records(&mut self, records: &[String], now: DateTime<Utc>) {
        for change in Self::detect(&self.plan, &mut self.record_cursor, &mut self.records, records, now) {
            self.take(change);
        }
    }

    fn take(&mut self, change: Change) {
        self.records.remember_with(change.record, change.known, change.details);
        self.told.push((change.event.kind, change.event.object_id, change.event.id));
    }

    fn told(&mut self) -> Vec<(Kind, String)> {
        self.told.drain(..).map(|(kind, id, _)| (kind, id)).collect()
    }
}

fn row(id: u32, date: &str) -> String {
    format!(r#"{{"record":{{"id":{id}}},"at":"{date}"}}"#)
}

fn record(id: u32, updated: &str, created: &str) -> String {
    format!(r#"{{"id":{id},"updated":"{updated}","created":"{created}"}}"#)
}

fn deleted(id: &str) -> (Kind, String) {
    (Kind::Deleted, id.to_owned())
}

fn created(id: &str) -> (Kind, String) {
    (Kind::Created, id.to_owned())
}

const DAY: &str = "2026-11-24T";

#[test]
fn a_deletion_is_told_once_whether_the_record_was_known_or_not() {
    let mut bench = Bench::new(plan(None), at("10:00:00"));
    let living = record(1, "2026-11-24T10:01:00Z", "2026-11-24T10:01:00Z");
    bench.read_records(std::slice::from_ref(&living), at("10:02:00"));
    assert_eq!(bench.told(), [created("1")]);
    let rows = [row(1, "2026-11-24T10:03:00Z"), row(2, "2026-11-24T10:03:01Z")];
    for _ in 0..3 {
        bench.read_rows(&rows, at("10:04:00"));
        // it is listed for a while, as it was
        bench.read_records(std::slice::from_ref(&living), at("10:04:00"));
    }
    assert_eq!(bench.told(), [deleted("1"), deleted("2")]);
}

#[test]
fn the_event_has_the_id_alone_and_the_time_of_the_deletion() {
    let plan = plan(None);
    let list = plan.deleted_list.clone().unwrap();
    let change = |known: Option<Known>, date: &str| {
        let (mut cursor, mut rows) = (Some(at("10:00:00")), KnownSet::default());
        let row = Bench::detect(&list, &mut cursor, &mut rows, &[row(7, date)], at("11:00:00")).remove(0);
        match meaning(&plan, &list, "uid", &row, known) {
            RowMeaning::Deletion(change) => *change,
            other => panic!("{other:?}"),
        }
    };
    let living = Known { version: 5, date: Some(0), age: Age::Settled, deleted: false };
    let unknown = change(None, "2026-11-24T10:03:00Z");
    assert_eq!((unknown.event.data.get(), unknown.event.version_date), (r#"{"id":7}"#, Some(at("10:03:00"))));
    assert_eq!((&*unknown.event.object_id, &*unknown.event.resource), ("7", "contacts"));
    assert_eq!(unknown.date, Some(at("10:03:00")), "its cursor does not pass it");
    assert_eq!(change(Some(living), "2026-11-24T10:03:00Z").event.id, unknown.event.id, "after a crash, too");
    assert_ne!(change(None, "2026-11-24T10:03:01Z").event.id, unknown.event.id, "another deletion");
}

#[test]
fn what_comes_back_later_is_created_and_a_deletion_that_turns_up_late_is_over() {
    let mut bench = Bench::new(plan(None), at("10:00:00"));
    let version = |updated: &str| record(1, &format!("{DAY}{updated}Z"), "2026-11-24T09:00:00Z");
    bench.read_records(&[version("10:01:00")], at("10:02:00"));
    bench.told();
    bench.read_rows(&[row(1, "2026-11-24T10:05:00Z")], at("10:06:00"));
    // a copy that lags shows a version that was never sent, from before the deletion
    bench.read_records(&[version("10:04:00")], at("10:06:00"));
    assert_eq!(bench.told(), [deleted("1")]);
    bench.read_rows(&[row(1, "2026-11-24T10:05:00Z")], at("10:09:00"));
    bench.read_records(&[version("10:08:00")], at("10:09:00"));
    assert_eq!(bench.told(), [created("1")]);
    bench.read_rows(&[row(1, "2026-11-24T10:05:00Z"), row(1, "2026-11-24T10:07:59Z")], at("10:09:30"));
    assert_eq!(bench.told(), [], "it was created again since");
    bench.read_rows(&[row(1, "2026-11-24T10:09:40Z")], at("10:10:00"));
    assert_eq!(bench.told(), [deleted("1")], "and deleted again");
    bench.read_rows(&[row(1, "2026-11-24T10:09:50Z")], at("10:10:00"));
    bench.read_records(&[version("10:09:45")], at("10:10:00"));
    assert_eq!(bench.told(), [deleted("1")], "it came back and went between two polls");
}

#[test]
fn within_a_second_the_deletion_wins_and_within_a_day_what_differs() {
    let mut bench = Bench::new(plan(None), at("10:00:00"));
    bench.read_rows(&[row(1, "2026-11-24T10:05:00Z")], at("10:06:00"));
    let same_second = record(1, "2026-11-24T10:05:00.4Z", "2026-11-24T09:00:00Z");
    bench.read_records(&[same_second], at("10:06:00"));
    assert_eq!(bench.told(), [deleted("1")]);
    bench.read_rows(&[row(2, "2026-11-24T10:05:00.123Z")], at("10:06:00"));
    bench.read_records(&[record(2, "2026-11-24T10:05:00.125Z", "2026-11-24T10:05:00.125Z")], at("10:06:00"));
    assert_eq!(bench.told(), [deleted("2"), created("2")], "dates have milliseconds");
    // days
    let mut bench = Bench::new(plan(Some("yyyy-MM-dd")), at("10:00:00"));
    let before = record(1, "2026-11-24T10:01:00Z", "2026-11-24T10:01:00Z");
    bench.read_records(std::slice::from_ref(&before), at("10:02:00"));
    bench.read_rows(&[row(1, "2026-11-24")], at("10:04:00"));
    bench.read_records(&[before], at("10:04:00"));
    assert_eq!(bench.told(), [created("1"), deleted("1")]);
    bench.read_records(&[record(1, "2026-11-24T10:05:00Z", "2026-11-24T10:01:00Z")], at("10:06:00"));
    assert_eq!(bench.told(), [created("1")]);
}

#[test]
fn a_record_that_was_updated_and_deleted_on_one_day_is_deleted_however_the_day_is_written() {
    for (format, zone, day) in [
        (None, None, "2026-11-24"),
        (None, None, "2026-11-24T00:00:00Z"),
        (None, None, "2026-11-24T00:00:00.000+05:30"),
        (None, Some("Asia/Kolkata"), "2026-11-23T18:30:00Z"),
        (None, Some("Asia/Kolkata"), "2026-11-24"),
        (Some("yyyy-MM-dd HH:mm:ss"), None, "2026-11-24 00:00:00"),
        (Some("milliseconds"), None, "1795478400000"),
        (Some("yyyy-MM-dd"), None, "2026-11-24"),
    ] {
        let mut bench = Bench::new(in_zone(format, zone), at("10:00:00"));
        bench.read_records(&[record(1, "2026-11-24T10:01:00Z", "2026-11-20T10:00:00Z")], at("10:02:00"));
        for _ in 0..2 {
            bench.read_rows(&[row(1, day)], at("10:04:00"));
            bench.read_records(&[], at("10:04:00"));
        }
        assert_eq!(bench.told(), [(Kind::Updated, "1".to_owned()), deleted("1")], "{day} {format:?}");
    }
}

#[test]
fn by_content_what_differs_from_what_was_deleted_has_come_back() {
    let mut plan = plan(None);
    plan.change_by = ChangeBy::Content;
    let extract = Arc::make_mut(&mut plan.extract);
    (extract.updated, extract.created) = (None, None);
    let mut bench = Bench::new(plan, at("10:00:00"));
    let (old, new) = (r#"{"id":1,"n":1}"#.to_owned(), r#"{"id":1,"n":2}"#.to_owned());
    bench.read_records(std::slice::from_ref(&old), at("10:01:00"));
    bench.read_rows(&[row(1, "2026-11-24T10:02:00Z")], at("10:03:00"));
    bench.read_records(&[old], at("10:03:00"));
    assert_eq!(bench.told(), [created("1"), deleted("1")]);
    bench.read_records(&[new], at("10:04:00"));
    bench.read_rows(&[row(1, "2026-11-24T10:02:00Z")], at("10:05:00"));
    assert_eq!(bench.told(), [created("1")], "the row was sent");
}

/// What happens at the provider, and polls.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Creates, updates or restores an object.
    Write(u32),
    Delete(u32),
    /// Time passes, in seconds.
    Wait(u32),
    /// Both lists are read; those of the records may be some steps old, as a copy that lags.
    Poll {
        lag: usize,
    },
    /// The process dies after this number of events was taken, and with it what it had not stored.
    Die {
        after: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u32).prop_map(Step::Write),
        3 => (0..4_u32).prop_map(Step::Delete),
        1 => (1..200_u32).prop_map(Step::Wait),
        3 => prop_oneof![2 => Just(0), 1 => 1..3_usize].prop_map(|lag| Step::Poll { lag }),
        1 => (0..4_usize).prop_map(|after| Step::Die { after }),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 2_000, ..Config::default() })]

    /// A receiver that applies events in their order ends with what is there, whatever happened in between; no deletion is sent that was
    /// not real, and without a fault none twice.
    #[test]
    fn receivers_end_with_what_is_there(steps in prop::collection::vec(step(), 1..60), millis in any::<bool>()) {
        let unit = TimeDelta::milliseconds(if millis { 7 } else { 1_000 });
        let mut now = at("10:00:00");
        let mut bench = Bench::new(plan(None), now);
        let text = |date: DateTime<Utc>| date.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        // object → (updated, created), and each deletion
        let (mut living, mut rows) = (BTreeMap::<u32, (DateTime<Utc>, DateTime<Utc>)>::new(), Vec::<(u32, DateTime<Utc>)>::new());
        let mut history = vec![living.clone()];
        let mut receiver = BTreeMap::<String, Kind>::new();
        let mut deletions = BTreeMap::<String, Vec<EventId>>::new();
        let mut died = false;
        for step in steps.into_iter().chain([Step::Poll { lag: 0 }]) {
            now += unit;
            match step {
                Step::Write(object) => {
                    let created = living.get(&object).map_or(now, |(_, created)| *created);
                    living.insert(object, (now, created));
                    history.push(living.clone());
                }
                Step::Delete(object) => {
                    if living.remove(&object).is_some() {
                        rows.push((object, now));
                        history.push(living.clone());
                    }
                }
                Step::Wait(seconds) => now += TimeDelta::seconds(seconds.into()),
                Step::Poll { .. } | Step::Die { .. } => {
                    let lag = if let Step::Poll { lag } = step { lag } else { 0 };
                    let stored = (bench.records.clone(), bench.rows.clone(), bench.record_cursor, bench.row_cursor);
                    let shown = &history[history.len().saturating_sub(1 + lag)];
                    let rows: Vec<_> = rows.iter().map(|(id, date)| row(*id, &text(*date))).collect();
                    let records: Vec<_> = shown.iter().map(|(id, (updated, created))| record(*id, &text(*updated), &text(*created))).collect();
                    now += unit;
                    bench.read_rows(&rows, now);
                    bench.read_records(&records, now);
                    let mut told: Vec<_> = bench.told.drain(..).collect();
                    if let Step::Die { after } = step {
                        // State and cursors are stored together, so what came is sent again, or was stored.
                        told.truncate(after);
                        died = true;
                        (bench.records, bench.rows, bench.record_cursor, bench.row_cursor) = stored;
                    }
                    for (kind, id, event) in told {
                        if kind == Kind::Deleted {
                            deletions.entry(id.clone()).or_default().push(event);
                        }
                        receiver.insert(id, kind);
                    }
                }
            }
        }
        let there: BTreeSet<_> = receiver.iter().filter(|(_, kind)| **kind != Kind::Deleted).map(|(id, _)| id.clone()).collect();
        prop_assert_eq!(there, living.keys().map(ToString::to_string).collect::<BTreeSet<_>>());
        for (id, told) in deletions {
            let real = rows.iter().filter(|(object, _)| object.to_string() == id).count();
            let distinct = told.iter().collect::<BTreeSet<_>>().len();
            prop_assert!(distinct <= real && (died || told.len() == distinct), "{id}: {told:?} of {real}");
        }
    }
}
