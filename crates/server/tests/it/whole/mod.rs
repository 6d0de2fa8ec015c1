//! Every route with every wrong caller, and every parameter with every bad value: a route that is not thought of
//! here fails.

pub(crate) mod callers;
pub(crate) mod errors;
mod expect;
mod input;
mod managing;

use bowline::cli::Answer;
use bowline::web::{Face, Route, table};
use domain::error::OAuthCode;
use domain::id::{AuthorizationRequestId, ConnectionId};
use domain::model::audit_event::SubjectKind;
use domain::model::authorization_request::RequestStatus;
use fdx::ErrorCode;
use http::Method;
use serde_json::json;
use store::query::{AuditOf, RequestById};

use callers::{ALMOST, BEYOND, Caller, EVERYTHING, Hand, hands};
use expect::{Expected, FOREIGN_FORM, NOTHING, OVER, UNKNOWN_CLIENT, UNKNOWN_REDIRECT, is_sound};

use crate::kit::{Kit, Raw, Recipient, on_both};

on_both!(every_route_refuses_every_wrong_caller);

/// Every route of both listeners.
fn everything() -> Vec<Route> {
    table().into_iter().chain(bowline::node::routes()).collect()
}

/// What the listener of a route answers.
async fn said(kit: &Kit, route: &Route, raw: &Raw) -> Answer {
    let node = &kit.world.node;
    let address = match route.face {
        Face::Probe => node.probes,
        Face::Admin => node.admin,
        _ => node.address,
    };
    raw.sent_to(address).await
}

/// A connection's row, and how many events its chain has.
async fn state_of(kit: &Kit, id: &ConnectionId) -> (String, usize) {
    let chain = AuditOf { kind: SubjectKind::Connection, id: id.to_string() };
    let events = kit.app().store().ask(&chain).await.unwrap().len();
    (format!("{:?}", kit.connection(id).await), events)
}

/// What is the victim's in this world.
struct Victim {
    connection: ConnectionId,
    account: String,
    statement: String,
    request: AuthorizationRequestId,
    callback: String,
    redirect_uri: String,
}

impl Victim {
    async fn new(kit: &Kit, access: &str, connection: ConnectionId) -> Self {
        let began = kit.authorize(&Kit::ask(&kit.acme())).await;
        let id = began.location.unwrap().trim_start_matches("/consent/").to_owned();
        let callback = crate::recovery::callback(kit).await;
        Self {
            connection,
            statement: kit.statement_id(access).await,
            account: kit.account_id(access).await,
            request: AuthorizationRequestId::parse(&id).unwrap(),
            callback: callback.split_once("/callback/1000").unwrap().1.to_owned(),
            redirect_uri: kit.acme().redirect_uri,
        }
    }

    /// The path of a route, aimed at what is the victim's.
    fn path(&self, route: &Route) -> String {
        let path = route.path.replace("{account_id}", &self.account);
        let path = path.replace("{statement_id}", &self.statement);
        let path = path.replace("{request_id}", self.request.as_str()).replace("{provider_id}", "1000");
        let path = path.replace("{recipient_ids}", "dc-sandbox").replace("{provider_ids}", "1000");
        let path = path.replace("{job_id}", "job_nobody").replace("{operator_id}", "opr_sandbox");
        let path = path.replace("{document}", "flinks");
        path.replace("{client_id}", "dc-sandbox").replace("{connection_id}", self.connection.as_str())
    }
}

/// The request that a caller makes of a route.
fn request(route: &Route, victim: &Victim, hand: &Hand) -> Raw {
    let path = victim.path(route);
    let raw = match (route.method.as_str(), route.path) {
        ("GET", "/api/v1/authorize") => Raw::get(format!("{path}?{}", asked(victim, hand))),
        ("POST", "/api/v1/token") => Raw::post(path, "application/json", refresh(hand)),
        ("POST", "/consent/{request_id}") => {
            Raw::post(path, "application/x-www-form-urlencoded", "decision=approve&form_token=x")
        }
        ("POST", "/api/v1/recipients") | ("PUT", _) => managing::described(&route.method, path),
        ("GET", "/callback/{provider_id}") => Raw::get(format!("{path}{}", victim.callback)),
        (method, _) => Raw::new(method, path),
    };
    let authorization = hand.authorization.as_deref();
    let has_secret = route.path == "/api/v1/token" && hand.recipient.is_some();
    authorization
        .filter(|_| !has_secret)
        .into_iter()
        .fold(raw, |raw, value| raw.header("authorization", value))
}

