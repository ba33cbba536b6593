//! Where a known set is that does not fit into the status, as the status names it. Pure.

use crate::state::external_set::SetName;

/// Where a known set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownPlace {
    /// In `ConfigMaps`: the generations of its partitions.
    ConfigMaps(Vec<u64>),
    /// In an external store. It is in the same field, so that a version that knows no store refuses it.
    Store(SetName),
}

/// What a place in an external store begins with.
const STORE: &str = "store:";

impl KnownPlace {
    /// The reverse of [`Self::text`]. `None`: it is damaged, or a newer version wrote it.
    pub fn parse(text: &str) -> Option<Self> {
        let Some(name) = text.strip_prefix(STORE) else {
            return text.split(',').map(|generation| generation.parse().ok()).collect::<Option<_>>().map(Self::ConfigMaps);
        };
        let (id, generation) = name.split_once(':')?;
        Some(Self::Store(SetName { id: u64::from_str_radix(id, 16).ok()?, generation: generation.parse().ok()? }))
    }

    /// As a status has it.
    pub fn text(&self) -> String {
        match self {
            Self::ConfigMaps(generations) => generations.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
            Self::Store(SetName { id, generation }) => format!("{STORE}{id:016x}:{generation}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let store = KnownPlace::Store(SetName { id: 0xab, generation: 7 });
        for (place, text) in [(KnownPlace::ConfigMaps(vec![3, 0, 12]), "3,0,12"), (store, "store:00000000000000ab:7")] {
            assert_eq!(place.text(), text);
            assert_eq!(KnownPlace::parse(text), Some(place));
        }
        for damaged in ["", "3,", "store:7", "store:x:7", "store:1:", "elsewhere:1:7"] {
            assert_eq!(KnownPlace::parse(damaged), None, "{damaged}");
        }
    }
}
