//! An instance of a list with no more than a glance needs of it: ten thousand of them are read within the time for one page. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::api::identity::InstanceRef;
use crate::api::instance::ConnectorInstance;
use crate::api::status::ConnectorInstanceStatus;

/// What is needed of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Brief {
    /// Namespace and name.
    pub of: InstanceRef,
    /// `spec.displayName`.
    pub display_name: Option<Box<str>>,
    /// The connector that it names.
    pub connector: Option<String>,
    /// `spec.suspend`.
    pub is_suspended: bool,
    /// Number of `spec.resources`.
    pub resources: usize,
    /// `None`: nothing was reported, or by a version that this one does not understand.
    pub status: Option<Box<BriefStatus>>,
}

/// What is needed of a status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BriefStatus {
    /// As in the status.
    pub conditions: Vec<BriefCondition>,
    /// Events accepted.
    pub delivered: Option<i64>,
    /// Events parked.
    pub parked: Option<i64>,
    /// Events that are tried again.
    pub waiting: Option<BriefWaiting>,
    /// When a change was last accepted.
    pub last_change_time: Option<Time>,
    /// Each resource.
    pub resources: Vec<BriefResource>,
}

/// What is needed of a condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BriefCondition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// What is needed of `status.waiting`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BriefWaiting {
    /// How many events.
    pub events: i64,
}

/// What is needed of a resource in the status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BriefResource {
    /// Its conditions.
    pub conditions: Vec<BriefCondition>,
    /// When it is polled next.
    pub next_poll_time: Option<Time>,
}

/// An object of a list as it is sent. What is in `spec` and `status` is read apart, so that one object of another version hides no other.
#[derive(Deserialize)]
pub struct ListedInstance {
    metadata: ListedMetadata,
    spec: Option<Box<RawValue>>,
    status: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListedMetadata {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListedSpec {
    display_name: Option<Box<str>>,
    connector: Option<String>,
    suspend: bool,
    resources: Vec<IgnoredAny>,
}

impl From<ListedInstance> for Brief {
    fn from(listed: ListedInstance) -> Self {
        let ListedInstance { metadata, spec, status } = listed;
        let spec: ListedSpec = spec.and_then(|spec| serde_json::from_str(spec.get()).ok()).unwrap_or_default();
        Self {
            of: InstanceRef::new(metadata.namespace, metadata.name),
            display_name: spec.display_name,
            connector: spec.connector,
            is_suspended: spec.suspend,
            resources: spec.resources.len(),
            status: status.and_then(|status| serde_json::from_str(status.get()).ok()),
        }
    }
}

impl From<&ConnectorInstance> for Brief {
    fn from(instance: &ConnectorInstance) -> Self {
        let text = |part: &Option<String>| part.as_deref().unwrap_or_default().into();
        Self {
            of: InstanceRef { namespace: text(&instance.metadata.namespace), name: text(&instance.metadata.name) },
            display_name: instance.spec.display_name.as_deref().map(Into::into),
            connector: instance.spec.connector.clone(),
            is_suspended: instance.spec.suspend,
            resources: instance.spec.resources.len(),
            status: instance.status.as_ref().map(|status| Box::new(status.into())),
        }
    }
}

impl From<&ConnectorInstanceStatus> for BriefStatus {
    fn from(status: &ConnectorInstanceStatus) -> Self {
        let conditions = |own: &[Condition]| own.iter().map(BriefCondition::from).collect();
        Self {
            conditions: conditions(&status.conditions),
            delivered: status.delivered,
            parked: status.parked,
            waiting: status.waiting.as_ref().map(|waiting| BriefWaiting { events: waiting.events }),
            last_change_time: status.last_change_time.clone(),
            resources: status
                .resources
                .iter()
                .map(|own| BriefResource {
                    conditions: conditions(&own.conditions),
                    next_poll_time: own.next_poll_time.clone(),
                })
                .collect(),
        }
    }
}

impl From<&Condition> for BriefCondition {
    fn from(own: &Condition) -> Self {
        Self { kind: own.type_.clone(), status: own.status.clone(), reason: own.reason.clone(), message: own.message.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_sent_in_a_list_says_the_same_as_the_instance() {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "Any", "message": "why", "lastTransitionTime": "2026-01-31T00:00:00Z"});
        let mut object = json!({
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance",
            "metadata": {"namespace": "crm", "name": "keap", "managedFields": [{"manager": "flux"}]},
            "spec": {"displayName": "Keap of the sales team", "connector": "keap", "suspend": true, "resources": [{"name": "a"}, {"name": "b"}], "callback": {"url": "https://h.example/in"}},
            "status": {
                "conditions": [condition("Ready", "True")], "delivered": 7, "parked": 1, "lastChangeTime": "2026-01-30T00:00:00Z",
                "waiting": {"events": 3, "oldest": "2026-01-30T00:00:00Z"},
                "resources": [{"name": "a", "nextPollTime": "2026-01-31T00:05:00Z", "conditions": [condition("Polled", "False")]}],
            },
        });
        let listed =
            |object: &serde_json::Value| Brief::from(serde_json::from_str::<ListedInstance>(&object.to_string()).unwrap());
        let brief = listed(&object);
        assert_eq!(brief, Brief::from(&serde_json::from_value::<ConnectorInstance>(object.clone()).unwrap()));
        assert_eq!(brief.status.as_ref().map(|status| (status.delivered, status.resources.len())), Some((Some(7), 1)));
        // of another version
        object["status"]["delivered"] = "seven".into();
        object["spec"]["resources"] = json!({"a": {}});
        let brief = listed(&object);
        assert_eq!((&*brief.of.name, brief.status, brief.resources), ("keap", None, 0));
    }
}
