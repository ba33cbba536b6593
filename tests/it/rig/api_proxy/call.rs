//! A request to the API server in the words of RBAC: verb, resource, namespace, name.

use std::fmt::{self, Debug, Formatter};

use bytes::Bytes;
use http::request::Parts;

/// One request and what became of it.
#[derive(Clone)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the HTTP method in lower case for paths
    /// that are not resources, such as `/version`.
    pub verb: String,
    /// Plural name, with a subresource after a slash: `leases`, `connectorinstances/status`; the path if it is not a resource.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    /// Path and query as sent.
    pub target: String,
    /// Media type of the body.
    pub content_type: String,
    pub user_agent: String,
    /// Media types that the client takes.
    pub accept: String,
    pub body: Bytes,
    /// What the client was answered; `None` until then, and for good if it was not.
    pub status: Option<u16>,
}

impl Call {
    pub(super) fn new(parts: &Parts, body: Bytes) -> Self {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (verb, resource, namespace, name) = classify(parts.method.as_str(), &target);
        let (content_type, user_agent, accept) = (header("content-type"), header("user-agent"), header("accept"));
        Self { verb, resource, namespace, name, target, content_type, user_agent, accept, body, status: None }
    }

    /// Whether it has this verb (`*`: any) and this resource.
    pub fn is(&self, verb: &str, resource: &str) -> bool {
        (verb == "*" || self.verb == verb) && self.resource == resource
    }

    /// Whether it may change what the server stores; whoever asks for its own rights "creates" the question.
    pub fn is_write(&self) -> bool {
        let asks = self.resource.starts_with("selfsubject");
        !asks && matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Debug for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}/{} -> {:?} ({})", self.verb, self.resource, self.namespace, self.name, self.status, self.target)
    }
}

/// Verb, resource, namespace and name, as the server's authorisation would see them.
fn classify(method: &str, target: &str) -> (String, String, String, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let steps: Vec<_> = path.split('/').filter(|step| !step.is_empty()).collect();
    let rest = match steps.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] if !rest.is_empty() => rest,
        _ => return (method.to_lowercase(), path.to_owned(), String::new(), String::new()),
    };
    let (namespace, rest) = match rest {
        // a namespace is itself a resource, and has subresources
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let name = rest.get(1).copied().unwrap_or_default();
    let resource = match rest.get(2) {
        Some(subresource) => format!("{}/{subresource}", rest[0]),
        None => rest[0].to_owned(),
    };
    let watches = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"));
    let verb = match (method, name.is_empty()) {
        ("GET", _) if watches => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        (other, _) => other,
    };
    (verb.to_owned(), resource, namespace.to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_verbs_and_resources_as_rbac_does() {
        let instances = "/apis/pollinator.dev/v1alpha1/connectorinstances";
        for (method, target, expected) in [
            ("GET", "/version", "get /version  "),
            ("GET", "/apis/pollinator.dev/v1alpha1", "get /apis/pollinator.dev/v1alpha1  "),
            ("GET", &format!("{instances}?limit=500"), "list connectorinstances  "),
            ("GET", &format!("{instances}?&watch=true&resourceVersion=7"), "watch connectorinstances  "),
            ("GET", "/api/v1/namespaces/crm/secrets/login", "get secrets crm login"),
            ("GET", "/api/v1/namespaces/crm", "get namespaces  crm"),
            ("GET", "/api/v1/namespaces", "list namespaces  "),
            ("DELETE", "/api/v1/namespaces/crm/configmaps", "deletecollection configmaps crm "),
            (
                "PUT",
                "/apis/pollinator.dev/v1alpha1/namespaces/crm/connectorinstances/shop/status",
                "update connectorinstances/status crm shop",
            ),
            ("POST", "/api/v1/namespaces/crm/serviceaccounts/operator/token", "create serviceaccounts/token crm operator"),
            ("PATCH", "/apis/events.k8s.io/v1/namespaces/crm/events/a.b", "patch events crm a.b"),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/p/leases/range-3", "update leases p range-3"),
        ] {
            let (verb, resource, namespace, name) = classify(method, target);
            assert_eq!(format!("{verb} {resource} {namespace} {name}"), expected, "{method} {target}");
        }
    }
}
