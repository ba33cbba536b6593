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

/// The identity and signature headers of one try. Without a key there is no signature and no timestamp to be believed.
pub fn sign(payload: &Payload, format: EventFormat, keys: &[Vec<u8>], now: DateTime<Utc>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    set(&mut headers, WEBHOOK_ID, &payload.id);
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