/// The query of an authorization request that the caller has no right to.
fn asked(victim: &Victim, hand: &Hand) -> String {
    let Some(recipient) = &hand.recipient else { return String::new() };
    let recipient = match hand.caller {
        Caller::Foreign => Recipient { redirect_uri: victim.redirect_uri.clone(), ..recipient.clone() },
        Caller::Forged => Recipient { id: "dc-nobody".into(), ..recipient.clone() },
        Caller::Narrow | Caller::Suspended | Caller::Paused => recipient.clone(),
        _ => return String::new(),
    };
    let mut query = Kit::ask(&recipient);
    query.retain(|(name, _)| !matches!(*name, "provider_id" | "scope"));
    let scope = if hand.caller == Caller::Narrow { EVERYTHING } else { ALMOST };
    query.extend([("provider_id", hand.provider_id.to_string()), ("scope", scope.to_owned())]);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(&query).finish()
}

fn refresh(hand: &Hand) -> String {
    let mut body = json!({"grant_type": "refresh_token", "refresh_token": hand.refresh});
    if let Some(recipient) = &hand.recipient {
        body["client_id"] = recipient.id.as_str().into();
        body["client_secret"] = recipient.secret.as_str().into();
    }
    if hand.caller == Caller::Narrow {
        body["scope"] = format!("ACCOUNT_BASIC {BEYOND}").into();
    }
    body.to_string()
}

/// The one table: what each route says to each wrong caller.
fn expected(route: &Route, caller: Caller) -> Expected {
    match (route.face, route.method.as_str(), route.path) {
        (Face::Fdx, "GET", "/api/fdx/5/accounts" | "/api/fdx/5/customers/current") => data(caller, false),
        (
            Face::Fdx,
            "GET",
            "/api/fdx/5/accounts/{account_id}"
            | "/api/fdx/5/accounts/{account_id}/contact"
            | "/api/fdx/5/accounts/{account_id}/transactions"
            | "/api/fdx/5/accounts/{account_id}/payment-networks"
            | "/api/fdx/5/accounts/{account_id}/statements"
            | "/api/fdx/5/accounts/{account_id}/statements/{statement_id}",
        ) => data(caller, true),
        (
            Face::Fdx,
            "GET",
            "/api/fdx/5/availability" | "/api/fdx/5/capability" | "/api/fdx/5/certification-metrics",
        ) => meta(caller),
        (Face::Flinks, "DELETE" | "POST", "/api/v1/revoke") => revoking(caller),
        (Face::Flinks, "POST", "/api/v1/token") => refreshing(caller),
        (Face::Flinks, "GET", "/api/v1/authorize") => authorizing(caller),
        (Face::Flinks, method, path) if managing::is_of(path) => managing::expected(method, path, caller),
        (Face::Page, "GET", "/consent/{request_id}" | "/callback/{provider_id}") => Expected::Page(400, OVER),
        (Face::Page, "POST", "/consent/{request_id}") => Expected::Page(403, FOREIGN_FORM),
        (Face::Page, "GET", "/") => Expected::Page(200, "Bowline"),
        (Face::Page, "GET", "/openapi/admin.json" | "/openapi/flinks.json" | "/openapi/fdx.json") => {
            Expected::Page(200, "\"openapi\"")
        }
        (Face::Page, "GET", "/docs" | "/docs/{document}") => Expected::Page(200, "API reference"),
        (Face::Page, "GET", "/static/bowline.svg") => Expected::Page(200, "<svg"),
        (Face::Page, "GET", "/static/bowline.css" | "/static/docs.css") => Expected::Page(200, ":root"),
        (Face::Admin, ..) => Expected::no_operator(),
        // Whoever reaches the probes' listener may look: what they tell is about nobody.
        (Face::Probe, "GET", "/livez") => Expected::Text(200, "ok"),
        (Face::Probe, "GET", "/readyz") => Expected::Data,
        (Face::Probe, "GET", "/metrics") => Expected::Text(200, "bowline_http_requests_total"),
        (_, method, path) => panic!("nobody has thought of wrong callers of {method} {path}"),
    }
}

