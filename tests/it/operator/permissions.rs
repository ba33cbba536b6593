//! What is permitted is what is needed: with any rule less, something breaks and the operator says so.

use serde_json::{Value, json};

use super::kept::by_content;
use crate::rig::api_proxy::Call;
use crate::rig::control_plane::shared;
use crate::rig::manifest::Instance;
use crate::rig::operator::{Cluster, health, wait_ready_to_serve};
use crate::rig::pollinator::binary;
use crate::rig::rights;
use crate::rig::scene::ids;

/// The rules of the role that `deploy/` has for one namespace, and those for its Leases.
fn rules() -> Vec<Value> {
    let texts = [include_str!("../../../deploy/namespaced/role.yaml"), include_str!("../../../deploy/base/leases.yaml")];
    let documents = texts.iter().map(|text| serde_saphyr::from_str::<Value>(text.split("\n---\n").next().unwrap()).unwrap());
    let rules = documents.flat_map(|role| role["rules"].as_array().unwrap().clone());
    // a rule for each kind of object, so that each can be taken away
    rules
        .flat_map(|rule| {
            let resources = rule["resources"].as_array().unwrap().clone();
            resources.into_iter().map(move |resource| {
                let mut one = rule.clone();
                one["resources"] = json!([resource]);
                one
            })
        })
        .collect()
}

/// A service account with these rules in the namespace.
fn account(cluster: &Cluster<'_>, name: &str, rules: &[Value]) -> String {
    rights::grant_rules(&cluster.ns, name, rules, &[name]);
    cluster.ns.token(name)
}

/// What `operator --check` says, once the API server has learnt of the role.
fn checked(cluster: &Cluster<'_>, token: &str, expected: &str) -> (Option<i32>, String) {
    let kubeconfig = cluster.ns.plane().kubeconfig(cluster.ns.plane().url(), token, cluster.ns.name());
    let deadline = std::time::Instant::now() + crate::rig::PATIENCE;
    loop {
        let mut command = binary();
        command.env("KUBECONFIG", &kubeconfig).args(["operator", "--check", "--watch-namespace", cluster.ns.name()]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        if said == expected || std::time::Instant::now() > deadline {
            return (output.status.code(), said);
        }
    }
}

#[test]
fn the_check_names_each_permission_that_is_missing() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "check");
    let all = rules();
    assert_eq!(all.len(), 8, "{all:#?}");
    let fine = "the API server answers, the CRDs are installed, no permission is missing\n";
    let token = account(&cluster, "all", &all);
    assert_eq!(checked(&cluster, &token, fine), (Some(0), fine.to_owned()));

    for (index, rule) in all.iter().enumerate() {
        let verbs = rule["verbs"].as_array().unwrap();
        // the last verb of each rule by itself, then the whole rule
        for kept in [verbs.len() - 1, 0] {
            let mut rules = all.clone();
            rules[index]["verbs"] = json!(verbs[..kept]);
            if kept == 0 {
                rules.remove(index);
            }
            let token = account(&cluster, &format!("less-{index}-{kept}"), &rules);
            let (kind, purpose) = (kind(rule), purpose(rule["resources"][0].as_str().unwrap()));
            let expected: Vec<_> = verbs[kept..]
                .iter()
                .map(|verb| {
                    format!(
                        "permission to {} {kind} is missing in namespace {}: {purpose}; add it to the Role of the operator's \
                         service account\n",
                        verb.as_str().unwrap(),
                        cluster.ns.name()
                    )
                })
                .collect();
            let expected = expected.concat();
            assert_eq!(checked(&cluster, &token, &expected), (Some(1), expected.clone()), "without {rule}");
            if kept == 0 {
                break;
            }
        }
    }
}

/// As it is named in messages.
fn kind(rule: &Value) -> String {
    let (group, resource) = (rule["apiGroups"][0].as_str().unwrap(), rule["resources"][0].as_str().unwrap());
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

#[test]
fn a_server_that_is_away_or_refuses_is_named_with_the_fix() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("unanswered");
    let refused = |server: &str, more: &[&str]| {
        let kubeconfig = plane.kubeconfig(server, "not-a-token", ns.name());
        let output =
            binary().env("KUBECONFIG", kubeconfig).args(["operator", "--check", "--log=off"]).args(more).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(plane.url(), &[]);
    assert!(told.contains(plane.url()) && told.contains("refuses the credentials: renew those of the kubeconfig"), "{told}");
    let dead = format!("https://127.0.0.1:{}", crate::rig::free_port());
    let told = refused(&dead, &[]);
    assert!(told.contains(&dead) && told.contains("Connection refused") && told.contains("correct the address"), "{told}");
    let told = refused(&dead, &["--relist-interval=1s"]);
    assert!(told.contains("'--relist-interval <DURATION>': must be 10s or more"), "{told}");

    let args = ["operator", "--check", "--watch-namespace", "no-such-namespace"];
    let output = binary().env("KUBECONFIG", ns.kubeconfig()).args(args).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &*told),
        (Some(1), "namespace no-such-namespace does not exist: create it, or correct --watch-namespace\n")
    );

    // an operator that runs says the same, and once
    let cluster = Cluster::new(plane, "unanswered-log");
    let operator = cluster.start_as("not-a-token", &[]);
    operator.wait_stderr("refuses the credentials: renew those of the kubeconfig");
    assert_eq!(operator.stderr().matches("refuses the credentials").count(), 1, "{}", operator.stderr());
    assert!(!operator.stderr().contains("grant get"), "{}", operator.stderr());
}

