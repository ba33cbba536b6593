//! Why no request to the API server succeeds, whatever is asked for.

use std::sync::Arc;

/// The text of each continues "the API server": its address may follow that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unusable {
    /// It does not accept the credentials (401).
    #[error("refuses the credentials: renew those of the kubeconfig, or see whether the pod's service account is still there")]
    Unauthorized,
    /// There is no connection, or the client does not trust it. With the cause that the client met.
    #[error(
        "cannot be reached: {0}; correct the address in the kubeconfig, or open the way to it, such as networkPolicy.apiServerPorts \
         of the chart"
    )]
    Unreachable(Arc<str>),
    /// It is overloaded or broken. With its status: 429 or 500 and above.
    #[error("answers {0}; retrying")]
    Troubled(u16),
}

impl Unusable {
    /// What an error says of the API server as a whole; `None`: it is about what was asked for.
    pub fn of(error: &kube::Error) -> Option<Self> {
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Some(Self::Unauthorized),
                code @ (429 | 500..) => Some(Self::Troubled(code)),
                _ => None,
            },
            other => Some(Self::Unreachable(root(other).to_string().into())),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_of_the_server_or_of_what_was_asked_for() {
        let status = |code| {
            let status = kube::core::Status { code, ..kube::core::Status::default() };
            Unusable::of(&kube::Error::Api(Box::new(status)))
        };
        assert_eq!(status(401), Some(Unusable::Unauthorized));
        assert_eq!((status(429), status(503)), (Some(Unusable::Troubled(429)), Some(Unusable::Troubled(503))));
        assert_eq!((status(403), status(404), status(422)), (None, None, None));
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "Connection refused");
        let refused = Unusable::of(&kube::Error::Service(Box::new(refused)));
        assert_eq!(refused, Some(Unusable::Unreachable("Connection refused".into())));
    }
}
