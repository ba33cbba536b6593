//! Events for the tests of this module.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::deliver::sink::http::interpret::HttpCause;
use crate::deliver::sink::{Cause, Delivery, Pace};
use crate::detect::event::{Change, Event, EventId, Kind, VersionToken};
use crate::detect::known::{Age, Known};

/// 2026-11-24T10:22:45.032Z plus `seconds`.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_795_515_765_032).unwrap() + chrono::Duration::seconds(seconds)
}

/// An event of the resource `contacts`, found 50 seconds after the change.
pub(crate) fn event(object_id: &str, kind: Kind, data: &str) -> Event {
    let version = VersionToken { updated_text: Some("2026-11-24T10:22:45.032Z"), content: 7 };
    Event {
        id: EventId::new("9d1c0c3e-6a57-4f5e-8a5e-2f2c4b1f7a10", "contacts", object_id, kind, &version),
        kind,
        resource: "contacts".into(),
        object_id: object_id.to_owned(),
        parent: None,
        version_date: Some(at(0)),
        detected_at: at(50),
        changes: None,
        partial: false,
        truncated: false,
        data: RawValue::from_string(data.to_owned()).unwrap(),
    }
}

/// A version of an object of the resource `contacts`.
pub(crate) fn change(object: u64, version: u64) -> Change {
    let token = VersionToken { updated_text: None, content: version.into() };
    Change {
        is_announcement: false,
        object,
        record: object,
        known: Known { version, date: Some(1), age: Age::Settled, deleted: false },
        details: None,
        date: Some(at(0)),
        event: Event {
            id: EventId::new("u", "contacts", &object.to_string(), Kind::Updated, &token),
            kind: Kind::Updated,
            resource: "contacts".into(),
            object_id: object.to_string(),
            parent: None,
            version_date: Some(at(0)),
            detected_at: at(0),
            changes: None,
            partial: false,
            truncated: false,
            data: RawValue::from_string(format!(r#"{{"id":{object},"v":{version}}}"#)).unwrap(),
        },
    }
}

/// A failure that may pass.
pub(crate) fn retry() -> Delivery {
    Delivery::Retry { pace: Pace::Usual, retry_after: None, cause: Cause::Http(HttpCause::Status(500)) }
}
