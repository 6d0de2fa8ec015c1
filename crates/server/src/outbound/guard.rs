//! The guard against server-side request forgery (SSRF): no URL may lead the hub to an address of an internal network.
//!
//! URLs of providers are configured by operators, and some come from responses of providers. Resolved addresses are
//! checked in the resolver of the HTTP client. If they were checked before the call, the client would resolve the name
//! a second time, and an attacker could return another address then (DNS rebinding).

use std::net::IpAddr;
use std::sync::Arc;

use domain::rule::network_address::{find_literal, is_allowed_for_proxy, is_public};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

/// The addresses that a client may call, in addition to the public ones.
#[derive(Clone)]
pub(super) struct AddressPolicy {
    /// True if this machine may be called.
    pub(super) allow_loopback: bool,
    /// The private ranges that may be called.
    pub(super) private: Arc<[IpNet]>,
    /// True if all calls go through a proxy. The only name that is resolved here is then that of the proxy, which is usually in an
    /// internal network; the proxy decides which addresses it connects to.
    pub(super) has_proxy: bool,
}

impl AddressPolicy {
    pub(super) fn new(allow_loopback: bool) -> Self {
        Self { allow_loopback, private: Arc::new([]), has_proxy: false }
    }

    fn allows(&self, address: IpAddr) -> bool {
        is_public(address, self.allow_loopback)
            || self.private.iter().any(|range| range.contains(&address.to_canonical()))
    }

    /// Returns whether an address may be called that the client has resolved: that of the server, or that of the proxy.
    fn allows_resolved(&self, address: IpAddr) -> bool {
        if self.has_proxy { is_allowed_for_proxy(address, self.allow_loopback) } else { self.allows(address) }
    }
}

/// Returns whether a URL may be called: `https`, or `http` to this machine if loopback is allowed.
///
/// IP addresses in the URL are checked here, because the resolver never sees them.
pub(super) fn is_url_allowed(url: &Url, policy: &AddressPolicy) -> bool {
    let literal = find_literal(url);
    let is_scheme_allowed = match url.scheme() {
        "https" => true,
        "http" => {
            policy.allow_loopback
                && (literal.is_some_and(|a| a.is_loopback()) || url.host_str() == Some("localhost"))
        }
        _ => false,
    };
    url.has_host() && is_scheme_allowed && literal.is_none_or(|address| policy.allows(address))
}

/// A DNS resolver that returns only addresses that the hub may call.
pub(super) struct GuardedResolver(pub(super) AddressPolicy);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = addresses.filter(|address| policy.allows_resolved(address.ip())).collect();
            if allowed.is_empty() {
                return Err("the name has no address that may be called".into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outbound_rejects_private_addresses_in_any_notation() {
        let is_allowed =
            |url: &str, loopback| is_url_allowed(&Url::parse(url).unwrap(), &AddressPolicy::new(loopback));
        assert!(is_allowed("https://bank.example.org/token", false));

        for internal in [
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
            assert!(!is_allowed(internal, false), "{internal}");
        }

        assert!(is_allowed("http://127.0.0.1:8402/token", true));
        assert!(!is_allowed("http://127.0.0.1:8402/token", false));
        assert!(!is_allowed("http://bank.example.org/", true), "http is only allowed to this machine");
        assert!(!is_allowed("ftp://bank.example.org/", true) && !is_allowed("https://10.0.0.1/", true));
    }

    #[test]
    fn only_listed_private_ranges_are_allowed() {
        let ranges = ["10.8.0.0/16", "fd00:1::/32"].map(|range| range.parse::<IpNet>().unwrap());
        let policy = AddressPolicy { private: ranges.as_slice().into(), ..AddressPolicy::new(false) };
        let is_allowed = |url: &str| is_url_allowed(&Url::parse(url).unwrap(), &policy);

        for allowed in ["https://10.8.0.1/", "https://[fd00:1::1]/", "https://[::ffff:10.8.0.1]/"] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in ["https://10.9.0.1/", "https://127.0.0.1/", "https://[fd00:2::1]/", "http://10.8.0.1/"]
        {
            assert!(!is_allowed(refused), "{refused}");
        }
    }

    #[tokio::test]
    async fn name_of_proxy_is_checked_when_it_is_resolved() {
        let resolve = |allow_loopback| {
            let policy = AddressPolicy { has_proxy: true, ..AddressPolicy::new(allow_loopback) };
            GuardedResolver(policy).resolve("localhost".parse().unwrap())
        };

        assert!(resolve(false).await.is_err(), "loopback is not allowed");
        assert!(resolve(true).await.is_ok_and(|mut addresses| addresses.all(|a| a.ip().is_loopback())));
    }
}
