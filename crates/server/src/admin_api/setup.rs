//! What operators set up: partners, recipients, registrations, providers of their own.

pub mod new_provider;
pub mod partner;
pub mod recipient;
pub mod registration;

mod client;
pub(super) mod http;

use domain::Secret;
use domain::id::ClientId;
use schemars::JsonSchema;
use serde::Serialize;

pub use partner::{PartnerBody, PartnerCreated};
pub use recipient::{AdminRecipientBody, RecipientCreated, RecipientRemoved, RemoveRecipientOutcome};
pub use registration::{AdminRegistrationBody, RequestedRegistrations};

use crate::response::exposed;

/// A client's new secret. It is not kept and cannot be shown again; the old one is void.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SecretIssued {
    /// The client.
    #[schemars(with = "String")]
    client_id: ClientId,
    /// Its secret, shown this once (RFC 6749 §2.3.1).
    #[serde(serialize_with = "exposed")]
    #[schemars(with = "String")]
    client_secret: Secret<String>,
}
