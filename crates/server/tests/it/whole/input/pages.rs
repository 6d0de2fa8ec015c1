//! The consent page and the provider's callback.

use std::collections::BTreeMap;

use bowline::cli::hidden;
use domain::id::AuthorizationRequestId;
use store::query::{RequestById, RequestByState};

use super::super::expect::{Expected, FOREIGN_FORM, NOTHING, OVER};
use super::super::state_of;
use super::{Bad, CHALLENGE, Case, Foreign, Values};
use crate::kit::{Kit, Raw, SCOPE, Tokens, parameter};

const FORM: &str = "application/x-www-form-urlencoded";

/// The cookie that an answer sets.
fn cookie(answer: &bowline::cli::Answer) -> String {
    answer.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// A connection that is to stay as it is, another recipient's, and a browser at each step.
pub(super) async fn values(kit: &Kit) -> (Values, Tokens, Tokens) {
    let scope = format!("{SCOPE} STATEMENTS");
    let (acme, other) = (kit.acme(), kit.recipient(&[1000], &scope, false).await);
    let everything = super::super::ALMOST;
    let tokens = kit.connect_at(1000, &acme, "alice", &["mt-alice-chequing"], everything).await;
    let foreign = kit.connect_at(1000, &other, "alice", &[], &scope).await;
    let first = kit.read("/accounts?limit=1", &foreign.access).await.json();
    let mut asked = Kit::ask(&acme);
    asked.extend([("code_challenge", CHALLENGE.into()), ("code_challenge_method", "S256".into())]);
    let code = parameter(&kit.arrive(&asked, "bob", &["mt-bob-chequing"]).await, "code").unwrap();
    let unused =
        parameter(&kit.arrive(&Kit::ask(&other), "bob", &["mt-bob-chequing"]).await, "code").unwrap();
    let url = crate::kit::authorize_url("", &Kit::ask(&acme));
    let began = kit.wire(&Raw::get(url.clone())).await;
    let request = began.location.clone().unwrap().trim_start_matches("/consent/").to_owned();
    let page = kit.wire(&Raw::get(format!("/consent/{request}")).header("cookie", cookie(&began))).await;
    let (state, cookies) = at_the_bank(kit, &url).await;
    let values = Values {
        client_id: acme.id,
        client_secret: acme.secret,
        redirect_uri: acme.redirect_uri,
        code,
        refresh: tokens.refresh.clone(),
        account: kit.account_id(&tokens.access).await,
        statement: kit.statement_id(&tokens.access).await,
        access: tokens.access.clone(),
        foreign: Foreign {
            client_id: other.id,
            redirect_uri: other.redirect_uri,
            code: unused,
            refresh: foreign.refresh.clone(),
            access: foreign.access.clone(),
            account: kit.account_id(&foreign.access).await,
            statement: kit.statement_id(&foreign.access).await,
            cursor: first["page"]["nextOffset"].as_str().unwrap().to_owned(),
        },
        request,
        cookie: cookie(&began),
        form_token: hidden(&page.body, "form_token").unwrap(),
        state,
        cookies,
        issuer: kit.bank(1000).url.clone(),
        connection: tokens.id.to_string(),
        operator: kit.admin_token().to_owned(),
        manage: super::manage::with_connections(kit, super::manage::values(kit).await, &tokens, &foreign)
            .await,
    };
    (values, tokens, foreign)
}

/// A browser that was sent to the bank: the hub's state, and the cookie.
async fn at_the_bank(kit: &Kit, url: &str) -> (String, String) {
    let began = kit.wire(&Raw::get(url)).await;
    let (at, cookie) = (began.location.clone().unwrap(), cookie(&began));
    let page = kit.wire(&Raw::get(at.clone()).header("cookie", cookie.clone())).await;
    let body = format!("form_token={}&decision=approve", hidden(&page.body, "form_token").unwrap());
    let sent = kit.wire(&Raw::post(at, FORM, body).header("cookie", cookie.clone())).await;
    Expected::ToBank.hold(&sent, "the way to the bank");
    (parameter(&sent.location.unwrap(), "state").unwrap(), cookie)
}

/// How far the two browsers have come.
pub(super) async fn steps(kit: &Kit, values: &Values) -> BTreeMap<&'static str, String> {
    let id = AuthorizationRequestId::parse(&values.request).unwrap();
    let waiting = kit.app().store().ask(&RequestById { id }).await.unwrap().unwrap();
    let state = kit.app().vault().hashes(&values.state);
    let away = kit.app().store().ask(&RequestByState { state }).await.unwrap().unwrap();
    BTreeMap::from([("at the hub", format!("{waiting:?}")), ("at the bank", format!("{away:?}"))])
}

