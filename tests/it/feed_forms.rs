//! How named providers say what has changed, in the form that each of them documents, declared as the pages on feeds and tokens say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::rig::http::{Answer, Ask, Server};
use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::oracle::Kind;
use crate::rig::receiver::Receiver;

/// Something that happened to an object.
#[derive(Clone, Copy)]
struct Event {
    number: usize,
    kind: Kind,
    object: &'static str,
    at: DateTime<Utc>,
}

/// What a provider shows of what happened.
#[derive(Clone, Copy, PartialEq)]
enum Shows {
    /// Each event.
    Events,
    /// What happened last to each object.
    Latest,
    /// The same of those that live.
    Living,
}

struct Form {
    provider: &'static str,
    shows: Shows,
    answer: fn(&[Event], &Ask) -> Answer,
    resource: &'static str,
}

const FORMS: [Form; 6] = [
    Form {
        provider: "Stripe: events newest first, pages by the last id",
        shows: Shows::Events,
        answer: stripe,
        resource: r#"
query: {"created[gte]": "${epoch:s}", type: "customer.*"}
recordsPath: data
order: Descending
datesConfiguration: {createdDateField: created, createdDateFormat: seconds}
pagination: {lastId: {parameter: starting_after}}
feed:
  typeField: type
  typeMap: {customer.created: Created, customer.deleted: Deleted, "customer.*": Updated}
  objectIdField: data.object.id
  objectField: data.object"#,
    },
    Form {
        provider: "Chargebee: events newest first, each wrapped, pages by a token that is an offset",
        shows: Shows::Events,
        answer: chargebee,
        resource: r#"
query: {start_time: "${epoch:s}"}
recordsPath: list
idField: event.id
order: Descending
datesConfiguration: {createdDateField: event.occurred_at, createdDateFormat: seconds}
pagination: {token: {field: next_offset, parameter: offset}}
feed:
  typeField: event.event_type
  typeMap: {customer_created: Created, customer_deleted: Deleted, "customer_*": Updated}
  objectIdField: event.content.customer.id
  objectField: event.content.customer"#,
    },
    Form {
        provider: "BambooHR: a map of the objects that changed, with what happened last",
        shows: Shows::Latest,
        answer: bamboo,
        resource: r#"
query: {since: "${gmtDate:yyyy-MM-dd'T'HH:mm:ss'Z'}"}
recordsPath: employees
recordsAs: Map
datesConfiguration: {updatedDateField: lastChanged}
pagination: {none: {}}
deletes: {flag: {field: action, value: Deleted}}"#,
    },
    Form {
        provider: "HubSpot: objects newest first, pages by a date that falls",
        shows: Shows::Living,
        answer: hubspot,
        resource: r"
recordsPath: contacts
idField: vid
order: Descending
datesConfiguration: {updatedDateField: lastmodifieddate, updatedDateFormat: milliseconds}
pagination: {token: {field: time-offset, parameter: timeOffset}}",
    },
    Form {
        provider: "Box: events oldest first, from a position in a stream that begins now",
        shows: Shows::Events,
        answer: box_,
        resource: r#"
query: {stream_position: "${cursor}"}
recordsPath: entries
idField: event_id
datesConfiguration: {createdDateField: created_at}
pagination: {token: {field: next_stream_position, parameter: stream_position}}
delta: {token: {field: next_stream_position, first: now}}
feed:
  typeField: event_type
  typeMap: {ITEM_CREATED: Created, ITEM_DELETED: Deleted, "ITEM_*": Updated}
  objectIdField: source.id
  objectField: source"#,
    },
    Form {
        provider: "Egnyte: events oldest first, behind a number, and 204 where there are none",
        shows: Shows::Events,
        answer: egnyte,
        resource: r#"
query: {id: "${cursor}"}
recordsPath: events
datesConfiguration: {createdDateField: timestamp}
pagination: {token: {field: latest_id, parameter: id}}
delta: {token: {field: latest_id, first: "100"}}
errorRules: [{status: 204, means: Empty}]
feed:
  typeField: action
  typeMap: {created: Created, deleted: Deleted, "*": Updated}
  objectIdField: data.target_id
  objectField: data"#,
    },
];

