//! Output that nobody reads, or that cannot be written: no command panics, and what has work to do goes on with it.

use std::fs::File;
use std::io::{Read as _, pipe};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::rig::client;
use crate::rig::manifest::Instance;
use crate::rig::pollinator::{Site, binary};
use crate::rig::provider::Provider;
use crate::rig::receiver::Receiver;
use crate::rig::{PATIENCE, scene};

/// The writing end of a pipe whose reader has gone.
fn closed() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = binary();
    command.args(arguments).stdin(Stdio::null());
    command
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                panic!("it does not end");
            }
            None => std::thread::park_timeout(Duration::from_millis(10)),
        }
    }
}

/// Runs it to its end: how it ended, and what it said on standard error.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let status = wait(&mut child);
    assert_eq!(status.signal(), None, "{said}");
    (status.code(), said)
}

fn site(provider: &Provider, receiver: &Receiver) -> Site {
    Site::new(&[Instance::new("piped", &provider.url(), &receiver.url("piped")).basic_auth().yaml()])
}

/// Commands whose output is their result.
fn printing(manifests: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["plan", manifests],
        vec!["try", manifests],
        vec!["crds"],
        vec!["schema", "connectorinstance"],
        vec!["catalog", "list"],
        vec!["catalog", "show", "github"],
        vec!["new", "github", "issues"],
        vec!["man"],
        vec!["completions", "bash"],
        vec!["completions", "zsh"],
        vec!["demo", "--events", "2"],
        vec!["demo", "--events", "2", "--output", "json"],
        vec!["--help"],
        vec!["help", "local"],
        vec!["local", "--help"],
        vec!["-h"],
        vec!["--version"],
    ]
}

#[test]
fn a_closed_pipe_ends_no_command_differently() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let site = site(&provider, &receiver);
    let (manifests, state) = (site.manifests().display().to_string(), site.state().display().to_string());
    let mut all = printing(&manifests);
    all.push(vec!["local", &manifests, "--state", &state, "--once"]);
    for arguments in all {
        let (code, said) = run(command(&arguments).stdout(closed()));
        assert!(code == Some(0) && !said.contains("panicked"), "{arguments:?}: {code:?}\n{said}");
        assert!(!said.contains("Broken pipe"), "{arguments:?}: {said}");
        let mut silent = command(&arguments).stdout(closed()).stderr(closed()).spawn().unwrap();
        assert_eq!(wait(&mut silent).code(), Some(0), "{arguments:?}");
    }
}

/// What goes to standard error alone says no less when that is closed: the status does.
#[test]
fn a_closed_standard_error_keeps_the_status() {
    let site = Site::new(&["kind: [".to_owned()]);
    let (manifests, state) = (site.manifests().display().to_string(), site.state().display().to_string());
    for arguments in [
        vec!["plan", &manifests],
        vec!["try", &manifests],
        vec!["local", &manifests, "--state", &state],
        vec!["plan"],
        vec!["bogus"],
        vec!["--log", "x=loud", "crds"],
        vec!["receive", "--secret-file", "/nowhere"],
    ] {
        let mut child = command(&arguments).stdout(Stdio::null()).stderr(closed()).spawn().unwrap();
        assert_eq!(wait(&mut child).code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_full_disk_fails_a_command_whose_output_is_its_result() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let site = site(&provider, &receiver);
    for arguments in printing(&site.manifests().display().to_string()) {
        let (code, said) = run(command(&arguments).stdout(full()));
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("pollinator: standard output cannot be written: No space left on device"),
            "{arguments:?}: {said}"
        );
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn local_goes_on_when_nobody_reads_it() {
    for (stdout, stderr) in [(closed as fn() -> Stdio, closed as fn() -> Stdio), (full, closed), (full, full)] {
        let (provider, receiver) = (Provider::start(), Receiver::start());
        provider.create_all(scene::ids("r", 3));
        let instance = Instance::new("piped", &provider.url(), &receiver.url("piped")).basic_auth().earliest();
        let site = Site::new(&[instance.yaml()]);
        let mut local = binary();
        local.arg("local").arg(site.manifests()).arg("--state").arg(site.state()).args(["--log", "pollinator=trace"]);
        let mut local = local.stdin(Stdio::null()).stdout(stdout()).stderr(stderr()).spawn().unwrap();
        let first = receiver.try_wait_count("piped", PATIENCE, 3);
        provider.create("later");
        let delivered = first.and_then(|_| receiver.try_wait_count("piped", PATIENCE, 4));
        let pid = local.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &pid]).status().unwrap().success());
        assert_eq!(wait(&mut local).code(), Some(0));
        assert!(delivered.is_some());
    }
}

/// `local` says once that its table is lost.
#[test]
fn local_logs_that_its_table_cannot_be_written() {
    let (provider, receiver) = (Provider::start(), Receiver::start());
    let site = site(&provider, &receiver);
    let (manifests, state) = (site.manifests().display().to_string(), site.state().display().to_string());
    let (code, said) = run(command(&["local", &manifests, "--state", &state, "--once"]).stdout(full()));
    assert_eq!((code, said.matches("standard output cannot be written").count()), (Some(0), 1), "{said}");
}

#[test]
fn receive_goes_on_without_a_reader_and_ends_when_events_are_lost() {
    for (stdout, code) in [(closed as fn() -> Stdio, Some(0)), (full, Some(1))] {
        let mut child = command(&["receive"]).stdout(stdout()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = child.stderr.take().unwrap();
        let mut greeting = Vec::new();
        while !greeting.ends_with(b"\n") {
            let mut byte = [0];
            said.read_exact(&mut byte).unwrap();
            greeting.extend(byte);
        }
        let greeting = String::from_utf8(greeting).unwrap();
        let url = greeting.trim().rsplit(' ').next().unwrap();
        let event = r#"{"specversion":"1.0","id":"1","source":"/x","type":"dev.pollinator.record.created","subject":"7","time":"2026-01-31T00:00:00Z","resource":"r","data":{"id":7}}"#;
        let posts = if code == Some(0) { 3 } else { 1 };
        for _ in 0..posts {
            let headers = [("content-type", "application/cloudevents+json"), ("webhook-id", "1")];
            assert_eq!(client::exchange("POST", url, &headers, Some(event.to_owned())).unwrap().status, 204);
        }
        if code == Some(0) {
            assert!(child.try_wait().unwrap().is_none());
            let pid = child.id().to_string();
            assert!(Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &pid]).status().unwrap().success());
        }
        assert_eq!(wait(&mut child).code(), code);
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("panicked"), "{rest}");
        assert_eq!(rest.contains("standard output cannot be written"), code == Some(1), "{rest}");
    }
}
