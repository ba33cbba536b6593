//! A status report as it is written to the status: conditions with their times, and what goes with them. Pure.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::stored::{set, time};
use crate::api::conditions::{ConditionStatus, ConditionType, Reason};
use crate::poll::status::{Condition, InstanceStatus};

/// Most bytes of a status: what a server and every watcher takes without strain.
pub const MAX_STATUS: usize = 64 * 1024;
/// Most characters of one message.
const MAX_MESSAGE: usize = 4096;
/// Most characters of a detected pagination.
const MAX_PAGINATION: usize = 512;
/// These sum up; they change together.
const SUMMARY: [ConditionType; 3] = [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled];

/// Lays a report over a status. Until the first polls after a start have ended, little is known, and what was known before
/// stays; `confirmed` says that they have.
pub fn lay(status: &mut Map<String, Value>, report: &InstanceStatus, confirmed: bool, now: DateTime<Utc>) {
    let ready = find(status.get("conditions"), ConditionType::Ready);
    let same_generation = ready.is_some_and(|ready| ready["observedGeneration"].as_i64() == report.generation);
    let is_starting = report.ready == ConditionStatus::Unknown;
    if same_generation && is_starting && ready.is_some_and(|ready| ready["status"] != ConditionStatus::Unknown.as_str()) {
        return;
    }
    let failing = report
        .resources
        .iter()
        .flat_map(|own| &own.conditions)
        .any(|c| c.kind == ConditionType::Polled && c.status == ConditionStatus::False);
    // One failed poll after a restart does not show that what was wrong is fixed.
    let keep_summary = !confirmed
        && same_generation
        && failing
        && report.ready == ConditionStatus::True
        && report.reason == Reason::Polling
        && ready.is_some_and(|ready| ready["status"] == ConditionStatus::False.as_str());
    let fresh: Vec<_> =
        report.conditions.iter().filter(|condition| !(keep_summary && SUMMARY.contains(&condition.kind))).collect();
    // A condition of no type of ours belongs to another controller.
    let kept = |kind: &str| match own(kind) {
        None | Some(ConditionType::CrdOutdated) => true,
        Some(kind) => keep_summary && SUMMARY.contains(&kind),
    };
    let conditions = merge(status.get("conditions"), &fresh, kept, report.generation, now);
    status.insert("conditions".to_owned(), conditions);
    set(status, "connect", report.connect.as_ref().map(|connect| json!({"url": connect.url})));
    set(status, "observedGeneration", report.generation.map(|generation| json!(generation)));
    let mut resources = match status.remove("resources") {
        Some(Value::Array(resources)) => resources,
        _ => Vec::new(),
    };
    for own in &report.resources {
        let index = resources.iter().position(|entry| entry["name"] == own.name.as_str()).unwrap_or_else(|| {
            resources.push(json!({"name": own.name}));
            resources.len() - 1
        });
        let Value::Object(entry) = &mut resources[index] else { continue };
        let fresh: Vec<_> = own.conditions.iter().collect();
        let conditions = merge(entry.get("conditions"), &fresh, |_| false, report.generation, now);
        set(entry, "conditions", Some(conditions).filter(|list| list.as_array().is_some_and(|list| !list.is_empty())));
        if own.pagination.is_some() {
            let text = own.pagination.as_ref().map(|text| text.chars().take(MAX_PAGINATION).collect::<String>());
            set(entry, "pagination", text.map(Value::String));
        }
    }
    set(status, "resources", Some(Value::Array(resources)).filter(|list| list.as_array().is_some_and(|list| !list.is_empty())));
}

/// Lays the times of polls over a status that is written for something else: an idle poll writes nothing.
pub fn lay_times(status: &mut Map<String, Value>, report: &InstanceStatus) {
    let entries = status.get_mut("resources").and_then(Value::as_array_mut).into_iter().flatten();
    for entry in entries.filter_map(Value::as_object_mut) {
        let Some(own) = report.resources.iter().find(|own| entry.get("name").is_some_and(|name| *name == *own.name)) else {
            continue;
        };
        for (name, at) in [("lastSuccessfulPollTime", &own.last_successful_poll_time), ("nextPollTime", &own.next_poll_time)] {
            if !at.is_none() {
                entry.insert(name.to_owned(), json!(at));
            }
        }
    }
}

/// Sets or removes the condition that says that the installed CRD lacks fields.
pub fn lay_outdated(status: &mut Map<String, Value>, message: Option<&str>, now: DateTime<Utc>) {
    let conditions = status.get("conditions");
    if message.is_none() && find(conditions, ConditionType::CrdOutdated).is_none() {
        return;
    }
    let told = message.map(|message| Condition {
        kind: ConditionType::CrdOutdated,
        status: ConditionStatus::True,
        reason: Reason::CrdOutdated,
        message: message.to_owned(),
    });
    let fresh: Vec<_> = told.iter().collect();
    let conditions = merge(conditions, &fresh, |kind| own(kind) != Some(ConditionType::CrdOutdated), None, now);
    status.insert("conditions".to_owned(), conditions);
}

