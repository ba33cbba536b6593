//! `$(NAME)` in arguments and variables, and what stands for a network namespace.

use std::net::Ipv4Addr;

/// Replaces `$(NAME)` by a variable's value. `$$` is a `$`; an unknown name stays as it is (Kubernetes' "dependent variables").
pub fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let named = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match named {
            Some((name, after)) => {
                out.push_str(&value(name).unwrap_or_else(|| format!("$({name})")));
                rest = after;
            }
            None => out.push('$'),
        }
    }
    out + rest
}

/// A pod listens at all of its addresses, and they are its own. A process shares those of the machine, so that "all" is made the
/// pod's one.
pub fn own_address(text: &str, pod: Ipv4Addr) -> String {
    let text = text.replace("[::]:", &format!("{pod}:"));
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.');
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("0.0.0.0") {
        let (before, after) = (&rest[..at], &rest[at + 7..]);
        // nor a network such as 0.0.0.0/0, nor 10.0.0.0
        let is_address = !is_part(before.as_bytes().last()) && !is_part(after.as_bytes().first()) && !after.starts_with('/');
        out.push_str(before);
        out.push_str(&if is_address { pod.to_string() } else { "0.0.0.0".to_owned() });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_as_kubernetes_does() {
        let value = |name: &str| (name == "A").then(|| "x$(A)".to_owned());
        for (text, want) in [
            ("", ""),
            ("$(A)", "x$(A)"),
            ("-$(A)/$(A)-", "-x$(A)/x$(A)-"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$x$(A)"),
            ("$A $ $( $(A", "$A $ $( $(A"),
            ("price: 5$", "price: 5$"),
        ] {
            assert_eq!(expand(text, value), want, "{text}");
        }
    }

    #[test]
    fn all_addresses_become_the_pod_s() {
        let pod = Ipv4Addr::new(127, 1, 2, 3);
        for (text, want) in [
            ("--listen=0.0.0.0:8080", "--listen=127.1.2.3:8080"),
            ("[::]:8080", "127.1.2.3:8080"),
            ("0.0.0.0", "127.1.2.3"),
            ("10.0.0.0:80", "10.0.0.0:80"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("0.0.0.01", "0.0.0.01"),
        ] {
            assert_eq!(own_address(text, pod), want);
        }
    }
}
