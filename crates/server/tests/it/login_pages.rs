//! Tests of the pages of a login: each states the real progress, repeated steps continue, and the customer's language is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline::cli::{Browser, BrowserRequest, BrowserResponse, find_hidden_field};
use http::Method;
use serde_json::json;

use crate::support::{
    HubProcess, RawRequest, TestClient, TestHub, authorize_url, on_both, query_parameter, read_set_cookie,
};

on_both!(
    each_login_state_has_a_page_that_matches_the_store,
    repeated_callback_sends_a_new_code_until_one_is_redeemed,
    parallel_callbacks_open_one_connection,
);

/// The status of a request on which the customer has not decided.
const NOT_STORED: &str = "";

const FORM: &str = "application/x-www-form-urlencoded";

/// Returns the heading and the message of a page.
fn read_page(page: &BrowserResponse) -> (String, String) {
    let part = |before: &str, after: &str| {
        let text = page.body.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        text.unwrap_or_else(|| panic!("no {before}: {}", page.body)).0.to_owned()
    };
    (part("<h1>", "</h1>"), part("<p class=\"lead\">", "</p>"))
}

/// The pages of all states that a test has reached.
#[derive(Default)]
struct SeenPages(BTreeMap<(String, String), String>);

impl SeenPages {
    /// Asserts that no other state has the same page in either language.
    fn add(&mut self, state: &str, pages: [&BrowserResponse; 2]) {
        for page in pages {
            let (heading, message) = read_page(page);
            assert!(page.body.contains("<nav class=\"language\""), "{state}: {}", page.body);
            let same = self.0.insert((heading.clone(), message.clone()), state.to_owned());
            assert_eq!(same, None, "the page of another state is the same as {state}: {heading} {message}");
        }
    }
}

impl TestHub {
    /// Begins an authorization request, and returns its id.
    /// Begins a login, and returns the id of its request.
    pub(crate) async fn begin_login(&self, recipient: &TestClient) -> String {
        let began = self.authorize(&Self::build_authorization_query(recipient)).await;
        began.location.unwrap().trim_start_matches("/consent/").to_owned()
    }

    async fn get_login_page(&self, id: &str) -> BrowserResponse {
        self.get(&format!("/consent/{id}")).await
    }

    /// Sends the form of the consent page or of a page that has replaced it.
    async fn decide(&self, page: &BrowserResponse, id: &str, decision: &str) -> BrowserResponse {
        let token = find_hidden_field(&page.body, "csrf_token").unwrap_or_else(|| panic!("{}", page.body));
        let form = [("csrf_token", token.as_str()), ("decision", decision)];
        self.post_form(&format!("/consent/{id}"), &form).await
    }

    /// Takes the browser from the consent page to the bank, and returns the callback to which the bank redirects.
    pub(crate) async fn consent_at_bank(&self, id: &str, username: &str) -> String {
        let page = self.get_login_page(id).await;
        let to = self.decide(&page, id, "approve").await.location.unwrap();
        let answer = self.send(BrowserRequest::new(Method::GET, &to)).await;
        let (at, page) = self.follow(&to, answer).await;
        let password = self.password(username);
        let (at, page) = self.submit(&at, &page, &[("username", username), ("password", &password)]).await;
        let token = find_hidden_field(&page.body, "csrf_token").unwrap();
        let account = format!("mt-{username}-chequing");
        let chosen = [("csrf_token", token.as_str()), ("accounts", &account), ("decision", "approve")];
        self.send(BrowserRequest::new(Method::POST, &at).form(&chosen)).await.location.unwrap()
    }

    pub(crate) async fn open(&self, url: &str) -> BrowserResponse {
        self.send(BrowserRequest::new(Method::GET, url)).await
    }

    /// Returns the stored status of a request and of its connection; [`NOT_STORED`] before the customer's decision.
    async fn load_login_status(&self, id: &str) -> String {
        let status = format!(
            "SELECT r.status, COALESCE(c.status, 'none') FROM authorization_requests r
            LEFT JOIN connections c ON c.id = r.connection_id WHERE r.id = '{id}'"
        );
        self.sql(&status).await.join(",")
    }

    /// Compares the page of a request with the store and with the grants in the bank's journal.
    async fn assert_page(
        &self,
        seen: &mut SeenPages,
        id: &str,
        (state, status, heading): (&str, &str, &str),
        active_grants: usize,
    ) {
        let (english, french) =
            (self.get_login_page(id).await, self.get(&format!("/consent/{id}?lang=fr")).await);
        seen.add(state, [&english, &french]);
        assert!(english.body.contains(heading), "{state}: {}", english.body);
        assert_eq!(self.load_login_status(id).await, status, "{state}");
        let active = async || self.list_grant_states().await.iter().filter(|s| *s == "active").count();
        self.wait_until(&format!("{state}: {active_grants} grants"), async || {
            active().await == active_grants
        })
        .await;
    }
}

