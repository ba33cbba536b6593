//! `tls` of an instance and of its callback: which Secrets its connections use.

use std::sync::Arc;

use serde::Serialize;

use super::problems::invalid;
use super::{AuthPlan, Oauth2Plan, SecretKey, print};
use crate::api::auth::Tls;
use crate::api::conditions::Problem;

/// What connections have of their own in TLS; names Secrets, never holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPlan {
    /// The field that a message names: `spec.tls` or `spec.callback.tls`.
    pub field: &'static str,
    /// Name of the Secret with the client certificate (RFC 8705).
    pub client_certificate: Option<String>,
    /// Where authorities are that are trusted in addition.
    pub ca_bundle: Option<SecretKey>,
}

impl TlsPlan {
    /// Names of the Secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.client_certificate.as_deref().into_iter().chain(self.ca_bundle.iter().map(|key| key.name.as_str()))
    }
}

/// As `plan` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrintedTls {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_bundle: Option<String>,
}

impl PrintedTls {
    pub(super) fn of(plan: Option<&TlsPlan>) -> Self {
        let certificate = plan.and_then(|plan| plan.client_certificate.as_ref());
        Self {
            client_certificate: certificate.map(|name| format!("tls.crt and tls.key of Secret {name}")),
            ca_bundle: plan.and_then(|plan| plan.ca_bundle.as_ref()).map(print::secret),
        }
    }
}

/// Reads `spec.tls` or `spec.callback.tls`, which is called `field`.
pub(super) fn plan(field: &'static str, tls: Option<&Tls>) -> Result<Option<Arc<TlsPlan>>, Problem> {
    let Some(Tls { client_certificate_ref, ca_bundle_ref }) = tls else { return Ok(None) };
    if client_certificate_ref.is_none() && ca_bundle_ref.is_none() {
        return Err(invalid(format!("{field}: name a Secret in clientCertificateRef, in caBundleRef, or in both")));
    }
    Ok(Some(Arc::new(TlsPlan {
        field,
        client_certificate: client_certificate_ref.as_ref().map(|secret| secret.name.clone()),
        ca_bundle: ca_bundle_ref.as_ref().map(SecretKey::from),
    })))
}

impl AuthPlan {
    /// The same, with the same TLS towards the token endpoint.
    #[must_use]
    pub(super) fn with_tls(self, tls: Option<&Arc<TlsPlan>>) -> Self {
        match self {
            Self::Oauth2(plan) => Self::Oauth2(Arc::new(Oauth2Plan { tls: tls.cloned(), ..Arc::unwrap_or_clone(plan) })),
            other => other,
        }
    }
}
