//! The cluster as each caller may use it: every call is made with the caller's token, so what the API server's authorization allows is all
//! that is possible.

use kube::config::AuthInfo;
use kube::{Client, Config};

use crate::operator::cluster::Cluster;

/// Makes clients for callers.
pub struct Callers {
    /// Where the API server is and how it is known; without credentials.
    config: Config,
}

impl Callers {
    /// For the cluster of a configuration, none of whose credentials are kept.
    pub fn new(own: &Config) -> Self {
        let mut config = Config::new(own.cluster_url.clone());
        config.root_cert.clone_from(&own.root_cert);
        config.accept_invalid_certs = own.accept_invalid_certs;
        config.tls_server_name.clone_from(&own.tls_server_name);
        config.proxy_url.clone_from(&own.proxy_url);
        (config.connect_timeout, config.read_timeout, config.write_timeout) =
            (own.connect_timeout, own.read_timeout, own.write_timeout);
        // A repeated write would hide its conflict.
        config.default_retry = false;
        Self { config }
    }

    /// The cluster with a caller's bearer token.
    ///
    /// # Errors
    /// The token can be none, or the client cannot be made.
    pub fn cluster(&self, token: &str) -> Result<Cluster, kube::Error> {
        let mut config = self.config.clone();
        config.auth_info = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
        Client::try_from(config).map(Cluster::new)
    }
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
        let callers = Callers::new(&own);
        assert!(callers.config.auth_info.token.is_none() && callers.config.auth_info.client_certificate_data.is_none());
        assert!(callers.config.headers.is_empty());
        assert_eq!((&callers.config.root_cert, &callers.config.cluster_url), (&own.root_cert, &own.cluster_url));
    }
}
