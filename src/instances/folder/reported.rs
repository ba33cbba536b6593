//! What the engine of this process last reported of an instance, in the form of a status. Pure.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::api::status::ConnectorInstanceStatus;
use crate::operator::status;
use crate::poll::status::InstanceStatus;

/// The last status of an instance.
pub(super) struct Reported {
    pub status: Arc<InstanceStatus>,
    pub at: DateTime<Utc>,
}

/// A report in the form of a status. Its conditions hold since then at the latest.
pub(super) fn told(reported: &Reported) -> Option<ConnectorInstanceStatus> {
    let Reported { status: report, at } = reported;
    let mut told = Map::new();
    status::lay(&mut told, report, true, *at);
    status::lay_times(&mut told, report);
    for (field, value) in [
        ("delivered", json!(report.delivered)),
        ("parked", json!(report.parked)),
        ("setAside", json!(report.set_aside)),
        ("waiting", json!(report.waiting)),
        ("lastChangeTime", json!(report.last_change_time)),
    ] {
        told.insert(field.to_owned(), value);
    }
    ConnectorInstanceStatus::deserialize(Value::Object(told)).ok()
}
