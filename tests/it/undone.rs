//! The receiver stores an event, its answer is lost, and the provider has gone back before the next try. In the end the receiver has what the
//! provider has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::rig::http::{Answer, Server};
use crate::rig::in_process::{Lane, Polls};
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::receiver::Receiver;

/// A record in one step: its version, whether it is marked as deleted, and how long ago it was changed.
#[derive(Clone, Copy)]
struct Version {
    v: u32,
    gone: bool,
    hours_ago: i64,
}

/// The record in a step, if there is one.
type Step = Option<Version>;

#[expect(clippy::unnecessary_wraps, reason = "a step may have none")]
const fn v(v: u32) -> Step {
    Some(Version { v, gone: false, hours_ago: 300 })
}

#[expect(clippy::unnecessary_wraps, reason = "a step may have none")]
const fn gone(v: u32) -> Step {
    Some(Version { v, gone: true, hours_ago: 300 })
}

const fn at(hours_ago: i64, version: Step) -> Step {
    match version {
        Some(Version { v, gone, .. }) => Some(Version { v, gone, hours_ago }),
        None => None,
    }
}

const FLAG: &str = "deletes: {flag: {field: gone}}";
const DATED: &str =
    "deletes: {flag: {field: gone}}\ndatesConfiguration: {updatedDateField: updated, createdDateField: created}";
const SWEPT: &str = "deletes: {snapshot: {}}";
const SWEPT_APART: &str =
    "query: {since: \"${since}\"}\ndatesConfiguration: {updatedDateField: updated}\ndeletes: {snapshot: {interval: 720h}}";
const READ_IN_FULL: &str =
    "query: {since: \"${since}\"}\ndatesConfiguration: {updatedDateField: updated}\nfullSweep: {interval: 720h}";
const LEAVES: &str = "filter: record.v < 5\nonLeave: Deleted";
const LEAVES_DATED: &str = "filter: record.v < 5\nonLeave: Deleted\ndatesConfiguration: {updatedDateField: updated}";
const BY_TOKEN: &str = "query: {t: \"${cursor}\"}\ndelta: {token: {field: sync}}\ndeletes: {flag: {field: gone}}";
const BY_CREATION: &str = "changeBy: Created\ndatesConfiguration: {createdDateField: created}\ndeletes: {flag: {field: gone}}";

/// What the record is at first, when the answer is lost, and from then on.
type Steps = [Step; 3];

const CASES: [(&str, &str, Steps); 18] = [
    ("update undone", "pageSize: 100", [v(1), v(2), v(1)]),
    ("deletion undone, by flag", FLAG, [v(1), gone(1), v(1)]),
    ("deletion undone, by flag and date", DATED, [v(1), at(200, gone(1)), at(100, v(1))]),
    ("deletion undone, the date, too", DATED, [v(1), at(200, gone(1)), v(1)]),
    ("deletion undone, where creations count", BY_CREATION, [v(1), gone(1), v(1)]),
    ("creation deleted, by flag", FLAG, [None, v(1), gone(1)]),
    ("creation deleted, by flag and date", DATED, [None, at(2, v(1)), at(1, gone(1))]),
    ("return deleted, by flag and date", DATED, [at(200, gone(1)), at(100, v(2)), at(1, gone(2))]),
    ("deletion undone, by sweep", SWEPT, [v(1), None, v(1)]),
    ("creation deleted, by sweep", SWEPT, [None, v(1), None]),
    ("creation changed, by sweep", SWEPT, [None, v(1), v(2)]),
    ("creation deleted, by a sweep now and then", SWEPT_APART, [None, at(1, v(1)), None]),
    ("update undone, found by a full sweep", READ_IN_FULL, [v(1), at(1, v(2)), v(1)]),
    ("leaving undone", LEAVES, [v(1), v(6), v(1)]),
    ("creation left", LEAVES, [None, v(1), v(6)]),
    ("creation left, by date", LEAVES_DATED, [None, at(2, v(1)), at(1, v(6))]),
    ("update undone, by token", BY_TOKEN, [v(1), v(2), v(1)]),
    ("creation deleted, by token", BY_TOKEN, [None, v(1), gone(1)]),
];

/// What the receiver has, from all that came to it, whether it could answer or not.
fn stored(receiver: &Receiver) -> BTreeMap<String, u64> {
    let mut stored = BTreeMap::new();
    for event in receiver.posts("it").iter().flat_map(crate::rig::receiver::Post::events) {
        match event.kind {
            Kind::Deleted => drop(stored.remove(&event.object)),
            Kind::Created | Kind::Updated => {
                let data: Value = serde_json::from_str(&event.data).expect("a record");
                stored.insert(event.object, data["v"].as_u64().expect("its version"));
            }
        }
    }
    stored
}

