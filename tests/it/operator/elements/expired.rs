//! Tokens whose time is over, and requests without any.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use pollinator::auth::jwt::{Claims, sign_assertion};
use serde_json::{Map, Value};

use super::{Api, role, start};
use crate::rig::client::exchange;
use crate::rig::control_plane::shared_with_controllers;
use crate::rig::operator::Cluster;

/// A token of a `ServiceAccount`, issued at another time for two minutes.
fn issued_at(genuine: &str, key_pem: &[u8], at: DateTime<Utc>) -> String {
    let part = |index: usize| -> Value {
        let part = genuine.split('.').nth(index).expect("three parts");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("Base64")).expect("JSON")
    };
    let (header, claims) = (part(0), part(1));
    let mut extra = Map::new();
    extra.insert("kubernetes.io".to_owned(), claims["kubernetes.io"].clone());
    extra.insert("nbf".to_owned(), at.timestamp().into());
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let claims = Claims {
        issuer: &text(&claims["iss"]),
        subject: &text(&claims["sub"]),
        audience: &text(&claims["aud"][0]),
        issued_at: at,
        lifetime: Duration::from_mins(2),
        id: &text(&claims["jti"]),
        extra: &extra,
    };
    sign_assertion(key_pem, &claims, header["kid"].as_str()).expect("a signature")
}

#[test]
fn an_expired_token_and_none_at_all_are_refused() {
    let Some(plane) = shared_with_controllers() else { return };
    let cluster = Cluster::new(plane, "api-expired");
    let ns = &cluster.ns;
    let genuine = ns.token("caller");
    ns.apply(&role(ns, "caller"));
    let operator = start(&cluster);
    let token = |at| issued_at(&genuine, &plane.accounts_key(), at);
    let ask = |token: String| Api::of(&operator, token).ask_in(ns.name(), "GET", "/instances", None);
    let valid = ask(token(Utc::now() - TimeDelta::seconds(5)));
    assert_eq!(valid.status, 200, "the same token while it is valid: {}", valid.body);
    let expired = ask(token(Utc::now() - TimeDelta::hours(1)));
    assert_eq!((expired.status, expired.headers["www-authenticate"].as_bytes()), (401, &b"User"[..]), "{}", expired.body);
    let api = Api::of(&operator, genuine.clone());
    for (method, path) in [("GET", "/instances"), ("POST", "/instances"), ("GET", "/elements"), ("DELETE", "/instances/1")] {
        let none = exchange(method, &format!("{}{path}", api.base), &[], None).expect("an answer");
        assert_eq!(
            (none.status, none.headers["www-authenticate"].as_bytes()),
            (401, &b"User"[..]),
            "{method} {path}: {}",
            none.body
        );
    }
}
