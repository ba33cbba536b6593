//! Single calls to the API server, each with a deadline and without hidden repeats.

use std::time::Duration;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use kube::Client;
use kube::core::Request;
use kube::core::params::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use super::denial::{Denial, Denied};
use super::denial::{TERMINATING, denied};
use crate::api::names;

/// The one field manager.
pub const MANAGER: &str = "pollinator";
/// Deadline of one call.
const DEADLINE: Duration = Duration::from_secs(15);
/// Objects of one page of a list.
const PAGE: u32 = 500;

/// What etcd says once its quota is used up (its alarm NOSPACE), as the API server passes it on.
const STORE_FULL: &str = "database space exceeded";

/// Asks for a list as rows.
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";

/// In it `kubectl apply` keeps what was applied, the values of a Secret included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What is read and written one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// The objects of a namespace. What can be no namespace has none, and gets into no path.
    fn path(self, namespace: &str) -> Result<String, CallError> {
        let (root, plural) = self.root_and_plural();
        if names::is_label(namespace) {
            Ok(format!("{root}/namespaces/{namespace}/{plural}"))
        } else {
            Err(CallError::NotFound)
        }
    }

    /// As [`Self::path`], for calls that put `name` behind it.
    fn path_for(self, namespace: &str, name: &str) -> Result<String, CallError> {
        if names::is_subdomain(name) { self.path(namespace) } else { Err(CallError::NotFound) }
    }

    /// Its API group, empty for the core one, and its plural.
    pub(super) fn group_and_plural(self) -> (&'static str, &'static str) {
        let (version, _) = self.names();
        (version.split_once('/').map_or("", |(group, _)| group), self.root_and_plural().1)
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
    /// A person must allow it: a permission, a quota or an admission policy.
    #[error("forbidden")]
    Forbidden(Denial),
    /// The server refuses what was sent; its words.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer, or one that may be better later.
    #[error("unavailable: {0}")]
    Unavailable(Outage),
}

/// Why the API server does not do what it was asked to, though it may later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outage {
    /// Its store takes nothing more, until a person has made room.
    #[error("the store of the API server (etcd) is out of space")]
    StoreFull,
    /// Anything else, in words for the log.
    #[error("{0}")]
    Other(String),
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::Unavailable(Outage::Other(error.to_string())) };
        match status.code {
            404 => Self::NotFound,
            409 => Self::Conflict,
            401 => Self::Forbidden(Denial { of: Denied::Caller, words: status.message }),
            403 if status.message.contains(TERMINATING) => {
                Self::Unavailable(Outage::Other("the namespace is being deleted".to_owned()))
            }
            403 => Self::Forbidden(Denial { of: denied(&status.message), words: status.message }),
            400 | 422 if denied(&status.message) == Denied::Policy => {
                Self::Forbidden(Denial { of: Denied::Policy, words: status.message })
            }
            400 | 413 | 422 => Self::Refused(status.message),
            500 if status.message.contains(STORE_FULL) => Self::Unavailable(Outage::StoreFull),
            _ => Self::Unavailable(Outage::Other(format!("{} {}", status.code, status.reason))),
        }
    }
}

/// The API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// What each request says of who asks; `None`: what the client says.
    authorization: Option<HeaderValue>,
}

impl Cluster {
    /// `client` must not repeat calls by itself: a repeated write hides its conflict.
    pub fn new(client: Client) -> Self {
        Self { client, authorization: None }
    }

    /// The same for another caller. The client must have no credentials of its own.
    #[must_use]
    pub fn with_authorization(self, authorization: HeaderValue) -> Self {
        Self { authorization: Some(authorization), ..self }
    }

