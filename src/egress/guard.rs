//! Which addresses may be connected to: a pure check of every address, made at the moment of connecting. Private and special addresses are
//! denied unless the administrator allows them.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::address::{AddressClass, classify, reached};
use super::error::UrlFault;
use super::{EgressError, error::Denial};

/// What the administrator allows beyond public addresses. The default allows nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Networks and hosts that may be asked although they are private.
    pub allow: Vec<AllowRule>,
    /// Loopback may be asked: for commands that run on a person's own machine.
    pub allow_loopback: bool,
    /// The only ports that may be asked, at every host; empty: all.
    pub ports: Vec<u16>,
}

/// One value of `--allow-egress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowRule {
    /// Every address in the network, however it was reached.
    Network(IpNet),
    /// Every address that this host name resolves to; lower case, without a final dot.
    Host(String),
    /// Every address that a host below this domain resolves to; lower case, without a final dot.
    Below(String),
}

/// A value of `--allow-egress` that is neither a network nor a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allow-egress: `{0}` is neither a network such as 10.0.0.0/8 nor a host such as api.example or *.svc.cluster.local")]
pub struct InvalidAllowRule(String);

impl AllowRule {
    /// Reads `10.0.0.0/8`, `fd00::/8`, `10.1.2.3`, `api.example` or `*.svc.cluster.local`.
    pub fn parse(text: &str) -> Result<Self, InvalidAllowRule> {
        let invalid = || InvalidAllowRule(text.to_owned());
        let value = text.trim();
        if value.contains('/') {
            return value.parse::<IpNet>().map(|net| Self::Network(net.trunc())).map_err(|_| invalid());
        }
        let bare = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(value);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Network(IpNet::from(address)));
        }
        let (domain, below) = value.strip_prefix("*.").map_or((value, false), |domain| (domain, true));
        match Host::parse(domain) {
            Ok(Host::Domain(name)) if !name.contains('*') && !name.trim_end_matches('.').is_empty() => {
                let name = name.trim_end_matches('.').to_owned();
                Ok(if below { Self::Below(name) } else { Self::Host(name) })
            }
            _ => Err(invalid()),
        }
    }

    fn names(&self, host: &str) -> bool {
        match self {
            Self::Network(_) => false,
            Self::Host(name) => name == host,
            Self::Below(domain) => host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.')),
        }
    }
}

impl EgressPolicy {
    /// Checks one address that `host` resolved to (or that is in the URL itself).
    ///
    /// Errors: the class that is denied. A metadata address passes only if a rule names exactly that address.
    pub fn judge(&self, host: &str, address: IpAddr) -> Result<(), AddressClass> {
        let Some(class) = classify(address) else { return Ok(()) };
        let reached = reached(address);
        let networks = self.allow.iter().filter_map(|rule| match rule {
            AllowRule::Network(net) => Some(net),
            AllowRule::Host(_) | AllowRule::Below(_) => None,
        });
        let allowed = if class == AddressClass::Metadata {
            networks.into_iter().any(|net| net.prefix_len() == net.max_prefix_len() && net.addr() == reached)
        } else {
            let host = host.trim_end_matches('.');
            (class == AddressClass::Loopback && self.allow_loopback)
                || networks.into_iter().any(|net| net.contains(&reached) || net.contains(&address))
                || self.allow.iter().any(|rule| rule.names(host))
        };
        if allowed { Ok(()) } else { Err(class) }
    }