fn data(caller: Caller, of_an_account: bool) -> Expected {
    let ended = "The customer's consent has ended: a new authorization is needed";
    match caller {
        Caller::Anonymous
        | Caller::Malformed
        | Caller::Forged
        | Caller::ClientToken
        | Caller::Expired
        | Caller::OtherPartner => Expected::NoToken,
        Caller::Foreign | Caller::OtherCustomer if of_an_account => {
            Expected::Fdx(ErrorCode::AccountNotFound, "accountId names no account of this consent")
        }
        Caller::Foreign | Caller::OtherCustomer => Expected::Data,
        Caller::Narrow => {
            Expected::Fdx(ErrorCode::NotAuthorized, "The customer did not consent to this data")
        }
        Caller::Ended | Caller::Replaced => Expected::Fdx(ErrorCode::NotAuthorized, ended),
        Caller::Suspended => {
            Expected::Fdx(ErrorCode::SubscriptionNotFound, "This recipient is suspended with the provider")
        }
        Caller::Paused => {
            Expected::Fdx(ErrorCode::Maintenance, "The data provider is not available at present")
        }
    }
}

/// Whoever has a token that is good may know how the hub is.
fn meta(caller: Caller) -> Expected {
    match caller {
        Caller::Foreign
        | Caller::OtherCustomer
        | Caller::Narrow
        | Caller::ClientToken
        | Caller::OtherPartner
        | Caller::Suspended
        | Caller::Paused => Expected::Data,
        caller => data(caller, false),
    }
}

fn revoking(caller: Caller) -> Expected {
    match caller {
        Caller::Anonymous | Caller::Malformed | Caller::Forged | Caller::Expired => {
            Expected::invalid_request("The access token is missing, malformed or expired")
        }
        Caller::ClientToken | Caller::OtherPartner => {
            Expected::invalid_request("This token names no connection")
        }
        Caller::Replaced => Expected::invalid_request(
            "A newer login has replaced this connection: revoke with the newer login's token",
        ),
        // A connection of its own ends, whatever else is wrong: never the victim's.
        Caller::Foreign
        | Caller::Narrow
        | Caller::Ended
        | Caller::OtherCustomer
        | Caller::Suspended
        | Caller::Paused => Expected::Done,
    }
}

fn refreshing(caller: Caller) -> Expected {
    let over = "The refresh token is unknown, expired or its connection has ended";
    match caller {
        Caller::Anonymous | Caller::ClientToken => Expected::invalid_request("client_id is missing"),
        Caller::Malformed => Expected::invalid_request("The Authorization header is malformed"),
        Caller::Forged => {
            Expected::OAuth(400, OAuthCode::InvalidClient, "client_id or client_secret is wrong".into())
        }
        Caller::Foreign
        | Caller::Expired
        | Caller::Ended
        | Caller::Replaced
        | Caller::OtherCustomer
        | Caller::OtherPartner => Expected::OAuth(400, OAuthCode::InvalidGrant, over.into()),
        Caller::Narrow => {
            let beyond = format!("scope {BEYOND} is not allowed for this client");
            Expected::OAuth(400, OAuthCode::InvalidScope, beyond.into())
        }
        Caller::Suspended => {
            Expected::OAuth(400, OAuthCode::UnauthorizedClient, "This client is suspended".into())
        }
        Caller::Paused => Expected::Tokens,
    }
}

fn authorizing(caller: Caller) -> Expected {
    match caller {
        Caller::Foreign => Expected::Page(400, UNKNOWN_REDIRECT),
        Caller::Narrow => {
            let beyond = format!("scope {BEYOND} is not allowed for this client");
            Expected::Back(OAuthCode::InvalidScope, beyond.into())
        }
        Caller::Suspended => Expected::Back(OAuthCode::UnauthorizedClient, "This client is suspended".into()),
        Caller::Paused => Expected::Back(
            OAuthCode::TemporarilyUnavailable,
            "The provider cannot be connected at present".into(),
        ),
        _ => Expected::Page(400, UNKNOWN_CLIENT),
    }
}

async fn every_route_refuses_every_wrong_caller(kit: Kit) {
    let (tokens, hands) = hands(&kit).await;
    let victim = Victim::new(&kit, &tokens.access, tokens.id.clone()).await;
    let before = state_of(&kit, &victim.connection).await;
    let recipient = managing::state_of(&kit, "dc-sandbox").await;
    let mut routes = everything();
    // Revoking comes last: it ends what the callers have.
    routes.sort_by_key(|route| route.path == "/api/v1/revoke");
    for route in &routes {
        for hand in &hands {
            let what = format!("{} {} by {:?}", route.method, route.path, hand.caller);
            let own = match &hand.connection {
                Some(id) => Some((id, state_of(&kit, id).await)),
                None => None,
            };
            let expected = expected(route, hand.caller);
            let answer = said(&kit, route, &request(route, &victim, hand)).await;
            expected.hold(&answer, &what);
            assert!(!answer.body.contains(&victim.account), "{what} shows an account: {}", answer.body);
            assert!(!answer.headers.contains_key("set-cookie"), "{what}");
            assert_eq!(state_of(&kit, &victim.connection).await, before, "{what}");
            if let Some((id, state)) = own.filter(|_| !matches!(expected, Expected::Done)) {
                assert_eq!(state_of(&kit, id).await, state, "{what}");
            }
        }
    }
    assert_eq!(managing::state_of(&kit, "dc-sandbox").await, recipient);
    is_untouched(&kit, &victim, &tokens.access).await;
}

