//! `GET /accounts/{accountId}/payment-networks`.

use domain::scope::Operation;
use fdx::PaymentNetworks;

use super::access::{Reader, Served};
use super::accounts::bank_id;
use super::error::{DataError, NO_ACCOUNT};
use super::page::{List, ListQuery, PageQuery, ask};
use crate::authz::Bearer;
use crate::ctx::Ctx;

/// A page of the networks that an account can be paid by.
pub(super) async fn list(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    opaque: &str,
    query: &ListQuery,
) -> Result<Served<PaymentNetworks>, DataError> {
    let reader = Reader::new(ctx, bearer, Operation::PaymentNetworks).await?;
    let networks = read(&reader, opaque, query).await?;
    reader.confirm(networks).await
}

async fn read(reader: &Reader, opaque: &str, query: &ListQuery) -> Result<PaymentNetworks, DataError> {
    let id = bank_id(reader, opaque).ok_or(NO_ACCOUNT)?;
    let page = PageQuery::parse(query, &reader.ctx().app().config().page)?;
    let path = format!("/api/fdx/5/accounts/{opaque}/payment-networks");
    let repeated = vec![("limit", page.limit.to_string())];
    let list = List { reader, page: &page, path: &path, query: repeated };
    let fetch = |limit: u32, offset: Option<String>| {
        let path = ["accounts", &id, "payment-networks"];
        async move { ask::<PaymentNetworks>(reader, &path, &[], limit, offset.as_deref()).await }
    };
    let (page, links, payment_networks) = list.read(fetch, |_| true).await?;
    Ok(PaymentNetworks { page, links, payment_networks })
}
