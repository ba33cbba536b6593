//! Secrets that no output may show.
//!
//! Every secret of the suite is one of these, so that every process's output can be scanned for all of them. A canary is unusual on
//! purpose: found anywhere, in any of the forms below, it is a leak and not a coincidence.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// User of the doubles and of the real servers.
pub const USER: &str = "alice";

/// Password of the real servers; it stands in their configuration.
pub const PASSWORD: &str = "wonderland";

/// Password at the doubles, with characters that encoders change.
pub const ODD_PASSWORD: &str = "canary-pässword/+=%\"<&>7Qz";

/// API key and bearer token.
pub const TOKEN: &str = "canary-token-4fXw9LrT";

/// Value of a secret header.
pub const HEADER: &str = "canary-header-pK2vNs8e";

/// Signing keys in the form of Standard Webhooks: 24 bytes.
pub const SIGNING_KEY: &str = "whsec_Y2FuYXJ5LXNpZ25pbmcta2V5LW5ldy0x";

/// The key before a rotation.
pub const SIGNING_KEY_PREVIOUS: &str = "whsec_Y2FuYXJ5LXNpZ25pbmcta2V5LW9sZC0w";

/// Secret of the OAuth 2.0 client, with characters that encoders change.
pub const CLIENT_SECRET: &str = "canary-client-s:cr%t/+=&7Wq";

/// What every access token, refresh token and code of [`super::oauth_server`] begins with: a number of bytes that Base64 encodes by
/// themselves, so that the rest does not hide it.
pub const OAUTH: &str = "canary-oauth-Jt7R9";

const ALL: [&str; 8] = [PASSWORD, ODD_PASSWORD, TOKEN, HEADER, SIGNING_KEY, SIGNING_KEY_PREVIOUS, CLIENT_SECRET, OAUTH];

/// Every text in which a leak could show.
fn forms() -> Vec<String> {
    let mut forms = Vec::new();
    for secret in ALL {
        forms.push(secret.trim_start_matches("whsec_").to_owned());
        forms.push(STANDARD.encode(secret).trim_end_matches('=').to_owned());
        forms.push(URL_SAFE_NO_PAD.encode(secret));
        forms.push(STANDARD.encode(format!("{USER}:{secret}")).trim_end_matches('=').to_owned());
        forms.push(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string());
        forms.push(secret.escape_default().to_string());
        if let Some(key) = secret.strip_prefix("whsec_") {
            let raw = STANDARD.decode(key).expect("a canary is valid Base64");
            forms.push(String::from_utf8(raw).expect("a canary's bytes are text"));
        }
    }
    forms
}

/// The first secret in the text, in whatever form.
pub fn find_in(text: &str) -> Option<String> {
    forms().into_iter().find(|form| text.contains(form.as_str()))
}

/// The first secret in what a process wrote. Assertions, identity tokens and tokens of pods are no canaries: each is a JWT
/// (RFC 7519), which begins with two JSON objects in Base64.
pub fn find_in_output(text: &str) -> Option<String> {
    let is_jwt = |from: &&str| from.split_once('.').is_some_and(|(head, rest)| is_base64(head) && rest.starts_with("eyJ"));
    let jwt = || text.match_indices("eyJ").map(|(at, _)| &text[at..]).find(is_jwt);
    find_in(text).or_else(|| jwt().map(|from| from.chars().take(40).collect()))
}

fn is_base64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The first file under a folder that shows a secret. Files of tokens hold secrets by their purpose; they may be read by nobody else.
pub fn find_under(folder: &Path) -> Option<String> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let found = if path.is_dir() {
            find_under(&path)
        } else if path.to_string_lossy().trim_end_matches(".new").trim_end_matches('s').ends_with(".oauth-token") {
            let mode = entry.metadata().expect("a file").permissions().mode() & 0o777;
            (mode != 0o600).then(|| format!("mode {mode:o} of {}", path.display()))
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            find_in(&String::from_utf8_lossy(&bytes)).map(|form| format!("{form} in {}", path.display()))
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_secret_in_each_form() {
        for form in forms() {
            assert!(find_in(&format!("level=info header=\"{form}\" next")).is_some(), "{form}");
        }
        assert!(find_in("level=info alice polls Appointments").is_none());
        assert!(find_in_output("assertion=eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJpdCJ9.c2ln").is_some());
        assert!(find_in_output("keyJar eyJournal. eyJhbGci").is_none());
    }
}
