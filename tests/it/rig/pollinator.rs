//! The binary under test, as a child process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};
use regex::{Captures, Regex};
use serde::Deserialize;
use tempfile::TempDir;

use super::log::Log;
use super::{PATIENCE, canary, manifest, turns};

/// One line of `local --output json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub name: String,
    pub ready: String,
    pub reason: String,
    pub message: String,
    pub delivered: u64,
    pub parked: u64,
    pub set_aside: u64,
    #[serde(default)]
    pub connect: Option<Connect>,
    pub conditions: Vec<Condition>,
    pub resources: Vec<ResourceRow>,
    #[serde(default)]
    pub waiting: Option<Waiting>,
}

/// What failed and will be tried again.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    pub events: u64,
    #[serde(default)]
    pub oldest: Option<String>,
    #[serde(default)]
    pub next_try: Option<String>,
}

/// Where a person can give consent.
#[derive(Clone, Debug, Deserialize)]
pub struct Connect {
    pub url: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRow {
    #[serde(default)]
    pub cursor: Option<String>,
    #[serde(default)]
    pub delivered: u64,
    #[serde(default)]
    pub reset_reason: Option<String>,
    #[serde(default)]
    pub last_successful_poll_time: Option<String>,
    #[serde(default)]
    pub next_poll_time: Option<String>,
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Condition {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub status: String,
    pub reason: String,
    #[serde(default)]
    pub message: String,
}

impl Row {
    /// Whether the last poll failed, as `--once` judges it.
    pub fn failed(&self) -> bool {
        let mut conditions = self.resources.iter().flat_map(|resource| &resource.conditions);
        self.ready == "False" || conditions.any(|condition| condition.kind == "Polled" && condition.status == "False")
    }

    /// Whether the instance, or one of its conditions or of its resources' conditions, gives this reason.
    pub fn tells(&self, reason: &str) -> bool {
        self.told(reason).is_some()
    }

    /// The message that goes with a reason.
    pub fn told(&self, reason: &str) -> Option<String> {
        let conditions = self.conditions.iter().chain(self.resources.iter().flat_map(|resource| &resource.conditions));
        let own = (self.reason == reason).then(|| self.message.clone());
        own.or_else(|| {
            conditions.filter(|condition| condition.reason == reason).map(|condition| condition.message.clone()).next()
        })
    }
}

/// A folder of manifests and a state folder, removed at the end unless the test failed.
pub struct Site {
    folder: TempDir,
    runs: AtomicUsize,
    running: Arc<Mutex<Running>>,
}

/// The processes of a site.
#[derive(Debug, Default)]
struct Running {
    now: usize,
    /// When the last one ended that has.
    ended: Option<Instant>,
}

impl Site {
    /// Writes the documents, and the Secret for the doubles' basic authentication.
    pub fn new(documents: &[String]) -> Self {
        Self::new_in(Path::new(env!("CARGO_TARGET_TMPDIR")), documents)
    }

    /// The same in memory, where the system has such a folder: to make a write durable costs nothing there.
    pub fn in_memory(documents: &[String]) -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::new_in(memory, documents) } else { Self::new(documents) }
    }

