//! Every grant, and access tokens that end all the time.

use std::time::Duration;

use base64::Engine as _;

use super::Scene;
use crate::rig::canary;
use crate::rig::http::Answer;
use crate::rig::manifest::{self, Instance};
use crate::rig::oauth_server::{CLIENT_ID, CLIENT_SECRET, OauthServer, Proof};
use crate::rig::pollinator::Site;
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;
use crate::rig::scene::ids;
use crate::rig::{assert_perfect, settle};

const SHORT: Duration = Duration::from_secs(5);

#[test]
fn client_credentials_are_asked_for_again_and_kept_nowhere() {
    let oauth = OauthServer::start().life(SHORT).audience("https://api.example.com");
    let members = "grant: ClientCredentials, scopes: [read, write], audience: \"https://api.example.com\"";
    let scene = Scene::new(oauth, members, &[]);
    let mut pollinator = scene.start();
    scene.provider.create_all(ids("a", 5));
    scene.oauth.wait_granted(3);
    scene.provider.create_all(ids("b", 5));
    scene.assert_perfect(&pollinator);
    assert!(pollinator.sigterm().success());
    let files: Vec<_> = std::fs::read_dir(scene.site.state()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "the lock and the state: {files:?}");
    let last = scene.oauth.uses().pop().unwrap();
    assert!(last.form.contains(&("scope".to_owned(), "read write".to_owned())), "{last:?}");
}

#[test]
fn a_rotating_refresh_token_survives_restarts() {
    let oauth = OauthServer::start().life(SHORT).proofs(Proof::Body, Proof::Basic);
    let token = oauth.consent();
    let scene = Scene::new(
        oauth,
        "grant: RefreshToken, clientAuthentication: {code: Body, refresh: Basic}",
        &[("refresh_token", &token)],
    );
    for round in 0..3 {
        let mut pollinator = scene.start();
        scene.provider.create_all(ids(&format!("r{round}"), 3));
        scene.oauth.wait_granted(2 * (round + 1));
        scene.assert_perfect(&pollinator);
        assert!(pollinator.sigterm().success());
    }
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
    assert!(scene.oauth.uses().iter().all(|one| one.error.is_empty()), "{:#?}", scene.oauth.uses());
}

#[test]
fn an_access_token_that_holds_is_used_after_a_restart() {
    let oauth = OauthServer::start();
    let token = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token)]);
    for _ in 0..2 {
        let mut pollinator = scene.start();
        assert!(pollinator.sigterm().success());
    }
    assert_eq!(scene.oauth.asked(), 1);
}

#[test]
fn a_code_is_exchanged_once_and_not_needed_afterwards() {
    let oauth = OauthServer::start().life(SHORT).proofs(Proof::Body, Proof::Basic);
    let (redirect, verifier) = ("https://example.com/back?x=1", "a-verifier-of-at-least-forty-three-characters-1");
    let code = oauth.code(Some(redirect), Some(verifier));
    let members = "grant: AuthorizationCode, authorizationUrl: \"https://login.example.com/\", \
                   clientAuthentication: {code: Body, refresh: Basic}";
    let scene = Scene::new(oauth, members, &[("code", &code), ("redirect_uri", redirect), ("code_verifier", verifier)]);
    let mut pollinator = scene.start();
    scene.provider.create("a");
    scene.oauth.wait_granted(3);
    scene.assert_perfect(&pollinator);
    // the code goes, or another client id would be asked for again: neither matters to the tokens
    scene.secret(&[("code", "")]);
    scene.oauth.wait_granted(4);
    scene.provider.create("b");
    scene.assert_perfect(&pollinator);
    assert!(pollinator.sigterm().success());
    let pollinator = scene.start();
    scene.oauth.wait_granted(5);
    scene.assert_perfect(&pollinator);
    let grants: Vec<_> = scene.oauth.uses().iter().map(|one| one.grant.clone()).collect();
    assert_eq!(grants[0], "authorization_code");
    assert!(grants[1..].iter().all(|grant| grant == "refresh_token"), "{grants:?}");
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
}

#[test]
fn every_way_to_prove_who_one_is() {
    for (proof, name) in [(Proof::Basic, "Basic"), (Proof::BasicRaw, "BasicRaw"), (Proof::Body, "Body"), (Proof::None, "None")]
    {
        let oauth = OauthServer::start().proofs(proof, proof);
        let token = oauth.consent();
        let scene = Scene::new(
            oauth,
            &format!("grant: RefreshToken, clientAuthentication: {{code: {name}}}"),
            &[("refresh_token", &token)],
        );
        if proof == Proof::None {
            scene.raw_secret(&[("client_id", CLIENT_ID), ("refresh_token", &token)]);
        }
        let _pollinator = scene.start();
        assert_eq!(scene.oauth.uses().len(), 1, "{name}");
    }
}

