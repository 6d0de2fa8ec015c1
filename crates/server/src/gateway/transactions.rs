//! `GET /accounts/{accountId}/transactions`.

use domain::scope::Operation;
use fdx::{ErrorCode, Transaction, Transactions};
use jiff::civil::Date;

use super::access::{Reader, Served};
use super::accounts::bank_id;
use super::dates::{self, History};
use super::error::{DataError, NO_ACCOUNT};
use super::page::{List, ListQuery, PageQuery, ask};
use crate::authz::Bearer;
use crate::ctx::Ctx;

/// A page of an account's transactions.
pub(super) async fn list(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    opaque: &str,
    query: &ListQuery,
) -> Result<Served<Transactions>, DataError> {
    let reader = Reader::new(ctx, bearer, Operation::Transactions).await?;
    let transactions = read(&reader, opaque, query).await?;
    reader.confirm(transactions).await
}

async fn read(reader: &Reader, opaque: &str, query: &ListQuery) -> Result<Transactions, DataError> {
    let id = bank_id(reader, opaque).ok_or(NO_ACCOUNT)?;
    let page = PageQuery::parse(query, &reader.ctx().app().config().page)?;
    let (start, end) = range(query, History::of(reader.ctx()))?;
    let (start, end) = (start.to_string(), end.to_string());
    let dates = [("startTime", &*start), ("endTime", &*end)];
    let path = format!("/api/fdx/5/accounts/{opaque}/transactions");
    let mut repeated = vec![("limit", page.limit.to_string())];
    repeated.extend(dates.map(|(name, date)| (name, date.to_owned())));
    let list = List { reader, page: &page, path: &path, query: repeated };
    let fetch = |limit: u32, offset: Option<String>| {
        let path = ["accounts", &id, "transactions"];
        async move { ask::<Transactions>(reader, &path, &dates, limit, offset.as_deref()).await }
    };
    let of_account = |transaction: &Transaction| transaction.account_id().is_none_or(|account| account == id);
    let (page, links, mut transactions) = list.read(fetch, of_account).await?;
    for transaction in &mut transactions {
        transaction.set_account_id(opaque.to_owned());
    }
    Ok(Transactions { page, links, transactions })
}

/// The days asked for, within the history that is served. A day alone means from the beginning, or to today.
fn range(query: &ListQuery, history: History) -> Result<(Date, Date), DataError> {
    const WRONG: DataError = DataError::Fdx(
        ErrorCode::InvalidDate,
        "startTime and endTime must be dates of the calendar: YYYY-MM-DD",
    );
    let (start, end) = dates::given(query, |_| WRONG)?;
    Ok((
        start.map_or(history.beginning, |day| history.within(day)),
        end.map_or(history.today, |day| history.within(day)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date as day;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_dates_are_a_range_within_the_history_or_refused(
            start in prop_oneof![".*", "-?[0-9]{4}-[0-9]{2}-[0-9]{2}", "20[0-9]{2}-0[1-9]-[012][0-9]"],
            end in prop_oneof![".*", "20[0-9]{2}-0[1-9]-[012][0-9]"],
            raw: String,
        ) {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("startTime", &start).append_pair("endTime", &end).finish();
            for raw in [query, raw] {
                if let Ok((start, end)) = of(&raw) {
                    prop_assert!(day(2024, 11, 24) <= start && start <= end && end <= day(2026, 11, 24));
                }
            }
        }
    }

    fn of(raw: &str) -> Result<(Date, Date), u16> {
        let history = History { beginning: day(2024, 11, 24), today: day(2026, 11, 24) };
        range(&ListQuery::parse(Some(raw)), history)
            .map_err(|error| error.code().map_or(0, ErrorCode::number))
    }

    #[test]
    fn dates_are_read_completed_and_clamped() {
        assert_eq!(of(""), Ok((day(2024, 11, 24), day(2026, 11, 24))));
        assert_eq!(of("startTime=2026-01-02"), Ok((day(2026, 1, 2), day(2026, 11, 24))));
        assert_eq!(of("endTime=2026-01-02"), Ok((day(2024, 11, 24), day(2026, 1, 2))));
        assert_eq!(of("startTime=1999-01-01&endTime=2999-01-01"), Ok((day(2024, 11, 24), day(2026, 11, 24))));
        assert_eq!(of("startTime=2026-05-05&endTime=2026-05-05"), Ok((day(2026, 5, 5), day(2026, 5, 5))));
    }

    #[test]
    fn what_is_no_date_is_702_and_a_reversed_range_703() {
        for bad in
            ["2026-02-30", "2026-1-1", "01/02/2026", "2026-01-01T00:00:00Z", "", "yesterday", "+02026-01-01"]
        {
            let raw = form_urlencoded::Serializer::new(String::new()).append_pair("startTime", bad).finish();
            assert_eq!(of(&raw), Err(702), "{bad}");
        }
        assert_eq!(of("startTime=2026-02-02&endTime=2026-02-01"), Err(703));
        assert_eq!(of("startTime=2026-02-02&startTime=2026-02-02"), Err(401));
    }
}
