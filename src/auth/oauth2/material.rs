//! What the user's Secret holds for OAuth 2.0. Pure.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::client_identity;
use super::super::secrets::{Referenced, Secret, Secrets};
use crate::api::auth::{ClientPlace, Grant};
use crate::api::conditions::{Problem, Reason};
use crate::egress::identity::Identity;
use crate::plan::Oauth2Plan;

/// The client, and what its chain of tokens begins with. Has no `Debug`, since it is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// `client_id`.
    pub client_id: String,
    /// `client_secret`; a public client has none.
    pub client_secret: Option<String>,
    /// A refresh token or a code. That it is missing or unusable does not matter once there are tokens.
    pub source: Result<Source, Problem>,
    /// The client certificate (RFC 8705).
    pub identity: Option<Arc<Identity>>,
}

/// What a person supplied.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// `refresh_token`.
    RefreshToken(String),
    /// `code`, with what belonged to the request for it.
    Code {
        /// The code.
        code: String,
        /// `redirect_uri`.
        redirect_uri: Option<String>,
        /// `code_verifier`.
        code_verifier: Option<String>,
    },
}

impl Source {
    /// The refresh token or code itself.
    pub fn token(&self) -> &str {
        match self {
            Self::RefreshToken(token) => token,
            Self::Code { code, .. } => code,
        }
    }
}

impl Material {
    /// The same with the client certificate that the plan names.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn with_certificate(
        self,
        plan: &Oauth2Plan,
        namespace: &str,
        secrets: &dyn Secrets,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        let name = plan.client_certificate.as_deref();
        let identity = name.map(|name| client_identity(namespace, name, secrets, now)).transpose()?;
        Ok(Self { identity, ..self })
    }

    /// Reads the Secret of a plan. With both a refresh token and a code, the grant says which of them counts.
    ///
    /// # Errors
    /// `SecretNotFound`, `SecretKeyMissing`, `SecretInvalid`.
    pub fn read(plan: &Oauth2Plan, namespace: &str, secret: Option<Arc<Secret>>) -> Result<Self, Problem> {
        let field = format!("{}.secretRef", plan.field);
        let found = Referenced::given(&field, namespace, &plan.secret, secret)?;
        let required = |key: &str| found.text(key, found.required(key)?).map(str::to_owned);
        let is_public = plan.client_for_code == ClientPlace::None && plan.client_for_refresh == ClientPlace::None;
        let client_id = required("client_id")?;
        let client_secret = if is_public { None } else { Some(required("client_secret")?) };
        let source = if plan.keeps_tokens() {
            source(&found, plan.grant)
        } else {
            Err(Problem::human(Reason::InternalError, "client credentials begin with nothing; please report this"))
        };
        Ok(Self { client_id, client_secret, source, identity: None })
    }
}

fn source(found: &Referenced<'_>, grant: Grant) -> Result<Source, Problem> {
    let text = |key: &str| match found.optional(key)? {
        Some(value) => found.text(key, value).map(|text| Some(text.to_owned())),
        None => Ok(None),
    };
    let refresh_token = || Ok::<_, Problem>(text("refresh_token")?.map(Source::RefreshToken));
    let code = || {
        let Some(code) = text("code")? else { return Ok(None) };
        Ok::<_, Problem>(Some(Source::Code {
            code,
            redirect_uri: text("redirect_uri")?,
            code_verifier: text("code_verifier")?,
        }))
    };
    let found_source = if grant == Grant::AuthorizationCode {
        match code()? {
            None => refresh_token()?,
            code => code,
        }
    } else {
        match refresh_token()? {
            None => code()?,
            token => token,
        }
    };
    found_source.ok_or_else(|| {
        let (field, name) = (found.field, found.name);
        if grant == Grant::AuthorizationCode {
            Problem::human(
                Reason::ReauthorizationRequired,
                format!("{field}: nobody has given consent yet, and Secret {name} has neither code nor refresh_token; add one of them"),
            )
        } else {
            Problem::human(
                Reason::SecretKeyMissing,
                format!("{field}: Secret {name} has neither refresh_token nor code; add one of them"),
            )
        }
    })
}
