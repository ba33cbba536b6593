//! The program as users start it, `pollinator local`, from the outside: idle at a user's pace, a baseline, events, and its start.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::list::{self, PAGE};
use crate::local::Local;
use crate::once::Once;
use crate::{bare, process};

/// Name of the section.
pub const NAME: &str = "program";

const MANY: usize = 200_000;
/// Instances that are polled every five seconds.
const IDLE: usize = 1_000;
const MEASURED: Duration = Duration::from_secs(20);
/// Manifests that are new to a process.
const MANIFESTS: usize = 10_000;
/// Longer than any start takes.
const LONG: Duration = Duration::from_mins(5);

/// Prints one line for each; what was delivered and written is asserted.
pub fn run() {
    println!("{NAME}: `pollinator local` as users start it, records of 600 bytes in pages of {PAGE}, compared by content");
    let address = list::serve();
    baseline(&address);
    events(&address);
    idle(&address);
    start(&address);
}

/// 200,000 records that are read for the first time, then one of them changed.
fn baseline(address: &str) {
    let home = tempfile::tempdir_in("/dev/shm").expect("a folder is made");
    let (manifest, state) = (home.path().join("all.yaml"), home.path().join("state"));
    fs::write(&manifest, one(address, MANY, "startFrom: Now", "")).expect("the folder is ours");
    let all = Once::run(&manifest, &state);
    println!(
        "{NAME}/baseline: {:.2} µs CPU a record of {MANY}, peak {:.1} MiB; targets 2.5 µs, 48 MiB",
        process::micros_each(all.cpu, MANY as u64),
        all.peak as f64 / 1024.0
    );
    list::change_one(true);
    let changed = Once::run(&manifest, &state);
    list::change_one(false);
    assert_eq!(changed.posts, 1, "one record has changed");
    println!(
        "{NAME}/one changed: {:.0} KiB of {MANY} known written, peak {:.1} MiB; target 256 KiB",
        changed.bytes() as f64 / 1024.0,
        changed.peak as f64 / 1024.0
    );
}

/// Everything is an event, signed and in order.
fn events(address: &str) {
    let requests = bare::posts(&format!("{address}/events"), 1, 20_000, 1_000);
    println!("{NAME}/events: {requests:.1} µs CPU a request of 1,000 bytes of the bare HTTP client");
    let cases = [
        ("CloudEvents", "", 20_000, 45.0),
        ("CloudEvents in batches", "batch: {}", 20_000, 15.0),
        ("OpenConnectors", "format: OpenConnectors", 20_000, 15.0),
        ("CloudEvents in batches", "batch: {}", 200_000, 15.0),
        ("CloudEvents in batches", "batch: {}", 1_000_000, 15.0),
    ];
    for (name, callback, records, target) in cases {
        let home = tempfile::tempdir_in("/dev/shm").expect("a folder is made");
        let manifest = home.path().join("all.yaml");
        fs::write(&manifest, one(address, records, "startFrom: Earliest", callback)).expect("the folder is ours");
        let once = match Once::try_run(&manifest, &home.path().join("state")) {
            Ok(once) => once,
            // an earlier release does not know each format
            Err(said) if env::var_os("POLLINATOR_PROGRAM").is_some() => {
                println!("{NAME}/events: {name}, {records}: refused: {}", said.lines().next().unwrap_or_default());
                continue;
            }
            Err(said) => panic!("{said}"),
        };
        println!(
            "{NAME}/events: {name}, {records}: {:.1} µs CPU an event, {} requests, peak {:.1} MiB; target {target} µs, the same for any number within 1.2 ×",
            process::micros_each(once.cpu, records as u64),
            once.posts,
            once.peak as f64 / 1024.0
        );
        let all = records as u64;
        assert!((all / 100..=all).contains(&once.posts), "all were sent");
    }
}

/// A thousand instances, each polled every five seconds, that find nothing.
fn idle(address: &str) {
    let home = tempfile::tempdir_in("/dev/shm").expect("a folder is made");
    let local = local(home.path(), &many(address, IDLE, "5s"));
    wait_for_lists(list::lists() + 2 * IDLE as u64);
    let (cpu, polls) = (local.cpu(), list::lists());
    thread::sleep(MEASURED);
    let (cpu, polls) = (local.cpu_since(cpu), list::lists() - polls);
    println!(
        "{NAME}/idle: {:.0} µs CPU a poll, {polls} polls by {IDLE} instances in {} s, {:.1} MiB; target 60 µs",
        process::micros_each(cpu, polls),
        MEASURED.as_secs(),
        local.resident() as f64 / 1024.0
    );
}

/// From no state to all polled.
fn start(address: &str) {
    let home = tempfile::tempdir_in("/dev/shm").expect("a folder is made");
    let before = list::lists();
    let started = Instant::now();
    let local = local(home.path(), &many(address, MANIFESTS, "15m"));
    wait_for_lists(before + 1);
    let first = (started.elapsed(), local.cpu());
    wait_for_lists(before + MANIFESTS as u64);
    println!(
        "{NAME}/start: {MANIFESTS} new instances: first poll after {:.1} s ({:.2} ms CPU a manifest until then), all polled after {:.1} s ({:.2} ms CPU each)",
        first.0.as_secs_f64(),
        first.1.as_secs_f64() * 1e3 / MANIFESTS as f64,
        started.elapsed().as_secs_f64(),
        local.cpu().as_secs_f64() * 1e3 / MANIFESTS as f64
    );
}

fn wait_for_lists(count: u64) {
    let begun = Instant::now();
    while list::lists() < count {
        assert!(begun.elapsed() < LONG, "it does not poll");
        thread::sleep(Duration::from_millis(20));
    }
}

/// One instance with one list, and its Secret.
fn one(address: &str, records: usize, polling: &str, callback: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: account, namespace: crm}}\nstringData: {{signing-key: \
         whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}}\n---\napiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: \
         {{name: one, namespace: crm}}\nspec:\n  baseUrl: {address}\n  polling: {{interval: 15m, {polling}}}\n  callback:\n    url: \
         {address}/events\n    allowInsecureHttp: true\n    signature: {{secretRef: {{name: account, key: signing-key}}}}\n    {callback}\n  \
         resources:\n  - {{name: records, url: \"{}\", recordsPath: appointments, pagination: {{nextLink: {{field: next}}}}}}\n",
        list::path(records)
    )
}

/// Instances whose list is empty.
fn many(address: &str, count: usize, interval: &str) -> String {
    let mut all = String::new();
    for number in 0..count {
        let _ = write!(
            all,
            "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: crm-{number}, namespace: team-{}}}\nspec:\n  \
             baseUrl: {address}\n  polling: {{interval: {interval}}}\n  callback: {{url: {address}/events, allowInsecureHttp: true}}\n  resources:\n  \
             - {{name: records, url: \"{}\", recordsPath: appointments}}\n---\n",
            number % 40,
            list::path(0)
        );
    }
    all
}

/// A process that polls the instances of a text.
fn local(home: &Path, manifests: &str) -> Local {
    let file = home.join("all.yaml");
    fs::write(&file, manifests).expect("the folder is ours");
    let mut command = Command::new(process::program());
    command.args(["local", "--allow-egress", "127.0.0.0/8", "--state"]).arg(home.join("state")).arg(file);
    Local::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}
