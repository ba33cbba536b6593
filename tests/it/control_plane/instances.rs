//! Instances as a service, at a real API server.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use pollinator::api::identity::InstanceRef;
use pollinator::api::instance::ConnectorInstance;
use pollinator::instances::changes::StatusChanges;
use pollinator::instances::cluster::ClusterInstances;
use pollinator::instances::secret_edits::SecretEdits;
use pollinator::instances::{Instances, InstancesError};
use pollinator::operator::cluster::{CallError, Cluster};
use serde_json::json;

use crate::rig::control_plane::{Namespace, shared};

/// With the access of a kubeconfig.
pub fn instances(ns: &Namespace, kubeconfig: &Path, watched: Option<&str>) -> ClusterInstances {
    let client = ns.plane().runtime().block_on(async {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    });
    ClusterInstances::new(Cluster::new(client), watched.into_iter().map(str::to_owned).collect(), StatusChanges::default())
}

fn instance(ns: &Namespace, name: &str) -> ConnectorInstance {
    let spec = json!({
        "baseUrl": "https://api.example.com",
        "resources": [{"name": "orders", "url": "/orders"}],
        "callback": {"url": "https://hooks.example.org/in"},
    });
    let mut instance = ConnectorInstance::new(name, serde_json::from_value(spec).unwrap());
    instance.metadata.namespace = Some(ns.name().to_owned());
    instance
}

fn names(all: &[ConnectorInstance], ns: &Namespace) -> Vec<String> {
    let own = all.iter().filter(|one| one.metadata.namespace.as_deref() == Some(ns.name()));
    own.map(|one| one.metadata.name.clone().unwrap()).collect()
}

/// Waits for an answer. Not within others: the rig's own calls wait in the same way.
fn wait<T>(ns: &Namespace, answer: impl Future<Output = T>) -> T {
    ns.plane().runtime().block_on(answer)
}

#[test]
fn an_instance_is_created_read_changed_and_deleted() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("instances");
    let (all, of) = (instances(&ns, ns.kubeconfig(), None), InstanceRef::new(ns.name(), "keap"));
    assert!(matches!(wait(&ns, all.get(&of)), Err(InstancesError::NotFound(_))));
    let mut new = instance(&ns, "keap");
    new.metadata.labels = Some([("team".to_owned(), "crm".to_owned())].into());
    let created = wait(&ns, all.create(new, SecretEdits::default())).unwrap().instance;
    assert!(created.metadata.uid.is_some() && created.metadata.resource_version.is_some());
    let again = wait(&ns, all.create(instance(&ns, "keap"), SecretEdits::default())).unwrap();
    assert!(!again.is_new && again.instance.metadata.uid == created.metadata.uid, "a repeated call makes no second one");
    let mut another = instance(&ns, "keap");
    another.spec.tags = vec!["other".to_owned()];
    assert!(matches!(wait(&ns, all.create(another, SecretEdits::default())), Err(InstancesError::Exists(_))));
    assert_eq!(wait(&ns, all.get(&of)).unwrap().spec, created.spec);

    // what somebody else put there in the meantime stays
    ns.api().merge(&ns.instance("keap"), &json!({"metadata": {"finalizers": ["example.org/keep"]}})).ok();
    let mut change = created;
    change.spec.suspend = true;
    assert!(matches!(wait(&ns, all.update(change.clone(), SecretEdits::default())), Err(InstancesError::Changed(_))));
    change.metadata.resource_version = wait(&ns, all.get(&of)).unwrap().metadata.resource_version;
    let updated = wait(&ns, all.update(change.clone(), SecretEdits::default())).unwrap();
    assert!(updated.spec.suspend && updated.metadata.generation == Some(2));
    assert_eq!(updated.metadata.finalizers, Some(vec!["example.org/keep".to_owned()]));
    assert_eq!(updated.metadata.labels.unwrap()["team"], "crm");
    change.metadata.resource_version = None;
    let told = wait(&ns, all.update(change, SecretEdits::default())).unwrap_err().to_string();
    assert!(told.starts_with("metadata.resourceVersion: Required value"), "{told}");

    ns.api().merge(&ns.instance("keap"), &json!({"metadata": {"finalizers": null}})).ok();
    wait(&ns, all.delete(&of)).unwrap();
    assert!(matches!(wait(&ns, all.get(&of)), Err(InstancesError::NotFound(_))));
    assert!(matches!(wait(&ns, all.delete(&of)), Err(InstancesError::NotFound(_))));
}

#[test]
fn lists_are_of_one_namespace_or_of_all_and_have_the_statuses() {
    let Some(plane) = shared() else { return };
    let [ns, other] = ["instances-list", "instances-other"].map(|test| plane.namespace(test));
    let all = instances(&ns, ns.kubeconfig(), None);
    let watching = instances(&ns, ns.kubeconfig(), Some(ns.name()));
    for (ns, name) in [(&ns, "b"), (&ns, "a"), (&other, "c")] {
        wait(ns, all.create(instance(ns, name), SecretEdits::default())).unwrap();
    }
    ns.edit_status("a", |status| *status = json!({"delivered": 3, "observedGeneration": 1, "bookkeeping": "{}"}));

    let listed = wait(&ns, all.list(Some(ns.name()))).unwrap();
    assert_eq!(names(&listed, &ns), ["a", "b"]);
    let status = listed[0].status.clone().unwrap();
    assert_eq!((status.delivered, status.observed_generation, status.bookkeeping), (Some(3), Some(1), None));
    let everywhere = wait(&ns, all.list(None)).unwrap();
    assert_eq!((names(&everywhere, &ns).len(), names(&everywhere, &other).len()), (2, 1));

    // an operator of one namespace
    assert_eq!(wait(&ns, watching.list(None)).unwrap().len(), 2);
    assert!(wait(&ns, watching.list(Some(other.name()))).unwrap().is_empty());
    let of = InstanceRef::new(other.name(), "c");
    assert!(matches!(wait(&ns, watching.get(&of)), Err(InstancesError::NotFound(_))));
    assert!(matches!(wait(&ns, watching.delete(&of)), Err(InstancesError::NotFound(_))));
    let told = wait(&ns, watching.create(instance(&other, "d"), SecretEdits::default())).unwrap_err().to_string();
    assert!(told.starts_with("metadata.namespace: ") && told.contains(ns.name()), "{told}");
}

#[test]
fn the_server_decides_what_is_valid_and_what_a_caller_may() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("instances-may");
    let (all, nobody) = (instances(&ns, ns.kubeconfig(), None), instances(&ns, &ns.kubeconfig_as("nobody"), None));
    let mut wrong = instance(&ns, "keap");
    wrong.spec.base_url = None;
    let told = wait(&ns, all.create(wrong, SecretEdits::default())).unwrap_err();
    assert!(matches!(&told, InstancesError::Refused(words) if words.contains("baseUrl is required")), "{told}");

    let of = InstanceRef::new(ns.name(), "keap");
    let refused = |error| matches!(error, InstancesError::Call(CallError::Forbidden(_)));
    assert!(refused(wait(&ns, nobody.get(&of)).unwrap_err()));
    assert!(refused(wait(&ns, nobody.list(Some(ns.name()))).unwrap_err()));
    assert!(refused(wait(&ns, nobody.create(instance(&ns, "keap"), SecretEdits::default())).unwrap_err()));
    assert!(refused(wait(&ns, nobody.delete(&of)).unwrap_err()));
}
