//! The same against a server that this project did not write: oidc-provider, whose own log is the oracle.

use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::wait_refresh;
use crate::rig::canary;
use crate::rig::manifest::{self, Instance};
use crate::rig::oidc::{CALLBACK, OAuthServer};
use crate::rig::person::Person;
use crate::rig::pollinator::{Pollinator, Site};
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;
use crate::rig::scene::ids;
use crate::rig::{assert_perfect, settle};

const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-1";

/// A person signs in and agrees; the Secret then holds the code, and what belongs to it.
fn secret_with_code(server: &OAuthServer, name: &str, client: &str) -> String {
    let redirect = format!("http://127.0.0.1:9{CALLBACK}");
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let parameters = [
        ("client_id", client),
        ("response_type", "code"),
        ("scope", "openid offline_access read"),
        ("prompt", "consent"),
        ("redirect_uri", &redirect),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let query = crate::rig::oidc::form(&parameters);
    let page = Person::new().consent(&server.url(&format!("/auth?{query}")));
    let code = page.query("code").unwrap_or_else(|| panic!("no code at {}: {}", page.url, page.body()));
    let client_secret = [("client_secret", canary::CLIENT_SECRET)];
    let own = [("client_id", client), ("code", &code), ("redirect_uri", &redirect), ("code_verifier", VERIFIER)];
    let secret = if client == "user-public" { &[][..] } else { &client_secret };
    manifest::secret(name, &[&own, secret].concat())
}

fn instance(server: &OAuthServer, name: &str, provider: &Provider, receiver: &Receiver, client: &str) -> String {
    let method = match client {
        "user-body" => "Body",
        "user-public" => "None",
        _ => "Basic",
    };
    let auth = format!(
        "oauth2: {{grant: AuthorizationCode, tokenUrl: \"{}\", authorizationUrl: \"{}\", secretRef: {{name: {name}}}, \
         clientAuthentication: {{code: {method}}}}}",
        server.url("/token"),
        server.url("/auth")
    );
    Instance { auth, ..Instance::new(name, &provider.url(), &receiver.url(name)) }.yaml()
}

#[test]
fn client_credentials_in_both_ways() {
    let Some(server) = OAuthServer::start() else { return };
    let (provider, receiver) = (Provider::start().taking(server.takes()), Receiver::start());
    let mut documents = Vec::new();
    for (name, method) in [("machine-basic", "Basic"), ("machine-body", "Body")] {
        let auth = format!(
            "oauth2: {{grant: ClientCredentials, tokenUrl: \"{}\", scopes: [read], secretRef: {{name: {name}}}, \
             clientAuthentication: {{code: {method}}}}}",
            server.url("/token")
        );
        documents.push(Instance { auth, ..Instance::new(name, &provider.url(), &receiver.url(name)) }.yaml());
        documents.push(manifest::secret(name, &[("client_id", name), ("client_secret", canary::CLIENT_SECRET)]));
    }
    let site = Site::new(&documents);
    let pollinator = site.start_tracing();
    for name in ["machine-basic", "machine-body"] {
        pollinator.wait_ready(name);
    }
    provider.create_all(ids("a", 5));
    server.wait_issued("client_credentials", 6);
    for name in ["machine-basic", "machine-body"] {
        assert_perfect(&settle(&receiver, name, || provider.truth(), provider::version), &pollinator, name);
    }
}

/// Codes with PKCE, three ways to prove who one is, access tokens of five seconds, two hundred refreshes, restarts and kills between
/// them: nothing is lost, and the server never sees a spent token again.
#[test]
fn two_hundred_refreshes_and_restarts_reuse_nothing() {
    const CLIENTS: [&str; 3] = ["user-basic", "user-body", "user-public"];
    const INSTANCES: usize = 18;
    let Some(server) = OAuthServer::start() else { return };
    let receiver = Receiver::start();
    let names: Vec<_> = (0..INSTANCES).map(|index| format!("it-{index:02}")).collect();
    let providers: Vec<_> = names.iter().map(|_| Provider::start().taking(server.takes()).page_size(3)).collect();
    let mut documents = Vec::new();
    for (index, (name, provider)) in names.iter().zip(&providers).enumerate() {
        let client = CLIENTS[index % CLIENTS.len()];
        documents.push(instance(&server, name, provider, &receiver, client));
        documents.push(secret_with_code(&server, name, client));
    }
    let site = Site::new(&documents);
    let ready = |pollinator: &Pollinator| {
        for name in &names {
            pollinator.wait_ready(name);
        }
    };
    let mut pollinator = site.start_tracing();
    ready(&pollinator);
    assert_eq!(server.issued("authorization_code"), INSTANCES);
    for round in 1..=6 {
        for provider in &providers {
            provider.create_all(ids(&format!("n{round}"), 4));
        }
        server.wait_issued("refresh_token", round * 34);
        if round == 3 {
            assert!(pollinator.sigterm().success());
            pollinator = site.start_tracing();
            ready(&pollinator);
        }
    }
    for (name, provider) in names.iter().zip(&providers) {
        assert_perfect(&settle(&receiver, name, || provider.truth(), provider::version), &pollinator, name);
    }
    assert!(server.issued("refresh_token") >= 200, "{}", server.issued("refresh_token"));
    assert!(server.reuses().is_empty(), "{:#?}", server.reuses());
    let refused = server.told().into_iter().filter(|told| told.event == "refused");
    let refused: Vec<_> = refused.map(|told| (told.client, told.grant, told.error, told.detail)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let tokens = server.tokens();
    assert!(tokens.len() > 400 && tokens.iter().all(|token| !pollinator.stderr().contains(token.as_str())));
}

/// Killed at any moment: what was lost needs a person, and nothing else does; a spent token never comes again.
#[test]
fn kills_never_make_a_spent_token_come_again() {
    let Some(server) = OAuthServer::start() else { return };
    let (provider, receiver) = (Provider::start().taking(server.takes()), Receiver::start());
    let site = Site::new(&[instance(&server, "it", &provider, &receiver, "user-basic")]);
    let consent = || manifest::write(&site.manifests(), "oauth.yaml", &[secret_with_code(&server, "it", "user-basic")]);
    consent();
    let mut pollinator = site.start_tracing();
    pollinator.wait_ready("it");
    let wait_refreshed = |pollinator: &Pollinator| {
        let refreshed = server.issued("refresh_token") + 1;
        wait_refresh(pollinator, |limit| server.try_wait_issued("refresh_token", refreshed, limit), consent);
    };
    for kill in 0..8 {
        provider.create_all(ids(&format!("k{kill}"), 2));
        wait_refreshed(&pollinator);
        // from the very moment of the answer to some milliseconds later
        thread::park_timeout(Duration::from_millis(kill));
        pollinator.kill9();
        pollinator = site.start_tracing();
        pollinator.wait_for("it", "an end of the first poll", |row| row.ready != "Unknown");
    }
    wait_refreshed(&pollinator);
    let verdict = settle(&receiver, "it", || provider.truth(), provider::version);
    assert!(verdict.is_sound() && verdict.missing.is_empty(), "{verdict}\n{}", pollinator.report("it"));
    assert!(server.reuses().is_empty(), "{:#?}", server.reuses());
}
