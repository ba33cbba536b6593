//! What kind of address an address is. Pure.
//!
//! The sources are the IANA special-purpose address registries (RFC 6890 and its successors) and the clouds' documents on their
//! metadata services.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
pub(super) fn reached(address: IpAddr) -> IpAddr {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn class(text: &str) -> Option<AddressClass> {
        classify(text.parse().expect(text))
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
