//! Tests of authorization requests before the customer's decision: the hub stores none of them, the browser's cookie contains the
//! request and is limited, and the requests of one network are limited.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline::cli::{BrowserRequest, BrowserResponse, find_hidden_field};
use bowline::jobs;
use http::{Method, header};

use crate::support::{
    HubProcess, RawRequest, TestHub, authorize_url, on_both, query_parameter, read_set_cookie,
};

on_both!(undecided_requests_insert_no_row, replayed_cookie_never_begins_a_request_again);

const FORM: &str = "application/x-www-form-urlencoded";
/// The maximum size of one flow cookie, and of all of them, in the header `Cookie`.
const MAX_COOKIE_BYTES: usize = 2_400;
const MAX_COOKIES_BYTES: usize = 6_000;

/// Builds the query of an authorization request of the recipient `acme` with this `state`.
fn build_query(kit: &TestHub, state: String) -> Vec<(&'static str, String)> {
    let mut query = TestHub::build_authorization_query(&kit.acme());
    query.retain(|(name, _)| *name != "state");
    query.push(("state", state));
    query
}

impl TestHub {
    /// Counts the rows of each table that requests can change.
    async fn count_all_rows(&self) -> BTreeMap<String, String> {
        let is_sqlite = self.app().config().store.url.starts_with("sqlite:");
        let tables = if is_sqlite {
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        } else {
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        };
        let mut counts = BTreeMap::new();
        for table in self.sql(tables).await {
            // Background tasks write the times of their runs into these two.
            if !matches!(table.as_str(), "store_metadata" | "node_leases") {
                let count = self.sql(&format!("SELECT count(*) FROM {table}")).await.join("");
                counts.insert(table, count);
            }
        }
        counts
    }

    /// Sends an authorization request of the recipient `acme` without a cookie, with this `state`.
    async fn authorize_raw(&self, state: &str) -> BrowserResponse {
        let mut query = build_query(self, state.to_owned());
        query.extend([
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned()),
            ("code_challenge_method", "S256".to_owned()),
        ]);
        self.send_raw(&RawRequest::get(authorize_url("", &query))).await
    }

    /// Opens a consent page with a cookie, and returns it with the form that approves it.
    async fn open_consent(&self, at: &str, cookie: &str) -> (BrowserResponse, RawRequest) {
        let page = self.send_raw(&RawRequest::get(at).header("cookie", cookie)).await;
        let token = find_hidden_field(&page.body, "csrf_token").unwrap_or_default();
        let form = format!("csrf_token={token}&decision=approve");
        let approve = RawRequest::post(at, FORM, form).header("cookie", cookie);
        (page, approve)
    }
}

async fn undecided_requests_insert_no_row(kit: TestHub) {
    let before = kit.count_all_rows().await;
    assert!(before.len() > 15 && before["authorization_requests"] == "0", "{before:?}");

    let mut last = None;
    for n in 0..300 {
        let began = kit.authorize_raw(&format!("state {n}")).await;
        assert_eq!(began.status, 303, "{}", began.body);
        let (at, cookie) = (began.location.clone().unwrap(), read_set_cookie(&began));
        if n % 50 == 0 {
            let (page, approve) = kit.open_consent(&at, &cookie).await;
            assert!(page.body.contains("would like to read your information"), "{}", page.body);
            last = Some(approve);
        }
    }
    let after = kit.count_all_rows().await;
    let approved = kit.send_raw(&last.unwrap()).await;

    assert_eq!(after, before);
    assert_eq!(approved.status, 303, "{}", approved.body);
    assert!(approved.location.unwrap().contains("state="), "the browser goes to the bank");
    assert_eq!(kit.sql("SELECT count(*) FROM authorization_requests").await, ["1"]);
}

