//! `Connector`: what is the same for every account at one provider.
#![allow(clippy::doc_markdown, reason = "the docs of fields are read in kubectl explain, where backticks are noise")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::{ClientAuthentication, Grant, Jwt, Place, Refresh, TokenResponse, header_name};
use super::error_rule::ErrorRule;
use super::instance::Polling;
use super::limits::ProviderLimits;
use super::resource::{Empty, Pagination, Resource, no_credentials};
use super::shape::{conditions, short_map, template_map};

/// What is the same for every account at one provider.
#[allow(clippy::duplicated_attributes)] // printcolumn(..) repeats keys by design
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "pollinator.dev",
    version = "v1alpha1",
    kind = "Connector",
    namespaced,
    status = "ConnectorStatus",
    derive = "PartialEq",
    category = "pollinator",
    shortname = "con",
    doc = "Connector holds what is the same for every account at one provider.",
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.title"),
    printcolumn(name = "Base URL", type_ = "string", json_path = ".spec.baseUrl"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type==\"Accepted\")].status"),
    printcolumn(name = "Instances", type_ = "integer", json_path = ".status.instances"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorSpec {
    /// Name for people. Default: the connector's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub title: Option<String>,
    /// Pages of the provider that describe its API. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 512), regex(pattern = "^https://[^\\s]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub documentation: Vec<String>,
    /// What the facts in this connector were taken from, one source an item, with its version. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub sources: Vec<String>,
    /// When and by what the facts in this connector were checked. Default: they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// Where the provider's API starts; {placeholders} are filled from the instance's parameters. Default: the instance must give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://[^\\s?#]+$"))]
    pub base_url: Option<String>,
    /// The parameters that an instance must or may give. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub parameters: Vec<Parameter>,
    /// Headers of every request; values may contain {placeholders} and macros. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "template_map")]
    #[x_kube(validation = no_credentials())]
    pub headers: BTreeMap<String, String>,
    /// How requests are authenticated: exactly one of apiKey, basic, bearer, oauth2; the instance adds the secretRef. Default: the instance says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<ConnectorAuth>,
    /// A small request that shows whether the provider accepts the credentials, before anything is polled. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// When polling happens unless the instance says otherwise. Default: every 15m, from Now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polling: Option<Polling>,
    /// How further pages are requested by every resource that does not set it: exactly one of none, linkHeader, nextLink, token, lastId, keyset, offset, page. Default: found out from the first response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
    /// What responses to any resource mean that their status does not say. The first rule that matches decides, after those of the resource. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub error_rules: Vec<ErrorRule>,
    /// How many requests the provider allows. All instances of the process that share a credential, or an OAuth 2.0 client, share these limits. Default: not known; only what its responses say counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ProviderLimits>,
    /// The list endpoints that instances can poll by name. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub resources: Vec<ConnectorResource>,
}

impl ConnectorSpec {
    /// The parameters that a text asks for which is used when these resources are polled, and those for which `has_value` holds; the
    /// others need no value. `polled` are the connector's resources under an instance's own.
    pub fn parameters_for(&self, polled: &[Resource], has_value: impl Fn(&Parameter) -> bool) -> Cow<'_, [Parameter]> {
        if self.parameters.iter().all(&has_value) {
            return Cow::Borrowed(&self.parameters);
        }
        // Kinds can be written as JSON; if one could not, every parameter would be asked for.
        let Ok(texts) = serde_json::to_string(&(&self.base_url, &self.auth, &self.headers, &self.probe, polled)) else {
            return Cow::Borrowed(&self.parameters);
        };
        let is_needed = |parameter: &&Parameter| has_value(parameter) || texts.contains(&format!("{{{}}}", parameter.name));
        Cow::Owned(self.parameters.iter().filter(is_needed).cloned().collect())
    }
}

/// What the operator found in a connector, and who uses it.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorStatus {
    /// What holds at the moment: Accepted says whether instances can use the connector.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The generation that was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many instances of the namespace name the connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<i64>,
}

