//! Which addresses may be called: a configured name must not lead into our own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Whether a URL may be called: https, or http to this machine where that is allowed.
pub(super) fn is_url_allowed(url: &Url, allow_loopback: bool) -> bool {
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return false,
    };
    let scheme = match url.scheme() {
        "https" => true,
        "http" => {
            allow_loopback
                && (literal.is_some_and(|a| a.is_loopback()) || url.host_str() == Some("localhost"))
        }
        _ => false,
    };
    scheme && literal.is_none_or(|address| is_address_allowed(address, allow_loopback))
}

/// Resolves names, and keeps the addresses that may be called.
pub(super) struct GuardedResolver {
    pub(super) allow_loopback: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_loopback = self.allow_loopback;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept: Vec<_> = found.filter(|a| is_address_allowed(a.ip(), allow_loopback)).collect();
            if kept.is_empty() {
                return Err("no address that may be called".into());
            }
            let addresses: Addrs = Box::new(kept.into_iter());
            Ok(addresses)
        })
    }
}

fn is_address_allowed(address: IpAddr, allow_loopback: bool) -> bool {
    match address {
        IpAddr::V4(v4) => is_ipv4_allowed(v4, allow_loopback),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_ipv4_allowed(v4, allow_loopback),
            None => is_ipv6_allowed(v6, allow_loopback),
        },
    }
}

fn is_ipv4_allowed(address: Ipv4Addr, allow_loopback: bool) -> bool {
    let [a, b, c, _] = address.octets();
    let carrier = a == 100 && (64..128).contains(&b);
    // IETF protocols, 6to4 relays and benchmarks (RFC 6890): not the internet, and sometimes somebody's metadata.
    let special = matches!((a, b, c), (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _));
    let inside = address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || carrier
        || special
        || a == 0
        || a >= 240;
    if address.is_loopback() { allow_loopback } else { !inside }
}

fn is_ipv6_allowed(address: Ipv6Addr, allow_loopback: bool) -> bool {
    if address.is_loopback() {
        return allow_loopback;
    }
    let [a, b, ..] = address.segments();
    // 2000::/3 is what is routed; of it, 2002::/16 and 64:ff9b::/96 carry IPv4 addresses inside.
    (0x2000..0x4000).contains(&a) && a != 0x2002 && !(a == 0x2001 && b < 0x200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outbound_rejects_private_addresses_in_any_notation() {
        let reach = |url: &str, loopback| is_url_allowed(&Url::parse(url).unwrap(), loopback);
        assert!(reach("https://bank.example.org/token", false));
        for inside in [
            "https://127.0.0.1/",
            "https://10.1.2.3/",
            "https://192.168.0.1/",
            "https://169.254.169.254/latest",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://192.0.0.192/",
            "https://198.18.0.1/",
            "https://192.88.99.1/",
            "https://[64:ff9b::a00:1]/",
            "https://[::10.0.0.1]/",
            "https://0x7f.1/",
            "https://017700000001/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fe80::1]/",
            "https://[fc00::1]/",
            "https://[2002:a00:1::]/",
            "https://2130706433/",
        ] {
            assert!(!reach(inside, false), "{inside}");
        }
        assert!(reach("http://127.0.0.1:8402/token", true));
        assert!(!reach("http://127.0.0.1:8402/token", false));
        assert!(!reach("http://bank.example.org/", true), "http leaves this machine");
        assert!(!reach("ftp://bank.example.org/", true) && !reach("https://10.0.0.1/", true));
    }
}
