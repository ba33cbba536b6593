//! Consent on a cluster: begun at one replica, answered at another, used by a third.

use std::collections::BTreeSet;

use serde_json::Value;

use super::heading;
use crate::rig::control_plane::{ControlPlane, shared};
use crate::rig::ingress::Ingress;
use crate::rig::manifest::Instance;
use crate::rig::oidc::OAuthServer;
use crate::rig::operator::Cluster;
use crate::rig::person::Person;
use crate::rig::pollinator::Pollinator;
use crate::rig::provider::Provider;
use crate::rig::{PATIENCE, canary, rights};

struct OnCluster<'p> {
    oauth: OAuthServer,
    ingress: Ingress,
    cluster: Cluster<'p>,
}

impl<'p> OnCluster<'p> {
    fn new(plane: &'p ControlPlane, test: &str) -> Option<Self> {
        let oauth = OAuthServer::start()?;
        let provider = Provider::start().taking(oauth.takes());
        provider.create("first");
        let cluster = Cluster::with(plane, test, provider);
        cluster.apply_yaml(&OAuthServer::secret("user-basic", &[]));
        let scene = Self { oauth, ingress: Ingress::start(), cluster };
        scene.apply();
        Some(scene)
    }

    /// Polled once an hour: only a wake brings the next poll in time.
    fn apply(&self) {
        let instance = Instance { auth: self.oauth.auth(""), ..self.cluster.instance().earliest() };
        self.cluster.apply_yaml(&instance.yaml().replace("interval: 5s", "interval: 1h"));
    }

    /// A replica with the documented rights alone.
    fn start(&self, name: &str) -> Pollinator {
        let token = self.cluster.ns.token(name);
        self.cluster.start_as(
            &token,
            &[
                "--pod-name",
                name,
                "--lease-duration",
                "4s",
                "--connect-url",
                &self.ingress.url(),
                "--connect-listen",
                "127.0.0.1:0",
            ],
        )
    }

    /// Waits until the status says where consent is given.
    fn wait_asking(&self) -> String {
        self.cluster.ns.wait_instance("it", "status.connect.url", |instance| {
            instance["status"]["connect"]["url"].as_str().map(str::to_owned)
        })
    }

    fn assert_connected(&self) {
        self.cluster.wait_ready("it");
        self.cluster
            .ns
            .wait_instance("it", "no more status.connect", |instance| instance["status"]["connect"].is_null().then_some(()));
    }

    /// Everything that others can read of the instance.
    fn public(&self) -> String {
        let ns = &self.cluster.ns;
        let events: Value = ns.api().get(&ns.group("events.k8s.io/v1", "events")).ok();
        format!("{}{events}", ns.get_instance("it"))
    }
}

#[test]
fn a_consent_that_began_at_one_replica_ends_at_another() {
    let Some(plane) = shared() else { return };
    let Some(scene) = OnCluster::new(plane, "connect-replicas") else { return };
    let names = ["a", "b", "c"];
    for name in names {
        scene.cluster.ns.token(name);
    }
    rights::grant(&scene.cluster.ns, &names);
    let replicas: Vec<_> = names.iter().map(|name| scene.start(name)).collect();
    scene.ingress.route(&replicas.iter().collect::<Vec<_>>());
    let page = scene.wait_asking();
    assert_eq!(page, format!("{}/connect/{}/it", scene.ingress.url(), scene.cluster.ns.name()));

    // the ingress goes round: each request meets another replica
    let mut person = Person::new();
    let offered = person.visit(&page);
    let asked = person.submit(&offered, &[]);
    let done = person.agree_from(asked, true);
    assert_eq!(heading(&done), "it is connected now", "{}", done.body());
    scene.assert_connected();
    scene.cluster.receiver.try_wait_count("it", PATIENCE, 1).expect("the record is delivered long before the hour is over");
    let told = |part: &str| -> BTreeSet<_> { (0..3).filter(|index| replicas[*index].stderr().contains(part)).collect() };
    assert!(told("a consent was begun").is_disjoint(&told("a consent was given")), "at one, and at another");
    for _ in 0..3 {
        assert_eq!(heading(&person.visit(done.url.as_str())), "This link is used up", "at each");
    }
    assert_eq!((scene.oauth.issued("authorization_code"), scene.oauth.reuses().len()), (1, 0), "{:#?}", scene.oauth.told());

    let (public, code) = (scene.public(), done.query("code").expect("a code"));
    for secret in scene.oauth.tokens().iter().chain([&code]) {
        assert!(!public.contains(secret), "{public}");
        assert!(replicas.iter().all(|replica| !replica.stderr().contains(secret)));
    }
    assert_eq!(canary::find_in(&public), None);
}

#[test]
fn an_answer_is_not_taken_for_an_instance_that_was_deleted_and_made_again() {
    let Some(plane) = shared() else { return };
    let Some(scene) = OnCluster::new(plane, "connect-again") else { return };
    rights::grant(&scene.cluster.ns, &["a"]);
    let operator = scene.start("a");
    scene.ingress.route(&[&operator]);
    let page = scene.wait_asking();
    let mut person = Person::new();
    let offered = person.visit(&page);
    let asked = person.submit(&offered, &[]);
    let back = person.agree_from(asked, false).url.to_string();

    let ns = &scene.cluster.ns;
    let uid = ns.get_instance("it")["metadata"]["uid"].clone();
    ns.api().delete(&ns.instance("it")).ok();
    scene.apply();
    ns.wait_instance("it", "asks anew", |instance| {
        (instance["metadata"]["uid"] != uid && instance["status"]["connect"]["url"].is_string()).then_some(())
    });
    let late = person.visit(&back);
    assert_eq!((late.status(), heading(&late).as_str()), (400, "This link is used up"));
    assert_eq!(scene.oauth.issued("authorization_code"), 0);

    let offered = person.visit(&page);
    let asked = person.submit(&offered, &[]);
    assert_eq!(heading(&person.agree_from(asked, true)), "it is connected now");
    scene.assert_connected();
    assert_eq!(heading(&person.visit(&page)), "it is connected");
}
