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

pub use body::{BodyError, Limited};
pub use cookies::{flow_cookie, flow_cookies, forgotten_flow_cookie, surplus_flow_cookies};
pub use correlation::Correlation;
pub(crate) use face::OAuthErrorBody;
pub use face::{Face, oauth_error};
pub use form::{Sameness, same_site};
pub use listen::{Listener, Served, serve};
pub use local::{LocalSocket, NotBound};
pub use outer::service;
pub use peer::{Peer, local_peer, network, own_request, own_user, whole_seconds};
pub use problem::{PairBody, Problem, ProblemBody};
pub use routes::{Least, Route, Tried, admin_table, public_table, router, table};
pub use segment::{Segment, Segments};
