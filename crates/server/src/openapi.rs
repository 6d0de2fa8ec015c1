//! What the hub serves, as OpenAPI 3.1 documents: made of the operations' descriptions, the types of the wire and
//! the errors as they are rendered.

mod admin;
mod document;
mod fdx;
mod flinks;
pub(crate) mod http;
mod operation;
mod page;

use clap::ValueEnum;
use serde_json::Value;

/// An OpenAPI document, named after the API that it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApiDocument {
    /// Flinks API: authorization, data recipients, registrations, providers and connections.
    Flinks,
    /// FDX API: the customer's data.
    Fdx,
    /// Admin API, for operators.
    Admin,
}

impl ApiDocument {
    /// Every document.
    pub const ALL: [Self; 3] = [Self::Flinks, Self::Fdx, Self::Admin];

    /// Its name in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flinks => "flinks",
            Self::Fdx => "fdx",
            Self::Admin => "admin",
        }
    }

    /// Where it is served.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Flinks => "/openapi/flinks.json",
            Self::Fdx => "/openapi/fdx.json",
            Self::Admin => "/openapi/admin.json",
        }
    }

    /// The document, as text.
    pub fn to_json_text(self) -> String {
        format!("{:#}", self.generate())
    }

    /// The document, made anew.
    pub fn generate(self) -> Value {
        match self {
            Self::Flinks => flinks::build_document(),
            Self::Fdx => fdx::build_document(),
            Self::Admin => admin::build_document(),
        }
    }
}
