//! Parses requests and renders responses of a bank's FDX API, in the version of FDX that the bank implements:
//! parameters, paging and errors.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use fdx::v6::{self, CrossVersion};
use fdx::{ErrorBody, ErrorCode, HateoasLink, PageLinks, PageMetadata};
use jiff::civil;
use jiff::tz::TimeZone;

use super::fault_settings::DataFault;
use super::fdx_version::FdxVersion;
use super::state::Bank;

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 500;

/// An FDX error response: code and message.
pub(super) struct FdxApiError(pub(super) ErrorCode, pub(super) &'static str);

impl IntoResponse for FdxApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ErrorBody::new(self.0, self.1))).into_response()
    }
}

/// The query parameters of a request, under the names of the bank's FDX version.
pub(super) struct Parameters {
    version: FdxVersion,
    fault: DataFault,
    /// The first day of which the bank has data.
    earliest: Option<civil::Date>,
    fields: BTreeMap<String, String>,
}

impl Parameters {
    /// Returns the parameter with this FDX 5 name. A bank with FDX 6 reads it under its FDX 6 name only.
    pub(super) fn get(&self, v5_name: &str) -> Option<&str> {
        self.fields.get(self.version.parameter_name(v5_name)).map(String::as_str)
    }

    /// Returns the link to the page after a cursor, with all other parameters unchanged.
    fn link(&self, path: &str, cursor: &str) -> HateoasLink {
        let mut pairs: BTreeMap<&str, &str> =
            self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.insert(self.version.parameter_name("offset"), cursor);
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let href = format!("{}{path}?{query}", self.version.base_path());
        HateoasLink { href: Some(href), ..HateoasLink::default() }
    }

    /// Parses the requested date range, whose ends are both optional in FDX 5.
    pub(super) fn date_range(&self) -> Result<(Option<civil::Date>, Option<civil::Date>), FdxApiError> {
        let (start, end) = (self.date("startTime")?, self.date("endTime")?);
        if self.earliest.is_some_and(|earliest| start.is_none_or(|start| start < earliest)) {
            return Err(FdxApiError(ErrorCode::InvalidDate, "The bank has no data of these days"));
        }
        if self.fault == DataFault::IgnoreDates {
            return Ok((None, None));
        }
        if start.zip(end).is_some_and(|(start, end)| start > end) {
            return Err(FdxApiError(ErrorCode::InvalidRange, "startTime must not be after endTime"));
        }
        if start.is_some() != end.is_some() && self.version == FdxVersion::V6 {
            return Err(FdxApiError(ErrorCode::InvalidRange, "Both dates are required, or neither"));
        }
        Ok((start, end))
    }

    fn date(&self, v5_name: &str) -> Result<Option<civil::Date>, FdxApiError> {
        let date = self.get(v5_name).map(str::parse::<civil::Date>).transpose();
        date.map_err(|_| FdxApiError(ErrorCode::InvalidDate, "Dates must have the form YYYY-MM-DD"))
    }

    /// Returns the requested page of a list. The cursor is the id of the last item of the previous page.
    pub(super) fn paginate<T>(
        &self,
        mut items: Vec<T>,
        path: &str,
        id: fn(&T) -> Option<&str>,
    ) -> Result<(PageMetadata, PageLinks, Vec<T>), FdxApiError> {
        const INVALID_PAGE: FdxApiError = FdxApiError(ErrorCode::InvalidInput, "limit or offset is invalid");
        let limit = self.get("limit").map_or(Ok(DEFAULT_PAGE_SIZE), str::parse).map_err(|_| INVALID_PAGE)?;
        let limit =
            if self.fault == DataFault::IgnoreLimit { usize::MAX } else { limit.clamp(1, MAX_PAGE_SIZE) };
        let total = items.len();
        if let Some(cursor) = self.get("offset") {
            let previous = items.iter().position(|item| id(item) == Some(cursor)).ok_or(INVALID_PAGE)?;
            items.drain(..=previous);
        }
        let has_more = items.len() > limit;
        items.truncate(limit);
        let cursor = items.last().filter(|_| has_more).and_then(id).map(str::to_owned);
        let next = cursor.as_ref().map(|cursor| self.link(path, cursor));
        let total_elements = Some(total as u64);
        let page = PageMetadata { next_offset: cursor, total_elements, ..PageMetadata::default() };
        Ok((page, PageLinks { next, prev: None }, items))
    }
}

impl FromRequestParts<Bank> for Parameters {
    type Rejection = FdxApiError;

    async fn from_request_parts(parts: &mut Parts, bank: &Bank) -> Result<Self, FdxApiError> {
        let version = bank.profile().fdx_version;
        // FDX 6 requires the FAPI interaction id on every request; FDX 5 makes it optional.
        let interaction_id = parts.headers.get("x-fapi-interaction-id").and_then(|id| id.to_str().ok());
        if version == FdxVersion::V6 && interaction_id.is_none_or(|id| id.len() != 36) {
            return Err(FdxApiError(ErrorCode::InvalidInput, "x-fapi-interaction-id must be a UUID"));
        }
        let query = Query::<BTreeMap<String, String>>::from_request_parts(parts, bank).await;
        let Query(fields) =
            query.map_err(|_| FdxApiError(ErrorCode::InvalidInput, "The query string cannot be parsed"))?;
        let faults = bank.faults().borrow().clone();
        let earliest = faults.history_days.and_then(|days| {
            let today = jiff::Timestamp::from_millisecond(bank.now()).ok()?.to_zoned(TimeZone::UTC).date();
            today.checked_sub(jiff::Span::new().days(i64::from(days))).ok()
        });
        Ok(Self { version, fault: faults.data, earliest, fields })
    }
}

impl Bank {
    /// Serializes a response body in the FDX version of the bank.
    pub(super) fn fdx_response<T: CrossVersion>(&self, value: &T) -> Response {
        match self.profile().fdx_version {
            FdxVersion::V5 => Json(value).into_response(),
            FdxVersion::V6 => match v6::write(value) {
                Ok(flat) => Json(flat).into_response(),
                Err(_) => {
                    FdxApiError(ErrorCode::Internal, "The response cannot be serialized").into_response()
                }
            },
        }
    }
}
