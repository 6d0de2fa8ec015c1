//! Support for tests of the demo app: a stub of the hub with configurable responses, and a browser.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use sandbox::demo::{Demo, DemoSettings, OfferedBank};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const NOW: i64 = 1_795_500_000_000;
pub(crate) const ORIGIN: &str = "http://127.0.0.1:8401";
pub(crate) const SECRET: &str = "s3cret-of-acme-budget-that-no-page-shows";
pub(crate) const ACCESS: &str = "eyJhbGciOi.first-access-token.signature";
pub(crate) const NEWER_ACCESS: &str = "eyJhbGciOi.newer-access-token.signature";
pub(crate) const REFRESH: &str = "rt-0123456789-refresh-token";
pub(crate) const CODE: &str = "cd-9876543210-code";

pub(crate) const LIST_ACCOUNTS: &str = "GET /api/fdx/5/accounts";
pub(crate) const TOKEN: &str = "POST /api/v1/token";
pub(crate) const REVOKE: &str = "DELETE /api/v1/revoke";
pub(crate) const GET_ACCOUNT: &str = "GET /api/fdx/5/accounts/a1";
pub(crate) const LIST_TRANSACTIONS: &str = "GET /api/fdx/5/accounts/a1/transactions";

pub(crate) type CannedResponse = (u16, &'static [(&'static str, &'static str)], String);

/// A request that the demo app sent to the stub of the hub.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) target: String,
    pub(crate) query: String,
    pub(crate) bearer: String,
    pub(crate) body: Value,
}

/// A stub of the hub. It responds to a request with the next queued response or, if there is none, with the default
/// response.
#[derive(Clone, Default)]
pub(crate) struct HubStub {
    pub(crate) url: String,
    pub(crate) received: Arc<Mutex<Vec<ReceivedRequest>>>,
    pub(crate) queued: Arc<Mutex<VecDeque<(String, CannedResponse)>>>,
    pub(crate) defaults: Arc<Mutex<Vec<(String, CannedResponse)>>>,
}

impl HubStub {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hub = Self { url: format!("http://{}", listener.local_addr().unwrap()), ..Self::default() };
        let router = Router::new().fallback(respond).with_state(hub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let tokens = json!({"access_token": ACCESS, "token_type": "Bearer", "expires_in": 300,
            "refresh_token": REFRESH, "scope": "ACCOUNT_BASIC TRANSACTIONS"});
        hub.respond_always(TOKEN, 200, &tokens);
        hub.respond_always(LIST_ACCOUNTS, 200, &account_list());
        hub.respond_always(GET_ACCOUNT, 200, &account_list()["accounts"][0]);
        hub.respond_always(LIST_TRANSACTIONS, 200, &json!({"page": {}, "links": {}, "transactions": []}));
        hub.respond_always(REVOKE, 204, &Value::Null);
        hub
    }

    pub(crate) fn respond_always(&self, target: &str, status: u16, body: &Value) {
        self.defaults.lock().unwrap().insert(0, (target.into(), (status, &[], body_text(body))));
    }

    pub(crate) fn respond_once(&self, target: &str, status: u16, body: &Value) {
        self.respond_once_with(target, status, &[], body);
    }

    pub(crate) fn respond_once_with(
        &self,
        target: &str,
        status: u16,
        headers: &'static [(&'static str, &'static str)],
        body: &Value,
    ) {
        self.queued.lock().unwrap().push_back((target.into(), (status, headers, body_text(body))));
    }

    pub(crate) fn requests_to(&self, target: &str) -> Vec<ReceivedRequest> {
        self.received.lock().unwrap().iter().filter(|request| request.target == target).cloned().collect()
    }

    /// Makes the stub respond to each endpoint as the hub does for an ended connection.
    pub(crate) fn end_connection(&self) {
        self.respond_always(LIST_ACCOUNTS, 401, &json!({"code": 602, "message": "Customer not authorized"}));
        self.respond_always(TOKEN, 400, &json!({"error": "invalid_grant"}));
    }
}

pub(crate) fn body_text(body: &Value) -> String {
    if body.is_null() { String::new() } else { body.to_string() }
}

