//! `GET /accounts/{accountId}/contact`.

use domain::scope::DataOperation;
use fdx::{AccountContact, ErrorCode};

use super::access::{ConfirmedResponse, DataReader};
use super::accounts::provider_account_id;
use super::error::{DataError, NO_ACCOUNT};
use super::filter;
use crate::context::RequestContext;
use crate::oauth::Bearer;
use crate::upstream::{self, ReadError, fetch};

/// How those who hold an account are reached.
pub(super) async fn get_contact(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
    opaque: &str,
) -> Result<ConfirmedResponse<AccountContact>, DataError> {
    let reader = DataReader::new(ctx, bearer, DataOperation::Contact).await?;
    let id = provider_account_id(&reader, opaque).ok_or(NO_ACCOUNT)?;
    let path = ["accounts", &id, "contact"];
    let contact: Result<AccountContact, ReadError> = fetch(reader.ctx(), reader.access(), &path, &[]).await;
    let contact = contact.map_err(|error| match error {
        ReadError::Upstream(upstream::UpstreamError::FdxError(ErrorCode::DataNotFound)) => NO_ACCOUNT,
        error => error.into(),
    })?;
    reader.confirm(filter::filter_contact(contact)).await
}
