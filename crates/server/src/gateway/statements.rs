//! `GET /accounts/{accountId}/statements`, and the document of one.

use domain::scope::Operation;
use fdx::{DOCUMENT_TYPES, ErrorCode, HateoasLink, Statement, Statements};
use jiff::civil::Date;

use super::access::{Reader, Served};
use super::accounts::bank_id;
use super::dates::{self, History, Wrong};
use super::error::{DataError, NO_ACCOUNT};
use super::page::{List, ListQuery, PageQuery, ask};
use crate::authz::Bearer;
use crate::ctx::Ctx;
use crate::hub::{self, Document, ReadError, document};

/// A page of an account's statements.
pub(super) async fn list(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    opaque: &str,
    query: &ListQuery,
) -> Result<Served<Statements>, DataError> {
    let reader = Reader::new(ctx, bearer, Operation::Statements).await?;
    let statements = read(&reader, opaque, query).await?;
    reader.confirm(statements).await
}

async fn read(reader: &Reader, opaque: &str, query: &ListQuery) -> Result<Statements, DataError> {
    let id = bank_id(reader, opaque).ok_or(NO_ACCOUNT)?;
    let page = PageQuery::parse(query, &reader.ctx().app().config().page)?;
    let (start, end) = range(query, History::of(reader.ctx()))?;
    let (start, end) = (start.to_string(), end.to_string());
    let dates = [("startTime", &*start), ("endTime", &*end)];
    let path = format!("/api/fdx/5/accounts/{opaque}/statements");
    let mut repeated = vec![("limit", page.limit.to_string())];
    repeated.extend(dates.map(|(name, date)| (name, date.to_owned())));
    let list = List { reader, page: &page, path: &path, query: repeated };
    let fetch = |limit: u32, offset: Option<String>| {
        let path = ["accounts", &id, "statements"];
        async move { ask::<Statements>(reader, &path, &dates, limit, offset.as_deref()).await }
    };
    let of_account = |statement: &Statement| statement.account_id.as_deref().is_none_or(|of| of == id);
    let (page, links, statements) = list.read(fetch, of_account).await?;
    let here = format!("{}{path}", reader.ctx().app().public_url());
    let statements = statements.into_iter().filter_map(|s| shown(reader, &id, opaque, &here, s)).collect();
    Ok(Statements { page, links, statements })
}

/// The days asked for, within the history that is served: both or neither.
fn range(query: &ListQuery, history: History) -> Result<(Date, Date), DataError> {
    let told = |wrong| match wrong {
        Wrong::Malformed => DataError::invalid("startTime and endTime must be written YYYY-MM-DD"),
        Wrong::Impossible => DataError::Fdx(
            ErrorCode::InvalidDate,
            "startTime and endTime must be dates of the calendar: YYYY-MM-DD",
        ),
    };
    match dates::given(query, told)? {
        (None, None) => Ok((history.beginning, history.today)),
        (Some(start), Some(end)) => Ok((history.within(start), history.within(end))),
        _ => Err(DataError::Fdx(ErrorCode::InvalidRange, "startTime and endTime must be given together")),
    }
}

