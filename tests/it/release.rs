//! What a release consists of: the steps of `release/build` that need no release build, the chart's description of itself, and the
//! workflows, as far as they can be judged by their text.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use pollinator::api::validate::{Kind, validate};
use serde_json::Value;

use crate::rig::control_plane::{Run, helm};
use crate::rig::{is_installed, leave_out};

/// A moment for all files, in seconds since 1970.
const EPOCH: u64 = 1_700_000_000;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs steps into a folder, with the program under test in place of a released one.
fn build(dist: &Path, program: &str, steps: &[&str]) -> Run {
    let mut command = Command::new(root().join("release/build"));
    command.args(steps).env("DIST", dist).env("PROGRAM", program).env("SOURCE_DATE_EPOCH", EPOCH.to_string());
    if let Some(helm) = helm() {
        command.env("HELM", helm);
    }
    Run::of(&mut command, "")
}

/// Name and date of each entry of an archive that was packed with gzip.
fn entries(archive: &Path) -> Vec<(String, u64)> {
    let packed = fs::read(archive).unwrap();
    assert_eq!(packed[4..8], [0; 4], "{} has no date of its own", archive.display());
    let mut tar = Vec::new();
    GzDecoder::new(&*packed).read_to_end(&mut tar).unwrap();
    let (mut found, mut at) = (Vec::new(), 0);
    while tar.len() >= at + 512 && tar[at] != 0 {
        let header = &tar[at..at + 512];
        let field =
            |from: usize, to: usize| String::from_utf8_lossy(&header[from..to]).trim_end_matches(['\0', ' ']).to_owned();
        let number = |from, to| u64::from_str_radix(field(from, to).trim(), 8).unwrap();
        assert_eq!((number(108, 116), number(116, 124)), (0, 0), "nobody's files");
        found.push((field(0, 100), number(136, 148)));
        at += 512 + usize::try_from(number(124, 136).div_ceil(512) * 512).unwrap();
    }
    found
}

/// Every file below a folder with its content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_release_is_made_the_same_twice() {
    if helm().is_none() {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dists = ["one", "two"].map(|name| folder.path().join(name));
    for dist in &dists {
        build(dist, env!("CARGO_BIN_EXE_pollinator"), &["shell", "definitions", "chart"]).ok();
        // any program will do in the archive
        let stand_in = folder.path().join("pollinator");
        fs::copy("/bin/sh", &stand_in).unwrap();
        build(dist, stand_in.to_str().unwrap(), &["archive", "checksums"]).ok();
    }
    let [made, again] = [&dists[0], &dists[1]].map(|dist| files(dist));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().map(|path| path.display().to_string()).collect::<Vec<_>>();
    assert_eq!(names(&made), names(&again));
    for (path, content) in &made {
        assert!(*content == again[path], "{} differs", path.display());
    }
    let dist = &dists[0];
    let checked = Run::of(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(dist), "").ok();
    assert_eq!(checked.lines().count(), made.len() - 1, "all but the sums themselves: {checked}");

    for name in ["connectorinstance_v1alpha1.json", "connector_v1alpha1.json"] {
        assert!(made[Path::new(&format!("schemas/{name}"))] == text(&format!("schemas/{name}")).into_bytes(), "{name}");
    }
    let chart = dist.join(format!("pollinator-{VERSION}.tgz"));
    let packed = entries(&chart);
    assert!(packed.iter().any(|(name, _)| name == "pollinator/files/crds/connectors.yaml"), "{packed:?}");
    let archive = made.keys().find(|path| path.to_string_lossy().ends_with(".tar.gz")).unwrap();
    let held = entries(&dist.join(archive));
    for part in ["/pollinator", "/LICENSE", "/man/pollinator-operator.1", "/completions/pollinator.bash"] {
        assert!(held.iter().any(|(name, _)| name.ends_with(part)), "{part}: {held:?}");
    }
    assert!(packed.iter().chain(&held).all(|(_, date)| *date == EPOCH), "{packed:?} {held:?}");

    let render = |chart: &Path| {
        let run = Run::of(Command::new(helm().unwrap()).args(["template", "pollinator"]).arg(chart), "");
        run.ok()
    };
    assert_eq!(render(&chart), render(&root().join("charts/pollinator")), "the archive is the chart");
}

#[test]
fn the_bill_of_materials_names_what_is_linked_and_nothing_of_this_machine() {
    if !is_installed("cargo cyclonedx") {
        leave_out("the bill of materials", "cargo-cyclonedx is not installed");
        return;
    }
    let dist = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    build(dist.path(), "/bin/sh", &["bom"]).ok();
    let made = fs::read_to_string(dist.path().join(format!("pollinator-{VERSION}.cdx.json"))).unwrap();
    assert!(!made.contains(env!("CARGO_MANIFEST_DIR")));
    let bom: Value = serde_json::from_str(&made).unwrap();
    let named = |name: &str| bom["components"].as_array().unwrap().iter().any(|component| component["name"] == name);
    assert_eq!(bom["metadata"]["component"]["version"], VERSION);
    assert!(named("rustls") && named("kube") && !named("proptest"));
}

