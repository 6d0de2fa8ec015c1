//! What the hub says of itself: `GET /availability`, `/capability`, `/certification-metrics`. Any token that is good
//! may ask.

use domain::Timestamp;
use domain::model::provider::ProviderState;
use fdx::{Amount, Availability, AvailabilityList, Capability, CertificationMetric, CertificationMetrics};
use rust_decimal::Decimal;
use store::query::GetProvider;

use super::access::FdxCaller;
use super::error::DataError;
use crate::context::RequestContext;
use crate::error::InternalError;
use crate::oauth::Bearer;
use crate::paging::ListQuery;
use crate::stats::{OPERATIONS, OperationTotals};

/// Whether each operation can be used: for the provider of the caller's connection, else for the hub itself.
pub(super) async fn get_availability(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
    query: &ListQuery,
) -> Result<AvailabilityList, DataError> {
    let (status, description) = match FdxCaller::authenticate(&ctx, bearer).await? {
        FdxCaller::Client => ALIVE,
        FdxCaller::Connection(access) => {
            let provider = ctx.ask(&GetProvider { id: access.provider_id() }).await?;
            let provider = provider.ok_or(InternalError::new("a connection has lost its provider"))?;
            match provider.state {
                ProviderState::Active if ctx.app().breaker().is_open(provider.id, ctx.now()) => {
                    ("DOWN", "The data provider does not answer at present")
                }
                ProviderState::Active => ALIVE,
                ProviderState::Paused | ProviderState::AutoPaused => {
                    ("MAINTENANCE", "The data provider is paused at present")
                }
                ProviderState::Retired => ("DOWN", "The data provider is served no longer"),
            }
        }
    };
    let to_availability = |operation: &str| Availability {
        status: Some(status.to_owned()),
        description: Some(description.to_owned()),
        operation_id: Some(operation.to_owned()),
    };
    Ok(AvailabilityList {
        availability: Some(requested_operations(query)?.into_iter().map(to_availability).collect()),
    })
}

const ALIVE: (&str, &str) = ("ALIVE", "It can be used");

/// What there is.
pub(super) async fn get_capability(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
    query: &ListQuery,
) -> Result<Capability, DataError> {
    FdxCaller::authenticate(&ctx, bearer).await?;
    Ok(Capability {
        fdx_versions: Some(vec!["V5.2".to_owned()]),
        message_format: Some("JSON".to_owned()),
        operations: Some(requested_operations(query)?.into_iter().map(str::to_owned).collect()),
    })
}

/// How each operation has done on this node since it began. What nobody has asked for is left out.
pub(super) async fn get_certification_metrics(
    ctx: RequestContext,
    bearer: Option<&Bearer>,
    query: &ListQuery,
) -> Result<CertificationMetrics, DataError> {
    FdxCaller::authenticate(&ctx, bearer).await?;
    let wanted = requested_operations(query)?;
    let (since, sums) = ctx.app().operation_stats().snapshot();
    let done = sums.into_iter().filter(|(operation, _)| wanted.contains(operation));
    let metrics = done.map(|(operation, sum)| build_metric(operation, sum, since, ctx.now())).collect();
    Ok(CertificationMetrics { metrics: Some(metrics) })
}

fn build_metric(
    operation: &str,
    sum: OperationTotals,
    since: Timestamp,
    now: Timestamp,
) -> CertificationMetric {
    let at = |time: Timestamp| jiff::Timestamp::from_millisecond(time.millis()).ok().map(fdx::DateTime);
    let responses = Decimal::from(sum.responses.max(1));
    let average = Decimal::from(sum.micros) / responses / Decimal::ONE_THOUSAND;
    let success_percent = Decimal::from(sum.responses - sum.failures) * Decimal::ONE_HUNDRED / responses;
    CertificationMetric {
        report_start_timestamp: at(since),
        report_end_timestamp: at(now),
        metrics_name: Some("Answers of this node since it began".to_owned()),
        operation_ids: Some(vec![operation.to_owned()]),
        response_time_average: Some(Amount(average.round_dp(3))),
        average_up_time: Some(Amount(success_percent.round_dp(3))),
        report_timestamp: at(now),
    }
}

/// The operations that a query is about: one, or all.
fn requested_operations(query: &ListQuery) -> Result<Vec<&'static str>, DataError> {
    let wanted = query.get("operationId", "operationId is given twice")?;
    let all = OPERATIONS.iter().map(|(_, operation)| *operation);
    let found: Vec<&str> = all.filter(|operation| wanted.is_none_or(|wanted| wanted == *operation)).collect();
    if found.is_empty() {
        Err(DataError::invalid("operationId names no operation of this API"))
    } else {
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certification_metric_is_exact_to_a_thousandth() {
        let at = Timestamp::from_millis;
        let sum = OperationTotals { responses: 3, failures: 1, micros: 10_000 };
        let metric = serde_json::to_value(build_metric("getAccount", sum, at(0), at(60_000))).unwrap();
        assert_eq!(metric["responseTimeAverage"].to_string(), "3.333");
        assert_eq!(metric["averageUpTime"].to_string(), "66.667");
        assert_eq!(metric["reportEndTimestamp"], "1970-01-01T00:01:00Z");
    }
}
