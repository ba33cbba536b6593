//! A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager, and the tools that speak to them.
//!
//! All tests share one ([`shared`]) and keep apart by [`Namespace`]. A test that changes what is there for all, such as CRDs,
//! starts one of its own ([`ControlPlane::start`]). There are no nodes and no scheduler: pods stay pending unless
//! the test runs them.

pub mod api;
pub mod conform;
pub mod guard;
pub mod identity;
mod namespace;
mod store;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use api::Api;
use guard::{Guarded, Sweeper};
use identity::Identity;
pub use namespace::Namespace;

use super::{PATIENCE, free_port, skip, turns};

/// The project's CRDs, as they are released.
pub const CRDS: [(&str, &str); 2] = [
    ("connectorinstances.pollinator.dev", include_str!("../../../../crds/connectorinstances.yaml")),
    ("connectors.pollinator.dev", include_str!("../../../../crds/connectors.yaml")),
];

const CRD_PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Running servers with the project's CRDs in place.
pub struct ControlPlane {
    // order matters: an API server whose etcd is gone no longer ends on SIGTERM, and the folder goes last
    controllers: Option<Guarded>,
    server: Mutex<Restartable>,
    etcd: Mutex<Restartable>,
    identity: Identity,
    url: String,
    /// Address of etcd.
    store: String,
    kubectl: PathBuf,
    api: Api,
    runtime: Runtime,
    crd_warnings: Vec<String>,
    files: AtomicUsize,
    folder: TempDir,
    /// Removes the folder of a plane that is never dropped.
    _sweeper: Sweeper,
}

/// A server and how it is started.
struct Restartable {
    process: Guarded,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
}

impl Restartable {
    fn start(program: &Path, arguments: Vec<String>, folder: &Path) -> Self {
        let process = Guarded::spawn(program, &arguments, folder);
        Self { process, program: program.to_owned(), arguments, folder: folder.to_owned() }
    }

    fn stop(&self, meanwhile: impl FnOnce()) {
        self.process.signal("STOP");
        meanwhile();
        self.process.signal("CONT");
    }

    /// Kills it, and starts it again with the same arguments after something else was done.
    fn restart(&mut self, meanwhile: impl FnOnce()) {
        self.process.signal("KILL");
        let deadline = Instant::now() + PATIENCE;
        while !self.process.has_ended() {
            assert!(Instant::now() < deadline, "it does not end\n{}", self.process.last_words());
            std::thread::park_timeout(Duration::from_millis(25));
        }
        meanwhile();
        self.process = Guarded::spawn(&self.program, &self.arguments, &self.folder);
    }
}

struct Binaries {
    etcd: PathBuf,
    server: PathBuf,
    /// envtest's archives have none.
    controllers: Option<PathBuf>,
    kubectl: PathBuf,
}

static BINARIES: LazyLock<Result<Binaries, String>> = LazyLock::new(|| {
    let (kubernetes, etcd) = (tools::KUBERNETES.provide()?, tools::ETCD.provide()?);
    Ok(Binaries {
        etcd: tools::tool(&etcd, "etcd")?,
        server: tools::tool(&kubernetes, "kube-apiserver")?,
        controllers: tools::tool(&kubernetes, "kube-controller-manager").ok(),
        kubectl: tools::tool(&kubernetes, "kubectl")?,
    })
});

static KUBECTL: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let found = tools::KUBERNETES.provide().and_then(|folder| tools::tool(&folder, "kubectl"));
    found.map_err(|why| skip("tests with kubectl", &why)).ok()
});

static SHARED: LazyLock<Option<ControlPlane>> = LazyLock::new(ControlPlane::start);

static HELM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let found = tools::HELM.provide().and_then(|folder| tools::tool(&folder, "helm"));
    found.map_err(|why| skip("tests with Helm", &why)).ok()
});

static STREAMING: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let found = tools::STREAMING.provide().and_then(|folder| tools::tool(&folder, "streaming"));
    found.map_err(|why| skip("tests with port-forwards", &why)).ok()
});

/// Where the streaming server of a kubelet is. `None`: it cannot be had here, which one loud line said.
pub fn streaming_server() -> Option<&'static Path> {
    STREAMING.as_deref()
}

/// Where Helm is. `None`: it cannot be had here, which one loud line said.
pub fn helm() -> Option<&'static Path> {
    turns::take();
    HELM.as_deref()
}

/// kubectl, for what it does without a server. `None`: it cannot be had here, which one loud line said.
pub fn kubectl_alone() -> Option<&'static Path> {
    turns::take();
    KUBECTL.as_deref()
}

/// Builds every tool that is not there, Helm included, and fetches what tests read; an error says what is missing.
pub fn build_tools() -> Result<(), String> {
    for module in [tools::KUBERNETES, tools::ETCD, tools::HELM, tools::KUBECONFORM, tools::PROMQL, tools::STREAMING] {
        module.provide()?;
    }
    tools::definitions().map(drop)
}

