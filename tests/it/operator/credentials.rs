//! OAuth 2.0 on a cluster: tokens in a Secret of their own, and replicas that never use one refresh token twice.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::rig::api_proxy::{ApiProxy, Fault};
use crate::rig::control_plane::{ControlPlane, shared};
use crate::rig::manifest::{self, Instance};
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET, OauthServer};
use crate::rig::operator::Cluster;
use crate::rig::pollinator::Pollinator;
use crate::rig::provider::Provider;
use crate::rig::scene::ids;

/// Short access tokens: nearly every poll needs a new one.
const SHORT: Duration = Duration::from_secs(5);
/// Where the operator keeps them.
const TOKENS: &str = "oauth-oauth-tokens";

struct Scene<'p> {
    oauth: OauthServer,
    cluster: Cluster<'p>,
}

impl<'p> Scene<'p> {
    fn new(plane: &'p ControlPlane, test: &str) -> Self {
        let oauth = OauthServer::start().life(SHORT);
        let cluster = Cluster::with(plane, test, Provider::start().taking(oauth.takes()));
        let scene = Self { oauth, cluster };
        scene.consent();
        scene
    }

    fn instance(&self) -> Instance {
        let auth =
            format!("oauth2: {{grant: RefreshToken, tokenUrl: \"{}\", secretRef: {{name: oauth}}}}", self.oauth.token_url());
        Instance { auth, ..self.cluster.instance() }
    }

    fn secret(refresh_token: &str) -> String {
        let entries = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET), ("refresh_token", refresh_token)];
        manifest::secret("oauth", &entries)
    }

    /// A person gives consent, and stores what came.
    fn consent(&self) {
        self.cluster.apply_yaml(&Self::secret(&self.oauth.consent()));
    }

    fn begin(&self) -> Pollinator {
        self.cluster.apply(&self.instance());
        let operator = self.cluster.start();
        self.cluster.wait_ready("it");
        operator
    }

    /// The operator's Secret, and the tokens in it.
    fn tokens(&self) -> (Value, Value) {
        let ns = &self.cluster.ns;
        let secret = ns.api().get(&format!("{}/{TOKENS}", ns.core("secrets"))).ok();
        let text = STANDARD.decode(secret["data"]["tokens.json"].as_str().unwrap()).unwrap();
        (secret, serde_json::from_slice(&text).unwrap())
    }

    fn granted(&self) -> usize {
        self.oauth.granted()
    }

    fn assert_each_used_once(&self) {
        assert_eq!(self.oauth.used_twice(), Vec::<String>::new());
    }

    /// Three replicas with proxies of their own.
    fn replicas(&self, plane: &'p ControlPlane) -> Vec<(ApiProxy<'p>, Pollinator)> {
        let start = |name: &&str| {
            let proxy = ApiProxy::start(plane);
            let token = &plane.identity().admin_token;
            let process = self.cluster.start_through(&proxy, token, &["--pod-name", name, "--lease-duration", "4s"]);
            process.wait_stderr("range owned");
            (proxy, process)
        };
        let replicas = ["a", "b", "c"].iter().map(start).collect();
        self.cluster.wait_ready("it");
        replicas
    }

    /// The replica that wrote the tokens last.
    fn owner(&self, replicas: &mut Vec<(ApiProxy<'p>, Pollinator)>) -> (ApiProxy<'p>, Pollinator) {
        loop {
            let stored = self.tokens().0["data"].clone();
            let wrote = |proxy: &ApiProxy<'_>| {
                let calls = proxy.calls();
                calls.iter().any(|call| call.is_write() && call.name == TOKENS && call.json()["data"] == stored)
            };
            // unless they were written anew in between
            if let Some(owner) = replicas.iter().position(|(proxy, _)| wrote(proxy)) {
                return replicas.remove(owner);
            }
        }
    }
}

