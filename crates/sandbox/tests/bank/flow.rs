//! The way of a customer's browser, at both banks and in both languages.

use axum::http::{HeaderName, Method, StatusCode, header};
use serde_json::json;

use crate::kit::{BACK, Kit, ORIGIN, SCOPE, VERIFIER, text};

#[tokio::test]
async fn at_maple_a_customer_signs_in_chooses_accounts_and_the_client_reads_them_only() {
    let kit = Kit::maple();
    let reply = kit.granted(&["mt-alice-chequing", "mt-alice-card"]).await;
    assert_eq!(reply["accounts"], json!(["mt-alice-chequing", "mt-alice-card"]));
    assert!(text(&reply, "customer_id").starts_with("mtc-") && text(&reply, "grant_id").starts_with("mg_"));
    let token = text(&reply, "access_token");
    let list = kit.read(token, "/accounts").await.json();
    assert_eq!(list["page"]["totalElements"], 2);
    assert!(list["accounts"][0]["depositAccount"].get("currentBalance").is_none(), "lightweight by default");
    let detail = kit.read(token, "/accounts/mt-alice-card").await.json();
    assert!(detail["locAccount"]["currentBalance"].is_number());
    assert_eq!(kit.read(token, "/accounts/mt-alice-savings").await.json()["code"], 701);
    assert_eq!(kit.read(token, "/customers/current").await.json()["code"], 602);
    assert_eq!(kit.read("forged.1.2", "/accounts").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn at_rideau_the_customer_learns_first_what_is_asked_for() {
    let kit = Kit::rideau();
    let mut browser = kit.browser();
    assert_eq!(browser.begin(SCOPE, None).await.location, "/request");
    assert_eq!(browser.get("/sign-in").await.location, "/request", "not before agreeing");
    let asked = browser.get("/request").await;
    assert!(asked.text.contains(r#"lang="fr""#) && asked.text.contains("demande à lire vos renseignements"));
    assert!(asked.text.contains("Les opérations") && !asked.text.contains("placement"), "what was asked for");
    let early =
        [("form_token", &*asked.hidden()), ("username", "alice"), ("password", &kit.password("alice"))];
    assert_eq!(browser.post("/sign-in", &early).await.location, "/request");
    let agreed = browser.submit("/request", &[("decision", "approve")]).await;
    assert_eq!(agreed.location, "/sign-in");
    assert!(browser.get("/sign-in").await.text.contains("Mot de passe"));
    let signed = browser.sign_in("/sign-in", "alice", &kit.password("alice")).await;
    assert_eq!(signed.location, "/consent");
    let page = browser.get("/consent").await;
    assert!(page.text.contains("Bonjour Alice") && page.text.contains("Compte courant"));
    let sent = browser.submit("/consent", &[("accounts", "cr-alice-celi"), ("decision", "approve")]).await;
    assert_eq!(sent.parameter("iss").as_deref(), Some("http://127.0.0.1:8402"));
    let reply = kit.redeem(&sent.parameter("code").unwrap(), VERIFIER).await.json();
    assert_eq!(reply["comptes"], json!(["cr-alice-celi"]));
    assert!(text(&reply, "membre").starts_with("crc-") && text(&reply, "consentement").starts_with("crg_"));
    assert!(reply.get("accounts").is_none() && reply.get("customer_id").is_none());
    assert_eq!(kit.read(text(&reply, "access_token"), "/accounts").await.json()["page"]["totalElements"], 1);
}

#[tokio::test]
async fn each_bank_speaks_the_language_that_is_asked_for_and_its_own_otherwise() {
    for (kit, own) in [(Kit::maple(), "en"), (Kit::rideau(), "fr"), (Kit::prairie(), "en")] {
        let first = |answer: &crate::kit::Answer| answer.location.clone();
        for (asked, spoken) in
            [(Some("en-CA"), "en"), (Some("fr-CA en"), "fr"), (Some("de"), own), (None, own)]
        {
            let mut browser = kit.browser();
            let begun = browser.begin(SCOPE, asked).await;
            let page = browser.get(&first(&begun)).await;
            assert!(page.text.contains(&format!(r#"<html lang="{spoken}">"#)), "{asked:?}");
        }
    }
}

#[tokio::test]
async fn a_link_on_the_page_switches_the_language_for_the_rest_of_the_way() {
    let kit = Kit::maple();
    let mut browser = kit.browser();
    browser.begin(SCOPE, Some("en")).await;
    let page = browser.get("/sign-in").await;
    assert!(page.text.contains(r#"href="?lang=fr""#) && page.text.contains("Français"));
    assert!(browser.get("/sign-in?lang=fr").await.text.contains("Nom d’utilisateur"));
    let wrong = browser.sign_in("/sign-in", "alice", "wrong").await;
    assert!(wrong.text.contains("est erroné"), "the answer to a form as well");
    browser.sign_in("/sign-in", "alice", &kit.password("alice")).await;
    assert!(browser.get("/consent").await.text.contains("Bonjour Alice"));
    assert!(browser.get("/").await.text.contains("Bienvenue"), "and elsewhere");
    browser.begin(SCOPE, Some("en")).await;
    assert!(browser.get("/sign-in").await.text.contains("User name"), "what the hub asks for comes first");
}

#[tokio::test]
async fn a_wrong_password_shows_the_form_again_with_the_name_kept() {
    let kit = Kit::maple();
    let mut browser = kit.browser();
    browser.begin(SCOPE, None).await;
    let page = browser.sign_in("/sign-in", "alice", "wrong").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.text.contains("is wrong") && page.text.contains(r#"value="alice""#));
    let stranger = browser.sign_in("/sign-in", "<b>mallory", "wrong").await;
    assert!(stranger.status == StatusCode::UNPROCESSABLE_ENTITY && !stranger.text.contains("<b>mallory"));
    let foreign = kit.password("bob");
    assert_eq!(browser.sign_in("/sign-in", "alice", &foreign).await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn declining_on_any_page_is_told_to_the_client() {
    for (kit, pages) in [(Kit::maple(), &["/consent"][..]), (Kit::rideau(), &["/request", "/consent"][..])] {
        for page in pages {
            let mut browser = kit.browser();
            browser.begin(SCOPE, None).await;
            if *page == "/consent" {
                browser.submit_if_asked().await;
                browser.sign_in("/sign-in", "alice", &kit.password("alice")).await;
            }
            let denied = browser.submit(page, &[("decision", "deny")]).await;
            assert!(denied.location.starts_with(BACK));
            assert_eq!(denied.parameter("error").as_deref(), Some("access_denied"));
            assert_eq!(denied.parameter("state").as_deref(), Some("s 1"));
            let back = browser.get(page).await;
            assert_eq!(back.status, StatusCode::BAD_REQUEST);
            assert!(back.text.contains("You declined") || back.text.contains("Vous avez refusé"));
        }
    }
}

#[tokio::test]
async fn choosing_nothing_or_what_is_not_ones_own_shows_the_page_again() {
    for (kit, foreign) in [(Kit::maple(), "mt-bob-chequing"), (Kit::rideau(), "cr-bob-courant")] {
        let mut browser = kit.browser();
        browser.begin(SCOPE, None).await;
        browser.submit_if_asked().await;
        browser.sign_in("/sign-in", "alice", &kit.password("alice")).await;
        for chosen in [&[][..], &[("accounts", foreign)][..]] {
            let again = browser.submit("/consent", &[chosen, &[("decision", "approve")]].concat()).await;
            assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(again.text.contains(r#"role="alert""#) && !again.text.contains(foreign));
        }
    }
}

#[tokio::test]
async fn a_closed_account_is_marked_and_not_ticked_and_can_be_chosen() {
    for (kit, id) in [(Kit::maple(), "mt-farid-chequing"), (Kit::rideau(), "cr-farid-courant")] {
        let mut browser = kit.browser();
        browser.begin(SCOPE, Some("en")).await;
        browser.submit_if_asked().await;
        browser.sign_in("/sign-in", "farid", &kit.password("farid")).await;
        let page = browser.get("/consent").await;
        assert_eq!(page.choices(), [(id.to_owned(), false)]);
        assert!(page.text.contains("Closed"));
        let sent = browser.submit("/consent", &[("accounts", id), ("decision", "approve")]).await;
        assert!(sent.parameter("code").is_some());
    }
}

#[tokio::test]
async fn a_visit_that_is_over_says_why() {
    let kit = Kit::maple();
    let mut stranger = kit.browser();
    let page = stranger.get("/sign-in").await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("another browser"));
    let mut slow = kit.browser();
    slow.begin(SCOPE, Some("fr")).await;
    kit.advance(600_000);
    let page = slow.get("/sign-in").await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("a trop duré"), "{}", page.text);
    let mut done = kit.browser();
    done.begin(SCOPE, None).await;
    done.sign_in("/sign-in", "alice", &kit.password("alice")).await;
    let page = done.get("/consent").await;
    let fields = [("form_token", &*page.hidden()), ("accounts", "mt-alice-card"), ("decision", "approve")];
    assert!(done.post("/consent", &fields).await.location.starts_with(BACK));
    let again = done.post("/consent", &fields).await;
    assert!(again.status == StatusCode::BAD_REQUEST && again.text.contains("has been used"));
    assert_eq!(again.location, "", "no second code");
}

#[tokio::test]
async fn an_unknown_app_or_address_gets_a_page_and_a_bad_request_goes_back() {
    for (kit, says) in [(Kit::maple(), "not known here"), (Kit::rideau(), "pas connu ici")] {
        for query in ["client_id=hub&redirect_uri=http://evil", "client_id=x&redirect_uri=", ""] {
            let foreign = kit.get(&format!("/authorize?{query}")).await;
            assert_eq!((foreign.status, foreign.location.as_str()), (StatusCode::BAD_REQUEST, ""));
            assert!(foreign.text.contains(says), "{}", foreign.text);
        }
        let without_pkce = kit.get(&format!("/authorize?client_id=hub&redirect_uri={BACK}")).await;
        assert_eq!(without_pkce.parameter("error").as_deref(), Some("invalid_request"));
        let odd = kit.browser().begin("openid fdx:tax:read", None).await;
        assert_eq!(odd.parameter("error").as_deref(), Some("invalid_scope"));
    }
}

#[tokio::test]
async fn a_form_counts_only_from_our_own_page() {
    let kit = Kit::maple();
    let mut browser = kit.browser();
    browser.begin(SCOPE, None).await;
    let token = browser.get("/sign-in").await.hidden();
    let (site, origin) = (HeaderName::from_static("sec-fetch-site"), header::ORIGIN);
    let password = kit.password("alice");
    let good = [("form_token", &*token), ("username", "alice"), ("password", &*password)];
    let forged = [("form_token", "x"), ("username", "alice"), ("password", &*password)];
    for (headers, fields) in [
        (&[][..], &forged),
        (&[(site.clone(), "cross-site")][..], &good),
        (&[(origin.clone(), "http://evil.example")][..], &good),
        (&[(origin.clone(), "null")][..], &good),
    ] {
        let answer = browser.send(Method::POST, "/sign-in", headers, fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{headers:?}");
    }
    let ours = [(site, "same-origin"), (origin.clone(), "null")];
    assert_eq!(browser.send(Method::POST, "/sign-in", &ours, &good).await.location, "/consent");
    let late = browser.send(Method::POST, "/sign-in", &[(origin, ORIGIN)], &good).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "its token was of the visitor who had not signed in");
}

#[tokio::test]
async fn every_page_is_guarded_and_the_way_out_is_open() {
    let kit = Kit::rideau();
    let mut browser = kit.browser();
    browser.begin(SCOPE, None).await;
    for (page, form_action) in [
        ("/request", "form-action https: http://127.0.0.1:*"),
        ("/consents", "form-action 'self'"),
        ("/levers", "form-action 'self'"),
        ("/", "form-action 'self'"),
        ("/static/bank.css", "form-action 'self'"),
    ] {
        let answer = browser.get(page).await;
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains(form_action) && policy.contains("default-src 'none'"), "{page}: {policy}");
        assert_eq!(answer.headers[header::REFERRER_POLICY], "same-origin");
        assert!(!answer.text.contains("<script") && !answer.text.contains("style="), "{page}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_people_and_nothing_for_programs() {
    for (kit, says) in [(Kit::maple(), "nothing here"), (Kit::rideau(), "Il n’y a rien ici")] {
        let page = kit.browser().get("/sign-on").await;
        assert!(page.status == StatusCode::NOT_FOUND && page.text.contains(says), "{}", page.text);
        for path in ["/sign-on", "/fdx/v5/pets"] {
            let bare = kit.get(path).await;
            assert_eq!((bare.status, bare.text.as_str()), (StatusCode::NOT_FOUND, ""));
        }
    }
}
