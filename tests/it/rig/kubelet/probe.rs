//! Liveness, readiness and start-up probes: when one has an opinion, and how it is formed.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

/// Counts results until there are enough in a row for another opinion.
#[derive(Clone, Debug)]
pub struct Tally {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    in_a_row: u32,
}

impl Tally {
    pub fn of(probe: &Probe) -> Self {
        Self {
            success_threshold: number(probe.success_threshold, 1),
            failure_threshold: number(probe.failure_threshold, 3),
            last: None,
            in_a_row: 0,
        }
    }

    /// Takes a result. `Some`: enough of them in a row, which is told each time.
    pub fn record(&mut self, success: bool) -> Option<bool> {
        self.in_a_row = if self.last == Some(success) { self.in_a_row + 1 } else { 1 };
        self.last = Some(success);
        let threshold = if success { self.success_threshold } else { self.failure_threshold };
        (self.in_a_row >= threshold).then_some(success)
    }
}

/// When a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
}

impl Pace {
    pub fn of(probe: &Probe) -> Self {
        let seconds = |value, default| Duration::from_secs(number(value, default).into());
        Self {
            initial_delay: Duration::from_secs(probe.initial_delay_seconds.and_then(|s| s.try_into().ok()).unwrap_or(0)),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
        }
    }
}

/// Zero is the same as not said.
fn number(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    Http { url: String, headers: Vec<(String, String)> },
    Tcp { host: String, port: u16 },
    Exec(Vec<String>),
}

impl Check {
    /// An error says what this kubelet cannot do, or which name is unknown.
    pub fn of(probe: &Probe, container: &Container, pod: Ipv4Addr) -> Result<Self, String> {
        if let Some(get) = &probe.http_get {
            return Self::http(get, container, pod);
        }
        if let Some(socket) = &probe.tcp_socket {
            let host = socket.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod.to_string());
            return Ok(Self::Tcp { host, port: port(&socket.port, container)? });
        }
        if let Some(exec) = &probe.exec {
            return Ok(Self::Exec(exec.command.clone().unwrap_or_default()));
        }
        Err("this kubelet knows httpGet, tcpSocket and exec alone".to_owned())
    }

    /// The same of a hook.
    pub fn http(get: &HTTPGetAction, container: &Container, pod: Ipv4Addr) -> Result<Self, String> {
        let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
        let host = get.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod.to_string());
        let path = get.path.as_deref().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = format!("{scheme}://{host}:{}{slash}{path}", port(&get.port, container)?);
        let headers = get.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
        Ok(Self::Http { url, headers: headers.collect() })
    }
}

/// A number, or the name of one of the container's ports.
fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name.as_str()));
            named.map(|port| port.container_port).ok_or_else(|| format!("{} has no port {name}", container.name))?
        }
    };
    u16::try_from(number).map_err(|_| format!("{number} is no port"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn probe(value: Value) -> Probe {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_opinion_needs_enough_results_in_a_row() {
        let mut tally = Tally::of(&probe(json!({"failureThreshold": 2, "successThreshold": 3})));
        let told: Vec<_> =
            [true, true, false, false, false, true, true, true, true].map(|result| tally.record(result)).into_iter().collect();
        assert_eq!(told, [None, None, None, Some(false), Some(false), None, None, Some(true), Some(true)]);
        // by default: three failures, one success
        let mut tally = Tally::of(&probe(json!({})));
        assert_eq!(
            [false, false, true, false, false, false].map(|result| tally.record(result)),
            [None, None, Some(true), None, None, Some(false)]
        );
    }

    #[test]
    fn defaults_are_those_of_the_api() {
        let seconds = |initial, period, timeout| Pace {
            initial_delay: Duration::from_secs(initial),
            period: Duration::from_secs(period),
            timeout: Duration::from_secs(timeout),
        };
        assert_eq!(Pace::of(&probe(json!({}))), seconds(0, 10, 1));
        let said = json!({"initialDelaySeconds": 2, "periodSeconds": 3, "timeoutSeconds": 4});
        assert_eq!(Pace::of(&probe(said)), seconds(2, 3, 4));
    }

    #[test]
    fn ports_have_names() {
        let container = json!({"name": "c", "ports": [{"name": "http", "containerPort": 8080}]});
        let container: Container = serde_json::from_value(container).unwrap();
        let check = |value| Check::of(&probe(value), &container, Ipv4Addr::new(127, 9, 8, 7));
        let http = |url: &str| Ok(Check::Http { url: url.to_owned(), headers: Vec::new() });
        assert_eq!(check(json!({"httpGet": {"path": "/livez", "port": "http"}})), http("http://127.9.8.7:8080/livez"));
        assert_eq!(check(json!({"httpGet": {"host": "h", "port": 1, "scheme": "HTTPS"}})), http("https://h:1/"));
        assert!(check(json!({"httpGet": {"port": "metrics"}})).unwrap_err().contains("no port metrics"));
        let tcp = Check::Tcp { host: "127.9.8.7".to_owned(), port: 9 };
        assert_eq!(check(json!({"tcpSocket": {"port": 9}})), Ok(tcp));
        assert_eq!(check(json!({"exec": {"command": ["true"]}})), Ok(Check::Exec(vec!["true".to_owned()])));
        assert!(check(json!({"grpc": {"port": 9}})).is_err());
    }
}
