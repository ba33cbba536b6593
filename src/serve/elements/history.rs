//! What happened to an instance lately, as this process has seen it: its events, and one record for each resource that is polled.
//!
//! Open Connectors keeps its history; here it is in the memory of the process that runs the instance, and ends with it.

use std::collections::HashSet;

use axum::Json;
use axum::extract::RawQuery;
use axum::http::header::WARNING;
use axum::http::{HeaderMap, HeaderValue};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::change::place;
use super::deliveries::outcome;
use super::failure::Failure;
use super::instances::At;
use super::paging::page;
use super::{Caller, shown};
use crate::api::identity::number;
use crate::api::instance::ConnectorInstance;
use crate::detect::event::Kind;
use crate::instances::number_of;
use crate::observe::journal::{Delivery, Entry, PollEnd, What};
use crate::observe::metrics::EventOutcome;

/// What says that the list is not all that happened.
const NOT_HERE: &str = r#"299 - "this replica has not polled the instance since it started; another one may have""#;

/// An answer that may say that another process knows more.
type Seen = (HeaderMap, Json<Value>);

/// `GET /instances/{id}/events`.
pub async fn events(caller: Caller, At(id): At<u64>, RawQuery(query): RawQuery) -> Result<Seen, Failure> {
    let instance = caller.find(id).await?;
    events_of(&caller, &instance, query.as_deref())
}

/// `GET /instances/events`.
pub async fn own_events(caller: Caller, RawQuery(query): RawQuery) -> Result<Seen, Failure> {
    let instance = caller.own().await?;
    events_of(&caller, &instance, query.as_deref())
}

/// `GET /instances/{id}/events/{event}`.
pub async fn event(caller: Caller, At((id, event)): At<(u64, String)>) -> Result<Json<Value>, Failure> {
    let instance = caller.find(id).await?;
    event_of(&caller, &instance, &event)
}

/// `GET /instances/events/{event}`.
pub async fn own_event(caller: Caller, At(event): At<String>) -> Result<Json<Value>, Failure> {
    let instance = caller.own().await?;
    event_of(&caller, &instance, &event)
}

/// `GET /instances/event-poller-records`: of all instances, or of the one of the token.
pub async fn records(caller: Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let instances = if caller.element.is_some() { vec![caller.own().await?] } else { caller.all().await? };
    let records = instances.iter().flat_map(|instance| {
        let entries = caller.realm.journal.last(&place(instance)).unwrap_or_default();
        records_of(instance, &entries)
    });
    Ok(Json(Value::Array(page(query.as_deref(), records.collect())?)))
}

fn events_of(caller: &Caller, instance: &ConnectorInstance, query: Option<&str>) -> Result<Seen, Failure> {
    let mut headers = HeaderMap::new();
    let entries = caller.realm.journal.last(&place(instance)).unwrap_or_else(|| {
        headers.insert(WARNING, HeaderValue::from_static(NOT_HERE));
        Vec::new()
    });
    Ok((headers, Json(Value::Array(page(query, events_in(&entries))?))))
}

fn event_of(caller: &Caller, instance: &ConnectorInstance, event: &str) -> Result<Json<Value>, Failure> {
    let entries = caller.realm.journal.last(&place(instance)).unwrap_or_default();
    let found = events_in(&entries).into_iter().find(|one| one["id"] == event);
    found.map(Json).ok_or_else(|| {
        Failure::Unknown(
            "this replica has no event of this id among its last; GET the events of the instance lists them".to_owned(),
        )
    })
}

/// The events among the entries, the latest first, each with all its tries.
fn events_in(entries: &[Entry]) -> Vec<Value> {
    let tries = || entries.iter().filter_map(|entry| delivery(entry).map(|delivery| (entry, delivery)));
    let mut met = HashSet::new();
    let latest: Vec<_> = tries().filter(|(_, delivery)| met.insert(&delivery.event)).collect();
    let event = |(entry, last): (&Entry, &Delivery)| {
        let own = tries().filter(|(_, delivery)| delivery.event == last.event);
        let notified: Vec<_> = own
            .map(|(entry, delivery)| {
                json!({
                    "date": time(entry.at), "attempt": delivery.attempt, "answer": delivery.answer.to_string(),
                    "status": outcome(delivery.outcome), "milliseconds": delivery.took_ms,
                })
            })
            .collect();
        json!({
            "id": last.event,
            "eventDate": time(entry.at),
            "status": if last.outcome == EventOutcome::Accepted { "NOTIFIED" } else { "DISPATCHED" },
            "providerData": object(&entry.resource, &last.object, last.kind).to_string(),
            "notifiedData": notified,
        })
    };
    latest.into_iter().map(event).collect()
}

fn delivery(entry: &Entry) -> Option<&Delivery> {
    match &entry.what {
        What::Delivery(delivery) => Some(delivery),
        What::Polls { .. } => None,
    }
}

/// What an event is about, in the words of the events of Open Connectors. The record is not kept.
pub fn object(resource: &str, id: &str, kind: Kind) -> Value {
    json!({"objectType": resource, "objectId": id, "eventType": kind.as_str().to_ascii_uppercase()})
}

