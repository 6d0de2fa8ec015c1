//! Use cases that create, change and remove recipients and partners, and that register recipients with providers.
//!
//! The admin API, the partner API, the sandbox, the benchmark and the tests all call these functions, so that every
//! caller is subject to the same validation.

mod create;
mod draft;
mod registration;
mod remove;
mod update;

pub use create::{
    NewClientCredentials, RecipientError, TOO_MANY_RECIPIENTS, create_partner, create_recipient,
};
pub use draft::{RecipientDraft, redirect_uris_schema};
pub use registration::{
    MAX_PAIRS, RegistrationPair, RegistrationStepError, UpstreamClientDetails, activate,
    activate_with_providers, approve, ensure_pair_limit, reinstate, reject, request_registrations, suspend,
};
pub use remove::{process_removals, remove_client};
pub use update::{replace_redirect_uris, rotate_secret, update_client};
