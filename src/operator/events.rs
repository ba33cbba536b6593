//! Kubernetes Events, on transitions alone.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;

use super::event_queue::EventQueue;
use super::status::find;
use super::stored;
use crate::api::conditions::ConditionType;
use crate::api::identity::InstanceId;
use crate::state::wish;

/// Deadline of publishing one Event; it is news, never state.
const DEADLINE: Duration = Duration::from_secs(10);
/// Events that wait; of more, some are dropped, since the conditions say the same.
const MAX_WAITING: usize = 1024;
/// `events.k8s.io/v1` allows a note of 1 kB.
const MAX_NOTE: usize = 1000;

/// Something that changed in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// A person may have to act.
    pub warning: bool,
    /// Reason, the condition's.
    pub reason: String,
    /// Message, the condition's.
    pub note: String,
}

/// What changed between two statuses that deserves an Event: `Ready` and what it says, events that wait, cursors that were given
/// up. A condition that is not known yet is no news.
pub fn transitions(before: &Value, after: &Value) -> Vec<Transition> {
    let mut found = Vec::new();
    for kind in [ConditionType::Ready, ConditionType::EventsWaiting, ConditionType::CrdOutdated] {
        let Some(condition) = find(after.get("conditions"), kind).filter(|condition| condition["status"] != "Unknown") else {
            continue;
        };
        let old = find(before.get("conditions"), kind);
        if old.is_some_and(|old| old["status"] == condition["status"] && old["reason"] == condition["reason"]) {
            continue;
        }
        let good = if kind == ConditionType::Ready { "True" } else { "False" };
        found.push(Transition {
            warning: condition["status"] != good,
            reason: text(&condition["reason"]),
            note: text(&condition["message"]),
        });
    }
    for entry in after["resources"].as_array().into_iter().flatten() {
        let old = before["resources"].as_array().into_iter().flatten().find(|old| old["name"] == entry["name"]);
        // A reset starts the cursor's life again; the reason alone may be that of the last reset.
        let restarted = old.is_some_and(|old| old["cursor"]["started"] == true && entry["cursor"]["started"] != true);
        let reason = &entry["resetReason"];
        if reason.is_string() && (restarted || old.is_some_and(|old| old["resetReason"] != *reason)) {
            found.push(Transition {
                warning: true,
                reason: "CursorReset".to_owned(),
                note: format!(
                    "the cursor of resource {} was given up: {}; spec.polling.startFrom decides what is sent",
                    text(&entry["name"]),
                    text(reason)
                ),
            });
        }
    }
    found.extend(unknown_resources(before, after));
    found
}

