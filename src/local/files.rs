//! The files of manifests: which they are, what they hold, and whether that changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_128;

use crate::api::encoding;

/// First line of the files that are managed here, which no one else changes: a file without it belongs to the user.
pub const MANAGED: &str =
    "# Managed by Pollinator, which replaces this file as a whole. Remove this line to manage it yourself.";

/// The argument that means standard input.
const STDIN: &str = "-";
/// Times of files are this coarse at worst (FAT): a file that changed more recently may change again and keep its times.
const COARSE: Duration = Duration::from_secs(2);

/// Where definitions come from.
#[derive(Clone, Debug)]
pub struct Sources {
    paths: Vec<PathBuf>,
    catalog: Option<PathBuf>,
    least: Least,
    /// What can be read but once: standard input and pipes.
    held: Arc<Held>,
}

/// How many instances the files must declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Least {
    /// One: a process without any was started by mistake.
    #[default]
    One,
    /// None: they can be added while it runs.
    None,
}

/// A file or folder that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Unread {
    /// Name of the file as the user knows it; `None`: a folder, so that any file of it may be missing.
    pub file: Option<String>,
    sentence: String,
}

/// Name and text of a file.
type Text = Result<(String, String), Unread>;

type Held = BTreeMap<PathBuf, Result<Vec<u8>, String>>;

impl Sources {
    /// Manifests in files, folders and, as `-`, on standard input; perhaps a folder of catalogue entries that win over the built-in
    /// ones. Standard input and pipes are read here, to their end.
    pub fn new(paths: Vec<PathBuf>, catalog: Option<PathBuf>) -> Self {
        let mut held = Held::new();
        for path in &paths {
            if !held.contains_key(path)
                && let Some(bytes) = read_once(path)
            {
                held.insert(path.clone(), bytes.map_err(|error| error.to_string()));
            }
        }
        Self { paths, catalog, least: Least::default(), held: Arc::new(held) }
    }

    /// The same with another number of instances that must be there.
    #[must_use]
    pub fn with_least(self, least: Least) -> Self {
        Self { least, ..self }
    }

    /// How many instances there must be.
    pub fn least(&self) -> Least {
        self.least
    }

    /// The first of the paths that is a folder: where a manifest can be added.
    pub fn folder(&self) -> Option<&Path> {
        self.paths.iter().map(PathBuf::as_path).find(|path| path.is_dir())
    }

    /// Names and texts of the files with manifests, in the order given, folders in the order of their names.
    pub fn manifests(&self) -> impl Iterator<Item = Text> + use<> {
        texts(&self.paths, &self.held)
    }

    /// Names and texts of the catalogue's files.
    pub fn catalog(&self) -> impl Iterator<Item = Text> + use<> {
        texts(self.catalog.as_slice(), &self.held)
    }

    /// What the files hold at this moment. Of a file that is the same by everything that the system knows of it, the last look is
    /// believed; all others are read.
    pub fn look(&self, last: Option<&Look>) -> Look {
        let now = SystemTime::now();
        let mut look = Look::default();
        let mut found = list(&self.paths, &self.held, &mut look.faults);
        found.extend(list(self.catalog.as_slice(), &self.held, &mut look.faults));
        for file in found {
            if self.held.contains_key(&file.path) {
                continue;
            }
            let stamp = file.metadata.as_ref().map(Stamp::of);
            let known = last.and_then(|last| last.files.get(&file.path));
            let seen = match known {
                Some(known) if known.is_settled && known.stamp == stamp => known.clone(),
                _ => Seen {
                    digest: fs::read(&file.path).ok().map(|bytes| xxh3_128(&bytes)),
                    is_settled: stamp.as_ref().is_some_and(|stamp| stamp.is_settled(now)),
                    stamp,
                },
            };
            look.order.push(file.path.clone());
            look.files.insert(file.path, seen);
        }
        look
    }
}

/// Names and texts of the manifest files in a folder.
pub fn in_folder(folder: &Path) -> impl Iterator<Item = Text> + use<> {
    texts(&[folder.to_owned()], &Arc::default())
}

/// What all files held at one moment. Two are equal when each file holds the same bytes, whatever happened in between.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Folders that could not be listed.
    faults: Vec<String>,
    order: Vec<PathBuf>,
    files: HashMap<PathBuf, Seen>,
}

