//! Whether a request is genuine: Standard Webhooks, and the signature of Open Connectors. Pure.

use std::fmt;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName};
use subtle::ConstantTimeEq as _;

use crate::deliver::sink::http::signature::{ELEMENTS_SIGNATURE, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, mac};

/// A timestamp further away than this is refused, in both directions (Standard Webhooks, "Verifying webhook authenticity").
const TOLERANCE: chrono::Duration = chrono::Duration::minutes(5);

/// With or without padding, as the sender reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret that requests may be signed with. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Why a file holds no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing is in it.
    #[error("holds no secret: it is empty")]
    Empty,
    /// The form was recognised, the rest is broken.
    #[error("starts with whsec_ but is not Base64 after it; store the secret as it was issued, one a file")]
    NotBase64,
}

impl Key {
    /// Reads the value of a secret as the sender does: one newline at its end is dropped, `whsec_<base64>` is decoded, anything
    /// else is the key itself.
    pub fn parse(value: &[u8]) -> Result<Self, KeyError> {
        let value = value.strip_suffix(b"\r\n").or_else(|| value.strip_suffix(b"\n")).unwrap_or(value);
        if value.is_empty() {
            return Err(KeyError::Empty);
        }
        let Some(encoded) = value.strip_prefix(b"whsec_") else { return Ok(Self(value.to_vec())) };
        match BASE64.decode(encoded) {
            Ok(key) if !key.is_empty() => Ok(Self(key)),
            _ => Err(KeyError::NotBase64),
        }
    }
}

/// Which signatures of a request were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// `webhook-signature`, which covers id, time and body.
    pub standard_webhooks: bool,
    /// `elements-webhook-signature`, which covers the body alone.
    pub elements: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has neither signature.
    #[error("the request is not signed: set spec.callback.signature")]
    Unsigned,
    /// A header that the signature covers is absent or cannot be read.
    #[error("webhook-id or webhook-timestamp is missing or malformed")]
    Malformed,
    /// It was signed too long ago, or in the future.
    #[error("webhook-timestamp is more than five minutes away from this clock")]
    Timestamp,
    /// No accepted secret gives this signature for this body.
    #[error("the signature does not match: sender and receiver must share the secret")]
    Mismatch,
}

/// Checks a request against the accepted keys.
///
/// `webhook-signature` decides when it is there, since it covers the time as well. Without it, the signature of Open Connectors
/// decides; it has no time, so a copied request is accepted again.
pub fn verify(headers: &HeaderMap, body: &[u8], keys: &[Key], now: DateTime<Utc>) -> Result<Proof, Refusal> {
    let elements = headers.get(&ELEMENTS_SIGNATURE).map(|sent| {
        let sent = sent.as_bytes().strip_prefix(b"sha256=").unwrap_or_default();
        keys.iter().any(|key| matches(key, sent, &[body]))
    });
    let Some(signatures) = headers.get(&WEBHOOK_SIGNATURE) else {
        return match elements {
            Some(true) => Ok(Proof { standard_webhooks: false, elements: true }),
            Some(false) => Err(Refusal::Mismatch),
            None => Err(Refusal::Unsigned),
        };
    };
    let id = text(headers, &WEBHOOK_ID)?;
    let timestamp = text(headers, &WEBHOOK_TIMESTAMP)?;
    let signed_at =
        timestamp.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0)).ok_or(Refusal::Malformed)?;
    if (now - signed_at).abs() > TOLERANCE {
        return Err(Refusal::Timestamp);
    }
    let signed: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let is_right = signatures
        .as_bytes()
        .split(|byte| *byte == b' ')
        .filter_map(|one| one.strip_prefix(b"v1,"))
        .any(|sent| keys.iter().any(|key| matches(key, sent, &signed)));
    if !is_right {
        return Err(Refusal::Mismatch);
    }
    Ok(Proof { standard_webhooks: true, elements: elements.unwrap_or(false) })
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Refusal> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty()).ok_or(Refusal::Malformed)
}

