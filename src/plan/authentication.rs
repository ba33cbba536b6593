//! The instance's auth laid over the connector's.

use std::sync::Arc;

use http::HeaderName;

use super::holes::Holes;
use super::resolve::{invalid, secret_key};
use super::{AuthPlan, oauth2};
use crate::api::auth::{Auth, Place};
use crate::api::conditions::Problem;
use crate::api::connector::ConnectorAuth;

const API_KEY_HEADER: &str = "X-API-Key";

/// The same member of the union is completed from the connector; another one replaces it.
///
/// # Errors
/// A missing Secret, a header name that is none, an endpoint that cannot be asked.
pub(super) fn plan(
    instance: Option<&Auth>,
    connector: Option<&ConnectorAuth>,
    holes: &mut Holes,
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
                "spec.auth.{member}.secretRef is required: the connector asks for {member}; name the Secret that holds it"
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
            let secret = secret_key(&key.secret_ref);
            match place {
                Place::Query => Ok(AuthPlan::ApiKeyQuery { name: name.to_owned(), prefix, secret }),
                Place::Header => match HeaderName::try_from(name) {
                    Ok(name) => Ok(AuthPlan::ApiKeyHeader { name, prefix, secret }),
                    Err(_) => one("spec.auth.apiKey.name is not a valid header name".to_owned()),
                },
            }
        }
        (Some(Auth::Basic(basic)), _) => Ok(AuthPlan::Basic { secret: basic.secret_ref.name.clone() }),
        (Some(Auth::Bearer(bearer)), _) => Ok(AuthPlan::Bearer { secret: secret_key(&bearer.secret_ref) }),
        (Some(Auth::Oauth2(over)), under) => {
            let under = match under {
                Some(ConnectorAuth::Oauth2(under)) => Some(under),
                _ => None,
            };
            oauth2::plan("spec.auth.oauth2", over, under, holes).map(|plan| AuthPlan::Oauth2(Arc::new(plan)))
        }
    }
}
