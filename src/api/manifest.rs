//! Manifests: one text of several YAML or JSON documents, or of lists as kubectl writes them → what they declare.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::connector::Connector;
use super::finding::Finding;
use super::instance::ConnectorInstance;
use super::nearest::nearest;
use super::validate::{Kind, validate};
use super::{API_VERSION, yaml};

/// Namespace of a manifest that names none.
pub const NAMESPACE: &str = "default";

const KINDS: [(&str, &str, Kind); 3] = [
    ("ConnectorInstance", API_VERSION, Kind::ConnectorInstance),
    ("Connector", API_VERSION, Kind::Connector),
    ("Secret", "v1", Kind::Secret),
];

/// One object that a user declares. Its namespace is always set.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// One account at one provider.
    ConnectorInstance(Box<ConnectorInstance>),
    /// What is the same for every account at one provider.
    Connector(Box<Connector>),
    /// Credentials.
    Secret(DeclaredSecret),
}

/// A Secret as it was declared; `data` decoded, `stringData` over it, as on the server. Its `Debug` shows keys, never values.
#[derive(Clone, PartialEq, Eq)]
pub struct DeclaredSecret {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Values by key.
    pub data: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for DeclaredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeclaredSecret")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("keys", &self.data.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Manifest {
    /// Kind as it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ConnectorInstance(_) => "ConnectorInstance",
            Self::Connector(_) => "Connector",
            Self::Secret(_) => "Secret",
        }
    }

    /// Namespace and name.
    pub fn key(&self) -> (&str, &str) {
        let (namespace, name) = match self {
            Self::ConnectorInstance(instance) => (&instance.metadata.namespace, &instance.metadata.name),
            Self::Connector(connector) => (&connector.metadata.namespace, &connector.metadata.name),
            Self::Secret(secret) => return (&secret.namespace, &secret.name),
        };
        (namespace.as_deref().unwrap_or(NAMESPACE), name.as_deref().unwrap_or_default())
    }
}

/// Where a manifest stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Name of the file as the user knows it.
    pub file: Arc<str>,
    /// Number of the document in the file, from 1; empty documents do not count.
    pub document: usize,
    /// Path in the document, such as `items[2]`; empty unless it is a list.
    pub item: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)?;
        if self.item.is_empty() { Ok(()) } else { write!(f, ", {}", self.item) }
    }
}

/// Why a manifest is refused. Never shows a value of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {finding}")]
pub struct ManifestError {
    /// File and document.
    pub place: Place,
    /// Path and message.
    pub finding: Finding,
}

/// What a text declares. A refused document does not keep the others from being read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// What can be used, in the order of the text.
    pub manifests: Vec<(Place, Manifest)>,
    /// Everything that must be fixed; several for one document.
    pub errors: Vec<ManifestError>,
    /// Objects of other kinds, which are left alone: a sentence for each.
    pub others: Vec<String>,
}

/// Reads one text. `file` is named in errors.
pub fn read(file: &str, text: &str) -> Declared {
    let file: Arc<str> = file.into();
    let mut declared = Declared::default();
    for (index, document) in yaml::documents(text).into_iter().enumerate() {
        let place = Place { file: file.clone(), document: index + 1, item: String::new() };
        match document {
            Ok(object) => declared.take(place, object),
            Err(message) => declared.refuse(&place, vec![finding("", message)]),
        }
    }
    declared
}

impl Declared {
    fn refuse(&mut self, place: &Place, findings: Vec<Finding>) {
        self.errors.extend(findings.into_iter().map(|finding| ManifestError { place: place.clone(), finding }));
    }

    fn take(&mut self, place: Place, object: Value) {
        match what(&object) {
            Ok(What::Ours(kind)) => match manifest(kind, object) {
                Ok(manifest) => self.manifests.push((place, manifest)),
                Err(findings) => self.refuse(&place, findings),
            },
            Ok(What::List) => {
                for (index, item) in items(object).into_iter().enumerate() {
                    let dot = if place.item.is_empty() { "" } else { "." };
                    self.take(Place { item: format!("{}{dot}items[{index}]", place.item), ..place.clone() }, item);
                }
            }
            Ok(What::Other { version, kind }) => {
                self.others.push(format!("{place}: is a {kind} of {version}, which Pollinator does not read; ignored"));
            }
            Err(findings) => self.refuse(&place, findings),
        }
    }
}

fn finding(path: &str, message: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), message: message.into() }
}

