//! Classifies error responses of a provider, and parses `Retry-After`.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use super::error::UpstreamError;
use crate::outbound::UpstreamResponse;

/// The longest wait that the hub passes on to a recipient, even if the provider's `Retry-After` is longer.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
/// The wait if the provider sends no valid `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Returns the wait that is passed on to a recipient: the provider's `Retry-After`, within limits.
pub(super) fn limit_retry_after(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or(DEFAULT_RETRY_AFTER).min(MAX_RETRY_AFTER)
}

/// Parses `Retry-After` as a number of seconds. Returns `None` for the other form of RFC 9110 §10.2.3, a date.
pub(super) fn parse_retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Classifies an error response by its status and by the FDX error code in its body, if there is one.
pub(super) fn classify_error_response(response: &UpstreamResponse) -> UpstreamError {
    let code = fdx::parse::<fdx::ErrorBody>(&response.body).ok().and_then(|body| body.value.code);
    let code = code.and_then(map_error_code);
    match (response.status, code) {
        (StatusCode::TOO_MANY_REQUESTS, _) | (_, Some(fdx::ErrorCode::TooManyRequests)) => {
            UpstreamError::RateLimited(limit_retry_after(parse_retry_after(&response.headers)))
        }
        // These come from a gateway in front of the provider, or during scheduled maintenance.
        (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT, _)
        | (_, Some(fdx::ErrorCode::Maintenance)) => UpstreamError::Unavailable,
        (StatusCode::UNAUTHORIZED, _) | (_, Some(fdx::ErrorCode::NotAuthorized)) => {
            UpstreamError::TokenRefused
        }
        // The provider does not implement this resource. FDX defines the error code 501 with the status 405.
        (StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, None)
        | (_, Some(fdx::ErrorCode::SubsystemUnavailable)) => {
            UpstreamError::FdxError(fdx::ErrorCode::SubsystemUnavailable)
        }
        (StatusCode::NOT_ACCEPTABLE, None) => UpstreamError::FdxError(fdx::ErrorCode::ContentType),
        (StatusCode::PAYLOAD_TOO_LARGE, None) => UpstreamError::FdxError(fdx::ErrorCode::TooLarge),
        // A 5xx status is a failure of the provider, even if the error code in its body blames the request.
        (status, Some(code)) if status.is_client_error() => UpstreamError::FdxError(code),
        _ => UpstreamError::Failed,
    }
}

/// Maps the FDX error code of a provider to one of the error codes that Flinks documents.
fn map_error_code(number: u16) -> Option<fdx::ErrorCode> {
    match number {
        // Flinks does not document these FDX codes, but each has the meaning of a documented one.
        1104 | 1108 => Some(fdx::ErrorCode::DataNotFound),
        901 => Some(fdx::ErrorCode::AccountNotFound),
        1106 => Some(fdx::ErrorCode::SubsystemUnavailable),
        number => fdx::ErrorCode::from_number(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn response(status: u16, body: &[u8], retry: &[u8]) -> UpstreamResponse {
        let mut headers = HeaderMap::new();
        headers.extend(http::HeaderValue::from_bytes(retry).map(|value| (header::RETRY_AFTER, value)));
        UpstreamResponse {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers,
            body: body.to_vec().into(),
        }
    }

    proptest! {
        #[test]
        fn arbitrary_provider_error_response_is_classified(status in 100_u16..600, body: Vec<u8>, retry in prop_oneof!["[0-9]{1,30}", ".*"], code: i64) {
            for body in [body, json!({"code": code}).to_string().into_bytes(), br#"{"code":"x"}"#.to_vec()] {
                if let UpstreamError::RateLimited(after) = classify_error_response(&response(status, &body, retry.as_bytes())) {
                    prop_assert!(after <= MAX_RETRY_AFTER);
                }
            }
        }
    }
}
