//! What the token endpoint, the API and the Secret can have wrong, each with its condition.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::Scene;
use crate::rig::canary;
use crate::rig::faults;
use crate::rig::http::{Answer, Body, Server};
use crate::rig::manifest::{self, Instance};
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET, OauthServer};
use crate::rig::pollinator::Site;
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;
use std::time::Duration;

/// An answer, the reason that follows, and what the sentence says.
type Case = (&'static str, fn() -> Answer, &'static str, &'static [&'static str]);

fn refuse(status: u16, error: &str) -> Answer {
    Answer::json(format!("{{\"error\":\"{error}\",\"error_description\":\"{}\"}}", canary::TOKEN)).with_status(status)
}

const CASES: [Case; 14] = [
    (
        "invalid-grant",
        || refuse(400, "invalid_grant"),
        "ReauthorizationRequired",
        &["the refresh token was refused", "Secret invalid-grant"],
    ),
    ("ok-with-error", || refuse(200, "invalid_grant"), "ReauthorizationRequired", &["give consent again"]),
    (
        "invalid-client",
        || refuse(401, "invalid_client"),
        "InvalidClient",
        &["correct client_id and client_secret in Secret invalid-client"],
    ),
    ("bare-401", || Answer::status(401), "InvalidClient", &["clientAuthentication"]),
    ("unauthorized-client", || refuse(400, "unauthorized_client"), "InvalidClient", &["refused the client"]),
    ("invalid-scope", || refuse(400, "invalid_scope"), "InsufficientScope", &["spec.auth.oauth2.scopes"]),
    ("grant-type", || refuse(400, "unsupported_grant_type"), "TokenResponseInvalid", &["spec.auth.oauth2.grant"]),
    ("not-found", || Answer::status(404), "TokenResponseInvalid", &["no token endpoint at this URL"]),
    ("html", faults::html, "TokenResponseInvalid", &["an HTML page, not JSON"]),
    ("no-token", || Answer::json("{\"token\":\"x\"}"), "TokenResponseInvalid", &["tokenResponse.accessToken"]),
    (
        "odd-token",
        || Answer::json("{\"access_token\":\"a\\nb\"}"),
        "TokenResponseInvalid",
        &["characters that headers do not allow"],
    ),
    ("trouble", || Answer::status(500), "TokenEndpointUnreachable", &["answered 500"]),
    ("hang-up", Answer::hang_up, "TokenEndpointUnreachable", &["oauth2.tokenUrl"]),
    ("large", faults::endless, "ResponseTooLarge", &["oauth2.tokenUrl"]),
];

/// Every failure ends with its condition; nothing is asked of the provider meanwhile, and the token endpoint is asked once.
#[test]
fn each_refusal_has_its_condition_and_costs_one_request() {
    let (provider, beside) = (Provider::start(), Provider::start());
    let receiver = Receiver::start();
    let mut documents = vec![Instance::new("beside", &beside.url(), &receiver.url("beside")).basic_auth().yaml()];
    let secret = |name: &str| {
        let entries = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET), ("refresh_token", canary::TOKEN)];
        manifest::secret(name, &entries)
    };
    let mut servers = Vec::new();
    for (name, answer, ..) in CASES {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = Server::start(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            answer()
        });
        // of its own: instances of one Secret have one chain of tokens, and that has one token endpoint
        documents.push(secret(name));
        let auth =
            format!("oauth2: {{grant: RefreshToken, tokenUrl: \"{}/token\", secretRef: {{name: {name}}}}}", server.url());
        documents.push(Instance { auth, ..Instance::new(name, &provider.url(), &receiver.url(name)) }.yaml());
        servers.push((server, asked));
    }
    let site = Site::new(&documents);
    let pollinator = site.start_tracing();
    for (name, _, reason, says) in CASES {
        let message = pollinator.wait_reason(name, reason);
        for part in says {
            assert!(message.contains(part), "{name}: {message}");
        }
    }
    beside.wait_polled(3);
    assert_eq!(provider.asked(), 0);
    for ((name, ..), (_, asked)) in CASES.iter().zip(&servers) {
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{name}");
    }
}

