//! kubeconform, with the schemas that the API server itself publishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::super::{PATIENCE, skip};
use super::{CRD_PATH, ControlPlane, Run, tools};

/// Definitions of others whose objects we render: module, file, and the path at which the server lists its objects.
const FOREIGN: [(&str, &str, &str); 3] = [
    (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "/apis/monitoring.coreos.com/v1/servicemonitors",
    ),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "/apis/monitoring.coreos.com/v1/prometheusrules",
    ),
    (
        "sigs.k8s.io/gateway-api",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
        "/apis/gateway.networking.k8s.io/v1/httproutes",
    ),
];

static KUBECONFORM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let found = tools::KUBECONFORM.provide().and_then(|folder| tools::tool(&folder, "kubeconform"));
    found.map_err(|why| skip("tests with kubeconform", &why)).ok()
});

static PROMQL: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let found = tools::PROMQL.provide().and_then(|folder| tools::tool(&folder, "promql"));
    found.map_err(|why| skip("tests with Prometheus' parser", &why)).ok()
});

/// What Prometheus' parser says of those expressions that it cannot read, each of which is a line. `None`: it cannot be had here.
pub fn unreadable(expressions: &[String]) -> Option<String> {
    let run = Run::of(&mut Command::new(PROMQL.as_ref()?), &expressions.join("\n"));
    assert_eq!(run.code == Some(0), run.stdout.is_empty(), "{run:?}");
    Some(run.stdout)
}

/// What was found about one document.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// Kind and name.
    pub object: String,
    /// What is wrong.
    pub message: String,
}

/// A folder of schemas, one for each kind that a server serves.
pub struct Schemas {
    folder: PathBuf,
    kinds: usize,
}

impl ControlPlane {
    /// Installs others' definitions. Not for the plane that all share. `None`: they cannot be had here, which one loud line said.
    pub fn install_foreign_crds(&self) -> Option<()> {
        let modules = tools::definitions().map_err(|why| skip("tests with definitions of others", &why)).ok()?;
        for (module, file, _) in FOREIGN {
            let folder = modules.iter().find(|(path, _)| path == module).map(|(_, folder)| folder).expect("go.mod requires it");
            let yaml = fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{module} {file}: {error}"));
            let crd: Value = serde_saphyr::from_str(&yaml).expect("YAML");
            let name = crd["metadata"]["name"].as_str().expect("a name");
            self.api().apply(&format!("{CRD_PATH}/{name}"), "it", &yaml).ok();
        }
        let deadline = Instant::now() + PATIENCE;
        for (_, _, path) in FOREIGN {
            while self.api().get(path).status != 200 {
                assert!(Instant::now() < deadline, "{path} is not served in time");
                std::thread::park_timeout(std::time::Duration::from_millis(25));
            }
        }
        Some(())
    }

    /// Writes the schemas of everything that the server serves, closed so that an unknown field is a fault.
    pub fn schemas(&self, folder: &Path) -> Schemas {
        fs::create_dir_all(folder).expect("a folder");
        let deadline = Instant::now() + PATIENCE;
        let paths = loop {
            let index = self.api().get("/openapi/v3").ok();
            let paths = index["paths"].as_object().expect("paths").clone();
            let wanted = ["apis/pollinator.dev/v1alpha1", "apis/monitoring.coreos.com/v1", "apis/gateway.networking.k8s.io/v1"];
            if wanted.iter().all(|path| paths.contains_key(*path)) {
                break paths;
            }
            assert!(Instant::now() < deadline, "{:?}", paths.keys().collect::<Vec<_>>());
            std::thread::park_timeout(std::time::Duration::from_millis(25));
        };
        let mut kinds = 0;
        for (path, place) in &paths {
            let document = self.api().get(place["serverRelativeURL"].as_str().expect("an address")).ok();
            let Some(schemas) = document["components"]["schemas"].as_object() else { continue };
            let closed: Map<_, _> = schemas.iter().map(|(name, schema)| (name.clone(), close(schema))).collect();
            // each file has all of them, so the text is made once
            let closed = Value::from(closed).to_string();
            for (name, schema) in schemas {
                for identity in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
                    let text = |field: &str| identity[field].as_str().unwrap_or_default();
                    // kubeconform takes the version for the group where there is none
                    let (group, own) = match text("group") {
                        "" => (text("version"), format!("api/{}", text("version"))),
                        group => (group, format!("apis/{group}/{}", text("version"))),
                    };
                    // what all groups have, such as DeleteOptions, each document repeats for all of them
                    if *path != own {
                        continue;
                    }
                    let file = format!("{group}_{}_{}.json", text("version"), text("kind").to_lowercase());
                    let whole = format!(r##"{{"$ref":"#/components/schemas/{name}","components":{{"schemas":{closed}}}}}"##);
                    fs::write(folder.join(file), whole).expect("written");
                    kinds += 1;
                }
            }
        }
        Schemas { folder: folder.to_owned(), kinds }
    }
}

impl Schemas {
    /// How many kinds have a schema.
    pub fn kinds(&self) -> usize {
        self.kinds
    }

    /// Checks files by these schemas, after those at `before` (a template of kubeconform), without network. Returns how many documents
    /// conform, and what does not. `None`: kubeconform cannot be had here.
    pub fn check(&self, before: Option<&str>, files: &[PathBuf]) -> Option<(u64, Vec<Finding>)> {
        let program = KUBECONFORM.as_ref()?;
        let location =
            format!("{}/{{{{.Group}}}}_{{{{.ResourceAPIVersion}}}}_{{{{.ResourceKind}}}}.json", self.folder.display());
        let mut command = Command::new(program);
        command.args(["-strict", "-summary", "-output", "json", "-n", "2"]);
        for place in before.into_iter().chain([location.as_str()]) {
            command.args(["-schema-location", place]);
        }
        let run = Run::of(command.args(files), "");
        let told: Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", run.stdout, run.stderr));
        let summary = &told["summary"];
        assert_eq!(summary["skipped"], 0, "{summary}");
        let findings = told["resources"].as_array().into_iter().flatten().map(|one| {
            let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
            Finding { file: text("filename"), object: format!("{}/{}", text("kind"), text("name")), message: text("msg") }
        });
        Some((summary["valid"].as_u64().expect("a count"), findings.collect()))
    }
}

/// Forbids what a schema does not name.
fn close(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut closed: Map<_, _> = members.iter().map(|(name, member)| (name.clone(), close(member))).collect();
            let is_open = members.contains_key("additionalProperties")
                || members.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
            // a field may be called `properties`, but then it has no type
            if members.get("type") == Some(&json!("object"))
                && members.get("properties").is_some_and(Value::is_object)
                && !is_open
            {
                closed.insert("additionalProperties".into(), json!(false));
            }
            closed.into()
        }
        Value::Array(items) => items.iter().map(close).collect(),
        other => other.clone(),
    }
}
