//! Cases for the consent page and the provider's callback with invalid parameters.

use std::collections::BTreeMap;

use bowline::cli::find_hidden_field;
use domain::id::AuthorizationRequestId;
use store::query::{FindAuthorizationRequestByState, GetAuthorizationRequest};

use super::super::expectations::{ExpectedResponse, INVALID_FORM, NOT_FOUND, OTHER_BROWSER, UNKNOWN_LINK};
use super::super::load_connection_state;
use super::{BadValue, CHALLENGE, ForeignValues, InputCase, InputValues};
use crate::support::{ConnectionTokens, RawRequest, SCOPE, TestHub, query_parameter, read_set_cookie};

const FORM: &str = "application/x-www-form-urlencoded";

/// Creates a connection that must not change, one of another recipient, and a browser at each step of the flow.
pub(super) async fn create_input_values(kit: &TestHub) -> (InputValues, ConnectionTokens, ConnectionTokens) {
    let scope = format!("{SCOPE} STATEMENTS");
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], &scope, false).await);
    let everything = super::super::LIMITED_SCOPE;
    let tokens = kit.connect_at(1000, &acme, "alice", &["mt-alice-chequing"], everything).await;
    let foreign = kit.connect_at(1000, &other, "alice", &[], &scope).await;
    let first = kit.read("/accounts?limit=1", &foreign.access).await.json();
    let mut bob_query = TestHub::build_authorization_query(&acme);
    bob_query.extend([("code_challenge", CHALLENGE.into()), ("code_challenge_method", "S256".into())]);
    let code =
        query_parameter(&kit.complete_authorization(&bob_query, "bob", &["mt-bob-chequing"]).await, "code")
            .unwrap();
    let unused = query_parameter(
        &kit.complete_authorization(&TestHub::build_authorization_query(&other), "bob", &["mt-bob-chequing"])
            .await,
        "code",
    )
    .unwrap();
    let url = crate::support::authorize_url("", &TestHub::build_authorization_query(&acme));
    let began = kit.send_raw(&RawRequest::get(url.clone())).await;
    let request = began.location.clone().unwrap().trim_start_matches("/consent/").to_owned();
    let page = kit
        .send_raw(&RawRequest::get(format!("/consent/{request}")).header("cookie", read_set_cookie(&began)))
        .await;
    let (state, cookies) = approve_consent(kit, &url).await;
    let values = InputValues {
        client_id: acme.id,
        client_secret: acme.secret,
        redirect_uri: acme.redirect_uri,
        code,
        refresh: tokens.refresh.clone(),
        account: kit.fetch_account_id(&tokens.access).await,
        statement: kit.fetch_statement_id(&tokens.access).await,
        access: tokens.access.clone(),
        foreign: ForeignValues {
            client_id: other.id,
            redirect_uri: other.redirect_uri,
            code: unused,
            refresh: foreign.refresh.clone(),
            access: foreign.access.clone(),
            account: kit.fetch_account_id(&foreign.access).await,
            statement: kit.fetch_statement_id(&foreign.access).await,
            cursor: first["page"]["nextOffset"].as_str().unwrap().to_owned(),
        },
        request,
        cookie: read_set_cookie(&began),
        csrf_token: find_hidden_field(&page.body, "csrf_token").unwrap(),
        state,
        cookies,
        issuer: kit.bank_site(1000).url.clone(),
        connection: tokens.id.to_string(),
        operator: kit.admin_token().to_owned(),
        manage: super::manage::add_connections(
            kit,
            super::manage::create_partner_values(kit).await,
            &tokens,
            &foreign,
        )
        .await,
    };
    (values, tokens, foreign)
}

/// Consents in a browser, which is redirected to the bank; returns the hub's `state` and the cookie.
async fn approve_consent(kit: &TestHub, url: &str) -> (String, String) {
    let (sent, cookie) = kit.approve_consent_raw(url).await;
    ExpectedResponse::RedirectToProvider.assert_matches(&sent, "the way to the bank");
    (query_parameter(&sent.location.unwrap(), "state").unwrap(), cookie)
}

