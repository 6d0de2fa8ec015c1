//! Tests of the clauses of RFC 6749 (OAuth 2.0) from section 4.1.3: grants, token responses and security
//! considerations.

use http::Method;
use serde_json::{Value, json};

use super::{
    FORM, TOKEN, bad_request, build_authorize_query, build_basic_header, error_description,
    fetch_redirect_error, header, open_url, status_and_error,
};
use crate::support::{RawRequest, SCOPE, TestClient, TestHub, query_parameter};

const CLIENT_CREDENTIALS: (&str, &str) = ("grant_type", "client_credentials");
const REFRESH_TOKEN: (&str, &str) = ("grant_type", "refresh_token");
const AUTHORIZATION_CODE: (&str, &str) = ("grant_type", "authorization_code");

#[tokio::test]
async fn rfc6749_s4_1_3_code_of_other_client_or_uri_is_rejected() {
    let kit = TestHub::new().await;
    let two = ["https://odd.example.org/one", "https://odd.example.org/two"];
    let (odd, other) = (kit.register_recipient_with_credentials("dc-two", "secret", &two).await, kit.acme());
    let code = query_parameter(
        &kit.complete_authorization(&TestHub::build_authorization_query(&odd), "alice", &["mt-alice-card"])
            .await,
        "code",
    )
    .unwrap();
    let two = [AUTHORIZATION_CODE, ("code", &*code), ("redirect_uri", two[1])];
    let answer = kit.request_token(&odd, &two).await;
    assert_eq!(
        status_and_error(&answer),
        bad_request("invalid_grant"),
        "a registered URI that differs from the request"
    );
    assert_eq!(error_description(&kit.request_token(&odd, &two[..2]).await), "redirect_uri is missing");
    let foreign = TestClient { redirect_uri: odd.redirect_uri.clone(), ..other };
    assert_eq!(status_and_error(&kit.redeem(&foreign, &code).await), bad_request("invalid_grant"));
    assert_eq!(kit.redeem(&odd, &code).await.status, 200, "the failed attempts did not use up the code");
}

/// Intended deviation: Flinks documents JSON, libraries send forms.
#[tokio::test]
async fn rfc6749_s4_1_3_deviation_token_endpoint_accepts_json() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let credentials = [("client_id", &*acme.id), ("client_secret", &*acme.secret)];
    let code = kit.obtain_code(&acme).await;
    let fields = [
        AUTHORIZATION_CODE,
        ("code", &code),
        ("redirect_uri", &acme.redirect_uri),
        credentials[0],
        credentials[1],
    ];
    assert_eq!(kit.post_form(TOKEN, &fields).await.status, 200);
    let code = kit.obtain_code(&acme).await;
    assert_eq!(kit.redeem(&acme, &code).await.status, 200);
    let json = |more: &Value| {
        let mut body =
            json!({"grant_type": "client_credentials", "client_id": acme.id, "client_secret": acme.secret});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        RawRequest::post(TOKEN, "application/json", body.to_string())
    };
    let unknown = json!({"LoginId": 5, "MostRecentCached": true, "nested": {"scope": []}, "none": null});
    assert_eq!(
        kit.send_raw(&json(&unknown)).await.status,
        200,
        "unknown members are ignored, whatever their value"
    );
    let answer = kit.send_raw(&json(&json!({"scope": ["providers:read"]}))).await;
    assert_eq!(error_description(&answer), "scope must be a string");
}

#[tokio::test]
async fn rfc6749_s4_2_s4_3_implicit_and_password_grants_are_rejected() {
    let kit = TestHub::new().await;
    for kind in ["token", "id_token", "code token", "token code", "none", "CODE"] {
        assert_eq!(
            fetch_redirect_error(&kit, &kit.acme(), &[("response_type", Some(kind))]).await.0,
            "unsupported_response_type"
        );
    }
    let password = [("grant_type", "password"), ("username", "alice"), ("password", &*kit.password("alice"))];
    let answer = kit.request_token(&kit.acme(), &password).await;
    assert_eq!(status_and_error(&answer), bad_request("unsupported_grant_type"));
    for grant in ["urn:ietf:params:oauth:grant-type:jwt-bearer", "device_code", "Refresh_Token"] {
        assert_eq!(
            status_and_error(&kit.request_token(&kit.acme(), &[("grant_type", grant)]).await),
            bad_request("unsupported_grant_type")
        );
    }
}

#[tokio::test]
async fn rfc6749_s4_4_3_client_credentials_return_no_refresh_token() {
    let kit = TestHub::new().await;
    let own = kit.request_token(&kit.acme(), &[CLIENT_CREDENTIALS]).await.json();
    assert_eq!((own.get("refresh_token"), &own["scope"]), (None, &json!("providers:read")));
}

#[tokio::test]
async fn rfc6749_s5_1_token_response_is_uncacheable_json() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let code = kit.obtain_code(&acme).await;
    let fresh = kit.redeem(&acme, &code).await;
    let refresh = fresh.json()["refresh_token"].as_str().unwrap().to_owned();
    let narrow = [REFRESH_TOKEN, ("refresh_token", &*refresh), ("scope", "ACCOUNT_BASIC")];
    for answer in [
        fresh,
        kit.refresh(&acme, &refresh).await,
        kit.request_token(&acme, &narrow).await,
        kit.request_token(&acme, &[CLIENT_CREDENTIALS]).await,
    ] {
        let body = answer.json();
        assert_eq!((answer.status, header(&answer, "content-type")), (200, "application/json"), "{body}");
        assert_eq!((header(&answer, "cache-control"), header(&answer, "pragma")), ("no-store", "no-cache"));
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(300)));
        assert!(body["scope"].is_string(), "the granted scope is always returned: {body}");
    }
    let wrong = kit.refresh(&acme, "x").await;
    assert_eq!(
        (header(&wrong, "content-type"), header(&wrong, "cache-control")),
        ("application/json", "no-store")
    );
}

