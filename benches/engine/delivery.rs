//! Events from a page of records to an accepted request, commits included.

use std::sync::Arc;
use std::time::Instant;

use pollinator::state::directory::Directory;

use crate::rig::{Counting, Manifest, Running};
use crate::server::{EVENTS, FULL, RECORDS, Server};
use crate::{bare, process};

/// Name of the section.
pub const NAME: &str = "delivery";
const INSTANCES: usize = 50;

/// Prints CPU an event; target: 20 µs.
pub fn run() {
    println!(
        "{NAME}: {INSTANCES} instances with {RECORDS} new records of 600 bytes each, signed, in order, 8 requests in flight \
         an instance; target 20 µs CPU an event"
    );
    let receiver = Server::start();
    let bare = bare::posts(&format!("{}{EVENTS}", receiver.url()), INSTANCES as u64, 400, 1_000);
    println!(
        "{NAME}/{:<16} {bare:>6.1} µs CPU a request of 1,000 bytes of the bare HTTP client, as many in flight",
        "yardstick"
    );
    // Not every request of several events is full.
    for (format, batched, requests_an_event) in
        [("CloudEvents", false, 1.0..=1.0), ("CloudEvents", true, 0.015..=0.05), ("OpenConnectors", false, 0.1..=0.11)]
    {
        let name = if batched { "CloudEvents batch" } else { format };
        let (provider, receiver) = (Server::start(), Server::start());
        // In memory, since what a file system takes for a new file is another figure, and a large one on some.
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder is made");
        let store = Arc::new(Counting::over(Arc::new(Directory::open(folder.path()).expect("it is ours"))));
        let mut engine = Running::start(Arc::clone(&store) as _);
        let (url, callback) = (provider.url(), format!("{}{EVENTS}", receiver.url()));
        let manifest =
            Manifest { provider: &url, path: FULL, callback: &callback, format, batched, start_from: "Earliest", dated: true };
        let plans: Vec<_> = (0..INSTANCES).map(|number| manifest.plan(&format!("keap-{number}"))).collect();
        let (cpu, started) = (process::cpu(), Instant::now());
        engine.put(plans);
        engine.wait(INSTANCES, |status| status.delivered == RECORDS as u64);
        let (cpu, took) = (process::cpu_since(cpu), started.elapsed());
        drop(engine);
        let events = (INSTANCES * RECORDS) as u64;
        let each = process::micros_each(cpu, events);
        println!(
            "{NAME}/{name:<17} {each:>6.1} µs CPU an event, {:.1} × bare, {events} events in {took:.1?}, {} commits",
            each / bare,
            store.saves()
        );
        let requests = receiver.count_posts() as f64 / events as f64;
        assert!(requests_an_event.contains(&requests), "each event is delivered once, but there were {requests} requests each");
    }
}
