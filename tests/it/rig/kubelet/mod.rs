//! The process kubelet: runs the pods of a test's namespace as local processes, and tells the API server what becomes of them.
//!
//! It registers a node of its own, binds pods to it (there is no scheduler), makes each container a process ([`sandbox`]) with the
//! arguments and variables ([`launching`], [`environment`], [`expand`]) and volumes ([`volumes`], [`sources`]) of its spec, probes it ([`probe`],
//! [`prober`]), starts it again ([`backoff`]), writes the pod's status ([`status`]), and ends it with SIGTERM, its grace, and
//! SIGKILL ([`pod`]). It serves logs ([`server`]) and port-forwards ([`port_forward`]). Images are names for programs of this machine ([`image`]).
//!
//! A pod's address is one of loopback's 16 million, so that two pods may listen at one port. What listens at all addresses is
//! told to listen at the pod's alone. Services lead nowhere: endpoints may not be of loopback, and nobody plays kube-proxy or DNS.

mod backoff;
mod container;
mod environment;
mod expand;
mod hook;
mod house;
pub mod image;
mod launching;
mod node;
mod pod;
mod port_forward;
mod probe;
mod prober;
mod sandbox;
mod server;
mod sources;
mod status;
mod volumes;

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::DeleteParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::control_plane::{ControlPlane, Namespace, Run, streaming_server};
use super::{PATIENCE, canary, skip};
use environment::Place;
use house::{House, Resident};
use image::Image;
use pod::{News, Worker};
use port_forward::Streaming;
use prober::Prober;

/// How long the last words to the API server may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// How often pods that found no place are looked at again.
const SCHEDULE: Duration = Duration::from_secs(1);

/// A node with its kubelet. Dropped, all that it runs is killed, and the node is taken away.
pub struct Kubelet {
    // its tasks end before their processes do
    runtime: Option<Runtime>,
    house: Arc<House>,
    namespace: String,
    folder: TempDir,
}

impl Kubelet {
    /// Starts a node that runs all pods of a namespace which name one of these images. `None`: this machine cannot, which one
    /// loud line said.
    pub fn start(plane: &ControlPlane, namespace: &str, images: &[Image]) -> Option<Self> {
        Self::start_with(plane, namespace, images, plane.url())
    }