/// The cookie can be sent again after the row of its request was purged.
async fn replayed_cookie_never_begins_a_request_again(kit: TestHub) {
    let began = kit.authorize_raw("s").await;
    let (at, cookie) = (began.location.clone().unwrap(), read_set_cookie(&began));
    let (_, approve) = kit.open_consent(&at, &cookie).await;
    assert_eq!(kit.send_raw(&approve).await.status, 303);
    let count = async || kit.sql("SELECT count(*) FROM authorization_requests").await.join("");
    let mut counts = Vec::new();

    for minutes in [20, 15, 46] {
        kit.advance(Duration::from_mins(minutes));
        jobs::purge(&jobs::new_job_context(kit.app(), "test").unwrap()).await.unwrap();
        counts.push(count().await);
        let replayed = kit.send_raw(&approve).await;
        assert!(replayed.status < 500, "after {minutes} more minutes: {}", replayed.body);
        let to = replayed.location.unwrap_or_default();
        assert!(!to.contains("state="), "after {minutes} more minutes the browser goes to the bank: {to}");
        assert_eq!(&count().await, counts.last().unwrap());
    }

    assert_eq!(counts, ["1", "1", "0"], "the row outlives the cookie");
}

#[tokio::test]
async fn changed_or_foreign_cookie_begins_nothing() {
    let kit = TestHub::new().await;
    let (one, two) = (kit.authorize_raw("one").await, kit.authorize_raw("two").await);
    let (at, cookie) = (one.location.clone().unwrap(), read_set_cookie(&one));
    let (_, approve) = kit.open_consent(&at, &cookie).await;
    let (name, value) = cookie.split_once('=').unwrap();
    let foreign = read_set_cookie(&two);
    let other_than = |character: &str| if character == "A" { "B" } else { "A" };
    let (first, last) = (&value[..1], &value[value.len() - 1..]);
    for wrong in [
        format!("{name}={}", foreign.split_once('=').unwrap().1),
        format!("{name}={}{}", &value[..value.len() - 1], other_than(last)),
        format!("{name}={}{}", other_than(first), &value[1..]),
        foreign.clone(),
    ] {
        let page = kit.send_raw(&RawRequest::get(at.clone()).header("cookie", wrong.clone())).await;
        assert!(page.status == 400 && page.body.contains("another browser"), "{wrong}: {}", page.body);
    }
    assert_eq!(kit.sql("SELECT count(*) FROM authorization_requests").await, ["0"]);
    assert_eq!(kit.send_raw(&approve).await.status, 303, "the browser of the request continues");
}

/// Imitates a page that repeatedly redirects a browser to `authorize`, with short and with the longest parameters.
#[tokio::test]
async fn oldest_flows_are_dropped_above_six_thousand_bytes() {
    let kit = TestHub::new().await;
    let mut jar: BTreeMap<String, String> = BTreeMap::new();
    let mut began = Vec::new();
    let mut most = 0;
    for n in 0..60 {
        // The ids of flows that begin in the same millisecond have no order.
        kit.advance(Duration::from_millis(1));
        let state = if n % 20 < 15 { "short".to_owned() } else { "é".repeat(750) };
        let url = authorize_url("", &build_query(&kit, state));
        let header = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let sent = RawRequest::get(url).header("cookie", header);
        let answer = kit.send_raw(&sent).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
            assert!(name.len() + value.len() < MAX_COOKIE_BYTES, "{}", name.len() + value.len());
            if cookie.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        began.push(answer.location.unwrap());
        let size: usize = jar.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
        assert!(size <= MAX_COOKIES_BYTES, "{size} bytes of flow cookies");
        most = most.max(jar.len());
    }

    assert!((2..=4).contains(&jar.len()) && most >= 15, "{} of {most}", jar.len());
    let header = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let (dropped, _) = kit.open_consent(&began[0], &header).await;
    assert!(dropped.status == 400 && dropped.body.contains("deleted our cookies"), "{}", dropped.body);
    let (_, approve) = kit.open_consent(&began[59], &header).await;
    assert_eq!(kit.send_raw(&approve).await.status, 303, "the newest flow continues");
}

