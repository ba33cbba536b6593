//! What each value changes, and which values are refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::values::leaves;
use super::{Rendered, rendered};
use crate::rig::control_plane::shared;

/// A value, what it is set to, the object that it changes, where, and what stands there then. `null`: nothing, or no such object.
type Effect = (&'static str, Value, &'static str, &'static str, Value);

/// The volumes of the Deployment.
const VOLUMES: &str = "/spec/template/spec/volumes";

/// The one container of the Deployment.
const CONTAINER: &str = "/spec/template/spec/containers/0";

fn effects() -> Vec<Effect> {
    let (deployment, policy) = ("Deployment/pollinator", "NetworkPolicy/pollinator");
    let flow = "FlowSchema/pollinator";
    let (ingress, route) = ("Ingress/pollinator-connect", "HTTPRoute/pollinator-connect");
    let (api_ingress, api_route) = ("Ingress/pollinator-api", "HTTPRoute/pollinator-api");
    let (console_ingress, console_route) = ("Ingress/pollinator-console", "HTTPRoute/pollinator-console");
    let toleration = json!({"key": "edge", "operator": "Exists"});
    let ours = json!({"matchLabels": {"app.kubernetes.io/name": "pollinator"}});
    let zone = "topology.kubernetes.io/zone";
    let spread = json!({"topologyKey": zone, "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": ours});
    let apart = json!([{"topologyKey": "rack", "labelSelector": ours}]);
    let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": apart}});
    let digest = format!("sha256:{}", "0a".repeat(32));
    let monitoring = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}});
    vec![
        ("replicaCount", json!(3), deployment, "/spec/replicas", json!(3)),
        ("image.repository", json!("mirror.example/p"), deployment, "{c}/image", json!("mirror.example/p:0.1.0")),
        ("image.tag", json!("1.2.3"), deployment, "{c}/image", json!("ghcr.io/pollinator-dev/pollinator:1.2.3")),
        ("image.digest", json!(digest), deployment, "{c}/image", json!(format!("ghcr.io/pollinator-dev/pollinator@{digest}"))),
        ("image.pullPolicy", json!("Always"), deployment, "{c}/imagePullPolicy", json!("Always")),
        (
            "imagePullSecrets",
            json!([{"name": "login"}]),
            deployment,
            "/spec/template/spec/imagePullSecrets/0",
            json!({"name": "login"}),
        ),
        (
            "nameOverride",
            json!("bee"),
            "Deployment/pollinator-bee",
            "/spec/template/metadata/labels/app.kubernetes.io~1name",
            json!("bee"),
        ),
        ("fullnameOverride", json!("bee"), "Deployment/bee", "/metadata/name", json!("bee")),
        ("commonLabels", json!({"team": "crm"}), "ClusterRole/pollinator", "/metadata/labels/team", json!("crm")),
        ("crds.enabled", json!(false), "CustomResourceDefinition/connectors.pollinator.dev", "/kind", Value::Null),
        (
            "crds.keep",
            json!(false),
            "CustomResourceDefinition/connectors.pollinator.dev",
            "/metadata/annotations/helm.sh~1resource-policy",
            Value::Null,
        ),
        ("watchNamespace", json!("crm"), "Role/pollinator", "/metadata/namespace", json!("crm")),
        ("watchNamespaces", json!(["crm"]), "RoleBinding/pollinator", "/metadata/namespace", json!("crm")),
        ("watchNamespaces", json!(["shop", "crm"]), "Role/pollinator/shop", "/metadata/namespace", json!("shop")),
        ("watchNamespaces", json!(["shop", "crm"]), deployment, "{c}/env/5/value", json!("crm,shop")),
        ("operator.graceSeconds", json!(7), deployment, "/spec/template/spec/terminationGracePeriodSeconds", json!(29)),
        ("operator.leaseDurationSeconds", json!(30), deployment, "{c}/args/3", json!("--lease-duration=30s")),
        ("operator.shards", json!(1), deployment, "{c}/args/4", json!("--shards=1")),
        ("operator.relistIntervalSeconds", json!(60), deployment, "{c}/args/6", json!("--relist-interval=60s")),
        ("operator.clusterName", json!("prod"), deployment, "{c}/args/7", json!("--cluster-name=prod")),
        ("operator.allowEgress", json!(["10.0.0.0/8"]), deployment, "{c}/args/7", json!("--allow-egress=10.0.0.0/8")),
        ("operator.allowPorts", json!([443, 8443]), deployment, "{c}/args/7", json!("--allow-ports=443,8443")),
        ("operator.secretLabel", json!("team=crm"), deployment, "{c}/args/7", json!("--secret-label=team=crm")),
        ("state.store", json!("s3://acme/eu"), deployment, "{c}/args/7", json!("--state-store=s3://acme/eu")),
        ("operator.port", json!(9090), deployment, "{c}/ports/0/containerPort", json!(9090)),
        ("operator.log.level", json!("debug"), deployment, "{c}/env/2/value", json!("debug")),
        ("operator.log.format", json!("text"), deployment, "{c}/env/3/value", json!("text")),
        ("operator.extraArgs", json!(["--log=warn"]), deployment, "{c}/args/7", json!("--log=warn")),
        (
            "operator.extraEnv",
            json!([{"name": "A", "value": "b"}]),
            deployment,
            "{c}/env/5",
            json!({"name": "A", "value": "b"}),
        ),
        ("connect.enabled", json!(true), deployment, "{c}/ports/1/name", json!("connect")),
        ("connect.url", json!("https://b.example"), deployment, "{c}/args/7", json!("--connect-url=https://b.example")),
        ("connect.port", json!(9091), deployment, "{c}/args/8", json!("--connect-listen=0.0.0.0:9091")),
        ("connect.ingress.enabled", json!(true), ingress, "/spec/rules/0/http/paths/0/path", json!("/connect")),
        ("connect.ingress.className", json!("nginx"), ingress, "/spec/ingressClassName", json!("nginx")),
        ("connect.ingress.annotations", json!({"a": "b"}), ingress, "/metadata/annotations/a", json!("b")),
        ("connect.ingress.tlsSecretName", json!("cert"), ingress, "/spec/tls/0/secretName", json!("cert")),
        ("connect.httpRoute.enabled", json!(true), route, "/spec/rules/0/matches/0/path/value", json!("/connect")),
        ("connect.httpRoute.annotations", json!({"a": "b"}), route, "/metadata/annotations/a", json!("b")),
        ("connect.httpRoute.gateway", json!("g2"), route, "/spec/parentRefs/0/name", json!("g2")),
        ("connect.httpRoute.gatewayNamespace", json!("edge"), route, "/spec/parentRefs/0/namespace", json!("edge")),
        ("connect.httpRoute.sectionName", json!("https"), route, "/spec/parentRefs/0/sectionName", json!("https")),
        ("api.enabled", json!(true), deployment, "{c}/ports/1/name", json!("api")),
        ("api.enabled", json!(true), "Service/pollinator-api", "/spec/ports/0/targetPort", json!("api")),
        ("api.host", json!("b.example"), "Ingress/pollinator-api", "/spec/rules/0/host", json!("b.example")),
        ("api.port", json!(9092), deployment, "{c}/args/7", json!("--api-listen=0.0.0.0:9092")),
        ("api.allowFrom", json!([monitoring]), policy, "/spec/ingress/1/from/0", monitoring.clone()),
        ("api.ingress.enabled", json!(true), api_ingress, "/spec/rules/0/http/paths/0/path", json!("/elements/api-v2")),
        ("api.ingress.className", json!("nginx"), api_ingress, "/spec/ingressClassName", json!("nginx")),
        ("api.ingress.annotations", json!({"a": "b"}), api_ingress, "/metadata/annotations/a", json!("b")),
        ("api.ingress.tlsSecretName", json!("cert"), api_ingress, "/spec/tls/0/secretName", json!("cert")),
        ("api.httpRoute.enabled", json!(true), api_route, "/spec/rules/0/matches/0/path/value", json!("/elements/api-v2")),
        ("api.httpRoute.annotations", json!({"a": "b"}), api_route, "/metadata/annotations/a", json!("b")),
        ("api.httpRoute.gateway", json!("g2"), api_route, "/spec/parentRefs/0/name", json!("g2")),
        ("api.httpRoute.gatewayNamespace", json!("edge"), api_route, "/spec/parentRefs/0/namespace", json!("edge")),
        ("api.httpRoute.sectionName", json!("https"), api_route, "/spec/parentRefs/0/sectionName", json!("https")),
        ("console.enabled", json!(true), deployment, "{c}/args/8", json!("--console-url=http://127.0.0.1:8083")),
        ("console.enabled", json!(true), "Service/pollinator-console", "/spec/ports/0/targetPort", json!("console")),
        ("console.host", json!("b.example"), deployment, "{c}/args/8", json!("--console-url=https://b.example")),
        ("console.host", json!("b.example"), console_ingress, "/spec/rules/0/host", json!("b.example")),
        ("console.port", json!(9093), deployment, "{c}/args/7", json!("--console-listen=0.0.0.0:9093")),
        ("console.keySecret", json!("key"), deployment, "{v}/0/secret/secretName", json!("key")),
        ("console.keySecret", json!("key"), deployment, "{c}/args/9", json!("--console-key-file=/etc/pollinator/console/key")),
        ("console.keySecret", json!("key"), deployment, "{c}/volumeMounts/0/mountPath", json!("/etc/pollinator/console")),
        ("console.allowFrom", json!([monitoring]), policy, "/spec/ingress/1/from/0", monitoring.clone()),
        ("console.ingress.enabled", json!(true), console_ingress, "/spec/rules/0/http/paths/0/path", json!("/")),
        ("console.ingress.className", json!("nginx"), console_ingress, "/spec/ingressClassName", json!("nginx")),
        ("console.ingress.annotations", json!({"a": "b"}), console_ingress, "/metadata/annotations/a", json!("b")),
        ("console.ingress.tlsSecretName", json!("cert"), console_ingress, "/spec/tls/0/secretName", json!("cert")),
        ("console.httpRoute.enabled", json!(true), console_route, "/spec/rules/0/matches/0/path/value", json!("/")),
        ("console.httpRoute.annotations", json!({"a": "b"}), console_route, "/metadata/annotations/a", json!("b")),
        ("console.httpRoute.gateway", json!("g2"), console_route, "/spec/parentRefs/0/name", json!("g2")),
        ("console.httpRoute.gatewayNamespace", json!("edge"), console_route, "/spec/parentRefs/0/namespace", json!("edge")),
        ("console.httpRoute.sectionName", json!("https"), console_route, "/spec/parentRefs/0/sectionName", json!("https")),
        (
            "catalog",
            json!({"crm": "kind: Connector"}),
            "ConfigMap/pollinator-catalog",
            "/data/crm.yaml",
            json!("kind: Connector\n"),
        ),
        ("caBundle.configMap", json!("roots"), deployment, "{v}/0/configMap/name", json!("roots")),
        ("caBundle.secret", json!("roots"), deployment, "{v}/0/secret/secretName", json!("roots")),
        ("caBundle.key", json!("bundle.pem"), deployment, "{v}/0/configMap/items/0/key", json!("bundle.pem")),
        ("serviceAccount.create", json!(false), "ServiceAccount/bee", "/kind", Value::Null),
        ("serviceAccount.name", json!("bee"), deployment, "/spec/template/spec/serviceAccountName", json!("bee")),
        ("serviceAccount.annotations", json!({"a": "b"}), "ServiceAccount/pollinator", "/metadata/annotations/a", json!("b")),
        ("rbac.create", json!(false), "ClusterRole/pollinator", "/kind", Value::Null),
        ("rbac.aggregate", json!(false), "ClusterRole/pollinator-edit", "/kind", Value::Null),
        ("flowSchema.enabled", json!(true), flow, "/spec/rules/0/resourceRules/0/resources/0", json!("leases")),
        ("flowSchema.priorityLevel", json!("high"), flow, "/spec/priorityLevelConfiguration/name", json!("high")),
        ("flowSchema.matchingPrecedence", json!(7), flow, "/spec/matchingPrecedence", json!(7)),
        ("podAnnotations", json!({"a": "b"}), deployment, "/spec/template/metadata/annotations/a", json!("b")),
        ("podLabels", json!({"a": "b"}), deployment, "/spec/template/metadata/labels/a", json!("b")),
        ("podSecurityContext", json!({"runAsUser": 1}), deployment, "/spec/template/spec/securityContext/runAsUser", json!(1)),
        ("securityContext", json!({"runAsUser": 2}), deployment, "{c}/securityContext/runAsUser", json!(2)),
        ("resources", json!({"limits": {"memory": "1Gi"}}), deployment, "{c}/resources/limits/memory", json!("1Gi")),
        ("extraVolumes", json!([{"name": "tmp", "emptyDir": {}}]), deployment, "{v}/0/name", json!("tmp")),
        (
            "extraVolumeMounts",
            json!([{"name": "tmp", "mountPath": "/tmp"}]),
            deployment,
            "{c}/volumeMounts/0/mountPath",
            json!("/tmp"),
        ),
        ("resources", json!({"limits": {"memory": "1Gi"}}), deployment, "{c}/env/4/value", json!("268435456")),
        ("resources", json!({"limits": {"memory": "100M"}}), deployment, "{c}/env/4/value", json!("67108864")),
        ("nodeSelector", json!({"pool": "small"}), deployment, "/spec/template/spec/nodeSelector/pool", json!("small")),
        ("tolerations", json!([toleration]), deployment, "/spec/template/spec/tolerations/0", toleration),
        ("affinity", affinity.clone(), deployment, "/spec/template/spec/affinity", affinity),
        ("topologySpreadConstraints", json!([spread]), deployment, "/spec/template/spec/topologySpreadConstraints/0", spread),
        ("priorityClassName", json!("high"), deployment, "/spec/template/spec/priorityClassName", json!("high")),
        ("podDisruptionBudget.enabled", json!(false), "PodDisruptionBudget/pollinator", "/kind", Value::Null),
        ("podDisruptionBudget.maxUnavailable", json!(2), "PodDisruptionBudget/pollinator", "/spec/maxUnavailable", json!(2)),
        ("networkPolicy.enabled", json!(false), policy, "/kind", Value::Null),
        ("networkPolicy.scrapeFrom", json!([monitoring]), policy, "/spec/ingress/0/from/0", monitoring),
        ("networkPolicy.apiServerPorts", json!([16443]), policy, "/spec/egress/1/ports/0/port", json!(16443)),
        (
            "networkPolicy.apiServerCidrs",
            json!(["10.9.0.1/32"]),
            policy,
            "/spec/egress/1/to/0/ipBlock/cidr",
            json!("10.9.0.1/32"),
        ),
        ("networkPolicy.ports", json!([8443]), policy, "/spec/egress/2/ports/0/port", json!(8443)),
        ("networkPolicy.allowInsecureHttp", json!(true), policy, "/spec/egress/2/ports/1/port", json!(80)),
        ("networkPolicy.cidrs", json!(["10.0.0.0/8"]), policy, "/spec/egress/2/to/0/ipBlock", json!({"cidr": "10.0.0.0/8"})),
        (
            "networkPolicy.exceptCidrs",
            json!(["192.168.0.0/16"]),
            policy,
            "/spec/egress/2/to/0/ipBlock/except",
            json!(["192.168.0.0/16"]),
        ),
        ("service.enabled", json!(false), "Service/pollinator", "/kind", Value::Null),
        ("service.annotations", json!({"a": "b"}), "Service/pollinator", "/metadata/annotations/a", json!("b")),
        ("serviceMonitor.enabled", json!(true), "ServiceMonitor/pollinator", "/spec/endpoints/0/path", json!("/metrics")),
        ("serviceMonitor.labels", json!({"a": "b"}), "ServiceMonitor/pollinator", "/metadata/labels/a", json!("b")),
        ("serviceMonitor.interval", json!("1m"), "ServiceMonitor/pollinator", "/spec/endpoints/0/interval", json!("1m")),
        ("prometheusRule.enabled", json!(true), "PrometheusRule/pollinator", "/spec/groups/0/name", json!("pollinator")),
        ("prometheusRule.labels", json!({"a": "b"}), "PrometheusRule/pollinator", "/metadata/labels/a", json!("b")),
        ("dashboard.enabled", json!(true), "ConfigMap/pollinator-dashboard", "/kind", json!("ConfigMap")),
        ("dashboard.labels", json!({"a": "b"}), "ConfigMap/pollinator-dashboard", "/metadata/labels/a", json!("b")),
        ("tests.enabled", json!(false), "Pod/pollinator-check", "/kind", Value::Null),
    ]
}

