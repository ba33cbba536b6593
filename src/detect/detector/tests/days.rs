//! Dates that stand for more than their instant: whole days in a zone, however they are written, and the hour that comes twice.

use chrono_tz::Tz;

use super::*;
use crate::plan::date_format::DateFormat;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// How dates are written: pattern, configured zone, the zone of the provider's clock, and how it is printed.
type Form = (&'static str, &'static str, Tz, &'static str);

const LA: Tz = Tz::America__Los_Angeles;
const NAME: &str = "America/Los_Angeles";

/// The same days, in every way that they are met.
const DAYS: [Form; 9] = [
    ("", "GMT", Tz::UTC, "%Y-%m-%d"),
    ("", NAME, LA, "%Y-%m-%d"),
    ("yyyy-MM-dd'T'HH:mm:ss", NAME, LA, "%Y-%m-%dT00:00:00"),
    ("", "GMT", LA, "%Y-%m-%dT00:00:00%:z"),
    ("", "GMT", Tz::Asia__Kolkata, "%Y-%m-%dT00:00:00.000+05:30"),
    ("yyyy-MM-dd", NAME, LA, "%Y-%m-%d"),
    ("yyyyMMdd", "Asia/Kolkata", Tz::Asia__Kolkata, "%Y%m%d"),
    ("yyyy-MM-dd", "Australia/Lord_Howe", Tz::Australia__Lord_Howe, "%Y-%m-%d"),
    // days of Los Angeles, which the manifest does not say
    ("", "GMT", LA, "%Y-%m-%d"),
];

/// Finer dates in the zone of the provider.
const LOCAL: [Form; 4] = [
    ("yyyy-MM-dd HH:mm:ss", NAME, LA, "%Y-%m-%d %H:%M:%S"),
    ("yyyy-MM-dd HH:mm", NAME, LA, "%Y-%m-%d %H:%M"),
    ("yyyy-MM-dd HH:mm:ss", "Australia/Lord_Howe", Tz::Australia__Lord_Howe, "%Y-%m-%d %H:%M:%S"),
    ("", "GMT", LA, "%Y-%m-%dT%H:%M:00%:z"),
];

/// A provider that lists all it has, and a receiver.
struct World {
    form: Form,
    plan: ResourcePlan,
    now: DateTime<Utc>,
    view: View,
    known: KnownSet,
    /// Version and date by id.
    records: BTreeMap<u8, (u32, String)>,
    /// The versions that were sent, by id.
    sent: BTreeMap<u8, Vec<(Kind, u32)>>,
}

impl World {
    /// What exists is known, since a first poll at `now` that read all, or what may be from the last hours in some zone.
    fn new(form: Form, now: &str, existing: &[u8], all: bool) -> Self {
        let (pattern, zone, ..) = form;
        let mut plan = sample::resource();
        let extract = Arc::make_mut(&mut plan.extract);
        for field in [&mut extract.updated, &mut extract.created].into_iter().flatten() {
            field.format = DateFormat::new(Some(pattern), Some(zone)).unwrap();
        }
        let now = utc(now);
        let view = View { mode: Mode::Baseline, cursor: None, window: Duration::ZERO, rehash: false };
        let (known, records, sent) = (KnownSet::default(), BTreeMap::new(), BTreeMap::new());
        let mut world = Self { form, plan, now: now - TimeDelta::days(9), view, known, records, sent };
        for id in existing {
            world.write(*id);
        }
        world.now = now;
        world.poll_from((!all).then(|| now - window::ZONES));
        assert!(world.sent.is_empty());
        world.view.mode = Mode::Usual;
        world
    }

    fn at(&mut self, now: &str) -> &mut Self {
        self.now = utc(now);
        self
    }

    fn write(&mut self, id: u8) {
        let (.., zone, print) = self.form;
        let now = self.now.with_timezone(&zone);
        // a midnight has its own offset
        let midnight = now.date_naive().and_time(chrono::NaiveTime::MIN).and_local_timezone(zone).earliest().unwrap();
        let date = if print.contains("T00:00:00") { midnight } else { now }.format(print).to_string();
        let record = self.records.entry(id).or_default();
        *record = (record.0 + 1, date);
    }

    fn poll(&mut self) {
        self.poll_from(None);
    }

    fn poll_from(&mut self, baseline_from: Option<DateTime<Utc>>) {
        let mut detector = Detector::new(&self.plan, "uid", self.view, self.now);
        detector.begin_listing(window::asked_from(&self.plan, self.view.cursor), false);
        let rows: Vec<_> = self
            .records
            .iter()
            .map(|(id, (version, date))| {
                format!(r#"{{"id":{id},"v":{version},"updated":"{date}","created":"2026-01-05T10:00:00Z"}}"#)
            })
            .collect();
        let records = rows.iter().map(|json| Record { json, key: None });
        let mut changes = detector.page(records, &mut self.known, Moment::new(Some(self.now), self.now)).unwrap().changes;
        changes.extend(detector.at_end());
        for change in changes {
            self.known.remember(change.object, change.known);
            let data: serde_json::Value = serde_json::from_str(change.event.data.get()).unwrap();
            let version = u32::try_from(data["v"].as_u64().unwrap()).unwrap();
            self.sent.entry(change.event.object_id.parse().unwrap()).or_default().push((change.event.kind, version));
        }
        let update = detector.finish(Ending { undelivered: Undelivered::None, baseline_from });
        (self.view.cursor, self.view.window) = (update.cursor, update.window);
        if let Some(horizon) = update.horizon {
            self.known.forget_before(horizon);
        }
    }

    fn versions(&self, id: u8) -> Vec<u32> {
        self.sent.get(&id).into_iter().flatten().map(|(_, version)| *version).collect()
    }
}

#[test]
fn the_second_change_of_a_day_is_found_however_the_day_is_written() {
    for form in DAYS {
        let mut world = World::new(form, "2026-10-20T18:35:00Z", &[1], false);
        world.at("2026-10-20T19:00:00Z").write(1);
        world.poll();
        world.at("2026-10-20T22:00:00Z").poll();
        world.at("2026-10-20T23:30:00Z").write(1);
        world.poll();
        // the evening of Los Angeles, which is tomorrow elsewhere
        world.at("2026-10-21T06:00:00Z").write(1);
        world.poll();
        assert_eq!(world.versions(1), [2, 3, 4], "{form:?}");
    }
}

#[test]
fn a_change_in_the_25th_hour_of_a_day_is_found() {
    for form in DAYS.into_iter().chain(LOCAL) {
        let mut world = World::new(form, "2026-11-01T06:00:00Z", &[1], true);
        for (at, changes) in [
            ("2026-11-01T20:00:00Z", true),
            ("2026-11-02T07:10:00Z", false),
            ("2026-11-02T07:40:00Z", true),
            ("2026-11-02T09:50:00Z", false),
        ] {
            world.at(at);
            if changes {
                world.write(1);
            }
            world.poll();
        }
        assert_eq!(world.versions(1), [2, 3], "{form:?}");
    }
}

#[test]
fn a_new_record_of_today_is_found_and_announced_once() {
    for form in DAYS {
        let mut world = World::new(form, "2026-10-20T18:00:00Z", &[], false);
        world.at("2026-10-20T18:01:00Z").poll();
        world.at("2026-10-20T18:02:00Z").write(1);
        for at in ["2026-10-20T18:03:00Z", "2026-10-20T18:10:00Z", "2026-10-21T01:00:00Z", "2026-10-21T11:00:00Z"] {
            world.at(at).poll();
        }
        world.at("2026-10-22T01:00:00Z").write(2);
        world.poll();
        world.at("2026-10-22T11:00:00Z").poll();
        assert_eq!((world.versions(1), world.versions(2)), (vec![1], vec![1]), "{form:?}");
    }
}

#[test]
fn an_update_in_the_second_pass_of_an_hour_is_found() {
    for (first, second) in [("2026-11-01T08:50:00Z", "2026-11-01T09:20:00Z"), ("2026-11-01T08:50:00Z", "2026-11-01T09:50:00Z")]
    {
        let mut world = World::new(LOCAL[0], "2026-11-01T06:00:00Z", &[1], true);
        world.at(first).write(1);
        world.poll();
        world.at(second).write(1);
        world.poll();
        world.at("2026-11-01T09:51:00Z").write(2);
        world.poll();
        world.at("2026-11-01T11:00:00Z").poll();
        assert_eq!((world.versions(1), world.versions(2)), (vec![2, 3], vec![1]), "{second}");
    }
}

#[test]
fn a_created_date_that_is_coarser_than_the_updated_one_tells_of_creation() {
    for (pattern, zone, print) in [
        ("", Tz::UTC, "%Y-%m-%d"),
        ("yyyy-MM-dd", Tz::UTC, "%Y-%m-%d"),
        ("", LA, "%Y-%m-%dT00:00:00%:z"),
        ("", Tz::UTC, "%Y-%m-%dT%H:%MZ"),
        ("yyyy-MM-dd HH:mm", Tz::UTC, "%Y-%m-%d %H:%M"),
        ("yyyy-MM-dd HH", Tz::UTC, "%Y-%m-%d %H"),
    ] {
        let mut plan = sample::resource();
        let extract = Arc::make_mut(&mut plan.extract);
        extract.created.as_mut().unwrap().format = DateFormat::new(Some(pattern), None).unwrap();
        let mut known = KnownSet::default();
        let mut view = View { mode: Mode::Usual, cursor: Some(at("15:00:00")), window: Duration::from_secs(70), rehash: false };
        let mut told = |now: &str, created: DateTime<Utc>| {
            let created = created.with_timezone(&zone).format(print);
            let json = format!(r#"{{"id":"1","updated":"2026-11-24T{now}Z","created":"{created}"}}"#);
            let mut detector = Detector::new(&plan, "uid", view, at(now));
            detector.begin_listing(None, false);
            let moment = Moment::new(Some(at(now)), at(now));
            let changes = detector.page([Record { json: &json, key: None }].into_iter(), &mut known, moment).unwrap().changes;
            for change in &changes {
                known.remember(change.object, change.known);
            }
            let update = detector.finish(Ending { undelivered: Undelivered::None, baseline_from: None });
            (view.cursor, view.window) = (update.cursor, update.window);
            known.forget_before(update.horizon.unwrap());
            changes.into_iter().map(|change| change.event.kind).collect::<Vec<_>>()
        };
        assert_eq!(told("15:07:43", at("15:07:41")), [Kind::Created], "{pattern} {print}");
        assert_eq!(told("15:09:59", at("15:07:41")), [Kind::Updated], "{pattern} {print}");
        assert_eq!(told("21:30:00", at("15:07:41")), [Kind::Updated], "{pattern} {print}");
    }
}

#[test]
fn only_dates_that_depend_on_a_zone_and_are_fine_enough_are_evidence_of_one() {
    let newest = |pattern: &str, date: &str| {
        let mut plan = sample::resource();
        let extract = Arc::make_mut(&mut plan.extract);
        extract.updated.as_mut().unwrap().format = DateFormat::new(Some(pattern), None).unwrap();
        let mut bench = Bench::new(plan, "09:59:00");
        let json = format!(r#"{{"id":"1","updated":{date},"created":"2026-11-01T10:00:00Z"}}"#);
        let (told, seen) = bench.listing(&[&[json]]);
        assert_eq!(told, [updated("1")], "{date}");
        seen.newest_change
    };
    for (pattern, date) in [
        ("yyyy-MM-dd", r#""2026-11-24""#),
        ("", r#""2026-11-24""#),
        ("", r#""2026-11-24T00:00:00+05:30""#),
        ("", r#""2026-11-24T10:00:00Z""#),
        ("yyyy-MM-dd HH", r#""2026-11-24 10""#),
        ("seconds", "1795514401"),
        ("milliseconds", "1795514401000"),
    ] {
        assert_eq!(newest(pattern, date), None, "{date}");
    }
    assert_eq!(newest("", r#""2026-11-24T10:00:01Z""#), Some(at("10:00:01")));
    assert_eq!(newest("yyyy-MM-dd HH:mm", r#""2026-11-24 10:07""#), Some(at("10:07:00")));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(u8),
    Wait(i64),
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8).prop_map(Step::Write),
        2 => (1..300_i64).prop_map(Step::Wait),
        2 => (300..30_000_i64).prop_map(Step::Wait),
        4 => Just(Step::Poll),
    ]
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 1_000, ..Default::default() })]

    /// After each poll the receiver has the latest version of each record, each once, through the days on which clocks are set back.
    #[test]
    fn no_version_is_lost_by_days_and_local_times(
        form in prop::sample::select(DAYS.into_iter().chain(LOCAL).collect::<Vec<_>>()),
        start in prop::sample::select(&["2026-10-31T20:00:00Z", "2026-10-20T10:00:00Z", "2026-04-04T06:00:00Z", "2026-03-08T01:00:00Z"][..]),
        all in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(form, start, &[0, 1], all);
        let first = world.records.clone();
        for step in steps.into_iter().chain([Step::Poll]) {
            world.now += TimeDelta::seconds(1);
            match step {
                Step::Write(id) => world.write(id),
                Step::Wait(seconds) => world.now += TimeDelta::seconds(seconds),
                Step::Poll => {
                    world.poll();
                    for (id, (version, _)) in &world.records {
                        let (sent, existed) = (world.versions(*id), first.get(id).map_or(0, |(version, _)| *version));
                        let has = sent.last().copied().unwrap_or(existed);
                        prop_assert_eq!(has, *version, "{} of {:?} at {}", id, form, world.now);
                        prop_assert!(sent.windows(2).all(|pair| pair[0] < pair[1]), "{:?} of {:?}", sent, form);
                    }
                }
            }
        }
    }
}
