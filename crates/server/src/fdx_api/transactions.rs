//! The transactions of an account: `GET /accounts/{accountId}/transactions`.

use domain::scope::DataOperation;
use fdx::{ErrorCode, FilteredItem};

use super::access::{ConfirmedResponse, DataReader, FdxRequest};
use super::accounts::provider_account_id;
use super::dates::{self, DateRange, DateRangeLimits};
use super::error::{DataError, NO_ACCOUNT};
use super::filter::TransactionRules;
use super::page::{JsonText, ListRequest};
use crate::paging::ListQuery;

const LIST: &str = "transactions";

/// Reads a page of the transactions of an account.
pub(super) async fn list(
    request: FdxRequest,
    opaque_id: &str,
) -> Result<ConfirmedResponse<JsonText>, DataError> {
    let reader = DataReader::authorize(request, DataOperation::Transactions).await?;
    let transactions = read(&reader, opaque_id).await?;
    reader.confirm(transactions).await
}

async fn read(reader: &DataReader, opaque_id: &str) -> Result<JsonText, DataError> {
    let id = provider_account_id(reader, opaque_id).ok_or(NO_ACCOUNT)?;
    let path = format!("/api/fdx/5/accounts/{opaque_id}/transactions");
    let request = ListRequest::parse(reader, &path, &dates::DATE_PARAMETERS)?;
    let history = DateRangeLimits::from_context(reader.ctx());
    let range = parse_range(reader.query(), history)?;
    let upstream_path = ["accounts", id.as_str(), "transactions"];
    let list = request.open_dated(LIST, &upstream_path, range, history).await?;
    let Some((list, range)) = list else { return Ok(JsonText::from_empty_list(LIST)) };
    list.read(&mut FilteredItem::transaction(TransactionRules { account_id: &id, opaque_id, range })).await
}

/// Parses the requested range of days and limits it to the served history. `None` if the history has none of its days.
fn parse_range(query: &ListQuery, history: DateRangeLimits) -> Result<Option<DateRange>, DataError> {
    const INVALID_DATE: DataError = DataError::Fdx(
        ErrorCode::InvalidDate,
        "startTime and endTime must be calendar dates in the form YYYY-MM-DD",
    );
    let (start, end) = dates::parse_date_range(query, |_| INVALID_DATE)?;
    Ok(history.intersect(start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{Date, date as day};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn transaction_dates_are_within_history_or_rejected(
            start in prop_oneof![".*", "-?[0-9]{4}-[0-9]{2}-[0-9]{2}", "20[0-9]{2}-0[1-9]-[012][0-9]"],
            end in prop_oneof![".*", "20[0-9]{2}-0[1-9]-[012][0-9]"],
            raw: String,
        ) {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("startTime", &start).append_pair("endTime", &end).finish();
            for raw in [query, raw] {
                if let Ok(Some((start, end))) = parse_raw_range(&raw) {
                    prop_assert!(day(2024, 11, 24) <= start && start <= end && end <= day(2026, 11, 24));
                }
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
    fn transaction_dates_are_defaulted_and_limited_to_history() {
        let (earliest, today) = (day(2024, 11, 24), day(2026, 11, 24));
        for (raw, range) in [
            ("", Some((earliest, today))),
            ("startTime=2026-01-02", Some((day(2026, 1, 2), today))),
            ("endTime=2026-01-02", Some((earliest, day(2026, 1, 2)))),
            ("startTime=1999-01-01&endTime=2999-01-01", Some((earliest, today))),
            ("startTime=2026-05-05&endTime=2026-05-05", Some((day(2026, 5, 5), day(2026, 5, 5)))),
            ("startTime=1999-01-01&endTime=2024-11-24", Some((earliest, earliest))),
            ("startTime=1999-01-01&endTime=2024-11-23", None),
            ("startTime=2026-11-25", None),
        ] {
            assert_eq!(parse_raw_range(raw), Ok(range), "{raw}");
        }
    }

    #[test]
    fn transaction_date_errors_are_702_and_703() {
        for bad in
            ["2026-02-30", "2026-1-1", "01/02/2026", "2026-01-01T00:00:00Z", "", "yesterday", "+02026-01-01"]
        {
            let raw = form_urlencoded::Serializer::new(String::new()).append_pair("startTime", bad).finish();
            assert_eq!(parse_raw_range(&raw), Err(702), "{bad}");
        }
        assert_eq!(parse_raw_range("startTime=2026-02-02&endTime=2026-02-01"), Err(703));
        assert_eq!(parse_raw_range("startTime=2026-02-02&startTime=2026-02-02"), Err(401));
    }
}
