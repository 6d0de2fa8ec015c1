//! Tests of compressed responses of a provider, and of HTTP/2.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::Request;
use domain::model::provider::TlsSettings;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Response, Version, header};
use serde_json::json;

use crate::support::{ConnectionTokens, TestAuthority, TestHub, TlsStub};

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn brotli(content: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    brotli::CompressorWriter::new(&mut encoded, 4096, 9, 22).write_all(content).unwrap();
    encoded
}

/// Encodes with a window of 64 MiB, which RFC 7932 does not allow.
fn brotli_with_large_window(content: &[u8]) -> Vec<u8> {
    let params =
        brotli::enc::BrotliEncoderParams { large_window: true, lgwin: 26, quality: 9, ..Default::default() };
    let mut encoded = Vec::new();
    brotli::CompressorWriter::with_params(&mut encoded, 4096, &params).write_all(content).unwrap();
    encoded
}

/// The response to every request that is not for a statement list: the encoding, the media type and the encoded body.
type Content = Arc<Mutex<(&'static str, &'static str, Vec<u8>)>>;

/// Lets the provider respond with encoded content. Returns the headers of its requests.
async fn install(kit: &TestHub, content: &Content) -> Arc<Mutex<Vec<HeaderMap>>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (content, calls) = (Arc::clone(content), Arc::new(Mutex::new(Vec::new())));
    let recorded = Arc::clone(&calls);
    let handler = move |request: Request| async move {
        recorded.lock().unwrap().push(request.headers().clone());
        if request.uri().path().ends_with("/statements") {
            let list = json!({"statements": [{"statementId": "s"}]});
            return Response::new(axum::body::Body::from(list.to_string()));
        }
        let (encoding, kind, body) = content.lock().unwrap().clone();
        let response = Response::builder().header(header::CONTENT_TYPE, kind);
        response.header(header::CONTENT_ENCODING, encoding).body(Bytes::from(body).into()).unwrap()
    };
    let router = axum::Router::new().fallback(handler);
    tokio::spawn(async move { axum::serve(listener, router).await });
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = url).await;
    calls
}

#[tokio::test]
async fn gzip_and_br_are_decoded() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let account = json!({"depositAccount": {"accountId": "mt-alice-chequing", "accountType": "CHECKING"}});
    let list = json!({"accounts": [account]}).to_string();
    for (encoding, body) in [("gzip", gzip(list.as_bytes())), ("br", brotli(list.as_bytes()))] {
        let content: Content = Arc::new(Mutex::new((encoding, "application/json", body)));
        let calls = install(&kit, &content).await;

        let read = kit.read("/accounts", &tokens.access).await;

        assert_eq!(read.status, 200, "{encoding}: {}", read.body);
        assert!(read.json()["accounts"].is_array(), "{encoding}: {}", read.body);
        assert!(!read.headers.contains_key(header::CONTENT_ENCODING), "{encoding}");
        let accepted = calls.lock().unwrap()[0][header::ACCEPT_ENCODING].to_str().unwrap().to_owned();
        assert!(accepted.contains("gzip") && accepted.contains("br"), "{accepted}");
    }
}

#[tokio::test]
async fn decoded_bytes_count_for_the_limit() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let limit = kit.app().config().upstream.max_body.bytes();
    // A valid document that is larger than the limit only because of spaces.
    let large = [b"{\"accounts\":[]".to_vec(), vec![b' '; 4 * limit], b"}".to_vec()].concat();
    for (encoding, body) in [("gzip", gzip(&large)), ("br", brotli(&large))] {
        assert!(body.len() < limit / 20, "{encoding}: {}", body.len());
        let content: Content = Arc::new(Mutex::new((encoding, "application/json", body)));
        install(&kit, &content).await;

        let read = kit.read("/accounts", &tokens.access).await;

        assert_ne!(read.status, 200, "{encoding}");
    }
    let failures = kit.app().telemetry().render();
    assert!(failures.contains(r#"call="data",reason="too_large"} 2"#), "{failures}");
}

#[tokio::test]
async fn body_that_only_declares_an_encoding_is_read() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for encoding in ["gzip", "br"] {
        let body = json!({"accounts": []}).to_string().into_bytes();
        let content: Content = Arc::new(Mutex::new((encoding, "application/json", body)));
        install(&kit, &content).await;

        let read = kit.read("/accounts", &tokens.access).await;

        assert_eq!((read.status, &read.json()["accounts"]), (200, &json!([])), "{encoding}: {}", read.body);
    }
}

