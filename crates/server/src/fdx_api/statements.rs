//! `GET /accounts/{accountId}/statements`, and the document of one.

use std::cmp::Reverse;

use domain::scope::DataOperation;
use fdx::{DOCUMENT_TYPES, ErrorCode, HateoasLink, Statement, Statements};
use jiff::civil::Date;

use super::access::{ConfirmedResponse, DataReader};
use super::accounts::provider_account_id;
use super::dates::{self, DateError, DateRangeLimits};
use super::error::{DataError, NO_ACCOUNT};
use super::page::{PagedList, fetch_page};
use crate::context::RequestContext;
use crate::oauth::Bearer;
use crate::paging::{ListQuery, PageQuery};
use crate::upstream::{self, ReadError, StreamedDocument, open_document};

/// A page of an account's statements.
pub(super) async fn list(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
    opaque: &str,
    query: &ListQuery,
) -> Result<ConfirmedResponse<Statements>, DataError> {
    let reader = DataReader::new(ctx, bearer, DataOperation::Statements).await?;
    let statements = read(&reader, opaque, query).await?;
    reader.confirm(statements).await
}

async fn read(reader: &DataReader, opaque: &str, query: &ListQuery) -> Result<Statements, DataError> {
    let id = provider_account_id(reader, opaque).ok_or(NO_ACCOUNT)?;
    let page = PageQuery::parse(query, &reader.ctx().app().config().page)?;
    let (start, end) = parse_range(query, DateRangeLimits::from_context(reader.ctx()))?;
    let (start, end) = (start.to_string(), end.to_string());
    let dates = [("startTime", &*start), ("endTime", &*end)];
    let path = format!("/api/fdx/5/accounts/{opaque}/statements");
    let mut repeated = vec![("limit", page.limit.to_string())];
    repeated.extend(dates.map(|(name, date)| (name, date.to_owned())));
    let list = PagedList { reader, page: &page, path: &path, query: repeated };
    let fetch = |limit: u32, offset: Option<String>| {
        let path = ["accounts", &id, "statements"];
        async move { fetch_page::<Statements>(reader, &path, &dates, limit, offset.as_deref()).await }
    };
    let of_account = |statement: &Statement| statement.account_id.as_deref().is_none_or(|of| of == id);
    let (page, links, statements) = list.read(fetch, of_account).await?;
    let here = format!("{}{path}", reader.ctx().app().public_url());
    let statements =
        statements.into_iter().filter_map(|s| to_visible_statement(reader, &id, opaque, &here, s)).collect();
    Ok(Statements { page, links, statements })
}

/// The days asked for, within the history that is served: both or neither.
fn parse_range(query: &ListQuery, history: DateRangeLimits) -> Result<(Date, Date), DataError> {
    let to_error = |wrong| match wrong {
        DateError::Malformed => DataError::invalid("startTime and endTime must be written YYYY-MM-DD"),
        DateError::Impossible => DataError::Fdx(
            ErrorCode::InvalidDate,
            "startTime and endTime must be dates of the calendar: YYYY-MM-DD",
        ),
    };
    match dates::parse_date_range(query, to_error)? {
        (None, None) => Ok((history.earliest, history.today)),
        (Some(start), Some(end)) => Ok((history.clamp(start), history.clamp(end))),
        _ => Err(DataError::Fdx(ErrorCode::InvalidRange, "startTime and endTime must be given together")),
    }
}

/// A statement as its recipient may see it: with our ids, and a link to us.
fn to_visible_statement(
    reader: &DataReader,
    id: &str,
    opaque: &str,
    here: &str,
    mut statement: Statement,
) -> Option<Statement> {
    let own = statement.statement_id.take()?;
    let own = reader.ctx().app().opaque_ids().seal_statement(reader.access(), id, &own)?;
    let offered = statement.links.take().unwrap_or_default().into_iter().find_map(|link| link.types);
    let types = offered.map(|mut types| {
        types.retain(|kind| DOCUMENT_TYPES.contains(&kind.as_str()));
        types
    });
    statement.links = Some(vec![HateoasLink {
        href: Some(format!("{here}/{own}")),
        action: Some("GET".into()),
        types,
        ..HateoasLink::default()
    }]);
    statement.account_id = Some(opaque.to_owned());
    statement.statement_id = Some(own);
    Some(statement)
}

/// The document of a statement, in the first of the types that it is asked for in and the bank has.
pub(super) async fn download(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
    (account, statement): (&str, &str),
    accept: Option<&str>,
) -> Result<ConfirmedResponse<StreamedDocument>, DataError> {
    let reader = DataReader::new(ctx, bearer, DataOperation::Statements).await?;
    let opened = open_negotiated_document(&reader, account, statement, accept).await?;
    reader.confirm(opened).await
}

