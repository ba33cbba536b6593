//! What the chart can be told. `values.schema.json` and the table in its README are made from these types; the defaults and the
//! comments of `values.yaml` must be theirs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, LocalObjectReference, PodSecurityContext, ResourceRequirements, SecurityContext, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{CHART, chart_file};

/// Labels or annotations.
type Words = BTreeMap<String, String>;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Values {
    /// Number of replicas. One is enough for thousands of instances; with three, draining a node causes no pause.
    #[schemars(range(min = 0, max = 100))]
    replica_count: i32,
    image: Image,
    /// Secrets with credentials for the image's registry, such as [{name: registry}].
    image_pull_secrets: Vec<LocalObjectReference>,
    /// Name of the application in labels and, with the release's name, of all objects. Empty: the chart's name.
    #[schemars(length(max = 63))]
    name_override: String,
    /// Name of all objects. Empty: the names of the release and the chart.
    #[schemars(length(max = 52))]
    fullname_override: String,
    /// Labels for every object.
    #[schemars(extend("propertyNames" = not_own_labels()))]
    common_labels: Words,
    crds: Crds,
    /// Run only the instances of this namespace; a Role there is enough. Empty: all namespaces.
    #[schemars(length(max = 63))]
    watch_namespace: String,
    /// Run only the instances of these namespaces; a Role in each is enough. Empty: all namespaces.
    #[schemars(inner(length(min = 1, max = 63)))]
    watch_namespaces: Vec<String>,
    operator: Operator,
    state: State,
    connect: Connect,
    api: Api,
    console: Console,
    /// Your own catalog entries: connector name to the text of a Connector. They override the built-in ones.
    catalog: Words,
    ca_bundle: CaBundle,
    service_account: ServiceAccount,
    rbac: Rbac,
    flow_schema: FlowSchema,
    /// Annotations of the pods.
    pod_annotations: Words,
    /// Labels of the pods.
    #[schemars(extend("propertyNames" = not_own_labels()))]
    pod_labels: Words,
    /// Security context of the pods. The default meets the restricted Pod Security Standard.
    pod_security_context: PodSecurityContext,
    /// Security context of the container. The default meets the restricted Pod Security Standard.
    security_context: SecurityContext,
    /// Resource requests and limits of the container. A quarter of the memory limit is for pages that are being read.
    resources: ResourceRequirements,
    /// Additional volumes for the pods.
    extra_volumes: Vec<Volume>,
    /// Additional volume mounts for the container.
    extra_volume_mounts: Vec<VolumeMount>,
    /// Labels of the nodes on which pods may run.
    node_selector: Words,
    /// Tolerations of the pods.
    tolerations: Vec<Toleration>,
    /// Affinity of the pods.
    affinity: Affinity,
    /// Topology spread constraints. Empty: spread over hosts if possible. Used only with more than one replica.
    topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Priority class of the pods.
    priority_class_name: String,
    pod_disruption_budget: PodDisruptionBudget,
    network_policy: NetworkPolicy,
    service: Service,
    service_monitor: ServiceMonitor,
    prometheus_rule: PrometheusRule,
    dashboard: Dashboard,
    tests: Tests,
    /// Set by charts that have this one as a part; ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    global: Option<Value>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Image {
    /// Repository of the image.
    #[schemars(length(min = 1))]
    repository: String,
    /// Tag of the image. Empty: the chart's appVersion.
    #[schemars(regex(pattern = "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"))]
    tag: String,
    /// Digest of the image, such as sha256:…. Replaces the tag.
    #[schemars(regex(pattern = "^(sha256:[0-9a-f]{64})?$"))]
    digest: String,
    /// When to pull the image.
    pull_policy: PullPolicy,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::doc_markdown)] // values.yaml shows it as it is
