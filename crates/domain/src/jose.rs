//! Signed tokens (JWT). All keys are arguments; this module neither loads nor fetches keys.

mod access_token;
mod client_assertion;

pub use access_token::{AccessTokenKeys, TokenError};
pub use jsonwebtoken::jwk::Jwk as PublicKey;

pub use client_assertion::{AssertionKeyError, AssertionKeys, ClientAssertion};
