//! What connections have of their own in TLS: a client certificate with its key (RFC 8705), authorities that are trusted in addition, or both.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use sha2::{Digest as _, Sha256};

/// A client certificate that was read and fits its key, authorities, or both. Its `Debug` shows neither.
pub struct Identity {
    pub(super) certificate: Option<ClientCertificate>,
    /// Authorities that are trusted in addition, in DER.
    pub(super) authorities: Vec<Vec<u8>>,
    /// Identifies an identity: of all of the above.
    pub(super) fingerprint: [u8; 32],
}

/// A certificate with its key.
pub struct ClientCertificate {
    /// Certificate, chain and key in PEM, as the client takes them.
    pub(super) pem: Vec<u8>,
    /// It holds from here on.
    pub not_before: DateTime<Utc>,
    /// It holds until then.
    pub not_after: DateTime<Utc>,
}

/// Why there is no identity. Holds nothing of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFault {
    /// The certificate is no PEM.
    Certificate,
    /// The key is no PEM.
    Key,
    /// The key is under a password.
    EncryptedKey,
    /// The key is damaged or of a kind that cannot be used.
    UnsupportedKey,
    /// The key belongs to another certificate.
    Mismatch,
    /// The authorities are no PEM.
    Authorities,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not_after = self.certificate.as_ref().map(|certificate| certificate.not_after);
        f.debug_struct("Identity").field("not_after", &not_after).finish_non_exhaustive()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Identity {}

impl Identity {
    /// Reads PEM: the certificate with its chain, its key (PKCS#8, PKCS#1 or SEC1), and authorities that are trusted in addition.
    ///
    /// # Errors
    /// [`IdentityFault`].
    pub fn read(certificate: &[u8], key: &[u8], authorities: Option<&[u8]>) -> Result<Self, IdentityFault> {
        let chain = certificates(certificate).ok_or(IdentityFault::Certificate)?;
        let der = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            let is_encrypted = key.windows(9).any(|part| part == b"ENCRYPTED");
            if is_encrypted { IdentityFault::EncryptedKey } else { IdentityFault::Key }
        })?;
        let signing = any_supported_type(&der).map_err(|_| IdentityFault::UnsupportedKey)?;
        match CertifiedKey::new(chain.clone(), signing).keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => return Err(IdentityFault::Mismatch),
            Err(_) => return Err(IdentityFault::Certificate),
        }
        let authorities = authorities.map(trusted).transpose()?.unwrap_or_default();
        let (not_before, not_after) = validity(&chain[0]).ok_or(IdentityFault::Certificate)?;
        let parts = chain.iter().map(AsRef::as_ref).chain(authorities.iter().map(Vec::as_slice)).chain([der.secret_der()]);
        let fingerprint = digest(parts);
        let certificate = ClientCertificate { pem: [certificate, b"\n", key].concat(), not_before, not_after };
        Ok(Self { certificate: Some(certificate), authorities, fingerprint })
    }

    /// Shows no certificate, and trusts these authorities, in PEM, in addition.
    ///
    /// # Errors
    /// [`IdentityFault::Authorities`].
    pub fn trusting(authorities: &[u8]) -> Result<Self, IdentityFault> {
        let authorities = trusted(authorities)?;
        let fingerprint = digest(authorities.iter().map(Vec::as_slice));
        Ok(Self { certificate: None, authorities, fingerprint })
    }

    /// The same, and trusts the authorities of the other, too.
    #[must_use]
    pub fn and_authorities_of(self, other: Self) -> Self {
        let fingerprint = digest([&self.fingerprint[..], &other.fingerprint]);
        Self { authorities: [self.authorities, other.authorities].concat(), fingerprint, ..self }
    }

    /// The certificate that is shown.
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_ref()
    }

    /// A number that is the same for the same identity, and reveals nothing about it.
    pub fn number(&self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|index| self.fingerprint[index]))
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Authorities in DER. Each is one that certificates can be verified against: the client would not be built with another.
fn trusted(pem: &[u8]) -> Result<Vec<Vec<u8>>, IdentityFault> {
    let found = certificates(pem).ok_or(IdentityFault::Authorities)?;
    let usable = found.iter().all(|authority| RootCertStore::empty().add(authority.clone()).is_ok());
    let authorities = found.iter().map(|authority| authority.to_vec()).collect();
    if usable { Ok(authorities) } else { Err(IdentityFault::Authorities) }
}

/// All certificates; `None`: there is none, or one of them is damaged.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

