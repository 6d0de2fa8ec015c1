//! RFC 9700, best current practice for the security of OAuth 2.0.

use std::collections::BTreeSet;

use bowline::cli::{Browser, Sent, absolute};
use bowline::job;
use bowline::manage::replace_redirect_uris;
use domain::model::audit_event::{Actor, ActorKind};
use domain::rule::pkce::challenge;
use http::Method;
use serde_json::Value;

use super::{ACCOUNTS, TOKEN, changed, header, open, refusal, refused, said};
use crate::kit::{Kit, Raw, SCOPE, parameter};
use crate::recovery::callback;

const METHODS: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];

async fn grants_at(kit: &Kit, provider_id: i64) -> usize {
    let url = format!("{}/grants", kit.bank(provider_id).levers());
    open(kit, &url).await.json().as_array().unwrap().len()
}

/// On purpose: the port of a loopback redirect URI is compared too; all clients are confidential.
#[tokio::test]
async fn s2_1_redirect_uris_are_exact_the_port_of_loopback_included() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    assert!(acme.redirect_uri.starts_with("http://127.0.0.1:"));
    let port: u16 = acme.redirect_uri.split([':', '/']).nth(4).unwrap().parse().unwrap();
    for other in [
        acme.redirect_uri.replace(&port.to_string(), &(port ^ 1).to_string()),
        acme.redirect_uri.replace(&format!(":{port}"), ""),
        acme.redirect_uri.replace("127.0.0.1", "localhost"),
        acme.redirect_uri.replace("127.0.0.1", "[::1]"),
    ] {
        let answer = kit.authorize(&changed(&acme, &[("redirect_uri", Some(&other))])).await;
        assert_eq!((answer.status, answer.location), (400, None), "{other}");
    }
}

#[tokio::test]
async fn s2_1_1_s4_8_a_challenge_cannot_be_taken_out_on_the_way() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let code = kit.code(&acme).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", &*acme.redirect_uri),
        ("code_verifier", verifier),
    ];
    assert_eq!(
        said(&kit.token(&acme, &fields).await),
        refused("invalid_grant"),
        "the client believes in one"
    );
    let sent = challenge(verifier);
    let query = changed(&acme, &[("code_challenge", Some(&sent)), ("code_challenge_method", Some("plain"))]);
    assert!(kit.authorize(&query).await.location.unwrap().contains("error=invalid_request"));
}

#[tokio::test]
async fn s2_1_2_s2_4_no_token_ever_comes_through_the_browser() {
    let kit = Kit::new().await;
    let back = kit.arrive(&Kit::ask(&kit.acme()), "alice", &["mt-alice-card"]).await;
    let url = url::Url::parse(&back).unwrap();
    let names: BTreeSet<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, BTreeSet::from(["code".into(), "state".into()]), "{back}");
    assert_eq!(url.fragment(), None);
    assert_eq!(
        refusal(&kit, &kit.acme(), &[("response_type", Some("token"))]).await.0,
        "unsupported_response_type"
    );
    let password = [("grant_type", "password"), ("username", "alice"), ("password", "x")];
    assert_eq!(said(&kit.token(&kit.acme(), &password).await), refused("unsupported_grant_type"));
}

#[tokio::test]
async fn s2_3_a_token_is_for_one_audience_one_connection_and_what_was_granted() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let claims = claims(&tokens.access);
    assert_eq!(claims["aud"], kit.url("/api/fdx/5"));
    assert_eq!((&claims["scope"], &claims["fdxConsentId"]), (&SCOPE.into(), &tokens.id.as_str().into()));
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=300).contains(&life), "{life}");
}

