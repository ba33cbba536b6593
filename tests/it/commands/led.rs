//! `kubectl pollinator console`: from a kubeconfig to the console of a release.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::rig::control_plane::{Namespace, Run, shared};
use crate::rig::pollinator::{Pollinator, Site, binary};

/// Puts a pod into a namespace that no kubelet runs.
pub fn pod(ns: &Namespace<'_>, name: &str, args: &[&str]) {
    let container = json!({"name": "pollinator", "image": "pollinator", "args": args});
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}});
    ns.api().create(&ns.core("pods"), &object).ok();
}

pub fn make_ready(ns: &Namespace<'_>, name: &str) {
    let path = format!("{}/status", ns.core(&format!("pods/{name}")));
    let mut object: Value = ns.api().get(&path).ok();
    object["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    ns.api().replace(&path, &object).ok();
}

/// `pollinator console` for a kubeconfig, with this folder as the whole PATH.
pub fn command(kubeconfig: &Path, path: &Path) -> Command {
    let mut command = binary();
    command.env("PATH", path).env("HOME", path).env_remove("KUBECONFIG").args(["console", "--kubeconfig"]).arg(kubeconfig);
    command
}

/// A program `kubectl` that writes down its arguments and then runs these lines of a shell.
pub fn stand_in(folder: &Path, lines: &str) {
    let text = format!("#!/bin/sh\nprintf '%s ' \"$@\" >\"{0}/arguments\"\necho $$ >\"{0}/pid\"\n{lines}\n", folder.display());
    fs::write(folder.join("kubectl"), text).unwrap();
    fs::set_permissions(folder.join("kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_console_of_a_release_is_reached_through_kubectl() {
    let Some(plane) = shared() else { return };
    let ns = plane.namespace("led");
    let site = Site::new(&[]);
    let (empty, fake) = (site.path().join("empty"), site.path().join("fake"));
    fs::create_dir(&empty).unwrap();
    fs::create_dir(&fake).unwrap();
    let refused = |kubeconfig: &Path, path: &Path, parts: &[&str]| {
        let run = Run::of(&mut command(kubeconfig, path), "");
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
        for part in parts {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
    };
    // pods need their account
    ns.token("default");
    refused(&ns.kubeconfig_as("nobody"), &empty, &["nobody", "cannot list resource \"pods\"", "ask an administrator"]);
    let own = ns.kubeconfig();
    refused(own, &empty, &["no pod of Pollinator is in namespace", ns.name(), "with -n"]);
    pod(&ns, "off", &["operator"]);
    make_ready(&ns, "off");
    refused(own, &empty, &["serves no console", "console.enabled"]);
    pod(&ns, "on", &["operator", "--console-listen=0.0.0.0:9000", "--console-url=http://127.0.0.1:8083"]);
    refused(own, &empty, &["no pod with the console is ready"]);
    make_ready(&ns, "on");
    refused(own, &empty, &["kubectl cannot be run", "PATH"]);
    // the real one takes the options, and says why it cannot
    let kubectl = plane.kubectl(own);
    let folder = Path::new(kubectl.get_program()).parent().unwrap();
    refused(own, folder, &["pod is not running", "kubectl port-forward has ended"]);

    stand_in(&fake, "echo 'Forwarding from 127.0.0.1:8083 -> 9000'\nexec /bin/sleep 1000");
    let start = |options: &[&str]| -> Pollinator {
        let mut command = command(own, &fake);
        command.args(options);
        site.spawn(command)
    };
    let mut led = start(&["--context", "it", "-n", ns.name()]);
    led.wait_stdout("open the console: http://127.0.0.1:8083");
    let arguments = fs::read_to_string(fake.join("arguments")).unwrap();
    let expected = format!(
        "--kubeconfig {} --context it port-forward --address 127.0.0.1 --namespace {} pod/on 8083:9000 ",
        own.display(),
        ns.name()
    );
    assert_eq!(arguments, expected);
    let pid = fs::read_to_string(fake.join("pid")).unwrap();
    assert!(led.sigterm().success(), "{}", led.stderr());
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "kubectl goes on");

    stand_in(&fake, "echo 'Forwarding from 127.0.0.1:8083 -> 9000'\nexit 1");
    let mut lost = start(&[]);
    assert_eq!(lost.wait().code(), Some(1));
    assert!(lost.stderr().contains("the connection to the pod has ended"), "{}", lost.stderr());

    // with a host of its own no tunnel is needed, and the console would refuse it
    ns.api().delete(&ns.core("pods/on")).ok();
    pod(&ns, "hosted", &["operator", "--console-listen=0.0.0.0:9000", "--console-url=https://console.example.com"]);
    make_ready(&ns, "hosted");
    let hosted = Run::of(&mut command(own, &empty), "").ok();
    assert_eq!(hosted, "open the console: https://console.example.com\n");
}
