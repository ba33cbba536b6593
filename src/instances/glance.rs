//! One line about an instance, for lists of thousands. Pure.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::brief::{Brief, BriefCondition};
use crate::api::conditions::{ConditionStatus, ConditionType, Reason};
use crate::api::identity::InstanceRef;
use crate::poll::status::InstanceStatus;

/// How an instance is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceHealth {
    /// Not ready, and only a person can change that.
    Stalled,
    /// Not ready, and it may become so by itself.
    Failing,
    /// Ready, but events wait or are parked, or something does not hold for one of its resources.
    Degraded,
    /// Its first poll has not ended.
    Starting,
    /// Nothing is polled, by choice.
    Suspended,
    /// Polled and delivered.
    Healthy,
}

impl InstanceHealth {
    /// All of them, worst first.
    pub const ALL: [Self; 6] = [Self::Stalled, Self::Failing, Self::Degraded, Self::Starting, Self::Suspended, Self::Healthy];

    /// The word that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stalled => "Stalled",
            Self::Failing => "Failing",
            Self::Degraded => "Degraded",
            Self::Starting => "Starting",
            Self::Suspended => "Suspended",
            Self::Healthy => "Healthy",
        }
    }
}

/// What an overview shows of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Which one.
    pub of: InstanceRef,
    /// The name that people gave it (`spec.displayName`).
    pub display_name: Option<Box<str>>,
    /// The connector that it names.
    pub connector: Option<String>,
    /// How it is.
    pub health: InstanceHealth,
    /// Reason of `Ready`, or of what is not as it should be while it is ready; empty before there is one.
    pub reason: Cow<'static, str>,
    /// The message that goes with it.
    pub message: String,
    /// Resources that are polled.
    pub resources: usize,
    /// Events accepted by the callback.
    pub delivered: u64,
    /// Events that wait for a person.
    pub parked: u64,
    /// Events that wait for their next try.
    pub waiting: u64,
    /// When a change was last accepted.
    pub last_change: Option<DateTime<Utc>>,
    /// When the next poll of any resource is due, as of the last report.
    pub next_poll: Option<DateTime<Utc>>,
}

impl Glance {
    /// Of an instance with its status.
    pub fn of(instance: impl Into<Brief>) -> Self {
        let mut brief = instance.into();
        let status = brief.status.take();
        let mut new = Self::declared(brief);
        let Some(status) = status else { return new };
        let ready = find(&status.conditions, ConditionType::Ready);
        if let Some(ready) = ready {
            (new.reason, new.message) = (Cow::Owned(ready.reason.clone()), ready.message.clone());
        }
        let mut conditions = status.resources.iter().flat_map(|own| &own.conditions);
        let is_stalled = find(&status.conditions, ConditionType::Stalled).is_some_and(|own| own.status == "True");
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default();
        new.parked = number(status.parked);
        new.waiting = number(status.waiting.as_ref().map(|waiting| waiting.events));
        new.delivered = number(status.delivered);
        new.health = health(&Signs {
            is_suspended: new.health == InstanceHealth::Suspended,
            ready: ready.map_or("", |ready| &*ready.status),
            is_stalled,
            is_impaired: new.parked + new.waiting > 0 || conditions.any(|own| own.status == "False"),
        });
        if new.health == InstanceHealth::Degraded {
            let waiting = find(&status.conditions, ConditionType::EventsWaiting).filter(|own| own.status == "True");
            let impaired = status.resources.iter().flat_map(|own| &own.conditions).find(|own| own.status == "False");
            if let Some(own) = waiting.or(impaired) {
                (new.reason, new.message) = (Cow::Owned(own.reason.clone()), own.message.clone());
            }
        }
        new.resources = new.resources.max(status.resources.len());
        new.last_change = status.last_change_time.as_ref().and_then(time);
        new.next_poll = status.resources.iter().filter_map(|own| own.next_poll_time.as_ref().and_then(time)).min();
        new
    }

    /// Of an instance as it is declared, with the last report about it.
    pub fn reported(brief: &Brief, report: Option<&InstanceStatus>) -> Self {
        let mut new = Self::declared(brief.clone());
        let Some(report) = report else { return new };
        (new.reason, new.message) = (Cow::Borrowed(report.reason.as_str()), report.message.clone());
        let impaired = report.resources.iter().flat_map(|own| &own.conditions).find(|own| own.status == ConditionStatus::False);
        (new.delivered, new.parked) = (report.delivered, report.parked as u64);
        new.waiting = report.waiting.as_ref().map_or(0, |waiting| waiting.events as u64);
        new.health = health(&Signs {
            is_suspended: brief.is_suspended,
            ready: report.ready.as_str(),
            is_stalled: report.conditions.iter().any(|own| own.kind == ConditionType::Stalled),
            is_impaired: new.parked + new.waiting > 0 || impaired.is_some(),
        });
        if new.health == InstanceHealth::Degraded {
            let waiting = report.conditions.iter().find(|own| own.kind == ConditionType::EventsWaiting);
            if let Some(own) = waiting.or(impaired) {
                (new.reason, new.message) = (Cow::Borrowed(own.reason.as_str()), own.message.clone());
            }
        }
        new.resources = new.resources.max(report.resources.len());
        new.last_change =
            report.last_change_time.as_deref().and_then(|at| DateTime::parse_from_rfc3339(at).ok()).map(|at| at.to_utc());
        new.next_poll = report.resources.iter().filter_map(|own| own.next_poll_time.0).min();
        new
    }

