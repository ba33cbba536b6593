//! How requests are authenticated, as users declare it. There is no inline secret anywhere.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use kube::core::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use super::shape::short_map;

/// Exactly one member.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::large_enum_variant, reason = "one a manifest, which lives while it is planned")]
pub enum Auth {
    /// A key in a header or a query parameter.
    ApiKey(ApiKey),
    /// HTTP Basic (RFC 7617) with the Secret's keys `username` and `password`; a missing password is empty.
    Basic(Basic),
    /// `Authorization: Bearer` (RFC 6750) with a token from a Secret.
    Bearer(Bearer),
    /// OAuth 2.0 (RFC 6749) with the Secret's keys `client_id`, `client_secret`, and `refresh_token` or `code`.
    Oauth2(Box<Oauth2>),
}

/// A key in a header or a query parameter.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = header_name())]
pub struct ApiKey {
    /// Where the key goes: Header or Query. Default: the connector's, else Header.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Name of the header or of the query parameter. Default: the connector's, else X-API-Key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// Text in front of the key, for example `Token `. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub prefix: Option<String>,
    /// The Secret and its key that hold the API key.
    pub secret_ref: SecretKeyRef,
}

/// HTTP Basic.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Basic {
    /// The Secret with the keys `username` and `password`; a missing password is empty.
    pub secret_ref: SecretRef,
}

/// A fixed bearer token.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Bearer {
    /// The Secret and its key that hold the token.
    pub secret_ref: SecretKeyRef,
}

/// OAuth 2.0.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.grant) || self.grant != 'AuthorizationCode' || has(self.authorizationUrl)")
    .message("grant AuthorizationCode needs authorizationUrl").reason(Reason::FieldValueRequired).field_path(".authorizationUrl"))]
pub struct Oauth2 {
    /// How tokens are obtained: ClientCredentials, RefreshToken, AuthorizationCode or JwtBearer (RFC 7523). Default: the connector's; required without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// Token endpoint. Default: the connector's; required without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = endpoint())]
    pub token_url: Option<String>,
    /// URL at which a person gives consent; grant AuthorizationCode requires it. With the connect page it also serves to renew the consent of grant RefreshToken. Its parameters are kept, such as ?access_type=offline&prompt=consent. Default: the connector's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = endpoint())]
    pub authorization_url: Option<String>,
    /// The issuer that a consent response must name if it names one (RFC 9207). Default: the connector's, else any issuer of the origin of authorizationUrl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub issuer: Option<String>,
    /// Scopes to request. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,
    /// Audience to request; some servers require it in the token request. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub audience: Option<String>,
    /// Further parameters of the token request, not for secrets. Default: the connector's, else none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "short_map")]
    pub extra_parameters: BTreeMap<String, String>,
    /// How client id and secret are sent to the token endpoint. Default: the connector's, else Basic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authentication: Option<ClientAuthentication>,
    /// What signed assertions say, for grant JwtBearer and clientAuthentication PrivateKeyJwt. Default: the connector's, else the client is issuer and subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// Paths of the fields of the token endpoint's response. Default: the connector's, else as in RFC 6749.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_response: Option<TokenResponse>,
    /// How refresh tokens behave at this provider. Default: the connector's, else it is observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
    /// The Secret with the keys `client_id`, `client_secret`, and `refresh_token` or `code`; with a code optionally `redirect_uri` and `code_verifier`. For signed assertions `private_key` in PEM (PKCS#8, PKCS#1 or SEC1), and optionally `key_id`.
    pub secret_ref: SecretRef,
}

/// How client id and secret are sent to the token endpoint.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClientAuthentication {
    /// When a code or client credentials are exchanged: Basic (form-encoded first, RFC 6749 §2.3.1), BasicRaw (as they are), Body, None, or PrivateKeyJwt (a signed assertion, RFC 7523). Default: Basic; None for grant JwtBearer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ClientPlace>,
    /// When a token is refreshed: Basic, BasicRaw, Body, None or PrivateKeyJwt. Default: the same as code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<ClientPlace>,
}

