//! A rolling upgrade from the release before: its own program with its own chart and definitions, three replicas, changes all the while.
//! Then back, and forth again. The words followed are those of docs/operate/operations.md ("Upgrading") and of the changelog.
//!
//! `POLLINATOR_RELEASED` names the released program, `POLLINATOR_RELEASED_CHART` the chart that was released with it, as a folder or an
//! archive (docs/contribute/release.md).

use std::env;
use std::fs;
use std::time::{Duration, Instant};

use chrono::Utc;
use pollinator::state::FORMAT;
use serde_json::Value;
use tempfile::TempDir;

use super::CHART;
use super::installed::{enforce_restricted_pods, helm, shared_out_by};
use crate::rig::claims::Claims;
use crate::rig::control_plane::{ControlPlane, Namespace, shared_with_controllers};
use crate::rig::fleet::Fleet;
use crate::rig::kubelet::Kubelet;
use crate::rig::kubelet::image::Image;
use crate::rig::manifest::{self, Instance};
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET, OauthServer};
use crate::rig::provider::{self, Provider};
use crate::rig::scene::{BY_CONTENT, ids};
use crate::rig::settle;

const INSTANCES: usize = 24;
/// Instance `i` belongs to provider `i` modulo their number, and so does what it is.
const PROVIDERS: usize = 6;
/// For changes of the providers.
const EVERY: Duration = Duration::from_millis(400);
/// An instance with a chain of refresh tokens, each of which is good for one use.
const TOKENS: &str = "tokens";
/// How long its access tokens live.
const LIFE: Duration = Duration::from_secs(8);

/// What a person has in `values.yaml` for a version, whose chart calls the number of replicas so.
fn values(replicas: &str, version: &str) -> String {
    format!(
        "\
{replicas}: 3
image: {{repository: registry.example/{version}}}
operator: {{allowEgress: [127.0.0.0/8], leaseDurationSeconds: 60}}
catalog:
  fleet: |
    apiVersion: pollinator.dev/v1alpha1
    kind: Connector
    metadata: {{name: fleet}}
    spec: {{title: Fleet, headers: {{X-Replica: {version}}}}}
"
    )
}

/// Remember ids near the cursor, all records in the status or in `ConfigMaps`, and what came late.
fn instance(provider: usize, everyday: Instance) -> Instance {
    match provider % 3 {
        // what is created and updated while no one polls is created, however long that takes
        0 => everyday.and_resource("createdTolerance: 10m"),
        1 => everyday.resource(BY_CONTENT),
        _ => everyday.and_resource("createdTolerance: 10m\nlookback: 10m"),
    }
}

