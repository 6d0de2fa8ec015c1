//! Statements: the list, and documents on their way through the hub.

use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use fdx::vocabulary::strange_words;
use futures_util::stream;
use http::{Method, Response, header};
use serde_json::json;

use crate::kit::{Kit, Raw, StandIn, Tokens, on_both, says};

on_both!(what_ends_while_the_bank_makes_a_document_is_not_sent);

const SCOPE: &str = "ACCOUNT_BASIC STATEMENTS";

async fn connected(kit: &Kit, provider_id: i64) -> (Tokens, String) {
    let tokens = kit.connect_at(provider_id, &kit.acme(), "alice", &[], SCOPE).await;
    let account = kit.account_id(&tokens.access).await;
    (tokens, format!("/accounts/{account}/statements"))
}

/// The path of the newest statement's document.
async fn newest(kit: &Kit, access: &str, path: &str) -> String {
    format!("{path}/{}", kit.statement_id(access).await)
}

#[tokio::test]
async fn a_customer_has_two_years_of_statements_that_open_at_the_link_that_is_given() {
    let kit = Kit::new().await;
    for provider_id in [1000, 2000] {
        let (tokens, path) = connected(&kit, provider_id).await;
        let whole = kit.read(&path, &tokens.access).await.json();
        assert_eq!(strange_words("statements", &whole), Vec::<String>::new());
        let all = whole["statements"].as_array().unwrap();
        assert_eq!((all.len(), &whole["page"]["totalElements"]), (24, &json!(24)));
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
        let pdf = kit.wire(&Raw::get(target.clone()).bearer(&tokens.access)).await;
        assert_eq!((pdf.status, &pdf.headers["content-type"]), (200, &"application/pdf".parse().unwrap()));
        assert!(pdf.body.starts_with("%PDF-1.") && pdf.body.trim_end().ends_with("%%EOF"));
        assert_eq!(pdf.location, None, "no address of the bank is passed on");
        let head = kit.wire(&Raw::new("HEAD", target).bearer(&tokens.access)).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.headers["content-length"], pdf.headers["content-length"]);
    }
}

