//! A state folder as others read it while it is in use: without its lock, and without a change.
//!
//! That is sound because a head is replaced as a whole and what it named stays for a while (see [`super::partitions`]).

use std::fs;
use std::io;
use std::path::Path;

use futures::executor::block_on;

use super::InstanceState;
use super::directory;
use crate::api::conditions::Problem;
use crate::api::identity::InstanceRef;
use crate::api::names;

/// The state of one instance; `None` when there is none.
///
/// # Errors
/// As [`super::StateStore::load`].
pub fn read(folder: &Path, instance: &InstanceRef) -> Result<Option<InstanceState>, Problem> {
    let loaded = block_on(directory::load(folder, instance))?;
    Ok(loaded.map(|(state, _)| state))
}

/// The instances that have a state there, in the order of their names.
///
/// # Errors
/// The folder cannot be read.
pub fn instances(folder: &Path) -> io::Result<Vec<InstanceRef>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        if let Some(instance) = entry?.file_name().to_str().and_then(instance_of) {
            found.push(instance);
        }
    }
    found.sort();
    Ok(found)
}

/// The instance whose head has this name.
fn instance_of(file: &str) -> Option<InstanceRef> {
    let (namespace, name) = file.strip_suffix(".json")?.split_once('.')?;
    (names::is_label(namespace) && names::is_subdomain(name)).then(|| InstanceRef::new(namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_heads_are_states() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["crm.keap.eu.json", "a.b.json", "api-credentials", "crm.keap.known", "a.b.json.new", "lock", "B.b.json"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        assert_eq!(instances(folder.path()).unwrap(), [InstanceRef::new("a", "b"), InstanceRef::new("crm", "keap.eu")]);
        assert!(directory::file_of(folder.path(), "crm", "keap.eu", "json").exists());
        assert!(instances(&folder.path().join("absent")).is_err());
    }
}
