//! What the bank says, in the version of FDX that it speaks; and what it is asked, in that version's words.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use fdx::v6::{self, InBoth};
use fdx::{ErrorCode, HateoasLink};

use super::Bank;
use super::fdx_api::Refused;

/// A version of FDX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Entities wrapped by kind.
    V5,
    /// Entities flat, pages by keys, both dates or none.
    V6,
}

impl Version {
    /// Where its resources are.
    pub(super) const fn base(self) -> &'static str {
        match self {
            Self::V5 => "/fdx/v5",
            Self::V6 => "/fdx/v6",
        }
    }

    /// What a parameter of 5.x is called.
    pub(super) fn parameter(self, name: &str) -> &str {
        match self {
            Self::V5 => name,
            Self::V6 => v6::parameter(name),
        }
    }
}

/// The parameters of a query, under the version's own names.
pub(super) struct Parameters {
    version: Version,
    fields: BTreeMap<String, String>,
}

impl Parameters {
    /// A parameter by its name in 5.x; in 6.x that name alone is not known.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(self.version.parameter(name)).map(String::as_str)
    }

    /// The link to the page behind a cursor.
    pub(super) fn link(&self, path: &str, cursor: &str) -> HateoasLink {
        let mut kept: BTreeMap<&str, &str> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        kept.insert(self.version.parameter("offset"), cursor);
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
        let href = format!("{}{path}?{query}", self.version.base());
        HateoasLink { href: Some(href), ..HateoasLink::default() }
    }

    /// Whether days come alone here.
    pub(super) fn takes_one_day(&self) -> bool {
        self.version == Version::V5
    }
}

impl FromRequestParts<Bank> for Parameters {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, bank: &Bank) -> Result<Self, Refused> {
        let version = bank.0.look.fdx;
        let interaction = parts.headers.get("x-fapi-interaction-id").and_then(|id| id.to_str().ok());
        if version == Version::V6 && interaction.is_none_or(|id| id.len() != 36) {
            return Err(Refused(ErrorCode::InvalidInput, "x-fapi-interaction-id must be a UUID"));
        }
        let query = Query::<BTreeMap<String, String>>::from_request_parts(parts, bank).await;
        let Query(fields) =
            query.map_err(|_| Refused(ErrorCode::InvalidInput, "the query is not readable"))?;
        Ok(Self { version, fields })
    }
}

impl Bank {
    /// An answer in the bank's version.
    pub(super) fn say<T: InBoth>(&self, value: &T) -> Response {
        match self.0.look.fdx {
            Version::V5 => Json(value).into_response(),
            Version::V6 => match v6::write(value) {
                Ok(flat) => Json(flat).into_response(),
                Err(_) => Refused(ErrorCode::Internal, "The answer cannot be written").into_response(),
            },
        }
    }
}
