//! Several instances name one Secret: one chain of tokens, one refresh, whatever else the instances differ in.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::Scene;
use crate::rig::manifest::{self, Instance};
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET, OauthServer};
use crate::rig::pollinator::Pollinator;
use crate::rig::scene::ids;
use crate::rig::{assert_perfect, provider, settle};

const SHORT: Duration = Duration::from_secs(5);
const NAMES: [&str; 3] = ["sales", "billing", "audit"];

/// A scene whose Secret holds a refresh token, and no instance yet.
fn scene(oauth: OauthServer) -> Scene {
    let token = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token)]);
    declare(&scene, &[]);
    scene
}

fn declare(scene: &Scene, instances: &[Instance]) {
    let documents: Vec<_> = instances.iter().map(Instance::yaml).collect();
    manifest::write(&scene.site.manifests(), "instances.yaml", &documents);
}

fn named(scene: &Scene, name: &str, members: &str) -> Instance {
    let auth = scene.instance(members).auth;
    Instance { auth, ..Instance::new(name, &scene.provider.url(), &scene.receiver.url(name)) }
}

fn all(scene: &Scene) -> Vec<Instance> {
    NAMES.iter().map(|name| named(scene, name, "grant: RefreshToken")).collect()
}

fn start(scene: &Scene, names: &[&str]) -> Pollinator {
    let pollinator = scene.site.start_tracing();
    for name in names {
        pollinator.wait_ready(name);
    }
    pollinator
}

fn assert_all_perfect(scene: &Scene, pollinator: &Pollinator, names: &[&str]) {
    for name in names {
        let verdict = settle(&scene.receiver, name, || scene.provider.truth(), provider::version);
        assert_perfect(&verdict, pollinator, name);
    }
}

fn assert_each_used_once(scene: &Scene) {
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
}

#[test]
fn one_request_serves_all_and_so_it_does_after_a_restart() {
    let scene = scene(OauthServer::start());
    declare(&scene, &all(&scene));
    let mut pollinator = start(&scene, &NAMES);
    scene.provider.create_all(ids("a", 3));
    assert_all_perfect(&scene, &pollinator, &NAMES);
    assert_eq!(scene.oauth.asked(), 1);
    assert!(pollinator.sigterm().success());
    // one is gone, its tokens are those of the others; and it comes back
    declare(&scene, &all(&scene)[1..]);
    let pollinator = start(&scene, &NAMES[1..]);
    declare(&scene, &all(&scene));
    pollinator.wait_ready(NAMES[0]);
    declare(&scene, &all(&scene)[..1]);
    scene.provider.create_all(ids("b", 3));
    assert_all_perfect(&scene, &pollinator, &NAMES[..1]);
    assert_eq!(scene.oauth.asked(), 1);
}

#[test]
fn a_rotating_token_survives_the_traffic_of_three_instances_and_restarts() {
    let scene = scene(OauthServer::start().life(SHORT));
    declare(&scene, &all(&scene));
    let mut granted = 0;
    for round in 0..3 {
        let mut pollinator = start(&scene, &NAMES);
        scene.provider.create_all(ids(&format!("r{round}"), 3));
        granted = scene.oauth.uses().len().max(granted + 2);
        scene.oauth.wait_granted(granted);
        assert_all_perfect(&scene, &pollinator, &NAMES);
        assert!(pollinator.sigterm().success());
    }
    assert_each_used_once(&scene);
}