    /// The same, where containers find the API server at another address, such as a proxy's.
    pub fn start_with(plane: &ControlPlane, namespace: &str, images: &[Image], server: &str) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        static TOLD: LazyLock<()> = LazyLock::new(|| {
            if let Err(why) = sandbox::power() {
                skip("tests that run pods", &why);
            }
        });
        LazyLock::force(&TOLD);
        sandbox::power().ok()?;
        let node = format!("{namespace}-node-{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let folder = tempfile::Builder::new().prefix("pods-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let kubeconfig = plane.kubeconfig(plane.url(), &plane.identity().admin_token, namespace);
        let (client, listener) = runtime.block_on(async {
            let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("just written");
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            let client = Client::try_from(config.expect("a kubeconfig")).expect("a client");
            (client, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free loopback port"))
        });
        let own_port = listener.local_addr().expect("bound").port();
        runtime.block_on(node::register(&client, &node, own_port)).expect("a node");
        let server = server.trim_start_matches("https://");
        let (host, port) = server.rsplit_once(':').expect("an address with a port");
        let house = Arc::new(House {
            client: client.clone(),
            images: images.to_vec(),
            folder: folder.path().to_owned(),
            node: node.clone(),
            api_server: (host.to_owned(), port.to_owned()),
            prober: Prober::new(),
            streaming: OnceLock::new(),
            residents: Mutex::default(),
        });
        let acceptor = TlsAcceptor::from(plane.identity().leaf().server_config());
        runtime.spawn(node::keep(client, node, own_port));
        runtime.spawn(server::serve(listener, acceptor, Arc::clone(&house)));
        runtime.spawn(follow(Arc::clone(&house), namespace.to_owned()));
        Some(Self { runtime: Some(runtime), house, namespace: namespace.to_owned(), folder })
    }

    /// Serves `kubectl port-forward` from now on. `None`: this machine cannot, which one loud line said.
    pub fn serve_port_forwards(&self) -> Option<()> {
        let program = streaming_server()?;
        self.house.streaming.get_or_init(|| Streaming::start(program, self.folder.path()));
        Some(())
    }

    /// Name of the node, for `kubectl drain`.
    pub fn node(&self) -> &str {
        &self.house.node
    }

    /// Names of pods with a container that runs.
    pub fn running(&self) -> Vec<String> {
        let residents = self.house.residents();
        let mut names: Vec<_> = residents.iter().filter(|one| one.process.is_some()).map(|one| one.pod.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// All output of a pod's containers, of all their runs.
    pub fn logs(&self, pod: &str) -> String {
        let residents = self.house.residents().clone();
        residents.iter().filter(|one| one.pod == pod).map(log).collect()
    }

    /// All output of all pods.
    pub fn logs_of_all(&self) -> String {
        self.house.residents().clone().iter().map(log).collect()
    }

    /// The end of all logs, for a failure's message.
    pub fn report(&self) -> String {
        let last = |one: &Resident| {
            let text = log(one);
            let lines: Vec<_> = text.lines().collect();
            format!("{} {} #{}:\n{}\n", one.pod, one.container, one.run, lines[lines.len().saturating_sub(40)..].join("\n"))
        };
        self.house.residents().clone().iter().map(last).collect()
    }

    /// Waits until the Deployment `pollinator` of the kubelet's namespace is rolled out.
    pub fn wait_rolled_out(&self, ns: &Namespace<'_>) {
        let line = ["--namespace", &self.namespace, "rollout", "status", "deployment/pollinator", "--timeout=180s"];
        let told = ns.kubectl(&line);
        assert_eq!(told.code, Some(0), "{told:?}\n{}", self.report());
    }

    /// Waits until so many replicas of that Deployment are ready.
    pub fn wait_ready_replicas(&self, ns: &Namespace<'_>, count: i64) {
        let deployment = format!("/apis/apps/v1/namespaces/{}/deployments/pollinator", self.namespace);
        let seen = ns.api().try_wait(&deployment, PATIENCE, |deployment| {
            (deployment["status"]["readyReplicas"].as_i64().unwrap_or(0) == count).then_some(())
        });
        seen.unwrap_or_else(|last| panic!("not {count} ready\n{last:#}\n{}", self.report()));
    }

    /// Restarts of the containers of all pods of the namespace.
    pub fn restarts(&self, ns: &Namespace<'_>) -> i64 {
        let pods = ns.api().get(&format!("/api/v1/namespaces/{}/pods", self.namespace)).ok();
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        pods.iter().map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or(0)).sum()
    }

    /// Runs a command in the first running container of a pod, as `kubectl exec` does.
    pub fn exec(&self, pod: &str, line: &[&str]) -> Run {
        let line: Vec<_> = line.iter().map(|word| (*word).to_owned()).collect();
        let found = self.house.residents().iter().find(|one| one.pod == pod && one.process.is_some()).cloned();
        let process = found.and_then(|one| one.process).unwrap_or_else(|| panic!("{pod} does not run\n{}", self.report()));
        Run::of(&mut process.exec(&line).expect("it runs"), "")
    }

    /// Sends a signal to the first process of a pod's containers, behind the kubelet's back.
    pub fn signal(&self, pod: &str, name: &str) {
        for one in self.house.residents().iter().filter(|one| one.pod == pod) {
            one.process.iter().for_each(|process| process.signal(name));
        }
    }
}

fn log(resident: &Resident) -> String {
    String::from_utf8_lossy(&fs::read(&resident.log).unwrap_or_default()).into_owned()
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // nobody will run them any more, and a namespace ends once they are gone
            let (client, node, namespace) = (self.house.client.clone(), self.house.node.clone(), self.namespace.clone());
            let farewell = async move {
                Api::<Node>::all(client.clone()).delete(&node, &DeleteParams::default()).await?;
                let pods: Api<Pod> = Api::namespaced(client, &namespace);
                let own = kube::api::ListParams::default().fields(&format!("spec.nodeName={node}"));
                pods.delete_collection(&DeleteParams::default().grace_period(0), &own).await
            };
            let _ = runtime.block_on(async { tokio::time::timeout(FAREWELL, farewell).await });
            runtime.shutdown_timeout(FAREWELL);
        }
        let residents = std::mem::take(&mut *self.house.residents());
        residents.iter().filter_map(|one| one.process.as_ref()).for_each(|process| process.signal("KILL"));
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("kept for a look: {}", self.folder.path().display());
            return;
        }
        let logs: String = residents.iter().map(log).collect();
        assert_eq!(canary::find_in(&logs), None, "a secret was written to the output of a pod");
    }
}

