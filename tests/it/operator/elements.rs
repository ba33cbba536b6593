//! The instances API in front of a cluster: whatever is done is done with the caller's token.

mod awaited;
mod expired;
mod killed;
mod replicated;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::client::{Reply, exchange};
use crate::rig::control_plane::{Namespace, shared_with_controllers};
use crate::rig::operator::Cluster;
use crate::rig::pollinator::Pollinator;
use crate::rig::{PATIENCE, canary};

/// What a caller needs in its namespace, as the page says it.
fn role(ns: &Namespace<'_>, account: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: instances-api}}\nrules:\n\
         - {{apiGroups: [pollinator.dev], resources: [connectorinstances], verbs: [get, list, create, update, delete]}}\n\
         - {{apiGroups: [pollinator.dev], resources: [connectors], verbs: [get, list]}}\n\
         - {{apiGroups: [''], resources: [secrets], verbs: [get, create, update]}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: instances-api}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: instances-api}}\n\
         subjects: [{{kind: ServiceAccount, name: {account}, namespace: {}}}]\n",
        ns.name()
    )
}

/// A connector whose provider is the double.
fn add_shop(cluster: &Cluster<'_>) {
    cluster.apply_yaml(&format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {{name: shop, namespace: it}}\nspec: {{baseUrl: \"{}\", \
         auth: {{basic: {{}}}}, resources: [{{name: orders, hubPaths: [/hubs/ecommerce/orders], url: /records, recordsPath: records, \
         query: {{since: \"${{since}}\"}}, pagination: {{nextLink: {{field: next}}}}}}]}}\n",
        cluster.provider.url()
    ));
}

/// The body of an instance of it.
fn posted(name: &str, callback: &str) -> Value {
    json!({
        "element": {"key": "shop"}, "name": name, "tags": ["Docs"],
        "configuration": {
            "username": canary::USER, "password": canary::ODD_PASSWORD,
            "event.notification.enabled": true, "event.vendor.type": "polling",
            "event.notification.callback.url": callback, "event.poller.refresh_interval": "60",
            "event.poller.configuration": {"orders": {
                "url": "/hubs/ecommerce/orders", "idField": "id",
                "datesConfiguration": {
                    "updatedDateField": "modified", "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "updatedDateTimezone": "GMT",
                    "createdDateField": "created", "createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "createdDateTimezone": "GMT",
                },
            }},
        },
    })
}

/// The operator with the API.
fn start(cluster: &Cluster<'_>) -> Pollinator {
    cluster.start_with(&["--api-listen", "127.0.0.1:0"])
}

struct Api {
    base: String,
    token: String,
}

impl Api {
    /// That of an operator, for the one who has this token.
    fn of(operator: &Pollinator, token: String) -> Self {
        let line = operator.wait_stderr("serving the instances API");
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
        Self { base: format!("http://{address}/elements/api-v2"), token }
    }

    /// `Err`: the operator ended before it answered.
    fn try_ask_in(&self, namespace: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, reqwest::Error> {
        let authorization = format!("User {}, Organization {namespace}", self.token);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        exchange(method, &format!("{}{path}", self.base), &headers, body.map(ToString::to_string))
    }

    fn ask_in(&self, namespace: &str, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.try_ask_in(namespace, method, path, body).expect("an answer")
    }

    fn must(&self, ns: &Namespace<'_>, method: &str, path: &str, body: Option<&Value>) -> Value {
        let reply = self.ask_in(ns.name(), method, path, body);
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.body);
        serde_json::from_str(&reply.body).unwrap_or(Value::Null)
    }
}

#[test]
fn a_caller_does_what_its_own_token_allows_and_no_more() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "api");
    let (ns, other) = (&cluster.ns, plane.namespace("api-other"));
    let token = ns.token("caller");
    ns.apply(&role(ns, "caller"));
    add_shop(&cluster);
    let operator = start(&cluster);
    let api = Api::of(&operator, token);

    let body = posted("Web Shop", &cluster.receiver.url("web-shop"));
    let created = api.must(ns, "POST", "/instances", Some(&body));
    let (id, path) = (&created["id"], format!("/instances/{}", created["id"]));
    let stored = cluster.wait_ready("web-shop");
    assert_eq!(stored["metadata"]["labels"]["pollinator.dev/instance-id"], id.to_string());
    let secret = || ns.api().get(&ns.core("secrets/web-shop-login"));
    assert_eq!(secret().ok()["metadata"]["ownerReferences"][0]["uid"], stored["metadata"]["uid"]);
    // as after an answer that was lost, and as after an end between the instance and its Secret
    assert_eq!(api.must(ns, "POST", "/instances", Some(&body))["id"], *id);
    ns.kubectl(&["delete", "secret", "web-shop-login"]).ok();
    assert_eq!(api.must(ns, "POST", "/instances", Some(&body))["id"], *id);
    assert_eq!(secret().status, 200);

    let changed = api.must(ns, "PATCH", &path, Some(&json!({"configuration": {"event.poller.refresh_interval": "0.1"}})));
    assert_eq!(changed["configuration"]["event.poller.refresh_interval"], "0.1");
    assert_eq!(ns.get_instance("web-shop")["spec"]["polling"]["interval"], "6s");
    cluster.provider.create("first");
    let posts = cluster.receiver.try_wait_count("web-shop", PATIENCE, 1).expect("an event");
    let sent: Value = serde_json::from_slice(&posts[0].ask.body).expect("JSON");
    assert_eq!(sent["message"]["instanceId"], *id);
    // the entry is written once the answer was read
    let (events, deadline) = (format!("{path}/events"), Instant::now() + PATIENCE);
    while api.must(ns, "GET", &events, None)[0]["status"] != "NOTIFIED" {
        assert!(Instant::now() < deadline, "no event is listed");
        thread::park_timeout(Duration::from_millis(50));
    }
    let records = api.must(ns, "GET", "/instances/event-poller-records", None);
    assert!(records[0]["objectName"] == "orders" && records[0]["lastPoll"]["records"].is_u64(), "{records}");
    let listed = api.must(ns, "GET", "/instances", None).to_string();
    assert!(listed.contains("Web Shop") && !listed.contains(canary::ODD_PASSWORD), "{listed}");

    // RBAC decides, in the words of the API server; what the operator itself may do does not matter
    let nowhere = Api { base: api.base.clone(), token: ns.token("nobody") };
    for (method, path, body) in [
        ("GET", "/instances", None),
        ("GET", &*path, None),
        ("GET", &*events, None),
        ("POST", "/instances", Some(&body)),
        ("DELETE", &*path, None),
    ] {
        let refused = nowhere.ask_in(ns.name(), method, path, body);
        assert_eq!(refused.status, 403, "{method} {path}: {}", refused.body);
        assert!(refused.body.contains("cannot") && refused.body.contains(":nobody"), "{}", refused.body);
    }
    assert_eq!(api.ask_in(other.name(), "GET", "/instances", None).status, 403);
    assert_eq!(api.ask_in("../x", "GET", "/instances", None).status, 403);
    for token in ["wrong", "a\tb"] {
        let unknown = Api { base: api.base.clone(), token: token.to_owned() };
        assert_eq!(unknown.ask_in(ns.name(), "GET", "/instances", None).status, 401, "{token}");
    }

    // what Git declares is changed in Git
    let spec = &ns.get_instance("web-shop")["spec"];
    let applied = json!({"apiVersion": "pollinator.dev/v1alpha1", "kind": "ConnectorInstance", "metadata": {"name": "declared"}, "spec": spec});
    ns.api().apply(&ns.instance("declared"), "flux", &applied.to_string()).ok();
    let listed = api.must(ns, "GET", "/instances", None);
    let declared = listed.as_array().expect("a list").iter().find(|one| one["name"] == "declared").expect("it is shown");
    for (method, body) in [("PATCH", Some(json!({"tags": ["x"]}))), ("DELETE", None)] {
        let refused = api.ask_in(ns.name(), method, &format!("/instances/{}", declared["id"]), body.as_ref());
        assert_eq!(refused.status, 409, "{}", refused.body);
        assert!(refused.body.contains("is declared in a manifest of flux"), "{}", refused.body);
    }

    api.must(ns, "DELETE", &path, None);
    let gone = ns.api().try_wait(&ns.core("secrets/web-shop-login"), PATIENCE, |object| object.is_null().then_some(()));
    gone.expect("the Secret goes with its instance");
}