#[tokio::test]
async fn body_that_cannot_be_decoded_is_rejected() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let list = || json!({"accounts": []}).to_string().into_bytes();
    let truncated = |body: Vec<u8>| body[..body.len() / 2].to_vec();
    for (encoding, body) in [
        ("gzip", [b"\x1f\x8b".to_vec(), list()].concat()),
        ("gzip", truncated(gzip(&list()))),
        ("br", truncated(brotli(&list()))),
        ("br", brotli_with_large_window(&list())),
        ("deflate", list()),
        ("gzip, gzip", list()),
    ] {
        let content: Content = Arc::new(Mutex::new((encoding, "application/json", body)));
        install(&kit, &content).await;

        let read = kit.read("/accounts", &tokens.access).await;

        assert!(read.status >= 500, "{encoding}: {} {}", read.status, read.body);
    }
}

/// Connects with a scope for statements, and returns the tokens and the path of a statement of the stub.
async fn find_statement(kit: &TestHub) -> (ConnectionTokens, String) {
    let recipient = kit.register_recipient(&[1000], "ACCOUNT_BASIC STATEMENTS", false).await;
    let tokens = kit.connect_at(1000, &recipient, "alice", &[], "ACCOUNT_BASIC STATEMENTS").await;
    let accounts = kit.read("/accounts", &tokens.access).await.json();
    let account = accounts["accounts"][0].as_object().unwrap().values().next().unwrap().clone();
    let path = format!("/accounts/{}/statements", account["accountId"].as_str().unwrap());
    (tokens, path)
}

#[tokio::test]
async fn encoded_document_is_passed_on_decoded_within_limit() {
    let kit = TestHub::new().await;
    let (tokens, path) = find_statement(&kit).await;
    let limit = kit.app().config().upstream.max_statement.bytes();
    let document = [b"%PDF-1.7 ".to_vec(), vec![b'x'; 400_000]].concat();
    let content: Content = Arc::new(Mutex::new(("gzip", "application/pdf", gzip(&document))));
    install(&kit, &content).await;
    let list = kit.read(&path, &tokens.access).await.json();
    let statement = format!("{path}/{}", list["statements"][0]["statementId"].as_str().unwrap());
    let client = reqwest::Client::builder().no_proxy().no_gzip().no_brotli().build().unwrap();
    let url = kit.url(&format!("/api/fdx/5{statement}"));
    let read = async || client.get(&url).bearer_auth(&tokens.access).send().await.unwrap();

    let passed_on = read().await;
    assert_eq!(passed_on.status(), 200);
    assert!(!passed_on.headers().contains_key(header::CONTENT_ENCODING));
    assert_eq!(passed_on.bytes().await.unwrap(), document);
    *content.lock().unwrap() = ("gzip", "application/pdf", gzip(&vec![b'x'; limit + 1]));
    let too_large = read().await;

    let is_complete = too_large.status() == 200 && too_large.bytes().await.is_ok();
    assert!(!is_complete, "a document over the limit is never complete");
}

#[tokio::test]
async fn http2_is_used_if_the_provider_offers_it() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let authority = TestAuthority::new();
    let bank = TlsStub::start(authority.issue("localhost"), |_| {
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        response.body(json!({"accounts": []}).to_string()).unwrap()
    })
    .await;
    let ca = kit.data_folder().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    kit.update_provider_settings(1000, |settings| {
        settings.fdx.base_url = format!("{}/fdx", bank.url);
        settings.tls = Some(TlsSettings { ca: Some(ca.display().to_string()), ..TlsSettings::default() });
    })
    .await;

    let read = kit.read("/accounts", &tokens.access).await;
    bank.refuse_next_request();
    let repeated = kit.read("/accounts", &tokens.access).await;

    assert_eq!(read.status, 200, "{}", read.body);
    assert_eq!(repeated.status, 200, "a refused stream was never processed: {}", repeated.body);
    let versions: Vec<_> = bank.requests().into_iter().map(|(_, _, version)| version).collect();
    assert_eq!(versions, [Version::HTTP_2; 2]);
}
