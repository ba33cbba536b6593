//! The operator is killed while it creates an instance: whatever it had done by then, sending the body again yields one instance with its
//! one Secret.

use std::thread;

use serde_json::Value;

use super::{Api, add_shop, posted, role, start};
use crate::rig::PATIENCE;
use crate::rig::api_proxy::{Call, Fault};
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::operator::Cluster;

/// What creating an instance writes, in its order.
const WRITES: [(&str, &str); 3] = [("create", "connectorinstances"), ("create", "secrets"), ("update", "connectorinstances")];
/// It dies before the API server hears of a write, or before it hears of the answer.
const MOMENTS: [Fault; 2] = [Fault::Hold, Fault::HoldAnswer];

#[test]
fn a_post_that_was_cut_off_anywhere_is_completed_by_the_next_one() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "api-killed");
    let ns = &cluster.ns;
    let token = ns.token("caller");
    ns.apply(&role(ns, "caller"));
    add_shop(&cluster);
    let mut operator = start(&cluster);
    let mut api = Api::of(&operator, token.clone());
    let mut paths = Vec::new();
    let cuts = MOMENTS.into_iter().flat_map(|moment| WRITES.map(|write| (moment, write)));
    for (number, (moment, (verb, resource))) in cuts.enumerate() {
        let (display, name) = (format!("Killed {number}"), format!("killed-{number}"));
        let (object, secret) = (ns.instance(&name), ns.core(&format!("secrets/{name}-login")));
        let body = posted(&display, &cluster.receiver.url(&name));
        let is_it = {
            let name = name.clone();
            move |call: &Call| {
                let of = call.json()["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                call.is(verb, resource) && (of == name || of == format!("{name}-login"))
            }
        };
        let scripted = is_it.clone();
        cluster.proxy.script(move |call| scripted(call).then_some(moment));
        thread::scope(|scope| {
            let posting = scope.spawn(|| api.try_ask_in(ns.name(), "POST", "/instances", Some(&body)));
            cluster.proxy.wait("the write", |calls| calls.iter().any(&is_it).then_some(()));
            if moment == Fault::HoldAnswer {
                let made = if resource == "secrets" { &secret } else { &object };
                let is_done = |object: &Value| match verb {
                    "update" => object["metadata"]["labels"]["pollinator.dev/instance-id"].is_string(),
                    _ => object["metadata"]["uid"].is_string(),
                };
                ns.api().wait_for(made, "the server did it", |object| is_done(object).then_some(()));
            }
            operator.kill9();
            // what is held back dies with its connection
            cluster.proxy.cut();
            let answered = posting.join().expect("no panic").map(|reply| reply.status);
            assert!(answered.is_err(), "{name}: {answered:?}");
        });
        cluster.proxy.behave();
        operator = start(&cluster);
        api = Api::of(&operator, token.clone());
        let what = format!("{moment:?} {verb} {resource}");
        let created = api.must(ns, "POST", "/instances", Some(&body));
        assert_eq!(api.must(ns, "POST", "/instances", Some(&body))["id"], created["id"], "{what}");
        let listed = api.must(ns, "GET", "/instances", None);
        let same = listed.as_array().expect("a list").iter().filter(|one| one["name"] == *display).count();
        assert_eq!(same, 1, "{what}: {listed}");
        let (stored, owned) = (ns.api().get(&object).ok(), ns.api().get(&secret).ok());
        assert_eq!(owned["metadata"]["ownerReferences"][0]["uid"], stored["metadata"]["uid"], "{what}");
        assert_eq!(stored["metadata"]["labels"]["pollinator.dev/instance-id"], created["id"].to_string(), "{what}");
        paths.push((format!("/instances/{}", created["id"]), secret));
    }
    for (path, _) in &paths {
        api.must(ns, "DELETE", path, None);
    }
    for (_, secret) in &paths {
        let gone = ns.api().try_wait(secret, PATIENCE, |object| object.is_null().then_some(()));
        gone.expect("the Secret goes with its instance");
    }
}