#[tokio::test]
async fn flow_with_longest_parameters_completes() {
    let kit = TestHub::new().await;
    let state = "\"".repeat(1_500);
    let query = build_query(&kit, state.clone());

    let back = kit.complete_authorization(&query, "alice", &["mt-alice-card"]).await;

    assert_eq!(query_parameter(&back, "state"), Some(state));
    assert!(query_parameter(&back, "code").is_some(), "{back}");
}

#[tokio::test]
async fn network_over_login_limit_gets_429_others_unaffected() {
    let kit = TestHub::with_settings(&[("limit.login", "2"), ("server.trusted_proxies", "1")]).await;
    let url = authorize_url("", &TestHub::build_authorization_query(&kit.acme()));
    let from = |request: RawRequest, address: &str| request.header("x-forwarded-for", address.to_owned());
    let authorize = async |address: &str| kit.send_raw(&from(RawRequest::get(url.clone()), address)).await;
    let assert_limited = |answer: &BrowserResponse| {
        assert_eq!(answer.status, 429, "{}", answer.body);
        let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=30).contains(&wait), "{wait}");
        assert!(
            answer.body.contains("Too many requests") && answer.body.contains("lang=fr"),
            "{}",
            answer.body
        );
        assert!(!answer.headers.contains_key("set-cookie") && answer.location.is_none());
    };
    let began = authorize("192.0.2.1").await;
    let (at, cookie) = (began.location.clone().unwrap(), read_set_cookie(&began));
    assert_eq!(authorize("192.0.2.2").await.status, 303);

    assert_limited(&authorize("192.0.2.3").await);
    assert_eq!(authorize("198.51.100.1").await.status, 303, "another network is not limited");

    // Each step has a limit of its own.
    let (_, approve) = kit.open_consent(&at, &cookie).await;
    let state =
        query_parameter(&kit.send_raw(&from(approve.clone(), "192.0.2.1")).await.location.unwrap(), "state");
    assert_eq!(kit.send_raw(&from(approve.clone(), "192.0.2.1")).await.status, 303);
    assert_limited(&kit.send_raw(&from(approve, "192.0.2.1")).await);
    let callback = |state: &str| {
        let callback = RawRequest::get(format!("/callback/1000?error=access_denied&state={state}"));
        from(callback.header("cookie", cookie.clone()), "192.0.2.1")
    };
    assert_eq!(kit.send_raw(&callback("invented")).await.status, 400);
    assert_eq!(kit.send_raw(&callback(&state.unwrap())).await.status, 302);
    assert_limited(&kit.send_raw(&callback("invented")).await);
    let post = || {
        let form = "application/x-www-form-urlencoded";
        from(RawRequest::post("/callback/1000", form, "code=a&state=b"), "192.0.2.1")
    };
    let posted = [kit.send_raw(&post()).await.status, kit.send_raw(&post()).await.status];
    assert_eq!(posted, [303, 303], "a response that is posted precedes a callback");
    assert_limited(&kit.send_raw(&post()).await);
}

#[tokio::test]
async fn built_program_limits_and_stores_no_request() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme");
    let hub = site.serve_with(&[("BOWLINE_LIMIT__LOGIN", "20")], site.open_log()).await;
    let url = authorize_url(&site.hub_url, &TestHub::build_authorization_query(&acme));
    let mut statuses = BTreeMap::<u16, usize>::new();

    for _ in 0..40 {
        let answer = site.browser.send(BrowserRequest::new(Method::GET, &url)).await.unwrap();
        assert_eq!(answer.status == 429, answer.headers.contains_key("retry-after"), "{}", answer.body);
        *statuses.entry(answer.status).or_default() += 1;
    }

    // The bucket may have got some tokens again on a slow machine.
    let limited = statuses.get(&429).copied().unwrap_or_default();
    assert!((10..=20).contains(&limited), "the requests of one network must be limited: {statuses:?}");
    assert_eq!(site.sql("SELECT count(*) FROM authorization_requests").await, ["0"]);
    drop(hub);
}