/// From when and until when a certificate holds (RFC 5280 §4.1.2.5).
fn validity(certificate: &[u8]) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, whole, _) = element(certificate)?;
    let (tag, mut fields, _) = element(whole)?;
    if tag != SEQUENCE {
        return None;
    }
    if element(fields)?.0 == VERSION {
        fields = element(fields)?.2;
    }
    // serialNumber, signature, issuer
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (SEQUENCE, validity, _) = element(fields)? else { return None };
    let (tag, from, rest) = element(validity)?;
    let (until_tag, until, _) = element(rest)?;
    Some((time(tag, from)?, time(until_tag, until)?))
}

/// Tag, content and what follows of the first element in DER.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn time(tag: u8, text: &[u8]) -> Option<DateTime<Utc>> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // Two digits of the year: from 50 on the last century's.
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    Some(NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok()?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn issued(until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(1999, 12, 31), date_time_ymd(until, 1, 2));
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn what_fits_together_is_read_with_its_time() {
        for until in [2026, 2049, 2050, 2100] {
            let (certificate, key) = issued(until);
            let identity = Identity::read(certificate.as_bytes(), key.as_bytes(), None).unwrap();
            let own = identity.certificate().unwrap();
            assert_eq!(own.not_before.to_rfc3339(), "1999-12-31T00:00:00+00:00");
            assert_eq!(own.not_after.to_rfc3339(), format!("{until}-01-02T00:00:00+00:00"));
            let again = Identity::read(certificate.as_bytes(), key.as_bytes(), Some(certificate.as_bytes())).unwrap();
            assert_ne!(identity.number(), again.number(), "other authorities are another identity");
            let shown = format!("{identity:?}");
            assert!(!shown.contains("BEGIN") && !shown.contains("pem"), "{shown}");
        }
    }

    #[test]
    fn authorities_alone_show_no_certificate_and_add_to_those_of_one() {
        let ((certificate, key), (other, _)) = (issued(2100), issued(2100));
        let trusting = |pem: &str| Identity::trusting(pem.as_bytes()).unwrap();
        let both = trusting(&format!("{certificate}{other}"));
        assert!(both.certificate().is_none());
        assert_eq!(both.authorities.len(), 2);
        assert_ne!(both, trusting(&other), "others are another identity");
        let identity = || Identity::read(certificate.as_bytes(), key.as_bytes(), Some(certificate.as_bytes())).unwrap();
        let added = identity().and_authorities_of(trusting(&other));
        assert!(added.certificate().is_some());
        assert_eq!((added.authorities.len(), added == identity()), (2, false));
        for damaged in ["", "authority", &key, &certificate.replace("MII", "AAA")] {
            assert_eq!(Identity::trusting(damaged.as_bytes()).err(), Some(IdentityFault::Authorities), "{damaged}");
        }
        // what is Base64 between the right lines is not a certificate yet
        let no_certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert_eq!(Identity::trusting(no_certificate.as_bytes()).err(), Some(IdentityFault::Authorities));
    }

    #[test]
    fn what_does_not_fit_is_told_apart() {
        let ((certificate, key), (_, other)) = (issued(2100), issued(2100));
        let encrypted = include_bytes!("../../tests/data/keys/encrypted.pem");
        let short = include_bytes!("../../tests/data/keys/rsa-1024.pem");
        let (certificate, key) = (certificate.as_bytes(), key.as_bytes());
        let damaged = String::from_utf8(certificate.to_vec()).unwrap().replace("MII", "AAA");
        for (certificate, key, authorities, fault) in [
            (&b""[..], key, None, IdentityFault::Certificate),
            (key, key, None, IdentityFault::Certificate),
            (damaged.as_bytes(), key, None, IdentityFault::Certificate),
            (certificate, b"", None, IdentityFault::Key),
            (certificate, certificate, None, IdentityFault::Key),
            (certificate, encrypted, None, IdentityFault::EncryptedKey),
            (certificate, short, None, IdentityFault::UnsupportedKey),
            (certificate, other.as_bytes(), None, IdentityFault::Mismatch),
            (certificate, key, Some(&b"authority"[..]), IdentityFault::Authorities),
        ] {
            let read = Identity::read(certificate, key, authorities);
            assert_eq!(read.err(), Some(fault), "{}", String::from_utf8_lossy(certificate));
        }
    }

    #[test]
    fn a_damaged_certificate_has_no_validity_and_harms_nobody() {
        let (certificate, _) = issued(2100);
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        for end in 0..der.len() {
            assert_eq!(validity(&der[..end]), None, "cut at {end}");
        }
        for index in 0..der.len().min(200) {
            for bit in 0..8 {
                let mut bent = der.to_vec();
                bent[index] ^= 1 << bit;
                let _ = validity(&bent);
            }
        }
    }
}
