//! The state of one request, from which extractors get what the middleware has determined.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{FromRef, FromRequestParts};
use domain::model::operator::Role;
use domain::rule::operator::LocalPeer;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use super::client_address::{RemotePeer, caller_address};
use crate::access_attempt::AccessAttempt;
use crate::app::App;
use crate::context::RequestContext;
use crate::rate_limit::Network;

/// The properties of a route that its extractors need.
#[derive(Clone, Copy, Debug)]
pub struct RouteProperties {
    /// The path pattern, with its parameters in braces.
    pub path: &'static str,
    /// The minimum role of the operator, for routes of the admin API.
    pub required_role: Option<Role>,
    /// True if the operation has the parameter `dry_run`. All other operations of the admin API that change something
    /// reject query parameters.
    pub supports_dry_run: bool,
}

/// The state of one request. The middleware creates it; extractors read it.
// It is the state of the router and not an extension of the request, because each extension is allocated.
#[derive(Clone)]
pub struct RequestState {
    app: App,
    /// `None` for a probe while the clock or the random generator is not available.
    context: Option<RequestContext>,
    peer: Option<RemotePeer>,
    route: RouteProperties,
}

impl RequestState {
    pub(super) const fn new(
        app: App,
        context: Option<RequestContext>,
        peer: Option<RemotePeer>,
        route: RouteProperties,
    ) -> Self {
        Self { app, context, peer, route }
    }

    pub const fn app(&self) -> &App {
        &self.app
    }

    pub const fn context(&self) -> Option<&RequestContext> {
        self.context.as_ref()
    }

    /// Returns the properties of the route that the request was matched to.
    pub const fn route(&self) -> &RouteProperties {
        &self.route
    }

    /// Returns the network of the client for rate limits. Behind trusted proxies, the client's address is taken from
    /// `X-Forwarded-For`.
    pub fn caller_network(&self, headers: &HeaderMap) -> Network {
        // Requests through the Unix socket have no address. They share one network.
        let address = self.caller_address(headers).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        Network::from_address(address)
    }

    /// Returns the address of the client, as [`Self::caller_network`] determines it; `None` for a request through the Unix
    /// socket.
    pub fn caller_address(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = self.peer.and_then(RemotePeer::address)?;
        Some(caller_address(peer, headers, &self.app.config().server).to_canonical())
    }

    /// Returns the operation and the source of a request.
    pub fn attempt(&self, method: &Method, headers: &HeaderMap) -> AccessAttempt {
        AccessAttempt {
            method: method.clone(),
            path: self.route.path,
            network: self.caller_network(headers),
            local: self.local_peer(),
        }
    }

    /// Returns the user who sent the request through the hub's Unix socket; `None` for a request over the network.
    pub fn local_peer(&self) -> Option<LocalPeer> {
        self.peer.and_then(RemotePeer::local_peer)
    }
}

impl FromRef<RequestState> for App {
    fn from_ref(state: &RequestState) -> Self {
        state.app.clone()
    }
}

impl FromRequestParts<RequestState> for RequestContext {
    type Rejection = StatusCode;

    async fn from_request_parts(_: &mut Parts, state: &RequestState) -> Result<Self, StatusCode> {
        state.context.clone().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
