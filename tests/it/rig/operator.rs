//! The everyday scene on a cluster: one provider, one instance, one receiver, one namespace, and the operator that watches it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::api_proxy::{ApiProxy, Call};
use super::canary;
use super::client;
use super::clock::Clock;
use super::control_plane::{ControlPlane, Namespace};
use super::counted::assert_counted;
use super::fleet::SHARES;
use super::manifest::{self, Instance};
use super::oracle::Verdict;
use super::pollinator::{Pollinator, Site, binary};
use super::provider::{self, Provider};
use super::receiver::{Post, Receiver};
use super::status_lint;
use super::{PATIENCE, assert_perfect, settle};

/// Into how many shards the work is cut: enough for the two replicas that most tests have at most. Each shard costs a write of its Lease
/// every few seconds, and with 16 of them, as by default, those of a dozen operators are more than everything else they write.
const SHARDS: &str = "2";

/// Its instance is called `it`.
pub struct Cluster<'p> {
    pub provider: Provider,
    pub receiver: Receiver,
    pub proxy: ApiProxy<'p>,
    site: Site,
    pub ns: Namespace<'p>,
}

impl<'p> Cluster<'p> {
    /// With an everyday provider and the everyday Secret; the instance is applied by [`Self::apply`].
    pub fn new(plane: &'p ControlPlane, test: &str) -> Self {
        Self::with(plane, test, Provider::start())
    }

    /// With this provider.
    pub fn with(plane: &'p ControlPlane, test: &str, provider: Provider) -> Self {
        let (ns, proxy) = (plane.namespace(test), ApiProxy::start(plane));
        let cluster = Self { provider, receiver: Receiver::start(), proxy, site: Site::new(&[]), ns };
        cluster.apply_yaml(&manifest::login());
        cluster
    }

    /// The everyday manifest, to be changed and applied.
    pub fn instance(&self) -> Instance {
        Instance::new("it", &self.provider.url(), &self.receiver.url("it")).basic_auth()
    }

    /// Applies an instance into the namespace.
    pub fn apply(&self, instance: &Instance) {
        self.apply_yaml(&instance.yaml());
    }

    /// The same by one request, for many that are created at once.
    pub fn create(&self, instance: &Instance) {
        let yaml = instance.yaml().replace("namespace: it", &format!("namespace: {}", self.ns.name()));
        let object: Value = serde_saphyr::from_str(&yaml).expect("a manifest");
        self.ns.api().create(&self.ns.instances(), &object).ok();
    }

    /// The same of any manifest of the rig.
    pub fn apply_yaml(&self, yaml: &str) {
        self.ns.apply_directly(&yaml.replace("namespace: it", &format!("namespace: {}", self.ns.name())));
    }

    /// Starts the operator, which goes through the proxy and watches the namespace alone.
    pub fn start(&self) -> Pollinator {
        self.start_with(&[])
    }

    /// The same with further arguments.
    pub fn start_with(&self, arguments: &[&str]) -> Pollinator {
        self.start_as(&self.ns.plane().identity().admin_token, arguments)
    }

    /// The same in the name of the one who has this token.
    pub fn start_as(&self, token: &str, arguments: &[&str]) -> Pollinator {
        self.spawn(&self.proxy.kubeconfig(token, self.ns.name()), arguments)
    }

    /// Starts the operator, which follows another clock.
    pub fn start_by(&self, clock: &Clock, arguments: &[&str]) -> Pollinator {
        let kubeconfig = self.proxy.kubeconfig(&self.ns.plane().identity().admin_token, self.ns.name());
        self.spawn_program(clock.rule(binary()), &kubeconfig, arguments)
    }

    /// Starts the operator with these variables in its environment.
    pub fn start_in(&self, environment: &[(&str, String)], arguments: &[&str]) -> Pollinator {
        let kubeconfig = self.proxy.kubeconfig(&self.ns.plane().identity().admin_token, self.ns.name());
        let mut command = binary();
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        self.spawn_program(command, &kubeconfig, arguments)
    }

    /// Starts another version's binary in place of the one under test.
    pub fn start_released(&self, program: &str) -> Pollinator {
        let kubeconfig = self.proxy.kubeconfig(&self.ns.plane().identity().admin_token, self.ns.name());
        self.spawn_program(Command::new(program), &kubeconfig, &[])
    }

    fn spawn(&self, kubeconfig: &Path, arguments: &[&str]) -> Pollinator {
        self.spawn_program(binary(), kubeconfig, arguments)
    }

    fn spawn_program(&self, mut command: Command, kubeconfig: &Path, arguments: &[&str]) -> Pollinator {
        command.env("KUBECONFIG", kubeconfig).env("POLLINATOR_SHARDS", SHARDS).env_remove("POD_NAME").arg("operator");
        command.args(["--listen", "127.0.0.1:0", "--allow-egress", "127.0.0.0/8", "--watch-namespace", self.ns.name()]);
        command.args(arguments);
        self.site.spawn(command)
    }

    /// Runs another command of the program in the test's folder.
    pub fn spawn_command(&self, command: Command) -> Pollinator {
        self.site.spawn(command)
    }

    /// Starts a replica that goes through a proxy of its own, in the name of the one who has this token. It shares the work with others, so
    /// there are as many shards as by default.
    pub fn start_through(&self, proxy: &ApiProxy<'_>, token: &str, arguments: &[&str]) -> Pollinator {
        let shards = SHARES.to_string();
        self.spawn(&proxy.kubeconfig(token, self.ns.name()), &[&["--shards", &shards], arguments].concat())
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        self.site.path()
    }

    /// Starts another replica, which does not go through the proxy.
    pub fn start_beside(&self) -> Pollinator {
        self.spawn(self.ns.kubeconfig(), &[])
    }

