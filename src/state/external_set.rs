//! A known set in an external store: an index, and partitions by id hash of which a change rewrites one.
//!
//! A set has a folder of its own, with a name that is never given twice, so that what a process left there which died is in no one's way.
//! Its blobs are replaced in place, each under the condition that it is still the one that was read: of two writers one wins, and the other
//! learns of it ([`SaveError::Overwritten`]). The order is partitions, index, head of the state. So what is read again is never older than
//! what the head names, and after a crash it may be newer: that costs nothing, since a record is known only after its event was accepted.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use xxhash_rust::xxh3::xxh3_64;

use super::blob::{Blob, BlobStore as _, Framed, PutError, Tag};
use super::external_store::{ExternalStore, StoreError};
use super::partitions::LoadError;
use super::set_part::{SetPart, addresses};
use crate::detect::known::{Form, KnownSet, Packed, Prefix};

/// Form of an index.
const INDEX_FORM: u32 = 1;
/// Calls under way at once.
const AT_ONCE: usize = 16;
/// How many times a write is tried whose answer was lost.
const MAX_CONFLICTS: usize = 3;
/// Bytes before the entries of a partition and the text of an index: who wrote them.
const WRITER: usize = 8;

/// Which set, and what of it must be there at least, as a head names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetName {
    /// Made once for each set.
    pub id: u64,
    /// Generation of the index.
    pub generation: u64,
}

/// A known set in a store, as it was last read or written.
#[derive(Clone, Debug)]
pub struct ExternalSet {
    store: ExternalStore,
    /// What the names of its blobs begin with.
    folder: String,
    id: u64,
    /// Who writes: equal bytes of two writers would pass each other's conditions.
    writer: u64,
    index: Option<(u64, Tag)>,
    parts: Vec<SetPart>,
}

/// Why a set was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveError {
    /// The instance is another process's.
    NotOurs,
    /// Another process wrote it: it is to be read again.
    Overwritten,
    /// As the store says.
    Failed(StoreError),
}

impl ExternalSet {
    /// A set of that number of partitions, of which none is written.
    pub fn new(store: &ExternalStore, uid: &str, count: usize) -> Self {
        Self::named(store, uid, rand::random(), vec![SetPart::default(); count])
    }

    fn named(store: &ExternalStore, uid: &str, id: u64, parts: Vec<SetPart>) -> Self {
        let folder = format!("{}{id:016x}/", ExternalStore::folder_of(uid));
        Self { store: store.clone(), folder, id, writer: rand::random(), index: None, parts }
    }

    /// Reads a set.
    ///
    /// # Errors
    /// What is named must be there, whole, and no older.
    pub async fn load(store: &ExternalStore, uid: &str, name: SetName) -> Result<(Self, KnownSet), LoadError<StoreError>> {
        let mut set = Self::named(store, uid, name.id, Vec::new());
        let index = set.index_name();
        let blob = store.get(&index).await.map_err(LoadError::Failed)?;
        let Some(Blob { bytes, tag }) = blob else { return Err(LoadError::Damaged(index)) };
        let (generation, form, text) = read(&bytes).ok_or_else(|| LoadError::Damaged(index.clone()))?;
        if form != INDEX_FORM {
            return Err(LoadError::Newer(index));
        }
        let least = parse_index(text).filter(|least| generation >= name.generation && least.len().is_power_of_two());
        let least = least.ok_or_else(|| LoadError::Damaged(index.clone()))?;
        set.index = Some((generation, tag));
        let mut known = KnownSet::default();
        let names: Vec<_> = (0..least.len()).map(|index| set.part_name(least.len(), index)).collect();
        let mut blobs = stream::iter(names.into_iter().zip(least))
            .map(|(name, least)| async move { store.get(&name).await.map(|blob| (name, least, blob)) })
            .buffered(AT_ONCE);
        while let Some((name, least, blob)) = blobs.try_next().await.map_err(LoadError::Failed)? {
            let Some(Blob { bytes, tag }) = blob else { return Err(LoadError::Damaged(name)) };
            let read = read(&bytes).filter(|(generation, ..)| *generation >= least);
            let (generation, form, entries) = read.ok_or_else(|| LoadError::Damaged(name.clone()))?;
            let form = match form {
                2 => Form::Second,
                3 => Form::Third,
                _ => return Err(LoadError::Newer(name)),
            };
            known.add_partition(entries, form).ok_or(LoadError::Damaged(name))?;
            set.parts.push(SetPart { generation, tag: Some(tag), digest: xxh3_64(entries), of: Vec::new() });
        }
        drop(blobs);
        let count = set.parts.len();
        for (part, prefix) in set.parts.iter_mut().zip(Prefix::equal(count)) {
            part.of = addresses(&known, prefix);
        }
        Ok((set, known))
    }

