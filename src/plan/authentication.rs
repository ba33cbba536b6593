//! The instance's auth laid over the connector's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::placeholders::Placeholders;
use super::problems::invalid;
use super::{AuthPlan, oauth2};
use crate::api::auth::{Auth, Place};
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorAuth;

const API_KEY_HEADER: &str = "X-API-Key";

impl AuthPlan {
    /// How long the provider keeps credentials that no one uses, if it forgets them at all.
    pub fn idle_ttl(&self) -> Option<Duration> {
        match self {
            Self::Oauth2(plan) => plan.refresh.idle_ttl,
            Self::None | Self::ApiKeyHeader { .. } | Self::ApiKeyQuery { .. } | Self::Basic { .. } | Self::Bearer { .. } => {
                None
            }
        }
    }
}

/// Whose requests are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// Those to the provider.
    Provider,
    /// Those to the callback.
    Callback,
}

impl Root {
    fn oauth2(self) -> &'static str {
        match self {
            Self::Provider => "spec.auth.oauth2",
            Self::Callback => "spec.callback.auth.oauth2",
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provider => "spec.auth",
            Self::Callback => "spec.callback.auth",
        })
    }
}

/// The same member of the union is completed from the connector; another one replaces it.
///
/// # Errors
/// A missing Secret, a header name that is none, an endpoint that cannot be asked.
pub(super) fn plan(
    root: Root,
    instance: Option<&Auth>,
    connector: Option<&ConnectorAuth>,
    placeholders: &mut Placeholders,
) -> Result<AuthPlan, Vec<Problem>> {
    let one = |problem: String| Err(vec![invalid(problem)]);
    match (instance, connector) {
        (None, None) => Ok(AuthPlan::None),
        (None, Some(asked)) => {
            let member = match asked {
                ConnectorAuth::ApiKey(_) => "apiKey",
                ConnectorAuth::Basic(_) => "basic",
                ConnectorAuth::Bearer(_) => "bearer",
                ConnectorAuth::Oauth2(_) => "oauth2",
            };
            one(format!(
                "{root}.{member}.secretRef is required: the connector asks for {member}; name the Secret that holds it"
            ))
        }
        (Some(Auth::ApiKey(key)), under) => {
            let under = match under {
                Some(ConnectorAuth::ApiKey(under)) => Some(under),
                _ => None,
            };
            let place = key.place.or(under.and_then(|u| u.place)).unwrap_or(Place::Header);
            let name = key.name.as_deref().or(under.map(|u| u.name.as_str())).unwrap_or(API_KEY_HEADER);
            let prefix = key.prefix.clone().or(under.and_then(|u| u.prefix.clone())).unwrap_or_default();
            let secret = (&key.secret_ref).into();
            match place {
                Place::Query => Ok(AuthPlan::ApiKeyQuery { name: name.to_owned(), prefix, secret }),
                Place::Header => match HeaderName::try_from(name) {
                    Ok(name) => Ok(AuthPlan::ApiKeyHeader { name, prefix, secret }),
                    Err(_) => one(format!("{root}.apiKey.name is not a valid header name")),
                },
            }
        }
        (Some(Auth::Basic(basic)), _) => Ok(AuthPlan::Basic { secret: basic.secret_ref.name.clone() }),
        (Some(Auth::Bearer(bearer)), _) => Ok(AuthPlan::Bearer { secret: (&bearer.secret_ref).into() }),
        (Some(Auth::Oauth2(over)), under) => {
            let under = match under {
                Some(ConnectorAuth::Oauth2(under)) => Some(&**under),
                _ => None,
            };
            let plan = oauth2::plan(root.oauth2(), over, under, placeholders)?;
            if root == Root::Callback && plan.keeps_tokens() {
                return one(format!(
                    "{root}.oauth2.grant must be ClientCredentials: a callback has no consent and keeps no tokens"
                ));
            }
            Ok(AuthPlan::Oauth2(Arc::new(plan)))
        }
    }
}
