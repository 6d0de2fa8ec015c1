//! Tests of every route with every unauthorized caller. A route without expectations fails.

mod bad_parameters;
pub(crate) mod callers;
pub(crate) mod error_coverage;
pub(crate) mod expectations;
mod malformed_http;
mod management;
mod route_table;

use bowline::cli::BrowserResponse;
use bowline::http::{ApiSurface, Route};
use bowline::router::all_routes;
use domain::error::OAuthCode;
use domain::id::{AuthorizationRequestId, ConnectionId};
use domain::model::audit_event::SubjectKind;
use fdx::ErrorCode;
use http::Method;
use serde_json::json;
use store::query::{GetAuditChain, GetAuthorizationRequest};

use callers::{
    CallerCredentials, EXCLUDED_SCOPE, FULL_SCOPE, LIMITED_SCOPE, UnauthorizedCaller, prepare_callers,
};
use expectations::{
    ExpectedResponse, INVALID_FORM, NOT_FOUND, OTHER_BROWSER, UNKNOWN_CLIENT, UNKNOWN_LINK, UNKNOWN_REDIRECT,
    assert_valid_response,
};

use crate::support::{RawRequest, TestClient, TestHub, on_both};

on_both!(each_route_rejects_each_unauthorized_caller);

/// Lists the routes of all listeners.
fn routes_with_probes() -> Vec<Route> {
    all_routes().into_iter().chain(bowline::server::routes()).collect()
}

/// Sends a request to the listener of a route.
async fn send_to_listener(kit: &TestHub, route: &Route, raw: &RawRequest) -> BrowserResponse {
    let node = &kit.world.node;
    let address = match route.surface {
        ApiSurface::Probe => node.probes,
        ApiSurface::Admin => node.admin,
        _ => node.address,
    };
    raw.send_to(address).await
}

/// Dumps a connection's database row and the length of its audit chain.
async fn load_connection_state(kit: &TestHub, id: &ConnectionId) -> (String, usize) {
    let chain = GetAuditChain { kind: SubjectKind::Connection, id: id.to_string() };
    let events = kit.app().store().query(&chain).await.unwrap().len();
    (format!("{:?}", kit.load_connection(id).await), events)
}

/// The ids and secrets of the objects that unauthorized callers try to access.
struct Victim {
    connection: ConnectionId,
    account: String,
    statement: String,
    request: AuthorizationRequestId,
    callback: String,
    redirect_uri: String,
}

impl Victim {
    async fn new(kit: &TestHub, access: &str, connection: ConnectionId) -> Self {
        let began = kit.authorize(&TestHub::build_authorization_query(&kit.acme())).await;
        let id = began.location.unwrap().trim_start_matches("/consent/").to_owned();
        let callback = crate::recovery::approve_and_capture_callback(kit).await;
        Self {
            connection,
            statement: kit.fetch_statement_id(access).await,
            account: kit.fetch_account_id(access).await,
            request: id.parse().unwrap(),
            callback: callback.split_once("/callback/1000").unwrap().1.to_owned(),
            redirect_uri: kit.acme().redirect_uri,
        }
    }

    /// Returns the path of a route, with the ids of the target as parameters.
    fn path(&self, route: &Route) -> String {
        let path = route.path.replace("{account_id}", &self.account);
        let path = path.replace("{statement_id}", &self.statement);
        let path = path.replace("{request_id}", self.request.as_str()).replace("{provider_id}", "1000");
        let path = path.replace("{recipient_ids}", "dc-sandbox").replace("{provider_ids}", "1000");
        let path = path.replace("{job_id}", "job_unknown").replace("{operator_id}", "opr_sandbox");
        let path = path.replace("{document}", "flinks");
        path.replace("{client_id}", "dc-sandbox").replace("{connection_id}", self.connection.as_str())
    }
}

