//! Tests of `GET /api/v1/authorize` and of the authorization flow in a browser: pages, redirects, errors and denial.

use http::Method;

use crate::support::{SCOPE, TestClient, TestHub, query_parameter};
use bowline::cli::BrowserRequest;

/// Sends an authorization request with changed parameters, and returns the error code that the redirect URI receives.
async fn get_authorize_error(
    kit: &TestHub,
    recipient: &TestClient,
    change: &[(&'static str, Option<&str>)],
) -> String {
    let mut query = TestHub::build_authorization_query(recipient);
    for (name, value) in change {
        query.retain(|(known, _)| known != name);
        query.extend(value.map(|value| (*name, value.to_owned())));
    }
    let answer = kit.authorize(&query).await;
    assert_eq!(answer.status, 302, "{change:?}: {}", answer.body);
    let location = answer.location.unwrap();
    assert!(location.starts_with(&recipient.redirect_uri), "{location}");
    assert!(query_parameter(&location, "error_description").is_some_and(|text| text.is_ascii()));
    query_parameter(&location, "error").unwrap()
}

#[tokio::test]
async fn rfc6749_s4_1_2_response_has_code_and_state() {
    let kit = TestHub::new().await;
    let back = kit
        .complete_authorization(&TestHub::build_authorization_query(&kit.acme()), "alice", &["mt-alice-card"])
        .await;
    assert!(back.starts_with(&kit.acme().redirect_uri));
    assert_eq!(query_parameter(&back, "state").as_deref(), Some("a state/with=odd&chars"));
    assert_eq!(query_parameter(&back, "error"), None);
    assert!(query_parameter(&back, "code").unwrap().len() >= 43);
}

#[tokio::test]
async fn many_finished_authorizations_prevent_no_further_one() {
    let kit = TestHub::new().await;
    for _ in 0..60 {
        let (at, page) = kit
            .follow(
                kit.app().public_url(),
                kit.authorize(&TestHub::build_authorization_query(&kit.acme())).await,
            )
            .await;
        let (back, answer) = kit.submit(&at, &page, &[("decision", "deny")]).await;
        assert_eq!(query_parameter(&back, "error").as_deref(), Some("access_denied"));
        assert!(!answer.headers.contains_key("set-cookie"), "the page shows that the request is complete");
    }
    kit.connect(&kit.acme()).await;
}

#[tokio::test]
async fn rfc6749_s4_1_2_1_invalid_redirect_uri_never_redirects() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let uri = acme.redirect_uri.clone();
    let slash = format!("{uri}/");
    let query = format!("{uri}?x=1");
    let port = uri.replace("/callback", "0/callback");
    let other_port = uri.replace("127.0.0.1:", "127.0.0.1:1");
    let case = uri.replace("callback", "Callback");
    let injected = format!("{uri}\r\nSet-Cookie: a=b");
    for wrong in [
        &slash,
        &query,
        &port,
        &other_port,
        &case,
        &injected,
        "http://evil.example.org/",
        "",
        "javascript:alert(1)",
    ] {
        let mut parameters = TestHub::build_authorization_query(&acme);
        parameters.retain(|(name, _)| *name != "redirect_uri");
        parameters.push(("redirect_uri", wrong.to_owned()));
        let answer = kit.authorize(&parameters).await;
        assert_eq!((answer.status, &answer.location), (400, &None), "{wrong}");
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    }
    for unknown in ["dc-unknown", "", "dc unknown", "<script>"] {
        let parameters =
            TestHub::build_authorization_query(&TestClient { id: unknown.into(), ..acme.clone() });
        let answer = kit.authorize(&parameters).await;
        assert_eq!((answer.status, &answer.location), (400, &None), "{unknown}");
        assert!(!answer.body.contains("<script>"));
    }
    let mut twice = TestHub::build_authorization_query(&acme);
    twice.push(("redirect_uri", uri));
    assert_eq!(kit.authorize(&twice).await.status, 400);
    let unregistered = kit.register_recipient(&[], SCOPE, false).await;
    let answer = kit.authorize(&TestHub::build_authorization_query(&unregistered)).await;
    assert_eq!((answer.status, answer.location), (400, None), "no redirect without an active registration");
}

#[tokio::test]
async fn rfc6749_s4_1_2_1_other_errors_redirect_to_client() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    for (change, word) in [
        (("response_type", Some("token")), "unsupported_response_type"),
        (("response_type", None), "invalid_request"),
        (("state", None), "invalid_request"),
        (("scope", None), "invalid_request"),
        (("scope", Some("TRANSACTIONS")), "invalid_scope"),
        (("scope", Some("ACCOUNT_BASIC PONIES")), "invalid_scope"),
        (("provider_id", Some("9999")), "invalid_request"),
        (("provider_id", Some("maple")), "invalid_request"),
        (("code_challenge", Some("short")), "invalid_request"),
    ] {
        assert_eq!(get_authorize_error(&kit, &acme, &[change]).await, word, "{change:?}");
    }
    let challenge = ("code_challenge", Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
    assert_eq!(
        get_authorize_error(&kit, &acme, &[challenge, ("code_challenge_method", Some("plain"))]).await,
        "invalid_request"
    );
    let mut twice = TestHub::build_authorization_query(&acme);
    twice.push(("scope", "ACCOUNT_BASIC".into()));
    let location = kit.authorize(&twice).await.location.unwrap();
    assert_eq!(query_parameter(&location, "error_description").as_deref(), Some("scope is given twice"));
    let narrow = kit.register_recipient(&[1000], SCOPE, false).await;
    assert_eq!(
        get_authorize_error(&kit, &narrow, &[("scope", Some("ACCOUNT_BASIC STATEMENTS"))]).await,
        "invalid_scope"
    );
    let strict = kit.register_recipient(&[1000], SCOPE, true).await;
    assert_eq!(get_authorize_error(&kit, &strict, &[]).await, "invalid_request");
}

#[tokio::test]
async fn consent_page_is_localized_and_escapes_recipient_name() {
    let kit = TestHub::new().await;
    let other = kit.register_recipient(&[1000], SCOPE, false).await;
    let page = |language: &'static str| {
        let (kit, other) = (&kit, &other);
        async move {
            let mut query = TestHub::build_authorization_query(other);
            query.push(("ui_locales", language.into()));
            let answer = kit.authorize(&query).await;
            kit.follow(kit.app().public_url(), answer).await.1
        }
    };
    let (english, french) = (page("en").await, page("fr-CA").await);
    assert!(english.body.contains("Because.") && english.body.contains("Your transactions"));
    assert!(french.body.contains("Parce que.") && french.body.contains("Vos opérations"));
    assert!(french.body.contains(r#"<html lang="fr">"#));
    assert!(english.body.contains("Other &#60;b&#62;App") && !english.body.contains("<b>App"));
    let policy = english.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(english.headers["referrer-policy"], "same-origin");
    let cookie = english.headers.get("set-cookie");
    assert!(cookie.is_none(), "the cookie was set by the redirect");
}

#[tokio::test]
async fn denial_at_hub_or_bank_returns_access_denied() {
    let kit = TestHub::new().await;
    let answer = kit.authorize(&TestHub::build_authorization_query(&kit.acme())).await;
    let (at, page) = kit.follow(kit.app().public_url(), answer).await;
    let (back, _) = kit.submit(&at, &page, &[("decision", "deny")]).await;
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(query_parameter(&back, "error_description").as_deref(), Some("The user denied the access"));
    let (at, page) = kit.reach_account_page(&TestHub::build_authorization_query(&kit.acme()), "alice").await;
    let (back, _) = kit.submit(&at, &page, &[("decision", "deny")]).await;
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn authorization_flow_in_other_browser_is_rejected() {
    let kit = TestHub::new().await;
    let answer = kit.authorize(&TestHub::build_authorization_query(&kit.acme())).await;
    let consent = kit.url(answer.location.as_deref().unwrap());
    let other_browser = bowline::cli::Browser::new().unwrap();
    assert_eq!(other_browser.send(BrowserRequest::new(Method::GET, &consent)).await.unwrap().status, 400);
    let (at, page) = kit.follow(kit.app().public_url(), answer).await;
    let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
    let form = [("csrf_token", token.as_str()), ("decision", "approve")];
    let forged = other_browser.send(BrowserRequest::new(Method::POST, &at).form(&form)).await.unwrap();
    assert_eq!((forged.status, forged.location), (403, None));
    let without = kit.send(BrowserRequest::new(Method::POST, &at).form(&[("decision", "approve")])).await;
    assert_eq!(without.status, 403, "a form without its CSRF token has no effect");

    let (at, page) = kit.reach_account_page(&TestHub::build_authorization_query(&kit.acme()), "alice").await;
    let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
    let chosen = [("csrf_token", token.as_str()), ("accounts", "mt-alice-card"), ("decision", "approve")];
    let callback = kit.send(BrowserRequest::new(Method::POST, &at).form(&chosen)).await.location.unwrap();
    let stolen = other_browser.send(BrowserRequest::new(Method::GET, &callback)).await.unwrap();
    assert_eq!((stolen.status, stolen.location), (400, None), "a stolen callback is rejected");
    let mixed = callback.replace("/callback/1000", "/callback/2000");
    assert_eq!(kit.send(BrowserRequest::new(Method::GET, &mixed)).await.status, 400);
    let issuer = callback.replace("iss=http", "iss=https");
    assert_eq!(kit.send(BrowserRequest::new(Method::GET, &issuer)).await.status, 400);
    let own = kit.send(BrowserRequest::new(Method::GET, &callback)).await;
    assert_eq!(own.status, 302, "the failed attempts did not use up the callback: {}", own.body);
    let former = query_parameter(&own.location.unwrap(), "code").unwrap();
    let stolen = other_browser.send(BrowserRequest::new(Method::GET, &callback)).await.unwrap();
    assert_eq!((stolen.status, stolen.location), (400, None), "only its own browser can repeat it");
    assert_eq!(kit.redeem(&kit.acme(), &former).await.status, 200, "the attempt did not replace the code");
}

#[tokio::test]
async fn consent_form_with_duplicate_fields_is_rejected() {
    let kit = TestHub::new().await;
    let (at, page) = kit
        .follow(kit.app().public_url(), kit.authorize(&TestHub::build_authorization_query(&kit.acme())).await)
        .await;
    let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
    let (token, yes, no) = (("csrf_token", token.as_str()), ("decision", "approve"), ("decision", "deny"));
    for form in [vec![token, yes, no], vec![token, no, yes], vec![token, yes, yes], vec![token, token, yes]] {
        let answer = kit.send(BrowserRequest::new(Method::POST, &at).form(&form)).await;
        assert_eq!((answer.status, answer.location), (400, None), "{form:?}");
    }
    assert_eq!(kit.send(BrowserRequest::new(Method::POST, &at).form(&[token, no])).await.status, 303);
}

#[tokio::test]
async fn authorize_without_provider_shows_picker() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let mut query = TestHub::build_authorization_query(&acme);
    query.retain(|(name, _)| *name != "provider_id");
    query.push(("colour", "red".into()));
    let page = kit.authorize(&query).await;
    assert_eq!((page.status, &page.location), (200, &None), "{}", page.body);
    for shown in ["Choose your bank", "Acme Budget", "Maple Trust", "Caisse Rideau", "value=\"2000\""] {
        assert!(page.body.contains(shown), "{shown} is not in {}", page.body);
    }
    assert!(!page.body.contains("Prairie") && !page.body.contains("colour"), "{}", page.body);
    assert!(!page.headers.contains_key("set-cookie"), "nothing is stored yet");
    assert!(page.body.contains(r#"name="state" value="a state/with=odd&#38;chars""#), "{}", page.body);
    query.push(("provider_id", "1000".into()));
    let back = kit.complete_authorization(&query, "alice", &["mt-alice-card"]).await;
    assert!(query_parameter(&back, "code").is_some(), "{back}");
    query.last_mut().unwrap().1.clear();
    query.push(("ui_locales", "fr".into()));
    let page = kit.authorize(&query).await.body;
    assert!(page.contains("Choisissez votre banque"), "an empty parameter is treated as absent: {page}");
    let declined = page.split("href=\"").find(|part| part.starts_with("http")).unwrap();
    let declined = declined.split('"').next().unwrap().replace("&#38;", "&");
    assert!(declined.starts_with(&acme.redirect_uri), "{declined}");
    assert_eq!(query_parameter(&declined, "error").as_deref(), Some("access_denied"));
    assert_eq!(query_parameter(&declined, "state").as_deref(), Some("a state/with=odd&chars"));
}

#[tokio::test]
async fn authorize_without_active_provider_shows_no_picker() {
    let kit = TestHub::new().await;
    let unregistered = kit.register_recipient(&[], SCOPE, false).await;
    let mut query = TestHub::build_authorization_query(&unregistered);
    query.retain(|(name, _)| *name != "provider_id");
    let answer = kit.authorize(&query).await;
    assert_eq!((answer.status, &answer.location), (400, &None), "no redirect without a registration");
    kit.set_provider_state(1000, domain::model::provider::ProviderState::Paused).await;
    let only = kit.register_recipient(&[1000], SCOPE, false).await;
    assert_eq!(get_authorize_error(&kit, &only, &[("provider_id", None)]).await, "temporarily_unavailable");
}