/// Returns the stored steps of the two authorization requests whose flows are not completed.
pub(super) async fn load_request_states(
    kit: &TestHub,
    values: &InputValues,
) -> BTreeMap<&'static str, String> {
    let id = values.request.parse::<AuthorizationRequestId>().unwrap();
    let waiting = kit.app().store().query(&GetAuthorizationRequest { id }).await.unwrap();
    let state = kit.app().vault().hash_all_generations(&values.state);
    let away = kit.app().store().query(&FindAuthorizationRequestByState { state }).await.unwrap().unwrap();
    BTreeMap::from([("at the hub", format!("{waiting:?}")), ("at the bank", format!("{away:?}"))])
}

/// Asserts that the two browsers whose flows are not completed can still continue.
pub(super) async fn assert_flows_can_continue(kit: &TestHub, values: &InputValues) {
    let declined = format!("csrf_token={}&decision=deny", values.csrf_token);
    let consent = RawRequest::post(format!("/consent/{}", values.request), FORM, declined);
    let answer = kit.send_raw(&consent.header("cookie", values.cookie.as_str())).await;
    let denied = || {
        ExpectedResponse::RedirectError(
            domain::error::OAuthCode::AccessDenied,
            "The user denied the access".into(),
        )
    };
    denied().assert_matches(&answer, "the consent page");
    let callback = RawRequest::get(format!("/callback/1000?error=access_denied&state={}", values.state));
    let answer = kit.send_raw(&callback.header("cookie", values.cookies.as_str())).await;
    denied().assert_matches(&answer, "the callback");
}

pub(in super::super) fn build_consent_cases(values: &InputValues) -> Vec<InputCase> {
    let path = format!("/consent/{}", values.request);
    let mut cases = Vec::new();
    for bad in BadValue::ALL
        .into_iter()
        .filter(|bad| !matches!(bad, BadValue::Missing | BadValue::Repeated | BadValue::Empty))
    {
        for (method, body) in [("GET", ""), ("POST", "decision=approve")] {
            let target = format!("/consent/{}", bad.encode(&values.request));
            let raw =
                if method == "GET" { RawRequest::get(target) } else { RawRequest::post(target, FORM, body) };
            let raw = raw.header("cookie", values.cookie.as_str());
            cases.push(InputCase::new(
                format!("consent, {method}: {bad:?} as id"),
                raw,
                ExpectedResponse::Page(404, NOT_FOUND),
            ));
        }
    }
    for (target, status, title) in [
        ("/consent/arq_unknown".to_owned(), 400, UNKNOWN_LINK),
        ("/consent/".to_owned(), 404, NOT_FOUND),
        ("/consent".to_owned(), 404, NOT_FOUND),
        (format!("{path}/"), 404, NOT_FOUND),
        (format!("{path}/.."), 404, NOT_FOUND),
        ("/consent/con_1".to_owned(), 404, NOT_FOUND),
    ] {
        let raw = RawRequest::get(target.clone()).header("cookie", values.cookie.as_str());
        cases.push(InputCase::new(format!("consent: {target}"), raw, ExpectedResponse::Page(status, title)));
    }
    let (name, secret) = values.cookie.split_once('=').unwrap_or(("", ""));
    for wrong in [
        String::new(),
        name.to_owned(),
        format!("{name}="),
        format!("{name}=x"),
        format!("{name}={secret}x"),
        format!("{name}=\"{secret}"),
        format!("x{name}={secret}"),
        format!("{}={secret}", name.to_uppercase()),
        format!("{name}={}", "x".repeat(8_000)),
        values.cookies.clone(),
    ] {
        let shown: String = wrong.chars().take(60).collect();
        let raw = RawRequest::get(path.clone()).header("cookie", wrong.clone());
        cases.push(InputCase::new(
            format!("consent, cookie {shown}"),
            raw,
            ExpectedResponse::Page(400, OTHER_BROWSER),
        ));
        let form = format!("csrf_token={}&decision=approve", values.csrf_token);
        let raw = RawRequest::post(path.clone(), FORM, form).header("cookie", wrong);
        cases.push(InputCase::new(
            format!("consent, form, cookie {shown}"),
            raw,
            ExpectedResponse::Page(403, INVALID_FORM),
        ));
    }
    cases.extend(build_consent_form_cases(values, &path));
    cases
}

