//! What the overview of the console costs with many instances, and what the console costs while no one looks.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use pollinator::instances::brief::ListedInstance;
use pollinator::instances::glance::Glance;
use pollinator::serve::console::overview::{Asked, overview};

use crate::local::Local;
use crate::process;

/// Name of the section.
pub const NAME: &str = "console";

const COUNT: usize = 10_000;
/// Pages that are asked for.
const PAGES: u32 = 20;
/// How long no one looks.
const IDLE: Duration = Duration::from_secs(20);
/// Longer than any start takes.
const LONG: Duration = Duration::from_mins(5);

/// Prints CPU and memory of a page (targets: 100 ms, 10 MB), and the CPU of a console that no one looks at (target: none).
pub fn run() {
    println!(
        "{NAME}: the overview of {COUNT} instances; targets 100 ms CPU a page, 10 MB more memory, nothing while no one looks"
    );
    of_a_list();
    let folder = tempfile::tempdir().expect("a folder is made");
    let manifests = folder.path().join("all.yaml");
    fs::write(&manifests, (0..COUNT).map(manifest).collect::<String>()).expect("the folder is ours");
    let (mut idle, mut resident) = (Vec::new(), Vec::new());
    for has_console in [false, true] {
        let served = Served::start(&manifests, &folder.path().join(format!("state-{has_console}")), has_console);
        served.wait_still();
        resident.push(served.local.resident());
        if has_console {
            let (address, ticket) = served.console.clone().expect("it is printed");
            let cookie = sign_in(&address, &ticket);
            let (before, memory) = (served.local.cpu(), served.local.resident());
            let page = get(&address, "/", &cookie);
            assert!(page.contains("crm-") && page.starts_with("HTTP/1.1 200"), "{}", page.lines().next().unwrap_or_default());
            let first = served.local.cpu_since(before);
            let before = served.local.cpu();
            for number in 2..2 + PAGES {
                get(&address, &format!("/?page={number}"), &cookie);
            }
            let each = served.local.cpu_since(before) / PAGES;
            println!(
                "{NAME}/local: first page {:.1} ms CPU and {} KiB of HTML, then {:.1} ms each; {:.1} MiB more memory after {PAGES} pages",
                first.as_secs_f64() * 1e3,
                page.len() / 1024,
                each.as_secs_f64() * 1e3,
                (served.local.resident() as f64 - memory as f64) / 1024.0
            );
            served.wait_still();
        }
        let before = served.local.cpu();
        thread::sleep(IDLE);
        idle.push(served.local.cpu_since(before).as_secs_f64() * 1e3);
    }
    println!(
        "{NAME}/idle: {:.1} ms CPU in {} s without a console, {:.1} ms with one that no one looks at",
        idle[0],
        IDLE.as_secs(),
        idle[1]
    );
    println!(
        "{NAME}/memory: {:.1} MiB without a console, {:.1} MiB with one",
        resident[0] as f64 / 1024.0,
        resident[1] as f64 / 1024.0
    );
}

/// What a cluster sends, read and sorted in this process.
fn of_a_list() {
    let listed = |number: usize| {
        serde_json::json!({
            "metadata": {"namespace": format!("team-{}", number % 40), "name": format!("crm-{number}")},
            "spec": {"connector": "keap", "resources": [{"name": "contacts"}], "callback": {"url": "https://h.example/in"}},
            "status": {
                "conditions": [
                    {"type": "Ready", "status": "True", "reason": "Polling", "message": "all resources are polled",
                     "lastTransitionTime": "2026-01-31T00:00:00Z"},
                    {"type": "ProviderReachable", "status": "True", "reason": "Polling", "message": "the provider answers",
                     "lastTransitionTime": "2026-01-31T00:00:00Z"},
                ],
                "delivered": number, "bookkeeping": "x".repeat(300),
                "resources": [{"name": "contacts", "nextPollTime": "2026-01-31T00:05:00Z",
                               "cursor": {"since": "2026-01-31T00:00:00Z", "known": "k".repeat(600)}}],
            },
        })
    };
    let text = (0..COUNT).map(listed).collect::<serde_json::Value>().to_string();
    let before = process::cpu();
    let found: Vec<ListedInstance> = serde_json::from_str(&text).expect("it is a list");
    let glances: Vec<_> = found.into_iter().map(Glance::of).collect();
    let seen = overview(glances, Asked::parse(""), Utc::now());
    let cpu = process::cpu_since(before);
    assert_eq!((seen.found, seen.rows.len()), (COUNT, 50));
    println!("{NAME}/cluster: {:.1} ms CPU to read and sort a list of {} MiB", cpu.as_secs_f64() * 1e3, text.len() >> 20);
}

fn manifest(number: usize) -> String {
    format!(
        "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: crm-{number}, namespace: team-{}}}\nspec:\n  baseUrl: \
         http://127.0.0.1:9\n  suspend: true\n  resources: [{{name: contacts, url: /contacts}}]\n  callback: {{url: \"http://127.0.0.1:9/in\", \
         allowInsecureHttp: true}}\n---\n",
        number % 40
    )
}

/// `pollinator local` in front of suspended instances.
struct Served {
    local: Local,
    /// Address and ticket.
    console: Option<(String, String)>,
}

impl Served {
    fn start(manifests: &Path, state: &Path, has_console: bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pollinator"));
        command.arg("local").arg(manifests).arg("--state").arg(state).stdout(Stdio::null()).stderr(Stdio::piped());
        if has_console {
            command.arg("--console=127.0.0.1:0");
        }
        let mut local = Local::start(&mut command);
        let mut lines = BufReader::new(local.0.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let console = has_console.then(|| {
            let line = lines.find(|line| line.contains("/open?ticket=")).expect("the URL is printed");
            let url = line.rsplit(' ').next().expect("a word").trim_start_matches("http://");
            let (address, path) = url.split_once('/').expect("a path");
            (address.to_owned(), format!("/{path}"))
        });
        // It would stop when no one reads.
        thread::spawn(move || lines.for_each(drop));
        Self { local, console }
    }

    /// Waits until it has started and does nothing more.
    fn wait_still(&self) {
        let deadline = Instant::now() + LONG;
        let mut still = 0;
        while still < 3 {
            assert!(Instant::now() < deadline, "it goes on working");
            let before = self.local.cpu();
            thread::sleep(Duration::from_secs(2));
            let is_still = before > Duration::from_secs(2) && self.local.cpu_since(before) < Duration::from_millis(100);
            still = if is_still { still + 1 } else { 0 };
        }
    }
}

fn sign_in(address: &str, ticket: &str) -> String {
    let opened = get(address, ticket, "");
    let cookie = opened.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a session");
    cookie.split(';').next().expect("a cookie").to_owned()
}

fn get(address: &str, path: &str, cookie: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}
