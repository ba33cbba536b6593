//! The state of instances in one file: a backup, or the way to another place. Pure.
//!
//! The file is a sequence of JSON documents, one a line unless a record in it has lines of its own: first a header with the number of
//! instances, then each instance with its state and a checksum of it. So a file that is cut or damaged is never taken for a smaller one.
//! All of a state is in it, known sets and identity included. Tokens of OAuth 2.0 are no part of a state, so that the file holds no
//! credentials; the records of events that wait for their next try are, because nothing else has them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use super::InstanceState;
use crate::api::identity::InstanceRef;
use crate::api::names;

/// What the header calls the file.
const KIND: &str = "PollinatorState";
/// Version of the file's form; a greater one is refused.
const FORMAT: u32 = 1;

/// One instance and its state.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedInstance {
    /// Which instance.
    pub instance: InstanceRef,
    /// All that is kept of it.
    pub state: InstanceState,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It begins with something else.
    #[error("the file was not written by `pollinator state export`; name one that it wrote")]
    Foreign,
    /// A newer version wrote it, or the state in it.
    #[error("the file was written by a newer version of Pollinator; import it with that version or a newer one")]
    Newer,
    /// It ends too early.
    #[error("the file is cut: {found} of its {announced} instances are complete; copy it again, or use another backup")]
    Cut {
        /// Instances that are complete.
        found: usize,
        /// Instances that the header announces.
        announced: usize,
    },
    /// An instance, counted from 1, is not as it was written.
    #[error("the file is damaged in its instance {0}; copy it again, or use another backup")]
    Damaged(usize),
}

#[derive(Serialize, Deserialize)]
struct Header {
    kind: String,
    format: u32,
    instances: usize,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    namespace: String,
    name: String,
    checksum: String,
    #[serde(borrow)]
    state: &'a RawValue,
}

/// What is read first of a state: one that is too new may not even be readable.
#[derive(Deserialize)]
struct Form {
    format: u32,
}

