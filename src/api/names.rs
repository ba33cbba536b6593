//! What may be the name of an object: the one place that decides it, for manifests, paths and pages alike.

/// Most characters of a label.
const LONGEST_LABEL: usize = 63;
/// Most characters of a subdomain.
const LONGEST_SUBDOMAIN: usize = 253;

/// Whether this is an RFC 1123 label, as namespaces are: at most 63 lower-case letters, digits and dashes, with a letter or digit at both
/// ends.
pub fn is_label(text: &str) -> bool {
    text.len() <= LONGEST_LABEL && is_part(text)
}

/// Whether this is an RFC 1123 subdomain, as names of objects are: at most 253 characters, labels of any length between dots. So `.`, `..`
/// and everything with a slash, a percent sign or a control character is none.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= LONGEST_SUBDOMAIN && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether Pollinator or the protocol sets a header itself, so that a Secret with headers must not: framing of the message, form of the
/// body, identity and signature of the event. `name` is in small letters.
pub fn is_reserved_header(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "connection"
            | "content-length"
            | "content-type"
            | "content-encoding"
            | "transfer-encoding"
            | "accept-encoding"
            | "expect"
            | "keep-alive"
            | "te"
            | "trailer"
            | "upgrade"
            | "user-agent"
    ) || ["proxy-", "webhook-", "ce-", "elements-webhook-"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_an_api_server_accepts() {
        for label in ["a", "0", "crm", "crm-2", "a--b", &"a".repeat(63)] {
            assert!(is_label(label) && is_subdomain(label), "{label}");
        }
        for name in ["keap.eu", "a.b.c", &"a".repeat(64), &format!("{}.b", "a".repeat(251))] {
            assert!(!is_label(name) && is_subdomain(name), "{name}");
        }
        let long = "a".repeat(254);
        for none in [
            "", ".", "..", "...", "a..b", ".a", "a.", "-a", "a-", "a.-b", "A", "ä", "a/b", "../x", "%2e%2e", "a b", "a\n",
            "a\0", "a_b", "a:b", "<b>", &long,
        ] {
            assert!(!is_label(none) && !is_subdomain(none), "{none}");
        }
    }
}
