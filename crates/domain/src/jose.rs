//! Signed tokens (JWT). All keys are arguments; this module neither loads nor fetches keys.

mod access_token;
mod client_assertion;
mod dpop;
mod id_token;

pub use access_token::{AccessTokenKeys, TokenError};
pub use jsonwebtoken::jwk::Jwk as PublicKey;

pub use client_assertion::{AssertionKeyError, AssertionKeys, ClientAssertion};
pub use dpop::{DpopKey, DpopKeyError, ProvedRequest};
pub use id_token::{ExpectedIdToken, IdTokenError, KeySetError, MAX_KEY_SET_BYTES, ProviderKeys};
