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

/// Makes the request to the token endpoint. No redirect is followed: it would carry what is secret to somebody else.
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
    let place = if matches!(asked, TokenRequest::RefreshToken(_)) { plan.client_for_refresh } else { plan.client_for_code };
    match (client.proof, place) {
        (Proof::Assertion(assertion), _) => {
            form.append_pair("client_id", client.id);
            form.append_pair("client_assertion_type", ASSERTION_TYPE).append_pair("client_assertion", assertion);
        }
        (Proof::None, _) | (Proof::Secret(_), ClientPlace::None) => {
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
