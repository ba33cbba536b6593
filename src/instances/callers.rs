//! The cluster as each caller may use it: every call is made with the caller's token, so what the API server's authorization allows is all
//! that is possible.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use kube::{Client, Config};

use super::changes::StatusChanges;
use super::cluster::ClusterInstances;
use crate::api::connector::ConnectorSpec;
use crate::operator::cluster::Cluster;
use crate::operator::required_label::RequiredLabel;

/// Speaks to the API server for callers.
pub struct Callers {
    /// Without credentials. All callers share its connections: what differs is a header of each request.
    client: Client,
}

impl Callers {
    /// For the cluster of a configuration, none of whose credentials are kept.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(own: &Config) -> Result<Self, kube::Error> {
        Ok(Self { client: Client::try_from(without_credentials(own))? })
    }

    /// The cluster with a caller's bearer token.
    ///
    /// # Errors
    /// The token can be none.
    pub fn cluster(&self, token: &str) -> Result<Cluster, InvalidHeaderValue> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        Ok(Cluster::new(self.client.clone()).with_authorization(bearer))
    }
}

/// The instances of a cluster for each caller.
#[derive(Clone)]
pub struct CallerInstances {
    /// Clients by token.
    pub callers: Arc<Callers>,
    /// The namespaces that the operator looks at; none: all.
    pub watched: Arc<[String]>,
    /// The label without which instances may not use a Secret; `None`: they may use all.
    pub secret_label: Option<RequiredLabel>,
    /// Entries of the mounted catalog folder, by name.
    pub mounted: Arc<BTreeMap<String, ConnectorSpec>>,
    /// What this process reports.
    pub changes: StatusChanges,
}

impl CallerInstances {
    /// The instances as the caller with this token may see and change them. What others declare is read-only.
    ///
    /// # Errors
    /// The token can be none.
    pub fn of(&self, token: &str) -> Result<ClusterInstances, InvalidHeaderValue> {
        let cluster = self.callers.cluster(token)?;
        let instances = ClusterInstances::new(cluster, Arc::clone(&self.watched), self.changes.clone());
        Ok(instances.with_mounted(Arc::clone(&self.mounted)).with_secret_label(self.secret_label.clone()).minding_owners())
    }
}

/// Where the API server is and how it is known.
fn without_credentials(own: &Config) -> Config {
    let mut config = Config::new(own.cluster_url.clone());
    config.root_cert.clone_from(&own.root_cert);
    config.accept_invalid_certs = own.accept_invalid_certs;
    config.tls_server_name.clone_from(&own.tls_server_name);
    config.proxy_url.clone_from(&own.proxy_url);
    (config.connect_timeout, config.read_timeout, config.write_timeout) =
        (own.connect_timeout, own.read_timeout, own.write_timeout);
    // A repeated write would hide its conflict.
    config.default_retry = false;
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_the_operators_credentials_are_kept() {
        let mut own = Config::new("https://cluster.example".parse().unwrap());
        own.auth_info.token = Some("own".to_owned().into());
        own.auth_info.client_certificate_data = Some("own".to_owned());
        own.headers.push(("impersonate-user".parse().unwrap(), "admin".parse().unwrap()));
        own.root_cert = Some(vec![vec![1]]);
        let config = without_credentials(&own);
        assert!(config.auth_info.token.is_none() && config.auth_info.client_certificate_data.is_none());
        assert!(config.headers.is_empty());
        assert_eq!((&config.root_cert, &config.cluster_url), (&own.root_cert, &own.cluster_url));
    }
}