async fn each_login_state_has_a_page_that_matches_the_store(kit: TestHub) {
    let (acme, mut seen) = (kit.acme(), SeenPages::default());
    let id = kit.begin_login(&acme).await;
    let state = ("waiting", NOT_STORED, "Acme Budget would like to read your information");
    kit.assert_page(&mut seen, &id, state, 0).await;
    let callback = kit.consent_at_bank(&id, "alice").await;
    let state = ("at the bank", "at_provider|none", "Please continue at Maple Trust");
    kit.assert_page(&mut seen, &id, state, 0).await;
    let back = kit.open(&callback).await.location.unwrap();
    kit.assert_page(&mut seen, &id, ("confirmed", "connected|pending", "One step is left"), 1).await;
    let redeemed = kit.redeem(&acme, &query_parameter(&back, "code").unwrap()).await.json();
    let state = ("shared", "connected|active", "You are sharing your information with Acme Budget");
    kit.assert_page(&mut seen, &id, state, 1).await;

    let second = kit.begin_login(&acme).await;
    let back = kit.open(&kit.consent_at_bank(&second, "alice").await).await.location.unwrap();
    let newer = kit.redeem(&acme, &query_parameter(&back, "code").unwrap()).await.json();
    assert_ne!(redeemed["access_token"], newer["access_token"]);
    let state = ("replaced", "connected|revoked", "A newer connection has replaced this one");
    kit.assert_page(&mut seen, &id, state, 1).await;
    assert_eq!(kit.revoke(newer["access_token"].as_str().unwrap()).await.status, 204);
    kit.assert_page(&mut seen, &second, ("ended", "connected|revoked", "The connection has ended"), 0).await;
    assert_declined_and_failed_pages(&kit, &mut seen).await;
    assert_stopped_pages(&kit, &mut seen).await;
    assert_pages_of_other_browsers_and_links(&kit, &mut seen, &second).await;
    assert_pages_after_time_limits(&kit, &mut seen).await;
}

async fn assert_declined_and_failed_pages(kit: &TestHub, seen: &mut SeenPages) {
    let acme = kit.acme();
    let declined = kit.begin_login(&acme).await;
    let page = kit.get_login_page(&declined).await;
    let back = kit.decide(&page, &declined, "deny").await.location.unwrap();
    kit.assert_page(seen, &declined, ("declined", "failed|none", "You declined"), 0).await;
    let link = kit.get_login_page(&declined).await.body.replace("&#38;", "&");
    assert!(link.contains(&format!("href=\"{back}\"")), "the way back is the redirect: {link}");
    assert_eq!(kit.decide(&page, &declined, "deny").await.location.unwrap(), back);
    let late = kit.decide(&page, &declined, "approve").await.location.unwrap();
    assert_eq!(late, format!("/consent/{declined}"), "a decision is not changed");

    let failed = kit.begin_login(&acme).await;
    let page = kit.get_login_page(&failed).await;
    let to = kit.decide(&page, &failed, "approve").await.location.unwrap();
    let state = query_parameter(&to, "state").unwrap();
    let error = kit.url(&format!("/callback/1000?error=server_error&state={state}"));
    let back = kit.open(&error).await.location.unwrap();
    kit.assert_page(seen, &failed, ("failed", "failed|none", "The connection did not succeed"), 0).await;
    assert_eq!(kit.open(&error).await.location.unwrap(), back, "a repeated callback has the same result");
}

async fn assert_stopped_pages(kit: &TestHub, seen: &mut SeenPages) {
    let acme = kit.acme();
    let stopped = [kit.begin_login(&acme).await, kit.begin_login(&acme).await];
    kit.decide(&kit.get_login_page(&stopped[1]).await, &stopped[1], "approve").await;
    kit.run_admin_operation(Method::POST, "/providers/1000/pause", None).await;
    let state = ("stopped", NOT_STORED, "and Maple Trust was not contacted");
    kit.assert_page(seen, &stopped[0], state, 0).await;
    let state = ("stopped later", "at_provider|none", "stopped after you continued to Maple Trust");
    kit.assert_page(seen, &stopped[1], state, 0).await;
    kit.set_provider_state(1000, domain::model::provider::ProviderState::Active).await;
}

