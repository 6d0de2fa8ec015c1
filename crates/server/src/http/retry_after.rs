//! The `Retry-After` header (RFC 9110, section 10.2.3), with which rejected clients learn the time to wait.

use std::time::Duration;

use axum::response::Response;
use http::{HeaderValue, header};

/// Sets `Retry-After` to the time that the client must wait before its next request, in seconds.
pub fn set_retry_after(response: &mut Response, wait: Duration) {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(round_up_to_seconds(wait)));
}

/// Rounds up to whole seconds, at least one: a client that waits for less would be rejected again.
fn round_up_to_seconds(wait: Duration) -> u64 {
    let rounded_up = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    rounded_up.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_to_seconds() {
        let wait = |millis| round_up_to_seconds(Duration::from_millis(millis));

        assert_eq!([wait(0), wait(1), wait(1_000), wait(1_001)], [1, 1, 1, 2]);
    }
}
