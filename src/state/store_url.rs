//! The address of a store for large known sets, as `--state-store` names it. Pure.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `file:///ABS/PATH`: a folder that every replica mounts.
    Folder(PathBuf),
    /// A bucket of a cloud.
    Bucket(BucketUrl),
}

/// A bucket, and the folder in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketUrl {
    /// Whose.
    pub cloud: Cloud,
    /// Its name.
    pub bucket: String,
    /// What the names of all objects begin with, without `/` at either end; may be empty.
    pub prefix: String,
}

/// Who keeps the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// `s3://`: Amazon S3, and servers that speak its protocol.
    S3,
    /// `gs://`: Google Cloud Storage.
    Google,
    /// `az://`: Azure Blob Storage.
    Azure,
}

impl Cloud {
    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

/// Why a text is not the address of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// It has another form.
    #[error("must be s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///ABSOLUTE/PATH")]
    Form,
    /// It has more than a place.
    #[error(
        "must name a place only; remove user, password, query and fragment, and give credentials as the cloud's own tools do"
    )]
    TooMuch,
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let url = Url::parse(text).map_err(|_| StoreUrlError::Form)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(StoreUrlError::TooMuch);
        }
        let cloud = match url.scheme() {
            "file" if url.path().len() > 1 => {
                return url.to_file_path().map(Self::Folder).map_err(|()| StoreUrlError::Form);
            }
            "s3" => Cloud::S3,
            "gs" => Cloud::Google,
            "az" => Cloud::Azure,
            _ => return Err(StoreUrlError::Form),
        };
        let bucket = url.host_str().filter(|_| url.port().is_none()).ok_or(StoreUrlError::Form)?;
        let prefix = url.path().trim_matches('/');
        // An escape would be another name in the bucket than the one that was meant.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if !prefix.bytes().all(is_plain) || prefix.contains("//") {
            return Err(StoreUrlError::Form);
        }
        Ok(Self::Bucket(BucketUrl { cloud, bucket: bucket.to_owned(), prefix: prefix.to_owned() }))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file://{}", path.display()),
            Self::Bucket(BucketUrl { cloud, bucket, prefix }) => write!(f, "{}://{bucket}/{prefix}", cloud.scheme()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_the_four_kinds_are_read() {
        let bucket = |cloud, bucket: &str, prefix: &str| {
            StoreUrl::Bucket(BucketUrl { cloud, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        };
        for (text, wanted) in [
            ("s3://acme-state/pollinator/eu", bucket(Cloud::S3, "acme-state", "pollinator/eu")),
            ("gs://acme_state/", bucket(Cloud::Google, "acme_state", "")),
            ("az://state/p/", bucket(Cloud::Azure, "state", "p")),
            ("file:///var/lib/pollinator", StoreUrl::Folder("/var/lib/pollinator".into())),
        ] {
            let read: StoreUrl = text.parse().unwrap();
            assert_eq!(read, wanted, "{text}");
            assert_eq!(read.to_string().parse(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_form() {
        for text in [
            "",
            "bucket",
            "s3://",
            "s3:///p",
            "s3://b:9/p",
            "s3://b/a%20b",
            "s3://b/a//b",
            "http://b/p",
            "file:///",
            "file://host/p",
        ] {
            assert_eq!(text.parse::<StoreUrl>(), Err(StoreUrlError::Form), "{text}");
        }
        for text in ["s3://key:secret@b/p", "s3://b/p?region=eu", "file:///p#x"] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            assert_eq!(error, StoreUrlError::TooMuch, "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
