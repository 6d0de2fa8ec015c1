//! The statements of an account: the list `GET /accounts/{accountId}/statements`, and the download of one statement.

use std::cmp::Reverse;

use domain::scope::DataOperation;
use fdx::{DOCUMENT_TYPES, ErrorCode, HateoasLink, Statement, StatementItem};

use super::access::{ConfirmedResponse, DataReader, FdxRequest};
use super::accounts::provider_account_id;
use super::dates::{self, DateError, DateRange, DateRangeLimits};
use super::error::{DataError, NO_ACCOUNT};
use super::guarded_document::GuardedDocument;
use super::page::{JsonText, ListRequest};
use crate::paging::ListQuery;
use crate::upstream::{ConnectionSource, ReadError, StreamedDocument, UpstreamError};

const LIST: &str = "statements";

const NO_STATEMENT: DataError =
    DataError::Fdx(ErrorCode::DataNotFound, "statementId is not a statement of this account");

/// Reads a page of the statements of an account.
pub(super) async fn list(
    request: FdxRequest,
    opaque_id: &str,
) -> Result<ConfirmedResponse<JsonText>, DataError> {
    let reader = DataReader::authorize(request, DataOperation::Statements).await?;
    let statements = read(&reader, opaque_id).await?;
    reader.confirm(statements).await
}

async fn read(reader: &DataReader, opaque_id: &str) -> Result<JsonText, DataError> {
    let id = provider_account_id(reader, opaque_id).ok_or(NO_ACCOUNT)?;
    let path = format!("/api/fdx/5/accounts/{opaque_id}/statements");
    let request = ListRequest::parse(reader, &path, &dates::DATE_PARAMETERS)?;
    let history = DateRangeLimits::from_context(reader.ctx());
    let range = parse_range(reader.query(), history)?;
    let upstream_path = ["accounts", id.as_str(), "statements"];
    let list = request.open_dated(LIST, &upstream_path, range, history).await?;
    let Some((list, range)) = list else { return Ok(JsonText::from_empty_list(LIST)) };
    let list_url = format!("{}{path}", reader.ctx().app().public_url());
    let convert = |statement: Statement| {
        let is_in_range = statement.statement_date.is_none_or(|date| range.contains(date.0));
        let statement = Some(statement).filter(|_| is_in_range)?;
        to_visible_statement(reader, &id, opaque_id, &list_url, statement)
    };
    list.read(&mut StatementItem::new(Some(&id), convert)).await
}

/// Parses the requested range of days and limits it to the served history. `None` if the history has none of its days.
/// Statements require both dates or none.
fn parse_range(query: &ListQuery, history: DateRangeLimits) -> Result<Option<DateRange>, DataError> {
    let to_error = |error| match error {
        DateError::Malformed => DataError::invalid("startTime and endTime must have the form YYYY-MM-DD"),
        DateError::Impossible => DataError::Fdx(
            ErrorCode::InvalidDate,
            "startTime and endTime must be calendar dates in the form YYYY-MM-DD",
        ),
    };
    match dates::parse_date_range(query, to_error)? {
        dates @ ((None, None) | (Some(_), Some(_))) => Ok(history.intersect(dates.0, dates.1)),
        _ => Err(DataError::Fdx(ErrorCode::InvalidRange, "startTime and endTime must be given together")),
    }
}

/// Replaces the provider's ids and links in a statement with the hub's own. Returns `None` if the statement has no
/// usable id.
fn to_visible_statement(
    reader: &DataReader,
    account_id: &str,
    opaque_account_id: &str,
    list_url: &str,
    mut statement: Statement,
) -> Option<Statement> {
    let id = statement.statement_id.take()?;
    let opaque_id = reader.ctx().app().opaque_ids().seal_statement(reader.access(), account_id, &id)?;
    let offered_types = statement.links.take().unwrap_or_default().into_iter().find_map(|link| link.types);
    // Types that the hub does not serve are left out, so that clients do not request them.
    let types = offered_types.map(|mut types| {
        types.retain(|media_type| DOCUMENT_TYPES.contains(&media_type.as_str()));
        types
    });
    statement.links = Some(vec![HateoasLink {
        href: Some(format!("{list_url}/{opaque_id}")),
        action: Some("GET".into()),
        types,
        ..HateoasLink::default()
    }]);
    statement.account_id = Some(opaque_account_id.to_owned());
    statement.statement_id = Some(opaque_id);
    Some(statement)
}

