//! The head of a state: all of it but the large known sets, of which it names the partitions. Pure.
//!
//! A head without partitions is the state itself, as JSON. Around one with partitions stand their generations, and a greater format,
//! so that a version that knows no partitions refuses it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{FORMAT, InstanceState};
use crate::detect::known::Prefix;

/// Version of the form of a head that names partitions.
pub const WITH_PARTITIONS: u32 = 3;
/// The same, of one that names recent changes, too.
pub const WITH_RECENT: u32 = 4;

/// Where a partition of a known set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The ids in it.
    pub prefix: Prefix,
    /// Generation under which it was written.
    pub generation: u64,
}

/// Where one known set stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetPlaces {
    /// Its partitions, in the order of their prefixes.
    pub parts: Vec<Place>,
    /// Generation of the blob with what changed in partitions that are older.
    pub recent: Option<u64>,
}

/// Places of known sets, by resource.
pub type Places = BTreeMap<String, SetPlaces>;

/// A head as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The state, without what stands elsewhere.
    pub state: InstanceState,
    /// Greatest generation given so far.
    pub generation: u64,
    /// Where the rest stands.
    pub places: Places,
}

/// Why a head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not what was written.
    Damaged,
    /// A newer version wrote it.
    Newer,
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    generation: u64,
    known: BTreeMap<&'a str, String>,
    state: &'a InstanceState,
}

#[derive(Deserialize)]
struct Read<'a> {
    generation: u64,
    known: BTreeMap<String, String>,
    #[serde(borrow)]
    state: &'a RawValue,
}

#[derive(Deserialize)]
struct Form {
    format: u32,
}

/// The bytes of a head whose known sets stand where `places` says, or in `state`.
///
/// # Errors
/// None that a state can cause.
pub fn write(state: &InstanceState, generation: u64, places: &Places) -> serde_json::Result<Vec<u8>> {
    if places.is_empty() {
        return serde_json::to_vec(state);
    }
    let known = places.iter().map(|(resource, places)| (&**resource, text(places))).collect();
    let has_recent = places.values().any(|places| places.recent.is_some());
    let format = if has_recent { WITH_RECENT } else { WITH_PARTITIONS };
    serde_json::to_vec(&Written { format, generation, known, state })
}

/// Reads a head of this version or an older one.
///
/// # Errors
/// [`Unreadable`].
pub fn read(bytes: &[u8]) -> Result<Head, Unreadable> {
    let head = match serde_json::from_slice::<InstanceState>(bytes) {
        Ok(state) => Head { state, generation: 0, places: Places::new() },
        Err(_) => read_with_partitions(bytes)?,
    };
    if head.state.format > FORMAT { Err(Unreadable::Newer) } else { Ok(head) }
}

fn read_with_partitions(bytes: &[u8]) -> Result<Head, Unreadable> {
    let Form { format } = serde_json::from_slice(bytes).map_err(|_| Unreadable::Damaged)?;
    if format > WITH_RECENT {
        return Err(Unreadable::Newer);
    }
    let Read { generation, known, state } = serde_json::from_slice(bytes).map_err(|_| Unreadable::Damaged)?;
    let places = known.into_iter().map(|(resource, text)| Some((resource, places(&text)?)));
    Ok(Head {
        state: serde_json::from_str(state.get()).map_err(|_| Unreadable::Damaged)?,
        generation,
        places: places.collect::<Option<_>>().ok_or(Unreadable::Damaged)?,
    })
}

/// Generations in the order of the prefixes, with the number of leading bits where it is another than before, and after them that of
/// recent changes: `10:57,58,9:3;61`.
fn text(SetPlaces { parts, recent }: &SetPlaces) -> String {
    use std::fmt::Write as _;
    let (mut text, mut bits) = (String::with_capacity(parts.len() * 6), None);
    for place in parts {
        if !text.is_empty() {
            text.push(',');
        }
        let own = place.prefix.bits();
        // Writing into a text does not fail.
        let _ = if bits.replace(own) == Some(own) {
            write!(text, "{}", place.generation)
        } else {
            write!(text, "{own}:{}", place.generation)
        };
    }
    if let Some(recent) = recent {
        let _ = write!(text, ";{recent}");
    }
    text
}

/// `None` unless the prefixes are those of all ids.
fn places(text: &str) -> Option<SetPlaces> {
    let (text, recent) = match text.split_once(';') {
        Some((text, recent)) => (text, Some(recent.parse().ok()?)),
        None => (text, None),
    };
    let (mut next, mut bits) = (Some(0_u64), None);
    let mut parts = Vec::new();
    for item in text.split(',') {
        let generation = match item.split_once(':') {
            Some((own, generation)) => {
                bits = Some(own.parse::<u8>().ok()?);
                generation
            }
            None => item,
        };
        let (first, bits) = (next?, bits?);
        let prefix = Prefix::new(bits, first.checked_shr(u64::BITS - u32::from(bits)).unwrap_or(0))?;
        if prefix.first() != first {
            return None;
        }
        parts.push(Place { prefix, generation: generation.parse().ok()? });
        next = prefix.last().checked_add(1);
    }
    next.is_none().then_some(SetPlaces { parts, recent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ResourceState;

    fn place(bits: u8, value: u64, generation: u64) -> Place {
        Place { prefix: Prefix::new(bits, value).unwrap(), generation }
    }

    #[test]
    fn places_are_told_by_their_order() {
        let mut all = SetPlaces { parts: vec![place(2, 0, 5), place(3, 2, 7), place(3, 3, 5), place(1, 1, 12)], recent: None };
        assert_eq!(text(&all), "2:5,3:7,5,1:12");
        assert_eq!(places(&text(&all)), Some(all.clone()));
        all.recent = Some(14);
        assert_eq!(text(&all), "2:5,3:7,5,1:12;14");
        assert_eq!(places(&text(&all)), Some(all));
        assert_eq!(places("0:9"), Some(SetPlaces { parts: vec![place(0, 0, 9)], recent: None }));
        for damaged in ["", "1:5", "5,6", "1:5,6,7", "1:5,2:6", "0:x", "64:1", "0:9,", ";9", "0:9;", "0:9;x", "0:9;1;2"] {
            assert_eq!(places(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_damage_and_newer_forms_are_told_apart() {
        let mut state = InstanceState::new("u-1".into());
        state.resources.insert("contacts".into(), Box::new(ResourceState { delivered: 3, ..ResourceState::default() }));
        let set = |recent| Places::from([("contacts".to_owned(), SetPlaces { parts: vec![place(0, 0, 4)], recent })]);
        for places in [Places::new(), set(None), set(Some(3))] {
            let bytes = write(&state, 4, &places).unwrap();
            let head = read(&bytes).unwrap();
            assert_eq!((&head.state, &head.places), (&state, &places));
            assert_eq!(head.generation, if places.is_empty() { 0 } else { 4 });
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Err(Unreadable::Damaged), "cut at {cut}");
            }
        }
        let newer = write(&InstanceState { format: FORMAT + 1, ..state }, 0, &Places::new()).unwrap();
        assert_eq!(read(&newer), Err(Unreadable::Newer));
        assert_eq!(read(br#"{"format": 5, "anything": {}}"#), Err(Unreadable::Newer));
        assert_eq!(read(br#"{"format": 3, "generation": 4, "known": {"a": "1:4"}, "state": {}}"#), Err(Unreadable::Damaged));
    }
}