/// Builds the request of a caller to a route.
fn build_request(route: &Route, victim: &Victim, credentials: &CallerCredentials) -> RawRequest {
    let path = victim.path(route);
    let raw = match (route.method.as_str(), route.path) {
        ("GET", "/api/v1/authorize") => {
            RawRequest::get(format!("{path}?{}", build_authorize_query(victim, credentials)))
        }
        ("POST", "/api/v1/token") => {
            RawRequest::post(path, "application/json", build_refresh_body(credentials))
        }
        ("POST", "/consent/{request_id}") => {
            RawRequest::post(path, "application/x-www-form-urlencoded", "decision=approve&csrf_token=x")
        }
        ("POST", "/api/v1/recipients") | ("PUT", _) => {
            management::build_recipient_request(&route.method, path)
        }
        ("GET", "/callback/{provider_id}") => RawRequest::get(format!("{path}{}", victim.callback)),
        (method, _) => RawRequest::new(method, path),
    };
    let authorization = credentials.authorization.as_deref();
    let has_secret = route.path == "/api/v1/token" && credentials.recipient.is_some();
    authorization
        .filter(|_| !has_secret)
        .into_iter()
        .fold(raw, |raw, value| raw.header("authorization", value))
}

/// Builds the query of an authorization request that must be rejected.
fn build_authorize_query(victim: &Victim, credentials: &CallerCredentials) -> String {
    let Some(recipient) = &credentials.recipient else { return String::new() };
    let recipient = match credentials.caller {
        UnauthorizedCaller::Foreign => {
            TestClient { redirect_uri: victim.redirect_uri.clone(), ..recipient.clone() }
        }
        UnauthorizedCaller::Forged => TestClient { id: "dc-unknown".into(), ..recipient.clone() },
        UnauthorizedCaller::Narrow | UnauthorizedCaller::Suspended | UnauthorizedCaller::Paused => {
            recipient.clone()
        }
        _ => return String::new(),
    };
    let mut query = TestHub::build_authorization_query(&recipient);
    query.retain(|(name, _)| !matches!(*name, "provider_id" | "scope"));
    let scope = if credentials.caller == UnauthorizedCaller::Narrow { FULL_SCOPE } else { LIMITED_SCOPE };
    query.extend([("provider_id", credentials.provider_id.to_string()), ("scope", scope.to_owned())]);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(&query).finish()
}

fn build_refresh_body(credentials: &CallerCredentials) -> String {
    let mut body = json!({"grant_type": "refresh_token", "refresh_token": credentials.refresh});
    if let Some(recipient) = &credentials.recipient {
        body["client_id"] = recipient.id.as_str().into();
        body["client_secret"] = recipient.secret.as_str().into();
    }
    if credentials.caller == UnauthorizedCaller::Narrow {
        body["scope"] = format!("ACCOUNT_BASIC {EXCLUDED_SCOPE}").into();
    }
    body.to_string()
}

/// Returns the expected response of each route to each unauthorized caller.
fn expected_response(route: &Route, caller: UnauthorizedCaller) -> ExpectedResponse {
    match (route.surface, route.method.as_str(), route.path) {
        (ApiSurface::Fdx, "GET", "/api/fdx/5/accounts" | "/api/fdx/5/customers/current") => {
            expected_data_response(caller, false)
        }
        (
            ApiSurface::Fdx,
            "GET",
            "/api/fdx/5/accounts/{account_id}"
            | "/api/fdx/5/accounts/{account_id}/contact"
            | "/api/fdx/5/accounts/{account_id}/transactions"
            | "/api/fdx/5/accounts/{account_id}/payment-networks"
            | "/api/fdx/5/accounts/{account_id}/statements"
            | "/api/fdx/5/accounts/{account_id}/statements/{statement_id}",
        ) => expected_data_response(caller, true),
        (
            ApiSurface::Fdx,
            "GET",
            "/api/fdx/5/availability" | "/api/fdx/5/capability" | "/api/fdx/5/certification-metrics",
        ) => expected_metadata_response(caller),
        (ApiSurface::Flinks, "DELETE" | "POST", "/api/v1/revoke") => expected_revoke_response(caller),
        (ApiSurface::Flinks, "POST", "/api/v1/token") => expected_refresh_response(caller),
        (ApiSurface::Flinks, "GET", "/api/v1/authorize") => expected_authorize_response(caller),
        (ApiSurface::Flinks, method, path) if management::is_management_path(path) => {
            management::expected_response(method, path, caller)
        }
        (ApiSurface::Page, "GET", "/consent/{request_id}" | "/callback/{provider_id}") => {
            ExpectedResponse::Page(400, OTHER_BROWSER)
        }
        (ApiSurface::Page, "POST", "/callback/{provider_id}") => ExpectedResponse::Page(415, UNKNOWN_LINK),
        (ApiSurface::Page, "POST", "/consent/{request_id}") => ExpectedResponse::Page(403, INVALID_FORM),
        (ApiSurface::Page, "GET", "/") => ExpectedResponse::Page(200, "Bowline"),
        (ApiSurface::Page, "GET", "/openapi/admin.json" | "/openapi/flinks.json" | "/openapi/fdx.json") => {
            ExpectedResponse::Page(200, "\"openapi\"")
        }
        (
            ApiSurface::Page,
            "GET",
            "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration",
        ) => ExpectedResponse::Page(200, "\"issuer\""),
        (ApiSurface::Page, "GET", "/.well-known/jwks.json") => ExpectedResponse::Page(200, "\"keys\""),
        (ApiSurface::Page, "GET", "/docs" | "/docs/{document}") => {
            ExpectedResponse::Page(200, "API reference")
        }
        (ApiSurface::Page, "GET", "/static/bowline.svg") => ExpectedResponse::Page(200, "<svg"),
        (ApiSurface::Page, "GET", "/static/bowline.css" | "/static/docs.css") => {
            ExpectedResponse::Page(200, ":root")
        }
        (ApiSurface::Admin, ..) => ExpectedResponse::invalid_operator_token(),
        // Probes need no credentials: their responses contain no data of clients or customers.
        (ApiSurface::Probe, "GET", "/livez") => ExpectedResponse::Text(200, "ok"),
        (ApiSurface::Probe, "GET", "/readyz") => ExpectedResponse::Data,
        (ApiSurface::Probe, "GET", "/metrics") => ExpectedResponse::Text(200, "bowline_http_requests_total"),
        (_, method, path) => panic!("no unauthorized callers are listed for {method} {path}"),
    }
}

