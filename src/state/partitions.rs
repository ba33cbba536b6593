//! Large known sets, stored next to the head: which of their partitions a commit has to write, and how they are read again. Pure but for
//! the [blob store](ListBlobs) that it is given.
//!
//! A partition is written under a name of its own, never over another one: the old head keeps all that it names, until the new one is
//! durable. What no head names any more is deleted a while later, so that a folder can be copied while it is in use.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use super::InstanceState;
use super::blob::{Framed, ListBlobs, PutError};
use super::head::{Place, Places, SetPlaces};
use super::recent::{NextSet, Recent, Written, WrittenSet, next};
use crate::detect::known::{Form, KnownSet, Packed, Partition, Prefix};

/// Most records, as far as they have no details, of a set that stays in the head: writing a second file costs more than 16 KiB.
pub const MAX_INLINE: usize = 512;
/// Blobs that are encoded and written together: up to 16 MiB, and enough for a file system to make them durable at little cost.
const AT_ONCE: usize = 128;
/// How long what is superseded stays.
const COPYING: Duration = Duration::from_secs(10);
/// But no more of it than this: 48 MiB.
const MAX_SUPERSEDED: usize = 2048;

/// What is known of the partitions of one instance that are stored.
#[derive(Debug, Default)]
pub struct Stored {
    /// Greatest generation given.
    generation: u64,
    /// By resource.
    sets: BTreeMap<String, WrittenSet>,
    /// Blobs may be there that the head does not name.
    unclean: bool,
    /// They were found, and go as soon as another head is durable.
    left: Vec<String>,
    superseded: VecDeque<(Instant, String)>,
}

/// A commit whose partitions are written and whose head is not.
#[derive(Debug)]
pub struct Begun {
    sets: BTreeMap<String, WrittenSet>,
    /// Names of what was written for it.
    new: Vec<String>,
}

/// Why partitions cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError<E> {
    /// A blob that the head names is missing or damaged.
    Damaged(String),
    /// A newer version wrote it.
    Newer(String),
    /// As the store says.
    Failed(E),
}

impl Stored {
    /// Nothing is known of what may be there.
    pub fn unknown() -> Self {
        Self { unclean: true, ..Self::default() }
    }

