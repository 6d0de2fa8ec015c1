//! Tests of the authorization flow in a customer's browser, at all banks and in both languages.

use axum::http::{HeaderName, Method, StatusCode, header};
use serde_json::json;

use crate::support::{ORIGIN, REDIRECT_URI, SCOPE, TestBank, VERIFIER, text_member};

#[tokio::test]
async fn maple_client_reads_only_chosen_accounts() {
    let bank = TestBank::maple();
    let tokens = bank.grant_accounts(&["mt-alice-chequing", "mt-alice-card"]).await;

    assert_eq!(tokens["accounts"], json!(["mt-alice-chequing", "mt-alice-card"]));
    assert!(
        text_member(&tokens, "customer_id").starts_with("mtc-")
            && text_member(&tokens, "grant_id").starts_with("mg_")
    );

    let token = text_member(&tokens, "access_token");
    let list = bank.read(token, "/accounts").await.json();

    assert_eq!(list["page"]["totalElements"], 2);
    assert!(
        list["accounts"][0]["depositAccount"].get("currentBalance").is_none(),
        "the list must be lightweight by default"
    );

    let detail = bank.read(token, "/accounts/mt-alice-card").await.json();
    assert!(detail["locAccount"]["currentBalance"].is_number());
    assert_eq!(bank.read(token, "/accounts/mt-alice-savings").await.json()["code"], 701);
    assert_eq!(bank.read(token, "/customers/current").await.json()["code"], 602);
    assert_eq!(bank.read("forged.1.2", "/accounts").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rideau_shows_requested_data_before_sign_in() {
    let bank = TestBank::rideau();
    let mut browser = bank.browser();

    assert_eq!(browser.begin_authorization(SCOPE, None).await.location, "/request");
    assert_eq!(browser.get("/sign-in").await.location, "/request", "sign-in must follow the agreement");

    let request = browser.get("/request").await;
    assert!(
        request.text.contains(r#"lang="fr""#) && request.text.contains("demande à lire vos renseignements")
    );
    assert!(
        request.text.contains("Les opérations") && !request.text.contains("placement"),
        "only the requested data must be listed"
    );

    let early = [
        ("csrf_token", &*request.csrf_token()),
        ("username", "alice"),
        ("password", &bank.password("alice")),
    ];
    assert_eq!(browser.post("/sign-in", &early).await.location, "/request");

    let agreed = browser.submit("/request", &[("decision", "approve")]).await;
    assert_eq!(agreed.location, "/sign-in");
    assert!(browser.get("/sign-in").await.text.contains("Mot de passe"));

    let signed_in = browser.sign_in("/sign-in", "alice", &bank.password("alice")).await;
    assert_eq!(signed_in.location, "/consent");

    let page = browser.get("/consent").await;
    assert!(page.text.contains("Bonjour Alice") && page.text.contains("Compte courant"));

    let callback =
        browser.submit("/consent", &[("accounts", "cr-alice-celi"), ("decision", "approve")]).await;
    assert_eq!(callback.parameter("iss").as_deref(), Some("http://127.0.0.1:8402"));

    let tokens = bank.redeem_code(&callback.parameter("code").unwrap(), VERIFIER).await.json();
    assert_eq!(tokens["comptes"], json!(["cr-alice-celi"]));
    assert!(
        text_member(&tokens, "membre").starts_with("crc-")
            && text_member(&tokens, "consentement").starts_with("crg_")
    );
    assert!(tokens.get("accounts").is_none() && tokens.get("customer_id").is_none());
    assert_eq!(
        bank.read(text_member(&tokens, "access_token"), "/accounts").await.json()["page"]["totalElements"],
        1
    );
}

#[tokio::test]
async fn bank_uses_requested_language_or_its_default() {
    for (bank, own) in [(TestBank::maple(), "en"), (TestBank::rideau(), "fr"), (TestBank::prairie(), "en")] {
        for (requested, expected) in
            [(Some("en-CA"), "en"), (Some("fr-CA en"), "fr"), (Some("de"), own), (None, own)]
        {
            let mut browser = bank.browser();
            let first_page = browser.begin_authorization(SCOPE, requested).await.location;
            let page = browser.get(&first_page).await;
            assert!(page.text.contains(&format!(r#"<html lang="{expected}">"#)), "{requested:?}");
        }
    }
}

#[tokio::test]
async fn bank_language_link_applies_to_following_pages() {
    let bank = TestBank::maple();
    let mut browser = bank.browser();
    browser.begin_authorization(SCOPE, Some("en")).await;
    let page = browser.get("/sign-in").await;

    assert!(page.text.contains(r#"href="?lang=fr""#) && page.text.contains("Français"));
    assert!(browser.get("/sign-in?lang=fr").await.text.contains("Nom d’utilisateur"));

    let wrong = browser.sign_in("/sign-in", "alice", "wrong").await;
    assert!(wrong.text.contains("est erroné"), "the response to a form must use the language too");

    browser.sign_in("/sign-in", "alice", &bank.password("alice")).await;
    assert!(browser.get("/consent").await.text.contains("Bonjour Alice"));
    assert!(browser.get("/").await.text.contains("Bienvenue"), "other pages must use the language too");

    browser.begin_authorization(SCOPE, Some("en")).await;
    assert!(
        browser.get("/sign-in").await.text.contains("User name"),
        "the language that the hub requests takes precedence"
    );
}

#[tokio::test]
async fn bank_wrong_password_shows_form_with_username() {
    let bank = TestBank::maple();
    let mut browser = bank.browser();
    browser.begin_authorization(SCOPE, None).await;
    let page = browser.sign_in("/sign-in", "alice", "wrong").await;

    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("is wrong") && page.text.contains(r#"value="alice""#));

    let unknown_user = browser.sign_in("/sign-in", "<b>mallory", "wrong").await;
    assert!(
        unknown_user.status == StatusCode::UNPROCESSABLE_ENTITY && !unknown_user.text.contains("<b>mallory")
    );

    let foreign = bank.password("bob");
    assert_eq!(browser.sign_in("/sign-in", "alice", &foreign).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn bank_decline_returns_access_denied_to_client() {
    for (bank, pages) in
        [(TestBank::maple(), &["/consent"][..]), (TestBank::rideau(), &["/request", "/consent"][..])]
    {
        for page in pages {
            let mut browser = bank.browser();
            browser.begin_authorization(SCOPE, None).await;
            if *page == "/consent" {
                browser.approve_request_if_shown().await;
                browser.sign_in("/sign-in", "alice", &bank.password("alice")).await;
            }
            let denied = browser.submit(page, &[("decision", "deny")]).await;
            assert!(denied.location.starts_with(REDIRECT_URI));
            assert_eq!(denied.parameter("error").as_deref(), Some("access_denied"));
            assert_eq!(denied.parameter("state").as_deref(), Some("s 1"));
            let back = browser.get(page).await;
            assert_eq!(back.status, StatusCode::BAD_REQUEST);
            assert!(back.text.contains("You declined") || back.text.contains("Vous avez refusé"));
        }
    }
}

#[tokio::test]
async fn bank_empty_or_foreign_account_choice_is_rejected() {
    for (bank, foreign) in [(TestBank::maple(), "mt-bob-chequing"), (TestBank::rideau(), "cr-bob-courant")] {
        let mut browser = bank.browser();
        browser.begin_authorization(SCOPE, None).await;
        browser.approve_request_if_shown().await;
        browser.sign_in("/sign-in", "alice", &bank.password("alice")).await;
        for chosen in [&[][..], &[("accounts", foreign)][..]] {
            let again = browser.submit("/consent", &[chosen, &[("decision", "approve")]].concat()).await;
            assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(again.text.contains(r#"role="alert""#) && !again.text.contains(foreign));
        }
    }
}

#[tokio::test]
async fn bank_closed_account_is_unchecked_but_selectable() {
    for (bank, id) in [(TestBank::maple(), "mt-farid-chequing"), (TestBank::rideau(), "cr-farid-courant")] {
        let mut browser = bank.browser();
        browser.begin_authorization(SCOPE, Some("en")).await;
        browser.approve_request_if_shown().await;
        browser.sign_in("/sign-in", "farid", &bank.password("farid")).await;
        let page = browser.get("/consent").await;
        assert_eq!(page.account_choices(), [(id.to_owned(), false)]);
        assert!(page.text.contains("Closed"));
        let callback = browser.submit("/consent", &[("accounts", id), ("decision", "approve")]).await;
        assert!(callback.parameter("code").is_some());
    }
}

#[tokio::test]
async fn bank_ended_sign_in_session_explains_reason() {
    let bank = TestBank::maple();
    let mut other_browser = bank.browser();
    let page = other_browser.get("/sign-in").await;

    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("another browser"));

    let mut slow = bank.browser();
    slow.begin_authorization(SCOPE, Some("fr")).await;
    bank.advance(600_000);
    let page = slow.get("/sign-in").await;

    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("a trop duré"), "{}", page.text);

    let mut done = bank.browser();
    done.begin_authorization(SCOPE, None).await;
    done.sign_in("/sign-in", "alice", &bank.password("alice")).await;
    let page = done.get("/consent").await;
    let fields =
        [("csrf_token", &*page.csrf_token()), ("accounts", "mt-alice-card"), ("decision", "approve")];

    assert!(done.post("/consent", &fields).await.location.starts_with(REDIRECT_URI));

    let again = done.post("/consent", &fields).await;
    assert!(again.status == StatusCode::BAD_REQUEST && again.text.contains("has been used"));
    assert_eq!(again.location, "", "no second code must be issued");
}

#[tokio::test]
async fn bank_authorize_error_redirects_only_to_registered_uri() {
    for (bank, text) in [(TestBank::maple(), "not known here"), (TestBank::rideau(), "pas connu ici")] {
        for query in ["client_id=hub&redirect_uri=http://evil", "client_id=x&redirect_uri=", ""] {
            let foreign = bank.get(&format!("/authorize?{query}")).await;
            assert_eq!((foreign.status, foreign.location.as_str()), (StatusCode::BAD_REQUEST, ""));
            assert!(foreign.text.contains(text), "{}", foreign.text);
        }
        let without_pkce = bank.get(&format!("/authorize?client_id=hub&redirect_uri={REDIRECT_URI}")).await;
        assert_eq!(without_pkce.parameter("error").as_deref(), Some("invalid_request"));
        let unsupported = bank.browser().begin_authorization("openid fdx:tax:read", None).await;
        assert_eq!(unsupported.parameter("error").as_deref(), Some("invalid_scope"));
    }
}

#[tokio::test]
async fn bank_sign_in_rejects_foreign_form() {
    let bank = TestBank::maple();
    let mut browser = bank.browser();
    browser.begin_authorization(SCOPE, None).await;
    let token = browser.get("/sign-in").await.csrf_token();
    let (site, origin) = (HeaderName::from_static("sec-fetch-site"), header::ORIGIN);
    let password = bank.password("alice");
    let good = [("csrf_token", &*token), ("username", "alice"), ("password", &*password)];
    let forged = [("csrf_token", "x"), ("username", "alice"), ("password", &*password)];
    for (headers, fields) in [
        (&[][..], &forged),
        (&[(site.clone(), "cross-site")][..], &good),
        (&[(origin.clone(), "http://evil.example")][..], &good),
        (&[(origin.clone(), "null")][..], &good),
    ] {
        let response = browser.send(Method::POST, "/sign-in", headers, fields).await;
        assert_eq!(response.status, StatusCode::BAD_REQUEST, "{headers:?}");
    }
    let own_form = [(site, "same-origin"), (origin.clone(), "null")];

    assert_eq!(browser.send(Method::POST, "/sign-in", &own_form, &good).await.location, "/consent");

    let late = browser.send(Method::POST, "/sign-in", &[(origin, ORIGIN)], &good).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "the token from before the sign-in must be rejected");
}

#[tokio::test]
async fn bank_pages_have_security_headers() {
    let bank = TestBank::rideau();
    let mut browser = bank.browser();
    browser.begin_authorization(SCOPE, None).await;
    for (page, form_action) in [
        ("/request", "form-action https: http://127.0.0.1:*"),
        ("/consents", "form-action 'self'"),
        ("/faults", "form-action 'self'"),
        ("/", "form-action 'self'"),
        ("/static/bank.css", "form-action 'self'"),
    ] {
        let response = browser.get(page).await;
        let policy = response.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains(form_action) && policy.contains("default-src 'none'"), "{page}: {policy}");
        assert_eq!(response.headers[header::REFERRER_POLICY], "same-origin");
        assert!(!response.text.contains("<script") && !response.text.contains("style="), "{page}");
    }
}

#[tokio::test]
async fn bank_unknown_path_returns_html_only_to_browsers() {
    for (bank, text) in [(TestBank::maple(), "nothing here"), (TestBank::rideau(), "Il n’y a rien ici")] {
        let page = bank.browser().get("/sign-on").await;
        assert!(page.status == StatusCode::NOT_FOUND && page.text.contains(text), "{}", page.text);
        for path in ["/sign-on", "/fdx/v5/pets"] {
            let bare = bank.get(path).await;
            assert_eq!((bare.status, bare.text.as_str()), (StatusCode::NOT_FOUND, ""));
        }
    }
}
