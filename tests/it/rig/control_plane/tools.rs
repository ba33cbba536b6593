//! Where the tools come from: `KUBEBUILDER_ASSETS`, or built once with Go from the modules that `tests/control-plane` pins.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A Go module under `tests/control-plane` and what is built from it. Modules are apart since each pins its own `k8s.io/*`.
pub struct Module {
    name: &'static str,
    /// The module whose version is the tools' version.
    pins: &'static str,
    /// Name of the binary and its package.
    tools: &'static [(&'static str, &'static str)],
}

/// The API server, the controllers and their command line.
pub const KUBERNETES: Module = Module {
    name: "kubernetes",
    pins: "k8s.io/kubernetes",
    tools: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ],
};

/// The API server's store.
pub const ETCD: Module =
    Module { name: "etcd", pins: "go.etcd.io/etcd/server/v3", tools: &[("etcd", "go.etcd.io/etcd/server/v3")] };

/// The installer of charts.
pub const HELM: Module = Module { name: "helm", pins: "helm.sh/helm/v4", tools: &[("helm", "helm.sh/helm/v4/cmd/helm")] };

/// The checker of manifests by schemas.
pub const KUBECONFORM: Module = Module {
    name: "kubeconform",
    pins: "github.com/yannh/kubeconform",
    tools: &[("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform")],
};

/// The server of port-forwards, which `main.go` there makes of Kubernetes' own code.
pub const STREAMING: Module = Module {
    name: "streaming",
    pins: "k8s.io/cri-streaming",
    tools: &[("streaming", "pollinator.dev/control-plane/streaming")],
};

/// The parser of Prometheus' expressions, which `main.go` there feeds.
pub const PROMQL: Module = Module {
    name: "promql",
    pins: "github.com/prometheus/prometheus",
    tools: &[("promql", "pollinator.dev/control-plane/promql")],
};

/// Modules that hold definitions of others, and their folders, fetched first if they are not there. An error says what is missing.
pub fn definitions() -> Result<Vec<(String, PathBuf)>, String> {
    let source: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "control-plane", "definitions"].iter().collect();
    let output = Command::new("go")
        .args(["mod", "download", "-json"])
        .current_dir(source)
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("they need Go 1.26 ({error})"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("go mod download: {}", told.lines().last().unwrap_or_default()));
    }
    // one object after the other
    let modules = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let text = |module: &Value, field: &str| module[field].as_str().map(str::to_owned);
    let found = modules.filter_map(|module| {
        let module = module.ok()?;
        Some((text(&module, "Path")?, PathBuf::from(text(&module, "Dir")?)))
    });
    Ok(found.collect())
}

impl Module {
    /// The folder with this module's tools, which are built first if they are not there. An error says what is missing.
    pub fn provide(&self) -> Result<PathBuf, String> {
        if let Some(assets) = assets() {
            return Ok(assets);
        }
        let definition = self.definition();
        let root = cache()?;
        fs::create_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
        // other test processes want the same build
        let lock = File::create(root.join(format!("{}.lock", self.name))).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let folder = root.join(format!("{}-{}", self.name, self.version()));
        let stamp = folder.join("built-from");
        if fs::read_to_string(&stamp).is_ok_and(|built| built == definition) {
            return Ok(folder);
        }
        self.build(&folder)?;
        fs::write(&stamp, definition).map_err(|error| error.to_string())?;
        Ok(folder)
    }

    fn build(&self, folder: &Path) -> Result<(), String> {
        let go = |arguments: &[&str]| {
            // the other tests are at work at the same time
            let output = Command::new("nice")
                .args(["-n", "19", "go"])
                .args(arguments)
                .current_dir(self.source())
                .env("GOWORK", "off")
                .stdin(Stdio::null())
                .output()
                .map_err(|error| format!("nice: {error}"))?;
            if output.status.success() {
                return Ok(());
            }
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let told: Vec<_> = told.lines().filter(|line| !line.starts_with("go: downloading")).collect();
            Err(format!("go {}: {}", arguments[0], told[told.len().saturating_sub(5)..].join(" / ")))
        };
        go(&["version"]).map_err(|error| format!("they need Go 1.26, or KUBEBUILDER_ASSETS ({error})"))?;
        // not eprintln!, which the test runner would keep to itself
        let _ = writeln!(
            io::stderr(),
            "building {} {} with Go, once; this takes some minutes: {}",
            self.name,
            self.version(),
            folder.display()
        );
        for (name, package) in self.tools {
            let target = folder.join(name);
            go(&["build", "-trimpath", "-ldflags", &self.linker_flags(), "-o", &target.to_string_lossy(), package])?;
        }
        Ok(())
    }

    fn source(&self) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests", "control-plane", self.name].iter().collect()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.source().join(file)).expect("tests/control-plane is part of the project")
    }

    /// Everything that the build depends on.
    fn definition(&self) -> String {
        let own = fs::read_to_string(self.source().join("main.go")).unwrap_or_default();
        format!("{}{}{own}{}{:?}", self.read("go.mod"), self.read("go.sum"), self.linker_flags(), self.tools)
    }

    /// With its `v`, as `go.mod` has it.
    fn version(&self) -> String {
        let text = self.read("go.mod");
        let mut words = text.lines().map(|line| line.trim_start_matches("require").split_whitespace());
        let found = words.find_map(|mut words| (words.next() == Some(self.pins)).then(|| words.next()).flatten());
        found.unwrap_or_else(|| panic!("tests/control-plane/{}/go.mod pins {}", self.name, self.pins)).to_owned()
    }

    fn linker_flags(&self) -> String {
        let mut flags = "-s -w".to_owned();
        if self.name == KUBERNETES.name {
            // unstamped, kubectl cannot parse its own server's version, nor can Helm's kubeVersion check
            let version = self.version();
            let mut numbers = version.trim_start_matches('v').split('.');
            let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
            for (name, value) in [("gitVersion", version.as_str()), ("gitMajor", major), ("gitMinor", minor)] {
                let _ = write!(flags, " -X k8s.io/component-base/version.{name}={value}");
            }
        }
        flags
    }
}

/// The folder that envtest's users have; nothing is built where it is set.
fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `POLLINATOR_CONTROL_PLANE_DIR`, or a place that outlives `cargo clean`.
fn cache() -> Result<PathBuf, String> {
    let var = |name: &str| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    var("POLLINATOR_CONTROL_PLANE_DIR")
        .or_else(|| var("XDG_CACHE_HOME").map(|cache| cache.join("pollinator/control-plane")))
        .or_else(|| var("HOME").map(|home| home.join(".cache/pollinator/control-plane")))
        .ok_or_else(|| "no HOME to keep a build in; set POLLINATOR_CONTROL_PLANE_DIR".to_owned())
}

/// The path of one tool in a folder, or what is missing.
pub fn tool(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    path.is_file().then_some(path).ok_or_else(|| format!("{} has no {name}", folder.display()))
}
