//! Sweeps of a million records by `local`, from the outside: with `deletes.snapshot` and without, then with changes and deletions.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::{process, rig, server};

/// Name of the section.
pub const NAME: &str = "sweep";

const RECORDS: usize = 1_000_000;
const PAGE: usize = 1_000;
/// What changes, and what is deleted, spread over the list.
const CHANGED: usize = 100;
const DELETED: usize = 50;

static IS_EDITED: AtomicBool = AtomicBool::new(false);
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// Prints CPU, memory and writes of sweeps; what they announce is asserted.
pub fn run() {
    println!("{NAME}: {RECORDS} records of 600 bytes in pages of {PAGE}, `local --once`, state in a folder");
    let address = serve();
    for (name, deletes) in [("without deletes", ""), ("with deletes", "deletes: {snapshot: {}}")] {
        IS_EDITED.store(false, Ordering::SeqCst);
        let folder = tempfile::tempdir().expect("a folder is made");
        let manifest = folder.path().join("sweep.yaml");
        fs::write(&manifest, text(&address, deletes)).expect("the folder is ours");
        let state = folder.path().join("state");
        sweep(name, "all new", &manifest, &state, 0);
        sweep(name, "all known", &manifest, &state, 0);
        IS_EDITED.store(true, Ordering::SeqCst);
        let deleted = if deletes.is_empty() { 0 } else { DELETED as u64 };
        sweep(name, "100 changed, 50 gone", &manifest, &state, CHANGED as u64);
        // the second in a row from which they are absent
        sweep(name, "50 gone again", &manifest, &state, deleted);
    }
}

fn text(address: &str, deletes: &str) -> String {
    format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: sweep, namespace: crm}}\nspec:\n  \
         baseUrl: {address}\n  polling: {{interval: 15m, startFrom: Now}}\n  callback: {{url: {address}/events, allowInsecureHttp: true}}\n  \
         resources:\n  - {{name: records, url: /records, recordsPath: appointments, pagination: {{nextLink: {{field: next}}}}, {deletes}}}\n"
    )
}

/// One poll of all, by a process of its own.
fn sweep(name: &str, what: &str, manifest: &Path, state: &Path, events: u64) {
    let (before, cpu, sent) = (files(state), process::cpu_of_children(), EVENTS.load(Ordering::SeqCst));
    let mut command = Command::new(env!("CARGO_BIN_EXE_pollinator"));
    command.args(["local", "--once", "--allow-egress", "127.0.0.0/8", "--state"]).arg(state).arg(manifest);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let peak = peak_until_end(&mut child);
    let mut said = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
    assert!(child.wait().expect("it ends").success(), "{said}");
    let cpu = process::micros_each(process::cpu_of_children().saturating_sub(cpu), RECORDS as u64);
    let sent = EVENTS.load(Ordering::SeqCst) - sent;
    assert_eq!(sent, events, "{name}, {what}: {said}");
    let after = files(state);
    let written: Vec<_> =
        after.iter().filter(|(file, seen)| before.get(*file) != Some(seen)).map(|(_, (_, size))| size).collect();
    println!(
        "{NAME}/{name:<16} {what:<21} {cpu:>5.2} µs CPU a record, peak {:>4} MiB, {} of {} files written ({:.1} MiB), {sent} events",
        peak / 1024,
        written.len(),
        after.len(),
        written.into_iter().sum::<u64>() as f64 / 1_048_576.0
    );
}

/// The greatest resident memory that was seen until the process ended, in KiB.
fn peak_until_end(child: &mut Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().expect("it is ours").is_none() {
        peak = process::peak_rss_of(child.id()).unwrap_or(peak);
        thread::sleep(Duration::from_millis(20));
    }
    peak
}

/// When each file of the folder was written, and its size.
fn files(folder: &Path) -> BTreeMap<std::path::PathBuf, (SystemTime, u64)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // before the first sweep there is none
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let meta = entry.metadata().expect("no one else removes it");
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path(), (meta.modified().expect("files have times"), meta.len()));
            }
        }
    }
    files
}

/// Provider and receiver, in threads of this process, whose time is not counted. Answers their address.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = format!("http://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || drop(server::answer_all(&connection, answer)));
        }
    });
    address
}

fn answer(path: &str, _conditional: bool) -> String {
    if path.starts_with("/events") {
        EVENTS.fetch_add(1, Ordering::SeqCst);
        return "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    }
    let list = page(path.split_once("page=").map_or(0, |(_, number)| number.parse().expect("a number")));
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{list}", list.len())
}

fn page(number: usize) -> String {
    let is_edited = IS_EDITED.load(Ordering::SeqCst);
    let mut page = String::with_capacity(PAGE * 610 + 64);
    page.push_str(r#"{"appointments":["#);
    let mut is_first = true;
    for index in number * PAGE..(number + 1) * PAGE {
        let is_nth_of = |count: usize, offset: usize| is_edited && index % (RECORDS / count) == offset;
        if is_nth_of(DELETED, 7) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            page.push(',');
        }
        let start = page.len();
        rig::record(&mut page, index);
        if is_nth_of(CHANGED, 3) {
            let title = start + page[start..].find("Consultation").expect("it has a title");
            page.replace_range(title..title + "Consultation".len(), "Conversation");
        }
    }
    let next = number + 1;
    let link = if next * PAGE < RECORDS { format!("\"/records?page={next}\"") } else { "null".to_owned() };
    page + r#"],"next":"# + &link + "}"
}
