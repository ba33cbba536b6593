//! Blobs in a folder that several processes write: as [`super::folder`], and what one of them compares is not written by another until it
//! has written it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::blob::{Blob, PutError, Tag};
use super::folder::{Folder, absent_is_none};

/// The process that has it locked may write. Its name is none of a blob.
const LOCK: &str = ".lock";

/// A folder of folders of blobs: a `/` in a name is one in the path. Its calls wait for the disk and for other writers.
#[derive(Clone, Debug)]
pub struct SharedFolder {
    path: PathBuf,
}

impl SharedFolder {
    /// The folder at `path`, which is made with the first blob.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads a blob.
    ///
    /// # Errors
    /// The file system's.
    pub fn get(&self, name: &str) -> io::Result<Option<Blob>> {
        let (folder, file) = self.split(name);
        folder.read(file)
    }

    /// Writes a blob over the one that was `seen`; with `None`, where none is.
    ///
    /// # Errors
    /// A conflict, or the file system's.
    pub fn put(&self, name: &str, bytes: &[u8], seen: Option<&Tag>) -> Result<Tag, PutError<io::Error>> {
        let (folder, file) = self.split(name);
        make(folder.path())?;
        let lock = lock(&self.path)?;
        let written = folder.write(file, bytes, seen);
        drop(lock);
        written
    }

    /// Deletes a blob, and the folder that it leaves empty.
    ///
    /// # Errors
    /// The file system's.
    pub fn delete(&self, name: &str) -> io::Result<()> {
        let (folder, file) = self.split(name);
        absent_is_none(fs::remove_file(folder.path().join(file)))?;
        let mut emptied = folder.path().to_owned();
        // One that is not empty stays.
        while emptied != self.path && fs::remove_dir(&emptied).is_ok() && emptied.pop() {}
        Ok(())
    }

    /// Names of all blobs that begin with `folder`, which ends with `/`.
    ///
    /// # Errors
    /// The file system's.
    pub fn names_under(&self, folder: &str) -> io::Result<Vec<String>> {
        let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(name) = folders.pop() {
            let Some(entries) = absent_is_none(fs::read_dir(self.path.join(&name)))? else { continue };
            for entry in entries {
                let entry = entry?;
                let Ok(own) = entry.file_name().into_string() else { continue };
                if entry.file_type()?.is_dir() {
                    folders.push(format!("{name}{own}/"));
                } else if own != LOCK {
                    found.push(format!("{name}{own}"));
                }
            }
        }
        Ok(found)
    }

    fn split<'a>(&self, name: &'a str) -> (Folder, &'a str) {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        (Folder::new(self.path.join(folder)), file)
    }
}

fn make(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The operating system ends the lock with the process, however that ends.
fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK))?;
    file.lock()?;
    Ok(file)
}
