//! Signed assertions (RFC 7523): as the proof of a client, at a real OAuth 2.0 server, and as a grant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::rig::http::{Answer, Ask, Server};
use crate::rig::log::Log;
use crate::rig::manifest::{self, Instance};
use crate::rig::oidc::OAuthServer;
use crate::rig::pollinator::Site;
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

const RSA: &str = include_str!("../data/keys/rfc7515-a2-rsa-pkcs1.pem");
const EC: &str = include_str!("../data/keys/rfc7515-a3-ec-sec1.pem");
const ED25519: &str = include_str!("../data/keys/rfc8037-a1-ed25519-pkcs8.pem");

/// The public halves, from the RFCs.
const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const RSA_N: &str = concat!(
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEw",
    "OWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5Zw",
    "Kh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
);

fn secret(name: &str, client: &str, key: &str, key_id: &str) -> String {
    manifest::secret(name, &[("client_id", client), ("private_key", key), ("key_id", key_id)])
}

#[test]
fn a_real_server_takes_the_signature_of_every_kind_of_key_and_no_other() {
    let keys = json!({"keys": [
        {"kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "n": RSA_N, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "kid": "e", "alg": "ES256", "use": "sig", "x": EC_X, "y": EC_Y},
        {"kty": "OKP", "crv": "Ed25519", "kid": "o", "alg": "EdDSA", "use": "sig", "x": ED25519_X},
    ]});
    let Some(oauth) = OAuthServer::start_with(&[("CLIENT_JWKS", &keys.to_string())]) else { return };
    let provider = Provider::start().taking(oauth.takes());
    let receiver = Receiver::start();
    let stranger = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
    let clients = [
        ("rsa", "machine-RS256", RSA, "r"),
        ("ec", "machine-ES256", EC, "e"),
        ("ed", "machine-EdDSA", ED25519, "o"),
        ("stranger", "machine-ES256", stranger.as_str(), "e"),
    ];
    let mut documents = Vec::new();
    for (name, client, key, key_id) in clients {
        let auth = format!(
            "oauth2: {{grant: ClientCredentials, tokenUrl: \"{}\", scopes: [read], clientAuthentication: {{code: PrivateKeyJwt}}, secretRef: {{name: {name}}}}}",
            oauth.url("/token")
        );
        documents.push(Instance { auth, ..Instance::new(name, &provider.url(), &receiver.url(name)) }.yaml());
        documents.push(secret(name, client, key, key_id));
    }
    let site = Site::new(&documents);
    let mut pollinator = site.start_tracing();
    for (name, ..) in &clients[..3] {
        pollinator.wait_ready(name);
    }
    assert!(pollinator.wait_reason("stranger", "InvalidClient").contains("Secret stranger"));
    // every token needs a new assertion, and none is taken twice
    oauth.wait_issued("client_credentials", 6);
    assert!(pollinator.sigterm().success());
    for (_, _, key, _) in clients {
        let line = key.lines().nth(1).unwrap();
        assert!(!pollinator.stdout().contains(line) && !pollinator.stderr().contains(line));
    }
}

/// The claims of an assertion, if its signature holds.
fn verified(assertion: &str) -> Option<Value> {
    let (input, signature) = assertion.rsplit_once('.')?;
    let point = [vec![4], URL_SAFE_NO_PAD.decode(EC_X).ok()?, URL_SAFE_NO_PAD.decode(EC_Y).ok()?].concat();
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(input.as_bytes(), &signature).ok()?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(input.split('.').nth(1)?).ok()?).ok()
}

fn parameter(ask: &Ask, name: &str) -> Option<String> {
    url::form_urlencoded::parse(&ask.body).find(|(have, _)| have == name).map(|(_, value)| value.into_owned())
}

#[test]
fn an_assertion_is_a_grant() {
    // as a server of RFC 7523 that issues a token of five seconds for each assertion that it has not seen
    let taken: Log<Value> = Log::default();
    let log = taken.clone();
    let endpoint = Server::start(move |ask| {
        let refused = || Answer::json(r#"{"error":"invalid_grant"}"#).with_status(400);
        let grant = parameter(ask, "grant_type");
        if grant.as_deref() != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
            return refused();
        }
        let Some(claims) = parameter(ask, "assertion").as_deref().and_then(verified) else { return refused() };
        let now = chrono::Utc::now().timestamp();
        let holds = claims["exp"].as_i64().is_some_and(|end| end > now && end <= now + 300);
        if !holds || log.all().iter().any(|seen: &Value| seen["jti"] == claims["jti"]) {
            return refused();
        }
        let count = log.push(claims);
        Answer::json(json!({"access_token": format!("token-{count}"), "token_type": "Bearer", "expires_in": 5}).to_string())
    });
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let issued = taken.clone();
    let provider = provider.taking(move |ask| {
        let newest = issued.len().saturating_sub(1);
        ask.header("authorization") == Some(&format!("Bearer token-{newest}"))
    });
    let auth = format!(
        "oauth2: {{grant: JwtBearer, tokenUrl: \"{}/token\", scopes: [read, write], jwt: {{subject: alice@example.com, audience: \"https://login.example\"}}, secretRef: {{name: key}}}}",
        endpoint.url()
    );
    let instance = Instance { auth, ..Instance::new("it", &provider.url(), &receiver.url("it")) };
    let site = Site::new(&[instance.yaml(), secret("key", "service@example.com", EC, "k1")]);
    let pollinator = site.start_tracing();
    pollinator.wait_ready("it");
    provider.create("one");
    let verdict = crate::rig::settle(&receiver, "it", || provider.truth(), crate::rig::provider::version);
    crate::rig::assert_perfect(&verdict, &pollinator, "it");
    taken
        .try_wait(crate::rig::PATIENCE, |taken| (taken.len() >= 2).then_some(()))
        .expect("tokens end, and new ones are asked for");
    let claims = taken.all().remove(0);
    for (name, value) in [
        ("iss", "service@example.com"),
        ("sub", "alice@example.com"),
        ("aud", "https://login.example"),
        ("scope", "read write"),
    ] {
        assert_eq!(claims[name], value, "{claims}");
    }

    manifest::write(
        &site.manifests(),
        "instances.yaml",
        &[instance.yaml(), secret("key", "service@example.com", "no key", "k1")],
    );
    let told = pollinator.wait_reason("it", "SecretInvalid");
    assert!(told.contains("private_key of Secret key"), "{told}");
}
