//! `GET /accounts/{accountId}/contact`.

use domain::scope::Operation;
use fdx::{AccountContact, ErrorCode};

use super::access::{Reader, Served};
use super::accounts::bank_id;
use super::error::{DataError, NO_ACCOUNT};
use super::filter;
use crate::authz::Bearer;
use crate::ctx::Ctx;
use crate::hub::{self, ReadError, fetch};

/// How those who hold an account are reached.
pub(super) async fn of(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    opaque: &str,
) -> Result<Served<AccountContact>, DataError> {
    let reader = Reader::new(ctx, bearer, Operation::Contact).await?;
    let id = bank_id(&reader, opaque).ok_or(NO_ACCOUNT)?;
    let path = ["accounts", &id, "contact"];
    let whole: Result<AccountContact, ReadError> = fetch(reader.ctx(), reader.access(), &path, &[]).await;
    let whole = whole.map_err(|error| match error {
        ReadError::Upstream(hub::Upstream::Said(ErrorCode::DataNotFound)) => NO_ACCOUNT,
        error => error.into(),
    })?;
    reader.confirm(filter::contact(whole)).await
}
