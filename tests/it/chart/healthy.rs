//! What tools of `GitOps` make of an instance in each situation: as the table in docs/get-started/install.md says.

use std::collections::BTreeMap;

use mlua::{Lua, LuaSerdeExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::rig::control_plane::shared;
use crate::rig::http::Answer;
use crate::rig::operator::Cluster;
use crate::rig::status_lint::kstatus;

#[derive(Deserialize)]
struct Health {
    status: String,
    message: String,
}

/// What the script makes of an object, run as Argo CD runs it: the object is the global `obj`.
fn argo_cd(object: &Value) -> Health {
    let lua = Lua::new();
    lua.globals().set("obj", lua.to_value(object).unwrap()).unwrap();
    let script = include_str!("../../../deploy/gitops/health.lua");
    lua.from_value(lua.load(script).eval().unwrap()).unwrap()
}

/// The rows of the table: situation → kstatus and Argo CD's health.
fn documented() -> BTreeMap<String, (String, String)> {
    let page = include_str!("../../../docs/get-started/install.md");
    let (_, table) = page.split_once("| Situation |").expect("the table");
    let rows = table.split("\n\n").next().unwrap().lines().skip(2);
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        (cells[1].to_owned(), (cells[3].to_owned(), cells[4].to_owned()))
    })
    .collect()
}

#[test]
fn each_situation_is_what_the_page_says() {
    let Some(plane) = shared() else { return };
    let cluster = Cluster::new(plane, "health");
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    let mut note = |situation: &str, object: Value| drop(seen.insert(situation.to_owned(), object));
    cluster.apply(&cluster.instance());
    note("just applied", cluster.ns.get_instance("it"));
    let operator = cluster.start();
    note("polling", cluster.wait_ready("it"));

    cluster.provider.misbehave(|_| Some(Answer::status(503)));
    let before = cluster.provider.asked();
    cluster.provider.try_wait_asked(before + 1, crate::rig::PATIENCE);
    note("one poll failed", cluster.ns.get_instance("it"));
    cluster.ns.wait_condition("it", "Ready", "False", "ProviderError");
    note("provider down for long", cluster.ns.get_instance("it"));
    cluster.provider.misbehave(|_| None);

    cluster.ns.kubectl(&["delete", "secret", "login"]).ok();
    cluster.ns.wait_condition("it", "Ready", "False", "SecretNotFound");
    note("a Secret is missing", cluster.ns.get_instance("it"));
    cluster.apply_yaml(&crate::rig::manifest::login());
    cluster.wait_ready("it");

    cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#]).ok();
    note("edited, and not seen yet", {
        let mut object = cluster.ns.get_instance("it");
        object["metadata"]["generation"] = json!(object["status"]["observedGeneration"].as_i64().unwrap() + 1);
        object
    });
    cluster.ns.wait_condition("it", "Ready", "True", "Suspended");
    note("suspended", cluster.ns.get_instance("it"));

    cluster
        .ns
        .kubectl(&["patch", "coni", "it", "--type=merge", "-p", r#"{"metadata":{"finalizers":["it.example/hold"]}}"#])
        .ok();
    cluster.ns.kubectl(&["delete", "coni", "it", "--wait=false"]).ok();
    note("being deleted", cluster.ns.get_instance("it"));
    cluster.ns.kubectl(&["patch", "coni", "it", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]).ok();
    drop(operator);

    let found: BTreeMap<_, _> = seen
        .iter()
        .map(|(situation, object)| {
            let health = argo_cd(object);
            assert!(!health.message.is_empty(), "{situation}");
            (situation.clone(), (format!("{:?}", kstatus(object)), health.status))
        })
        .collect();
    assert_eq!(found, documented());
}