/// Builds the cases for consent forms from another site, or without a valid decision.
fn build_consent_form_cases(values: &InputValues, path: &str) -> Vec<InputCase> {
    let good = [("csrf_token", values.csrf_token.as_str()), ("decision", "approve")];
    let post = |body: String| RawRequest::post(path, FORM, body).header("cookie", values.cookie.as_str());
    let mut cases = Vec::new();
    for bad in BadValue::ALL {
        let token = if bad == BadValue::Repeated { 400 } else { 403 };
        for (name, status) in [("csrf_token", token), ("decision", 400)] {
            let raw = post(bad.build_query(&good, name));
            let expected = ExpectedResponse::Page(status, INVALID_FORM);
            cases.push(InputCase::new(format!("consent: {bad:?} as {name}"), raw, expected));
        }
    }
    let valid_form = || format!("csrf_token={}&decision=approve", values.csrf_token);
    let both = format!("{}&decision=deny", valid_form());
    cases.push(InputCase::new("consent: yes and no", post(both), ExpectedResponse::Page(400, INVALID_FORM)));
    for decision in ["APPROVE", "yes", "true", "approve,deny"] {
        let raw = post(valid_form().replace("approve", decision));
        cases.push(InputCase::new(
            format!("consent: {decision}"),
            raw,
            ExpectedResponse::Page(400, INVALID_FORM),
        ));
    }
    for (name, value) in [
        ("origin", "null"),
        ("origin", "https://evil.example.org"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-site", ""),
    ] {
        let raw = post(valid_form()).header(name, value);
        cases.push(InputCase::new(
            format!("consent: {name} {value}"),
            raw,
            ExpectedResponse::Page(403, INVALID_FORM),
        ));
    }
    for media_type in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        let raw = RawRequest::post(path, media_type, valid_form()).header("cookie", values.cookie.as_str());
        cases.push(InputCase::new(
            format!("consent: {media_type}"),
            raw,
            ExpectedResponse::Page(415, INVALID_FORM),
        ));
    }
    cases.push(InputCase::new(
        "consent: 70 kB",
        post("x".repeat(70_000)),
        ExpectedResponse::Page(413, INVALID_FORM),
    ));
    cases
}

pub(in super::super) fn build_callback_cases(values: &InputValues) -> Vec<InputCase> {
    let good = [("code", "c-1"), ("state", values.state.as_str()), ("iss", values.issuer.as_str())];
    let get = |target: String| RawRequest::get(target).header("cookie", values.cookies.as_str());
    let mut cases = Vec::new();
    for name in ["code", "state", "iss"] {
        for bad in BadValue::ALL {
            // The format of a code is the provider's choice; a missing `iss` is accepted.
            let is_accepted = match name {
                "code" => !matches!(bad, BadValue::Missing | BadValue::Repeated | BadValue::Empty),
                "iss" => matches!(bad, BadValue::Missing | BadValue::Empty),
                _ => false,
            };
            if !is_accepted {
                let raw = get(format!("/callback/1000?{}", bad.build_query(&good, name)));
                cases.push(InputCase::new(
                    format!("callback: {bad:?} as {name}"),
                    raw,
                    ExpectedResponse::Page(400, UNKNOWN_LINK),
                ));
            }
        }
    }
    let valid_query = BadValue::Missing.build_query(&good, "colour");
    for provider in
        ["2000", "9999", "0", "-1", "01000", "1000.0", "1e3", "x", "%00", "1000%00", "%FF", "..", "1000;x"]
    {
        let raw = get(format!("/callback/{provider}?{valid_query}"));
        cases.push(InputCase::new(
            format!("callback of {provider}"),
            raw,
            ExpectedResponse::Page(400, UNKNOWN_LINK),
        ));
    }
    for (what, query) in [
        ("a code and an error", format!("{valid_query}&error=access_denied")),
        ("nothing", String::new()),
        ("an error twice", format!("error=x&error=y&state={}", values.state)),
        ("an error without a state", "error=access_denied".to_owned()),
        ("an error of another issuer", format!("error=x&iss=https%3A%2F%2Fevil&state={}", values.state)),
        ("another state", "code=c-1&state=c-1".to_owned()),
    ] {
        let raw = get(format!("/callback/1000?{query}"));
        cases.push(InputCase::new(
            format!("callback: {what}"),
            raw,
            ExpectedResponse::Page(400, UNKNOWN_LINK),
        ));
    }
    let form = "application/x-www-form-urlencoded";
    for (what, media_type, path, body, status) in [
        ("posted JSON", "application/json", "/callback/1000", "{}".to_owned(), 415),
        ("posted 5 kB", form, "/callback/1000", format!("state={}", "x".repeat(5_000)), 413),
        ("posted 70 kB", form, "/callback/1000", "x".repeat(70_000), 413),
        ("posted to x", form, "/callback/x", valid_query.clone(), 400),
    ] {
        let raw = RawRequest::post(path.to_owned(), media_type, body);
        let expected = ExpectedResponse::Page(status, UNKNOWN_LINK);
        cases.push(InputCase::new(format!("callback: {what}"), raw, expected));
    }
    for sealed in ["x".to_owned(), "A".repeat(200), "A".repeat(7_000)] {
        let raw = get(format!("/callback/1000?response={sealed}"));
        let expected = ExpectedResponse::Page(400, UNKNOWN_LINK);
        cases.push(InputCase::new(format!("callback: {} sealed characters", sealed.len()), raw, expected));
    }
    for wrong in
        [String::new(), values.cookie.clone(), values.cookies.replace('=', "=x"), "bowline_flow_=".into()]
    {
        let raw = RawRequest::get(format!("/callback/1000?{valid_query}")).header("cookie", wrong.clone());
        cases.push(InputCase::new(
            format!("callback, cookie {wrong}"),
            raw,
            ExpectedResponse::Page(400, OTHER_BROWSER),
        ));
    }
    cases
}

