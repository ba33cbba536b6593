//! Who asks: the header `Authorization: User <secret>, Organization <secret>[, Element <token>]`.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use futures::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::failure::Failure;
use crate::instances::Instances;
use crate::observe::Journal;

/// What a request presents. Its `Debug` shows nothing of it.
#[derive(Default)]
pub struct Presented {
    /// `User`.
    pub user: String,
    /// `Organization`.
    pub organization: String,
    /// `Element`: names an instance, and allows nothing.
    pub element: Option<String>,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").finish_non_exhaustive()
    }
}

impl Presented {
    /// Reads the header. The order of its parts and their case mean nothing.
    ///
    /// # Errors
    /// `Failure::Unauthorized`: it is not there, or a part of it.
    pub fn read(headers: &HeaderMap) -> Result<Self, Failure> {
        let refused = |what: &str| {
            Err(Failure::Unauthorized(format!(
                "{what}; send the header Authorization: User <user secret>, Organization <organization secret>"
            )))
        };
        let mut lines = headers.get_all(AUTHORIZATION).into_iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return refused("there must be one Authorization header") };
        let Ok(line) = line.to_str() else { return refused("the Authorization header is not text") };
        let mut presented = Self::default();
        for part in line.split(',') {
            let Some((name, value)) = part.trim().split_once(' ') else { continue };
            let value = value.trim().to_owned();
            match name.to_ascii_lowercase().as_str() {
                "user" => presented.user = value,
                "organization" => presented.organization = value,
                "element" => presented.element = Some(value),
                _ => {}
            }
        }
        if presented.user.is_empty() {
            return refused("the Authorization header has no User");
        }
        if presented.organization.is_empty() {
            return refused("the Authorization header has no Organization");
        }
        Ok(presented)
    }
}

/// The instances that a caller may look at and change, as far as it may.
#[derive(Clone)]
pub struct Realm {
    /// Where they are.
    pub instances: Arc<dyn Instances>,
    /// What this process did for them lately.
    pub journal: Journal,
    /// The one namespace that is meant; `None`: all.
    pub namespace: Option<String>,
    /// Namespace of new ones.
    pub new_in: String,
}

/// Knows callers by what they present.
pub trait Gate: Send + Sync {
    /// The caller's instances.
    ///
    /// # Errors
    /// `Failure::Unauthorized`, and what keeps the gate from knowing.
    fn admit<'a>(&'a self, presented: &'a Presented) -> BoxFuture<'a, Result<Realm, Failure>>;
}

/// The two secrets of a process that has its instances in a folder.
pub struct OwnSecrets {
    user: [u8; 32],
    organization: [u8; 32],
    realm: Realm,
}

impl OwnSecrets {
    /// A client that presents both may do everything in the realm.
    pub fn new(user: &str, organization: &str, realm: Realm) -> Self {
        Self { user: digest(user), organization: digest(organization), realm }
    }
}

impl Gate for OwnSecrets {
    fn admit<'a>(&'a self, presented: &'a Presented) -> BoxFuture<'a, Result<Realm, Failure>> {
        // Digests have one length, whatever is presented; both are compared, whatever the first one says.
        let is_user = digest(&presented.user).ct_eq(&self.user);
        let is_known = is_user & digest(&presented.organization).ct_eq(&self.organization);
        let admitted = if bool::from(is_known) {
            Ok(self.realm.clone())
        } else {
            Err(Failure::Unauthorized(
                "the user or organization secret is wrong; both are in the file api-credentials in the state folder".to_owned(),
            ))
        };
        Box::pin(async move { admitted })
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Presented, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        Presented::read(&headers)
    }

    #[test]
    fn the_header_is_read_in_any_order_and_case() {
        for header in ["User u=, Organization o", "organization o,user u=", "USER  u= ,  Organization o , Bearer x"] {
            let presented = read(header).unwrap();
            assert_eq!((&*presented.user, &*presented.organization, presented.element), ("u=", "o", None), "{header}");
        }
        assert_eq!(read("User u, Organization o, Element t/+=").unwrap().element.as_deref(), Some("t/+="));
        for header in ["", "User u", "Organization o", "User , Organization o", "Bearer x", "User u; Organization o", "Useru"] {
            assert!(matches!(read(header), Err(Failure::Unauthorized(_))), "{header}");
        }
        assert!(Presented::read(&HeaderMap::new()).is_err());
    }
}