    /// Checks a URL before it is requested: scheme, user information, port, and the address if the host is one. Host names are checked when
    /// they are resolved.
    pub fn judge_url(&self, url: &Url) -> Result<(), EgressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressError::InvalidUrl(UrlFault::Scheme));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::InvalidUrl(UrlFault::UserInfo));
        }
        // Both schemes have a port of their own.
        if let Some(port) = url.port_or_known_default()
            && !self.ports.is_empty()
            && !self.ports.contains(&port)
        {
            return Err(EgressError::DeniedPort(port));
        }
        // The URL parser has already turned decimal, octal and hexadecimal spellings of IPv4 addresses into addresses.
        let address = match url.host() {
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(Host::Domain(name)) if !name.is_empty() => return Ok(()),
            _ => return Err(EgressError::InvalidUrl(UrlFault::Host)),
        };
        let host = url.host_str().unwrap_or_default();
        self.judge(host, address).map_err(|class| EgressError::Denied(Denial { host: host.to_owned(), class }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> EgressPolicy {
        EgressPolicy { allow: rules.iter().map(|r| AllowRule::parse(r).expect(r)).collect(), ..EgressPolicy::default() }
    }

    fn judge(policy: &EgressPolicy, url: &str) -> Result<(), EgressError> {
        policy.judge_url(&Url::parse(url).expect(url))
    }

    #[test]
    fn every_spelling_of_a_denied_address_in_a_url_is_denied() {
        let none = policy(&[]);
        for url in [
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://0251.0376.0251.0376/",
            "http://169.254.43518/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::]/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://0/",
            "http://[::]/",
            "http://[::1]:8080/",
            "https://10.0.0.1/",
            "http://１２７.0.0.1/",
        ] {
            assert!(matches!(judge(&none, url), Err(EgressError::Denied(_))), "{url}");
        }
        assert!(judge(&none, "https://8.8.8.8/").is_ok());
        assert!(judge(&none, "https://api.example/").is_ok());
    }

    #[test]
    fn only_http_without_user_information_is_asked() {
        let none = policy(&[]);
        for url in ["ftp://api.example/", "file:///etc/passwd", "unix:/run/docker.sock", "data:text/plain,x"] {
            assert_eq!(judge(&none, url), Err(EgressError::InvalidUrl(UrlFault::Scheme)), "{url}");
        }
        for url in ["https://user@api.example/", "https://user:pass@api.example/", "https://:pass@api.example/"] {
            assert_eq!(judge(&none, url), Err(EgressError::InvalidUrl(UrlFault::UserInfo)), "{url}");
        }
    }

    #[test]
    fn ports_are_denied_that_are_not_named() {
        let named = EgressPolicy { ports: vec![443, 8443], ..policy(&["10.0.0.0/8"]) };
        for url in ["https://api.example/", "https://api.example:8443/", "http://api.example:443/", "https://10.0.0.1/"] {
            assert_eq!(judge(&named, url), Ok(()), "{url}");
        }
        for (url, port) in [("http://api.example/", 80), ("https://api.example:6379/", 6379), ("https://10.0.0.1:22/", 22)] {
            assert_eq!(judge(&named, url), Err(EgressError::DeniedPort(port)), "{url}");
        }
        // a port that is allowed allows no address
        assert!(matches!(judge(&named, "https://192.168.0.1/"), Err(EgressError::Denied(_))));
        assert_eq!(judge(&policy(&[]), "https://api.example:6379/"), Ok(()));
    }

    #[test]
    fn a_network_rule_allows_its_addresses_in_every_form() {
        let policy = policy(&["10.0.0.0/8", "fd00::/8"]);
        for address in ["10.2.3.4", "::ffff:10.2.3.4", "64:ff9b::10.2.3.4", "fd12::1"] {
            assert!(policy.judge("x", address.parse().expect(address)).is_ok(), "{address}");
        }
        for address in ["192.168.0.1", "127.0.0.1", "fc00::1", "fd00:ec2::254"] {
            assert!(policy.judge("x", address.parse().expect(address)).is_err(), "{address}");
        }
    }

    #[test]
    fn a_host_rule_allows_that_host_alone() {
        let rules = policy(&["Callback.Example.", "*.svc.cluster.local"]);
        let private: IpAddr = "10.0.0.1".parse().expect("address");
        for host in ["callback.example", "callback.example.", "a.b.svc.cluster.local"] {
            assert!(rules.judge(host, private).is_ok(), "{host}");
        }
        for host in ["x.callback.example", "callback.example.evil", "svc.cluster.local", "evilsvc.cluster.local", "10.0.0.1"] {
            assert!(rules.judge(host, private).is_err(), "{host}");
        }
    }

    #[test]
    fn metadata_needs_a_rule_that_names_the_very_address() {
        let metadata: IpAddr = "169.254.169.254".parse().expect("address");
        for rules in [&["0.0.0.0/0"][..], &["169.254.0.0/16"], &["metadata.example"], &["169.254.169.252/30"]] {
            assert_eq!(policy(rules).judge("metadata.example", metadata), Err(AddressClass::Metadata), "{rules:?}");
        }
        for rule in ["169.254.169.254/32", "169.254.169.254"] {
            assert!(policy(&[rule]).judge("metadata.example", metadata).is_ok(), "{rule}");
        }
    }

    #[test]
    fn loopback_is_a_switch_of_its_own() {
        let policy = EgressPolicy { allow_loopback: true, ..EgressPolicy::default() };
        assert!(judge(&policy, "http://127.0.0.1:1/").is_ok());
        assert!(judge(&policy, "http://[::1]:1/").is_ok());
        assert!(judge(&policy, "http://0.0.0.0:1/").is_err());
        assert!(judge(&policy, "http://10.0.0.1/").is_err());
    }

    #[test]
    fn rules_are_read_or_refused() {
        assert_eq!(AllowRule::parse("10.1.2.3/8"), AllowRule::parse("10.0.0.0/8"));
        assert_eq!(AllowRule::parse("[::1]"), AllowRule::parse("::1/128"));
        for text in ["", "*", "*.", ".", "10.0.0.0/33", "a b", "http://x/", "*.*.example", "*.10.0.0.1"] {
            assert!(AllowRule::parse(text).is_err(), "{text}");
        }
    }
}
