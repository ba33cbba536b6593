//! Polls that find nothing.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use pollinator::plan::PollPlan;

use crate::rig::{Counting, Manifest, Running};
use crate::server::{self, EVENTS, Server};
use crate::{bare, process};

/// Name of the section.
pub const NAME: &str = "idle";
const INSTANCES: usize = 1_000;
/// Far below what a manifest may say, so that a short run sees many polls.
const INTERVAL: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);

/// Prints CPU a poll; target: 60 µs and no write.
pub fn run() {
    println!("{NAME}: {INSTANCES} instances polled every {INTERVAL:?} over loopback; target 60 µs CPU, 0 state writes");
    let provider = Server::start();
    let bare = bare::paced_gets(&format!("{}{}", provider.url(), server::EMPTY), 3_000);
    println!("{NAME}/{:<20} {bare:>6.1} µs CPU a request of the bare HTTP client at the same pace", "yardstick");
    let cases = [("empty page", server::EMPTY), ("one known record", server::ONE), ("304", server::UNCHANGED)];
    for (case, path) in cases {
        let store = Arc::new(Counting::default());
        let mut engine = Running::start(Arc::clone(&store) as _);
        let (provider, callback) = (provider.url(), format!("{}{EVENTS}", provider.url()));
        let manifest =
            Manifest { provider: &provider, path, callback: &callback, format: "CloudEvents", start_from: "Now", dated: true };
        engine.put((0..INSTANCES).map(|number| often(manifest.plan(&format!("keap-{number}")))));
        engine.wait(INSTANCES, |status| status.ready == "True");
        sleep(2 * INTERVAL);
        let (cpu, polls, writes) = (process::cpu(), engine.idle_polls(), store.saves());
        sleep(MEASURED);
        let (cpu, polls, writes) = (process::cpu_since(cpu), engine.idle_polls() - polls, store.saves() - writes);
        let each = process::micros_each(cpu, polls);
        println!(
            "{NAME}/{case:<20} {each:>6.1} µs CPU a poll, {:.1} × bare, {polls} polls, {writes} state writes",
            each / bare
        );
        assert!(polls > 0 && writes == 0, "an idle poll writes nothing");
    }
}

fn often(mut plan: PollPlan) -> PollPlan {
    for resource in &mut plan.resources {
        Arc::make_mut(resource).interval = INTERVAL;
    }
    plan
}
