//! The state of an instance as it is written to its status. Pure.
//!
//! Small known sets are in the status as one packed string; larger ones in blobs, of which the status names the generations. Bodies of
//! queued events are in a Secret.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::known_place::KnownPlace;
use super::packed_failing::{pack_failing, unpack_failing};
use crate::api::conditions::{Problem, Reason};
use crate::deliver::health::SinkHealth;
use crate::deliver::sink::{CALLBACK, SinkName};
use crate::deliver::sinks::Sinks;
use crate::detect::filter::FilterEvidence;
use crate::detect::known::KnownSet;
use crate::detect::sweep::SweepState;
use crate::detect::zone::ZoneEvidence;
use crate::plan::deleted_list;
use crate::plan::for_each::list_of;
use crate::state::adopt::{POLL_NOW, REQUESTED_AT};
use crate::state::delta_token::DeltaToken;
use crate::state::{FORMAT, InstanceState, ResourceState};

/// Most records whose packed form is in the status of an instance with one resource: 2.5 KiB.
const MAX_INLINE: usize = 80;
/// Most records whose packed form is in the status, all resources: 24 KiB.
const MAX_INLINE_IN_ALL: usize = 768;
/// Most failing changes whose tries are stored of one resource; one that is left out begins its schedule again after a restart.
const MAX_FAILING: usize = 32;
/// The same, all resources.
const MAX_FAILING_IN_ALL: usize = 256;

/// What does not fit into the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Where known sets are, by resource.
    pub blobs: BTreeMap<String, KnownPlace>,
    /// Generations of the `ConfigMaps` with the states of lists, by resource.
    pub lists: BTreeMap<String, Vec<u64>>,
    /// Generation of the Secret with the events of the retry queue; `None` when there are none.
    pub ledger: Option<u64>,
}