fn parameter(ask: &Ask, name: &str) -> Option<String> {
    ask.query().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn number(ask: &Ask, name: &str) -> Option<usize> {
    parameter(ask, name).map(|text| text.parse().expect("a number"))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Created => "created",
        Kind::Updated => "updated",
        Kind::Deleted => "deleted",
    }
}

/// Two of the rows, and whether there are more.
fn two(rows: Vec<Value>) -> (Vec<Value>, bool) {
    let more = rows.len() > 2;
    (rows.into_iter().take(2).collect(), more)
}

fn body(value: &Value) -> Answer {
    Answer::json(value.to_string())
}

fn stripe(events: &[Event], ask: &Ask) -> Answer {
    let from: i64 = parameter(ask, "created[gte]").map_or(0, |text| text.parse().expect("seconds"));
    let before = parameter(ask, "starting_after").map(|id| id.strip_prefix("evt_").expect("an id").parse().expect("a number"));
    let rows = events.iter().rev().filter(|event| event.at.timestamp() >= from);
    let rows = rows.filter(|event| before.is_none_or(|before: usize| event.number < before)).map(|event| {
        json!({"id": format!("evt_{}", event.number), "type": format!("customer.{}", word(event.kind)), "created": event.at.timestamp(),
               "data": {"object": {"id": event.object, "version": event.number}}})
    });
    let (data, has_more) = two(rows.collect());
    body(&json!({"object": "list", "data": data, "has_more": has_more}))
}

fn chargebee(events: &[Event], ask: &Ask) -> Answer {
    let from: i64 = parameter(ask, "start_time").map_or(0, |text| text.parse().expect("seconds"));
    let offset = number(ask, "offset").unwrap_or(0);
    let rows = events.iter().rev().filter(|event| event.at.timestamp() >= from).skip(offset).map(|event| {
        json!({"event": {"id": format!("ev_{}", event.number), "event_type": format!("customer_{}", word(event.kind)),
                         "occurred_at": event.at.timestamp(), "content": {"customer": {"id": event.object, "version": event.number}}}})
    });
    let (list, has_more) = two(rows.collect());
    let mut answer = json!({"list": list});
    if has_more {
        answer["next_offset"] = json!((offset + 2).to_string());
    }
    body(&answer)
}

/// What happened last to each object, oldest first.
fn latest(events: &[Event]) -> Vec<Event> {
    let is_last = |event: &&Event| !events.iter().any(|other| other.object == event.object && other.number > event.number);
    events.iter().filter(is_last).copied().collect()
}

fn bamboo(events: &[Event], ask: &Ask) -> Answer {
    let since = parameter(ask, "since").unwrap_or_default();
    let iso = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let action = |kind| match kind {
        Kind::Created => "Inserted",
        Kind::Updated => "Updated",
        Kind::Deleted => "Deleted",
    };
    let changed = latest(events).into_iter().filter(|event| iso(event.at) >= since);
    let employees: serde_json::Map<String, Value> = changed
        .map(|event| {
            let employee = json!({"id": event.object, "action": action(event.kind), "lastChanged": iso(event.at)});
            (event.object.to_owned(), employee)
        })
        .collect();
    body(&json!({"employees": employees}))
}

fn hubspot(events: &[Event], ask: &Ask) -> Answer {
    let before: i64 = parameter(ask, "timeOffset").map_or(i64::MAX, |text| text.parse().expect("milliseconds"));
    let living = latest(events).into_iter().rev().filter(|event| event.kind != Kind::Deleted);
    let rows = living.filter(|event| event.at.timestamp_millis() < before);
    let rows = rows.map(|event| json!({"vid": event.object, "lastmodifieddate": event.at.timestamp_millis()}));
    let (contacts, has_more) = two(rows.collect());
    let mut answer = json!({"has-more": has_more});
    if let Some(last) = contacts.last() {
        answer["time-offset"] = last["lastmodifieddate"].clone();
    }
    answer["contacts"] = json!(contacts);
    body(&answer)
}

