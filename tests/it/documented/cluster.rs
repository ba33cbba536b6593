//! Pages that need a cluster: a control plane for these alone, one page after the other, since they define kinds for all and take
//! them away.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::Page;
use super::alone::{EDITS, edit_contacts, tourist};
use crate::rig::PATIENCE;
use crate::rig::control_plane::{ControlPlane, Namespace, shared_with_controllers};
use crate::rig::kubelet::Kubelet;
use crate::rig::kubelet::image::Image;
use crate::rig::markdown;
use crate::rig::operator::Cluster;
use crate::rig::reader::Reader;
use crate::rig::{skip, turns};

static PLANE: LazyLock<Option<ControlPlane>> = LazyLock::new(ControlPlane::start);
static ALONE: Mutex<()> = Mutex::new(());

/// The control plane, for one page until the guard is dropped. `None`: it cannot be had here, which one loud line said.
fn plane() -> Option<(MutexGuard<'static, ()>, &'static ControlPlane)> {
    shared_with_controllers()?;
    let alone = turns::without(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    let plane = PLANE.as_ref()?;
    // as it is before anybody did anything
    let reader = reader(plane, "default")?;
    undo(&reader);
    reader.run("kubectl delete namespace pollinator-system --ignore-not-found --wait").ok();
    Some((alone, plane))
}

/// A reader in a namespace of the admin's.
fn reader(plane: &ControlPlane, namespace: &str) -> Option<Reader> {
    let kubeconfig = plane.kubeconfig(plane.url(), &plane.identity().admin_token, namespace);
    Reader::new().with_cluster(plane, &kubeconfig)
}

#[test]
fn a_first_instance_from_nothing() {
    let Some((_alone, plane)) = plane() else { return };
    let Some(reader) = reader(plane, "default") else { return };
    let Some(reader) = tourist(reader) else { return };
    let receive = "pollinator receive --port 9000 --secret-file signing-key";
    let mut page = Page::open("docs/get-started/first-instance.md", reader);
    page.play_through("kubectl wait --for=condition=Ready coni/tour");
    edit_contacts(&page.reader, &EDITS);
    let shown = page.next_shown();
    // each is waited for: events of different records are delivered in no order
    for name in ["updated contacts 1 ", "created contacts 3 ", "\"Ada King\"", "\"Katherine Johnson\""] {
        page.reader.wait_said(receive, name);
        assert!(shown.text.contains(name), "{name}: {}", shown.text);
    }
    let delivered = "kubectl wait --for=jsonpath='{.status.delivered}'=2 coni/tour --timeout=1m";
    page.reader.run(delivered).ok();
    let missing = page.play_through("kubectl delete secret tour-callback");
    assert!(missing.commands().len() == 5);
    page.play_to_end();
}

/// `keap`, as the pages call it, ready to be polled by whoever reads them, in a namespace.
fn keap<'p>(plane: &'p ControlPlane, test: &str) -> (Cluster<'p>, Option<Reader>) {
    plane.install_crds();
    let cluster = Cluster::new(plane, test);
    let mut instance = cluster.instance();
    (instance.name, instance.callback_url) = ("keap".to_owned(), cluster.receiver.url("keap"));
    cluster.apply(&instance);
    let mut reader = reader(plane, cluster.ns.name());
    if let Some(reader) = &mut reader {
        reader.set("POLLINATOR_ALLOW_EGRESS", "127.0.0.0/8");
        reader.replace("NAME", "keap");
        reader.replace("--watch-namespace crm", &format!("--watch-namespace {}", cluster.ns.name()));
    }
    (cluster, reader)
}

#[test]
fn running_it_from_outside() {
    let Some((_alone, plane)) = plane() else { return };
    let (cluster, Some(reader)) = keap(plane, "outside") else { return };
    let mut page = Page::open("docs/operate/operator.md", reader);
    page.play_through("pollinator operator --watch-namespace crm");
    cluster.ns.wait_condition("keap", "Ready", "True", "Polling");
    page.play_to_end();
}

#[test]
fn saving_and_moving_state() {
    let Some((_alone, plane)) = plane() else { return };
    let (cluster, Some(reader)) = keap(plane, "state") else { return };
    let operator = cluster.start();
    cluster.wait_ready("keap");
    let mut page = Page::open("docs/operate/backup.md", reader);
    page.play_through("pollinator state import keap.state --overwrite");
    cluster.ns.wait_condition("keap", "Ready", "True", "Polling");
    cluster.provider.create("after");
    let came = cluster.receiver.try_wait_count("keap", PATIENCE, 1);
    assert!(came.is_some(), "{}", operator.report("keap"));
    page.play_to_end();
}

