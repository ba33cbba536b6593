//! The client certificate of an instance, from its Secret.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::secrets::{Referenced, Secret, Secrets};
use crate::api::conditions::Problem;
use crate::egress::identity::{Identity, IdentityFault};

/// Keys of a Secret of type `kubernetes.io/tls`, and the one that it may have in addition.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";
/// The field that a message names.
const FIELD: &str = "spec.tls.clientCertificateRef";

/// The client certificate in the Secret of that name.
///
/// # Errors
/// `SecretNotFound`, `SecretKeyMissing`; `SecretInvalid` for what is no PEM, a key that belongs to another certificate, and a
/// certificate that does not hold now.
pub fn client_identity(
    namespace: &str,
    name: &str,
    secrets: &dyn Secrets,
    now: DateTime<Utc>,
) -> Result<Arc<Identity>, Problem> {
    identity_in(namespace, name, secrets.get(namespace, name), now)
}

/// The same from a Secret that was read.
pub(super) fn identity_in(
    namespace: &str,
    name: &str,
    secret: Option<Arc<Secret>>,
    now: DateTime<Utc>,
) -> Result<Arc<Identity>, Problem> {
    let found = Referenced::given(FIELD, namespace, name, secret)?;
    let (certificate, key, authorities) = (found.required(CERTIFICATE)?, found.required(KEY)?, found.optional(AUTHORITIES)?);
    let identity = Identity::read(certificate, key, authorities).map_err(|fault| match fault {
        IdentityFault::Certificate => found.invalid(CERTIFICATE, "is not a certificate in PEM", "store it with its chain"),
        IdentityFault::Key => found.invalid(KEY, "is not a private key in PEM", "store it as PKCS#8, PKCS#1 or SEC1"),
        IdentityFault::EncryptedKey => found.invalid(KEY, "is encrypted with a password", "store it without one"),
        IdentityFault::UnsupportedKey => {
            found.invalid(KEY, "is not an RSA (2048 bits or more), P-256, P-384 or Ed25519 key", "use one of these")
        }
        IdentityFault::Mismatch => found.invalid(
            KEY,
            &format!("belongs to another certificate than {CERTIFICATE}"),
            "store the two that belong together",
        ),
        IdentityFault::Authorities => found.invalid(
            AUTHORITIES,
            "is not a certificate in PEM",
            "store the authorities of the provider, or remove the key",
        ),
    })?;
    if now >= identity.not_after {
        return Err(found.invalid(CERTIFICATE, "has expired", "renew it"));
    }
    if now < identity.not_before {
        return Err(found.invalid(CERTIFICATE, "is not valid yet", "renew it, or correct the clock"));
    }
    Ok(Arc::new(identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::Reason;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        let (certificate, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        let other = KeyPair::generate().unwrap().serialize_pem();
        let now = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let read = |entries: &[(&str, &str)], at: &str| {
            let secret = entries.iter().map(|(key, value)| (*key, value.as_bytes())).collect::<Secret>();
            identity_in("crm", "s", Some(Arc::new(secret)), now(at)).map(drop)
        };
        let good = [(CERTIFICATE, certificate.as_str()), (KEY, key.as_str())];
        assert_eq!(read(&good, "2029-12-31T23:59:59Z"), Ok(()));
        assert_eq!(identity_in("crm", "s", None, now("2025-01-01T00:00:00Z")).unwrap_err().reason, Reason::SecretNotFound);
        for (entries, at, reason, words) in [
            (&good[..1], "2025-01-01T00:00:00Z", Reason::SecretKeyMissing, "no key tls.key"),
            (&good[1..], "2025-01-01T00:00:00Z", Reason::SecretKeyMissing, "no key tls.crt"),
            (&good, "2030-01-01T00:00:00Z", Reason::SecretInvalid, "tls.crt of Secret s has expired; renew it"),
            (&good, "2019-01-01T00:00:00Z", Reason::SecretInvalid, "tls.crt of Secret s is not valid yet"),
            (
                &[good[0], (KEY, other.as_str())],
                "2025-01-01T00:00:00Z",
                Reason::SecretInvalid,
                "tls.key of Secret s belongs to another certificate than tls.crt",
            ),
            (
                &[good[0], (KEY, "canary")],
                "2025-01-01T00:00:00Z",
                Reason::SecretInvalid,
                "tls.key of Secret s is not a private key",
            ),
            (
                &[good[0], good[1], (AUTHORITIES, "canary")],
                "2025-01-01T00:00:00Z",
                Reason::SecretInvalid,
                "ca.crt of Secret s is not a certificate",
            ),
        ] {
            let problem = read(entries, at).unwrap_err();
            assert_eq!(problem.reason, reason, "{problem}");
            assert!(problem.message.starts_with(FIELD) && problem.message.contains(words), "{problem}");
            assert!(!problem.message.contains("canary"), "{problem}");
        }
    }
}