    /// Number of partitions.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// Greatest generation in it.
    pub fn generation(&self) -> u64 {
        let index = self.index.as_ref().map_or(0, |(generation, _)| *generation);
        self.parts.iter().map(|part| part.generation).fold(index, u64::max)
    }

    /// What a head must name, once it is written.
    pub fn name(&self) -> SetName {
        SetName { id: self.id, generation: self.index.as_ref().map_or(0, |(generation, _)| *generation) }
    }

    /// Names of all its blobs, for one who deletes them.
    pub fn blobs(&self) -> Vec<String> {
        let parts = (0..self.parts.len()).map(|index| self.part_name(self.parts.len(), index));
        parts.chain([self.index_name()]).collect()
    }

    /// Whether a blob is one of its folder.
    pub fn has(&self, name: &str) -> bool {
        name.starts_with(&self.folder)
    }

    /// Where they are.
    pub fn store(&self) -> &ExternalStore {
        &self.store
    }

    /// Writes the partitions that changed, and then the index. `is_ours` is asked before every single write. Answers how many partitions
    /// were written.
    ///
    /// # Errors
    /// [`SaveError`]; what a head names is still there, or something newer.
    pub async fn save(
        &mut self,
        known: &KnownSet,
        generation: u64,
        is_ours: &(dyn Fn() -> bool + Sync),
    ) -> Result<usize, SaveError> {
        let parts = self.parts.iter().enumerate().zip(Prefix::equal(self.parts.len()));
        let changed = parts.filter(|((_, part), prefix)| !part.is_of(known, *prefix));
        let changed: Vec<_> = changed.map(|((index, _), prefix)| (index, prefix)).collect();
        let mut written = 0;
        // After an error nothing is begun, and what is under way comes to its end: a write that is left alone could land over a later one.
        let failed = AtomicBool::new(false);
        let goes_on = || !failed.load(Ordering::Relaxed) && is_ours();
        // What was done is noted as it comes, whatever fails after it.
        let (own, mut done, mut ended) = (&*self, Vec::new(), Ok(()));
        let mut writing = stream::iter(changed)
            .map(|(index, prefix)| own.save_part(index, known, prefix, generation, &goes_on))
            .buffer_unordered(AT_ONCE);
        while let Some(saved) = writing.next().await {
            match saved {
                Ok(part) => done.push(part),
                Err(error) if ended.is_ok() => {
                    failed.store(true, Ordering::Relaxed);
                    ended = Err(error);
                }
                Err(_) => {}
            }
        }
        drop(writing);
        for (index, part) in done {
            written += usize::from(part.generation == generation);
            if let Some(own) = self.parts.get_mut(index) {
                *own = part;
            }
        }
        ended?;
        if written > 0 || self.index.is_none() {
            let generations: Vec<_> = self.parts.iter().map(|part| part.generation.to_string()).collect();
            let bytes = self.framed(INDEX_FORM, generation, generations.join(",").as_bytes());
            let seen = self.index.as_ref().map(|(_, tag)| tag.clone());
            let tag = self.put(&self.index_name(), &bytes, seen, is_ours).await?;
            self.index = Some((generation, tag));
        }
        Ok(written)
    }

