//! Files as people have them: what shells and editors of other systems write, what kubectl prints, and how they are swapped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::rig::manifest::{self, Instance};
use crate::rig::pollinator::{Pollinator, Site, binary};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;

fn yaml(name: &str) -> String {
    Instance::new(name, "https://api.example.com", "https://receiver.example.com/events").yaml()
}

/// A site whose one file holds these bytes.
fn site(file: &str, bytes: impl AsRef<[u8]>) -> Site {
    let site = Site::new(&[]);
    fs::remove_file(site.manifests().join("instances.yaml")).unwrap();
    fs::write(site.manifests().join(file), bytes).unwrap();
    site
}

fn plan(site: &Site, what: &Path) -> (Option<i32>, Pollinator) {
    let mut command = binary();
    command.arg("plan").arg(what);
    let mut run = site.spawn(command);
    (run.wait().code(), run)
}

#[test]
fn a_folder_may_hold_every_form() {
    let utf16 = |text: &str| -> Vec<u8> { format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let item = |name: &str| format!("- {}", yaml(name).trim_end().replace('\n', "\n  "));
    let list = format!(
        "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: \"\"}}\nitems:\n{}\n{}\n",
        item("list-a"),
        item("list-b")
    );
    let site = site("windows.yaml", utf16(&yaml("windows").replace('\n', "\r\n")));
    let write = |file: &str, text: &str| fs::write(site.manifests().join(file), text).unwrap();
    write("list.yml", &list);
    write("others.yaml", &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: it}}\n---\n{}", yaml("beside")));
    let json = r#"{"apiVersion":"pollinator.dev/v1alpha1","kind":"ConnectorInstance","metadata":{"name":"NAME"},"spec":{"baseUrl":"https://api.example.com","resources":[{"name":"r","url":"/r"}],"callback":{"url":"https://h.example/in"}}}"#;
    write("two.json", &(json.replace("NAME", "json-a") + &json.replace("NAME", "json-b")));
    let (code, run) = plan(&site, &site.manifests());
    assert_eq!(code, Some(0), "{}", run.stderr());
    for name in ["windows", "list-a", "list-b", "beside", "json-a", "json-b"] {
        assert!(run.stdout().contains(name), "{name}: {}", run.stdout());
    }
    let note = "others.yaml, document 1: is a Namespace of v1, which Pollinator does not read; ignored";
    assert!(run.stderr().contains(note), "{}", run.stderr());
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_place_and_way_out() {
    for (bytes, told) in [
        (&b"\xff\xfe\0\0a\0\0\0"[..], "x.yaml: is encoded in UTF-32; save it as UTF-8"),
        (b"a\0p\0i\0", "x.yaml: looks like UTF-16 without a byte order mark; save it as UTF-8"),
        (b"a: 1\nb: \xfc\n", "x.yaml: line 2: is not UTF-8, perhaps an older encoding such as Windows-1252; save it as UTF-8"),
        (b"---\n---\nkind:\n\tSecret\n", "x.yaml, document 1: line 4, column 1: a tab is used where YAML allows only spaces"),
        (b"{apiVersion: v1, kind: List, items: [{kind: Secret}]}", "x.yaml, document 1, items[0]: apiVersion: Required value"),
    ] {
        let site = site("x.yaml", bytes);
        for verb in ["plan", "try"] {
            let mut command = binary();
            command.arg(verb).arg(site.manifests());
            let mut run = site.spawn(command);
            assert_eq!(run.wait().code(), Some(2), "{told}");
            assert!(run.stderr().contains(told), "{told}: {}", run.stderr());
        }
    }
}

#[test]
fn standard_input_pipes_and_any_ending_are_read() {
    let site = site("manifest.txt", yaml("given"));
    let file = site.manifests().join("manifest.txt");
    let (code, run) = plan(&site, &file);
    assert!(code == Some(0) && run.stdout().contains("given"), "{}", run.stderr());
    for script in ["\"$0\" plan - <\"$1\"", "cat \"$1\" | \"$0\" plan /dev/stdin", "cat \"$1\" | \"$0\" plan -"] {
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(binary().get_program()).arg(&file);
        let mut run = site.spawn(command);
        assert_eq!(run.wait().code(), Some(0), "{script}: {}", run.stderr());
        assert!(run.stdout().contains("given"), "{script}");
    }
    let mut command = Command::new("sh");
    command.args(["-c", "echo 'kind: [' | \"$0\" plan -"]).arg(binary().get_program());
    let mut run = site.spawn(command);
    assert_eq!(run.wait().code(), Some(2));
    assert!(run.stderr().starts_with("standard input, document 1: line 1, column 7: "), "{}", run.stderr());
}

/// What was read from a pipe is gone, and stays what it was while `local` runs.
#[test]
fn local_runs_what_came_from_standard_input() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let text = Instance::new("piped", &provider.url(), &receiver.url("piped")).basic_auth().yaml();
    let site = site("m.txt", format!("{text}---\n{}", manifest::login()));
    let mut command = Command::new("sh");
    let script = "exec \"$0\" local - --state \"$2\" --output json <\"$1\"";
    command.args(["-c", script]).arg(binary().get_program()).arg(site.manifests().join("m.txt")).arg(site.state());
    let pollinator = site.spawn(command);
    pollinator.wait_ready("piped");
    provider.create("one");
    pollinator.wait_for("piped", "delivered", |row| row.delivered == 1);
    provider.wait_polled(1);
    pollinator.wait_ready("piped");
}

/// All files of a store are of one size and time; between two of them a link leads nowhere.
#[test]
fn a_link_that_is_turned_is_taken_over() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let site = site("other.yaml", Instance::new("stays", &provider.url(), &receiver.url("x")).basic_auth().yaml());
    let link = site.manifests().join("m.yaml");
    let turn = |name: &str| {
        let text = Instance::new(name, &provider.url(), &receiver.url("x")).basic_auth().yaml();
        let file = site.path().join(format!("store-{name}"));
        fs::write(&file, text).unwrap();
        let times = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
        let _ = fs::remove_file(&link);
        symlink(file, &link).unwrap();
    };
    turn("aa");
    let pollinator = site.start();
    pollinator.wait_ready("aa");
    turn("bb");
    pollinator.wait_ready("bb");
    fs::remove_file(&link).unwrap();
    symlink("nowhere", &link).unwrap();
    pollinator.wait_stderr("m.yaml: cannot be read");
    provider.create("still");
    for name in ["bb", "stays"] {
        pollinator.wait_for(name, "it goes on", |row| row.delivered == 1);
    }
    turn("cc");
    pollinator.wait_ready("cc");
}
