//! The chart installed by Helm and the overlays by kubectl, with replicas that run as pods, while records change.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::json;
use tempfile::TempDir;

use super::CHART;
use crate::rig::claims::Claims;
use crate::rig::control_plane::{ControlPlane, Namespace, Run, shared_with_controllers};
use crate::rig::fleet::{Fleet, SHARES};
use crate::rig::kubelet::Kubelet;
use crate::rig::kubelet::image::Image;
use crate::rig::manifest::Instance;
use crate::rig::operator::Cluster;
use crate::rig::strain::Strain;

/// Nobody may be without an owner for longer.
const UNOWNED: Duration = Duration::from_secs(5);
/// For changes of the provider during an installation.
const EVERY: Duration = Duration::from_millis(600);
/// The entry that the instances of a fleet name.
const CATALOG: &str = r#"catalog={"fleet": "apiVersion: pollinator.dev/v1alpha1\nkind: Connector\nmetadata: {name: fleet}\nspec: {title: Fleet}\n"}"#;

pub fn kubelet(plane: &ControlPlane, namespace: &str) -> Option<Kubelet> {
    Kubelet::start(plane, namespace, &[Image::pollinator("ghcr.io/pollinator-dev/pollinator")])
}

pub fn enforce_restricted_pods(ns: &Namespace<'_>) {
    ns.kubectl(&["label", "--overwrite", "namespace", ns.name(), "pod-security.kubernetes.io/enforce=restricted"]).ok();
}

/// Helm for the release `pollinator`, to its end.
pub fn helm(ns: &Namespace<'_>, kubelet: &Kubelet, arguments: &[&str]) -> Option<String> {
    let Run { code, stdout, stderr } = ns.helm(arguments)?;
    assert_eq!(code, Some(0), "{arguments:?}: {stdout}{stderr}\n{}", kubelet.report());
    Some(stdout + &stderr)
}

/// Waits until so many pods run, and share all that is to be done: those that are on their way out are gone.
fn shared_out(fleet: &Fleet<'_>, kubelet: &Kubelet, replicas: usize) {
    shared_out_by(&fleet.claims, fleet, kubelet, replicas);
}

/// The same of replicas whose Leases are in another namespace than the instances.
pub fn shared_out_by(claims: &Claims, fleet: &Fleet<'_>, kubelet: &Kubelet, replicas: usize) {
    let deadline = Instant::now() + crate::rig::PATIENCE;
    loop {
        let running = kubelet.running();
        let names: Vec<_> = running.iter().map(String::as_str).collect();
        if names.len() == replicas && claims.try_balance(SHARES, &names, Duration::from_secs(1)) {
            break;
        }
        assert!(Instant::now() < deadline, "{running:?}, but {}\n{}", claims.holders(), kubelet.report());
        std::thread::park_timeout(Duration::from_millis(100));
    }
    fleet.wait_polled_since(Instant::now());
}