async fn open_negotiated_document(
    reader: &DataReader,
    account: &str,
    statement: &str,
    accept: Option<&str>,
) -> Result<StreamedDocument, DataError> {
    let account = provider_account_id(reader, account).ok_or(NO_ACCOUNT)?;
    let ids = reader.ctx().app().opaque_ids();
    let id = ids.open_statement(reader.access(), &account, statement).ok_or(NO_STATEMENT)?;
    let path = ["accounts", &account, "statements", &id];
    let mut not_acceptable = DataError::Fdx(
        ErrorCode::ContentType,
        "Accept must name application/pdf, image/gif, image/jpeg, image/tiff or image/png",
    );
    // Each is asked for once: at most as many as there are types.
    for kind in negotiate_types(accept) {
        match open_document(reader.ctx(), reader.access(), &path, kind).await {
            Err(ReadError::Upstream(upstream::UpstreamError::FdxError(code @ ErrorCode::ContentType))) => {
                not_acceptable = DataError::Fdx(code, "The data provider has no such type of this statement");
            }
            opened => return opened.map_err(map_read_error),
        }
    }
    Err(not_acceptable)
}

const NO_STATEMENT: DataError =
    DataError::Fdx(ErrorCode::DataNotFound, "statementId names no statement of this account");

fn map_read_error(error: ReadError) -> DataError {
    match error {
        ReadError::Upstream(upstream::UpstreamError::FdxError(ErrorCode::DataNotFound)) => NO_STATEMENT,
        ReadError::Upstream(upstream::UpstreamError::FdxError(code @ ErrorCode::StatementProcessing)) => {
            DataError::Fdx(code, "The data provider is still making this statement")
        }
        ReadError::Upstream(upstream::UpstreamError::FdxError(code @ ErrorCode::TooLarge)) => {
            DataError::Fdx(code, "This statement is larger than the hub passes on")
        }
        error => error.into(),
    }
}

/// What of it a bank is asked for, in this order (RFC 9110 §12.5.1): by quality, then as it is given. Without `Accept`
/// every type will do, PDF first.
fn negotiate_types(accept: Option<&str>) -> Vec<&'static str> {
    let accept = accept.filter(|accept| !accept.trim().is_empty()).unwrap_or("*/*");
    let ranges: Vec<MediaRange> = accept.split(',').enumerate().map(MediaRange::parse).collect();
    let mut wanted: Vec<_> = DOCUMENT_TYPES
        .into_iter()
        .filter_map(|kind| Some((match_media_ranges(&ranges, kind)?, kind)))
        .collect();
    wanted.sort_by_key(|((quality, place), _)| (Reverse(*quality), *place));
    wanted.into_iter().map(|(_, kind)| kind).collect()
}

/// How much a type is wanted, and where that stands: the range that names it most closely says so.
fn match_media_ranges(ranges: &[MediaRange], kind: &str) -> Option<(u16, usize)> {
    let closest = ranges.iter().rev().max_by_key(|range| range.specificity(kind))?;
    (closest.specificity(kind) > 0 && closest.quality > 0).then_some((closest.quality, closest.place))
}

/// An element of `Accept`.
struct MediaRange {
    kind: String,
    /// In thousandths.
    quality: u16,
    place: usize,
}

impl MediaRange {
    fn parse((place, text): (usize, &str)) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Self { kind, quality: quality.map_or(1000, parse_quality), place }
    }

    /// How closely it names a type; 0 if it does not.
    fn specificity(&self, kind: &str) -> u8 {
        match self.kind.split_once('/') {
            Some(("*", "*")) => 1,
            Some((family, "*")) if kind.split('/').next() == Some(family) => 2,
            _ if self.kind == kind => 3,
            _ => 0,
        }
    }
}

/// A quality (RFC 9110 §12.4.2). What is none says nothing: as if it were not there.
fn parse_quality(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    match (whole, format!("{part:0<3}").get(..3).map(str::parse)) {
        ("0" | "", Some(Ok(part))) if !text.is_empty() => part,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date as day;
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

    fn parse_raw_range(raw: &str) -> Result<(Date, Date), u16> {
        let history = DateRangeLimits { earliest: day(2024, 11, 24), today: day(2026, 11, 24) };
        parse_range(&ListQuery::parse(Some(raw)), history)
            .map_err(|error| error.code().map_or(0, ErrorCode::number))
    }

    #[test]
    fn statement_dates_come_in_pairs_with_distinct_errors() {
        assert_eq!(parse_raw_range(""), Ok((day(2024, 11, 24), day(2026, 11, 24))));
        assert_eq!(
            parse_raw_range("startTime=1999-01-01&endTime=2026-05-05"),
            Ok((day(2024, 11, 24), day(2026, 5, 5)))
        );
        for bad in ["yesterday", "2026-1-1", "2026-01-01T00:00:00Z", ""] {
            assert_eq!(parse_raw_range(&format!("startTime={bad}&endTime=2026-01-01")), Err(401), "{bad}");
        }
        assert_eq!(parse_raw_range("startTime=2026-02-30&endTime=2026-03-01"), Err(702));
        for bad in ["startTime=2026-01-01", "endTime=2026-01-01", "startTime=2026-02-02&endTime=2026-02-01"] {
            assert_eq!(parse_raw_range(bad), Err(703), "{bad}");
        }
    }
}