#[test]
fn a_redirect_of_the_token_endpoint_is_not_followed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let elsewhere = Server::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Answer::json("{\"access_token\":\"x\"}")
    });
    let oauth = OauthServer::start();
    let scene = Scene::new(oauth, "grant: ClientCredentials", &[]);
    let target = elsewhere.url();
    scene.oauth.misbehave(move |_| Some(Answer::status(307).header("Location", target.clone())));
    let pollinator = scene.site.start_tracing();
    let message = pollinator.wait_reason("it", "RedirectRefused");
    assert!(message.contains("spec.auth.oauth2.tokenUrl"), "{message}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_token_endpoint_that_the_policy_denies_or_nobody_serves() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let nobody = Server::start(|_| Answer::status(204)).url();
    let instance = |name: &str, url: &str| {
        let auth = format!("oauth2: {{grant: ClientCredentials, tokenUrl: \"{url}\", secretRef: {{name: oauth}}}}");
        Instance { auth, ..Instance::new(name, &provider.url(), &receiver.url(name)) }.yaml()
    };
    let secret = manifest::secret("oauth", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]);
    let site = Site::new(&[instance("denied", "http://169.254.169.254/token"), instance("nobody", &nobody), secret]);
    let pollinator = site.start_tracing();
    assert!(pollinator.wait_reason("denied", "EgressDenied").contains("oauth2.tokenUrl"));
    assert!(pollinator.wait_reason("nobody", "TokenEndpointUnreachable").contains("oauth2.tokenUrl"));
    assert_eq!(provider.asked(), 0);
}

#[test]
fn what_the_secret_can_have_wrong() {
    let oauth = OauthServer::start();
    let good = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &good)]);
    scene.raw_secret(&[]);
    let pollinator = scene.site.start_tracing();
    let id = ("client_id", CLIENT_ID);
    let secret = ("client_secret", CLIENT_SECRET);
    for (entries, reason, says) in [
        (vec![], "SecretKeyMissing", "has no key client_id"),
        (vec![id], "SecretKeyMissing", "has no key client_secret"),
        (vec![id, secret], "SecretKeyMissing", "neither refresh_token nor code"),
        (vec![id, ("client_secret", "")], "SecretInvalid", "client_secret of Secret oauth is empty"),
        (vec![id, secret, ("refresh_token", "null")], "SecretInvalid", "refresh_token of Secret oauth is the text null"),
    ] {
        scene.raw_secret(&entries);
        pollinator.wait_for("it", says, |row| row.told(reason).is_some_and(|message| message.contains(says)));
    }
    assert_eq!((scene.oauth.asked(), scene.provider.asked()), (0, 0));
    std::fs::remove_file(scene.site.manifests().join("oauth.yaml")).unwrap();
    pollinator.wait_reason("it", "SecretNotFound");
    // one newline at the end is no part of it
    scene.secret(&[("refresh_token", &format!("{good}\n"))]);
    pollinator.wait_ready("it");
    assert_eq!(scene.oauth.asked(), 1);
}

/// Where consent can be given on the connect page, what is missing is a consent, whichever grant the manifest names.
#[test]
fn a_missing_token_asks_for_consent_where_it_can_be_given() {
    for grant in ["RefreshToken", "AuthorizationCode"] {
        let members = format!("grant: {grant}, authorizationUrl: \"http://127.0.0.1:9/authorize\"");
        let scene = Scene::new(OauthServer::start(), &members, &[]);
        let pollinator = scene.site.start_tracing();
        assert!(pollinator.wait_reason("it", "ReauthorizationRequired").contains("consent has not been given yet"), "{grant}");
    }
}

#[test]
fn a_new_secret_heals_at_once() {
    let oauth = OauthServer::start();
    let token = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token), ("client_secret", canary::TOKEN)]);
    let pollinator = scene.site.start_tracing();
    pollinator.wait_reason("it", "InvalidClient");
    scene.secret(&[("refresh_token", &token)]);
    pollinator.wait_ready("it");
    scene.provider.create("a");
    scene.assert_perfect(&pollinator);
    assert_eq!(scene.oauth.uses().len(), 2);
}