#[test]
fn a_release_is_upgraded_restarted_drained_scaled_rolled_back_and_installed_again_without_loss_or_repeat() {
    let Some(plane) = shared_with_controllers() else { return };
    // what is created and updated while nobody polls is created, however long that takes
    let patient = |_, instance: Instance| instance.and_resource("createdTolerance: 10m");
    let fleet = Fleet::with(plane, "release", 100, 8, &[], patient);
    let ns = &fleet.cluster.ns;
    enforce_restricted_pods(ns);
    let Some(kubelet) = kubelet(plane, ns.name()) else { return };
    let name = ns.name();
    // the definitions are the plane's, and other tests watch other namespaces
    let watch = format!("watchNamespace={name}");
    let base = [
        "pollinator",
        CHART,
        "--namespace",
        name,
        "--wait",
        "--timeout",
        "180s",
        "--set",
        &watch,
        "--set",
        "crds.enabled=false",
        "--set",
        "operator.allowEgress={127.0.0.0/8}",
        // on a machine so busy that a Lease of 15 s runs out, events would come twice, and rightly so
        "--set",
        "operator.leaseDurationSeconds=60",
        "--set-json",
        CATALOG,
    ];
    let release = |verb: &[&str], more: &[&str]| helm(ns, &kubelet, &[verb, &base, more].concat());
    if release(&["install"], &["--set", "replicaCount=3"]).is_none() {
        return;
    }
    shared_out(&fleet, &kubelet, 3);
    let tested = helm(ns, &kubelet, &["test", "pollinator", "--namespace", name]).unwrap();
    let said = kubelet.logs("pollinator-check");
    assert!(tested.contains("Succeeded") && said.contains("no permission is missing"), "{tested}{said}");

    let (begun, installed, strain) = (Instant::now(), Utc::now(), Strain::measure(plane.api()));
    let (gaps, vacancy) = fleet.while_records_change(EVERY, || {
        let first = kubelet.running();
        release(&["upgrade"], &["--set", "replicaCount=3", "--set", "podAnnotations.template=new"]).unwrap();
        shared_out(&fleet, &kubelet, 3);
        assert!(first.iter().all(|pod| !kubelet.running().contains(pod)), "an upgrade replaces every pod");

        ns.kubectl(&["--namespace", name, "rollout", "restart", "deployment/pollinator"]).ok();
        kubelet.wait_rolled_out(ns);
        shared_out(&fleet, &kubelet, 3);

        let pod = kubelet.running().remove(0);
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": name}});
        ns.api().create(&ns.core(&format!("pods/{pod}/eviction")), &eviction).ok();
        kubelet.wait_rolled_out(ns);
        shared_out(&fleet, &kubelet, 3);
        assert!(!kubelet.running().contains(&pod));

        for replicas in ["1", "3"] {
            let set = format!("replicaCount={replicas}");
            release(&["upgrade"], &["--set", &set]).unwrap();
            shared_out(&fleet, &kubelet, replicas.parse().unwrap());
        }
        helm(ns, &kubelet, &["rollback", "pollinator", "2", "--namespace", name, "--wait", "--timeout", "180s"]).unwrap();
        shared_out(&fleet, &kubelet, 3);
        let unowned = (fleet.longest_gaps(begun), fleet.claims.longest_vacancy(installed));

        // Helm takes the permissions away while pods are still storing; so they end first, as docs/get-started/install.md says
        release(&["upgrade"], &["--set", "replicaCount=0"]).unwrap();
        ns.kubectl(&["--namespace", name, "wait", "--for=delete", "pod", "--all", "--timeout=60s"]).ok();
        helm(ns, &kubelet, &["uninstall", "pollinator", "--namespace", name, "--wait"]).unwrap();
        assert_eq!(ns.get_instance("it-000")["status"]["conditions"][0]["status"], "True");
        release(&["install"], &["--set", "replicaCount=3"]).unwrap();
        shared_out(&fleet, &kubelet, 3);
        unowned
    });
    let verdicts = fleet.verdicts();
    println!(
        "{} delivered, {gaps:?}, longest vacancy {vacancy:?}, {:?} allowed",
        fleet.cluster.receiver.count(),
        strain.allowance()
    );
    for (name, verdict) in &verdicts {
        assert!(verdict.is_perfect(), "{name}: {verdict}\n{}", kubelet.report());
    }
    assert!(vacancy.0 < UNOWNED + strain.allowance(), "{vacancy:?}");
    assert_eq!(kubelet.logs_of_all().matches("could not be given back").count(), 0, "{}", kubelet.report());
}

/// A copy of `deploy/`, and an overlay of the test's own over one of `deploy/`'s.
struct Overlay {
    folder: TempDir,
}

impl Overlay {
    /// Over the overlay of this name, in this namespace.
    fn of(name: &str, namespace: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy"), &folder.path().join("deploy"));
        let overlay = Self { folder };
        fs::create_dir(overlay.path()).unwrap();
        let yaml = format!(
            "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [../deploy/{name}]
patches:
  - target: {{kind: Deployment, name: pollinator}}
    patch: |-
      - op: add
        path: /spec/template/spec/containers/0/args/-
        value: --allow-egress=127.0.0.0/8
"
        );
        fs::write(overlay.path().join("kustomization.yaml"), yaml).unwrap();
        overlay
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("it")
    }

