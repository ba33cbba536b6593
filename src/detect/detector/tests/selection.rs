//! Filters: what comes to match is created, what no longer does is nothing or deleted, and a filter that fails loses nothing.

use super::*;
use crate::detect::known::{Age, Known};
use crate::detect::selection::Undecided;
use crate::plan::expression::Expression;
use crate::plan::field_path::FieldPath;
use crate::plan::shaping::{FilterPlan, Mask, Masked, Members, OnLeave};

fn filtered(mut plan: ResourcePlan, text: &str, on_leave: OnLeave) -> ResourcePlan {
    Arc::make_mut(&mut plan.extract).filter = Some(FilterPlan { expression: Expression::compile(text).unwrap(), on_leave });
    plan
}

fn order(id: &str, updated: &str, status: &str) -> String {
    record(id, updated, "10:00:00", &format!(r#","status":"{status}""#))
}

const OPEN: &str = "record.status != 'draft'";

#[test]
fn what_the_filter_excludes_is_created_once_it_matches() {
    for on_leave in [OnLeave::Ignore, OnLeave::Deleted] {
        let mut bench = Bench::new(filtered(sample::resource(), OPEN, on_leave), "09:59:00");
        assert_eq!(bench.told(&[order("1", "10:00:00", "draft"), order("2", "10:00:00", "open")]), [created("2")]);
        assert_eq!(bench.told(&[order("1", "10:00:01", "draft")]), []);
        assert_eq!(bench.told(&[order("1", "10:00:02", "open")]), [created("1")]);
        assert_eq!(bench.told(&[order("1", "10:00:03", "won")]), [updated("1")]);
        let leaves = bench.told(&[order("1", "10:00:04", "draft")]);
        assert_eq!(leaves, if on_leave == OnLeave::Deleted { vec![deleted("1")] } else { vec![] });
        assert_eq!(bench.told(&[order("1", "10:00:05", "draft")]), [], "once");
        let returns = bench.told(&[order("1", "10:00:06", "open")]);
        let known = if on_leave == OnLeave::Deleted { created("1") } else { updated("1") };
        assert_eq!(returns, [known], "where its leaving was not sent, the receiver still has it");
    }
}

#[test]
fn a_record_that_leaves_and_returns_gives_each_change_an_id_of_its_own() {
    let plan = filtered(by_content(), OPEN, OnLeave::Deleted);
    let (open, draft) = (order("1", "10:00:00", "open"), order("1", "10:00:00", "draft"));
    let ids = ids_of(&plan, &[&open, &draft, &open, &draft, &open]);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 5, "{ids:?}");
}

#[test]
fn what_was_delivered_and_left_in_silence_is_deleted_when_it_is_deleted() {
    for plan in [sample::resource(), by_content()] {
        let mut bench = Bench::new(filtered(plan, OPEN, OnLeave::Ignore), "09:59:00");
        let gone = |id: &str| record(id, "10:00:05", "10:00:00", r#","status":"draft","deleted":true"#);
        assert_eq!(bench.told(&[order("1", "10:00:00", "open"), order("2", "10:00:00", "draft")]), [created("1")]);
        for _ in 0..2 {
            assert_eq!(bench.told(&[order("1", "10:00:04", "draft"), order("2", "10:00:04", "draft")]), []);
        }
        assert_eq!(bench.told(&[gone("1"), gone("2")]), [deleted("1")]);
        assert_eq!(bench.told(&[gone("1"), gone("2")]), []);
    }
}

#[test]
fn what_left_in_silence_stays_known_as_it_was_delivered() {
    let mut bench = Bench::new(filtered(by_content(), OPEN, OnLeave::Ignore), "09:59:00");
    let status = |status: &str| [order("1", "10:00:00", status)];
    assert_eq!(bench.told(&status("open")), [created("1")]);
    let before = bench.known.clone();
    assert_eq!(bench.told(&status("draft")), []);
    assert_eq!(bench.known, before, "a poll that finds it still excluded has nothing to store");
    assert_eq!(bench.told(&status("open")), [], "that is what the receiver has");
    assert_eq!(bench.told(&status("draft")), []);
    assert_eq!(bench.told(&status("won")), [updated("1")]);
}

#[test]
fn it_is_the_same_by_content_and_by_the_date_of_creation() {
    let by_creation = ResourcePlan { change_by: ChangeBy::Created, ..sample::resource() };
    for plan in [by_content(), by_creation] {
        let mut bench = Bench::new(filtered(plan, OPEN, OnLeave::Deleted), "09:59:00");
        let status = |status: &str| [order("1", "10:00:00", status)];
        assert_eq!(bench.told(&status("draft")), []);
        assert_eq!(bench.told(&status("open")), [created("1")]);
        assert_eq!(bench.told(&status("open")), []);
        assert_eq!(bench.told(&status("draft")), [deleted("1")]);
        assert_eq!(bench.told(&status("draft")), []);
        assert_eq!(bench.told(&status("open")), [created("1")]);
    }
}

#[test]
fn excluded_records_move_the_cursor_and_stay_known() {
    let mut bench = Bench::new(filtered(sample::resource(), OPEN, OnLeave::Deleted), "09:59:00");
    let records = [order("1", "10:30:00", "draft")];
    let mut detector = Detector::new(&bench.plan, "uid", bench.view, at("12:00:00"));
    detector.begin_listing(None, false);
    let moment = Moment::new(Some(at("12:00:00")), at("12:00:00"));
    let found = detector.page(records.iter().map(|json| Record { json, key: None }), &mut bench.known, moment).unwrap();
    assert_eq!((found.changes.len(), found.greatest, detector.seen().excluded), (0, Some(at("10:30:00")), 1));
    let update = detector.finish(Ending { undelivered: Undelivered::None, baseline_from: None });
    assert_eq!((update.cursor, update.horizon), (Some(at("10:30:00")), None), "what was excluded once is not forgotten");
}

#[test]
fn a_changed_filter_changes_what_exists_for_the_receiver() {
    let mut bench = Bench::new(filtered(by_content(), OPEN, OnLeave::Deleted), "09:59:00");
    let records = [order("1", "10:00:00", "draft"), order("2", "10:00:00", "open")];
    assert_eq!(bench.told(&records), [created("2")]);
    bench.plan = filtered(by_content(), "record.status == 'draft'", OnLeave::Deleted);
    assert_eq!(bench.told(&records), [created("1"), deleted("2")]);
    assert_eq!(bench.told(&records), []);
    bench.plan = by_content();
    assert_eq!(bench.told(&records), [created("2")], "without a filter what it excluded is there");
    assert_eq!(bench.told(&records), []);
}

#[test]
fn a_filter_that_is_removed_brings_what_it_excluded_but_no_tombstones() {
    let tombstone = record("3", "10:00:00", "10:00:00", r#","status":"draft","deleted":true"#);
    let records = [order("1", "10:00:00", "draft"), order("2", "10:00:00", "open"), tombstone];
    for plan in [sample::resource(), by_content()] {
        let mut bench = Bench::new(filtered(plan.clone(), OPEN, OnLeave::Ignore), "09:59:00");
        for _ in 0..2 {
            bench.told(&records);
        }
        bench.plan = plan.clone();
        assert_eq!(bench.told(&records), [created("1")]);
        assert_eq!(bench.told(&records), []);
        // nor does the flag's end make records of what it marked
        Arc::make_mut(&mut bench.plan.extract).deleted = None;
        if plan.change_by == ChangeBy::Content {
            assert_eq!(bench.told(&records), []);
        }
    }
}

#[test]
fn what_was_excluded_before_versions_said_so_stays_as_it_was() {
    let mut bench = Bench::new(filtered(by_content(), OPEN, OnLeave::Ignore), "09:59:00");
    let records = [order("1", "10:00:00", "draft")];
    let view = RecordReader::new(&bench.plan.extract).read(&records[0], None).unwrap();
    let (id, version) = (view.id_hash(), view.content_hash());
    bench.known.remember(id, Known { version, date: None, age: Age::Open, deleted: true });
    assert_eq!(bench.told(&records), []);
    assert_eq!(bench.told(&[order("1", "10:00:00", "open")]), [created("1")]);
}

#[test]
fn tombstones_tell_of_what_was_announced() {
    let mut bench = Bench::new(filtered(sample::resource(), OPEN, OnLeave::Ignore), "09:59:00");
    let gone = |id: &str, updated: &str| record(id, updated, "10:00:00", r#","status":"draft","deleted":true"#);
    assert_eq!(bench.told(&[order("1", "10:00:00", "draft"), order("2", "10:00:00", "open")]), [created("2")]);
    assert_eq!(bench.told(&[gone("1", "10:00:01"), gone("2", "10:00:01"), gone("3", "10:00:01")]), [deleted("2")]);
}

#[test]
fn what_cannot_be_decided_is_delivered_and_reported() {
    let mut bench = Bench::new(filtered(sample::resource(), OPEN, OnLeave::Deleted), "09:59:00");
    assert_eq!(bench.told(&[record("1", "10:00:00", "10:00:00", "")]), [created("1")]);
    let records = [record("1", "10:00:00", "10:00:00", "")];
    let mut detector = Detector::new(&bench.plan, "uid", bench.view, at("12:00:00"));
    detector.begin_listing(None, false);
    let moment = Moment::new(Some(at("12:00:00")), at("12:00:00"));
    detector.page(records.iter().map(|json| Record { json, key: None }), &mut bench.known, moment).unwrap();
    assert_eq!(detector.undecided(), Some(&Undecided::Missing("status".to_owned())));
    insta::assert_snapshot!(detector.undecided().unwrap(), @"filter: some records are delivered because the filter could not be evaluated for them: they have no status; test for it with has() first");
}

/// What is delivered of the one change of a page.
fn delivered(plan: &ResourcePlan, known: &mut KnownSet, json: &str) -> String {
    let view = View { mode: Mode::Usual, cursor: None, window: UNBOUNDED, rehash: false };
    let mut detector = Detector::new(plan, "uid", view, at("12:00:00"));
    detector.begin_listing(None, false);
    let moment = Moment::new(Some(at("12:00:00")), at("12:00:00"));
    let changes = detector.page([Record { json, key: None }].into_iter(), known, moment).unwrap().changes;
    let [change] = changes.try_into().unwrap();
    known.remember(change.object, change.known);
    assert_eq!(change.event.object_id, "7");
    change.event.data.get().to_owned()
}

#[test]
fn records_are_shaped_after_they_were_read() {
    let mut plan = filtered(sample::resource(), OPEN, OnLeave::Deleted);
    let extract = Arc::make_mut(&mut plan.extract);
    extract.shape.members =
        Members::Drop(["id", "updated", "created", "status"].map(|text| FieldPath::parse(text).unwrap()).into());
    extract.shape.masked = vec![Masked { path: FieldPath::parse("mail").unwrap(), mask: Mask::Text }];
    let mut known = KnownSet::default();
    let json = |updated, more| order("7", updated, "open").replace('}', &format!(r#","mail":"{more}","n":1.50}}"#));
    assert_eq!(delivered(&plan, &mut known, &json("10:00:00", "a")), r#"{"mail":"***","n":1.50}"#);
    assert_eq!(
        delivered(&plan, &mut known, &json("10:00:01", "b")),
        r#"{"mail":"***","n":1.50}"#,
        "it changed, whatever shows"
    );
    let left = delivered(&plan, &mut known, &order("7", "10:00:02", "draft"));
    assert_eq!(left, r#"{"id":"7"}"#, "of what the receiver is not to see only the id");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Change { id: u8, matches: bool },
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u8, any::<bool>()).prop_map(|(id, matches)| Step::Change { id, matches }),
        1 => Just(Step::Poll),
    ]
}

proptest! {
    /// The receiver that applies the events has, after each poll, exactly the records that match: created once, then updated, then
    /// deleted. With `Ignore` it keeps what left, which is updated when it comes back.
    #[test]
    fn the_receiver_has_what_matches(
        steps in prop::collection::vec(step(), 1..40),
        content in any::<bool>(),
        on_leave in prop_oneof![Just(OnLeave::Ignore), Just(OnLeave::Deleted)],
    ) {
        let mut plan = if content { by_content() } else { sample::resource() };
        // By its date of creation a record that matches late is updated, though it was never seen.
        Arc::make_mut(&mut plan.extract).created = None;
        let mut bench = Bench::new(filtered(plan, "record.m", on_leave), "09:59:00");
        let mut provider: BTreeMap<u8, (usize, bool)> = BTreeMap::new();
        let mut receiver: BTreeMap<String, bool> = BTreeMap::new();
        for (now, step) in steps.into_iter().enumerate() {
            let Step::Poll = step else {
                let Step::Change { id, matches } = step else { unreachable!() };
                provider.insert(id, (now, matches));
                continue;
            };
            let rows: Vec<_> = provider
                .iter()
                .map(|(id, (at, matches))| record(&id.to_string(), &format!("10:00:{at:02}"), "10:00:00", &format!(r#","m":{matches}"#)))
                .collect();
            for (kind, id) in bench.told(&rows) {
                let had = receiver.insert(id.clone(), kind != Kind::Deleted).unwrap_or_default();
                match kind {
                    Kind::Created => prop_assert!(!had, "{} was there", id),
                    Kind::Updated | Kind::Deleted => prop_assert!(had, "{} was not there", id),
                }
            }
            for (id, (_, matches)) in &provider {
                let has = receiver.get(&id.to_string()).copied().unwrap_or_default();
                prop_assert!(has == *matches || (has && on_leave == OnLeave::Ignore), "{} {} {}", id, has, matches);
            }
        }
    }
}

#[test]
fn what_was_sent_as_new_and_leaves_the_filter_is_deleted_where_the_receiver_is_to_know() {
    for on_leave in [OnLeave::Ignore, OnLeave::Deleted] {
        for plan in [sample::resource(), by_content()] {
            let mut bench = Bench::new(filtered(plan, OPEN, on_leave), "09:59:00");
            let (open, draft) = ([order("1", "10:00:01", "open")], [order("1", "10:00:02", "draft")]);
            let first = super::sent(&mut bench, &open);
            assert_eq!((first.len(), first[0].0), (1, Kind::Created));
            let leaves = bench.told(&draft);
            assert_eq!(leaves, if on_leave == OnLeave::Deleted { vec![deleted("1")] } else { vec![] });
            assert_eq!(bench.told(&draft), [], "once");
        }
    }
}
