//! One poll of everything by the program, in a process of its own, seen from the outside.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::{list, process};

/// What `local --once` took, start and end included.
pub struct Once {
    /// User and system time, in steps of 10 ms.
    pub cpu: Duration,
    /// The greatest resident memory, in KiB.
    pub peak: u64,
    /// The sizes of the files of the state that were written, in bytes.
    pub written: Vec<u64>,
    /// Files of the state.
    pub files: usize,
    /// Requests with events.
    pub posts: u64,
}

impl Once {
    /// Runs it; it ends with a poll of every resource that succeeded.
    pub fn run(manifest: &Path, state: &Path) -> Self {
        Self::try_run(manifest, state).unwrap_or_else(|said| panic!("{said}"))
    }

    /// The same, or what it wrote when it failed.
    pub fn try_run(manifest: &Path, state: &Path) -> Result<Self, String> {
        let (before, cpu, posts) = (files(state), process::cpu_of_children(), list::posts());
        let mut command = Command::new(process::program());
        command.args(["local", "--once", "--allow-egress", "127.0.0.0/8", "--state"]).arg(state).arg(manifest);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let peak = peak_until_end(&mut child);
        let mut said = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
        if !child.wait().expect("it ends").success() {
            return Err(said);
        }
        let after = files(state);
        let is_written = |(file, seen): (&PathBuf, &(SystemTime, u64))| (before.get(file) != Some(seen)).then_some(seen.1);
        Ok(Self {
            cpu: process::cpu_of_children().saturating_sub(cpu),
            peak,
            written: after.iter().filter_map(is_written).collect(),
            files: after.len(),
            posts: list::posts() - posts,
        })
    }

    /// Bytes of the files that were written.
    pub fn bytes(&self) -> u64 {
        self.written.iter().sum()
    }
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
fn files(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // before the first run there is none
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
