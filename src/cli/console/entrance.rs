//! Where the console of a release is, as its pods say. Pure.

use kube::core::Object;
use serde::Deserialize;

use crate::connect::ConnectUrl;

/// A pod as far as it says how its containers were started and whether it is ready: all of a pod is half a megabyte of program to read.
pub type Pod = Object<PodSpec, PodStatus>;

/// See [`Pod`].
#[derive(Clone, Debug, Deserialize)]
pub struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Clone, Debug, Deserialize)]
struct Container {
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
}

/// See [`Pod`].
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PodStatus {
    #[serde(default)]
    conditions: Vec<PodCondition>,
}

#[derive(Clone, Debug, Deserialize)]
struct PodCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

/// How the console is reached.
#[derive(Debug, PartialEq, Eq)]
pub enum Entrance {
    /// People reach it under an origin of its own.
    Host(String),
    /// Through a tunnel to a pod.
    Pod {
        /// Name of the pod.
        name: String,
        /// Where the console listens in the pod.
        port: u16,
        /// The port of this machine that the console expects in the header `Host`.
        own_port: u16,
    },
}

/// Why there is no way to the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No pod runs the operator.
    Operator,
    /// The operator serves no console.
    Console,
    /// No pod with the console is ready.
    ReadyPod,
}

impl Missing {
    /// What to say.
    pub fn sentence(self, namespace: &str) -> String {
        match self {
            Self::Operator => {
                format!("no pod of Pollinator is in namespace {namespace}; name the namespace of the release with -n")
            }
            Self::Console => {
                format!("Pollinator in namespace {namespace} serves no console; set console.enabled of the chart to true")
            }
            Self::ReadyPod => {
                format!("no pod with the console is ready in namespace {namespace}; look at kubectl get pods -n {namespace}")
            }
        }
    }
}

/// Where to go, given the pods of a namespace.
///
/// # Errors
/// [`Missing`].
pub fn entrance(pods: &[Pod]) -> Result<Entrance, Missing> {
    let operators: Vec<_> = pods.iter().filter(|pod| argument(pod, "operator").is_some()).collect();
    if operators.is_empty() {
        return Err(Missing::Operator);
    }
    let mut with_console: Vec<_> =
        operators.iter().filter_map(|pod| Some((*pod, port(argument(pod, "--console-listen=")?)?))).collect();
    if with_console.is_empty() {
        return Err(Missing::Console);
    }
    with_console.sort_by_key(|(pod, _)| pod.metadata.name.clone());
    let (pod, port) = *with_console.iter().find(|(pod, _)| is_ready(pod)).ok_or(Missing::ReadyPod)?;
    let url = argument(pod, "--console-url=").and_then(|url| ConnectUrl::parse(url).ok());
    Ok(match url {
        Some(url) if url.is_secure() => Entrance::Host(url.to_string()),
        url => Entrance::Pod {
            name: pod.metadata.name.clone().unwrap_or_default(),
            port,
            own_port: url.and_then(|url| self::port(&url.to_string())).unwrap_or(port),
        },
    })
}

/// The rest of the first argument of a container that begins so.
fn argument<'a>(pod: &'a Pod, start: &str) -> Option<&'a str> {
    let arguments = pod.spec.containers.iter().flat_map(|own| own.command.iter().chain(&own.args).flatten());
    arguments.map(String::as_str).find_map(|argument| argument.strip_prefix(start))
}

/// The port at the end of an address.
fn port(address: &str) -> Option<u16> {
    address.rsplit(':').next()?.parse().ok()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let is_ready = conditions.filter(|own| own.type_ == "Ready").any(|own| own.status == "True");
    is_ready && pod.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, args: &[&str], is_ready: bool) -> Pod {
        let status = if is_ready { "True" } else { "False" };
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "proxy"}, {"name": "pollinator", "args": args}]},
            "status": {"conditions": [{"type": "Ready", "status": status}]},
        }))
        .unwrap()
    }

    #[test]
    fn the_first_ready_pod_with_a_console_is_the_way() {
        let forwarded = ["operator", "--console-listen=0.0.0.0:9000", "--console-url=http://127.0.0.1:8083"];
        let off = pod("a", &["operator"], true);
        let other = pod("b", &["serve", "--console-listen=0.0.0.0:1"], true);
        let pods =
            [off.clone(), other.clone(), pod("d", &forwarded, true), pod("c", &forwarded, false), pod("e", &forwarded, true)];
        let way = |name: &str, port, own_port| Entrance::Pod { name: name.to_owned(), port, own_port };
        assert_eq!(entrance(&pods), Ok(way("d", 9000, 8083)));
        assert_eq!(entrance(&[pod("d", &forwarded[..2], true)]), Ok(way("d", 9000, 9000)));
        let named = ["operator", "--console-listen=0.0.0.0:9000", "--console-url=https://console.example.com"];
        assert_eq!(entrance(&[pod("d", &named, true)]), Ok(Entrance::Host("https://console.example.com".to_owned())));

        assert_eq!(entrance(&[]), Err(Missing::Operator));
        assert_eq!(entrance(std::slice::from_ref(&other)), Err(Missing::Operator));
        assert_eq!(entrance(&[off, other]), Err(Missing::Console));
        assert_eq!(entrance(&[pod("c", &forwarded, false)]), Err(Missing::ReadyPod));
        let mut leaving = pod("c", &forwarded, true);
        leaving.metadata.deletion_timestamp = serde_json::from_value("2026-01-31T00:00:00Z".into()).unwrap();
        assert_eq!(entrance(&[leaving]), Err(Missing::ReadyPod));
        for missing in [Missing::Operator, Missing::Console, Missing::ReadyPod] {
            assert!(missing.sentence("crm").contains("namespace crm") && missing.sentence("crm").contains("; "));
        }
    }
}