/// Scopes are asked for at a consent alone, and another audience is asked for with the next refresh token.
#[test]
fn instances_that_ask_for_other_access_tokens_go_on_with_one_chain() {
    let scene = scene(OauthServer::start());
    declare(
        &scene,
        &[
            named(&scene, "sales", "grant: RefreshToken"),
            named(&scene, "billing", "grant: RefreshToken, scopes: [read]"),
            named(&scene, "audit", "grant: RefreshToken, audience: \"https://audit.example.com\""),
        ],
    );
    let mut pollinator = start(&scene, &NAMES);
    assert_eq!(scene.oauth.asked(), 2, "{:#?}", scene.oauth.uses());
    assert!(pollinator.sigterm().success());
    let pollinator = start(&scene, &NAMES);
    scene.provider.create_all(ids("a", 3));
    assert_all_perfect(&scene, &pollinator, &NAMES);
    assert_eq!(scene.oauth.asked(), 2, "both access tokens are kept");
    assert_each_used_once(&scene);
}

#[test]
fn an_instance_with_another_token_endpoint_is_refused_before_anything_is_sent_there() {
    let scene = scene(OauthServer::start());
    let other = OauthServer::start();
    let sales = named(&scene, "sales", "grant: RefreshToken");
    let billing = named(&scene, "billing", "grant: RefreshToken");
    let billing = Instance { auth: billing.auth.replace(&scene.oauth.token_url(), &other.token_url()), ..billing };
    declare(&scene, std::slice::from_ref(&sales));
    let pollinator = start(&scene, &["sales"]);
    declare(&scene, &[sales.clone(), billing.clone()]);
    let message = pollinator.wait_reason("billing", "SecretInvalid");
    assert!(message.contains("instance sales") && message.contains("same Secret oauth"), "{message}");
    assert_eq!((scene.oauth.asked(), other.asked()), (1, 0));
    // corrected
    declare(&scene, &[sales, named(&scene, "billing", "grant: RefreshToken")]);
    pollinator.wait_ready("billing");
    // one that is alone may move, and the consent stays: what the endpoint says about it is another matter
    declare(&scene, &[Instance { name: "audit".to_owned(), ..billing }]);
    // the others are gone with the same look at the manifests, and renew nothing any more
    pollinator.wait_ready("audit");
    scene.oauth.end_access_tokens();
    other.wait_asked(1);
    assert_eq!(scene.oauth.asked(), 1);
}

#[test]
fn all_say_that_a_consent_is_missing_and_one_serves_them_all() {
    let scene = scene(OauthServer::start().life(SHORT));
    declare(&scene, &all(&scene));
    let pollinator = start(&scene, &NAMES);
    scene.oauth.revoke_all();
    for name in NAMES {
        let message = pollinator.wait_reason(name, "ReauthorizationRequired");
        assert!(message.contains("share Secret oauth, and one consent serves all"), "{message}");
    }
    let refused = scene.oauth.uses().iter().filter(|one| !one.error.is_empty()).count();
    assert_eq!(refused, 1, "{:#?}", scene.oauth.uses());
    // what the message says is done, and it helps
    scene.secret(&[("refresh_token", &scene.oauth.consent())]);
    scene.provider.create_all(ids("a", 3));
    assert_all_perfect(&scene, &pollinator, &NAMES);
    for name in NAMES {
        pollinator.wait_ready(name);
    }
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
}

#[test]
fn a_code_is_exchanged_once_for_all() {
    let oauth = OauthServer::start();
    let code = oauth.code(None, None);
    let scene =
        Scene::new(oauth, "grant: AuthorizationCode, authorizationUrl: \"https://login.example.com/\"", &[("code", &code)]);
    let members = "grant: AuthorizationCode, authorizationUrl: \"https://login.example.com/\"";
    declare(&scene, &NAMES.map(|name| named(&scene, name, members)));
    start(&scene, &NAMES);
    assert_eq!(scene.oauth.asked(), 1);
}

