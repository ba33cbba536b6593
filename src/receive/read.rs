//! What a request carries: CloudEvents in structured or batched JSON, or the body of Open Connectors. Pure.

use std::collections::HashMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::deliver::sink::http::signature::{ELEMENTS_ID, WEBHOOK_ID};
use crate::detect::event::{EventId, Kind};

/// The type of every event of Pollinator begins so.
const TYPE_PREFIX: &str = "dev.pollinator.record.";

/// One event, as it came.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Identity of the request; of a request with one event in `CloudEvents` also of the event.
    pub webhook_id: String,
    /// Identity of the event.
    pub event_id: String,
    /// What happened.
    pub kind: Kind,
    /// Name of the resource.
    pub resource: String,
    /// Id of the object.
    pub object_id: String,
    /// When the record was changed, as the sender wrote it.
    pub time: String,
    /// The record, byte for byte; absent when it was too large to be sent.
    pub data: Option<Box<RawValue>>,
}

/// Why a request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// None of the three forms.
    #[error("the body is neither a CloudEvent in structured JSON, nor a batch of them, nor a notification of Open Connectors")]
    Form,
    /// The content type does not announce the form.
    #[error("content-type does not announce the form of the body")]
    MediaType,
    /// The headers name another request than the body.
    #[error("webhook-id differs from the id in the body, or from the one that a batch of these events has")]
    OtherId,
    /// The events and the records next to them do not belong together.
    #[error("message.raw does not hold one record for each of message.events")]
    Records,
}

