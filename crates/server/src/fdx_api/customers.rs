//! The profile of the customer who consented: `GET /customers/current`.

use domain::scope::DataOperation;
use fdx::Customer;

use super::access::{ConfirmedResponse, DataReader, FdxRequest};
use super::error::DataError;
use super::filter;
use crate::upstream::ConnectionSource;

/// Reads the customer's profile, without the fields that the consent does not cover.
pub(super) async fn get_current_customer(
    request: FdxRequest,
) -> Result<ConfirmedResponse<Customer>, DataError> {
    let reader = DataReader::authorize(request, DataOperation::CurrentCustomer).await?;
    let source = ConnectionSource::load(reader.ctx(), reader.access()).await?;
    let customer: Customer = source.read_object(&["customers", "current"]).await?;
    let filtered = filter::filter_customer(reader.access().clusters(), reader.access().sub(), customer);
    reader.confirm(filtered).await
}
