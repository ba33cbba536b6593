//! JSON Web Tokens that this side signs: assertions of RFC 7523. Pure.
//!
//! The same token serves as a grant (§2.1, `urn:ietf:params:oauth:grant-type:jwt-bearer`) and as the authentication of a client
//! (§2.2, `private_key_jwt` of `OpenID` Connect Core §9). The kind of the key decides the algorithm: RSA → RS256, P-256 → ES256,
//! P-384 → ES384, Ed25519 → `EdDSA`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::Signer;
use rustls::{SignatureAlgorithm, SignatureScheme};
use serde_json::{Map, Value, json};

/// The longest life of an assertion: it is used at once, and a stolen one should be worth little.
pub const LONGEST: Duration = Duration::from_mins(5);

/// What an assertion says (RFC 7523 §3).
#[derive(Clone, Debug)]
pub struct Claims<'a> {
    /// `iss`: who signs; for the authentication of a client its id.
    pub issuer: &'a str,
    /// `sub`: for whom a token is asked; for the authentication of a client its id.
    pub subject: &'a str,
    /// `aud`: who is to believe it, as a rule the URL of the token endpoint.
    pub audience: &'a str,
    /// `iat`, and `exp` together with the life time.
    pub issued_at: DateTime<Utc>,
    /// At most [`LONGEST`]; parts of a second are not counted.
    pub lifetime: Duration,
    /// `jti`: never the same twice, so that a server can refuse a replay.
    pub id: &'a str,
    /// Further claims, such as `scope`; those above cannot be replaced.
    pub extra: &'a Map<String, Value>,
}

/// Why an assertion cannot be signed. Holds nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtProblem {
    /// No private key in PEM.
    #[error("is not a private key in PEM")]
    NotPem,
    /// A key under a password.
    #[error("is encrypted with a password")]
    Encrypted,
    /// A key of a kind that cannot be used, or one that is damaged.
    #[error("is not an RSA (2048 bits or more), P-256, P-384 or Ed25519 key")]
    UnsupportedKey,
    /// A life time of less than a second, or of more than [`LONGEST`].
    #[error("the lifetime of an assertion must be between 1s and 5m")]
    Lifetime,
    /// Signing failed, which is a defect or a lack of randomness.
    #[error("signing failed")]
    Signing,
}

/// Signs an assertion in the compact form of RFC 7515 §7.1.
///
/// `key_pem` is a private key in PEM: PKCS#8, PKCS#1 or SEC1. `key_id` says which of the keys that the server knows this is (`kid`).
///
/// # Errors
/// [`JwtProblem`].
pub fn sign_assertion(key_pem: &[u8], claims: &Claims<'_>, key_id: Option<&str>) -> Result<String, JwtProblem> {
    let seconds = i64::try_from(claims.lifetime.as_secs()).map_err(|_| JwtProblem::Lifetime)?;
    if seconds < 1 || claims.lifetime > LONGEST {
        return Err(JwtProblem::Lifetime);
    }
    let key = Key::read(key_pem)?;
    let mut header = json!({ "alg": key.algorithm.name(), "typ": "JWT" });
    if let Some(id) = key_id {
        header["kid"] = id.into();
    }
    let mut body = claims.extra.clone();
    let now = claims.issued_at.timestamp();
    for (name, value) in [
        ("iss", json!(claims.issuer)),
        ("sub", json!(claims.subject)),
        ("aud", json!(claims.audience)),
        ("iat", json!(now)),
        ("exp", json!(now + seconds)),
        ("jti", json!(claims.id)),
    ] {
        body.insert(name.to_owned(), value);
    }
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let input = format!("{}.{}", encode(&header), encode(&Value::Object(body)));
    let signature = key.sign(input.as_bytes())?;
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// RFC 7518 §3.1, RFC 8037 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn scheme(self) -> SignatureScheme {
        match self {
            Self::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
            Self::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::Es384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Self::EdDsa => SignatureScheme::ED25519,
        }
    }
}

struct Key {
    algorithm: Algorithm,
    signer: Box<dyn Signer>,
}

impl Key {
    fn read(pem: &[u8]) -> Result<Self, JwtProblem> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
            let is_encrypted = pem.windows(9).any(|part| part == b"ENCRYPTED");
            if is_encrypted { JwtProblem::Encrypted } else { JwtProblem::NotPem }
        })?;
        let key = any_supported_type(&der).map_err(|_| JwtProblem::UnsupportedKey)?;
        let candidates: &[Algorithm] = match key.algorithm() {
            SignatureAlgorithm::RSA => &[Algorithm::Rs256],
            SignatureAlgorithm::ECDSA => &[Algorithm::Es256, Algorithm::Es384],
            SignatureAlgorithm::ED25519 => &[Algorithm::EdDsa],
            _ => &[],
        };
        let usable = candidates.iter().find_map(|algorithm| {
            let signer = key.choose_scheme(&[algorithm.scheme()])?;
            Some(Self { algorithm: *algorithm, signer })
        });
        usable.ok_or(JwtProblem::UnsupportedKey)
    }

    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, JwtProblem> {
        let signature = self.signer.sign(input).map_err(|_| JwtProblem::Signing)?;
        match self.algorithm {
            Algorithm::Rs256 | Algorithm::EdDsa => Ok(signature),
            Algorithm::Es256 => fixed(&signature, 32).ok_or(JwtProblem::Signing),
            Algorithm::Es384 => fixed(&signature, 48).ok_or(JwtProblem::Signing),
        }
    }
}

