//! Statements: what there is to be downloaded, and as what.

use crate::Date;
use crate::entity::entity;
use crate::page::HateoasLink;

entity! {
    /// A statement of an account. `links` lead to the document.
    Statement {
        account_id: String, statement_id: String, statement_date: Date, description: String,
        links: Vec<HateoasLink>, status: String,
    }
}

/// The types that a document may be asked for as, in the order of the standard.
pub const DOCUMENT_TYPES: [&str; 5] =
    ["application/pdf", "image/gif", "image/jpeg", "image/tiff", "image/png"];