#[test]
fn tokens_live_in_a_secret_that_belongs_to_the_users_secret_and_its_instances() {
    let Some(plane) = shared() else { return };
    let scene = Scene::new(plane, "tokens");
    let mut operator = scene.begin();
    scene.oauth.wait_granted(3);
    scene.cluster.provider.create_all(ids("a", 3));
    scene.cluster.assert_perfect(&operator);
    let (secret, tokens) = scene.tokens();
    let owners = secret["metadata"]["ownerReferences"].as_array().unwrap();
    let owners: Vec<_> =
        owners.iter().map(|owner| (owner["kind"].as_str().unwrap(), owner["name"].as_str().unwrap())).collect();
    assert_eq!(owners, [("Secret", "oauth"), ("ConnectorInstance", "it")]);
    assert_eq!(secret["metadata"]["labels"]["app.kubernetes.io/managed-by"], "pollinator");
    assert_eq!(tokens["rotation"], "Rotated");
    // two others fight over the user's Secret, and one of them writes what it always wrote
    let original = Scene::secret(&scene.oauth.uses()[0].token);
    for round in 0..10 {
        let granted = scene.granted();
        scene.cluster.ns.kubectl(&["annotate", "--overwrite", "secret", "oauth", &format!("by=other-{round}")]).ok();
        scene.cluster.apply_yaml(&original);
        if round % 3 == 0 {
            scene.oauth.wait_granted(granted + 1);
        }
    }
    let managers = scene.tokens().0["metadata"]["managedFields"].to_string();
    assert!(managers.matches("\"manager\":").count() == managers.matches("\"manager\":\"pollinator\"").count(), "{managers}");
    // a restart goes on from what was stored
    assert!(operator.sigterm().success());
    let granted = scene.granted();
    let operator = scene.cluster.start();
    scene.oauth.wait_granted(granted + 2);
    scene.cluster.provider.create_all(ids("b", 3));
    scene.cluster.assert_perfect(&operator);
    scene.assert_each_used_once();
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
    // an instance that is made again goes on from them, and so does one whose Secret is made again
    let granted = scene.granted();
    scene.cluster.ns.kubectl(&["delete", "coni", "it"]).ok();
    scene.cluster.apply(&scene.instance());
    scene.oauth.wait_granted(granted + 2);
    scene.cluster.ns.kubectl(&["delete", "secret", "oauth"]).ok();
    scene.cluster.apply_yaml(&original);
    let granted = scene.granted();
    scene.oauth.wait_granted(granted + 2);
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
    scene.assert_each_used_once();
    // they go with the last of both
    scene.cluster.ns.kubectl(&["delete", "coni", "it"]).ok();
    scene.cluster.ns.kubectl(&["delete", "secret", "oauth"]).ok();
    scene.cluster.ns.kubectl(&["wait", "--for=delete", "secret", TOKENS, "--timeout=60s"]).ok();
}

const SHARING: [&str; 6] = ["it", "one", "two", "three", "four", "five"];

/// Instances of one Secret, polled by three replicas: one chain, and what one replica began no other one repeats.
#[test]
fn replicas_share_one_chain_and_one_refresh() {
    let Some(plane) = shared() else { return };
    let scene = Scene::new(plane, "refresh-shared");
    for name in SHARING {
        let instance = scene.instance();
        let callback_url = scene.cluster.receiver.url(name);
        scene.cluster.apply(&Instance { name: name.to_owned(), callback_url, ..instance });
    }
    let mut replicas = scene.replicas(plane);
    for name in SHARING {
        scene.cluster.wait_ready(name);
    }
    let granted = scene.granted();
    scene.cluster.provider.create_all(ids("a", 5));
    scene.oauth.wait_granted(granted + 5);
    for name in SHARING {
        let truth = || scene.cluster.provider.truth();
        let verdict = crate::rig::settle(&scene.cluster.receiver, name, truth, crate::rig::provider::version);
        assert!(verdict.is_perfect(), "{name}: {verdict}");
    }
    scene.assert_each_used_once();
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
    let owners = scene.tokens().0["metadata"]["ownerReferences"].as_array().unwrap().len();
    assert_eq!(owners, SHARING.len() + 1);
    // killed between the answer and the write: every instance says what is missing, and one consent serves all
    scene.oauth.hold_next();
    scene.oauth.wait_held();
    let (_proxy, mut sender) = scene.owner(&mut replicas);
    sender.kill9();
    scene.oauth.release();
    let asked = scene.oauth.asked();
    for name in SHARING {
        let message = scene.cluster.ns.wait_condition(name, "Authenticated", "False", "ReauthorizationRequired");
        assert!(message.contains("share Secret oauth, and one consent serves all"), "{name}: {message}");
    }
    assert_eq!(scene.oauth.asked(), asked);
    scene.consent();
    for name in SHARING {
        scene.cluster.wait_ready(name);
    }
    let granted = scene.granted();
    scene.oauth.wait_granted(granted + 2);
    scene.assert_each_used_once();
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
}

