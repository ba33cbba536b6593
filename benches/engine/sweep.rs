//! Sweeps of a million records by `local`, from the outside: with `deletes.snapshot` and without, then with changes and deletions.

use std::env;
use std::fs;
use std::path::Path;

use crate::list::{self, CHANGED, DELETED, PAGE};
use crate::once::Once;
use crate::process;

/// Name of the section.
pub const NAME: &str = "sweep";

/// Records in the list, unless the variable has another number.
const RECORDS: usize = 1_000_000;
const VARIABLE: &str = "POLLINATOR_SWEPT";

fn records() -> usize {
    env::var(VARIABLE).map_or(RECORDS, |text| text.parse().expect("a number"))
}

/// Prints CPU, memory and writes of sweeps; what they announce is asserted.
pub fn run() {
    println!("{NAME}: {} records of 600 bytes in pages of {PAGE}, `local --once`, state in a folder", records());
    let address = list::serve();
    for (name, deletes) in [("without deletes", ""), ("with deletes", "deletes: {snapshot: {}}")] {
        list::edit(false);
        let folder = tempfile::tempdir().expect("a folder is made");
        let manifest = folder.path().join("sweep.yaml");
        fs::write(&manifest, text(&address, deletes)).expect("the folder is ours");
        let state = folder.path().join("state");
        sweep(name, "all new", &manifest, &state, 0);
        sweep(name, "all known", &manifest, &state, 0);
        list::edit(true);
        let deleted = if deletes.is_empty() { 0 } else { DELETED as u64 };
        sweep(name, "100 changed, 50 gone", &manifest, &state, CHANGED as u64);
        // the second in a row from which they are absent
        sweep(name, "50 gone again", &manifest, &state, deleted);
    }
    list::edit(false);
}

fn text(address: &str, deletes: &str) -> String {
    format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: sweep, namespace: crm}}\nspec:\n  \
         baseUrl: {address}\n  polling: {{interval: 15m, startFrom: Now}}\n  callback: {{url: {address}/events, allowInsecureHttp: true}}\n  \
         resources:\n  - {{name: records, url: \"{}\", recordsPath: appointments, pagination: {{nextLink: {{field: next}}}}, {deletes}}}\n",
        list::path(records())
    )
}

/// One poll of all, by a process of its own.
fn sweep(name: &str, what: &str, manifest: &Path, state: &Path, events: u64) {
    let once = Once::run(manifest, state);
    assert_eq!(once.posts, events, "{name}, {what}");
    println!(
        "{NAME}/{name:<16} {what:<21} {:>5.2} µs CPU a record, peak {:>4} MiB, {} of {} files written ({:.1} MiB), {} events",
        process::micros_each(once.cpu, records() as u64),
        once.peak / 1024,
        once.written.len(),
        once.files,
        once.bytes() as f64 / 1_048_576.0,
        once.posts,
    );
}
