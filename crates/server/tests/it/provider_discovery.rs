//! Tests of the discovery of a provider's endpoints from the metadata of its issuer, with issuers that fail, change or are hostile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::cli::{BrowserRequest, BrowserResponse};
use domain::id::ProviderId;
use domain::model::provider::ProviderMetadata;
use http::{Method, Response};
use serde_json::{Value, json};
use store::command::StoreProviderMetadata;

use crate::recovery::approve_and_capture_callback;
use crate::support::{CapturedLog, EndpointStub, TestHub, query_parameter};

/// An issuer whose response to requests for its metadata can be changed.
struct Issuer {
    stub: EndpointStub,
    response: Arc<Mutex<Response<String>>>,
}

impl Issuer {
    async fn start() -> Self {
        let response = Arc::new(Mutex::new(unavailable()));
        let shared = Arc::clone(&response);
        let stub = EndpointStub::new(move |call| {
            if call.path == "/.well-known/openid-configuration" {
                shared.lock().unwrap().clone()
            } else {
                Response::builder().status(404).body(String::new()).unwrap()
            }
        })
        .await;
        Self { stub, response }
    }

    fn respond(&self, response: Response<String>) {
        *self.response.lock().unwrap() = response;
    }

    /// Publishes the metadata with some members changed.
    fn publish(&self, changes: &Value) {
        self.respond(Response::new(self.document(changes)));
    }

    fn document(&self, changes: &Value) -> String {
        let url = &self.stub.url;
        let mut document = json!({
            "issuer": url, "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"), "revocation_endpoint": format!("{url}/revoke"),
        });
        document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        document.to_string()
    }
}

fn unavailable() -> Response<String> {
    Response::builder().status(503).body(String::new()).unwrap()
}

impl TestHub {
    /// Lets Maple Trust have an issuer, and no endpoints.
    async fn use_issuer(&self, url: &str) {
        self.update_provider_settings(1000, |settings| {
            settings.issuer = Some(url.to_owned());
            (settings.authorization_endpoint, settings.token_endpoint) = (None, None);
            settings.revocation_endpoint = None;
        })
        .await;
    }

    /// Consents to a new authorization request; returns the response, which is not followed.
    pub(crate) async fn consent(&self) -> BrowserResponse {
        let answer = self.authorize(&Self::build_authorization_query(&self.acme())).await;
        let (at, page) = self.follow(self.app().public_url(), answer).await;
        let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
        let form = [("csrf_token", token.as_str()), ("decision", "approve")];
        self.send(BrowserRequest::new(Method::POST, &at).form(&form)).await
    }

    async fn refresh_metadata(&self) {
        let ctx = bowline::jobs::new_job_context(self.app(), "test").unwrap();
        bowline::upstream::refresh_metadata(&ctx).await.unwrap();
    }

    /// Returns the details of the audit events about metadata of Maple Trust, the oldest first.
    async fn list_metadata_events(&self) -> Vec<Value> {
        let path = "/audit?subject_kind=provider&subject_id=1000&action=provider.metadata_changed";
        let events = self.run_admin_operation(Method::GET, path, None).await;
        let items = events["items"].as_array().unwrap_or_else(|| panic!("{events}"));
        let mut details: Vec<_> = items.iter().map(|event| event["detail"].clone()).collect();
        details.reverse();
        details
    }
}

/// Returns the error in the link back to the recipient that a page contains.
fn find_returned_error(page: &BrowserResponse) -> String {
    let (_, link) = page.body.split_once("error=").unwrap_or_else(|| panic!("no link: {}", page.body));
    link.split(['&', '"']).next().unwrap().to_owned()
}

#[tokio::test]
async fn login_while_issuer_is_down_ends_with_page() {
    let kit = TestHub::new().await;
    let issuer = Issuer::start().await;
    kit.use_issuer(&issuer.stub.url).await;

    let down = kit.consent().await;
    issuer.publish(&json!({}));
    let still_down = kit.consent().await;
    kit.advance(Duration::from_secs(5));
    let up = kit.consent().await;

    for page in [&down, &still_down] {
        assert_eq!(page.status, 503, "{}", page.body);
        assert!(page.body.contains("The sign-in at Maple Trust cannot be started"), "{}", page.body);
        assert_eq!(find_returned_error(page), "temporarily_unavailable");
    }
    let location = up.location.unwrap();
    assert!(location.starts_with(&format!("{}/authorize?", issuer.stub.url)), "{location}");
    // The second login came too early for another request.
    let paths: Vec<_> = issuer.stub.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(
        paths,
        [
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration"
        ]
    );
    let row = kit.sql("SELECT count(*) FROM authorization_requests").await.concat();
    assert_eq!(row, "1", "a login without an endpoint must not be stored");
}

