//! What one change, and what one of many changes costs to store, by the number of records that are known.

use std::fs;
use std::time::Instant;

use pollinator::api::identity::InstanceRef;
use pollinator::detect::known::{Age, Known};
use pollinator::state::directory::Directory;
use pollinator::state::{InstanceState, ResourceState, StateStore as _};

use crate::process;
use crate::rig::{NAMESPACE, RESOURCE};

/// Name of the section.
pub const NAME: &str = "commit";

/// Prints bytes written, CPU and time of a commit after one change (target: the same within 2 × with 1,000 and 1,000,000 known records).
pub fn run() {
    println!("{NAME}: one change, state in a folder; target: the same within 2 × however many records are known");
    for records in [100, 1_000, 10_000, 100_000, 1_000_000] {
        measure(records, 300, 1);
    }
    println!("{NAME}: one of 256 changes; target: the same within 1.2 × with 20,000 and 1,000,000 known records");
    for records in [20_000, 200_000, 1_000_000] {
        measure(records, 100, 256);
    }
}

/// Stores so many commits of so many changes each.
fn measure(records: u64, commits: u64, changes: u64) {
    let folder = tempfile::tempdir().expect("a folder is made");
    let store = Directory::open(folder.path()).expect("the folder is ours");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime is made");
    let mut state = InstanceState::new("9d1c0c3e-6a57-4f5e-8a5e-2f2c4b1f7a10".to_owned());
    let mut own = ResourceState { started: true, ..ResourceState::default() };
    for number in 0..records {
        own.known.remember(hash(number), known(0));
    }
    state.resources.insert(RESOURCE.to_owned(), Box::new(own));
    let commit = |state: &InstanceState| {
        // as an instance does it
        runtime.block_on(store.save(&InstanceRef::new(NAMESPACE, "keap"), state.clone())).expect("there is room");
    };
    commit(&state);
    let (written, cpu, begun) = (written(), process::cpu(), Instant::now());
    let all = commits * changes;
    for number in 1..=all {
        let own = state.resources.get_mut(RESOURCE).expect("it is there");
        own.known.remember(hash(number.wrapping_mul(7919) % records), known(number));
        own.delivered += 1;
        if number % changes == 0 {
            commit(&state);
        }
    }
    let bytes = (self::written() - written) as f64 / all as f64;
    let cpu = process::micros_each(process::cpu_since(cpu), all);
    let time = process::micros_each(begun.elapsed(), all);
    println!("{NAME}/{changes}/{records:<9} {:.1} KiB written, {cpu:.1} µs CPU, {time:.1} µs a change", bytes / 1024.0);
}

fn hash(number: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&number.to_be_bytes())
}

fn known(version: u64) -> Known {
    Known { version, date: Some(1_800_000_000_000_000), age: Age::Settled, deleted: false }
}

/// Bytes that this process has given to be written.
fn written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("Linux tells it");
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("it is among them");
    line.parse().expect("it is a number")
}
