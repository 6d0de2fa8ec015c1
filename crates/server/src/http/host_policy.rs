//! Decides which host names a request may use, on listeners that only this machine can reach.
//!
//! A page of another site can let a name of its own resolve to 127.0.0.1 (DNS rebinding). The browser of a developer or an
//! operator then treats the hub as a part of that site, which may read every response. Only the host of the request shows it.

use std::net::IpAddr;

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

/// The hosts that requests to one listener may name.
#[derive(Clone, Debug)]
pub enum HostPolicy {
    /// Any host: the proxy in front decides.
    Any,
    /// Names of this machine, and the host of the hub's public URL, which a proxy on this machine passes on.
    Loopback { public_host: Option<String> },
}

impl HostPolicy {
    /// Returns the policy of a listener at this address.
    pub fn for_address(address: Option<IpAddr>, public_url: &str) -> Self {
        if !address.is_some_and(|address| address.to_canonical().is_loopback()) {
            return Self::Any;
        }
        let url: Option<Uri> = public_url.parse().ok();
        Self::Loopback { public_host: url.and_then(|url| url.host().map(str::to_owned)) }
    }

    /// Returns whether a request may name these hosts. A request without a host comes from no browser: HTTP/1.0, as health
    /// checks of proxies use it, has none.
    pub fn permits(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Self::Loopback { public_host } = self else { return true };
        let is_permitted = |authority: &Authority| {
            is_host_and_port(authority) && is_permitted_host(authority.host(), public_host.as_deref())
        };
        let from_headers = headers.get_all(header::HOST).iter();
        // The host of HTTP/2 is part of the URI, as in a request to an HTTP/1.1 proxy.
        uri.authority().is_none_or(is_permitted)
            && from_headers
                .map(|value| Authority::try_from(value.as_bytes()))
                .all(|authority| authority.is_ok_and(|authority| is_permitted(&authority)))
    }
}

/// Returns whether an authority consists of a host and at most a port, as RFC 9110, section 7.2, requires for `Host`.
fn is_host_and_port(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| {
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
    })
}

/// Returns whether a host is a name or an address of this machine, or the public host.
fn is_permitted_host(host: &str, public_host: Option<&str>) -> bool {
    // A name may end with a dot, which makes it absolute.
    let host = host.strip_suffix('.').unwrap_or(host);
    if public_host.is_some_and(|public| public.eq_ignore_ascii_case(host)) {
        return true;
    }
    // RFC 6761, section 6.3: `localhost` and the names below it always are loopback addresses.
    let last_label = host.rsplit('.').next().unwrap_or(host);
    if last_label.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn permits(host: &'static str) -> bool {
        let policy = HostPolicy::for_address("127.0.0.1".parse().ok(), "https://hub.example.org");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        policy.permits(&Uri::from_static("/readyz"), &headers)
    }

    #[test]
    fn loopback_listener_permits_own_names_and_public_host() {
        let permitted = [
            "localhost",
            "LOCALHOST:8400",
            "app.localhost",
            "localhost.",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:8400",
            "[::ffff:127.0.0.1]",
            "hub.example.org",
            "Hub.Example.org:443",
        ];
        let rejected = [
            "attacker.example",
            "127.0.0.1.attacker.example",
            "localhost.attacker.example:8400",
            "notlocalhost",
            "hub.example.org.attacker.example",
            "0.0.0.0",
            "192.0.2.1",
            "[::]",
            "2130706433",
            "attacker.example@localhost",
            "[::1]attacker",
            "localhost:abc",
            "localhost:99999",
            "",
            "a b",
        ];

        assert_eq!(permitted.into_iter().filter(|host| !permits(host)).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(rejected.into_iter().filter(|host| permits(host)).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn every_host_of_a_request_must_be_permitted() {
        let policy = HostPolicy::for_address("::1".parse().ok(), "http://127.0.0.1:8400");
        let mut hosts = HeaderMap::new();
        let local = Uri::from_static("http://localhost/");
        let foreign = Uri::from_static("http://attacker.example/");
        assert!(policy.permits(&Uri::from_static("/"), &hosts), "HTTP/1.0 has no host");
        assert!(policy.permits(&local, &hosts));
        assert!(!policy.permits(&foreign, &hosts));

        hosts.append(header::HOST, HeaderValue::from_static("localhost"));
        hosts.append(header::HOST, HeaderValue::from_static("attacker.example"));

        assert!(!policy.permits(&local, &hosts));
    }

    #[test]
    fn listener_for_other_machines_permits_every_host() {
        for address in [None, "0.0.0.0".parse().ok(), "::".parse().ok(), "192.0.2.1".parse().ok()] {
            let policy = HostPolicy::for_address(address, "https://hub.example.org");
            assert!(
                policy.permits(&Uri::from_static("http://any.example/"), &HeaderMap::new()),
                "{address:?}"
            );
        }
    }
}
