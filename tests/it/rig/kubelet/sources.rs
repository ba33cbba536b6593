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
