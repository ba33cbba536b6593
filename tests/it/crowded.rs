//! Many in one process: those that hang, and those that send much, take nothing that the others need.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::rig;
use crate::rig::client;
use crate::rig::http::{Answer, Body, Server};
use crate::rig::manifest::{self, Instance};
use crate::rig::pollinator::{Row, Site};
use crate::rig::provider::{self, Provider};
use crate::rig::receiver::Receiver;

/// Each takes a request of the process for as long as it hangs.
const HANGING: usize = 1_000;
/// More than version 0.1.0 had permits.
const AT_ONCE: usize = 320;
const INTERVAL: Duration = Duration::from_secs(5);

/// Hosts that take connections and never answer, each at a port of its own.
struct Silence {
    hosts: Vec<String>,
    held: Arc<(Mutex<Vec<TcpStream>>, Condvar)>,
    /// Takes their connections; dropped, it takes no more.
    _runtime: Runtime,
    has_ended: Arc<AtomicBool>,
}

impl Silence {
    fn start(hosts: usize) -> Self {
        let held: Arc<(Mutex<Vec<TcpStream>>, Condvar)> = Arc::default();
        let has_ended = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listen = |_| {
            let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
            let address = listener.local_addr().expect("a bound socket has an address");
            let (kept, ended) = (Arc::clone(&held), Arc::clone(&has_ended));
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    if ended.load(Ordering::SeqCst) {
                        continue;
                    }
                    kept.0.lock().unwrap().push(stream);
                    kept.1.notify_all();
                }
            });
            format!("http://{address}")
        };
        let hosts = (0..hosts).map(listen).collect();
        Self { hosts, held, _runtime: runtime, has_ended }
    }

    /// From now on connections are closed as soon as they are taken.
    fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.held.0.lock().unwrap().clear();
    }

    fn wait_connections(&self, count: usize) {
        let (held, more) = &*self.held;
        let held = more.wait_timeout_while(held.lock().unwrap(), rig::PATIENCE, |held| held.len() < count).unwrap().0;
        assert!(held.len() >= count, "{} of {count} connections at once", held.len());
    }
}

#[test]
fn a_thousand_hanging_hosts_delay_no_poll_of_an_instance_that_answers() {
    let silence = Silence::start(HANGING);
    let (receiver, healthy) = (Receiver::start(), Provider::start());
    let instance = |name: &str, url: &str| Instance::new(name, url, &receiver.url(name));
    let mut documents = vec![instance("healthy", &healthy.url()).basic_auth().yaml()];
    documents.extend(silence.hosts.iter().enumerate().map(|(number, host)| {
        // every other one is a tenant of its own
        let yaml = instance(&format!("hangs-{number}"), host).yaml();
        if number % 2 == 0 { yaml } else { yaml.replace("namespace: it", &format!("namespace: tenant-{number}")) }
    }));
    let site = Site::new(&documents);
    let pollinator = site.start();
    silence.wait_connections(AT_ONCE);
    pollinator.wait_ready("healthy");
    let before = healthy.asked();
    for round in 0..5 {
        healthy.create(&format!("steady-{round}"));
        healthy.wait_polled(1);
    }
    let asks = healthy.asks();
    let gaps: Vec<_> = asks[before.saturating_sub(1)..].windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    // A request that hangs keeps what it has for 30 s.
    assert!(gaps.iter().all(|gap| *gap < 3 * INTERVAL), "the interval is {INTERVAL:?}: {gaps:?}");
    let verdict = rig::settle(&receiver, "healthy", || healthy.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "healthy");
}

#[test]
fn an_instance_with_many_hanging_lists_leaves_a_request_to_another_one_of_its_host() {
    let server = Server::start(|ask| {
        let answer = Answer::json(r#"[{"id":1}]"#);
        if ask.path().starts_with("/hangs") { answer.after(Duration::from_mins(10)) } else { answer }
    });
    let receiver = Receiver::start();
    let list = |path: &str| format!("url: {path}\npagination: {{none: {{}}}}");
    let instance = |name: &str, path: &str| Instance::new(name, &server.url(), &receiver.url(name)).resource(&list(path));
    let others: Vec<_> = (1..12).map(|n| format!("  - {{name: r{n}, url: /hangs, pagination: {{none: {{}}}}}}\n")).collect();
    let others = others.concat();
    let greedy = instance("hangs", "/hangs").yaml().replacen("  callback:", &format!("{others}  callback:"), 1);
    let site = Site::new(&[greedy]);
    let pollinator = site.start();
    // all that it may have at once hang
    let deadline = Instant::now() + rig::PATIENCE;
    while server.connections() < 3 {
        assert!(Instant::now() < deadline, "{}", pollinator.report("hangs"));
        thread::park_timeout(Duration::from_millis(5));
    }
    manifest::write(&site.manifests(), "answers.yaml", &[instance("answers", "/answers").yaml()]);
    pollinator.wait_ready("answers");
    assert!(pollinator.rows("hangs").iter().all(|row| !row.failed()), "no request had to end for it");
}

#[test]
fn without_file_descriptors_polls_fail_and_nothing_is_lost() {
    const HOSTS: usize = 100;
    let silence = Silence::start(HOSTS);
    let (receiver, healthy) = (Receiver::start(), Provider::start());
    let mut documents = vec![Instance::new("healthy", &healthy.url(), &receiver.url("healthy")).basic_auth().earliest().yaml()];
    let hanging =
        |(number, host): (usize, &String)| Instance::new(&format!("hangs-{number}"), host, &receiver.url("none")).yaml();
    documents.extend(silence.hosts.iter().enumerate().map(hanging));
    let site = Site::new(&documents);
    let own = site.command();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]).arg(own.get_program()).args(own.get_args());
    own.get_envs().for_each(|(name, value)| match value {
        Some(value) => drop(command.env(name, value)),
        None => drop(command.env_remove(name)),
    });
    let pollinator = site.spawn(command);
    // all that there are, but for those of the process itself
    silence.wait_connections(30);
    let fix = "no file descriptor is free where Pollinator runs; raise the limit of open files there (ulimit -n)";
    let failing = |row: &Row| row.told("ProviderUnreachable").is_some_and(|told| told.contains(fix));
    let is_told = || (0..HOSTS).any(|number| pollinator.rows(&format!("hangs-{number}")).iter().any(failing));
    let deadline = Instant::now() + rig::PATIENCE;
    while !is_told() {
        assert!(Instant::now() < deadline, "no poll fails for want of descriptors");
        thread::park_timeout(Duration::from_millis(50));
    }
    healthy.create("meanwhile");
    silence.end();
    assert!(!pollinator.stderr().contains("uncategorized"), "{}", pollinator.stderr());
    let verdict = rig::settle(&receiver, "healthy", || healthy.truth(), provider::version);
    rig::assert_perfect(&verdict, &pollinator, "healthy");
}

