//! `GET /accounts/{accountId}/payment-networks`.

use domain::scope::DataOperation;
use fdx::PaymentNetworks;

use super::access::{ConfirmedResponse, DataReader};
use super::accounts::provider_account_id;
use super::error::{DataError, NO_ACCOUNT};
use super::page::{PagedList, fetch_page};
use crate::context::RequestContext;
use crate::oauth::Bearer;
use crate::paging::{ListQuery, PageQuery};

/// A page of the networks that an account can be paid by.
pub(super) async fn list(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
    opaque: &str,
    query: &ListQuery,
) -> Result<ConfirmedResponse<PaymentNetworks>, DataError> {
    let reader = DataReader::new(ctx, bearer, DataOperation::PaymentNetworks).await?;
    let networks = read(&reader, opaque, query).await?;
    reader.confirm(networks).await
}

async fn read(reader: &DataReader, opaque: &str, query: &ListQuery) -> Result<PaymentNetworks, DataError> {
    let id = provider_account_id(reader, opaque).ok_or(NO_ACCOUNT)?;
    let page = PageQuery::parse(query, &reader.ctx().app().config().page)?;
    let path = format!("/api/fdx/5/accounts/{opaque}/payment-networks");
    let repeated = vec![("limit", page.limit.to_string())];
    let list = PagedList { reader, page: &page, path: &path, query: repeated };
    let fetch = |limit: u32, offset: Option<String>| {
        let path = ["accounts", &id, "payment-networks"];
        async move { fetch_page::<PaymentNetworks>(reader, &path, &[], limit, offset.as_deref()).await }
    };
    let (page, links, payment_networks) = list.read(fetch, |_| true).await?;
    Ok(PaymentNetworks { page, links, payment_networks })
}
