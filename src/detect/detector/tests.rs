use super::*;
use crate::detect::classify::Mode;
use crate::detect::event::Change;
use crate::detect::window::{UNBOUNDED, Undelivered};
use crate::plan::{ChangeBy, StartFrom, sample};
use chrono::TimeDelta;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod days;
mod selection;

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

fn record(id: &str, updated: &str, created: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}","updated":"2026-11-24T{updated}Z","created":"2026-11-24T{created}Z"{more}}}"#)
}

fn by_content() -> ResourcePlan {
    let mut plan = ResourcePlan { change_by: ChangeBy::Content, ..sample::resource() };
    let extract = Arc::make_mut(&mut plan.extract);
    (extract.updated, extract.created) = (None, None);
    plan
}

/// One resource, its known set and a clock; each call of `listing` is a listing of pages whose changes are all accepted.
struct Bench {
    plan: ResourcePlan,
    view: View,
    known: KnownSet,
    /// The provider's `Date`.
    date: &'static str,
    watch: VolatileWatch,
}

impl Bench {
    fn new(plan: ResourcePlan, cursor: &str) -> Self {
        let window = window::next_window(&plan, Duration::ZERO, None, None);
        let cursor = (plan.change_by != ChangeBy::Content).then(|| at(cursor));
        let view = View { mode: Mode::Usual, cursor, window, rehash: false };
        Self { plan, view, known: KnownSet::default(), date: "12:00:00", watch: VolatileWatch::default() }
    }

    fn at(mut self, date: &'static str) -> Self {
        self.date = date;
        self
    }

    fn listing(&mut self, pages: &[&[String]]) -> (Vec<(Kind, String)>, Seen) {
        let mut detector =
            Detector::new(&self.plan, "uid", self.view, at("12:00:00")).with_watch(std::mem::take(&mut self.watch));
        detector.begin_listing(window::asked_from(&self.plan, self.view.cursor), false);
        let mut told = Vec::new();
        for page in pages {
            let moment = Moment::new(Some(at(self.date)), at("12:00:00"));
            // Pages are read in pieces, and where a piece ends must make no difference.
            let mut reading = detector.begin_page(moment);
            for piece in page.chunks(2) {
                let records = piece.iter().map(|json| Record { json, key: None });
                detector.read(&mut reading, records, &mut self.known).unwrap();
            }
            for change in detector.end_page(reading).changes {
                self.known.remember(change.object, change.known);
                told.push((change.event.kind, change.event.object_id));
            }
        }
        for change in detector.at_end() {
            self.known.remember(change.object, change.known);
            told.push((change.event.kind, change.event.object_id));
        }
        detector.end_poll();
        self.watch = detector.take_watch();
        (told, detector.seen())
    }

    fn told(&mut self, records: &[String]) -> Vec<(Kind, String)> {
        self.listing(&[records]).0
    }
}

fn created(id: &str) -> (Kind, String) {
    (Kind::Created, id.to_owned())
}

fn updated(id: &str) -> (Kind, String) {
    (Kind::Updated, id.to_owned())
}

fn deleted(id: &str) -> (Kind, String) {
    (Kind::Deleted, id.to_owned())
}

