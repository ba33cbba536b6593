//! Instances that are created and deleted while the process runs: each change is noted before it is made, so that the next start ends what
//! a process did not live to end.
//!
//! ```text
//!   creation:  note, state, manifest, note removed        deletion:  note, manifest removed, state removed, note removed
//! ```
//!
//! So next to a note stands the manifest of an instance that is there, or a state that is of no use to any.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Directory, read_head, unwritable};
use crate::api::conditions::Problem;
use crate::api::identity::{InstanceRef, SecretRef};
use crate::auth::oauth2::store::TokenPlace;
use crate::state::folder::replace;
use crate::state::{InstanceState, head, token_file};

/// Ending of a note, which has the names of the Secrets that come and go with the instance.
const NOTE: &str = "deleted";

impl Directory {
    /// Begins the state of a new instance under a uid, with nothing left of one that had the name, or of tokens for `secrets`. Its manifest
    /// is to follow, and then [`Self::confirm`] or [`Self::erase`].
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin<'a>(
        &self,
        instance: &InstanceRef,
        uid: String,
        secrets: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), Problem> {
        self.erase(instance, secrets.clone());
        let (note, file) = (self.note(instance), self.file(instance));
        replace(&note, text(secrets.clone()).as_bytes()).map_err(|error| unwritable(&note, &error))?;
        let head = head::write(&InstanceState::new(uid), 0, &BTreeMap::new()).map_err(io::Error::from);
        let written = head.and_then(|head| replace(&file, &head)).map_err(|error| unwritable(&file, &error));
        written.inspect_err(|_| self.erase(instance, secrets))
    }

    /// The manifest of the instance is there: its state is in use.
    pub fn confirm(&self, instance: &InstanceRef) {
        let note = self.note(instance);
        warn_unless_gone(&note, fs::remove_file(&note));
    }

    /// The manifest of the instance is about to be removed; then comes [`Self::forget`], or [`Self::confirm`] if that fails.
    pub fn leave(&self, instance: &InstanceRef, secrets: &[String]) {
        let note = self.note(instance);
        // A full disk does not keep anyone from deleting.
        if let Err(error) = replace(&note, text(names(secrets)).as_bytes()) {
            tracing::warn!(
                "{} cannot be written: {error}; if the process ends now, remove the state of {instance}",
                note.display()
            );
        }
    }

    /// The state of an instance is of no use any more, nor are the tokens of the Secrets that came with it. They go at once, or, while
    /// the engine has the instance, when it lets go of it, or at the next start if the process ends before.
    pub fn forget(&self, instance: &InstanceRef, secrets: Vec<String>, is_running: bool) {
        if is_running {
            self.leaving.lock().insert(instance.clone(), secrets);
        } else {
            self.erase(instance, names(&secrets));
        }
    }

    /// Whether it was forgotten while the engine still has it.
    pub fn is_leaving(&self, instance: &InstanceRef) -> bool {
        self.leaving.lock().contains_key(instance)
    }

    /// The engine has let go of an instance.
    pub(super) fn let_go(&self, instance: &InstanceRef) {
        let leaving = self.leaving.lock().remove(instance);
        if let Some(secrets) = leaving {
            self.erase(instance, names(&secrets));
        }
    }

    /// Ends the creations and deletions that an earlier process has begun. `is_there` says whether an instance is declared: with the identity
    /// that its state has, or at all where its state has none that can be read.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn end_unfinished(&self, is_there: impl Fn(&InstanceRef, Option<&str>) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.and_then(|name| name.strip_suffix(NOTE)?.strip_suffix('.'));
            let Some((namespace, name)) = name.and_then(|name| name.split_once('.')) else { continue };
            let instance = InstanceRef::new(namespace, name);
            let head = read_head(&self.file(&instance)).ok().flatten();
            if is_there(&instance, head.as_ref().map(|head| head.state.identity())) {
                self.confirm(&instance);
            } else {
                let secrets: Vec<String> = serde_json::from_slice(&fs::read(&path)?).unwrap_or_default();
                self.erase(&instance, names(&secrets));
            }
        }
        Ok(())
    }

    /// Removes all that is kept of an instance, and at last the note that it is to go.
    pub fn erase<'a>(&self, instance: &InstanceRef, secrets: impl Iterator<Item = &'a str>) {
        self.partitions.all().remove(instance);
        let tokens = secrets.map(|name| SecretRef::new(Arc::clone(&instance.namespace), name));
        let tokens = tokens.map(|secret| token_file::file(self, &TokenPlace::Secret(secret)));
        for file in tokens.chain([self.file(instance)]) {
            warn_unless_gone(&file, fs::remove_file(&file));
        }
        let folder = self.folder(instance);
        warn_unless_gone(folder.path(), fs::remove_dir_all(folder.path()));
        self.confirm(instance);
    }

    fn note(&self, instance: &InstanceRef) -> PathBuf {
        self.file_of(&instance.namespace, &instance.name, NOTE)
    }
}

