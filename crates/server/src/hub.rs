//! Towards providers: authorization, tokens, data, and telling them of ends.

mod breaker;
mod callback;
mod connect;
mod fetch;
mod look;
mod own_client;
mod provider;
mod refresh;
mod registrar;
mod tell;

pub use breaker::Breaker;
pub use callback::{Callback, CallbackOutcome, receive_callback};
pub use connect::{
    AuthorizationStopped, ConsentError, ConsentPage, approve, build_redirect_url, deny, load_consent_page,
    may_redirect,
};
pub use fetch::{ReadError, StreamedDocument, fetch, open_document};
pub(crate) use look::ProviderCheck;
pub use look::{CheckResult, check_provider};
pub use own_client::{
    HubSecrets, SealedManagement, open_management, seal_client, seal_hub_secrets, seal_management,
};
pub(crate) use own_client::{UpstreamClientCredentials, read_secret};
pub use provider::{TokenResponse, UpstreamError};
pub use registrar::{RegistrationReport, delete_upstream_client, register_upstream_client};
pub use tell::{AttemptReport, run_revocation};
