//! A pod's status from what is known of its containers, as a kubelet writes it.

use std::net::Ipv4Addr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// One container, now.
#[derive(Clone, Debug)]
pub struct ContainerFacts {
    pub name: String,
    pub image: String,
    pub state: State,
    /// How it ended the last time, once it was started again or waits for that.
    pub last: Option<Ended>,
    pub restarts: u32,
    /// By its probe, or without one.
    pub ready: bool,
    pub started: bool,
    /// Identity of its present or last run.
    pub id: String,
}

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Waiting { reason: String, message: String },
    Running { since: DateTime<Utc> },
    Ended(Ended),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: i32,
    pub started: DateTime<Utc>,
    pub finished: DateTime<Utc>,
}

/// `restartPolicy` of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    pub fn of(text: Option<&str>) -> Self {
        match text {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    /// Whether a container that ended so is started again.
    pub fn restarts(self, code: i32) -> bool {
        self == Self::Always || self == Self::OnFailure && code != 0
    }
}

/// One pod, now.
#[derive(Clone, Debug)]
pub struct PodFacts {
    pub ip: Ipv4Addr,
    pub started: DateTime<Utc>,
    pub generation: i64,
    pub restart_policy: RestartPolicy,
    /// Volumes are there and the first container was tried.
    pub has_sandbox: bool,
    pub init: Vec<ContainerFacts>,
    pub containers: Vec<ContainerFacts>,
    /// It was told to end, and all that ran has ended.
    pub is_over: bool,
}

impl ContainerFacts {
    fn has_succeeded(&self) -> bool {
        matches!(&self.state, State::Ended(ended) if ended.code == 0)
    }
}

impl PodFacts {
    /// All init containers have succeeded.
    pub fn is_initialised(&self) -> bool {
        self.init.iter().all(ContainerFacts::has_succeeded)
    }

    /// The phase (pod life cycle, "Pod phase").
    pub fn phase(&self) -> &'static str {
        let ended = |one: &&ContainerFacts| matches!(one.state, State::Ended(_));
        let has_failed =
            |one: &ContainerFacts| matches!(&one.state, State::Ended(ended) if !self.restart_policy.restarts(ended.code));
        if self.is_over {
            let good = self.is_initialised() && self.containers.iter().all(ContainerFacts::has_succeeded);
            return if good { "Succeeded" } else { "Failed" };
        }
        if !self.is_initialised() {
            return if self.init.iter().any(has_failed_with(self.restart_policy)) { "Failed" } else { "Pending" };
        }
        let never_ran = |one: &ContainerFacts| matches!(one.state, State::Waiting { .. }) && one.last.is_none();
        if self.containers.iter().any(never_ran) {
            return "Pending";
        }
        if self.containers.iter().all(|one| ended(&one) && has_failed(one)) {
            return if self.containers.iter().all(ContainerFacts::has_succeeded) { "Succeeded" } else { "Failed" };
        }
        "Running"
    }

    /// The pod's end: no container runs, and none will be started.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    fn conditions(&self) -> Vec<(&'static str, bool, &'static str, String)> {
        let over = self.has_ended();
        let pending: Vec<_> = self.init.iter().filter(|one| !one.has_succeeded()).map(|one| one.name.as_str()).collect();
        let unready: Vec<_> = self.containers.iter().filter(|one| !one.ready).map(|one| one.name.as_str()).collect();
        let ready = unready.is_empty() && pending.is_empty();
        let (reason, message) = match (ready && !over, over) {
            (true, _) => ("", String::new()),
            (false, true) => ("PodCompleted", String::new()),
            (false, false) => ("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))),
        };
        let incomplete = format!("containers with incomplete status: [{}]", pending.join(" "));
        let initialised = if pending.is_empty() { ("", String::new()) } else { ("ContainersNotInitialized", incomplete) };
        vec![
            ("PodReadyToStartContainers", self.has_sandbox && !over, "", String::new()),
            ("Initialized", pending.is_empty(), initialised.0, initialised.1),
            ("Ready", ready && !over, reason, message.clone()),
            ("ContainersReady", ready && !over, reason, message),
            ("PodScheduled", true, "", String::new()),
        ]
    }

    /// `status` for a strategic merge patch, which leaves the conditions of others alone, and the class that the server gave. A condition that says what it said
    /// `before` keeps its time.
    pub fn status(&self, before: &Value, now: DateTime<Utc>) -> Value {
        let conditions = self.conditions().into_iter().map(|(kind, is_true, reason, message)| {
            let status = if is_true { "True" } else { "False" };
            let old = before["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == kind);
            let since = old.filter(|old| old["status"] == status).map(|old| old["lastTransitionTime"].clone());
            json!({
                "type": kind, "status": status, "reason": text(reason), "message": text(&message),
                "lastProbeTime": null, "lastTransitionTime": since.unwrap_or_else(|| json!(time(now))),
                "observedGeneration": self.generation,
            })
        });
        let conditions: Vec<_> = conditions.collect();
        let ip = self.has_sandbox.then(|| self.ip.to_string());
        json!({
            "phase": self.phase(),
            "observedGeneration": self.generation,
            "conditions": conditions,
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "podIP": ip,
            "podIPs": ip.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>(),
            "startTime": time(self.started),
            "initContainerStatuses": self.init.iter().map(container).collect::<Vec<_>>(),
            "containerStatuses": self.containers.iter().map(container).collect::<Vec<_>>(),
        })
    }
}

fn has_failed_with(policy: RestartPolicy) -> impl Fn(&ContainerFacts) -> bool {
    move |one| matches!(&one.state, State::Ended(ended) if ended.code != 0 && !policy.restarts(ended.code))
}

