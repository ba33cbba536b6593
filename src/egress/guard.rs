//! Which addresses may be asked: a pure judgement of every address, made at the moment of connecting.
//!
//! Private and special addresses are denied unless the administrator allows them. The sources are the IANA special-purpose address
//! registries (RFC 6890 and its successors) and the clouds' documents on their metadata services.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use super::error::UrlFault;
use super::{EgressError, error::Denial};

/// What the administrator allows beyond public addresses. The default allows nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Networks and hosts that may be asked although they are private.
    pub allow: Vec<AllowRule>,
    /// Loopback may be asked: for commands that run on a person's own machine.
    pub allow_loopback: bool,
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

/// Why an address is denied. A closed set; an IPv4 address inside an IPv6 one counts as what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// 0.0.0.0/8 and `::`.
    Unspecified,
    /// 127.0.0.0/8 and `::1`.
    Loopback,
    /// RFC 1918, and `fc00::/7` of RFC 4193.
    Private,
    /// 100.64.0.0/10, RFC 6598: addresses behind a carrier's NAT, used for pods by some clusters.
    Shared,
    /// 169.254.0.0/16 and `fe80::/10`.
    LinkLocal,
    /// The address of a cloud's metadata or credential service.
    Metadata,
    /// 224.0.0.0/4 and `ff00::/8`.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// RFC 2544, RFC 5180.
    Benchmark,
    /// 6to4, Teredo, IPv4-compatible: retired ways to carry IPv4 that can lead to private hosts.
    Transition,
    /// Everything else that is no public unicast address.
    Reserved,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "a shared (carrier-grade NAT) address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "a documentation address",
            Self::Benchmark => "a benchmark address",
            Self::Transition => "an IPv6 transition address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// Metadata and credential services: AWS, GCP, Azure and others; ECS tasks; EKS pods; Alibaba; Oracle; Azure's wire server.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// AWS, EKS pods, GCP.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254),
];

