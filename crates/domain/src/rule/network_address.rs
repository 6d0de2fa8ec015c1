//! The addresses that the hub may call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Returns whether an address is one of the internet, or of this machine if that is allowed.
pub fn is_public(address: IpAddr, allow_loopback: bool) -> bool {
    // ::ffff:10.0.0.1 reaches the same host as 10.0.0.1.
    match address.to_canonical() {
        IpAddr::V4(v4) => is_ipv4_public(v4, allow_loopback),
        IpAddr::V6(v6) => is_ipv6_public(v6, allow_loopback),
    }
}

/// Returns whether an address is private. Link-local addresses are not: clouds serve credentials there.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || is_carrier(v4),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// Returns whether a proxy may have an address. It is usually in an internal network, so private addresses are allowed.
pub fn is_allowed_for_proxy(address: IpAddr, allow_loopback: bool) -> bool {
    is_public(address, allow_loopback) || is_private(address.to_canonical())
}

/// Returns the address that a URL contains in place of a name.
pub fn find_literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        Host::Domain(_) => None,
    }
}

/// Returns whether an address is one of 100.64.0.0/10, which carriers use for their customers (RFC 6598).
fn is_carrier(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [100, 64..=127, ..])
}

fn is_ipv4_public(address: Ipv4Addr, allow_loopback: bool) -> bool {
    let [a, b, c, _] = address.octets();
    // IETF protocol assignments, 6to4 relays and benchmarking (RFC 6890). Some clouds serve instance metadata there.
    let is_special = matches!((a, b, c), (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _));
    // The unspecified address begins with 0, and the broadcast address with 255.
    let is_internal = address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || is_carrier(address)
        || is_special
        || a == 0
        || a >= 240;
    if address.is_loopback() { allow_loopback } else { !is_internal }
}

fn is_ipv6_public(address: Ipv6Addr, allow_loopback: bool) -> bool {
    if address.is_loopback() {
        return allow_loopback;
    }
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is routed on the internet (RFC 4291, section 2.4). Of it, 2002::/16 (6to4) embeds IPv4 addresses and
    // 2001::/23 is reserved for protocols (RFC 2928). NAT64 (64:ff9b::/96) lies outside.
    (0x2000..0x4000).contains(&a) && a != 0x2002 && !(a == 0x2001 && b < 0x200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_address_is_public_or_private_but_not_link_local() {
        let is_allowed = |address: &str, loopback| is_allowed_for_proxy(address.parse().unwrap(), loopback);

        for allowed in ["93.184.216.34", "10.0.0.1", "192.168.0.1", "100.64.0.1", "fd00::1", "2606:4700::1"] {
            assert!(is_allowed(allowed, false), "{allowed}");
        }
        for refused in
            ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "::", "64:ff9b::a9fe:a9fe"]
        {
            assert!(!is_allowed(refused, true), "{refused}");
        }
        for loopback in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(is_allowed(loopback, true) && !is_allowed(loopback, false), "{loopback}");
        }
    }

    #[test]
    fn ipv4_address_of_special_block_is_not_public() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
        ] {
            let [first, last]: [Ipv4Addr; 2] = [first, last].map(|address| address.parse().unwrap());
            for inside in [first, last] {
                assert!(!is_public(inside.into(), true), "{inside}");
                assert!(!is_public(inside.to_ipv6_mapped().into(), true), "{inside} as IPv6");
            }
            let neighbours = [first.to_bits().checked_sub(1), last.to_bits().checked_add(1)];
            for outside in neighbours.into_iter().flatten().map(Ipv4Addr::from_bits) {
                assert!(is_public(outside.into(), false), "{outside}");
            }
        }
    }

    #[test]
    fn ipv6_address_is_public_in_routed_blocks_only() {
        for (address, expected) in [
            ("1fff:ffff::", false),
            ("2000::", true),
            ("2000:1::", true),
            ("2001::1", false),
            ("2001:1ff:ffff::", false),
            ("2001:200::", true),
            ("2001:4860:4860::8888", true),
            ("2002:5db8:d822::1", false),
            ("2003::1", true),
            ("3fff:ffff::1", true),
            ("4000::", false),
            ("fc00::1", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("64:ff9b::5db8:d822", false),
            ("::", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap(), true), expected, "{address}");
        }
    }

    #[test]
    fn loopback_address_is_public_only_if_allowed() {
        for address in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
            let address = address.parse().unwrap();
            assert!(is_public(address, true) && !is_public(address, false), "{address}");
        }
    }

    #[test]
    fn private_address_is_of_internal_or_carrier_network() {
        for (address, expected) in [
            ("10.0.0.1", true),
            ("172.16.0.1", true),
            ("192.168.0.1", true),
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("169.254.169.254", false),
            ("127.0.0.1", false),
            ("93.184.216.34", false),
            ("fd00::1", true),
            ("fe80::1", false),
            ("2606:4700::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn literal_of_url_is_found() {
        let literal = |url: &str| find_literal(&Url::parse(url).unwrap());

        assert_eq!(literal("https://10.0.0.1:8443/x"), Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))));
        assert_eq!(literal("https://[::1]/"), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(literal("https://bank.example/"), None);
    }
}
