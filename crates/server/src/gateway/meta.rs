//! What the hub says of itself: `GET /availability`, `/capability`, `/certification-metrics`. Any token that is good
//! may ask.

use domain::Timestamp;
use domain::model::provider::ProviderState;
use fdx::{Amount, Availability, AvailabilityList, Capability, CertificationMetric, CertificationMetrics};
use rust_decimal::Decimal;
use store::query::ProviderById;

use super::access::Caller;
use super::error::DataError;
use super::measured::{OPERATIONS, Sum};
use super::page::ListQuery;
use crate::authz::Bearer;
use crate::ctx::Ctx;
use crate::fault::Fault;

/// Whether each operation can be used: for the provider of the caller's connection, else for the hub itself.
pub(super) async fn availability(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    query: &ListQuery,
) -> Result<AvailabilityList, DataError> {
    let (status, description) = match Caller::of(&ctx, bearer).await? {
        Caller::Client => ALIVE,
        Caller::Connection(access) => {
            let provider = ctx.ask(&ProviderById { id: access.provider_id() }).await?;
            let provider = provider.ok_or(Fault::new("a connection has lost its provider"))?;
            match provider.state {
                ProviderState::Active if ctx.app().breaker().is_open(provider.id, ctx.now()) => {
                    ("DOWN", "The data provider does not answer at present")
                }
                ProviderState::Active => ALIVE,
                ProviderState::Paused | ProviderState::Tripped => {
                    ("MAINTENANCE", "The data provider is paused at present")
                }
                ProviderState::Retired => ("DOWN", "The data provider is served no longer"),
            }
        }
    };
    let of = |operation: &str| Availability {
        status: Some(status.to_owned()),
        description: Some(description.to_owned()),
        operation_id: Some(operation.to_owned()),
    };
    Ok(AvailabilityList { availability: Some(asked_for(query)?.into_iter().map(of).collect()) })
}

const ALIVE: (&str, &str) = ("ALIVE", "It can be used");

/// What there is.
pub(super) async fn capability(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    query: &ListQuery,
) -> Result<Capability, DataError> {
    Caller::of(&ctx, bearer).await?;
    Ok(Capability {
        fdx_versions: Some(vec!["V5.2".to_owned()]),
        message_format: Some("JSON".to_owned()),
        operations: Some(asked_for(query)?.into_iter().map(str::to_owned).collect()),
    })
}

/// How each operation has done on this node since it began. What nobody has asked for is left out.
pub(super) async fn certification_metrics(
    ctx: Ctx,
    bearer: Option<&Bearer>,
    query: &ListQuery,
) -> Result<CertificationMetrics, DataError> {
    Caller::of(&ctx, bearer).await?;
    let wanted = asked_for(query)?;
    let (since, sums) = ctx.app().measured().so_far();
    let done = sums.into_iter().filter(|(operation, _)| wanted.contains(operation));
    let metrics = done.map(|(operation, sum)| metric(operation, sum, since, ctx.now())).collect();
    Ok(CertificationMetrics { metrics: Some(metrics) })
}

fn metric(operation: &str, sum: Sum, since: Timestamp, now: Timestamp) -> CertificationMetric {
    let at = |time: Timestamp| jiff::Timestamp::from_millisecond(time.millis()).ok().map(fdx::Timestamp);
    let answers = Decimal::from(sum.answers.max(1));
    let average = Decimal::from(sum.micros) / answers / Decimal::ONE_THOUSAND;
    let well = Decimal::from(sum.answers - sum.failures) * Decimal::ONE_HUNDRED / answers;
    CertificationMetric {
        report_start_timestamp: at(since),
        report_end_timestamp: at(now),
        metrics_name: Some("Answers of this node since it began".to_owned()),
        operation_ids: Some(vec![operation.to_owned()]),
        response_time_average: Some(Amount(average.round_dp(3))),
        average_up_time: Some(Amount(well.round_dp(3))),
        report_timestamp: at(now),
    }
}

/// The operations that a query is about: one, or all.
fn asked_for(query: &ListQuery) -> Result<Vec<&'static str>, DataError> {
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
    fn averages_are_exact_to_a_thousandth() {
        let at = Timestamp::from_millis;
        let sum = Sum { answers: 3, failures: 1, micros: 10_000 };
        let metric = serde_json::to_value(metric("getAccount", sum, at(0), at(60_000))).unwrap();
        assert_eq!(metric["responseTimeAverage"].to_string(), "3.333");
        assert_eq!(metric["averageUpTime"].to_string(), "66.667");
        assert_eq!(metric["reportEndTimestamp"], "1970-01-01T00:01:00Z");
    }
}