fn expected_data_response(caller: UnauthorizedCaller, is_account_route: bool) -> ExpectedResponse {
    let ended = "The customer's consent has ended: a new authorization is needed";
    match caller {
        UnauthorizedCaller::Anonymous
        | UnauthorizedCaller::Malformed
        | UnauthorizedCaller::Forged
        | UnauthorizedCaller::Expired => ExpectedResponse::InvalidToken,
        UnauthorizedCaller::ClientToken | UnauthorizedCaller::OtherPartner => ExpectedResponse::ClientToken,
        UnauthorizedCaller::Foreign | UnauthorizedCaller::OtherCustomer if is_account_route => {
            ExpectedResponse::Fdx(ErrorCode::AccountNotFound, "accountId is not an account of this consent")
        }
        UnauthorizedCaller::Foreign | UnauthorizedCaller::OtherCustomer => ExpectedResponse::Data,
        UnauthorizedCaller::Narrow => {
            ExpectedResponse::Fdx(ErrorCode::NotAuthorized, "The customer did not consent to this data")
        }
        UnauthorizedCaller::Ended | UnauthorizedCaller::Replaced => {
            ExpectedResponse::Fdx(ErrorCode::NotAuthorized, ended)
        }
        UnauthorizedCaller::Suspended => ExpectedResponse::Fdx(
            ErrorCode::SubscriptionNotFound,
            "This recipient is suspended with the provider",
        ),
        UnauthorizedCaller::Paused => {
            ExpectedResponse::Fdx(ErrorCode::Maintenance, "The data provider is temporarily unavailable")
        }
    }
}

/// Returns the expected response of the FDX API's metadata operations, which accept any valid token.
fn expected_metadata_response(caller: UnauthorizedCaller) -> ExpectedResponse {
    match caller {
        UnauthorizedCaller::Foreign
        | UnauthorizedCaller::OtherCustomer
        | UnauthorizedCaller::Narrow
        | UnauthorizedCaller::ClientToken
        | UnauthorizedCaller::OtherPartner
        | UnauthorizedCaller::Suspended
        | UnauthorizedCaller::Paused => ExpectedResponse::Data,
        caller => expected_data_response(caller, false),
    }
}

fn expected_revoke_response(caller: UnauthorizedCaller) -> ExpectedResponse {
    match caller {
        UnauthorizedCaller::Anonymous
        | UnauthorizedCaller::Malformed
        | UnauthorizedCaller::Forged
        | UnauthorizedCaller::Expired => {
            ExpectedResponse::invalid_request("The access token is missing, malformed or expired")
        }
        UnauthorizedCaller::ClientToken | UnauthorizedCaller::OtherPartner => {
            ExpectedResponse::invalid_request("This access token does not belong to a connection")
        }
        UnauthorizedCaller::Replaced => ExpectedResponse::invalid_request(
            "A newer login has replaced this connection: revoke with the newer login's token",
        ),
        // The caller's own connection may end, never the target's.
        UnauthorizedCaller::Foreign
        | UnauthorizedCaller::Narrow
        | UnauthorizedCaller::Ended
        | UnauthorizedCaller::OtherCustomer
        | UnauthorizedCaller::Suspended
        | UnauthorizedCaller::Paused => ExpectedResponse::NoContent,
    }
}