/// The bytes of a file.
///
/// # Errors
/// None that a state can cause.
pub fn write(saved: &[SavedInstance]) -> serde_json::Result<Vec<u8>> {
    let header = Header { kind: KIND.to_owned(), format: FORMAT, instances: saved.len() };
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.push(b'\n');
    for SavedInstance { instance, state } in saved {
        let state = serde_json::value::to_raw_value(state)?;
        let (namespace, name) = (instance.namespace.to_string(), instance.name.to_string());
        serde_json::to_writer(
            &mut bytes,
            &Line { checksum: checksum(&namespace, &name, &state), namespace, name, state: &state },
        )?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Reads a file of this version or an older one.
///
/// # Errors
/// [`ReadError`].
pub fn read(bytes: &[u8]) -> Result<Vec<SavedInstance>, ReadError> {
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
    let header = documents.next().and_then(Result::ok).ok_or(ReadError::Foreign)?;
    let header: Header = serde_json::from_str(header.get()).map_err(|_| ReadError::Foreign)?;
    if header.kind != KIND || header.format == 0 {
        return Err(ReadError::Foreign);
    }
    if header.format > FORMAT {
        return Err(ReadError::Newer);
    }
    let mut saved: Vec<SavedInstance> = Vec::new();
    for document in documents {
        let number = saved.len() + 1;
        match document {
            Ok(document) if number <= header.instances => saved.push(instance(document.get(), number)?),
            Err(error) if error.is_eof() => break,
            Ok(_) | Err(_) => return Err(ReadError::Damaged(number)),
        }
    }
    if saved.len() < header.instances {
        return Err(ReadError::Cut { found: saved.len(), announced: header.instances });
    }
    Ok(saved)
}

fn instance(document: &str, number: usize) -> Result<SavedInstance, ReadError> {
    let damaged = |_| ReadError::Damaged(number);
    let line: Line<'_> = serde_json::from_str(document).map_err(damaged)?;
    // A name becomes part of a path.
    let is_name = names::is_label(&line.namespace) && names::is_subdomain(&line.name);
    if !is_name || line.checksum != checksum(&line.namespace, &line.name, line.state) {
        return Err(ReadError::Damaged(number));
    }
    let form: Form = serde_json::from_str(line.state.get()).map_err(damaged)?;
    if form.format > super::FORMAT {
        return Err(ReadError::Newer);
    }
    let state = serde_json::from_str(line.state.get()).map_err(damaged)?;
    Ok(SavedInstance { instance: InstanceRef::new(line.namespace, line.name), state })
}

fn checksum(namespace: &str, name: &str, state: &RawValue) -> String {
    format!("{:016x}", xxh3_64(format!("{namespace}/{name} {}", state.get()).as_bytes()))
}

/// Whether it would be a loss to replace this state: not that of an instance of which nothing was read yet.
pub fn is_living(state: &InstanceState) -> bool {
    let has_begun = |own: &super::ResourceState| {
        own.started || own.cursor.is_some() || own.token.is_some() || !own.known.is_empty() || own.delivered > 0
    };
    state.resources.values().any(|own| has_begun(own)) || !state.sinks.events().is_empty()
}

/// The state as that of the object that has this uid now. Its identity stays, and with it the ids of its events.
pub fn rehomed(state: &InstanceState, uid: &str) -> InstanceState {
    let identity = state.identity();
    let first_uid = (identity != uid).then(|| identity.into());
    InstanceState { uid: uid.to_owned(), first_uid, ..state.clone() }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::detect::known::{Age, Known};

    fn state(known: u64) -> InstanceState {
        let mut state = InstanceState::new("u-1".into());
        let own = state.resources.entry("contacts".into()).or_default();
        (own.started, own.cursor) = (true, DateTime::from_timestamp(1_800_000_000, 5));
        (0..known)
            .for_each(|id| own.known.remember(id << 40, Known { version: id, date: None, age: Age::Open, deleted: false }));
        state
    }

    fn saved() -> Vec<SavedInstance> {
        let one = |name, known| SavedInstance { instance: InstanceRef::new("crm", name), state: state(known) };
        vec![one("keap", 3_000), one("keap.eu", 1)]
    }

    #[test]
    fn what_was_written_is_read_back() {
        for saved in [Vec::new(), saved()] {
            assert_eq!(read(&write(&saved).unwrap()).unwrap(), saved);
        }
    }

    #[test]
    fn a_record_with_lines_of_its_own_stays_byte_for_byte() {
        let text = "{\"format\":2,\"uid\":\"u\",\"resources\":{},\"ledger\":[{\"object\":7,\"event\":{\"id\":\"a\",\"kind\":\"updated\",\
            \"resource\":\"contacts\",\"objectId\":\"7\",\"detectedAt\":\"2027-01-15T08:00:00Z\",\"data\":{\n \"price\": 1.10\n}},\
            \"attempts\":3,\"refusals\":0}]}";
        let state: InstanceState = serde_json::from_str(text).unwrap();
        let saved = vec![SavedInstance { instance: InstanceRef::new("crm", "keap"), state }];
        let bytes = write(&saved).unwrap();
        assert!(String::from_utf8(bytes.clone()).unwrap().contains("{\n \"price\": 1.10\n}"));
        assert_eq!(read(&bytes).unwrap(), saved);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let small = vec![SavedInstance { instance: InstanceRef::new("crm", "keap"), state: state(3) }; 2];
        let bytes = write(&small).unwrap();
        let header = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        for cut in 0..bytes.len() - 1 {
            let error = read(&bytes[..cut]).unwrap_err();
            if cut < header {
                assert_eq!(error, ReadError::Foreign, "cut at {cut}");
            } else {
                assert!(matches!(error, ReadError::Cut { announced: 2, .. }), "cut at {cut}: {error}");
            }
        }
        for bit in 0..(bytes.len() - 1) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit}: {}", String::from_utf8_lossy(&flipped));
        }
    }

    #[test]
    fn what_is_newer_or_of_another_program_is_refused_in_its_words() {
        let text = String::from_utf8(write(&saved()).unwrap()).unwrap();
        assert_eq!(read(text.replacen("\"format\":1", "\"format\":2", 1).as_bytes()), Err(ReadError::Newer));
        let newer = SavedInstance { state: InstanceState { format: 3, ..state(1) }, ..saved().remove(0) };
        assert_eq!(read(&write(&[newer]).unwrap()), Err(ReadError::Newer));
        for foreign in ["", "\n", "{}", "apiVersion: v1", "{\"format\":2,\"uid\":\"u\",\"resources\":{}}"] {
            assert_eq!(read(foreign.as_bytes()), Err(ReadError::Foreign), "{foreign}");
        }
        for (namespace, name) in [("..", "keap"), ("crm", "../keap"), ("crm", "a/b")] {
            let outside = SavedInstance { instance: InstanceRef::new(namespace, name), state: state(1) };
            assert_eq!(read(&write(&[outside]).unwrap()), Err(ReadError::Damaged(1)), "{namespace}/{name}");
        }
    }

    #[test]
    fn a_state_of_which_nothing_was_read_is_replaced_without_a_loss() {
        let mut fresh = InstanceState::new("u".into());
        fresh.resources.insert("contacts".into(), Box::default());
        assert!(!is_living(&fresh));
        assert!(is_living(&state(0)));
    }

    #[test]
    fn the_identity_stays_wherever_the_state_goes() {
        let moved = rehomed(&state(0), "u-2");
        assert_eq!((&*moved.uid, moved.identity()), ("u-2", "u-1"));
        let again = rehomed(&moved, "u-3");
        assert_eq!((&*again.uid, again.identity()), ("u-3", "u-1"));
        assert_eq!(rehomed(&again, "u-1"), state(0), "back where it came from");
    }
}
