//! Judges every status that an operator wrote, one after the other, by the rules that tools and people rely on.
//!
//! kstatus is what Flux, kpt and Argo CD go by (kubernetes-sigs/cli-utils, `pkg/kstatus`): the generation, `Stalled`,
//! `Reconciling` and `Ready`, in this order. Beside it stand the API conventions for conditions and the page of conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono::{DateTime, FixedOffset};
use regex::Regex;
use serde_json::Value;

use super::api_proxy::Call;
use super::canary;

/// The documented condition types, in the order in which they stand.
static TYPES: LazyLock<(Vec<String>, Vec<String>)> = LazyLock::new(|| {
    let page = include_str!("../../../docs/reference/conditions.md");
    let rows = |heading: &str| -> Vec<String> {
        let (_, part) = page.split_once(&format!("## {heading}\n")).expect("the table of types");
        let part = part.split("\n## ").next().unwrap_or_default();
        let row = |line: &str| line.strip_prefix("| `").and_then(|rest| rest.split_once('`')).map(|(name, _)| name.to_owned());
        part.lines().filter_map(row).collect()
    };
    (rows("Types of an instance"), rows("Types of a resource"))
});

/// The documented reasons.
static REASONS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let page = include_str!("../../../docs/reference/conditions.md");
    page.lines().filter_map(|line| line.strip_prefix("#### `")?.strip_suffix('`')).collect()
});

/// What changes from one attempt to the next and so must not stand in a message: times, uids, ids of events.
static PASSING: LazyLock<Regex> = LazyLock::new(|| {
    let (time, uid, event) = (r"\d{4}-\d\d-\d\dT\d\d:\d\d", r"[0-9a-f]{8}-[0-9a-f]{4}-", r"\b[a-z2-7]{32}\b");
    Regex::new(&format!("{time}|{uid}|{event}")).expect("a pattern")
});

/// A sentence may hold so many characters.
const MAX_MESSAGE: usize = 4096;
/// A status may have so many bytes.
const MAX_STATUS: usize = 64 * 1024;

/// What kstatus makes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kstatus {
    Current,
    InProgress,
    Failed,
    Terminating,
}

/// As kstatus computes it for custom resources.
pub fn kstatus(object: &Value) -> Kstatus {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Kstatus::Terminating;
    }
    let observed = &object["status"]["observedGeneration"];
    if observed.is_number() && *observed != object["metadata"]["generation"] {
        return Kstatus::InProgress;
    }
    let is = |kind: &str, status: &str| {
        let conditions = object["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == kind && one["status"] == status))
    };
    match () {
        () if is("Stalled", "True") => Kstatus::Failed,
        () if is("Reconciling", "True") || is("Ready", "False") || is("Ready", "Unknown") => Kstatus::InProgress,
        () => Kstatus::Current,
    }
}

/// What is wrong with the statuses that passed a proxy, one line each.
pub fn lint_calls(calls: &[Call]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut before: BTreeMap<String, Value> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.is("update", "connectorinstances/status") && !call.target.contains("dryRun")) {
        let object = call.json();
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        match call.status {
            Some(200) => {
                wrong.extend(lint(&object, before.get(&uid)).into_iter().map(|line| format!("{}: {line}", call.name)));
                before.insert(uid, object);
            }
            // refused: it never was the status
            Some(409 | 404 | 403 | 422) => {}
            // nobody knows
            _ => drop(before.remove(&uid)),
        }
    }
    wrong
}

/// What is wrong with one status, given the one before it.
pub fn lint(object: &Value, before: Option<&Value>) -> Vec<String> {
    let mut wrong = Vec::new();
    let (status, old) = (&object["status"], before.map_or(&Value::Null, |before| &before["status"]));
    let (types, of_resources) = &*TYPES;
    let scope = Scope { generation: object["metadata"]["generation"].as_i64(), place: String::new(), types };
    scope.list(&status["conditions"], &old["conditions"], &mut wrong);
    for resource in status["resources"].as_array().into_iter().flatten() {
        let old = old["resources"].as_array().into_iter().flatten().find(|old| old["name"] == resource["name"]);
        let place = format!("resource {}: ", resource["name"]);
        let scope = Scope { place, types: of_resources, ..scope };
        scope.list(&resource["conditions"], old.map_or(&Value::Null, |old| &old["conditions"]), &mut wrong);
    }
    summary(object, old, &mut wrong);
    if status.to_string().len() > MAX_STATUS {
        wrong.push(format!("the status has more than {MAX_STATUS} bytes"));
    }
    wrong
}

fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