/// The control plane that all tests of this process share, started by the first of them and ended with the process. `None`: it
/// cannot be had here, which one loud line said.
pub fn shared() -> Option<&'static ControlPlane> {
    turns::take_with_cluster();
    SHARED.as_ref()
}

/// The same with kube-controller-manager in it, for tests that need Deployments, owner references or the end of a namespace.
pub fn shared_with_controllers() -> Option<&'static ControlPlane> {
    static TOLD: LazyLock<()> =
        LazyLock::new(|| skip("tests with controllers", "KUBEBUILDER_ASSETS has no kube-controller-manager"));
    let plane = shared()?;
    if plane.controllers.is_none() {
        LazyLock::force(&TOLD);
        return None;
    }
    Some(plane)
}

impl ControlPlane {
    /// Starts one, whose tools are built first if needed. `None`: see [`shared`].
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// One whose store takes so many bytes and no more.
    pub fn start_with_store_of(bytes: u64) -> Option<Self> {
        Self::start_with(&[format!("--quota-backend-bytes={bytes}")])
    }

    fn start_with(etcd: &[String]) -> Option<Self> {
        static TOLD: LazyLock<()> = LazyLock::new(|| {
            if let Err(why) = &*BINARIES {
                skip("tests with a control plane", why);
            }
        });
        turns::take_with_cluster();
        LazyLock::force(&TOLD);
        let binaries = BINARIES.as_ref().ok()?;
        let mut why = String::new();
        // another process may take a port between its choice and its use
        for _ in 0..3 {
            match Self::try_start(binaries, etcd) {
                Ok(plane) => return Some(plane),
                Err(error) => why = error,
            }
        }
        panic!("the control plane does not start: {why}");
    }

    fn try_start(binaries: &Binaries, etcd: &[String]) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("plane-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let path = folder.path();
        let sweeper = Sweeper::of(path);
        let identity = Identity::new();
        identity.write(path);

        let store = format!("http://127.0.0.1:{}", free_port());
        let own = vec![
            "--data-dir=etcd".to_owned(),
            format!("--listen-client-urls={store}"),
            format!("--advertise-client-urls={store}"),
            "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
            // what a crash of the machine may lose is of no interest here
            "--unsafe-no-fsync".to_owned(),
        ];
        let mut etcd = Restartable::start(&binaries.etcd, [own.as_slice(), etcd].concat(), path);
        etcd.process.wait(|etcd| etcd.log().contains("ready to serve client requests"))?;

        let port = free_port();
        let url = format!("https://127.0.0.1:{port}");
        let arguments = vec![
            format!("--etcd-servers={store}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--tls-cert-file=server.crt".to_owned(),
            "--tls-private-key-file=server.key".to_owned(),
            "--cert-dir=certificates".to_owned(),
            "--token-auth-file=tokens.csv".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-key-file=accounts.pub".to_owned(),
            "--service-account-signing-key-file=accounts.key".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            // ends with its clients' watches open, without the grace that a load balancer needs
            "--shutdown-delay-duration=0s".to_owned(),
        ];
        let mut server = Restartable::start(&binaries.server, arguments, path);

        let runtime = Runtime::new().expect("a runtime");
        let client = client(&identity);
        let api = Api::new(&url, &identity.admin_token, client, runtime.handle().clone());
        server.process.wait(|_| api.try_send("GET", "/readyz", None).is_ok_and(|reply| reply.status == 200))?;

        let kubeconfig = identity.write_kubeconfig(path.join("kubeconfig"), &url, &identity.admin_token, "default");
        let controllers = binaries.controllers.as_ref().map(|program| {
            let arguments = [
                format!("--kubeconfig={}", kubeconfig.display()),
                "--service-account-private-key-file=accounts.key".to_owned(),
                "--root-ca-file=authority.crt".to_owned(),
                "--use-service-account-credentials=true".to_owned(),
                "--leader-elect=false".to_owned(),
                "--bind-address=127.0.0.1".to_owned(),
                "--secure-port=0".to_owned(),
            ];
            Guarded::spawn(program, &arguments, path)
        });
        let mut plane = Self {
            controllers,
            server: Mutex::new(server),
            etcd: Mutex::new(etcd),
            identity,
            url,
            store,
            kubectl: binaries.kubectl.clone(),
            api,
            runtime,
            crd_warnings: Vec::new(),
            files: AtomicUsize::new(0),
            folder,
            _sweeper: sweeper,
        };
        plane.crd_warnings = plane.install_crds();
        if plane.controllers.is_some() {
            // until they have made this, they are not at work
            plane.api.wait_for("/api/v1/namespaces/default/serviceaccounts/default", "the default ServiceAccount", |account| {
                account.is_object().then_some(())
            });
        }
        Ok(plane)
    }

    /// Puts the project's CRDs in place, if they are not, and waits until they are served. Answers the server's warnings.
    pub fn install_crds(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, yaml) in CRDS {
            let reply = self.api.apply(&format!("{CRD_PATH}/{name}"), "it", yaml);
            warnings.extend(reply.warnings.clone());
            reply.ok();
        }
        for (name, _) in CRDS {
            self.api.wait_for(&format!("{CRD_PATH}/{name}"), "Established", |crd| {
                let conditions = crd["status"]["conditions"].as_array()?;
                conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True").then_some(())
            });
        }
        // established is not yet served: the handler learns of a CRD by its own watch
        let deadline = Instant::now() + PATIENCE;
        for plural in ["connectorinstances", "connectors"] {
            while self.api.get(&format!("/apis/pollinator.dev/v1alpha1/{plural}")).status != 200 {
                assert!(Instant::now() < deadline, "{plural} are not served in time");
                std::thread::park_timeout(Duration::from_millis(25));
            }
        }
        warnings
    }

