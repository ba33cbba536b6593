//! What an operator needs of a cluster, asked for without starting one.

use kube::{Client, Config};

use super::permissions;

/// Why the API server was not asked, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no client.
    #[error("the client for the cluster cannot be created: {0}")]
    Client(#[source] kube::Error),
    /// It does not accept the credentials.
    #[error(
        "the API server {server} refuses the credentials: renew those of the kubeconfig, or see whether the pod's service account is still \
         there"
    )]
    Unauthorized {
        /// Its address.
        server: http::Uri,
    },
    /// It answered something else.
    #[error("the API server {server} answered {code}: {message}")]
    Answered {
        /// Its address.
        server: http::Uri,
        /// Its status.
        code: u16,
        /// Its words.
        message: String,
    },
    /// It did not answer.
    #[error(
        "the API server {server} cannot be reached: {}; correct the address in the kubeconfig, or open the way to it, such as \
         networkPolicy.apiServerPorts of the chart",
        root(source)
    )]
    Unreachable {
        /// Its address.
        server: http::Uri,
        /// What the client met.
        source: kube::Error,
    },
}

/// What is missing of definitions and permissions, a line each. `watched`: these namespaces; none: all. `leases`: the namespace of
/// the Leases.
///
/// # Errors
/// See [`CheckError`].
pub async fn missing(config: Config, watched: &[String], leases: &str) -> Result<Vec<String>, CheckError> {
    let server = config.cluster_url.clone();
    let client = Client::try_from(config).map_err(CheckError::Client)?;
    let unanswered = |error| unanswered(server.clone(), error);
    let kinds = permissions::unserved(&client).await.map_err(unanswered)?;
    let definitions = kinds.into_iter().map(|kind| {
        format!("the definition of {kind} is missing: apply what `pollinator crds` prints, or set crds.enabled of the chart")
    });
    let missing = permissions::missing(&client, watched, leases).await.map_err(unanswered)?;
    Ok(definitions.chain(missing.iter().map(ToString::to_string)).collect())
}

fn unanswered(server: http::Uri, error: kube::Error) -> CheckError {
    match error {
        kube::Error::Api(status) if status.code == 401 => CheckError::Unauthorized { server },
        kube::Error::Api(status) => CheckError::Answered { server, code: status.code, message: status.message.clone() },
        source => CheckError::Unreachable { server, source },
    }
}

/// The cause at the end of the chain: those before it say that a request failed.
fn root(error: &kube::Error) -> &dyn std::error::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
