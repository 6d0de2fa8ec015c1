//! `GET /accounts` and `GET /accounts/{accountId}`.

use domain::scope::Operation;
use fdx::{Account, Accounts};

use super::access::{Reader, Served};
use super::error::{DataError, NO_ACCOUNT};
use super::filter;
use super::page::{List, ListQuery, PageQuery, ask};
use crate::authz::Bearer;
use crate::ctx::Ctx;
use crate::hub::{self, ReadError, fetch};

const PATH: &str = "/api/fdx/5/accounts";
const MOST_IDS: usize = 100;

/// A page of the accounts that the consent covers.
pub(super) async fn list(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    query: &ListQuery,
) -> Result<Served<Accounts>, DataError> {
    let kind = query.get("resultType", "resultType is given twice");
    let details = matches!(kind, Ok(Some("details")));
    let operation = if details { Operation::AccountListDetailed } else { Operation::AccountList };
    let reader = Reader::new(ctx, bearer, operation).await?;
    if !matches!(kind?, None | Some("lightweight" | "details")) {
        return Err(DataError::invalid("resultType must be lightweight or details"));
    }
    let accounts = read(&reader, query, details).await?;
    reader.confirm(accounts).await
}

async fn read(reader: &Reader, query: &ListQuery, details: bool) -> Result<Accounts, DataError> {
    let page = PageQuery::parse(query, &reader.ctx().app().config().page)?;
    let wanted = query.get("accountIds", "accountIds is given twice")?;
    let ids = wanted.map(|wanted| known(reader, wanted)).transpose()?;
    if ids.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Accounts::default());
    }
    let kind = if details { "details" } else { "lightweight" };
    let joined = ids.as_ref().map(|ids| ids.join(","));
    let mut repeated = vec![("limit", page.limit.to_string()), ("resultType", kind.to_owned())];
    repeated.extend(wanted.map(|wanted| ("accountIds", wanted.to_owned())));
    let list = List { reader, page: &page, path: PATH, query: repeated };
    let mut upstream = vec![("resultType", kind)];
    upstream.extend(joined.as_deref().map(|ids| ("accountIds", ids)));
    let fetch = |limit: u32, offset: Option<String>| {
        let upstream = &upstream;
        async move { ask::<Accounts>(reader, &["accounts"], upstream, limit, offset.as_deref()).await }
    };
    let keep = |account: &Account| {
        let Some(id) = account.id() else { return false };
        reader.access().covers(id) && ids.as_ref().is_none_or(|ids| ids.iter().any(|known| known == id))
    };
    let (page, links, accounts) = list.read(fetch, keep).await?;
    let shown = accounts.into_iter().filter_map(|account| shown(reader, account));
    let accounts = shown.map(|account| if details { account } else { account.lightweight() }).collect();
    Ok(Accounts { page, links, accounts })
}

/// The provider's ids of a comma list. What is not ours or not consented to is not there.
fn known(reader: &Reader, wanted: &str) -> Result<Vec<String>, DataError> {
    if wanted.split(',').count() > MOST_IDS {
        return Err(DataError::invalid("accountIds must name at most 100 accounts"));
    }
    let ids = wanted.split(',').filter_map(|opaque| bank_id(reader, opaque.trim()));
    Ok(ids.collect())
}

/// One account.
pub(super) async fn one(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    opaque: &str,
) -> Result<Served<Account>, DataError> {
    let reader = Reader::new(ctx, bearer, Operation::Account).await?;
    let id = bank_id(&reader, opaque).ok_or(NO_ACCOUNT)?;
    let account = fetch::<Account>(reader.ctx(), reader.access(), &["accounts", &id], &[]).await;
    let account = account.map_err(|error| match error {
        ReadError::Upstream(hub::Upstream::Said(fdx::ErrorCode::DataNotFound)) => NO_ACCOUNT,
        error => error.into(),
    })?;
    if account.id() != Some(&id) {
        return Err(DataError::Fdx(
            fdx::ErrorCode::Internal,
            "The data provider answered with another account",
        ));
    }
    let account = shown(&reader, account).ok_or(NO_ACCOUNT)?;
    reader.confirm(account).await
}

/// The provider's id of an account that the consent covers.
pub(super) fn bank_id(reader: &Reader, opaque: &str) -> Option<String> {
    let id = reader.ctx().app().opaque_ids().open(reader.access(), opaque)?;
    reader.access().covers(&id).then_some(id)
}

fn shown(reader: &Reader, account: Account) -> Option<Account> {
    filter::account(reader.ctx().app().opaque_ids(), reader.access(), account)
}
