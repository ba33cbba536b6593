//! How pods end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use serde_json::json;

use super::{DEAF, OBEY, Scene};
use crate::rig::kubelet::Kubelet;
use crate::rig::kubelet::image::Image;

/// Holds a deleted pod's object, so that its last status can be read.
const HELD: [&str; 6] =
    ["patch", "pod", "it", "--type=merge", "--patch", r#"{"metadata": {"finalizers": ["example.org/held"]}}"#];
const LET_GO: [&str; 6] = ["patch", "pod", "it", "--type=merge", "--patch", r#"{"metadata": {"finalizers": null}}"#];

#[test]
fn told_to_end_it_runs_its_hook_then_hears_term() {
    let Some(scene) = Scene::new("hook") else { return };
    scene.pod(
        "trap 'cat /tmp/order; echo term; exit 5' TERM; while :; do sleep 0.1; done",
        "",
        "lifecycle: {preStop: {exec: {command: [sh, -c, 'echo hook >/tmp/order']}}}",
    );
    scene.wait_main("/ready", &json!(true));
    scene.ns.kubectl(&HELD).ok();
    scene.ns.kubectl(&["delete", "pod", "it", "--wait=false"]).ok();
    let main = scene.wait_main("/state/terminated/exitCode", &json!(5));
    assert_eq!(main["ready"], false);
    assert_eq!(scene.kubelet.logs("it"), "hook\nterm\n");
    assert_eq!(scene.wait_phase("Failed")["status"]["phase"], "Failed");
    scene.ns.kubectl(&LET_GO).ok();
    scene.wait("its end", |pod| pod.is_null().then_some(()));
    assert!(scene.kubelet.running().is_empty());
}

#[test]
fn deaf_it_is_killed_when_its_grace_is_over() {
    let Some(scene) = Scene::new("grace") else { return };
    scene.pod(DEAF, "", "");
    scene.wait_main("/ready", &json!(true));
    scene.ns.kubectl(&HELD).ok();
    scene.ns.kubectl(&["delete", "pod", "it", "--wait=false", "--grace-period=2"]).ok();
    let main = scene.wait_main("/state/terminated/exitCode", &json!(137));
    let at = |name: &str| {
        let text = main["state"]["terminated"][name].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(text).unwrap()
    };
    assert!(at("finishedAt") > at("startedAt"), "{main}");
    scene.ns.kubectl(&LET_GO).ok();
    scene.wait("its end", |pod| pod.is_null().then_some(()));
}

#[test]
fn one_that_obeys_has_succeeded_and_is_gone_before_its_grace() {
    let Some(scene) = Scene::new("obeys") else { return };
    scene.pod(OBEY, "terminationGracePeriodSeconds: 3600", "");
    scene.wait_main("/ready", &json!(true));
    scene.ns.kubectl(&["delete", "pod", "it", "--timeout=90s"]).ok();
    assert!(scene.kubelet.running().is_empty());
}

#[test]
fn taken_away_by_force_it_is_killed() {
    let Some(scene) = Scene::new("force") else { return };
    scene.pod(DEAF, "", "");
    scene.wait_main("/ready", &json!(true));
    scene.ns.kubectl(&["delete", "pod", "it", "--force", "--grace-period=0"]).ok();
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    while !scene.kubelet.running().is_empty() {
        assert!(std::time::Instant::now() < deadline, "it runs on");
        std::thread::park_timeout(std::time::Duration::from_millis(25));
    }
}

#[test]
fn init_containers_run_first_in_their_order() {
    let Some(scene) = Scene::new("init") else { return };
    let init = |name: &str, text: &str| {
        format!("{{name: {name}, image: shell, args: [-c, '{text}'], volumeMounts: [{{name: e, mountPath: /e}}]}}")
    };
    let spec = format!(
        "restartPolicy: OnFailure, volumes: [{{name: e, emptyDir: {{}}}}], initContainers: [{}, {}]",
        init("one", "echo one >>/e/order; [ $(wc -l </e/order) = 2 ]"),
        init("two", "echo two >>/e/order")
    );
    scene.pod("cat /e/order", &spec, "volumeMounts: [{name: e, mountPath: /e}]");
    let pod = scene.wait_phase("Succeeded");
    // the first one failed once, and was tried again
    assert_eq!(scene.kubelet.logs("it"), "one\none\ntwo\n");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["restartCount"], 1);
}

#[test]
fn jobs_complete_and_fail() {
    let Some(scene) = Scene::new("jobs") else { return };
    for (name, text) in [("good", "exit 0"), ("bad", "exit 1")] {
        scene.ns.apply(&format!(
            "{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}}}, spec: {{backoffLimit: 0, template: {{spec: \
             {{restartPolicy: Never, containers: [{{name: main, image: shell, args: [-c, {text}]}}]}}}}}}}}"
        ));
    }
    let wait = |condition: &str, job: &str| {
        let told = scene.ns.kubectl(&["wait", &format!("--for=condition={condition}"), job, "--timeout=90s"]);
        assert_eq!(told.code, Some(0), "{told:?}\n{}", scene.kubelet.report());
    };
    wait("complete", "job/good");
    wait("failed", "job/bad");
    let bad = scene.ns.api().get(&scene.ns.group("batch/v1", "jobs/bad")).ok();
    assert_eq!(bad["status"]["failed"], 1);
}

/// A drained node's pods go to another, and no faster than their disruption budget allows.
#[test]
fn a_drain_respects_the_budget_and_moves_the_pods() {
    let Some(scene) = Scene::new("drain") else { return };
    scene.ns.apply(&format!(
        "\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: sleeper}}
spec: {{minAvailable: 2, selector: {{matchLabels: {{app: sleeper}}}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: sleeper}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: sleeper}}}}
  template:
    metadata: {{labels: {{app: sleeper}}}}
    spec: {{containers: [{{name: sleeper, image: shell, args: [-c, \"{OBEY}\"]}}]}}
"
    ));
    scene.ns.kubectl(&["rollout", "status", "deployment/sleeper", "--timeout=90s"]).ok();
    let budget = scene.ns.group("policy/v1", "poddisruptionbudgets/sleeper");
    let healthy = |budget: &serde_json::Value, count: u64| (budget["status"]["currentHealthy"] == count).then_some(());
    scene.ns.api().wait_for(&budget, "two healthy pods", |budget| healthy(budget, 2));
    let pod = scene.kubelet.running().remove(0);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    let evict = || scene.ns.api().create(&scene.ns.core(&format!("pods/{pod}/eviction")), &eviction);
    let refused = evict();
    assert_eq!(refused.status, 429, "{}", refused.message());

    let plane = scene.ns.plane();
    let Some(other) = Kubelet::start(plane, scene.ns.name(), &[Image::shell("shell")]) else { return };
    scene.ns.kubectl(&["scale", "deployment/sleeper", "--replicas=3"]).ok();
    scene.ns.kubectl(&["rollout", "status", "deployment/sleeper", "--timeout=90s"]).ok();
    scene.ns.api().wait_for(&budget, "three healthy pods", |budget| healthy(budget, 3));
    let drained = scene.ns.kubectl(&["drain", scene.kubelet.node(), "--timeout=90s"]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    assert!(scene.kubelet.running().is_empty());
    scene.ns.kubectl(&["rollout", "status", "deployment/sleeper", "--timeout=90s"]).ok();
    assert_eq!(other.running().len(), 3);
}

#[test]
fn its_output_is_served_while_it_runs_and_of_the_run_before() {
    let Some(scene) = Scene::new("logs") else { return };
    scene.pod("echo one; echo two; while [ ! -e /tmp/end ]; do sleep 0.1; done; echo three", "", "");
    scene.wait_main("/ready", &json!(true));
    let logs = |more: &[&str]| scene.ns.kubectl(&[&["logs", "it"], more].concat()).ok();
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    while logs(&[]) != "one\ntwo\n" {
        assert!(std::time::Instant::now() < deadline, "{}", scene.kubelet.report());
    }
    assert_eq!(logs(&["--tail=1"]), "two\n");
    let mut follower = scene.ns.plane().kubectl(scene.ns.kubeconfig());
    let mut follower = follower.args(["logs", "it", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(follower.stdout.take().unwrap());
    let mut text = String::new();
    // only now it is sure to follow this run
    output.read_line(&mut text).unwrap();
    scene.shell("touch /tmp/end");
    output.read_to_string(&mut text).unwrap();
    assert!(follower.wait().unwrap().success());
    assert_eq!(text, "one\ntwo\nthree\n");
    scene.wait_main("/restartCount", &json!(1));
    assert_eq!(logs(&["--previous"]), "one\ntwo\nthree\n");
}
