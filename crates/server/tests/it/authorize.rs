//! `GET /api/v1/authorize` and the way through the browser.

use http::Method;

use crate::kit::{Kit, Recipient, SCOPE, parameter};
use bowline::cli::Sent;

/// The error that a changed query brings back to the recipient.
async fn error(kit: &Kit, recipient: &Recipient, change: &[(&'static str, Option<&str>)]) -> String {
    let mut query = Kit::ask(recipient);
    for (name, value) in change {
        query.retain(|(known, _)| known != name);
        query.extend(value.map(|value| (*name, value.to_owned())));
    }
    let answer = kit.authorize(&query).await;
    assert_eq!(answer.status, 302, "{change:?}: {}", answer.body);
    let location = answer.location.unwrap();
    assert!(location.starts_with(&recipient.redirect_uri), "{location}");
    assert!(parameter(&location, "error_description").is_some_and(|text| text.is_ascii()));
    parameter(&location, "error").unwrap()
}

#[tokio::test]
async fn a_customer_connects_and_the_recipient_gets_code_and_state_back() {
    let kit = Kit::new().await;
    let back = kit.arrive(&Kit::ask(&kit.acme()), "alice", &["mt-alice-card"]).await;
    assert!(back.starts_with(&kit.acme().redirect_uri));
    assert_eq!(parameter(&back, "state").as_deref(), Some("a state/with=odd&chars"));
    assert_eq!(parameter(&back, "error"), None);
    assert!(parameter(&back, "code").unwrap().len() >= 43);
}

#[tokio::test]
async fn a_browser_forgets_each_request_that_is_over_and_can_connect_any_number_of_times() {
    let kit = Kit::new().await;
    for _ in 0..60 {
        let (at, page) =
            kit.follow(kit.app().public_url(), kit.authorize(&Kit::ask(&kit.acme())).await).await;
        let (back, answer) = kit.submit(&at, &page, &[("decision", "deny")]).await;
        assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with("bowline_flow_") && cookie.contains("Max-Age=0"), "{cookie}");
    }
    kit.connect(&kit.acme()).await;
}

#[tokio::test]
async fn who_may_not_redirect_gets_a_page_and_nothing_is_redirected() {
    let kit = Kit::new().await;
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
        let mut asked = Kit::ask(&acme);
        asked.retain(|(name, _)| *name != "redirect_uri");
        asked.push(("redirect_uri", wrong.to_owned()));
        let answer = kit.authorize(&asked).await;
        assert_eq!((answer.status, &answer.location), (400, &None), "{wrong}");
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    }
    for unknown in ["dc-nobody", "", "dc nobody", "<script>"] {
        let asked = Kit::ask(&Recipient { id: unknown.into(), ..acme.clone() });
        let answer = kit.authorize(&asked).await;
        assert_eq!((answer.status, &answer.location), (400, &None), "{unknown}");
        assert!(!answer.body.contains("<script>"));
    }
    let mut twice = Kit::ask(&acme);
    twice.push(("redirect_uri", uri));
    assert_eq!(kit.authorize(&twice).await.status, 400);
    let unregistered = kit.recipient(&[], SCOPE, false).await;
    let answer = kit.authorize(&Kit::ask(&unregistered)).await;
    assert_eq!((answer.status, answer.location), (400, None), "no active registration: no redirector");
}

#[tokio::test]
async fn every_other_error_goes_back_to_the_recipient() {
    let kit = Kit::new().await;
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
        assert_eq!(error(&kit, &acme, &[change]).await, word, "{change:?}");
    }
    let challenge = ("code_challenge", Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
    assert_eq!(
        error(&kit, &acme, &[challenge, ("code_challenge_method", Some("plain"))]).await,
        "invalid_request"
    );
    let mut twice = Kit::ask(&acme);
    twice.push(("scope", "ACCOUNT_BASIC".into()));
    let location = kit.authorize(&twice).await.location.unwrap();
    assert_eq!(parameter(&location, "error_description").as_deref(), Some("scope is given twice"));
    let narrow = kit.recipient(&[1000], SCOPE, false).await;
    assert_eq!(error(&kit, &narrow, &[("scope", Some("ACCOUNT_BASIC STATEMENTS"))]).await, "invalid_scope");
    let strict = kit.recipient(&[1000], SCOPE, true).await;
    assert_eq!(error(&kit, &strict, &[]).await, "invalid_request");
}

