//! What an operator needs of a cluster, asked for without starting one.

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config};

use super::permissions;
use super::unusable::Unusable;

/// Why the API server was not asked, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no client.
    #[error("the client for the cluster cannot be created: {0}")]
    Client(#[source] kube::Error),
    /// No request succeeds.
    #[error("the API server {server} {cause}")]
    Unusable {
        /// Its address.
        server: http::Uri,
        /// Why.
        cause: Unusable,
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
    let mut lines: Vec<String> = definitions.chain(missing.iter().map(ToString::to_string)).collect();
    lines.extend(absent(&client, watched).await);
    Ok(lines)
}

/// Namespaces that do not exist, as far as the caller may know: the operator itself needs no permission to read them.
async fn absent(client: &Client, watched: &[String]) -> Vec<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut lines = Vec::new();
    for name in watched {
        if let Ok(None) = namespaces.get_opt(name).await {
            lines.push(format!("namespace {name} does not exist: create it, or correct --watch-namespace"));
        }
    }
    lines
}

fn unanswered(server: http::Uri, error: kube::Error) -> CheckError {
    match (Unusable::of(&error), error) {
        (None | Some(Unusable::Troubled(_)), kube::Error::Api(status)) => {
            CheckError::Answered { server, code: status.code, message: status.message.clone() }
        }
        (Some(cause), _) => CheckError::Unusable { server, cause },
        // Only what the server answered is not about the server.
        (None, error) => CheckError::Client(error),
    }
}
