//! What the status of a `Connector` says, when it is to be looked at, and whether there is anything to write. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::status;
use super::watch::{Change, Seen};
use crate::api::conditions::{ConditionStatus, ConditionType, Problem, Reason};
use crate::api::identity::ConnectorRef;
use crate::poll::status::Condition;

/// What happens together is looked at together.
const TOGETHER: Duration = Duration::from_millis(500);
/// The instances of a namespace are counted again after this at the earliest, and
const APART: Duration = Duration::from_secs(5);
/// later by this for each of them: a count costs the API server what a list costs.
const APART_EACH: Duration = Duration::from_millis(1);
/// Pauses after a failure, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LAST_PAUSE: Duration = Duration::from_mins(5);
/// The column that says which connector an instance names.
const COLUMN: &str = "Connector";

/// What concerns the statuses of connectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// What the watch says of connectors.
    Connector(Change<ConnectorRef>),
    /// An instance of the namespace came, went or changed.
    Instances(Arc<str>),
}

/// The connectors of all namespaces, and when each namespace is to be looked at.
#[derive(Debug, Default)]
pub struct Statuses {
    namespaces: HashMap<Arc<str>, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    connectors: HashMap<Arc<str>, Known>,
    due: Option<Instant>,
    /// Not before this.
    rests: Option<Instant>,
    failures: u32,
}

/// What is known of one connector.
#[derive(Debug)]
struct Known {
    uid: String,
    version: String,
    is_ours: bool,
    /// The version that needs no write, and the count that it shows.
    settled: Option<(String, Option<i64>)>,
}

impl Statuses {
    /// Takes note. `is_ours` decides by the uid.
    pub fn note(&mut self, news: News, is_ours: impl Fn(&str) -> bool, now: Instant) {
        match news {
            News::Connector(Change::Seen(Seen { object: key, uid, version, .. })) => {
                let namespace = self.namespaces.entry(Arc::clone(&key.namespace)).or_default();
                let before = namespace.connectors.remove(&key.name);
                let settled = before.filter(|before| before.uid == uid).and_then(|before| before.settled);
                let known = Known { is_ours: is_ours(&uid), uid, version, settled };
                let is_due = known.is_ours && known.settled.as_ref().is_none_or(|(settled, _)| *settled != known.version);
                namespace.connectors.insert(key.name, known);
                if is_due {
                    namespace.come_due(now);
                }
            }
            News::Connector(Change::Gone(key)) => {
                self.retain(|namespace, name| (namespace, name) != (&key.namespace, &key.name));
            }
            News::Connector(Change::Listed(listing)) => self.retain(|namespace, name| {
                !listing.lacks(namespace, &ConnectorRef { namespace: Arc::clone(namespace), name: Arc::clone(name) })
            }),
            News::Instances(name) => {
                if let Some(namespace) = self.namespaces.get_mut(&name)
                    && namespace.connectors.values().any(|known| known.is_ours)
                {
                    namespace.come_due(now);
                }
            }
        }
    }

    fn retain(&mut self, is_there: impl Fn(&Arc<str>, &Arc<str>) -> bool) {
        self.namespaces.retain(|name, namespace| {
            namespace.connectors.retain(|connector, _| is_there(name, connector));
            !namespace.connectors.is_empty()
        });
    }

    /// What is ours may be another set now. What comes to us is looked at; what is another's may be written by it.
    pub fn share(&mut self, is_ours: impl Fn(&str) -> bool, now: Instant) {
        for namespace in self.namespaces.values_mut() {
            let mut comes = false;
            for known in namespace.connectors.values_mut() {
                let was_ours = std::mem::replace(&mut known.is_ours, is_ours(&known.uid));
                comes |= known.is_ours && !was_ours;
                if !known.is_ours {
                    known.settled = None;
                }
            }
            if comes {
                namespace.come_due(now);
            }
        }
    }

    /// When the next namespace is due.
    pub fn next(&self) -> Option<Instant> {
        self.namespaces.values().filter_map(|namespace| namespace.due).min()
    }

    /// Takes out the namespaces that are due, the longest waiting first, at most `at_most`.
    pub fn take_due(&mut self, at_most: usize, now: Instant) -> Vec<Arc<str>> {
        let mut due: Vec<_> = self.namespaces.iter().filter_map(|(name, of)| Some((of.due?, Arc::clone(name)))).collect();
        due.retain(|(at, _)| *at <= now);
        due.sort();
        due.truncate(at_most);
        for (_, name) in &due {
            if let Some(namespace) = self.namespaces.get_mut(name) {
                namespace.due = None;
            }
        }
        due.into_iter().map(|(_, name)| name).collect()
    }