fn purpose(resource: &str) -> &'static str {
    match resource {
        "connectorinstances" => "instances are not found",
        "connectors" => "connectors of a namespace are not used",
        "connectorinstances/status" => "state and conditions are not stored",
        "connectors/status" => "connectors do not show whether they are accepted and used",
        "secrets" => "credentials are not read, changes to them are missed, and the retry queue is not stored",
        "configmaps" => "large sets of known records are not stored",
        "events" => "transitions are not reported as Events",
        "leases" => "replicas cannot share the work, so nothing is polled",
        other => panic!("{other} is needed for nothing"),
    }
}

#[test]
fn without_any_rule_something_breaks_and_the_operator_says_so() {
    let Some(plane) = shared() else { return };
    for (index, rule) in rules().iter().enumerate() {
        let resource = rule["resources"][0].as_str().unwrap();
        let cluster = Cluster::new(plane, &format!("without-{index}"));
        let mut rest = rules();
        rest.remove(index);
        let token = account(&cluster, "operator", &rest);
        cluster.provider.baseline(ids("old", 200));
        cluster.apply(&if resource == "configmaps" { by_content(&cluster) } else { cluster.instance() });
        let operator = cluster.start_as(&token, &[]);
        let line = operator.wait_stderr(&format!(" {} is missing in namespace ", kind(rule)));
        assert!(line.contains(purpose(resource)), "{line}");
        match resource {
            "connectorinstances" | "leases" => {
                assert_eq!((health(&operator, "/livez"), health(&operator, "/readyz")), (200, 503), "{resource}");
                assert_eq!(cluster.provider.asked(), 0, "{resource}");
            }
            "connectors" => assert_eq!(health(&operator, "/readyz"), 503),
            "connectorinstances/status" => {
                assert_eq!(cluster.ns.get_instance("it")["status"], json!({"observedGeneration": -1}));
            }
            // a column of a table is empty, and nothing else
            "connectors/status" => drop(cluster.wait_ready("it")),
            "secrets" | "configmaps" => {
                let reason = if resource == "secrets" { "SecretUnreadable" } else { "StateUnavailable" };
                let message = cluster.ns.wait_condition("it", "Ready", "False", reason);
                assert!(message.contains(resource), "{message}");
            }
            "events" => {
                cluster.wait_ready("it");
                let events = cluster.ns.api().get(&cluster.ns.group("events.k8s.io/v1", "events")).ok();
                assert_eq!(events["items"], json!([]));
            }
            other => panic!("{other} is needed for nothing"),
        }
    }
}

#[test]
fn a_role_in_each_of_two_namespaces_is_enough_for_both_and_no_other_is_looked_at() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "first-of-two");
    let (second, third) = (plane.namespace("second-of-two"), plane.namespace("none-of-two"));
    let token = cluster.ns.token("operator");
    rights::grant(&cluster.ns, &["operator"]);
    rights::grant_to_others(&second, &cluster.ns, &["operator"]);
    cluster.apply(&cluster.instance());
    for ns in [&second, &third] {
        let here = |yaml: &str| yaml.replace("namespace: it", &format!("namespace: {}", ns.name()));
        ns.apply(&here(&crate::rig::manifest::login()));
        let instance = Instance::new("it", &cluster.provider.url(), &cluster.receiver.url(ns.name())).basic_auth();
        ns.apply(&here(&instance.yaml()));
    }
    // One namespace is named twice, and another one has no Role.
    let closed = plane.namespace("closed-of-two");
    let named = [second.name(), second.name(), closed.name()];
    let operator = cluster.start_as(&token, &named.map(|name| ["--watch-namespace", name]).concat());
    cluster.wait_ready("it");
    second.wait_condition("it", "Ready", "True", "Polling");
    assert_eq!(health(&operator, "/readyz"), 503, "one namespace cannot be listed");
    let missing = format!("permission to list connectorinstances.pollinator.dev is missing in namespace {}", closed.name());
    operator.wait_stderr(&missing);
    assert!(!operator.stderr().contains(&format!("is missing in namespace {}:", second.name())), "{}", operator.stderr());
    rights::grant_to_others(&closed, &cluster.ns, &["operator"]);
    wait_ready_to_serve(&operator);

    // No other namespace is looked at, and none twice.
    assert_eq!(third.get_instance("it")["status"]["observedGeneration"], -1, "as it was created");
    let calls = cluster.proxy.calls();
    for call in calls.iter().filter(|call| matches!(&*call.verb, "list" | "watch" | "get")) {
        let is_ours = [cluster.ns.name(), second.name(), closed.name()].contains(&&*call.namespace);
        assert!(is_ours || call.resource.starts_with('/'), "{call:?}");
    }
    let lists = |call: &&Call| call.verb == "list" && call.resource == "connectorinstances" && call.namespace == second.name();
    assert_eq!(calls.iter().filter(lists).count(), 1);

    // one that is deleted goes, and the list of its namespace says nothing of the other
    second.api().delete(&second.instance("it")).ok();
    cluster.provider.create("later");
    cluster.assert_perfect(&operator);
    assert_eq!(health(&operator, "/livez"), 200);
}

#[test]
fn with_a_required_label_no_other_secret_is_used() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "labelled");
    cluster.apply(&cluster.instance());
    let operator = cluster.start_with(&["--secret-label", "pollinator.dev/usable=true"]);
    let message = cluster.ns.wait_condition("it", "Ready", "False", "SecretUnreadable");
    assert!(message.contains("lacks the label pollinator.dev/usable=true; add the label"), "{message}");
    assert_eq!(cluster.provider.asked(), 0, "nothing is asked without credentials");
    cluster.ns.kubectl(&["label", "secret", "--all", "pollinator.dev/usable=true"]).ok();
    cluster.wait_ready("it");
    assert!(!operator.stderr().contains("panicked"), "{}", operator.stderr());
}
