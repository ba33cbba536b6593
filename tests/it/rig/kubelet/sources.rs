//! What pods refer to: `ConfigMaps`, Secrets, and tokens of their `ServiceAccount`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client};

type Entries = BTreeMap<String, Vec<u8>>;

/// Audience (empty: the API server's own) and seconds.
type Wanted = (String, i64);

/// The present contents.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    objects: BTreeMap<(&'static str, String), Entries>,
    tokens: BTreeMap<Wanted, (String, DateTime<Utc>)>,
}

impl Sources {
    /// Entries of a `configmap` or `secret`; `None`: there is none.
    pub fn entries(&self, kind: &'static str, name: &str) -> Option<&Entries> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// Puts an object there.
    pub fn put(&mut self, kind: &'static str, name: &str, entries: Entries) {
        self.objects.insert((kind, name.to_owned()), entries);
    }

    /// The token of a projection.
    pub fn token(&self, projection: &ServiceAccountTokenProjection) -> Option<&str> {
        self.tokens.get(&wanted(projection)).map(|(token, _)| token.as_str())
    }

    /// Reads all that a pod refers to. Tokens are asked for anew at 80 % of their life.
    pub async fn read(&mut self, client: &Client, pod: &Pod, now: DateTime<Utc>) -> Result<(), kube::Error> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let (maps, secrets): (Api<ConfigMap>, Api<Secret>) =
            (Api::namespaced(client.clone(), namespace), Api::namespaced(client.clone(), namespace));
        for (kind, name) in references(pod) {
            let entries = if kind == "secret" {
                let secret = secrets.get_opt(&name).await?;
                secret.map(|secret| secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
            } else {
                maps.get_opt(&name).await?.map(config_map)
            };
            match entries {
                Some(entries) => drop(self.objects.insert((kind, name), entries)),
                None => drop(self.objects.remove(&(kind, name))),
            }
        }
        for projection in projections(pod) {
            let wanted = wanted(projection);
            if self.tokens.get(&wanted).is_some_and(|(_, renew)| now < *renew) {
                continue;
            }
            let token = request(client, pod, &wanted).await?;
            self.tokens.insert(wanted.clone(), (token, now + TimeDelta::seconds(wanted.1 * 8 / 10)));
        }
        Ok(())
    }
}

fn config_map(map: ConfigMap) -> Entries {
    let texts = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
    let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
    texts.chain(bytes).collect()
}

fn wanted(projection: &ServiceAccountTokenProjection) -> Wanted {
    (projection.audience.clone().unwrap_or_default(), projection.expiration_seconds.unwrap_or(3600))
}

async fn request(client: &Client, pod: &Pod, (audience, seconds): &Wanted) -> Result<String, kube::Error> {
    let (meta, spec) = (&pod.metadata, pod.spec.as_ref());
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), meta.namespace.as_deref().unwrap_or_default());
    let account = spec.and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
    };
    let audiences = if audience.is_empty() { Vec::new() } else { vec![audience.clone()] };
    let spec = TokenRequestSpec { audiences, bound_object_ref: Some(bound), expiration_seconds: Some(*seconds) };
    let ask = TokenRequest { spec, ..TokenRequest::default() };
    let granted = accounts.create_token_request(account, &PostParams::default(), &ask).await?;
    Ok(granted.status.map(|status| status.token).unwrap_or_default())
}

fn projections(pod: &Pod) -> impl Iterator<Item = &ServiceAccountTokenProjection> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let projected =
        volumes.filter_map(|volume| volume.projected.as_ref()).flat_map(|projected| projected.sources.iter().flatten());
    projected.filter_map(|source| source.service_account_token.as_ref())
}