#[tokio::test]
async fn the_consent_page_names_the_recipient_in_two_languages_and_escapes_it() {
    let kit = Kit::new().await;
    let other = kit.recipient(&[1000], SCOPE, false).await;
    let page = |language: &'static str| {
        let (kit, other) = (&kit, &other);
        async move {
            let mut asked = Kit::ask(other);
            asked.push(("ui_locales", language.into()));
            let answer = kit.authorize(&asked).await;
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
    assert!(cookie.is_none(), "the cookie came with the redirect");
}

#[tokio::test]
async fn declining_at_the_hub_or_at_the_bank_is_access_denied() {
    let kit = Kit::new().await;
    let answer = kit.authorize(&Kit::ask(&kit.acme())).await;
    let (at, page) = kit.follow(kit.app().public_url(), answer).await;
    let (back, _) = kit.submit(&at, &page, &[("decision", "deny")]).await;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&back, "error_description").as_deref(), Some("The user denied the access"));
    let (at, page) = kit.up_to_accounts(&Kit::ask(&kit.acme()), "alice").await;
    let (back, _) = kit.submit(&at, &page, &[("decision", "deny")]).await;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn another_browser_cannot_take_a_step_of_this_one() {
    let kit = Kit::new().await;
    let answer = kit.authorize(&Kit::ask(&kit.acme())).await;
    let consent = kit.url(answer.location.as_deref().unwrap());
    let stranger = bowline::cli::Browser::new().unwrap();
    assert_eq!(stranger.send(Sent::new(Method::GET, &consent)).await.unwrap().status, 400);
    let (at, page) = kit.follow(kit.app().public_url(), answer).await;
    let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
    let form = [("form_token", token.as_str()), ("decision", "approve")];
    let forged = stranger.send(Sent::new(Method::POST, &at).form(&form)).await.unwrap();
    assert_eq!((forged.status, forged.location), (403, None));
    let without = kit.send(Sent::new(Method::POST, &at).form(&[("decision", "approve")])).await;
    assert_eq!(without.status, 403, "a post without the form's token does nothing");

    let (at, page) = kit.up_to_accounts(&Kit::ask(&kit.acme()), "alice").await;
    let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
    let chosen = [("form_token", token.as_str()), ("accounts", "mt-alice-card"), ("decision", "approve")];
    let callback = kit.send(Sent::new(Method::POST, &at).form(&chosen)).await.location.unwrap();
    let stolen = stranger.send(Sent::new(Method::GET, &callback)).await.unwrap();
    assert_eq!((stolen.status, stolen.location), (400, None), "a stolen callback is of no use");
    let mixed = callback.replace("/callback/1000", "/callback/2000");
    assert_eq!(kit.send(Sent::new(Method::GET, &mixed)).await.status, 400);
    let issuer = callback.replace("iss=http", "iss=https");
    assert_eq!(kit.send(Sent::new(Method::GET, &issuer)).await.status, 400);
    let own = kit.send(Sent::new(Method::GET, &callback)).await;
    assert_eq!(own.status, 302, "none of these used it up: {}", own.body);
    assert_eq!(kit.send(Sent::new(Method::GET, &callback)).await.status, 400, "it works once");
}

#[tokio::test]
async fn a_form_that_says_a_thing_twice_does_nothing() {
    let kit = Kit::new().await;
    let (at, page) = kit.follow(kit.app().public_url(), kit.authorize(&Kit::ask(&kit.acme())).await).await;
    let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
    let (token, yes, no) = (("form_token", token.as_str()), ("decision", "approve"), ("decision", "deny"));
    for form in [vec![token, yes, no], vec![token, no, yes], vec![token, yes, yes], vec![token, token, yes]] {
        let answer = kit.send(Sent::new(Method::POST, &at).form(&form)).await;
        assert_eq!((answer.status, answer.location), (400, None), "{form:?}");
    }
    assert_eq!(kit.send(Sent::new(Method::POST, &at).form(&[token, no])).await.status, 303);
}

#[tokio::test]
async fn without_a_provider_the_customer_picks_one_and_the_request_goes_on() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let mut asked = Kit::ask(&acme);
    asked.retain(|(name, _)| *name != "provider_id");
    asked.push(("colour", "red".into()));
    let page = kit.authorize(&asked).await;
    assert_eq!((page.status, &page.location), (200, &None), "{}", page.body);
    for shown in ["Choose your bank", "Acme Budget", "Maple Trust", "Caisse Rideau", "value=\"2000\""] {
        assert!(page.body.contains(shown), "{shown} is not in {}", page.body);
    }
    assert!(!page.body.contains("Prairie") && !page.body.contains("colour"), "{}", page.body);
    assert!(!page.headers.contains_key("set-cookie"), "nothing is kept yet");
    assert!(page.body.contains(r#"name="state" value="a state/with=odd&#38;chars""#), "{}", page.body);
    asked.push(("provider_id", "1000".into()));
    let back = kit.arrive(&asked, "alice", &["mt-alice-card"]).await;
    assert!(parameter(&back, "code").is_some(), "{back}");
    asked.last_mut().unwrap().1.clear();
    asked.push(("ui_locales", "fr".into()));
    let page = kit.authorize(&asked).await.body;
    assert!(page.contains("Choisissez votre banque"), "an empty one is an absent one: {page}");
    let declined = page.split("href=\"").find(|part| part.starts_with("http")).unwrap();
    let declined = declined.split('"').next().unwrap().replace("&#38;", "&");
    assert!(declined.starts_with(&acme.redirect_uri), "{declined}");
    assert_eq!(parameter(&declined, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&declined, "state").as_deref(), Some("a state/with=odd&chars"));
}

#[tokio::test]
async fn a_recipient_without_a_provider_that_is_open_gets_no_picker() {
    let kit = Kit::new().await;
    let nobody = kit.recipient(&[], SCOPE, false).await;
    let mut asked = Kit::ask(&nobody);
    asked.retain(|(name, _)| *name != "provider_id");
    let answer = kit.authorize(&asked).await;
    assert_eq!((answer.status, &answer.location), (400, &None), "no registration, no redirect");
    kit.hold_provider(1000, domain::model::provider::ProviderState::Paused).await;
    let only = kit.recipient(&[1000], SCOPE, false).await;
    assert_eq!(error(&kit, &only, &[("provider_id", None)]).await, "temporarily_unavailable");
}
