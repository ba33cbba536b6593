//! Whether the installed CRD keeps every field that is stored. A server prunes unknown fields with a 200, so a cursor could get lost.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::cluster::{CallError, Cluster};
use crate::api::identity::InstanceRef;
use crate::api::status::{Connect, ConnectorInstanceStatus, Cursor, DeletedListCursor, ResourceStatus, Waiting};

/// What a person is to do.
pub const OUTDATED: &str = "the installed CRD connectorinstances.pollinator.dev lacks fields that this version stores, so nothing is stored and polling waits; apply the CRDs of this version";

/// How often a CRD that lacks fields is looked at again.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What is known of the installed CRD.
#[derive(Clone, Copy, Debug)]
enum Crd {
    Unknown,
    Complete,
    Outdated(Instant),
}

/// Finds out about the installed CRD, once for all instances.
pub struct Probe {
    cluster: Cluster,
    crd: Mutex<Crd>,
}

impl Probe {
    /// Nothing is known yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, crd: Mutex::new(Crd::Unknown) }
    }

    /// Whether the server keeps every field. Found out by a dry run with all of them on an instance as it was just read, and again while it
    /// does not. What is not `storing` makes no request: conditions are in every version.
    ///
    /// The instances that want to know at the same time each ask: one whose dry run hangs, or is refused, delays no other.
    ///
    /// # Errors
    /// The dry run met something else. A refusal is about this object, by an admission policy for example, and says nothing of the definition.
    pub async fn crd_is_complete(&self, instance: &InstanceRef, object: &Value, storing: bool) -> Result<bool, CallError> {
        let known = *self.crd.lock();
        match known {
            Crd::Complete => return Ok(true),
            Crd::Outdated(since) if since.elapsed() < LOOK_AGAIN => return Ok(false),
            Crd::Unknown if !storing => return Ok(true),
            Crd::Unknown | Crd::Outdated(_) => {}
        }
        let full = full_status();
        let mut object = object.clone();
        object["status"].clone_from(&full);
        let body = object.to_string().into_bytes();
        let complete = match self.cluster.replace_status(&instance.namespace, &instance.name, body, true).await {
            Ok(answer) => keeps(&full, &answer["status"]),
            // The write itself will meet the same conflict.
            Err(CallError::Conflict) => return Ok(matches!(known, Crd::Unknown)),
            Err(error) => return Err(error),
        };
        let mut crd = self.crd.lock();
        if !complete && !matches!(*crd, Crd::Outdated(_)) {
            tracing::error!("{OUTDATED}");
        }
        *crd = if complete { Crd::Complete } else { Crd::Outdated(Instant::now()) };
        Ok(complete)
    }

    /// A write was answered without a field that it had.
    pub fn note_pruned(&self) {
        *self.crd.lock() = Crd::Outdated(Instant::now());
    }
}

/// Whether an answer has every field that was sent. Another value, or a field that was added, is an admission webhook's: nothing was pruned.
pub fn keeps(sent: &Value, answer: &Value) -> bool {
    match (sent, answer) {
        (Value::Object(sent), Value::Object(answer)) => {
            sent.iter().all(|(name, value)| answer.get(name).is_some_and(|kept| keeps(value, kept)))
        }
        (Value::Array(sent), Value::Array(answer)) => sent.iter().zip(answer).all(|(sent, answer)| keeps(sent, answer)),
        _ => true,
    }
}

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
        waiting: Some(Waiting { events: 1, oldest: Some(time.clone()), next_try: Some(time.clone()) }),
        last_change_time: Some(time.clone()),
        connect: Some(Connect { url: "1".to_owned() }),
        resources: vec![ResourceStatus {
            name: "probe".to_owned(),
            cursor: Some(Cursor {
                meaning: "1".to_owned(),
                started: Some(true),
                since: text(),
                reach_seconds: Some(1),
                hashed_without: text(),
                zone_evidence: text(),
                filter_ignored_polls: Some(1),
                broken_order: text(),
                sweep: text(),
                token: text(),
                known: text(),
                blobs: text(),
                deleted_list: Some(DeletedListCursor {
                    meaning: "1".to_owned(),
                    started: Some(true),
                    since: text(),
                    reach_seconds: Some(1),
                    records_path: text(),
                    known: text(),
                    blobs: text(),
                }),
            }),
            reset_reason: text(),
            records_path: text(),
            pagination: text(),
            last_change_time: Some(time.clone()),
            last_successful_poll_time: Some(time.clone()),
            next_poll_time: Some(time),
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
    use crate::api::validate::{Kind, validate};
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
        validate(Kind::ConnectorInstance, &object).unwrap();
        object["status"]["resources"][0]["cursor"]["other"] = json!("1");
        assert!(validate(Kind::ConnectorInstance, &object).is_err(), "a field that it lacks is noticed");
    }

    #[test]
    fn only_a_field_that_is_gone_was_pruned() {
        let sent = full_status();
        assert!(keeps(&sent, &sent));
        let with = |change: fn(&mut Value)| {
            let mut answer = sent.clone();
            change(&mut answer);
            keeps(&sent, &answer)
        };
        assert!(with(|answer| answer["added"] = json!({"by": "a webhook"})));
        assert!(with(|answer| answer["conditions"][0]["message"] = json!("changed by a webhook")));
        assert!(!with(|answer| drop(answer.as_object_mut().unwrap().remove("bookkeeping"))));
        assert!(!with(|answer| drop(answer["resources"][0]["cursor"].as_object_mut().unwrap().remove("token"))));
    }
}