/// One record for each resource that has been polled, now or before.
fn records_of(instance: &ConnectorInstance, entries: &[Entry]) -> Vec<Value> {
    let Some(id) = number_of(instance) else { return Vec::new() };
    let resources = instance.status.iter().flat_map(|status| &status.resources);
    let record = |resource: &crate::api::status::ResourceStatus| {
        let name = &resource.name;
        let mut record = Map::new();
        let mut set = |field: &str, value: Value| drop(record.insert(field.to_owned(), value));
        set("id", number(&format!("{id}/{name}")).into());
        set("instanceId", id.into());
        set("instanceName", shown::name(instance).into());
        set("objectName", name.as_str().into());
        set("lastPollDate", json!(resource.last_successful_poll_time));
        set("nextPollDate", json!(resource.next_poll_time));
        let polls = entries.iter().filter(|entry| *entry.resource == **name).find_map(|entry| match entry.what {
            What::Polls { last, count, since } => Some((entry.at, last, count, since)),
            What::Delivery(_) => None,
        });
        if let Some((at, last, count, since)) = polls {
            let reason = match last.end {
                PollEnd::Failed(reason) => Some(reason.as_str()),
                PollEnd::Read | PollEnd::NotModified | PollEnd::CallbackClosed => None,
            };
            set(
                "lastPoll",
                json!({
                    "date": time(at), "status": last.end.as_str(), "reason": reason, "pages": last.pages, "records": last.records,
                    "accepted": last.accepted, "failed": last.failed, "milliseconds": last.took_ms,
                }),
            );
            set("alikePolls", json!({"count": count, "since": time(since)}));
        }
        Value::Object(record)
    };
    resources.map(record).collect()
}

/// RFC 3339 with milliseconds, as Open Connectors has its dates.
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::conditions::Reason;
    use crate::detect::event::{EventId, VersionToken};
    use crate::observe::journal::{Answer, Poll};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn tried(object: &str, attempt: u32, outcome: EventOutcome, second: i64) -> Entry {
        let version = VersionToken { updated_text: None, content: 1 };
        let delivery = Delivery {
            sink: "callback".into(),
            kind: Kind::Updated,
            object: object.into(),
            event: EventId::new("u", "contacts", object, Kind::Updated, &version),
            attempt,
            answer: if outcome == EventOutcome::Accepted { Answer::Accepted } else { Answer::Status(503) },
            outcome,
            took_ms: 7,
        };
        Entry { at: at(second), resource: "contacts".into(), what: What::Delivery(Box::new(delivery)) }
    }

    #[test]
    fn an_event_is_listed_once_with_its_tries() {
        let entries = [
            tried("1", 2, EventOutcome::Accepted, 9),
            tried("2", 1, EventOutcome::Failed, 8),
            tried("1", 1, EventOutcome::Failed, 7),
        ];
        let listed = events_in(&entries);
        let shown: Vec<_> =
            listed.iter().map(|event| (&event["status"], event["notifiedData"].as_array().unwrap().len())).collect();
        assert_eq!(shown, [(&json!("NOTIFIED"), 2), (&json!("DISPATCHED"), 1)]);
        assert_eq!(listed[0]["eventDate"], "2027-01-15T08:00:09.000Z");
        let data: Value = serde_json::from_str(listed[0]["providerData"].as_str().unwrap()).unwrap();
        assert_eq!(data, json!({"objectType": "contacts", "objectId": "1", "eventType": "UPDATED"}));
        let first =
            json!({"date": "2027-01-15T08:00:07.000Z", "attempt": 1, "answer": "503", "status": "retry", "milliseconds": 7});
        assert_eq!(listed[0]["notifiedData"][1], first);
    }

    #[test]
    fn each_resource_has_one_record() {
        let spec = json!({"baseUrl": "https://a.example", "callback": {"url": "https://a.example/in"}});
        let mut instance = ConnectorInstance::new("keap", serde_json::from_value(spec).unwrap());
        instance.metadata.uid = Some("u-1".to_owned());
        instance.metadata.labels = Some([(crate::api::identity::NUMBER_LABEL.to_owned(), "42".to_owned())].into());
        instance.status = serde_json::from_value(json!({"resources": [
            {"name": "contacts", "lastSuccessfulPollTime": "2027-01-15T08:00:00Z"}, {"name": "orders"},
        ]}))
        .unwrap();
        let poll = Poll::new(PollEnd::Failed(Reason::RateLimited), [1, 0, 0, 0], Duration::from_millis(12));
        let what = What::Polls { last: poll, count: 3, since: at(1) };
        let entries = [tried("1", 1, EventOutcome::Accepted, 9), Entry { at: at(5), resource: "contacts".into(), what }];
        let records = records_of(&instance, &entries);
        assert_eq!([&records[0]["objectName"], &records[1]["objectName"]], ["contacts", "orders"]);
        assert_eq!([&records[0]["lastPoll"]["status"], &records[0]["lastPoll"]["reason"]], ["failed", "RateLimited"]);
        assert_eq!(records[0]["alikePolls"], json!({"count": 3, "since": "2027-01-15T08:00:01.000Z"}));
        assert!(records[1].get("lastPoll").is_none() && records[0]["id"] != records[1]["id"]);
    }
}