/// The class that makes an address special, or `None` for a public unicast address.
pub fn classify(address: IpAddr) -> Option<AddressClass> {
    match reached(address) {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

/// The address that a packet ends at: an IPv4-mapped address (RFC 4291 §2.5.5.2) or one behind the well-known NAT64 prefix
/// (RFC 6052) is a way to write its IPv4 address. In clusters without IPv4 every public IPv4 host has a NAT64 address.
fn reached(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        _ => address,
    }
}

fn classify_v4(v4: Ipv4Addr) -> Option<AddressClass> {
    use AddressClass as C;
    if METADATA_V4.contains(&v4) {
        return Some(C::Metadata);
    }
    match v4.octets() {
        [0, ..] => Some(C::Unspecified),
        [127, ..] => Some(C::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(C::Private),
        [100, 64..=127, ..] => Some(C::Shared),
        [169, 254, ..] => Some(C::LinkLocal),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(C::Documentation),
        [198, 18..=19, ..] => Some(C::Benchmark),
        [192, 88, 99, _] => Some(C::Transition),
        [224..=239, ..] => Some(C::Multicast),
        [255, 255, 255, 255] => Some(C::Broadcast),
        [192, 0, 0, _] | [240..=255, ..] => Some(C::Reserved),
        _ => None,
    }
}

fn classify_v6(v6: Ipv6Addr) -> Option<AddressClass> {
    use AddressClass as C;
    if METADATA_V6.contains(&v6) {
        return Some(C::Metadata);
    }
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(C::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(C::Loopback),
        // IPv4-compatible, Teredo, 6to4, and ISATAP (RFC 5214: an IPv4 address in the interface identifier).
        [0, 0, 0, 0, 0, 0, _, _] | [0x2001, 0, ..] | [0x2002, ..] | [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => {
            Some(C::Transition)
        }
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some(C::Documentation),
        [0x2001, 2, 0, ..] => Some(C::Benchmark),
        // IETF protocol assignments, 2001::/23.
        [0x2001, 0..=0x1ff, ..] => Some(C::Reserved),
        [0x2000..=0x3fff, ..] => None,
        [0xfc00..=0xfdff, ..] => Some(C::Private),
        [0xfe80..=0xfebf, ..] => Some(C::LinkLocal),
        [0xff00..=0xffff, ..] => Some(C::Multicast),
        // Only 2000::/3 is assigned as global unicast; 64:ff9b:1::/48 (local NAT64) and site-local addresses end here too.
        _ => Some(C::Reserved),
    }
}

impl EgressPolicy {
    /// Judges one address that `host` resolved to (or that stands in the URL itself).
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

    /// Judges a URL before it is asked: scheme, user information, and the address if the host is one. Host names are judged when
    /// they are resolved.
    pub fn judge_url(&self, url: &Url) -> Result<(), EgressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressError::InvalidUrl(UrlFault::Scheme));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::InvalidUrl(UrlFault::UserInfo));
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
    use proptest::prelude::*;

    fn class(text: &str) -> Option<AddressClass> {
        classify(text.parse().expect(text))
    }

    fn policy(rules: &[&str]) -> EgressPolicy {
        EgressPolicy { allow: rules.iter().map(|r| AllowRule::parse(r).expect(r)).collect(), allow_loopback: false }
    }

    fn judge(policy: &EgressPolicy, url: &str) -> Result<(), EgressError> {
        policy.judge_url(&Url::parse(url).expect(url))
    }

    #[test]
    fn special_addresses_have_their_class() {
        use AddressClass as C;
        for (text, expected) in [
            ("0.0.0.0", C::Unspecified),
            ("0.1.2.3", C::Unspecified),
            ("127.0.0.1", C::Loopback),
            ("127.255.255.254", C::Loopback),
            ("10.0.0.1", C::Private),
            ("172.16.0.1", C::Private),
            ("172.31.255.255", C::Private),
            ("192.168.1.1", C::Private),
            ("100.64.0.1", C::Shared),
            ("100.127.255.255", C::Shared),
            ("169.254.1.1", C::LinkLocal),
            ("169.254.169.254", C::Metadata),
            ("169.254.170.2", C::Metadata),
            ("100.100.100.200", C::Metadata),
            ("168.63.129.16", C::Metadata),
            ("192.0.2.1", C::Documentation),
            ("198.51.100.1", C::Documentation),
            ("203.0.113.1", C::Documentation),
            ("198.18.0.1", C::Benchmark),
            ("198.19.255.255", C::Benchmark),
            ("192.88.99.1", C::Transition),
            ("224.0.0.1", C::Multicast),
            ("239.255.255.255", C::Multicast),
            ("240.0.0.1", C::Reserved),
            ("192.0.0.1", C::Reserved),
            ("255.255.255.255", C::Broadcast),
            ("::", C::Unspecified),
            ("::1", C::Loopback),
            ("::127.0.0.1", C::Transition),
            ("::ffff:127.0.0.1", C::Loopback),
            ("::ffff:169.254.169.254", C::Metadata),
            ("64:ff9b::a9fe:a9fe", C::Metadata),
            ("64:ff9b::10.0.0.1", C::Private),
            ("64:ff9b:1::1", C::Reserved),
            ("2002:a9fe:a9fe::1", C::Transition),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", C::Transition),
            ("2a00::5efe:a00:1", C::Transition),
            ("2001:db8::1", C::Documentation),
            ("3fff::1", C::Documentation),
            ("2001:2::1", C::Benchmark),
            ("2001:20::1", C::Reserved),
            ("fc00::1", C::Private),
            ("fdff::1", C::Private),
            ("fd00:ec2::254", C::Metadata),
            ("fe80::1", C::LinkLocal),
            ("fec0::1", C::Reserved),
            ("ff02::1", C::Multicast),
            ("100::1", C::Reserved),
            ("4000::1", C::Reserved),
        ] {
            assert_eq!(class(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn public_addresses_have_none() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2a00:1450::1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert_eq!(class(text), None, "{text}");
        }
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
        let policy = EgressPolicy { allow: Vec::new(), allow_loopback: true };
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

    proptest! {
        #[test]
        fn a_mapped_or_translated_address_is_judged_like_itself(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let expected = classify(IpAddr::V4(v4));
            prop_assert_eq!(classify(IpAddr::V6(v4.to_ipv6_mapped())), expected);
            let nat64 = Ipv6Addr::from((0x0064_ff9b_u128 << 96) | u128::from(bits));
            prop_assert_eq!(classify(IpAddr::V6(nat64)), expected);
        }

        #[test]
        fn what_the_standard_library_calls_special_is_denied(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let special = v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!special || classify(IpAddr::V4(v4)).is_some());
        }
    }
}