/// What must be set so that a value can have its effect.
pub fn ground(path: &str) -> Vec<String> {
    let needed: &[&str] = match path.split('.').next().unwrap_or_default() {
        "connect" if path.contains("ingress") => {
            &["connect.enabled=true", "connect.url=https://a.example", "connect.ingress.enabled=true"]
        }
        "connect" if path.contains("httpRoute") => &[
            "connect.enabled=true",
            "connect.url=https://a.example",
            "connect.httpRoute.enabled=true",
            "connect.httpRoute.gateway=g1",
        ],
        "connect" => &["connect.enabled=true", "connect.url=https://a.example"],
        "api" if path.contains("ingress") || path == "api.host" => {
            &["api.enabled=true", "api.host=a.example", "api.ingress.enabled=true"]
        }
        "api" if path.contains("httpRoute") => {
            &["api.enabled=true", "api.host=a.example", "api.httpRoute.enabled=true", "api.httpRoute.gateway=g1"]
        }
        "api" => &["api.enabled=true"],
        "console" if path.contains("ingress") || path == "console.host" => {
            &["console.enabled=true", "console.host=a.example", "console.ingress.enabled=true"]
        }
        "console" if path.contains("httpRoute") => &[
            "console.enabled=true",
            "console.host=a.example",
            "console.httpRoute.enabled=true",
            "console.httpRoute.gateway=g1",
        ],
        "console" => &["console.enabled=true"],
        "podDisruptionBudget" | "topologySpreadConstraints" => &["replicaCount=3"],
        "serviceMonitor" => &["serviceMonitor.enabled=true"],
        "prometheusRule" => &["prometheusRule.enabled=true"],
        "dashboard" => &["dashboard.enabled=true"],
        "flowSchema" => &["flowSchema.enabled=true"],
        "extraVolumeMounts" => &["extraVolumes[0].name=tmp", "extraVolumes[0].emptyDir.sizeLimit=1Mi"],
        _ if path == "caBundle.key" => &["caBundle.configMap=roots"],
        _ if path == "serviceAccount.create" => &["serviceAccount.name=bee"],
        _ => &[],
    };
    needed.iter().filter(|set| !set.starts_with(&format!("{path}="))).map(|set| (*set).to_owned()).collect()
}

