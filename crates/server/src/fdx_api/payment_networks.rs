//! The payment networks that an account can use: `GET /accounts/{accountId}/payment-networks`.

use domain::scope::DataOperation;
use fdx::UnchangedItem;
use fdx::v6::Form;

use super::access::{ConfirmedResponse, DataReader, FdxRequest};
use super::accounts::provider_account_id;
use super::error::{DataError, NO_ACCOUNT};
use super::page::{JsonText, PagedList};

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
    let list = PagedList {
        reader,
        page: reader.parse_page_query()?,
        list: ("paymentNetworks", &Form::Unchanged),
        path: &format!("/api/fdx/5/accounts/{opaque_id}/payment-networks"),
        query: &[],
        upstream_path: &["accounts", &id, "payment-networks"],
        upstream_query: &[],
    };
    list.read(&mut UnchangedItem::payment_network()).await
}
