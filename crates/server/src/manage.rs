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
pub const SANDBOX_MARK: &str = "sandbox";

pub(crate) use recipient::{another_secret, change, create_for, replace_uris};
pub(crate) use registration::{ask, few};
pub(crate) use remove::remove_client;

pub use access::{Own, Partner, Party, Wants, own, partner, party};
pub use error::ManageError;
pub use member::Members;
pub(crate) use member::{GIVEN_TWICE, one_of};
pub use recipient::{create, one, regenerate_secret, replace_own_redirect_uris, under};
pub use register::{
    NewPartner, NewRecipient, NotRegistered, Registered, register, register_partner, replace_redirect_uris,
};
pub use registration::{ClientThere, Pair, StepRefused, activate, approve, reinstate, reject, suspend};
pub use remove::{remove, work_on_removals};