#[derive(Deserialize)]
struct Form {
    specversion: Option<String>,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct CloudEvent {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: String,
    resource: String,
    #[serde(default)]
    truncated: bool,
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    event_id: String,
    events: Vec<OldEvent>,
    raw: HashMap<String, Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldEvent {
    /// Open Connectors itself sends none.
    #[serde(default)]
    event_id: String,
    object_type: String,
    object_id: String,
    event_type: String,
    date: String,
}

/// Reads the events of a request, in their order.
pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Received>, ReadError> {
    if body.trim_ascii_start().starts_with(b"[") {
        return read_batch(headers, body);
    }
    let form: Form = serde_json::from_slice(body).map_err(|_| ReadError::Form)?;
    match form {
        Form { specversion: Some(version), message: None } if version == "1.0" => {
            announced(headers, "application/cloudevents+json")?;
            let event: CloudEvent = serde_json::from_slice(body).map_err(|_| ReadError::Form)?;
            let event = read_cloud_event(event)?;
            same_id(headers, &WEBHOOK_ID, &event.webhook_id)?;
            Ok(vec![event])
        }
        Form { specversion: None, message: Some(message) } => {
            announced(headers, "application/json")?;
            read_message(headers, message)
        }
        Form { .. } => Err(ReadError::Form),
    }
}

/// A batch names no request: its id is that of its events.
fn read_batch(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Received>, ReadError> {
    let events: Vec<CloudEvent> = serde_json::from_slice(body).map_err(|_| ReadError::Form)?;
    let mut events = events.into_iter().map(read_cloud_event).collect::<Result<Vec<_>, _>>()?;
    if events.is_empty() {
        return Err(ReadError::Form);
    }
    announced(headers, "application/cloudevents-batch+json")?;
    let id = match &*events {
        [event] => event.event_id.clone(),
        events => EventId::of_batch(events.iter().map(|event| &*event.event_id)).to_string(),
    };
    same_id(headers, &WEBHOOK_ID, &id)?;
    for event in &mut events {
        event.webhook_id.clone_from(&id);
    }
    Ok(events)
}

fn read_cloud_event(event: CloudEvent) -> Result<Received, ReadError> {
    let kind = event.kind.strip_prefix(TYPE_PREFIX).and_then(kind_of).ok_or(ReadError::Form)?;
    // CloudEvents 1.0 §3.1: both must not be empty. An event has its data, or says that it was cut.
    let is_whole = !event.id.is_empty() && !event.source.is_empty() && event.data.is_some() != event.truncated;
    if event.specversion != "1.0" || !is_whole {
        return Err(ReadError::Form);
    }
    Ok(Received {
        webhook_id: event.id.clone(),
        event_id: event.id,
        kind,
        resource: event.resource,
        object_id: event.subject,
        time: event.time,
        data: event.data,
    })
}

fn read_message(headers: &HeaderMap, message: Message) -> Result<Vec<Received>, ReadError> {
    same_id(headers, &WEBHOOK_ID, &message.event_id)?;
    same_id(headers, &ELEMENTS_ID, &message.event_id)?;
    let Some(resource) = message.events.first().map(|event| event.object_type.clone()) else { return Err(ReadError::Form) };
    let records = message.raw.get(&resource).ok_or(ReadError::Records)?;
    let records: Vec<Box<RawValue>> = serde_json::from_str(records.get()).map_err(|_| ReadError::Records)?;
    if records.len() != message.events.len() || message.events.iter().any(|event| event.object_type != resource) {
        return Err(ReadError::Records);
    }
    let events = message.events.into_iter().zip(records);
    events
        .map(|(event, record)| {
            Ok(Received {
                webhook_id: message.event_id.clone(),
                event_id: event.event_id,
                kind: kind_of(&event.event_type.to_ascii_lowercase()).ok_or(ReadError::Form)?,
                resource: event.object_type,
                object_id: event.object_id,
                time: event.date,
                data: Some(record),
            })
        })
        .collect()
}

fn kind_of(word: &str) -> Option<Kind> {
    [Kind::Created, Kind::Updated, Kind::Deleted].into_iter().find(|kind| kind.as_str() == word)
}

fn announced(headers: &HeaderMap, media_type: &str) -> Result<(), ReadError> {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(media_type) { Ok(()) } else { Err(ReadError::MediaType) }
}

/// A header that is absent contradicts nothing; whether it must be there is the signature's business.
fn same_id(headers: &HeaderMap, name: &HeaderName, id: &str) -> Result<(), ReadError> {
    match headers.get(name) {
        Some(sent) if sent.as_bytes() != id.as_bytes() => Err(ReadError::OtherId),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::sample::event;
    use crate::deliver::sink::http::format::{
        Envelope, Payload, encode_cloud_event, encode_cloud_events, encode_open_connectors,
    };
    use crate::deliver::sink::http::signature::sign;
    use crate::detect::event::Event;
    use crate::plan::EventFormat;
    use http::HeaderValue;

    const ENVELOPE: Envelope<'_> =
        Envelope { namespace: "crm", name: "keap", title: None, connector: None, tags: &[], uid: "9d1c", cluster: None };

    fn headers(format: EventFormat, payload: &Payload) -> HeaderMap {
        let mut headers = sign(payload, format, &[], chrono::DateTime::UNIX_EPOCH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(payload.content_type));
        headers
    }

    fn cloud_event(event: &Event) -> (HeaderMap, String) {
        let payload = encode_cloud_event(&ENVELOPE, event);
        (headers(EventFormat::CloudEvents, &payload), String::from_utf8(payload.body.to_vec()).unwrap())
    }

    fn open_connectors(events: &[Event]) -> (HeaderMap, String) {
        let payload = encode_open_connectors(&ENVELOPE, events);
        (headers(EventFormat::OpenConnectors, &payload), String::from_utf8(payload.body.to_vec()).unwrap())
    }

    /// As a signed request has them: with the id of the request.
    fn batch(events: &[Event]) -> (HeaderMap, String) {
        let payload = encode_cloud_events(&ENVELOPE, events);
        let mut headers = headers(EventFormat::CloudEvents, &payload);
        headers.insert(WEBHOOK_ID, HeaderValue::from_str(&payload.id).unwrap());
        (headers, String::from_utf8(payload.body.to_vec()).unwrap())
    }

    fn error(headers: &HeaderMap, body: &str) -> Option<ReadError> {
        read(headers, body.as_bytes()).err()
    }

    #[test]
    fn a_cloud_event_is_read_byte_for_byte() {
        let record = r#"{"id": 9007199254740993, "price":1.10}"#;
        let sent = event("42", Kind::Updated, record);
        let (headers, body) = cloud_event(&sent);
        let [read] = &read(&headers, body.as_bytes()).unwrap()[..] else { panic!("one event") };
        assert_eq!(
            (&*read.webhook_id, read.kind, &*read.resource, &*read.object_id),
            (sent.id.as_str(), sent.kind, "contacts", "42")
        );
        assert_eq!(read.time, "2026-11-24T10:22:45.032Z");
        assert_eq!(read.data.as_deref().map(RawValue::get), Some(record));
    }

    #[test]
    fn open_connectors_is_read_in_its_order() {
        let sent = [event("1", Kind::Created, r#"{"id":1}"#), event("2", Kind::Deleted, r#"{"id": 2.0}"#)];
        let (headers, body) = open_connectors(&sent);
        let read = read(&headers, body.as_bytes()).unwrap();
        let shown: Vec<_> = read.iter().map(|r| (r.kind, &*r.object_id, r.data.as_deref().map_or("", RawValue::get))).collect();
        assert_eq!(shown, [(Kind::Created, "1", r#"{"id":1}"#), (Kind::Deleted, "2", r#"{"id": 2.0}"#)]);
        assert_eq!(read[0].webhook_id, read[1].webhook_id);
        assert_eq!([&*read[0].event_id, &*read[1].event_id], [sent[0].id.as_str(), sent[1].id.as_str()]);
    }

    #[test]
    fn a_batch_is_read_in_its_order_and_has_the_id_of_its_events() {
        let sent = [event("1", Kind::Created, r#"{"id":1}"#), event("2", Kind::Deleted, r#"{"id": 2.0}"#)];
        let (mut headers, body) = batch(&sent);
        let read_events = read(&headers, body.as_bytes()).unwrap();
        let shown: Vec<_> =
            read_events.iter().map(|r| (r.kind, &*r.object_id, r.data.as_deref().map_or("", RawValue::get))).collect();
        assert_eq!(shown, [(Kind::Created, "1", r#"{"id":1}"#), (Kind::Deleted, "2", r#"{"id": 2.0}"#)]);
        for (event, sent) in read_events.iter().zip(&sent) {
            assert_eq!(event.event_id, sent.id.as_str());
            assert_eq!(Some(&*event.webhook_id), headers.get(WEBHOOK_ID).and_then(|id| id.to_str().ok()));
        }
        let (one, alone) = batch(&sent[..1]);
        assert_eq!(read(&one, alone.as_bytes()).unwrap()[0].webhook_id, sent[0].id.as_str());
        assert_eq!(error(&headers, &alone), Some(ReadError::OtherId), "an event less");
        assert_eq!(error(&headers, &body.replacen(r#""specversion":"1.0","#, "", 1)), Some(ReadError::Form));
        assert_eq!(error(&headers, &body.replacen("1.0", "0.3", 1)), Some(ReadError::Form));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"));
        assert_eq!(error(&headers, &body), Some(ReadError::MediaType));
    }

    #[test]
    fn a_record_that_was_cut_has_no_data() {
        let (headers, body) =
            cloud_event(&event("1", Kind::Updated, &format!(r#""{}""#, "x".repeat(crate::detect::event::MAX_DATA))));
        assert!(read(&headers, body.as_bytes()).unwrap()[0].data.is_none());
        let body = body.replace(r#","truncated":true"#, "");
        assert_eq!(error(&headers, &body), Some(ReadError::Form), "data is missing silently");
    }

    #[test]
    fn a_resource_may_be_called_like_a_member_of_the_old_body() {
        for name in ["events", "eventId", "objectType", "instance_id"] {
            let mut sent = event("1", Kind::Created, r#"{"id":1}"#);
            sent.resource = name.into();
            let (headers, body) = open_connectors(&[sent]);
            assert_eq!(
                read(&headers, body.as_bytes()).unwrap()[0].data.as_deref().map(RawValue::get),
                Some(r#"{"id":1}"#),
                "{name}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let (headers, body) = cloud_event(&event("1", Kind::Created, "{}"));
        for (old, new) in [
            (r#""specversion":"1.0""#, r#""specversion":"0.3""#),
            ("record.created", "record.moved"),
            ("dev.pollinator", "com.example"),
            (r#""subject":"1","#, ""),
            ("}", ""),
        ] {
            assert_eq!(error(&headers, &body.replacen(old, new, 1)), Some(ReadError::Form), "{new}");
        }
        for body in ["", "null", "[]", "{}", "no json", r#"{"message":{}}"#, "\u{0}"] {
            assert_eq!(error(&headers, body), Some(ReadError::Form), "{body}");
        }
        let (headers, body) = open_connectors(&[event("1", Kind::Created, r#"{"id":1}"#)]);
        assert_eq!(error(&headers, &body.replace("CREATED", "MOVED")), Some(ReadError::Form));
        assert_eq!(error(&headers, &body.replace(r#"[{"id":1}]"#, "[]")), Some(ReadError::Records));
        assert_eq!(error(&headers, &body.replace(r#""contacts":["#, r#""orders":["#)), Some(ReadError::Records));
    }

    #[test]
    fn the_content_type_must_announce_the_form() {
        let (mut headers, body) = cloud_event(&event("1", Kind::Created, "{}"));
        for (media_type, expected) in [
            ("application/cloudevents+json", None),
            ("Application/CloudEvents+JSON ; charset=utf-8", None),
            ("application/json", Some(ReadError::MediaType)),
            ("text/plain", Some(ReadError::MediaType)),
        ] {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            assert_eq!(error(&headers, &body), expected, "{media_type}");
        }
        headers.remove(CONTENT_TYPE);
        assert_eq!(error(&headers, &body), Some(ReadError::MediaType));
        let (mut headers, body) = open_connectors(&[event("1", Kind::Created, "{}")]);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"));
        assert_eq!(error(&headers, &body), Some(ReadError::MediaType));
    }

    #[test]
    fn headers_and_body_must_name_the_same_request() {
        let (mut headers, body) = cloud_event(&event("1", Kind::Created, "{}"));
        headers.insert(WEBHOOK_ID, HeaderValue::from_static("other"));
        assert_eq!(error(&headers, &body), Some(ReadError::OtherId));
        headers.remove(WEBHOOK_ID);
        assert_eq!(error(&headers, &body), None);
        let (mut headers, body) = open_connectors(&[event("1", Kind::Created, "{}")]);
        headers.insert(ELEMENTS_ID, HeaderValue::from_static("other"));
        assert_eq!(error(&headers, &body), Some(ReadError::OtherId));
    }

    proptest::proptest! {
        #[test]
        fn no_body_is_a_panic(body in ".*") {
            let (headers, _) = cloud_event(&event("1", Kind::Created, "{}"));
            let _ = read(&headers, body.as_bytes());
        }
    }
}