/// What signed assertions say.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// Issuer of assertions of grant JwtBearer (iss): who signs them. Default: the client_id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub issuer: Option<String>,
    /// Subject of grant JwtBearer (sub): for whom tokens are requested, such as a user name. Default: the client_id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub subject: Option<String>,
    /// Audience of assertions (aud): the server that accepts them. Default: tokenUrl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub audience: Option<String>,
    /// How long an assertion is valid, 1s to 5m. Default: 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("1s", "5m"))]
    pub lifetime: Option<String>,
}

/// Paths of the fields of the token endpoint's response.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TokenResponse {
    /// Path to the access token. Default: access_token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub access_token: Option<String>,
    /// Path to the refresh token. Default: refresh_token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub refresh_token: Option<String>,
    /// Path to the lifetime of the access token. Default: expires_in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub expires_in: Option<String>,
    /// Unit of the lifetime: Seconds or Milliseconds from now, or UnixSeconds for a point in time. Default: Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_unit: Option<ExpiresUnit>,
}

/// How refresh tokens behave at a provider.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// Whether a refresh spends the refresh token: Never or Always. Default: observed; assumed Always until a refresh returns no new token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotates: Option<Rotates>,
    /// How long a spent refresh token is still accepted, for example 10m at Atlassian. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("0s", "24h"))]
    pub grace: Option<String>,
    /// How long the provider keeps a refresh token that is not used; Pollinator uses it before then. Default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = duration::between("1m", "99999h"))]
    pub idle_ttl: Option<String>,
}

/// What a life time counts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum ExpiresUnit {
    /// Seconds from now, as in RFC 6749.
    Seconds,
    /// Milliseconds from now.
    Milliseconds,
    /// A point in time, in seconds since 1970.
    UnixSeconds,
}

/// Whether a refresh spends the refresh token.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum Rotates {
    /// The old one stays valid.
    Never,
    /// Each is used once.
    Always,
}

/// Where an API key goes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum Place {
    /// Request header.
    Header,
    /// Query parameter.
    Query,
}

/// How tokens are obtained.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum Grant {
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 6749 §6, from a refresh token that was given before.
    RefreshToken,
    /// RFC 6749 §4.1, from a code that a person obtained.
    AuthorizationCode,
    /// RFC 7523 §2.1, from an assertion that is signed with a key of the Secret.
    JwtBearer,
}

/// Where client id and secret go.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum ClientPlace {
    /// HTTP Basic, both form-encoded first as RFC 6749 §2.3.1 asks.
    Basic,
    /// HTTP Basic with both as they are, for servers that do not decode.
    BasicRaw,
    /// Parameters of the request body.
    Body,
    /// The client id alone in the body: a public client.
    None,
    /// An assertion that is signed with a key of the Secret (RFC 7523 §2.2).
    PrivateKeyJwt,
}

/// TLS towards the provider or the callback.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.clientCertificateRef) || has(self.caBundleRef)")
    .message("name a Secret in clientCertificateRef, in caBundleRef, or in both"))]
pub struct Tls {
    /// The Secret of type kubernetes.io/tls with the client certificate (mutual TLS, RFC 8705): the keys `tls.crt` and `tls.key`, and optionally `ca.crt` with additional trusted authorities. Default: none is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretRef>,
    /// The Secret and its key that hold certificates of private authorities in PEM. This instance trusts them in addition to those that Pollinator trusts for all. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<SecretKeyRef>,
}

/// A Secret in the same namespace.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
pub struct SecretRef {
    /// Name of the Secret, in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// One key of a Secret in the same namespace.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
pub struct SecretKeyRef {
    /// Name of the Secret, in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Key in the Secret's data.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// A key in a header needs a name that can be one (RFC 9110 token). `in` is a reserved word of CEL, hence `__in__`.
pub(super) fn header_name() -> Rule {
    Rule::new(
        "(has(self.__in__) && self.__in__ == 'Query') || !has(self.name) || self.name.matches('^[A-Za-z0-9!#$%&*+.^_|~-]+$')",
    )
    .message("name is not a valid header name")
    .field_path(".name")
}

fn endpoint() -> Rule {
    Rule::new("isURL(self) && self.matches('^(?i:https?)://') && url(self).getHost() != ''")
        .message("must be an http or https URL")
}