/// The consent is taken back: polling stops, the cursor waits, and goes on after the next consent.
#[test]
fn a_consent_that_is_taken_back_and_given_anew() {
    let oauth = OauthServer::start();
    let token = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token)]);
    let pollinator = scene.start();
    scene.oauth.revoke_all();
    let message = pollinator.wait_reason("it", "ReauthorizationRequired");
    assert!(message.contains("the refresh token was refused"), "{message}");
    scene.provider.create("meanwhile");
    scene.secret(&[("refresh_token", &scene.oauth.consent())]);
    scene.assert_perfect(&pollinator);
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
}

/// A provider that answers 401 to everything gets one new token, and no second one for a quarter of an hour.
#[test]
fn an_api_that_always_answers_401_costs_one_refresh() {
    let oauth = OauthServer::start();
    let token = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token)]);
    let pollinator = scene.start();
    scene.provider.misbehave(|_| Some(Answer::status(401)));
    let message = pollinator.wait_reason("it", "Unauthorized");
    assert!(message.contains("401"), "{message}");
    scene.provider.wait_polled(3);
    assert_eq!(scene.oauth.uses().len(), 2);
    assert!(pollinator.rows("it").iter().filter_map(|row| row.told("Unauthorized")).all(|other| other == message));
    scene.provider.misbehave(|_| None);
    scene.provider.create("a");
    scene.assert_perfect(&pollinator);
}

#[test]
fn a_scope_that_is_missing_is_named() {
    let oauth = OauthServer::start();
    let scene = Scene::new(oauth, "grant: ClientCredentials", &[]);
    scene.provider.misbehave(|_| {
        let challenge = "Bearer realm=\"records\", error=\"insufficient_scope\", scope=\"records.read\"";
        Some(Answer::status(403).header("WWW-Authenticate", challenge))
    });
    let pollinator = scene.site.start_tracing();
    let message = pollinator.wait_reason("it", "InsufficientScope");
    assert!(message.contains("scope"), "{message}");
}

/// While a refresh is under way somebody puts a new refresh token into the Secret: the old answer is kept, the new chain is used.
#[test]
fn a_secret_that_changes_while_a_refresh_is_under_way() {
    let oauth = OauthServer::start();
    let (first, second) = (oauth.consent(), oauth.consent());
    let scene = Scene::new(oauth.life(Duration::from_secs(5)), "grant: RefreshToken", &[("refresh_token", &first)]);
    let pollinator = scene.start();
    scene.oauth.hold_next();
    scene.oauth.wait_held();
    scene.secret(&[("refresh_token", &second)]);
    scene.provider.create("a");
    scene.oauth.release();
    scene.assert_perfect(&pollinator);
    let uses = scene.oauth.asked();
    scene.oauth.wait_asked(uses + 2);
    assert!(scene.oauth.uses().iter().any(|one| one.token == second));
    // the old one comes back, as two who fight over a Secret do: it was used before
    scene.secret(&[("refresh_token", &first)]);
    let uses = scene.oauth.asked();
    scene.oauth.wait_asked(uses + 2);
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
}

/// Trouble of the token endpoint does not stop polling while the access token holds, and passes by itself.
#[test]
fn an_endpoint_in_trouble_is_asked_again_after_half_a_minute() {
    let oauth = OauthServer::start().life(Duration::from_secs(5));
    let token = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token)]);
    let pollinator = scene.start();
    let asks = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asks);
    scene.oauth.misbehave(move |ask| {
        let mut asks = log.lock().unwrap();
        asks.push(ask.at);
        (asks.len() == 1).then(|| Answer::status(503).body(Body::Whole(b"busy".to_vec())))
    });
    pollinator.wait_reason("it", "TokenEndpointUnreachable");
    scene.provider.create("a");
    scene.assert_perfect(&pollinator);
    let asks = asks.lock().unwrap();
    assert!(asks[1] - asks[0] >= Duration::from_secs(30), "{:?}", asks[1] - asks[0]);
}
