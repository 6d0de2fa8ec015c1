//! The parts of HTTP handling that every API shares. No feature is imported here: features use `http`, never the
//! reverse.

mod api_surface;
mod body;
mod client_address;
mod cookies;
mod correlation;
mod csrf;
mod duplicate_keys;
mod host_policy;
mod json;
mod middleware;
mod oauth_error;
mod page_locale;
mod path;
mod problem;
mod retry_after;
mod route;
mod route_table;
mod speculation;
mod state;

pub use api_surface::{ApiSurface, PageErrorRenderer};
pub use body::{BodyError, BoundedBody, FormField};
pub use client_address::{RemotePeer, current_user_id};
pub use cookies::{FlowCookies, build_flow_cookies, read_flow_cookies};
pub use correlation::Correlation;
pub use csrf::{RequestOrigin, detect_request_origin};
pub use host_policy::HostPolicy;
pub(crate) use json::{json_response, json_text_response};
pub use middleware::RequestDispatcher;
pub(crate) use oauth_error::OAuthErrorBody;
pub use oauth_error::render_oauth_error;
pub use page_locale::PageLocale;
pub use path::{Segment, Segments};
pub use problem::{PairProblemBody, Problem, ProblemBody};
pub use retry_after::set_retry_after;
pub use route::{Route, RouteHandler};
pub use speculation::is_speculative;
pub use state::{RequestState, RouteProperties};