    async fn save_part(
        &self,
        index: usize,
        known: &KnownSet,
        prefix: Prefix,
        generation: u64,
        is_ours: &(dyn Fn() -> bool + Sync),
    ) -> Result<(usize, SetPart), SaveError> {
        let old = self.parts.get(index).cloned().unwrap_or_default();
        let of = addresses(known, prefix);
        let Packed { bytes, form } = known.packed(prefix);
        let digest = xxh3_64(&bytes);
        if old.tag.is_some() && old.digest == digest {
            return Ok((index, SetPart { of, ..old }));
        }
        let form = if form == Form::Third { 3 } else { 2 };
        let blob = self.framed(form, generation, &bytes);
        drop(bytes);
        let tag = self.put(&self.part_name(self.parts.len(), index), &blob, old.tag, is_ours).await?;
        Ok((index, SetPart { generation, tag: Some(tag), digest, of }))
    }

    async fn put(
        &self,
        name: &str,
        bytes: &[u8],
        mut seen: Option<Tag>,
        is_ours: &(dyn Fn() -> bool + Sync),
    ) -> Result<Tag, SaveError> {
        for _ in 0..MAX_CONFLICTS {
            if !is_ours() {
                return Err(SaveError::NotOurs);
            }
            match self.store.put(name, bytes, seen.as_ref()).await {
                Ok(tag) => return Ok(tag),
                Err(PutError::Failed(error)) => return Err(SaveError::Failed(error)),
                // It may be what this process wrote when an answer was lost.
                Err(PutError::Conflict) => match self.store.get(name).await.map_err(SaveError::Failed)? {
                    Some(there) if writer_of(&there.bytes) == Some(self.writer) => seen = Some(there.tag),
                    Some(_) | None => return Err(SaveError::Overwritten),
                },
            }
        }
        Err(SaveError::Overwritten)
    }

    fn framed(&self, form: u32, generation: u64, content: &[u8]) -> Vec<u8> {
        let mut own = Vec::with_capacity(WRITER + content.len());
        own.extend_from_slice(&self.writer.to_be_bytes());
        own.extend_from_slice(content);
        Framed { form, generation, content: &own }.bytes()
    }

    fn index_name(&self) -> String {
        format!("{}index", self.folder)
    }

    fn part_name(&self, count: usize, index: usize) -> String {
        format!("{}{count}-{index}", self.folder)
    }
}

/// Generation, form and content of a blob.
fn read(bytes: &[u8]) -> Option<(u64, u32, &[u8])> {
    let framed = Framed::read(bytes)?;
    Some((framed.generation, framed.form, framed.content.get(WRITER..)?))
}

fn writer_of(bytes: &[u8]) -> Option<u64> {
    let (writer, _) = Framed::read(bytes)?.content.split_first_chunk::<WRITER>()?;
    Some(u64::from_be_bytes(*writer))
}