/// The form of the state in each status of a namespace, by instance.
fn formats(ns: &Namespace<'_>) -> Vec<(String, u64)> {
    let list = ns.api().get(&ns.instances()).ok();
    let format = |instance: &Value| {
        let kept = instance["status"]["bookkeeping"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let name = instance["metadata"]["name"].as_str().unwrap().to_owned();
        (name, kept.and_then(|kept| kept["format"].as_u64()).unwrap_or_default())
    };
    list["items"].as_array().unwrap().iter().map(format).collect()
}

/// Waits until every instance of a namespace looks so.
fn wait_all(ns: &Namespace<'_>, what: &str, look: impl Fn(&Value) -> bool) {
    for (name, _) in formats(ns) {
        ns.wait_instance(&name, what, |instance| look(instance).then_some(()));
    }
}

fn has_condition(instance: &Value, kind: &str, status: &str, reason: &str) -> bool {
    let conditions = instance["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|one| one["type"] == kind && one["status"] == status && one["reason"] == reason)
}

/// Nothing is wrong with what came to the instance whose tokens rotate, and no token was used twice.
fn assert_tokens_go_on(fleet: &Fleet<'_>, provider: &Provider, oauth: &OauthServer, kubelet: &Kubelet) {
    let verdict = settle(&fleet.cluster.receiver, TOKENS, || provider.truth(), provider::version);
    assert!(verdict.is_perfect(), "{TOKENS}: {verdict}\n{}", kubelet.report());
    assert_eq!(oauth.used_twice(), Vec::<String>::new());
    assert!(oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", oauth.uses());
}

fn assert_all_perfect(fleet: &Fleet<'_>, kubelet: &Kubelet, when: &str) {
    for (name, verdict) in &fleet.verdicts() {
        assert!(verdict.is_perfect(), "{when}: {name}: {verdict}\n{}", kubelet.report());
    }
}

/// Helm with the two charts and what a person has in `values.yaml` for each.
struct Release<'a> {
    system: &'a Namespace<'a>,
    kubelet: &'a Kubelet,
    folder: TempDir,
}

impl Release<'_> {
    fn line(&self, verb: &str, chart: &str, values: &str) -> Vec<String> {
        let path = self.folder.path().join("values.yaml");
        fs::write(&path, values).unwrap();
        let namespace = self.system.name();
        let line = [verb, "pollinator", chart, "--namespace", namespace, "--wait", "--timeout", "180s", "--values"];
        line.into_iter().map(str::to_owned).chain([path.display().to_string()]).collect()
    }

    fn run(&self, verb: &str, chart: &str, values: &str) {
        let line = self.line(verb, chart, values);
        helm(self.system, self.kubelet, &words(&line)).expect("Helm");
    }
}

fn words(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

/// How often instances were polled since a moment by the version whose catalog says so.
fn polls_by(fleet: &Fleet<'_>, version: &str, since: Instant) -> usize {
    fleet.polls().values().flatten().filter(|poll| poll.at >= since && poll.by == version).count()
}

#[test]
#[ignore = "needs a released program and its chart"]
fn three_replicas_of_the_release_before_are_replaced_one_by_one_and_put_back() {
    let program = env::var("POLLINATOR_RELEASED").expect("POLLINATOR_RELEASED names a released binary");
    let chart = env::var("POLLINATOR_RELEASED_CHART").expect("POLLINATOR_RELEASED_CHART names the chart released with it");
    shared_with_controllers().expect("a control plane");
    // the definitions are of the whole cluster
    let plane = ControlPlane::start().expect("a control plane");
    let system = plane.namespace("upgrade-system");
    enforce_restricted_pods(&system);
    let images = [Image::pollinator_of("registry.example/released", program), Image::pollinator("registry.example/current")];
    let kubelet = Kubelet::start(&plane, system.name(), &images).expect("pods as local processes");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let release = Release { system: &system, kubelet: &kubelet, folder };
    let shown = system.helm(&["show", "values", &chart]).expect("Helm").ok();
    // as the changelog says
    let replicas = if shown.contains("\nreplicaCount:") { "replicaCount" } else { "replicas" };
    let (before, now) = (values(replicas, "released"), values("replicaCount", "current"));
    let claims = Claims::watch(&system);
    system.kubectl(&["delete", "crd", "connectorinstances.pollinator.dev", "connectors.pollinator.dev"]).ok();

    release.run("install", &chart, &before);
    let fleet = Fleet::with(&plane, "upgrade", INSTANCES, PROVIDERS, &[], instance);
    let ns = &fleet.cluster.ns;
    fleet.wait_ready();
    shared_out_by(&claims, &fleet, &kubelet, 3);
    let oauth = OauthServer::start().life(LIFE);
    let rotating = Provider::start().taking(oauth.takes());
    let entries = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET), ("refresh_token", &oauth.consent())];
    fleet.cluster.apply_yaml(&manifest::secret(TOKENS, &entries));
    let auth = format!("oauth2: {{grant: RefreshToken, tokenUrl: \"{}\", secretRef: {{name: {TOKENS}}}}}", oauth.token_url());
    let own = Instance { auth, ..Instance::new(TOKENS, &rotating.url(), &fleet.cluster.receiver.url(TOKENS)) };
    fleet.cluster.apply(&own.and_resource("createdTolerance: 10m"));
    fleet.cluster.wait_ready(TOKENS);
    // more than what a status has room for
    for provider in &fleet.providers {
        provider.create_all(ids("many", 120));
    }
    rotating.create_all(ids("first", 3));
    assert_all_perfect(&fleet, &kubelet, "before");
    assert_tokens_go_on(&fleet, &rotating, &oauth, &kubelet);
    oauth.wait_granted(3);
    wait_all(ns, "a state of the release before", |instance| instance["status"]["delivered"].as_u64() > Some(0));
    let format = formats(ns).into_iter().map(|(_, format)| format).max().unwrap();
    let specs = ns.kubectl(&["get", "coni", "-o", "jsonpath={.items[*].spec}"]).ok();

    if replicas != "replicaCount" {
        // Helm names a value that the chart does not have any more
        let refused = system.helm(&words(&release.line("upgrade", CHART, &before))).expect("Helm");
        assert!(refused.code == Some(1) && refused.stderr.contains(replicas), "{refused:?}");
    }

    let (begun, upgraded, moved) = (Instant::now(), Utc::now(), claims.moves());
    let (gaps, vacancy) = fleet.while_records_change(EVERY, || {
        fleet.wait_polled_since(Instant::now());
        let earlier = kubelet.running();
        release.run("upgrade", CHART, &now);
        shared_out_by(&claims, &fleet, &kubelet, 3);
        assert!(earlier.iter().all(|pod| !kubelet.running().contains(pod)), "an upgrade replaces every pod");
        rotating.create_all(ids("second", 3));
        fleet.wait_polled_since(Instant::now());
        (fleet.longest_gaps(begun), claims.longest_vacancy(upgraded))
    });
    assert_all_perfect(&fleet, &kubelet, "upgraded");
    assert_tokens_go_on(&fleet, &rotating, &oauth, &kubelet);
    let (released, current) = (polls_by(&fleet, "released", begun), polls_by(&fleet, "current", begun));
    println!(
        "{} instances, {} events; polls since the upgrade began: {released} by the release before, {current} by this version; {} \
         hand-overs, longest vacancy {vacancy:?}, {gaps:?}; {} refreshes",
        INSTANCES + 1,
        fleet.cluster.receiver.count(),
        claims.moves() - moved,
        oauth.granted()
    );
    assert!(released > 0 && current > 0);
    // each changes once more, so that all are stored in the form of this version
    fleet.create_for_each("upgraded");
    rotating.create("upgraded");
    assert_all_perfect(&fleet, &kubelet, "later");
    assert_tokens_go_on(&fleet, &rotating, &oauth, &kubelet);
    wait_all(ns, "ready in the new form", |instance| {
        let status = &instance["status"];
        let is_new = status["bookkeeping"].as_str().is_some_and(|text| text.contains(&format!("\"format\":{FORMAT}")));
        is_new && has_condition(instance, "Ready", "True", "Polling") && !status.to_string().contains("CrdOutdated")
    });

    // back: where the release before does not read what this version wrote, it says so, polls nothing, and spends no token
    let (back, is_read) = (Instant::now(), format == u64::from(FORMAT));
    let line = ["rollback", "pollinator", "1", "--namespace", system.name(), "--wait", "--timeout", "180s"];
    helm(&system, &kubelet, &line).expect("Helm");
    kubelet.wait_rolled_out(&system);
    fleet.create_for_each("put-back");
    rotating.create("put-back");
    if is_read {
        assert_all_perfect(&fleet, &kubelet, "back");
        assert_tokens_go_on(&fleet, &rotating, &oauth, &kubelet);
    } else {
        wait_all(ns, "waiting for the version that wrote it", |instance| {
            let told = instance["status"].to_string().contains("newer version");
            told && has_condition(instance, "Ready", "False", "StateUnavailable")
        });
    }

    // and forth: the cursors are where they were
    release.run("upgrade", CHART, &now);
    assert_all_perfect(&fleet, &kubelet, "forth again");
    assert_tokens_go_on(&fleet, &rotating, &oauth, &kubelet);
    assert_eq!(polls_by(&fleet, "released", back) > 0, is_read, "{}", kubelet.report());
    assert_eq!(ns.kubectl(&["get", "coni", "-o", "jsonpath={.items[*].spec}"]).ok(), specs, "no one changed a spec");
}
