//! Determines the address and the user of the client, as the listener or a trusted proxy reports them.

use std::net::{IpAddr, SocketAddr};

use domain::rule::operator::LocalPeer;
use http::HeaderMap;

use crate::config::{ClientAddressHeader, ServerSection};

/// The other end of a connection, as the listener reports it.
#[derive(Clone, Copy, Debug)]
pub struct RemotePeer(PeerKind);

#[derive(Clone, Copy, Debug)]
enum PeerKind {
    Address(IpAddr),
    /// A user of this machine, connected to the hub's Unix socket.
    Local(LocalPeer),
}

impl RemotePeer {
    pub(crate) const fn from_address(address: IpAddr) -> Self {
        Self(PeerKind::Address(address))
    }

    pub(crate) const fn from_local(peer: LocalPeer) -> Self {
        Self(PeerKind::Local(peer))
    }

    /// Returns the peer of a request that this process sends to its own service.
    ///
    /// CLI commands that open the store directly use it. They need no token, because their user can read the key file
    /// anyway.
    pub fn own_process() -> Self {
        let own = current_user_id();
        Self::from_local(LocalPeer { peer_uid: own, hub_uid: own })
    }

    /// Returns the address at the other end; `None` for the hub's Unix socket.
    pub(crate) const fn address(self) -> Option<IpAddr> {
        match self.0 {
            PeerKind::Address(address) => Some(address),
            PeerKind::Local(_) => None,
        }
    }

    /// Returns the user at the other end of the hub's Unix socket; `None` for a connection over the network.
    pub(super) const fn local_peer(self) -> Option<LocalPeer> {
        match self.0 {
            PeerKind::Local(peer) => Some(peer),
            PeerKind::Address(_) => None,
        }
    }
}

/// Returns the id of the user that this process runs as.
pub fn current_user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns the client's address as the outermost trusted proxy saw it, or the address of the peer without proxies.
pub(super) fn caller_address(peer: IpAddr, headers: &HeaderMap, settings: &ServerSection) -> IpAddr {
    let Some(index) = settings.trusted_proxies.get().checked_sub(1) else { return peer };
    let entries: Vec<&str> = match settings.client_address_header {
        ClientAddressHeader::XForwardedFor => {
            list_lines(headers, "x-forwarded-for").flat_map(|line| line.split(',')).collect()
        }
        ClientAddressHeader::Forwarded => {
            let elements = list_lines(headers, "forwarded").flat_map(|line| split_unquoted(line, ','));
            elements.map(|element| find_forwarded_for(element).unwrap_or_default()).collect()
        }
    };
    // Each proxy appends the address that it sees. Entries are counted from the right, because the client may have
    // forged those further left. Without a valid entry the proxy's own address is used, which limits all of its clients
    // together.
    entries.into_iter().rev().nth(index).and_then(parse_node).unwrap_or(peer)
}

fn list_lines<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default())
}

/// Splits a text where a delimiter is not part of a quoted string (RFC 7230 §3.2.6). A proxy may quote what the client has sent.
fn split_unquoted(text: &str, delimiter: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match c {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        c == delimiter && !is_quoted
    })
}

/// Returns the value of the parameter `for` of an element of `Forwarded`.
fn find_forwarded_for(element: &str) -> Option<&str> {
    split_unquoted(element, ';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

/// Parses an address with an optional port, such as `192.0.2.9:5123` or `[2001:db8::1]:443`. `Forwarded` may quote it.
fn parse_node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = bracketed.unwrap_or(text).parse();
    address.or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the address of the caller behind a number of proxies that append to a header.
    fn find_caller(headers: &HeaderMap, header: ClientAddressHeader, proxies: usize) -> String {
        let config = crate::config::Config::load(None, std::iter::empty(), &[]).unwrap();
        let settings =
            ServerSection { trusted_proxies: proxies.into(), client_address_header: header, ..config.server };
        caller_address("10.0.0.1".parse().unwrap(), headers, &settings).to_string()
    }

    #[test]
    fn forwarded_for_counts_only_trusted_proxies() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "203.0.113.9, 198.51.100.1".parse().unwrap());
        headers.append("x-forwarded-for", "192.0.2.2".parse().unwrap());

        let caller = |proxies| find_caller(&headers, ClientAddressHeader::XForwardedFor, proxies);
        assert_eq!(
            [caller(0), caller(1), caller(2), caller(9)],
            ["10.0.0.1", "192.0.2.2", "198.51.100.1", "10.0.0.1"]
        );

        headers.insert("x-forwarded-for", "unknown".parse().unwrap());

        assert_eq!(find_caller(&headers, ClientAddressHeader::XForwardedFor, 1), "10.0.0.1");
    }

    #[test]
    fn forwarded_addresses_may_have_ports_and_brackets() {
        use ClientAddressHeader::{Forwarded, XForwardedFor};
        for (header, value, expected) in [
            (XForwardedFor, "192.0.2.9:5123", "192.0.2.9"),
            (XForwardedFor, "2001:db8::1", "2001:db8::1"),
            (XForwardedFor, "[2001:db8::1]", "2001:db8::1"),
            (XForwardedFor, "[2001:db8::1]:443", "2001:db8::1"),
            (XForwardedFor, "198.51.100.1, 192.0.2.9:80", "192.0.2.9"),
            (XForwardedFor, "192.0.2.9:", "10.0.0.1"),
            (XForwardedFor, "[192.0.2.9", "10.0.0.1"),
            (Forwarded, "for=192.0.2.9", "192.0.2.9"),
            (Forwarded, r#"for=198.51.100.1, proto=https; For="[2001:db8::1]:4711""#, "2001:db8::1"),
            (Forwarded, "for=_hidden", "10.0.0.1"),
            (Forwarded, "by=203.0.113.1", "10.0.0.1"),
            // The proxy quotes the host that the client has sent.
            (Forwarded, r#"for=192.0.2.9;host="x,for=6.6.6.6;y""#, "192.0.2.9"),
            (Forwarded, r#"for=192.0.2.9;host="x\",for=6.6.6.6;y""#, "192.0.2.9"),
            (Forwarded, r#"host="a;for=6.6.6.6";for=192.0.2.9"#, "192.0.2.9"),
        ] {
            let mut headers = HeaderMap::new();
            // The other header is invented by the client.
            for name in ["x-forwarded-for", "forwarded"] {
                headers.insert(name, "203.0.113.77".parse().unwrap());
            }
            let name = if header == Forwarded { "forwarded" } else { "x-forwarded-for" };
            headers.insert(name, value.parse().unwrap());

            assert_eq!(find_caller(&headers, header, 1), expected, "{name}: {value}");
        }
    }
}