/// The page's commands are for `pollinator-system`, where the operator of the release runs.
#[test]
fn operating_backing_up_and_restoring() {
    let Some((_alone, plane)) = plane() else { return };
    if std::process::Command::new("jq").arg("--version").output().is_err() {
        return skip("backup and restore by docs/operate/operations.md", "it needs jq");
    }
    let (cluster, Some(reader)) = keap(plane, "backup") else { return };
    let Some(kubelet) = released(&reader, plane) else { return };
    let (ns, provider) = (&cluster.ns, &cluster.provider);
    // and one that remembers more than fits into its status
    let mut many =
        cluster.instance().resource("url: /records\nrecordsPath: records\nidField: id\npagination: {nextLink: {field: next}}");
    (many.name, many.callback_url) = ("many".to_owned(), cluster.receiver.url("many"));
    // older than what the first poll of `keap` looked back to: what it could have seen and did not is new to it
    provider.baseline_dated((0..300).map(|number| format!("old-{number}")), chrono::TimeDelta::hours(-20));
    cluster.apply(&many);
    for name in ["keap", "many"] {
        ns.wait_condition(name, "Ready", "True", "Polling");
    }
    provider.create("before");
    let count = |name: &str, count: usize| {
        let posts = cluster.receiver.try_wait_count(name, PATIENCE, count);
        posts.unwrap_or_else(|| panic!("{name}: fewer than {count}\n{}", kubelet.report())).len()
    };
    let stored = |name: &str, delivered: usize| {
        ns.wait_instance(name, "a stored count", |one| (one["status"]["delivered"] == delivered).then(|| one.clone()))
    };
    for name in ["keap", "many"] {
        count(name, 1);
        stored(name, 1);
    }
    let mut page = Page::open("docs/operate/operations.md", reader);
    page.play_through("kubectl get coni -o json > instances.json");
    provider.create("since");
    for name in ["keap", "many"] {
        count(name, 2);
        stored(name, 2);
    }
    // lost, with all that belongs to them, and meanwhile something changes
    let before = ns.get_instance("keap");
    ns.kubectl(&["delete", "coni", "--all"]).ok();
    ns.kubectl(&["wait", "--for=delete", "configmap", "--selector", "app.kubernetes.io/component=state", "--timeout=60s"]).ok();
    provider.create("while-lost");
    page.play_through("kubectl create -f restored.json");
    for name in ["keap", "many"] {
        count(name, 4);
        let after = stored(name, 3);
        assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
        ns.wait_condition(name, "Ready", "True", "Polling");
        provider.wait_polled(2);
        let delivered = cluster.receiver.delivered(name);
        let mut objects: Vec<_> = delivered.iter().map(|event| event.object.as_str()).collect();
        objects.sort_unstable();
        let expected = ["before", "since", "since", "while-lost"];
        assert_eq!(objects, expected, "{name}: nothing is lost, and what came after the backup twice\n{}", kubelet.report());
        let since: Vec<_> = delivered.iter().filter(|event| event.object == "since").map(|event| &event.event_id).collect();
        assert_eq!(since[0], since[1], "{name}: with the same id, whatever the uid");
    }
    for (place, command) in mentioned() {
        let run = page.reader.run(&command.replace("RESOURCE", "records"));
        assert_eq!(run.code, Some(0), "{place}: {command}: {}", run.stderr);
    }
    page.play_to_end();
    ns.wait_condition("keap", "Ready", "True", "Suspended");
    assert!(ns.get_instance("keap")["status"]["lastHandledReconcileAt"].is_string());
}

/// Commands in the text that are names alone, as are all of two words.
const NAMED: [&str; 2] = ["kubectl rollout restart", "kubectl pollinator console"];

/// Whole commands in the text of the pages, with their places.
fn mentioned() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, text) in markdown::pages() {
        let spans =
            markdown::spans(&text).into_iter().filter(|(_, span)| span.starts_with("kubectl ") || span.contains(" --check"));
        found.extend(spans.map(|(line, span)| (format!("{name}:{line}"), span)));
    }
    for name in NAMED {
        assert!(found.iter().any(|(_, span)| span == name), "no page names {name} any more");
    }
    found.retain(|(_, span)| !NAMED.contains(&span.as_str()) && span.split_whitespace().count() > 2);
    assert!(found.len() > 5, "{found:?}");
    found
}

