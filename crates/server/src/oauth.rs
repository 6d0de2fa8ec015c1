//! The OAuth 2.0 authorization server: the authorize, token and revoke endpoints of the Flinks API.

mod authorize;
mod bearer;
mod error;
mod revoke;
mod token;

pub(crate) mod http;
pub(crate) mod operations;

pub use authorize::{AuthorizeError, AuthorizeOutcome, ProviderPicker, REQUEST_TTL, begin_authorization};
pub use bearer::{Bearer, INVALID_BEARER, verify_bearer};
pub use error::AuthzError;
pub use revoke::revoke;
pub use token::{IssuedTokens, issue_tokens};