    /// Reads what a head names.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load<S: ListBlobs>(
        store: &S,
        state: &mut InstanceState,
        generation: u64,
        places: &Places,
    ) -> Result<Self, LoadError<S::Error>> {
        let mut stored = Self { generation, ..Self::unknown() };
        for (resource, places) in places {
            let Some(own) = state.resources.get_mut(resource) else { continue };
            let (mut parts, mut older) = (Vec::with_capacity(places.parts.len()), HashSet::new());
            for (index, place) in places.parts.iter().enumerate() {
                let (part, found) = read(store, resource, *place).await?;
                parts.push(part);
                if found == Found::Older {
                    older.insert(index);
                }
            }
            let mut recent = None;
            if let Some(wanted) = places.recent {
                let (generation, changed) = read_recent(store, resource, wanted).await?;
                let parts = parts.iter_mut().zip(&places.parts);
                parts.filter(|(_, place)| place.generation < generation).for_each(|(part, _)| part.put_all(&changed));
                if generation == wanted {
                    recent = Some(Recent { generation, ids: changed.ids().into() });
                } else {
                    older.extend(0..places.parts.len());
                }
            }
            own.known = KnownSet::of_parts(parts).ok_or_else(|| LoadError::Damaged(resource.clone()))?;
            let written = own.known.parts().iter().zip(&places.parts).enumerate();
            let written = written.map(|(index, (part, place))| {
                let partition = if older.contains(&index) { Weak::new() } else { Arc::downgrade(part) };
                Written { place: *place, partition }
            });
            stored.sets.insert(resource.clone(), WrittenSet { parts: written.collect(), recent });
        }
        Ok(stored)
    }

    /// Whether there is anything to be remembered of this.
    pub fn is_of_use(&self) -> bool {
        !self.sets.is_empty() || self.unclean || !self.superseded.is_empty()
    }

    /// Takes the sets out of a state that do not belong into its head.
    pub fn take_large(&self, state: &mut InstanceState) -> BTreeMap<String, KnownSet> {
        let large = state.resources.iter_mut().filter(|(resource, own)| {
            let most = if self.sets.contains_key(*resource) { MAX_INLINE / 2 } else { MAX_INLINE };
            own.known.weight() > most
        });
        large.map(|(resource, own)| (resource.clone(), std::mem::take(&mut own.known))).collect()
    }

    /// Writes the partitions that are not stored. The head must then name [`Begun::places`] with [`Self::generation`].
    ///
    /// # Errors
    /// The store's; what the old head names is untouched.
    pub async fn write<S: ListBlobs>(
        &mut self,
        store: &S,
        large: &BTreeMap<String, KnownSet>,
    ) -> Result<Begun, PutError<S::Error>> {
        if self.unclean {
            self.look_around(store).await.map_err(PutError::Failed)?;
        }
        self.generation += 1;
        let mut begun = Begun { sets: BTreeMap::new(), new: Vec::new() };
        for (resource, set) in large {
            if let Err(error) =
                begun.write(store, resource, next(self.sets.get(resource), set, self.generation), self.generation).await
            {
                self.withdraw(store, begun).await;
                return Err(error);
            }
        }
        Ok(begun)
    }

    /// Greatest generation given.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The head is durable.
    pub async fn confirm<S: ListBlobs>(&mut self, store: &S, begun: Begun, now: Instant) {
        let old = std::mem::replace(&mut self.sets, begun.sets);
        let none = WrittenSet::default();
        for (resource, old) in old {
            let own = self.sets.get(&resource).unwrap_or(&none);
            let mut named = own.parts.iter().map(|written| written.place).peekable();
            for Written { place, .. } in old.parts {
                while named.next_if(|own| own.prefix.first() < place.prefix.first()).is_some() {}
                if named.peek() != Some(&place) {
                    self.superseded.push_back((now, name(&resource, place)));
                }
            }
            let recent = |set: &Option<Recent>| set.as_ref().map(|recent| recent.generation);
            if let Some(generation) = recent(&old.recent).filter(|old| recent(&own.recent) != Some(*old)) {
                self.superseded.push_back((now, recent_name(&resource, generation)));
            }
        }
        for name in std::mem::take(&mut self.left) {
            // It is deleted at the next start if not now.
            let _ = store.delete(&name).await;
        }
        while let Some((since, _)) = self.superseded.front()
            && (self.superseded.len() > MAX_SUPERSEDED || now.duration_since(*since) >= COPYING)
            && let Some((_, name)) = self.superseded.pop_front()
        {
            // It is deleted at the next start if not now.
            let _ = store.delete(&name).await;
        }
    }

    /// The head was not written: what was written for it is of no use.
    pub async fn withdraw<S: ListBlobs>(&mut self, store: &S, begun: Begun) {
        for name in begun.new {
            // What stays is deleted at the next start.
            let _ = store.delete(&name).await;
        }
    }

    /// The head may be written: what was written for it stays until another one is.
    pub fn keep(&mut self, begun: Begun, now: Instant) {
        self.superseded.extend(begun.new.into_iter().map(|name| (now, name)));
    }

    /// Finds what the head does not name: left by a crash, or by a head that was moved away.
    async fn look_around<S: ListBlobs>(&mut self, store: &S) -> Result<(), S::Error> {
        let mut named = HashSet::new();
        for (resource, set) in &self.sets {
            named.extend(set.parts.iter().map(|written| name(resource, written.place)));
            named.extend(set.recent.as_ref().map(|recent| recent_name(resource, recent.generation)));
        }
        let mut left = store.list().await?;
        left.retain(|name| !named.contains(name));
        // No name is given twice.
        let generation = left.iter().filter_map(|name| name.rsplit('-').next()?.parse().ok()).max();
        self.generation = self.generation.max(generation.unwrap_or_default());
        (self.left, self.unclean) = (left, false);
        Ok(())
    }
}

impl Begun {
    /// Writes what a commit writes of one set, some blobs at a time.
    async fn write<S: ListBlobs>(
        &mut self,
        store: &S,
        resource: &str,
        next: NextSet<'_>,
        generation: u64,
    ) -> Result<(), PutError<S::Error>> {
        let framed = |packed: Packed| Framed { form: form(packed.form), generation, content: &packed.bytes }.bytes();
        let parts = next.new.iter().map(|part| {
            let place = Place { prefix: part.prefix(), generation };
            (name(resource, place), framed(part.packed()))
        });
        let recent = next.recent_bytes.map(|recent| (recent_name(resource, generation), framed(recent)));
        let mut blobs = parts.chain(recent).peekable();
        while blobs.peek().is_some() {
            let some: Vec<_> = blobs.by_ref().take(AT_ONCE).collect();
            self.new.extend(some.iter().map(|(name, _)| name.clone()));
            store.put_new(&some).await?;
        }
        self.sets.insert(resource.to_owned(), next.written);
        Ok(())
    }

    /// What the head must name.
    pub fn places(&self) -> Places {
        let places = |set: &WrittenSet| SetPlaces {
            parts: set.parts.iter().map(|written| written.place).collect(),
            recent: set.recent.as_ref().map(|recent| recent.generation),
        };
        self.sets.iter().map(|(resource, set)| (resource.clone(), places(set))).collect()
    }
}

/// Name of the blob of recent changes.
fn recent_name(resource: &str, generation: u64) -> String {
    format!("{}{generation}", recent_names(resource))
}