struct State {
    /// Store for the known records of large resources, such as s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or <file:///MOUNTED/PATH>. Empty: `ConfigMaps`. Read docs/operate/state-store.md first.
    #[schemars(regex(pattern = "^((s3|gs|az)://[^/?#]+(/[A-Za-z0-9._/-]*)?|file:///.+)?$"))]
    store: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Crds {
    /// Install and upgrade the custom resource definitions. Set to false if an administrator installs them.
    enabled: bool,
    /// Keep the definitions, and with them all instances, when the release is uninstalled.
    keep: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Operator {
    /// Seconds that running requests may take to finish after SIGTERM.
    #[schemars(range(min = 1, max = 3600))]
    grace_seconds: i32,
    /// Seconds until the shards of a replica that died are taken over.
    #[schemars(range(min = 2, max = 120))]
    lease_duration_seconds: i32,
    /// Number of shards that replicas share. Change it only while no replica runs.
    #[schemars(range(min = 1, max = 256))]
    shards: i32,
    /// Seconds between two lists of all objects, in case a watch missed a change.
    #[schemars(range(min = 10, max = 86400))]
    relist_interval_seconds: i32,
    /// Name of this cluster, part of the source of CloudEvents. Empty: none.
    #[schemars(regex(pattern = "^([a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?)?$"))]
    cluster_name: String,
    /// Private networks and hosts that providers and callbacks may use, such as 10.0.0.0/8 or intranet.example. Empty:
    /// public addresses only.
    #[schemars(inner(regex(pattern = allow_rule())))]
    allow_egress: Vec<String>,
    /// The only TCP ports that providers, token endpoints and callbacks may use, such as [443, 8443]. Empty: every port.
    #[schemars(inner(range(min = 1, max = 65535)))]
    allow_ports: Vec<i32>,
    /// Label that Secrets must have before instances may use them, as key or key=value. Empty: instances may use every Secret of their
    /// namespace.
    #[schemars(regex(pattern = required_label()), length(max = 380))]
    secret_label: String,
    /// Port of metrics and probes.
    #[schemars(range(min = 1024, max = 65535))]
    port: i32,
    log: Log,
    /// Additional arguments for `pollinator operator`.
    extra_args: Vec<String>,
    /// Additional environment variables for the container.
    extra_env: Vec<EnvVar>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Connect {
    /// Serve the page on which people give consent to OAuth 2.0 providers. Read docs/tasks/connect.md#security first.
    enabled: bool,
    /// Origin at which people open the page, such as <https://pollinator.example.com>. Required if the page is enabled.
    #[schemars(regex(pattern = "^(https://[^/?#@]+|http://(localhost|127[.]0[.]0[.]1)(:[0-9]+)?)?$"))]
    url: String,
    /// Port of the page. It must differ from the port of metrics.
    #[schemars(range(min = 1024, max = 65535))]
    port: i32,
    ingress: ConnectIngress,
    http_route: ConnectRoute,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConnectIngress {
    /// Create an Ingress that routes only the path /connect at the host of the URL.
    enabled: bool,
    /// Class of the Ingress. Empty: the cluster's default.
    class_name: String,
    /// Annotations of the Ingress, such as those that make your ingress controller require a login.
    annotations: Words,
    /// Name of the Secret with the certificate of the host. Empty: TLS is terminated elsewhere.
    tls_secret_name: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConnectRoute {
    /// Create an `HTTPRoute` of the Gateway API that routes only the path /connect at the host of the URL.
    enabled: bool,
    /// Annotations of the `HTTPRoute`.
    annotations: Words,
    /// Name of the Gateway. Required if the route is enabled.
    gateway: String,
    /// Namespace of the Gateway. Empty: the namespace of the release.
    gateway_namespace: String,
    /// Listener of the Gateway. Empty: all matching listeners.
    section_name: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Api {
    /// Serve the instances API of SAP Open Connectors. Read docs/reference/instances-api.md#in-a-cluster first.
    enabled: bool,
    /// Host name at which clients reach the API, such as connectors.example.com. Required with an Ingress or an `HTTPRoute`.
    #[schemars(regex(pattern = "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"), length(max = 253))]
    host: String,
    /// Port of the API. It must differ from the ports of metrics and of the connect page.
    #[schemars(range(min = 1024, max = 65535))]
    port: i32,
    /// Who may reach the API, as peers of a `NetworkPolicy`, such as [{namespaceSelector: {}}]. Empty: everyone.
    allow_from: Vec<NetworkPolicyPeer>,
    ingress: ApiIngress,
    http_route: ApiRoute,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ApiIngress {
    /// Create an Ingress that routes only the path /elements/api-v2 at the host.
    enabled: bool,
    /// Class of the Ingress. Empty: the cluster's default.
    class_name: String,
    /// Annotations of the Ingress.
    annotations: Words,
    /// Name of the Secret with the certificate of the host. Empty: TLS is terminated elsewhere.
    tls_secret_name: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ApiRoute {
    /// Create an `HTTPRoute` of the Gateway API that routes only the path /elements/api-v2 at the host.
    enabled: bool,
    /// Annotations of the `HTTPRoute`.
    annotations: Words,
    /// Name of the Gateway. Required if the route is enabled.
    gateway: String,
    /// Namespace of the Gateway. Empty: the namespace of the release.
    gateway_namespace: String,
    /// Listener of the Gateway. Empty: all matching listeners.
    section_name: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Console {
    /// Serve the console, in which people see and change instances with their own permissions. Read docs/tasks/console.md#in-a-cluster first.
    enabled: bool,
    /// Host name at which people reach the console, such as console.example.com. Empty: people use `kubectl port-forward` to the port.
    #[schemars(regex(pattern = "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"), length(max = 253))]
    host: String,
    /// Port of the console. It must differ from the ports of metrics, of the connect page and of the API.
    #[schemars(range(min = 1024, max = 65535))]
    port: i32,
    /// Name of a Secret whose key `key` has at least 32 random bytes, which encrypt sessions. Required with a host and several replicas. After a change, restart the pods.
    key_secret: String,
    /// Who may reach the console, as peers of a `NetworkPolicy`, such as [{namespaceSelector: {}}]. Empty: everyone.
    allow_from: Vec<NetworkPolicyPeer>,
    ingress: ConsoleIngress,
    http_route: ConsoleRoute,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConsoleIngress {
    /// Create an Ingress that routes the host to the console.
    enabled: bool,
    /// Class of the Ingress. Empty: the cluster's default.
    class_name: String,
    /// Annotations of the Ingress, such as those that make your ingress controller pass a token of the person.
    annotations: Words,
    /// Name of the Secret with the certificate of the host. Empty: TLS is terminated elsewhere.
    tls_secret_name: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConsoleRoute {
    /// Create an `HTTPRoute` of the Gateway API that routes the host to the console.
    enabled: bool,
    /// Annotations of the `HTTPRoute`.
    annotations: Words,
    /// Name of the Gateway. Required if the route is enabled.
    gateway: String,
    /// Namespace of the Gateway. Empty: the namespace of the release.
    gateway_namespace: String,
    /// Listener of the Gateway. Empty: all matching listeners.
    section_name: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Log {
    /// Log filter: a level, or directives such as pollinator=debug.
    #[schemars(regex(pattern = log_filter()))]
    level: String,
    /// Log format: text or json.
    format: LogFormat,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaBundle {
    /// Name of a `ConfigMap` with certificates of private authorities in PEM. They are trusted in addition to public ones.
    config_map: String,
    /// Name of a Secret with such certificates, instead of a `ConfigMap`.
    secret: String,
    /// Key of the certificates. After a change, restart the pods.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]+$"))]
    key: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServiceAccount {
    /// Create the service account.
    create: bool,
    /// Name of the service account. Empty: the name of all objects.
    name: String,
    /// Annotations of the service account.
    annotations: Words,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rbac {
    /// Create roles and bindings. Set to false if an administrator creates them.
    create: bool,
    /// Add instances and connectors to the built-in roles `view`, `edit` and `admin`.
    aggregate: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FlowSchema {
    /// Create a `FlowSchema`, so that a busy API server renews Leases before it takes status updates. It applies to the whole cluster.
    enabled: bool,
    /// Priority level of the Leases.
    #[schemars(length(min = 1, max = 63))]
    priority_level: String,
    /// Matching precedence of the `FlowSchema`. It must be smaller than those of your own that match all service accounts.
    #[schemars(range(min = 1, max = 10000))]
    matching_precedence: i32,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PodDisruptionBudget {
    /// Limit how many pods are drained at the same time. Used only with more than one replica.
    enabled: bool,
    /// Number or percentage of pods that may be unavailable.
    max_unavailable: CountOrPercentage,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum CountOrPercentage {
    Count(#[schemars(range(min = 1, max = 99))] i32),
    Percentage(#[schemars(regex(pattern = "^[1-9][0-9]?%$"))] String),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NetworkPolicy {
    /// Restrict connections: in to metrics and probes, out to DNS, the API server, providers and callbacks.
    enabled: bool,
    /// Who may scrape metrics, as peers of a `NetworkPolicy`, such as [{namespaceSelector: {}}]. Empty: everyone. Probes come from the
    /// node, which is always allowed.
    scrape_from: Vec<NetworkPolicyPeer>,
    /// TCP ports of the API server: that of its Service, and that of its endpoints, which some network plug-ins compare.
    #[schemars(length(min = 1), inner(range(min = 1, max = 65535)))]
    api_server_ports: Vec<i32>,
    /// Networks in which the API server is. Empty: those of cidrs.
    api_server_cidrs: Vec<String>,
    /// TCP ports of providers and callbacks. For a Service in the cluster, use the port of its pods.
    #[schemars(length(min = 1), inner(range(min = 1, max = 65535)))]
    ports: Vec<i32>,
    /// Also allow port 80, for callbacks that set allowInsecureHttp.
    allow_insecure_http: bool,
    /// Networks that providers and callbacks may be in.
    #[schemars(length(min = 1))]
    cidrs: Vec<String>,
    /// Networks that pods may not reach: link-local addresses, where clouds serve credentials.
    except_cidrs: Vec<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Service {
    /// Create a Service for scraping metrics.
    enabled: bool,
    /// Annotations of the Service.
    annotations: Words,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ServiceMonitor {
    /// Create a `ServiceMonitor`. Requires the Prometheus operator.
    enabled: bool,
    /// Labels by which your Prometheus selects it.
    labels: Words,
    /// Time between scrapes.
    #[schemars(regex(pattern = "^[1-9][0-9]*(s|m)$"))]
    interval: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PrometheusRule {
    /// Create a `PrometheusRule` with alerts. Requires the Prometheus operator.
    enabled: bool,
    /// Labels by which your Prometheus selects it.
    labels: Words,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Dashboard {
    /// Create a `ConfigMap` with a dashboard for Grafana.
    enabled: bool,
    /// Labels by which your Grafana selects it.
    labels: Words,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Tests {
    /// Create the pod for `helm test`, which checks permissions, definitions and the API server.
    enabled: bool,
}

/// What [`pollinator::egress::AllowRule`] reads: a network, an address or a name, whose last label is no number.
fn allow_rule() -> String {
    let octet = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
    let v4 = format!("({octet}[.]){{3}}{octet}(/(3[0-2]|[12]?[0-9]))?");
    let v6 = "[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?";
    let name = "([*][.])?([A-Za-z0-9_-]+[.])*[A-Za-z0-9_-]*[A-Za-z][A-Za-z0-9_-]*[.]?";
    format!("^({v4}|{v6}|{name})$")
}

/// What [`pollinator::operator::required_label::RequiredLabel`] reads, or nothing.
fn required_label() -> String {
    let word = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
    format!("^(([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{word}(=({word})?)?)?$")
}

/// What the program takes as a log filter: a level, or targets, each with a level.
fn log_filter() -> String {
    let level =
        "([Oo][Ff][Ff]|[Ee][Rr][Rr][Oo][Rr]|[Ww][Aa][Rr][Nn]|[Ii][Nn][Ff][Oo]|[Dd][Ee][Bb][Uu][Gg]|[Tt][Rr][Aa][Cc][Ee])";
    let one = format!("({level}|[A-Za-z0-9_:]+={level})");
    format!("^{one}(,{one})*$")
}

/// Labels that the chart sets itself must not be there twice.
fn not_own_labels() -> Value {
    let own =
        ["name", "instance", "version", "component", "part-of", "managed-by"].map(|name| format!("app.kubernetes.io/{name}"));
    let own: Vec<_> = own.into_iter().chain(["helm.sh/chart".to_owned()]).collect();
    json!({"not": {"enum": own}})
}

/// One value that can be set by itself.
pub struct Leaf {
    /// Such as `operator.log.level`.
    pub path: String,
    pub meaning: String,
    pub default: Value,
}

/// The schema, as Helm reads it.
fn schema() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Values>().to_value();
    // nothing must be given: what is not, comes from values.yaml
    forget_required(&mut schema, 0);
    // but `null` takes away what comes from there, and templates look into sections
    let sections = schema.clone();
    require_sections(&sections, &mut schema);
    for definition in schema["definitions"].as_object_mut().expect("definitions").values_mut() {
        require_sections(&sections, definition);
    }
    schema
}

/// The definition of a property that is a section of values, with values in it.
fn section<'a>(root: &'a Value, property: &Value) -> Option<&'a Value> {
    let reference = property.pointer("/$ref").or_else(|| property.pointer("/allOf/0/$ref")).and_then(Value::as_str)?;
    root.pointer(&reference[1..]).filter(|target| target["additionalProperties"] == Value::Bool(false))
}

fn require_sections(root: &Value, schema: &mut Value) {
    if schema["additionalProperties"] != Value::Bool(false) {
        return;
    }
    let properties = schema["properties"].as_object().expect("properties");
    let sections = properties.iter().filter(|(_, property)| section(root, property).is_some());
    let sections: Vec<_> = sections.map(|(name, _)| name.clone()).collect();
    if !sections.is_empty() {
        schema["required"] = json!(sections);
    }
}

/// Kubernetes' own types keep what they require.
fn forget_required(schema: &mut Value, depth: u8) {
    let Some(fields) = schema.as_object_mut() else { return };
    if depth == 0 || fields.get("additionalProperties") == Some(&Value::Bool(false)) {
        fields.remove("required");
    }
    if depth == 0 {
        for definition in
            fields.get_mut("definitions").and_then(Value::as_object_mut).into_iter().flat_map(|all| all.values_mut())
        {
            forget_required(definition, 1);
        }
    }
}

/// The defaults, checked to be of the types here.
pub fn defaults() -> Value {
    let text = chart_file("values.yaml");
    let typed: Values = serde_saphyr::from_str(&text).expect("values.yaml is of these types");
    drop(typed);
    serde_saphyr::from_str(&text).expect("YAML")
}

/// All values, sorted.
pub fn leaves() -> Vec<Leaf> {
    let schema = schema();
    let mut found = Vec::new();
    collect(&schema, &schema, &defaults(), "", &mut found);
    found
}

fn collect(root: &Value, schema: &Value, defaults: &Value, prefix: &str, found: &mut Vec<Leaf>) {
    for (key, property) in schema["properties"].as_object().expect("properties") {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match section(root, property) {
            Some(inner) => collect(root, inner, &defaults[key], &path, found),
            None if key == "global" => {}
            None => {
                let meaning = property["description"].as_str().unwrap_or_default();
                let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
                found.push(Leaf { path, meaning, default: defaults[key].clone() });
            }
        }
    }
}

fn expect_file(name: &str, expected: &str) {
    let path = format!("{CHART}/{name}");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{name} is stale: run UPDATE_GENERATED=1 cargo test --test it -- chart");
}

#[test]
fn the_schema_and_the_table_are_made_from_the_types() {
    expect_file("values.schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
    let readme = chart_file("README.md");
    let (head, _) = readme.split_once("| Value |").expect("the table is the end of the page");
    let mut page = head.to_owned() + "| Value | Default | Meaning |\n|---|---|---|\n";
    for Leaf { path, meaning, default } in leaves() {
        writeln!(page, "| `{path}` | `{default}` | {meaning} |").unwrap();
    }
    expect_file("README.md", &page);
}

#[test]
fn the_definitions_in_the_chart_are_those_of_the_program() {
    let names = ["connectorinstances.yaml", "connectors.yaml"];
    for name in names {
        let made = fs::read_to_string(format!("{}/crds/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        expect_file(&format!("files/crds/{name}"), &made);
    }
    // the chart installs whatever is in there
    let folder = fs::read_dir(format!("{CHART}/files/crds")).unwrap();
    let mut found: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, names);
}

#[test]
fn each_value_is_explained_where_its_default_stands() {
    let text = chart_file("values.yaml");
    let mut keys: Vec<(usize, String)> = Vec::new();
    let (mut comment, mut explained) = (String::new(), BTreeMap::new());
    for line in text.lines() {
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        if let Some(words) = trimmed.strip_prefix("# ") {
            comment = if comment.is_empty() { words.to_owned() } else { format!("{comment} {words}") };
            continue;
        }
        if let Some((key, _)) = trimmed.split_once(':').filter(|_| !trimmed.starts_with('-')) {
            keys.retain(|(indent, _)| *indent < depth);
            keys.push((depth, key.to_owned()));
            let path: Vec<_> = keys.iter().map(|(_, key)| key.as_str()).collect();
            explained.insert(path.join("."), std::mem::take(&mut comment));
        }
        comment.clear();
    }
    let leaves = leaves();
    assert!(leaves.len() > 45, "{}", leaves.len());
    for Leaf { path, meaning, .. } in leaves {
        assert!(!meaning.is_empty(), "{path} has no meaning");
        assert_eq!(explained.get(&path), Some(&meaning), "the comment above {path} in values.yaml");
    }
}

/// A value that passes the schema and that the program refuses is a pod that does not start.
#[test]
fn what_the_schema_lets_pass_the_program_reads() {
    let agree = |pattern: String, reads: &dyn Fn(&str) -> bool, right: &[&str], wrong: &[&str]| {
        let pattern = regex::Regex::new(&pattern).unwrap();
        for (texts, expected) in [(right, true), (wrong, false)] {
            for text in texts {
                assert_eq!((pattern.is_match(text), reads(text)), (expected, expected), "{text}");
            }
        }
    };
    agree(
        allow_rule(),
        &|text| pollinator::egress::AllowRule::parse(text).is_ok(),
        &[
            "10.0.0.0/8",
            "10.1.2.3",
            "0.0.0.0/0",
            "fd00::/8",
            "::1",
            "::ffff:10.0.0.1",
            "api.example",
            "*.svc.cluster.local",
            "a_b.x.",
            "db",
        ],
        &[
            "",
            "10.0.0.0/33",
            "300.1.1.1",
            "10.0.0",
            "fd00::/129",
            "*",
            "a.*.example",
            "a b",
            "https://a.example",
            "a.example:80",
            "1.2.3.4.5",
        ],
    );
    agree(
        required_label(),
        &|text| text.is_empty() || pollinator::operator::required_label::RequiredLabel::parse(text).is_ok(),
        &["", "team", "team=crm", "team=", "pollinator.dev/usable=true", "a.b_c-d"],
        &["a b", "=true", "-a", "a-", "/usable", "Big.Example/usable", "a=b=c", "a/b/c"],
    );
    agree(
        log_filter(),
        &|text| pollinator::observe::telemetry::is_filter(text),
        &["info", "WARN", "off", "warn,pollinator=debug", "pollinator::poll=trace,kube=error"],
        &["inof", "pollinator=loud", "warn,polinator", "a b"],
    );
}