/// Names of the `ConfigMaps` and Secrets in volumes and variables.
fn references(pod: &Pod) -> BTreeSet<(&'static str, String)> {
    let mut found = BTreeSet::new();
    let Some(spec) = &pod.spec else { return found };
    for volume in spec.volumes.iter().flatten() {
        found.extend(volume.config_map.as_ref().map(|map| ("configmap", map.name.clone())));
        found.extend(volume.secret.as_ref().and_then(|secret| Some(("secret", secret.secret_name.clone()?))));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            found.extend(source.config_map.as_ref().map(|map| ("configmap", map.name.clone())));
            found.extend(source.secret.as_ref().map(|secret| ("secret", secret.name.clone())));
        }
    }
    let containers: Vec<&Container> = spec.containers.iter().chain(spec.init_containers.iter().flatten()).collect();
    for container in containers {
        for from in container.env_from.iter().flatten() {
            found.extend(from.config_map_ref.as_ref().map(|map| ("configmap", map.name.clone())));
            found.extend(from.secret_ref.as_ref().map(|secret| ("secret", secret.name.clone())));
        }
        for from in container.env.iter().flatten().filter_map(|var| var.value_from.as_ref()) {
            found.extend(from.config_map_key_ref.as_ref().map(|map| ("configmap", map.name.clone())));
            found.extend(from.secret_key_ref.as_ref().map(|secret| ("secret", secret.name.clone())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::control_plane::shared_with_controllers;
    use super::*;

    #[test]
    fn what_a_pod_refers_to() {
        let from = json!({"configMapKeyRef": {"name": "a", "key": "k"}});
        let pod = json!({"spec": {
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "b"}}]}],
            "containers": [{"name": "c", "env": [{"name": "X", "valueFrom": from}, {"name": "Y", "value": "z"}]}],
            "volumes": [
                {"name": "v", "secret": {"secretName": "c"}},
                {"name": "w", "projected": {"sources": [{"configMap": {"name": "d"}}, {"secret": {"name": "e"}}]}},
                {"name": "x", "emptyDir": {}}
            ]
        }});
        let found = references(&serde_json::from_value(pod).unwrap());
        let found: Vec<_> = found.iter().map(|(kind, name)| format!("{kind}/{name}")).collect();
        assert_eq!(found, ["configmap/a", "configmap/d", "secret/b", "secret/c", "secret/e"]);
    }

    #[test]
    fn a_token_is_bound_to_its_pod_and_renewed_in_time() {
        let Some(plane) = shared_with_controllers() else { return };
        let ns = plane.namespace("tokens");
        ns.api().wait_for(&ns.core("serviceaccounts/default"), "its account", |found| found.is_object().then_some(()));
        let source = json!({"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}});
        let pod = json!({"metadata": {"name": "it"}, "spec": {
            "containers": [{"name": "c", "image": "none"}],
            "volumes": [{"name": "mine", "projected": {"sources": [source]}}]
        }});
        let pod: Pod = serde_json::from_value(ns.api().create(&ns.core("pods"), &pod).ok()).unwrap();
        let projection = projections(&pod).find(|one| one.audience.as_deref() == Some("vault")).unwrap();
        let now = Utc::now();
        let mut sources = Sources::default();
        let kubeconfig = kube::config::Kubeconfig::read_from(ns.kubeconfig()).unwrap();
        let tokens = plane.runtime().block_on(async {
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
            let client = Client::try_from(config).unwrap();
            let mut tokens = Vec::new();
            for seconds in [0, 479, 481] {
                sources.read(&client, &pod, now + TimeDelta::seconds(seconds)).await.unwrap();
                tokens.push(sources.token(projection).unwrap().to_owned());
            }
            tokens
        });
        assert_eq!(tokens[0], tokens[1]);
        assert_ne!(tokens[1], tokens[2]);
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": tokens[2], "audiences": ["vault"]}
        });
        let told = ns.api().create("/apis/authentication.k8s.io/v1/tokenreviews", &review).ok();
        assert_eq!(told["status"]["authenticated"], true, "{told}");
        assert_eq!(told["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["it"]));
    }
}
