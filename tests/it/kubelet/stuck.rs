//! A scheduler that stands still while its process does not end: the liveness probe finds it out.
//!
//! The engine of `local` reads a state file when an instance comes. A named pipe that nobody writes is a disk that does not answer.
//! Tokio may leave the sockets to the thread that waits, so that the probe gets no answer; that a scheduler which stands still alone is
//! answered with 503 is shown in `src/serve/health.rs`.

use serde_json::json;

use super::Scene;
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::kubelet::image::Image;
use crate::rig::manifest::{self, Instance};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: it}
spec:
  terminationGracePeriodSeconds: 5
  volumes:
  - {name: manifests, secret: {secretName: manifests}}
  - {name: state, emptyDir: {}}
  containers:
  - name: main
    image: pollinator
    args: [local, /manifests, --state, /state]
    ports: [{name: http, containerPort: 8080}]
    volumeMounts: [{name: manifests, mountPath: /manifests}, {name: state, mountPath: /state}]
    livenessProbe: {httpGet: {path: /livez, port: http}, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 3}
";

#[test]
fn a_scheduler_that_stands_still_is_started_again() {
    let Some(plane) = shared_with_controllers() else { return };
    let Some(scene) = Scene::with(plane, "stuck", &[Image::pollinator("pollinator")]) else { return };
    let (good, late, receiver) = (Provider::start(), Provider::start(), Receiver::start());
    let instance =
        |name: &str, provider: &Provider| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().yaml();
    let declare = |documents: &[String]| {
        let manifests = documents.join("---\n");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "manifests"}, "stringData": {"all.yaml": manifests}
        });
        scene.ns.apply(&secret.to_string());
    };
    declare(&[manifest::login(), instance("good", &good)]);
    scene.ns.apply(POD);
    scene.wait_main("/ready", &json!(true));
    good.wait_polled(2);

    // once it is opened it is gone from the folder, and whoever opened it waits for the first word of one who ends with the container
    scene.shell("mkfifo /state/it.late.json");
    scene.shell("(exec 3>/state/it.late.json; rm /state/it.late.json; exec sleep 600) >/dev/null 2>&1 &");
    declare(&[manifest::login(), instance("good", &good), instance("late", &late)]);
    scene.shell("while [ -e /state/it.late.json ]; do sleep 0.1; done");
    scene.wait_main("/restartCount", &json!(0));
    scene.wait_main("/restartCount", &json!(1));
    scene.wait_main("/ready", &json!(true));
    late.wait_polled(1);
    good.wait_polled(2);
    // once
    scene.wait_main("/restartCount", &json!(1));
}
