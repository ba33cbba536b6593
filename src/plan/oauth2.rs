//! OAuth 2.0 as it is planned: where tokens come from, and what is known of the provider's habits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use url::Url;
use xxhash_rust::xxh3::Xxh3;

use super::TlsPlan;
use super::field_path::FieldPath;
use super::placeholders::Placeholders;
use super::problems::{invalid, span};
use crate::api::auth::{ClientPlace, ExpiresUnit, Grant, Jwt, Oauth2, Refresh, Rotates, TokenResponse};
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorOauth2;

/// Parameters that a token request is made of, which `extraParameters` may not replace.
const OWN_PARAMETERS: [&str; 10] = [
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
];

/// Everything needed to ask for tokens; names a Secret, never holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oauth2Plan {
    /// The field that a message names: `spec.auth.oauth2` or `spec.callback.auth.oauth2`.
    pub field: &'static str,
    /// How tokens are obtained.
    pub grant: Grant,
    /// Token endpoint (RFC 6749 §3.2).
    pub token_url: Url,
    /// Where a person gives consent (RFC 6749 §3.1).
    pub authorization_url: Option<Url>,
    /// The issuer that an answer to a consent must name, if it names one (RFC 9207 §2.4); `None`: it must have the origin of
    /// `authorization_url`.
    pub issuer: Option<String>,
    /// Scopes to ask for, sent with one space between them (RFC 6749 §3.3).
    pub scopes: Vec<String>,
    /// Audience to ask for.
    pub audience: Option<String>,
    /// Further parameters of every token request.
    pub extra_parameters: BTreeMap<String, String>,
    /// How the client identifies itself when a code, an assertion or its own credentials are exchanged.
    pub client_for_code: ClientPlace,
    /// How it does when a token is refreshed.
    pub client_for_refresh: ClientPlace,
    /// Name of the Secret with `client_id`, `client_secret`, and `refresh_token` or `code`.
    pub secret: String,
    /// What connections to the token endpoint have of their own in TLS.
    pub tls: Option<Arc<TlsPlan>>,
    /// What signed assertions say.
    pub jwt: JwtPlan,
    /// How an answer of the token endpoint is read.
    pub response: TokenResponsePlan,
    /// How refresh tokens behave at this provider.
    pub refresh: RefreshPlan,
}

/// What signed assertions say (RFC 7523 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtPlan {
    /// `iss` of a grant; `None`: the client's id.
    pub issuer: Option<String>,
    /// `sub` of a grant; `None`: the client's id.
    pub subject: Option<String>,
    /// `aud`; `None`: the token endpoint.
    pub audience: Option<String>,
    /// From `iat` to `exp`.
    pub lifetime: Duration,
}

/// Where an answer of the token endpoint has what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenResponsePlan {
    /// Path to the access token.
    pub access_token: FieldPath,
    /// Path to the refresh token.
    pub refresh_token: FieldPath,
    /// Path to the life time.
    pub expires_in: FieldPath,
    /// What its number counts.
    pub expires_unit: ExpiresUnit,
}

/// How refresh tokens behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPlan {
    /// Whether a refresh spends the refresh token. `None`: it is observed.
    pub rotates: Option<Rotates>,
    /// This long after its first use a spent refresh token is still accepted.
    pub grace: Duration,
    /// The provider forgets a refresh token that was not used for this long.
    pub idle_ttl: Option<Duration>,
}

impl Oauth2Plan {
    /// The same for plans whose token requests are the same: the same client's tokens, asked for at the same place in the same way. What
    /// one of them was refused, another may get.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = Xxh3::new();
        let mut part = |text: &str| {
            hasher.update(text.as_bytes());
            hasher.update(b"\0");
        };
        // Which of them a chain of refresh tokens began with does not show in its requests.
        let grant = if self.keeps_tokens() { Grant::RefreshToken } else { self.grant };
        part(&format!("{grant:?} {:?} {:?}", self.client_for_code, self.client_for_refresh));
        part(&format!("{:?}", self.jwt));
        part(self.token_url.as_str());
        // Scopes are asked for at the consent, not at a refresh (RFC 6749 §6).
        part(&if self.keeps_tokens() { String::new() } else { self.scopes.join(" ") });
        part(self.audience.as_deref().unwrap_or_default());
        let tls = self.tls.as_deref();
        part(tls.and_then(|tls| tls.client_certificate.as_deref()).unwrap_or_default());
        // Nothing where there is none, as versions before that field wrote it.
        if let Some(bundle) = tls.and_then(|tls| tls.ca_bundle.as_ref()) {
            part(&format!("{} {}", bundle.name, bundle.key));
        }
        for (name, value) in &self.extra_parameters {
            part(name);
            part(value);
        }
        part(&format!("{} {}", self.response.access_token, self.response.refresh_token));
        hasher.digest()
    }

    /// The token endpoint, and where its answers have the refresh token: a chain of refresh tokens belongs to both.
    pub fn endpoint(&self) -> String {
        format!("{} {}", self.token_url, self.response.refresh_token)
    }

    /// Which access token of a chain this plan uses: the same for plans that ask for it with the same parameters.
    pub fn variant(&self) -> String {
        let mut hasher = Xxh3::new();
        let access_token = self.response.access_token.to_string();
        let extra = self.extra_parameters.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for part in [self.audience.as_deref().unwrap_or_default(), &access_token].into_iter().chain(extra) {
            hasher.update(part.as_bytes());
            hasher.update(b"\0");
        }
        format!("{:016x}", hasher.digest())
    }

    /// Whether a person can give consent for it at the connect page.
    pub fn takes_consent(&self) -> bool {
        self.keeps_tokens() && self.authorization_url.is_some()
    }

    /// Whether it begins with a person's consent, a code or a refresh token. Then tokens are kept.
    pub fn keeps_tokens(&self) -> bool {
        match self.grant {
            Grant::RefreshToken | Grant::AuthorizationCode => true,
            Grant::ClientCredentials | Grant::JwtBearer => false,
        }
    }
}

