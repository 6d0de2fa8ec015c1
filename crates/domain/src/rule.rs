//! The protocol rules: pure functions that validate requests and make decisions, one module for each subject.

pub mod access;
pub mod access_denial;
pub mod authorization_code;
pub mod authorization_failure;
pub mod authorization_progress;
pub mod authorize;
pub mod circuit_breaker;
pub mod client_auth;
pub mod client_registration;
pub mod expiry_brake;
pub mod invalid_grant;
pub mod network_address;
pub mod node_lease;
pub mod operator;
pub mod pkce;
pub mod provider;
pub mod provider_authorization;
pub mod provider_metadata;
pub mod provider_response;
pub mod revocation_methods;
pub mod revoke;
pub mod steady_clock;
pub mod token;
pub mod token_lifetime;
pub mod unsettled_refresh;
pub mod validation;
