//! Tokens in the state folder: one file for each Secret, next to the state of instances, readable for its owner alone.

use std::io;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use xxhash_rust::xxh3::xxh3_128;

use super::directory::Directory;
use super::folder::{READABLE, WRITABLE, replace};
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::{InstanceId, InstanceRef, SecretRef};
use crate::auth::oauth2::store::{SaveFailure, TokenPlace, TokenStore, Version};
use crate::auth::oauth2::stored::{FORMAT, StoredTokens};
use crate::egress::descriptors::cause_and_fix;

/// Endings of files with tokens: of a Secret, and of an instance as version 0.1.0 kept them. No state ends so.
const OF_SECRET: &str = "oauth-tokens";
const OF_INSTANCE: &str = "oauth-token";
/// How the names of all files with tokens end.
pub(super) const ENDINGS: [&str; 2] = [OF_SECRET, OF_INSTANCE];

pub(super) fn file(folder: &Directory, place: &TokenPlace) -> PathBuf {
    match place {
        TokenPlace::Secret(secret) => folder.file_of(&secret.namespace, &secret.name, OF_SECRET),
        TokenPlace::Instance(instance) => folder.file_of(instance.namespace(), instance.name(), OF_INSTANCE),
    }
}

/// The place whose file has this name.
fn place(file: &str) -> Option<TokenPlace> {
    let (rest, ending) = file.rsplit_once('.')?;
    let (namespace, name) = rest.split_once('.').map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))?;
    match ending {
        OF_SECRET => Some(TokenPlace::Secret(SecretRef::new(namespace, name))),
        // A folder knows an instance by its name alone.
        OF_INSTANCE => Some(TokenPlace::Instance(InstanceId::new(InstanceRef::new(namespace, name), ""))),
        _ => None,
    }
}

impl TokenStore for Directory {
    fn load<'a>(&'a self, place: &'a TokenPlace) -> BoxFuture<'a, Result<(Option<StoredTokens>, Version), Problem>> {
        let file = file(self, place);
        Box::pin(async move { blocking(move || read(&file)).await? })
    }

    fn save<'a>(
        &'a self,
        place: &'a TokenPlace,
        _user: &'a InstanceId,
        tokens: &'a StoredTokens,
        seen: &'a Version,
    ) -> BoxFuture<'a, Result<Version, SaveFailure>> {
        let file = file(self, place);
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

    /// All of the folder: it holds no more than a process polls.
    fn related<'a>(&'a self, _secret: &'a SecretRef, _user: &'a InstanceId) -> BoxFuture<'a, Result<Vec<TokenPlace>, Problem>> {
        let folder = self.path().to_owned();
        Box::pin(async move {
            let listed = blocking(move || -> io::Result<Vec<_>> {
                let entries = std::fs::read_dir(&folder)?.collect::<io::Result<Vec<_>>>()?;
                Ok(entries.iter().filter_map(|entry| place(entry.file_name().to_str()?)).collect())
            });
            listed.await?.map_err(|error| {
                Problem::transient(
                    Reason::StateUnavailable,
                    format!("the state folder cannot be listed: {}", cause_and_fix(&error, READABLE)),
                )
            })
        })
    }

    fn name(&self, place: &TokenPlace) -> String {
        format!("file {}", file(self, place).display())
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
                format!("the token file {shown} cannot be read: {}", cause_and_fix(&error, READABLE)),
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
    Version { number: Some(format!("{:032x}", xxh3_128(bytes))), ..Version::default() }
}

fn unwritable(file: &Path, error: &io::Error) -> SaveFailure {
    SaveFailure::Failed(Problem::transient(
        Reason::StateUnavailable,
        format!("the token file {} cannot be written: {}", file.display(), cause_and_fix(error, WRITABLE)),
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

    fn user() -> InstanceId {
        InstanceId::new(InstanceRef::new("crm", "keap.eu"), "u")
    }

    fn of_secret() -> TokenPlace {
        TokenPlace::Secret(SecretRef::new("crm", "oauth"))
    }

    #[tokio::test]
    async fn every_place_is_found_by_its_file_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        let of_instance = TokenPlace::Instance(InstanceId { uid: "".into(), ..user() });
        for place in [of_secret(), of_instance.clone()] {
            store.save(&place, &user(), &StoredTokens::new("s"), &Version::default()).await.unwrap();
        }
        for other in ["crm.keap.json", "crm.oauth.oauth-tokens.new", "oauth-tokens"] {
            std::fs::write(folder.path().join(other), "").unwrap();
        }
        let secret = SecretRef::new("crm", "oauth");
        let mut found = store.related(&secret, &user()).await.unwrap();
        found.sort_by_key(|place| store.name(place));
        assert_eq!(found, [of_instance, of_secret()]);
    }

    #[tokio::test]
    async fn what_was_saved_is_read_and_an_older_view_saves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        assert_eq!(store.load(&of_secret()).await.unwrap(), (None, Version::default()));
        let mut tokens = StoredTokens::new("salt");
        let first = store.save(&of_secret(), &user(), &tokens, &Version::default()).await.unwrap();
        assert_eq!(store.save(&of_secret(), &user(), &tokens, &Version::default()).await, Err(SaveFailure::Conflict));
        tokens.refresh_token = Some("r2".into());
        let second = store.save(&of_secret(), &user(), &tokens, &first).await.unwrap();
        assert_eq!(store.save(&of_secret(), &user(), &StoredTokens::new("x"), &first).await, Err(SaveFailure::Conflict));
        assert_eq!(store.load(&of_secret()).await.unwrap(), (Some(tokens.clone()), second.clone()));
        let file = folder.path().join("crm.oauth.oauth-tokens");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        // another process removed it meanwhile
        std::fs::remove_file(&file).unwrap();
        assert_eq!(store.save(&of_secret(), &user(), &tokens, &second).await, Err(SaveFailure::Conflict));
    }

    #[tokio::test]
    async fn a_damaged_or_newer_file_is_never_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Directory::open(folder.path()).unwrap();
        let newer = StoredTokens { format: FORMAT + 1, ..StoredTokens::new("s") };
        store.save(&of_secret(), &user(), &newer, &Version::default()).await.unwrap();
        assert!(store.load(&of_secret()).await.unwrap_err().message.contains("newer version"));
        let file = folder.path().join("crm.oauth.oauth-tokens");
        let whole = std::fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            assert!(store.load(&of_secret()).await.unwrap_err().message.contains("damaged"), "cut at {cut}");
        }
    }
}
