//! Signed tokens. Keys are arguments; nothing here loads or fetches one.

mod access_token;

pub use access_token::{AccessTokenKeys, TokenError};
