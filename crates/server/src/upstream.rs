//! Calls to data providers: authorization, tokens, data, revocation and client registration.

mod attempt_report;
mod call_report;
mod callback;
mod check_result;
mod client;
mod client_registration;
mod consent;
mod data_endpoint;
mod document;
mod endpoints;
mod error;
mod fetch;
mod oauth_error;
mod provider_check;
mod read_report;
mod refresh;
mod response;
mod revocation;
mod sealed_token;
mod token_endpoint;
mod token_response;
mod urls;

pub use attempt_report::{AttemptError, AttemptReport};
pub use callback::{Callback, CallbackOutcome, receive_callback};
pub use check_result::CheckResult;
pub use client::{HubSecrets, SealedClientConfiguration, seal_client, seal_hub_secrets};
pub(crate) use client::{UpstreamClientCredentials, read_secret};
pub use client_registration::{RegistrationReport, delete_upstream_client, register_upstream_client};
pub use consent::{
    AuthorizationStopped, ConsentError, ConsentPage, approve, build_redirect_url, deny, load_consent_page,
    may_redirect,
};
pub use document::StreamedDocument;
pub use error::{ReadError, UpstreamError};
pub use fetch::ConnectionSource;
pub(crate) use provider_check::ProviderCheck;
pub use provider_check::check_provider;
pub use refresh::confirm_invalid_grant;
pub use revocation::run_revocation;
pub use token_response::TokenResponse;
