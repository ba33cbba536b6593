//! Does the installed CRD keep every field that is stored? A server prunes unknown fields with a 200, so a cursor could get lost.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::api::status::{Connect, ConnectorInstanceStatus, Cursor, ResourceStatus};

/// What a person is to do.
pub const OUTDATED: &str = "the installed CRD connectorinstances.pollinator.dev lacks fields that this version stores, so nothing is stored and polling waits; apply the CRDs of this version";

/// A status with every field set. Without a pattern that lets one be left out, a new field breaks the build here.
pub fn full_status() -> Value {
    let time = Time(Timestamp::UNIX_EPOCH);
    let condition = Condition {
        last_transition_time: time.clone(),
        message: "a probe".to_owned(),
        observed_generation: Some(1),
        reason: "Probe".to_owned(),
        status: "Unknown".to_owned(),
        type_: "Ready".to_owned(),
    };
    let text = || Some("1".to_owned());
    let status = ConnectorInstanceStatus {
        conditions: vec![condition.clone()],
        observed_generation: Some(1),
        last_handled_reconcile_at: text(),
        delivered: Some(1),
        parked: Some(1),
        set_aside: Some(1),
        last_change_time: Some(time.clone()),
        connect: Some(Connect { url: "1".to_owned() }),
        resources: vec![ResourceStatus {
            name: "probe".to_owned(),
            cursor: Some(Cursor {
                meaning: "1".to_owned(),
                started: Some(true),
                since: text(),
                reach_seconds: Some(1),
                token: text(),
                known: text(),
                blobs: text(),
            }),
            reset_reason: text(),
            pagination: text(),
            last_change_time: Some(time),
            delivered: Some(1),
            parked: Some(1),
            failing: text(),
            conditions: vec![condition],
        }],
        bookkeeping: text(),
    };
    serde_json::to_value(status).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::judge::{Kind, judge};
    use serde_json::json;

    #[test]
    fn the_crd_of_this_version_keeps_every_field() {
        let mut object = json!({
            "apiVersion": crate::api::API_VERSION, "kind": "ConnectorInstance", "metadata": {"name": "a"},
            "spec": {
                "baseUrl": "https://api.example.com", "resources": [{"name": "orders", "url": "/orders"}],
                "callback": {"url": "https://h.example/in"}
            },
            "status": full_status(),
        });
        judge(Kind::ConnectorInstance, &object).unwrap();
        object["status"]["resources"][0]["cursor"]["other"] = json!("1");
        assert!(judge(Kind::ConnectorInstance, &object).is_err(), "a field that it lacks is noticed");
    }
}
