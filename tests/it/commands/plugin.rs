//! The program as a plugin of kubectl, and with kubectl's options for the cluster.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::control_plane::{Run, shared};
use crate::rig::pollinator::binary;

const FINE: &str = "the API server answers, the CRDs are installed, no permission is missing\n";

/// A folder with the program under the name by which kubectl looks for it.
fn installed() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-pollinator");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pollinator"), &plugin).unwrap();
    (folder, plugin)
}

#[test]
fn usage_lines_are_as_people_type_them() {
    let (_folder, plugin) = installed();
    for (arguments, usage) in [
        (&["--help"][..], "kubectl pollinator [OPTIONS] <COMMAND>"),
        (&["operator", "--help"], "kubectl pollinator operator [OPTIONS]"),
        (&["help", "plan"], "kubectl pollinator plan [OPTIONS] <PATHS>..."),
        (&["plan"], "kubectl pollinator plan <PATHS>..."),
        (&["operator", "--contxt", "a"], "kubectl pollinator operator --context <NAME>"),
    ] {
        let shows = |mut command: Command| {
            let run = Run::of(command.args(arguments), "");
            let told = run.stdout + &run.stderr;
            let line = told.lines().find_map(|line| line.strip_prefix("Usage: "));
            line.unwrap_or_else(|| panic!("{arguments:?}: {told}")).to_owned()
        };
        assert_eq!(shows(Command::new(&plugin)), usage);
        assert_eq!(shows(binary()), usage.replace("kubectl pollinator", "pollinator"));
    }
    let version = Run::of(Command::new(&plugin).arg("--version"), "").stdout;
    assert_eq!(version, format!("pollinator {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn kubectl_runs_it_and_the_cluster_is_that_of_its_kubeconfig() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("plugin");
    let (folder, _) = installed();
    let path = env::join_paths([folder.path().to_owned()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())));
    let mut kubectl = plane.kubectl(ns.kubeconfig());
    kubectl.env("PATH", path.unwrap()).args(["pollinator", "operator", "--check", "--log", "off"]);
    assert_eq!(Run::of(&mut kubectl, "").ok(), FINE);
    let plugins = Run::of(plane.kubectl(ns.kubeconfig()).env("PATH", folder.path()).args(["plugin", "list"]), "").ok();
    assert!(plugins.contains("kubectl-pollinator"), "{plugins}");
}

#[test]
fn options_decide_which_cluster_is_asked() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("context");
    let folder = tempfile::tempdir().unwrap();
    // two contexts, of which the current one leads nowhere
    let mut config: Value = serde_json::from_str(&fs::read_to_string(ns.kubeconfig()).unwrap()).unwrap();
    let dead = format!("https://127.0.0.1:{}", crate::rig::free_port());
    config["clusters"].as_array_mut().unwrap().push(json!({"name": "dead", "cluster": {"server": dead}}));
    let context = json!({"name": "dead", "context": {"cluster": "dead", "user": "it"}});
    config["contexts"].as_array_mut().unwrap().push(context);
    config["current-context"] = json!("dead");
    let file = folder.path().join("config");
    fs::write(&file, config.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let check = |variable: &str, arguments: &[&str]| {
        let mut command = binary();
        command.env("KUBECONFIG", variable).args(["operator", "--check", "--log=off"]).args(arguments);
        Run::of(&mut command, "")
    };
    let absent = folder.path().join("absent");
    let absent = absent.to_str().unwrap();
    for (variable, arguments) in [
        (absent, &["--kubeconfig", file, "--context", "it"][..]),
        (file, &["--context", "it"]),
        (absent, &["--kubeconfig", ns.kubeconfig().to_str().unwrap()]),
    ] {
        assert_eq!(check(variable, arguments).ok(), FINE, "{arguments:?}");
    }
    for (variable, arguments, told) in [
        (file, &[][..], dead.as_str()),
        (ns.kubeconfig().to_str().unwrap(), &["--kubeconfig", file], &dead),
        (file, &["--context", "here"], "--context here: the kubeconfig has no such context, only: it, dead"),
        (file, &["--kubeconfig", absent], "--kubeconfig "),
        (absent, &["--context", "it"], "--context it: there is no kubeconfig"),
    ] {
        let run = check(variable, arguments);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(run.stderr.contains(told), "{arguments:?}: {}", run.stderr);
    }
}