/// Annotations that were acted on since, as far as they name resources that the instance does not have.
fn unknown_resources(before: &Value, after: &Value) -> Vec<Transition> {
    if before["bookkeeping"] == after["bookkeeping"] {
        return Vec::new();
    }
    let handled = |status: &Value| status["bookkeeping"].as_str().and_then(stored::all_handled).unwrap_or_default();
    let (old, new) = (handled(before), handled(after));
    let resources = after["resources"].as_array().into_iter().flatten();
    let known: Vec<&str> = resources.filter_map(|entry| entry["name"].as_str()).collect();
    let news = new.iter().filter(|(annotation, value)| old.get(*annotation) != Some(*value));
    let unknown = news.flat_map(|(annotation, value)| wish::unknown(annotation, value, &known));
    unknown.map(|note| Transition { warning: true, reason: "UnknownResource".to_owned(), note }).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Takes news in and publishes them in its own time, in turn by namespace.
#[derive(Clone)]
pub struct Publisher {
    queue: Arc<Mutex<EventQueue<(ObjectReference, Transition)>>>,
    /// Says that something waits; the task ends with the last of them.
    wake: mpsc::Sender<()>,
}

impl Publisher {
    /// Starts publishing in the name of `pod`. The task ends when the last publisher is dropped and all is published.
    pub fn start(client: Client, pod: Option<String>) -> (Self, tokio::task::JoinHandle<()>) {
        let queue = Arc::new(Mutex::new(EventQueue::new(MAX_WAITING)));
        let (wake, mut woken) = mpsc::channel(1);
        let fresh = move || {
            Recorder::new(client.clone(), Reporter { controller: super::cluster::MANAGER.to_owned(), instance: pod.clone() })
        };
        let mut recorder = fresh();
        let waiting = Arc::clone(&queue);
        let task = tokio::spawn(async move {
            while woken.recv().await.is_some() {
                loop {
                    let next = waiting.lock().pop();
                    let Some((about, transition)) = next else { break };
                    let event = event(transition);
                    let mut published = publish(&recorder, &event, &about).await;
                    if matches!(&published, Err(Failure::Answer(kube::Error::Api(status))) if status.code == 404) {
                        // The Event that this one would be counted with was deleted. A recorder that knows of none creates it.
                        let forgetful = fresh();
                        published = publish(&forgetful, &event, &about).await;
                        if published.is_ok() {
                            recorder = forgetful;
                        }
                    }
                    if let Err(failure) = published {
                        tracing::warn!(reason = event.reason, "{failure}");
                    }
                }
            }
        });
        (Self { queue, wake }, task)
    }

    /// Queues an Event for each change of an instance.
    pub fn publish(&self, instance: &InstanceId, transitions: Vec<Transition>) {
        for transition in transitions {
            let about = ObjectReference {
                api_version: Some(crate::api::API_VERSION.to_owned()),
                kind: Some("ConnectorInstance".to_owned()),
                namespace: Some(instance.namespace().to_owned()),
                name: Some(instance.name().to_owned()),
                uid: Some(instance.uid.to_string()),
                ..ObjectReference::default()
            };
            if self.queue.lock().push(&instance.instance.namespace, (about, transition)) {
                tracing::debug!("an Event is dropped: too many are waiting");
            }
        }
        // One that is full says already that something waits.
        let _ = self.wake.try_send(());
    }
}

/// Why an Event was not published.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("an Event cannot be published: {0}")]
    Answer(#[from] kube::Error),
    #[error("an Event was not published in time")]
    Late(#[from] tokio::time::error::Elapsed),
}

async fn publish(recorder: &Recorder, event: &Event, about: &ObjectReference) -> Result<(), Failure> {
    Ok(tokio::time::timeout(DEADLINE, recorder.publish(event, about)).await??)
}

fn event(transition: Transition) -> Event {
    let mut note = transition.note;
    if note.len() > MAX_NOTE {
        let end = (0..=MAX_NOTE).rev().find(|end| note.is_char_boundary(*end)).unwrap_or_default();
        note.truncate(end);
    }
    // Events of one action and reason are counted as one, and keep the note of the first: another cause is another action.
    let action = format!("Poll-{:08x}", xxhash_rust::xxh3::xxh3_64(note.as_bytes()) & u64::from(u32::MAX));
    Event {
        type_: if transition.warning { EventType::Warning } else { EventType::Normal },
        reason: transition.reason,
        note: Some(note),
        action,
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ready(status: &str, reason: &str) -> Value {
        json!({"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": format!("{reason}!")}]})
    }

    #[test]
    fn what_did_not_change_is_no_news() {
        assert_eq!(transitions(&Value::Null, &ready("Unknown", "Starting")), []);
        assert_eq!(transitions(&ready("True", "Polling"), &ready("True", "Polling")), []);
        let told = transitions(&ready("True", "Polling"), &ready("False", "Unauthorized"));
        assert_eq!(told, [Transition { warning: true, reason: "Unauthorized".to_owned(), note: "Unauthorized!".to_owned() }]);
        assert!(!transitions(&ready("False", "Unauthorized"), &ready("True", "Polling"))[0].warning);
        assert_eq!(transitions(&ready("True", "Polling"), &ready("True", "Suspended")).len(), 1);
    }

    #[test]
    fn a_reset_is_told_each_time() {
        let entry = |started: bool, reason: Option<&str>| json!({"resources": [{"name": "contacts", "resetReason": reason, "cursor": {"started": started}}]});
        assert_eq!(transitions(&entry(true, None), &entry(false, Some("asked for"))).len(), 1);
        assert_eq!(transitions(&entry(true, Some("asked for")), &entry(false, Some("asked for"))).len(), 1, "again");
        assert_eq!(transitions(&entry(true, Some("asked for")), &entry(true, Some("asked for"))), []);
        assert_eq!(transitions(&entry(false, Some("asked for")), &entry(true, Some("asked for"))), []);
        assert_eq!(transitions(&Value::Null, &entry(false, None)), []);
    }

    #[test]
    fn an_annotation_that_names_no_resource_is_told_once() {
        let status = |handled: Value| {
            let bookkeeping = json!({"format": 2, "handled": handled}).to_string();
            json!({"resources": [{"name": "contacts"}, {"name": "orders"}], "bookkeeping": bookkeeping})
        };
        let (none, typo) = (status(json!({})), status(json!({"pollinator.dev/redeliver": "contacs,orders 17"})));
        let told = transitions(&none, &typo);
        assert_eq!((told.len(), told[0].warning, &*told[0].reason), (1, true, "UnknownResource"));
        assert_eq!(
            told[0].note,
            "annotation pollinator.dev/redeliver names resource contacs, which this instance does not have; its resources are contacts, \
             orders"
        );
        assert_eq!(transitions(&typo, &typo), []);
        assert_eq!(transitions(&none, &status(json!({"pollinator.dev/poll-now": "contacs"}))), [], "it names none");
        assert_eq!(transitions(&none, &status(json!({"pollinator.dev/reset": "*"}))), [], "all");
    }
}