/// One of them alone is killed with its answer; the others do not send what it sent.
#[test]
fn a_kill_in_the_middle_of_a_refresh_asks_once_for_consent() {
    let scene = scene(OauthServer::start().life(SHORT));
    declare(&scene, &all(&scene));
    let mut pollinator = start(&scene, &NAMES);
    scene.oauth.hold_next();
    scene.oauth.wait_held();
    pollinator.kill9();
    scene.oauth.release();
    let asked = scene.oauth.asked();
    let pollinator = scene.site.start();
    for name in NAMES {
        let message = pollinator.wait_reason(name, "ReauthorizationRequired");
        assert!(message.contains("a refresh was cut off"), "{message}");
    }
    assert_eq!(scene.oauth.asked(), asked);
    scene.secret(&[("refresh_token", &scene.oauth.consent())]);
    for name in NAMES {
        pollinator.wait_ready(name);
    }
    assert_each_used_once(&scene);
}

/// The token of one Secret in a second Secret: where it rotates, the second one is refused before it is sent; where it lasts, both serve.
#[test]
fn a_copy_of_a_refresh_token_in_another_secret_is_not_spent_twice() {
    for lasts in [false, true] {
        let oauth = if lasts { OauthServer::start().lasting() } else { OauthServer::start() };
        let scene = scene(oauth.life(SHORT));
        let token = scene.oauth.consent();
        scene.secret(&[("refresh_token", &token)]);
        let entries = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET), ("refresh_token", token.as_str())];
        manifest::write(&scene.site.manifests(), "copy.yaml", &[manifest::secret("copy", &entries)]);
        let copied = named(&scene, "billing", "grant: RefreshToken");
        let copied = Instance { auth: copied.auth.replace("{name: oauth}", "{name: copy}"), ..copied };
        declare(&scene, &[named(&scene, "sales", "grant: RefreshToken"), copied]);
        let pollinator = scene.site.start();
        if lasts {
            pollinator.wait_ready("sales");
            pollinator.wait_ready("billing");
            continue;
        }
        let first = pollinator.wait_for("billing", "an end of the first poll", |row| row.ready != "Unknown");
        let (good, refused) = if first.ready == "True" { ("billing", "sales") } else { ("sales", "billing") };
        let message = pollinator.wait_reason(refused, "SecretInvalid");
        assert!(message.contains("holds the same refresh token or code as Secret"), "{message}");
        pollinator.wait_ready(good);
        scene.oauth.wait_granted(3);
        assert_each_used_once(&scene);
    }
}

/// A Secret gets another name: the chain goes on.
#[test]
fn a_secret_that_was_renamed_keeps_its_chain() {
    let scene = scene(OauthServer::start().life(SHORT));
    let token = scene.oauth.consent();
    scene.secret(&[("refresh_token", &token)]);
    declare(&scene, &[named(&scene, "sales", "grant: RefreshToken")]);
    let mut pollinator = start(&scene, &["sales"]);
    scene.oauth.wait_granted(2);
    assert!(pollinator.sigterm().success());
    let entries = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET), ("refresh_token", token.as_str())];
    manifest::write(&scene.site.manifests(), "oauth.yaml", &[manifest::secret("renamed", &entries)]);
    let sales = named(&scene, "sales", "grant: RefreshToken");
    declare(&scene, &[Instance { auth: sales.auth.replace("{name: oauth}", "{name: renamed}"), ..sales }]);
    let granted = scene.oauth.uses().len();
    let pollinator = start(&scene, &["sales"]);
    scene.oauth.wait_granted(granted + 2);
    scene.provider.create("a");
    assert_all_perfect(&scene, &pollinator, &["sales"]);
    assert_each_used_once(&scene);
}

/// Tokens that version 0.1.0 kept for an instance, with this refresh token as the newest.
fn of_version_0_1(newest: &str) -> String {
    include_str!("../../data/tokens-0.1.0/it.it.oauth-token").replace("\"r1\"", &format!("\"{newest}\""))
}

fn kept(scene: &Scene, file: &str) -> Value {
    serde_json::from_slice(&fs::read(scene.site.state().join(file)).unwrap()).unwrap()
}

