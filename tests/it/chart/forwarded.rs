//! `kubectl pollinator console` to a pod of the chart, through a real `kubectl port-forward`.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use super::CHART;
use super::installed::{enforce_restricted_pods, helm, kubelet};
use crate::console::cookie;
use crate::rig::client::exchange;
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::operator::Cluster;
use crate::rig::pollinator::Site;
use crate::rig::{free_port, rights};

/// What the page about the console says that it needs.
fn visitor() -> [serde_json::Value; 2] {
    [
        json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}),
        json!({"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create"]}),
    ]
}

#[test]
fn the_console_of_a_pod_opens_through_a_plugin_of_kubectl() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "forwarded");
    let ns = &cluster.ns;
    enforce_restricted_pods(ns);
    let Some(kubelet) = kubelet(plane, ns.name()) else { return };
    let Some(()) = kubelet.serve_port_forwards() else { return };
    cluster.apply(&cluster.instance());
    // the port is also one of this machine, whose default another test may have
    let port = free_port();
    let (watch, listen) = (format!("watchNamespace={}", ns.name()), format!("console.port={port}"));
    let sets = [&*watch, "crds.enabled=false", "operator.allowEgress={127.0.0.0/8}", "console.enabled=true", &*listen];
    let mut line = vec!["install", "pollinator", CHART, "--namespace", ns.name(), "--wait", "--timeout", "180s"];
    line.extend(sets.iter().flat_map(|set| ["--set", *set]));
    if helm(ns, &kubelet, &line).is_none() {
        return;
    }
    cluster.wait_ready("it");
    let owner = ns.token("owner");
    rights::grant(ns, &["owner"]);
    ns.token("visitor");
    rights::grant_rules(ns, "visitor", &visitor(), &["visitor"]);

    let site = Site::new(&[]);
    let folder = site.path().join("plugins");
    std::fs::create_dir(&folder).unwrap();
    symlink(env!("CARGO_BIN_EXE_pollinator"), folder.join("kubectl-pollinator")).unwrap();
    let mut command = plane.kubectl(&ns.kubeconfig_as("visitor"));
    let own = Path::new(command.get_program()).parent().unwrap().to_owned();
    let mut path = OsString::from(format!("{}:{}:", folder.display(), own.display()));
    path.push(env::var_os("PATH").unwrap_or_default());
    command.env("PATH", path).env("NO_COLOR", "1").args(["pollinator", "console", "-n", ns.name()]);
    let mut led = site.spawn(command);
    let base = format!("http://127.0.0.1:{port}");
    led.wait_stdout(&format!("open the console: {base}"));

    // a page without a session, a session, and what the owner of the token may see
    let host = format!("127.0.0.1:{port}");
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>| {
        let headers: Vec<_> = headers.iter().copied().chain([("Host", &*host)]).collect();
        exchange(method, &format!("{base}{path}"), &headers, body.map(str::to_owned)).unwrap()
    };
    let page = ask("GET", "/", &[], None);
    assert!(page.status == 401 && page.body.contains("name=\"token\""), "{} {}", page.status, page.body);
    let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", &owner).finish();
    let headers = [
        ("Cookie", "a=b"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Origin", &*base),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    let signed_in = ask("POST", "/sign-in", &headers, Some(&form));
    assert_eq!(signed_in.status, 303, "{}", signed_in.body);
    let session = cookie(&signed_in).split(';').next().expect("a cookie").to_owned();
    let overview = ask("GET", "/", &[("Cookie", &session)], None);
    assert!(overview.status == 200 && overview.body.contains(&format!("/instances/{}/it", ns.name())), "{}", overview.body);
    // the tunnel carries many connections, each with a page
    for _ in 0..20 {
        assert_eq!(ask("GET", &format!("/instances/{}/it", ns.name()), &[("Cookie", &session)], None).status, 200);
    }
    assert!(led.sigterm().success(), "{}", led.stderr());
    assert!(exchange("GET", &base, &[], None).is_err(), "the port is still open");
}
