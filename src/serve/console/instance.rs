//! One instance: what is wrong and how to fix it, its resources, and what can be asked of it. Pure.

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::advice::{Advice, advice, by_buttons};
use super::history::failures_in_a_row;
use super::manifest::manifest;
use super::overview::grouped;
use super::stamp::Stamp;
use crate::api::conditions::{ConditionType, Reason};
use crate::api::identity::InstanceRef;
use crate::api::instance::{ConnectorInstance, Format};
use crate::api::status::ResourceStatus;
use crate::api::visible::one_line;
use crate::instances::current;
use crate::instances::glance::{Glance, InstanceHealth, time};
use crate::instances::waiting::WaitingEvent;
use crate::observe::journal::Entry;
use crate::poll::status::InstanceStatus;

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
    /// The name that people gave it.
    pub display_name: Option<String>,
    /// How it is.
    pub health: InstanceHealth,
    /// How old the times of polls are.
    pub times: Times,
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
    /// What people call it.
    pub fn title(&self) -> &str {
        self.display_name.as_deref().unwrap_or(&self.of.name)
    }

    /// Counts the parked events of each resource, where its status does not say how many there are.
    pub fn count_parked(&mut self, queued: &[WaitingEvent]) {
        for resource in self.resources.iter_mut().filter(|own| own.parked == 0) {
            let parked = queued.iter().filter(|event| event.is_parked() && *event.resource == *resource.name);
            resource.parked = parked.count() as u64;
        }
    }

    /// Counts the polls of each resource that failed in a row.
    pub fn count_failures(&mut self, entries: &[Entry]) {
        for resource in &mut self.resources {
            resource.failures = failures_in_a_row(entries, &resource.name);
        }
    }
}

/// How old the times of an instance are, which are not reported while nothing else changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Times {
    /// They are those of this moment.
    Current,
    /// Another process polls the instance: they are as old as its status, if that is known.
    Reported(Option<Stamp>),
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
    /// The same for a person who has the buttons of the page.
    pub message_here: String,
    /// What is known of the reason.
    pub advice: Option<Advice>,
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
    /// When it is polled next, if that is still to come.
    pub next_poll: Option<Stamp>,
    /// When it was last polled with success.
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
    /// Polls that failed since the last one that did not, as this process saw them.
    pub failures: u64,
}