    /// Reads an object as it is, without the bookkeeping of its field managers (absent, the server keeps it), and of a Secret without
    /// what `kubectl apply` keeps in an annotation: all values once more, under no name that anything looks for.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value, CallError> {
        let request = Request::new(kind.path_for(namespace, name)?).get(name, &GetParams::default());
        let mut object = self.send(request).await?;
        strip(kind, &mut object);
        Ok(object)
    }

    /// An instance as [`get`](Self::get) reads it, and who else declares its spec and would undo a change of it: a manager that applies
    /// it, `kubectl apply` of an older kind, or Helm. Of its managers stays when they wrote the status, for those who show it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get_declared(&self, namespace: &str, name: &str) -> Result<(Value, Option<String>), CallError> {
        let request = Request::new(Kind::ConnectorInstance.path_for(namespace, name)?).get(name, &GetParams::default());
        let mut object = self.send(request).await?;
        let (declared_by, written) = (declared_by(&object["metadata"]), status_writes(&object["metadata"]));
        strip(Kind::ConnectorInstance, &mut object);
        object["metadata"]["managedFields"] = written;
        Ok((object, declared_by))
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
            let request = Request::new(namespace.map_or_else(|| Ok(kind.path_everywhere()), |namespace| kind.path(namespace))?);
            let request = if metadata_only { request.list_metadata(&params) } else { request.list(&params) };
            let mut page = self.send(request).await?;
            found.extend(items(&mut page)?.into_iter().map(|mut object| {
                strip(kind, &mut object);
                object
            }));
            match page["metadata"]["continue"].as_str().filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next.to_owned()),
                None => return Ok(found),
            }
        }
    }

    /// Shows each object of a kind in a namespace, or in all, page by page: what is not asked for is not kept.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list_each<T: DeserializeOwned>(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        mut each: impl FnMut(T),
    ) -> Result<(), CallError> {
        let mut params = ListParams { limit: Some(PAGE), ..ListParams::default() };
        loop {
            let path = namespace.map_or_else(|| Ok(kind.path_everywhere()), |namespace| kind.path(namespace))?;
            let page: Page<T> = self.send_for(Request::new(path).list(&params)).await?;
            page.items.into_iter().for_each(&mut each);
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Replaces the status of an instance; the object's `resourceVersion` guards it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn replace_status(&self, namespace: &str, name: &str, body: Vec<u8>, dry_run: bool) -> Result<Value, CallError> {
        let params = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
        let request =
            Request::new(Kind::ConnectorInstance.path_for(namespace, name)?).replace_subresource("status", name, &params, body);
        self.send(request).await
    }

    /// Replaces an object; a `resourceVersion` in it guards it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn replace(&self, kind: Kind, namespace: &str, name: &str, object: &Value) -> Result<Value, CallError> {
        self.send(Request::new(kind.path_for(namespace, name)?).replace(name, &params(), object.to_string().into_bytes())).await
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`CallError`]; `Conflict` when there is one.
    pub async fn create(&self, kind: Kind, namespace: &str, object: &Value) -> Result<Value, CallError> {
        self.send(Request::new(kind.path(namespace)?).create(&params(), object.to_string().into_bytes())).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<(), CallError> {
        self.send(Request::new(kind.path_for(namespace, name)?).delete(name, &DeleteParams::default())).await.map(drop)
    }

    /// Changes the status of a connector by a merge patch; the `resourceVersion` in it guards it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn patch_connector_status(&self, namespace: &str, name: &str, patch: &Value) -> Result<Value, CallError> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let request = Request::new(Kind::Connector.path_for(namespace, name)?);
        self.send(request.patch_subresource("status", name, &params, &Patch::Merge(patch))).await
    }

    /// One page of a list as the API server prints it, without the objects: rows of cells, by the columns of the definition.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn table(&self, kind: Kind, namespace: &str, continued: Option<&str>) -> Result<Value, CallError> {
        let mut target = format!("{}?limit={PAGE}&includeObject=None", kind.path(namespace)?);
        if let Some(token) = continued {
            target.push_str("&continue=");
            target.extend(url::form_urlencoded::byte_serialize(token.as_bytes()));
        }
        let request = http::Request::get(target).header(http::header::ACCEPT, TABLE).body(Vec::new());
        self.send(request.map_err(kube::core::request::Error::BuildRequest)).await
    }

    pub(super) async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, CallError> {
        self.send_for(request).await
    }

    async fn send_for<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, CallError> {
        let mut request = request.map_err(|error| CallError::Refused(error.to_string()))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        match tokio::time::timeout(DEADLINE, self.client.request::<T>(request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(CallError::Unavailable(Outage::Other(format!("no answer within {} seconds", DEADLINE.as_secs())))),
        }
    }
}

/// The objects of a page of a list. What is not listed counts as deleted for those who collect, so an answer of another kind must not look
/// like an empty list; that of an API server may have `null` for its items.
fn items(page: &mut Value) -> Result<Vec<Value>, CallError> {
    let is_list = page["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match page["items"].take() {
        Value::Array(items) => Ok(items),
        Value::Null if is_list => Ok(Vec::new()),
        _ => Err(CallError::Unavailable(Outage::Other("the answer of the API server is not a list".to_owned()))),
    }
}

/// One page of a list.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMetadata,
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

fn declared_by(metadata: &Value) -> Option<String> {
    let mut managers = metadata["managedFields"].as_array().into_iter().flatten();
    let applies = |entry: &&Value| {
        let fields = entry["operation"] == "Apply" && entry["fieldsV1"].get("f:spec").is_some();
        fields && entry["manager"] != MANAGER
    };
    if let Some(manager) = managers.find(applies) {
        return manager["manager"].as_str().map(str::to_owned);
    }
    let has = |annotation: &str| metadata["annotations"][annotation].is_string();
    let of_kinds = [(LAST_APPLIED, "kubectl apply"), ("meta.helm.sh/release-name", "Helm")];
    of_kinds.into_iter().find(|(annotation, _)| has(annotation)).map(|(_, who)| who.to_owned())
}

