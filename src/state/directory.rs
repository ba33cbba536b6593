//! State in a folder: one JSON file an instance, replaced as a whole, next to it a folder with the partitions of what is large, and a lock
//! file that keeps a second process out.

mod unfinished;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use futures::executor::block_on;
use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};

use super::blob::{ListBlobs, PutError};
use super::folder::{Folder, READABLE, WRITABLE, absent_is_none, replace};
use super::head::{self, Head, Unreadable};
use super::partitions::{LoadError, Stored};
use super::{InstanceState, StateStore};
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceRef;
use crate::deliver::retry_queue::QueuedEvent;
use crate::egress::descriptors::cause_and_fix;

/// A locked state folder. The lock is the operating system's, so it ends with the process, however that ends.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    partitions: Arc<Partitions>,
    /// Instances that were deleted and whose state goes once the engine has let go of them, with their Secrets.
    leaving: Mutex<HashMap<InstanceRef, Vec<String>>>,
    _lock: File,
}

/// What is stored next to the heads, of those instances that have anything there.
#[derive(Debug, Default)]
struct Partitions(Mutex<HashMap<InstanceRef, Stored>>);

impl Partitions {
    fn all(&self) -> MutexGuard<'_, HashMap<InstanceRef, Stored>> {
        self.0.lock()
    }
}

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the state folder {0} is in use by another process; stop that one, or give this one a folder of its own with --state"
    )]
    InUse(PathBuf),
    /// It cannot be created or written.
    #[error("the state folder {0} cannot be used: {1}; --state must name a folder that can be written")]
    Unusable(PathBuf, #[source] io::Error),
}