fn parse_index(text: &[u8]) -> Option<Vec<u64>> {
    let text = std::str::from_utf8(text).ok()?;
    text.split(',').map(|generation| generation.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::known::{Age, Known};
    use crate::state::store_url::StoreUrl;

    fn record(version: u64) -> Known {
        Known { version, date: Some(5), age: Age::Settled, deleted: false }
    }

    fn known(count: u64) -> KnownSet {
        let mut known = KnownSet::default();
        (0..count).for_each(|id| known.remember(hash(id), record(id)));
        known
    }

    fn hash(id: u64) -> u64 {
        xxh3_64(&id.to_be_bytes())
    }

    fn stores(folder: &tempfile::TempDir) -> [ExternalStore; 2] {
        let url = StoreUrl::Folder(folder.path().join("store"));
        [ExternalStore::open(&url, "test").unwrap(), ExternalStore::in_memory()]
    }

    async fn saved(store: &ExternalStore, known: &KnownSet) -> ExternalSet {
        let mut set = ExternalSet::new(store, "u", 4);
        assert_eq!(set.save(known, 1, &|| true).await, Ok(4));
        set
    }

    #[tokio::test]
    async fn what_was_saved_is_read_back_and_a_change_rewrites_one_partition() {
        let folder = tempfile::tempdir().unwrap();
        for store in stores(&folder) {
            let mut own = known(3_000);
            let mut set = saved(&store, &own).await;
            assert_eq!(set.save(&own, 2, &|| true).await, Ok(0));
            assert_eq!(set.name().generation, 1, "nothing changed");
            own.remember(hash(7), record(99));
            assert_eq!(set.save(&own, 3, &|| true).await, Ok(1));
            let (mut again, read) = ExternalSet::load(&store, "u", set.name()).await.unwrap();
            assert_eq!((&read, again.generation(), again.count()), (&own, 3, 4));
            assert_eq!(again.save(&read, 4, &|| true).await, Ok(0), "what was read is not written again");
            for name in set.blobs() {
                store.delete(&name).await.unwrap();
            }
            assert_eq!(store.names_under("instances/").await.unwrap(), Vec::<String>::new());
        }
    }

    #[tokio::test]
    async fn what_is_missing_damaged_or_older_is_refused() {
        let store = ExternalStore::in_memory();
        let set = saved(&store, &known(3_000)).await;
        let newer = SetName { generation: 2, ..set.name() };
        assert!(matches!(ExternalSet::load(&store, "u", newer).await, Err(LoadError::Damaged(_))));
        for name in set.blobs() {
            let Blob { bytes, tag } = store.get(&name).await.unwrap().unwrap();
            let broken = store.put(&name, &bytes[..bytes.len() - 1], Some(&tag)).await.unwrap();
            assert!(matches!(ExternalSet::load(&store, "u", set.name()).await, Err(LoadError::Damaged(_))), "{name} is cut");
            store.put(&name, &bytes, Some(&broken)).await.unwrap();
        }
        store.delete(&set.blobs()[2]).await.unwrap();
        assert!(matches!(ExternalSet::load(&store, "u", set.name()).await, Err(LoadError::Damaged(_))));
    }

    #[tokio::test]
    async fn of_two_writers_one_wins_and_the_other_learns_of_it() {
        let folder = tempfile::tempdir().unwrap();
        for store in stores(&folder) {
            let name = saved(&store, &known(3_000)).await.name();
            let (mut first, mut own) = ExternalSet::load(&store, "u", name).await.unwrap();
            let (mut second, mut other) = ExternalSet::load(&store, "u", name).await.unwrap();
            own.remember(hash(7), record(100));
            other.remember(hash(7), record(200));
            assert_eq!(first.save(&own, 2, &|| true).await, Ok(1));
            assert_eq!(second.save(&other, 2, &|| true).await, Err(SaveError::Overwritten));
            // In another partition, so that they meet at the index.
            let (mut third, mut own) = ExternalSet::load(&store, "u", first.name()).await.unwrap();
            let far = (0..1_000).find(|id| hash(*id) >> 62 != hash(7) >> 62).unwrap();
            own.remember(hash(far), record(300));
            assert_eq!(third.save(&own, 3, &|| true).await, Ok(1));
            let mut mine = own.clone();
            mine.remember(hash(7), record(400));
            assert_eq!(first.save(&mine, 3, &|| true).await, Err(SaveError::Overwritten));
            // It reads what is there and goes on.
            let (mut again, read) = ExternalSet::load(&store, "u", first.name()).await.unwrap();
            assert_eq!(read.get(hash(far)).map(|known| known.version), Some(300));
            assert_eq!(again.save(&mine, 4, &|| true).await.map(|written| written <= 1), Ok(true));
        }
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_its_own() {
        let store = ExternalStore::in_memory();
        let mut own = known(3_000);
        let mut set = saved(&store, &own).await;
        let before = set.clone();
        own.remember(hash(7), record(99));
        assert_eq!(set.save(&own, 2, &|| true).await, Ok(1));
        // The same process without the answers.
        let mut set = before;
        own.remember(hash(7), record(100));
        assert_eq!(set.save(&own, 3, &|| true).await, Ok(1));
        assert_eq!(ExternalSet::load(&store, "u", set.name()).await.unwrap().1, own);
    }

    #[tokio::test]
    async fn nothing_is_written_once_the_instance_is_anothers() {
        let store = ExternalStore::in_memory();
        let mut set = ExternalSet::new(&store, "u", 2);
        assert_eq!(set.save(&known(10), 1, &|| false).await, Err(SaveError::NotOurs));
        assert_eq!(store.names_under("instances/").await.unwrap(), Vec::<String>::new());
    }
}
