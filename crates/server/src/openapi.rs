//! The OpenAPI 3.1 documents of the hub's APIs. They are built from the routes, and served as JSON and as HTML pages.

mod document;
pub(crate) mod http;
mod info;

use clap::ValueEnum;
use serde_json::Value;

use crate::http::{ApiSurface, Route};

/// An OpenAPI document of the hub, named after the API that it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApiDocument {
    /// The document of the Flinks API: authorization, data recipients, registrations, providers and connections.
    Flinks,
    /// The document of the FDX API: the customer's data.
    Fdx,
    /// The document of the admin API, for operators.
    Admin,
}

impl ApiDocument {
    pub const ALL: [Self; 3] = [Self::Flinks, Self::Fdx, Self::Admin];

    /// Returns the name that the document has in URL paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flinks => "flinks",
            Self::Fdx => "fdx",
            Self::Admin => "admin",
        }
    }

    /// Returns the URL path of the document on the public listener.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Flinks => "/openapi/flinks.json",
            Self::Fdx => "/openapi/fdx.json",
            Self::Admin => "/openapi/admin.json",
        }
    }

    /// Returns the API that the document describes.
    pub const fn surface(self) -> ApiSurface {
        match self {
            Self::Flinks => ApiSurface::Flinks,
            Self::Fdx => ApiSurface::Fdx,
            Self::Admin => ApiSurface::Admin,
        }
    }

    /// Builds the document. `routes` must contain all routes of its API; routes of other APIs are ignored.
    pub fn build(self, routes: &[Route]) -> Value {
        let info = match self {
            Self::Flinks => info::flinks(),
            Self::Fdx => info::fdx(),
            Self::Admin => info::admin(),
        };
        document::build_document(&info, routes.iter().filter(|route| route.surface == self.surface()))
    }
}
