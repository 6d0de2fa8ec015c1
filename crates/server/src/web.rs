//! The HTTP kit that every face shares.

mod body;
mod cookies;
mod correlation;
mod face;
mod form;
mod listen;
mod local;
mod outer;
mod peer;
mod problem;
mod routes;
mod segment;
mod stall;
mod twice;

pub use body::{BodyError, BoundedBody};
pub use cookies::{build_flow_cookie, expire_flow_cookie, expire_surplus_flow_cookies, read_flow_cookies};
pub use correlation::Correlation;
pub(crate) use face::OAuthErrorBody;
pub use face::{ApiSurface, render_oauth_error};
pub use form::{RequestOrigin, detect_request_origin};
pub use listen::{Listener, ShutdownOutcome, serve};
pub use local::{BindSocketError, LocalSocket};
pub use outer::build_service;
pub use peer::{
    RemotePeer, caller_network, current_user_id, find_local_peer, local_request, round_up_to_seconds,
};
pub use problem::{PairProblemBody, Problem, ProblemBody};
pub use routes::{
    RequiredRole, Route, SupportsDryRun, admin_routes, all_routes, build_router, public_routes,
};
pub use segment::{Segment, Segments};