/// Leaves out what is least missed until the status is small enough: conditions of resources that hold, then all of resources.
pub fn fit(status: &mut Map<String, Value>) {
    for only_true in [true, false] {
        if json_size(status) <= MAX_STATUS {
            return;
        }
        for entry in status.get_mut("resources").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(conditions) = entry["conditions"].as_array_mut() else { continue };
            conditions.retain(|condition| only_true && condition["status"] != "True");
            if conditions.is_empty()
                && let Value::Object(entry) = entry
            {
                entry.remove("conditions");
            }
        }
    }
}

fn json_size(status: &Map<String, Value>) -> usize {
    serde_json::to_string(status).map_or(usize::MAX, |text| text.len())
}

/// The condition of that type in a list.
pub fn find(conditions: Option<&Value>, kind: ConditionType) -> Option<&Value> {
    conditions?.as_array()?.iter().find(|condition| condition["type"] == kind.as_str())
}

/// The type of ours that has this name.
fn own(kind: &str) -> Option<ConditionType> {
    ConditionType::OF_INSTANCE.into_iter().find(|own| own.as_str() == kind)
}

/// `fresh` conditions, then the old ones that are `kept`. The time of the last transition changes with the status alone.
pub(super) fn merge(
    old: Option<&Value>,
    fresh: &[&Condition],
    kept: impl Fn(&str) -> bool,
    generation: Option<i64>,
    now: DateTime<Utc>,
) -> Value {
    let mut merged = Vec::new();
    for condition in fresh {
        let before = find(old, condition.kind).filter(|before| before["status"] == condition.status.as_str());
        let since =
            before.map(|before| before["lastTransitionTime"].clone()).filter(Value::is_string).or_else(|| time(Some(now)));
        let mut message = condition.message.clone();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
        }
        let mut value = json!({
            "type": condition.kind, "status": condition.status, "reason": condition.reason, "message": message,
            "lastTransitionTime": since,
        });
        if let Some(generation) = generation {
            value["observedGeneration"] = json!(generation);
        }
        merged.push(value);
    }
    let others = old.and_then(Value::as_array).into_iter().flatten();
    merged.extend(others.filter(|condition| condition["type"].as_str().is_some_and(&kept)).cloned());
    // Whatever was kept or came: the same conditions are always in the same order, so that a diff shows what changed.
    let types = ConditionType::OF_INSTANCE;
    merged.sort_by_key(|condition| types.iter().position(|own| condition["type"] == own.as_str()).unwrap_or(types.len()));
    Value::Array(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::ConditionStatus::{False, True, Unknown};
    use crate::api::identity::InstanceRef;
    use crate::poll::status::ResourceStatus;
    use crate::state::waiting::InPassing;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn condition(kind: ConditionType, status: ConditionStatus, reason: Reason) -> Condition {
        Condition { kind, status, reason, message: format!("{reason} it is") }
    }

    fn report(ready: ConditionStatus, reason: Reason, polled: ConditionStatus) -> InstanceStatus {
        let mut conditions = vec![condition(ConditionType::Ready, ready, reason)];
        if ready == False {
            conditions.push(condition(ConditionType::Stalled, True, reason));
        }
        InstanceStatus {
            instance: InstanceRef::new("crm", "keap"),
            generation: Some(2),
            ready,
            reason,
            message: format!("{reason} it is"),
            delivered: 0,
            parked: 0,
            set_aside: 0,
            waiting: None,
            last_change_time: None,
            connect: None,
            conditions,
            resources: vec![ResourceStatus {
                name: "contacts".into(),
                cursor: None,
                delivered: 0,
                last_successful_poll_time: InPassing(Some(at(0))),
                next_poll_time: InPassing::default(),
                records_path: None,
                pagination: Some("linkHeader".into()),
                reset_reason: None,
                conditions: vec![condition(ConditionType::Polled, polled, reason)],
            }],
        }
    }

    fn laid(over: &Value, report: &InstanceStatus, confirmed: bool, now: i64) -> Value {
        let Value::Object(mut status) = over.clone() else { panic!() };
        lay(&mut status, report, confirmed, at(now));
        Value::Object(status)
    }

    fn types(status: &Value) -> Vec<&str> {
        status["conditions"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn times_change_on_transitions_alone() {
        let first = laid(&json!({}), &report(True, Reason::Polling, True), true, 0);
        assert_eq!(first["observedGeneration"], 2);
        assert_eq!(first["resources"][0]["pagination"], "linkHeader");
        assert_eq!(laid(&first, &report(True, Reason::Polling, True), true, 60), first, "nothing to write");
        let Value::Object(mut timed) = first.clone() else { panic!() };
        lay_times(&mut timed, &report(True, Reason::Polling, True));
        assert_eq!(timed["resources"][0]["lastSuccessfulPollTime"], "2027-01-15T08:00:00Z");
        assert_eq!(laid(&Value::Object(timed.clone()), &report(True, Reason::Polling, True), true, 60), Value::Object(timed));
        let other = laid(&first, &report(True, Reason::Suspended, True), true, 60);
        assert_eq!(other["conditions"][0]["reason"], "Suspended");
        assert_eq!(other["conditions"][0]["lastTransitionTime"], first["conditions"][0]["lastTransitionTime"]);
        let failed = laid(&other, &report(False, Reason::Unauthorized, False), true, 90);
        assert_eq!(failed["conditions"][0]["lastTransitionTime"], "2027-01-15T08:01:30Z");
        assert_eq!(types(&failed), ["Ready", "Stalled"]);
        assert_eq!(types(&laid(&failed, &report(True, Reason::Polling, True), true, 91)), ["Ready"], "Stalled only while true");
    }

    #[test]
    fn what_belongs_to_others_stays() {
        let status = json!({
            "conditions": [{"type": "example.com/Audited", "status": "True"}],
            "resources": [{"name": "contacts", "cursor": {"meaning": "1"}}, {"name": "other"}]
        });
        let status = laid(&status, &report(True, Reason::Polling, True), true, 0);
        assert_eq!(types(&status), ["Ready", "example.com/Audited"]);
        assert_eq!(status["resources"][0]["cursor"]["meaning"], "1");
        assert_eq!(status["resources"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_restart_does_not_forget_what_was_known() {
        let starting = report(Unknown, Reason::Starting, True);
        let good = laid(&json!({}), &report(True, Reason::Polling, True), true, 0);
        assert_eq!(laid(&good, &starting, false, 60), good);
        let mut other = starting.clone();
        other.generation = Some(3);
        assert_eq!(laid(&good, &other, false, 60)["conditions"][0]["status"], "Unknown", "a new generation starts over");
        let bad = laid(&json!({}), &report(False, Reason::ProviderError, False), true, 0);
        let after = laid(&bad, &report(True, Reason::Polling, False), false, 60);
        assert_eq!(types(&after), ["Ready", "Stalled"]);
        assert_eq!(after["conditions"], bad["conditions"], "one more failure fixes nothing");
        let mended = laid(&bad, &report(True, Reason::Polling, True), false, 60);
        assert_eq!(mended["conditions"][0]["status"], "True");
        let between = laid(&bad, &report(True, Reason::Polling, False), true, 60);
        assert_eq!(between["conditions"][0]["status"], "True", "later the engine's own threshold decides");
    }

    #[test]
    fn an_outdated_crd_is_told_beside_the_rest() {
        let good = laid(&json!({}), &report(True, Reason::Polling, True), true, 0);
        let Value::Object(mut status) = good.clone() else { panic!() };
        lay_outdated(&mut status, Some("apply the CRDs"), at(0));
        let told = Value::Object(status.clone());
        assert_eq!(types(&told), ["Ready", "CrdOutdated"]);
        assert_eq!(types(&laid(&told, &report(True, Reason::Polling, True), true, 0)), ["Ready", "CrdOutdated"]);
        lay_outdated(&mut status, None, at(0));
        assert_eq!(Value::Object(status), good);
    }

    #[test]
    fn a_status_that_is_too_large_loses_the_least_first() {
        let mut huge = report(True, Reason::Polling, True);
        let long = "x".repeat(MAX_MESSAGE + 100);
        let resource = |index: usize, polled| ResourceStatus {
            name: format!("r{index}"),
            conditions: vec![Condition { message: long.clone(), ..condition(ConditionType::Polled, polled, Reason::Polling) }],
            ..huge.resources[0].clone()
        };
        huge.resources = (0..40).map(|index| resource(index, if index < 4 { False } else { True })).collect();
        let Value::Object(mut status) = laid(&json!({}), &huge, true, 0) else { panic!() };
        assert!(json_size(&status) > MAX_STATUS);
        assert_eq!(status["resources"][0]["conditions"][0]["message"].as_str().unwrap().len(), MAX_MESSAGE);
        fit(&mut status);
        assert!(json_size(&status) <= MAX_STATUS);
        assert!(status["resources"][0].get("conditions").is_some() && status["resources"][9].get("conditions").is_none());
        assert_eq!(status["resources"].as_array().unwrap().len(), 40);
    }
}
