//! State in a folder: one JSON file an instance, replaced as a whole, and a lock file that keeps a second process out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;

use super::{FORMAT, InstanceState, StateStore};
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceRef;

/// A locked state folder. The lock is the operating system's, so it ends with the process, however that ends.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _lock: File,
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
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
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

    /// A namespace is a DNS label, so the first dot is unambiguous, and so is the last.
    pub(super) fn file_of(&self, namespace: &str, name: &str, ending: &str) -> PathBuf {
        self.path.join(format!("{namespace}.{name}.{ending}"))
    }
}

impl StateStore for Directory {
    fn load(&self, instance: &InstanceRef) -> Result<Option<InstanceState>, Problem> {
        let file = self.file(instance);
        let shown = file.display();
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Problem::transient(
                    Reason::StateUnavailable,
                    format!("the state file {shown} cannot be read: {}; make it readable for this process", error.kind()),
                ));
            }
        };
        let state: InstanceState = serde_json::from_slice(&bytes).map_err(|_| {
            Problem::human(
                Reason::StateUnavailable,
                format!(
                    "the state file {shown} is damaged; put back a copy, or move the file away to start afresh (then spec.polling.startFrom decides what is sent)"
                ),
            )
        })?;
        if state.format > FORMAT {
            return Err(Problem::human(
                Reason::StateUnavailable,
                format!("the state file {shown} was written by a newer version of Pollinator; run that version or a newer one"),
            ));
        }
        Ok(Some(state))
    }

    fn save<'a>(&'a self, instance: &'a InstanceRef, state: InstanceState) -> BoxFuture<'a, Result<(), Problem>> {
        let file = self.file(instance);
        Box::pin(async move {
            let saved = tokio::task::spawn_blocking(move || {
                let written = serde_json::to_vec(&state).map_err(io::Error::from).and_then(|json| replace(&file, &json));
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
}

fn unwritable(file: &Path, error: &io::Error) -> Problem {
    Problem::transient(
        Reason::StateUnavailable,
        format!("the state file {} cannot be written: {}; make room or make the folder writable", file.display(), error.kind()),
    )
}

/// Writes beside the file, makes that durable, and renames: a crash leaves the old or the new state, never half of one.
pub(crate) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = (|| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&beside)?;
        out.write_all(content)?;
        out.sync_all()?;
        fs::rename(&beside, file)?;
        match file.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    })();
    if written.is_err() {
        // A half-written neighbour is of no use; the error that matters is the first one.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(problem.message.contains("start afresh"), "{}", problem.message);
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
