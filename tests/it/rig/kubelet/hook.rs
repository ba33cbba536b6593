//! What a container is asked to do before it is told to end.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use super::probe::Check;
use super::prober::{self, Prober};
use super::sandbox::Process;

/// How long a hook may take where its pod's grace is longer.
const LONGEST: Duration = Duration::from_mins(10);

/// Runs a hook to its end. What it answers is of no interest.
pub async fn run(prober: &Prober, hook: &LifecycleHandler, spec: &Container, ip: Ipv4Addr, process: &Arc<Process>) {
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.try_into().unwrap_or(0))).await;
        return;
    }
    let check = match (&hook.http_get, &hook.exec) {
        (Some(get), _) => Check::http(get, spec, ip),
        (_, Some(exec)) => Ok(Check::Exec(exec.command.clone().unwrap_or_default())),
        _ => Err("this kubelet knows sleep, httpGet and exec alone".to_owned()),
    };
    if let Ok(check) = check {
        prober::check(prober, &check, process, LONGEST).await;
    }
}