/// The rightful ones still get what they want.
async fn is_untouched(kit: &Kit, victim: &Victim, access: &str) {
    let request = kit.app().store().ask(&RequestById { id: victim.request.clone() }).await.unwrap().unwrap();
    assert_eq!(request.status, RequestStatus::AwaitingConsent);
    let callback = kit.get(&format!("/callback/1000{}", victim.callback)).await;
    assert_eq!(callback.status, 302, "the browser that began goes on: {}", callback.body);
    let read = kit.read(&format!("/accounts/{}", victim.account), access).await;
    assert_eq!(read.status, 200, "{}", read.body);
    assert_eq!(kit.admin(Method::GET, "/operators").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(kit.revoke(access).await.status, 204);
}

#[tokio::test]
async fn every_method_that_a_path_does_not_have_is_405_in_its_face() {
    let kit = Kit::new().await;
    let routes = everything();
    let paths: std::collections::BTreeSet<&str> = routes.iter().map(|route| route.path).collect();
    for path in paths {
        let of_path: Vec<&Route> = routes.iter().filter(|route| route.path == path).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            if of_path.iter().any(|route| route.method.as_str() == method) {
                continue;
            }
            let what = format!("{method} {path}");
            let raw = Raw::new(method, path.replace(['{', '}'], "x"));
            let answer = said(&kit, of_path[0], &raw).await;
            let words = "This method is not allowed here";
            let expected = match of_path[0].face {
                Face::Flinks => Expected::OAuth(405, OAuthCode::InvalidRequest, words.into()),
                Face::Fdx => Expected::Bare(405),
                Face::Admin => Expected::Problem(405, "method_not_allowed", None, words.into()),
                Face::Page => Expected::Page(405, NOTHING),
                Face::Probe => Expected::Text(405, words),
            };
            expected.hold(&answer, &what);
            let allow = answer.headers["allow"].to_str().unwrap();
            for route in &of_path {
                assert!(allow.contains(route.method.as_str()), "{what}: {allow}");
            }
        }
        let raw = Raw::new("OPTIONS", path.replace(['{', '}'], "x"));
        let options = said(&kit, of_path[0], &raw).await;
        Expected::Done.hold(&options, path);
        assert!(options.headers.contains_key("allow"), "{path}");
    }
}

#[tokio::test]
async fn every_answer_to_a_rightful_caller_carries_what_all_must_have() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect_at(1000, &acme, "alice", &["mt-alice-chequing"], EVERYTHING).await;
    let victim = Victim::new(&kit, &tokens.access, tokens.id.clone()).await;
    let pages = ["/", "/docs", "/docs/{document}"];
    for route in table().iter().filter(|route| route.face == Face::Fdx || pages.contains(&route.path)) {
        let answer = kit.call(route.method.clone(), &victim.path(route), &tokens.access).await;
        assert_eq!(answer.status, 200, "{}: {}", route.path, answer.body);
        is_sound(&answer, route.path);
        let head = kit.call(Method::HEAD, &victim.path(route), &tokens.access).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "HEAD {}", route.path);
        assert_eq!(head.headers.get("content-type"), answer.headers.get("content-type"), "{}", route.path);
    }
    let mut picked = Kit::ask(&acme);
    picked.retain(|(name, _)| *name != "provider_id");
    for answer in [
        kit.authorize(&picked).await,
        kit.authorize(&Kit::ask(&acme)).await,
        kit.get(&format!("/consent/{}", victim.request)).await,
        kit.get(&format!("/callback/1000{}", victim.callback)).await,
        kit.refresh(&acme, &tokens.refresh).await,
        kit.revoke(&tokens.access).await,
    ] {
        assert!(answer.status < 400, "{}", answer.body);
        is_sound(&answer, "a rightful answer");
    }
}

/// The routes of the operators' face, or all others.
fn listed(of_operators: bool) -> String {
    let routes = everything().into_iter().filter(|route| (route.face == Face::Admin) == of_operators);
    let mut listed: Vec<String> = routes.map(|route| format!("{} {}", route.method, route.path)).collect();
    listed.sort();
    listed.join("\n")
}