fn matches(key: &Key, sent: &[u8], signed: &[&[u8]]) -> bool {
    mac(&key.0, signed).as_bytes().ct_eq(sent).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::sink::http::format::Payload;
    use crate::deliver::sink::http::signature::sign;
    use crate::plan::EventFormat;
    use bytes::Bytes;
    use http::HeaderValue;

    const BODY: &[u8] = br#"{"a":1}"#;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn key(text: &str) -> Key {
        Key::parse(text.as_bytes()).unwrap()
    }

    fn signed(format: EventFormat, keys: &[&str]) -> HeaderMap {
        let payload = Payload { id: "id1".into(), content_type: "application/json", body: Bytes::from_static(BODY) };
        let keys: Vec<_> = keys.iter().map(|text| key(text).0).collect();
        sign(&payload, format, &keys, now())
    }

    fn verdict(headers: &HeaderMap, keys: &[&str]) -> Result<Proof, Refusal> {
        verify(headers, BODY, &keys.iter().map(|text| key(text)).collect::<Vec<_>>(), now())
    }

    #[test]
    fn what_the_sender_signs_is_genuine() {
        let standard = Proof { standard_webhooks: true, elements: false };
        assert_eq!(verdict(&signed(EventFormat::CloudEvents, &["k1"]), &["k1"]), Ok(standard));
        let both = Proof { standard_webhooks: true, elements: true };
        assert_eq!(verdict(&signed(EventFormat::OpenConnectors, &["k1"]), &["k1"]), Ok(both));
    }

    #[test]
    fn while_a_key_rotates_either_side_may_know_both() {
        let rotating = signed(EventFormat::OpenConnectors, &["new", "old"]);
        for keys in [&["new"][..], &["old"], &["old", "new"], &["other", "old"]] {
            assert!(verdict(&rotating, keys).is_ok_and(|proof| proof.standard_webhooks), "{keys:?}");
        }
        assert!(verdict(&signed(EventFormat::CloudEvents, &["old"]), &["new", "old"]).is_ok());
        assert_eq!(verdict(&rotating, &["other"]), Err(Refusal::Mismatch));
        assert_eq!(verdict(&rotating, &[]), Err(Refusal::Mismatch));
    }

    #[test]
    fn open_connectors_alone_is_enough_where_nothing_better_is_sent() {
        let mut headers = signed(EventFormat::OpenConnectors, &["k1"]);
        headers.remove(&WEBHOOK_SIGNATURE);
        assert_eq!(verdict(&headers, &["k1"]), Ok(Proof { standard_webhooks: false, elements: true }));
        assert_eq!(verdict(&headers, &["k2"]), Err(Refusal::Mismatch));
        headers.insert(ELEMENTS_SIGNATURE, HeaderValue::from_static("sha256="));
        assert_eq!(verdict(&headers, &["k1"]), Err(Refusal::Mismatch));
    }

    #[test]
    fn a_right_weak_signature_does_not_heal_a_wrong_strong_one() {
        let mut headers = signed(EventFormat::OpenConnectors, &["k1"]);
        headers.insert(WEBHOOK_SIGNATURE, HeaderValue::from_static("v1,AAAA"));
        assert_eq!(verdict(&headers, &["k1"]), Err(Refusal::Mismatch));
    }

    #[test]
    fn id_time_and_body_are_covered() {
        let genuine = signed(EventFormat::CloudEvents, &["k1"]);
        for (name, value) in [(WEBHOOK_ID, "id2"), (WEBHOOK_TIMESTAMP, "1800000001")] {
            let mut headers = genuine.clone();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(verdict(&headers, &["k1"]), Err(Refusal::Mismatch));
        }
        assert_eq!(verify(&genuine, br#"{"a":2}"#, &[key("k1")], now()), Err(Refusal::Mismatch));
    }

    #[test]
    fn unsigned_and_malformed_requests_are_told_apart() {
        assert_eq!(verdict(&signed(EventFormat::OpenConnectors, &[]), &["k1"]), Err(Refusal::Unsigned));
        for name in [WEBHOOK_ID, WEBHOOK_TIMESTAMP] {
            let mut headers = signed(EventFormat::CloudEvents, &["k1"]);
            headers.remove(&name);
            assert_eq!(verdict(&headers, &["k1"]), Err(Refusal::Malformed), "{name}");
            headers.insert(name, HeaderValue::from_static(""));
            assert_eq!(verdict(&headers, &["k1"]), Err(Refusal::Malformed));
        }
        for text in ["now", "1.5", "99999999999999999999", "9223372036854775807"] {
            let mut headers = signed(EventFormat::CloudEvents, &["k1"]);
            headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from_static(text));
            assert_eq!(verdict(&headers, &["k1"]), Err(Refusal::Malformed), "{text}");
        }
    }

    #[test]
    fn five_minutes_are_tolerated_in_both_directions() {
        let headers = signed(EventFormat::CloudEvents, &["k1"]);
        let at = |seconds| verify(&headers, BODY, &[key("k1")], now() + chrono::Duration::seconds(seconds));
        for seconds in [-300, 0, 300] {
            assert!(at(seconds).is_ok(), "{seconds}");
        }
        for seconds in [-301, 301] {
            assert_eq!(at(seconds), Err(Refusal::Timestamp), "{seconds}");
        }
    }

    #[test]
    fn secrets_are_read_as_the_sender_reads_them() {
        for (value, expected) in [
            ("raw", Ok(&b"raw"[..])),
            ("raw\n", Ok(b"raw")),
            ("raw\r\n", Ok(b"raw")),
            ("raw\n\n", Ok(b"raw\n")),
            ("two\nlines", Ok(b"two\nlines")),
            ("whsec_AQID", Ok(&[1, 2, 3])),
            ("whsec_AQ", Ok(&[1])),
            ("whsec_AQ==", Ok(&[1])),
            ("whsec_AQID\n", Ok(&[1, 2, 3])),
            ("", Err(KeyError::Empty)),
            ("\n", Err(KeyError::Empty)),
            ("whsec_", Err(KeyError::NotBase64)),
            ("whsec_%%%", Err(KeyError::NotBase64)),
            ("whsec_AQID\nwhsec_AQIE", Err(KeyError::NotBase64)),
        ] {
            assert_eq!(Key::parse(value.as_bytes()).map(|key| key.0), expected.map(<[u8]>::to_vec), "{value:?}");
        }
    }

    #[test]
    fn debug_does_not_show_a_key() {
        assert_eq!(format!("{:?}", key("s3cr3t")), "Key(…)");
    }
}
