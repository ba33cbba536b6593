//! The harness itself: who may do what, what ends when.

use std::env;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use crate::rig::api_proxy::ApiProxy;
use crate::rig::control_plane::guard::Guarded;
use crate::rig::control_plane::{Run, build_tools, shared, shared_with_controllers};
use crate::rig::{PATIENCE, run_again, skip};

#[test]
fn a_service_account_may_do_what_its_role_allows_and_no_more() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("rbac");
    ns.apply(
        "\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [pollinator.dev], resources: [connectorinstances], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader}]
",
    );
    let reader = ns.api_as("reader");
    // the authoriser learns of roles by its own watch
    let deadline = Instant::now() + PATIENCE;
    while reader.get(&ns.instances()).status != 200 {
        assert!(Instant::now() < deadline, "{:?}", reader.get(&ns.instances()));
        thread::park_timeout(Duration::from_millis(25));
    }
    let refused = reader.get(&ns.core("secrets"));
    assert_eq!((refused.status, refused.reason()), (403, "Forbidden"), "{}", refused.message());
    assert_eq!(reader.delete(&ns.instance("any")).status, 403);
    let nobody = ns.api().with_token("not-a-token").get(&ns.instances());
    assert_eq!(nobody.status, 401);

    let mut kubectl = plane.kubectl(&ns.kubeconfig_as("reader"));
    let listed = Run::of(kubectl.args(["auth", "can-i", "list", "coni"]), "").ok();
    assert_eq!(listed.trim(), "yes");
}

#[test]
fn controllers_make_replica_sets_and_end_namespaces() {
    let Some(plane) = shared_with_controllers() else { return };
    let ns = plane.namespace("controllers");
    ns.apply(
        "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleeper}
spec:
  selector: {matchLabels: {app: sleeper}}
  template:
    metadata: {labels: {app: sleeper}}
    spec: {containers: [{name: sleeper, image: sleeper}]}
",
    );
    ns.api().wait_for(&ns.group("apps/v1", "deployments/sleeper"), "a replica", |deployment| {
        (deployment["status"]["replicas"] == 1).then_some(())
    });
    let pods = ns.api().get(&ns.core("pods")).ok();
    let volumes = pods["items"][0]["spec"]["volumes"].to_string();
    assert!(volumes.contains("serviceAccountToken"), "{volumes}");

    let name = format!("/api/v1/namespaces/{}", ns.name());
    drop(ns);
    plane.api().wait_for(&name, "its end", |namespace| namespace.is_null().then_some(()));
}

#[test]
fn an_object_that_is_never_seen_is_told_with_its_last_state() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("waiting");
    ns.api().create(&ns.core("configmaps"), &json!({"metadata": {"name": "one"}, "data": {"a": "b"}})).ok();
    let last = ns.api().try_wait::<()>(&ns.core("configmaps/one"), Duration::from_millis(200), |_| None).unwrap_err();
    assert_eq!(last["data"]["a"], "b");
}

/// CI runs this one first, so that a build does not compete with tests that wait for polls.
#[test]
fn the_tools_are_there() {
    if let Err(why) = build_tools() {
        skip("tests with a control plane", &why);
    }
}

#[test]
fn kube_s_client_reaches_the_server_and_passes_the_proxy() {
    let Some(plane) = shared() else { return };
    let (ns, proxy) = (plane.namespace("client"), ApiProxy::start(plane));
    let list = |kubeconfig: &Path| {
        plane.runtime().block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
            let secrets: kube::Api<Secret> = kube::Api::default_namespaced(kube::Client::try_from(config).unwrap());
            secrets.list(&kube::api::ListParams::default()).await
        })
    };
    assert!(list(ns.kubeconfig()).is_ok());
    let refused = list(&proxy.kubeconfig(&ns.token("operator"), ns.name())).unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused:?}");
    assert!(refused.to_string().contains(ns.name()), "{refused}");
    assert_eq!(proxy.count("list", "secrets"), 1);
}

#[test]
fn helm_speaks_to_the_server() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("helm");
    let Some(listed) = ns.helm(&["list", "--output", "json"]) else { return };
    assert_eq!(listed.ok().trim(), "[]");
}

/// Tells a process that it is the inner one.
const INNER: &str = "POLLINATOR_TEST_GUARDED";

/// The test runs itself again, in a process that can be killed, which guards a third one.
#[test]
fn what_is_guarded_ends_with_a_killed_test_process() {
    if env::var_os(INNER).is_some() {
        let folder = tempfile::tempdir().unwrap();
        let guarded = Guarded::spawn(Path::new("sleep"), &["1000".to_owned()], folder.path());
        println!("guards {}", guarded.pid());
        let _ = std::io::stdin().read(&mut [0; 1]);
        return;
    }
    let name = "control_plane::harness::what_is_guarded_ends_with_a_killed_test_process";
    let (mut inner, pid) = run_again(name, INNER, "guards ");
    assert!(is_alive(&pid));
    inner.kill().unwrap();
    inner.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while is_alive(&pid) {
        assert!(Instant::now() < deadline, "{pid} lives on");
        thread::park_timeout(Duration::from_millis(25));
    }
}

#[test]
fn a_guarded_process_that_ends_is_told_and_leaves_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let say = ["-c".to_owned(), "echo farewell; exit 3".to_owned()];
    let mut guarded = Guarded::spawn(Path::new("sh"), &say, folder.path());
    let told = guarded.wait(|_| false).unwrap_err();
    assert!(told.contains("farewell"), "{told}");

    let mut guarded = Guarded::spawn(Path::new("sleep"), &["1000".to_owned()], folder.path());
    assert!(!guarded.has_ended());
    guarded.signal("TERM");
    assert!(guarded.wait(|_| false).is_err());
    let guarded = Guarded::spawn(Path::new("sleep"), &["1000".to_owned()], folder.path());
    let pid = guarded.pid().to_owned();
    drop(guarded);
    assert!(!is_alive(&pid));
}

/// Whether a process takes signals; one that only waits to be reaped does not count.
fn is_alive(pid: &str) -> bool {
    let script = "kill -0 \"$0\" 2>/dev/null && case $(ps -o stat= -p \"$0\") in Z*) exit 1;; esac";
    Command::new("sh").args(["-c", script, pid]).status().unwrap().success()
}
