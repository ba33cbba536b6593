//! Memory and cold start of many instances that were polled before, each number in a process of its own.

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use chrono::Utc;
use pollinator::api::conditions::ConditionStatus;
use pollinator::state::directory::Directory;
use pollinator::state::{InstanceState, ResourceState};

use crate::process;
use crate::rig::{Manifest, NAMESPACE, RESOURCE, Running};
use crate::server::{EMPTY, Server};

/// Name of the section.
pub const NAME: &str = "instances";
/// Makes this program run instances and print [`Figures`].
pub const ARGUMENT: &str = "run-instances";

/// What one process reached, in milliseconds and KiB.
struct Figures {
    first_poll: u64,
    all_polled: u64,
    resident: u64,
    peak: u64,
}

/// Prints memory an instance (target: 4 KiB) and the cold start (targets: first poll within 2 s, peak below 1.5 × steady).
pub fn run() {
    println!(
        "{NAME}: one resource each, state in a folder; targets 4 KiB each, first poll within 2 s, peak below 1.5 × steady"
    );
    let provider = Server::start();
    measure_manifests(1_000);
    let [(few, small), (many, large)] = [1_000, 10_000].map(|count: u64| (count, measure(count, &provider.url())));
    let slope = (large.resident as f64 - small.resident as f64) / (many - few) as f64;
    let intercept = (small.resident as f64 - slope * few as f64) / 1024.0;
    println!("{NAME}/memory: {slope:.2} KiB an instance beside {intercept:.1} MiB for the process");
    for (count, figures) in [(few, small), (many, large)] {
        let Figures { first_poll, all_polled, resident, peak } = figures;
        println!(
            "{NAME}/{count:<6} first poll {first_poll} ms and all polled {all_polled} ms after start, {:.1} MiB steady, peak {:.2} × steady",
            resident as f64 / 1024.0,
            peak as f64 / resident as f64
        );
    }
}

fn measure(count: u64, provider: &str) -> Figures {
    let folder = tempfile::tempdir().expect("a folder is made");
    write_states(folder.path(), count, provider);
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command.args([ARGUMENT, &count.to_string(), provider]).arg(folder.path());
    let output = command.output().expect("it runs");
    let figures: Vec<u64> = String::from_utf8_lossy(&output.stdout).split_whitespace().filter_map(|f| f.parse().ok()).collect();
    let [first_poll, all_polled, resident, peak] = figures[..] else {
        panic!("{}", String::from_utf8_lossy(&output.stderr));
    };
    Figures { first_poll, all_polled, resident, peak }
}

/// The way of `local`, which judges each manifest as the API server does before the operator sees it.
fn measure_manifests(count: u64) {
    let texts = (0..count).map(|number| manifest("http://127.0.0.1").json(&format!("keap-{number}")));
    let text = texts.collect::<Vec<_>>().join("\n---\n");
    let cpu = process::cpu();
    let declared = pollinator::api::manifest::read("all.yaml", &text);
    let each = process::micros_each(process::cpu_since(cpu), count);
    assert_eq!((declared.manifests.len() as u64, declared.errors.len()), (count, 0));
    println!("{NAME}/manifests: {each:.0} µs CPU to judge and read one");
}

/// States as an earlier process left them. Written by hand, since a thousand durable saves take their time.
fn write_states(folder: &Path, count: u64, provider: &str) {
    let meaning = format!("{:016x}", manifest(provider).plan("keap").resources[0].meaning);
    for number in 0..count {
        let mut state = InstanceState::new(format!("9d1c0c3e-6a57-4f5e-8a5e-{number:012}"));
        let own =
            ResourceState { meaning: meaning.clone(), started: true, cursor: Some(Utc::now()), ..ResourceState::default() };
        state.resources.insert(RESOURCE.to_owned(), Box::new(own));
        let file = folder.join(format!("{NAMESPACE}.keap-{number}.json"));
        std::fs::write(file, serde_json::to_vec(&state).expect("state is JSON")).expect("the folder is ours");
    }
}

fn manifest(provider: &str) -> Manifest<'_> {
    let callback = "http://127.0.0.1:9/events";
    Manifest { provider, path: EMPTY, callback, format: "CloudEvents", batched: false, start_from: "Now", dated: true }
}

/// Runs so many instances until all were polled, and prints the figures.
pub fn serve(count: &str, provider: &str, state: &str) {
    let started = Instant::now();
    let count: usize = count.parse().expect("it is a number");
    let store = Directory::open(Path::new(state)).expect("the folder is ours");
    let mut engine = Running::start(Arc::new(store));
    engine.put((0..count).map(|number| manifest(provider).plan(&format!("keap-{number}"))));
    engine.wait(1, |status| status.ready == ConditionStatus::True);
    let first_poll = started.elapsed().as_millis();
    engine.wait(count - 1, |status| status.ready == ConditionStatus::True);
    let all_polled = started.elapsed().as_millis();
    sleep(Duration::from_secs(1));
    println!("{first_poll} {all_polled} {} {}", process::rss(), process::peak_rss());
}
