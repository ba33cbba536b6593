//! How requests are signed: Standard Webhooks, and the header of Open Connectors. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use super::format::Payload;
use crate::plan::EventFormat;

/// Identity of the request, the same for every try.
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// Time of the try, Unix seconds.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// One signature a key, so that receivers verify while a secret rotates.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// Identity of the request under Open Connectors.
pub const ELEMENTS_ID: HeaderName = HeaderName::from_static("elements-webhook-id");
/// Signature of Open Connectors: Base64, not hexadecimal.
pub const ELEMENTS_SIGNATURE: HeaderName = HeaderName::from_static("elements-webhook-signature");

/// The identity and signature headers of one try. Without a key there are none of Standard Webhooks: a receiver either has all three
/// headers to verify, or none.
pub fn sign(payload: &Payload, format: EventFormat, keys: &[Vec<u8>], now: DateTime<Utc>) -> HeaderMap {
    // Room for what the client adds, too.
    let mut headers = HeaderMap::with_capacity(12);
    if format == EventFormat::OpenConnectors {
        set(&mut headers, ELEMENTS_ID, &payload.id);
        if let Some(key) = keys.first() {
            set(&mut headers, ELEMENTS_SIGNATURE, &format!("sha256={}", mac(key, &[&payload.body])));
        }
    }
    if keys.is_empty() {
        return headers;
    }
    let timestamp = now.timestamp().to_string();
    let signed = [payload.id.as_bytes(), b".", timestamp.as_bytes(), b".", &payload.body];
    let signatures: Vec<_> = keys.iter().map(|key| format!("v1,{}", mac(key, &signed))).collect();
    set(&mut headers, WEBHOOK_ID, &payload.id);
    set(&mut headers, WEBHOOK_TIMESTAMP, &timestamp);
    set(&mut headers, WEBHOOK_SIGNATURE, &signatures.join(" "));
    headers
}

/// HMAC-SHA256 over the parts, in Base64.
#[allow(clippy::expect_used, clippy::missing_panics_doc)] // HMAC takes keys of any length (RFC 2104 §2)
pub fn mac(key: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    BASE64.encode(mac.finalize().into_bytes())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Base64, digits and base32 ids are visible ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use standardwebhooks::Webhook;

    const OLD: &[u8] = b"the old key";
    const NEW: &[u8] = b"the new key";

    fn payload() -> Payload {
        Payload {
            id: "igsofogm4w5duq7m".into(),
            content_type: "application/json",
            body: Bytes::from_static(r#"{"a":"é"}"#.as_bytes()),
        }
    }

    fn signed(format: EventFormat, keys: &[&[u8]], now: DateTime<Utc>) -> HeaderMap {
        let keys: Vec<_> = keys.iter().map(|key| key.to_vec()).collect();
        sign(&payload(), format, &keys, now)
    }

    fn accepts(key: &[u8], body: &[u8], headers: &HeaderMap) -> bool {
        Webhook::from_bytes(key.to_vec()).unwrap().verify(body, headers).is_ok()
    }

    #[test]
    fn the_official_library_accepts_it() {
        for format in [EventFormat::CloudEvents, EventFormat::OpenConnectors] {
            let headers = signed(format, &[NEW], Utc::now());
            assert!(accepts(NEW, &payload().body, &headers), "{format:?}");
            assert!(!accepts(OLD, &payload().body, &headers), "{format:?}");
            assert!(!accepts(NEW, b"another body", &headers), "{format:?}");
        }
    }

    #[test]
    fn while_a_key_rotates_a_receiver_needs_to_know_only_one_of_the_two() {
        let headers = signed(EventFormat::CloudEvents, &[NEW, OLD], Utc::now());
        assert!(accepts(NEW, &payload().body, &headers));
        assert!(accepts(OLD, &payload().body, &headers));
        assert!(!accepts(b"a third key", &payload().body, &headers));
    }

    /// Computed with another implementation of HMAC (Python's).
    #[test]
    fn signatures_have_the_published_form() {
        let headers = signed(EventFormat::OpenConnectors, &[NEW, OLD], DateTime::from_timestamp(1_614_265_330, 0).unwrap());
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        elements-webhook-id: igsofogm4w5duq7m
        elements-webhook-signature: sha256=u2yMYIBgqN2vL9IXPMwoNTScN7Q1DqcJhGnVc1bALL4=
        webhook-id: igsofogm4w5duq7m
        webhook-timestamp: 1614265330
        webhook-signature: v1,Ci9bjYQStxq0T3+Nh174tVom9JmF4CmPVcGWXqbbuME= v1,T/Xa6mJR8QbjRvzR+UiRy7yBX8gn6Fs4IzGyQ5p9ehM=
        ");
    }

    #[test]
    fn the_example_of_the_specification_has_its_signature() {
        // Standard Webhooks, reference implementations: secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mac = mac(&key, &[b"msg_p5jXN8AQM9LWM0D4loKWxJek", b".", b"1614265330", b".", br#"{"test": 2432232314}"#]);
        assert_eq!(mac, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn without_a_key_there_is_no_half_of_the_headers() {
        let names = |format| signed(format, &[], Utc::now()).keys().map(ToString::to_string).collect::<Vec<_>>();
        assert!(names(EventFormat::CloudEvents).is_empty());
        assert_eq!(names(EventFormat::OpenConnectors), ["elements-webhook-id"]);
    }
}
