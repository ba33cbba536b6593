//! The tries of failing changes in one string. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chrono::DateTime;

use crate::deliver::delivery_state::Failing;
use crate::deliver::sink::CALLBACK;

/// Bytes of a packed [`Failing`].
const PACKED_FAILING: usize = 24;

/// The most tried ones, in their order: object, attempts, refusals, next try in milliseconds, big-endian, in Base64. The form knows the
/// one sink that a spec can declare.
pub(super) fn pack_failing(failing: &[Failing], at_most: usize) -> Option<String> {
    let mut most: Vec<_> = failing.iter().filter(|failing| failing.sink.is_callback()).enumerate().collect();
    most.sort_by_key(|(index, failing)| (std::cmp::Reverse(failing.attempts), *index));
    most.truncate(at_most);
    most.sort_by_key(|(index, _)| *index);
    let mut bytes = Vec::with_capacity(most.len() * PACKED_FAILING);
    for (_, failing) in most {
        bytes.extend_from_slice(&failing.object.to_be_bytes());
        bytes.extend_from_slice(&failing.attempts.to_be_bytes());
        bytes.extend_from_slice(&failing.refusals.to_be_bytes());
        bytes.extend_from_slice(&failing.next_try.timestamp_millis().to_be_bytes());
    }
    (!bytes.is_empty()).then(|| BASE64.encode(bytes))
}

pub(super) fn unpack_failing(text: &str) -> Option<Vec<Failing>> {
    let bytes = BASE64.decode(text).ok()?;
    let (packed, []) = bytes.as_chunks::<PACKED_FAILING>() else { return None };
    packed
        .iter()
        .map(|entry| {
            let ([object, tries, next_try], []) = entry.as_chunks::<8>() else { return None };
            let ([attempts, refusals], []) = tries.as_chunks::<4>() else { return None };
            Some(Failing {
                sink: CALLBACK.clone(),
                object: u64::from_be_bytes(*object),
                attempts: u32::from_be_bytes(*attempts),
                refusals: u32::from_be_bytes(*refusals),
                next_try: DateTime::from_timestamp_millis(i64::from_be_bytes(*next_try))?,
            })
        })
        .collect()
}