fn container(one: &ContainerFacts) -> Value {
    let state = match &one.state {
        State::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": text(message)}}),
        State::Running { since } => json!({"running": {"startedAt": time(*since)}}),
        State::Ended(ended) => json!({"terminated": terminated(ended, &one.id)}),
    };
    let last = one.last.as_ref().map_or_else(|| json!({}), |ended| json!({"terminated": terminated(ended, "")}));
    json!({
        "name": one.name, "image": one.image, "imageID": one.image, "containerID": one.id, "ready": one.ready,
        "started": one.started, "restartCount": one.restarts, "state": state, "lastState": last,
    })
}

fn terminated(ended: &Ended, id: &str) -> Value {
    let reason = match ended.code {
        0 => "Completed",
        128 => "StartError",
        _ => "Error",
    };
    json!({
        "exitCode": ended.code, "reason": reason, "startedAt": time(ended.started), "finishedAt": time(ended.finished),
        "containerID": text(id),
    })
}

/// Absent if empty.
fn text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// As the API writes times: whole seconds.
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32) -> State {
        State::Ended(Ended { code, started: DateTime::UNIX_EPOCH, finished: DateTime::UNIX_EPOCH })
    }

    fn running() -> State {
        State::Running { since: DateTime::UNIX_EPOCH }
    }

    fn waiting() -> State {
        State::Waiting { reason: "ContainerCreating".to_owned(), message: String::new() }
    }

    fn one(state: State, ready: bool) -> ContainerFacts {
        let (name, image) = ("c".to_owned(), "image".to_owned());
        ContainerFacts { name, image, state, last: None, restarts: 0, ready, started: ready, id: String::new() }
    }

    fn pod(restart_policy: RestartPolicy, init: Vec<ContainerFacts>, containers: Vec<ContainerFacts>) -> PodFacts {
        PodFacts {
            ip: Ipv4Addr::new(127, 1, 1, 1),
            started: DateTime::UNIX_EPOCH,
            generation: 1,
            restart_policy,
            has_sandbox: true,
            init,
            containers,
            is_over: false,
        }
    }

    #[test]
    fn phases() {
        use RestartPolicy::{Always, Never, OnFailure};
        for (policy, states, want) in [
            (Always, vec![waiting()], "Pending"),
            (Always, vec![running()], "Running"),
            (Always, vec![running(), waiting()], "Pending"),
            (Always, vec![ended(0)], "Running"),
            (Always, vec![ended(1)], "Running"),
            (Never, vec![ended(0)], "Succeeded"),
            (Never, vec![ended(0), ended(1)], "Failed"),
            (Never, vec![ended(0), running()], "Running"),
            (OnFailure, vec![ended(0)], "Succeeded"),
            (OnFailure, vec![ended(1)], "Running"),
        ] {
            let containers: Vec<_> = states.iter().map(|state| one(state.clone(), false)).collect();
            assert_eq!(pod(policy, Vec::new(), containers).phase(), want, "{policy:?} {states:?}");
        }
        // it ran before, and waits to be started again
        let mut crashed = one(waiting(), false);
        crashed.last = Some(Ended { code: 1, started: DateTime::UNIX_EPOCH, finished: DateTime::UNIX_EPOCH });
        assert_eq!(pod(Always, Vec::new(), vec![crashed]).phase(), "Running");
    }

    #[test]
    fn init_containers_come_first() {
        use RestartPolicy::{Always, Never};
        for (policy, init, want) in [
            (Always, running(), "Pending"),
            (Always, ended(1), "Pending"),
            (Never, ended(1), "Failed"),
            (Never, ended(0), "Pending"),
        ] {
            let facts = pod(policy, vec![one(init.clone(), false)], vec![one(waiting(), false)]);
            assert_eq!(facts.phase(), want, "{policy:?} {init:?}");
            let initialised = facts.status(&Value::Null, DateTime::UNIX_EPOCH)["conditions"][1]["status"].clone();
            assert_eq!(initialised, if init == ended(0) { "True" } else { "False" });
        }
    }

    #[test]
    fn one_that_was_told_to_end_is_over() {
        let mut facts = pod(RestartPolicy::Always, Vec::new(), vec![one(ended(0), false)]);
        assert!(!facts.has_ended());
        facts.is_over = true;
        assert_eq!(facts.phase(), "Succeeded");
        facts.containers.push(one(ended(137), false));
        assert_eq!(facts.phase(), "Failed");
    }

    #[test]
    fn ready_is_all_ready_and_keeps_its_time() {
        let status = |facts: &PodFacts, before: &Value, at: i64| {
            let status = facts.status(before, DateTime::from_timestamp(at, 0).unwrap());
            let ready = status["conditions"][2].clone();
            (status, ready)
        };
        let mut facts = pod(RestartPolicy::Always, Vec::new(), vec![one(running(), true), one(running(), false)]);
        let (first, ready) = status(&facts, &Value::Null, 1);
        assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("False")));
        assert_eq!(ready["message"], "containers with unready status: [c]");
        assert_eq!(ready["lastTransitionTime"], "1970-01-01T00:00:01Z");
        assert_eq!(first["containerStatuses"][0]["state"]["running"]["startedAt"], "1970-01-01T00:00:00Z");
        let (second, ready) = status(&facts, &first, 2);
        assert_eq!(ready["lastTransitionTime"], "1970-01-01T00:00:01Z");
        facts.containers[1].ready = true;
        let (_, ready) = status(&facts, &second, 3);
        assert_eq!(
            (ready["status"].as_str(), ready["lastTransitionTime"].as_str()),
            (Some("True"), Some("1970-01-01T00:00:03Z"))
        );
    }
}
