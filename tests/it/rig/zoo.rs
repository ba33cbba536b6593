//! Hostile and odd peers of every kind, one after the other, for tests of what those beside them notice: nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::http::{Answer, Ask, Body, Server};
use super::manifest::Instance;
use super::{PATIENCE, client, raw};

/// What an animal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// 32 MiB of zeros in 32 kB.
    Bomb,
    /// Many small records in few bytes.
    Heavy,
    /// A byte now and then.
    Drips,
    Hangs,
    /// A megabyte of headers.
    Headers,
    /// Ids of 200 kB.
    GiantIds,
    /// Another status with each answer.
    Flaps,
    /// New large records with each poll, which its receiver refuses, or does not answer about.
    Refuses,
}

const HABITS: [Habit; 8] =
    [Habit::Bomb, Habit::Heavy, Habit::Drips, Habit::Hangs, Habit::Headers, Habit::GiantIds, Habit::Flaps, Habit::Refuses];
/// Records of a heavy list.
const HEAVY: usize = 50_000;
/// A byte of a body that drips comes after this.
const DRIP: Duration = Duration::from_millis(200);
/// Longer than any deadline.
const FOREVER: Duration = Duration::from_mins(10);

/// Each animal has a server of its own; the receiver is shared.
pub struct Zoo {
    animals: Vec<Server>,
    receiver: Server,
    tiny: Server,
    /// Numbers of those that were asked.
    asked: Arc<Mutex<BTreeSet<usize>>>,
    bomb: Arc<Vec<u8>>,
    heavy: Arc<Vec<u8>>,
}

impl Zoo {
    /// With no animals yet.
    pub fn open() -> Self {
        let events = AtomicUsize::new(0);
        let receiver = Server::start(move |ask| match ask.path() {
            path if !path.starts_with("/refuses") => Answer::status(204),
            path if path.ends_with('5') => Answer::status(204).after(FOREVER),
            // It works, but for most objects.
            _ if events.fetch_add(1, Ordering::SeqCst).is_multiple_of(4) => Answer::status(204),
            _ => Answer::status(422),
        });
        let zeros = format!("[{}0]", "0,".repeat(16 * 1024 * 1024 - 2));
        let record = |number: usize| format!("{{\"id\":\"{number}\",\"modified\":\"2026-01-01T00:00:00.000Z\"}}");
        let records: Vec<_> = (0..HEAVY).map(record).collect();
        Self {
            animals: Vec::new(),
            receiver,
            tiny: Server::start(|_| Answer::json("{\"records\":[],\"next\":null}")),
            asked: Arc::default(),
            bomb: Arc::new(packed(&zeros)),
            heavy: Arc::new(packed(&format!("{{\"records\":[{}],\"next\":null}}", records.join(",")))),
        }
    }

    /// Takes in animals up to this number, and returns the instances of the new ones, in namespace `it`.
    pub fn grow(&mut self, number: usize) -> Vec<Instance> {
        (self.animals.len()..number)
            .map(|number| {
                let habit = HABITS[number % HABITS.len()];
                let (asked, bomb, heavy) = (Arc::clone(&self.asked), Arc::clone(&self.bomb), Arc::clone(&self.heavy));
                let polls = AtomicUsize::new(0);
                let animal = Server::start(move |ask| {
                    asked.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
                    answer(habit, ask, polls.fetch_add(1, Ordering::SeqCst), &bomb, &heavy)
                });
                let name = format!("{}-{number}", format!("{habit:?}").to_lowercase());
                let instance = Instance::new(&name, &animal.url(), &format!("{}/{name}", self.receiver.url()));
                self.animals.push(animal);
                match habit {
                    Habit::Bomb => instance.resource("url: /records\nidField: id"),
                    Habit::Refuses => instance.earliest(),
                    _ => instance,
                }
            })
            .collect()
    }

    /// Manifests of this many instances with this many resources each, of which every poll finds nothing.
    pub fn tiny(&self, instances: usize, resources: usize, interval: &str) -> Vec<String> {
        let manifest = |number: usize| {
            let name = format!("tiny-{number}");
            let mut yaml = format!(
                "apiVersion: pollinator.dev/v1alpha1\nkind: ConnectorInstance\nmetadata: {{name: {name}, namespace: it}}\nspec:\n  baseUrl: \"{}\"\n  polling: {{interval: {interval}}}\n  callback: {{url: \"{}/{name}\", allowInsecureHttp: true}}\n  resources:\n",
                self.tiny.url(),
                self.receiver.url()
            );
            for resource in 0..resources {
                let _ = writeln!(yaml, "  - {{name: r{resource}, url: /r{resource}, recordsPath: records, idField: id}}");
            }
            yaml
        };
        (0..instances).map(manifest).collect()
    }