#[test]
fn a_step_that_is_not_there_or_cannot_be_made_is_told() {
    let dist = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let run = build(dist.path(), "/bin/sh", &["everything"]);
    assert!(run.code == Some(1) && run.stderr.contains("there is no step everything"), "{run:?}");
    let run = build(dist.path(), "/no/program", &["definitions"]);
    assert!(run.code == Some(1) && run.stderr.contains("run the step binary first"), "{run:?}");
    // the goal is told where it is missed
    let stand_in = dist.path().join("program");
    for (size, is_met) in [(20 << 20, true), ((20 << 20) + 1, false)] {
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o755).open(&stand_in).unwrap().set_len(size).unwrap();
        let told = build(dist.path(), stand_in.to_str().unwrap(), &["size"]).ok();
        assert!(told.contains(&format!("{size} bytes, 20.0 MiB")), "{told}");
        assert_eq!(!told.contains("that is 1 bytes more than the goal"), is_met, "{told}");
    }
    let help = build(dist.path(), "/bin/sh", &["--help"]).ok();
    let page = text("docs/contribute/release.md");
    for step in help.lines().last().unwrap().split_once(": ").unwrap().1.split(' ') {
        assert!(page.contains(&format!("| `{step}` | ")), "docs/contribute/release.md tells of the step {step}");
    }
}

/// What the test of the upgrade needs is what a release consists of.
#[test]
fn an_upgrade_begins_with_the_archive_and_the_chart_of_a_release() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let released = folder.path().join("released");
    fs::create_dir(&released).unwrap();
    let upgrade = |folder: &Path| {
        let mut command = Command::new(root().join("release/upgrade"));
        // what it would run, in place of cargo
        Run::of(command.arg(folder).env("CARGO", "env"), "")
    };
    let run = upgrade(&folder.path().join("none"));
    assert!(run.code == Some(1) && run.stderr.contains("usage: release/upgrade FOLDER"), "{run:?}");
    let run = upgrade(&released);
    assert!(run.code == Some(1) && run.stderr.contains("0 files in") && run.stderr.contains("TARGET.tar.gz"), "{run:?}");
    build(&released, env!("CARGO_BIN_EXE_pollinator"), &["shell"]).ok();
    build(&released, env!("CARGO_BIN_EXE_pollinator"), &["archive"]).ok();
    let run = upgrade(&released);
    assert!(run.code == Some(1) && run.stderr.contains("0 files in") && run.stderr.contains("VERSION.tgz"), "{run:?}");
    fs::write(released.join(format!("pollinator-{VERSION}.tgz")), "").unwrap();
    let run = upgrade(&released);
    assert!(run.stdout.contains(&format!("from pollinator {VERSION} to the version of this folder")), "{run:?}");

    // and it is run before anything is published
    let (_, release) = workflow("release.yaml");
    let runs = release["jobs"]["upgrade"]["steps"].to_string();
    assert!(runs.contains("gh release download") && runs.contains("release/upgrade before"), "{runs}");
    let needs = release["jobs"]["image"]["needs"].to_string();
    assert!(needs.contains("upgrade"), "{needs}");
}

