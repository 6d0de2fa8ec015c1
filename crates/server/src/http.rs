//! The HTTP kit that every face shares.

mod body;
mod client_address;
mod cookies;
mod correlation;
mod csrf;
mod duplicate_keys;
mod face;
mod idle_timeout;
mod listener;
mod middleware;
mod path;
mod problem;
mod routes;
mod unix_socket;

pub use body::{BodyError, BoundedBody};
pub use client_address::{
    RemotePeer, caller_network, current_user_id, find_local_peer, local_request, round_up_to_seconds,
};
pub use cookies::{build_flow_cookie, expire_flow_cookie, expire_surplus_flow_cookies, read_flow_cookies};
pub use correlation::Correlation;
pub use csrf::{RequestOrigin, detect_request_origin};
pub(crate) use face::OAuthErrorBody;
pub use face::{ApiSurface, render_oauth_error};
pub use listener::{Listener, ShutdownOutcome, serve};
pub use middleware::build_service;
pub use path::{Segment, Segments};
pub use problem::{PairProblemBody, Problem, ProblemBody};
pub use routes::{
    RequiredRole, Route, SupportsDryRun, admin_routes, all_routes, build_router, public_routes,
};
pub use unix_socket::{BindSocketError, LocalSocket};