fn expected_refresh_response(caller: UnauthorizedCaller) -> ExpectedResponse {
    let invalid_refresh_token = "The refresh token is unknown, expired or its connection has ended";
    match caller {
        UnauthorizedCaller::Anonymous | UnauthorizedCaller::ClientToken => {
            ExpectedResponse::invalid_request("client_id is missing")
        }
        UnauthorizedCaller::Malformed => {
            ExpectedResponse::invalid_request("The Authorization header is malformed")
        }
        UnauthorizedCaller::Forged => ExpectedResponse::OAuth(
            400,
            OAuthCode::InvalidClient,
            "client_id or client_secret is wrong".into(),
        ),
        UnauthorizedCaller::Foreign
        | UnauthorizedCaller::Expired
        | UnauthorizedCaller::Ended
        | UnauthorizedCaller::Replaced
        | UnauthorizedCaller::OtherCustomer
        | UnauthorizedCaller::OtherPartner => {
            ExpectedResponse::OAuth(400, OAuthCode::InvalidGrant, invalid_refresh_token.into())
        }
        UnauthorizedCaller::Narrow => {
            let beyond = format!("scope {EXCLUDED_SCOPE} is not allowed for this client");
            ExpectedResponse::OAuth(400, OAuthCode::InvalidScope, beyond.into())
        }
        UnauthorizedCaller::Suspended => {
            ExpectedResponse::OAuth(400, OAuthCode::UnauthorizedClient, "This client is suspended".into())
        }
        UnauthorizedCaller::Paused => ExpectedResponse::Tokens,
    }
}

fn expected_authorize_response(caller: UnauthorizedCaller) -> ExpectedResponse {
    match caller {
        UnauthorizedCaller::Foreign => ExpectedResponse::Page(400, UNKNOWN_REDIRECT),
        UnauthorizedCaller::Narrow => {
            let beyond = format!("scope {EXCLUDED_SCOPE} is not allowed for this client");
            ExpectedResponse::RedirectError(OAuthCode::InvalidScope, beyond.into())
        }
        UnauthorizedCaller::Suspended => {
            ExpectedResponse::RedirectError(OAuthCode::UnauthorizedClient, "This client is suspended".into())
        }
        UnauthorizedCaller::Paused => ExpectedResponse::RedirectError(
            OAuthCode::TemporarilyUnavailable,
            "The provider cannot be connected at present".into(),
        ),
        _ => ExpectedResponse::Page(400, UNKNOWN_CLIENT),
    }
}

async fn each_route_rejects_each_unauthorized_caller(kit: TestHub) {
    let (tokens, all_credentials) = prepare_callers(&kit).await;
    let victim = Victim::new(&kit, &tokens.access, tokens.id.clone()).await;
    let before = load_connection_state(&kit, &victim.connection).await;
    let recipient = management::load_client_rows(&kit, "dc-sandbox").await;
    let mut routes = routes_with_probes();
    // Revocation comes last, because it ends the callers' connections.
    routes.sort_by_key(|route| route.path == "/api/v1/revoke");
    for route in &routes {
        for credentials in &all_credentials {
            let what = format!("{} {} by {:?}", route.method, route.path, credentials.caller);
            let own = match &credentials.connection {
                Some(id) => Some((id, load_connection_state(&kit, id).await)),
                None => None,
            };
            let expected = expected_response(route, credentials.caller);
            let answer = send_to_listener(&kit, route, &build_request(route, &victim, credentials)).await;
            expected.assert_matches(&answer, &what);
            assert!(!answer.body.contains(&victim.account), "{what} shows an account: {}", answer.body);
            assert!(!answer.headers.contains_key("set-cookie"), "{what}");
            assert_eq!(load_connection_state(&kit, &victim.connection).await, before, "{what}");
            if let Some((id, state)) = own.filter(|_| !matches!(expected, ExpectedResponse::NoContent)) {
                assert_eq!(load_connection_state(&kit, id).await, state, "{what}");
            }
        }
    }
    assert_eq!(management::load_client_rows(&kit, "dc-sandbox").await, recipient);
    assert_victim_unaffected(&kit, &victim, &tokens.access).await;
}