#[tokio::test]
async fn a_statement_that_is_being_made_is_1300_until_it_is_there() {
    let kit = Kit::new().await;
    let (tokens, path) = connected(&kit, 1000).await;
    kit.advance(Duration::from_hours(24 * 8));
    let access = kit.refresh(&kit.acme(), &tokens.refresh).await.json()["access_token"].clone();
    let access = access.as_str().unwrap();
    let list = kit.read(&path, access).await.json();
    assert_eq!(list["statements"][0]["status"], "PROCESSING");
    let document = newest(&kit, access, &path).await;
    let unready = kit.read(&document, access).await;
    assert_eq!((unready.status, &unready.json()["code"]), (400, &json!(1300)), "{}", unready.body);
    kit.advance(Duration::from_hours(24));
    let access = kit.refresh(&kit.acme(), &tokens.refresh).await.json()["access_token"].clone();
    assert_eq!(kit.read(&document, access.as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn a_statement_belongs_to_its_account_its_customer_and_its_recipient() {
    let kit = Kit::new().await;
    let (tokens, path) = connected(&kit, 1000).await;
    let document = newest(&kit, &tokens.access, &path).await;
    let id = document.rsplit('/').next().unwrap();
    let accounts = kit.read("/accounts", &tokens.access).await.json();
    let other = accounts["accounts"][1]["depositAccount"]["accountId"].as_str().unwrap();
    let elsewhere = kit.read(&format!("/accounts/{other}/statements/{id}"), &tokens.access).await;
    assert_eq!((elsewhere.status, &elsewhere.json()["code"]), (404, &json!(1107)));
    let app = kit.recipient(&[1000], SCOPE, false).await;
    let theirs = kit.connect_at(1000, &app, "alice", &[], SCOPE).await;
    assert_ne!(kit.statement_id(&theirs.access).await, id);
    let own = kit.account_id(&theirs.access).await;
    let foreign = kit.read(&format!("/accounts/{own}/statements/{id}"), &theirs.access).await;
    assert_eq!(foreign.json()["code"], 1107);
    let narrow = kit.narrowed(&kit.acme(), &tokens, "ACCOUNT_BASIC").await;
    for path in [&path, &document] {
        let refused = kit.read(path, &narrow).await;
        assert_eq!((refused.status, &refused.json()["code"]), (401, &json!(602)));
    }
}

/// A bank that sends whoever wants a document to a place.
async fn sends_to(kit: &Kit, place: &str) -> StandIn {
    let place = place.to_owned();
    let bank = StandIn::new(move |call| {
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
    kit.set_up(1000, |settings| settings.fdx.base_url = base).await;
    bank
}

#[tokio::test]
async fn a_redirect_is_followed_below_the_base_and_the_bearer_goes_nowhere_else() {
    let kit = Kit::new().await;
    let (tokens, path) = connected(&kit, 1000).await;
    let document = newest(&kit, &tokens.access, &path).await;
    let stranger = StandIn::new(|_| says(200, &json!({}))).await;
    for place in ["/fdx/v5/files/the-document?k=v", "the-document"] {
        let bank = sends_to(&kit, place).await;
        let answer = kit.read(&document, &tokens.access).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "%PDF-"), "{place}");
        let calls = bank.calls();
        assert_eq!(calls.len(), 2);
        assert!(calls.iter().all(|call| call.headers["accept"] == "application/pdf"));
        assert_eq!(calls[0].headers["authorization"], calls[1].headers["authorization"]);
    }
    let elsewhere = format!("{}/fdx/v5/the-document", stranger.url);
    for place in
        [&*elsewhere, "/the-document", "/fdx/v5/../the-document", "/fdx/v5/%2e%2e/x/the-document", ""]
    {
        let bank = sends_to(&kit, place).await;
        let answer = kit.read(&document, &tokens.access).await;
        assert_eq!((answer.status, &answer.json()["code"]), (500, &json!(500)), "{place}");
        assert!(!answer.body.contains("the-document") && answer.location.is_none());
        assert!(bank.calls().iter().all(|call| call.path.starts_with("/fdx/v5/")), "{:?}", bank.calls());
    }
    assert!(stranger.calls().is_empty(), "nothing is asked of a stranger");
    let circle = sends_to(&kit, "/fdx/v5/again").await;
    assert_eq!(kit.read(&document, &tokens.access).await.status, 500);
    assert_eq!(circle.calls().len(), 4, "three hops are enough");
}

/// A bank whose documents are of so many bytes; it says how many, or it does not.
async fn of_size(kit: &Kit, bytes: usize, stated: bool) {
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
    kit.set_up(1000, |settings| settings.fdx.base_url = url).await;
}

#[tokio::test]
async fn a_document_beyond_the_limit_is_413_whether_its_length_is_stated_or_not() {
    let kit = Kit::new().await;
    let (tokens, path) = connected(&kit, 1000).await;
    let document = newest(&kit, &tokens.access, &path).await;
    let most = kit.app().config().upstream.max_statement.bytes();
    for stated in [true, false] {
        of_size(&kit, most + 1, stated).await;
        let large = kit.read(&document, &tokens.access).await;
        assert_eq!((large.status, &large.json()["code"]), (413, &json!(413)), "stated: {stated}");
        of_size(&kit, 300_000, stated).await;
        let small = kit.wire(&Raw::get(format!("/api/fdx/5{document}")).bearer(&tokens.access)).await;
        assert_eq!((small.status, small.body.len()), (200, 300_000));
        assert_eq!(small.headers["content-length"], "300000");
    }
}

/// A bank that has its documents in some types alone; what it is asked for.
async fn has_only(kit: &Kit, kinds: &'static [&'static str]) -> StandIn {
    let bank = StandIn::new(move |call| {
        let kind = call.headers["accept"].to_str().unwrap();
        if !kinds.contains(&kind) {
            return says(406, &json!({"code": 1203, "message": "no"}));
        }
        Response::builder().header("content-type", kind).body(format!("a {kind}")).unwrap()
    })
    .await;
    let base = format!("{}/fdx/v5", bank.url);
    kit.set_up(1000, |settings| settings.fdx.base_url = base).await;
    bank
}

fn asked_for(bank: &StandIn) -> Vec<String> {
    bank.calls().iter().map(|call| call.headers["accept"].to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_type_that_the_bank_does_not_have_makes_way_for_the_next() {
    let kit = Kit::new().await;
    let (tokens, path) = connected(&kit, 1000).await;
    let document = format!("/api/fdx/5{}", newest(&kit, &tokens.access, &path).await);
    let all = ["application/pdf", "image/gif", "image/jpeg", "image/tiff", "image/png"];
    for (accept, has, asked) in [
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
        let bank = has_only(&kit, has).await;
        let answer = kit.wire(&Raw::get(&*document).bearer(&tokens.access).header("accept", accept)).await;
        let last = *asked.last().unwrap();
        assert_eq!((answer.status, answer.body), (200, format!("a {last}")), "{accept}");
        assert_eq!(answer.headers["content-type"], last);
        assert_eq!(asked_for(&bank), asked, "{accept}");
    }
    for (accept, asked) in [
        ("image/gif, image/png;q=0.1", &["image/gif", "image/png"][..]),
        ("image/png, application/pdf;q=0", &["image/png"]),
        ("*/*", &all),
        ("application/json, text/html", &[]),
    ] {
        let bank = has_only(&kit, &[]).await;
        let answer = kit.wire(&Raw::get(&*document).bearer(&tokens.access).header("accept", accept)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (406, &json!(1203)), "{accept}: {}", answer.body);
        assert_eq!(asked_for(&bank), asked, "{accept}");
    }
}

#[tokio::test]
async fn each_type_that_a_bank_is_asked_for_counts() {
    let kit = Kit::with(&[("limit.provider", "10"), ("limit.provider_share", "50")]).await;
    let (tokens, path) = connected(&kit, 1000).await;
    let document = format!("/api/fdx/5{}", newest(&kit, &tokens.access, &path).await);
    let bank = has_only(&kit, &["image/png"]).await;
    let raw = Raw::get(&*document).bearer(&tokens.access).header("accept", "*/*");
    let refused = kit.wire(&raw).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!(1207)), "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    // Three reads went before: of accounts, twice, and of statements.
    assert_eq!(asked_for(&bank), ["application/pdf", "image/gif"], "the recipient's half is used up");
}

async fn what_ends_while_the_bank_makes_a_document_is_not_sent(kit: Kit) {
    let (tokens, path) = connected(&kit, 1000).await;
    let document = newest(&kit, &tokens.access, &path).await;
    let bank = &kit.world.maple().bank;
    kit.levers(json!({"hold": true})).await;
    let (read, ()) = tokio::join!(kit.read(&document, &tokens.access), async {
        kit.until("the bank has the read", async || bank.held() > 0).await;
        assert_eq!(kit.call(Method::DELETE, "/api/v1/revoke", &tokens.access).await.status, 204);
        kit.levers(json!({"hold": false})).await;
    });
    assert_eq!((read.status, &read.json()["code"]), (401, &json!(602)), "{}", read.body);
}
