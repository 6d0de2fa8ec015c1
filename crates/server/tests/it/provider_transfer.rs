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

use crate::support::{
    ConnectionTokens, EndpointStub, TestAuthority, TestHub, TlsStub, json_response, query_parameter,
};

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

/// Encodes all content, but not the end of the stream.
fn gzip_without_end(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.flush().unwrap();
    encoder.get_ref().clone()
}

/// Encodes all content, but not the end of the stream.
fn brotli_without_end(content: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 9, 22);
    encoder.write_all(content).unwrap();
    encoder.flush().unwrap();
    encoder.get_ref().clone()
}

/// Encodes content, and states a wrong checksum of it.
fn gzip_with_wrong_checksum(content: &[u8]) -> Vec<u8> {
    let mut encoded = gzip(content);
    // RFC 1952 §2.3.1: four bytes of checksum and four of length are the end.
    let checksum = encoded.len() - 8;
    encoded[checksum] ^= 1;
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
    let (url, calls) = start_stub(content).await;
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = url).await;
    calls
}

/// Starts a stub that responds with encoded content. Returns its URL and the headers of its requests.
async fn start_stub(content: &Content) -> (String, Arc<Mutex<Vec<HeaderMap>>>) {
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
    (url, calls)
}

#[tokio::test]
async fn gzip_and_br_are_decoded() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let account = json!({"depositAccount": {"accountId": "mt-alice-chequing", "accountType": "CHECKING"}});
    let list = json!({"accounts": [account]}).to_string();
    let (gzip, brotli) = (gzip(list.as_bytes()), brotli(list.as_bytes()));
    for (encoding, body) in [
        ("gzip", gzip.clone()),
        ("br", brotli.clone()),
        ("GZIP", gzip.clone()),
        ("x-gzip", gzip),
        ("BR", brotli),
    ] {
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
async fn encoded_bytes_count_for_the_limit() {
    // A small limit: an unoptimized decoder would not reach a large one before the timeout.
    let kit = TestHub::with_settings(&[("upstream.max_body", "64KiB")]).await;
    let tokens = kit.connect(&kit.acme()).await;
    let limit = kit.app().config().upstream.max_body.bytes();
    let list = json!({"accounts": []}).to_string();
    // Members without content follow a valid document.
    let members = [gzip(list.as_bytes()), gzip(b"").repeat(limit / gzip(b"").len())].concat();
    // RFC 7932 §9.2: a block of metadata without content, again and again, and the empty last block.
    let metadata = [vec![0x0c], vec![0x06; limit], vec![0x03]].concat();
    for (encoding, body) in [("gzip", members), ("br", metadata)] {
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
        for space in ["", " ", "\r\n\t"] {
            let body = format!("{space}{}", json!({"accounts": []})).into_bytes();
            let content: Content = Arc::new(Mutex::new((encoding, "application/json", body)));
            install(&kit, &content).await;

            let read = kit.read("/accounts", &tokens.access).await;

            let found = (read.status, &read.json()["accounts"]);
            assert_eq!(found, (200, &json!([])), "{encoding}, {space:?}: {}", read.body);
        }
    }
}

#[tokio::test]
async fn body_that_cannot_be_decoded_is_rejected() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let list = || json!({"accounts": []}).to_string().into_bytes();
    for (encoding, body) in [
        ("gzip", [b"\x1f\x8b".to_vec(), list()].concat()),
        // The decoded bytes of these three are the complete list.
        ("gzip", gzip_without_end(&list())),
        ("gzip", gzip_with_wrong_checksum(&list())),
        ("br", brotli_without_end(&list())),
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

#[tokio::test]
async fn tokens_of_corrupt_encoded_exchange_are_revoked() {
    let kit = TestHub::new().await;
    let revocations = EndpointStub::new(|_| json_response(200, &json!({}))).await;
    let body = |number: usize| {
        let tokens = json!({"access_token": format!("at-{number}"), "token_type": "Bearer",
            "refresh_token": format!("rt-{number}"), "expires_in": 60});
        tokens.to_string().into_bytes()
    };
    for (number, (encoding, body)) in [
        ("gzip", gzip_with_wrong_checksum(&body(0))),
        ("gzip", gzip_without_end(&body(1))),
        ("br", brotli_without_end(&body(2))),
    ]
    .into_iter()
    .enumerate()
    {
        let content: Content = Arc::new(Mutex::new((encoding, "application/json", body)));
        let (url, calls) = start_stub(&content).await;
        kit.update_provider_settings(1000, |settings| {
            settings.token_endpoint = Some(format!("{url}/token"));
            settings.revocation_endpoint = Some(format!("{}/revoke", revocations.url));
        })
        .await;

        let location = kit.consent().await.location.unwrap();
        let redirect = kit.complete_flow(&location, "alice").await;

        assert!(query_parameter(&redirect, "error").is_some(), "{number}: {redirect}");
        assert_eq!(kit.sql("SELECT 1 FROM connections").await, [""; 0], "{number}");
        let token = Some(format!("rt-{number}"));
        kit.wait_until("the token is revoked", async || {
            revocations.calls().iter().any(|call| call.field("token") == token)
        })
        .await;
        assert!(!calls.lock().unwrap().is_empty(), "{number}");
    }
    let recoveries = kit.sql("SELECT 1 FROM jobs WHERE kind = 'recover_authorization_code'").await;
    assert_eq!(recoveries.len(), 3, "the outcome of each exchange is unknown, so its code is sent again");
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
    for (what, body) in [
        ("too large", gzip(&vec![b'x'; limit + 1])),
        ("truncated", gzip_without_end(&document)),
        ("corrupt", gzip_with_wrong_checksum(&document)),
        ("encoded without end", [gzip(&document), gzip(b"").repeat(limit / gzip(b"").len())].concat()),
    ] {
        *content.lock().unwrap() = ("gzip", "application/pdf", body);
        let failed = read().await;

        let is_complete = failed.status() == 200 && failed.bytes().await.is_ok();
        assert!(!is_complete, "{what}: such a document is never complete");
    }
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