/// Nothing is lost, nothing comes twice, and no refresh token is used twice.
#[test]
fn two_hundred_refreshes_during_traffic_lose_nothing_and_reuse_nothing() {
    const INSTANCES: usize = 20;
    let oauth = OauthServer::start().life(SHORT);
    let receiver = Receiver::start();
    let mut documents = Vec::new();
    let providers: Vec<_> = (0..INSTANCES).map(|_| Provider::start().taking(oauth.takes()).page_size(3)).collect();
    for (index, provider) in providers.iter().enumerate() {
        let name = format!("it-{index:02}");
        let auth = format!("oauth2: {{grant: RefreshToken, tokenUrl: \"{}\", secretRef: {{name: {name}}}}}", oauth.token_url());
        documents.push(Instance { auth, ..Instance::new(&name, &provider.url(), &receiver.url(&name)) }.yaml());
        let entries = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET), ("refresh_token", &oauth.consent())];
        documents.push(manifest::secret(&name, &entries));
    }
    let site = Site::new(&documents);
    let pollinator = site.start_tracing();
    for index in 0..INSTANCES {
        pollinator.wait_ready(&format!("it-{index:02}"));
    }
    for round in 1..=9 {
        for provider in &providers {
            provider.create_all(ids(&format!("n{round}"), 4));
        }
        oauth.wait_granted(round * 22 + 2);
    }
    assert!(oauth.uses().len() >= 200);
    for (index, provider) in providers.iter().enumerate() {
        let name = format!("it-{index:02}");
        assert_perfect(&settle(&receiver, &name, || provider.truth(), provider::version), &pollinator, &name);
    }
    assert_eq!(oauth.used_twice(), Vec::<String>::new());
    assert!(oauth.uses().iter().all(|one| one.error.is_empty()));
}

/// Without a life time in the answer only a 401 tells that a token has ended, in the middle of a list as well.
#[test]
fn a_token_that_ends_in_the_middle_of_a_list_costs_nothing() {
    for saying in [None, Some("\"soon\""), Some("0"), Some("-5"), Some("1e300"), Some("null")] {
        let oauth = OauthServer::start().saying(saying);
        let token = oauth.consent();
        let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token)]);
        let pollinator = scene.start();
        scene.provider.create_all(ids("a", 250));
        scene.oauth.end_access_tokens();
        scene.assert_perfect(&pollinator);
        assert_eq!(scene.oauth.uses().len(), 2, "{saying:?}: {:#?}", scene.oauth.uses());
        assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
    }
}

/// A trial spends no token that it cannot keep, and says so; with the state folder it keeps what came.
#[test]
fn a_trial_destroys_nobodys_token() {
    let oauth = OauthServer::start();
    let token = oauth.consent();
    let scene = Scene::new(oauth, "grant: RefreshToken", &[("refresh_token", &token)]);
    scene.provider.baseline(["one".to_owned()]);
    let trial = |keeps: bool| {
        let mut command = crate::rig::pollinator::binary();
        command.arg("try").arg(scene.site.manifests());
        if keeps {
            command.arg("--state").arg(scene.site.state());
        }
        let mut run = scene.site.spawn(command);
        (run.wait().success(), run.stdout())
    };
    let (succeeded, said) = trial(false);
    assert!(!succeeded && said.contains("may spend the refresh token") && said.contains("--state DIR"), "{said}");
    assert_eq!(scene.oauth.asked(), 0);
    let (succeeded, said) = trial(true);
    assert!(succeeded && said.contains("1 record"), "{said}");
    scene.oauth.end_access_tokens();
    let pollinator = scene.start();
    scene.provider.create("a");
    scene.assert_perfect(&pollinator);
    assert_eq!(scene.oauth.uses().len(), 2);
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
    drop(pollinator);
    // where nothing is spent, nothing need be kept
    scene.declare("grant: RefreshToken, refresh: {rotates: Never}");
    scene.secret(&[("refresh_token", &scene.oauth.consent())]);
    let (succeeded, said) = trial(false);
    assert!(succeeded, "{said}");
    scene.declare("grant: ClientCredentials");
    assert!(trial(false).0);
}

