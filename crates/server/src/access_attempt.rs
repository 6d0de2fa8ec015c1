//! A request that needs authentication. If it is refused, it is counted for the audit log.

use domain::Timestamp;
use domain::rule::access_denial::{DenialPlace, DenialReason, DeniedCaller, shorten_claimed_client};
use domain::rule::operator::LocalPeer;
use http::Method;

use crate::app::App;
use crate::rate_limit::Network;

/// The operation and the source of a request.
#[derive(Clone, Debug)]
pub struct AccessAttempt {
    pub method: Method,
    /// The path of the route, with its parameters in braces.
    pub path: &'static str,
    pub network: Network,
    /// Both ends of the hub's Unix socket, if the request arrived there.
    pub local: Option<LocalPeer>,
}

impl AccessAttempt {
    /// Counts the request as refused. The audit log records the counts.
    pub fn deny(&self, app: &App, now: Timestamp, caller: DeniedCaller, reason: DenialReason) {
        app.access_denials().lock().add(caller, reason, self.place(), None, now);
    }

    /// Counts the request as refused, because no client has the id that it contains.
    pub fn deny_unknown_client(&self, app: &App, now: Timestamp, claimed: &str) {
        let (caller, reason) = (DeniedCaller::Unknown, DenialReason::UnknownClient);
        let claimed = shorten_claimed_client(claimed);
        app.access_denials().lock().add(caller, reason, self.place(), claimed, now);
    }

    fn place(&self) -> DenialPlace {
        let source = match self.local {
            Some(peer) => format!("user {}", peer.peer_uid),
            None => self.network.to_string(),
        };
        DenialPlace { operation: format!("{} {}", self.method, self.path), source }
    }
}
