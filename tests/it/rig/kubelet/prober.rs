//! Asks what probes and hooks ask.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;
use tokio::net::TcpStream;

use super::probe::{Check, Pace, Tally};
use super::sandbox::Process;

/// The client of probes: it believes any certificate, as a kubelet's does.
#[derive(Clone)]
pub struct Prober(reqwest::Client);

impl Prober {
    pub fn new() -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_danger_accept_invalid_certs(true)
            .pool_max_idle_per_host(0)
            .user_agent("kube-probe/1.36")
            .build();
        Self(client.expect("a client"))
    }

    /// Probes until nobody listens.
    pub async fn run(&self, probe: &Probe, check: Result<Check, String>, process: &Arc<Process>, tell: impl Fn(bool) -> bool) {
        let (pace, mut tally) = (Pace::of(probe), Tally::of(probe));
        tokio::time::sleep(pace.initial_delay).await;
        loop {
            let next = tokio::time::Instant::now() + pace.period;
            let success = match &check {
                Ok(check) => self::check(self, check, process, pace.timeout).await,
                Err(_) => false,
            };
            if let Some(opinion) = tally.record(success)
                && !tell(opinion)
            {
                return;
            }
            tokio::time::sleep_until(next).await;
        }
    }
}

/// Whether one question is answered well.
pub async fn check(prober: &Prober, check: &Check, process: &Arc<Process>, timeout: Duration) -> bool {
    match check {
        Check::Http { url, headers } => {
            let mut request = prober.0.get(url).timeout(timeout);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            request.send().await.is_ok_and(|answer| (200..400).contains(&answer.status().as_u16()))
        }
        Check::Tcp { host, port } => {
            let connecting = TcpStream::connect((host.as_str(), *port));
            tokio::time::timeout(timeout, connecting).await.is_ok_and(|connected| connected.is_ok())
        }
        Check::Exec(line) => {
            let Some(mut command) = process.exec(line) else { return false };
            let Ok(mut child) = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn() else {
                return false;
            };
            let until = tokio::time::Instant::now() + timeout;
            loop {
                match child.try_wait() {
                    Ok(None) if tokio::time::Instant::now() < until => tokio::time::sleep(Duration::from_millis(20)).await,
                    Ok(Some(status)) => return status.success(),
                    _ => {
                        let _ = child.kill();
                        let _ = child.wait();
                        return false;
                    }
                }
            }
        }
    }
}