fn keep(scene: &Scene, file: &str, tokens: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let file = scene.site.state().join(file);
    fs::create_dir_all(scene.site.state()).unwrap();
    fs::write(&file, tokens).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// `r0` was spent by version 0.1.0; an instance that it did not know shares the Secret, and whichever is polled first goes on.
#[test]
fn tokens_of_version_0_1_move_to_their_secret_and_nothing_is_spent_twice() {
    let scene = scene(OauthServer::start());
    let newest = scene.oauth.consent();
    scene.secret(&[("refresh_token", "r0")]);
    keep(&scene, "it.it.oauth-token", &of_version_0_1(&newest));
    let names = ["another", "it", "third"];
    declare(&scene, &names.map(|name| named(&scene, name, "grant: RefreshToken")));
    let mut pollinator = start(&scene, &names);
    let uses = scene.oauth.uses();
    assert_eq!(uses.iter().map(|one| one.token.as_str()).collect::<Vec<_>>(), [newest.as_str()], "the newest token, once");
    let moved = kept(&scene, "it.oauth.oauth-tokens");
    assert!(moved["refreshToken"].is_string() && moved["format"] == 2, "{moved}");
    // version 0.1.0 says that a newer version wrote this, and does not begin with r0
    let left = kept(&scene, "it.it.oauth-token");
    assert_eq!(
        (&left["format"], &left["movedTo"], &left["refreshToken"]),
        (&Value::from(2), &Value::from("oauth"), &Value::Null)
    );
    assert!(pollinator.sigterm().success());
    let pollinator = start(&scene, &names);
    scene.provider.create_all(ids("a", 3));
    assert_all_perfect(&scene, &pollinator, &names);
    assert_eq!(scene.oauth.asked(), 1);
}

/// The Secret holds the client alone, and with version 0.1.0 two people gave consent for two instances: perhaps for two accounts.
#[test]
fn consents_of_two_people_are_not_mixed_by_the_upgrade() {
    let members = "grant: AuthorizationCode, authorizationUrl: \"https://login.example.com/\"";
    let scene = Scene::new(OauthServer::start(), members, &[]);
    let tokens = |salt: &str| of_version_0_1(&scene.oauth.consent()).replace("842503043db353041646e58018bb8541", salt);
    for (name, salt) in [("sales", "1111"), ("billing", "2222")] {
        keep(&scene, &format!("it.{name}.oauth-token"), &tokens(salt));
    }
    let (sales, billing) = (named(&scene, "sales", members), named(&scene, "billing", members));
    declare(&scene, std::slice::from_ref(&sales));
    let pollinator = start(&scene, &["sales"]);
    declare(&scene, &[sales.clone(), billing.clone()]);
    let message = pollinator.wait_reason("billing", "SecretInvalid");
    assert!(message.contains("it.billing.oauth-token") && message.contains("a Secret of its own"), "{message}");
    assert_eq!(scene.oauth.asked(), 1);
    // as the message says
    let client = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
    manifest::write(&scene.site.manifests(), "own.yaml", &[manifest::secret("own", &client)]);
    declare(&scene, &[sales, Instance { auth: billing.auth.replace("{name: oauth}", "{name: own}"), ..billing }]);
    pollinator.wait_ready("billing");
    assert_eq!(scene.oauth.asked(), 2);
    assert_each_used_once(&scene);
}

/// One is enough for the chain, and no token is spent for each of them.
#[test]
fn suspended_instances_keep_one_consent_alive_together() {
    let scene = scene(OauthServer::start().life(Duration::from_hours(1)));
    let suspended = |name: &&str| named(&scene, name, "grant: RefreshToken, refresh: {idleTtl: 1m}").spec("suspend: true");
    declare(&scene, &NAMES.iter().map(suspended).collect::<Vec<_>>());
    let _pollinator = scene.site.start_tracing();
    scene.oauth.wait_granted(2);
    let uses = scene.oauth.uses();
    assert!(uses.len() < NAMES.len(), "{uses:#?}");
    assert_each_used_once(&scene);
}
