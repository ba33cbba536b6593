//! What a container is given.

use serde_json::json;

use super::{OBEY, Scene};

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[test]
fn its_variables_and_arguments() {
    let Some(scene) = Scene::new("variables") else { return };
    scene.ns.apply("{apiVersion: v1, kind: Secret, metadata: {name: login}, stringData: {key: open}}");
    scene.ns.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {colour: blue}}");
    scene.pod(
        "echo $(NAME) $(NS) $$(NAME) $SECRET $colour $UID_ $IP $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT",
        "restartPolicy: Never",
        "envFrom: [{configMapRef: {name: settings}}], env: [\
         {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, \
         {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}, \
         {name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}, \
         {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, \
         {name: SECRET, valueFrom: {secretKeyRef: {name: login, key: key}}}]",
    );
    let pod = scene.wait_phase("Succeeded");
    let (uid, ip) = (pod["metadata"]["uid"].as_str().unwrap(), pod["status"]["podIP"].as_str().unwrap());
    let log = scene.kubelet.logs("it");
    let ns = scene.ns.name();
    let server = scene.ns.plane().url().trim_start_matches("https://");
    // `$$(NAME)` is the shell's to replace, which finds no command of that name
    let (said, rest) = log.split_at(log.find(&format!("it {ns}")).unwrap_or_else(|| panic!("{log}")));
    assert!(said.contains("NAME") && said.contains("not found"), "{log}");
    assert_eq!(rest.trim(), format!("it {ns} open blue {uid} {ip} {server}"));
}

#[test]
fn a_token_that_the_api_server_knows_and_its_authority() {
    let Some(scene) = Scene::new("token") else { return };
    scene.pod(OBEY, "", "");
    scene.wait_main("/ready", &json!(true));
    let read = |file: &str| scene.shell(&format!("cat {ACCOUNT}/{file}"));
    assert_eq!(read("namespace"), scene.ns.name());
    assert_eq!(read("ca.crt").trim(), scene.ns.plane().identity().authority_pem.trim());
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let as_pod = scene.ns.api().with_token(&read("token"));
    let user = as_pod.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", &ask).ok()["status"]["userInfo"].clone();
    assert_eq!(user["username"], format!("system:serviceaccount:{}:default", scene.ns.name()));
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-name"], json!(["it"]));
    // the token is the pod's, and ends with it
    scene.ns.kubectl(&["delete", "pod", "it"]).ok();
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    while as_pod.create(path, &ask).status != 401 {
        assert!(std::time::Instant::now() < deadline, "the token outlives its pod");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

#[test]
fn files_of_config_maps_and_secrets_that_follow_a_change() {
    let Some(scene) = Scene::new("files") else { return };
    let map = |colour: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings}}, data: {{colour: {colour}, other: x}}}}")
    };
    scene.ns.apply(&map("blue"));
    scene.ns.apply("{apiVersion: v1, kind: Secret, metadata: {name: login}, stringData: {key: open}}");
    scene.pod(
        OBEY,
        "volumes: [{name: m, configMap: {name: settings, items: [{key: colour, path: a/colour}]}}, \
         {name: s, secret: {secretName: login}}, {name: e, emptyDir: {}}, \
         {name: d, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]",
        "volumeMounts: [{name: m, mountPath: /etc/map}, {name: s, mountPath: /secret}, {name: e, mountPath: /scratch}, \
         {name: d, mountPath: /about}, {name: s, mountPath: /one/key, subPath: key}]",
    );
    scene.wait_main("/ready", &json!(true));
    assert_eq!(scene.shell("cat /etc/map/a/colour /secret/key /about/labels /one/key"), "blueopenapp=\"it\"open");
    assert!(!scene.shell("ls /etc/map").contains("other"));
    assert_eq!(
        scene.shell("echo x 2>/dev/null >/secret/new || echo sealed; echo x >/scratch/new && cat /scratch/new"),
        "sealed\nx\n"
    );
    scene.ns.apply(&map("red"));
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    while scene.shell("cat /etc/map/a/colour") != "red" {
        assert!(std::time::Instant::now() < deadline, "the file does not follow");
        std::thread::park_timeout(std::time::Duration::from_millis(200));
    }
}

#[test]
fn what_is_missing_is_waited_for_and_named() {
    let Some(scene) = Scene::new("missing") else { return };
    scene.pod(OBEY, "", "envFrom: [{configMapRef: {name: settings}}]");
    let main = scene.wait_main("/state/waiting/reason", &json!("CreateContainerConfigError"));
    assert_eq!(main["state"]["waiting"]["message"], "configmap \"settings\" not found");
    scene.ns.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {colour: blue}}");
    scene.wait_main("/ready", &json!(true));
    assert_eq!(scene.shell("echo $colour").trim(), "blue");
}

#[test]
fn no_image_that_the_test_does_not_know() {
    let Some(scene) = Scene::new("image") else { return };
    scene.pod(OBEY, "", "image: 'registry.example/other:1'");
    let main = scene.wait_main("/state/waiting/reason", &json!("ErrImagePull"));
    assert!(main["state"]["waiting"]["message"].as_str().unwrap().contains("registry.example/other:1"), "{main}");
}

#[test]
fn the_user_and_rights_that_its_security_context_says() {
    let Some(scene) = Scene::new("rights") else { return };
    scene.pod(
        "id -u; id -g; echo x >/tmp/x || echo sealed; grep -E 'CapEff|NoNewPrivs' /proc/self/status",
        "restartPolicy: Never, securityContext: {runAsUser: 1234, runAsGroup: 5678, runAsNonRoot: true}",
        "securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}",
    );
    scene.wait_phase("Succeeded");
    let log = scene.kubelet.logs("it");
    for part in ["1234\n5678\n", "sealed\n", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

#[test]
fn no_root_where_root_is_forbidden() {
    let Some(scene) = Scene::new("root") else { return };
    scene.pod(OBEY, "securityContext: {runAsNonRoot: true}", "");
    let main = scene.wait_main("/state/waiting/reason", &json!("CreateContainerConfigError"));
    assert!(main["state"]["waiting"]["message"].as_str().unwrap().contains("runAsNonRoot"), "{main}");
}
