//! What the API server says about the caller of a [`Cluster`]: who it is, and what it may do. Every authenticated caller may ask (the role
//! `system:basic-user`).

use serde_json::{Value, json};

use super::cluster::{CallError, Cluster, Kind, Outage};

/// What is done to objects, in the words of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// To list them.
    List,
    /// To create one.
    Create,
    /// To replace one.
    Update,
    /// To delete one.
    Delete,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl Cluster {
    /// The name of the caller, such as `system:serviceaccount:crm:clerk`.
    ///
    /// # Errors
    /// [`CallError`]; `Forbidden` with [`Denied::Caller`](super::cluster::Denied::Caller) when the server does not know the caller.
    pub async fn who(&self) -> Result<String, CallError> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let answer = self.review("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
        let name = answer["status"]["userInfo"]["username"].as_str();
        name.map(str::to_owned)
            .ok_or_else(|| CallError::Unavailable(Outage::Other("it did not say who the caller is".to_owned())))
    }

    /// Whether the caller may do this in a namespace, or in all.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn may(&self, verb: Verb, kind: Kind, namespace: Option<&str>) -> Result<bool, CallError> {
        let (group, resource) = kind.group_and_plural();
        let attributes = json!({"namespace": namespace, "verb": verb.as_str(), "group": group, "resource": resource});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes},
        });
        let answer = self.review("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
        Ok(answer["status"]["allowed"] == true)
    }

    async fn review(&self, path: &str, review: &Value) -> Result<Value, CallError> {
        let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
        self.send(request.body(review.to_string().into_bytes()).map_err(kube::core::request::Error::BuildRequest)).await
    }
}
