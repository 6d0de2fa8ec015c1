//! The authorization server: the Flinks face.

mod authorize;
mod bearer;
mod error;
mod revoke;
mod token;

pub(crate) mod http;

pub use authorize::{AuthorizeError, AuthorizeOutcome, Picker, REQUEST_TTL, begin_authorization};
pub use bearer::{Bearer, INVALID_BEARER, verify_bearer};
pub use error::AuthzError;
pub use revoke::revoke;
pub use token::{IssuedTokens, issue_tokens};
