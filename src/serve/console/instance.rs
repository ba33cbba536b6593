//! One instance: what is wrong and how to fix it, its resources, and what can be asked of it. Pure.

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::advice::{Advice, advice, here};
use super::manifest::manifest;
use super::overview::grouped;
use super::stamp::{Stamp, length};
use crate::api::conditions::{ConditionType, Reason};
use crate::api::identity::InstanceRef;
use crate::api::instance::{ConnectorInstance, Format};
use crate::api::status::ResourceStatus;
use crate::api::visible::one_line;
use crate::instances::glance::{Glance, InstanceHealth, time};
use crate::instances::waiting::WaitingEvent;

/// Conditions that are present only while something is wrong; the others hold while all is well.
const OF_TROUBLE: [ConditionType; 4] =
    [ConditionType::EventsWaiting, ConditionType::Reconciling, ConditionType::Stalled, ConditionType::CrdOutdated];
/// They repeat what `Ready` says.
const SUMMARY: [ConditionType; 2] = [ConditionType::Reconciling, ConditionType::Stalled];

/// The address of the page of an instance. Names need no encoding.
pub fn href(of: &InstanceRef) -> String {
    format!("/instances/{}/{}", of.namespace, of.name)
}

/// What the page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePage {
    /// Its address.
    pub href: String,
    /// Namespace and name.
    pub of: InstanceRef,
    /// How it is.
    pub health: InstanceHealth,
    /// What is wrong, the worst first.
    pub troubles: Vec<Trouble>,
    /// One sentence, where nothing is wrong.
    pub summary: Option<String>,
    /// Where a person can give consent, while that is what is missing.
    pub connect: Option<String>,
    /// Its connector.
    pub connector: Option<String>,
    /// Where events go: scheme, host and port. The rest of a URL can be a secret.
    pub callback: String,
    /// Shape of the events.
    pub format: &'static str,
    /// Time between two polls as declared.
    pub interval: Option<String>,
    /// Events accepted.
    pub delivered: String,
    /// Events parked.
    pub parked: u64,
    /// Events that are tried again.
    pub waiting: u64,
    /// When a change was last accepted.
    pub last_change: Option<Stamp>,
    /// When the next event is tried again.
    pub next_try: Option<Stamp>,
    /// Its resources.
    pub resources: Vec<ResourceRow>,
    /// All conditions.
    pub conditions: Vec<ConditionRow>,
    /// The manifest as YAML.
    pub manifest: String,
    /// Who declares it, if not this product.
    pub owner: Option<String>,
    /// Whether polling is suspended.
    pub is_suspended: bool,
}