async fn assert_pages_of_other_browsers_and_links(kit: &TestHub, seen: &mut SeenPages, second: &str) {
    let unknown = kit.get("/consent/arq_unknown").await;
    let unknown_french = kit.get("/consent/arq_unknown?lang=fr").await;
    seen.add("unknown", [&unknown, &unknown_french]);
    let other = Browser::new().unwrap();
    let url = kit.url(&format!("/consent/{second}"));
    let foreign = other.send(BrowserRequest::new(Method::GET, &url)).await.unwrap();
    let foreign_french =
        other.send(BrowserRequest::new(Method::GET, &format!("{url}?lang=fr"))).await.unwrap();
    seen.add("other browser", [&foreign, &foreign_french]);
    assert_eq!((unknown.status, foreign.status), (400, 400));
    assert!(!foreign.body.contains("Acme"), "another browser learns nothing: {}", foreign.body);
}

/// Reads the page while the bank is slow to exchange its code.
async fn assert_exchanging_page(kit: &TestHub, seen: &mut SeenPages) {
    let id = kit.begin_login(&kit.acme()).await;
    let callback = kit.consent_at_bank(&id, "alice").await;
    kit.inject_faults(json!({"latency_ms": 2000})).await;
    let read_pages = async {
        kit.wait_until("the code is being exchanged", async || {
            kit.load_login_status(&id).await == "exchanging|none"
        })
        .await;
        (kit.get_login_page(&id).await, kit.get(&format!("/consent/{id}?lang=fr")).await)
    };

    let (answer, (english, french)) = tokio::join!(kit.open(&callback), read_pages);

    kit.inject_faults(json!({"latency_ms": 0})).await;
    seen.add("exchanging", [&english, &french]);
    assert!(english.body.contains("Please wait a moment"), "{}", english.body);
    assert!(english.body.contains("http-equiv=\"refresh\""), "the page continues: {}", english.body);
    assert_eq!(answer.status, 302, "{}", answer.body);
    assert_eq!(kit.load_login_status(&id).await, "connected|pending");
}

async fn assert_pages_after_time_limits(kit: &TestHub, seen: &mut SeenPages) {
    let acme = kit.acme();
    assert_exchanging_page(kit, seen).await;
    let [undecided, decided] = [kit.begin_login(&acme).await, kit.begin_login(&acme).await];
    let page = kit.get_login_page(&undecided).await;
    kit.consent_at_bank(&decided, "alice").await;
    let unredeemed = kit.begin_login(&acme).await;
    kit.open(&kit.consent_at_bank(&unredeemed, "alice").await).await;
    kit.advance(Duration::from_mins(2));
    kit.wait_until("the sweep ends the connection", async || {
        kit.load_login_status(&unredeemed).await == "connected|abandoned"
    })
    .await;
    let state = ("not redeemed", "connected|abandoned", "The connection was not completed");
    kit.assert_page(seen, &unredeemed, state, 0).await;
    kit.advance(Duration::from_mins(18));
    let state = ("expired", NOT_STORED, "The time for this request is over");
    kit.assert_page(seen, &undecided, state, 0).await;
    assert_eq!(kit.load_login_status(&decided).await, "at_provider|none");
    let pages = [kit.get_login_page(&undecided).await, kit.get_login_page(&decided).await];
    assert_eq!(read_page(&pages[0]), read_page(&pages[1]), "both have expired");
    for decision in ["approve", "deny"] {
        let late = kit.decide(&page, &undecided, decision).await;
        assert_eq!(late.location.as_deref(), Some(&*format!("/consent/{undecided}")), "{decision}");
    }
    assert_eq!(kit.load_login_status(&undecided).await, NOT_STORED, "a late decision is not stored");
    kit.advance(Duration::from_mins(10));
    let unknown = kit.get_login_page(&undecided).await;
    assert!(unknown.status == 400 && unknown.body.contains("too old"), "{}", unknown.body);
}

