//! The number of open connections from each network to one listener.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::ServerSection;
use crate::rate_limit::Network;

/// The number of connections of each network that has any.
type Counts = Arc<Mutex<HashMap<Network, usize>>>;

/// The connections of each network to one listener, with their limit.
pub(super) struct NetworkConnections {
    /// `None` if there is no limit.
    limit: Option<usize>,
    open: Counts,
}

/// An open connection of a network. It ends when it is dropped.
pub(super) struct NetworkConnection(Option<(Network, Counts)>);

/// Error for a connection from a network that has opened as many as it may.
#[derive(Debug)]
pub(super) struct TooManyConnections;

impl NetworkConnections {
    /// Creates the limit from the configuration. Behind proxies there is none, because every peer is a proxy.
    pub(super) fn new(section: &ServerSection) -> Self {
        let limit = Some(section.network_connections).filter(|limit| *limit > 0);
        Self { limit: limit.filter(|_| section.trusted_proxies.get() == 0), open: Arc::default() }
    }

    /// Counts a connection from an address; `None` for the hub's Unix socket.
    pub(super) fn open(&self, address: Option<IpAddr>) -> Result<NetworkConnection, TooManyConnections> {
        let (Some(limit), Some(address)) = (self.limit, address) else { return Ok(NetworkConnection(None)) };
        let network = Network::from_address(address);
        let mut open = lock(&self.open);
        let number = open.entry(network).or_default();
        if *number >= limit {
            return Err(TooManyConnections);
        }
        *number += 1;
        Ok(NetworkConnection(Some((network, Arc::clone(&self.open)))))
    }
}

impl Drop for NetworkConnection {
    fn drop(&mut self) {
        let Some((network, open)) = &self.0 else { return };
        let mut open = lock(open);
        if let Some(number) = open.get_mut(network) {
            *number = number.saturating_sub(1);
            if *number == 0 {
                open.remove(network);
            }
        }
    }
}

fn lock(open: &Mutex<HashMap<Network, usize>>) -> MutexGuard<'_, HashMap<Network, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(limit: usize, proxies: usize) -> NetworkConnections {
        let config = crate::config::Config::load(None, std::iter::empty(), &[]).unwrap();
        let section =
            ServerSection { network_connections: limit, trusted_proxies: proxies.into(), ..config.server };
        NetworkConnections::new(&section)
    }

    #[test]
    fn connections_are_limited_per_network() {
        let limits = limits(2, 0);
        let address = |text: &str| Some(text.parse().unwrap());

        let first = limits.open(address("192.0.2.1"));
        let _second = limits.open(address("192.0.2.200")).unwrap();
        let third = limits.open(address("::ffff:192.0.2.3"));
        let other = limits.open(address("192.0.3.1"));
        let local = limits.open(None);

        assert!(first.is_ok() && third.is_err() && other.is_ok() && local.is_ok());
        drop((first, other));
        let again = limits.open(address("192.0.2.4"));
        assert!(again.is_ok(), "a closed connection does not count");
        assert_eq!(lock(&limits.open).len(), 1, "a network without connections is not kept");
    }

    #[test]
    fn connections_of_proxies_and_limit_of_zero_are_not_counted() {
        for limits in [limits(1, 1), limits(0, 0)] {
            let address = Some([192, 0, 2, 1].into());

            let open: Vec<_> = (0..9).map(|_| limits.open(address)).collect();

            assert!(open.iter().all(Result::is_ok));
        }
    }
}