/// The callback has credentials of its own: fixed ones, or access tokens that end at any time.
#[test]
fn a_callback_with_credentials_of_its_own() {
    let (provider, receiver, oauth) = (Provider::start(), Receiver::start(), OauthServer::start());
    let takes = oauth.takes();
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", canary::USER, canary::ODD_PASSWORD));
    receiver.answer(move |ask| {
        let header = |name: &str| ask.header(name).unwrap_or_default().to_owned();
        let good = match ask.path().rsplit('/').next().unwrap_or_default() {
            "basic" => header("authorization") == format!("Basic {login}"),
            "bearer" => header("authorization") == format!("Bearer {}", canary::TOKEN),
            "header" => header("x-key") == canary::TOKEN,
            "query" => ask.query() == [("key".to_owned(), canary::TOKEN.to_owned())],
            _ => takes(ask),
        };
        Answer::status(if good { 204 } else { 401 })
    });
    let oauth2 =
        format!("oauth2: {{grant: ClientCredentials, tokenUrl: \"{}\", secretRef: {{name: oauth}}}}", oauth.token_url());
    let kinds = [
        ("basic", "basic: {secretRef: {name: login}}"),
        ("bearer", "bearer: {secretRef: {name: token, key: token}}"),
        ("header", "apiKey: {in: Header, name: X-Key, secretRef: {name: token, key: token}}"),
        ("query", "apiKey: {in: Query, name: key, secretRef: {name: token, key: token}}"),
        ("oauth", oauth2.as_str()),
    ];
    let mut documents: Vec<_> = kinds
        .iter()
        .map(|(name, auth)| {
            let instance = Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth();
            instance.callback(&format!("auth: {{{auth}}}")).yaml()
        })
        .collect();
    documents.push(manifest::secret("token", &[("token", canary::TOKEN)]));
    documents.push(manifest::secret("oauth", &[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]));
    let site = Site::new(&documents);
    let pollinator = site.start_tracing();
    for (name, _) in kinds {
        pollinator.wait_ready(name);
    }
    for round in 0..3 {
        provider.create_all(ids(&format!("r{round}"), 20));
        for (name, _) in kinds {
            let verdict = settle(&receiver, name, || provider.truth(), provider::version);
            assert!(verdict.missing.is_empty() && verdict.is_sound(), "{name}: {verdict}\n{}", pollinator.report(name));
        }
        oauth.end_access_tokens();
    }
    let rows = pollinator.rows("oauth");
    assert!(rows.iter().all(|row| !row.tells("CallbackUnauthorized") && row.set_aside == 0), "{rows:?}");
    assert_eq!(oauth.uses().len(), 3, "{:#?}", oauth.uses());
}

/// Nothing is polled while an instance is suspended, and yet the provider must not forget the consent.
#[test]
fn a_suspended_instance_keeps_its_consent_alive() {
    let oauth = OauthServer::start().life(SHORT);
    let token = oauth.consent();
    let scene = Scene::new(oauth, "", &[("refresh_token", &token)]);
    let instance = scene.instance("grant: RefreshToken, refresh: {idleTtl: 1m}").spec("suspend: true");
    manifest::write(&scene.site.manifests(), "instances.yaml", &[instance.yaml()]);
    let pollinator = scene.site.start_tracing();
    pollinator.wait_reason("it", "Suspended");
    scene.oauth.wait_granted(2);
    assert_eq!(scene.provider.asked(), 0);
    assert_eq!(scene.oauth.used_twice(), Vec::<String>::new());
    assert!(pollinator.rows("it").iter().all(|row| row.reason == "Suspended"));
}

/// A code that brings no refresh token is good for one access token, as with providers whose tokens never end.
#[test]
fn a_code_without_a_refresh_token_is_used_until_it_is_refused() {
    let oauth = OauthServer::start().saying(None).without_refresh_tokens();
    let code = oauth.code(None, None);
    let members = "grant: AuthorizationCode, authorizationUrl: \"https://login.example.com/\"";
    let scene = Scene::new(oauth, members, &[("code", &code)]);
    let mut pollinator = scene.start();
    assert!(pollinator.sigterm().success());
    let pollinator = scene.start();
    scene.provider.create("a");
    scene.assert_perfect(&pollinator);
    assert_eq!(scene.oauth.asked(), 1);
    scene.oauth.end_access_tokens();
    let message = pollinator.wait_reason("it", "ReauthorizationRequired");
    assert!(message.contains("no refresh token"), "{message}");
    assert_eq!(scene.oauth.asked(), 1);
}
