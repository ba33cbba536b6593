//! People, deployment tools and other managers work on the same objects as the operator.

use serde_json::{Value, json};

use crate::rig::control_plane::shared;
use crate::rig::operator::Cluster;

#[test]
fn what_the_operator_writes_is_seen_by_people_and_drifts_for_no_tool() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "beside");
    let url = cluster.provider.url();
    cluster.apply_yaml(&format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: shop, namespace: it}}\nspec: {{baseUrl: \"{url}\"}}\n"
    ));
    let instance = cluster.instance().spec("connector: shop").yaml();
    let yaml = instance.replace("namespace: it", &format!("namespace: {}", cluster.ns.name()));
    cluster.ns.apply(&yaml);
    let operator = cluster.start();
    let waited = cluster.ns.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "coni/it"]).ok();
    assert!(waited.contains("condition met"), "{waited}");
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(1));
    cluster.ns.wait_condition("it", "CallbackReachable", "True", "Delivering");

    // what people see
    let table = cluster.ns.kubectl(&["get", "coni", "it"]).ok();
    let (head, row) = table.trim().split_once('\n').unwrap();
    let words = |line: &str| line.replace("LAST CHANGE", "CHANGE").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(head), ["NAME", "CONNECTOR", "READY", "REASON", "SUSPENDED", "DELIVERED", "PARKED", "CHANGE", "AGE"]);
    let row = words(row);
    assert_eq!(row[..7], ["it", "shop", "True", "Polling", "false", "1", "0"], "{table}");
    assert!(row[7..].iter().all(|span| span.ends_with(['s', 'm'])), "{table}");
    let wide = cluster.ns.kubectl(&["get", "coni", "it", "-o", "wide"]).ok();
    assert!(wide.contains("all resources are polled and the callback accepts events"), "{wide}");

    // no tool sees drift, on the client or on the server, and none has to fight for a field
    let before = cluster.ns.get_instance("it");
    assert!(cluster.ns.kubectl_with(&["apply", "-f", "-"], &yaml).ok().contains("unchanged"));
    assert_eq!(cluster.ns.kubectl_with(&["diff", "-f", "-"], &yaml).ok(), "");
    for manager in ["kubectl", "argocd-controller", "kustomize-controller"] {
        let field_manager = format!("--field-manager={manager}");
        assert_eq!(cluster.ns.kubectl_with(&["diff", "--server-side", &field_manager, "-f", "-"], &yaml).ok(), "", "{manager}");
        let applied = cluster.ns.kubectl_with(&["apply", "--server-side", &field_manager, "-f", "-"], &yaml);
        assert_eq!((applied.code, applied.stderr.as_str()), (Some(0), ""), "{manager}");
    }
    let after = cluster.ns.get_instance("it");
    assert_eq!((&after["spec"], &after["status"]), (&before["spec"], &before["status"]));
    assert_eq!(after["metadata"]["generation"], 1);

    // `kubectl wait` waits for what was just applied
    cluster.ns.apply(&yaml.replace("interval: 5s", "interval: 6s"));
    cluster.ns.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "coni/it"]).ok();
    let present = cluster.ns.get_instance("it");
    assert_eq!((&present["metadata"]["generation"], &present["status"]["observedGeneration"]), (&json!(2), &json!(2)));
}