    /// Waits until each animal was asked.
    pub fn wait_all_asked(&self) {
        let deadline = Instant::now() + PATIENCE;
        let count = || self.asked.lock().unwrap_or_else(PoisonError::into_inner).len();
        while count() < self.animals.len() {
            assert!(Instant::now() < deadline, "only {} of {} are asked", count(), self.animals.len());
            thread::park_timeout(Duration::from_millis(50));
        }
    }
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn answer(habit: Habit, ask: &Ask, poll: usize, bomb: &[u8], heavy: &[u8]) -> Answer {
    let empty = || Answer::json("{\"records\":[],\"next\":null}");
    let zipped = |bytes: &[u8]| {
        let head = Answer::status(200).header("Content-Type", "application/json").header("Content-Encoding", "gzip");
        head.body(Body::Whole(bytes.to_vec()))
    };
    match habit {
        Habit::Bomb => zipped(bomb),
        Habit::Heavy => zipped(heavy),
        Habit::Drips => {
            let drops = std::iter::repeat_with(|| {
                thread::park_timeout(DRIP);
                b" ".to_vec()
            });
            Answer::status(200).header("Content-Type", "application/json").body(Body::Stream(Box::new(drops)))
        }
        Habit::Hangs => empty().after(FOREVER),
        Habit::Headers => (0..10_000).fold(empty(), |answer, n| answer.header(&format!("X-{n}"), "x".repeat(90))),
        Habit::GiantIds => {
            let record =
                |n: usize| format!("{{\"id\":\"{n}-{poll}{}\",\"modified\":\"{}\"}}", "i".repeat(200_000), stamp(poll));
            Answer::json(format!("{{\"records\":[{}],\"next\":null}}", (0..5).map(record).collect::<Vec<_>>().join(",")))
        }
        Habit::Flaps => match poll % 3 {
            0 => empty(),
            1 => Answer::status(500),
            _ => Answer::status(401),
        },
        Habit::Refuses => {
            let since = ask.query().into_iter().find(|(name, _)| name == "since").map_or(String::new(), |(_, value)| value);
            let record = |n: usize| {
                format!(
                    "{{\"id\":\"{n}-{poll}\",\"since\":\"{since}\",\"modified\":\"{}\",\"text\":\"{}\"}}",
                    stamp(poll),
                    "t".repeat(10_000)
                )
            };
            Answer::json(format!("{{\"records\":[{}],\"next\":null}}", (0..20).map(record).collect::<Vec<_>>().join(",")))
        }
    }
}

/// A date that is later with each poll, and never in the future.
fn stamp(poll: usize) -> String {
    format!("2026-01-01T{:02}:{:02}:{:02}.000Z", poll / 3600 % 24, poll / 60 % 60, poll % 60)
}

/// Passers-by who hold connections to metrics and probes with heads that do not end, and begin again when one is closed.
pub struct Scrapers {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scrapers {
    /// From `peers` addresses, `each` connections of each.
    pub fn start(at: SocketAddr, peers: u8, each: usize) -> Self {
        let over: Arc<AtomicBool> = Arc::default();
        let is_over = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut held: Vec<TcpStream> = Vec::new();
            let begin = |from: u8| {
                let mut stream = raw::connect(at, from);
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: pod\r\nlong: ");
                let _ = stream.set_nonblocking(true);
                stream
            };
            while !is_over.load(Ordering::SeqCst) {
                // As many as the server would keep, and more.
                held.extend((0..peers).flat_map(|peer| (0..each).map(move |_| 10 + peer)).map(begin));
                let surplus = held.len().saturating_sub(2 * each * usize::from(peers));
                held.drain(..surplus);
                for stream in &mut held {
                    // Those that were closed take nothing more.
                    let _ = stream.write_all(b"x");
                }
                thread::park_timeout(Duration::from_millis(500));
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Scrapers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Asks a probe again and again, and notes how long each answer takes.
pub struct Probes {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Duration>>>,
}

impl Probes {
    pub fn start(url: String) -> Self {
        let over: Arc<AtomicBool> = Arc::default();
        let is_over = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut answers = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let asked = Instant::now();
                client::must("GET", &url, None);
                answers.push(asked.elapsed());
                thread::park_timeout(Duration::from_millis(100));
            }
            answers
        });
        Self { over, thread: Some(thread) }
    }

    /// Ends, and returns how long 99 of 100 answers took at most.
    pub fn end(mut self) -> Duration {
        self.over.store(true, Ordering::SeqCst);
        let thread = self.thread.take().expect("it ends once");
        thread.thread().unpark();
        let mut answers = thread.join().expect("every probe is answered with 200");
        answers.sort_unstable();
        answers[answers.len() * 99 / 100]
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
