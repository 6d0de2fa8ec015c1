//! Tests of the clauses of RFC 9700, the best current practice for the security of OAuth 2.0.

use std::collections::BTreeSet;

use bowline::cli::{Browser, BrowserRequest, resolve_url};
use bowline::jobs;
use bowline::recipients::replace_redirect_uris;
use domain::id::ClientId;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::ClientKind;
use domain::rule::pkce::compute_challenge;
use http::Method;
use serde_json::Value;
use store::command::ClientSelector;

use super::{
    ACCOUNTS, TOKEN, bad_request, build_authorize_query, fetch_redirect_error, header, open_url,
    status_and_error,
};
use crate::recovery::approve_and_capture_callback;
use crate::support::{RawRequest, SCOPE, TestHub, query_parameter};

const METHODS: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];

async fn count_grants(kit: &TestHub, provider_id: i64) -> usize {
    let url = format!("{}/grants", kit.bank_site(provider_id).faults_url());
    open_url(kit, &url).await.json().as_array().unwrap().len()
}

/// Intended deviation: the port of a loopback redirect URI is compared too, because all clients are confidential.
#[tokio::test]
async fn rfc9700_s2_1_redirect_uri_must_match_including_port() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    assert!(acme.redirect_uri.starts_with("http://127.0.0.1:"));
    let port: u16 = acme.redirect_uri.split([':', '/']).nth(4).unwrap().parse().unwrap();
    for other in [
        acme.redirect_uri.replace(&port.to_string(), &(port ^ 1).to_string()),
        acme.redirect_uri.replace(&format!(":{port}"), ""),
        acme.redirect_uri.replace("127.0.0.1", "localhost"),
        acme.redirect_uri.replace("127.0.0.1", "[::1]"),
    ] {
        let answer = kit.authorize(&build_authorize_query(&acme, &[("redirect_uri", Some(&other))])).await;
        assert_eq!((answer.status, answer.location), (400, None), "{other}");
    }
}

#[tokio::test]
async fn rfc9700_s2_1_1_s4_8_pkce_downgrade_is_rejected() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let code = kit.obtain_code(&acme).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", &*acme.redirect_uri),
        ("code_verifier", verifier),
    ];
    assert_eq!(
        status_and_error(&kit.request_token(&acme, &fields).await),
        bad_request("invalid_grant"),
        "a verifier without a challenge is rejected"
    );
    let sent = compute_challenge(verifier);
    let query = build_authorize_query(
        &acme,
        &[("code_challenge", Some(&sent)), ("code_challenge_method", Some("plain"))],
    );
    assert!(kit.authorize(&query).await.location.unwrap().contains("error=invalid_request"));
}

#[tokio::test]
async fn rfc9700_s2_1_2_s2_4_browser_never_receives_tokens() {
    let kit = TestHub::new().await;
    let back = kit
        .complete_authorization(&TestHub::build_authorization_query(&kit.acme()), "alice", &["mt-alice-card"])
        .await;
    let url = url::Url::parse(&back).unwrap();
    let names: BTreeSet<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, BTreeSet::from(["code".into(), "state".into()]), "{back}");
    assert_eq!(url.fragment(), None);
    assert_eq!(
        fetch_redirect_error(&kit, &kit.acme(), &[("response_type", Some("token"))]).await.0,
        "unsupported_response_type"
    );
    let password = [("grant_type", "password"), ("username", "alice"), ("password", "x")];
    assert_eq!(
        status_and_error(&kit.request_token(&kit.acme(), &password).await),
        bad_request("unsupported_grant_type")
    );
}

#[tokio::test]
async fn rfc9700_s2_3_token_is_limited_to_audience_and_granted_scope() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let claims = decode_claims(&tokens.access);
    assert_eq!(claims["aud"], kit.url("/api/fdx/5"));
    assert_eq!((&claims["scope"], &claims["fdxConsentId"]), (&SCOPE.into(), &tokens.id.as_str().into()));
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=300).contains(&life), "{life}");
}