/// Every value with what it is set to here, and what must be set so that it has its effect.
pub fn each_value() -> Vec<(&'static str, Value, Vec<String>)> {
    effects().into_iter().map(|(path, value, ..)| (path, value, ground(path))).collect()
}

#[test]
fn every_value_changes_what_it_says() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("values");
    let effects = effects();
    let named: BTreeSet<_> = effects.iter().map(|(path, ..)| (*path).to_owned()).collect();
    let there: BTreeSet<_> = leaves().into_iter().map(|leaf| leaf.path).collect();
    assert_eq!(named, there, "each value of the chart has an effect in this table");
    let mut grounds = BTreeMap::new();
    for (path, value, object, pointer, expected) in effects {
        let pointer = pointer.replace("{c}", CONTAINER).replace("{v}", VOLUMES);
        let before = ground(path);
        if !grounds.contains_key(&before) {
            let Some(Rendered { objects, .. }) = rendered(&ns, &before, &[]) else { return };
            grounds.insert(before.clone(), objects);
        }
        let without = &grounds[&before];
        let Some(Rendered { objects, error }) = rendered(&ns, &before, &[(path, &value)]) else { return };
        assert_eq!(error, "", "{path}");
        let found = objects.get(object).and_then(|object| object.pointer(&pointer)).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{path} at {object}{pointer}");
        let unset = without.get(object).and_then(|object| object.pointer(&pointer)).cloned().unwrap_or_default();
        assert_ne!(unset, expected, "{object}{pointer} is the same without {path}");
    }
}