#[test]
fn a_caller_of_an_operator_of_all_namespaces_gets_its_own_alone() {
    use pollinator::instances::callers::Callers;
    use pollinator::instances::changes::StatusChanges;
    use pollinator::instances::cluster::ClusterInstances;
    use pollinator::instances::{Instances as _, InstancesError};
    use pollinator::operator::cluster::{CallError, Denied};

    let Some(plane) = shared_with_controllers() else { return };
    let [ns, other] = ["api-one", "api-two"].map(|test| plane.namespace(test));
    let token = ns.token("caller");
    ns.apply(&role(&ns, "caller"));
    plane.runtime().block_on(async {
        let kubeconfig = kube::config::Kubeconfig::read_from(ns.kubeconfig()).expect("a kubeconfig");
        let own = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await;
        let callers = Callers::new(&own.expect("a configuration")).expect("a client");
        let instances = ClusterInstances::new(
            callers.cluster(&token).expect("a token"),
            std::sync::Arc::default(),
            StatusChanges::default(),
        );
        assert!(instances.list(Some(ns.name())).await.expect("a list").is_empty());
        for namespace in [Some(other.name()), None] {
            let refused = instances.list(namespace).await.unwrap_err();
            assert!(
                matches!(&refused, InstancesError::Call(CallError::Forbidden(denial)) if denial.of == Denied::Call),
                "{refused:?}"
            );
        }
    });
}