/// How `Ready`, `Stalled`, `Reconciling` and the generation go together.
fn summary(object: &Value, old: &Value, wrong: &mut Vec<String>) {
    let status = &object["status"];
    let observed = status["observedGeneration"].as_i64();
    if observed.is_none() {
        wrong.push("observedGeneration is missing: kstatus would not look whether the status is about this spec".to_owned());
    }
    if observed > object["metadata"]["generation"].as_i64() {
        wrong.push("observedGeneration is ahead".to_owned());
    }
    if observed < old["observedGeneration"].as_i64() {
        wrong.push("observedGeneration goes back".to_owned());
    }
    let Some(ready) = find(status, "Ready") else {
        wrong.push("Ready is missing: kstatus would call it Current".to_owned());
        return;
    };
    let (stalled, reconciling) = (find(status, "Stalled"), find(status, "Reconciling"));
    for one in [stalled, reconciling].into_iter().flatten() {
        if one["status"] != "True" {
            wrong.push(format!("{} stands there and is {}", one["type"], one["status"]));
        }
        if one["reason"] != ready["reason"] || one["message"] != ready["message"] {
            wrong.push(format!(
                "{} and Ready tell of different causes: {} and {}",
                one["type"], one["message"], ready["message"]
            ));
        }
    }
    if stalled.is_some() && reconciling.is_some() {
        wrong.push("Stalled and Reconciling at once".to_owned());
    }
    let is_going = stalled.is_some() || reconciling.is_some();
    if is_going != (ready["status"] == "False") {
        wrong.push(format!("Ready is {} and Stalled or Reconciling is {is_going}", ready["status"]));
    }
    let expected = match ready["status"].as_str() {
        Some("True") => Kstatus::Current,
        Some("False") if stalled.is_some() => Kstatus::Failed,
        _ => Kstatus::InProgress,
    };
    let seen = kstatus(object);
    if seen != expected && seen != Kstatus::Terminating && observed == object["metadata"]["generation"].as_i64() {
        wrong.push(format!("kstatus says {seen:?} and should say {expected:?}"));
    }
}

/// Where a list of conditions stands.
struct Scope<'a> {
    generation: Option<i64>,
    place: String,
    types: &'a [String],
}

impl Scope<'_> {
    fn list(&self, conditions: &Value, old: &Value, wrong: &mut Vec<String>) {
        let list = conditions.as_array().map_or(&[][..], Vec::as_slice);
        let mut seen = BTreeSet::new();
        let mut rank = 0;
        for condition in list {
            let kind = condition["type"].as_str().unwrap_or_default();
            let mut tell = |what: String| wrong.push(format!("{}{kind}: {what}", self.place));
            if !seen.insert(kind) {
                tell("stands there twice".to_owned());
            }
            // a prefix says that it is somebody else's
            if kind.contains('/') {
                rank = usize::MAX;
                continue;
            }
            match self.types.iter().position(|known| known == kind) {
                Some(own) if own < rank => tell("is out of order".to_owned()),
                Some(own) => rank = own,
                None => tell("is not on the page of conditions".to_owned()),
            }
            self.one(condition, &mut tell);
            let before = old.as_array().into_iter().flatten().find(|old| old["type"] == kind);
            if let Some(before) = before {
                transition(condition, before, &mut tell);
            }
        }
    }

    fn one(&self, condition: &Value, tell: &mut impl FnMut(String)) {
        let text = |field: &str| condition[field].as_str().unwrap_or_default();
        if !matches!(text("status"), "True" | "False" | "Unknown") {
            tell(format!("its status is {}", condition["status"]));
        }
        if !REASONS.contains(text("reason")) {
            tell(format!("its reason {} is not on the page of conditions", condition["reason"]));
        }
        if condition["observedGeneration"].as_i64() > self.generation {
            tell("its observedGeneration is ahead".to_owned());
        }
        if time(condition).is_none() || !text("lastTransitionTime").ends_with('Z') || text("lastTransitionTime").contains('.') {
            tell(format!("its lastTransitionTime is {}", condition["lastTransitionTime"]));
        }
        let message = text("message");
        if message.is_empty() || message.trim() != message || message.contains('\n') || message.chars().count() > MAX_MESSAGE {
            tell(format!("its message is no sentence: {message:?}"));
        }
        if let Some(found) = PASSING.find(message) {
            tell(format!("its message changes from time to time: {}", found.as_str()));
        }
        if let Some(secret) = canary::find_in(message) {
            tell(format!("its message shows a secret: {secret}"));
        }
    }
}

fn time(condition: &Value) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(condition["lastTransitionTime"].as_str()?).ok()
}

