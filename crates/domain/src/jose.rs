//! Signed tokens (JWT). All keys are arguments; this module neither loads nor fetches keys.

mod access_token;

pub use access_token::{AccessTokenKeys, TokenError};