    fn new_in(place: &Path, documents: &[String]) -> Self {
        turns::take();
        let folder = tempfile::Builder::new().prefix("it-").tempdir_in(place).expect("a temporary folder");
        let site = Self { folder, runs: AtomicUsize::new(0), running: Arc::default() };
        manifest::write(&site.manifests(), "instances.yaml", documents);
        manifest::write(&site.manifests(), "login.yaml", &[manifest::login()]);
        site
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn manifests(&self) -> PathBuf {
        self.path().join("manifests")
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Turns the clock forward for a stopped process: every time at which its state would try or ask again, or since when deliveries
    /// have failed, is so much earlier. What else is in the state stays byte for byte.
    pub fn age(&self, by: TimeDelta) {
        let waits = Regex::new("\"(nextTry|probeAt|holdUntil|since|retryAfter)\":\"([^\"]+)\"").expect("a pattern");
        for entry in fs::read_dir(self.state()).expect("a state folder").flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "json") {
                let text = fs::read_to_string(entry.path()).expect("a state file");
                let earlier = waits.replace_all(&text, |wait: &Captures<'_>| {
                    let at = DateTime::parse_from_rfc3339(&wait[2]).expect("a time") - by;
                    format!("\"{}\":\"{}\"", &wait[1], at.to_utc().to_rfc3339())
                });
                fs::write(entry.path(), earlier.as_bytes()).expect("a state file");
            }
        }
    }

    /// Replaces what matches a pattern in the state of a stopped process.
    pub fn edit_state(&self, pattern: &str, with: &str) {
        let pattern = Regex::new(pattern).expect("a pattern");
        for entry in fs::read_dir(self.state()).expect("a state folder").flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "json") {
                let text = fs::read_to_string(entry.path()).expect("a state file");
                fs::write(entry.path(), pattern.replace_all(&text, with).as_bytes()).expect("a state file");
            }
        }
    }

    /// `pollinator local` on this site, output as JSON lines.
    pub fn command(&self) -> Command {
        let mut command = binary();
        command.arg("local").arg(self.manifests()).arg("--state").arg(self.state()).args(["--output", "json"]);
        command
    }

    /// Starts `pollinator local`, which serves its metrics.
    pub fn start(&self) -> Pollinator {
        let mut command = self.command();
        command.args(["--listen", "127.0.0.1:0"]);
        self.spawn(command)
    }

    /// Starts `pollinator local`, which tells everything that it can tell: its output is scanned for secrets when it ends.
    pub fn start_tracing(&self) -> Pollinator {
        let mut command = self.command();
        command.args(["--log", "trace"]);
        self.spawn(command)
    }

    /// Starts any command with its output captured here.
    pub fn spawn(&self, command: Command) -> Pollinator {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        Pollinator::spawn(command, &self.path().join(format!("run-{run}")), &self.state(), &self.running)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("kept for a look: {}", self.path().display());
        }
    }
}

/// The binary, in an environment that does not depend on the caller's.
pub fn binary() -> Command {
    turns::take();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pollinator"));
    command.env_remove("RUST_LOG").env_remove("HTTP_PROXY").env_remove("http_proxy").env("NO_COLOR", "1");
    command
}

/// A running process. Dropped, it is killed and its output and state are scanned for secrets.
pub struct Pollinator {
    child: Child,
    ended: Option<ExitStatus>,
    readers: Vec<JoinHandle<()>>,
    rows: Log<Row>,
    stdout: Log<String>,
    stderr: Log<String>,
    state: PathBuf,
    started: Instant,
    running: Arc<Mutex<Running>>,
}

impl Pollinator {
    fn spawn(mut command: Command, capture: &Path, state: &Path, running: &Arc<Mutex<Running>>) -> Self {
        let started = Instant::now();
        running.lock().unwrap_or_else(PoisonError::into_inner).now += 1;
        fs::create_dir_all(capture).expect("the test's own folder");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary that cargo built");
        let (rows, stdout, stderr) = (Log::default(), Log::default(), Log::default());
        let out = child.stdout.take().expect("piped");
        let err = child.stderr.take().expect("piped");
        let readers = vec![
            read(out, capture.join("stdout"), stdout.clone(), Some(rows.clone())),
            read(err, capture.join("stderr"), stderr.clone(), None),
        ];
        Self {
            child,
            ended: None,
            readers,
            rows,
            stdout,
            stderr,
            state: state.to_owned(),
            started,
            running: Arc::clone(running),
        }
    }

    /// A moment before it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Whether no other process of the site has run since it was started.
    pub fn was_alone(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.now == 1 && running.ended.is_none_or(|ended| ended < self.started)
    }

    /// Where it serves metrics; `None`: nowhere.
    pub fn metrics_address(&self) -> Option<String> {
        let line = self.stderr.all().into_iter().find(|line| line.contains("serving /metrics"))?;
        let (_, address) = line.rsplit_once("address=")?;
        Some(format!("http://{}", address.trim()))
    }

    /// All lines on stdout up to now.
    pub fn stdout(&self) -> String {
        self.stdout.all().join("\n")
    }

    /// All lines on stderr up to now.
    pub fn stderr(&self) -> String {
        self.stderr.all().join("\n")
    }

    /// Waits until the last line about one instance satisfies the condition, and returns it.
    pub fn wait_for(&self, instance: &str, what: &str, condition: impl Fn(&Row) -> bool) -> Row {
        let found = self.rows.try_wait(PATIENCE, |rows| {
            rows.iter().rev().find(|row| row.name == instance).filter(|row| condition(row)).cloned()
        });
        found.unwrap_or_else(|| panic!("{instance}: not seen in time: {what}\n{}", self.report(instance)))
    }