/// Both browsers can still take their step.
pub(super) async fn go_on(kit: &Kit, values: &Values) {
    let declined = format!("form_token={}&decision=deny", values.form_token);
    let consent = Raw::post(format!("/consent/{}", values.request), FORM, declined);
    let answer = kit.wire(&consent.header("cookie", values.cookie.as_str())).await;
    let denied =
        || Expected::Back(domain::error::OAuthCode::AccessDenied, "The user denied the access".into());
    denied().hold(&answer, "the consent page");
    let callback = Raw::get(format!("/callback/1000?error=access_denied&state={}", values.state));
    let answer = kit.wire(&callback.header("cookie", values.cookies.as_str())).await;
    denied().hold(&answer, "the callback");
}

pub(in super::super) fn consent_cases(values: &Values) -> Vec<Case> {
    let path = format!("/consent/{}", values.request);
    let mut cases = Vec::new();
    for bad in Bad::ALL.into_iter().filter(|bad| !matches!(bad, Bad::Missing | Bad::Twice | Bad::Empty)) {
        for (method, body) in [("GET", ""), ("POST", "decision=approve")] {
            let target = format!("/consent/{}", bad.encoded(&values.request));
            let raw = if method == "GET" { Raw::get(target) } else { Raw::post(target, FORM, body) };
            let raw = raw.header("cookie", values.cookie.as_str());
            cases.push(Case::new(
                format!("consent, {method}: {bad:?} as id"),
                raw,
                Expected::Page(404, NOTHING),
            ));
        }
    }
    for (target, status, title) in [
        ("/consent/arq_unknown".to_owned(), 400, OVER),
        ("/consent/".to_owned(), 404, NOTHING),
        ("/consent".to_owned(), 404, NOTHING),
        (format!("{path}/"), 404, NOTHING),
        (format!("{path}/.."), 404, NOTHING),
        ("/consent/con_1".to_owned(), 404, NOTHING),
    ] {
        let raw = Raw::get(target.clone()).header("cookie", values.cookie.as_str());
        cases.push(Case::new(format!("consent: {target}"), raw, Expected::Page(status, title)));
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
        let raw = Raw::get(path.clone()).header("cookie", wrong.clone());
        cases.push(Case::new(format!("consent, cookie {shown}"), raw, Expected::Page(400, OVER)));
        let form = format!("form_token={}&decision=approve", values.form_token);
        let raw = Raw::post(path.clone(), FORM, form).header("cookie", wrong);
        cases.push(Case::new(
            format!("consent, form, cookie {shown}"),
            raw,
            Expected::Page(403, FOREIGN_FORM),
        ));
    }
    cases.extend(forms(values, &path));
    cases
}

/// Forms that did not come from our page, or say neither yes nor no.
fn forms(values: &Values, path: &str) -> Vec<Case> {
    let good = [("form_token", values.form_token.as_str()), ("decision", "approve")];
    let post = |body: String| Raw::post(path, FORM, body).header("cookie", values.cookie.as_str());
    let mut cases = Vec::new();
    for bad in Bad::ALL {
        let token = if bad == Bad::Twice { 400 } else { 403 };
        for (name, status) in [("form_token", token), ("decision", 400)] {
            let raw = post(bad.within(&good, name));
            let expected = Expected::Page(status, FOREIGN_FORM);
            cases.push(Case::new(format!("consent: {bad:?} as {name}"), raw, expected));
        }
    }
    let whole = || format!("form_token={}&decision=approve", values.form_token);
    let both = format!("{}&decision=deny", whole());
    cases.push(Case::new("consent: yes and no", post(both), Expected::Page(400, FOREIGN_FORM)));
    for decision in ["APPROVE", "yes", "true", "approve,deny"] {
        let raw = post(whole().replace("approve", decision));
        cases.push(Case::new(format!("consent: {decision}"), raw, Expected::Page(400, FOREIGN_FORM)));
    }
    for (name, value) in [
        ("origin", "null"),
        ("origin", "https://evil.example.org"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-site", ""),
    ] {
        let raw = post(whole()).header(name, value);
        cases.push(Case::new(format!("consent: {name} {value}"), raw, Expected::Page(403, FOREIGN_FORM)));
    }
    for media_type in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        let raw = Raw::post(path, media_type, whole()).header("cookie", values.cookie.as_str());
        cases.push(Case::new(format!("consent: {media_type}"), raw, Expected::Page(415, FOREIGN_FORM)));
    }
    cases.push(Case::new("consent: 70 kB", post("x".repeat(70_000)), Expected::Page(413, FOREIGN_FORM)));
    cases
}

