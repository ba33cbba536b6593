//! Blobs in a folder: one file each, written to a temporary file, made durable, and renamed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

use xxhash_rust::xxh3::xxh3_128;

use super::blob::{Blob, BlobStore, ListBlobs, PutError, Tag};

/// Files that are made durable at the same time: a file system does many of them at once for little more than one.
const AT_ONCE: usize = 16;

/// What a person is to do when a file or folder cannot be read, and when it cannot be written.
pub(super) const READABLE: &str = "make it readable for this process";
pub(super) const WRITABLE: &str = "make room or make the folder writable";

/// A folder of blobs, made with the first of them. Its calls do not wait for anything but the disk.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, which no other process writes.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Option<Blob>> {
        let bytes = absent_is_none(fs::read(self.file(name)))?;
        Ok(bytes.map(|bytes| Blob { tag: tag(&bytes), bytes }))
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8], seen: Option<&Tag>) -> Result<Tag, PutError<io::Error>> {
        self.make()?;
        let there = match seen {
            // Only what was seen need be read.
            None => self.file(name).try_exists()?.then_some(None),
            Some(_) => self.read(name)?.map(|blob| Some(blob.tag)),
        };
        if there != seen.cloned().map(Some) {
            return Err(PutError::Conflict);
        }
        replace(&self.file(name), bytes)?;
        Ok(tag(bytes))
    }

    fn write_new(&self, blobs: &[(String, Vec<u8>)]) -> Result<(), PutError<io::Error>> {
        self.make()?;
        let write = |(name, bytes): &(String, Vec<u8>)| {
            let file = self.file(name);
            if file.try_exists()? { Err(PutError::Conflict) } else { Ok(write_beside(&file, bytes)?) }
        };
        let each = blobs.len().div_ceil(AT_ONCE).max(1);
        if blobs.len() == 1 {
            blobs.iter().try_for_each(write)?;
        } else {
            thread::scope(|scope| {
                let writers: Vec<_> =
                    blobs.chunks(each).map(|chunk| scope.spawn(move || chunk.iter().try_for_each(write))).collect();
                let ended = writers.into_iter().map(|writer| writer.join().unwrap_or(Err(PutError::Conflict)));
                ended.fold(Ok(()), Result::and)
            })?;
        }
        for (name, _) in blobs {
            let file = self.file(name);
            fs::rename(beside(&file), &file)?;
        }
        sync_folder(&self.path)?;
        Ok(())
    }

    fn make(&self) -> io::Result<()> {
        if self.path.try_exists()? {
            return Ok(());
        }
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.path)?;
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

impl BlobStore for Folder {
    type Error = io::Error;

    async fn get(&self, name: &str) -> io::Result<Option<Blob>> {
        self.read(name)
    }

    async fn put(&self, name: &str, bytes: &[u8], seen: Option<&Tag>) -> Result<Tag, PutError<io::Error>> {
        self.write(name, bytes, seen)
    }

    async fn put_new(&self, blobs: &[(String, Vec<u8>)]) -> Result<(), PutError<io::Error>> {
        if blobs.is_empty() { Ok(()) } else { self.write_new(blobs) }
    }

    async fn delete(&self, name: &str) -> io::Result<()> {
        absent_is_none(fs::remove_file(self.file(name))).map(|_| ())
    }
}

impl ListBlobs for Folder {
    /// Half-written ones, too.
    async fn list(&self) -> io::Result<Vec<String>> {
        let Some(entries) = absent_is_none(fs::read_dir(&self.path))? else { return Ok(Vec::new()) };
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

impl From<io::Error> for PutError<io::Error> {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// What is not there is no failure.
pub(super) fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn tag(bytes: &[u8]) -> Tag {
    Tag(format!("{:032x}", xxh3_128(bytes)))
}

/// Writes a temporary file, makes it durable, and renames it: a crash leaves the old or the new content, never half of one.
pub(crate) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    write_beside(file, content)?;
    let renamed = fs::rename(beside(file), file);
    if renamed.is_err() {
        // A neighbour that cannot take the place is of no use; the error that matters is the first one.
        let _ = fs::remove_file(beside(file));
    }
    renamed?;
    file.parent().map_or(Ok(()), sync_folder)
}

fn beside(file: &Path) -> PathBuf {
    let mut beside = OsString::from(file);
    beside.push(".new");
    PathBuf::from(beside)
}

fn write_beside(file: &Path, content: &[u8]) -> io::Result<()> {
    let beside = beside(file);
    let written = (|| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&beside)?;
        out.write_all(content)?;
        out.sync_all()
    })();
    if written.is_err() {
        // A half-written neighbour is of no use; the error that matters is the first one.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // That of a file which is named without one.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::blob::contract;
    use futures::executor::block_on;

    #[tokio::test]
    async fn a_blob_is_written_only_over_what_was_seen() {
        let place = tempfile::tempdir().unwrap();
        contract::is_kept(&Folder::new(place.path().join("blobs"))).await;
    }

    #[test]
    fn many_are_written_at_once_and_listed() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("blobs"));
        assert_eq!(block_on(folder.list()).unwrap(), Vec::<String>::new());
        let many: Vec<_> = (0..40).map(|number| (format!("b{number}"), vec![number; 9])).collect();
        block_on(folder.put_new(&many)).unwrap();
        assert!(matches!(block_on(folder.put_new(&many[7..8])), Err(PutError::Conflict)));
        assert_eq!(block_on(folder.list()).unwrap().len(), 40);
        assert_eq!(block_on(folder.get("b39")).unwrap().unwrap().bytes, vec![39; 9]);
    }
}
