//! A container's variables, arguments and identity from its spec and what the spec refers to.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};

use super::expand::{expand, own_address};
use super::node::CAPACITY;
use super::sources::Sources;

/// What is known of a pod beside its object.
#[derive(Clone, Debug)]
pub struct Place {
    pub ip: Ipv4Addr,
    pub node: String,
    /// Host and port at which containers find the API server.
    pub api_server: (String, String),
}

/// Variables in their order, later ones winning. An error is the message of `CreateContainerConfigError`.
pub fn variables(
    pod: &Pod,
    container: &Container,
    image: &[(String, String)],
    sources: &Sources,
    place: &Place,
) -> Result<BTreeMap<String, String>, String> {
    let (host, port) = &place.api_server;
    let mut found: BTreeMap<String, String> = [
        ("PATH", "/image:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/"),
        ("HOSTNAME", pod.metadata.name.as_deref().unwrap_or_default()),
        ("KUBERNETES_SERVICE_HOST", host),
        ("KUBERNETES_SERVICE_PORT", port),
        ("KUBERNETES_SERVICE_PORT_HTTPS", port),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    found.extend(image.iter().cloned());
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (kind, name, optional) = match (&from.config_map_ref, &from.secret_ref) {
            (Some(map), _) => ("configmap", &map.name, map.optional),
            (_, Some(secret)) => ("secret", &secret.name, secret.optional),
            _ => continue,
        };
        match sources.entries(kind, name) {
            Some(entries) => {
                found.extend(entries.iter().map(|(key, value)| (format!("{prefix}{key}"), text(value))));
            }
            None if optional == Some(true) => {}
            None => return Err(format!("{kind} \"{name}\" not found")),
        }
    }
    for var in container.env.iter().flatten() {
        let value = match &var.value_from {
            Some(from) => source(pod, container, from, sources, place)?,
            None => Some(expand(var.value.as_deref().unwrap_or_default(), |name| found.get(name).cloned())),
        };
        if let Some(value) = value {
            found.insert(var.name.clone(), value);
        }
    }
    for value in found.values_mut() {
        *value = own_address(value, place.ip);
    }
    Ok(found)
}

/// `None`: an optional one that is not there.
fn source(
    pod: &Pod,
    container: &Container,
    from: &EnvVarSource,
    sources: &Sources,
    place: &Place,
) -> Result<Option<String>, String> {
    if let Some(field) = &from.field_ref {
        return self::field(pod, &field.field_path, place).map(Some);
    }
    if let Some(resource) = &from.resource_field_ref {
        return limit(container, &resource.resource, resource.divisor.as_ref().map_or("1", |divisor| &divisor.0)).map(Some);
    }
    let (kind, name, key, optional) = match (&from.config_map_key_ref, &from.secret_key_ref) {
        (Some(map), _) => ("configmap", &map.name, &map.key, map.optional),
        (_, Some(secret)) => ("secret", &secret.name, &secret.key, secret.optional),
        _ => return Err("this kubelet does not know that source of a variable".to_owned()),
    };
    let is_optional = optional == Some(true);
    match sources.entries(kind, name) {
        None if is_optional => Ok(None),
        None => Err(format!("{kind} \"{name}\" not found")),
        Some(entries) => match entries.get(key) {
            Some(value) => Ok(Some(text(value))),
            None if is_optional => Ok(None),
            None => Err(format!("couldn't find key {key} in {kind} {name}")),
        },
    }
}

/// A field by its path in the downward API.
pub fn field(pod: &Pod, path: &str, place: &Place) -> Result<String, String> {
    let (meta, spec) = (&pod.metadata, pod.spec.as_ref());
    let keyed = |prefix: &str| path.strip_prefix(prefix).and_then(|rest| rest.strip_suffix("']"));
    let lines = |entries: &Option<BTreeMap<String, String>>| {
        entries.iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
    };
    let known = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(&meta.labels)),
        "metadata.annotations" => Some(lines(&meta.annotations)),
        "spec.nodeName" => Some(place.node.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" | "status.podIPs" => Some(place.ip.to_string()),
        "status.hostIP" | "status.hostIPs" => Some("127.0.0.1".to_owned()),
        _ => {
            let from = |entries: &Option<BTreeMap<String, String>>, key: &str| {
                entries.as_ref().and_then(|entries| entries.get(key)).cloned().unwrap_or_default()
            };
            keyed("metadata.labels['")
                .map(|key| from(&meta.labels, key))
                .or_else(|| keyed("metadata.annotations['").map(|key| from(&meta.annotations, key)))
        }
    };
    known.ok_or_else(|| format!("unsupported fieldPath: {path}"))
}

/// A limit or request in units of the divisor, rounded up. What has no limit may take all that the node has.
fn limit(container: &Container, path: &str, divisor: &str) -> Result<String, String> {
    let resources = container.resources.as_ref();
    let (list, name) = match path.split_once('.') {
        Some(("limits", name)) => (resources.and_then(|resources| resources.limits.as_ref()), name),
        Some(("requests", name)) => (resources.and_then(|resources| resources.requests.as_ref()), name),
        _ => return Err(format!("unsupported resource: {path}")),
    };
    let divisor = match divisor {
        "" | "0" => "1",
        other => other,
    };
    let said = list.and_then(|list| list.get(name)).map(|quantity| quantity.0.as_str());
    let whole = CAPACITY.iter().find(|(of, _)| *of == name && path.starts_with("limits.")).map(|(_, quantity)| *quantity);
    let quantity = said.or(whole).unwrap_or("0");
    let (have, unit) = (thousandths(quantity)?, thousandths(divisor)?);
    Ok(have.div_ceil(unit).to_string())
}

