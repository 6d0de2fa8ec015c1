//! The payment networks that an account can use: `GET /accounts/{accountId}/payment-networks`.

use domain::scope::DataOperation;
use fdx::UnchangedItem;

use super::access::{ConfirmedResponse, DataReader, FdxRequest};
use super::accounts::provider_account_id;
use super::error::{DataError, NO_ACCOUNT};
use super::page::{JsonText, ListRequest, PagedList};
use crate::upstream::ConnectionSource;

/// Reads a page of the payment networks of an account.
pub(super) async fn list(
    request: FdxRequest,
    opaque_id: &str,
) -> Result<ConfirmedResponse<JsonText>, DataError> {
    let reader = DataReader::authorize(request, DataOperation::PaymentNetworks).await?;
    let networks = read(&reader, opaque_id).await?;
    reader.confirm(networks).await
}

async fn read(reader: &DataReader, opaque_id: &str) -> Result<JsonText, DataError> {
    let id = provider_account_id(reader, opaque_id).ok_or(NO_ACCOUNT)?;
    let path = format!("/api/fdx/5/accounts/{opaque_id}/payment-networks");
    let request = ListRequest::parse(reader, &path, &[])?;
    let list = PagedList {
        position: request.open_position()?,
        request,
        source: ConnectionSource::load(reader.ctx(), reader.access()).await?,
        list: "paymentNetworks",
        upstream_path: &["accounts", &id, "payment-networks"],
        upstream_query: &[],
        upstream_dates: None,
    };
    list.read(&mut UnchangedItem::payment_network()).await
}
