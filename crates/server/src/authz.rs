//! The authorization server: the Flinks face.

mod authorize;
mod bearer;
mod error;
mod revoke;
mod token;

pub(crate) mod http;

pub use authorize::{Begun, NotBegun, Picker, REQUEST_LIFE, begin};
pub use bearer::{BAD_BEARER, Bearer, verified};
pub use error::AuthzError;
pub use revoke::revoke;
pub use token::{Issued, token};