    /// Those of ours in a namespace that differ from what their status is known to show, by these counts.
    pub fn unsettled(&self, namespace: &str, counts: &Counts) -> Vec<(ConnectorRef, Option<i64>)> {
        let Some(known) = self.namespaces.get(namespace) else { return Vec::new() };
        let mut found = Vec::new();
        for (name, known) in &known.connectors {
            let count = counts.of(name);
            let is_settled =
                known.settled.as_ref().is_some_and(|(version, shown)| *version == known.version && *shown == count);
            if known.is_ours && !is_settled {
                found.push((ConnectorRef::new(namespace, &**name), count));
            }
        }
        found.sort();
        found
    }

    /// A status shows this count now, and what else it must, in this version of the object.
    pub fn settle(&mut self, key: &ConnectorRef, version: String, count: Option<i64>) {
        let known = self.namespaces.get_mut(&key.namespace).and_then(|namespace| namespace.connectors.get_mut(&key.name));
        if let Some(known) = known.filter(|known| known.is_ours) {
            // The watch is perhaps a little behind.
            known.version.clone_from(&version);
            known.settled = Some((version, count));
        }
    }

    /// A namespace was looked at; its instances were counted, or something failed.
    pub fn rest(&mut self, namespace: &str, counted: Result<usize, ()>, now: Instant) {
        let Some(namespace) = self.namespaces.get_mut(namespace) else { return };
        if let Ok(instances) = counted {
            let each = APART_EACH.saturating_mul(u32::try_from(instances).unwrap_or(u32::MAX));
            namespace.failures = 0;
            namespace.rests = Some(now + APART + each);
            namespace.due = namespace.due.map(|due| due.max(now + APART + each));
        } else {
            let pause = FIRST_PAUSE.saturating_mul(1 << namespace.failures.min(10)).min(LAST_PAUSE);
            namespace.failures = namespace.failures.saturating_add(1);
            namespace.rests = Some(now + pause);
            namespace.due = Some(now + pause);
        }
    }
}

impl Namespace {
    fn come_due(&mut self, now: Instant) {
        let earliest = self.rests.map_or(now + TOGETHER, |rests| rests.max(now + TOGETHER));
        self.due.get_or_insert(earliest);
    }
}

/// How many instances of a namespace name which connector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    by_connector: HashMap<String, i64>,
    /// Instances in all.
    pub instances: usize,
    /// The installed definition does not say.
    is_unknown: bool,
}

impl Counts {
    /// Adds a page of a list of instances, as the API server prints it.
    pub fn add(&mut self, page: &Value) {
        let mut columns = page["columnDefinitions"].as_array().into_iter().flatten();
        let column = columns.position(|column| column["name"] == COLUMN);
        self.is_unknown |= column.is_none();
        for row in page["rows"].as_array().into_iter().flatten() {
            self.instances += 1;
            if let Some(name) = column.and_then(|column| row["cells"][column].as_str()) {
                *self.by_connector.entry(name.to_owned()).or_default() += 1;
            }
        }
    }

    /// How many name this one.
    fn of(&self, connector: &str) -> Option<i64> {
        (!self.is_unknown).then(|| self.by_connector.get(connector).copied().unwrap_or(0))
    }
}

/// Lays over a status what was found.
pub fn lay(
    status: &mut Map<String, Value>,
    problems: &[Problem],
    instances: Option<i64>,
    generation: Option<i64>,
    now: DateTime<Utc>,
) {
    let accepted = if problems.is_empty() {
        Condition {
            kind: ConditionType::Accepted,
            status: ConditionStatus::True,
            reason: Reason::Accepted,
            message: "instances can use this connector".to_owned(),
        }
    } else {
        let Problem { reason, message, .. } = Problem::all_in_one(problems);
        Condition { kind: ConditionType::Accepted, status: ConditionStatus::False, reason, message }
    };
    let kept = |kind: &str| kind != ConditionType::Accepted.as_str();
    let conditions = status::merge(status.get("conditions"), &[&accepted], kept, generation, now);
    status.insert("conditions".to_owned(), conditions);
    for (field, value) in [("observedGeneration", generation), ("instances", instances)] {
        match value {
            Some(value) => drop(status.insert(field.to_owned(), json!(value))),
            None => drop(status.remove(field)),
        }
    }
}

#[cfg(test)]
#[path = "connector_status_tests.rs"]
mod tests;