    /// Applies the everyday instance, starts the operator and waits for the end of the first poll.
    pub fn begin(&self) -> Pollinator {
        self.apply(&self.instance());
        let operator = self.start();
        self.wait_ready("it");
        operator
    }

    /// Waits until an instance is ready, and returns it.
    pub fn wait_ready(&self, name: &str) -> Value {
        self.ns.wait_condition(name, "Ready", "True", "Polling");
        self.ns.get_instance(name)
    }

    /// Waits until all is delivered, and judges.
    pub fn verdict(&self) -> Verdict {
        settle(&self.receiver, "it", || self.provider.truth(), provider::version)
    }

    /// Waits until all is delivered; nothing may be wrong, and the metrics count what came.
    pub fn assert_perfect(&self, operator: &Pollinator) {
        assert_perfect(&self.verdict(), operator, "it");
        assert_counted(operator, &self.receiver);
    }

    /// The same, and then two more polls bring nothing again.
    pub fn assert_stays_perfect(&self, operator: &Pollinator) {
        self.assert_perfect(operator);
        self.provider.wait_polled(2);
        self.assert_perfect(operator);
    }

    /// Waits for so many requests to the callback in all.
    pub fn wait_posts(&self, count: usize, operator: &Pollinator) -> Vec<Post> {
        let found = self.receiver.try_wait_count("it", PATIENCE, count);
        found.unwrap_or_else(|| panic!("fewer than {count} requests\n{}", operator.report("it")))
    }

    /// Waits until a field of the instance's status, such as `/delivered`, has this value.
    pub fn wait_status(&self, pointer: &str, value: &Value) -> Value {
        self.ns.wait_instance("it", &format!("status{pointer} = {value}"), |instance| {
            (instance.pointer(&format!("/status{pointer}")) == Some(value)).then(|| instance["status"].clone())
        })
    }

    /// Names of the objects of a core kind here that belong to the instance.
    pub fn owned(&self, kind: &str) -> Vec<(String, String)> {
        let list = self.ns.api().get(&self.ns.core(kind)).ok();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let owned = items.iter().filter(|item| item["metadata"]["ownerReferences"][0]["kind"] == "ConnectorInstance");
        owned.map(|item| (text(&item["metadata"]["name"]), text(&item["metadata"]["resourceVersion"]))).collect()
    }

    /// Waits for an Event about the instance with this reason, and returns its note.
    pub fn wait_event(&self, reason: &str) -> String {
        let path = self.ns.group("events.k8s.io/v1", "events");
        let deadline = std::time::Instant::now() + PATIENCE;
        let found = |events: &Value| {
            let all = events["items"].as_array().cloned().unwrap_or_default();
            all.iter()
                .find(|event| event["reason"] == reason)
                .map(|event| event["note"].as_str().unwrap_or_default().to_owned())
        };
        let listed = self.ns.api().get(&path).ok();
        if let Some(note) = found(&listed) {
            return note;
        }
        let version = listed["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let watch = format!("{path}?watch=1&resourceVersion={version}");
        let note = self.ns.api().watch(&watch, deadline, |_, event| {
            (event["reason"] == reason).then(|| event["note"].as_str().unwrap_or_default().to_owned())
        });
        note.unwrap_or_else(|| panic!("no Event {reason} in time\n{listed:#}"))
    }

    /// The statuses that the operator wrote, in order.
    pub fn statuses_written(&self) -> Vec<Value> {
        let written = |call: &Call| call.is("update", "connectorinstances/status") && !call.target.contains("dryRun");
        self.proxy.calls().iter().filter(|call| written(call)).map(|call| call.json()["status"].take()).collect()
    }

    /// Requests of the operator that changed something, Events and Leases aside.
    pub fn writes(&self) -> usize {
        let counts = |call: &&Call| call.is_write() && !matches!(call.resource.as_str(), "events" | "leases");
        self.proxy.calls().iter().filter(counts).count()
    }
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let wrong = status_lint::lint_calls(&self.proxy.calls());
        assert!(wrong.is_empty(), "{} faults in what was written to statuses:\n{}", wrong.len(), wrong.join("\n"));
        let instances = self.ns.api().get(&self.ns.instances()).body.to_string();
        let events = self.ns.api().get(&self.ns.group("events.k8s.io/v1", "events")).body.to_string();
        let blobs = self.ns.api().get(&self.ns.core("configmaps")).body.to_string();
        // what kubectl applied says what it applied, in the Secret alone
        for text in [instances, events, blobs] {
            assert_eq!(canary::find_in(&text), None, "a secret was written to the cluster: {text}");
        }
    }
}

/// Waits until a running operator says that it is ready, which follows what it logs.
pub fn wait_ready_to_serve(operator: &Pollinator) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while health(operator, "/readyz") != 200 {
        assert!(std::time::Instant::now() < deadline, "{}", operator.stderr());
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
}

/// What a health endpoint of a running operator answers.
pub fn health(operator: &Pollinator, path: &str) -> u16 {
    client::send("GET", &served(operator, path), None).expect("an answer").0
}

/// Where a running operator serves metrics and probes.
pub fn health_address(operator: &Pollinator) -> std::net::SocketAddr {
    served(operator, "").trim_start_matches("http://").parse().expect("an address")
}

/// The value of one series, labels included, in a scrape of a running process.
pub fn metric(process: &Pollinator, series: &str) -> f64 {
    let scrape = client::must("GET", &served(process, "/metrics"), None);
    let value = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{series} is missing in\n{scrape}"))
}

fn served(process: &Pollinator, path: &str) -> String {
    let line = process.wait_stderr("serving /metrics");
    let address = line.rsplit_once("address=").expect("the address is told").1.trim();
    format!("http://{address}{path}")
}