impl Directory {
    /// Opens and locks a folder, and makes it if needed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let unusable = |error| OpenError::Unusable(path.to_owned(), error);
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {
                unfinished::remove_half_written(path).map_err(unusable)?;
                Ok(Self { path: path.to_owned(), partitions: Arc::default(), leaving: Mutex::default(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, instance: &InstanceRef) -> PathBuf {
        self.file_of(&instance.namespace, &instance.name, "json")
    }

    pub(super) fn file_of(&self, namespace: &str, name: &str, ending: &str) -> PathBuf {
        file_of(&self.path, namespace, name, ending)
    }

    fn folder(&self, instance: &InstanceRef) -> Folder {
        partitions_of(&self.path, instance)
    }

    /// Uid and identity of an instance that has a state.
    ///
    /// # Errors
    /// As [`StateStore::load`].
    pub fn ids(&self, instance: &InstanceRef) -> Result<Option<(String, String)>, Problem> {
        let head = read_head(&self.file(instance))?;
        Ok(head.map(|Head { state, .. }| (state.uid.clone(), state.identity().to_owned())))
    }

    /// The events that wait in the retry queues of an instance.
    ///
    /// # Errors
    /// As [`StateStore::load`].
    pub fn queued(&self, instance: &InstanceRef) -> Result<Vec<QueuedEvent>, Problem> {
        let head = read_head(&self.file(instance))?;
        Ok(head.map_or_else(Vec::new, |Head { state, .. }| state.sinks.queued().cloned().collect()))
    }
}

impl StateStore for Directory {
    fn load(&self, instance: &InstanceRef) -> Result<Option<InstanceState>, Problem> {
        let (state, stored) = match block_on(load(&self.path, instance))? {
            Some((state, stored)) => (Some(state), stored),
            None => (None, Stored::unknown()),
        };
        // Most have none.
        if self.folder(instance).path().exists() {
            self.partitions.all().insert(instance.clone(), stored);
        }
        Ok(state)
    }

    fn save<'a>(&'a self, instance: &'a InstanceRef, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>> {
        let (file, folder) = (self.file(instance), self.folder(instance));
        let (key, partitions) = (instance.clone(), Arc::clone(&self.partitions));
        Box::pin(async move {
            let saved = tokio::task::spawn_blocking(move || {
                let known = partitions.all().remove(&key);
                let (stored, written) = write(&file, &folder, replace, known, state);
                match stored {
                    Some(stored) if stored.is_of_use() => drop(partitions.all().insert(key, stored)),
                    // It is empty, or the next start sees that it is not.
                    Some(_) => drop(fs::remove_dir(folder.path())),
                    None => {}
                }
                written.map_err(|error| unwritable(&file, &error))
            })
            .await;
            saved.unwrap_or_else(|_| {
                Err(Problem::transient(
                    Reason::InternalError,
                    "saving the state ended unexpectedly; please report this with the log",
                ))
            })
        })
    }

    fn release(&self, instance: &InstanceRef) {
        self.partitions.all().remove(instance);
    }

    fn removed(&self, instance: &InstanceRef) {
        self.let_go(instance);
    }
}

/// A file of a state folder. A namespace is a DNS label, so the first dot is unambiguous, and so is the last.
pub(super) fn file_of(folder: &Path, namespace: &str, name: &str, ending: &str) -> PathBuf {
    folder.join(format!("{namespace}.{name}.{ending}"))
}

/// Partitions of an instance's known sets.
fn partitions_of(folder: &Path, instance: &InstanceRef) -> Folder {
    Folder::new(file_of(folder, &instance.namespace, &instance.name, "known"))
}

/// Reads the state of an instance out of a state folder.
pub(super) async fn load(folder: &Path, instance: &InstanceRef) -> Result<Option<(InstanceState, Stored)>, Problem> {
    let file = file_of(folder, &instance.namespace, &instance.name, "json");
    let Some(Head { mut state, generation, places }) = read_head(&file)? else { return Ok(None) };
    let partitions = partitions_of(folder, instance);
    let loaded = Stored::load(&partitions, &mut state, generation, &places).await;
    let stored = loaded.map_err(|error| unreadable_partition(&file, &partitions, &error))?;
    Ok(Some((state, stored)))
}

/// Writes the partitions that changed and then the head. Answers, too, what is known of the partitions from now on.
fn write<S: ListBlobs<Error = io::Error>>(
    file: &Path,
    blobs: &S,
    replace: impl Fn(&Path, &[u8]) -> io::Result<()>,
    known: Option<Stored>,
    mut state: InstanceState,
) -> (Option<Stored>, io::Result<()>) {
    let is_known = known.is_some();
    let mut stored = known.unwrap_or_else(Stored::unknown);
    let large = stored.take_large(&mut state);
    if large.is_empty() && !is_known {
        let head = head::write(&state, 0, &BTreeMap::new()).map_err(io::Error::from);
        return (None, head.and_then(|head| replace(file, &head)));
    }
    let begun = match block_on(stored.write(blobs, &large)) {
        Ok(begun) => begun,
        Err(PutError::Failed(error)) => return (Some(stored), Err(error)),
        // Another process is at work in the folder: its content is read again.
        Err(PutError::Conflict) => return (None, Err(io::ErrorKind::AlreadyExists.into())),
    };
    let head = match head::write(&state, stored.generation(), &begun.places()) {
        Ok(head) => head,
        Err(error) => {
            block_on(stored.withdraw(blobs, begun));
            return (Some(stored), Err(error.into()));
        }
    };
    let written = replace(file, &head);
    match &written {
        Ok(()) => block_on(stored.confirm(blobs, begun, Instant::now())),
        Err(_) if matches!(absent_is_none(fs::read(file)), Ok(there) if there.as_ref() != Some(&head)) => {
            block_on(stored.withdraw(blobs, begun));
        }
        // It is there, and what it names must stay; or its state is unknown.
        Err(_) => stored.keep(begun, Instant::now()),
    }
    (Some(stored), written)
}

fn read_head(file: &Path) -> Result<Option<Head>, Problem> {
    let shown = file.display();
    let bytes = absent_is_none(fs::read(file)).map_err(|error| unreadable(file, &error))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let head = head::read(&bytes).map_err(|error| match error {
        Unreadable::Damaged => Problem::human(
            Reason::StateUnavailable,
            format!(
                "the state file {shown} is damaged; put back a copy, or move the file away to start again (then spec.polling.startFrom decides what is sent)"
            ),
        ),
        Unreadable::Newer => newer(file),
    })?;
    Ok(Some(head))
}

fn unreadable(file: &Path, error: &io::Error) -> Problem {
    Problem::transient(
        Reason::StateUnavailable,
        format!("the state file {} cannot be read: {}", file.display(), cause_and_fix(error, READABLE)),
    )
}

fn newer(file: &Path) -> Problem {
    Problem::human(
        Reason::StateUnavailable,
        format!(
            "the state file {} was written by a newer version of Pollinator; run that version or a newer one",
            file.display()
        ),
    )
}

fn unreadable_partition(head: &Path, folder: &Folder, error: &LoadError<io::Error>) -> Problem {
    match error {
        LoadError::Damaged(name) => Problem::human(
            Reason::StateUnavailable,
            format!(
                "the state file {} is damaged or missing; put back a copy of {} and of the folder, or move both away to start again (then spec.polling.startFrom decides what is sent)",
                folder.path().join(name).display(),
                head.display()
            ),
        ),
        LoadError::Newer(name) => newer(&folder.path().join(name)),
        LoadError::Failed(error) => unreadable(folder.path(), error),
    }
}

fn unwritable(file: &Path, error: &io::Error) -> Problem {
    Problem::transient(
        Reason::StateUnavailable,
        format!("the state file {} cannot be written: {}", file.display(), cause_and_fix(error, WRITABLE)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::FORMAT;

    fn keap() -> InstanceRef {
        InstanceRef::new("crm", "keap")
    }

    fn save(store: &Directory, state: InstanceState) -> Result<(), Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.save(&keap(), state))
    }

    #[test]
    fn keeps_what_was_saved_and_nothing_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        assert_eq!(store.load(&keap()).unwrap(), None);
        let state = InstanceState::new("u-1".into());
        save(&store, state.clone()).unwrap();
        assert_eq!(store.load(&keap()).unwrap(), Some(state));
    }

    #[test]
    fn refuses_a_second_process_and_lets_go_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let first = Directory::open(folder.path()).unwrap();
        assert!(matches!(Directory::open(folder.path()), Err(OpenError::InUse(_))));
        drop(first);
        assert!(Directory::open(folder.path()).is_ok());
    }

