//! What the user's Secret holds for OAuth 2.0. Pure.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::secrets::{Referenced, Secret, Secrets};
use super::super::tls_identity;
use super::problem::consent_missing;
use super::stored::Fingerprint;
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
    /// `private_key` in PEM, for signed assertions.
    pub private_key: Option<String>,
    /// `key_id`, which says which of the keys that the provider knows it is.
    pub key_id: Option<String>,
    /// A refresh token or a code. That it is missing or unusable does not matter once there are tokens.
    pub source: Result<Source, Problem>,
    /// The client certificate (RFC 8705), and the authorities that are trusted in addition.
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
    /// Identifies a client, and the way in which it proves itself under a plan of that fingerprint.
    pub fn client_print(&self, salt: &str, plan: u64) -> Fingerprint {
        let secrets = [&self.client_secret, &self.private_key, &self.key_id].map(|one| one.as_deref().unwrap_or_default());
        let certificate = self.identity.as_ref().map_or(0, |identity| identity.number());
        let mut parts = vec![self.client_id.as_bytes()];
        parts.extend(secrets.iter().map(|secret| secret.as_bytes()));
        let numbers = [plan.to_be_bytes(), certificate.to_be_bytes()];
        parts.extend(numbers.iter().map(<[u8; 8]>::as_slice));
        Fingerprint::of(salt, &parts)
    }

    /// The same with the client certificate and the authorities that the plan names.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn with_tls(
        self,
        plan: &Oauth2Plan,
        namespace: &str,
        secrets: &dyn Secrets,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        let identity = plan.tls.as_deref().map(|tls| tls_identity(tls, namespace, secrets, now)).transpose()?.flatten();
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
        let places = [plan.client_for_code, plan.client_for_refresh];
        let is_public = places.iter().all(|place| matches!(place, ClientPlace::None | ClientPlace::PrivateKeyJwt));
        let signs = plan.grant == Grant::JwtBearer || places.contains(&ClientPlace::PrivateKeyJwt);
        let client_id = required("client_id")?;
        let client_secret = if is_public { None } else { Some(required("client_secret")?) };
        let private_key = if signs { Some(required("private_key")?) } else { None };
        let key_id = match found.optional("key_id")? {
            Some(value) if signs => Some(found.text("key_id", value)?.to_owned()),
            _ => None,
        };
        let source = if plan.keeps_tokens() {
            source(&found, plan)
        } else {
            Err(Problem::human(Reason::InternalError, "client credentials have no previous token; please report this"))
        };
        Ok(Self { client_id, client_secret, private_key, key_id, source, identity: None })
    }
}

fn source(found: &Referenced<'_>, plan: &Oauth2Plan) -> Result<Source, Problem> {
    let grant = plan.grant;
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
        // Where the connect page can ask for it, a consent is what is missing, whichever of its results the manifest names.
        if grant == Grant::AuthorizationCode || plan.takes_consent() {
            consent_missing(format!(
                "{field}: consent has not been given yet, and Secret {name} has neither code nor refresh_token; add one of them"
            ))
        } else {
            Problem::human(
                Reason::SecretKeyMissing,
                format!("{field}: Secret {name} has neither refresh_token nor code; add one of them"),
            )
        }
    })
}

/// What a token request carries.
#[derive(Clone, PartialEq, Eq)]
pub enum Sends {
    /// Nothing but the client.
    ClientCredentials,
    /// A refresh token.
    RefreshToken(String),
    /// A code: always a [`Source::Code`].
    Code(Source),
}

impl Sends {
    /// The refresh token or code; empty if it is none.
    pub(super) fn token(&self) -> &str {
        match self {
            Self::ClientCredentials => "",
            Self::RefreshToken(token) => token,
            Self::Code(source) => source.token(),
        }
    }

    /// The refresh token, if it is one.
    pub fn refresh_token(&self) -> Option<&str> {
        match self {
            Self::RefreshToken(token) => Some(token),
            Self::ClientCredentials | Self::Code(_) => None,
        }
    }
}