/// Records with other ids, so that the receiver as a whole is not down; the first of them was changed three hours ago.
fn others(count: u32, v: u32) -> Vec<(u32, Version)> {
    (10..10 + count).map(|id| (id, Version { v, gone: false, hours_ago: if id == 10 { 3 } else { 300 } })).collect()
}

fn row(id: u32, version: Version, now: chrono::DateTime<Utc>) -> Value {
    let text = |hours| (now - TimeDelta::hours(hours)).to_rfc3339_opts(SecondsFormat::Secs, true);
    json!({"id": id, "v": version.v, "gone": version.gone, "updated": text(version.hours_ago), "created": text(version.hours_ago.max(300))})
}

/// Plays the steps, each with these records in addition; in the second one the answers for what changes are lost.
fn play(
    lane: &Arc<Lane>,
    (resource, callback): (&str, &str),
    steps: Steps,
    others: [Vec<(u32, Version)>; 3],
) -> (BTreeMap<String, u64>, Value) {
    let (list, now) = (Arc::new(Mutex::new(Vec::<Value>::new())), Utc::now());
    let shared = Arc::clone(&list);
    let server = Server::start(move |ask| {
        let query: BTreeMap<_, _> = ask.query().into_iter().collect();
        let is_listed = |row: &&Value| match (query.get("since"), query.get("t")) {
            (Some(since), _) => row["updated"].as_str() >= Some(&since[..]),
            // What changes since a token.
            (None, Some(_)) => row["id"] == 1,
            (None, None) => true,
        };
        let rows: Vec<_> = shared.lock().unwrap().iter().filter(is_listed).cloned().collect();
        Answer::json(json!({"data": rows, "sync": "1"}).to_string())
            .header("Date", Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    });
    let receiver = Receiver::start();
    let is_cut = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&is_cut);
    receiver.answer(move |_| if cut.load(Ordering::SeqCst) { Answer::hang_up() } else { Answer::status(204) });
    let resource = format!("url: /records\nrecordsPath: data\npagination: {{none: {{}}}}\n{resource}");
    let instance = Instance::new("it", &server.url(), &receiver.url("it")).earliest().resource(&resource).callback(callback);
    let polls = Polls::new_in(Arc::clone(lane), &[instance.yaml()]);
    for (number, (version, others)) in steps.into_iter().zip(others).enumerate() {
        let versions = version.map(|version| (1, version)).into_iter().chain(others);
        *list.lock().unwrap() = versions.map(|(id, version)| row(id, version, now)).collect();
        is_cut.store(number == 1, Ordering::SeqCst);
        // A deletion by sweeps needs two of them.
        let is_swept = version.is_none() && resource.contains("snapshot");
        for _ in 0..if number == 1 && is_swept { 2 } else { 1 } {
            polls.poll();
        }
        polls.age();
    }
    for _ in 0..4 {
        polls.poll();
        polls.age();
        if resource.contains("snapshot: {interval") {
            polls.forget_sweep();
        }
    }
    let before = receiver.count();
    polls.poll();
    assert_eq!(receiver.count(), before, "nothing more comes");
    let rows = list.lock().unwrap().clone();
    (stored(&receiver), rows.into())
}

/// What the receiver is to have of these rows.
fn expected(rows: &Value, resource: &str) -> BTreeMap<String, u64> {
    let filtered = resource.contains("filter");
    let living =
        rows.as_array().unwrap().iter().filter(|row| row["gone"] == false && (!filtered || row["v"].as_u64() < Some(5)));
    living.map(|row| (row["id"].to_string(), row["v"].as_u64().unwrap())).collect()
}

#[test]
fn what_is_undone_while_the_answer_was_lost_is_undone_at_the_receiver() {
    let lane = Lane::new();
    let mut wrong = Vec::new();
    for (name, resource, steps) in CASES {
        let (stored, rows) = play(&lane, (resource, ""), steps, std::array::from_fn(|_| others(3, 1)));
        if stored != expected(&rows, resource) {
            wrong.push(format!("{name}: {stored:?} instead of {rows}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// While a receiver counts as down no try is counted, and yet it may have what was sent.
#[test]
fn what_was_sent_to_a_receiver_that_went_down_is_undone_too() {
    let lane = Lane::new();
    for (resource, steps) in [(FLAG, [v(1), v(2), v(1)]), (FLAG, [v(1), gone(1), v(1)]), (SWEPT, [None, v(1), None])] {
        for batch in [None, Some("batch: {maxEvents: 10}")] {
            let with = [others(12, 1), others(12, 2), others(12, 1)];
            let (stored, rows) = play(&lane, (resource, batch.unwrap_or_default()), steps, with);
            assert_eq!(stored, expected(&rows, resource), "{batch:?} {resource}");
        }
    }
}
