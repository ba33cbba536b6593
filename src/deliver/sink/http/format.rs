//! How events are written: CloudEvents 1.0 in structured or batched JSON, or the body that SAP Open Connectors sends. Pure.

use std::borrow::{Borrow, Cow};
use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;

use super::nulls;
use crate::api::identity::{self, InstanceRef};
use crate::deliver::sink::BatchLimit;
use crate::detect::event::{Event, EventId, Kind, MAX_DATA};
use crate::plan::{Batch, EventFormat, PollPlan};

/// Events of one OpenConnectors request, as many as Open Connectors sends for polled resources.
const OPEN_CONNECTORS_BATCH: usize = 10;
/// Bytes that an event's attributes usually take in addition to the record.
const METADATA: usize = 512;

/// What is the same for all events of an instance.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Namespace of the instance.
    pub namespace: &'a str,
    /// Name of the instance.
    pub name: &'a str,
    /// The name that people gave it, where that is another one.
    pub title: Option<&'a str>,
    /// Catalogue key.
    pub connector: Option<&'a str>,
    /// Tags of the instance.
    pub tags: &'a [String],
    /// Identity of the instance.
    pub uid: &'a str,
    /// Name of the cluster, where events of several meet.
    pub cluster: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    /// The envelope of an instance with this stored identity.
    pub fn of(plan: &'a PollPlan, uid: &'a str, cluster: Option<&'a str>) -> Self {
        let InstanceRef { namespace, name } = &plan.instance;
        let title = plan.title.as_deref();
        Self { namespace, name, title, connector: plan.connector.as_deref(), tags: &plan.tags, uid, cluster }
    }

    /// Where events come from, as CloudEvents has it.
    fn source(&self) -> String {
        let Self { namespace, name, cluster, .. } = self;
        let cluster = cluster.map(|cluster| format!("/clusters/{cluster}")).unwrap_or_default();
        format!("{cluster}/namespaces/{namespace}/connectorinstances/{name}")
    }
}

/// How much one request carries: one event; for OpenConnectors up to ten as far as their records fit one event's bound; for a batch
/// of CloudEvents what the callback takes. Each event of an array is followed by one byte, and one stands before them.
pub fn batch_limit(format: EventFormat) -> BatchLimit {
    match format {
        EventFormat::CloudEvents => BatchLimit { events: 1, bytes: MAX_DATA },
        EventFormat::CloudEventsBatch(Batch { max_events, max_bytes }) => {
            BatchLimit { events: max_events, bytes: max_bytes.saturating_sub(1) }
        }
        EventFormat::OpenConnectors => BatchLimit { events: OPEN_CONNECTORS_BATCH, bytes: MAX_DATA },
    }
}

/// How much of [`batch_limit`] an event takes: its record for OpenConnectors, otherwise all that is written of it and the byte after it.
pub fn size(format: EventFormat, envelope: &Envelope<'_>, event: &Event) -> usize {
    match format {
        EventFormat::CloudEvents | EventFormat::OpenConnectors => event.data_len(),
        EventFormat::CloudEventsBatch(_) => {
            let mut written = Counter(1);
            write_json(&mut written, &CloudEvent::of(envelope, event));
            written.0
        }
    }
}

