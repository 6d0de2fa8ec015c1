//! The protocol rules: pure decisions, named after what they check.

pub mod access;
pub mod authorize;
pub mod client_auth;
pub mod client_registration;
pub mod operator;
pub mod pkce;
pub mod provider;
pub mod recipient;
pub mod redeem;
pub mod token;
pub mod trip;
