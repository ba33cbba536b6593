//! The two secrets of the instances API, in the state folder: generated at the first start, and the same from then on.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;

use crate::state::folder::replace;

/// Name of the file.
const FILE: &str = "api-credentials";

/// What a caller must present.
pub struct ApiCredentials {
    /// Where they are, for people to read.
    pub file: PathBuf,
    /// After `User`.
    pub user: String,
    /// After `Organization`.
    pub organization: String,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file is not as it was written.
    #[error(
        "{0} must have two lines, \"user: …\" and \"organization: …\", with at least 16 characters each; correct it, or remove it to \
         have it made again"
    )]
    Damaged(PathBuf),
    /// It cannot be read or written.
    #[error("{0} cannot be used: {1}; make the folder writable and the file readable for this process")]
    Unusable(PathBuf, #[source] io::Error),
}

impl ApiCredentials {
    /// Reads them from the state folder, or makes them there, readable for their owner alone.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn open(state: &Path) -> Result<Self, CredentialsError> {
        let file = state.join(FILE);
        match fs::read_to_string(&file) {
            Ok(text) => Self::read(&file, &text).ok_or(CredentialsError::Damaged(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let [user, organization] = [(); 2].map(|()| BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>()));
                let text = format!("user: {user}\norganization: {organization}\n");
                replace(&file, text.as_bytes()).map_err(|error| CredentialsError::Unusable(file.clone(), error))?;
                Ok(Self { file, user, organization })
            }
            Err(error) => Err(CredentialsError::Unusable(file, error)),
        }
    }

    /// Short ones could be guessed.
    fn read(file: &Path, text: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
            values.next().filter(|value| value.len() >= 16).map(str::to_owned)
        };
        Some(Self { file: file.to_owned(), user: value("user")?, organization: value("organization")? })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn they_are_made_once_and_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = ApiCredentials::open(folder.path()).unwrap();
        assert_eq!((made.user.len(), made.organization.len()), (43, 43));
        assert_ne!(made.user, made.organization);
        assert_eq!(fs::metadata(&made.file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = ApiCredentials::open(folder.path()).unwrap();
        assert_eq!((again.user, again.organization), (made.user, made.organization));

        for text in ["", "user: 0123456789abcdef", "user: short\norganization: 0123456789abcdef"] {
            fs::write(&made.file, text).unwrap();
            assert!(matches!(ApiCredentials::open(folder.path()), Err(CredentialsError::Damaged(_))), "{text}");
        }
        fs::write(&made.file, "organization:  0123456789abcdef \r\nuser: fedcba9876543210\r\n").unwrap();
        assert_eq!(ApiCredentials::open(folder.path()).unwrap().user, "fedcba9876543210");
    }
}