/// Writes events in a format. Structured CloudEvents take one; several are written as a batch.
pub fn encode<E: Borrow<Event>>(format: EventFormat, envelope: &Envelope<'_>, events: &[E]) -> Payload {
    match (format, events) {
        (EventFormat::CloudEvents, [event]) => encode_cloud_event(envelope, event.borrow()),
        (EventFormat::CloudEvents | EventFormat::CloudEventsBatch(_), events) => encode_cloud_events(envelope, events),
        (EventFormat::OpenConnectors, events) => encode_open_connectors(envelope, events),
    }
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
    subject: Cow<'a, str>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<&'static str>,
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connector: Option<&'a str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    tags: String,
    polltime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl<'a> CloudEvent<'a> {
    /// The record is in `data` byte for byte.
    fn of(envelope: &Envelope<'a>, event: &'a Event) -> Self {
        let truncated = event.is_truncated();
        Self {
            specversion: "1.0",
            id: event.id.as_str(),
            source: envelope.source(),
            kind: format!("dev.pollinator.record.{}", event.kind.as_str()),
            subject: text(&event.object_id),
            time: event.version_date.unwrap_or(event.detected_at).to_rfc3339_opts(SecondsFormat::AutoSi, true),
            datacontenttype: (!truncated).then_some("application/json"),
            resource: &event.resource,
            parent: event.parent.as_deref().map(text),
            connector: envelope.connector,
            tags: envelope.tags.join(","),
            polltime: event.detected_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            changes: event.changes.as_deref().map(text),
            partial: event.partial,
            truncated,
            data: (!truncated).then_some(&*event.data),
        }
    }
}

/// A value of an attribute, in which CloudEvents 1.0 (type String) allows neither control characters nor the 66 code points that Unicode keeps
/// for itself: such ones are percent-encoded.
fn text(value: &str) -> Cow<'_, str> {
    let is_refused = |c: char| c.is_control() || matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    if !value.contains(is_refused) {
        return Cow::Borrowed(value);
    }
    let mut clean = String::with_capacity(value.len() + 8);
    for c in value.chars() {
        if is_refused(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing into a text does not fail.
                let _ = write!(clean, "%{byte:02X}");
            }
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// Writes one event as CloudEvents 1.0 structured JSON.
pub fn encode_cloud_event(envelope: &Envelope<'_>, event: &Event) -> Payload {
    Payload {
        id: event.id.to_string(),
        content_type: "application/cloudevents+json; charset=utf-8",
        body: json(&CloudEvent::of(envelope, event), event.data_len().min(MAX_DATA) + METADATA),
    }
}

/// Writes events as a batch of CloudEvents (JSON event format 1.0 §4): an array of structured events, in their order.
pub fn encode_cloud_events<E: Borrow<Event>>(envelope: &Envelope<'_>, events: &[E]) -> Payload {
    let size = events.iter().map(|event| event.borrow().data_len().min(MAX_DATA) + METADATA).sum();
    let mut body = Vec::with_capacity(size);
    body.push(b'[');
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_json(&mut body, &CloudEvent::of(envelope, event.borrow()));
    }
    body.push(b']');
    Payload {
        id: request_id(events).to_string(),
        content_type: "application/cloudevents-batch+json; charset=utf-8",
        body: body.into(),
    }
}

/// The id of a request with these events: a single one's own.
fn request_id<E: Borrow<Event>>(events: &[E]) -> EventId {
    match events {
        [event] => event.borrow().id.clone(),
        events => EventId::of_batch(events.iter().map(|event| event.borrow().id.as_str())),
    }
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
    instance_id: u64,
    #[serde(rename = "instance_id")]
    instance_id_again: u64,
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
    /// Not in Open Connectors: without it, objects of several lists could not be distinguished.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
    event_type: &'static str,
    element_key: &'a str,
    date: String,
    poll_date: String,
    /// Not in Open Connectors: without it, events repeated in another batch could not be recognised.
    event_id: &'a str,
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
    Sent(Cow<'a, RawValue>),
    Truncated { id: &'a str, truncated: bool },
}

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        for (name, text) in [("instance_id", self.instance_id), ("objectType", self.resource), ("eventId", self.event_id)] {
            // A resource may have any name. Its records win: a name that came twice would be refused by strict parsers.
            if name != self.resource {
                map.serialize_entry(name, text)?;
            }
        }
        if self.resource != "events" {
            map.serialize_entry("events", self.events)?;
        }
        map.serialize_entry(self.resource, &self.records)?;
        map.end()
    }
}

/// Writes events of one resource as Open Connectors does; `raw.<resource>` holds just their records, in the same order.
pub fn encode_open_connectors<E: Borrow<Event>>(envelope: &Envelope<'_>, events: &[E]) -> Payload {
    let events: Vec<&Event> = events.iter().map(Borrow::borrow).collect();
    let id = request_id(&events);
    let element_key = envelope.connector.unwrap_or_default();
    let seconds = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let old: Vec<_> = events
        .iter()
        .map(|event| OldEvent {
            object_type: &event.resource,
            object_id: &event.object_id,
            parent: event.parent.as_deref(),
            event_type: match event.kind {
                Kind::Created => "CREATED",
                Kind::Updated => "UPDATED",
                Kind::Deleted => "DELETED",
            },
            element_key,
            date: seconds(event.version_date.unwrap_or(event.detected_at)),
            poll_date: seconds(event.detected_at),
            event_id: event.id.as_str(),
        })
        .collect();
    let records = events
        .iter()
        .map(|event| {
            if event.is_truncated() {
                OldRecord::Truncated { id: &event.object_id, truncated: true }
            } else {
                OldRecord::Sent(nulls::without(&event.data))
            }
        })
        .collect();
    let resource = events.first().map_or("", |event| &*event.resource);
    let number = identity::number(envelope.uid);
    let body = Notification {
        message: Message {
            event_id: id.as_str(),
            element_key,
            instance_id: number,
            instance_id_again: number,
            instance_name: envelope.title.unwrap_or(envelope.name),
            instance_tags: envelope.tags,
            events: &old,
            raw: Raw { instance_id: &number.to_string(), resource, event_id: id.as_str(), events: &old, records },
        },
    };
    let size = events.iter().map(|event| event.data_len().min(MAX_DATA) + 2 * METADATA).sum();
    Payload { body: json(&body, size), id: id.to_string(), content_type: "application/json" }
}

fn json(body: &impl Serialize, size: usize) -> Bytes {
    let mut json = Vec::with_capacity(size);
    write_json(&mut json, body);
    json.into()
}

#[allow(clippy::expect_used)] // strings, numbers and checked JSON under string keys always serialise, and memory takes them
fn write_json(to: &mut impl io::Write, body: &impl Serialize) {
    serde_json::to_writer(to, body).expect("an event is JSON");
}

/// Counts what is written to it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::sample::event;
    use cloudevents::AttributesReader as _;

    /// Numbers beyond 2^53, trailing zeros, escapes and spaces: all of them are lost by reading and writing JSON again.
    const RECORD: &str = r#"{"id": 9007199254740993, "price":1.10, "big":1e400, "name":"\u00e9\/", "id": 2 }"#;

    fn envelope<'a>(tags: &'a [String], connector: Option<&'a str>) -> Envelope<'a> {
        Envelope {
            namespace: "crm",
            name: "keap",
            title: None,
            connector,
            tags,
            uid: "9d1c0c3e-6a57-4f5e-8a5e-2f2c4b1f7a10",
            cluster: None,
        }
    }

    fn text(payload: &Payload) -> &str {
        std::str::from_utf8(&payload.body).unwrap()
    }

    /// The content of `data`, byte for byte.
    fn data_of(payload: &Payload) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Body {
            data: Option<Box<RawValue>>,
        }
        serde_json::from_slice::<Body>(&payload.body).unwrap().data.map(|data| data.get().to_owned())
    }

    #[test]
    fn a_cloud_event_is_written_like_this() {
        let payload = encode_cloud_event(&envelope(&[], Some("infusionsoftrest")), &event("42", Kind::Created, r#"{"id":42}"#));
        insta::assert_snapshot!(
            text(&payload),
            @r#"{"specversion":"1.0","id":"igsofogm4w5duq7mjgcq6exgem6qsqsi","source":"/namespaces/crm/connectorinstances/keap","type":"dev.pollinator.record.created","subject":"42","time":"2026-11-24T10:22:45.032Z","datacontenttype":"application/json","resource":"contacts","connector":"infusionsoftrest","polltime":"2026-11-24T10:23:35.032Z","data":{"id":42}}"#
        );
        assert_eq!(payload.content_type, "application/cloudevents+json; charset=utf-8");
    }

    #[test]
    fn the_official_library_reads_it() {
        let sent = event("42/ä \"", Kind::Deleted, r#"{"id":"42"}"#);
        let payload = encode_cloud_event(&envelope(&[], Some("keap")), &sent);
        let read: cloudevents::Event = serde_json::from_slice(&payload.body).unwrap();
        assert_eq!(read.specversion(), cloudevents::event::SpecVersion::V10);
        assert_eq!(read.id(), sent.id.as_str());
        assert_eq!(read.source(), "/namespaces/crm/connectorinstances/keap");
        assert_eq!(read.ty(), "dev.pollinator.record.deleted");
        assert_eq!(read.subject(), Some("42/ä \""));
        assert_eq!(read.time().map(chrono::DateTime::timestamp_millis), sent.version_date.map(|date| date.timestamp_millis()));
        assert_eq!(read.datacontenttype(), Some("application/json"));
        for (name, value) in [("resource", "contacts"), ("connector", "keap"), ("polltime", "2026-11-24T10:23:35.032Z")] {
            assert_eq!(read.extension(name).map(ToString::to_string).as_deref(), Some(value), "{name}");
        }
        assert!(read.extension("truncated").is_none());
        let data: serde_json::Value = read.data().unwrap().clone().try_into().unwrap();
        assert_eq!(data, serde_json::json!({"id": "42"}));
    }

    #[test]
    fn an_attribute_has_no_character_that_cloud_events_forbids() {
        for (id, subject) in [
            ("a\tb\r\n", "a%09b%0D%0A"),
            ("\u{0}\u{7f}\u{85}", "%00%7F%C2%85"),
            ("\u{fffe}\u{1ffff}\u{fdd0}", "%EF%BF%BE%F0%9F%BF%BF%EF%B7%90"),
            ("100% \u{e000} \u{fffd} 😀", "100% \u{e000} \u{fffd} 😀"),
        ] {
            let payload = encode_cloud_event(&envelope(&[], None), &event(id, Kind::Updated, "{}"));
            let read: cloudevents::Event = serde_json::from_slice(&payload.body).unwrap();
            assert_eq!(read.subject(), Some(subject), "{id:?}");
        }
    }

    #[test]
    fn the_official_library_reads_a_batch() {
        let sent = [event("1", Kind::Created, r#"{"id": 1}"#), event("2/ä \"", Kind::Deleted, r#"{"id":"2"}"#)];
        let payload = encode_cloud_events(&envelope(&[], Some("keap")), &sent);
        assert_eq!(payload.content_type, "application/cloudevents-batch+json; charset=utf-8");
        assert_eq!(payload.id, EventId::of_batch(sent.iter().map(|event| event.id.as_str())).as_str());
        let read: Vec<cloudevents::Event> = serde_json::from_slice(&payload.body).unwrap();
        let ids: Vec<_> = read.iter().map(|event| (event.id(), event.subject())).collect();
        assert_eq!(ids, [(sent[0].id.as_str(), Some("1")), (sent[1].id.as_str(), Some("2/ä \""))]);
        // Each is written as it would be alone.
        let alone: Vec<_> = sent.iter().map(|event| encode_cloud_event(&envelope(&[], Some("keap")), event)).collect();
        assert_eq!(text(&payload), format!("[{},{}]", text(&alone[0]), text(&alone[1])));
    }

    proptest::proptest! {
        /// The sum by which requests are filled is the length of what is sent.
        #[test]
        fn sizes_add_up_to_the_length_of_the_body(
            objects in proptest::collection::vec((".{0,12}", 0_usize..2_000, proptest::bool::ANY), 1..12),
        ) {
            let format = EventFormat::CloudEventsBatch(Batch { max_events: 64, max_bytes: 4_096 });
            let events: Vec<_> = objects
                .iter()
                .map(|(id, len, is_cut)| {
                    let len = if *is_cut { MAX_DATA + len } else { *len };
                    event(id, Kind::Updated, &format!(r#""{}""#, "x".repeat(len)))
                })
                .collect();
            let sizes: usize = events.iter().map(|event| size(format, &envelope(&[], Some("keap")), event)).sum();
            let body = encode(format, &envelope(&[], Some("keap")), &events).body;
            proptest::prop_assert_eq!(sizes, body.len() - 1);
            proptest::prop_assert_eq!(batch_limit(format).bytes, 4_095);
        }
    }

    #[test]
    fn tags_and_the_name_of_the_cluster_are_told() {
        let tags = ["Docs".to_owned(), "EU".to_owned()];
        let envelope = Envelope { cluster: Some("prod-eu"), ..envelope(&tags, None) };
        let payload = encode_cloud_event(&envelope, &event("1", Kind::Updated, "{}"));
        let read: cloudevents::Event = serde_json::from_slice(&payload.body).unwrap();
        assert_eq!(read.source(), "/clusters/prod-eu/namespaces/crm/connectorinstances/keap");
        assert_eq!(read.extension("tags").map(ToString::to_string).as_deref(), Some("Docs,EU"));
    }

    #[test]
    fn a_record_stays_as_it_was_sent() {
        let sent = event("1", Kind::Updated, RECORD);
        let batch = encode_cloud_events(&envelope(&[], None), std::slice::from_ref(&sent));
        assert!(text(&batch).ends_with(&format!(r#","data":{RECORD}}}]"#)), "{}", text(&batch));
        assert_eq!(data_of(&encode_cloud_event(&envelope(&[], None), &sent)).as_deref(), Some(RECORD));
        let old = encode_open_connectors(&envelope(&[], None), &[sent]);
        assert!(text(&old).ends_with(&format!(r#""contacts":[{RECORD}]}}}}}}"#)), "{}", text(&old));
    }

    #[test]
    fn a_record_above_the_bound_is_announced_without_data() {
        let record = |len: usize| format!(r#""{}""#, "x".repeat(len - 2));
        let encode = |len| encode_cloud_event(&envelope(&[], None), &event("1", Kind::Updated, &record(len)));
        let whole = encode(MAX_DATA);
        assert_eq!(data_of(&whole).map(|data| data.len()), Some(MAX_DATA));
        assert!(!text(&whole).contains("truncated"));
        let cut = encode(MAX_DATA + 1);
        assert_eq!(data_of(&cut), None);
        let read: cloudevents::Event = serde_json::from_slice(&cut.body).unwrap();
        assert_eq!(read.extension("truncated").map(ToString::to_string).as_deref(), Some("true"));
        assert_eq!((read.subject(), read.datacontenttype()), (Some("1"), None));
        let old = encode_open_connectors(&envelope(&[], None), &[event("1", Kind::Updated, &record(MAX_DATA + 1))]);
        assert!(text(&old).ends_with(r#""contacts":[{"id":"1","truncated":true}]}}}"#), "{}", text(&old));
    }

    #[test]
    fn a_record_without_a_date_bears_the_time_of_the_poll() {
        let mut undated = event("1", Kind::Updated, "{}");
        undated.version_date = None;
        let read: cloudevents::Event =
            serde_json::from_slice(&encode_cloud_event(&envelope(&[], None), &undated).body).unwrap();
        assert_eq!(read.time().map(chrono::DateTime::timestamp_millis), Some(undated.detected_at.timestamp_millis()));
    }

    #[test]
    fn open_connectors_is_written_like_this() {
        let tags = ["Docs".to_owned(), "EU".to_owned()];
        let events = [
            event("42", Kind::Created, r#"{"id":42,"name":"Ada"}"#),
            event("lead_BW9v", Kind::Updated, r#"{"id":"lead_BW9v"}"#),
            event("44", Kind::Deleted, r#"{"id":44}"#),
        ];
        let payload = encode_open_connectors(&envelope(&tags, Some("infusionsoftrest")), &events);
        // One line a member, otherwise exactly the bytes.
        insta::assert_snapshot!(text(&payload).replace(",\"", ",\n\""), @r#"
        {"message":{"eventId":"h25qi65b7lwnj6t2hg56jdfdts2latt3",
        "elementKey":"infusionsoftrest",
        "instanceId":7522386230768514,
        "instance_id":7522386230768514,
        "instanceName":"keap",
        "instanceTags":["Docs",
        "EU"],
        "events":[{"objectType":"contacts",
        "objectId":"42",
        "eventType":"CREATED",
        "elementKey":"infusionsoftrest",
        "date":"2026-11-24T10:22:45Z",
        "pollDate":"2026-11-24T10:23:35Z",
        "eventId":"igsofogm4w5duq7mjgcq6exgem6qsqsi"},{"objectType":"contacts",
        "objectId":"lead_BW9v",
        "eventType":"UPDATED",
        "elementKey":"infusionsoftrest",
        "date":"2026-11-24T10:22:45Z",
        "pollDate":"2026-11-24T10:23:35Z",
        "eventId":"war2kzssijhreh7sg4iylzhyi7bkag54"},{"objectType":"contacts",
        "objectId":"44",
        "eventType":"DELETED",
        "elementKey":"infusionsoftrest",
        "date":"2026-11-24T10:22:45Z",
        "pollDate":"2026-11-24T10:23:35Z",
        "eventId":"e3q72po2trsvl6wezmuapukbqtvqbnow"}],
        "raw":{"instance_id":"7522386230768514",
        "objectType":"contacts",
        "eventId":"h25qi65b7lwnj6t2hg56jdfdts2latt3",
        "events":[{"objectType":"contacts",
        "objectId":"42",
        "eventType":"CREATED",
        "elementKey":"infusionsoftrest",
        "date":"2026-11-24T10:22:45Z",
        "pollDate":"2026-11-24T10:23:35Z",
        "eventId":"igsofogm4w5duq7mjgcq6exgem6qsqsi"},{"objectType":"contacts",
        "objectId":"lead_BW9v",
        "eventType":"UPDATED",
        "elementKey":"infusionsoftrest",
        "date":"2026-11-24T10:22:45Z",
        "pollDate":"2026-11-24T10:23:35Z",
        "eventId":"war2kzssijhreh7sg4iylzhyi7bkag54"},{"objectType":"contacts",
        "objectId":"44",
        "eventType":"DELETED",
        "elementKey":"infusionsoftrest",
        "date":"2026-11-24T10:22:45Z",
        "pollDate":"2026-11-24T10:23:35Z",
        "eventId":"e3q72po2trsvl6wezmuapukbqtvqbnow"}],
        "contacts":[{"id":42,
        "name":"Ada"},{"id":"lead_BW9v"},{"id":44}]}}}
        "#);
        assert_eq!(payload.content_type, "application/json");
        assert_eq!(payload.id, EventId::of_batch(events.iter().map(|event| event.id.as_str())).as_str());
    }

    #[test]
    fn no_name_stands_twice_in_the_old_body() {
        for name in ["events", "eventId", "objectType", "instance_id", "contacts"] {
            let mut sent = event("1", Kind::Created, r#"{"n":1}"#);
            sent.resource = name.into();
            let payload = encode_open_connectors(&envelope(&[], None), &[sent]);
            let read: serde_json::Value = serde_json::from_slice(&payload.body).unwrap();
            assert_eq!(read["message"]["raw"][name], serde_json::json!([{"n": 1}]));
            // A name that came twice would be lost on the way.
            assert_eq!(read.to_string().len(), payload.body.len(), "{}", text(&payload));
        }
    }

    #[test]
    fn a_single_event_keeps_its_own_id_in_both_forms() {
        let one = event("42", Kind::Created, "{}");
        assert_eq!(encode_cloud_event(&envelope(&[], None), &one).id, one.id.as_str());
        assert_eq!(encode_cloud_events(&envelope(&[], None), std::slice::from_ref(&one)).id, one.id.as_str());
        assert_eq!(encode_open_connectors(&envelope(&[], None), std::slice::from_ref(&one)).id, one.id.as_str());
    }
}
