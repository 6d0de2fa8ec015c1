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
    let is_internal = address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
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
}
