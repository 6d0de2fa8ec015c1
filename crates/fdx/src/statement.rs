//! The entities of statements, and the media types of their documents.

use crate::common::HateoasLink;
use crate::entity::entity;
use crate::scalar::Date;

entity! {
    /// A statement of an account. `links` refer to the document.
    Statement {
        account_id: String, statement_id: String, statement_date: Date, description: String,
        links: Vec<HateoasLink>, status: String,
    }
}

/// The media types in which a document can be requested, in the order of the standard.
pub const DOCUMENT_TYPES: [&str; 5] =
    ["application/pdf", "image/gif", "image/jpeg", "image/tiff", "image/png"];