/// What a kubelet knows of a namespace's pods.
struct Follower {
    house: Arc<House>,
    pods: Api<Pod>,
    /// By uid.
    workers: BTreeMap<String, mpsc::UnboundedSender<News>>,
    /// Pods without a node, by uid: the node was cordoned.
    pending: BTreeMap<String, Pod>,
    listed: Vec<String>,
}

/// Binds pods and hands each to its worker.
async fn follow(house: Arc<House>, namespace: String) {
    let pods: Api<Pod> = Api::namespaced(house.client.clone(), &namespace);
    let mut events = Box::pin(watcher(pods.clone(), watcher::Config::default()).default_backoff());
    let (workers, pending) = (BTreeMap::new(), BTreeMap::new());
    let mut follower = Follower { house, pods, workers, pending, listed: Vec::new() };
    loop {
        tokio::select! {
            event = events.try_next() => match event {
                Ok(Some(event)) => follower.take(event),
                Ok(None) => return,
                // it begins anew by itself
                Err(_) => {}
            },
            () = tokio::time::sleep(SCHEDULE), if !follower.pending.is_empty() => {}
        }
        follower.schedule().await;
    }
}

impl Follower {
    fn take(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(pod) => {
                self.listed.extend(pod.metadata.uid.clone());
                self.meet(pod);
            }
            // gone while the watch was broken
            watcher::Event::InitDone => {
                let known: Vec<_> = self.workers.keys().chain(self.pending.keys()).cloned().collect();
                known
                    .iter()
                    .filter(|uid| !self.listed.contains(uid))
                    .for_each(|uid| forget(&mut self.workers, &mut self.pending, uid));
            }
            watcher::Event::Apply(pod) => self.meet(pod),
            watcher::Event::Delete(pod) => {
                forget(&mut self.workers, &mut self.pending, pod.metadata.uid.as_deref().unwrap_or_default());
            }
        }
    }

    fn meet(&mut self, pod: Pod) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        let Some(uid) = pod.metadata.uid.clone() else { return };
        if node.is_empty() {
            self.pending.insert(uid, pod);
            return;
        }
        self.pending.remove(&uid);
        if node != self.house.node {
            return;
        }
        if let Some(worker) = self.workers.get(&uid) {
            let _ = worker.send(News::Changed(Box::new(pod)));
            return;
        }
        let (sender, news) = mpsc::unbounded_channel();
        self.workers.insert(uid, sender.clone());
        let place = Place { ip: address(), node: self.house.node.clone(), api_server: self.house.api_server.clone() };
        tokio::spawn(Worker::new(Arc::clone(&self.house), pod, place, sender, news).run());
    }

    /// Plays the scheduler, unless the node was cordoned.
    async fn schedule(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let node = Api::<Node>::all(self.house.client.clone()).get(&self.house.node).await;
        if node.is_ok_and(|node| node.spec.and_then(|spec| spec.unschedulable) == Some(true)) {
            return;
        }
        for pod in self.pending.values() {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "uid": pod.metadata.uid},
                "target": {"apiVersion": "v1", "kind": "Node", "name": self.house.node},
            });
            // another node of the namespace may be faster, and the watch tells
            let params = kube::api::PostParams::default();
            let _: Result<serde_json::Value, _> = self.pods.create_subresource("binding", name, &params, &binding).await;
        }
    }
}

fn forget(workers: &mut BTreeMap<String, mpsc::UnboundedSender<News>>, pending: &mut BTreeMap<String, Pod>, uid: &str) {
    pending.remove(uid);
    if let Some(worker) = workers.remove(uid) {
        let _ = worker.send(News::Gone);
    }
}

/// An address of loopback that no other pod has, nor one of another test process.
fn address() -> Ipv4Addr {
    let [a, b, c, ..] = *uuid::Uuid::new_v4().as_bytes();
    Ipv4Addr::new(127, 64 | (a >> 2), b, c.clamp(1, 254))
}