/// Installs the release as docs/get-started/install.md does, beside definitions that are there, with loopback allowed, and runs its pods.
fn released(reader: &Reader, plane: &ControlPlane) -> Option<Kubelet> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/get-started/install.md")).unwrap();
    let install =
        markdown::fences(&page).iter().flat_map(markdown::Fence::commands).find(|one| one.starts_with("helm install"))?;
    reader.run("kubectl create namespace pollinator-system").ok();
    let kubelet = kubelet(plane)?;
    let run = reader.run(&format!("{install} --set crds.enabled=false --set 'operator.allowEgress={{127.0.0.0/8}}'"));
    assert_eq!(run.code, Some(0), "{}{}\n{}", run.stdout, run.stderr, kubelet.report());
    Some(kubelet)
}

/// Runs what is installed by any of the names that the pages give to the image.
fn kubelet(plane: &ControlPlane) -> Option<Kubelet> {
    let images = ["ghcr.io/pollinator-dev/pollinator", "registry.example.com/pollinator"].map(Image::pollinator);
    Kubelet::start(plane, "pollinator-system", &images)
}

/// Each way of the page is for a reader who took none of the others.
fn undo(reader: &Reader) {
    reader.run("helm uninstall pollinator --namespace pollinator-system --ignore-not-found --wait").ok();
    let ours = "-l app.kubernetes.io/name=pollinator --ignore-not-found --wait";
    for kinds in ["deployment,role,rolebinding,sa,service,networkpolicy", "clusterrole,clusterrolebinding"] {
        reader.run(&format!("kubectl --namespace pollinator-system delete {kinds} {ours}")).ok();
    }
    reader.run("kubectl delete crd connectorinstances.pollinator.dev connectors.pollinator.dev --ignore-not-found").ok();
    let pods = reader.run("kubectl --namespace pollinator-system wait --for=delete pod --all --timeout=90s");
    assert!(pods.code == Some(0) || pods.stderr.contains("no matching resources"), "{pods:?}");
}

fn assert_runs(ns: &Namespace<'_>, kubelet: &Kubelet, image: &str) {
    kubelet.wait_rolled_out(ns);
    let pods: Value = ns.api().get("/api/v1/namespaces/pollinator-system/pods").ok();
    let running = pods["items"].as_array().unwrap().iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let images: Vec<_> = running.map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap()).collect();
    assert!(images.iter().any(|one| one.starts_with(image)), "{images:?}");
}

#[test]
fn installing_upgrading_and_uninstalling() {
    let Some((_alone, plane)) = plane() else { return };
    let Some(reader) = reader(plane, "default") else { return };
    let ns = plane.namespace("installing");
    let mut page = Page::open("docs/get-started/install.md", reader);
    let Some(kubelet) = kubelet(plane) else { return };
    page.play_to_section("kubectl");
    assert_runs(&ns, &kubelet, "ghcr.io/");
    undo(&page.reader);
    page.play_through("kubectl apply -k deploy/cluster");
    assert_runs(&ns, &kubelet, "ghcr.io/");
    undo(&page.reader);
    page.reader.run("kubectl delete namespace pollinator-system --wait").ok();
    page.play_through("kubectl apply -k deploy/namespaced");
    assert_runs(&ns, &kubelet, "ghcr.io/");
    undo(&page.reader);
    page.play_to_section("The first instance");
    let install = "helm install pollinator charts/pollinator --namespace pollinator-system --create-namespace --wait";
    page.reader.run(install).ok();
    page.play_to_section("The image");
    let gone = page.reader.run("kubectl get crd connectorinstances.pollinator.dev");
    assert!(gone.stderr.contains("NotFound"), "{gone:?}");
    page.play_to_end_with(|| assert_runs(&ns, &kubelet, "registry.example.com/pollinator:0.1.0"));
}

#[test]
fn the_page_of_the_chart_says_what_the_page_of_installing_does() {
    let typed = |page: &str| {
        let text = std::fs::read_to_string(format!("{}/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        markdown::fences(&text).iter().flat_map(markdown::Fence::commands).collect::<Vec<_>>()
    };
    let install = typed("docs/get-started/install.md");
    for command in typed("charts/pollinator/README.md") {
        assert!(install.contains(&command), "{command} is typed by no test: write it as docs/get-started/install.md does");
    }
}