/// What the status alone says of an instance's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The state, without what stands elsewhere.
    pub state: InstanceState,
    /// Where the rest stands.
    pub places: Places,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusPart {
    resources: Vec<ResourcePart>,
    delivered: u64,
    last_change_time: Option<DateTime<Utc>>,
    bookkeeping: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourcePart {
    name: String,
    #[serde(default)]
    cursor: Option<CursorPart>,
    #[serde(default)]
    records_path: Option<String>,
    #[serde(default)]
    failing: Option<String>,
    #[serde(default)]
    delivered: u64,
    #[serde(default)]
    last_change_time: Option<DateTime<Utc>>,
    #[serde(default)]
    reset_reason: Option<String>,
    #[serde(default)]
    last_successful_poll_time: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CursorPart {
    meaning: String,
    #[serde(default)]
    started: bool,
    #[serde(default)]
    since: Option<DateTime<Utc>>,
    #[serde(default)]
    reach_seconds: u64,
    #[serde(default)]
    hashed_without: Option<String>,
    #[serde(default)]
    zone_evidence: Option<String>,
    #[serde(default)]
    filter_ignored_polls: FilterEvidence,
    #[serde(default)]
    broken_order: Option<String>,
    #[serde(default)]
    sweep: Option<String>,
    token: Option<DeltaToken>,
    #[serde(default)]
    known: Option<String>,
    #[serde(default)]
    blobs: Option<String>,
    #[serde(default)]
    deleted_list: Option<ListPart>,
}

/// The cursor of a list of deleted ids.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListPart {
    meaning: String,
    #[serde(default)]
    started: bool,
    #[serde(default)]
    since: Option<DateTime<Utc>>,
    #[serde(default)]
    reach_seconds: u64,
    #[serde(default)]
    records_path: Option<String>,
    #[serde(default)]
    known: Option<String>,
    #[serde(default)]
    blobs: Option<String>,
}

/// What a status says of where a known set is: the set itself, or the place of its blobs. `None`: it is damaged.
fn known_at(known: Option<&str>, blobs: Option<&str>) -> Option<(KnownSet, Option<KnownPlace>)> {
    let known = known.map_or_else(|| Some(KnownSet::default()), KnownSet::unpack)?;
    let place = match blobs {
        Some(text) => Some(KnownPlace::parse(text)?),
        None => None,
    };
    Some((known, place))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bookkeeping {
    format: u32,
    #[serde(default, skip_serializing_if = "SinkHealth::is_fresh")]
    callback: SinkHealth,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sinks: BTreeMap<SinkName, SinkHealth>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    accepted: BTreeMap<SinkName, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    handled: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ledger: Option<u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    lists: BTreeMap<String, Vec<u64>>,
    /// Uid of the first object that had this state: restored under another one, its events keep their ids. 0.1.0 kept none.
    #[serde(default)]
    identity: Option<Box<str>>,
    /// Until when the provider wants not to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<DateTime<Utc>>,
}

/// The identity that the bookkeeping of a status keeps (see [`InstanceState::identity`]).
pub fn identity(bookkeeping: &str) -> Option<Box<str>> {
    // Also of one that is damaged elsewhere.
    serde_json::from_str::<Value>(bookkeeping).ok()?.get("identity")?.as_str().map(Box::from)
}

/// The last value of an annotation that was acted on, as the bookkeeping of a status keeps it.
pub fn handled(bookkeeping: &str, annotation: &str) -> Option<String> {
    all_handled(bookkeeping)?.remove(annotation)
}

/// The last values of all annotations that were acted on; `None` for a bookkeeping that cannot be read.
pub fn all_handled(bookkeeping: &str) -> Option<BTreeMap<String, String>> {
    serde_json::from_str::<Bookkeeping>(bookkeeping).ok().map(|kept| kept.handled)
}

/// Reads the state out of a status, which is null for an instance never seen before.
///
/// # Errors
/// `StateUnavailable`: what is there but cannot be read is never taken for a fresh start.
pub fn read(uid: &str, status: &Value) -> Result<Found, Problem> {
    let damaged = || {
        Problem::human(
            Reason::StateUnavailable,
            "the state in status is damaged; put back a copy of the status, or set the annotation pollinator.dev/reset to a new value \
             that names the damaged resource, or * for all, to start again (then spec.polling.startFrom decides what is sent)",
        )
    };
    let mut state = InstanceState::new(uid.to_owned());
    let mut places = Places::default();
    if status.is_null() {
        return Ok(Found { state, places });
    }
    let part = StatusPart::deserialize(status).map_err(|_| damaged())?;
    let (delivered, last_change_time) = (part.delivered, part.last_change_time);
    if let Some(text) = part.bookkeeping {
        let bookkeeping: Bookkeeping = serde_json::from_str(&text).map_err(|_| damaged())?;
        if bookkeeping.format > FORMAT {
            return Err(Problem::human(
                Reason::StateUnavailable,
                "the state in status was written by a newer version of Pollinator; run that version or a newer one",
            ));
        }
        state.format = bookkeeping.format;
        state.first_uid = bookkeeping.identity.filter(|identity| **identity != *uid);
        state.retry_after = bookkeeping.retry_after;
        state.sinks = Sinks::restore(bookkeeping.callback, bookkeeping.sinks, bookkeeping.accepted, []);
        (state.handled, places.ledger, places.lists) = (bookkeeping.handled, bookkeeping.ledger, bookkeeping.lists);
    }
    for part in part.resources {
        // Without a cursor there is only what a status report said.
        let Some(cursor) = part.cursor else { continue };
        let (known, blobs) = known_at(cursor.known.as_deref(), cursor.blobs.as_deref()).ok_or_else(damaged)?;
        places.blobs.extend(blobs.map(|place| (part.name.clone(), place)));
        if let Some(list) = cursor.deleted_list {
            let name = deleted_list::name_of(&part.name);
            let (known, blobs) = known_at(list.known.as_deref(), list.blobs.as_deref()).ok_or_else(damaged)?;
            places.blobs.extend(blobs.map(|place| (name.clone(), place)));
            let own = ResourceState {
                meaning: list.meaning,
                started: list.started,
                cursor: list.since,
                known,
                reach: list.reach_seconds,
                records_path: list.records_path,
                ..ResourceState::default()
            };
            state.resources.insert(name, Box::new(own));
        }
        let own = ResourceState {
            meaning: cursor.meaning,
            started: cursor.started,
            cursor: cursor.since,
            token: cursor.token,
            known,
            reach: cursor.reach_seconds,
            hashed_without: cursor.hashed_without.unwrap_or_default(),
            filter_ignored: cursor.filter_ignored_polls,
            broken_order: cursor.broken_order.unwrap_or_default(),
            zone: cursor.zone_evidence.as_deref().map(|text| unpack_zone(text).ok_or_else(damaged)).transpose()?,
            sweep: cursor.sweep.map_or(Ok(SweepState::default()), |text| serde_json::from_str(&text)).map_err(|_| damaged())?,
            records_path: part.records_path,
            failing: part.failing.as_deref().map_or(Some(Vec::new()), unpack_failing).ok_or_else(damaged)?,
            delivered: part.delivered,
            last_change_time: part.last_change_time,
            reset_reason: part.reset_reason,
            last_poll: part.last_successful_poll_time,
            // Whose turn is next, and tries of single records, are kept in the process.
            ..ResourceState::default()
        };
        state.resources.insert(part.name, Box::new(own));
    }
    state.keep_totals(delivered, last_change_time);
    Ok(Found { state, places })
}

/// Lays the state over a status; what belongs to others stays.
pub fn lay(status: &mut Map<String, Value>, state: &InstanceState, places: &Places) {
    let mut old: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for entry in
        status.remove("resources").into_iter().flat_map(|list| if let Value::Array(list) = list { list } else { vec![] })
    {
        if let Value::Object(entry) = entry
            && let Some(name) = entry.get("name").and_then(Value::as_str).map(str::to_owned)
        {
            old.insert(name, entry);
        }
    }
    let in_status = |name: &str| deleted_list::resource_of(name).is_none() && list_of(name).is_none();
    let count = state.resources.keys().filter(|name| list_of(name).is_none()).count();
    let mut resources = Vec::with_capacity(count);
    let max_failing = (MAX_FAILING_IN_ALL / count.max(1)).min(MAX_FAILING);
    for (name, own) in state.resources.iter().filter(|(name, _)| in_status(name)) {
        let mut entry = old.remove(name).unwrap_or_default();
        set(&mut entry, "name", Some(json!(name)));
        let mut cursor = match entry.remove("cursor") {
            Some(Value::Object(cursor)) => cursor,
            _ => Map::new(),
        };
        lay_position(&mut cursor, name, own, places);
        set(&mut cursor, "hashedWithout", (!own.hashed_without.is_empty()).then(|| json!(own.hashed_without)));
        set(&mut cursor, "zoneEvidence", own.zone.map(|zone| json!(format!("{}/{}", zone.behind, zone.polls))));
        let ignored = own.filter_ignored;
        set(&mut cursor, "filterIgnoredPolls", (!ignored.is_none()).then(|| json!(ignored)));
        set(&mut cursor, "brokenOrder", (!own.broken_order.is_empty()).then(|| json!(own.broken_order)));
        let sweep = if own.sweep.is_fresh() { None } else { serde_json::to_string(&own.sweep).ok() };
        set(&mut cursor, "sweep", sweep.map(Value::String));
        set(&mut cursor, "token", own.token.as_ref().map(|token| json!(token)));
        let list_name = deleted_list::name_of(name);
        let list = state.resources.get(&list_name).map(|list| {
            let mut part = Map::new();
            lay_position(&mut part, &list_name, list, places);
            set(&mut part, "recordsPath", list.records_path.as_ref().map(|path| json!(path)));
            Value::Object(part)
        });
        set(&mut cursor, "deletedList", list);
        entry.insert("cursor".to_owned(), Value::Object(cursor));
        set(&mut entry, "recordsPath", own.records_path.as_ref().map(|path| json!(path)));
        set(&mut entry, "failing", pack_failing(&own.failing, max_failing).map(Value::String));
        set(&mut entry, "resetReason", own.reset_reason.as_ref().map(|reason| json!(reason)));
        set(&mut entry, "lastChangeTime", time(own.last_change_time));
        set(&mut entry, "delivered", (own.delivered > 0).then(|| json!(own.delivered)));
        let parked = state.sinks.parked_of(name);
        set(&mut entry, "parked", (parked > 0).then(|| json!(parked)));
        resources.push(Value::Object(entry));
    }
    status.insert("resources".to_owned(), Value::Array(resources));
    set(status, "delivered", Some(json!(state.delivered())));
    set(status, "parked", Some(json!(state.sinks.parked())));
    set(status, "setAside", Some(json!(state.sinks.deferred())));
    set(status, "waiting", state.waiting().map(|waiting| json!(waiting)));
    set(status, "lastChangeTime", time(state.last_change_time()));
    if let Some(value) = echoed(status, &state.handled) {
        status.insert("lastHandledReconcileAt".to_owned(), json!(value));
    }
    let bookkeeping = Bookkeeping {
        format: state.format,
        callback: state.sinks.health(&CALLBACK).clone(),
        sinks: state.sinks.other_health(),
        accepted: state.sinks.accepted(),
        handled: state.handled.clone(),
        ledger: places.ledger,
        lists: places.lists.clone(),
        identity: Some(state.identity().into()),
        retry_after: state.retry_after,
    };
    set(status, "bookkeeping", serde_json::to_string(&bookkeeping).ok().map(Value::String));
}

/// The value that `lastHandledReconcileAt` echoes: of the two annotations that ask for a poll, the one that was acted on last.
fn echoed(status: &Map<String, Value>, handled: &BTreeMap<String, String>) -> Option<String> {
    let old = status.get("bookkeeping").and_then(Value::as_str).and_then(all_handled).unwrap_or_default();
    let asked = [REQUESTED_AT, POLL_NOW];
    let is_new = |key: &&str| handled.contains_key(*key) && handled.get(*key) != old.get(*key);
    if let Some(key) = asked.iter().copied().find(is_new) {
        return handled.get(key).cloned();
    }
    let echo = status.get("lastHandledReconcileAt").and_then(Value::as_str);
    let kept = echo.filter(|echo| asked.iter().any(|key| handled.get(*key).is_some_and(|value| value == echo)));
    kept.map(str::to_owned).or_else(|| asked.iter().find_map(|key| handled.get(*key)).cloned())
}

/// Where the next poll of a list starts, and what is known there.
fn lay_position(cursor: &mut Map<String, Value>, name: &str, own: &ResourceState, places: &Places) {
    let blobs = places.blobs.get(name).map(KnownPlace::text);
    let known = (blobs.is_none() && !own.known.is_empty()).then(|| own.known.pack());
    set(cursor, "meaning", Some(json!(own.meaning)));
    set(cursor, "started", own.started.then_some(Value::Bool(true)));
    set(cursor, "since", own.cursor.map(|at| json!(at.to_rfc3339_opts(SecondsFormat::AutoSi, true))));
    set(cursor, "reachSeconds", (own.reach > 0).then(|| json!(own.reach)));
    set(cursor, "known", known.map(Value::String));
    set(cursor, "blobs", blobs.map(Value::String));
}

/// Identifies a stored state: a hash of what only the owner of an instance writes.
pub fn state_digest(status: &Value) -> u64 {
    let resources = status["resources"].as_array().into_iter().flatten();
    let own: Vec<_> = resources
        .filter(|entry| entry["cursor"].is_object())
        .map(|entry| [&entry["name"], &entry["cursor"], &entry["recordsPath"], &entry["failing"], &entry["delivered"]])
        .collect();
    xxh3_64(json!([own, status["bookkeeping"]]).to_string().as_bytes())
}

/// The digest of a status without any state. No owner leaves one behind: each state has a bookkeeping.
pub fn empty_digest() -> u64 {
    state_digest(&Value::Null)
}

/// How many records of one resource the status can hold, out of `resources`.
pub fn max_inline(resources: usize) -> usize {
    (MAX_INLINE_IN_ALL / resources.max(1)).min(MAX_INLINE)
}

pub(super) fn set(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(key.to_owned(), value)),
        None => drop(map.remove(key)),
    }
}

