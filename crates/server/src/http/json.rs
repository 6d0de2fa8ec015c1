//! Renders JSON responses with few allocations.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

/// The number of headers for which the map of a response has space, so that it is allocated only once. The middleware
/// adds most of them.
pub(super) const HEADER_CAPACITY: usize = 12;
/// The space for the text of a response, which is enough for errors and for a token.
const TEXT_CAPACITY: usize = 1024;

/// Renders a value as JSON.
pub(crate) fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(TEXT_CAPACITY);
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => json_text_response(status, text),
        Err(error) => {
            tracing::error!(%error, "a response could not be serialized");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Renders a text that is JSON.
pub(crate) fn json_text_response(status: StatusCode, text: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let mut headers = HeaderMap::with_capacity(HEADER_CAPACITY);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::HttpBody;
    use serde_json::json;

    #[test]
    fn json_response_has_status_type_and_text() {
        let response = json_response(StatusCode::CREATED, &json!({"a": 1}));

        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.body().size_hint().exact(), Some(7));
    }

    #[test]
    fn value_that_cannot_be_serialized_gets_500() {
        let keys_are_no_text = std::collections::BTreeMap::from([(vec![1], 1)]);

        assert_eq!(json_response(StatusCode::OK, &keys_are_no_text).status(), 500);
    }
}
