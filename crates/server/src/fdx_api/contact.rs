//! The contact data of an account's holders: `GET /accounts/{accountId}/contact`.

use domain::scope::DataOperation;
use fdx::AccountContact;

use super::access::{ConfirmedResponse, DataReader, FdxRequest};
use super::accounts::provider_account_id;
use super::error::{DataError, NO_ACCOUNT};
use super::filter;
use crate::upstream::ConnectionSource;

/// Reads the contact data of an account's holders.
pub(super) async fn get_contact(
    request: FdxRequest,
    opaque_id: &str,
) -> Result<ConfirmedResponse<AccountContact>, DataError> {
    let reader = DataReader::authorize(request, DataOperation::Contact).await?;
    let id = provider_account_id(&reader, opaque_id).ok_or(NO_ACCOUNT)?;
    let source = ConnectionSource::load(reader.ctx(), reader.access()).await?;
    let contact = source.read_object(&["accounts", &id, "contact"]).await;
    let contact = contact.map_err(|error| DataError::from_read_error(error, NO_ACCOUNT))?;
    reader.confirm(filter::filter_contact(contact)).await
}