/// As version 0.1.0 left them: `r0` began the chain and is spent, and an instance that it did not know names the same Secret.
#[test]
fn tokens_of_version_0_1_move_to_their_secret() {
    let Some(plane) = shared() else { return };
    let scene = Scene::new(plane, "tokens-upgrade");
    scene.cluster.apply_yaml(&Scene::secret("r0"));
    scene.cluster.apply(&scene.instance());
    let newest = scene.oauth.consent();
    let text = include_str!("../../data/tokens-0.1.0/it.it.oauth-token").replace("\"r1\"", &format!("\"{newest}\""));
    let mut old: Value = serde_json::from_str(include_str!("../../data/tokens-0.1.0/it-oauth-token.json")).unwrap();
    let ns = &scene.cluster.ns;
    old["metadata"]["ownerReferences"][0]["uid"] = ns.get_instance("it")["metadata"]["uid"].clone();
    old["data"]["tokens.json"] = json!(STANDARD.encode(&text));
    ns.api().create(&ns.core("secrets"), &old).ok();
    let callback_url = scene.cluster.receiver.url("another");
    scene.cluster.apply(&Instance { name: "another".to_owned(), callback_url, ..scene.instance() });
    let operator = scene.cluster.start();
    scene.cluster.wait_ready("another");
    scene.cluster.wait_ready("it");
    let uses = scene.oauth.uses();
    assert_eq!(uses[0].token, newest, "{uses:#?}\n{}", operator.report("it"));
    scene.assert_each_used_once();
    assert!(uses.iter().all(|one| one.error.is_empty()), "{uses:#?}");
    // what is left is refused by version 0.1.0, which would begin with r0, and goes with the instance
    let left = ns.api().get(&format!("{}/it-oauth-token", ns.core("secrets"))).ok();
    let tokens: Value =
        serde_json::from_slice(&STANDARD.decode(left["data"]["tokens.json"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!((&tokens["format"], &tokens["movedTo"], &tokens["refreshToken"]), (&json!(2), &json!("oauth"), &Value::Null));
    assert_eq!(left["metadata"]["ownerReferences"][0]["name"], "it");
}

#[test]
fn a_kill_in_the_middle_of_a_refresh_asks_for_consent_and_polling_resumes_from_the_cursor() {
    let Some(plane) = shared() else { return };
    let scene = Scene::new(plane, "refresh-killed");
    let mut operator = scene.begin();
    scene.cluster.provider.create_all(ids("a", 3));
    scene.cluster.assert_perfect(&operator);
    // what a kill may repeat is not the matter here
    scene.cluster.wait_status("/delivered", &json!(3));
    scene.oauth.hold_next();
    scene.oauth.wait_held();
    operator.kill9();
    scene.oauth.release();
    scene.cluster.provider.create_all(ids("meanwhile", 3));
    let asked = scene.oauth.asked();
    let operator = scene.cluster.start_with(&["--lease-duration", "4s"]);
    // whoever left the marker might still have the answer: it is waited for
    let message = scene.cluster.ns.wait_condition("it", "Authenticated", "False", "ReauthorizationRequired");
    assert!(message.contains("a refresh was cut off"), "{message}");
    scene.cluster.ns.wait_condition("it", "Stalled", "True", "ReauthorizationRequired");
    assert_eq!(scene.oauth.asked(), asked);
    scene.consent();
    scene.cluster.assert_perfect(&operator);
    scene.assert_each_used_once();
}

#[test]
fn a_replica_that_ends_in_order_hands_its_tokens_over() {
    let Some(plane) = shared() else { return };
    let scene = Scene::new(plane, "refresh-handed-over");
    scene.cluster.apply(&scene.instance());
    let mut replicas = scene.replicas(plane);
    for round in 0..2 {
        scene.oauth.hold_next();
        scene.oauth.wait_held();
        let (_proxy, mut owner) = scene.owner(&mut replicas);
        scene.cluster.provider.create_all(ids(&format!("r{round}"), 3));
        owner.signal("TERM");
        scene.oauth.release();
        assert!(owner.wait().success(), "{}", owner.stderr());
        scene.cluster.assert_perfect(&replicas[0].1);
    }
    scene.assert_each_used_once();
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
}

/// It is stopped while its refresh is under way, the others take over, and then it goes on: its answer is the only copy of the tokens.
#[test]
fn a_replica_that_slept_through_its_refresh_still_keeps_what_came() {
    let Some(plane) = shared() else { return };
    let scene = Scene::new(plane, "refresh-slept");
    scene.cluster.apply(&scene.instance());
    let mut replicas = scene.replicas(plane);
    scene.oauth.hold_next();
    scene.oauth.wait_held();
    let (_proxy, owner) = scene.owner(&mut replicas);
    owner.signal("STOP");
    let asked = scene.oauth.asked();
    scene.cluster.ns.wait_condition("it", "Authenticated", "False", "TokenEndpointUnreachable");
    assert_eq!(scene.oauth.asked(), asked, "the others do not send what it has sent");
    scene.oauth.release();
    owner.signal("CONT");
    scene.cluster.provider.create_all(ids("a", 3));
    scene.cluster.assert_perfect(&replicas[0].1);
    scene.assert_each_used_once();
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
}

#[test]
fn of_three_replicas_none_repeats_what_a_killed_one_has_sent() {
    let Some(plane) = shared() else { return };
    let scene = Scene::new(plane, "refresh-three");
    scene.cluster.apply(&scene.instance());
    let mut replicas = scene.replicas(plane);
    // killed between two refreshes: the next one goes on
    scene.oauth.wait_granted(scene.granted() + 1);
    let (_, mut first) = scene.owner(&mut replicas);
    first.kill9();
    scene.cluster.provider.create_all(ids("a", 3));
    // unless the next one had just begun
    if scene.tokens().1.get("inFlight").is_some() {
        scene.consent();
    }
    // and in the middle of one
    scene.oauth.wait_granted(scene.granted() + 1);
    scene.oauth.hold_next();
    scene.oauth.wait_held();
    let (_, mut second) = scene.owner(&mut replicas);
    second.kill9();
    scene.oauth.release();
    scene.cluster.provider.create_all(ids("b", 3));
    let asked = scene.oauth.asked();
    let reauthorize = |seen: &Cluster<'_>| seen.ns.wait_condition("it", "Authenticated", "False", "ReauthorizationRequired");
    reauthorize(&scene.cluster);
    assert_eq!(scene.oauth.asked(), asked);
    scene.consent();
    scene.oauth.wait_granted(scene.granted() + 1);
    let verdict = scene.cluster.verdict();
    assert!(verdict.is_sound() && verdict.missing.is_empty(), "{verdict}\n{}", replicas[0].1.report("it"));
    scene.assert_each_used_once();
}

/// Every first write of the tokens is refused, lost or answered too late by the API server.
#[test]
fn an_api_server_that_misbehaves_costs_no_token() {
    let Some(plane) = shared() else { return };
    let scene = Scene::new(plane, "refresh-outage");
    let operator = scene.begin();
    for fault in [Fault::LoseAnswer, Fault::HangUp, Fault::Answer(500), Fault::Answer(409)] {
        let mut turn = 0;
        scene.cluster.proxy.script(move |call| {
            let is_write = call.is_write() && call.name == TOKENS;
            turn += usize::from(is_write);
            (is_write && turn % 2 == 1).then_some(fault)
        });
        let granted = scene.granted();
        scene.cluster.provider.create_all(ids(&format!("{fault:?}").to_lowercase().replace(['(', ')'], ""), 3));
        scene.oauth.wait_granted(granted + 3);
        scene.cluster.assert_perfect(&operator);
    }
    scene.cluster.proxy.behave();
    scene.assert_each_used_once();
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
}

/// A Secret of that name that is somebody's own is never touched.
#[test]
fn a_secret_of_somebody_elses_is_left_alone() {
    let Some(plane) = shared() else { return };
    let scene = Scene::new(plane, "foreign-tokens");
    scene.cluster.apply_yaml(&manifest::secret(TOKENS, &[("mine", "1")]));
    scene.cluster.apply(&scene.instance());
    let operator = scene.cluster.start();
    let message = scene.cluster.ns.wait_condition("it", "Ready", "False", "StateUnavailable");
    assert!(message.contains("is not Pollinator's"), "{message}\n{}", operator.report("it"));
    let ns = &scene.cluster.ns;
    assert_eq!(ns.api().get(&format!("{}/{TOKENS}", ns.core("secrets"))).ok()["data"], json!({"mine": STANDARD.encode("1")}));
    assert_eq!(scene.oauth.asked(), 0);
}
