//! Single calls to the API server, each with a deadline and without hidden repeats.

use std::time::Duration;

use kube::Client;
use kube::core::Request;
use kube::core::params::{DeleteParams, GetParams, ListParams, PostParams};
use serde_json::Value;

/// The one field manager.
pub const MANAGER: &str = "pollinator";
/// Deadline of one call.
const DEADLINE: Duration = Duration::from_secs(15);
/// Objects of one page of a list.
const PAGE: u32 = 500;

/// What is read and written one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ConnectorInstance`.
    ConnectorInstance,
    /// `Connector`.
    Connector,
    /// `ConfigMap`.
    ConfigMap,
    /// `Secret`.
    Secret,
}

impl Kind {
    /// `apiVersion` and `kind`.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::ConnectorInstance => (crate::api::API_VERSION, "ConnectorInstance"),
            Self::Connector => (crate::api::API_VERSION, "Connector"),
            Self::ConfigMap => ("v1", "ConfigMap"),
            Self::Secret => ("v1", "Secret"),
        }
    }

    fn path(self, namespace: &str) -> String {
        let (root, plural) = self.root_and_plural();
        format!("{root}/namespaces/{namespace}/{plural}")
    }

    fn path_everywhere(self) -> String {
        let (root, plural) = self.root_and_plural();
        format!("{root}/{plural}")
    }

    fn root_and_plural(self) -> (String, &'static str) {
        let (version, _) = self.names();
        let root = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
        let plural = match self {
            Self::ConnectorInstance => "connectorinstances",
            Self::Connector => "connectors",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
        };
        (root, plural)
    }
}

/// Why a call failed, by what happens next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no such object.
    #[error("not found")]
    NotFound,
    /// The object changed since it was read, or exists already: read it again.
    #[error("changed meanwhile")]
    Conflict,
    /// RBAC: a person must allow it.
    #[error("forbidden")]
    Forbidden,
    /// The server refuses what was sent; its words.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer, or one that may be better later.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::Unavailable(error.to_string()) };
        match status.code {
            404 => Self::NotFound,
            409 => Self::Conflict,
            401 | 403 => Self::Forbidden,
            400 | 413 | 422 => Self::Refused(status.message),
            _ => Self::Unavailable(format!("{} {}", status.code, status.reason)),
        }
    }
}

/// The API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// `client` must not repeat calls by itself: a repeated write hides its conflict.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Reads an object as it is, without the bookkeeping of its field managers (absent, the server keeps it).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, CallError> {
        let request = Request::new(kind.path(namespace)).get(name, &GetParams::default());
        let mut object = self.send(request).await?;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        Ok(object)
    }

    /// All objects of a kind in a namespace, or in all, or those with these labels; `metadata_only`: no more of each than its metadata.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        labels: Option<&str>,
        metadata_only: bool,
    ) -> Result<Vec<Value>, CallError> {
        let mut found = Vec::new();
        let mut params = ListParams { label_selector: labels.map(str::to_owned), limit: Some(PAGE), ..ListParams::default() };
        loop {
            let request = Request::new(namespace.map_or_else(|| kind.path_everywhere(), |namespace| kind.path(namespace)));
            let request = if metadata_only { request.list_metadata(&params) } else { request.list(&params) };
            let mut page = self.send(request).await?;
            if let Value::Array(items) = page["items"].take() {
                found.extend(items);
            }
            match page["metadata"]["continue"].as_str().filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next.to_owned()),
                None => return Ok(found),
            }
        }
    }

    /// Replaces the status of an instance; the object's `resourceVersion` guards it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn replace_status(&self, namespace: &str, name: &str, body: Vec<u8>, dry_run: bool) -> Result<Value, CallError> {
        let params = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
        let request = Request::new(Kind::ConnectorInstance.path(namespace)).replace_subresource("status", name, &params, body);
        self.send(request).await
    }

    /// Replaces an object; a `resourceVersion` in it guards it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn replace(&self, kind: Kind, namespace: &str, name: &str, object: &Value) -> Result<Value, CallError> {
        self.send(Request::new(kind.path(namespace)).replace(name, &params(), object.to_string().into_bytes())).await
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`CallError`]; `Conflict` when there is one.
    pub async fn create(&self, kind: Kind, namespace: &str, object: &Value) -> Result<Value, CallError> {
        self.send(Request::new(kind.path(namespace)).create(&params(), object.to_string().into_bytes())).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<(), CallError> {
        self.send(Request::new(kind.path(namespace)).delete(name, &DeleteParams::default())).await.map(drop)
    }

    async fn send(&self, request: Result<http::Request<Vec<u8>>, kube::core::request::Error>) -> Result<Value, CallError> {
        let request = request.map_err(|error| CallError::Refused(error.to_string()))?;
        match tokio::time::timeout(DEADLINE, self.client.request::<Value>(request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(CallError::Unavailable(format!("no answer within {} seconds", DEADLINE.as_secs()))),
        }
    }
}

fn params() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(MANAGER.to_owned()) }
}