    #[test]
    fn a_damaged_file_is_never_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        save(&store, InstanceState::new("u-1".into())).unwrap();
        let file = folder.path().join("crm.keap.json");
        let whole = fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            fs::write(&file, &whole[..cut]).unwrap();
            let problem = store.load(&keap()).unwrap_err();
            assert_eq!(problem.reason, Reason::StateUnavailable, "cut at {cut}");
            assert!(problem.message.contains("start again"), "{}", problem.message);
        }
    }

    #[test]
    fn a_newer_form_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        save(&store, InstanceState { format: FORMAT + 1, ..InstanceState::new("u-1".into()) }).unwrap();
        assert!(store.load(&keap()).unwrap_err().message.contains("newer version"));
    }

    #[test]
    fn a_failed_save_leaves_the_old_state() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        let old = InstanceState::new("u-1".into());
        save(&store, old.clone()).unwrap();
        // A folder in the place of the new file makes the write fail, for root too.
        fs::create_dir(folder.path().join("crm.keap.json.new")).unwrap();
        let problem = save(&store, InstanceState::new("u-2".into())).unwrap_err();
        assert_eq!(problem.reason, Reason::StateUnavailable);
        assert_eq!(store.load(&keap()).unwrap(), Some(old));
    }
}

#[cfg(test)]
#[path = "crash_tests.rs"]
mod crash_tests;