async fn repeated_callback_sends_a_new_code_until_one_is_redeemed(kit: TestHub) {
    let acme = kit.acme();
    let id = kit.begin_login(&acme).await;
    let page = kit.get_login_page(&id).await;
    let first = kit.decide(&page, &id, "approve").await.location.unwrap();
    let again = kit.decide(&page, &id, "approve").await.location.unwrap();
    assert_eq!(first, again, "a second click leads to the same request at the bank");
    let callback = kit.consent_at_bank(&id, "alice").await;
    let head = kit.send(BrowserRequest::new(Method::HEAD, &callback)).await;
    assert_eq!((head.status, head.location), (503, None));
    assert_eq!(kit.load_login_status(&id).await, "at_provider|none", "HEAD takes no step");

    let code_of = |answer: &BrowserResponse| {
        let back = answer.location.as_deref().unwrap_or_else(|| panic!("{}", answer.body));
        query_parameter(back, "code").unwrap_or_else(|| panic!("no code: {back}"))
    };
    let lost = code_of(&kit.open(&callback).await);
    let superseded = code_of(&kit.open(&callback).await);
    let newest = code_of(&kit.decide(&kit.get_login_page(&id).await, &id, "approve").await);

    for code in [&lost, &superseded] {
        let refused = kit.redeem(&acme, code).await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_grant")));
    }
    assert_eq!(kit.sql("SELECT count(*) FROM authorization_codes").await, ["1"]);
    let tokens = kit.redeem(&acme, &newest).await.json();
    assert_eq!(kit.redeem(&acme, &lost).await.status, 400);
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(kit.read("/accounts", access).await.status, 200, "a superseded code is no second use");
    let done = kit.open(&callback).await;
    assert_eq!(done.location.as_deref(), Some(&*format!("/consent/{id}")), "no code after the exchange");
    let late = kit.decide(&page, &id, "deny").await;
    assert_eq!(late.location.as_deref(), Some(&*format!("/consent/{id}")));
    assert_eq!(kit.read("/accounts", access).await.status, 200);
    assert_eq!(kit.list_grant_states().await, ["active"]);
}

