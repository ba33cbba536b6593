//! How events are written: CloudEvents 1.0 in structured JSON, or the body that SAP Open Connectors sends. Pure.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;

use super::event::{Event, EventId, Kind};

/// A record above this many bytes is announced without its data, and says so.
pub const MAX_DATA: usize = 256 * 1024;

/// What is the same for all events of an instance.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Namespace of the instance.
    pub namespace: &'a str,
    /// Name of the instance.
    pub name: &'a str,
    /// Catalogue key.
    pub connector: Option<&'a str>,
    /// Tags of the instance.
    pub tags: &'a [String],
    /// Identity of the instance.
    pub uid: &'a str,
}

/// A body with its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The same for every try of the same request.
    pub id: String,
    /// Media type.
    pub content_type: &'static str,
    /// Exactly the bytes that are signed and sent.
    pub body: Bytes,
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connector: Option<&'a str>,
    polltime: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

/// Writes one event as CloudEvents 1.0 structured JSON; the record stands in `data` byte for byte.
pub fn encode_cloud_event(envelope: &Envelope<'_>, event: &Event) -> Payload {
    let truncated = event.data_len() > MAX_DATA;
    let body = CloudEvent {
        specversion: "1.0",
        id: event.id.as_str(),
        source: format!("/namespaces/{}/connectorinstances/{}", envelope.namespace, envelope.name),
        kind: format!("dev.pollinator.record.{}", event.kind.as_str()),
        subject: &event.object_id,
        time: event.version_date.unwrap_or(event.detected_at).to_rfc3339_opts(SecondsFormat::AutoSi, true),
        datacontenttype: "application/json",
        resource: &event.resource,
        connector: envelope.connector,
        polltime: event.detected_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        truncated,
        data: (!truncated).then_some(&*event.data),
    };
    Payload { id: event.id.to_string(), content_type: "application/cloudevents+json; charset=utf-8", body: json(&body) }
}

#[derive(Serialize)]
struct Notification<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    event_id: &'a str,
    element_key: &'a str,
    instance_id: &'a str,
    #[serde(rename = "instance_id")]
    instance_id_again: &'a str,
    instance_name: &'a str,
    instance_tags: &'a [String],
    events: &'a [OldEvent<'a>],
    raw: Raw<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OldEvent<'a> {
    object_type: &'a str,
    object_id: &'a str,
    event_type: &'static str,
    element_key: &'a str,
    date: String,
    poll_date: String,
}

/// Written by hand, since one of its keys is the resource's name.
struct Raw<'a> {
    instance_id: &'a str,
    resource: &'a str,
    event_id: &'a str,
    events: &'a [OldEvent<'a>],
    records: Vec<OldRecord<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OldRecord<'a> {
    Sent(&'a RawValue),
    Truncated { id: &'a str, truncated: bool },
}

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(5))?;
        map.serialize_entry("instance_id", self.instance_id)?;
        map.serialize_entry("objectType", self.resource)?;
        map.serialize_entry("eventId", self.event_id)?;
        map.serialize_entry("events", self.events)?;
        map.serialize_entry(self.resource, &self.records)?;
        map.end()
    }
}

/// Writes events of one resource as Open Connectors does; `raw.<resource>` holds just their records, in the same order.
pub fn encode_open_connectors(envelope: &Envelope<'_>, events: &[Event]) -> Payload {
    let id = match events {
        [event] => event.id.clone(),
        events => EventId::of_batch(events.iter().map(|event| &event.id)),
    };
    let element_key = envelope.connector.unwrap_or_default();
    let seconds = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let old: Vec<_> = events
        .iter()
        .map(|event| OldEvent {
            object_type: &event.resource,
            object_id: &event.object_id,
            event_type: match event.kind {
                Kind::Created => "CREATED",
                Kind::Updated => "UPDATED",
                Kind::Deleted => "DELETED",
            },
            element_key,
            date: seconds(event.version_date.unwrap_or(event.detected_at)),
            poll_date: seconds(event.detected_at),
        })
        .collect();
    let records = events
        .iter()
        .map(|event| match event.data_len() {
            0..=MAX_DATA => OldRecord::Sent(&event.data),
            _ => OldRecord::Truncated { id: &event.object_id, truncated: true },
        })
        .collect();
    let resource = events.first().map_or("", |event| &*event.resource);
    let body = Notification {
        message: Message {
            event_id: id.as_str(),
            element_key,
            instance_id: envelope.uid,
            instance_id_again: envelope.uid,
            instance_name: envelope.name,
            instance_tags: envelope.tags,
            events: &old,
            raw: Raw { instance_id: envelope.uid, resource, event_id: id.as_str(), events: &old, records },
        },
    };
    Payload { body: json(&body), id: id.to_string(), content_type: "application/json" }
}

#[allow(clippy::expect_used)] // strings, numbers and checked JSON under string keys always serialise
fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("an event is JSON").into()
}
