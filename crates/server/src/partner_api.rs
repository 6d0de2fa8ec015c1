//! The partner API, which is part of the Flinks API: partners manage their recipients, and recipients read their
//! providers and connections. The rules for recipients are in [`crate::recipients`].

mod access;
mod array_page;
mod connections;
mod error;
mod inventory;
mod providers;
mod recipients;
mod registrations;

mod http;
pub(crate) mod operations;
pub(crate) mod wire;

pub use access::{
    AccessLevel, AuthenticatedClientKind, AuthenticatedPartner, AuthenticatedRecipient, authenticate_client,
    authenticate_partner, authenticate_recipient,
};
pub use error::PartnerApiError;
pub(crate) use recipients::{CreateDataRecipientRequest, UpdateDataRecipientRequest};