/// The claims of a token.
fn claims(token: &str) -> Value {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn s2_6_no_other_origin_may_read_an_answer() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    for path in ["/api/v1/authorize", TOKEN, "/api/v1/revoke", ACCOUNTS, "/", "/consent/arq_x", "/nothing"] {
        for method in METHODS {
            let raw = Raw::new(method, path)
                .header("origin", "https://evil.example.org")
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization");
            let raw = if path == ACCOUNTS { raw.bearer(&tokens.access) } else { raw };
            let answer = kit.wire(&raw).await;
            let allowed = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(allowed, None, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn s4_2_4_what_stands_in_our_urls_reaches_nobody_through_a_referrer() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let began = kit.authorize(&Kit::ask(&acme)).await;
    assert_eq!(header(&began, "referrer-policy"), "no-referrer", "a redirect");
    let (_, page) = kit.follow(kit.app().public_url(), began).await;
    let picker = kit.authorize(&changed(&acme, &[("provider_id", None)])).await;
    let notice = kit.authorize(&changed(&acme, &[("client_id", None)])).await;
    for page in [page, picker, notice] {
        assert_eq!(header(&page, "referrer-policy"), "same-origin", "a page with a form keeps its origin");
        assert!(!page.body.contains("src=") && !page.body.contains("//cdn"), "nothing of others is loaded");
    }
}

#[tokio::test]
async fn s4_4_an_answer_of_one_bank_is_never_taken_for_anothers() {
    let kit = Kit::new().await;
    let callback = callback(&kit).await;
    let (maple, rideau) = (kit.bank(1000).url.clone(), kit.bank(2000).url.clone());
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
        let answer = open(&kit, &mixed).await;
        assert_eq!((answer.status, answer.location), (400, None), "it was taken for another's: {mixed}");
    }
    assert_eq!((grants_at(&kit, 1000).await, grants_at(&kit, 2000).await), (0, 0), "no code went anywhere");
    assert_eq!(open(&kit, &callback).await.status, 302, "the rightful answer is still taken");
    assert_eq!((grants_at(&kit, 1000).await, grants_at(&kit, 2000).await), (1, 0));
}

#[tokio::test]
async fn s4_4_the_code_of_one_bank_is_of_no_use_in_the_visit_of_another() {
    let kit = Kit::new().await;
    let at_maple = callback(&kit).await;
    let query = changed(&kit.acme(), &[("provider_id", Some("2000"))]);
    let (at, page) = kit.follow(kit.app().public_url(), kit.authorize(&query).await).await;
    let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
    let yes = [("form_token", token.as_str()), ("decision", "approve")];
    let to = kit.send(Sent::new(Method::POST, &at).form(&yes)).await.location.unwrap();
    let (code, state) = (parameter(&at_maple, "code").unwrap(), parameter(&to, "state").unwrap());
    let injected = kit.url(&format!("/callback/2000?code={code}&state={state}"));
    let back = open(&kit, &injected).await.location.unwrap();
    assert_eq!(parameter(&back, "error").as_deref(), Some("server_error"));
    assert_eq!((grants_at(&kit, 1000).await, grants_at(&kit, 2000).await), (0, 0));
}

#[tokio::test]
async fn s4_5_a_code_that_is_injected_into_another_visit_fails_at_its_verifier() {
    let kit = Kit::new().await;
    let (first, second) = (callback(&kit).await, callback(&kit).await);
    let (stolen, state) = (parameter(&first, "code").unwrap(), parameter(&second, "state").unwrap());
    let back = open(&kit, &kit.url(&format!("/callback/1000?code={stolen}&state={state}"))).await;
    assert_eq!(parameter(&back.location.unwrap(), "error").as_deref(), Some("server_error"));
    assert_eq!(grants_at(&kit, 1000).await, 0);
}

#[tokio::test]
async fn s4_7_a_callback_without_the_browsers_cookie_is_a_page() {
    let kit = Kit::new().await;
    let callback = callback(&kit).await;
    let stranger = Browser::new().unwrap();
    for url in
        [callback.clone(), callback.replace("state=", "state=x"), kit.url("/callback/1000?code=x&state=x")]
    {
        let answer = stranger.send(Sent::new(Method::GET, &url)).await.unwrap();
        assert_eq!((answer.status, answer.location), (400, None));
    }
    assert_eq!(open(&kit, &callback).await.status, 302);
}

#[tokio::test]
async fn s4_11_who_may_redirect_nobody_redirects_nobody() {
    let kit = Kit::new().await;
    let unregistered = kit.recipient(&[], SCOPE, false).await;
    for change in
        [("scope", None), ("response_type", Some("token")), ("provider_id", Some("1000")), ("state", None)]
    {
        let answer = kit.authorize(&changed(&unregistered, &[change])).await;
        assert_eq!((answer.status, answer.location), (400, None), "{change:?}");
    }
    let partner = crate::kit::Recipient { id: kit.world.partner.client_id.into(), ..kit.acme() };
    let answer = kit.authorize(&Kit::ask(&partner)).await;
    assert_eq!((answer.status, answer.location), (400, None), "a partner receives nothing");
}

#[tokio::test]
async fn s4_11_a_redirect_uri_that_is_withdrawn_meanwhile_gets_a_page() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let (denied, accepted) = (kit.authorize(&Kit::ask(&acme)).await, callback(&kit).await);
    let (at, page) = kit.follow(kit.app().public_url(), denied).await;
    let ctx = job::context(kit.app(), "test").unwrap();
    let others = vec!["https://other.example.org/new".to_owned()];
    replace_redirect_uris(&ctx, &acme.id, others, &Actor::new(ActorKind::Operator, "test")).await.unwrap();
    let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
    let no = [("form_token", token.as_str()), ("decision", "deny")];
    let answer = kit.send(Sent::new(Method::POST, &at).form(&no)).await;
    assert_eq!((answer.status, answer.location), (403, None));
    let answer = open(&kit, &accepted).await;
    assert_eq!((answer.status, answer.location), (400, None));
}

#[tokio::test]
async fn s4_12_no_redirect_repeats_a_post() {
    let kit = Kit::new().await;
    let began = kit.authorize(&Kit::ask(&kit.acme())).await;
    assert_eq!(began.status, 303);
    let at = absolute(kit.app().public_url(), began.location.as_deref().unwrap());
    let page = open(&kit, &at).await;
    let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
    let yes = [("form_token", token.as_str()), ("decision", "approve")];
    assert_eq!(kit.send(Sent::new(Method::POST, &at).form(&yes)).await.status, 303, "to the bank");
    let (at, page) = kit.follow(kit.app().public_url(), kit.authorize(&Kit::ask(&kit.acme())).await).await;
    let token = bowline::cli::hidden(&page.body, "form_token").unwrap();
    let no = [("form_token", token.as_str()), ("decision", "deny")];
    assert_eq!(kit.send(Sent::new(Method::POST, &at).form(&no)).await.status, 303, "to the recipient");
    assert_eq!(open(&kit, &callback(&kit).await).await.status, 302, "after a GET, as Flinks has it");
    assert_eq!(kit.authorize(&changed(&kit.acme(), &[("scope", None)])).await.status, 302);
}

#[tokio::test]
async fn s4_13_no_header_of_the_request_makes_an_address_of_ours() {
    let kit = Kit::new().await;
    let tokens = kit.connect(&kit.acme()).await;
    let spoofed = |raw: Raw| {
        ["x-forwarded-host", "x-forwarded-server", "x-host", "x-original-url", "x-rewrite-url", "forwarded"]
            .iter()
            .fold(raw, |raw, name| raw.header(name, "host=evil.example.org"))
            .header("x-forwarded-proto", "gopher")
            .header("x-http-method-override", "DELETE")
    };
    let list = kit.wire(&spoofed(Raw::get(format!("{ACCOUNTS}?limit=1"))).bearer(&tokens.access)).await;
    let next = list.json()["links"]["next"]["href"].as_str().unwrap().to_owned();
    assert!(next.starts_with(&kit.url(ACCOUNTS)), "{next}");
    let began = kit.wire(&spoofed(Raw::get(crate::kit::authorize_url("", &Kit::ask(&kit.acme()))))).await;
    assert!(began.location.as_ref().unwrap().starts_with("/consent/arq_"));
    assert!(!header(&began, "set-cookie").contains("evil"));
    let revoke = kit.wire(&spoofed(Raw::get("/api/v1/revoke")).bearer(&tokens.access)).await;
    assert_eq!((revoke.status, kit.cause(&tokens.id).await), (405, None), "a method is what it is");
}

/// On purpose: confidential clients, so no rotation; a new login makes the older one's token useless.
#[tokio::test]
async fn s4_14_2_deviation_refresh_tokens_do_not_rotate_and_end_with_their_connection() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let first = kit.connect(&acme).await;
    for _ in 0..3 {
        let again = kit.refresh(&acme, &first.refresh).await;
        assert_eq!((again.status, again.json().get("refresh_token")), (200, None));
    }
    kit.connect(&acme).await;
    assert_eq!(said(&kit.refresh(&acme, &first.refresh).await), refused("invalid_grant"));
}

