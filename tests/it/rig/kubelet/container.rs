//! One container of a pod: its runs, one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use tokio::task::JoinHandle;

use super::backoff::Backoff;
use super::image::Image;
use super::sandbox::{Process, Rights};
use super::status::{ContainerFacts, Ended, State};

/// What is known of one container.
pub struct Run {
    pub spec: Container,
    pub state: State,
    pub last: Option<Ended>,
    pub process: Option<Arc<Process>>,
    /// Counts starts; news of an earlier run is old.
    pub number: u32,
    pub ready: bool,
    pub started: bool,
    pub backoff: Backoff,
    /// Not to be started before.
    pub start_at: DateTime<Utc>,
    /// A kill is under way.
    pub ending: bool,
    pub probes: Vec<JoinHandle<()>>,
    pub logs: Vec<PathBuf>,
}

impl Run {
    pub fn new(spec: Container) -> Self {
        Self {
            spec,
            state: waiting("ContainerCreating", ""),
            last: None,
            process: None,
            number: 0,
            ready: false,
            started: false,
            backoff: Backoff::default(),
            start_at: DateTime::UNIX_EPOCH,
            ending: false,
            probes: Vec::new(),
            logs: Vec::new(),
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    pub fn succeeded(&self) -> bool {
        matches!(&self.state, State::Ended(ended) if ended.code == 0)
    }

    /// Waits for its first start, or for another one.
    pub fn waits(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// It ended; `again`: it will be started again.
    pub fn ended(&mut self, code: i32, again: bool, now: DateTime<Utc>) {
        let State::Running { since } = self.state else { return };
        let ended = Ended { code, started: since, finished: now };
        self.stop_probes();
        (self.process, self.ready, self.started, self.ending) = (None, false, false, false);
        if again {
            self.start_at = self.backoff.ended(now);
            self.last = Some(ended);
            self.state = waiting("CrashLoopBackOff", "back-off restarting failed container");
        } else {
            self.state = State::Ended(ended);
        }
    }

    pub fn stop_probes(&mut self) {
        self.probes.drain(..).for_each(|probe| probe.abort());
    }

    /// What a status says of it.
    pub fn facts(&self) -> ContainerFacts {
        ContainerFacts {
            name: self.spec.name.clone(),
            image: self.spec.image.clone().unwrap_or_default(),
            state: self.state.clone(),
            last: self.last.clone(),
            restarts: self.number.saturating_sub(1),
            ready: self.is_running() && self.ready,
            started: self.is_running() && self.started,
            id: if self.number == 0 { String::new() } else { format!("process://{}/{}", self.spec.name, self.number) },
        }
    }
}

/// A state in which nothing runs.
pub fn waiting(reason: &str, message: &str) -> State {
    State::Waiting { reason: reason.to_owned(), message: message.to_owned() }
}

/// Whom it runs as. An error is the message of `CreateContainerConfigError`.
pub fn rights(pod: &PodSpec, container: &Container, image: &Image) -> Result<Rights, String> {
    let (whole, own) = (pod.security_context.as_ref(), container.security_context.as_ref());
    let number = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
    let said = own.and_then(|own| own.run_as_user).or_else(|| whole.and_then(|whole| whole.run_as_user));
    let user = number(said).unwrap_or(image.user);
    let group = own.and_then(|own| own.run_as_group).or_else(|| whole.and_then(|whole| whole.run_as_group));
    let non_root = own.and_then(|own| own.run_as_non_root).or_else(|| whole.and_then(|whole| whole.run_as_non_root));
    if non_root == Some(true) && user == 0 {
        return Err("container has runAsNonRoot and image will run as root".to_owned());
    }
    let mut groups: Vec<u32> = whole.and_then(|whole| number(whole.fs_group)).into_iter().collect();
    groups.extend(whole.iter().flat_map(|whole| whole.supplemental_groups.iter().flatten()).filter_map(|id| number(Some(*id))));
    let drops = own.and_then(|own| own.capabilities.as_ref()).and_then(|capabilities| capabilities.drop.as_ref());
    Ok(Rights {
        user,
        group: number(group).unwrap_or(if user == image.user { image.user } else { 0 }),
        groups,
        read_only_root: own.and_then(|own| own.read_only_root_filesystem) == Some(true),
        no_new_privileges: own.and_then(|own| own.allow_privilege_escalation) == Some(false),
        no_capabilities: drops.is_some_and(|drops| drops.iter().any(|name| name == "ALL")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_says_more_than_its_pod_and_the_pod_more_than_the_image() {
        let image = Image::new("it", "/bin/true");
        let rights = |pod, container| {
            let pod: PodSpec = serde_json::from_value(json!({"containers": [], "securityContext": pod})).unwrap();
            let container: Container = serde_json::from_value(json!({"name": "c", "securityContext": container})).unwrap();
            super::rights(&pod, &container, &image)
        };
        let user = |pod, container| rights(pod, container).map(|rights| (rights.user, rights.group));
        assert_eq!(user(json!({}), json!({})), Ok((65532, 65532)));
        assert_eq!(user(json!({"runAsUser": 7, "runAsGroup": 8}), json!({})), Ok((7, 8)));
        assert_eq!(user(json!({"runAsUser": 7}), json!({"runAsUser": 9})), Ok((9, 0)));
        assert!(user(json!({"runAsNonRoot": true}), json!({"runAsUser": 0})).unwrap_err().contains("runAsNonRoot"));
        let strict = json!({
            "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}
        });
        let strict = rights(json!({"fsGroup": 5, "supplementalGroups": [6]}), strict).unwrap();
        assert_eq!(strict.groups, [5, 6]);
        assert!(strict.read_only_root && strict.no_new_privileges && strict.no_capabilities);
    }

    #[test]
    fn a_run_that_ends_waits_or_is_over() {
        let now = DateTime::UNIX_EPOCH;
        let mut run = Run::new(serde_json::from_value(json!({"name": "c"})).unwrap());
        (run.number, run.state) = (1, State::Running { since: now });
        run.ended(1, true, now);
        assert!(run.waits() && run.start_at == now && run.facts().restarts == 0);
        (run.number, run.state) = (2, State::Running { since: now });
        assert_eq!((run.facts().restarts, run.facts().last.map(|last| last.code)), (1, Some(1)));
        run.ended(0, false, now);
        assert!(run.succeeded() && !run.facts().ready);
    }
}