    /// `kubectl VERB -k` of it.
    fn kubectl(&self, ns: &Namespace<'_>, verb: &[&str]) -> Run {
        let path = self.path();
        ns.kubectl(&[verb, &["-k", path.to_str().unwrap()]].concat())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// One instance, ready, and one change that arrives.
fn assert_works(cluster: &Cluster<'_>, kubelet: &Kubelet, change: &str) {
    cluster.wait_ready("it");
    cluster.provider.create(change);
    let verdict = cluster.verdict();
    assert!(verdict.is_perfect(), "{verdict}\n{}", kubelet.report());
}

#[test]
fn the_namespaced_overlay_needs_nothing_outside_its_namespace() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "overlay");
    enforce_restricted_pods(&cluster.ns);
    let Some(kubelet) = kubelet(plane, cluster.ns.name()) else { return };
    let overlay = Overlay::of("namespaced", cluster.ns.name());
    cluster.apply(&cluster.instance());
    let applied = overlay.kubectl(&cluster.ns, &["apply"]).ok();
    assert!(!applied.contains("clusterrole") && !applied.contains("customresourcedefinition"), "{applied}");
    kubelet.wait_rolled_out(&cluster.ns);
    assert_works(&cluster, &kubelet, "a");
    let diff = overlay.kubectl(&cluster.ns, &["diff"]);
    assert_eq!((diff.code, diff.stdout.as_str()), (Some(0), ""), "{}", diff.stderr);
}

/// What watches all namespaces needs a plane of its own.
#[test]
fn a_whole_cluster_by_kubectl_then_by_helm() {
    if shared_with_controllers().is_none() {
        return;
    }
    let Some(plane) = ControlPlane::start() else { return };
    let cluster = Cluster::new(&plane, "crm");
    let ns = &cluster.ns;
    // by kubectl, the whole cluster, then with three replicas
    let whole = Overlay::of("cluster", "pollinator-system");
    whole.kubectl(ns, &["apply", "--server-side", "--force-conflicts"]).ok();
    let Some(kubelet) = kubelet(&plane, "pollinator-system") else { return };
    let system = |arguments: &[&str]| ns.kubectl(&[&["--namespace", "pollinator-system"], arguments].concat());
    kubelet.wait_rolled_out(ns);
    cluster.apply(&cluster.instance());
    assert_works(&cluster, &kubelet, "a");
    let diff = whole.kubectl(ns, &["diff", "--server-side"]);
    assert_eq!((diff.code, diff.stdout.as_str()), (Some(0), ""), "{}", diff.stderr);
    Overlay::of("high-availability", "pollinator-system").kubectl(ns, &["apply", "--server-side"]).ok();
    kubelet.wait_rolled_out(ns);
    assert_eq!(system(&["get", "deployment/pollinator", "-o", "jsonpath={.status.readyReplicas}"]).ok(), "3");
    assert_works(&cluster, &kubelet, "b");

    // by Helm instead, the definitions with it
    system(&["delete", "all,role,rolebinding,sa,networkpolicy,pdb", "-l", "app.kubernetes.io/name=pollinator", "--wait"]).ok();
    ns.kubectl(&["delete", "clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/name=pollinator"]).ok();
    system(&["wait", "--for=delete", "pod", "--all", "--timeout=60s"]).ok();
    ns.kubectl(&["delete", "crd", "connectorinstances.pollinator.dev", "connectors.pollinator.dev"]).ok();
    let base = [
        "pollinator",
        CHART,
        "--namespace",
        "pollinator-system",
        "--wait",
        "--timeout",
        "180s",
        "--set",
        "operator.allowEgress={127.0.0.0/8}",
    ];
    let release = |verb: &str, more: &[&str]| helm(ns, &kubelet, &[&[verb], &base[..], more].concat());
    if release("install", &[]).is_none() {
        return;
    }
    cluster.apply(&cluster.instance());
    assert_works(&cluster, &kubelet, "c");

    // an uninstall keeps definitions, instances and their state
    helm(ns, &kubelet, &["uninstall", "pollinator", "--namespace", "pollinator-system", "--wait"]).unwrap();
    cluster.provider.create("while-away");
    release("install", &[]).unwrap();
    assert_works(&cluster, &kubelet, "d");

    // unless that was asked for
    release("upgrade", &["--set", "crds.keep=false"]).unwrap();
    helm(ns, &kubelet, &["uninstall", "pollinator", "--namespace", "pollinator-system", "--wait"]).unwrap();
    let gone = ns.kubectl(&["get", "crd", "connectors.pollinator.dev"]);
    assert!(gone.stderr.contains("NotFound"), "{gone:?}");
}
