//! A test of requests that are not HTTP, which no route receives.

use super::expectations::ExpectedResponse;
use crate::support::{RawRequest, TestHub};

/// The HTTP library rejects malformed HTTP without a body and closes the connection.
#[tokio::test]
async fn malformed_http_is_rejected_without_body() {
    let kit = TestHub::new().await;
    let long = "x".repeat(40_000);
    for (raw, status) in [
        (RawRequest::get(format!("/api/v1/authorize?state={long}")), 431),
        (RawRequest::get("/").header("x-long", long.clone()), 431),
        (RawRequest::get("/").header("bad name", "x"), 400),
        (RawRequest::get("/").header("", "x"), 400),
        (RawRequest::get("/\u{0}"), 400),
        (RawRequest::get(""), 400),
        (RawRequest::get("x y"), 400),
        (RawRequest::new("GE\u{0}T", "/"), 400),
        (RawRequest::post("/api/v1/token", "application/json", "{}").header("content-length", "1"), 400),
        (RawRequest::new("POST", "/api/v1/token").header("content-length", "-1"), 400),
        (RawRequest::new("POST", "/api/v1/token").header("transfer-encoding", "gzip"), 400),
    ] {
        ExpectedResponse::RejectedByHttpServer(status)
            .assert_matches(&kit.send_raw(&raw).await, &format!("{raw:.200?}"));
    }
    let many = (0..100).fold(RawRequest::get("/"), |raw, n| raw.header(&format!("x-{n}"), "y"));
    ExpectedResponse::RejectedByHttpServer(431)
        .assert_matches(&kit.send_raw(&many).await, "a hundred headers");
    assert_eq!(kit.get("/").await.status, 200);
}
