//! Between an instance and its Secret, however long that takes, no condition says that the Secret is missing.

use std::thread;

use serde_json::Value;

use super::{Api, add_shop, posted, role, start};
use crate::rig::api_proxy::{Call, Fault};
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::history::History;
use crate::rig::operator::Cluster;

#[test]
fn a_new_instance_never_reports_a_secret_that_is_on_its_way() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "api-awaited");
    let ns = &cluster.ns;
    ns.apply(&role(ns, "caller"));
    add_shop(&cluster);
    let operator = start(&cluster);
    let api = Api::of(&operator, ns.token("caller"));
    let is_secret = |call: &Call| call.is("create", "secrets") && call.json()["metadata"]["name"] == "web-shop-login";
    cluster.proxy.script(move |call| is_secret(call).then_some(Fault::Hold));
    let history = History::watch(ns.api(), &ns.instances());
    let body = posted("Web Shop", &cluster.receiver.url("web-shop"));
    thread::scope(|scope| {
        let posting = scope.spawn(|| api.must(ns, "POST", "/instances", Some(&body)));
        // the Secret is not made before the operator has looked for it
        let is_asked = |call: &Call| call.is("get", "secrets") && call.name == "web-shop-login" && call.status == Some(404);
        cluster.proxy.wait("the Secret", |calls| calls.iter().any(is_asked).then_some(()));
        cluster.proxy.behave();
        posting.join().expect("it is created");
    });
    cluster.wait_ready("web-shop");
    let versions = history.log.all();
    let is_false = |version: &Value| version["status"].to_string().contains("SecretNotFound");
    assert!(!versions.iter().any(is_false), "{versions:#?}");
    assert!(!operator.stderr().contains("SecretNotFound"), "{}", operator.stderr());
}