fn manifest(kind: Kind, mut object: Value) -> Result<Manifest, Vec<Finding>> {
    if kind == Kind::Secret {
        // The server keeps the key of a value that is null, with nothing in it.
        for map in ["data", "stringData"] {
            let values = object.get_mut(map).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
            values.filter(|value| value.is_null()).for_each(|value| *value = "".into());
        }
    }
    // An empty namespace is none.
    if object["metadata"]["namespace"] == "" {
        object["metadata"]["namespace"] = Value::Null;
    }
    let mut object = validate(kind, &object)?;
    let namespace = &mut object["metadata"]["namespace"];
    if !namespace.is_string() {
        *namespace = NAMESPACE.into();
    }
    match kind {
        Kind::ConnectorInstance => typed(object).map(Box::new).map(Manifest::ConnectorInstance),
        Kind::Connector => typed(object).map(Box::new).map(Manifest::Connector),
        Kind::Secret => secret(&object).map(Manifest::Secret),
    }
}

/// What an object is, by its apiVersion and kind.
enum What {
    Ours(Kind),
    /// `List`, `SecretList` and the like: what `kubectl get -o yaml` prints.
    List,
    /// Of another project, among ours in one file.
    Other {
        version: String,
        kind: String,
    },
}

fn what(object: &Value) -> Result<What, Vec<Finding>> {
    if !object.is_object() {
        return Err(vec![finding("", "is not a manifest: write a map with apiVersion, kind, metadata and spec")]);
    }
    let Some(kind) = object["kind"].as_str() else {
        return Err(vec![finding("kind", "Required value: one of ConnectorInstance, Connector, Secret")]);
    };
    let version = object["apiVersion"].as_str();
    let known = KINDS.iter().find(|(name, ..)| *name == kind);
    if known.is_none() && object.get("items").is_some_and(|items| items.is_array() || items.is_null()) {
        return Ok(What::List);
    }
    if let Some(version) = version.filter(|version| is_foreign(version, kind)) {
        return Ok(What::Other { version: version.to_owned(), kind: kind.to_owned() });
    }
    let Some((_, expected, found)) = known else {
        let meant = match nearest(kind, KINDS.iter().map(|(name, ..)| *name)) {
            Some(near) => format!("did you mean {near}?"),
            None => "known are ConnectorInstance, Connector and Secret".to_owned(),
        };
        return Err(vec![finding("kind", format!("unknown kind {kind:?}, {meant}"))]);
    };
    match version {
        Some(given) if given == *expected => Ok(What::Ours(*found)),
        Some(given) => {
            Err(vec![finding("apiVersion", format!("unknown apiVersion {given:?} for kind {kind}, did you mean {expected}?"))])
        }
        None => Err(vec![finding("apiVersion", format!("Required value: {expected} for kind {kind}"))]),
    }
}

/// Whether the kind is another project's, rather than one of ours that is misspelt. A group with a dot that is neither ours nor nearly ours
/// is foreign; among the groups of Kubernetes itself the kind decides.
fn is_foreign(version: &str, kind: &str) -> bool {
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let ours = API_VERSION.split('/').next().unwrap_or_default();
    if group.contains('.') {
        return group != ours && nearest(group, [ours]).is_none();
    }
    !version.is_empty() && nearest(kind, KINDS.iter().map(|(name, ..)| *name)).is_none()
}

/// The objects in a list. Those of a typed one may leave out what the list's own kind says.
fn items(mut list: Value) -> Vec<Value> {
    let Value::Array(mut items) = list["items"].take() else { return Vec::new() };
    let kind = list["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).unwrap_or_default();
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        if !kind.is_empty() && item.get("kind").and_then(Value::as_str).unwrap_or_default().is_empty() {
            item.insert("kind".to_owned(), kind.into());
            item.insert("apiVersion".to_owned(), list["apiVersion"].clone());
        }
    }
    items
}

/// The schema is made from the types, so that what it accepts parses; a failure here is a gap between the two.
fn typed<T: DeserializeOwned>(object: Value) -> Result<T, Vec<Finding>> {
    serde_json::from_value(object).map_err(|error| vec![finding("", format!("is not understood: {error}"))])
}

