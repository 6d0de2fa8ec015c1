//! Tests of the listeners: partial headers, unusual methods, idle clients, probes and correlation ids.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{TestHub, spawn_listener};
use bowline::cli::BrowserRequest;

#[tokio::test]
async fn probes_report_liveness_readiness_and_metrics() {
    let kit = TestHub::new().await;
    let probe =
        |path: &str| BrowserRequest::new(Method::GET, &format!("http://{}{path}", kit.world.node.probes));
    assert_eq!(kit.send(probe("/livez")).await.body, "ok");
    let ready = kit.send(probe("/readyz")).await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &true.into()));
    let tokens = kit.connect(&kit.acme()).await;
    kit.revoke(&tokens.access).await;
    let metrics = kit.send(probe("/metrics")).await.body;
    for line in [
        r#"bowline_ends_total{cause="recipient"} 1"#,
        "bowline_http_requests_total",
        "bowline_jobs",
        "bowline_access_map_misses_total 1",
        "bowline_access_map_hits_total 0",
        "bowline_access_map_barriers_total 0",
        "bowline_access_map_entries",
        "bowline_access_map_bytes",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(!metrics.contains(tokens.id.as_str()), "metrics contain no ids");
    assert_eq!(kit.get("/metrics").await.status, 404, "metrics are not on the public listener");
    let nothing = kit.send(probe("/api/v1/token")).await;
    assert_eq!((nothing.status, nothing.body.as_str()), (404, "There is nothing at this path"));
}

#[tokio::test]
async fn unknown_paths_and_methods_use_format_of_their_api() {
    let kit = TestHub::new().await;
    let flinks = kit.get("/api/v1/nothing").await;
    assert_eq!((flinks.status, &flinks.json()["error"]), (404, &"invalid_request".into()));
    let fdx = kit.get("/api/fdx/5/nothing").await;
    assert_eq!((fdx.status, fdx.json().get("code")), (404, None));
    let page = kit.get("/nothing").await;
    assert!(page.status == 404 && page.body.contains("<!doctype html>"));
    let put = kit.send(BrowserRequest::new(Method::PUT, &kit.url("/api/v1/revoke"))).await;
    assert_eq!(put.status, 405);
    let allow = put.headers["allow"].to_str().unwrap();
    assert!(allow.contains("DELETE") && allow.contains("POST"), "{allow}");
    let options = kit.send(BrowserRequest::new(Method::OPTIONS, &kit.url("/api/fdx/5/accounts"))).await;
    assert!(options.status == 204 && options.headers.contains_key("allow"));
    assert!(!options.headers.contains_key("access-control-allow-origin"));
    let doubled = kit.get("//api//v1/authorize").await;
    assert_eq!(doubled.status, 400, "a double slash is accepted: {}", doubled.body);
    assert!(doubled.headers.contains_key("ob-correlation-id"));
    let head = kit.send(BrowserRequest::new(Method::HEAD, &kit.url("/"))).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn non_utf8_path_uses_error_format_of_its_api() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for path in ["/accounts/%FF", "/accounts/%C0%AE/transactions"] {
        assert_eq!(kit.read(path, "x").await.status, 401, "the bearer token is checked first");
        let answer = kit.read(path, &tokens.access).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &701.into()), "{path}: {}", answer.body);
    }
    for (path, status) in [("/consent/%FF", 404), ("/callback/%FF?code=x&state=y", 400)] {
        let answer = kit.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains("<!doctype html>") && answer.headers.contains_key("x-frame-options"));
    }
}

#[tokio::test]
async fn valid_correlation_id_is_echoed_and_invalid_replaced() {
    let kit = TestHub::new().await;
    let taken = kit.get("/api/v1/authorize?correlation_id=abc-1.2_3").await;
    assert_eq!(taken.headers["ob-correlation-id"], "abc-1.2_3");
    let strange = kit.get("/api/v1/authorize?correlation_id=a%0d%0aSet-Cookie:x").await;
    assert_eq!(strange.headers["ob-correlation-id"].len(), 36);
    assert!(!strange.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn malformed_http_is_dropped_without_blocking_others() {
    let kit = TestHub::new().await;
    let mut half = TcpStream::connect(kit.world.node.address).await.unwrap();
    half.write_all(b"GET /api/v1/authorize HTTP/1.1\r\nHost: x\r\nX-Half: ").await.unwrap();
    let mut garbage = TcpStream::connect(kit.world.node.address).await.unwrap();
    garbage.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    garbage.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400") || answer.is_empty(), "{answer:?}");
    assert_eq!(kit.get("/").await.status, 200, "a partial request does not block others");
    let mut large = TcpStream::connect(kit.world.node.address).await.unwrap();
    let header = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(64 * 1024));
    let _ = large.write_all(header.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = large.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    drop(half);
}

#[tokio::test]
async fn tokens_are_not_stored_in_plain_text() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    kit.revoke(&tokens.access).await;
    let folder = kit.data_folder().to_owned();
    let file = std::fs::read(folder.join("bowline.db")).unwrap();
    let log = std::fs::read(folder.join("bowline.db-wal")).unwrap_or_default();
    for secret in [&tokens.refresh, &tokens.code, &tokens.access] {
        let found = |bytes: &[u8]| bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found(&file) && !found(&log), "no token may be on disk in usable form");
    }
}

/// Starts a listener with short timeouts and returns its address.
async fn spawn_listener_with_short_timeouts(kit: &TestHub) -> std::net::SocketAddr {
    let mut section = kit.app().config().server.clone();
    section.header_timeout = "200ms".to_owned().try_into().unwrap();
    section.idle_timeout = "400ms".to_owned().try_into().unwrap();
    spawn_listener(kit.app(), bowline::router::all_routes(), &section).await
}

#[tokio::test]
async fn idle_or_partial_request_is_closed_after_timeout() {
    const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let kit = TestHub::new().await;
    let address = spawn_listener_with_short_timeouts(&kit).await;
    let half_headers = [HTTP2, b"\0\0\x03\x01\0\0\0\0\x01\x82\x86\x84"].concat();
    for (what, sent) in [
        ("half a header", &b"GET / HTTP/1.1\r\nX-Half: "[..]),
        ("nothing", b""),
        ("half a preface", b"PRI * HT"),
        ("only a preface", HTTP2),
        ("headers that go on", &half_headers),
        ("a request, and silence", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(sent).await.unwrap();
        let mut rest = Vec::new();
        let cut = tokio::time::timeout(Duration::from_secs(20), peer.read_to_end(&mut rest)).await;
        assert!(cut.is_ok(), "the connection that sends {what} must be closed");
    }
}

#[tokio::test]
async fn client_that_does_not_read_is_closed_after_timeout() {
    let kit = TestHub::new().await;
    let address = spawn_listener_with_short_timeouts(&kit).await;
    let mut stalled_peer = TcpStream::connect(address).await.unwrap();
    let many = b"GET /static/bowline.css HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let sending = async { while stalled_peer.write_all(&many).await.is_ok() {} };
    let cut = tokio::time::timeout(Duration::from_secs(20), sending).await;
    assert!(cut.is_ok(), "a connection whose client does not read must be closed");
}