/// What the page shows of an instance. `owner`: who declares it, if not this product. `current`: how it is, if this process runs it.
pub fn page(
    instance: &ConnectorInstance,
    owner: Option<&str>,
    current: Option<&InstanceStatus>,
    now: DateTime<Utc>,
) -> InstancePage {
    let mut status = instance.status.clone();
    let times = match (current, &mut status) {
        (Some(current), Some(status)) => {
            current::lay(status, current);
            Times::Current
        }
        (None, Some(_)) => Times::Reported(current::written_at(instance).map(|at| Stamp::new(at, now))),
        (_, None) => Times::Current,
    };
    let glance = Glance::of(instance);
    let status = status.as_ref();
    let next = |at: &Time| next(time(at)?, &times, now);
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
        next_try: status.and_then(|status| next(status.waiting.as_ref()?.next_try.as_ref()?)),
        resources: resources.iter().map(|own| resource(own, own.next_poll_time.as_ref().and_then(next), now)).collect(),
        conditions: conditions.iter().map(|own| condition(own, now)).collect(),
        manifest: manifest(instance),
        is_suspended: spec.suspend,
        display_name: glance.display_name.as_deref().map(line),
        times,
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
            since: time(&own.last_transition_time).map(|at| Stamp::new(at, now)),
            message_here: by_buttons(&message),
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

/// When something is done next: what is due is done now, and what another process was to do by now may be done.
fn next(at: DateTime<Utc>, times: &Times, now: DateTime<Utc>) -> Option<Stamp> {
    let at = if *times == Times::Current { at.max(now) } else { at };
    (at >= now).then(|| Stamp::new(at, now))
}

fn resource(own: &ResourceStatus, next_poll: Option<Stamp>, now: DateTime<Utc>) -> ResourceRow {
    let cursor = own.cursor.as_ref().and_then(|cursor| cursor.since.as_deref());
    let cursor = cursor.and_then(|since| DateTime::parse_from_rfc3339(since).ok()).map(|since| since.to_utc());
    let stamp = |at: DateTime<Utc>| Stamp::new(at, now);
    let held = |own: &Condition| own.reason == Reason::DeletesHeld.as_str() && is_well(own) == Some(false);
    ResourceRow {
        name: line(&own.name),
        is_well: own.conditions.iter().all(|own| is_well(own) != Some(false)),
        cursor: cursor.map(stamp),
        next_poll,
        last_success: own.last_successful_poll_time.as_ref().and_then(time).map(stamp),
        pagination: own.pagination.as_deref().map(line),
        records_path: own.records_path.as_deref().map(line),
        reset_reason: own.reset_reason.as_deref().map(line),
        delivered: grouped(own.delivered.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()),
        parked: own.parked.and_then(|number| u64::try_from(number).ok()).unwrap_or_default(),
        has_held_deletes: own.conditions.iter().any(held),
        failures: 0,
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
    use crate::api::conditions::Problem;
    use crate::poll::status::refused;
    use crate::state::waiting::{InPassing, Waiting};

    const NOW: &str = "2026-01-31T12:00:00Z";

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-31T11:00:00Z"})
    }

    fn seen(status: &Value) -> InstancePage {
        let instance = serde_json::from_value(json!({
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "metadata": {"namespace": "crm", "name": "keap"},
            "spec": {"connector": "keap", "callback": {"url": "https://h.example/hooks/s3cret?token=s3cret"}}, "status": status,
        }));
        page(&instance.unwrap(), None, None, NOW.parse().unwrap())
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
        let parked = "events are parked: fix the receiver, then set the annotation pollinator.dev/redeliver";
        let page_of_parked = seen(&json!({"conditions": [condition("EventsWaiting", "True", "EventsParked", parked)]}));
        let told = &page_of_parked.troubles[0];
        assert_eq!(told.message_here, "events are parked: fix the receiver, then select Retry under Events that wait");
        assert_eq!(told.message, parked, "who may not press a button reads of the annotation");
        assert_eq!(page.callback, "https://h.example", "paths and queries of callbacks can be secrets");
    }

    #[test]
    fn a_resource_shows_its_cursor_and_times() {
        let page = seen(&json!({
            "conditions": [condition("Ready", "True", "Polling", "all resources are polled")],
            "resources": [{
                "name": "contacts", "delivered": 1200, "parked": 2, "nextPollTime": "2026-01-31T12:05:00Z",
                "cursor": {"meaning": "m", "since": "2026-01-31T11:30:00Z"}, "pagination": "page: {}",
                "conditions": [condition("DeletesFound", "False", "DeletesHeld", "30 records are missing")],
            }, {"name": "notes"}],
        }));
        let [contacts, notes] = &page.resources[..] else { panic!("{:?}", page.resources) };
        assert_eq!(contacts.cursor.as_ref().unwrap().distance, "30 min ago");
        assert_eq!((contacts.parked, contacts.has_held_deletes), (2, true));
        assert_eq!(contacts.next_poll.as_ref().unwrap().distance, "in 5 min");
        assert!(!contacts.is_well && notes.is_well && notes.cursor.is_none());
        assert_eq!(page.troubles.len(), 1);
    }

    /// What was reported is as old as the last change: what the engine knows counts, and what no one here knows is not shown as if it were.
    #[test]
    fn times_are_those_of_this_moment_or_say_how_old_they_are() {
        let waiting = json!({"events": 1, "oldest": "2026-01-31T11:00:00Z", "nextTry": "2026-01-31T11:40:00Z"});
        let mut read: ConnectorInstance = serde_json::from_value(json!({
            "apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance",
            "metadata": {"namespace": "crm", "name": "keap", "managedFields": [
                {"manager": "kubectl", "time": "2026-01-31T11:59:00Z"},
                {"manager": "pollinator", "subresource": "status", "time": "2026-01-31T11:45:00Z"},
            ]},
            "spec": {"connector": "keap", "displayName": "日本語", "callback": {"url": "https://h.example/in"}},
            "status": {
                "conditions": [condition("Ready", "True", "Polling", "all resources are polled")], "waiting": waiting,
                "resources": [{
                    "name": "contacts", "lastSuccessfulPollTime": "2026-01-31T11:45:00Z", "nextPollTime": "2026-01-31T11:45:06Z",
                    "cursor": {"meaning": "m", "since": "2026-01-31T11:30:00Z"},
                }],
            },
        }))
        .unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let mut now: InstanceStatus =
            refused(InstanceRef::new("crm", "keap"), None, &Problem::human(Reason::InvalidSpec, "spec"));
        now.waiting = Some(Waiting {
            events: 1,
            oldest: InPassing(Some(at("2026-01-31T11:00:00Z"))),
            next_try: Some(at("2026-01-31T12:03:00Z")),
        });
        now.resources = vec![crate::poll::status::ResourceStatus {
            name: "contacts".to_owned(),
            cursor: Some("2026-01-31T11:31:00Z".to_owned()),
            delivered: 0,
            last_successful_poll_time: InPassing(Some(at("2026-01-31T11:59:58Z"))),
            next_poll_time: InPassing(Some(at("2026-01-31T12:00:04Z"))),
            records_path: None,
            pagination: None,
            reset_reason: None,
            conditions: Vec::new(),
        }];
        let shown = |read: &ConnectorInstance, now: Option<&InstanceStatus>| {
            let page = page(read, None, now, at(NOW));
            let distance = |stamp: &Option<Stamp>| stamp.as_ref().map_or("-".to_owned(), |stamp| stamp.distance.clone());
            let own = &page.resources[0];
            let times = [&own.last_success, &own.next_poll, &page.next_try, &own.cursor].map(distance);
            (times.join(", "), page.times)
        };
        assert_eq!(shown(&read, Some(&now)), ("2 s ago, in 4 s, in 3 min, 29 min ago".to_owned(), Times::Current));
        // a poll that is due is under way
        now.resources[0].next_poll_time = InPassing(Some(at("2026-01-31T11:59:57Z")));
        assert_eq!(shown(&read, Some(&now)).0, "2 s ago, now, in 3 min, 29 min ago");
        // another replica runs it
        let (times, Times::Reported(Some(as_of))) = shown(&read, None) else { panic!("{:?}", shown(&read, None)) };
        assert_eq!((&*times, &*as_of.distance), ("15 min ago, -, -, 30 min ago", "15 min ago"));
        assert_eq!(page(&read, None, None, at(NOW)).display_name.as_deref(), Some("日本語"));
        // nothing waits any more, and nothing was reported yet
        now.waiting = None;
        assert_eq!(page(&read, None, Some(&now), at(NOW)).next_try, None);
        read.status = None;
        assert_eq!(page(&read, None, None, at(NOW)).times, Times::Current);
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