/// Builds the cases for pages of the API reference, which exist only for the OpenAPI documents.
pub(super) fn build_docs_cases() -> Vec<InputCase> {
    let mut paths: Vec<String> = vec!["FLINKS", "flinks.json", "..", ".", "flinks/x", "docs", "0"]
        .into_iter()
        .map(|name| format!("/docs/{name}"))
        .collect();
    for bad in BadValue::ALL {
        paths.push(match bad {
            BadValue::Missing | BadValue::Empty => "/docs/".to_owned(),
            BadValue::Repeated => "/docs/flinks/flinks".to_owned(),
            _ => format!("/docs/{}", bad.encode("flinks")),
        });
    }
    let case = |path: String| {
        InputCase::new(format!("docs: {path}"), RawRequest::get(path), ExpectedResponse::Page(404, NOT_FOUND))
    };
    let mut cases: Vec<InputCase> = paths.into_iter().map(case).collect();
    for path in ["/docs?document=flinks", "/docs/flinks?x=%zz", "//docs//flinks"] {
        cases.push(InputCase::new(
            format!("docs: {path}"),
            RawRequest::get(path),
            ExpectedResponse::Page(200, "API reference"),
        ));
    }
    cases
}

/// The provider's redirect has codes with unexpected content. The flow must end, and the content must not be shown.
#[tokio::test]
async fn callback_with_unexpected_code_ends_only_its_login_flow() {
    for kit in
        [TestHub::new().await, TestHub::with_store(Some(crate::support::create_database().await)).await]
    {
        let tokens = kit.connect(&kit.acme()).await;
        let before = load_connection_state(&kit, &tokens.id).await;
        let url = crate::support::authorize_url("", &TestHub::build_authorization_query(&kit.acme()));
        for bad in BadValue::ALL
            .into_iter()
            .filter(|bad| !matches!(bad, BadValue::Missing | BadValue::Repeated | BadValue::Empty))
        {
            for name in ["code", "error"] {
                let (state, cookie) = approve_consent(&kit, &url).await;
                let query = bad.build_query(&[(name, "c-1"), ("state", &state)], name);
                let raw = RawRequest::get(format!("/callback/1000?{query}")).header("cookie", cookie);
                let answer = kit.send_raw(&raw).await;
                let description = match name {
                    "code" => "The provider rejects the authorization code that it issued",
                    _ => "The provider did not complete the authorization",
                };
                let expected = ExpectedResponse::RedirectError(
                    domain::error::OAuthCode::ServerError,
                    description.into(),
                );
                expected.assert_matches(&answer, &format!("callback: {bad:?} as {name}"));
                assert!(!answer.location.as_ref().unwrap().contains("c-1"), "{bad:?} as {name}");
                let repeated = kit.send_raw(&raw).await;
                assert_eq!(repeated.location, answer.location, "the error is stored");
            }
        }
        assert_eq!(load_connection_state(&kit, &tokens.id).await, before);
        assert_eq!(kit.list_grant_states().await, ["active"]);
    }
}
