//! A store that is full, and one that has room again.

use serde_json::{Value, json};

use super::super::client;
use super::{ControlPlane, Namespace};

/// Bytes of a filler: many, and below what a request may have.
const FILLER: usize = 700_000;

impl ControlPlane {
    /// Writes into the namespace until the store takes nothing more. Only for a plane with a small one.
    pub fn fill_store(&self, ns: &Namespace<'_>) {
        let filler = "x".repeat(FILLER);
        for number in 0..100 {
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": {"filler": filler},
                "metadata": {"name": format!("filler-{number}"), "labels": {"made": "to-fill"}}
            });
            let reply = self.api().create(&ns.core("configmaps"), &object);
            if reply.status != 201 {
                assert!(reply.message().contains("database space exceeded"), "{} {}", reply.status, reply.message());
                return;
            }
        }
        panic!("the store has room for everything");
    }

    /// Does what a person does: deletes what is not needed, gives the room back, and clears the alarm.
    pub fn empty_store(&self, ns: &Namespace<'_>) {
        self.api().delete(&format!("{}?labelSelector=made%3Dto-fill", ns.core("configmaps"))).ok();
        let range = self.ask_store("kv/range", &json!({"key": "AA=="}));
        let revision = &range["header"]["revision"];
        self.ask_store("kv/compaction", &json!({"revision": revision, "physical": true}));
        self.ask_store("maintenance/defragment", &json!({}));
        // An alarm is cleared by the member that raised it.
        let raised = self.ask_store("maintenance/alarm", &json!({"action": "GET"}));
        let alarms = raised["alarms"].as_array().expect("an alarm");
        for alarm in alarms {
            let clear = json!({"action": "DEACTIVATE", "alarm": alarm["alarm"], "memberID": alarm["memberID"]});
            self.ask_store("maintenance/alarm", &clear);
        }
    }

    fn ask_store(&self, path: &str, body: &Value) -> Value {
        let answer = client::must("POST", &format!("{}/v3/{path}", self.store), Some(body.to_string()));
        serde_json::from_str(&answer).unwrap_or_default()
    }
}