/// The instance's member laid over the connector's. `field` begins every message.
///
/// # Errors
/// Everything that a person must fix, each with field, cause and fix.
pub(super) fn plan(
    field: &'static str,
    over: &Oauth2,
    under: Option<&ConnectorOauth2>,
    placeholders: &mut Placeholders,
) -> Result<Oauth2Plan, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut keep = |problem: Problem| problems.push(problem);
    let grant = over.grant.or(under.map(|under| under.grant));
    if grant.is_none() {
        keep(invalid(format!(
            "{field}.grant is required: no connector supplies it; write ClientCredentials, RefreshToken, AuthorizationCode or JwtBearer"
        )));
    }
    let token_url = match (&over.token_url, under) {
        (Some(url), _) => url_of(field, "tokenUrl", url, None),
        (None, Some(under)) => url_of(field, "tokenUrl", &under.token_url, Some(placeholders)),
        (None, None) => {
            Err(invalid(format!("{field}.tokenUrl is required: no connector supplies it; name the token endpoint")))
        }
    };
    let authorization_url = match (&over.authorization_url, under.and_then(|under| under.authorization_url.as_ref())) {
        (Some(url), _) => url_of(field, "authorizationUrl", url, None).map(Some),
        (None, Some(url)) => url_of(field, "authorizationUrl", url, Some(placeholders)).map(Some),
        (None, None) => Ok(None),
    };
    let issuer = match (&over.issuer, under.and_then(|under| under.issuer.as_ref())) {
        (Some(issuer), _) => Ok(Some(issuer.clone())),
        (None, Some(issuer)) => placeholders.fill_all(&format!("{field}.issuer"), issuer).map(Some),
        (None, None) => Ok(None),
    };
    let audience = match (&over.audience, under.and_then(|under| under.audience.as_ref())) {
        (Some(audience), _) => Ok(Some(audience.clone())),
        (None, Some(audience)) => placeholders.fill_all(&format!("{field}.audience"), audience).map(Some),
        (None, None) => Ok(None),
    };
    let scopes =
        if over.scopes.is_empty() { under.map(|under| under.scopes.clone()).unwrap_or_default() } else { over.scopes.clone() };
    for scope in scopes.iter().filter(|scope| scope.contains(char::is_whitespace)) {
        keep(invalid(format!("{field}.scopes: {scope:?} holds white space; write one scope an entry")));
    }
    let mut extra_parameters = BTreeMap::new();
    for (name, value) in under.map(|under| &under.extra_parameters).into_iter().flatten() {
        match placeholders.fill_all(&format!("{field}.extraParameters.{name}"), value) {
            Ok(value) => drop(extra_parameters.insert(name.clone(), value)),
            Err(problem) => keep(problem),
        }
    }
    extra_parameters.extend(over.extra_parameters.clone());
    for name in extra_parameters.keys().filter(|name| OWN_PARAMETERS.contains(&name.as_str())) {
        keep(invalid(format!("{field}.extraParameters.{name} cannot be set here; it is made from the Secret and the grant")));
    }
    let response = response(field, over.token_response.as_ref(), under.and_then(|under| under.token_response.as_ref()));
    let refresh = refresh(field, over.refresh.as_ref(), under.and_then(|under| under.refresh.as_ref()));
    let place = |pick: fn(&crate::api::auth::ClientAuthentication) -> Option<ClientPlace>| {
        over.client_authentication
            .as_ref()
            .and_then(pick)
            .or(under.and_then(|u| u.client_authentication.as_ref()).and_then(pick))
    };
    let jwt = jwt(field, over.jwt.as_ref(), under.and_then(|under| under.jwt.as_ref()));
    // An assertion identifies its client: the owner of the key need not say more.
    let usual = if grant == Some(Grant::JwtBearer) { ClientPlace::None } else { ClientPlace::Basic };
    let client_for_code = place(|client| client.code).unwrap_or(usual);
    let client_for_refresh = place(|client| client.refresh).unwrap_or(client_for_code);
    match (grant, token_url, authorization_url, issuer, audience, jwt, response, refresh) {
        (Some(grant), Ok(token_url), Ok(authorization_url), Ok(issuer), Ok(audience), Ok(jwt), Ok(response), Ok(refresh))
            if problems.is_empty() =>
        {
            Ok(Oauth2Plan {
                field,
                grant,
                token_url,
                authorization_url,
                issuer,
                scopes,
                audience,
                extra_parameters,
                client_for_code,
                client_for_refresh,
                secret: over.secret_ref.name.clone(),
                tls: None,
                jwt,
                response,
                refresh,
            })
        }
        (_, token_url, authorization_url, issuer, audience, jwt, response, refresh) => {
            problems.extend(jwt.err());
            problems.extend([token_url.err(), authorization_url.err(), issuer.err(), audience.err()].into_iter().flatten());
            problems.extend(response.err().into_iter().chain(refresh.err()).flatten());
            Err(problems)
        }
    }
}

