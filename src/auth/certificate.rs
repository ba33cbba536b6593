//! The client certificate of an instance and the authorities that it trusts, from its Secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::secrets::{Referenced, Secret, Secrets};
use crate::api::conditions::Problem;
use crate::egress::identity::{Identity, IdentityFault};
use crate::plan::TlsPlan;

/// Keys of a Secret of type `kubernetes.io/tls`, and the one that it may have in addition.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";

/// The client certificate and the authorities in the Secrets that a plan names.
///
/// # Errors
/// `SecretNotFound`, `SecretKeyMissing`; `SecretInvalid` for what is no PEM, a key that belongs to another certificate, and a
/// certificate that does not hold now.
pub fn tls_identity(
    plan: &TlsPlan,
    namespace: &str,
    secrets: &dyn Secrets,
    now: DateTime<Utc>,
) -> Result<Option<Arc<Identity>>, Problem> {
    let read: BTreeMap<_, _> = plan.secrets().map(|name| (name, secrets.get(namespace, name))).collect();
    identity_in(plan, namespace, &read, now)
}

/// The same from the Secrets of these names.
pub(super) fn identity_in(
    plan: &TlsPlan,
    namespace: &str,
    secrets: &BTreeMap<&str, Option<Arc<Secret>>>,
    now: DateTime<Utc>,
) -> Result<Option<Arc<Identity>>, Problem> {
    let given = |name: &str| secrets.get(name).cloned().flatten();
    let own = plan.client_certificate.as_deref();
    let own = own.map(|name| {
        let field = format!("{}.clientCertificateRef", plan.field);
        client_identity(&Referenced::given(&field, namespace, name, given(name))?, now)
    });
    let trusted = plan.ca_bundle.as_ref().map(|bundle| {
        let field = format!("{}.caBundleRef", plan.field);
        authorities(&Referenced::given(&field, namespace, &bundle.name, given(&bundle.name))?, &bundle.key)
    });
    let identity = match (own.transpose()?, trusted.transpose()?) {
        (Some(own), Some(trusted)) => Some(own.and_authorities_of(trusted)),
        (own, trusted) => own.or(trusted),
    };
    Ok(identity.map(Arc::new))
}

fn authorities(found: &Referenced<'_>, key: &str) -> Result<Identity, Problem> {
    let pem = found.required(key)?;
    Identity::trusting(pem)
        .map_err(|_| found.invalid(key, "is not a certificate in PEM", "store the certificates of the authorities"))
}

fn client_identity(found: &Referenced<'_>, now: DateTime<Utc>) -> Result<Identity, Problem> {
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
    match identity.certificate() {
        Some(own) if now >= own.not_after => Err(found.invalid(CERTIFICATE, "has expired", "renew it")),
        Some(own) if now < own.not_before => {
            Err(found.invalid(CERTIFICATE, "is not valid yet", "renew it, or correct the clock"))
        }
        Some(_) | None => Ok(identity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::Reason;
    use crate::plan::SecretKey;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        let (certificate, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        let other = KeyPair::generate().unwrap().serialize_pem();
        let now = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let plan = TlsPlan { field: "spec.tls", client_certificate: Some("s".to_owned()), ca_bundle: None };
        let read = |entries: &[(&str, &str)], at: &str| {
            let secret = entries.iter().map(|(key, value)| (*key, value.as_bytes())).collect::<Secret>();
            identity_in(&plan, "crm", &BTreeMap::from([("s", Some(Arc::new(secret)))]), now(at)).map(drop)
        };
        let good = [(CERTIFICATE, certificate.as_str()), (KEY, key.as_str())];
        assert_eq!(read(&good, "2029-12-31T23:59:59Z"), Ok(()));
        let missing = identity_in(&plan, "crm", &BTreeMap::new(), now("2025-01-01T00:00:00Z"));
        assert_eq!(missing.unwrap_err().reason, Reason::SecretNotFound);
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
            assert!(
                problem.message.starts_with("spec.tls.clientCertificateRef") && problem.message.contains(words),
                "{problem}"
            );
            assert!(!problem.message.contains("canary"), "{problem}");
        }
    }

    #[test]
    fn authorities_are_read_from_their_key_and_named_with_it() {
        let key = KeyPair::generate().unwrap();
        let pem = CertificateParams::new(vec!["authority".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        let bundle = |key: &str| Some(SecretKey { name: "roots".to_owned(), key: key.to_owned() });
        let secrets = |value: &str| {
            let secret = Secret::from_iter([("corporate.pem", value.as_bytes())]);
            BTreeMap::from([("roots", Some(Arc::new(secret)))])
        };
        let read = |key: &str, secrets: &BTreeMap<&str, Option<Arc<Secret>>>| {
            let plan = TlsPlan { field: "spec.callback.tls", client_certificate: None, ca_bundle: bundle(key) };
            identity_in(&plan, "crm", secrets, Utc::now())
                .map(|identity| identity.is_some_and(|own| own.certificate().is_none()))
        };
        assert_eq!(read("corporate.pem", &secrets(&pem)), Ok(true));
        for (key, secrets, reason, words) in [
            ("corporate.pem", BTreeMap::new(), Reason::SecretNotFound, "Secret roots does not exist in namespace crm"),
            ("ca.crt", secrets(&pem), Reason::SecretKeyMissing, "no key ca.crt"),
            ("corporate.pem", secrets("canary"), Reason::SecretInvalid, "corporate.pem of Secret roots is not a certificate"),
        ] {
            let problem = read(key, &secrets).unwrap_err();
            assert_eq!(problem.reason, reason, "{problem}");
            assert!(
                problem.message.starts_with("spec.callback.tls.caBundleRef: ") && problem.message.contains(words),
                "{problem}"
            );
            assert!(!problem.message.contains("canary"), "{problem}");
        }
    }
}
