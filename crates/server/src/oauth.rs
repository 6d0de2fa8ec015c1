//! The OAuth 2.0 authorization server: the authorize, token and revoke endpoints of the Flinks API.

mod authorize;
mod bearer;
mod denial;
mod error;
mod metadata;
mod revoke;
mod token;

pub(crate) mod http;
pub(crate) mod operations;

pub use authorize::{
    AUTHORIZE_PARAMETERS, AuthorizeError, AuthorizeOutcome, ProviderPicker, begin_authorization,
};
pub use bearer::{Bearer, INVALID_BEARER, verify_bearer};
pub use error::AuthzError;
pub use revoke::{revoke_by_bearer, revoke_by_client};
pub use token::{IssuedTokens, issue_tokens};