impl PartialEq for Look {
    fn eq(&self, other: &Self) -> bool {
        let digest = |look: &Self, path| look.files.get(path).and_then(|seen| seen.digest);
        self.faults == other.faults
            && self.order == other.order
            && self.order.iter().all(|path| digest(self, path) == digest(other, path))
    }
}

#[derive(Clone, Debug)]
struct Seen {
    stamp: Option<Stamp>,
    /// The stamp was old enough for the next change to make another one.
    is_settled: bool,
    /// None: it could not be read.
    digest: Option<u128>,
}

/// What the system knows of a file. Size and time of change alone are not enough: a link is turned to another file of one size and
/// time (all of a Nix store are of 1970), `cp -p` and `rsync -t` carry times over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let now =
            now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let coarse = i64::try_from(COARSE.as_secs()).unwrap_or_default();
        self.modified.0.max(self.changed.0) < now - coarse
    }
}

/// A file to read; without metadata when there is none, as behind a link that leads nowhere.
struct Found {
    path: PathBuf,
    metadata: Option<Metadata>,
}

fn texts(paths: &[PathBuf], held: &Arc<Held>) -> impl Iterator<Item = Text> + use<> {
    let mut faults = Vec::new();
    let found = list(paths, held, &mut faults);
    let held = Arc::clone(held);
    faults.into_iter().map(|sentence| Err(Unread { file: None, sentence })).chain(found.into_iter().map(move |file| {
        let name = if file.path == Path::new(STDIN) { "standard input".to_owned() } else { file.path.display().to_string() };
        let bytes = match held.get(&file.path) {
            Some(bytes) => bytes.clone(),
            None => fs::read(&file.path).map_err(|error| error.to_string()),
        };
        let unread = |fault: String| Unread { file: Some(name.clone()), sentence: format!("{name}: {fault}") };
        let bytes = bytes.map_err(|error| unread(format!("cannot be read: {error}")))?;
        let text = encoding::decode(&bytes).map_err(unread)?.into_owned();
        Ok((name, text))
    }))
}

/// The bytes of standard input or of a pipe; nothing for all else.
fn read_once(path: &Path) -> Option<io::Result<Vec<u8>>> {
    if path == Path::new(STDIN) {
        let mut bytes = Vec::new();
        return Some(io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes));
    }
    let kind = fs::metadata(path).ok()?.file_type();
    (!kind.is_file() && !kind.is_dir()).then(|| fs::read(path))
}

/// The files under `paths`. One named outright is read whatever its ending, and none is read twice, whatever leads to it.
fn list(paths: &[PathBuf], held: &Held, faults: &mut Vec<String>) -> Vec<Found> {
    let mut walk = Walk { found: Vec::new(), known: HashSet::new(), inside: Vec::new() };
    for path in paths {
        let metadata = if held.contains_key(path) { None } else { fs::metadata(path).ok() };
        match metadata {
            Some(metadata) if metadata.is_dir() => {
                if let Err(error) = walk.folder(path, &metadata) {
                    faults.push(format!("{}: cannot be listed: {error}", path.display()));
                }
            }
            metadata => walk.file(path.clone(), metadata),
        }
    }
    walk.found
}

struct Walk {
    found: Vec<Found>,
    known: HashSet<(u64, u64)>,
    /// The folders that lead to this one: a link may lead back into one of them.
    inside: Vec<(u64, u64)>,
}

impl Walk {
    fn file(&mut self, path: PathBuf, metadata: Option<Metadata>) {
        if metadata.as_ref().is_none_or(|metadata| self.known.insert((metadata.dev(), metadata.ino()))) {
            self.found.push(Found { path, metadata });
        }
    }

    /// Hidden entries are left out: mounted `ConfigMaps` keep their versions in them.
    fn folder(&mut self, folder: &Path, metadata: &Metadata) -> io::Result<()> {
        let identity = (metadata.dev(), metadata.ino());
        if self.inside.contains(&identity) {
            return Ok(());
        }
        let mut entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        entries.sort();
        self.inside.push(identity);
        for entry in entries {
            if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                continue;
            }
            match fs::metadata(&entry).ok() {
                Some(metadata) if metadata.is_dir() => self.folder(&entry, &metadata)?,
                metadata
                    if entry.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known)) =>
                {
                    self.file(entry, metadata);
                }
                _ => {}
            }
        }
        self.inside.pop();
        Ok(())
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