#[tokio::test]
async fn s4_15_the_name_of_a_client_cannot_be_the_name_of_a_customer() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let own = claims(&kit.client_token(&acme).await);
    assert_eq!(own["sub"], format!("client:{}", acme.id));
    assert!(own.get("fdxConsentId").is_none());
    let customers = claims(&kit.connect(&acme).await.access);
    let sub = customers["sub"].as_str().unwrap();
    assert!(uuid::Uuid::parse_str(sub).is_ok(), "{sub}");
}

#[tokio::test]
async fn s4_16_no_page_can_be_framed() {
    let kit = Kit::new().await;
    let acme = kit.acme();
    let (at, consent) = kit.follow(kit.app().public_url(), kit.authorize(&Kit::ask(&acme)).await).await;
    let refused = kit.form(&at.replace(kit.app().public_url(), ""), &[("decision", "approve")]).await;
    let picker = kit.authorize(&changed(&acme, &[("provider_id", None)])).await;
    let over = kit.get("/callback/1000").await;
    for page in [consent, refused, picker, over, kit.get("/").await, kit.get("/nothing").await] {
        assert!(
            header(&page, "content-security-policy").contains("frame-ancestors 'none'"),
            "{}",
            page.status
        );
        assert_eq!(header(&page, "x-frame-options"), "DENY");
    }
}
