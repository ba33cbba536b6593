//! Tokens in the state folder: one file an instance, beside its state, for the owner's eyes alone.

use std::io;
use std::path::Path;

use futures::future::BoxFuture;
use xxhash_rust::xxh3::xxh3_128;

use super::directory::{Directory, replace};
use crate::api::conditions::{Problem, Reason};
use crate::auth::oauth2::store::{Owner, SaveFailure, TokenStore, Version};
use crate::auth::oauth2::stored::{FORMAT, StoredTokens};

/// Ending of a file with tokens; no state ends so.
const ENDING: &str = "oauth-token";

impl TokenStore for Directory {
    fn load<'a>(&'a self, owner: &'a Owner) -> BoxFuture<'a, Result<(Option<StoredTokens>, Version), Problem>> {
        let file = self.file_of(&owner.namespace, &owner.name, ENDING);
        Box::pin(async move { blocking(move || read(&file)).await? })
    }

    fn save<'a>(
        &'a self,
        owner: &'a Owner,
        tokens: &'a StoredTokens,
        seen: &'a Version,
    ) -> BoxFuture<'a, Result<Version, SaveFailure>> {
        let file = self.file_of(&owner.namespace, &owner.name, ENDING);
        Box::pin(async move {
            let content = serde_json::to_vec(tokens).map_err(|error| unwritable(&file, &error.into()))?;
            let seen = seen.clone();
            let written = blocking(move || {
                // The folder is this process's alone: between the look and the write only a person could step in.
                match std::fs::read(&file) {
                    Ok(bytes) if seen != version(&bytes) => return Err(SaveFailure::Conflict),
                    Err(error) if error.kind() == io::ErrorKind::NotFound && seen == Version::default() => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SaveFailure::Conflict),
                    Err(error) => return Err(unwritable(&file, &error)),
                    Ok(_) => {}
                }
                replace(&file, &content).map_err(|error| unwritable(&file, &error))?;
                Ok(version(&content))
            });
            written.await.map_err(SaveFailure::Failed)?
        })
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn place(&self, owner: &Owner) -> String {
        format!("file {}", self.file_of(&owner.namespace, &owner.name, ENDING).display())
    }
}

fn read(file: &Path) -> Result<(Option<StoredTokens>, Version), Problem> {
    let shown = file.display();
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, Version::default())),
        Err(error) => {
            return Err(Problem::transient(
                Reason::StateUnavailable,
                format!("the token file {shown} cannot be read: {}; make it readable for this process", error.kind()),
            ));
        }
    };
    let tokens: StoredTokens = serde_json::from_slice(&bytes).map_err(|_| {
        Problem::human(
            Reason::StateUnavailable,
            format!(
                "the token file {shown} is damaged; put back a copy, or remove it and store a new refresh_token or code in the Secret"
            ),
        )
    })?;
    if tokens.format > FORMAT {
        return Err(Problem::human(
            Reason::StateUnavailable,
            format!("the token file {shown} was written by a newer version of Pollinator; run that version or a newer one"),
        ));
    }
    Ok((Some(tokens), version(&bytes)))
}

fn version(bytes: &[u8]) -> Version {
    Version(Some(format!("{:032x}", xxh3_128(bytes))))
}

fn unwritable(file: &Path, error: &io::Error) -> SaveFailure {
    SaveFailure::Failed(Problem::transient(
        Reason::StateUnavailable,
        format!("the token file {} cannot be written: {}; make room or make the folder writable", file.display(), error.kind()),
    ))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Problem::transient(
            Reason::InternalError,
            "reading or writing tokens ended unexpectedly; please report this with the log",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { namespace: "crm".into(), name: "keap".into(), uid: "u".into() }
    }

    #[tokio::test]
    async fn what_was_saved_is_read_and_an_older_view_saves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        assert_eq!(store.load(&owner()).await.unwrap(), (None, Version::default()));
        let mut tokens = StoredTokens::new("salt");
        let first = store.save(&owner(), &tokens, &Version::default()).await.unwrap();
        assert_eq!(store.save(&owner(), &tokens, &Version::default()).await, Err(SaveFailure::Conflict));
        tokens.refresh_token = Some("r2".into());
        let second = store.save(&owner(), &tokens, &first).await.unwrap();
        assert_eq!(store.save(&owner(), &StoredTokens::new("x"), &first).await, Err(SaveFailure::Conflict));
        assert_eq!(store.load(&owner()).await.unwrap(), (Some(tokens.clone()), second.clone()));
        let file = folder.path().join("crm.keap.oauth-token");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        // somebody took it away meanwhile
        std::fs::remove_file(&file).unwrap();
        assert_eq!(store.save(&owner(), &tokens, &second).await, Err(SaveFailure::Conflict));
    }

    #[tokio::test]
    async fn a_damaged_or_newer_file_is_never_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        let newer = StoredTokens { format: FORMAT + 1, ..StoredTokens::new("s") };
        store.save(&owner(), &newer, &Version::default()).await.unwrap();
        assert!(store.load(&owner()).await.unwrap_err().message.contains("newer version"));
        let file = folder.path().join("crm.keap.oauth-token");
        let whole = std::fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            assert!(store.load(&owner()).await.unwrap_err().message.contains("damaged"), "cut at {cut}");
        }
    }
}