/// The time of the last transition moves with the status and never otherwise.
fn transition(now: &Value, before: &Value, tell: &mut impl FnMut(String)) {
    if now["status"] == before["status"] && time(now) != time(before) {
        tell(format!("its lastTransitionTime moves while it stays {}", now["status"]));
    }
    if time(now) < time(before) {
        tell("its lastTransitionTime goes back".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn condition(kind: &str, status: &str, reason: &str) -> Value {
        json!({
            "type": kind, "status": status, "reason": reason, "message": format!("{reason} it is"),
            "lastTransitionTime": "2026-01-31T00:00:00Z", "observedGeneration": 2
        })
    }

    fn failing() -> Value {
        json!({
            "metadata": {"generation": 2},
            "status": {
                "observedGeneration": 2,
                "conditions": [
                    condition("Ready", "False", "Unauthorized"), condition("Authenticated", "False", "Unauthorized"),
                    condition("Stalled", "True", "Unauthorized"), {"type": "example.com/Audited"},
                ],
                "resources": [{"name": "orders", "conditions": [condition("Polled", "False", "Unauthorized")]}]
            }
        })
    }

    #[test]
    fn the_page_of_conditions_is_read() {
        let (types, of_resources) = &*TYPES;
        assert_eq!((types[0].as_str(), of_resources[0].as_str()), ("Ready", "Polled"));
        assert!(types.len() >= 8 && of_resources.len() >= 6 && REASONS.len() > 30, "{:?} {:?}", *TYPES, *REASONS);
    }

    #[test]
    fn kstatus_is_computed_as_by_its_library() {
        let object = failing();
        assert_eq!(kstatus(&object), Kstatus::Failed);
        let with = |change: &dyn Fn(&mut Value)| {
            let mut object = object.clone();
            change(&mut object);
            kstatus(&object)
        };
        assert_eq!(with(&|o| drop(o["status"].take())), Kstatus::Current, "the trap: nothing was written yet");
        assert_eq!(with(&|o| o["metadata"]["generation"] = json!(3)), Kstatus::InProgress);
        assert_eq!(with(&|o| o["metadata"]["deletionTimestamp"] = json!("x")), Kstatus::Terminating);
        assert_eq!(with(&|o| o["status"]["conditions"][2]["type"] = json!("Reconciling")), Kstatus::InProgress);
        assert_eq!(with(&|o| drop(o["status"]["conditions"][2].take())), Kstatus::InProgress);
        assert_eq!(with(&|o| o["status"]["conditions"] = json!([condition("Ready", "True", "Polling")])), Kstatus::Current);
    }

    #[test]
    fn finds_each_fault() {
        assert_eq!(lint(&failing(), Some(&failing())), [""; 0]);
        let stays = |path: &str, value: Value| (path.to_owned(), value);
        for ((path, value), says) in [
            (stays("/status/observedGeneration", json!(3)), "observedGeneration is ahead"),
            (stays("/status/observedGeneration", json!(1)), "observedGeneration goes back"),
            (stays("/status/observedGeneration", Value::Null), "observedGeneration is missing"),
            (stays("/status/conditions", json!([])), "Ready is missing"),
            (stays("/status/conditions/1/type", json!("Ready")), "stands there twice"),
            (stays("/status/conditions/1/type", json!("Happy")), "is not on the page"),
            (stays("/status/conditions/0", condition("EventsWaiting", "True", "Retrying")), "is out of order"),
            (stays("/status/conditions/3/type", json!("Reconciling")), "Stalled and Reconciling at once"),
            (stays("/status/conditions/2/status", json!("False")), "stands there and is"),
            (stays("/status/conditions/2/message", json!("other")), "tell of different causes"),
            (stays("/status/conditions/2/type", json!("example.com/Other")), "Ready is \"False\""),
            (stays("/status/conditions/0/status", json!("True")), "Ready is \"True\""),
            (stays("/status/conditions/0/status", json!("Maybe")), "its status is"),
            (stays("/status/conditions/0/reason", json!("Tuesday")), "is not on the page"),
            (stays("/status/conditions/0/observedGeneration", json!(3)), "its observedGeneration is ahead"),
            (stays("/status/conditions/0/lastTransitionTime", json!("2026-01-31T00:00:01Z")), "moves while it stays"),
            (stays("/status/conditions/0/lastTransitionTime", json!("2026-01-30T00:00:00Z")), "goes back"),
            (stays("/status/conditions/0/lastTransitionTime", json!("2026-01-31T00:00:00.5Z")), "its lastTransitionTime is"),
            (stays("/status/conditions/1/message", json!("")), "is no sentence"),
            (stays("/status/conditions/1/message", json!("failed at 2026-01-31T00:00:00Z")), "changes from time to time"),
            (stays("/status/conditions/1/message", json!(format!("sent {}", canary::TOKEN))), "shows a secret"),
            (stays("/status/resources/0/conditions/0/reason", json!("Tuesday")), "resource \"orders\": Polled"),
            (stays("/status/bookkeeping", json!("x".repeat(MAX_STATUS))), "more than 65536 bytes"),
        ] {
            let mut object = failing();
            match object.pointer_mut(&path) {
                Some(place) => *place = value,
                None => drop(object["status"].as_object_mut().unwrap().insert("bookkeeping".to_owned(), value)),
            }
            let wrong = lint(&object, Some(&failing()));
            assert!(wrong.iter().any(|line| line.contains(says)), "{path}: {says}: {wrong:#?}");
        }
    }
}
