//! Management: what operators set up, and what partners and recipients see and do on their own account.

mod access;
mod connection;
mod described;
mod error;
mod inventory;
mod member;
mod provider;
mod recipient;
mod register;
mod registration;
mod remove;
pub(crate) mod wire;

pub(crate) mod http;

/// The mark of a store that is a sandbox's.
pub const SANDBOX_METADATA_NAME: &str = "sandbox";

pub(crate) use recipient::{create_recipient_as_operator, replace_uris, rotate_secret, update_client};
pub(crate) use registration::{ensure_pair_limit, submit_registrations};
pub(crate) use remove::remove_client;

pub use access::{
    AccessLevel, AuthenticatedClientKind, AuthenticatedPartner, AuthenticatedRecipient, authenticate_client,
    authenticate_partner, authenticate_recipient,
};
pub use error::ManageError;
pub use member::JsonMembers;
pub(crate) use member::{DUPLICATE_FIELD, expected_one_of};
pub use recipient::{
    create_recipient, find_active_recipient, list_recipients, regenerate_secret, replace_own_redirect_uris,
};
pub use register::{
    NewClientCredentials, NewPartner, NewRecipient, RegisterClientError, register_active_recipient,
    register_partner, replace_redirect_uris,
};
pub use registration::{
    RegistrationPair, RegistrationStepError, UpstreamClientDetails, activate, approve, reinstate, reject,
    suspend,
};
pub use remove::{process_removals, remove_recipient};
