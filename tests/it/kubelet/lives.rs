//! Pods come, are probed, and end.

use crate::rig::control_plane::shared_with_controllers;
use crate::rig::kubelet::Kubelet;
use crate::rig::kubelet::image::Image;

#[test]
fn a_deployment_becomes_ready() {
    let Some(plane) = shared_with_controllers() else { return };
    let ns = plane.namespace("ready");
    let Some(kubelet) = Kubelet::start(plane, ns.name(), &[Image::shell("shell")]) else { return };
    ns.apply(
        "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleeper}
spec:
  replicas: 3
  selector: {matchLabels: {app: sleeper}}
  template:
    metadata: {labels: {app: sleeper}}
    spec:
      containers:
      - {name: sleeper, image: 'shell:1', args: [-c, \"trap 'exit 0' TERM; while :; do sleep 1; done\"]}
",
    );
    let told = ns.kubectl(&["rollout", "status", "deployment/sleeper", "--timeout=60s"]);
    assert_eq!(told.code, Some(0), "{told:?}\n{}\n{}", kubelet.report(), ns.kubectl(&["get", "pods", "-o", "yaml"]).stdout);
    assert_eq!(kubelet.running().len(), 3);
}
