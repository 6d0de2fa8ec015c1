//! What the bank says, in the version of FDX that it speaks; and what it is asked, in that version's words.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use fdx::v6::{self, CrossVersion};
use fdx::{ErrorCode, HateoasLink};

use super::Bank;
use super::fdx_api::FdxApiError;

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
    pub(super) const fn base_path(self) -> &'static str {
        match self {
            Self::V5 => "/fdx/v5",
            Self::V6 => "/fdx/v6",
        }
    }

    /// What a parameter of 5.x is called.
    pub(super) fn parameter_name(self, name: &str) -> &str {
        match self {
            Self::V5 => name,
            Self::V6 => v6::v6_parameter_name(name),
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
        self.fields.get(self.version.parameter_name(name)).map(String::as_str)
    }

    /// The link to the page behind a cursor.
    pub(super) fn link(&self, path: &str, cursor: &str) -> HateoasLink {
        let mut pairs: BTreeMap<&str, &str> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.insert(self.version.parameter_name("offset"), cursor);
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let href = format!("{}{path}?{query}", self.version.base_path());
        HateoasLink { href: Some(href), ..HateoasLink::default() }
    }

    /// Whether days come alone here.
    pub(super) fn allows_open_date_range(&self) -> bool {
        self.version == Version::V5
    }
}

impl FromRequestParts<Bank> for Parameters {
    type Rejection = FdxApiError;

    async fn from_request_parts(parts: &mut Parts, bank: &Bank) -> Result<Self, FdxApiError> {
        let version = bank.0.profile.fdx_version;
        let interaction = parts.headers.get("x-fapi-interaction-id").and_then(|id| id.to_str().ok());
        if version == Version::V6 && interaction.is_none_or(|id| id.len() != 36) {
            return Err(FdxApiError(ErrorCode::InvalidInput, "x-fapi-interaction-id must be a UUID"));
        }
        let query = Query::<BTreeMap<String, String>>::from_request_parts(parts, bank).await;
        let Query(fields) =
            query.map_err(|_| FdxApiError(ErrorCode::InvalidInput, "the query is not readable"))?;
        Ok(Self { version, fields })
    }
}

impl Bank {
    /// An answer in the bank's version.
    pub(super) fn fdx_response<T: CrossVersion>(&self, value: &T) -> Response {
        match self.0.profile.fdx_version {
            Version::V5 => Json(value).into_response(),
            Version::V6 => match v6::write(value) {
                Ok(flat) => Json(flat).into_response(),
                Err(_) => FdxApiError(ErrorCode::Internal, "The answer cannot be written").into_response(),
            },
        }
    }
}
