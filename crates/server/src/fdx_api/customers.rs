//! `GET /customers/current`.

use domain::scope::DataOperation;
use fdx::Customer;

use super::access::{ConfirmedResponse, DataReader};
use super::error::DataError;
use super::filter;
use crate::context::RequestContext;
use crate::oauth::Bearer;
use crate::upstream::fetch;

/// The customer's profile.
pub(super) async fn get_current_customer(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
) -> Result<ConfirmedResponse<Customer>, DataError> {
    let reader = DataReader::new(ctx, bearer, DataOperation::CurrentCustomer).await?;
    let customer: Customer = fetch(reader.ctx(), reader.access(), &["customers", "current"], &[]).await?;
    let filtered = filter::filter_customer(reader.access().clusters(), reader.access().sub(), customer);
    reader.confirm(filtered).await
}
