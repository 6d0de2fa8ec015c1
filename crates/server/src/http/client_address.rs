//! Whom a request comes from, as its listener says: no other part of the program can say so.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::Body;
use domain::rule::operator::LocalPeer;
use http::{Extensions, HeaderMap, Request};

use crate::app::App;
use crate::rate_limit::Network;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct RemotePeer(PeerKind);

#[derive(Clone, Copy, Debug)]
enum PeerKind {
    /// An address of a network.
    Address(IpAddr),
    /// A user of this machine, at the hub's own socket.
    Local(LocalPeer),
}

impl RemotePeer {
    pub(crate) const fn from_address(address: IpAddr) -> Self {
        Self(PeerKind::Address(address))
    }

    pub(crate) const fn from_local(peer: LocalPeer) -> Self {
        Self(PeerKind::Local(peer))
    }
}

/// The user of this machine who calls through the hub's own socket; none if the request came another way.
pub fn find_local_peer(extensions: &Extensions) -> Option<LocalPeer> {
    match extensions.get::<RemotePeer>()?.0 {
        PeerKind::Local(peer) => Some(peer),
        PeerKind::Address(_) => None,
    }
}

/// A request that this very process makes of its own service, as its own user.
pub fn local_request(mut request: Request<Body>) -> Request<Body> {
    let own = current_user_id();
    request.extensions_mut().insert(RemotePeer::from_local(LocalPeer { peer_uid: own, hub_uid: own }));
    request
}

/// The user that this process runs as.
pub fn current_user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The caller's network: as seen here, or as the configured number of proxies in front have seen it.
pub fn caller_network(app: &App, request: &Request<Body>) -> Network {
    let peer = match request.extensions().get::<RemotePeer>() {
        Some(RemotePeer(PeerKind::Address(address))) => *address,
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    Network::from_address(caller_address(peer, request.headers(), app.config().server.trusted_proxies))
}

/// The last proxy appends whom it has seen, and so on: what stands further left anybody may have written.
fn caller_address(peer: IpAddr, headers: &HeaderMap, proxies: usize) -> IpAddr {
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let texts = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut seen = texts.map(|text| text.trim().parse::<IpAddr>());
    match proxies {
        0 => peer,
        nth => seen.nth(nth - 1).and_then(Result::ok).unwrap_or(peer),
    }
}

/// A wait as `Retry-After` has it: whole seconds, at least one.
pub fn round_up_to_seconds(wait: Duration) -> u64 {
    let rounded_up = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    rounded_up.max(1)
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
        let seen = |proxies| caller_address(peer, &headers, proxies).to_string();
        assert_eq!(
            [seen(0), seen(1), seen(2), seen(9)],
            ["10.0.0.1", "192.0.2.2", "198.51.100.1", "10.0.0.1"]
        );
        headers.insert("x-forwarded-for", "unknown".parse().unwrap());
        assert_eq!(caller_address(peer, &headers, 1), peer);
    }

    #[test]
    fn retry_after_is_rounded_up_to_seconds() {
        let wait = |millis| round_up_to_seconds(Duration::from_millis(millis));
        assert_eq!([wait(0), wait(1), wait(1_000), wait(1_001)], [1, 1, 1, 2]);
    }
}