#[tokio::test]
async fn rfc6749_s5_2_error_response_uses_allowed_characters() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let nasty = "\"\\\r\n\t\u{0}\u{7f}\u{e9}\u{2019}<script>\u{1f600}";
    let refresh = [REFRESH_TOKEN, ("refresh_token", &*tokens.refresh), ("scope", nasty)];
    let body = format!("{}=1&{0}=2", form_urlencoded::byte_serialize(nasty.as_bytes()).collect::<String>());
    for answer in [
        kit.request_token(&acme, &refresh).await,
        kit.request_token(&acme, &[CLIENT_CREDENTIALS, ("scope", nasty)]).await,
        kit.request_token(&acme, &[("grant_type", nasty)]).await,
        kit.send_raw(&RawRequest::post(TOKEN, FORM, body)).await,
        kit.send_raw(&RawRequest::post(TOKEN, "application/json", format!("{{{}:5}}", json!(nasty)))).await,
        kit.send_raw(&RawRequest::post(TOKEN, "application/json", "{\u{2019}")).await,
    ] {
        assert_eq!(
            (answer.status, header(&answer, "content-type")),
            (400, "application/json"),
            "{}",
            answer.body
        );
        for text in [status_and_error(&answer).1, error_description(&answer)] {
            let allowed = |c| matches!(c, '\u{20}'..='\u{21}' | '\u{23}'..='\u{5B}' | '\u{5D}'..='\u{7E}');
            assert!(!text.is_empty() && text.chars().all(allowed), "{text:?}");
        }
        assert_eq!(answer.json().as_object().unwrap().len(), 2, "{}", answer.body);
    }
    let query = build_authorize_query(&acme, &[("scope", Some(nasty))]);
    let description =
        query_parameter(&kit.authorize(&query).await.location.unwrap(), "error_description").unwrap();
    assert_eq!(description, "scope .........<script>. is unknown");
}

/// Intended deviation: Flinks documents 400 for `invalid_client`, also with HTTP Basic.
#[tokio::test]
async fn rfc6749_s5_2_deviation_invalid_client_has_no_challenge() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let body = "grant_type=client_credentials";
    let header =
        RawRequest::post(TOKEN, FORM, body).header("authorization", build_basic_header(&acme.id, "wrong"));
    let by_header = kit.send_raw(&header).await;
    let by_body =
        kit.request_token(&TestClient { secret: "wrong".into(), ..acme }, &[CLIENT_CREDENTIALS]).await;
    for answer in [by_header, by_body] {
        assert_eq!(status_and_error(&answer), bad_request("invalid_client"));
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn rfc6749_s6_refresh_rejects_other_client_and_wider_scope() {
    let kit = TestHub::new().await;
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let tokens = kit.connect(&acme).await;
    assert_eq!(status_and_error(&kit.refresh(&other, &tokens.refresh).await), bad_request("invalid_grant"));
    let wrong_secret = TestClient { secret: "wrong".into(), ..acme.clone() };
    assert_eq!(
        status_and_error(&kit.refresh(&wrong_secret, &tokens.refresh).await),
        bad_request("invalid_client")
    );
    let fields = [REFRESH_TOKEN, ("refresh_token", &*tokens.refresh)];
    assert_eq!(error_description(&kit.post_form(TOKEN, &fields).await), "client_id is missing");
    let with = |scope| [fields[0], fields[1], ("scope", scope)];
    for wider in ["CUSTOMER_CONTACT", "ACCOUNT_BASIC ACCOUNT_PAYMENTS"] {
        assert_eq!(
            status_and_error(&kit.request_token(&acme, &with(wider)).await),
            bad_request("invalid_scope"),
            "{wider}"
        );
    }
    let narrow = kit.request_token(&acme, &with("ACCOUNT_BASIC")).await.json();
    assert_eq!(narrow["scope"], "ACCOUNT_BASIC");
    let read = kit.read("/accounts?resultType=details", narrow["access_token"].as_str().unwrap()).await;
    assert_eq!(read.status, 401, "the token is limited to the narrower scope");
    assert_eq!(
        kit.refresh(&acme, &tokens.refresh).await.json()["scope"],
        SCOPE,
        "the refresh token keeps its scope"
    );
}

#[tokio::test]
async fn rfc6749_s10_5_s10_10_codes_and_tokens_are_unguessable() {
    let kit = TestHub::new().await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let tokens = kit.connect(&kit.acme()).await;
        seen.extend([tokens.code, tokens.refresh]);
    }
    for secret in &seen {
        assert_eq!(secret.len(), 43, "256 bits in base64url");
        assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')));
        let kinds = secret.chars().collect::<std::collections::BTreeSet<_>>().len();
        assert!(kinds > 16, "{kinds} kinds of characters");
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len());
}

#[tokio::test]
async fn rfc6749_s10_12_callback_from_other_browser_is_rejected() {
    let kit = TestHub::new().await;
    let callback = crate::recovery::approve_and_capture_callback(&kit).await;
    let other_client = bowline::cli::Browser::new().unwrap();
    let stolen = other_client.send(bowline::cli::BrowserRequest::new(Method::GET, &callback)).await.unwrap();
    assert_eq!((stolen.status, stolen.location), (400, None));
    assert_eq!(open_url(&kit, &callback).await.status, 302, "the flow continues in its own browser");
}
