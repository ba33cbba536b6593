//! Instances of the cluster as the connect page sees them. Any replica answers, be the instance its own or not, so each time the
//! object is read.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::mpsc;

use super::cluster::{CallError, Cluster, Kind};
use super::connectors::Connectors;
use super::writer;
use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::api::instance::{ConnectorInstance, ConnectorInstanceSpec};
use crate::connect::candidate::{Candidate, Candidates, Need, consent_plan};
use crate::poll::engine::Command;

/// Finds instances in the cluster.
pub struct ClusterCandidates {
    /// Reads objects.
    pub cluster: Cluster,
    /// Connectors.
    pub connectors: Arc<Connectors>,
    /// The one namespace that is looked at; `None`: all.
    pub watched: Option<String>,
    /// To the engine of this process.
    pub commands: mpsc::Sender<Command>,
}

impl ClusterCandidates {
    async fn read(&self, namespace: &str, name: &str) -> Result<Option<Candidate>, Problem> {
        if self.watched.as_deref().is_some_and(|watched| watched != namespace) {
            return Ok(None);
        }
        let object = match self.cluster.get(Kind::ConnectorInstance, namespace, name).await {
            Ok(object) => object,
            Err(CallError::NotFound) => return Ok(None),
            Err(error) => return Err(writer::problem(&error)),
        };
        let metadata = &object["metadata"];
        if metadata["deletionTimestamp"].is_string() {
            return Ok(None);
        }
        // What cannot be planned is not connected either; its own conditions say why.
        let Ok(spec) = ConnectorInstanceSpec::deserialize(&object["spec"]) else { return Ok(None) };
        let mut instance = ConnectorInstance::new(name, spec);
        instance.metadata.namespace = Some(namespace.to_owned());
        let Ok(plan) = self.connectors.plan(&instance) else { return Ok(None) };
        Ok(consent_plan(&plan).map(|plan| Candidate {
            uid: metadata["uid"].as_str().unwrap_or_default().to_owned(),
            plan: Arc::clone(plan),
            need: need(&object),
        }))
    }
}

/// A status of an older generation says nothing but that a consent was waited for.
fn need(object: &Value) -> Need {
    let status = &object["status"];
    let is_current = status["observedGeneration"] == object["metadata"]["generation"];
    let conditions = status["conditions"].as_array().filter(|_| is_current);
    let authenticated = conditions.and_then(|all| all.iter().find(|one| one["type"] == "Authenticated"));
    Need::told_by(status["connect"]["url"].is_string(), authenticated.and_then(|one| one["status"].as_str()))
}

impl Candidates for ClusterCandidates {
    fn find<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Candidate>, Problem>> {
        Box::pin(self.read(namespace, name))
    }

    /// The owner sees the tokens change; this process may be the owner and need not wait for that.
    fn note_consent<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, ()> {
        let instance = InstanceRef::new(namespace, name);
        Box::pin(async move {
            // The engine ends before this only when the process does.
            let _ = self.commands.send(Command::Consented(instance)).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_of_an_older_generation_tells_nobody_that_it_is_connected() {
        let object = |observed: i64, connect: Value, authenticated: &str| {
            json!({
                "metadata": {"generation": 2},
                "status": {
                    "observedGeneration": observed, "connect": connect,
                    "conditions": [{"type": "Authenticated", "status": authenticated}],
                },
            })
        };
        let url = json!({"url": "https://connect.example/connect/crm/keap"});
        assert_eq!(need(&object(2, Value::Null, "True")), Need::Connected);
        assert_eq!(need(&object(1, Value::Null, "True")), Need::Unsettled);
        assert_eq!(need(&object(2, Value::Null, "Unknown")), Need::Unsettled);
        assert_eq!(need(&object(1, url.clone(), "False")), Need::Waits);
        assert_eq!(need(&object(2, url, "False")), Need::Waits);
        assert_eq!(need(&json!({"metadata": {"generation": 1}})), Need::Unsettled);
    }
}