    /// Waits until one instance has ended its first poll.
    pub fn wait_ready(&self, instance: &str) -> Row {
        self.wait_for(instance, "Ready", |row| row.ready == "True")
    }

    /// Waits until a reason stands in any condition of one instance, and returns its message.
    pub fn wait_reason(&self, instance: &str, reason: &str) -> String {
        self.wait_for(instance, reason, |row| row.tells(reason)).told(reason).expect("just seen")
    }

    /// All lines about one instance.
    pub fn rows(&self, instance: &str) -> Vec<Row> {
        self.rows.all().into_iter().filter(|row| row.name == instance).collect()
    }

    /// Waits until a line of standard output contains this.
    pub fn wait_stdout(&self, part: &str) -> String {
        let found = self.stdout.try_wait(PATIENCE, |lines: &[String]| lines.iter().find(|line| line.contains(part)).cloned());
        found.unwrap_or_else(|| panic!("not seen on stdout in time: {part}\n{}\n{}", self.stdout(), self.stderr()))
    }

    /// Waits for a line on stderr.
    pub fn wait_stderr(&self, part: &str) -> String {
        let found = self.stderr.try_wait(PATIENCE, |lines| lines.iter().find(|line| line.contains(part)).cloned());
        found.unwrap_or_else(|| panic!("not seen on stderr in time: {part}\n{}", self.stderr()))
    }

    /// What a failed test wants to read.
    pub fn report(&self, instance: &str) -> String {
        let rows: Vec<_> = self.rows(instance).iter().rev().take(3).map(|row| format!("{row:?}")).collect();
        let mut log: Vec<_> = self.stderr.all().into_iter().rev().take(30).collect();
        log.reverse();
        format!("last lines about it:\n{}\nlog:\n{}", rows.join("\n"), log.join("\n"))
    }

    /// SIGKILL: no chance to tidy up.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        self.wait();
    }

    /// SIGTERM, which asks it to commit and end.
    pub fn sigterm(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Sends a signal by the name that `kill` knows.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status().expect("a POSIX shell");
        assert!(sent.success(), "signal {name} to {pid}");
    }

    /// Waits for its end; a process that does not end in time fails the test.
    pub fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        // the readers end when the process, the only writer of both pipes, does
        let deadline = Instant::now() + PATIENCE;
        for reader in self.readers.drain(..) {
            while !reader.is_finished() {
                assert!(Instant::now() < deadline, "the process did not end in time\n{}", self.stderr.all().join("\n"));
                thread::park_timeout(Duration::from_millis(5));
            }
            let _ = reader.join();
        }
        let status = self.child.wait().expect("a child can be waited for");
        self.ended = Some(status);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.now -= 1;
        running.ended = Some(Instant::now());
        status
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Peak resident memory in MiB, where the kernel tells it.
    pub fn peak_memory(&self) -> Option<u64> {
        self.memory("VmHWM").map(|kib| kib / 1024)
    }

    /// A field of the kernel's status of the process, such as `VmRSS`, in KiB.
    pub fn memory(&self, field: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Ended by a panic or a signal other than SIGKILL, which only tests send.
    fn crashed(&self) -> bool {
        let signal = self.ended.and_then(|status| status.signal());
        signal.is_some_and(|signal| signal != 9) || self.stderr.all().iter().any(|line| line.contains("panicked at"))
    }
}

impl Drop for Pollinator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        if thread::panicking() {
            let _ = self.child.wait();
            return;
        }
        self.wait();
        assert!(!self.crashed(), "a panic or signal ended a task or the process:\n{}", self.stderr());
        let leak = canary::find_in_output(&self.stdout()).or_else(|| canary::find_in_output(&self.stderr()));
        let leak = leak.or_else(|| canary::find_under(&self.state));
        assert_eq!(leak, None, "a secret was written to output or state");
    }
}

fn read(from: impl Read + Send + 'static, copy_to: PathBuf, lines: Log<String>, rows: Option<Log<Row>>) -> JoinHandle<()> {
    let mut copy = File::create(copy_to).expect("the test's own folder");
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            let _ = writeln!(copy, "{line}");
            if let Some(rows) = &rows
                && let Ok(row) = serde_json::from_str(&line)
            {
                rows.push(row);
            }
            lines.push(line);
        }
    })
}