/// The variables by which it is found replace the default, so the bundle of the image has to be named, too.
#[test]
fn private_authorities_are_trusted_in_addition_to_those_of_the_image() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("authorities");
    let Some(Rendered { objects, error }) = rendered(&ns, &["caBundle.secret=roots".to_owned()], &[]) else { return };
    assert_eq!(error, "");
    let dockerfile = std::fs::read_to_string(format!("{}/Dockerfile", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for (object, spec) in [("Deployment/pollinator", "/spec/template/spec"), ("Pod/pollinator-check", "/spec")] {
        let spec = objects[object].pointer(spec).unwrap();
        let container = &spec["containers"][0];
        let variable = |name: &str| {
            let found = container["env"].as_array().unwrap().iter().find(|one| one["name"] == name);
            found.unwrap_or_else(|| panic!("{object} has no {name}"))["value"].as_str().unwrap().to_owned()
        };
        assert!(dockerfile.contains(&format!(" {}\n", variable("SSL_CERT_FILE"))), "{object}");
        let mount = json!({"name": "ca-bundle", "mountPath": variable("SSL_CERT_DIR"), "readOnly": true});
        assert_eq!(container["volumeMounts"], json!([mount]), "{object}");
        let secret = json!({"secretName": "roots", "items": [{"key": "ca.crt", "path": "ca.crt"}]});
        assert_eq!(spec["volumes"], json!([{"name": "ca-bundle", "secret": secret}]), "{object}");
    }
}

#[test]
fn an_exception_is_below_each_network_that_contains_it() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("networks");
    let cases: [(&[&str], &[&str], Value); 6] = [
        (&["10.0.0.0/8"], &["10.1.0.0/16", "169.254.0.0/16"], json!([["10.1.0.0/16"]])),
        (&["0.0.0.0/1", "128.0.0.0/1"], &["10.1.0.0/16", "169.254.0.0/16"], json!([["10.1.0.0/16"], ["169.254.0.0/16"]])),
        (
            &["10.0.0.0/8", "10.8.0.0/13"],
            &["10.15.3.0/24", "10.16.0.0/24"],
            json!([["10.15.3.0/24", "10.16.0.0/24"], ["10.15.3.0/24"]]),
        ),
        (&["fd00::/8"], &["fd12:3456::/31", "fe80::/10", "10.0.0.0/8"], json!([["fd12:3456::/31"]])),
        (&["2001:db8::/33"], &["2001:DB8:7fff::/48", "2001:db8:8000::/48"], json!([["2001:DB8:7fff::/48"]])),
        (
            &["1:2:3:4:5:6:7:0/112", "0.0.0.0/0"],
            &["1:2:3:4:5:6:7:8/128", "8.8.8.8/32"],
            json!([["1:2:3:4:5:6:7:8/128"], ["8.8.8.8/32"]]),
        ),
    ];
    for (cidrs, except, expected) in cases {
        let values = [("networkPolicy.cidrs", &json!(cidrs)), ("networkPolicy.exceptCidrs", &json!(except))];
        let Some(Rendered { objects, error }) = rendered(&ns, &[], &values) else { return };
        assert_eq!(error, "");
        let policy = &objects["NetworkPolicy/pollinator"];
        for rule in ["/spec/egress/1/to", "/spec/egress/2/to"] {
            let blocks = policy.pointer(rule).unwrap().as_array().unwrap();
            let placed: Vec<_> = blocks.iter().map(|block| block["ipBlock"]["except"].clone()).collect();
            assert_eq!(json!(placed), expected, "{cidrs:?} {except:?}");
        }
    }
}

