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
    let entries = told.get_mut("resources").and_then(Value::as_array_mut).into_iter().flatten();
    for (entry, own) in entries.zip(&report.resources) {
        entry["cursor"] = json!(own.cursor.as_ref().map(|since| json!({"meaning": "", "since": since})));
        entry["delivered"] = json!(own.delivered);
        entry["recordsPath"] = json!(own.records_path);
        entry["resetReason"] = json!(own.reset_reason);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::{Problem, Reason};
    use crate::api::identity::InstanceRef;
    use crate::poll::status::{ResourceStatus, refused};
    use crate::state::waiting::InPassing;

    #[test]
    fn a_resource_shows_what_was_reported_of_it() {
        let mut status = refused(InstanceRef::new("crm", "keap"), None, &Problem::human(Reason::InvalidSpec, "spec"));
        let resource = |name: &str, cursor: Option<&str>, delivered| ResourceStatus {
            name: name.to_owned(),
            cursor: cursor.map(str::to_owned),
            delivered,
            last_successful_poll_time: InPassing(None),
            next_poll_time: InPassing(None),
            records_path: cursor.map(|_| "items".to_owned()),
            pagination: None,
            reset_reason: None,
            conditions: Vec::new(),
        };
        status.resources = vec![resource("a", Some("2026-01-31T00:00:00Z"), 3), resource("b", None, 0)];
        let told = told(&Reported { status: Arc::new(status), at: Utc::now() }).unwrap();
        let shown = |index: usize| {
            let own = &told.resources[index];
            let since = own.cursor.as_ref().and_then(|cursor| cursor.since.clone());
            (own.name.clone(), since, own.delivered, own.records_path.clone())
        };
        assert_eq!(shown(0), ("a".to_owned(), Some("2026-01-31T00:00:00Z".to_owned()), Some(3), Some("items".to_owned())));
        assert_eq!(shown(1), ("b".to_owned(), None, Some(0), None));
    }
}
