//! Instances as the connect page sees them: any replica, and any process, answers from what is declared and from the last status.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Instances, InstancesError};
use crate::api::conditions::{Problem, Remedy};
use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::connect::candidate::{Candidate, Candidates, Need, consent_plan};
use crate::operator::connectors::Connectors;
use crate::operator::state_error::call_problem;
use crate::plan::Oauth2Plan;
use crate::poll::command::Command;

/// How tokens are obtained for instances.
pub trait ConsentPlans: Send + Sync {
    /// The plan of an instance, where a person can give consent for it. What cannot be planned has none; its own conditions say why.
    fn consent_plan(&self, instance: &ConnectorInstance) -> Option<Arc<Oauth2Plan>>;

    /// The instances that may go on once consent was given for one: itself, and those that share its tokens unless they notice by
    /// themselves.
    fn sharing(&self, of: &InstanceRef) -> Vec<InstanceRef>;
}

impl ConsentPlans for Connectors {
    fn consent_plan(&self, instance: &ConnectorInstance) -> Option<Arc<Oauth2Plan>> {
        self.plan(instance).ok().and_then(|plan| consent_plan(&plan).cloned())
    }

    /// Owners see the tokens change. This process may be the owner and need not wait for that.
    fn sharing(&self, of: &InstanceRef) -> Vec<InstanceRef> {
        vec![of.clone()]
    }
}

/// Finds instances for the connect page.
pub struct InstanceCandidates {
    /// Where they are.
    pub instances: Arc<dyn Instances>,
    /// How their tokens are obtained.
    pub plans: Arc<dyn ConsentPlans>,
    /// To the engine of this process.
    pub commands: mpsc::Sender<Vec<Command>>,
}

impl InstanceCandidates {
    async fn read(&self, of: InstanceRef) -> Result<Option<Candidate>, Problem> {
        let instance = match self.instances.get(&of).await {
            Ok(instance) => instance,
            Err(InstancesError::Call(error)) => return Err(call_problem(&error)),
            Err(InstancesError::State(problem)) => return Err(problem),
            Err(error) => {
                tracing::debug!(namespace = &*of.namespace, instance = &*of.name, "no instance to connect: {error}");
                return Ok(None);
            }
        };
        // Without a uid it has not begun; one that is being deleted has ended.
        let Some(uid) = instance.metadata.uid.clone().filter(|_| instance.metadata.deletion_timestamp.is_none()) else {
            return Ok(None);
        };
        let plan = self.plans.consent_plan(&instance);
        Ok(plan.map(|plan| Candidate { uid, plan, need: need(&instance) }))
    }
}

/// A status of an older generation says nothing but that a consent was waited for.
fn need(instance: &ConnectorInstance) -> Need {
    let Some(status) = &instance.status else { return Need::Unsettled };
    let is_current = status.observed_generation == instance.metadata.generation;
    let authenticated = status.conditions.iter().find(|condition| is_current && condition.type_ == "Authenticated");
    Need::told_by(status.connect.is_some(), authenticated.map(|condition| condition.status.as_str()))
}

impl Candidates for InstanceCandidates {
    fn find<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Candidate>, Problem>> {
        Box::pin(self.read(InstanceRef::new(namespace, name)))
    }

    fn note_consent<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, ()> {
        let sharing = self.plans.sharing(&InstanceRef::new(namespace, name));
        let consented = sharing.into_iter().map(|instance| Command::Wake(instance, Remedy::Approval)).collect();
        Box::pin(async move {
            // The engine ends before this only when the process does.
            let _ = self.commands.send(consented).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_status_of_an_older_generation_tells_nobody_that_it_is_connected() {
        let spec = json!({"baseUrl": "https://api.example.com", "callback": {"url": "https://h.example/in"}});
        let need_of = |status: Value| {
            let mut instance = ConnectorInstance::new("keap", serde_json::from_value(spec.clone()).unwrap());
            instance.metadata.generation = Some(2);
            instance.status = serde_json::from_value(status).unwrap();
            need(&instance)
        };
        let told = |observed: i64, connect: Value, authenticated: &str| {
            need_of(json!({
                "observedGeneration": observed, "connect": connect,
                "conditions": [{
                    "type": "Authenticated", "status": authenticated, "reason": "r", "message": "",
                    "lastTransitionTime": "2026-01-31T00:00:00Z",
                }],
            }))
        };
        let url = json!({"url": "https://connect.example/connect/crm/keap"});
        assert_eq!(told(2, Value::Null, "True"), Need::Connected);
        assert_eq!(told(1, Value::Null, "True"), Need::Unsettled);
        assert_eq!(told(2, Value::Null, "Unknown"), Need::Unsettled);
        assert_eq!(told(1, url.clone(), "False"), Need::Waits);
        assert_eq!(told(2, url, "False"), Need::Waits);
        assert_eq!(need_of(Value::Null), Need::Unsettled);
    }
}