pub(in super::super) fn callback_cases(values: &Values) -> Vec<Case> {
    let good = [("code", "c-1"), ("state", values.state.as_str()), ("iss", values.issuer.as_str())];
    let get = |target: String| Raw::get(target).header("cookie", values.cookies.as_str());
    let mut cases = Vec::new();
    for name in ["code", "state", "iss"] {
        for bad in Bad::ALL {
            // A code is whatever the bank says; an `iss` that is not sent is not looked at.
            let taken = match name {
                "code" => !matches!(bad, Bad::Missing | Bad::Twice | Bad::Empty),
                "iss" => matches!(bad, Bad::Missing | Bad::Empty),
                _ => false,
            };
            if !taken {
                let raw = get(format!("/callback/1000?{}", bad.within(&good, name)));
                cases.push(Case::new(format!("callback: {bad:?} as {name}"), raw, Expected::Page(400, OVER)));
            }
        }
    }
    let whole = Bad::Missing.within(&good, "colour");
    for provider in
        ["2000", "9999", "0", "-1", "01000", "1000.0", "1e3", "x", "%00", "1000%00", "%FF", "..", "1000;x"]
    {
        let raw = get(format!("/callback/{provider}?{whole}"));
        cases.push(Case::new(format!("callback of {provider}"), raw, Expected::Page(400, OVER)));
    }
    for (what, query) in [
        ("a code and an error", format!("{whole}&error=access_denied")),
        ("nothing", String::new()),
        ("an error twice", format!("error=x&error=y&state={}", values.state)),
        ("an error without a state", "error=access_denied".to_owned()),
        ("an error of another issuer", format!("error=x&iss=https%3A%2F%2Fevil&state={}", values.state)),
        ("another state", "code=c-1&state=c-1".to_owned()),
    ] {
        let raw = get(format!("/callback/1000?{query}"));
        cases.push(Case::new(format!("callback: {what}"), raw, Expected::Page(400, OVER)));
    }
    for wrong in
        [String::new(), values.cookie.clone(), values.cookies.replace('=', "=x"), "bowline_flow_=".into()]
    {
        let raw = Raw::get(format!("/callback/1000?{whole}")).header("cookie", wrong.clone());
        cases.push(Case::new(format!("callback, cookie {wrong}"), raw, Expected::Page(400, OVER)));
    }
    cases
}

/// The pages of the documents: there are those of the documents, and no others.
pub(super) fn docs_cases() -> Vec<Case> {
    let mut paths: Vec<String> = vec!["FLINKS", "flinks.json", "..", ".", "flinks/x", "docs", "0"]
        .into_iter()
        .map(|name| format!("/docs/{name}"))
        .collect();
    for bad in Bad::ALL {
        paths.push(match bad {
            Bad::Missing | Bad::Empty => "/docs/".to_owned(),
            Bad::Twice => "/docs/flinks/flinks".to_owned(),
            _ => format!("/docs/{}", bad.encoded("flinks")),
        });
    }
    let case =
        |path: String| Case::new(format!("docs: {path}"), Raw::get(path), Expected::Page(404, NOTHING));
    let mut cases: Vec<Case> = paths.into_iter().map(case).collect();
    for path in ["/docs?document=flinks", "/docs/flinks?x=%zz", "//docs//flinks"] {
        cases.push(Case::new(format!("docs: {path}"), Raw::get(path), Expected::Page(200, "API reference")));
    }
    cases
}

/// What a bank, or whoever writes its redirect, may put into a code: the visit is over, nothing is shown of it.
#[tokio::test]
async fn a_code_that_the_bank_does_not_know_ends_the_visit_and_nothing_else() {
    for kit in [Kit::new().await, Kit::on(Some(crate::kit::fresh_database().await)).await] {
        let tokens = kit.connect(&kit.acme()).await;
        let before = state_of(&kit, &tokens.id).await;
        let url = crate::kit::authorize_url("", &Kit::ask(&kit.acme()));
        for bad in Bad::ALL.into_iter().filter(|bad| !matches!(bad, Bad::Missing | Bad::Twice | Bad::Empty)) {
            for name in ["code", "error"] {
                let (state, cookie) = at_the_bank(&kit, &url).await;
                let query = bad.within(&[(name, "c-1"), ("state", &state)], name);
                let raw = Raw::get(format!("/callback/1000?{query}")).header("cookie", cookie);
                let answer = kit.wire(&raw).await;
                let told = "The provider did not complete the authorization";
                let expected = Expected::Back(domain::error::OAuthCode::ServerError, told.into());
                expected.hold(&answer, &format!("callback: {bad:?} as {name}"));
                assert!(!answer.location.unwrap().contains("c-1"), "{bad:?} as {name}");
                assert_eq!(kit.wire(&raw).await.status, 400, "the visit is over");
            }
        }
        assert_eq!(state_of(&kit, &tokens.id).await, before);
        assert_eq!(kit.grants().await, ["active"]);
    }
}
