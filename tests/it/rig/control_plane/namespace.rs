//! One test's part of the control plane.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::api::Api;
use super::{ControlPlane, Run};

/// A namespace with a name of its own. Dropped, it is deleted with all that is in it.
pub struct Namespace<'p> {
    plane: &'p ControlPlane,
    name: String,
    kubeconfig: PathBuf,
}

impl<'p> Namespace<'p> {
    pub(super) fn new(plane: &'p ControlPlane, test: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{test}-{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        plane.api().create("/api/v1/namespaces", &object).ok();
        let kubeconfig = plane.kubeconfig(plane.url(), &plane.identity().admin_token, &name);
        Self { plane, name, kubeconfig }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn plane(&self) -> &'p ControlPlane {
        self.plane
    }

    /// The admin's access.
    pub fn api(&self) -> &'p Api {
        self.plane.api()
    }

    /// The admin's kubeconfig with this namespace as its default.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Path of a collection of the core API here, such as `secrets`, or of an object in it, such as `secrets/login`.
    pub fn core(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.name)
    }

    /// Path in an API group and version here, such as `coordination.k8s.io/v1` and `leases`.
    pub fn group(&self, group: &str, rest: &str) -> String {
        format!("/apis/{group}/namespaces/{}/{rest}", self.name)
    }

    /// Path of the collection of instances here.
    pub fn instances(&self) -> String {
        self.group("pollinator.dev/v1alpha1", "connectorinstances")
    }

    /// Path of an instance here.
    pub fn instance(&self, name: &str) -> String {
        format!("{}/{name}", self.instances())
    }

    /// Runs kubectl as the admin.
    pub fn kubectl(&self, arguments: &[&str]) -> Run {
        self.kubectl_with(arguments, "")
    }

    /// The same with something on stdin, for `-f -`.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Run {
        Run::of(self.plane.kubectl(&self.kubeconfig).args(arguments), input)
    }

    /// Runs Helm as the admin. `None`: it cannot be had here, which one loud line said.
    pub fn helm(&self, arguments: &[&str]) -> Option<Run> {
        let mut command = self.plane.helm(&self.kubeconfig)?;
        Some(Run::of(command.args(arguments), ""))
    }

    /// `kubectl apply` of manifests.
    pub fn apply(&self, yaml: &str) {
        self.kubectl_with(&["apply", "-f", "-"], yaml).ok();
    }

    /// What `kubectl apply --server-side --force-conflicts` does with Secrets, instances and connectors, without a process for each.
    pub fn apply_directly(&self, yaml: &str) {
        for document in yaml.split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"));
            let name = object["metadata"]["name"].as_str().unwrap_or_else(|| panic!("no name\n{document}"));
            let path = match object["kind"].as_str() {
                Some("Secret") => self.core(&format!("secrets/{name}")),
                Some("ConnectorInstance") => self.instance(name),
                Some("Connector") => self.group("pollinator.dev/v1alpha1", &format!("connectors/{name}")),
                other => panic!("{other:?} is applied by kubectl"),
            };
            self.api().apply_by_force(&path, "it", document).ok();
        }
    }

    /// Makes a `ServiceAccount` if it is not there, and returns a token for it that lives for an hour.
    pub fn token(&self, account: &str) -> String {
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}});
        let made = self.api().create(&self.core("serviceaccounts"), &object);
        assert!(matches!(made.status, 201 | 409), "{} {}", made.status, made.body);
        let ask =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
        let granted = self.api().create(&self.core(&format!("serviceaccounts/{account}/token")), &ask).ok();
        granted["status"]["token"].as_str().expect("a granted token").to_owned()
    }

    /// What a `ServiceAccount` may see and do.
    pub fn api_as(&self, account: &str) -> Api {
        self.api().with_token(&self.token(account))
    }

    /// A kubeconfig for a `ServiceAccount`.
    pub fn kubeconfig_as(&self, account: &str) -> PathBuf {
        self.plane.kubeconfig(self.plane.url(), &self.token(account), &self.name)
    }

    /// An instance as it is now.
    pub fn get_instance(&self, name: &str) -> Value {
        self.api().get(&self.instance(name)).ok()
    }

    /// Changes the status of an instance as another writer does: read, changed and put anew while an operator is quicker.
    pub fn edit_status(&self, name: &str, mut edit: impl FnMut(&mut Value)) {
        let path = self.instance(name);
        let edited = (0..100).any(|_| {
            let mut object = self.get_instance(name);
            edit(&mut object["status"]);
            let put = self.api().replace(&format!("{path}/status"), &object);
            let late = put.status == 409;
            if !late {
                put.ok();
            }
            !late
        });
        assert!(edited, "{name}: its status changes too often to be edited");
    }

    /// Waits until an instance satisfies `look`.
    pub fn wait_instance<R>(&self, name: &str, what: &str, look: impl FnMut(&Value) -> Option<R>) -> R {
        self.api().wait_for(&self.instance(name), what, look)
    }

    /// Waits until a condition of an instance has this status and reason, and returns its message.
    pub fn wait_condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> String {
        self.wait_instance(name, &format!("{kind}={status} {reason}"), |instance| {
            let conditions = instance["status"]["conditions"].as_array()?;
            let found = conditions.iter().find(|one| one["type"] == kind)?;
            (found["status"] == status && found["reason"] == reason)
                .then(|| found["message"].as_str().unwrap_or_default().to_owned())
        })
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let _ = self.api().try_send("DELETE", &format!("/api/v1/namespaces/{}", self.name), None);
    }
}