/// A statement as its recipient may see it: with our ids, and a link to us.
fn shown(reader: &Reader, id: &str, opaque: &str, here: &str, mut statement: Statement) -> Option<Statement> {
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

/// The document of a statement, in the first of the types that it is asked for in.
pub(super) async fn download(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    (account, statement): (&str, &str),
    accept: Option<&str>,
) -> Result<Served<Document>, DataError> {
    let reader = Reader::new(ctx, bearer, Operation::Statements).await?;
    let opened = open(&reader, account, statement, accept).await?;
    reader.confirm(opened).await
}

async fn open(
    reader: &Reader,
    account: &str,
    statement: &str,
    accept: Option<&str>,
) -> Result<Document, DataError> {
    const NO_STATEMENT: DataError =
        DataError::Fdx(ErrorCode::DataNotFound, "statementId names no statement of this account");
    let account = bank_id(reader, account).ok_or(NO_ACCOUNT)?;
    let ids = reader.ctx().app().opaque_ids();
    let id = ids.open_statement(reader.access(), &account, statement).ok_or(NO_STATEMENT)?;
    let kind = negotiated(accept).ok_or(DataError::Fdx(
        ErrorCode::ContentType,
        "Accept must name application/pdf, image/gif, image/jpeg, image/tiff or image/png",
    ))?;
    let path = ["accounts", &account, "statements", &id];
    document(reader.ctx(), reader.access(), &path, kind).await.map_err(|error| match error {
        ReadError::Upstream(hub::Upstream::Said(ErrorCode::DataNotFound)) => NO_STATEMENT,
        ReadError::Upstream(hub::Upstream::Said(code @ ErrorCode::StatementProcessing)) => {
            DataError::Fdx(code, "The data provider is still making this statement")
        }
        ReadError::Upstream(hub::Upstream::Said(code @ ErrorCode::ContentType)) => {
            DataError::Fdx(code, "The data provider has no such type of this statement")
        }
        ReadError::Upstream(hub::Upstream::Said(code @ ErrorCode::TooLarge)) => {
            DataError::Fdx(code, "This statement is larger than the hub passes on")
        }
        error => error.into(),
    })
}

/// The first type of `Accept` that there is; without one, or for anything, it is PDF.
fn negotiated(accept: Option<&str>) -> Option<&'static str> {
    let accept = accept.filter(|accept| !accept.trim().is_empty()).unwrap_or("*/*");
    accept.split(',').find_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next()?.to_ascii_lowercase();
        let refused = parts.any(|parameter| {
            let quality = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
            quality.is_some_and(|quality| quality.bytes().all(|b| matches!(b, b'0' | b'.')))
        });
        let fits = |known: &&str| match kind.split_once('/') {
            Some(("*", "*")) => true,
            Some((family, "*")) => known.split('/').next() == Some(family),
            _ => **known == kind,
        };
        DOCUMENT_TYPES.into_iter().find(fits).filter(|_| !refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date as day;
    use proptest::prelude::*;

    #[test]
    fn the_first_type_that_there_is_wins() {
        for (accept, kind) in [
            (None, Some("application/pdf")),
            (Some(""), Some("application/pdf")),
            (Some("*/*"), Some("application/pdf")),
            (Some("application/*"), Some("application/pdf")),
            (Some("image/*"), Some("image/gif")),
            (Some("image/png"), Some("image/png")),
            (Some("IMAGE/TIFF; q=0.1, application/pdf"), Some("image/tiff")),
            (Some("text/html, image/jpeg;q=0.5 ,*/*;q=0.1"), Some("image/jpeg")),
            (Some("application/pdf;q=0, image/png"), Some("image/png")),
            (Some("application/pdf;q=0.000"), None),
            (Some("application/json"), None),
            (Some("text/*"), None),
            (Some("pdf"), None),
            (Some(","), None),
        ] {
            assert_eq!(negotiated(accept), kind, "{accept:?}");
        }
    }

    proptest! {
        #[test]
        fn any_accept_is_a_type_or_none(accept: String) {
            prop_assert!(negotiated(Some(&accept)).is_none_or(|kind| DOCUMENT_TYPES.contains(&kind)));
        }
    }

    fn of(raw: &str) -> Result<(Date, Date), u16> {
        let history = History { beginning: day(2024, 11, 24), today: day(2026, 11, 24) };
        range(&ListQuery::parse(Some(raw)), history)
            .map_err(|error| error.code().map_or(0, ErrorCode::number))
    }

    #[test]
    fn dates_come_in_pairs_and_what_is_wrong_is_told_apart() {
        assert_eq!(of(""), Ok((day(2024, 11, 24), day(2026, 11, 24))));
        assert_eq!(of("startTime=1999-01-01&endTime=2026-05-05"), Ok((day(2024, 11, 24), day(2026, 5, 5))));
        for bad in ["yesterday", "2026-1-1", "2026-01-01T00:00:00Z", ""] {
            assert_eq!(of(&format!("startTime={bad}&endTime=2026-01-01")), Err(401), "{bad}");
        }
        assert_eq!(of("startTime=2026-02-30&endTime=2026-03-01"), Err(702));
        for bad in ["startTime=2026-01-01", "endTime=2026-01-01", "startTime=2026-02-02&endTime=2026-02-01"] {
            assert_eq!(of(bad), Err(703), "{bad}");
        }
    }
}