    /// Kills kube-apiserver, starts it again after something else was done, and waits until it answers. Not for the plane that all
    /// share.
    pub fn restart_server(&self, meanwhile: impl FnOnce()) {
        self.server.lock().expect("no test panics in here").restart(meanwhile);
        self.wait_answers();
    }

    /// The same with etcd.
    pub fn restart_etcd(&self, meanwhile: impl FnOnce()) {
        self.etcd.lock().expect("no test panics in here").restart(meanwhile);
        self.wait_answers();
    }

    /// Stops etcd with SIGSTOP while something else is done: its connections stay open, and nothing answers.
    pub fn stop_etcd(&self, meanwhile: impl FnOnce()) {
        self.etcd.lock().expect("no test panics in here").stop(meanwhile);
        self.wait_answers();
    }

    fn wait_answers(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.api.try_send("GET", "/readyz", None).is_ok_and(|reply| reply.status == 200) {
            assert!(Instant::now() < deadline, "the server does not come back");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Warnings that the server gave when the CRDs were applied.
    pub fn crd_warnings(&self) -> &[String] {
        &self.crd_warnings
    }

    /// The server's address, as in a kubeconfig.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Certificates and tokens of this plane.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The admin's access. [`Api::with_token`] makes it another's.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The admin's access through another address, such as a proxy's.
    pub fn api_at(&self, server: &str) -> Api {
        Api::new(server, &self.identity.admin_token, client(&self.identity), self.runtime.handle().clone())
    }

    /// Makes a namespace for a test; the name says which.
    pub fn namespace(&self, test: &str) -> Namespace<'_> {
        Namespace::new(self, test)
    }

    /// Writes a kubeconfig for a server (this plane's [`url`](Self::url) or a proxy's), a token and a default namespace.
    pub fn kubeconfig(&self, server: &str, token: &str, namespace: &str) -> PathBuf {
        let file = format!("kubeconfig-{}", self.files.fetch_add(1, Ordering::SeqCst));
        self.identity.write_kubeconfig(self.folder.path().join(file), server, token, namespace)
    }

    /// A kubectl for a kubeconfig.
    pub fn kubectl(&self, kubeconfig: &Path) -> Command {
        self.tool(&self.kubectl, kubeconfig)
    }

    /// A Helm for a kubeconfig. `None`: it cannot be had here, which one loud line said.
    pub fn helm(&self, kubeconfig: &Path) -> Option<Command> {
        Some(self.tool(HELM.as_ref()?, kubeconfig))
    }

    fn tool(&self, program: &Path, kubeconfig: &Path) -> Command {
        let mut command = Command::new(program);
        // caches are kept by host and port, which another plane had before
        command.env("HOME", self.folder.path()).env("KUBECONFIG", kubeconfig).env("NO_PROXY", "127.0.0.1").stdin(Stdio::null());
        command.env("GOGC", guard::GARBAGE);
        for name in
            ["KUBECACHEDIR", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_NAMESPACE", "XDG_CACHE_HOME"]
        {
            command.env_remove(name);
        }
        command
    }

    /// The key that signs tokens of `ServiceAccount`s, in PEM.
    pub fn accounts_key(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("accounts.key")).expect("the plane's own folder")
    }

    /// Where the plane's runtime runs what the rig needs of it.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

/// HTTP for one who trusts this plane alone.
fn client(identity: &Identity) -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(identity.authority_pem.as_bytes()).expect("a certificate");
    // kube's and reqwest's builders both take the process's provider
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().expect("a client")
}

/// A command that has run.
#[derive(Clone, Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Runs it to its end with this on stdin.
    pub fn of(command: &mut Command, input: &str) -> Self {
        use std::io::Write as _;
        let shown = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        // it may end without reading
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("a child can be waited for");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Its output; a failure fails the test.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Reads the manifests in a folder of the project and the entries of the catalog in it (`KEY/connector.yaml`), sorted by name.
pub fn manifests(folder: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: Vec<_> = fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .flatten()
        .map(|entry| if entry.path().is_dir() { entry.path().join("connector.yaml") } else { entry.path() })
        .filter(|file| file.is_file() && file.extension().is_some_and(|ending| ending == "yaml"))
        .map(|file| {
            let name = file.strip_prefix(&path).expect("a file in the folder").to_string_lossy().into_owned();
            (name, fs::read_to_string(&file).expect("text"))
        })
        .collect();
    found.sort();
    found
}
