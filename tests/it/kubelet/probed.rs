//! Probes, restarts, and what the status tells of them.

use serde_json::{Value, json};

use super::{DEAF, OBEY, Scene};

const QUICK: &str = "periodSeconds: 1, failureThreshold: 2, timeoutSeconds: 10";

fn condition(pod: &Value, kind: &str) -> Value {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|one| one["type"] == kind).unwrap_or(Value::Null)
}

#[test]
fn a_deployment_becomes_ready_and_each_pod_has_an_address() {
    let Some(scene) = Scene::new("ready") else { return };
    scene.ns.apply(&format!(
        "\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: sleeper}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: sleeper}}}}
  template:
    metadata: {{labels: {{app: sleeper}}}}
    spec: {{containers: [{{name: sleeper, image: 'shell:1', args: [-c, \"{OBEY}\"]}}]}}
"
    ));
    let told = scene.ns.kubectl(&["rollout", "status", "deployment/sleeper", "--timeout=90s"]);
    assert_eq!(told.code, Some(0), "{told:?}\n{}", scene.kubelet.report());
    assert_eq!(scene.kubelet.running().len(), 3);
    let pods = scene.ns.api().get(&scene.ns.core("pods")).ok();
    let mut ips: Vec<_> = pods["items"].as_array().unwrap().iter().map(|pod| pod["status"]["podIP"].clone()).collect();
    ips.sort_by_key(Value::to_string);
    ips.dedup();
    assert_eq!(ips.len(), 3, "each has an address of its own");
}

#[test]
fn readiness_comes_and_goes_and_restarts_nothing() {
    let Some(scene) = Scene::new("readiness") else { return };
    scene.pod(OBEY, "", &format!("readinessProbe: {{exec: {{command: [cat, /tmp/ready]}}, {QUICK}}}"));
    scene.wait_phase("Running");
    let unready = scene.wait("unready", |pod| (condition(pod, "Ready")["status"] == "False").then(|| condition(pod, "Ready")));
    assert_eq!(unready["reason"], "ContainersNotReady");
    scene.shell("touch /tmp/ready");
    scene.wait("ready", |pod| (condition(pod, "Ready")["status"] == "True").then_some(()));
    scene.shell("rm /tmp/ready");
    scene.wait("unready again", |pod| (condition(pod, "Ready")["status"] == "False").then_some(()));
    assert_eq!(scene.wait_main("/ready", &json!(false))["restartCount"], 0);
}

#[test]
fn a_failed_liveness_probe_restarts_the_container() {
    let Some(scene) = Scene::new("liveness") else { return };
    let text = format!("touch /tmp/alive; {OBEY}");
    scene.pod(&text, "", &format!("livenessProbe: {{exec: {{command: [cat, /tmp/alive]}}, {QUICK}}}"));
    scene.wait_main("/ready", &json!(true));
    scene.shell("rm /tmp/alive");
    scene.wait_main("/restartCount", &json!(1));
    let main = scene.wait_main("/ready", &json!(true));
    // a busy machine may be too slow for the probe once more
    assert!(main["restartCount"].as_u64() >= Some(1), "{main}");
    assert_eq!(main["lastState"]["terminated"]["exitCode"], json!(0), "{main}");
    // the second run has a root of its own, in which it makes the file again
    scene.shell("until [ -e /tmp/alive ]; do sleep 0.1; done");
}

#[test]
fn one_that_hears_no_term_is_killed_after_the_probe_s_grace() {
    let Some(scene) = Scene::new("deaf") else { return };
    let probe = format!("livenessProbe: {{exec: {{command: ['false']}}, {QUICK}, terminationGracePeriodSeconds: 1}}");
    scene.pod(DEAF, "terminationGracePeriodSeconds: 600", &probe);
    scene.wait_main("/lastState/terminated/exitCode", &json!(137));
}

#[test]
fn other_probes_wait_for_the_start_up_probe() {
    let Some(scene) = Scene::new("startup") else { return };
    scene.pod(
        OBEY,
        "",
        &format!(
            "startupProbe: {{exec: {{command: [cat, /tmp/up]}}, periodSeconds: 1, failureThreshold: 600}}, \
             livenessProbe: {{exec: {{command: [cat, /tmp/up]}}, {QUICK}}}, \
             readinessProbe: {{exec: {{command: [sh, -c, 'echo asked >>/tmp/asked']}}, {QUICK}}}"
        ),
    );
    let main = scene.wait_main("/started", &json!(false));
    assert!(main["state"]["running"].is_object() || main["state"]["waiting"].is_object(), "{main}");
    scene.wait_phase("Running");
    // far more than the liveness probe would have borne
    scene.shell("sleep 4");
    assert_eq!(scene.shell("cat /tmp/asked 2>/dev/null || echo nobody"), "nobody\n");
    scene.shell("touch /tmp/up");
    let main = scene.wait_main("/ready", &json!(true));
    assert_eq!((&main["started"], &main["restartCount"]), (&json!(true), &json!(0)));
}

#[test]
fn a_start_up_probe_that_never_succeeds_restarts_the_container() {
    let Some(scene) = Scene::new("never-up") else { return };
    scene.pod(OBEY, "", &format!("startupProbe: {{exec: {{command: ['false']}}, {QUICK}}}"));
    scene.wait_main("/restartCount", &json!(1));
}

#[test]
fn one_that_crashes_is_started_again_with_back_off() {
    let Some(scene) = Scene::new("crash") else { return };
    scene.pod("exit 3", "", "");
    scene.wait_main("/restartCount", &json!(1));
    let main = scene.wait_main("/state/waiting/reason", &json!("CrashLoopBackOff"));
    assert_eq!(main["lastState"]["terminated"]["exitCode"], 3, "{main}");
    assert_eq!(scene.wait_phase("Running")["status"]["phase"], "Running");
}
