//! Tests of statements over FDX: the list, and the documents that the hub passes through from the provider.

use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use fdx::vocabulary::find_unknown_words;
use futures_util::stream;
use http::{Method, Response, header};
use serde_json::json;

use crate::support::{ConnectionTokens, EndpointStub, RawRequest, TestHub, json_response, on_both};

on_both!(connection_end_during_document_download_returns_602);

const SCOPE: &str = "ACCOUNT_BASIC STATEMENTS";

async fn connect_and_list_path(kit: &TestHub, provider_id: i64) -> (ConnectionTokens, String) {
    let tokens = kit.connect_at(provider_id, &kit.acme(), "alice", &[], SCOPE).await;
    let account = kit.fetch_account_id(&tokens.access).await;
    (tokens, format!("/accounts/{account}/statements"))
}

/// Returns the path of the document of an account's newest statement.
async fn find_newest_statement_path(kit: &TestHub, access: &str, path: &str) -> String {
    format!("{path}/{}", kit.fetch_statement_id(access).await)
}

#[tokio::test]
async fn statements_cover_two_years_and_links_open() {
    let kit = TestHub::new().await;
    for provider_id in [1000, 2000] {
        let (tokens, path) = connect_and_list_path(&kit, provider_id).await;
        let full_page = kit.read(&path, &tokens.access).await.json();
        assert_eq!(find_unknown_words("statements", &full_page), Vec::<String>::new());
        let all = full_page["statements"].as_array().unwrap();
        assert_eq!((all.len(), &full_page["page"]["totalElements"]), (24, &json!(24)));
        assert_eq!(
            (&all[0]["statementDate"], &all[0]["status"]),
            (&json!("2026-10-31"), &json!("AVAILABLE"))
        );
        assert_eq!(all[0]["accountId"], json!(path.split('/').nth(2).unwrap()));
        let id = all[0]["statementId"].as_str().unwrap();
        assert!(id.starts_with("stm_"));
        let link = &all[0]["links"][0];
        assert_eq!(
            *link,
            json!({"href": kit.url(&format!("/api/fdx/5{path}/{id}")), "action": "GET", "types": ["application/pdf"]})
        );
        let first = kit.read(&format!("{path}?limit=5"), &tokens.access).await.json();
        let next = first["links"]["next"]["href"].as_str().unwrap();
        let next = kit.read(next.strip_prefix(&kit.url("/api/fdx/5")).unwrap(), &tokens.access).await.json();
        assert_eq!((&first["statements"][4], &next["statements"][0]), (&all[4], &all[5]));
        let some = kit.read(&format!("{path}?startTime=2026-08-01&endTime=2026-09-30"), &tokens.access).await;
        assert_eq!(some.json()["statements"], json!(all[1..3]));

        let target = format!("/api/fdx/5{path}/{id}");
        let pdf = kit.send_raw(&RawRequest::get(target.clone()).bearer(&tokens.access)).await;
        assert_eq!((pdf.status, &pdf.headers["content-type"]), (200, &"application/pdf".parse().unwrap()));
        assert!(pdf.body.starts_with("%PDF-1.") && pdf.body.trim_end().ends_with("%%EOF"));
        assert_eq!(pdf.location, None, "no URL of the provider is passed on");
        let head = kit.send_raw(&RawRequest::new("HEAD", target).bearer(&tokens.access)).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.headers["content-length"], pdf.headers["content-length"]);
    }
}