#[test]
fn the_table_is_what_is_known() {
    insta::assert_snapshot!(listed(false), @r"
    DELETE /api/v1/connections/{connection_id}
    DELETE /api/v1/recipients/{client_id}
    DELETE /api/v1/recipients/{client_id}/connections/{connection_id}
    DELETE /api/v1/revoke
    GET /
    GET /api/fdx/5/accounts
    GET /api/fdx/5/accounts/{account_id}
    GET /api/fdx/5/accounts/{account_id}/contact
    GET /api/fdx/5/accounts/{account_id}/payment-networks
    GET /api/fdx/5/accounts/{account_id}/statements
    GET /api/fdx/5/accounts/{account_id}/statements/{statement_id}
    GET /api/fdx/5/accounts/{account_id}/transactions
    GET /api/fdx/5/availability
    GET /api/fdx/5/capability
    GET /api/fdx/5/certification-metrics
    GET /api/fdx/5/customers/current
    GET /api/v1/authorize
    GET /api/v1/authorize/providers
    GET /api/v1/connections
    GET /api/v1/connections/{connection_id}
    GET /api/v1/providers
    GET /api/v1/providers/{provider_id}
    GET /api/v1/recipients
    GET /api/v1/recipients/providers/requests
    GET /api/v1/recipients/{client_id}
    GET /api/v1/recipients/{client_id}/connections
    GET /api/v1/recipients/{client_id}/connections/{connection_id}
    GET /api/v1/recipients/{client_id}/providers/requests
    GET /api/v1/recipients/{client_id}/providers/{provider_id}
    GET /api/v2/providers
    GET /callback/{provider_id}
    GET /consent/{request_id}
    GET /docs
    GET /docs/{document}
    GET /livez
    GET /metrics
    GET /openapi/admin.json
    GET /openapi/fdx.json
    GET /openapi/flinks.json
    GET /readyz
    GET /static/bowline.css
    GET /static/bowline.svg
    GET /static/docs.css
    POST /api/v1/recipients
    POST /api/v1/recipients/providers/requests/{recipient_ids}/{provider_ids}
    POST /api/v1/recipients/{client_id}/secret
    POST /api/v1/revoke
    POST /api/v1/token
    POST /consent/{request_id}
    PUT /api/v1/recipients/{client_id}
    ");
}

#[test]
fn the_table_of_operators_is_what_is_known() {
    insta::assert_snapshot!(listed(true), @r"
    DELETE /admin/v1/operators/{operator_id}
    DELETE /admin/v1/recipients/{client_id}
    GET /admin/v1/audit
    GET /admin/v1/connections
    GET /admin/v1/connections/{connection_id}
    GET /admin/v1/jobs
    GET /admin/v1/operators
    GET /admin/v1/partners
    GET /admin/v1/partners/{client_id}
    GET /admin/v1/providers
    GET /admin/v1/providers/{provider_id}
    GET /admin/v1/recipients
    GET /admin/v1/recipients/{client_id}
    GET /admin/v1/registrations
    GET /admin/v1/registrations/{client_id}/{provider_id}
    POST /admin/v1/connections/{connection_id}/end
    POST /admin/v1/jobs/{job_id}/close
    POST /admin/v1/jobs/{job_id}/retry
    POST /admin/v1/operators
    POST /admin/v1/operators/bootstrap
    POST /admin/v1/partners
    POST /admin/v1/partners/{client_id}/reinstate
    POST /admin/v1/partners/{client_id}/secret
    POST /admin/v1/partners/{client_id}/suspend
    POST /admin/v1/providers
    POST /admin/v1/providers/{provider_id}/pause
    POST /admin/v1/providers/{provider_id}/release
    POST /admin/v1/providers/{provider_id}/retire
    POST /admin/v1/providers/{provider_id}/test
    POST /admin/v1/recipients
    POST /admin/v1/recipients/{client_id}/reinstate
    POST /admin/v1/recipients/{client_id}/secret
    POST /admin/v1/recipients/{client_id}/suspend
    POST /admin/v1/registrations
    POST /admin/v1/registrations/{client_id}/{provider_id}/activate
    POST /admin/v1/registrations/{client_id}/{provider_id}/approve
    POST /admin/v1/registrations/{client_id}/{provider_id}/reinstate
    POST /admin/v1/registrations/{client_id}/{provider_id}/reject
    POST /admin/v1/registrations/{client_id}/{provider_id}/suspend
    PUT /admin/v1/recipients/{client_id}
    ");
}