/// A signature of TLS, `SEQUENCE { INTEGER r, INTEGER s }` in DER, as JWS wants it: both as octets of a fixed length (RFC 7518 §3.4).
fn fixed(der: &[u8], length: usize) -> Option<Vec<u8>> {
    /// The octets of one DER element with a length below 128, and what follows it.
    fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
        let (head, rest) = der.split_first_chunk::<2>()?;
        if head[0] != tag || head[1] >= 128 {
            return None;
        }
        rest.split_at_checked(head[1].into())
    }
    // Both numbers of P-384 with their heads take less than 128 octets.
    let (sequence, _) = element(0x30, der)?;
    let (r, rest) = element(0x02, sequence)?;
    let (s, _) = element(0x02, rest)?;
    let mut out = Vec::with_capacity(2 * length);
    for number in [r, s] {
        let digits = number.iter().position(|octet| *octet != 0).map_or(&[][..], |first| &number[first..]);
        out.resize(out.len() + length.checked_sub(digits.len())?, 0);
        out.extend_from_slice(digits);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey, VerificationAlgorithm,
    };

    const RSA_PKCS1: &[u8] = include_bytes!("../../tests/data/keys/rfc7515-a2-rsa-pkcs1.pem");
    const RSA_PKCS8: &[u8] = include_bytes!("../../tests/data/keys/rfc7515-a2-rsa-pkcs8.pem");
    const EC_SEC1: &[u8] = include_bytes!("../../tests/data/keys/rfc7515-a3-ec-sec1.pem");
    const ED25519_PKCS8: &[u8] = include_bytes!("../../tests/data/keys/rfc8037-a1-ed25519-pkcs8.pem");
    const ENCRYPTED: &[u8] = include_bytes!("../../tests/data/keys/encrypted.pem");
    const RSA_1024: &[u8] = include_bytes!("../../tests/data/keys/rsa-1024.pem");

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn claims(extra: &Map<String, Value>) -> Claims<'_> {
        Claims {
            issuer: "client",
            subject: "alice",
            audience: "https://auth.example/token",
            issued_at: "2026-01-31T10:00:00.9Z".parse().unwrap(),
            lifetime: Duration::from_mins(1),
            id: "one",
            extra,
        }
    }

    fn sign(pem: &[u8]) -> Result<String, JwtProblem> {
        sign_assertion(pem, &claims(&Map::new()), Some("k1"))
    }

    /// Whether the signature of a compact token is valid.
    fn holds(token: &str, algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> bool {
        let (input, signature) = token.rsplit_once('.').unwrap();
        UnparsedPublicKey::new(algorithm, key).verify(input.as_bytes(), &decode(signature)).is_ok()
    }

    fn part(token: &str, index: usize) -> Value {
        serde_json::from_slice(&decode(token.split('.').nth(index).unwrap())).unwrap()
    }

    #[test]
    fn signatures_are_those_of_the_rfcs() {
        // RFC 7515, appendix A.2
        let signed = concat!(
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t",
            "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j",
            "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ",
            "Ge77Rw"
        );
        let (input, signature) = signed.rsplit_once('.').unwrap();
        for pem in [RSA_PKCS1, RSA_PKCS8] {
            assert_eq!(Key::read(pem).unwrap().sign(input.as_bytes()).unwrap(), decode(signature));
        }
        // RFC 8037, appendix A.4
        let (input, signature) = (
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
        assert_eq!(Key::read(ED25519_PKCS8).unwrap().sign(input.as_bytes()).unwrap(), decode(signature));
    }

    /// The public key of RFC 7515, appendix A.3, as an uncompressed point.
    fn ec_public() -> Vec<u8> {
        let x = decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        let y = decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        [vec![4], x, y].concat()
    }

    #[test]
    fn every_kind_of_key_signs_with_its_algorithm() {
        let token = sign(EC_SEC1).unwrap();
        assert_eq!(part(&token, 0), json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}));
        assert!(holds(&token, &ECDSA_P256_SHA256_FIXED, &ec_public()));

        let token = sign(ED25519_PKCS8).unwrap();
        assert_eq!(part(&token, 0)["alg"], "EdDSA");
        assert!(holds(&token, &ED25519, &decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")));

        let token = sign(RSA_PKCS8).unwrap();
        assert_eq!(part(&token, 0)["alg"], "RS256");
        let key = Key::read(RSA_PKCS8).unwrap();
        assert_eq!(key.algorithm, Algorithm::Rs256);

        // as `openssl` and Kubernetes tools write it
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let token = sign(p384.serialize_pem().as_bytes()).unwrap();
        assert_eq!(part(&token, 0)["alg"], "ES384");
        assert!(holds(&token, &ECDSA_P384_SHA384_FIXED, rcgen::PublicKeyData::der_bytes(&p384)));
    }

    #[test]
    fn short_numbers_of_a_signature_are_padded() {
        // one in 128 signatures has such a number
        for _ in 0..600 {
            assert!(holds(&sign(EC_SEC1).unwrap(), &ECDSA_P256_SHA256_FIXED, &ec_public()));
        }
        assert_eq!(fixed(&[0x30, 6, 2, 1, 5, 2, 1, 0], 2), Some(vec![0, 5, 0, 0]));
        assert_eq!(fixed(&[0x30, 8, 2, 2, 0, 0x80, 2, 2, 0, 0xff], 2), Some(vec![0, 0x80, 0, 0xff]));
        for damaged in [&[][..], &[0x30], &[0x30, 6, 2, 1, 5, 2, 9, 0], &[0x31, 0], &[0x30, 9, 2, 3, 1, 1, 1, 2, 2, 1, 1]] {
            assert_eq!(fixed(damaged, 2), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_token_that_was_changed_or_signed_by_another_does_not_hold() {
        let token = sign(EC_SEC1).unwrap();
        let (head, rest) = token.split_once('.').unwrap();
        let forged = format!("{head}.{}.{}", URL_SAFE_NO_PAD.encode("{\"sub\":\"mallory\"}"), rest.split_once('.').unwrap().1);
        assert!(!holds(&forged, &ECDSA_P256_SHA256_FIXED, &ec_public()));
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let token = sign(other.serialize_pem().as_bytes()).unwrap();
        assert!(!holds(&token, &ECDSA_P256_SHA256_FIXED, &ec_public()));
        assert!(holds(&token, &ECDSA_P256_SHA256_FIXED, rcgen::PublicKeyData::der_bytes(&other)));
    }

    #[test]
    fn the_claims_are_those_of_rfc_7523() {
        let extra = json!({"scope": "read write", "iss": "mallory", "exp": 9_999_999_999_i64});
        let token = sign_assertion(EC_SEC1, &claims(extra.as_object().unwrap()), None).unwrap();
        let expected = json!({
            "iss": "client", "sub": "alice", "aud": "https://auth.example/token", "iat": 1_769_853_600, "exp": 1_769_853_660,
            "jti": "one", "scope": "read write",
        });
        assert_eq!(part(&token, 1), expected);
        assert_eq!(part(&token, 0), json!({"alg": "ES256", "typ": "JWT"}));
        assert!(token.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)), "{token}");
    }

    #[test]
    fn what_cannot_be_used_is_said_without_showing_it() {
        let mut damaged = RSA_PKCS8.to_vec();
        damaged[400] = if damaged[400] == b'A' { b'B' } else { b'A' };
        for (pem, problem) in [
            (&b""[..], JwtProblem::NotPem),
            (b"canary", JwtProblem::NotPem),
            (b"-----BEGIN PRIVATE KEY-----\ncanary!\n-----END PRIVATE KEY-----\n", JwtProblem::NotPem),
            (b"-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n", JwtProblem::UnsupportedKey),
            (ENCRYPTED, JwtProblem::Encrypted),
            (RSA_1024, JwtProblem::UnsupportedKey),
            (&damaged, JwtProblem::UnsupportedKey),
        ] {
            assert_eq!(sign(pem), Err(problem), "{}", String::from_utf8_lossy(pem));
        }
        let extra = Map::new();
        for lifetime in [Duration::ZERO, Duration::from_millis(999), LONGEST + Duration::from_millis(1), Duration::MAX] {
            let claims = Claims { lifetime, ..claims(&extra) };
            assert_eq!(sign_assertion(EC_SEC1, &claims, None), Err(JwtProblem::Lifetime), "{lifetime:?}");
        }
        assert!(sign_assertion(EC_SEC1, &Claims { lifetime: LONGEST, ..claims(&extra) }, None).is_ok());
    }

    #[test]
    fn the_public_half_of_the_rsa_key_verifies_what_it_signs() {
        let n = concat!(
            "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC",
            "gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg66",
            "5xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
        );
        let token = sign(RSA_PKCS1).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let (n, e) = (decode(n), decode("AQAB"));
        let key = RsaPublicKeyComponents { n: &n, e: &e };
        assert!(key.verify(&RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &decode(signature)).is_ok());
        assert!(key.verify(&RSA_PKCS1_2048_8192_SHA256, b"other", &decode(signature)).is_err());
    }
}