async fn parallel_callbacks_open_one_connection(kit: TestHub) {
    let acme = kit.acme();
    let tabs = [kit.begin_login(&acme).await, kit.begin_login(&acme).await];
    let callbacks =
        [kit.consent_at_bank(&tabs[0], "alice").await, kit.consent_at_bank(&tabs[1], "alice").await];
    kit.inject_faults(json!({"latency_ms": 400})).await;

    let answers = tokio::join!(kit.open(&callbacks[0]), kit.open(&callbacks[0]), kit.open(&callbacks[1]));

    kit.inject_faults(json!({"latency_ms": 0})).await;
    let codes = [answers.0, answers.1, answers.2].map(|answer| {
        assert_eq!(answer.status, 302, "{}", answer.body);
        query_parameter(&answer.location.unwrap(), "code").unwrap()
    });
    assert_eq!(kit.sql("SELECT count(*) FROM connections").await, ["2"], "one for each tab");
    assert_eq!(kit.sql("SELECT count(*) FROM authorization_codes").await, ["2"]);
    assert_eq!(kit.list_grant_states().await.len(), 2, "each code of the bank was sent once");
    let mut statuses = Vec::new();
    for code in &codes[..2] {
        statuses.push(kit.redeem(&acme, code).await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "only the newest code is accepted");
    assert_eq!(kit.redeem(&acme, &codes[2]).await.status, 200, "the other tab is not affected");
}

#[tokio::test]
async fn prefetch_takes_no_step_of_an_authorization() {
    let kit = TestHub::new().await;
    let url = authorize_url("", &TestHub::build_authorization_query(&kit.acme()));
    for (name, value) in
        [("sec-purpose", "prefetch"), ("sec-purpose", "prefetch;prerender"), ("x-moz", "prefetch")]
    {
        let answer = kit.send_raw(&RawRequest::get(url.clone()).header(name, value)).await;
        assert_eq!((answer.status, answer.location), (503, None), "{name}: {value}");
    }
    assert_eq!(kit.sql("SELECT count(*) FROM authorization_requests").await, ["0"]);
    let (sent, cookie) = kit.approve_consent_raw(&url).await;
    let state = query_parameter(&sent.location.unwrap(), "state").unwrap();
    let callback =
        RawRequest::get(format!("/callback/1000?error=access_denied&state={state}")).header("cookie", cookie);

    let prefetched = kit.send_raw(&callback.clone().header("sec-purpose", "prefetch")).await;
    let status = kit.sql("SELECT status FROM authorization_requests").await;
    let opened = kit.send_raw(&callback).await;

    assert_eq!((prefetched.status, prefetched.location), (503, None));
    assert_eq!(status, ["at_provider"]);
    assert_eq!(opened.status, 302);
}

#[tokio::test]
async fn page_language_is_choice_then_query_then_header() {
    let kit = TestHub::new().await;
    let begin = async |locales: Option<&str>, accepted: &str| {
        let mut query = TestHub::build_authorization_query(&kit.acme());
        query.extend(locales.map(|tags| ("ui_locales", tags.to_owned())));
        let began = RawRequest::get(authorize_url("", &query)).header("accept-language", accepted);
        let began = kit.send_raw(&began).await;
        (began.location.clone().unwrap(), read_set_cookie(&began))
    };
    for (locales, accepted, choice, expected) in [
        (None, "de, fr-CA;q=0.9, en;q=0.8", "", "fr"),
        (None, "de", "", "en"),
        (Some("en"), "fr", "", "en"),
        (Some("de fr-CA"), "en", "", "fr"),
        (Some("en"), "en", "?lang=fr", "fr"),
        (Some("fr"), "fr", "?lang=en", "en"),
    ] {
        let case = format!("{locales:?} {accepted} {choice}");
        let (at, cookie) = begin(locales, accepted).await;
        let page = RawRequest::get(format!("{at}{choice}")).header("cookie", cookie.clone());
        let page = kit.send_raw(&page.header("accept-language", "de")).await;
        assert!(page.body.contains(&format!("<html lang=\"{expected}\">")), "{case}: {}", page.body);
        let token = find_hidden_field(&page.body, "csrf_token").unwrap();
        let shown = find_hidden_field(&page.body, "lang").unwrap();
        let body = format!("csrf_token={token}&decision=approve&lang={shown}");
        let sent =
            kit.send_raw(&RawRequest::post(at.clone(), FORM, body).header("cookie", cookie.clone())).await;
        let to = sent.location.unwrap();
        assert_eq!(query_parameter(&to, "ui_locales").as_deref(), Some(expected), "{case}");
        let after = kit.send_raw(&RawRequest::get(at.clone()).header("cookie", cookie)).await;
        assert!(after.body.contains(&format!("<html lang=\"{expected}\">")), "{case}: {}", after.body);
        let id = at.trim_start_matches("/consent/");
        let stored = format!("SELECT language FROM authorization_requests WHERE id = '{id}'");
        assert_eq!(kit.sql(&stored).await, [expected], "{case}");
    }
}

#[tokio::test]
async fn each_page_has_a_link_to_the_other_language() {
    let kit = TestHub::new().await;
    let mut picker = TestHub::build_authorization_query(&kit.acme());
    picker.retain(|(name, _)| *name != "provider_id");
    let picker = authorize_url("", &picker);
    for path in [
        "/",
        "/nothing",
        "/consent/arq_x",
        "/callback/1000?code=x&state=y",
        "/api/v1/authorize?client_id=x",
        &picker,
    ] {
        let page = kit.send_raw(&RawRequest::get(path)).await;
        assert!(
            page.body.contains("<html lang=\"en\">") && page.body.contains(">Français</a>"),
            "{}",
            page.body
        );
        let link =
            page.body.split_once("<nav class=\"language\"").and_then(|(_, rest)| rest.split_once("href=\""));
        let link = link.unwrap().1.split('"').next().unwrap().replace("&#38;", "&");
        assert!(link.starts_with('?'), "the link stays on the page: {link}");
        let french = format!("{}{link}", path.split('?').next().unwrap());
        let other = kit.send_raw(&RawRequest::get(french.clone())).await;
        assert_eq!(other.status, page.status, "{french}");
        assert!(
            other.body.contains("<html lang=\"fr\">") && other.body.contains(">English</a>"),
            "{}",
            other.body
        );
    }
}

#[tokio::test]
async fn built_program_states_that_information_is_shared() {
    let site = HubProcess::new(None).await;
    site.initialize().await;
    let acme = site.add_recipient("Acme");
    let hub = site.serve(&[]).await;
    let tokens = site.connect(&acme, "alice").await;
    let id = site.sql("SELECT 'arq' || '_' || lower(hex(id)) FROM authorization_requests").await.remove(0);
    let url = format!("{}/consent/{id}", site.hub_url);
    let open = async || {
        let page = site.browser.send(BrowserRequest::new(Method::GET, &url)).await.unwrap();
        let active = site.sql("SELECT status FROM connections").await;
        (page.body, active.join(","), site.count_active_grants().await)
    };

    let (shared, stored, granted) = open().await;
    assert_eq!(site.api().revoke(&tokens.access).await.status, 204);
    let (ended, stored_end, _) = open().await;

    assert!(shared.contains("You are sharing your information with Acme"), "the page is wrong: {shared}");
    assert!(shared.contains("href=\"https://app.example.org/\""), "{shared}");
    assert_eq!((stored.as_str(), granted), ("active", 1));
    assert!(ended.contains("The connection has ended"), "{ended}");
    assert_eq!(stored_end, "revoked");
    drop(hub);
}