/// Decodes the claims of a token.
fn decode_claims(token: &str) -> Value {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn rfc9700_s2_6_responses_have_no_cors_headers() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for path in ["/api/v1/authorize", TOKEN, "/api/v1/revoke", ACCOUNTS, "/", "/consent/arq_x", "/nothing"] {
        for method in METHODS {
            let raw = RawRequest::new(method, path)
                .header("origin", "https://evil.example.org")
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization");
            let raw = if path == ACCOUNTS { raw.bearer(&tokens.access) } else { raw };
            let answer = kit.send_raw(&raw).await;
            let allowed = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(allowed, None, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn rfc9700_s4_2_4_referrer_policy_hides_urls() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let began = kit.authorize(&TestHub::build_authorization_query(&acme)).await;
    assert_eq!(header(&began, "referrer-policy"), "no-referrer", "redirects send no referrer");
    let (_, page) = kit.follow(kit.app().public_url(), began).await;
    let picker = kit.authorize(&build_authorize_query(&acme, &[("provider_id", None)])).await;
    let notice = kit.authorize(&build_authorize_query(&acme, &[("client_id", None)])).await;
    for page in [page, picker, notice] {
        assert_eq!(header(&page, "referrer-policy"), "same-origin", "pages with a form need their origin");
        assert!(!page.body.contains("src=") && !page.body.contains("//cdn"), "no foreign resource is loaded");
    }
}

#[tokio::test]
async fn rfc9700_s4_4_callback_with_other_issuer_is_rejected() {
    let kit = TestHub::new().await;
    let callback = approve_and_capture_callback(&kit).await;
    let (maple, rideau) = (kit.bank_site(1000).url.clone(), kit.bank_site(2000).url.clone());
    let encoded = |url: &str| form_urlencoded::byte_serialize(url.as_bytes()).collect::<String>();
    let issuer = |other: &str| callback.replace(&encoded(&maple), &encoded(other));
    assert_ne!(issuer(&rideau), callback);
    for mixed in [
        callback.replace("/callback/1000", "/callback/2000"),
        issuer(&rideau).replace("/callback/1000", "/callback/2000"),
        issuer(&rideau),
        issuer(&format!("{maple}/")),
        issuer(&maple.to_uppercase()),
        format!("{callback}&iss={}", encoded(&rideau)),
        format!("{callback}&iss={}", encoded(&maple)),
        callback.replace("code=", "error=access_denied&x=").replace(&encoded(&maple), &encoded(&rideau)),
    ] {
        let answer = open_url(&kit, &mixed).await;
        assert_eq!(
            (answer.status, answer.location),
            (400, None),
            "the response of another provider was accepted: {mixed}"
        );
    }
    assert_eq!(
        (count_grants(&kit, 1000).await, count_grants(&kit, 2000).await),
        (0, 0),
        "no code was exchanged"
    );
    assert_eq!(open_url(&kit, &callback).await.status, 302, "the provider's own response is still accepted");
    assert_eq!((count_grants(&kit, 1000).await, count_grants(&kit, 2000).await), (1, 0));
}

#[tokio::test]
async fn rfc9700_s4_4_code_from_another_provider_is_rejected() {
    let kit = TestHub::new().await;
    let at_maple = approve_and_capture_callback(&kit).await;
    let query = build_authorize_query(&kit.acme(), &[("provider_id", Some("2000"))]);
    let (at, page) = kit.follow(kit.app().public_url(), kit.authorize(&query).await).await;
    let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
    let yes = [("csrf_token", token.as_str()), ("decision", "approve")];
    let to = kit.send(BrowserRequest::new(Method::POST, &at).form(&yes)).await.location.unwrap();
    let (code, state) = (query_parameter(&at_maple, "code").unwrap(), query_parameter(&to, "state").unwrap());
    let injected = kit.url(&format!("/callback/2000?code={code}&state={state}"));
    let back = open_url(&kit, &injected).await.location.unwrap();
    assert_eq!(query_parameter(&back, "error").as_deref(), Some("server_error"));
    assert_eq!((count_grants(&kit, 1000).await, count_grants(&kit, 2000).await), (0, 0));
}

#[tokio::test]
async fn rfc9700_s4_5_injected_code_fails_pkce_verification() {
    let kit = TestHub::new().await;
    let (first, second) =
        (approve_and_capture_callback(&kit).await, approve_and_capture_callback(&kit).await);
    let (stolen, state) =
        (query_parameter(&first, "code").unwrap(), query_parameter(&second, "state").unwrap());
    let back = open_url(&kit, &kit.url(&format!("/callback/1000?code={stolen}&state={state}"))).await;
    assert_eq!(query_parameter(&back.location.unwrap(), "error").as_deref(), Some("server_error"));
    assert_eq!(count_grants(&kit, 1000).await, 0);
}

#[tokio::test]
async fn rfc9700_s4_7_callback_without_cookie_shows_error_page() {
    let kit = TestHub::new().await;
    let callback = approve_and_capture_callback(&kit).await;
    let other_client = Browser::new().unwrap();
    for url in
        [callback.clone(), callback.replace("state=", "state=x"), kit.url("/callback/1000?code=x&state=x")]
    {
        let answer = other_client.send(BrowserRequest::new(Method::GET, &url)).await.unwrap();
        assert_eq!((answer.status, answer.location), (400, None));
    }
    assert_eq!(open_url(&kit, &callback).await.status, 302);
}

#[tokio::test]
async fn rfc9700_s4_11_client_without_registration_never_redirects() {
    let kit = TestHub::new().await;
    let unregistered = kit.register_recipient(&[], SCOPE, false).await;
    for change in
        [("scope", None), ("response_type", Some("token")), ("provider_id", Some("1000")), ("state", None)]
    {
        let answer = kit.authorize(&build_authorize_query(&unregistered, &[change])).await;
        assert_eq!((answer.status, answer.location), (400, None), "{change:?}");
    }
    let partner = crate::support::TestClient { id: kit.world.partner.client_id.into(), ..kit.acme() };
    let answer = kit.authorize(&TestHub::build_authorization_query(&partner)).await;
    assert_eq!((answer.status, answer.location), (400, None), "a partner cannot receive data");
}

#[tokio::test]
async fn rfc9700_s4_11_removed_redirect_uri_gets_error_page() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let (denied, accepted) = (
        kit.authorize(&TestHub::build_authorization_query(&acme)).await,
        approve_and_capture_callback(&kit).await,
    );
    let (at, page) = kit.follow(kit.app().public_url(), denied).await;
    let ctx = jobs::new_job_context(kit.app(), "test").unwrap();
    let others = vec!["https://other.example.org/new".to_owned()];
    let selector = ClientSelector::for_kind(ClientKind::Recipient, ClientId::parse(&acme.id).unwrap());
    let actor = Actor::new(ActorKind::Operator, "test");
    assert!(replace_redirect_uris(&ctx, selector, others, actor).await.unwrap());
    let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
    let no = [("csrf_token", token.as_str()), ("decision", "deny")];
    let answer = kit.send(BrowserRequest::new(Method::POST, &at).form(&no)).await;
    assert_eq!((answer.status, answer.location), (403, None));
    let answer = open_url(&kit, &accepted).await;
    assert_eq!((answer.status, answer.location), (403, None));
}

#[tokio::test]
async fn rfc9700_s4_12_redirect_after_post_uses_303() {
    let kit = TestHub::new().await;
    let began = kit.authorize(&TestHub::build_authorization_query(&kit.acme())).await;
    assert_eq!(began.status, 303);
    let at = resolve_url(kit.app().public_url(), began.location.as_deref().unwrap());
    let page = open_url(&kit, &at).await;
    let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
    let yes = [("csrf_token", token.as_str()), ("decision", "approve")];
    assert_eq!(
        kit.send(BrowserRequest::new(Method::POST, &at).form(&yes)).await.status,
        303,
        "redirect to the bank"
    );
    let (at, page) = kit
        .follow(kit.app().public_url(), kit.authorize(&TestHub::build_authorization_query(&kit.acme())).await)
        .await;
    let token = bowline::cli::find_hidden_field(&page.body, "csrf_token").unwrap();
    let no = [("csrf_token", token.as_str()), ("decision", "deny")];
    assert_eq!(
        kit.send(BrowserRequest::new(Method::POST, &at).form(&no)).await.status,
        303,
        "redirect to the recipient"
    );
    assert_eq!(
        open_url(&kit, &approve_and_capture_callback(&kit).await).await.status,
        302,
        "302 after a GET, as Flinks documents"
    );
    assert_eq!(kit.authorize(&build_authorize_query(&kit.acme(), &[("scope", None)])).await.status, 302);
}

#[tokio::test]
async fn rfc9700_s4_13_forwarding_headers_do_not_affect_urls() {
    let kit = TestHub::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let spoofed = |raw: RawRequest| {
        ["x-forwarded-host", "x-forwarded-server", "x-host", "x-original-url", "x-rewrite-url", "forwarded"]
            .iter()
            .fold(raw, |raw, name| raw.header(name, "host=evil.example.org"))
            .header("x-forwarded-proto", "gopher")
            .header("x-http-method-override", "DELETE")
    };
    let list =
        kit.send_raw(&spoofed(RawRequest::get(format!("{ACCOUNTS}?limit=1"))).bearer(&tokens.access)).await;
    let next = list.json()["links"]["next"]["href"].as_str().unwrap().to_owned();
    assert!(next.starts_with(&kit.url(ACCOUNTS)), "{next}");
    let began = kit
        .send_raw(&spoofed(RawRequest::get(crate::support::authorize_url(
            "",
            &TestHub::build_authorization_query(&kit.acme()),
        ))))
        .await;
    assert!(began.location.as_ref().unwrap().starts_with("/consent/arq_"));
    assert!(!header(&began, "set-cookie").contains("evil"));
    let revoke = kit.send_raw(&spoofed(RawRequest::get("/api/v1/revoke")).bearer(&tokens.access)).await;
    assert_eq!(
        (revoke.status, kit.load_end_cause(&tokens.id).await),
        (405, None),
        "a method override has no effect"
    );
}

/// Intended deviation: refresh tokens of confidential clients do not rotate; a new login invalidates the older token.
#[tokio::test]
async fn rfc9700_s4_14_2_deviation_refresh_token_does_not_rotate() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let first = kit.connect(&acme).await;
    for _ in 0..3 {
        let again = kit.refresh(&acme, &first.refresh).await;
        assert_eq!((again.status, again.json().get("refresh_token")), (200, None));
    }
    kit.connect(&acme).await;
    assert_eq!(status_and_error(&kit.refresh(&acme, &first.refresh).await), bad_request("invalid_grant"));
}

#[tokio::test]
async fn rfc9700_s4_15_client_subject_differs_from_customer_subject() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let own = decode_claims(&kit.request_client_token(&acme).await);
    assert_eq!(own["sub"], format!("client:{}", acme.id));
    assert!(own.get("fdxConsentId").is_none());
    let customers = decode_claims(&kit.connect(&acme).await.access);
    let sub = customers["sub"].as_str().unwrap();
    assert!(uuid::Uuid::parse_str(sub).is_ok(), "{sub}");
}

#[tokio::test]
async fn rfc9700_s4_16_pages_cannot_be_framed() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let (at, consent) = kit
        .follow(kit.app().public_url(), kit.authorize(&TestHub::build_authorization_query(&acme)).await)
        .await;
    let refused = kit.post_form(&at.replace(kit.app().public_url(), ""), &[("decision", "approve")]).await;
    let picker = kit.authorize(&build_authorize_query(&acme, &[("provider_id", None)])).await;
    let expired_request = kit.get("/callback/1000").await;
    for page in [consent, refused, picker, expired_request, kit.get("/").await, kit.get("/nothing").await] {
        assert!(
            header(&page, "content-security-policy").contains("frame-ancestors 'none'"),
            "{}",
            page.status
        );
        assert_eq!(header(&page, "x-frame-options"), "DENY");
    }
}