fn box_(events: &[Event], ask: &Ask) -> Answer {
    let from = match parameter(ask, "stream_position").as_deref() {
        Some("now") => events.len(),
        position => position.map_or(0, |text| text.parse().expect("a position")),
    };
    let rows = events.iter().skip(from).map(|event| {
        json!({"event_id": format!("e-{}", event.number), "event_type": format!("ITEM_{}", word(event.kind).to_uppercase()),
               "created_at": event.at.to_rfc3339(), "source": {"id": event.object, "version": event.number}})
    });
    let (entries, _) = two(rows.collect());
    body(&json!({"chunk_size": entries.len(), "next_stream_position": from + entries.len(), "entries": entries}))
}

fn egnyte(events: &[Event], ask: &Ask) -> Answer {
    let Some(after) = number(ask, "id") else { return Answer::status(400) };
    let rows = events.iter().filter(|event| 101 + event.number > after).map(|event| {
        json!({"id": 101 + event.number, "action": word(event.kind), "timestamp": event.at.to_rfc3339(),
               "data": {"target_id": event.object, "version": event.number}})
    });
    let (rows, _) = two(rows.collect());
    let Some(last) = rows.last() else { return Answer::status(204) };
    body(&json!({"count": rows.len(), "latest_id": last["id"], "oldest_id": 101, "events": rows}))
}

/// What is told of each object, in its order, when all of it happened since the last poll.
fn expected(shows: Shows, happened: &[(Kind, &'static str)], known: &[&str]) -> BTreeMap<String, Vec<Kind>> {
    let mut told: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    for (kind, object) in happened {
        let of_object = told.entry((*object).to_owned()).or_default();
        if shows == Shows::Events {
            of_object.push(*kind);
            continue;
        }
        // one look at what is there: it is new or another version, or gone
        *of_object = match kind {
            Kind::Deleted if shows == Shows::Living => Vec::new(),
            Kind::Deleted => vec![Kind::Deleted],
            _ if known.contains(object) => vec![Kind::Updated],
            _ => vec![Kind::Created],
        };
    }
    told.retain(|_, kinds| !kinds.is_empty());
    told
}

#[test]
fn each_named_form_is_read_event_by_event() {
    use Kind::{Created, Deleted, Updated};
    for Form { provider, shows, answer, resource } in FORMS {
        // a clock of its own, so that no two events have the same second
        let begun = Utc::now() - TimeDelta::hours(3);
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let happens = |what: &[(Kind, &'static str)]| {
            let mut events = events.lock().unwrap();
            for (kind, object) in what {
                let number = events.len();
                let at = begun + TimeDelta::minutes(i64::try_from(number).expect("a number"));
                events.push(Event { number, kind: *kind, object, at });
            }
        };
        let shown = Arc::clone(&events);
        let server = Server::start(move |ask| {
            let events = shown.lock().unwrap();
            let now = events.last().map_or(begun, |event| event.at + TimeDelta::seconds(30));
            answer(&events, ask).header("Date", now.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        });
        let receiver = Receiver::start();
        let resource = format!("url: /changes{resource}");
        let polls = Polls::new(&[Instance::new("it", &server.url(), &receiver.url("it")).resource(&resource).yaml()]);
        let told = || {
            let before = receiver.delivered("it").len();
            let row = polls.poll();
            assert!(!row.failed(), "{provider}: {row:?}");
            let mut told: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
            for event in receiver.delivered("it").split_off(before) {
                told.entry(event.object).or_default().push(event.kind);
            }
            told
        };
        happens(&[(Created, "old"), (Updated, "old"), (Created, "older")]);
        assert_eq!(told(), BTreeMap::new(), "{provider}: what was there before stays silent");
        let first = [(Created, "a"), (Updated, "a"), (Created, "b"), (Updated, "old"), (Created, "c")];
        happens(&first);
        assert_eq!(told(), expected(shows, &first, &["old", "older"]), "{provider}");
        assert_eq!(told(), BTreeMap::new(), "{provider}: once");
        let second = [(Deleted, "a"), (Updated, "older"), (Updated, "b"), (Created, "d")];
        happens(&second);
        assert_eq!(told(), expected(shows, &second, &["old", "older", "a", "b", "c"]), "{provider}");
        assert_eq!(told(), BTreeMap::new(), "{provider}: once");
    }
}