/// Who wrote the status, and when.
fn status_writes(metadata: &Value) -> Value {
    let entries = metadata["managedFields"].as_array().into_iter().flatten();
    let writes = entries.filter(|entry| entry["subresource"] == "status");
    writes.map(|entry| json!({"manager": entry["manager"], "subresource": "status", "time": entry["time"]})).collect()
}

/// Drops what nothing here reads, as soon as it has arrived.
fn strip(kind: Kind, object: &mut Value) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    metadata.remove("managedFields");
    if kind == Kind::Secret
        && let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
    }
}

fn params() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(MANAGER.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_can_be_empty() {
        for (mut page, expected) in [
            (serde_json::json!({"kind": "PartialObjectMetadataList", "items": [{}]}), Some(1)),
            (serde_json::json!({"kind": "PartialObjectMetadataList", "items": null}), Some(0)),
            (serde_json::json!({"kind": "ConnectorInstanceList", "items": []}), Some(0)),
            (serde_json::json!({"kind": "Status", "status": "Success"}), None),
            (serde_json::json!({}), None),
            (Value::Null, None),
        ] {
            let listed = items(&mut page).ok().map(|items| items.len());
            assert_eq!(listed, expected, "{page}");
        }
    }

    #[test]
    fn a_secret_has_its_values_in_its_data_alone() {
        let arrived = || {
            serde_json::json!({"metadata": {
                "name": "s", "managedFields": [{"manager": "kubectl"}],
                "annotations": {LAST_APPLIED: "{\"stringData\":{\"a\":\"canary\"}}", "other": "1"},
            }, "data": {"a": "Y2FuYXJ5"}})
        };
        let mut secret = arrived();
        strip(Kind::Secret, &mut secret);
        let left = serde_json::json!({"metadata": {"name": "s", "annotations": {"other": "1"}}, "data": {"a": "Y2FuYXJ5"}});
        assert_eq!(secret, left);
        let mut instance = arrived();
        strip(Kind::ConnectorInstance, &mut instance);
        assert!(instance["metadata"]["annotations"][LAST_APPLIED].is_string(), "others read what they wrote");
    }

    #[test]
    fn of_managers_stays_when_they_wrote_the_status() {
        let entry = |manager: &str, subresource: Value| json!({"manager": manager, "subresource": subresource, "time": "2026-01-31T11:45:00Z", "fieldsV1": {"f:status": {}}});
        let metadata = json!({"managedFields": [entry("kubectl", Value::Null), entry(MANAGER, "status".into())]});
        let kept = json!([{"manager": MANAGER, "subresource": "status", "time": "2026-01-31T11:45:00Z"}]);
        assert_eq!((status_writes(&metadata), status_writes(&json!({}))), (kept, json!([])));
    }

    #[test]
    fn who_declares_an_instance_is_told_by_its_metadata() {
        let managed = |manager: &str, operation: &str, fields: serde_json::Value| {
            declared_by(&serde_json::json!({"managedFields": [
                {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {}}},
                {"manager": manager, "operation": operation, "fieldsV1": fields},
            ]}))
        };
        let spec = || serde_json::json!({"f:spec": {"f:suspend": {}}});
        assert_eq!(managed("flux", "Apply", spec()).as_deref(), Some("flux"));
        assert_eq!(managed("kubectl-edit", "Update", spec()), None, "a person's edit declares nothing");
        assert_eq!(managed("labels", "Apply", serde_json::json!({"f:metadata": {}})), None);
        let annotated = |name: &str| declared_by(&serde_json::json!({"annotations": {name: "{}"}}));
        assert_eq!(annotated(LAST_APPLIED).as_deref(), Some("kubectl apply"));
        assert_eq!(annotated("other"), None);
    }

    #[test]
    fn no_name_leads_to_another_path() {
        assert_eq!(Kind::Secret.path_for("crm", "keap.eu").unwrap(), "/api/v1/namespaces/crm/secrets");
        for (namespace, name) in
            [("..", "x"), ("crm", ".."), ("crm", "a/b"), ("crm/secrets", "x"), ("crm", "x?dryRun=All"), ("", "x"), ("crm", "")]
        {
            for kind in [Kind::ConnectorInstance, Kind::Connector, Kind::ConfigMap, Kind::Secret] {
                assert_eq!(kind.path_for(namespace, name), Err(CallError::NotFound), "{namespace} {name}");
            }
        }
    }
}