#[tokio::test]
async fn statement_in_processing_returns_1300_until_ready() {
    let kit = TestHub::new().await;
    let (tokens, path) = connect_and_list_path(&kit, 1000).await;
    kit.advance(Duration::from_hours(24 * 8));
    let access = kit.refresh(&kit.acme(), &tokens.refresh).await.json()["access_token"].clone();
    let access = access.as_str().unwrap();
    let list = kit.read(&path, access).await.json();
    assert_eq!(list["statements"][0]["status"], "PROCESSING");
    let document = find_newest_statement_path(&kit, access, &path).await;
    let unready = kit.read(&document, access).await;
    assert_eq!((unready.status, &unready.json()["code"]), (400, &json!(1300)), "{}", unready.body);
    kit.advance(Duration::from_hours(24));
    let access = kit.refresh(&kit.acme(), &tokens.refresh).await.json()["access_token"].clone();
    assert_eq!(kit.read(&document, access.as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn statement_id_of_other_account_or_recipient_is_rejected() {
    let kit = TestHub::new().await;
    let (tokens, path) = connect_and_list_path(&kit, 1000).await;
    let document = find_newest_statement_path(&kit, &tokens.access, &path).await;
    let id = document.rsplit('/').next().unwrap();
    let accounts = kit.read("/accounts", &tokens.access).await.json();
    let other = accounts["accounts"][1]["depositAccount"]["accountId"].as_str().unwrap();
    let elsewhere = kit.read(&format!("/accounts/{other}/statements/{id}"), &tokens.access).await;
    assert_eq!((elsewhere.status, &elsewhere.json()["code"]), (404, &json!(1107)));
    let app = kit.register_recipient(&[1000], SCOPE, false).await;
    let theirs = kit.connect_at(1000, &app, "alice", &[], SCOPE).await;
    assert_ne!(kit.fetch_statement_id(&theirs.access).await, id);
    let own = kit.fetch_account_id(&theirs.access).await;
    let foreign = kit.read(&format!("/accounts/{own}/statements/{id}"), &theirs.access).await;
    assert_eq!(foreign.json()["code"], 1107);
    let narrow = kit.request_narrowed_token(&kit.acme(), &tokens, "ACCOUNT_BASIC").await;
    for path in [&path, &document] {
        let refused = kit.read(path, &narrow).await;
        assert_eq!((refused.status, &refused.json()["code"]), (401, &json!(602)));
    }
}

/// Installs a provider that redirects requests for documents to `place`.
async fn install_redirecting_stub(kit: &TestHub, place: &str) -> EndpointStub {
    let place = place.to_owned();
    let bank = EndpointStub::new(move |call| {
        if call.path.ends_with("/the-document") {
            return Response::builder()
                .header("content-type", "application/pdf")
                .body("%PDF-".to_owned())
                .unwrap();
        }
        Response::builder().status(302).header("location", &place).body(String::new()).unwrap()
    })
    .await;
    let base = format!("{}/fdx/v5", bank.url);
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = base).await;
    bank
}

#[tokio::test]
async fn document_redirect_stays_below_provider_base_url() {
    let kit = TestHub::new().await;
    let (tokens, path) = connect_and_list_path(&kit, 1000).await;
    let document = find_newest_statement_path(&kit, &tokens.access, &path).await;
    let foreign_host = EndpointStub::new(|_| json_response(200, &json!({}))).await;
    for place in ["/fdx/v5/files/the-document?k=v", "the-document"] {
        let bank = install_redirecting_stub(&kit, place).await;
        let answer = kit.read(&document, &tokens.access).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "%PDF-"), "{place}");
        let calls = bank.calls();
        assert_eq!(calls.len(), 2);
        assert!(calls.iter().all(|call| call.headers["accept"] == "application/pdf"));
        assert_eq!(calls[0].headers["authorization"], calls[1].headers["authorization"]);
    }
    let elsewhere = format!("{}/fdx/v5/the-document", foreign_host.url);
    for place in
        [&*elsewhere, "/the-document", "/fdx/v5/../the-document", "/fdx/v5/%2e%2e/x/the-document", ""]
    {
        let bank = install_redirecting_stub(&kit, place).await;
        let answer = kit.read(&document, &tokens.access).await;
        assert_eq!((answer.status, &answer.json()["code"]), (500, &json!(500)), "{place}");
        assert!(!answer.body.contains("the-document") && answer.location.is_none());
        assert!(bank.calls().iter().all(|call| call.path.starts_with("/fdx/v5/")), "{:?}", bank.calls());
    }
    assert!(foreign_host.calls().is_empty(), "a foreign host is never called");
    let circle = install_redirecting_stub(&kit, "/fdx/v5/again").await;
    assert_eq!(kit.read(&document, &tokens.access).await.status, 500);
    assert_eq!(circle.calls().len(), 4, "at most three redirects are followed");
}

/// Installs a provider whose documents have this size, with or without `Content-Length`.
async fn install_document_of_size(kit: &TestHub, bytes: usize, stated: bool) {
    let answer = move || async move {
        let chunks = (0..bytes.div_ceil(1 << 16)).map(move |nth| (bytes - (nth << 16)).min(1 << 16));
        let body = Body::from_stream(stream::iter(chunks.map(|n| Ok::<_, std::io::Error>(vec![b'x'; n]))));
        let builder = Response::builder().header("content-type", "application/pdf; x=y");
        let builder = if stated { builder.header(header::CONTENT_LENGTH, bytes) } else { builder };
        builder.body(body).unwrap()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = url).await;
}

#[tokio::test]
async fn document_over_limit_is_never_passed_on_completely() {
    let kit = TestHub::new().await;
    let (tokens, path) = connect_and_list_path(&kit, 1000).await;
    let document = find_newest_statement_path(&kit, &tokens.access, &path).await;
    let most = kit.app().config().upstream.max_statement.bytes();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = || client.get(kit.url(&format!("/api/fdx/5{document}"))).bearer_auth(&tokens.access).send();
    for stated in [true, false] {
        install_document_of_size(&kit, 300_000, stated).await;
        let long = request().await.unwrap();
        assert_eq!(long.content_length(), stated.then_some(300_000), "the length is not known before");
        assert_eq!(long.bytes().await.unwrap().len(), 300_000);
        install_document_of_size(&kit, 200_000, stated).await;
        let short = request().await.unwrap();
        assert_eq!(short.content_length(), Some(200_000), "a short document is read completely first");
        assert_eq!(short.bytes().await.unwrap().len(), 200_000);
    }

    install_document_of_size(&kit, most + 1, true).await;
    let stated = kit.read(&document, &tokens.access).await;
    install_document_of_size(&kit, most + 1, false).await;
    let streamed = request().await.unwrap();

    assert_eq!((stated.status, &stated.json()["code"]), (413, &json!(413)));
    assert_eq!(streamed.status(), 200);
    assert!(streamed.bytes().await.is_err(), "the response ends without the end of its body");
    let failures =
        r#"bowline_provider_call_failures_total{provider="1000",call="data",reason="too_large"} 2"#;
    assert!(kit.app().telemetry().render().contains(failures), "both are reported as failed reads");
}