/// Records of one page, almost as many bytes as a page may have.
const RECORDS: usize = 29;
const LARGE: usize = 40;

/// The pages of an instance, in pieces, so that the double keeps none of them.
fn large_page() -> (usize, impl Iterator<Item = Vec<u8>> + Send) {
    let record = |number: usize| {
        let comma = if number == 0 { "" } else { "," };
        let head = format!("{comma}{{\"id\":\"r{number}\",\"modified\":\"2026-01-01T00:00:00.000Z\",\"text\":\"");
        let text = "x".repeat(1_000_000);
        format!("{head}{text}\"}}").into_bytes()
    };
    let pieces = move || {
        let records = (0..RECORDS).map(record);
        std::iter::once(b"{\"records\":[".to_vec()).chain(records).chain(std::iter::once(b"],\"next\":null}".to_vec()))
    };
    (pieces().map(|piece| piece.len()).sum(), pieces())
}

#[test]
fn forty_large_pages_at_once_cost_bounded_memory_and_every_record_arrives() {
    let receiver = Receiver::start();
    let provider = |number: usize| {
        Server::start(move |_| {
            let (length, pieces) = large_page();
            let pieces = Box::new(pieces);
            // every other one does not say how long it is
            let body = if number.is_multiple_of(2) { Body::Stream(pieces) } else { Body::Sized(length, pieces) };
            Answer::status(200).header("Content-Type", "application/json").body(body)
        })
    };
    let providers: Vec<_> = (0..LARGE).map(provider).collect();
    let instance = |(number, provider): (usize, &Server)| {
        let name = format!("large-{number}");
        Instance::new(&name, &provider.url(), &receiver.url(&name)).earliest().and_resource("interval: 1h").yaml()
    };
    let site = Site::new(&providers.iter().enumerate().map(instance).collect::<Vec<_>>());
    let pollinator = site.start();
    for number in 0..LARGE {
        let all = receiver.try_wait(&format!("large-{number}"), 4 * rig::PATIENCE, |posts| {
            let accepted = posts.iter().filter(|post| post.accepted()).flat_map(|post| post.events());
            let ids: BTreeSet<_> = accepted.map(|event| event.object).collect();
            (ids.len() == RECORDS).then_some(())
        });
        assert!(all.is_some(), "large-{number}: records are missing\n{}", pollinator.report(&format!("large-{number}")));
    }
    if let Some(mebibytes) = pollinator.peak_memory() {
        println!("peak memory {mebibytes} MiB");
        assert!(mebibytes < 450, "peak memory {mebibytes} MiB, for {} MiB of pages", LARGE * RECORDS);
    }
}

#[test]
fn the_delay_of_a_poll_ends_when_its_request_is_sent() {
    let receiver = Receiver::start();
    let provider = Provider::start().slow(Duration::from_secs(3));
    let instances: Vec<_> = (0..5).map(|number| format!("queues-{number}")).collect();
    let site = Site::new(
        &instances
            .iter()
            .map(|name| Instance::new(name, &provider.url(), &receiver.url(name)).basic_auth().yaml())
            .collect::<Vec<_>>(),
    );
    let mut command = site.command();
    command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let pollinator = site.spawn(command);
    for name in &instances {
        pollinator.wait_ready(name);
    }
    let line = pollinator.wait_stderr("/metrics");
    let start = line.find("127.0.0.1:").unwrap_or_else(|| panic!("no address in {line}"));
    let address: String = line[start..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    let metrics = client::must("GET", &format!("http://{address}/metrics"), None);
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {metrics}"));
        line.trim().parse().unwrap()
    };
    // a host is asked four things at once: the fifth waits for three seconds
    let soon = value("pollinator_poll_delay_seconds_bucket{le=\"1.0\"}");
    assert!(soon >= 1 && value("pollinator_poll_delay_seconds_count") > soon, "{metrics}");
}