/// Requests the document of a statement, in the type that the client prefers among those that the provider offers.
pub(super) async fn download(
    request: FdxRequest,
    (opaque_account_id, opaque_statement_id): (&str, &str),
    accept: Option<&str>,
) -> Result<ConfirmedResponse<GuardedDocument>, DataError> {
    let reader = DataReader::authorize(request, DataOperation::Statements).await?;
    let slot = reader.ctx().app().document_slots().take(reader.access().client_id())?;
    let document = open_preferred_type(&reader, opaque_account_id, opaque_statement_id, accept).await?;
    reader.confirm_guarded(|reader| GuardedDocument::new(reader, slot, document)).await
}

async fn open_preferred_type(
    reader: &DataReader,
    opaque_account_id: &str,
    opaque_statement_id: &str,
    accept: Option<&str>,
) -> Result<StreamedDocument, DataError> {
    let account_id = provider_account_id(reader, opaque_account_id).ok_or(NO_ACCOUNT)?;
    let ids = reader.ctx().app().opaque_ids();
    let id = ids.open_statement(reader.access(), &account_id, opaque_statement_id).ok_or(NO_STATEMENT)?;
    let path = ["accounts", &account_id, "statements", &id];
    let mut not_acceptable = DataError::Fdx(
        ErrorCode::ContentType,
        "Accept must name application/pdf, image/gif, image/jpeg, image/tiff or image/png",
    );
    // Each acceptable type is tried with a request of its own, because a list of statements may omit the offered types.
    // The number of document types bounds the number of requests.
    let source = ConnectionSource::load(reader.ctx(), reader.access()).await?;
    for media_type in negotiate_types(accept) {
        match source.open_document(&path, media_type).await {
            Err(ReadError::Upstream(UpstreamError::FdxError(code @ ErrorCode::ContentType))) => {
                not_acceptable =
                    DataError::Fdx(code, "The data provider does not offer this statement in this type");
            }
            result => return result.map_err(map_download_error),
        }
    }
    Err(not_acceptable)
}

fn map_download_error(error: ReadError) -> DataError {
    match error {
        ReadError::Upstream(UpstreamError::FdxError(code @ ErrorCode::StatementProcessing)) => {
            DataError::Fdx(code, "The data provider is still preparing this statement")
        }
        ReadError::Upstream(UpstreamError::FdxError(code @ ErrorCode::TooLarge)) => {
            DataError::Fdx(code, "This statement exceeds the hub's size limit")
        }
        error => DataError::from_read_error(error, NO_STATEMENT),
    }
}

/// Returns the media types to request from the provider, in this order (RFC 9110 §12.5.1): by quality, then by
/// position in `Accept`. Without `Accept` every type is acceptable, PDF first.
fn negotiate_types(accept: Option<&str>) -> Vec<&'static str> {
    let accept = accept.filter(|accept| !accept.trim().is_empty()).unwrap_or("*/*");
    let ranges: Vec<MediaRange> = accept.split(',').enumerate().map(MediaRange::parse).collect();
    let mut candidates: Vec<_> = DOCUMENT_TYPES
        .into_iter()
        .filter_map(|media_type| Some((match_media_ranges(&ranges, media_type)?, media_type)))
        .collect();
    // The sort is stable: types of one range stay in the order of `DOCUMENT_TYPES`.
    candidates.sort_by_key(|((quality, position), _)| (Reverse(*quality), *position));
    candidates.into_iter().map(|(_, media_type)| media_type).collect()
}

/// Returns the quality and the position of the most specific range that matches a type; `None` if the type is not
/// acceptable.
fn match_media_ranges(ranges: &[MediaRange], media_type: &str) -> Option<(u16, usize)> {
    // `max_by_key` returns the last maximum. The ranges are reversed, so that the first of equally specific ranges
    // wins.
    let closest = ranges.iter().rev().max_by_key(|range| range.specificity(media_type))?;
    (closest.specificity(media_type) > 0 && closest.quality > 0)
        .then_some((closest.quality, closest.position))
}

/// A media range of the `Accept` header, such as `image/*;q=0.5`.
struct MediaRange {
    range: String,
    /// The quality (RFC 9110 §12.4.2) in thousandths, from 0 to 1000.
    quality: u16,
    position: usize,
}

impl MediaRange {
    fn parse((position, text): (usize, &str)) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Self { range, quality: quality.map_or(1000, parse_quality), position }
    }

    /// Returns how specifically the range matches a type: 3 for the type itself, 2 for `type/*`, 1 for `*/*`, 0 for no
    /// match.
    fn specificity(&self, media_type: &str) -> u8 {
        match self.range.split_once('/') {
            Some(("*", "*")) => 1,
            Some((main_type, "*")) if media_type.split('/').next() == Some(main_type) => 2,
            _ if self.range == media_type => 3,
            _ => 0,
        }
    }
}

