//! The node: its object and its Lease, kept fresh so that the node controller leaves its pods alone.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::status::time;

/// What the node says it has.
pub const CAPACITY: [(&str, &str); 4] = [("cpu", "64"), ("memory", "256Gi"), ("ephemeral-storage", "100Gi"), ("pods", "110")];

const HEARTBEAT: Duration = Duration::from_secs(10);

/// Makes the node, ready at once. Its kubelet serves at this port of loopback.
pub async fn register(client: &Client, name: &str, port: u16) -> Result<(), kube::Error> {
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
    });
    let node: Node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
    Api::<Node>::all(client.clone()).create(&PostParams::default(), &node).await?;
    beat(client, name, port).await
}

/// Says again and again that the node is there.
pub async fn keep(client: Client, name: String, port: u16) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        // the next one tries again
        let _ = beat(&client, &name, port).await;
    }
}

async fn beat(client: &Client, name: &str, port: u16) -> Result<(), kube::Error> {
    let now = Utc::now();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
        "spec": {
            "holderIdentity": name, "leaseDurationSeconds": 40,
            "renewTime": now.to_rfc3339_opts(SecondsFormat::Micros, true),
        },
    });
    let apply = PatchParams::apply("process-kubelet").force();
    Api::<Lease>::namespaced(client.clone(), "kube-node-lease").patch(name, &apply, &Patch::Apply(&lease)).await?;
    let status = json!({"status": status(&time(now), port)});
    Api::<Node>::all(client.clone()).patch_status(name, &PatchParams::default(), &Patch::Strategic(&status)).await?;
    Ok(())
}

fn status(now: &str, port: u16) -> Value {
    let capacity = json!(BTreeMap::from(CAPACITY));
    let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": reason, "lastHeartbeatTime": now});
    json!({
        "capacity": capacity, "allocatable": capacity,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": "127.0.0.1"}],
        "conditions": [
            condition("Ready", "True", "KubeletReady"),
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        ],
        "nodeInfo": {
            "kubeletVersion": "v1.36.3", "osImage": "processes", "operatingSystem": "linux", "architecture": "amd64",
            "containerRuntimeVersion": "process://1", "kernelVersion": "", "bootID": "", "machineID": "", "systemUUID": "",
            "kubeProxyVersion": "",
        },
    })
}
