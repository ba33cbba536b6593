//! The `token` of an instance: another name for its number. It identifies the instance and never authorises a caller.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Bytes of the number.
const NUMBER: usize = 8;

/// The token of the instance with a number. It has 44 characters, as those of Open Connectors have.
pub fn token(number: u64) -> String {
    let mut bytes = [0; 32];
    let (head, tail) = bytes.split_at_mut(NUMBER);
    head.copy_from_slice(&number.to_be_bytes());
    let digest = Sha256::digest(format!("pollinator element token {number}").as_bytes());
    tail.copy_from_slice(&digest[..32 - NUMBER]);
    STANDARD.encode(bytes)
}

/// The number that a token stands for; `None`: it is no token, or a damaged one.
pub fn number(text: &str) -> Option<u64> {
    let bytes = STANDARD.decode(text).ok()?;
    let number = u64::from_be_bytes(bytes.get(..NUMBER)?.try_into().ok()?);
    (token(number) == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_one_number() {
        let known = token(5_000_000_000_000_001);
        assert_eq!(known.len(), 44);
        assert_eq!(number(&known), Some(5_000_000_000_000_001));
        for other in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &known[1..], &known.replace(&known[30..31], "!")]
        {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