/// RFC 3339 with whole seconds, as the API conventions ask.
pub(super) fn time(at: Option<DateTime<Utc>>) -> Option<Value> {
    at.map(|at| json!(at.to_rfc3339_opts(SecondsFormat::Secs, true)))
}

fn unpack_zone(text: &str) -> Option<ZoneEvidence> {
    let (behind, polls) = text.split_once('/')?;
    Some(ZoneEvidence { behind: behind.parse().ok()?, polls: polls.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::delivery_state::Failing;
    use crate::deliver::health::{Blame, Failure};
    use crate::deliver::sink::Cause;
    use crate::deliver::sink::http::interpret::{HttpCause, Silence};
    use crate::detect::known::{Age, Known};
    use crate::egress::error::Unreachable;
    use crate::state::external_set::SetName;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).unwrap()
    }

    fn known(count: u64) -> KnownSet {
        let mut known = KnownSet::default();
        (0..count).for_each(|id| known.remember(id << 50, Known { version: id, date: None, age: Age::Open, deleted: false }));
        known
    }

    fn state() -> InstanceState {
        let mut state = InstanceState::new("u".into());
        let failing = |object| Failing { sink: CALLBACK.clone(), object, attempts: 2, refusals: 1, next_try: at(7) };
        state.resources.insert(
            "contacts".into(),
            Box::new(ResourceState {
                meaning: "00ff".into(),
                started: true,
                all_new: false,
                cursor: Some(DateTime::from_timestamp(1_800_000_000, 123_456_789).unwrap()),
                token: "00000000000000ff:https://api.example.com/delta?t=1".parse().ok(),
                known: known(3),
                reach: 60,
                hashed_without: "0a".into(),
                zone: Some(ZoneEvidence { behind: -330, polls: 2 }),
                filter_ignored: FilterEvidence::of(2),
                broken_order: "00aa".into(),
                sweep: SweepState { at: Some(at(5)), missing: 3, held: 2, living: 9, approved: true, ..SweepState::default() },
                records_path: Some("data['a b'][0]".into()),
                failing: vec![failing(5), failing(4)],
                delivered: 12,
                last_change_time: Some(at(0)),
                reset_reason: Some("asked for by annotation".into()),
                ..ResourceState::default()
            }),
        );
        state.resources.insert("orders".into(), Box::new(ResourceState { meaning: "1".into(), ..ResourceState::default() }));
        let list = ResourceState {
            meaning: "2".into(),
            started: true,
            cursor: Some(at(9)),
            reach: 60,
            known: known(2),
            records_path: Some("$".into()),
            ..ResourceState::default()
        };
        state.resources.insert("contacts/deleted".into(), Box::new(list));
        state.handled.insert(REQUESTED_AT.into(), "now".into());
        state.retry_after = Some(at(60_000));
        let cause = Cause::Http(HttpCause::Silent(Silence::Unreachable(Unreachable::Refused)));
        state.sinks.note_accepted(&CALLBACK, 9);
        state.sinks.note_failed(&CALLBACK, 1, Failure { retry_after: None, cause, blame: Blame::Sink }, at(0), 0);
        state
    }

    fn laid(over: Value, state: &InstanceState, places: &Places) -> Value {
        let Value::Object(mut status) = over else { panic!() };
        lay(&mut status, state, places);
        Value::Object(status)
    }

    #[test]
    fn what_was_laid_is_read_back() {
        let state = state();
        let status = laid(json!({}), &state, &Places::default());
        assert_eq!(read("u", &status).unwrap(), Found { state, places: Places::default() });
        assert_eq!(status["delivered"], 12);
        assert_eq!(status["lastHandledReconcileAt"], "now");
        assert_eq!(status["lastChangeTime"], "2027-01-15T08:00:00Z");
        assert_eq!(read("u", &Value::Null).unwrap().state, InstanceState::new("u".into()));
    }

    #[test]
    fn what_removed_resources_delivered_stays_in_the_totals() {
        let mut state = state();
        state.resources.retain(|name, _| name == "orders");
        state.keep_totals(12, Some(at(0)));
        let status = laid(json!({}), &state, &Places::default());
        assert_eq!((&status["delivered"], &status["lastChangeTime"]), (&json!(12), &json!("2027-01-15T08:00:00Z")));
        assert_eq!(read("u", &status).unwrap().state, state);
    }

    #[test]
    fn the_annotation_that_was_acted_on_last_is_echoed() {
        let mut state = state();
        let asks = |state: &mut InstanceState, key: &str, value: &str| state.handled.insert(key.to_owned(), value.to_owned());
        state.handled.clear();
        asks(&mut state, REQUESTED_AT, "flux");
        let first = laid(json!({}), &state, &Places::default());
        assert_eq!(first["lastHandledReconcileAt"], "flux");
        asks(&mut state, POLL_NOW, "now");
        let second = laid(first, &state, &Places::default());
        assert_eq!(second["lastHandledReconcileAt"], "now");
        let third = laid(second, &state, &Places::default());
        assert_eq!(third["lastHandledReconcileAt"], "now", "nothing new was asked for");
        asks(&mut state, REQUESTED_AT, "again");
        assert_eq!(laid(third, &state, &Places::default())["lastHandledReconcileAt"], "again");
    }

    #[test]
    fn the_first_uid_goes_with_a_status_that_is_restored() {
        let status = laid(json!({}), &state(), &Places::default());
        let mut restored = read("v", &status).unwrap().state;
        assert_eq!((&*restored.uid, restored.identity()), ("v", "u"));
        let again = laid(json!({}), &restored, &Places::default());
        restored.uid = "w".into();
        assert_eq!(read("w", &again).unwrap().state, restored, "and once more");
        // one that 0.1.0 left hangs on the uid of the object
        let mut old = status;
        let mut bookkeeping: Value = serde_json::from_str(old["bookkeeping"].as_str().unwrap()).unwrap();
        bookkeeping.as_object_mut().unwrap().remove("identity");
        old["bookkeeping"] = json!(bookkeeping.to_string());
        assert_eq!(read("v", &old).unwrap().state.identity(), "v");
    }

    #[test]
    fn what_stands_elsewhere_is_named() {
        let store = SetName { id: 0xab, generation: 7 };
        let blobs = [
            ("contacts".to_owned(), KnownPlace::ConfigMaps(vec![3, 0, 12])),
            ("contacts/deleted".to_owned(), KnownPlace::Store(store)),
        ];
        let lists = BTreeMap::from([("contacts".to_owned(), vec![3, 7])]);
        let places = Places { blobs: BTreeMap::from(blobs), ledger: Some(4), lists };
        let status = laid(json!({}), &state(), &places);
        assert_eq!(status["resources"][0]["cursor"]["blobs"], "3,0,12");
        assert_eq!(status["resources"][0]["cursor"]["deletedList"]["blobs"], "store:00000000000000ab:7");
        assert!(status["resources"][0]["cursor"].get("known").is_none());
        let found = read("u", &status).unwrap();
        assert_eq!(found.places, places);
        assert!(found.state.resources["contacts"].known.is_empty());
    }

    #[test]
    fn what_belongs_to_others_stays_and_what_is_over_goes() {
        let status = json!({
            "conditions": [{"type": "Foreign"}], "future": 1,
            "resources": [
                {"name": "gone", "cursor": {"meaning": "1"}},
                {"name": "contacts", "future": 2, "cursor": {"future": 3, "known": "AA"}, "conditions": []}
            ]
        });
        let status = laid(status, &state(), &Places::default());
        assert_eq!((&status["future"], &status["conditions"][0]["type"]), (&json!(1), &json!("Foreign")));
        let names: Vec<_> = status["resources"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
        assert_eq!(names, ["contacts", "orders"]);
        assert_eq!((&status["resources"][0]["future"], &status["resources"][0]["cursor"]["future"]), (&json!(2), &json!(3)));
    }

    #[test]
    fn damage_is_never_a_fresh_start() {
        for (path, value) in [
            ("/resources/0/cursor/known", json!("%")),
            ("/resources/0/cursor/since", json!("yesterday")),
            ("/resources/0/cursor/deletedList/known", json!("%")),
            ("/resources/0/cursor/deletedList/since", json!("yesterday")),
            ("/resources/0/failing", json!("AAAA")),
            ("/bookkeeping", json!("{")),
            ("/bookkeeping", json!("{\"format\": 99}")),
        ] {
            let mut status = laid(json!({}), &state(), &Places::default());
            *status.pointer_mut(path).unwrap() = value;
            let problem = read("u", &status).unwrap_err();
            assert_eq!(problem.reason, Reason::StateUnavailable, "{path}");
        }
    }

    #[test]
    fn the_state_digest_tells_states_apart_and_minds_nothing_else() {
        let mut state = state();
        let before = laid(json!({}), &state, &Places::default());
        let told = laid(json!({"conditions": [{"type": "Ready"}], "observedGeneration": 3}), &state, &Places::default());
        assert_eq!(state_digest(&before), state_digest(&told));
        assert_eq!(
            state_digest(&Value::Null),
            state_digest(&json!({"conditions": [], "resources": [{"name": "a", "conditions": []}]}))
        );
        state.resources.get_mut("contacts").unwrap().cursor = Some(at(1));
        assert_ne!(state_digest(&before), state_digest(&laid(json!({}), &state, &Places::default())));
    }

    #[test]
    fn many_failing_changes_are_bounded_by_their_tries() {
        let failing = |object: u64| Failing {
            sink: CALLBACK.clone(),
            object,
            attempts: u32::from(object.is_multiple_of(2)) + 1,
            refusals: 0,
            next_try: at(0),
        };
        let many: Vec<_> = (0..100).map(failing).collect();
        let kept = unpack_failing(&pack_failing(&many, MAX_FAILING).unwrap()).unwrap();
        assert_eq!(kept.len(), MAX_FAILING);
        assert!(kept.iter().all(|failing| failing.attempts == 2));
        assert_eq!(pack_failing(&[], MAX_FAILING), None);
    }

    #[test]
    fn a_resource_stays_within_four_kibibytes() {
        for resources in [1, 8, 64] {
            let mut state = state();
            state.resources.clear();
            for index in 0..resources {
                let failing = |object| Failing { sink: CALLBACK.clone(), object, attempts: 2, refusals: 1, next_try: at(7) };
                let own = ResourceState {
                    meaning: "0123456789abcdef".into(),
                    known: known(max_inline(resources) as u64),
                    cursor: Some(at(123)),
                    failing: (0..40).map(failing).collect(),
                    ..ResourceState::default()
                };
                state.resources.insert(format!("resource-{index}"), Box::new(own));
            }
            let status = laid(json!({}), &state, &Places::default());
            let largest = status["resources"].as_array().unwrap().iter().map(|entry| entry.to_string().len()).max();
            assert!(largest.unwrap() <= 4 * 1024 && status.to_string().len() <= 56 * 1024, "{resources}: {largest:?}");
        }
    }
}