/// A whole quantity with a suffix, in thousandths.
fn thousandths(quantity: &str) -> Result<u128, String> {
    let digits = quantity.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor: u128 = match &quantity[digits.len()..] {
        "m" => 1,
        "" => 1000,
        "k" => 1000 * 1000,
        "M" => 1000 * 1000_u128.pow(2),
        "G" => 1000 * 1000_u128.pow(3),
        "Ki" => 1000 * 1024,
        "Mi" => 1000 * 1024_u128.pow(2),
        "Gi" => 1000 * 1024_u128.pow(3),
        _ => return Err(format!("this kubelet cannot read the quantity {quantity}")),
    };
    digits
        .parse::<u128>()
        .map(|number| number * factor)
        .map_err(|_| format!("this kubelet cannot read the quantity {quantity}"))
}

/// The command line: `command` or the image's entry point, then `args`.
pub fn command_line(
    container: &Container,
    entry_point: &str,
    variables: &BTreeMap<String, String>,
    ip: Ipv4Addr,
) -> Vec<String> {
    let whole = |texts: &[String]| {
        let expanded = texts.iter().map(|text| own_address(&expand(text, |name| variables.get(name).cloned()), ip));
        expanded.collect::<Vec<_>>()
    };
    let mut line = whole(container.command.as_deref().unwrap_or_default());
    if line.is_empty() {
        line.push(entry_point.to_owned());
    }
    line.extend(whole(container.args.as_deref().unwrap_or_default()));
    line
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> Place {
        let api_server = ("127.0.0.1".to_owned(), "6443".to_owned());
        Place { ip: Ipv4Addr::new(127, 1, 2, 3), node: "n".to_owned(), api_server }
    }

    fn pod() -> Pod {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "x"}},
            "spec": {"serviceAccountName": "sa", "containers": []}
        });
        serde_json::from_value(pod).unwrap()
    }

    fn sources() -> Sources {
        let mut sources = Sources::default();
        sources.put("configmap", "map", [("key".to_owned(), b"from-map".to_vec())].into());
        sources.put("secret", "login", [("password".to_owned(), b"s3".to_vec())].into());
        sources
    }

    fn env(env: serde_json::Value) -> Result<BTreeMap<String, String>, String> {
        let container: Container = serde_json::from_value(env).unwrap();
        let image = [("POLLINATOR_LISTEN".to_owned(), "0.0.0.0:8080".to_owned())];
        variables(&pod(), &container, &image, &sources(), &place())
    }

    #[test]
    fn variables_come_from_everywhere() {
        let found = env(json!({
            "name": "c",
            "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "map"}}, {"secretRef": {"name": "none", "optional": true}}],
            "env": [
                {"name": "LITERAL", "value": "$(POD)-$(LATER)"},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "LATER", "value": "$(POD)@$(P_key)"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
                {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "no", "optional": true}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "DISK", "valueFrom": {"resourceFieldRef": {"resource": "limits.ephemeral-storage", "divisor": "1Gi"}}},
                {"name": "ASKED", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}}
            ]
        }))
        .unwrap();
        for (name, value) in [
            ("LITERAL", "$(POD)-$(LATER)"),
            ("LATER", "p@from-map"),
            ("IP", "127.1.2.3"),
            ("LABEL", "x"),
            ("PASSWORD", "s3"),
            ("CPU", "2"),
            ("MEMORY", "64"),
            ("DISK", "100"),
            ("ASKED", "0"),
            ("POLLINATOR_LISTEN", "127.1.2.3:8080"),
            ("KUBERNETES_SERVICE_PORT", "6443"),
        ] {
            assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!found.contains_key("ABSENT"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (from, says) in [
            (json!({"secretKeyRef": {"name": "gone", "key": "k"}}), "secret \"gone\" not found"),
            (json!({"configMapKeyRef": {"name": "map", "key": "k"}}), "couldn't find key k in configmap map"),
            (json!({"fieldRef": {"fieldPath": "spec.tolerations"}}), "unsupported fieldPath: spec.tolerations"),
            (json!({"resourceFieldRef": {"resource": "cpu"}}), "unsupported resource: cpu"),
        ] {
            let refused = env(json!({"name": "c", "env": [{"name": "X", "valueFrom": from}]})).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn command_lines() {
        let line = |container| {
            let container: Container = serde_json::from_value(container).unwrap();
            command_line(&container, "/image/it", &[("A".to_owned(), "b".to_owned())].into(), place().ip)
        };
        assert_eq!(line(json!({"name": "c"})), ["/image/it"]);
        assert_eq!(line(json!({"name": "c", "args": ["$(A)", "0.0.0.0:1"]})), ["/image/it", "b", "127.1.2.3:1"]);
        assert_eq!(line(json!({"name": "c", "command": ["sh", "-c"], "args": ["$$(A) $(B)"]})), ["sh", "-c", "$(A) $(B)"]);
    }
}
