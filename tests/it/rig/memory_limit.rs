//! A limit of the kernel on the memory of a process, as a pod has one: whatever exceeds it is killed. Where a test may not set one
//! (no cgroup, or no right to make one) it says so, and the resident memory is all that is compared.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What the kernel calls the files of a control group.
struct Version {
    root: &'static str,
    limit: &'static str,
    peak: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version { root: "/sys/fs/cgroup", limit: "memory.max", peak: "memory.peak" },
    Version { root: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes" },
];

/// A control group with one process. It is removed with this value; the process goes back to where the others are.
pub struct MemoryLimit {
    folder: PathBuf,
    root: &'static Path,
    peak: &'static str,
}

impl MemoryLimit {
    /// Limits a process to so many MiB; `None`: it cannot be done here.
    pub fn try_set(process: u32, mebibytes: u64) -> Option<Self> {
        let limit = VERSIONS.iter().find_map(|version| Self::in_version(version, process, mebibytes).ok());
        if limit.is_none() {
            println!("left out: a limit of the kernel on memory, which this machine does not let a test set");
        }
        limit
    }

    fn in_version(version: &Version, process: u32, mebibytes: u64) -> std::io::Result<Self> {
        let root = Path::new(version.root);
        let folder = root.join(format!("pollinator-it-{process}"));
        fs::create_dir(&folder)?;
        let limit = Self { folder, root, peak: version.peak };
        limit.tell(version.limit, &(mebibytes * 1024 * 1024).to_string())?;
        limit.tell("cgroup.procs", &process.to_string())?;
        Ok(limit)
    }

    /// Writes to a file that the kernel has made: in a folder of another file system there is none.
    fn tell(&self, file: &str, what: &str) -> std::io::Result<()> {
        File::options().write(true).open(self.folder.join(file))?.write_all(what.as_bytes())
    }

    /// The most that the kernel has counted, in MiB: resident memory, and of files what it keeps for as long as there is room.
    pub fn peak(&self) -> Option<u64> {
        let bytes: u64 = fs::read_to_string(self.folder.join(self.peak)).ok()?.trim().parse().ok()?;
        Some(bytes / 1024 / 1024)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        for process in fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default().lines() {
            // one that has just ended needs no move
            let _ = fs::write(self.root.join("cgroup.procs"), process);
        }
        // a folder that is left behind says the name of its test and limits nobody
        let _ = fs::remove_dir(&self.folder);
    }
}