/// Installs a provider that offers documents only in some media types, and records the requested types.
async fn install_stub_with_types(kit: &TestHub, kinds: &'static [&'static str]) -> EndpointStub {
    let bank = EndpointStub::new(move |call| {
        let kind = call.headers["accept"].to_str().unwrap();
        if !kinds.contains(&kind) {
            return json_response(406, &json!({"code": 1203, "message": "no"}));
        }
        Response::builder().header("content-type", kind).body(format!("a {kind}")).unwrap()
    })
    .await;
    let base = format!("{}/fdx/v5", bank.url);
    kit.update_provider_settings(1000, |settings| settings.fdx.base_url = base).await;
    bank
}

fn list_requested_types(bank: &EndpointStub) -> Vec<String> {
    bank.calls().iter().map(|call| call.headers["accept"].to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn document_types_are_tried_in_order_of_preference() {
    let kit = TestHub::new().await;
    let (tokens, path) = connect_and_list_path(&kit, 1000).await;
    let document = format!("/api/fdx/5{}", find_newest_statement_path(&kit, &tokens.access, &path).await);
    let all = ["application/pdf", "image/gif", "image/jpeg", "image/tiff", "image/png"];
    for (accept, has, expected) in [
        ("image/png, application/pdf", &["application/pdf"][..], &["image/png", "application/pdf"][..]),
        ("image/png, application/pdf", &["image/png", "application/pdf"], &["image/png"]),
        (
            "image/png;q=0.5, image/gif;q=0.2, application/pdf",
            &["image/gif"],
            &["application/pdf", "image/png", "image/gif"],
        ),
        ("*/*", &["image/png"], &all),
        ("image/*, application/pdf;q=0", &["image/jpeg"], &["image/gif", "image/jpeg"]),
    ] {
        let bank = install_stub_with_types(&kit, has).await;
        let answer =
            kit.send_raw(&RawRequest::get(&*document).bearer(&tokens.access).header("accept", accept)).await;
        let last = *expected.last().unwrap();
        assert_eq!((answer.status, answer.body), (200, format!("a {last}")), "{accept}");
        assert_eq!(answer.headers["content-type"], last);
        assert_eq!(list_requested_types(&bank), expected, "{accept}");
    }
    for (accept, expected) in [
        ("image/gif, image/png;q=0.1", &["image/gif", "image/png"][..]),
        ("image/png, application/pdf;q=0", &["image/png"]),
        ("*/*", &all),
        ("application/json, text/html", &[]),
    ] {
        let bank = install_stub_with_types(&kit, &[]).await;
        let answer =
            kit.send_raw(&RawRequest::get(&*document).bearer(&tokens.access).header("accept", accept)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (406, &json!(1203)), "{accept}: {}", answer.body);
        assert_eq!(list_requested_types(&bank), expected, "{accept}");
    }
}

#[tokio::test]
async fn each_requested_document_type_counts_toward_limit() {
    let kit = TestHub::with_settings(&[("limit.provider", "10"), ("limit.provider_share", "50")]).await;
    let (tokens, path) = connect_and_list_path(&kit, 1000).await;
    let document = format!("/api/fdx/5{}", find_newest_statement_path(&kit, &tokens.access, &path).await);
    let bank = install_stub_with_types(&kit, &["image/png"]).await;
    let raw = RawRequest::get(&*document).bearer(&tokens.access).header("accept", "*/*");
    let refused = kit.send_raw(&raw).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!(1207)), "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    // Three reads came before: two of accounts and one of statements.
    assert_eq!(
        list_requested_types(&bank),
        ["application/pdf", "image/gif"],
        "the recipient's share is used up"
    );
}

async fn connection_end_during_document_download_returns_602(kit: TestHub) {
    let (tokens, path) = connect_and_list_path(&kit, 1000).await;
    let document = find_newest_statement_path(&kit, &tokens.access, &path).await;
    let bank = &kit.world.maple().bank;
    kit.inject_faults(json!({"hold": true})).await;
    let (read, ()) = tokio::join!(kit.read(&document, &tokens.access), async {
        kit.wait_until("the bank has the read", async || bank.delayed_response_count() > 0).await;
        assert_eq!(kit.call(Method::DELETE, "/api/v1/revoke", &tokens.access).await.status, 204);
        kit.inject_faults(json!({"hold": false})).await;
    });
    assert_eq!((read.status, &read.json()["code"]), (401, &json!(602)), "{}", read.body);
}