#[test]
fn wrong_values_are_refused_by_name() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("refused");
    let digest = json!(format!("sha256:{}", "0a".repeat(32)));
    let (text, number, truth, list) = (json!("many"), json!(3), json!(true), json!(["a"]));
    let cases: &[(&[(&str, &Value)], &str)] = &[
        (&[("replicaCount", &text)], "/replicaCount"),
        (&[("replicaCount", &json!(-1))], "/replicaCount"),
        (&[("replicas", &number)], "'replicas' not allowed"),
        (&[("imagePullSecrets", &list)], "/imagePullSecrets/0"),
        (&[("extraVolumes", &list)], "/extraVolumes/0"),
        (&[("networkPolicy.scrapeFrom", &list)], "/networkPolicy/scrapeFrom/0"),
        (&[("networkPolicy.apiServerPorts", &json!([]))], "/networkPolicy/apiServerPorts"),
        (&[("caBundle.configMap", &text), ("caBundle.secret", &text)], "caBundle.configMap and caBundle.secret are both set"),
        (&[("operator.shard", &number)], "'shard' not allowed"),
        (&[("operator.shards", &json!(0))], "/operator/shards"),
        (&[("operator.graceSeconds", &json!("20s"))], "/operator/graceSeconds"),
        (&[("operator.leaseDurationSeconds", &json!(600))], "/operator/leaseDurationSeconds"),
        (&[("operator.relistIntervalSeconds", &json!(9))], "/operator/relistIntervalSeconds"),
        (&[("operator.relistIntervalSeconds", &json!("10m"))], "/operator/relistIntervalSeconds"),
        (&[("operator.clusterName", &json!("Prod"))], "/operator/clusterName"),
        (&[("operator.allowEgress", &text)], "/operator/allowEgress"),
        (&[("operator.allowEgress", &json!(["10.0.0.0/33"]))], "/operator/allowEgress/0"),
        (&[("operator.allowPorts", &json!([0]))], "/operator/allowPorts/0"),
        (&[("operator.secretLabel", &json!("a b"))], "/operator/secretLabel"),
        (&[("operator.log.level", &json!("inof"))], "/operator/log/level"),
        (&[("operator.extraEnv", &list)], "/operator/extraEnv/0"),
        (&[("operator.port", &json!(80))], "/operator/port"),
        (&[("operator.log.format", &text)], "/operator/log/format"),
        (&[("image", &text)], "/image"),
        (&[("image.pullPolicy", &text)], "/image/pullPolicy"),
        (&[("image.digest", &text)], "/image/digest"),
        (&[("commonLabels", &json!({"a": 1}))], "/commonLabels/a"),
        (&[("commonLabels", &json!({"app.kubernetes.io/name": "bees"}))], "invalid propertyName 'app.kubernetes.io/name'"),
        (&[("podLabels", &json!({"helm.sh/chart": "bees"}))], "invalid propertyName 'helm.sh/chart'"),
        (&[("podDisruptionBudget.maxUnavailable", &json!("100%"))], "/podDisruptionBudget/maxUnavailable"),
        (&[("rbac", &Value::Null)], "rbac"),
        (&[("operator.log", &Value::Null)], "log"),
        (&[("crds.enabled", &text)], "/crds/enabled"),
        (&[("resources", &json!({"limits": "1Gi"}))], "/resources"),
        (&[("podSecurityContext", &json!({"runAsUser": "me"}))], "/podSecurityContext"),
        (&[("tolerations", &truth)], "/tolerations"),
        (&[("networkPolicy.ports", &json!([0]))], "/networkPolicy/ports/0"),
        (&[("serviceMonitor.interval", &json!("soon"))], "/serviceMonitor/interval"),
        (&[("image.tag", &json!("a")), ("image.digest", &digest)], "image.tag and image.digest are both set"),
        (&[("serviceAccount.create", &json!(false))], "serviceAccount.name is empty"),
        (
            &[("serviceMonitor.enabled", &truth), ("service.enabled", &json!(false))],
            "serviceMonitor.enabled needs service.enabled",
        ),
        (
            &[("replicaCount", &number), ("podDisruptionBudget.maxUnavailable", &number)],
            "podDisruptionBudget.maxUnavailable is not below",
        ),
        (
            &[("replicaCount", &number), ("podDisruptionBudget.maxUnavailable", &json!("67%"))],
            "podDisruptionBudget.maxUnavailable is not below",
        ),
        (&[("connect.enabled", &truth)], "connect.enabled needs connect.url"),
        (&[("connect.url", &json!("http://a.example"))], "/connect/url"),
        (&[("connect.url", &json!("https://a.example/path"))], "/connect/url"),
        (&[("connect.ingress.enabled", &truth)], "connect.ingress and connect.httpRoute need connect.enabled"),
        (
            &[("connect.enabled", &truth), ("connect.url", &json!("https://a.example")), ("connect.port", &json!(8080))],
            "connect.port is operator.port",
        ),
        (
            &[("connect.enabled", &truth), ("connect.url", &json!("https://a.example")), ("connect.httpRoute.enabled", &truth)],
            "connect.httpRoute.enabled needs connect.httpRoute.gateway",
        ),
        (&[("api.ingress.enabled", &truth)], "api.ingress and api.httpRoute need api.enabled"),
        (&[("api.enabled", &truth), ("api.httpRoute.enabled", &truth)], "api.ingress and api.httpRoute need api.host"),
        (
            &[("api.enabled", &truth), ("api.host", &json!("a.example")), ("api.httpRoute.enabled", &truth)],
            "api.httpRoute.enabled needs api.httpRoute.gateway",
        ),
        (&[("api.enabled", &truth), ("api.port", &json!(8080))], "api.port is operator.port"),
        (&[("api.host", &json!("https://a.example"))], "/api/host"),
        (&[("console.ingress.enabled", &truth)], "console.ingress and console.httpRoute need console.enabled"),
        (
            &[("console.enabled", &truth), ("console.ingress.enabled", &truth)],
            "console.ingress and console.httpRoute need console.host",
        ),
        (
            &[("console.enabled", &truth), ("console.host", &json!("a.example")), ("console.httpRoute.enabled", &truth)],
            "console.httpRoute.enabled needs console.httpRoute.gateway",
        ),
        (&[("console.enabled", &truth), ("console.port", &json!(8081))], "console.port is operator.port, connect.port or"),
        (
            &[("console.enabled", &truth), ("console.host", &json!("a.example")), ("replicaCount", &number)],
            "console.host needs console.keySecret while replicaCount is above 1",
        ),
        (&[("console.host", &json!("https://a.example"))], "/console/host"),
        (&[("watchNamespace", &json!("crm")), ("crds.keep", &json!(false))], "crds.keep is false while watchNamespace is set"),
        (&[("watchNamespaces", &list), ("crds.keep", &json!(false))], "crds.keep is false while watchNamespace is set"),
        (
            &[("networkPolicy.cidrs", &json!(["10.1.0.0/16"])), ("networkPolicy.exceptCidrs", &json!(["10.0.0.0/8"]))],
            "networkPolicy.exceptCidrs: 10.0.0.0/8 contains 10.1.0.0/16",
        ),
        (&[("networkPolicy.cidrs", &json!(["169.254.0.0/16"]))], "networkPolicy.exceptCidrs: 169.254.0.0/16 contains"),
        (&[("networkPolicy.exceptCidrs", &json!(["10.0.0/8"]))], "networkPolicy: 10.0.0/8 is not a CIDR"),
        (&[("networkPolicy.exceptCidrs", &json!(["fe80:::1/64"]))], "networkPolicy: fe80:::1/64 is not a CIDR"),
        (&[("networkPolicy.cidrs", &json!(["10.0.0.0/33"]))], "networkPolicy: 10.0.0.0/33 is not a CIDR"),
    ];
    for (sets, expected) in cases {
        let Some(Rendered { objects, error }) = rendered(&ns, &[], sets) else { return };
        assert!(objects.is_empty() && error.contains(expected), "{sets:?}: {error}");
    }
}

#[test]
fn the_chart_passes_the_strict_linter() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("lint");
    let Some(run) = ns.helm(&["lint", "--strict", super::CHART]) else { return };
    assert!(run.ok().contains("0 chart(s) failed"));
}