impl InstancePage {
    /// Counts the parked events of each resource, where its status does not say how many there are.
    pub fn count_parked(&mut self, queued: &[WaitingEvent]) {
        for resource in self.resources.iter_mut().filter(|own| own.parked == 0) {
            let parked = queued.iter().filter(|event| event.is_parked() && *event.resource == *resource.name);
            resource.parked = parked.count() as u64;
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which resource; `None`: the instance.
    pub resource: Option<String>,
    /// The reason.
    pub reason: String,
    /// The sentence of the condition.
    pub message: String,
    /// What is known of the reason.
    pub advice: Option<Advice>,
    /// What fixes it on this page.
    pub here: Option<&'static str>,
    /// Since when.
    pub since: Option<Stamp>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionRow {
    /// Its type.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Whether it is as it should be; `None`: not known yet.
    pub is_well: Option<bool>,
    /// Its reason.
    pub reason: String,
    /// Its sentence.
    pub message: String,
    /// Since when.
    pub since: Option<Stamp>,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRow {
    /// Its name.
    pub name: String,
    /// Whether every condition holds.
    pub is_well: bool,
    /// Lower bound of the next poll.
    pub cursor: Option<Stamp>,
    /// How far the cursor is behind now.
    pub lag: Option<String>,
    /// When it is polled next, if that is still to come.
    pub next_poll: Option<Stamp>,
    /// When it was last polled with success, as of the last report.
    pub last_success: Option<Stamp>,
    /// How further pages are asked for, if that was detected.
    pub pagination: Option<String>,
    /// Where the records are, if that was detected.
    pub records_path: Option<String>,
    /// Why the cursor was last given up.
    pub reset_reason: Option<String>,
    /// Events accepted.
    pub delivered: String,
    /// Events parked.
    pub parked: u64,
    /// Whether deletions wait for approval.
    pub has_held_deletes: bool,
}

/// What the page shows of an instance. `owner`: who declares it, if not this product.
pub fn page(instance: &ConnectorInstance, owner: Option<&str>, now: DateTime<Utc>) -> InstancePage {
    let glance = Glance::of(instance);
    let status = instance.status.as_ref();
    let conditions = status.map(|status| &*status.conditions).unwrap_or_default();
    let resources = status.map(|status| &*status.resources).unwrap_or_default();
    let spec = &instance.spec;
    let troubles = troubles(conditions, resources, now);
    let summary = (!glance.message.is_empty()).then(|| line(&glance.message));
    InstancePage {
        href: href(&glance.of),
        health: glance.health,
        summary: summary.filter(|_| troubles.is_empty()),
        troubles,
        connect: status
            .and_then(|status| status.connect.as_ref())
            .map(|connect| connect.url.clone())
            .filter(|url| is_link(url)),
        connector: spec.connector.as_deref().map(line),
        callback: origin(&spec.callback.url),
        format: match spec.callback.format {
            Format::CloudEvents => "CloudEvents",
            Format::OpenConnectors => "OpenConnectors",
        },
        interval: spec.polling.as_ref().and_then(|polling| polling.interval.as_deref()).map(line),
        delivered: grouped(glance.delivered),
        parked: glance.parked,
        waiting: glance.waiting,
        last_change: glance.last_change.map(|at| Stamp::new(at, now)),
        next_try: status
            .and_then(|status| status.waiting.as_ref()?.next_try.as_ref().and_then(time))
            .map(|at| Stamp::new(at, now)),
        resources: resources.iter().map(|own| resource(own, now)).collect(),
        conditions: conditions.iter().map(|own| condition(own, now)).collect(),
        manifest: manifest(instance),
        is_suspended: spec.suspend,
        of: glance.of,
        owner: owner.map(line),
    }
}

/// What is wrong with the instance, then with its resources; each sentence once.
fn troubles(conditions: &[Condition], resources: &[ResourceStatus], now: DateTime<Utc>) -> Vec<Trouble> {
    let of_instance = conditions.iter().map(|own| (None, own));
    let of_resources = resources.iter().flat_map(|own| own.conditions.iter().map(|condition| (Some(&own.name), condition)));
    let mut found: Vec<Trouble> = Vec::new();
    for (resource, own) in of_instance.chain(of_resources) {
        let is_summary = SUMMARY.iter().any(|kind| kind.as_str() == own.type_);
        if is_summary || is_well(own) != Some(false) {
            continue;
        }
        let message = line(&own.message);
        // `Ready` repeats the sentence of a resource under its name, and other conditions that of `Ready`.
        if found.iter().any(|known| known.reason == own.reason && known.message.ends_with(&message)) {
            continue;
        }
        found.push(Trouble {
            resource: resource.map(|name| line(name)),
            reason: line(&own.reason),
            advice: advice(&own.reason),
            here: here(&own.reason),
            since: time(&own.last_transition_time).map(|at| Stamp::new(at, now)),
            message,
        });
    }
    found
}

fn condition(own: &Condition, now: DateTime<Utc>) -> ConditionRow {
    ConditionRow {
        kind: line(&own.type_),
        status: line(&own.status),
        is_well: is_well(own),
        reason: line(&own.reason),
        message: line(&own.message),
        since: time(&own.last_transition_time).map(|at| Stamp::new(at, now)),
    }
}

fn is_well(own: &Condition) -> Option<bool> {
    let is_of_trouble = OF_TROUBLE.iter().any(|kind| kind.as_str() == own.type_);
    match own.status.as_str() {
        "True" => Some(!is_of_trouble),
        "False" => Some(is_of_trouble),
        _ => None,
    }
}

fn resource(own: &ResourceStatus, now: DateTime<Utc>) -> ResourceRow {
    let cursor = own.cursor.as_ref().and_then(|cursor| cursor.since.as_deref());
    let cursor = cursor.and_then(|since| DateTime::parse_from_rfc3339(since).ok()).map(|since| since.to_utc());
    let stamp = |at: DateTime<Utc>| Stamp::new(at, now);
    let held = |own: &Condition| own.reason == Reason::DeletesHeld.as_str() && is_well(own) == Some(false);
    ResourceRow {
        name: line(&own.name),
        is_well: own.conditions.iter().all(|own| is_well(own) != Some(false)),
        lag: cursor.map(|at| length((now - at).max(chrono::TimeDelta::zero()))),
        cursor: cursor.map(stamp),
        next_poll: own.next_poll_time.as_ref().and_then(time).filter(|at| *at > now).map(stamp),
        last_success: own.last_successful_poll_time.as_ref().and_then(time).map(stamp),
        pagination: own.pagination.as_deref().map(line),
        records_path: own.records_path.as_deref().map(line),
        reset_reason: own.reset_reason.as_deref().map(line),
        delivered: grouped(own.delivered.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()),
        parked: own.parked.and_then(|number| u64::try_from(number).ok()).unwrap_or_default(),
        has_held_deletes: own.conditions.iter().any(held),
    }
}

/// Whether it leads to a page and runs nothing.
pub fn is_link(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> String {
    url::Url::parse(url).map_or_else(|_| "not a URL".to_owned(), |url| url.origin().ascii_serialization())
}

fn line(text: &str) -> String {
    one_line(text).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-31T12:00:00Z";

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-31T11:00:00Z"})
    }

    fn seen(status: &Value) -> InstancePage {
        let instance = serde_json::from_value(json!({
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "metadata": {"namespace": "crm", "name": "keap"},
            "spec": {"connector": "keap", "callback": {"url": "https://h.example/hooks/s3cret?token=s3cret"}}, "status": status,
        }));
        page(&instance.unwrap(), None, NOW.parse().unwrap())
    }

    #[test]
    fn what_is_wrong_comes_once_with_cause_and_fix() {
        let message = "spec.callback.url: no answer; check the receiver";
        let page = seen(&json!({
            "conditions": [
                condition("Ready", "False", "CallbackDown", message),
                condition("ProviderReachable", "True", "Polling", "the provider answers"),
                condition("CallbackReachable", "False", "CallbackDown", message),
                condition("EventsWaiting", "True", "Retrying", "2 events are waiting"),
                condition("Stalled", "True", "CallbackDown", message),
            ],
            "resources": [{"name": "contacts", "conditions": [condition("Polled", "False", "NotFound", "no list\u{202E}")]}],
        }));
        let told: Vec<_> = page.troubles.iter().map(|own| (own.resource.as_deref(), own.reason.as_str())).collect();
        assert_eq!(told, [(None, "CallbackDown"), (None, "Retrying"), (Some("contacts"), "NotFound")]);
        assert!(page.troubles.iter().all(|own| own.advice.is_some()));
        assert_eq!(page.troubles[2].message, "no list\\u202e");
        assert_eq!((page.health, page.summary), (InstanceHealth::Stalled, None));
        assert_eq!(
            page.conditions.iter().map(|own| own.is_well.unwrap()).collect::<Vec<_>>(),
            [false, true, false, false, false]
        );
        assert_eq!(page.callback, "https://h.example", "paths and queries of callbacks can be secrets");
    }

    #[test]
    fn a_resource_shows_its_cursor_and_lag() {
        let page = seen(&json!({
            "conditions": [condition("Ready", "True", "Polling", "all resources are polled")],
            "resources": [{
                "name": "contacts", "delivered": 1200, "parked": 2, "nextPollTime": "2026-01-31T12:05:00Z",
                "cursor": {"meaning": "m", "since": "2026-01-31T11:30:00Z"}, "pagination": "page: {}",
                "conditions": [condition("DeletesFound", "False", "DeletesHeld", "30 records are missing")],
            }, {"name": "notes"}],
        }));
        let [contacts, notes] = &page.resources[..] else { panic!("{:?}", page.resources) };
        assert_eq!((contacts.lag.as_deref(), contacts.parked, contacts.has_held_deletes), (Some("30 min"), 2, true));
        assert_eq!(contacts.next_poll.as_ref().unwrap().distance, "in 5 min");
        assert!(!contacts.is_well && notes.is_well && notes.cursor.is_none());
        assert_eq!(page.troubles.len(), 1);
    }

    #[test]
    fn an_instance_that_is_well_says_so() {
        let page = seen(&json!({"conditions": [condition("Ready", "True", "Polling", "all resources are polled")]}));
        assert_eq!((page.troubles.len(), page.summary.as_deref()), (0, Some("all resources are polled")));
        let strange = seen(&json!({"connect": {"url": "javascript:alert(1)"}}));
        assert_eq!(strange.connect, None);
        let new = seen(&Value::Null);
        assert_eq!((new.health, new.summary, new.resources.len()), (InstanceHealth::Starting, None, 0));
    }
}