/// The lines of a section of Cargo.toml.
fn section(header: &str) -> Vec<String> {
    let manifest = text("Cargo.toml");
    let (_, rest) = manifest.split_once(&format!("\n{header}\n")).unwrap_or_else(|| panic!("{header}"));
    rest.lines().take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn what_is_published_is_built_with_the_profile_dist_which_optimizes_across_packages() {
    let dist = section("[profile.dist]");
    for setting in ["inherits = \"release\"", "lto = \"thin\"", "opt-level = \"s\""] {
        assert!(dist.iter().any(|line| line == setting), "{setting}: {dist:?}");
    }
    let lock = text("Cargo.lock");
    for line in section("[profile.release.package]") {
        let name =
            line.strip_suffix(".opt-level = 3").unwrap_or_else(|| panic!("a list of what is optimized for speed: {line}"));
        assert!(lock.contains(&format!("\nname = \"{name}\"\n")), "a package that is not built: {name}");
    }
    for path in ["release/build", "Dockerfile"] {
        let text = text(path);
        assert!(text.contains("build --profile dist ") && text.contains("/dist/pollinator"), "{path}");
        assert!(!text.contains("--release"), "{path}");
    }
}

#[test]
fn the_image_is_built_from_the_pinned_compiler_by_its_digest() {
    let toolchain = text("rust-toolchain.toml");
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")).unwrap();
    let minor = version.trim_end_matches('"').splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let base = regex::Regex::new(&format!("^FROM (scratch|rust:{minor}-alpine@sha256:[0-9a-f]{{64}} AS build)$")).unwrap();
    let dockerfile = text("Dockerfile");
    let bases: Vec<_> = dockerfile.lines().filter(|line| line.starts_with("FROM ")).collect();
    assert!(bases.len() == 2 && bases.iter().all(|line| base.is_match(line)), "{bases:?}");
}

/// The chart's description, with what its annotations hold.
fn chart() -> (Value, impl Fn(&str) -> Value) {
    let chart: Value = serde_saphyr::from_str(&text("charts/pollinator/Chart.yaml")).unwrap();
    let annotations = chart["annotations"].clone();
    let annotation = move |name: &str| {
        let text = annotations[format!("artifacthub.io/{name}")].as_str().unwrap_or_else(|| panic!("no {name}")).to_owned();
        serde_saphyr::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    (chart, annotation)
}

#[test]
fn the_chart_has_the_programs_version_and_describes_what_it_installs() {
    let (chart, annotation) = chart();
    assert_eq!((&chart["version"], &chart["appVersion"]), (&VERSION.into(), &VERSION.into()));
    let values: Value = serde_saphyr::from_str(&text("charts/pollinator/values.yaml")).unwrap();
    let image = format!("{}:{VERSION}", values["image"]["repository"].as_str().unwrap());
    assert_eq!(annotation("images")[0]["image"], image);
    assert_eq!(annotation("license"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(
        chart["description"].as_str().unwrap().replace(". Polls", ": polls"),
        format!("{}.", env!("CARGO_PKG_DESCRIPTION"))
    );
    for change in annotation("changes").as_array().unwrap() {
        let kinds = ["added", "changed", "deprecated", "removed", "fixed", "security"];
        assert!(kinds.contains(&change["kind"].as_str().unwrap()) && change["description"].is_string(), "{change}");
    }
    for link in annotation("links").as_array().unwrap() {
        let (_, page) = link["url"].as_str().unwrap().split_once("/blob/main/").unwrap();
        let page = page.split('#').next().unwrap();
        assert!(root().join(page).is_file(), "{page}");
    }
    // as Artifact Hub shows it
    let (_, icon) = chart["icon"].as_str().unwrap().split_once("/pollinator/main/").unwrap();
    let icon = text(icon);
    assert!(icon.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && !icon.contains("href"), "{icon}");
    assert!(chart["maintainers"][0]["name"].is_string(), "{}", chart["maintainers"]);
    for flag in ["containsSecurityUpdates", "operator", "prerelease"] {
        assert!(annotation(flag).is_boolean(), "{flag}");
    }
    let made: Vec<_> = pollinator::api::crds()
        .iter()
        .map(|crd| (crd.spec.names.kind.clone(), crd.metadata.name.clone().unwrap(), crd.spec.versions[0].name.clone()))
        .collect();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let crds = annotation("crds");
    let told = crds.as_array().unwrap().iter().map(|crd| (word(&crd["kind"]), word(&crd["name"]), word(&crd["version"])));
    assert_eq!(told.collect::<Vec<_>>(), made);
}

#[test]
fn the_charts_examples_are_accepted() {
    let (_, annotation) = chart();
    let examples = annotation("crdsExamples");
    let mut kinds = Vec::new();
    for example in examples.as_array().unwrap() {
        let kind = match example["kind"].as_str().unwrap() {
            "ConnectorInstance" => Kind::ConnectorInstance,
            "Connector" => Kind::Connector,
            other => panic!("{other}"),
        };
        validate(kind, example).unwrap_or_else(|findings| panic!("{findings:?}"));
        kinds.push(kind);
    }
    assert_eq!(kinds, [Kind::ConnectorInstance, Kind::Connector]);
}

/// A workflow by its file, as text and as data.
fn workflow(name: &str) -> (String, Value) {
    let text = text(&format!(".github/workflows/{name}"));
    let data = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    (text, data)
}

fn jobs(workflow: &Value) -> Vec<(String, Value)> {
    workflow["jobs"].as_object().unwrap().iter().map(|(name, job)| (name.clone(), job.clone())).collect()
}

fn steps(workflow: &Value) -> Vec<Value> {
    jobs(workflow).iter().flat_map(|(_, job)| job["steps"].as_array().unwrap().clone()).collect()
}

#[test]
fn the_workflows_are_all_here() {
    let mut found: Vec<_> = files(&root().join(".github")).into_keys().map(|path| path.display().to_string()).collect();
    found.sort();
    assert_eq!(found, ["workflows/advisories.yaml", "workflows/ci.yaml", "workflows/release.yaml"]);
}

#[test]
fn ci_does_what_everybody_does() {
    let (_, ci) = workflow("ci.yaml");
    let scripts: Vec<_> = steps(&ci).iter().filter_map(|step| step["run"].as_str().map(str::to_owned)).collect();
    assert_eq!(scripts.iter().filter(|script| *script == ".ci/run").count(), 1, "{scripts:?}");
    assert!(root().join(".ci/run").is_file());
    // with the versions that the README asks for
    let readme = text("README.md");
    for (action, input, wanted) in [
        ("setup-go", "go-version", "Go "),
        ("setup-node", "node-version", "Node "),
        ("setup-python", "python-version", "Python "),
    ] {
        let step = steps(&ci).into_iter().find(|step| step["uses"].as_str().is_some_and(|uses| uses.contains(action))).unwrap();
        let version = step["with"][input].as_str().unwrap().to_owned();
        assert!(readme.contains(&format!("{wanted}{version}")), "{action} {version}");
    }
}

#[test]
fn workflows_pin_what_they_use_and_may_do_what_they_need() {
    let pinned = regex::Regex::new(r"^[a-z0-9-]+/[a-z0-9-]+@[0-9a-f]{40}$").unwrap();
    let versioned = regex::Regex::new(r"^ *-? *uses: \S+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+$").unwrap();
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    for name in ["advisories.yaml", "ci.yaml", "release.yaml"] {
        let (text, data) = workflow(name);
        for line in text.lines().filter(|line| line.contains("uses:")) {
            assert!(versioned.is_match(line), "{name}: {line}: a commit, and the version that it is");
            let (action, commit) = line.split_once("uses: ").unwrap().1.split_once('@').unwrap();
            let known = versions.entry(action.to_owned()).or_insert_with(|| commit.to_owned());
            assert_eq!(known, commit, "{action} is the same everywhere");
        }
        for step in steps(&data) {
            match (step["uses"].as_str(), step["run"].as_str()) {
                (Some(uses), None) => assert!(pinned.is_match(uses), "{name}: {uses}"),
                // what others may write, such as the name of a branch, must not become a command
                (None, Some(run)) => assert!(!run.contains("${{"), "{name}: {run}"),
                _ => panic!("{name}: {step}"),
            }
        }
        assert_eq!(
            data["permissions"],
            serde_json::json!({"contents": "read"}),
            "{name}: what a job needs beyond, it says itself"
        );
        assert!(data["concurrency"]["group"].is_string(), "{name}");
        assert!(data["on"].get("pull_request_target").is_none(), "{name}");
        for (job, content) in jobs(&data) {
            assert!(content["timeout-minutes"].is_u64(), "{name}: {job} ends some time");
            let writes = content["permissions"].as_object().into_iter().flatten().filter(|(_, right)| *right == "write");
            assert!(name == "release.yaml" || writes.count() == 0, "{name}: {job} writes nothing");
        }
    }
    assert!(versions.len() > 6, "{versions:?}");
}

/// A job that can sign in the name of this repository runs nothing that it has just fetched and compiled.
#[test]
fn no_job_that_can_sign_installs_programs() {
    let installs = regex::Regex::new(r"cargo (install|binstall)|pip3? install|npm (install|ci)|go install|curl|wget").unwrap();
    let mut signing = 0;
    for name in ["advisories.yaml", "ci.yaml", "release.yaml"] {
        for (job, content) in jobs(&workflow(name).1) {
            if content["permissions"]["id-token"] != "write" {
                continue;
            }
            signing += 1;
            for step in content["steps"].as_array().unwrap() {
                let run = step["run"].as_str().unwrap_or_default();
                assert!(!installs.is_match(run), "{name}: {job} can sign, and runs {run}");
            }
        }
    }
    assert_eq!(signing, 3);
}

#[test]
fn known_vulnerabilities_are_asked_for_every_day() {
    let (text, advisories) = workflow("advisories.yaml");
    assert!(advisories["on"]["schedule"][0]["cron"].is_string() && text.contains("check advisories"));
}

/// The names of repositories are in the chart, the kustomization and the workflow.
#[test]
fn what_is_published_is_what_the_chart_installs() {
    let (text, release) = workflow("release.yaml");
    assert_eq!(release["env"]["IMAGE"], "ghcr.io/${{ github.repository }}");
    let (chart, _) = chart();
    let repository = chart["home"].as_str().unwrap().strip_prefix("https://github.com/").unwrap().to_owned();
    let values: Value = serde_saphyr::from_str(&self::text("charts/pollinator/values.yaml")).unwrap();
    assert_eq!(values["image"]["repository"], format!("ghcr.io/{repository}"));
    for step in ["release/build chart", "release/build\n", "cosign sign", "cosign attest", "helm push"] {
        assert!(text.contains(step), "{step}");
    }
}