#[tokio::test]
async fn login_with_unacceptable_metadata_ends_with_page() {
    let kit = TestHub::new().await;
    let issuer = Issuer::start().await;
    let other = EndpointStub::new(|_| Response::new(String::new())).await;
    kit.use_issuer(&issuer.stub.url).await;
    let document = |changes: Value| Response::new(issuer.document(&changes));
    let redirect = Response::builder()
        .status(302)
        .header("location", format!("{}/.well-known/openid-configuration", other.url))
        .body(String::new())
        .unwrap();
    for (name, response) in [
        ("another issuer", document(json!({"issuer": "https://attacker.example"}))),
        ("a slash at the end of the issuer", document(json!({"issuer": format!("{}/", issuer.stub.url)}))),
        (
            "a token endpoint at another host",
            document(json!({"token_endpoint": "https://attacker.example/token"})),
        ),
        (
            "an authorization endpoint at another host",
            document(json!({"authorization_endpoint": "https://a.example/"})),
        ),
        ("no token endpoint", document(json!({"token_endpoint": null}))),
        ("no revocation endpoint", document(json!({"revocation_endpoint": null}))),
        ("a URL that is none", document(json!({"token_endpoint": "token"}))),
        ("a script", document(json!({"authorization_endpoint": "javascript:alert(1)"}))),
        ("a page", Response::new("<html>".to_owned())),
        ("a large document", document(json!({"x": "x".repeat(300 * 1024)}))),
        ("many values", document(json!({"id_token_signing_alg_values_supported": vec!["RS256"; 5000]}))),
        ("a redirect", redirect),
    ] {
        kit.advance(Duration::from_secs(5));
        issuer.respond(response);

        let page = kit.consent().await;

        assert_eq!(page.status, 503, "{name}: {}", page.body);
        assert_eq!(find_returned_error(&page), "temporarily_unavailable", "{name}");
        assert!(!page.body.contains("attacker.example"), "{name}");
    }
    assert!(other.calls().is_empty(), "a redirect must not be followed");
    assert_eq!(kit.list_metadata_events().await, [Value::Null; 0]);
}

#[tokio::test]
async fn last_accepted_metadata_remain_in_use_and_changes_are_audited() {
    let kit = TestHub::new().await;
    let issuer = Issuer::start().await;
    kit.use_issuer(&issuer.stub.url).await;
    issuer.publish(&json!({}));
    kit.refresh_metadata().await;
    let base = issuer.stub.url.clone();
    let authorization_endpoint =
        async || kit.consent().await.location.unwrap().split('?').next().unwrap().to_owned();

    for response in [
        unavailable(),
        Response::new(issuer.document(&json!({"authorization_endpoint": "https://attacker.example/"}))),
    ] {
        issuer.respond(response);
        kit.advance(Duration::from_hours(2));
        kit.refresh_metadata().await;
        // As at a restart with changed settings.
        kit.update_provider_settings(1000, |settings| settings.page_size = Some(50)).await;
        assert_eq!(authorization_endpoint().await, format!("{base}/authorize"));
    }
    issuer.publish(&json!({"authorization_endpoint": format!("{base}/new")}));
    kit.refresh_metadata().await;
    assert_eq!(authorization_endpoint().await, format!("{base}/authorize"), "it is requested once an hour");
    kit.advance(Duration::from_hours(1));
    kit.refresh_metadata().await;
    assert_eq!(authorization_endpoint().await, format!("{base}/new"));
    let shown = kit.run_admin_operation(Method::GET, "/providers/1000", None).await;
    assert_eq!(shown["endpoints"]["token_endpoint"], format!("{base}/token"), "{shown}");
    kit.update_provider_settings(1000, |settings| {
        settings.authorization_endpoint = Some(format!("{base}/explicit"));
    })
    .await;
    assert_eq!(authorization_endpoint().await, format!("{base}/explicit"));

    let host = base.strip_prefix("http://").unwrap();
    let new = |member: &str| json!({"member": member, "old_host": null, "new_host": host});
    assert_eq!(
        kit.list_metadata_events().await,
        [
            json!({"first": true,
                "members": ["authorization_endpoint", "issuer", "revocation_endpoint", "token_endpoint"],
                "endpoints": [new("authorization_endpoint"), new("token_endpoint"), new("revocation_endpoint")]}),
            json!({"first": false, "members": ["authorization_endpoint"],
                "endpoints": [{"member": "authorization_endpoint", "old_host": host, "new_host": host}]}),
        ]
    );
    // A process that can write to the database must not be able to choose endpoints.
    kit.sql("UPDATE providers SET metadata = replace(metadata, '/token', '/other')").await;
    let changed = kit.send_admin_request(Method::POST, "/providers/1000/test").await;
    assert_eq!(changed.status, 500, "{}", changed.body);
}