fn jwt(field: &str, over: Option<&Jwt>, under: Option<&Jwt>) -> Result<JwtPlan, Problem> {
    let pick = |pick: fn(&Jwt) -> Option<&String>| over.and_then(pick).or(under.and_then(pick));
    let lifetime = pick(|jwt| jwt.lifetime.as_ref()).map(String::as_str);
    Ok(JwtPlan {
        issuer: pick(|jwt| jwt.issuer.as_ref()).cloned(),
        subject: pick(|jwt| jwt.subject.as_ref()).cloned(),
        audience: pick(|jwt| jwt.audience.as_ref()).cloned(),
        lifetime: span(&format!("{field}.jwt.lifetime"), lifetime, Duration::from_mins(1))?,
    })
}

/// An endpoint; placeholders are the connector's alone.
fn url_of(field: &str, member: &str, text: &str, placeholders: Option<&mut Placeholders>) -> Result<Url, Problem> {
    let field = format!("{field}.{member}");
    let text = match placeholders {
        Some(placeholders) => placeholders.fill_url(&field, text)?,
        None => text.to_owned(),
    };
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url.filter(|url| url.fragment().is_none()) else {
        return Err(invalid(format!(
            "{field} must be an http or https URL without fragment, such as https://login.example.com/token"
        )));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(format!("{field} carries credentials; put them into the Secret")));
    }
    Ok(url)
}

fn response(
    field: &str,
    over: Option<&TokenResponse>,
    under: Option<&TokenResponse>,
) -> Result<TokenResponsePlan, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut path = |member: &str, pick: fn(&TokenResponse) -> Option<&String>, default: &str| {
        let text = over.and_then(pick).or(under.and_then(pick)).map_or(default, String::as_str);
        FieldPath::parse(text).map_err(|error| problems.push(invalid(format!("{field}.tokenResponse.{member} {error}")))).ok()
    };
    let access_token = path("accessToken", |response| response.access_token.as_ref(), "access_token");
    let refresh_token = path("refreshToken", |response| response.refresh_token.as_ref(), "refresh_token");
    let expires_in = path("expiresIn", |response| response.expires_in.as_ref(), "expires_in");
    let unit = over.and_then(|over| over.expires_unit).or(under.and_then(|under| under.expires_unit));
    match (access_token, refresh_token, expires_in) {
        (Some(access_token), Some(refresh_token), Some(expires_in)) => Ok(TokenResponsePlan {
            access_token,
            refresh_token,
            expires_in,
            expires_unit: unit.unwrap_or(ExpiresUnit::Seconds),
        }),
        _ => Err(problems),
    }
}

fn refresh(field: &str, over: Option<&Refresh>, under: Option<&Refresh>) -> Result<RefreshPlan, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut length = |member: &str, pick: fn(&Refresh) -> Option<&String>| {
        let text = over.and_then(pick).or(under.and_then(pick)).map(String::as_str);
        span(&format!("{field}.refresh.{member}"), text, Duration::ZERO).map_err(|problem| problems.push(problem)).ok()
    };
    let grace = length("grace", |refresh| refresh.grace.as_ref());
    let idle_ttl = length("idleTtl", |refresh| refresh.idle_ttl.as_ref());
    match (grace, idle_ttl) {
        (Some(grace), Some(idle_ttl)) => Ok(RefreshPlan {
            rotates: over.and_then(|over| over.rotates).or(under.and_then(|under| under.rotates)),
            grace,
            idle_ttl: (!idle_ttl.is_zero()).then_some(idle_ttl),
        }),
        _ => Err(problems),
    }
}