fn secret(object: &Value) -> Result<DeclaredSecret, Vec<Finding>> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let mut data = BTreeMap::new();
    let mut findings = Vec::new();
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        // Line breaks are no part of it: `base64` wraps its output.
        let packed: String = value.as_str().unwrap_or_default().split(['\r', '\n']).collect();
        match STANDARD.decode(packed) {
            Ok(value) => {
                data.insert(key.clone(), value);
            }
            Err(_) => findings.push(finding(&format!("data.{key}"), "is not Base64; plain text belongs in stringData")),
        }
    }
    for (key, value) in object["stringData"].as_object().into_iter().flatten() {
        data.insert(key.clone(), value.as_str().unwrap_or_default().as_bytes().to_vec());
    }
    if findings.is_empty() {
        Ok(DeclaredSecret { namespace: text("namespace"), name: text("name"), data })
    } else {
        Err(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{encoding, file_cases};
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        read("shop.yaml", text).errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_all_kinds_from_one_text() {
        let text = "
apiVersion: pollinator.dev/v1alpha1
kind: ConnectorInstance
metadata: {name: shop, namespace: crm}
spec:
  baseUrl: https://api.example.com
  polling: {startFrom: 2026-01-31T00:00:00Z}
  resources: [{name: orders, url: /orders, query: {limit: '100'}}]
  callback: {url: https://h.example/in}
---
# a comment alone is no document
---
{\"apiVersion\": \"pollinator.dev/v1alpha1\", \"kind\": \"Connector\", \"metadata\": {\"name\": \"shop\"}, \"spec\": {\"resources\": [{\"name\": \"a\", \"hubPaths\": [\"/hubs/crm/a\"], \"url\": \"/a\"}]}}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-auth}
type: Opaque
data: {token: \"aHVu\\ndGVyMg==\\n\", other: YQ==}
stringData: {other: plain}
";
        let declared = read("shop.yaml", text);
        assert_eq!(declared.errors, []);
        let [(first, instance), (_, connector), (third, secret)] = &declared.manifests[..] else { panic!("{declared:?}") };
        assert_eq!((first.document, third.document, third.to_string().as_str()), (1, 3, "shop.yaml, document 3"));
        assert_eq!((instance.kind(), instance.key()), ("ConnectorInstance", ("crm", "shop")));
        let Manifest::ConnectorInstance(instance) = instance else { panic!() };
        assert_eq!(instance.spec.polling.as_ref().unwrap().start_from.as_deref(), Some("2026-01-31T00:00:00Z"));
        let Manifest::Connector(connector) = connector else { panic!() };
        assert_eq!(connector.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(connector.spec.resources[0].hub_paths, ["/hubs/crm/a"]);
        let Manifest::Secret(secret) = secret else { panic!() };
        assert_eq!((secret.data["token"].as_slice(), secret.data["other"].as_slice()), (&b"hunter2"[..], &b"plain"[..]));
    }

    /// The objects of a text, out of their lists.
    fn objects(text: &str) -> Vec<Value> {
        fn flat(object: Value) -> Vec<Value> {
            match what(&object) {
                Ok(What::List) => items(object).into_iter().flat_map(flat).collect(),
                Ok(What::Ours(Kind::ConnectorInstance)) => vec![object],
                _ => panic!("{object}"),
            }
        }
        yaml::documents(text).into_iter().flat_map(|document| flat(document.unwrap())).collect()
    }

    /// kubectl says the same (`tests/it/control_plane/kubectl.rs`).
    #[test]
    fn files_are_read_as_kubectl_reads_them() {
        for case in file_cases::cases() {
            let text = encoding::decode(&case.bytes).unwrap();
            let specs: Vec<_> = objects(&text).into_iter().map(|mut object| object["spec"].take()).collect();
            assert_eq!(specs, case.specs, "{}\n{text}", case.what);
        }
    }

    /// `kubectl get -o yaml` of an instance and a Secret, with all that the server adds.
    #[test]
    fn what_kubectl_prints_reads_back() {
        let metadata = "
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {\"apiVersion\":\"v1\",\"kind\":\"Secret\"}
    creationTimestamp: \"2026-11-24T12:44:14Z\"
    generation: 3
    managedFields:
    - apiVersion: v1
      fieldsType: FieldsV1
      fieldsV1: {\"f:data\": {\".\": {}, \"f:token\": {}}}
      manager: kubectl
      operation: Update
      time: \"2026-11-24T12:44:14Z\"
    finalizers: [a.example/b]
    labels: {a: b}
    ownerReferences: [{apiVersion: v1, kind: X, name: owner, uid: u}]
    name: shop
    namespace: crm
    resourceVersion: \"4711\"
    selfLink: /x
    uid: 0b2c8c6e-0000-4000-8000-000000000000
";
        let text = format!(
            "apiVersion: v1
items:
- apiVersion: pollinator.dev/v1alpha1
  kind: ConnectorInstance
  metadata:{metadata}  spec:
    baseUrl: https://api.example.com
    callback: {{url: https://h.example/in}}
    resources: [{{name: orders, url: /orders}}]
  status:
    observedGeneration: 3
    delivered: 7
    conditions: []
- apiVersion: v1
  data: {{token: aHVudGVyMg==, empty: \"\", none: null}}
  immutable: true
  kind: Secret
  metadata:{metadata}  type: Opaque
- apiVersion: v1
  kind: Namespace
  metadata: {{creationTimestamp: null, name: crm}}
kind: List
metadata: {{resourceVersion: \"\"}}
"
        );
        let declared = read("shop.yaml", &text);
        assert_eq!(declared.errors, []);
        let [(first, Manifest::ConnectorInstance(instance)), (second, Manifest::Secret(secret))] = &declared.manifests[..]
        else {
            panic!("{declared:?}")
        };
        assert_eq!(first.to_string(), "shop.yaml, document 1, items[0]");
        assert_eq!((second.item.as_str(), instance.spec.resources[0].name.as_str()), ("items[1]", "orders"));
        assert_eq!(
            (secret.data["token"].as_slice(), secret.data["empty"].len(), secret.data["none"].len()),
            (&b"hunter2"[..], 0, 0)
        );
        assert_eq!(
            declared.others,
            ["shop.yaml, document 1, items[2]: is a Namespace of v1, which Pollinator does not read; ignored"]
        );
    }

    #[test]
    fn other_kinds_are_left_alone_and_misspelt_ones_are_not() {
        for (version, kind) in [
            ("v1", "ConfigMap"),
            ("apps/v1", "Deployment"),
            ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
            ("external-secrets.io/v1", "SecretStore"),
            ("camel.apache.org/v1", "Connector"),
        ] {
            let declared =
                read("a.yaml", &format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: a}}, spec: {{}}}}"));
            assert_eq!((declared.errors.len(), declared.others.len()), (0, 1), "{version} {kind}");
        }
        for (version, kind) in [
            ("v1", "Secrets"),
            ("v1alpha1", "ConnectorInstances"),
            ("polinator.dev/v1alpha1", "Connector"),
            ("pollinator.dev/v1alpha1", "Webhook"),
            ("v1beta1", "Secret"),
        ] {
            let declared = read("a.yaml", &format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: a}}}}"));
            assert_eq!((declared.errors.len(), declared.others.len()), (1, 0), "{version} {kind}");
        }
    }

    #[test]
    fn an_item_is_named_by_its_place_in_the_list() {
        let list = "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: [{kind: Secret}]}, 7]}";
        assert_eq!(
            errors(list),
            [
                "shop.yaml, document 1, items[0].items[0]: apiVersion: Required value: v1 for kind Secret",
                "shop.yaml, document 1, items[1]: is not a manifest: write a map with apiVersion, kind, metadata and spec",
            ]
        );
    }

    #[test]
    fn an_empty_namespace_is_none() {
        let declared = read("a.yaml", "{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: ''}}");
        assert_eq!(declared.manifests[0].1.key(), ("default", "a"));
    }

    #[test]
    fn errors_name_file_document_path_and_cause() {
        for (text, message) in [
            ("- a", "shop.yaml, document 1: is not a manifest: write a map with apiVersion, kind, metadata and spec"),
            ("{kind: Conector}", "shop.yaml, document 1: kind: unknown kind \"Conector\", did you mean Connector?"),
            (
                "{kind: Deployment}",
                "shop.yaml, document 1: kind: unknown kind \"Deployment\", known are ConnectorInstance, Connector and Secret",
            ),
            (
                "{kind: Connector, apiVersion: pollinator.dev/v1}",
                "shop.yaml, document 1: apiVersion: unknown apiVersion \"pollinator.dev/v1\" for kind Connector, did you mean pollinator.dev/v1alpha1?",
            ),
            ("{kind: Secret}", "shop.yaml, document 1: apiVersion: Required value: v1 for kind Secret"),
            ("a: 1\na: 2\n", "shop.yaml, document 1: line 2, column 1: the key a occurs twice in one map"),
        ] {
            assert_eq!(errors(text), [message], "{text}");
        }
    }

    #[test]
    fn a_bad_document_leaves_the_others_alone() {
        let good = "{apiVersion: v1, kind: Secret, metadata: {name: a}}";
        let declared = read("a.yaml", &format!("{good}\n---\n{{kind: X}}\n---\n{good}\n"));
        assert_eq!(declared.manifests.len(), 2);
        assert_eq!(declared.errors[0].place.document, 2);
    }

    #[test]
    fn a_secrets_values_are_never_shown() {
        let secret = "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {token: hunter2}}";
        let declared = read("a.yaml", secret);
        assert!(declared.errors.is_empty() && !format!("{declared:?}").contains("hunter2"));
        assert!(!format!("{declared:?}").contains(&format!("{:?}", b"hunter2")));
        for bad in [
            "data: {token: 'hunter2!'}",
            "data: {token: [hunter2]}",
            "stringData: {token: 7007}",
            "token: hunter2",
            "data: hunter2",
        ] {
            let found = errors(&format!("{{apiVersion: v1, kind: Secret, metadata: {{name: a}}, {bad}}}"));
            assert!(
                !found.is_empty() && found.iter().all(|error| !error.contains("hunter2") && !error.contains("7007")),
                "{bad}: {found:?}"
            );
        }
    }
}