/// What the names of all blobs of recent changes begin with.
fn recent_names(resource: &str) -> String {
    format!("{:016x}-recent-", xxh3_64(resource.as_bytes()))
}

/// The records that changed in partitions of older generations, and their own generation.
async fn read_recent<S: ListBlobs>(store: &S, resource: &str, wanted: u64) -> Result<(u64, Partition), LoadError<S::Error>> {
    let place = |generation| Place { prefix: Prefix::ALL, generation };
    let own = recent_name(resource, wanted);
    if let Some(blob) = store.get(&own).await.map_err(LoadError::Failed)? {
        return Ok((wanted, unpack(own, place(wanted), Prefix::ALL, &blob.bytes)?));
    }
    // A folder that was copied while it was in use may lack it. What was there before, or the partitions alone, say what was delivered
    // until then: the rest comes again, with the same ids.
    tracing::warn!("{own} is missing, so events that it records as delivered may be sent again");
    let names = store.list().await.map_err(LoadError::Failed)?;
    let names_begin = recent_names(resource);
    let older = names.into_iter().filter_map(|name| Some((name.strip_prefix(&names_begin)?.parse().ok()?, name)));
    let older = older.filter(|(generation, _)| *generation < wanted);
    let Some((generation, name)) = older.max_by_key(|(generation, _)| *generation) else {
        return Ok((0, Partition::unpack(Prefix::ALL, &[], Form::Second).ok_or(LoadError::Damaged(own))?));
    };
    let Some(blob) = store.get(&name).await.map_err(LoadError::Failed)? else { return Err(LoadError::Damaged(own)) };
    Ok((generation, unpack(name, place(generation), Prefix::ALL, &blob.bytes)?))
}

/// Name of the blob of one partition.
fn name(resource: &str, Place { prefix, generation }: Place) -> String {
    format!("{:016x}-{}-{:x}-{generation}", xxh3_64(resource.as_bytes()), prefix.bits(), prefix.value())
}

/// The place that a name says, if it is of this resource.
fn place(resource: &str, name: &str) -> Option<Place> {
    let rest = name.strip_prefix(&format!("{:016x}-", xxh3_64(resource.as_bytes())))?;
    let mut numbers = rest.split('-');
    let [bits, value, generation] = [numbers.next()?, numbers.next()?, numbers.next()?];
    let prefix = Prefix::new(bits.parse().ok()?, u64::from_str_radix(value, 16).ok()?)?;
    Some(Place { prefix, generation: generation.parse().ok()? })
}

/// Which partition was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The one that the head names.
    Named,
    /// One that was there before it.
    Older,
}

async fn read<S: ListBlobs>(store: &S, resource: &str, wanted: Place) -> Result<(Partition, Found), LoadError<S::Error>> {
    let own = name(resource, wanted);
    if let Some(blob) = store.get(&own).await.map_err(LoadError::Failed)? {
        return Ok((unpack(own, wanted, wanted.prefix, &blob.bytes)?, Found::Named));
    }
    // A folder that was copied while it was in use may lack what was written meanwhile. What was there before says what was delivered
    // until then: the rest comes again, with the same ids.
    let names = store.list().await.map_err(LoadError::Failed)?;
    let older = names.into_iter().filter_map(|name| Some((place(resource, &name)?, name)));
    let older = older.filter(|(place, _)| place.generation < wanted.generation && place.prefix.covers(wanted.prefix));
    let Some((before, name)) = older.max_by_key(|(place, _)| place.generation) else { return Err(LoadError::Damaged(own)) };
    let Some(blob) = store.get(&name).await.map_err(LoadError::Failed)? else { return Err(LoadError::Damaged(own)) };
    tracing::warn!("{own} is missing, so the older {name} is used: events delivered in between may be sent again");
    Ok((unpack(name, before, wanted.prefix, &blob.bytes)?, Found::Older))
}

/// The records of `prefix` in the blob of a place that covers it.
fn unpack<E>(name: String, place: Place, prefix: Prefix, bytes: &[u8]) -> Result<Partition, LoadError<E>> {
    let Some(framed) = Framed::read(bytes).filter(|framed| framed.generation == place.generation) else {
        return Err(LoadError::Damaged(name));
    };
    let form = match framed.form {
        2 => Form::Second,
        3 => Form::Third,
        _ => return Err(LoadError::Newer(name)),
    };
    let Some(mut partition) = Partition::unpack(place.prefix, framed.content, form) else {
        return Err(LoadError::Damaged(name));
    };
    if place.prefix != prefix {
        partition = partition.only(prefix);
    }
    Ok(partition)
}

fn form(form: Form) -> u32 {
    match form {
        Form::First => 1,
        Form::Second => 2,
        Form::Third => 3,
    }
}