#[tokio::test]
async fn check_of_provider_names_problem_of_metadata() {
    let kit = TestHub::new().await;
    let issuer = Issuer::start().await;
    kit.use_issuer(&issuer.stub.url).await;
    let check = async |name: &str| {
        let report = kit.run_admin_operation(Method::POST, "/providers/1000/test", None).await;
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        (check["ok"] == true, check["detail"].as_str().unwrap().to_owned())
    };

    let (is_ok, down) = check("metadata").await;
    assert!(!is_ok && down.contains("HTTP 503"), "{down}");
    let (is_ok, unknown) = check("token").await;
    assert!(!is_ok && unknown.contains("are not known yet"), "{unknown}");
    issuer.publish(&json!({"token_endpoint": "https://tokens.example/token"}));
    let (is_ok, foreign) = check("metadata").await;
    assert!(!is_ok && foreign.contains("metadata_hosts"), "{foreign}");
    issuer.publish(&json!({}));
    assert_eq!(check("metadata").await, (true, "the metadata of the issuer name every endpoint".to_owned()));
    assert_eq!(kit.list_metadata_events().await, [Value::Null; 0], "a check must change nothing");
}

#[tokio::test]
async fn rfc9207_s2_4_promised_issuer_is_required() {
    let kit = TestHub::new().await;
    let issuer = kit.world.maple().url.clone();
    let promise = async |is_promised: bool| {
        let ctx = bowline::jobs::new_job_context(kit.app(), "test").unwrap();
        let metadata: ProviderMetadata = serde_json::from_value(json!({
            "issuer": issuer, "authorization_response_iss_parameter_supported": is_promised,
        }))
        .unwrap();
        let (moment, provider_id) = (ctx.new_moment().unwrap(), ProviderId::new(1000));
        ctx.run(StoreProviderMetadata { moment, provider_id, metadata }).await.unwrap();
    };
    let callback = approve_and_capture_callback(&kit).await;
    let value = query_parameter(&callback, "iss").unwrap();
    let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let without = callback.replace(&format!("&iss={encoded}"), "");
    assert_ne!(without, callback);
    let open = async |url: &str| kit.send(BrowserRequest::new(Method::GET, url)).await;

    promise(true).await;
    let missing = open(&without).await;
    let complete = open(&callback).await;
    promise(false).await;
    let other = approve_and_capture_callback(&kit).await.replace(&format!("&iss={encoded}"), "");
    let not_promised = open(&other).await;

    assert_eq!(missing.status, 400, "{}", missing.body);
    for accepted in [complete, not_promised] {
        assert!(query_parameter(&accepted.location.unwrap(), "code").is_some());
    }
}

#[tokio::test]
async fn pushed_request_without_usable_response_ends_with_page() {
    let log = CapturedLog::start();
    let kit = TestHub::new().await;
    let response = Arc::new(Mutex::new(unavailable()));
    let shared = Arc::clone(&response);
    let bank = EndpointStub::new(move |_| shared.lock().unwrap().clone()).await;
    kit.update_provider_settings(1000, |settings| {
        settings.pushed_authorization_request_endpoint = Some(format!("{}/par", bank.url));
    })
    .await;
    let json = |status: u16, body: Value| crate::support::json_response(status, &body);
    for (answer, error) in [
        (unavailable(), "temporarily_unavailable"),
        (json(201, json!({})), "server_error"),
        (json(201, json!({"request_uri": "urn:x:1", "expires_in": 0})), "server_error"),
        (json(400, json!({"error": "invalid_request", "error_description": "SECRET"})), "server_error"),
        (
            Response::builder().status(302).header("location", "/other").body(String::new()).unwrap(),
            "server_error",
        ),
        (json(401, json!({"error": "invalid_client"})), "temporarily_unavailable"),
    ] {
        let text = format!("{answer:?}");
        *response.lock().unwrap() = answer;

        let page = kit.consent().await;

        assert_eq!(page.status, 503, "{text}: {}", page.body);
        assert!(page.body.contains("The sign-in at Maple Trust cannot be started"), "{}", page.body);
        assert_eq!(find_returned_error(&page), error, "{text}");
        assert!(!page.body.contains("SECRET"));
    }
    let events = kit.run_admin_operation(Method::GET, "/audit?action=provider.call_failed", None).await;
    let [event] = events["items"].as_array().unwrap().as_slice() else { panic!("{events}") };
    let facts = ["call", "reason", "status"].map(|name| event["detail"][name].clone());
    assert_eq!(
        facts,
        [json!("pushed_authorization"), json!("server_error"), json!(503)],
        "one in some seconds"
    );
    let lines = log.find_lines("call to the provider failed");
    assert!(lines.len() == 1 && lines[0].contains("WARN"), "one in some seconds: {lines:?}");
    kit.advance(Duration::from_hours(1));
    *response.lock().unwrap() = json(201, json!({"request_uri": "urn:x:1", "expires_in": 60}));

    let location = kit.consent().await.location.unwrap();

    assert_eq!(query_parameter(&location, "request_uri").as_deref(), Some("urn:x:1"));
    assert!(!location.contains("state=") && !location.contains("code_challenge"), "{location}");
    let call = bank.calls().pop().unwrap();
    assert_eq!(call.field("code_challenge_method"), Some("S256".to_owned()));
    assert_eq!(call.field("client_id"), query_parameter(&location, "client_id"));
    assert!(call.headers.contains_key("authorization") && call.headers.contains_key("x-fapi-interaction-id"));
    assert!(bank.calls().iter().all(|call| call.path == "/par"), "a redirect must not be followed");
}