/// Asserts that the authorized callers still succeed.
async fn assert_victim_unaffected(kit: &TestHub, victim: &Victim, access: &str) {
    let request = GetAuthorizationRequest { id: victim.request.clone() };
    let request = kit.app().store().query(&request).await.unwrap();
    assert!(request.is_none(), "no caller decided instead of the customer: {request:?}");
    let callback = kit.get(&format!("/callback/1000{}", victim.callback)).await;
    assert_eq!(callback.status, 302, "the browser that began goes on: {}", callback.body);
    let read = kit.read(&format!("/accounts/{}", victim.account), access).await;
    assert_eq!(read.status, 200, "{}", read.body);
    assert_eq!(
        kit.send_admin_request(Method::GET, "/operators").await.json()["items"].as_array().unwrap().len(),
        1
    );
    assert_eq!(kit.revoke(access).await.status, 204);
}

#[tokio::test]
async fn unsupported_method_returns_405_in_format_of_its_api() {
    let kit = TestHub::new().await;
    let routes = routes_with_probes();
    let paths: std::collections::BTreeSet<&str> = routes.iter().map(|route| route.path).collect();
    for path in paths {
        let path_routes: Vec<&Route> = routes.iter().filter(|route| route.path == path).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            if path_routes.iter().any(|route| route.method.as_str() == method) {
                continue;
            }
            let what = format!("{method} {path}");
            let raw = RawRequest::new(method, path.replace(['{', '}'], "x"));
            let answer = send_to_listener(&kit, path_routes[0], &raw).await;
            let message = "This method is not allowed here";
            let expected = match path_routes[0].surface {
                ApiSurface::Flinks => ExpectedResponse::OAuth(405, OAuthCode::InvalidRequest, message.into()),
                ApiSurface::Fdx => ExpectedResponse::MessageOnly(405),
                ApiSurface::Admin => {
                    ExpectedResponse::Problem(405, "method_not_allowed", None, message.into())
                }
                ApiSurface::Page => ExpectedResponse::Page(405, NOT_FOUND),
                ApiSurface::Probe => ExpectedResponse::Text(405, message),
            };
            expected.assert_matches(&answer, &what);
            let allow = answer.headers["allow"].to_str().unwrap();
            for route in &path_routes {
                assert!(allow.contains(route.method.as_str()), "{what}: {allow}");
            }
        }
        let raw = RawRequest::new("OPTIONS", path.replace(['{', '}'], "x"));
        let options = send_to_listener(&kit, path_routes[0], &raw).await;
        ExpectedResponse::NoContent.assert_matches(&options, path);
        assert!(options.headers.contains_key("allow"), "{path}");
    }
}

#[tokio::test]
async fn authorized_responses_have_required_headers() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect_at(1000, &acme, "alice", &["mt-alice-chequing"], FULL_SCOPE).await;
    let victim = Victim::new(&kit, &tokens.access, tokens.id.clone()).await;
    let pages = ["/", "/docs", "/docs/{document}"];
    for route in
        all_routes().iter().filter(|route| route.surface == ApiSurface::Fdx || pages.contains(&route.path))
    {
        let answer = kit.call(route.method.clone(), &victim.path(route), &tokens.access).await;
        assert_eq!(answer.status, 200, "{}: {}", route.path, answer.body);
        assert_valid_response(&answer, route.path);
        let head = kit.call(Method::HEAD, &victim.path(route), &tokens.access).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "HEAD {}", route.path);
        assert_eq!(head.headers.get("content-type"), answer.headers.get("content-type"), "{}", route.path);
    }
    let mut picked = TestHub::build_authorization_query(&acme);
    picked.retain(|(name, _)| *name != "provider_id");
    for answer in [
        kit.authorize(&picked).await,
        kit.authorize(&TestHub::build_authorization_query(&acme)).await,
        kit.get(&format!("/consent/{}", victim.request)).await,
        kit.get(&format!("/callback/1000{}", victim.callback)).await,
        kit.refresh(&acme, &tokens.refresh).await,
        kit.revoke(&tokens.access).await,
    ] {
        assert!(answer.status < 400, "{}", answer.body);
        assert_valid_response(&answer, "a rightful answer");
    }
}