    /// Before anything was reported.
    fn declared(brief: Brief) -> Self {
        let Brief { of, display_name, connector, is_suspended, resources, status: _ } = brief;
        Self {
            of,
            display_name,
            connector,
            health: if is_suspended { InstanceHealth::Suspended } else { InstanceHealth::Starting },
            reason: Cow::Borrowed(if is_suspended { Reason::Suspended } else { Reason::Starting }.as_str()),
            message: String::new(),
            resources,
            delivered: 0,
            parked: 0,
            waiting: 0,
            last_change: None,
            next_poll: None,
        }
    }
}

/// What the health is read from.
struct Signs<'a> {
    is_suspended: bool,
    /// Status of `Ready`.
    ready: &'a str,
    is_stalled: bool,
    /// Events wait, or something does not hold for a resource.
    is_impaired: bool,
}

fn health(signs: &Signs<'_>) -> InstanceHealth {
    match signs.ready {
        _ if signs.is_suspended => InstanceHealth::Suspended,
        "False" if signs.is_stalled => InstanceHealth::Stalled,
        "False" => InstanceHealth::Failing,
        "True" if signs.is_impaired => InstanceHealth::Degraded,
        "True" => InstanceHealth::Healthy,
        _ => InstanceHealth::Starting,
    }
}

fn find(conditions: &[BriefCondition], kind: ConditionType) -> Option<&BriefCondition> {
    conditions.iter().find(|own| own.kind == kind.as_str())
}

/// A time of a status as the rest of the program has times.
pub fn time(at: &Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.0.as_second(), 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::instance::ConnectorInstance;

    fn instance(suspend: bool, status: &Value) -> ConnectorInstance {
        serde_json::from_value(json!({
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "metadata": {"namespace": "crm", "name": "keap"},
            "spec": {"connector": "keap", "suspend": suspend, "callback": {"url": "https://h.example/in"}}, "status": status,
        }))
        .unwrap()
    }

    fn ready(status: &str, more: &Value) -> Value {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "Any", "message": "why", "lastTransitionTime": "2026-01-31T00:00:00Z"});
        let mut told = json!({"conditions": [condition("Ready", status)]});
        for (field, value) in more.as_object().into_iter().flatten() {
            told[field] = value.clone();
        }
        if more["stalled"] == true {
            told["conditions"] = json!([condition("Ready", status), condition("Stalled", "True")]);
        }
        told
    }

    #[test]
    fn health_is_read_from_the_status() {
        let of = |suspend, status: &str, more: Value| Glance::of(&instance(suspend, &ready(status, &more))).health;
        assert_eq!(of(false, "True", json!({})), InstanceHealth::Healthy);
        assert_eq!(of(false, "True", json!({"parked": 1})), InstanceHealth::Degraded);
        assert_eq!(of(false, "True", json!({"waiting": {"events": 2}})), InstanceHealth::Degraded);
        let impaired = json!({"resources": [{"name": "a", "conditions": [{
            "type": "Polled", "status": "False", "reason": "NotFound", "message": "no list", "lastTransitionTime": "2026-01-31T00:00:00Z",
        }]}]});
        let seen = Glance::of(&instance(false, &ready("True", &impaired)));
        assert_eq!((seen.health, &*seen.reason, &*seen.message), (InstanceHealth::Degraded, "NotFound", "no list"));
        assert_eq!(of(false, "Unknown", json!({})), InstanceHealth::Starting);
        assert_eq!(of(false, "False", json!({})), InstanceHealth::Failing);
        assert_eq!(of(false, "False", json!({"stalled": true})), InstanceHealth::Stalled);
        assert_eq!(of(true, "True", json!({})), InstanceHealth::Suspended);
        assert_eq!(Glance::of(&instance(false, &Value::Null)).health, InstanceHealth::Starting);
    }

    #[test]
    fn the_soonest_poll_of_any_resource_is_the_next() {
        let resource = |name: &str, at: &str| json!({"name": name, "nextPollTime": at});
        let told = json!({
            "resources": [resource("a", "2026-01-31T00:05:00Z"), resource("b", "2026-01-31T00:01:00Z")],
            "delivered": 7, "lastChangeTime": "2026-01-30T00:00:00Z",
        });
        let seen = Glance::of(&instance(false, &ready("True", &told)));
        assert_eq!(seen.next_poll, "2026-01-31T00:01:00Z".parse().ok());
        assert_eq!(seen.last_change, "2026-01-30T00:00:00Z".parse().ok());
        assert_eq!((seen.delivered, seen.resources, &*seen.reason, &*seen.message), (7, 2, "Any", "why"));
    }
}
