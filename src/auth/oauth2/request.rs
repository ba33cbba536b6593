//! How a token request looks (RFC 6749 §4.1.3, §4.4.2, §6; RFC 7523 §2). Pure.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::api::auth::ClientPlace;
use crate::egress::{Limits, Overflow, Redirects, Request};
use crate::plan::Oauth2Plan;

/// Bounds of a token request. No answer is large.
pub const LIMITS: Limits =
    Limits { body: 64 * 1024, overflow: Overflow::Refuse, first_byte: Duration::from_secs(20), total: Duration::from_secs(30) };

/// Value of `client_assertion_type` for a signed assertion (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Who asks. Has no `Debug`, since it holds a secret.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// `client_id`.
    pub id: &'a str,
    /// How it proves that it is the client.
    pub proof: Proof<'a>,
}

/// How a client proves that it is the one.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// `client_secret`, sent where the plan says.
    Secret(&'a str),
    /// Not at all: a public client.
    None,
    /// A signed assertion (RFC 7523 §2.2).
    Assertion(&'a str),
}

impl<'a> Proof<'a> {
    /// The best that there is.
    pub fn of(assertion: Option<&'a str>, secret: Option<&'a str>) -> Self {
        match (assertion, secret) {
            (Some(assertion), _) => Self::Assertion(assertion),
            (None, Some(secret)) => Self::Secret(secret),
            (None, None) => Self::None,
        }
    }
}

/// What is asked for. Has no `Debug`, since it holds tokens and codes.
#[derive(Clone, Copy)]
pub enum TokenRequest<'a> {
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 6749 §6.
    RefreshToken(&'a str),
    /// RFC 6749 §4.1.3.
    AuthorizationCode {
        /// The code.
        code: &'a str,
        /// Where the code was sent, if that was part of the authorization request.
        redirect_uri: Option<&'a str>,
        /// The secret behind the challenge of the authorization request (RFC 7636 §4.5).
        code_verifier: Option<&'a str>,
    },
    /// RFC 7523 §2.1: a signed assertion instead of a consent.
    JwtBearer {
        /// The assertion.
        assertion: &'a str,
    },
}

/// How the client proves itself in such a request.
pub fn place(plan: &Oauth2Plan, is_refresh: bool) -> ClientPlace {
    if is_refresh { plan.client_for_refresh } else { plan.client_for_code }
}

/// Makes the request to the token endpoint. No redirect is followed: it would send secrets to another host.
pub fn build(plan: &Oauth2Plan, client: Client<'_>, asked: TokenRequest<'_>) -> Request {
    let mut form = Serializer::new(String::new());
    let mut with_scopes = false;
    match asked {
        TokenRequest::ClientCredentials => {
            form.append_pair("grant_type", "client_credentials");
            with_scopes = true;
        }
        // Without scope the new token has those of the consent (RFC 6749 §6).
        TokenRequest::RefreshToken(token) => {
            form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", token);
        }
        TokenRequest::AuthorizationCode { code, redirect_uri, code_verifier } => {
            form.append_pair("grant_type", "authorization_code").append_pair("code", code);
            for (name, value) in [("redirect_uri", redirect_uri), ("code_verifier", code_verifier)] {
                if let Some(value) = value {
                    form.append_pair(name, value);
                }
            }
        }
        TokenRequest::JwtBearer { assertion } => {
            form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer").append_pair("assertion", assertion);
            with_scopes = true;
        }
    }
    if with_scopes && !plan.scopes.is_empty() {
        form.append_pair("scope", &plan.scopes.join(" "));
    }
    if let Some(audience) = &plan.audience {
        form.append_pair("audience", audience);
    }
    form.extend_pairs(&plan.extra_parameters);
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let place = place(plan, matches!(asked, TokenRequest::RefreshToken(_)));
    match (client.proof, place) {
        (Proof::Assertion(assertion), _) => {
            form.append_pair("client_id", client.id);
            form.append_pair("client_assertion_type", ASSERTION_TYPE).append_pair("client_assertion", assertion);
        }
        (Proof::None, _) | (Proof::Secret(_), ClientPlace::None | ClientPlace::PrivateKeyJwt) => {
            form.append_pair("client_id", client.id);
        }
        (Proof::Secret(secret), ClientPlace::Body) => {
            form.append_pair("client_id", client.id).append_pair("client_secret", secret);
        }
        // One way of proving it is enough, and more than one is forbidden (RFC 6749 §2.3).
        (Proof::Secret(secret), place @ (ClientPlace::Basic | ClientPlace::BasicRaw)) => {
            headers.insert(AUTHORIZATION, basic(client.id, secret, place == ClientPlace::Basic));
        }
    }
    Request {
        method: Method::POST,
        url: plan.token_url.clone(),
        headers,
        body: Some(Bytes::from(form.finish())),
        credentials: Vec::new(),
        redirects: Redirects::Never,
        limits: LIMITS,
    }
}

/// RFC 6749 §2.3.1: both form-encoded before they are joined; many servers do without.
fn basic(id: &str, secret: &str, encoded: bool) -> HeaderValue {
    let encode = |text: &str| -> String { if encoded { byte_serialize(text.as_bytes()).collect() } else { text.to_owned() } };
    let value = format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))));
    // Base64 is visible ASCII.
    let mut value = HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample::oauth2;

    const CLIENT: Client<'_> = Client { id: "id:1", proof: Proof::Secret("s %&ä") };

    fn body(request: &Request) -> String {
        String::from_utf8(request.body.clone().expect("a body").to_vec()).expect("text")
    }

    fn authorization(request: &Request) -> Option<String> {
        let value = request.headers.get(AUTHORIZATION)?;
        assert!(value.is_sensitive());
        let encoded = value.to_str().ok()?.strip_prefix("Basic ")?;
        String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
    }

    #[test]
    fn each_grant_has_its_parameters() {
        let plan = Oauth2Plan {
            scopes: vec!["read".into(), "write".into()],
            audience: Some("https://api.example.com/".into()),
            extra_parameters: [("resource".to_owned(), "a b".to_owned())].into(),
            ..oauth2()
        };
        let rest = "&audience=https%3A%2F%2Fapi.example.com%2F&resource=a+b";
        for (asked, expected) in [
            (TokenRequest::ClientCredentials, "grant_type=client_credentials&scope=read+write"),
            (TokenRequest::RefreshToken("r+/="), "grant_type=refresh_token&refresh_token=r%2B%2F%3D"),
            (
                TokenRequest::AuthorizationCode { code: "c/4", redirect_uri: None, code_verifier: None },
                "grant_type=authorization_code&code=c%2F4",
            ),
            (
                TokenRequest::AuthorizationCode { code: "c", redirect_uri: Some("https://x/cb"), code_verifier: Some("v~") },
                "grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fx%2Fcb&code_verifier=v%7E",
            ),
            (
                TokenRequest::JwtBearer { assertion: "a.b.c" },
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c&scope=read+write",
            ),
        ] {
            let request = build(&plan, CLIENT, asked);
            assert_eq!(body(&request), format!("{expected}{rest}"));
            assert_eq!((request.method.as_str(), request.redirects), ("POST", Redirects::Never));
            assert_eq!(request.headers[CONTENT_TYPE], "application/x-www-form-urlencoded");
            assert_eq!(request.headers[ACCEPT], "application/json");
        }
    }

    /// RFC 6749 §2.3.1, and what servers made of it.
    #[test]
    fn the_client_proves_itself_once_and_where_the_plan_says() {
        let place = |place| Oauth2Plan { client_for_code: place, client_for_refresh: ClientPlace::Body, ..oauth2() };
        let asked = TokenRequest::ClientCredentials;
        for (place_of, header, form) in [
            (ClientPlace::Basic, Some("id%3A1:s+%25%26%C3%A4"), ""),
            (ClientPlace::BasicRaw, Some("id:1:s %&ä"), ""),
            (ClientPlace::Body, None, "&client_id=id%3A1&client_secret=s+%25%26%C3%A4"),
            (ClientPlace::None, None, "&client_id=id%3A1"),
        ] {
            let request = build(&place(place_of), CLIENT, asked);
            assert_eq!(authorization(&request).as_deref(), header, "{place_of:?}");
            assert_eq!(body(&request), format!("grant_type=client_credentials{form}"));
            let request = build(&place(place_of), CLIENT, TokenRequest::RefreshToken("r"));
            assert!(authorization(&request).is_none() && body(&request).contains("client_secret"));
            let public = Client { proof: Proof::None, ..CLIENT };
            assert_eq!(body(&build(&place(place_of), public, asked)), "grant_type=client_credentials&client_id=id%3A1");
            let asserted = Client { proof: Proof::Assertion("j.w.t"), ..CLIENT };
            let request = build(&place(place_of), asserted, asked);
            assert!(authorization(&request).is_none());
            assert_eq!(
                body(&request),
                "grant_type=client_credentials&client_id=id%3A1&client_assertion_type=\
                 urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=j.w.t"
            );
        }
    }

    #[test]
    fn debug_shows_nothing_secret() {
        let plan = Oauth2Plan { client_for_refresh: ClientPlace::Body, ..oauth2() };
        let client = Client { id: "id", proof: Proof::Secret("c4n4ry") };
        let shown = format!("{:?}", build(&plan, client, TokenRequest::RefreshToken("c4n4ry")));
        assert!(!shown.contains("c4n4ry"), "{shown}");
    }
}
