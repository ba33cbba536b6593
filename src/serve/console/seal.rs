//! What a browser keeps for the console without being able to read or change it: text under authenticated encryption (AES-256-GCM,
//! NIST SP 800-38D).

use data_encoding::BASE64URL_NOPAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

/// Bytes of a secret below which it could be guessed.
pub const SHORTEST: usize = 32;

/// The key. Processes with the same one read each other's texts.
pub struct Seal(LessSafeKey);

impl Seal {
    /// With a key that ends with the process.
    pub fn random() -> Self {
        Self::of(&rand::random::<[u8; SHORTEST]>())
    }

    /// With a key that is derived from a secret of at least [`SHORTEST`] bytes.
    pub fn of(secret: &[u8]) -> Self {
        let key: [u8; 32] = Sha256::new().chain_update(b"pollinator console 1\0").chain_update(secret).finalize().into();
        // SHA-256 yields as many bytes as the key needs, so this is always one.
        let key = UnboundKey::new(&AES_256_GCM, &key).unwrap_or_else(|_| unreachable!("a key of another length"));
        Self(LessSafeKey::new(key))
    }

    /// Encrypts a text for a purpose, as Base64 for URLs and cookies. `None` for one that is longer than the cipher takes (64 GiB).
    pub fn close(&self, purpose: &str, text: Vec<u8>) -> Option<String> {
        // Chosen at random, a nonce repeats after some 2^32 texts with a probability below 2^-32: a session gets a new one each few minutes.
        let nonce = rand::random::<[u8; NONCE_LEN]>();
        let mut sealed = text;
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed).ok()?;
        Some(BASE64URL_NOPAD.encode(&[&nonce[..], &sealed].concat()))
    }

    /// Decrypts a text that was encrypted with the same key for the same purpose; `None` for any other.
    pub fn open(&self, purpose: &str, text: &str) -> Option<Vec<u8>> {
        let mut sealed = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let nonce: [u8; NONCE_LEN] = sealed.get(..NONCE_LEN)?.try_into().ok()?;
        let body = &mut sealed[NONCE_LEN..];
        let opened = self.0.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), body).ok()?;
        Some(opened.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_purpose_open_a_text_that_no_one_changed() {
        let seal = Seal::of(&[7; SHORTEST]);
        let sealed = seal.close("session", b"hunter2".to_vec()).unwrap();
        assert_ne!(seal.close("session", b"hunter2".to_vec()).unwrap(), sealed, "each has a nonce of its own");
        assert_eq!(Seal::of(&[7; SHORTEST]).open("session", &sealed).unwrap(), b"hunter2");
        assert_eq!(seal.open("form", &sealed), None);
        assert_eq!(Seal::random().open("session", &sealed), None);
        let mut bytes = BASE64URL_NOPAD.decode(sealed.as_bytes()).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(seal.open("session", &BASE64URL_NOPAD.encode(&bytes)), None, "byte {at}");
            bytes[at] ^= 1;
        }
        for none in ["", "a", "AAAA", "*", &sealed[..20]] {
            assert_eq!(seal.open("session", none), None, "{none}");
        }
    }
}