/// Removes files of instances and tokens that an earlier process had not written to their ends.
pub(super) fn remove_half_written(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".new"));
        let ending = file.and_then(|file| file.rsplit_once('.')).map(|(_, ending)| ending);
        if ending.is_some_and(|ending| ["json", NOTE].contains(&ending) || token_file::ENDINGS.contains(&ending)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn names(secrets: &[String]) -> impl Iterator<Item = &str> {
    secrets.iter().map(String::as_str)
}

fn text<'a>(secrets: impl Iterator<Item = &'a str>) -> String {
    serde_json::json!(secrets.collect::<Vec<_>>()).to_string()
}

/// What is left behind does no harm: a new instance of the name still begins without state.
fn warn_unless_gone(path: &Path, removed: io::Result<()>) {
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("{} of a deleted instance could not be removed: {error}; remove it", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateStore as _;

    fn keap() -> InstanceRef {
        InstanceRef::new("crm", "keap")
    }

    fn save(store: &Directory, state: InstanceState) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.save(&keap(), state)).unwrap();
    }

    /// Another process opens the folder, in which the instance is declared with an identity, or not at all. What is in it then?
    fn next(folder: &Path, declared: Option<&str>) -> Vec<String> {
        let store = Directory::open(folder).unwrap();
        let is_there = |of: &InstanceRef, identity: Option<&str>| {
            *of == keap() && declared.is_some_and(|declared| identity.is_none_or(|identity| identity == declared))
        };
        store.end_unfinished(is_there).unwrap();
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_deletion_that_the_process_did_not_live_to_end_is_ended_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        let token = token_file::file(&store, &TokenPlace::Secret(SecretRef::new("crm", "keap-oauth")));
        save(&store, InstanceState::new("u-1".into()));
        fs::write(&token, "{}").unwrap();
        fs::create_dir(folder.path().join("crm.keap.known")).unwrap();
        for half in ["crm.shop.json.new", "crm.shop.deleted.new", "crm.shop.oauth-tokens.new"] {
            fs::write(folder.path().join(half), "{").unwrap();
        }
        let secrets = vec!["keap-oauth".to_owned()];
        store.leave(&keap(), &secrets);
        store.forget(&keap(), secrets, true);
        assert!(store.load(&keap()).unwrap().is_some(), "the engine still has it");
        drop(store);
        assert_eq!(next(folder.path(), None), ["lock"]);
        // One that came to its end leaves nothing, and a new one of the name has nothing to fear.
        let store = Directory::open(folder.path()).unwrap();
        save(&store, InstanceState::new("u-2".into()));
        store.leave(&keap(), &[]);
        store.forget(&keap(), Vec::new(), true);
        store.removed(&keap());
        save(&store, InstanceState::new("u-3".into()));
        drop(store);
        assert_eq!(next(folder.path(), None), ["crm.keap.json", "lock"]);
        assert_eq!(Directory::open(folder.path()).unwrap().load(&keap()).unwrap().unwrap().uid, "u-3");
    }

    #[test]
    fn what_a_process_has_only_begun_is_kept_where_the_manifest_is_and_else_removed() {
        let folder = tempfile::tempdir().unwrap();
        let begin = |uid: &str| {
            let store = Directory::open(folder.path()).unwrap();
            store.begin(&keap(), uid.to_owned(), ["keap-oauth"].into_iter()).unwrap();
        };
        begin("u-1");
        assert_eq!(next(folder.path(), None), ["lock"], "no manifest was written");
        begin("u-1");
        assert_eq!(next(folder.path(), Some("u-1")), ["crm.keap.json", "lock"], "only the note was left");
        assert_eq!(next(folder.path(), None), ["crm.keap.json", "lock"], "what nothing was begun with is left alone");
        // a deletion that has not reached the manifest
        Directory::open(folder.path()).unwrap().leave(&keap(), &[]);
        assert_eq!(next(folder.path(), Some("u-1")), ["crm.keap.json", "lock"]);
        // the manifest is of another one of the name
        Directory::open(folder.path()).unwrap().leave(&keap(), &[]);
        assert_eq!(next(folder.path(), Some("u-2")), ["lock"]);
        // what cannot be read is kept as long as a manifest may need it
        fs::write(folder.path().join("crm.keap.json"), "{").unwrap();
        Directory::open(folder.path()).unwrap().leave(&keap(), &[]);
        assert_eq!(next(folder.path(), Some("u-1")), ["crm.keap.json", "lock"]);
    }
}
