//! Classifies error responses of a provider, and parses `Retry-After`.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use super::error::UpstreamError;
use crate::outbound::UpstreamResponse;

/// The longest wait that the hub passes on to a recipient, even if the provider's `Retry-After` is longer.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
/// The longest time of unavailability that the hub passes on to a recipient.
const MAX_UNAVAILABLE: Duration = Duration::from_hours(1);
/// The wait if an unavailable provider sends no valid `Retry-After`.
const DEFAULT_UNAVAILABLE: Duration = Duration::from_secs(5);
/// The wait if the provider sends no valid `Retry-After`.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Returns the wait that is passed on to a recipient: the provider's `Retry-After`, within limits.
pub(super) fn limit_retry_after(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or(DEFAULT_RETRY_AFTER).min(MAX_RETRY_AFTER)
}

/// Returns the time of unavailability that is passed on to a recipient: the provider's `Retry-After`, within limits.
pub(super) fn limit_unavailable(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or(DEFAULT_UNAVAILABLE).min(MAX_UNAVAILABLE)
}

/// Parses `Retry-After` in both forms of RFC 9110 §10.2.3: a number of seconds, or a date. A date is compared with the
/// header `Date`, so that the provider's clock need not agree with the hub's.
pub(super) fn parse_retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let retry_after = text(header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = retry_after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let parse_date = |text: &str| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok();
    let wait = parse_date(retry_after)?.duration_since(parse_date(text(header::DATE)?)?);
    // A date in the past means that the next request may be sent now.
    Some(Duration::try_from(wait).unwrap_or_default())
}

/// Classifies an error response by its status and by the FDX error code in its body, if there is one.
pub(super) fn classify_error_response(response: &UpstreamResponse) -> UpstreamError {
    let code = fdx::parse::<fdx::ErrorBody>(&response.body).ok().and_then(|body| body.value.code);
    let code = code.and_then(map_error_code);
    match (response.status, code) {
        (StatusCode::TOO_MANY_REQUESTS, _) | (_, Some(fdx::ErrorCode::TooManyRequests)) => {
            UpstreamError::RateLimited(limit_retry_after(parse_retry_after(&response.headers)))
        }
        (StatusCode::SERVICE_UNAVAILABLE, _) | (_, Some(fdx::ErrorCode::Maintenance)) => {
            UpstreamError::UnavailableFor(limit_unavailable(parse_retry_after(&response.headers)))
        }
        (StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, _) => UpstreamError::GatewayFailed,
        (StatusCode::UNAUTHORIZED, _) => UpstreamError::TokenRefused,
        (status, Some(fdx::ErrorCode::NotAuthorized)) if status != StatusCode::FORBIDDEN => {
            UpstreamError::TokenRefused
        }
        // The provider does not implement this resource. FDX defines the error code 501 with the status 405.
        (StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, None)
        | (_, Some(fdx::ErrorCode::SubsystemUnavailable)) => {
            UpstreamError::FdxError(fdx::ErrorCode::SubsystemUnavailable)
        }
        // FDX defines no error code for these statuses, so many providers send them without one.
        (StatusCode::FORBIDDEN, None) => UpstreamError::FdxError(fdx::ErrorCode::NotAuthorized),
        (StatusCode::NOT_FOUND | StatusCode::GONE, None) => UpstreamError::NotFound,
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

    #[test]
    fn retry_after_is_number_or_date_and_limited() {
        let mut headers = HeaderMap::new();
        let mut wait = |retry: &'static str| {
            headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static(retry));
            headers.insert(header::DATE, http::HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
            parse_retry_after(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
        let unavailable = classify_error_response(&response(503, b"", b"999999"));
        assert_eq!(unavailable, UpstreamError::UnavailableFor(MAX_UNAVAILABLE));
    }

    #[test]
    fn error_status_without_fdx_code_has_its_meaning() {
        use fdx::ErrorCode::{InvalidDate, InvalidRange, NotAuthorized};
        let classify = |status, body: &[u8]| classify_error_response(&response(status, body, b""));
        for body in [&b""[..], b"<html>", b"{}", br#"{"message":"no"}"#, br#"{"error":"gone"}"#] {
            assert_eq!(classify(401, body), UpstreamError::TokenRefused);
            assert_eq!(classify(403, body), UpstreamError::FdxError(NotAuthorized));
            assert_eq!(classify(404, body), UpstreamError::NotFound);
            assert_eq!(classify(410, body), UpstreamError::NotFound);
            assert_eq!(classify(400, body), UpstreamError::Failed);
            assert_eq!(classify(503, body), UpstreamError::UnavailableFor(DEFAULT_UNAVAILABLE));
        }
        assert_eq!(classify(400, br#"{"code":702}"#), UpstreamError::FdxError(InvalidDate));
        assert_eq!(classify(400, br#"{"code":"703"}"#), UpstreamError::FdxError(InvalidRange));
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
