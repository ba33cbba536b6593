//! What is signed for the token endpoint: assertions of RFC 7523. Pure.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::material::Material;
use crate::api::auth::{ClientPlace, Grant};
use crate::api::conditions::{Problem, Reason};
use crate::auth::jwt::{Claims, JwtProblem, sign_assertion};
use crate::plan::Oauth2Plan;

/// Assertions for one request. Has no `Debug`, since anyone who has them can use them.
#[derive(Default)]
pub struct Assertions {
    /// Instead of a consent (§2.1).
    pub grant: Option<String>,
    /// That it is the client that asks (§2.2).
    pub client: Option<String>,
}

/// Signs what a request needs. `place`: how the client proves itself this time; `ids`: never the same twice.
///
/// # Errors
/// `SecretInvalid`: the key cannot be used.
pub fn sign(
    plan: &Oauth2Plan,
    material: &Material,
    place: ClientPlace,
    ids: [&str; 2],
    now: DateTime<Utc>,
) -> Result<Assertions, Problem> {
    let Some(key) = &material.private_key else { return Ok(Assertions::default()) };
    let client = material.client_id.as_str();
    let signed = |issuer: &str, subject: &str, extra: &Map<String, Value>, id: &str| {
        let audience = plan.jwt.audience.as_deref().unwrap_or(plan.token_url.as_str());
        let claims = Claims { issuer, subject, audience, issued_at: now, lifetime: plan.jwt.lifetime, id, extra };
        sign_assertion(key.as_bytes(), &claims, material.key_id.as_deref()).map_err(|problem| told(plan, problem))
    };
    let grant = if plan.grant == Grant::JwtBearer {
        let mut extra = Map::new();
        // Some servers read the scopes there and nowhere else.
        if !plan.scopes.is_empty() {
            extra.insert("scope".to_owned(), plan.scopes.join(" ").into());
        }
        let (issuer, subject) = (plan.jwt.issuer.as_deref(), plan.jwt.subject.as_deref());
        Some(signed(issuer.unwrap_or(client), subject.unwrap_or(client), &extra, ids[0])?)
    } else {
        None
    };
    let client = if place == ClientPlace::PrivateKeyJwt { Some(signed(client, client, &Map::new(), ids[1])?) } else { None };
    Ok(Assertions { grant, client })
}

fn told(plan: &Oauth2Plan, problem: JwtProblem) -> Problem {
    let (field, secret) = (plan.field, &plan.secret);
    match problem {
        JwtProblem::Lifetime => {
            Problem::human(Reason::InvalidSpec, format!("{field}.jwt.lifetime must be between 1s and 5m; correct it"))
        }
        JwtProblem::Signing => Problem::transient(Reason::InternalError, format!("{field}: {problem}; retrying")),
        JwtProblem::NotPem | JwtProblem::Encrypted | JwtProblem::UnsupportedKey => Problem::human(
            Reason::SecretInvalid,
            format!(
                "{field}.secretRef: key private_key of Secret {secret} {problem}; store the key that the provider knows, without a password"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    const KEY: &str = include_str!("../../../tests/data/keys/rfc7515-a3-ec-sec1.pem");

    fn material(key: &str) -> Material {
        Material {
            client_id: "client".into(),
            client_secret: None,
            private_key: Some(key.into()),
            key_id: Some("k1".into()),
            source: Err(Problem::human(Reason::InternalError, "none")),
            identity: None,
        }
    }

    fn claims(assertion: Option<String>) -> Option<Value> {
        let assertion = assertion?;
        let part = assertion.split('.').nth(1)?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    }

    #[test]
    fn each_assertion_says_what_it_is_for() {
        let now = "2026-01-31T10:00:00Z".parse().unwrap();
        let plan = Oauth2Plan { grant: Grant::JwtBearer, scopes: vec!["a".into(), "b".into()], ..sample::oauth2() };
        let signed = sign(&plan, &material(KEY), ClientPlace::PrivateKeyJwt, ["g", "c"], now).unwrap();
        let common = json!({"iss": "client", "sub": "client", "aud": plan.token_url.as_str(), "iat": 1_769_853_600, "exp": 1_769_853_660});
        let with = |more: Value| {
            let mut all = common.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Some(all)
        };
        assert_eq!(claims(signed.grant), with(json!({"jti": "g", "scope": "a b"})));
        assert_eq!(claims(signed.client), with(json!({"jti": "c"})));

        let mut plan = Oauth2Plan { grant: Grant::JwtBearer, ..sample::oauth2() };
        (plan.jwt.issuer, plan.jwt.subject, plan.jwt.audience) =
            (Some("i".into()), Some("s".into()), Some("https://aud".into()));
        let signed = sign(&plan, &material(KEY), ClientPlace::None, ["g", "c"], now).unwrap();
        assert!(signed.client.is_none());
        let told = claims(signed.grant).unwrap();
        assert_eq!((&told["iss"], &told["sub"], &told["aud"]), (&json!("i"), &json!("s"), &json!("https://aud")));

        let plan = Oauth2Plan { grant: Grant::ClientCredentials, ..sample::oauth2() };
        let signed = sign(&plan, &material(KEY), ClientPlace::PrivateKeyJwt, ["g", "c"], now).unwrap();
        assert!(signed.grant.is_none() && signed.client.is_some());
    }

    #[test]
    fn a_key_that_cannot_be_used_is_named_not_shown() {
        let plan = Oauth2Plan { grant: Grant::JwtBearer, ..sample::oauth2() };
        let problem = sign(&plan, &material("canary"), ClientPlace::None, ["g", "c"], Utc::now()).err().unwrap();
        assert_eq!(problem.reason, Reason::SecretInvalid);
        assert!(problem.message.contains("private_key of Secret") && !problem.message.contains("canary"), "{problem}");
    }
}