pub(crate) async fn respond(
    State(hub): State<HubStub>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let target = format!("{method} {}", uri.path());
    let bearer = headers.get(header::AUTHORIZATION).map(|v| v.to_str().unwrap()).unwrap_or_default();
    let bearer = bearer.trim_start_matches("Bearer ").to_owned();
    let (query, body) =
        (uri.query().unwrap_or_default().into(), serde_json::from_str(&body).unwrap_or_default());
    hub.received.lock().unwrap().push(ReceivedRequest { target: target.clone(), query, bearer, body });
    let mut queue = hub.queued.lock().unwrap();
    let queued = queue.iter().position(|(known, _)| *known == target).and_then(|at| queue.remove(at));
    let default = || hub.defaults.lock().unwrap().iter().find(|(known, _)| *known == target).cloned();
    let Some((_, (status, headers, body))) = queued.or_else(default) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

pub(crate) fn account_list() -> Value {
    json!({"page": {}, "links": {}, "accounts": [{"depositAccount": {"accountId": "a1", "nickname": "Chequing",
        "accountNumberDisplay": "123456789", "currency": {"currencyCode": "CAD"}, "status": "OPEN",
        "currentBalance": 1234.50}}]})
}

pub(crate) struct DemoFixture {
    pub(crate) hub: HubStub,
    pub(crate) router: Router,
    pub(crate) clock: Arc<AtomicI64>,
}

impl DemoFixture {
    pub(crate) async fn new() -> Self {
        let hub = HubStub::start().await;
        let clock = Arc::new(AtomicI64::new(NOW));
        let app_clock = Arc::clone(&clock);
        let demo = Demo::new(DemoSettings {
            origin: ORIGIN.into(),
            hub: hub.url.clone(),
            client_id: "dc-acme".into(),
            client_secret: SECRET.into(),
            redirect_uri: format!("{ORIGIN}/callback"),
            scope: "ACCOUNT_BASIC TRANSACTIONS".into(),
            providers: vec![
                OfferedBank { id: 1000, name: "Maple Trust".into() },
                OfferedBank { id: 2000, name: "Caisse Rideau".into() },
            ],
            clock: Arc::new(move || app_clock.load(Ordering::Relaxed)),
        })
        .unwrap();
        Self { router: demo.router(), hub, clock }
    }

    pub(crate) fn browser(&self) -> DemoBrowser {
        DemoBrowser {
            router: self.router.clone(),
            cookie: String::new(),
            csrf_token: String::new(),
            seen_text: String::new(),
        }
    }

    /// Returns a browser with a connection to Maple Trust.
    pub(crate) async fn connected_browser(&self) -> DemoBrowser {
        let mut browser = self.browser();
        let callback = browser.complete_authorization(Some("1000"), &format!("code={CODE}")).await;
        assert_eq!((callback.status, &*callback.location), (StatusCode::SEE_OTHER, "/accounts"));
        browser
    }
}

/// A browser with its cookie, the CSRF token of the last page, and the text of all pages it has shown.
pub(crate) struct DemoBrowser {
    pub(crate) router: Router,
    pub(crate) cookie: String,
    pub(crate) csrf_token: String,
    pub(crate) seen_text: String,
}

pub(crate) struct DemoPage {
    pub(crate) status: StatusCode,
    pub(crate) location: String,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl DemoPage {
    pub(crate) fn contains(&self, expected: &str) -> bool {
        self.text.contains(expected)
    }
}

impl DemoBrowser {
    pub(crate) async fn send(&mut self, request: Request<Body>) -> DemoPage {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let header =
            |name| parts.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        let location = header(header::LOCATION);
        if let Some(cookie) = header(header::SET_COOKIE).split(';').next().filter(|c| !c.is_empty()) {
            cookie.clone_into(&mut self.cookie);
        }
        if let Some((_, rest)) = text.split_once(r#"name="csrf_token" value=""#) {
            rest.split('"').next().unwrap().clone_into(&mut self.csrf_token);
        }
        assert!(!text.contains("Unknown localization"), "a text key has no text: {text}");
        assert!(!text.contains("<script") && !text.contains("style="), "{text}");
        self.seen_text.push_str(&text);
        DemoPage { status: parts.status, location, headers: parts.headers, text }
    }

    pub(crate) async fn get(&mut self, path: &str) -> DemoPage {
        let request = Request::get(path).header(header::COOKIE, &self.cookie);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> DemoPage {
        let token = self.csrf_token.clone();
        self.post_with(path, &[], &[fields, &[("csrf_token", &token)]].concat()).await
    }

    pub(crate) async fn post_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> DemoPage {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Request::post(path)
            .header(header::COOKIE, &self.cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(form)).unwrap()).await
    }

    /// Begins an authorization and calls the app's callback with these response parameters, as if the hub had
    /// redirected the browser.
    pub(crate) async fn complete_authorization(
        &mut self,
        provider: Option<&str>,
        response: &str,
    ) -> DemoPage {
        let state = self.begin_authorization(provider).await.1;
        self.get(&format!("/callback?{response}&state={state}")).await
    }

    /// Begins an authorization, and returns the URL at the hub to which the browser is redirected and its `state`.
    pub(crate) async fn begin_authorization(&mut self, provider: Option<&str>) -> (url::Url, String) {
        self.get("/").await;
        let fields: Vec<_> = provider.map(|id| ("provider_id", id)).into_iter().collect();
        let page = self.post("/connect", &fields).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
        let url = url::Url::parse(&page.location).unwrap();
        let state = query_parameter(&url, "state").unwrap();
        (url, state)
    }
}

pub(crate) fn query_parameter(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// Returns a deposit transaction of FDX with an id and further fields in JSON syntax.
pub(crate) fn transaction_json(id: usize, fields: &str) -> Value {
    let text = format!(
        r#"{{"depositTransaction":{{"transactionId":"t{id}","transactionTimestamp":"2026-10-0{}T12:00:00Z",{fields}}}}}"#,
        id % 9 + 1
    );
    serde_json::from_str(&text).unwrap()
}
