//! Signed values: bytes in, claims out. Nothing here fetches a key.

mod access_token;

pub use access_token::{AccessTokenKeys, TokenError};
