//! A known set in `ConfigMaps`: partitions by id hash, of which a change rewrites one. The status names the generation of each.

use xxhash_rust::xxh3::xxh3_64;

use super::blobs;
use super::objects::Objects;
use super::state_error::StateError;
use crate::api::conditions::{Problem, Reason};
use crate::api::identity::InstanceId;
use crate::detect::known::{Form, KnownSet, Prefix};
use crate::plan::for_each::resource_of;
use crate::state::blob::{Blob, BlobStore as _};
use crate::state::set_part::{SetPart, addresses};

/// The partitions of a set as they were last read or written.
#[derive(Clone, Debug)]
pub struct ConfigMapSet {
    parts: Vec<SetPart>,
}

impl ConfigMapSet {
    /// A set of that number of partitions, of which none is written.
    pub fn new(count: usize) -> Self {
        Self { parts: vec![SetPart::default(); count] }
    }

    /// Reads a set of which these generations must be there at least.
    ///
    /// # Errors
    /// What is named must be there, whole, and no older.
    pub async fn load(
        config_maps: &Objects<'_>,
        owner: &InstanceId,
        resource: &str,
        generations: &[u64],
    ) -> Result<(Self, KnownSet), StateError> {
        let mut parts = Vec::with_capacity(generations.len());
        let (mut known, mut forms) = (KnownSet::default(), Vec::with_capacity(generations.len()));
        for (index, least) in generations.iter().enumerate() {
            let name = blobs::name(owner.name(), resource, generations.len(), index);
            let blob = config_maps.get(&name).await?;
            let read = blob.and_then(|Blob { bytes, tag }| {
                let (generation, form) = blobs::decode(&bytes, &mut known)?;
                let digest = xxh3_64(bytes.get(blobs::HEADER..)?);
                forms.push(form);
                Some(SetPart { generation, tag: Some(tag), digest, of: Vec::new() })
            });
            let read = read.filter(|written| written.generation >= *least);
            parts.push(read.ok_or_else(|| StateError::Unusable(missing(&name, resource)))?);
        }
        for ((part, form), prefix) in parts.iter_mut().zip(forms).zip(Prefix::equal(generations.len())) {
            // What has an older form is written again.
            if form != Form::First {
                part.of = addresses(&known, prefix);
            }
        }
        Ok((Self { parts }, known))
    }

    /// Number of partitions.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// What the status must name.
    pub fn generations(&self) -> Vec<u64> {
        self.parts.iter().map(|part| part.generation).collect()
    }

    /// Whether it is newer than what a status names.
    pub fn is_ahead_of(&self, named: &[u64]) -> bool {
        self.parts.iter().zip(named).any(|(part, least)| part.generation > *least)
    }

    /// Names of its objects.
    pub fn names(&self, owner: &InstanceId, resource: &str) -> Vec<String> {
        (0..self.count()).map(|index| blobs::name(owner.name(), resource, self.count(), index)).collect()
    }

    /// Writes what changed to the objects of these names. Answers how many bytes.
    ///
    /// # Errors
    /// What was written before it stays noted.
    pub async fn save(
        &mut self,
        config_maps: &Objects<'_>,
        names: &[String],
        known: &KnownSet,
        generation: u64,
    ) -> Result<usize, StateError> {
        let (mut bytes, count) = (0, self.count());
        for ((part, prefix), name) in self.parts.iter_mut().zip(Prefix::equal(count)).zip(names) {
            if part.is_of(known, prefix) {
                continue;
            }
            let packed = known.packed(prefix);
            let digest = xxh3_64(&packed.bytes);
            if part.tag.is_none() || part.digest != digest {
                let blob = blobs::encode(generation, &packed);
                bytes += blob.len().div_ceil(3) * 4;
                let tag = config_maps.overwrite(name, &blob, part.tag.take()).await?;
                *part = SetPart { generation, tag: Some(tag), digest, of: Vec::new() };
            }
            part.of = addresses(known, prefix);
        }
        Ok(bytes)
    }
}

fn missing(name: &str, resource: &str) -> Problem {
    let resource = resource_of(resource);
    Problem::human(
        Reason::StateUnavailable,
        format!(
            "ConfigMap {name} with the records that resource {resource} remembers is missing, damaged or older than the status; put it back, or start the resource again with the annotation pollinator.dev/reset: {resource}"
        ),
    )
}