#[test]
fn what_others_remove_of_a_status_comes_back_and_what_they_damage_can_be_given_up() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "removed");
    cluster.apply(&cluster.instance());
    // The times of conditions that were removed are not known any more, so the proxy does not look at what is written.
    let operator = cluster.start_beside();
    cluster.wait_ready("it");
    cluster.provider.create("a");
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(1));
    // what another writer removes comes back although no poll finds anything, conditions and state
    let stored = ["resources", "bookkeeping"].map(|part| cluster.ns.get_instance("it")["status"][part].clone());
    let mut bare = cluster.ns.get_instance("it");
    bare.as_object_mut().unwrap().remove("status");
    // without a version it replaces whatever was written meanwhile
    bare["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    cluster.ns.kubectl_with(&["replace", "--subresource=status", "-f", "-"], &bare.to_string()).ok();
    cluster.wait_status("/bookkeeping", &stored[1]);
    cluster.wait_ready("it");
    // but for the last two characters of the known set: that the date of its record has settled is noted when it is
    let cursor = |resources: &Value| {
        let mut cursor = resources[0]["cursor"].clone();
        let known = cursor["known"].as_str().expect("a known set in place");
        cursor["known"] = known[..known.len() - 2].into();
        cursor
    };
    assert_eq!(cursor(&cluster.ns.get_instance("it")["status"]["resources"]), cursor(&stored[0]));
    cluster.provider.create("b");
    cluster.assert_perfect(&operator);

    // what another writer damages is given up when a person asks for that
    cluster.wait_status("/delivered", &json!(2));
    let damage = r#"{"status": {"bookkeeping": "garbage"}}"#;
    cluster.ns.kubectl(&["patch", "coni", "it", "--subresource=status", "--type=merge", "-p", damage]).ok();
    cluster.provider.create("c");
    let message = cluster.ns.wait_condition("it", "Ready", "False", "StateUnavailable");
    assert!(message.contains("set the annotation pollinator.dev/reset to a new value"), "{message}");
    cluster.ns.kubectl(&["annotate", "coni", "it", "pollinator.dev/reset=records"]).ok();
    cluster.wait_ready("it");
    let posts = cluster.receiver.count();
    cluster.provider.create("d");
    cluster.wait_posts(posts + 1, &operator);
}

#[test]
fn another_manager_keeps_its_own_condition_by_server_side_apply() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "auditor");
    let operator = cluster.begin();
    let path = format!("{}/status", cluster.ns.instance("it"));
    let audit = |conditions: &str| {
        let object = format!(
            "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: it}}\nstatus: {{conditions: [{conditions}]}}\n"
        );
        cluster.ns.api().apply(&path, "auditor", &object).ok()
    };
    let condition = |status: &str| {
        format!(
            "{{type: example.com/Audited, status: \"{status}\", reason: ByHand, message: seen, lastTransitionTime: \"2026-01-31T00:00:00Z\"}}"
        )
    };
    let audited = || {
        let status = &cluster.ns.get_instance("it")["status"];
        let conditions = status["conditions"].as_array().unwrap();
        assert!(conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"), "{status}");
        conditions.iter().find(|one| one["type"] == "example.com/Audited").map(|one| one["status"].clone())
    };
    for (round, status) in ["True", "False", "True"].into_iter().enumerate() {
        // without force: the operator's writes in between have taken nothing over
        audit(&condition(status));
        cluster.provider.create(&format!("r-{round}"));
        cluster.assert_perfect(&operator);
        cluster.wait_status("/delivered", &json!(round + 1));
        assert_eq!(audited(), Some(json!(status)), "our write keeps it");
    }
    // it is still the auditor's alone: left out, it is gone, and ours stay
    audit("");
    assert_eq!(audited(), None);
    cluster.provider.create("last");
    cluster.assert_perfect(&operator);
    cluster.wait_status("/delivered", &json!(4));
    assert_eq!(audited(), None, "and is not written back");

    // a replica that watches more namespaces does the work of both
    let wide = cluster.start_with(&["--watch-namespace", "default"]);
    operator.wait_stderr("another process of this lease group watches more namespaces");
    wide.wait_stderr("range owned");
    cluster.provider.create("after");
    crate::rig::assert_perfect(&cluster.verdict(), &wide, "it");
}

#[test]
fn an_event_comes_again_after_someone_deleted_it() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "events-deleted");
    let _operator = cluster.begin();
    let patch = |spec: &str| cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "--patch", spec]).ok();
    for _ in 0..3 {
        patch(r#"{"spec":{"connector":"no-such"}}"#);
        cluster.wait_event("ConnectorNotFound");
        patch(r#"{"spec":{"connector":null}}"#);
        cluster.wait_ready("it");
        cluster.ns.kubectl(&["delete", "events", "--all"]).ok();
    }
}
