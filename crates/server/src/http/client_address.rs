//! Determines the address and the user of the client, as the listener or a trusted proxy reports them.

use std::net::IpAddr;

use domain::rule::operator::LocalPeer;
use http::HeaderMap;

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
    pub(super) const fn address(self) -> Option<IpAddr> {
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
pub(super) fn caller_address(peer: IpAddr, headers: &HeaderMap, trusted_proxies: usize) -> IpAddr {
    // Each proxy appends the address that it sees. Entries are counted from the right, because the client may have
    // forged those further left.
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let entries = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut addresses = entries.map(|entry| entry.trim().parse::<IpAddr>());
    match trusted_proxies {
        0 => peer,
        // Without a valid entry the proxy's own address is used, which limits all of its clients together.
        nth => addresses.nth(nth - 1).and_then(Result::ok).unwrap_or(peer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_for_counts_only_trusted_proxies() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "203.0.113.9, 198.51.100.1".parse().unwrap());
        headers.append("x-forwarded-for", "192.0.2.2".parse().unwrap());
        let peer: IpAddr = "10.0.0.1".parse().unwrap();

        let caller = |proxies| caller_address(peer, &headers, proxies).to_string();
        assert_eq!(
            [caller(0), caller(1), caller(2), caller(9)],
            ["10.0.0.1", "192.0.2.2", "198.51.100.1", "10.0.0.1"]
        );

        headers.insert("x-forwarded-for", "unknown".parse().unwrap());

        assert_eq!(caller_address(peer, &headers, 1), peer);
    }
}
