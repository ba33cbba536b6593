//! The CRDs are missing, older, or newer than the operator. They are there for all, so these tests have a plane of their own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::PATIENCE;
use crate::rig::control_plane::{CRDS, ControlPlane};
use crate::rig::manifest::Instance;
use crate::rig::operator::{Cluster, health, wait_ready_to_serve};

const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn read(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

fn install(plane: &ControlPlane, crd: &Value) {
    let name = crd["metadata"]["name"].as_str().unwrap();
    let api = plane.api();
    let found = api.get(&format!("{PATH}/{name}"));
    if found.status == 404 {
        api.create(PATH, crd).ok();
    } else {
        let mut crd = crd.clone();
        crd["metadata"]["resourceVersion"] = found.body["metadata"]["resourceVersion"].clone();
        api.replace(&format!("{PATH}/{name}"), &crd).ok();
    }
    api.wait_for(&format!("{PATH}/{name}"), "Established", |crd| {
        let conditions = crd["status"]["conditions"].as_array()?;
        conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True").then_some(())
    });
    // established is not yet served
    let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while api.get(&format!("/apis/pollinator.dev/v1alpha1/{plural}")).status != 200 {
        assert!(Instant::now() < deadline, "{plural} are not served in time");
        std::thread::park_timeout(Duration::from_millis(25));
    }
}

/// kubectl and the server learn of a CRD by themselves, which may take a moment.
fn apply(cluster: &Cluster<'_>, instance: &Instance) {
    let yaml = instance.yaml().replace("namespace: it", &format!("namespace: {}", cluster.ns.name()));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let run = cluster.ns.kubectl_with(&["apply", "-f", "-"], &yaml);
        if run.code == Some(0) {
            return;
        }
        assert!(Instant::now() < deadline, "{}", run.stderr);
    }
}

#[test]
fn an_operator_waits_for_its_crds_and_trusts_no_other_version_of_them() {
    let Some(plane) = ControlPlane::start() else { return };
    let cluster = Cluster::new(&plane, "crds");
    let [(name, instances), (_, connectors)] = CRDS;
    for (name, _) in CRDS {
        plane.api().delete(&format!("{PATH}/{name}")).ok();
        plane.api().wait_for(&format!("{PATH}/{name}"), "gone", |crd| crd.is_null().then_some(()));
    }

    // missing
    let operator = cluster.start();
    operator.wait_stderr("the CRDs are not installed");
    assert_eq!((health(&operator, "/livez"), health(&operator, "/readyz")), (200, 503));

    // older: it lacks a field that is stored
    let mut older = read(instances);
    let status = &mut older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
    status["resources"]["items"]["properties"]["cursor"]["properties"].as_object_mut().unwrap().remove("started").unwrap();
    install(&plane, &read(connectors));
    install(&plane, &older);
    operator.wait_stderr("everything is listed");
    wait_ready_to_serve(&operator);
    apply(&cluster, &cluster.instance());
    let message = cluster.ns.wait_condition("it", "CrdOutdated", "True", "CrdOutdated");
    assert!(message.contains(name) && message.contains("apply the CRDs"), "{message}");
    cluster.wait_event("CrdOutdated");
    assert_eq!(cluster.provider.asked(), 0, "what cannot be stored is not begun");

    // this version; what failed does not wait for its own time to come round
    install(&plane, &read(instances));
    let ready = cluster.wait_ready("it");
    assert!(!ready["status"].to_string().contains("CrdOutdated"), "{ready}");
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);

    // newer: it takes what this operator does not understand
    let mut newer = read(instances);
    let auth = &mut newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["auth"];
    *auth = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let spec = &mut newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    spec.as_object_mut().unwrap().remove("x-kubernetes-validations");
    install(&plane, &newer);
    let mut strange = cluster.instance();
    (strange.name, strange.auth) = ("strange".to_owned(), "telepathy: {}".to_owned());
    apply(&cluster, &strange);
    let message = cluster.ns.wait_condition("strange", "Ready", "False", "InvalidSpec");
    assert!(message.contains("not understood by this version"), "{message}");
    cluster.provider.create("b");
    cluster.assert_stays_perfect(&operator);
}