/// Parses a quality (RFC 9110 §12.4.2) into thousandths.
fn parse_quality(text: &str) -> u16 {
    let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
    match (integer, format!("{fraction:0<3}").get(..3).map(str::parse)) {
        ("0" | "", Some(Ok(thousandths))) if !text.is_empty() => thousandths,
        // An invalid quality is ignored, as if it was not sent.
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{Date, date as day};
    use proptest::prelude::*;

    #[test]
    fn rfc9110_s12_5_1_types_ordered_by_quality_then_position() {
        const ALL: [&str; 5] = DOCUMENT_TYPES;
        const IMAGES: [&str; 4] = ["image/gif", "image/jpeg", "image/tiff", "image/png"];
        let cases: [(Option<&str>, &[&str]); 20] = [
            (None, &ALL),
            (Some(""), &ALL),
            (Some("*/*"), &ALL),
            (Some("application/*"), &["application/pdf"]),
            (Some("image/*"), &IMAGES),
            (Some("image/png"), &["image/png"]),
            (Some("image/png, application/pdf"), &["image/png", "application/pdf"]),
            (Some("IMAGE/TIFF; q=0.1, application/pdf"), &["application/pdf", "image/tiff"]),
            (Some("image/gif;q=0.25,image/png;q=0.3"), &["image/png", "image/gif"]),
            (Some("image/png, image/png;q=0, image/gif"), &["image/png", "image/gif"]),
            (
                Some("text/html, image/jpeg;q=0.5 ,*/*;q=0.1"),
                &["image/jpeg", "application/pdf", "image/gif", "image/tiff", "image/png"],
            ),
            (Some("*/*, image/*;q=0, application/pdf;q=0.2"), &["application/pdf"]),
            (Some("*/*;q=0, image/png;v=1;q=0.001"), &["image/png"]),
            (Some("application/pdf;q=0, image/png"), &["image/png"]),
            (
                Some("image/png;q=x, image/gif;q=1.0, image/tiff;q="),
                &["image/png", "image/gif", "image/tiff"],
            ),
            (Some("application/pdf;q=0.000"), &[]),
            (Some("application/json"), &[]),
            (Some("text/*"), &[]),
            (Some("pdf"), &[]),
            (Some(","), &[]),
        ];
        for (accept, kinds) in cases {
            assert_eq!(negotiate_types(accept), kinds, "{accept:?}");
        }
    }

    proptest! {
        #[test]
        fn accept_header_yields_each_type_at_most_once(accept: String, odd in "[a-z/*;,=q.0-9 -]{0,60}") {
            for accept in [accept, odd] {
                let mut kinds = negotiate_types(Some(&accept));
                prop_assert!(kinds.iter().all(|kind| DOCUMENT_TYPES.contains(kind)));
                kinds.sort_unstable();
                let count = kinds.len();
                kinds.dedup();
                prop_assert_eq!(kinds.len(), count);
            }
        }
    }

    fn parse_raw_range(raw: &str) -> Result<Option<(Date, Date)>, u16> {
        let history = DateRangeLimits { earliest: day(2024, 11, 24), today: day(2026, 11, 24) };
        parse_range(&ListQuery::parse(Some(raw)), history)
            .map(|range| range.map(|range| (range.start, range.end)))
            .map_err(|error| error.code().map_or(0, ErrorCode::number))
    }

    #[test]
    fn statement_dates_require_pair_and_report_own_error_codes() {
        assert_eq!(parse_raw_range(""), Ok(Some((day(2024, 11, 24), day(2026, 11, 24)))));
        assert_eq!(
            parse_raw_range("startTime=1999-01-01&endTime=2026-05-05"),
            Ok(Some((day(2024, 11, 24), day(2026, 5, 5))))
        );
        assert_eq!(parse_raw_range("startTime=1999-01-01&endTime=1999-12-31"), Ok(None));
        for bad in ["yesterday", "2026-1-1", "2026-01-01T00:00:00Z", ""] {
            assert_eq!(parse_raw_range(&format!("startTime={bad}&endTime=2026-01-01")), Err(401), "{bad}");
        }
        assert_eq!(parse_raw_range("startTime=2026-02-30&endTime=2026-03-01"), Err(702));
        for bad in ["startTime=2026-01-01", "endTime=2026-01-01", "startTime=2026-02-02&endTime=2026-02-01"] {
            assert_eq!(parse_raw_range(bad), Err(703), "{bad}");
        }
    }
}
