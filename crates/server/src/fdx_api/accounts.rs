//! `GET /accounts` and `GET /accounts/{accountId}`.

use domain::scope::DataOperation;
use fdx::{Account, Accounts};

use super::access::{ConfirmedResponse, DataReader};
use super::error::{DataError, NO_ACCOUNT};
use super::filter;
use super::page::{PagedList, fetch_page};
use crate::context::RequestContext;
use crate::oauth::Bearer;
use crate::paging::{ListQuery, PageQuery};
use crate::upstream::{self, ReadError, fetch};

const ACCOUNTS_PATH: &str = "/api/fdx/5/accounts";
const MAX_ACCOUNT_IDS: usize = 100;

/// A page of the accounts that the consent covers.
pub(super) async fn list(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
    query: &ListQuery,
) -> Result<ConfirmedResponse<Accounts>, DataError> {
    let kind = query.get("resultType", "resultType is given twice");
    let details = matches!(kind, Ok(Some("details")));
    let operation = if details { DataOperation::AccountListDetailed } else { DataOperation::AccountList };
    let reader = DataReader::new(ctx, bearer, operation).await?;
    if !matches!(kind?, None | Some("lightweight" | "details")) {
        return Err(DataError::invalid("resultType must be lightweight or details"));
    }
    let accounts = read(&reader, query, details).await?;
    reader.confirm(accounts).await
}

async fn read(reader: &DataReader, query: &ListQuery, details: bool) -> Result<Accounts, DataError> {
    let page = PageQuery::parse(query, &reader.ctx().app().config().page)?;
    let wanted = query.get("accountIds", "accountIds is given twice")?;
    let ids = wanted.map(|wanted| visible_account_ids(reader, wanted)).transpose()?;
    if ids.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Accounts::default());
    }
    let kind = if details { "details" } else { "lightweight" };
    let joined = ids.as_ref().map(|ids| ids.join(","));
    let mut repeated = vec![("limit", page.limit.to_string()), ("resultType", kind.to_owned())];
    repeated.extend(wanted.map(|wanted| ("accountIds", wanted.to_owned())));
    let list = PagedList { reader, page: &page, path: ACCOUNTS_PATH, query: repeated };
    let mut upstream = vec![("resultType", kind)];
    upstream.extend(joined.as_deref().map(|ids| ("accountIds", ids)));
    let fetch = |limit: u32, offset: Option<String>| {
        let upstream = &upstream;
        async move { fetch_page::<Accounts>(reader, &["accounts"], upstream, limit, offset.as_deref()).await }
    };
    let keep = |account: &Account| {
        let Some(id) = account.id() else { return false };
        reader.access().covers(id) && ids.as_ref().is_none_or(|ids| ids.iter().any(|known| known == id))
    };
    let (page, links, accounts) = list.read(fetch, keep).await?;
    let filtered = accounts.into_iter().filter_map(|account| to_visible_account(reader, account));
    let accounts =
        filtered.map(|account| if details { account } else { account.into_lightweight() }).collect();
    Ok(Accounts { page, links, accounts })
}

/// The provider's ids of a comma list. What is not ours or not consented to is not there.
fn visible_account_ids(reader: &DataReader, wanted: &str) -> Result<Vec<String>, DataError> {
    if wanted.split(',').count() > MAX_ACCOUNT_IDS {
        return Err(DataError::invalid("accountIds must name at most 100 accounts"));
    }
    let ids = wanted.split(',').filter_map(|opaque| provider_account_id(reader, opaque.trim()));
    Ok(ids.collect())
}

/// One account.
pub(super) async fn get_account(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
    opaque: &str,
) -> Result<ConfirmedResponse<Account>, DataError> {
    let reader = DataReader::new(ctx, bearer, DataOperation::Account).await?;
    let id = provider_account_id(&reader, opaque).ok_or(NO_ACCOUNT)?;
    let account = fetch::<Account>(reader.ctx(), reader.access(), &["accounts", &id], &[]).await;
    let account = account.map_err(|error| match error {
        ReadError::Upstream(upstream::UpstreamError::FdxError(fdx::ErrorCode::DataNotFound)) => NO_ACCOUNT,
        error => error.into(),
    })?;
    if account.id() != Some(&id) {
        return Err(DataError::Fdx(
            fdx::ErrorCode::Internal,
            "The data provider answered with another account",
        ));
    }
    let account = to_visible_account(&reader, account).ok_or(NO_ACCOUNT)?;
    reader.confirm(account).await
}

/// The provider's id of an account that the consent covers.
pub(super) fn provider_account_id(reader: &DataReader, opaque: &str) -> Option<String> {
    let id = reader.ctx().app().opaque_ids().open(reader.access(), opaque)?;
    reader.access().covers(&id).then_some(id)
}

fn to_visible_account(reader: &DataReader, account: Account) -> Option<Account> {
    filter::filter_account(reader.ctx().app().opaque_ids(), reader.access(), account)
}