#[test]
fn the_version_is_the_date_once_its_unit_is_over() {
    let mut bench = Bench::new(sample::resource(), "09:59:00");
    let signed = |n: u32| record("1", "10:00:01", "10:00:01", &format!(r#","link":"?signature={n}""#));
    assert_eq!(bench.told(&[signed(1)]), [created("1")]);
    assert_eq!(bench.told(&[signed(2)]), [], "bytes alone are no change");
    assert_eq!(bench.told(&[signed(3), signed(4)]), []);
    assert_eq!(bench.told(&[record("1", "10:00:02", "10:00:01", "")]), [updated("1")]);
}

#[test]
fn a_row_that_a_later_page_repeats_is_counted_and_a_newer_version_is_not() {
    let mut bench = Bench::new(sample::resource(), "09:59:00");
    let row = |id: &str, updated: &str| record(id, updated, "10:00:01", "");
    let pages = [vec![row("1", "10:00:01"), row("2", "10:00:01")], vec![row("2", "10:00:01"), row("1", "10:00:05")]];
    let (_, seen) = bench.listing(&[&pages[0], &pages[1]]);
    assert_eq!((seen.shown_again, seen.repeated_ids, seen.has_overlapping_pages()), (1, 0, true));
    let same_page = [row("3", "10:00:01"), row("3", "10:00:01")];
    let (_, seen) = bench.listing(&[&same_page, &pages[0], &pages[0]]);
    assert!(!seen.has_overlapping_pages(), "a page has an id twice: {seen:?}");
    let mut bench = Bench::new(by_content(), "09:59:00");
    let undated = |n: u32| format!(r#"{{"id":"1","n":{n}}}"#);
    assert!(bench.listing(&[&[undated(1)], &[undated(1)]]).1.has_overlapping_pages());
    assert!(!bench.listing(&[&[undated(1)], &[undated(2)]]).1.has_overlapping_pages());
}

#[test]
fn a_date_of_change_that_is_gone_is_counted_and_a_change_where_content_counts() {
    let row = |updated: &str, n: u32| format!(r#"{{"id":"1","updated":{updated},"created":"2026-11-24T09:00:00Z","n":{n}}}"#);
    let dated = row(r#""2026-11-24T10:00:01Z""#, 1);
    let mut bench = Bench::new(sample::resource(), "08:59:00");
    bench.told(std::slice::from_ref(&dated));
    let (told, seen) = bench.listing(&[&[row("null", 2)]]);
    assert_eq!((told, seen.lost_dates), (vec![], 1));
    let mut bench = Bench::new(ResourcePlan { compare_content: true, ..sample::resource() }, "08:59:00");
    bench.told(std::slice::from_ref(&dated));
    let (told, seen) = bench.listing(&[&[row("null", 2)]]);
    assert_eq!((told, seen.lost_dates), (vec![updated("1")], 0));
    assert_eq!(bench.told(&[row("null", 2)]), []);
    assert_eq!(bench.told(&[row("null", 3)]), [updated("1")]);
    assert_eq!(bench.told(&[row(r#""2026-11-24T10:00:02Z""#, 3)]), [updated("1")]);
}

#[test]
fn what_an_earlier_poll_may_have_seen_is_noted_in_the_first_listing() {
    let mut bench = Bench::new(sample::resource(), "09:59:00");
    let new = |id: &str| record(id, "10:00:01", "10:00:01", "");
    let (_, seen) = bench.listing(&[&[new("1"), new("2")]]);
    assert_eq!((seen.seen_before, seen.unknown, seen.older), (0, 2, 0));
    let (_, seen) = bench.listing(&[&[new("2"), new("3")]]);
    assert_eq!((seen.seen_before, seen.unknown), (1, 1), "it is known");
    let (_, seen) = bench.listing(&[&[record("4", "09:59:00", "09:00:00", "")]]);
    assert!(seen.seen_before == 1, "it may have been seen");
    let (_, seen) = bench.listing(&[&[record("5", "08:00:00", "08:00:00", ""), new("6")]]);
    assert_eq!((seen.seen_before, seen.unknown, seen.older), (1, 1, 1));
}

#[test]
fn a_cursor_is_ahead_where_what_is_stamped_now_is_not_found() {
    let ahead = |plan: ResourcePlan, window: Duration, date: &str| {
        let view = View { mode: Mode::Usual, cursor: Some(at("12:00:00")), window, rehash: false };
        let mut detector = Detector::new(&plan, "uid", view, at("12:00:00"));
        detector.begin_listing(None, false);
        detector.begin_page(Moment::new(Some(at(date)), at("12:00:00")));
        detector.is_cursor_ahead()
    };
    let minute = Duration::from_mins(1);
    for (date, expected) in [("12:00:01", false), ("11:59:30", false), ("11:58:30", true), ("10:00:00", true)] {
        assert_eq!(ahead(sample::resource(), minute, date), expected, "{date}");
    }
    assert!(ahead(sample::resource(), UNBOUNDED, "10:00:00"), "the request does not ask for it");
    let mut whole = sample::resource();
    whole.request.url = crate::plan::template::Template::parse("https://api.example.com/contacts").unwrap();
    assert!(!whole.request.uses_since());
    assert!(!ahead(whole.clone(), UNBOUNDED, "10:00:00"), "the list shows it, and what is not known is new");
    assert!(ahead(whole, minute, "10:00:00"), "the list shows it, but it looks like what was forgotten");
}

#[test]
fn within_the_unit_of_its_date_bytes_tell_versions_apart() {
    let mut bench = Bench::new(sample::resource(), "09:59:00").at("10:00:01");
    let version = |n: u32| [record("1", "10:00:01", "10:00:01", &format!(r#","n":{n}"#))];
    assert_eq!(bench.told(&version(1)), [created("1")]);
    assert_eq!(bench.told(&version(1)), []);
    assert_eq!(bench.told(&version(2)), [updated("1")], "a second change in the same second");
    bench.date = "10:00:09";
    assert_eq!(bench.told(&version(3)), [updated("1")], "it may have come after the last look, in the same second");
    assert_eq!(bench.told(&version(4)), [], "but nothing after that can have");
}

#[test]
fn a_date_on_a_whole_minute_may_stand_for_the_minute() {
    let mut bench = Bench::new(sample::resource(), "09:59:00").at("10:07:20");
    let version = |n: u32| [record("1", "10:07:00", "09:00:00", &format!(r#","n":{n}"#))];
    assert_eq!(bench.told(&version(1)), [updated("1")]);
    bench.date = "10:07:50";
    assert_eq!(bench.told(&version(2)), [updated("1")]);
}

#[test]
fn an_unknown_record_in_the_dedup_window_is_new_however_late_it_is_listed() {
    let mut bench = Bench::new(sample::resource(), "10:00:00");
    let records = [
        record("late", "09:59:10", "09:59:10", ""),
        record("older", "09:58:49", "09:58:49", ""),
        record("new", "10:00:00", "09:00:00", ""),
    ];
    assert_eq!(bench.told(&records), [created("late"), updated("new")]);
    assert_eq!(bench.told(&records), []);
}

#[test]
fn a_known_record_is_compared_whatever_its_date() {
    let mut bench = Bench::new(sample::resource(), "09:00:00");
    assert_eq!(bench.told(&[record("1", "09:00:00", "08:00:00", "")]), [updated("1")]);
    bench.view.cursor = Some(at("11:00:00"));
    assert_eq!(bench.told(&[record("1", "09:30:00", "08:00:00", "")]), [updated("1")]);
    assert_eq!(bench.told(&[record("1", "09:00:00", "08:00:00", "")]), [], "a page that was read late");
}

#[test]
fn where_every_id_is_known_an_unknown_one_is_new_whatever_its_date() {
    let mut plan = sample::resource();
    Arc::make_mut(&mut plan.extract).created = None;
    let mut bench = Bench::new(plan, "10:00:00");
    assert_eq!(bench.view.window, UNBOUNDED);
    let old = |updated: &str| [format!(r#"{{"id":"n","updated":{updated}}}"#)];
    assert_eq!(bench.told(&old(r#""2019-01-01T00:00:01Z""#)), [created("n")]);
    assert_eq!(bench.told(&old("null")), [updated("n")], "a record without a date is left to its content");
}

#[test]
fn a_date_from_the_future_silences_nothing() {
    let mut bench = Bench::new(sample::resource(), "10:00:00").at("10:00:05");
    let version = |updated: &str| [record("1", updated, "09:00:00", "")];
    assert_eq!(bench.told(&version("11:00:05")), [updated("1")]);
    assert_eq!(bench.told(&version("11:00:05")), []);
    bench.date = "11:30:00";
    assert_eq!(bench.told(&version("10:00:06")), [updated("1")], "corrected, and seen when the wrong date is past");
    assert_eq!(bench.told(&version("10:00:07")), [updated("1")]);
    assert_eq!(bench.told(&version("10:00:06")), []);
}

#[test]
fn a_date_from_the_future_is_delivered_and_moves_no_cursor() {
    let plan = ResourcePlan { max_future: Duration::from_hours(12), ..sample::resource() };
    let view = View { mode: Mode::Usual, cursor: Some(at("10:00:00")), window: Duration::ZERO, rehash: false };
    let mut detector = Detector::new(&plan, "uid", view, at("10:05:00"));
    detector.begin_listing(None, false);
    let rows = [record("1", "10:04:00", "09:00:00", ""), record("2", "23:00:00", "09:00:00", "")];
    let records = rows.iter().map(|json| Record { json, key: None });
    let moment = Moment::new(Some(at("10:05:00")), at("10:05:00"));
    assert_eq!(detector.page(records, &mut KnownSet::default(), moment).unwrap().changes.len(), 2);
    let ending = Ending { undelivered: Undelivered::None, baseline_from: None };
    let update = detector.finish(ending);
    assert_eq!(update.cursor, Some(at("10:04:00")));
    assert_eq!(update.window, Duration::from_secs(70));
    assert_eq!((detector.seen().far_ahead, detector.seen().ahead), (1, 1), "by more than maxFuture");
}

#[test]
fn an_older_row_next_to_the_known_one_is_no_correction() {
    let mut bench = Bench::new(sample::resource(), "10:00:00").at("10:00:05");
    let (old, new) = ([record("1", "10:00:02", "09:00:00", "")], [record("1", "11:00:05", "09:00:00", "")]);
    assert_eq!(bench.told(&new), [updated("1")]);
    for _ in 0..2 {
        assert_eq!(bench.listing(&[&old, &new]).0, []);
        assert_eq!(bench.listing(&[&new, &old]).0, []);
    }
    assert_eq!(bench.told(&old), [updated("1")], "alone it is one");
}

#[test]
fn a_created_date_after_the_updated_one_tells_no_versions_apart() {
    let mut bench = Bench::new(sample::resource(), "10:00:00");
    let row = |at: &str| [record("1", at, "11:00:01", "")];
    assert_eq!(bench.told(&row("10:00:01")).len(), 1);
    assert_eq!(bench.told(&row("10:00:02")), [updated("1")]);
    assert_eq!(bench.told(&row("10:00:02")), []);
}

#[test]
fn of_one_id_in_an_answer_the_latest_version_counts() {
    let mut bench = Bench::new(sample::resource(), "09:00:00");
    let (old, new) = (record("1", "10:00:01", "09:30:00", ""), record("1", "10:00:02", "09:30:00", ""));
    let (told, seen) = bench.listing(&[&[old.clone(), new.clone()]]);
    assert_eq!((told, seen.repeated_ids), (vec![updated("1")], 1));
    for rows in [[old.clone(), new.clone()], [new.clone(), old.clone()]] {
        assert_eq!(bench.told(&rows), []);
        let pages: Vec<_> = rows.iter().map(std::slice::from_ref).collect();
        assert_eq!(bench.listing(&pages).0, [], "on two pages");
    }
}

#[test]
fn rows_of_one_id_are_silent_after_the_first_event() {
    for (name, plan) in [("dates", sample::resource()), ("content", by_content())] {
        let row = |n: u32| record("1", "10:00:01", "10:00:01", &format!(r#","n":{n}"#));
        // joined rows: one id, other bytes; they come in any order, on one page or on several
        let mut bench = Bench::new(plan.clone(), "09:00:00");
        assert_eq!(bench.told(&[row(1), row(2), row(3)]).len(), 1, "{name}");
        for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
            assert_eq!(bench.told(&order.map(row)), [], "{name} {order:?}");
        }
        let mut bench = Bench::new(plan, "09:00:00");
        assert_eq!(bench.listing(&[&[row(1)], &[row(2)]]).0.len(), 1, "{name}: two pages");
        for _ in 0..2 {
            assert_eq!(bench.listing(&[&[row(1)], &[row(2)]]).0, [], "{name}: two pages");
        }
    }
}

#[test]
fn rows_of_one_id_with_a_future_date_order_by_position() {
    let mut bench = Bench::new(sample::resource(), "09:00:00").at("10:00:05");
    let rows = [record("1", "15:00:00", "09:30:00", ""), record("1", "10:00:02", "09:30:00", "")];
    assert_eq!(bench.told(&rows), [updated("1")]);
    assert_eq!(bench.known.get(crate::detect::record::id_hash("1")).unwrap().date, Some(at("10:00:02").timestamp_micros()));
    assert_eq!(bench.told(&rows), []);
}

#[test]
fn what_changes_between_two_pages_is_found_by_the_next_listing() {
    let mut bench = Bench::new(by_content(), "09:00:00");
    let row = |n: u32| [format!(r#"{{"id":"1","n":{n}}}"#)];
    assert_eq!(bench.told(&row(1)), [created("1")]);
    assert_eq!(bench.listing(&[&row(1), &row(2)]).0, []);
    assert_eq!(bench.told(&row(2)), [updated("1")]);
}

#[test]
fn dates_tell_created_from_updated_within_the_tolerance() {
    let mut bench = Bench::new(sample::resource(), "10:00:00");
    let records = [record("1", "10:00:10", "10:00:00", ""), record("2", "10:00:10.001", "10:00:00", "")];
    assert_eq!(bench.told(&records), [created("1"), updated("2")]);
    let forgotten = [record("3", "10:00:05", "09:58:49", ""), record("4", "10:00:05", "10:00:00", "")];
    assert_eq!(bench.told(&forgotten), [updated("3"), created("4")], "created before the window, it was announced then");
}

#[test]
fn a_null_updated_date_counts_as_its_created_date() {
    let json = [r#"{"id":1,"updated":null,"created":"2026-11-24T10:00:00Z"}"#.to_owned()];
    assert_eq!(Bench::new(sample::resource(), "10:00:00").told(&json), [created("1")]);
    assert_eq!(Bench::new(sample::resource(), "10:05:00").told(&json), []);
}

#[test]
fn tombstones_are_delivered_once_and_a_return_is_a_creation() {
    let mut bench = Bench::new(sample::resource(), "09:59:30");
    let gone = r#","deleted":true"#;
    let steps = [
        (record("1", "10:00:00", "09:00:00", ""), vec![updated("1")]),
        (record("1", "10:00:01", "09:00:00", gone), vec![deleted("1")]),
        (record("1", "10:00:01", "09:00:00", gone), vec![]),
        (record("1", "10:00:02", "09:00:00", gone), vec![]),
        (record("1", "10:00:03", "09:00:00", ""), vec![created("1")]),
        (record("1", "10:00:03", "09:00:00", gone), vec![deleted("1")]),
        (record("2", "10:00:03", "09:00:00", gone), vec![deleted("2")]),
        (record("3", "10:00:04", "09:00:00", r#","deleted":"2026-11-24T10:00:04Z""#), vec![deleted("3")]),
    ];
    for (json, expected) in steps {
        assert_eq!(bench.told(std::slice::from_ref(&json)), expected, "{json}");
    }
}

#[test]
fn a_mark_that_never_matches_is_counted() {
    let mut plan = sample::resource();
    if let Some(flag) = Arc::make_mut(&mut plan.extract).deleted.as_mut() {
        flag.value = Some("true".to_owned());
    }
    let marked = [record("1", "10:00:00", "09:00:00", r#","deleted":"2026-11-24T10:00:04Z""#)];
    let (told, seen) = Bench::new(plan, "09:59:30").listing(&[&marked]);
    assert_eq!((told, seen.unread_marks, seen.tombstones), (vec![updated("1")], 1, 0));
}

#[test]
fn the_first_read_of_earliest_creates_all_but_what_was_never_announced() {
    let mut bench = Bench::new(ResourcePlan { start_from: StartFrom::Earliest, ..sample::resource() }, "00:00:00");
    bench.view = View { mode: Mode::FirstRead, cursor: None, ..bench.view };
    let records = [record("1", "10:00:00", "01:00:00", ""), record("2", "10:00:00", "01:00:00", r#","deleted":true"#)];
    assert_eq!(bench.told(&records), [created("1")]);
}

/// The ids of the events of one record that is listed in these versions, one after the other.
fn ids_of(plan: &ResourcePlan, versions: &[&str]) -> Vec<String> {
    let (mut known, mut ids) = (KnownSet::default(), Vec::new());
    let window = window::next_window(plan, Duration::ZERO, None, None);
    for json in versions {
        let view = View { mode: Mode::Usual, cursor: None, window, rehash: false };
        // A change that is not taken is found again, and is the same one.
        let mut twice = Vec::new();
        for _ in 0..2 {
            let mut detector = Detector::new(plan, "uid", view, at("12:00:00"));
            detector.begin_listing(None, false);
            let moment = Moment::new(Some(at("12:00:00")), at("12:00:00"));
            let mut found = detector.page([Record { json, key: None }].into_iter(), &mut known, moment).unwrap();
            twice.push(found.changes.remove(0));
        }
        assert_eq!(twice[0].event.id, twice[1].event.id, "{json}");
        let change = twice.remove(0);
        known.remember_with(change.record, change.known, change.details);
        ids.push(change.event.id.to_string());
    }
    ids
}

#[test]
fn a_record_that_goes_to_and_fro_gives_each_change_an_id_of_its_own() {
    let (on, off) = (r#"{"id":"a","power":"on"}"#, r#"{"id":"a","power":"off"}"#);
    let dated = |power: &str| record("a", "09:00:00", "08:00:00", &format!(r#","power":"{power}""#));
    let (dated_on, dated_off) = (dated("on"), dated("off"));
    let compared = ResourcePlan { compare_content: true, ..sample::resource() };
    for (name, plan, versions) in [
        ("by content", by_content(), [on, off, on, off, on, off]),
        ("dated", compared, [&*dated_on, &*dated_off, &*dated_on, &*dated_off, &*dated_on, &*dated_off]),
    ] {
        let ids = ids_of(&plan, &versions);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), versions.len(), "{name}: {ids:?}");
    }
}

#[test]
fn without_dates_content_decides() {
    let mut bench = Bench::new(by_content(), "00:00:00");
    let one = |x: u32| [format!(r#"{{"id":9007199254740993,"x":{x}}}"#)];
    bench.view.mode = Mode::Baseline;
    assert_eq!(bench.told(&one(1)), []);
    bench.view.mode = Mode::Usual;
    assert_eq!(bench.told(&one(1)), []);
    assert_eq!(bench.told(&one(2)), [updated("9007199254740993")]);
    assert_eq!(bench.told(&[r#"{"id":9007199254740992}"#.to_owned()]), [created("9007199254740992")]);
}

#[test]
fn other_ignored_fields_send_nothing_again() {
    let mut bench = Bench::new(by_content(), "00:00:00");
    let row = |id: u32, x: u32| format!(r#"{{"id":{id},"x":{x}}}"#);
    assert_eq!(bench.told(&[row(1, 1)]), [created("1")]);
    Arc::make_mut(&mut bench.plan.extract).ignored.push(crate::plan::field_path::FieldPath::parse("x").unwrap());
    bench.view.rehash = true;
    assert_eq!(bench.told(&[row(1, 2), row(2, 1)]), [created("2")]);
    bench.view.rehash = false;
    assert_eq!(bench.told(&[row(1, 3), row(2, 4)]), []);
}

#[test]
fn members_that_differ_at_every_poll_are_found() {
    let mut bench = Bench::new(by_content(), "00:00:00");
    let row = |id: u32, views: u32| format!(r#"{{"id":{id},"views":{views},"name":"n"}}"#);
    for n in 0..3 {
        bench.told(&[row(1, n), row(2, 0)]);
        assert_eq!(bench.watch.found(), None, "created, and two polls that may be chance");
    }
    bench.told(&[row(1, 3), row(2, 0)]);
    assert_eq!(bench.watch.found().map(|found| found.to_string()).as_deref(), Some("views"));
    bench.told(&[row(1, 3), row(2, 0)]);
    assert!(bench.watch.is_empty());
}

#[test]
fn bytes_that_differ_within_the_unit_of_their_date_are_found_and_dates_that_move_are_not() {
    let mut bench = Bench::new(sample::resource(), "09:59:00").at("10:07:20");
    let volatile = |n: u32| record("1", "10:07:00", "09:00:00", &format!(r#","link":"?{n}""#));
    let moving = |n: u32| record("2", &format!("10:06:0{n}"), "09:00:00", &format!(r#","n":{n}"#));
    for n in 0..4 {
        assert_eq!(bench.told(&[volatile(n), moving(n)]), [updated("1"), updated("2")]);
    }
    assert_eq!(bench.watch.found().map(|found| found.to_string()).as_deref(), Some("link"));
}

/// A resource that compares content, too, and a record whose date stays.
fn compared() -> (Bench, impl Fn(u32) -> String) {
    let plan = ResourcePlan { compare_content: true, ..sample::resource() };
    (Bench::new(plan, "09:59:00"), |n| record("1", "10:00:01", "09:00:00", &format!(r#","n":{n}"#)))
}

#[test]
fn with_compare_content_a_change_needs_no_other_date() {
    let (mut bench, version) = compared();
    assert_eq!(bench.told(&[version(1)]), [updated("1")]);
    assert_eq!(bench.told(&[version(1)]), []);
    assert_eq!(bench.told(&[version(2)]), [updated("1")]);
    assert_eq!(bench.told(&[record("1", "10:00:00", "09:00:00", "")]), [], "a copy that lags is still no change");
    // within one poll bytes that differ are not announced twice
    let (told, _) = bench.listing(&[&[version(3)], &[version(4)]]);
    assert_eq!(told, [updated("1")]);
    bench.plan.compare_content = false;
    assert_eq!(bench.told(&[version(9)]), []);
}

#[test]
fn with_compare_content_old_records_are_remembered_and_told_when_they_change() {
    let (mut bench, _) = compared();
    (bench.view.cursor, bench.view.window) = (Some(at("10:00:00")), Duration::from_mins(1));
    let old = |n: u32| record("old", "07:00:00", "07:00:00", &format!(r#","n":{n}"#));
    assert_eq!(bench.told(&[old(1)]), [], "it may have been delivered and forgotten");
    assert_eq!(bench.told(&[old(1)]), []);
    assert_eq!(bench.told(&[old(2)]), [updated("old")]);
    assert_eq!(window::horizon(&bench.plan, bench.view.cursor), None, "nothing is forgotten");
    // the created date is the one that counts, and says nothing of updates
    bench.plan.change_by = ChangeBy::Created;
    assert_eq!(bench.told(&[old(3)]), [updated("old")]);
}

#[test]
fn a_turn_to_compare_content_sends_nothing_again() {
    let (mut bench, version) = compared();
    let created_later = |n: u32| record("2", "10:00:01", "10:00:02", &format!(r#","n":{n}"#));
    bench.plan.compare_content = false;
    bench.told(&[version(1), created_later(1)]);
    let before = bench.plan.content_digest();
    bench.plan.compare_content = true;
    assert_ne!(bench.plan.content_digest(), before);
    bench.view.rehash = true;
    assert_eq!(bench.told(&[version(2), created_later(2)]), []);
    bench.view.rehash = false;
    assert_eq!(bench.told(&[version(2), created_later(2)]), []);
    assert_eq!(bench.told(&[version(3), created_later(3)]), [updated("1"), updated("2")]);
}

#[test]
fn a_bad_date_falls_back_to_content_and_is_counted() {
    let mut bench = Bench::new(sample::resource(), "10:00:00");
    let json = [r#"{"id":1,"updated":"yesterday","created":"2026-11-24T09:00:00Z"}"#.to_owned()];
    let (told, seen) = bench.listing(&[&json]);
    assert_eq!((told.len(), seen.bad_dates, seen.greatest), (1, 1, None));
    bench.known.forget_before(at("23:00:00"));
    assert_eq!(bench.told(&json), [], "a record without a date is never forgotten");
}

#[test]
fn dates_that_a_manifest_names_later_make_no_change() {
    let rows = [record("1", "09:00:01", "09:00:00", ""), record("2", "09:00:02", "09:00:00", r#","draft":true"#)];
    for (before, after) in [(by_content(), sample::resource()), (sample::resource(), by_content())] {
        let by_dates = Bench::new(sample::resource(), "08:00:00").view;
        let mut bench = Bench::new(before, "08:00:00");
        bench.view = by_dates;
        assert_eq!(bench.told(&rows), [created("1"), created("2")]);
        bench.plan = after;
        assert_eq!(bench.told(&rows), []);
        // what is dated by now is distinguished by its date, and what is not by its content
        assert_eq!(bench.told(&[record("1", "09:30:00", "09:00:00", "")]), [updated("1")]);
        assert_eq!(bench.told(&rows[1..]), []);
    }
}

#[test]
fn what_changes_between_two_passes_of_a_baseline_by_content_is_found_by_the_next_poll() {
    let plan = by_content();
    let row = |id: &str, n: u32| format!(r#"{{"id":"{id}","n":{n}}}"#);
    let mut known = KnownSet::default();
    let view = View { mode: Mode::Baseline, cursor: None, window: Duration::ZERO, rehash: false };
    let mut detector = Detector::new(&plan, "uid", view, at("12:00:00"));
    let moment = Moment::new(Some(at("12:00:00")), at("12:00:00"));
    for pass in [[row("1", 1), row("2", 1)], [row("1", 2), row("slipped by", 1)]] {
        detector.begin_listing(None, false);
        let found = detector.page(pass.iter().map(|json| Record { json, key: None }), &mut known, moment).unwrap();
        assert!(found.changes.is_empty() && found.remembered);
    }
    let mut bench = Bench { known, ..Bench::new(plan, "09:59:00") };
    assert_eq!(bench.told(&[row("1", 2), row("2", 1), row("slipped by", 1)]), [updated("1")]);
}

#[test]
fn the_baseline_is_what_was_seen() {
    let plan = sample::resource();
    let finish = |rows: &[String], from: Option<&str>| {
        let view = View { mode: Mode::Baseline, cursor: None, window: Duration::ZERO, rehash: false };
        let mut detector = Detector::new(&plan, "uid", view, at("12:00:00"));
        detector.begin_listing(from.map(at), false);
        let records = rows.iter().map(|json| Record { json, key: None });
        let moment = Moment::new(Some(at("12:00:00")), at("12:00:00"));
        let mut known = KnownSet::default();
        assert!(detector.page(records, &mut known, moment).unwrap().changes.is_empty());
        let ending = Ending { undelivered: Undelivered::None, baseline_from: from.map(at) };
        (detector.finish(ending).cursor, detector.finish(ending).window.as_secs(), known.len())
    };
    // a shop five hours behind, one row in the future
    let rows = [record("1", "06:59:00", "01:00:00", ""), record("2", "18:00:00", "01:00:00", "")];
    assert_eq!(finish(&rows, None), (Some(at("06:59:00")), 70, 2));
    assert_eq!(finish(&rows, Some("06:58:20")), (Some(at("06:59:00")), 40, 2), "the window begins where reading began");
    assert_eq!(finish(&[], Some("06:58:20")), (Some(at("06:58:20")), 0, 0));
    assert_eq!(finish(&[], None), (None, 70, 0));
    // dated after the second of the first answer, it changed while the baseline was read: the next poll finds it
    assert_eq!(finish(&[record("1", "12:00:01", "01:00:00", "")], None), (None, 70, 0));
}

#[test]
fn how_far_a_list_was_read_is_told_by_the_date_it_is_sorted_by() {
    let plan = ResourcePlan { order: Order::Ascending, ..sample::resource() };
    let view = View { cursor: Some(at("09:59:00")), ..Bench::new(plan.clone(), "09:59:00").view };
    let mut detector = Detector::new(&plan, "uid", view, at("12:00:00"));
    detector.begin_listing(view.cursor, false);
    // stamped by two servers whose clocks differ, and one that came from elsewhere with the date of its file
    let rows = [
        record("file", "08:00:00", "10:00:09", ""),
        record("1", "10:00:00", "10:00:00", ""),
        record("2", "10:00:00", "10:00:03", ""),
        record("3", "10:00:00", "10:00:00", ""),
    ];
    let records = rows.iter().map(|json| Record { json, key: None });
    let moment = Moment::new(Some(at("12:00:00")), at("12:00:00"));
    let found = detector.page(records, &mut KnownSet::default(), moment).unwrap();
    assert_eq!((found.least, found.greatest), (Some(at("08:00:00")), Some(at("10:00:00"))), "rows with this date may follow");
    assert!(!detector.seen().disorder);
    assert_eq!(detector.finish(Ending { undelivered: Undelivered::None, baseline_from: None }).cursor, Some(at("10:00:00")));
    let told: Vec<_> = found.changes.iter().map(|change| change.event.object_id.as_str()).collect();
    assert_eq!(told, ["file", "1", "2", "3"], "a created date shows that a record is new");
    assert_eq!(found.changes[2].date, Some(at("10:00:00")), "until it is taken, it is asked for by this date");
}

#[test]
fn within_a_poll_a_version_is_told_once_whatever_its_bytes() {
    let signed = |n: u32| [record("1", "10:00:01", "10:00:01", &format!(r#","link":"?signature={n}""#))];
    let mut bench = Bench::new(sample::resource(), "09:59:00").at("10:00:01");
    assert_eq!(bench.listing(&[&signed(1), &signed(2), &signed(3)]).0, [created("1")]);
    assert_eq!(bench.told(&signed(3)), [updated("1")], "another poll looks again while the second is not over");
    // what was not taken is not known, and is announced again
    let plan = sample::resource();
    let mut detector = Detector::new(&plan, "uid", bench.view, at("12:00:00"));
    let moment = Moment::new(Some(at("10:00:01")), at("12:00:00"));
    for n in 4..6 {
        detector.begin_listing(None, false);
        let rows = signed(n);
        let records = rows.iter().map(|json| Record { json, key: None });
        assert_eq!(detector.page(records, &mut bench.known, moment).unwrap().changes.len(), 1);
    }
}

#[test]
fn of_two_rows_that_nothing_orders_the_first_counts_on_one_page_or_two() {
    let row = |line: u32| format!(r#"{{"id":"1","line":{line}}}"#);
    let mut bench = Bench::new(by_content(), "09:59:00");
    assert_eq!(bench.listing(&[&[row(0), row(1)]]).0, [created("1")]);
    assert_eq!(bench.listing(&[&[row(0)], &[row(1)]]).0, []);
    assert_eq!(bench.listing(&[&[row(0), row(1)]]).0, []);
    let row = |line: u32| record("1", "10:00:01", "10:00:01", &format!(r#","line":{line}"#));
    let mut bench = Bench::new(sample::resource(), "09:59:00").at("10:00:01");
    assert_eq!(bench.listing(&[&[row(0)], &[row(1)]]).0, [created("1")]);
    assert_eq!(bench.listing(&[&[row(0), row(1)]]).0, []);
}

#[test]
fn a_record_changed_before_it_was_created_is_told_by_its_updated_date() {
    let signed = |updated: &str, n: u32| [record("1", updated, "10:00:09", &format!(r#","link":"?signature={n}""#))];
    let mut bench = Bench::new(sample::resource(), "09:59:00");
    assert_eq!(bench.told(&signed("10:00:01", 1)), [created("1")]);
    assert_eq!(bench.told(&signed("10:00:01", 2)), [], "bytes alone are no change");
    assert_eq!(bench.told(&signed("10:00:05", 3)), [updated("1")]);
    let gone = record("1", "10:00:05", "10:00:09", r#","deleted":true"#);
    assert_eq!(bench.told(&[gone]), [deleted("1")]);
}

#[test]
fn a_correction_that_comes_on_two_pages_is_told_once() {
    let mut bench = Bench::new(sample::resource(), "09:59:00");
    assert_eq!(bench.told(&[record("1", "18:00:00", "10:00:00", "")]), [updated("1")]);
    let corrected = record("1", "11:00:00", "10:00:00", "");
    assert_eq!(bench.listing(&[std::slice::from_ref(&corrected), std::slice::from_ref(&corrected)]).0, [updated("1")]);
}

/// What a provider may do between two polls.
#[derive(Clone, Debug)]
enum Step {
    Write { id: u8, ahead: i64 },
    Poll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0u8..4, prop_oneof![8 => Just(0i64), 1 => -4i64..0, 1 => 3_600i64..7_200])
        .prop_map(|(id, ahead)| Step::Write { id, ahead });
    prop::collection::vec(prop_oneof![3 => write, 2 => Just(Step::Poll)], 1..60)
}

proptest! {
    /// Versions come with dates of a second or a minute, from clocks that are seconds slow or hours fast, in rows whose bytes differ at
    /// each look or not. Every version that a poll showed as the latest is announced exactly once.
    #[test]
    fn each_latest_visible_version_is_told_once(steps in steps(), minutes in any::<bool>(), pace in 5i64..40, volatile in any::<bool>()) {
        let mut bench = Bench::new(sample::resource(), "00:00:01");
        let mut rows: BTreeMap<u8, (u32, DateTime<Utc>)> = BTreeMap::new();
        let (mut clock, mut version, mut look) = (at("01:00:07"), 0, 0);
        let mut told: BTreeMap<u32, usize> = BTreeMap::new();
        let mut fast = BTreeSet::new();
        bench.plan.interval = Duration::from_hours(24);
        let mut shown = BTreeSet::new();
        let mut looks: BTreeMap<(u8, DateTime<Utc>), usize> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Write { id, ahead } => {
                    // within one unit volatile bytes cannot be distinguished from a change
                    clock += TimeDelta::seconds(if volatile { 130 } else { pace });
                    version += 1;
                    let stamp = clock + TimeDelta::seconds(ahead);
                    fast.extend((ahead > 0).then_some(version));
                    let stamp = if minutes { stamp - TimeDelta::seconds(stamp.timestamp() % 60) } else { stamp };
                    // once a date was shown for longer than its unit, no clock writes it again
                    let unit = TimeDelta::seconds(if minutes { 60 } else { 1 });
                    // nor is one written here that may stand for more than its unit: until that is over, volatile bytes are changes
                    let is_coarse = |stamp: &DateTime<Utc>| volatile && stamp.timestamp() % (60 * unit.num_seconds()) == 0;
                    let is_over = |stamp: &DateTime<Utc>| ahead > 0 && looks.get(&(id, *stamp)) > Some(&1);
                    let stamp = std::iter::successors(Some(stamp), |stamp| Some(*stamp + unit)).find(|stamp| !is_over(stamp) && !is_coarse(stamp)).unwrap();
                    rows.insert(id, (version, stamp));
                }
                Step::Poll => {
                    if volatile {
                        clock += TimeDelta::seconds(7_300);
                    }
                    look += 1;
                    let json: Vec<_> = rows
                        .iter()
                        .map(|(id, (version, stamp))| {
                            let link = if volatile { look } else { 0 };
                            format!(r#"{{"id":{id},"updated":"{}","created":"2026-11-23T00:00:01Z","version":{version},"link":{link}}}"#, stamp.format("%Y-%m-%dT%H:%M:%SZ"))
                        })
                        .collect();
                    shown.extend(rows.values().map(|(version, _)| *version));
                    for (id, (_, stamp)) in &rows {
                        *looks.entry((*id, *stamp)).or_default() += 1;
                    }
                    let mut detector = Detector::new(&bench.plan, "uid", bench.view, clock);
                    detector.begin_listing(window::asked_from(&bench.plan, bench.view.cursor), false);
                    let moment = Moment::new(Some(clock), clock);
                    let found = detector.page(json.iter().map(|json| Record { json, key: None }), &mut bench.known, moment).unwrap();
                    for change in found.changes.into_iter().chain(detector.at_end()) {
                        bench.known.remember(change.object, change.known);
                        let data: serde_json::Value = serde_json::from_str(change.event.data.get()).unwrap();
                        *told.entry(u32::try_from(data["version"].as_u64().unwrap()).unwrap()).or_default() += 1;
                    }
                    let ending = Ending { undelivered: Undelivered::None, baseline_from: None };
                    let update = detector.finish(ending);
                    (bench.view.cursor, bench.view.window) = (update.cursor, update.window);
                    if let Some(horizon) = update.horizon {
                        bench.known.forget_before(horizon);
                    }
                }
            }
        }
        for version in &shown {
            // A fast clock may have written twice within the unit of one date: bytes count once more.
            let most = if volatile && fast.contains(version) { 2 } else { 1 };
            prop_assert!(told.get(version).is_some_and(|times| (1..=most).contains(times)), "version {} of {:?}", version, told);
        }
    }
}

#[test]
fn a_change_that_was_tried_and_undone_is_a_change_back() {
    let mut bench = Bench::new(by_content(), "09:59:00");
    let row = |n: u32| format!(r#"{{"id":"1","n":{n}}}"#);
    bench.told(&[row(1)]);
    let tried = |bench: &mut Bench, rows: &[String], unconfirmed: Option<u64>| {
        let mut detector = Detector::new(&bench.plan, "uid", bench.view, at("12:00:00"));
        detector.expect_undone(unconfirmed);
        let mut found = Vec::new();
        // The list is read until it is quiet.
        for row in rows {
            detector.begin_listing(None, false);
            let page = [Record { json: row, key: None }].into_iter();
            let changes = detector.page(page, &mut bench.known, Moment::new(None, at("12:00:00"))).unwrap().changes;
            found.extend(changes.into_iter().map(|change| (change.event.kind, change.event.id.to_string(), change)));
        }
        found
    };
    let [(_, there, _)] = &tried(&mut bench, &[row(2)], None)[..] else { panic!("a change") };
    let object = crate::detect::record::id_hash("1");
    let [(kind, back, change)] = &tried(&mut bench, &[row(1), row(1)], Some(object))[..] else { panic!("one change back") };
    assert_eq!((kind, back == there), (&Kind::Updated, false));
    let [(_, again, _)] = &tried(&mut bench, &[row(1)], Some(object))[..] else { panic!("not taken") };
    assert_eq!(again, back, "the same event");
    let [(_, still, _)] = &tried(&mut bench, &[row(2)], Some(object))[..] else { panic!("the change is tried again") };
    assert_eq!(still, there);
    bench.known.remember_with(change.record, change.known, change.details.clone());
    assert_eq!(bench.told(&[row(1)]), [], "it was taken");
}

/// The changes of a listing that are sent and not confirmed, with the ids of their events.
fn sent(bench: &mut Bench, records: &[String]) -> Vec<(Kind, String, String)> {
    let mut detector = Detector::new(&bench.plan, "uid", bench.view, at("12:00:00"));
    detector.begin_listing(None, false);
    let moment = Moment::new(Some(at(bench.date)), at("12:00:00"));
    let found = detector.page(records.iter().map(|json| Record { json, key: None }), &mut bench.known, moment).unwrap();
    let note = |change: Change| {
        if let (true, Some(known)) = (change.is_announcement, change.known.unconfirmed(change.event.kind)) {
            bench.known.remember_with(change.record, known, change.details);
        }
        (change.event.kind, change.event.object_id, change.event.id.to_string())
    };
    found.changes.into_iter().map(note).collect()
}

#[test]
fn what_was_sent_as_new_is_sent_again_as_the_same_or_deleted() {
    let gone = |id: &str| record(id, "10:00:09", "10:00:01", r#","deleted":true"#);
    // new, and new to it though it was created before
    for (created_at, kind) in [("10:00:01", Kind::Created), ("08:00:00", Kind::Updated)] {
        for mode in [Mode::Usual, Mode::FirstRead] {
            let mut bench = Bench::new(sample::resource(), "09:59:00");
            bench.view.mode = mode;
            let row = [record("1", "10:00:01", created_at, "")];
            let first = sent(&mut bench, &row);
            let kind = if mode == Mode::FirstRead { Kind::Created } else { kind };
            assert_eq!((first.len(), first[0].0), (1, kind));
            bench.view.mode = Mode::Usual;
            assert_eq!(sent(&mut bench, &row), first, "the same event, whatever has become of the first read");
            bench.view.mode = mode;
            let gone = [gone("1"), gone("2")];
            let told = if mode == Mode::FirstRead { vec![deleted("1")] } else { vec![deleted("1"), deleted("2")] };
            assert_eq!(bench.told(&gone), told, "the receiver may have the first one");
            assert_eq!(bench.told(&gone), []);
        }
    }
}

#[test]
fn what_was_sent_as_new_and_is_taken_by_the_first_listing_of_a_poll_is_no_change_in_the_second() {
    for plan in [sample::resource(), by_content()] {
        let mut plan = plan;
        Arc::make_mut(&mut plan.extract).deleted = sample::resource().extract.deleted.clone();
        let mut bench = Bench::new(plan, "09:59:00");
        let row = [record("1", "10:00:01", "08:00:00", "")];
        assert_eq!(sent(&mut bench, &row).len(), 1);
        let mut detector = Detector::new(&bench.plan, "uid", bench.view, at("12:00:00"));
        detector.expect_undone([crate::detect::record::id_hash("1")]);
        let mut found = Vec::new();
        for _ in 0..2 {
            detector.begin_listing(None, false);
            let moment = Moment::new(Some(at("12:00:00")), at("12:00:00"));
            let page = row.iter().map(|json| Record { json, key: None });
            let changes = detector.page(page, &mut bench.known, moment).unwrap().changes;
            for change in &changes {
                bench.known.remember_with(change.record, change.known, change.details.clone());
            }
            found.push(changes.len());
        }
        assert_eq!(found, [1, 0]);
    }
}

#[test]
fn what_is_sent_as_back_and_deleted_again_is_deleted() {
    let mut bench = Bench::new(sample::resource(), "09:59:00");
    let gone = |updated: &str| [record("1", updated, "10:00:01", r#","deleted":true"#)];
    bench.told(&[record("1", "10:00:01", "10:00:01", "")]);
    assert_eq!(bench.told(&gone("10:00:02")), [deleted("1")]);
    let back = [record("1", "10:00:03", "10:00:01", "")];
    let first = sent(&mut bench, &back);
    assert_eq!((first.len(), first[0].0), (1, Kind::Created));
    assert_eq!(sent(&mut bench, &back), first);
    assert_eq!(bench.told(&gone("10:00:04")), [deleted("1")]);
    assert_eq!(bench.told(&gone("10:00:05")), []);
}

#[test]
fn where_nothing_shows_a_deletion_nothing_is_remembered_of_what_was_sent() {
    let mut plan = sample::resource();
    Arc::make_mut(&mut plan.extract).deleted = None;
    let mut bench = Bench::new(plan, "09:59:00");
    let row = [record("1", "10:00:01", "10:00:01", "")];
    assert_eq!(sent(&mut bench, &row).len(), 1);
    assert!(bench.known.is_empty());
}

#[test]
fn an_undone_deletion_is_a_creation_where_only_creations_count() {
    let mut bench = Bench::new(ResourcePlan { change_by: ChangeBy::Created, ..sample::resource() }, "09:59:00");
    let row = record("1", "10:00:01", "10:00:01", "");
    bench.told(std::slice::from_ref(&row));
    let mut detector = Detector::new(&bench.plan, "uid", bench.view, at("12:00:00"));
    detector.expect_undone([crate::detect::record::id_hash("1")]);
    detector.begin_listing(None, false);
    let page = [Record { json: &row, key: None }].into_iter();
    let changes = detector.page(page, &mut bench.known, Moment::new(None, at("12:00:00"))).unwrap().changes;
    assert_eq!(changes.iter().map(|change| change.event.kind).collect::<Vec<_>>(), [Kind::Created]);
}

#[test]
fn what_is_dated_before_a_start_in_the_future_is_never_sent_and_moves_no_cursor() {
    let dated = ResourcePlan { start_from: StartFrom::Time(at("11:00:00")), ..sample::resource() };
    let mut updated_only = dated.clone();
    Arc::make_mut(&mut updated_only.extract).created = None;
    for plan in [dated, updated_only] {
        let mut bench = Bench::new(plan, "09:00:00");
        (bench.view.cursor, bench.view.window) = (None, Duration::ZERO);
        let poll = |bench: &mut Bench, records: &[String]| {
            let mut detector = Detector::new(&bench.plan, "uid", bench.view, at("12:00:00"));
            detector.begin_listing(None, false);
            let moment = Moment::new(Some(at("12:00:00")), at("12:00:00"));
            let page = records.iter().map(|json| Record { json, key: None });
            let found = detector.page(page, &mut bench.known, moment).unwrap();
            let update = detector.finish(Ending { undelivered: Undelivered::None, baseline_from: None });
            (bench.view.cursor, bench.view.window) = (update.cursor, update.window);
            found.changes.into_iter().map(|change| change.event.object_id).collect::<Vec<_>>()
        };
        let row = |id: &str, updated: &str| record(id, updated, updated, "");
        assert_eq!(poll(&mut bench, &[]), [""; 0]);
        assert_eq!(poll(&mut bench, &[row("1", "10:00:00")]), [""; 0]);
        assert_eq!(poll(&mut bench, &[row("1", "10:00:00"), row("2", "10:30:00")]), [""; 0]);
        assert_eq!(bench.view.cursor, None);
        assert_eq!(poll(&mut bench, &[row("2", "10:30:00"), row("3", "11:00:05"), row("4", "10:59:59")]), ["3"]);
        assert_eq!(bench.view.cursor, Some(at("11:00:05")));
    }
}
