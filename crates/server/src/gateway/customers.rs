//! `GET /customers/current`.

use domain::scope::Operation;
use fdx::Customer;

use super::access::{Reader, Served};
use super::error::DataError;
use super::filter;
use crate::authz::Bearer;
use crate::ctx::Ctx;
use crate::hub::fetch;

/// The customer's profile.
pub(super) async fn current(ctx: Ctx, bearer: Option<&Bearer>) -> Result<Served<Customer>, DataError> {
    let reader = Reader::new(ctx, bearer, Operation::CurrentCustomer).await?;
    let whole: Customer = fetch(reader.ctx(), reader.access(), &["customers", "current"], &[]).await?;
    let shown = filter::customer(reader.access().clusters(), reader.access().sub(), whole);
    reader.confirm(shown).await
}
