//! Endpoints that describe the service: `GET /availability`, `/capability` and `/certification-metrics`.
//!
//! Every valid access token may read them, even that of a suspended recipient.

use domain::Timestamp;
use domain::id::{ClientId, ProviderId};
use domain::model::provider::{EndpointGroup, ProviderState};
use fdx::{
    Amount, Availability, AvailabilityList, Capability, CertificationMetric, CertificationMetrics, Operation,
};
use rust_decimal::Decimal;
use store::query::GetProvider;

use super::access::{FdxCaller, FdxRequest};
use super::error::DataError;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::paging::ListQuery;
use crate::stats::{OPERATIONS, OperationTotals};

const ALIVE: (&str, &str) = ("ALIVE", "The operation is available");

/// Returns the availability of each operation. For a connection token it is that of the connection's provider, for a
/// client token that of the hub.
pub(super) async fn get_availability(request: FdxRequest) -> Result<AvailabilityList, DataError> {
    let ctx = &request.ctx;
    let (status, description) = match FdxCaller::authenticate(&request).await? {
        FdxCaller::Client => ALIVE,
        FdxCaller::Connection(access) => {
            let provider = ctx.ask(&GetProvider { id: access.provider_id() }).await?;
            let provider =
                provider.ok_or(InternalError::new("the provider of a connection does not exist"))?;
            match provider.state {
                ProviderState::Active if is_circuit_open(ctx, provider.id, access.client_id()) => {
                    ("DOWN", "The data provider is not responding")
                }
                ProviderState::Active => ALIVE,
                ProviderState::Paused | ProviderState::AutoPaused => {
                    ("MAINTENANCE", "The data provider is temporarily paused")
                }
                ProviderState::Retired => ("DOWN", "The data provider is no longer supported"),
            }
        }
    };
    let to_availability = |operation: &str| Availability {
        status: Some(status.to_owned()),
        description: Some(description.to_owned()),
        operation_id: Some(operation.to_owned()),
    };
    let operations = requested_operations(&request.query)?;
    Ok(AvailabilityList { availability: Some(operations.into_iter().map(to_availability).collect()) })
}

/// Returns whether reads of a recipient at a provider are rejected now, because its FDX API or its token endpoint failed repeatedly.
fn is_circuit_open(ctx: &RequestContext, provider: ProviderId, recipient: &ClientId) -> bool {
    let is_open = |group| ctx.app().breaker().is_open(provider, group, recipient, ctx.now());
    is_open(EndpointGroup::Data) || is_open(EndpointGroup::Token)
}

/// Returns the supported FDX version, message format and operations.
pub(super) async fn get_capability(request: FdxRequest) -> Result<Capability, DataError> {
    FdxCaller::authenticate(&request).await?;
    let operations = requested_operations(&request.query)?;
    let versions = || Some(vec!["V5.2".to_owned()]);
    let to_operation = |id: &str| Operation { id: Some(id.to_owned()), fdx_versions: versions() };
    Ok(Capability {
        fdx_versions: versions(),
        message_format: Some("JSON".to_owned()),
        operations: Some(operations.into_iter().map(to_operation).collect()),
    })
}

/// Returns the response times and success rates since this node started. Operations that were not called are left out.
pub(super) async fn get_certification_metrics(
    request: FdxRequest,
) -> Result<CertificationMetrics, DataError> {
    FdxCaller::authenticate(&request).await?;
    let ctx = &request.ctx;
    let requested = requested_operations(&request.query)?;
    let (since, totals) = ctx.app().operation_stats().snapshot();
    let metrics = totals.into_iter().filter(|(operation, _)| requested.contains(operation));
    let metrics = metrics.map(|(operation, totals)| build_metric(operation, totals, since, ctx.now()));
    Ok(CertificationMetrics { metrics: Some(metrics.collect()) })
}

fn build_metric(
    operation: &str,
    totals: OperationTotals,
    since: Timestamp,
    now: Timestamp,
) -> CertificationMetric {
    let fdx_time = |time: Timestamp| jiff::Timestamp::from_millisecond(time.millis()).ok().map(fdx::DateTime);
    let responses = Decimal::from(totals.responses.max(1));
    let average_millis = Decimal::from(totals.micros) / responses / Decimal::ONE_THOUSAND;
    let successes = Decimal::from(totals.responses - totals.failures);
    let success_percent = successes * Decimal::ONE_HUNDRED / responses;
    CertificationMetric {
        report_start_timestamp: fdx_time(since),
        report_end_timestamp: fdx_time(now),
        metrics_name: Some("Responses of this node since it started".to_owned()),
        operation_ids: Some(vec![operation.to_owned()]),
        response_time_average: Some(Amount(average_millis.round_dp(3))),
        average_up_time: Some(Amount(success_percent.round_dp(3))),
        report_timestamp: fdx_time(now),
    }
}

/// Returns the operation that `operationId` selects, or all operations without it.
fn requested_operations(query: &ListQuery) -> Result<Vec<&'static str>, DataError> {
    let operation_id = query.get("operationId", "operationId is given twice")?;
    let all = OPERATIONS.iter().map(|(_, operation)| *operation);
    let selected: Vec<&str> =
        all.filter(|operation| operation_id.is_none_or(|id| id == *operation)).collect();
    if selected.is_empty() {
        Err(DataError::invalid("operationId is not an operation of this API"))
    } else {
        Ok(selected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certification_metric_is_rounded_to_three_decimals() {
        let at = Timestamp::from_millis;
        let totals = OperationTotals { responses: 3, failures: 1, micros: 10_000 };
        let metric = serde_json::to_value(build_metric("getAccount", totals, at(0), at(60_000))).unwrap();
        assert_eq!(metric["responseTimeAverage"].to_string(), "3.333");
        assert_eq!(metric["averageUpTime"].to_string(), "66.667");
        assert_eq!(metric["reportEndTimestamp"], "1970-01-01T00:01:00Z");
    }
}
