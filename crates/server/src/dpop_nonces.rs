//! The memory of the nonces that providers want to see in proofs of possession (DPoP, RFC 9449 §8 and §9).
//!
//! Each node has its own: a nonce that it does not know costs one more request, whose response contains it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::ProviderId;

/// The maximum number of servers of a provider. One has a token endpoint and an FDX API, and may have moved.
const MAX_SERVERS: usize = 8;

/// A server that supplies nonces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NonceServer {
    /// The server that issues tokens (RFC 9449 §8).
    Authorization,
    /// The server that accepts tokens (RFC 9449 §9). At the same origin it may have nonces of its own.
    Resource,
}

type ServerNonces = BTreeMap<(NonceServer, String), Arc<str>>;

/// The newest nonce of each server of each provider, by its origin.
#[derive(Default)]
pub(crate) struct DpopNonces(Mutex<BTreeMap<ProviderId, ServerNonces>>);

impl DpopNonces {
    /// Returns the newest nonce of a server at an origin.
    pub(crate) fn find(&self, provider: ProviderId, server: NonceServer, origin: String) -> Option<Arc<str>> {
        self.lock().get(&provider)?.get(&(server, origin)).cloned()
    }

    /// Stores the nonce that a server at an origin has supplied. The caller has ensured that its length is limited.
    pub(crate) fn store(&self, provider: ProviderId, server: NonceServer, origin: String, nonce: &str) {
        let mut nonces = self.lock();
        let (servers, server) = (nonces.entry(provider).or_default(), (server, origin));
        if let Some(known) = servers.get_mut(&server) {
            // Most responses repeat the nonce.
            if **known != *nonce {
                *known = nonce.into();
            }
            return;
        }
        if servers.len() >= MAX_SERVERS {
            // Those that are still called supply their nonces again.
            servers.clear();
        }
        servers.insert(server, nonce.into());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProviderId, ServerNonces>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: ProviderId = ProviderId::new(1000);

    #[test]
    fn newest_nonce_of_each_server_is_kept() {
        use NonceServer::{Authorization, Resource};
        let nonces = DpopNonces::default();
        let store = |server, origin: &str, nonce| nonces.store(PROVIDER, server, origin.to_owned(), nonce);
        let find = |provider, server, origin: &str| {
            nonces.find(provider, server, origin.to_owned()).map(|nonce| nonce.to_string())
        };

        store(Authorization, "https://a", "first");
        store(Authorization, "https://a", "second");
        store(Authorization, "https://b", "other");
        store(Resource, "https://a", "data");

        assert_eq!(find(PROVIDER, Authorization, "https://a").as_deref(), Some("second"));
        assert_eq!(find(PROVIDER, Authorization, "https://b").as_deref(), Some("other"));
        assert_eq!(find(PROVIDER, Resource, "https://a").as_deref(), Some("data"));
        assert_eq!(find(PROVIDER, Resource, "https://b"), None);
        assert_eq!(find(ProviderId::new(2000), Authorization, "https://a"), None, "another provider");
    }

    #[test]
    fn number_of_servers_is_limited() {
        let nonces = DpopNonces::default();

        for number in 0..100 {
            nonces.store(PROVIDER, NonceServer::Resource, format!("https://{number}"), "nonce");
        }

        let count = nonces.lock()[&PROVIDER].len();
        assert!(count <= MAX_SERVERS, "{count}");
        assert!(nonces.find(PROVIDER, NonceServer::Resource, "https://99".to_owned()).is_some());
    }
}