/// When and by what facts were checked.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Day of the check, for example 2026-11-29.
    #[schemars(length(max = 10), regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub date: String,
    /// What they were checked against: Description (what the provider published, by a test) or Recording (exchanges with the live API).
    pub by: Evidence,
}

/// What facts were checked against.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[schemars(description = "")]
pub enum Evidence {
    /// What the provider published.
    Description,
    /// Exchanges with the live API.
    Recording,
}

/// A GET request that changes nothing and answers small, such as the one for the account itself.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// A path under baseUrl; may contain {placeholders}, and no macro.
    #[schemars(length(max = 2048), regex(pattern = "^/[^\\s#]*$"))]
    pub url: String,
    /// Query parameters; values may contain {placeholders}, and no macro. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "short_map")]
    pub query: BTreeMap<String, String>,
}

/// A placeholder in the connector's templates.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Name of the placeholder, written {name} in templates.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z][A-Za-z0-9_-]*$"))]
    pub name: String,
    /// What to put there. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Value when the instance gives none. Default: none, and the instance must give one.
    #[serde(rename = "default", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub default_value: Option<String>,
    /// Regular expression (RE2) that the whole value must match. Default: any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub pattern: Option<String>,
    /// The allowed values. Default: any value.
    #[serde(rename = "enum", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub one_of: Vec<String>,
}

/// A list endpoint together with the hub paths of SAP Open Connectors that it stands for.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorResource {
    /// The paths by which SAP Open Connectors knows this list, for example /hubs/crm/contacts: a url that starts with one of them is answered by this resource. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub hub_paths: Vec<String>,
    /// The most records that the provider gives per page, 1 to 10000: a larger pageSize is refused. Default: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_page_size: Option<i32>,
    /// The list endpoint.
    #[serde(flatten)]
    pub resource: Resource,
}

/// Exactly one member.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::large_enum_variant, reason = "one a manifest, which lives while it is planned")]
pub enum ConnectorAuth {
    /// A key in a header or a query parameter.
    ApiKey(ConnectorApiKey),
    /// HTTP Basic (RFC 7617).
    Basic(Empty),
    /// A fixed bearer token (RFC 6750).
    Bearer(Empty),
    /// OAuth 2.0 (RFC 6749).
    Oauth2(Box<ConnectorOauth2>),
}

/// An API key without its secret.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = header_name())]
pub struct ConnectorApiKey {
    /// Where the key goes: Header or Query. Default: Header.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Name of the header or of the query parameter.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Text in front of the key. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub prefix: Option<String>,
}

/// OAuth 2.0 without its secrets.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorOauth2 {
    /// How tokens are obtained: ClientCredentials, RefreshToken or AuthorizationCode.
    pub grant: Grant,
    /// Token endpoint; may contain {placeholders}.
    #[schemars(length(max = 2048), regex(pattern = "^https?://[^\\s#]+$"))]
    pub token_url: String,
    /// URL at which a person gives consent; may contain {placeholders}. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^https?://[^\\s#]+$"))]
    pub authorization_url: Option<String>,
    /// The issuer that a consent response must name if it names one (RFC 9207). Default: any issuer of the origin of authorizationUrl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub issuer: Option<String>,
    /// Scopes to request when the instance names none. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,
    /// Audience to request; may contain {placeholders}. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub audience: Option<String>,
    /// Further parameters of the token request; values may contain {placeholders}. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "short_map")]
    pub extra_parameters: BTreeMap<String, String>,
    /// How client id and secret are sent to the token endpoint. Default: Basic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authentication: Option<ClientAuthentication>,
    /// What signed assertions say. Default: the client is issuer and subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// Paths of the fields of the token endpoint's response. Default: as in RFC 6749.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_response: Option<TokenResponse>,
    /// How refresh tokens behave. Default: it is observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
}
