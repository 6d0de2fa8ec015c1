//! Tests of the clauses of RFC 6749 (OAuth 2.0) up to section 4.1.2: clients, endpoints and authorization responses.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::model::connection::EndCause;
use http::Method;

use super::{
    FORM, TOKEN, bad_request, build_authorize_query, build_basic_header, error_description,
    fetch_redirect_error, header, status_and_error,
};
use crate::support::{RawRequest, SCOPE, TestHub, query_parameter};

const CLIENT_CREDENTIALS: (&str, &str) = ("grant_type", "client_credentials");
const REFRESH_TOKEN: (&str, &str) = ("grant_type", "refresh_token");
const AUTHORIZATION_CODE: (&str, &str) = ("grant_type", "authorization_code");

#[tokio::test]
async fn rfc6749_s2_3_multiple_auth_methods_are_rejected() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let authorization = build_basic_header(&acme.id, &acme.secret);
    let ask = |fields: &str| {
        let body = format!("grant_type=client_credentials&{fields}");
        RawRequest::post(TOKEN, FORM, body).header("authorization", authorization.as_str())
    };
    let repeated = kit.send_raw(&ask(&format!("client_secret={}", acme.secret))).await;
    assert_eq!(
        (status_and_error(&repeated), error_description(&repeated)),
        (bad_request("invalid_request"), { "The client secret is given in two places".to_owned() })
    );
    let other = kit.send_raw(&ask("client_id=dc-yours")).await;
    assert_eq!(status_and_error(&other), bad_request("invalid_request"));
    assert_eq!(
        kit.send_raw(&ask(&format!("client_id={}", acme.id))).await.status,
        200,
        "a client id without a secret does not authenticate"
    );
}

#[tokio::test]
async fn rfc6749_s2_3_1_basic_credentials_are_form_decoded() {
    let kit = TestHub::new().await;
    let odd = kit
        .register_recipient_with_credentials(
            "dc-odd~1.x",
            "a b+c%25&:\u{fc}=/",
            &["https://odd.example.org/back"],
        )
        .await;
    let ask = |authorization: String| {
        RawRequest::post(TOKEN, FORM, "grant_type=client_credentials").header("authorization", authorization)
    };
    assert_eq!(kit.send_raw(&ask(build_basic_header(&odd.id, &odd.secret))).await.status, 200);
    let bare = format!("Basic {}", STANDARD.encode(format!("{}:{}", odd.id, odd.secret)));
    assert_eq!(
        status_and_error(&kit.send_raw(&ask(bare)).await),
        bad_request("invalid_client"),
        "a plus sign is a space"
    );
    for malformed in ["Basic !", "Basic QUJD", "Basic /w==", "Basic Og==x"] {
        let answer = kit.send_raw(&ask(malformed.to_owned())).await;
        assert_eq!(status_and_error(&answer), bad_request("invalid_request"), "{malformed}");
        assert_eq!(error_description(&answer), "The Authorization header is malformed");
    }
    let body_fields = [CLIENT_CREDENTIALS, ("client_id", &*odd.id), ("client_secret", &*odd.secret)];
    assert_eq!(kit.post_form(TOKEN, &body_fields).await.status, 200, "body values are form-encoded once");
    assert_eq!(kit.request_token(&odd, &[CLIENT_CREDENTIALS]).await.status, 200);
}

#[tokio::test]
async fn rfc6749_s2_3_1_credentials_in_query_are_rejected() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    for name in ["client_secret", "code", "refresh_token", "access_token", "token", "code_verifier"] {
        for path in ["/api/v1/token", "/api/v1/revoke"] {
            let target = format!("{path}?{name}=x&grant_type=client_credentials");
            let body =
                format!("grant_type=client_credentials&client_id={}&client_secret={}", acme.id, acme.secret);
            let answer = kit.send_raw(&RawRequest::post(target, FORM, body)).await;
            assert_eq!(status_and_error(&answer), bad_request("invalid_request"), "{path} {name}");
            assert!(
                error_description(&answer).starts_with(name),
                "the error names the parameter: {}",
                answer.body
            );
        }
    }
    let target = format!("{TOKEN}?grant_type=client_credentials&client_id={}", acme.id);
    let answer = kit.send_raw(&RawRequest::post(target, FORM, "")).await;
    assert_eq!(error_description(&answer), "client_id is missing", "credentials in the query are ignored");
}

#[tokio::test]
async fn rfc6749_s3_1_repeated_param_is_rejected_empty_one_is_absent() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    for name in ["response_type", "scope", "state", "provider_id", "code_challenge", "code_challenge_method"]
    {
        let mut query = TestHub::build_authorization_query(&acme);
        query.extend([(name, "x".to_owned()), (name, "x".to_owned())]);
        let location = kit.authorize(&query).await.location.unwrap();
        assert_eq!(query_parameter(&location, "error").as_deref(), Some("invalid_request"), "{name}");
        let description = query_parameter(&location, "error_description").unwrap();
        assert!(
            description == format!("{name} is given twice") || name.starts_with("code_"),
            "{description}"
        );
    }
    let mut query = TestHub::build_authorization_query(&acme);
    query.extend([("nonce", "n".to_owned()), ("prompt", "x".into()), ("prompt", "y".into())]);
    assert_eq!(kit.authorize(&query).await.status, 303, "unknown parameters are ignored");
    for name in ["response_type", "scope", "state"] {
        let (error, description) = fetch_redirect_error(&kit, &acme, &[(name, Some(""))]).await;
        assert_eq!((error.as_str(), description), ("invalid_request", format!("{name} is missing")));
    }
}

#[tokio::test]
async fn rfc6749_s3_1_2_2_query_of_redirect_uri_is_preserved() {
    let kit = TestHub::new().await;
    let uri = "https://odd.example.org/back?dummy1=lorem&dummy2=ipsum%20x&dummy1=again";
    let odd = kit.register_recipient_with_credentials("dc-query", "secret", &[uri]).await;
    let back = kit
        .complete_authorization(&TestHub::build_authorization_query(&odd), "alice", &["mt-alice-card"])
        .await;
    assert!(back.starts_with(&format!("{uri}&code=")), "{back}");
    let code = query_parameter(&back, "code").unwrap();
    assert_eq!(kit.redeem(&odd, &code).await.status, 200);
    let (error, _) = fetch_redirect_error(&kit, &odd, &[("response_type", Some("token"))]).await;
    assert_eq!(error, "unsupported_response_type");
    let reordered = "https://odd.example.org/back?dummy2=ipsum%20x&dummy1=lorem&dummy1=again";
    let answer = kit.authorize(&build_authorize_query(&odd, &[("redirect_uri", Some(reordered))])).await;
    assert_eq!((answer.status, answer.location), (400, None), "redirect URIs are compared as strings");
}

#[tokio::test]
async fn rfc6749_s3_1_2_3_redirect_uris_are_compared_as_strings() {
    let kit = TestHub::new().await;
    let uri = "https://odd.example.org/back/%7Eapp";
    let odd = kit.register_recipient_with_credentials("dc-exact", "secret", &[uri]).await;
    for other in [
        "https://odd.example.org/back/%7Eapp/",
        "https://odd.example.org/back/%7eapp",
        "https://odd.example.org/back/~app",
        "https://odd.example.org/back/%7Eapp?",
        "https://odd.example.org/back/%7Eapp#",
        "https://odd.example.org/back/%7Eapp%00",
        "https://ODD.example.org/back/%7Eapp",
        "https://odd.example.org:443/back/%7Eapp",
        "https://odd.example.org/x/../back/%7Eapp",
        "https://odd.example.org@evil.example.org/back/%7Eapp",
        "https://odd.example.org.evil.example.org/back/%7Eapp",
        "http://odd.example.org/back/%7Eapp",
        "https:odd.example.org/back/%7Eapp",
        " https://odd.example.org/back/%7Eapp",
    ] {
        let answer = kit.authorize(&build_authorize_query(&odd, &[("redirect_uri", Some(other))])).await;
        assert_eq!((answer.status, answer.location), (400, None), "{other}");
    }
    let code = query_parameter(
        &kit.complete_authorization(&TestHub::build_authorization_query(&odd), "alice", &["mt-alice-card"])
            .await,
        "code",
    )
    .unwrap();
    let wrong = kit
        .request_token(
            &odd,
            &[AUTHORIZATION_CODE, ("code", &code), ("redirect_uri", &uri.replace("%7E", "~"))],
        )
        .await;
    assert_eq!(status_and_error(&wrong), bad_request("invalid_grant"));
    assert_eq!(kit.redeem(&odd, &code).await.status, 200);
}

#[tokio::test]
async fn rfc6749_s3_1_2_4_unregistered_redirect_uri_gets_error_page() {
    let kit = TestHub::new().await;
    for change in
        [("redirect_uri", Some("https://evil.example.org/")), ("redirect_uri", None), ("client_id", None)]
    {
        for also in [("response_type", Some("token")), ("scope", None), ("state", Some("x"))] {
            let answer = kit.authorize(&build_authorize_query(&kit.acme(), &[change, also])).await;
            assert_eq!((answer.status, &answer.location), (400, &None), "{change:?} {also:?}");
            assert!(header(&answer, "content-type").starts_with("text/html"));
            assert!(!answer.body.contains("evil.example.org"));
        }
    }
}

#[tokio::test]
async fn rfc6749_s3_2_token_endpoint_accepts_only_post() {
    let kit = TestHub::new().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = kit.call(method.clone(), TOKEN, "x").await;
        assert_eq!(
            (status_and_error(&answer), header(&answer, "allow")),
            ((405, "invalid_request".into()), "POST"),
            "{method}"
        );
    }
}

#[tokio::test]
async fn rfc6749_s3_3_scope_order_is_ignored_and_grant_is_returned() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let backwards = "TRANSACTIONS  ACCOUNT_DETAILED ACCOUNT_BASIC TRANSACTIONS";
    let query = build_authorize_query(&acme, &[("scope", Some(backwards))]);
    let code =
        query_parameter(&kit.complete_authorization(&query, "alice", &["mt-alice-card"]).await, "code")
            .unwrap();
    assert_eq!(kit.redeem(&acme, &code).await.json()["scope"], SCOPE);
    for (scope, unknown) in
        [("account_basic", "account_basic"), ("ACCOUNT_BASIC\tTRANSACTIONS", "ACCOUNT_BASIC.TRANSACTIONS")]
    {
        let answer = fetch_redirect_error(&kit, &acme, &[("scope", Some(scope))]).await;
        assert_eq!(answer, ("invalid_scope".into(), format!("scope {unknown} is unknown")));
    }
}

#[tokio::test]
async fn rfc6749_s3_3_blank_scope_returns_invalid_scope() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    for blank in [" ", "   "] {
        assert_eq!(fetch_redirect_error(&kit, &acme, &[("scope", Some(blank))]).await.0, "invalid_scope");
        let refresh = kit
            .request_token(&acme, &[REFRESH_TOKEN, ("refresh_token", &tokens.refresh), ("scope", blank)])
            .await;
        assert_eq!(
            status_and_error(&refresh),
            bad_request("invalid_scope"),
            "no token is issued for an empty scope"
        );
        assert_eq!(
            status_and_error(&kit.request_token(&acme, &[CLIENT_CREDENTIALS, ("scope", blank)]).await),
            bad_request("invalid_scope")
        );
    }
}

#[tokio::test]
async fn rfc6749_s4_1_2_code_reuse_ends_connection() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let tokens = kit.connect(&acme).await;
    let again = kit.redeem(&acme, &tokens.code).await;
    assert_eq!(
        (status_and_error(&again), header(&again, "cache-control")),
        (bad_request("invalid_grant"), "no-store")
    );
    assert_eq!(kit.load_end_cause(&tokens.id).await, Some(EndCause::CodeReplayed));
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 401);
    assert_eq!(status_and_error(&kit.refresh(&acme, &tokens.refresh).await), bad_request("invalid_grant"));
    kit.wait_until("the provider is notified", async || kit.list_grant_states().await == ["ended"]).await;
}

/// Intended deviation: only a legitimate replay ends the connection; a code from a log has no effect.
#[tokio::test]
async fn rfc6749_s4_1_2_deviation_unauthorized_reuse_ends_nothing() {
    let kit = TestHub::new().await;
    let (acme, other) = (kit.acme(), kit.register_recipient(&[1000], SCOPE, false).await);
    let tokens = kit.connect(&acme).await;
    let code = ("code", tokens.code.as_str());
    assert_eq!(status_and_error(&kit.redeem(&other, &tokens.code).await), bad_request("invalid_grant"));
    let elsewhere = [AUTHORIZATION_CODE, code, ("redirect_uri", "https://elsewhere.example.org/")];
    assert_eq!(status_and_error(&kit.request_token(&acme, &elsewhere).await), bad_request("invalid_grant"));
    kit.advance(Duration::from_mins(1));
    assert_eq!(status_and_error(&kit.redeem(&acme, &tokens.code).await), bad_request("invalid_grant"));
    assert_eq!(
        (kit.load_end_cause(&tokens.id).await, kit.read("/accounts", &tokens.access).await.status),
        (None, 200)
    );
}

#[tokio::test]
async fn rfc6749_s4_1_2_code_expires_after_one_minute() {
    let kit = TestHub::new().await;
    let (early, late) = (kit.obtain_code(&kit.acme()).await, kit.obtain_code(&kit.acme()).await);
    kit.advance(Duration::from_millis(59_999));
    assert_eq!(kit.redeem(&kit.acme(), &early).await.status, 200);
    kit.advance(Duration::from_millis(1));
    assert_eq!(status_and_error(&kit.redeem(&kit.acme(), &late).await), bad_request("invalid_grant"));
}

#[tokio::test]
async fn rfc6749_s4_1_2_state_is_returned_unchanged() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let every: String = (0x20..=0x7e_u8).map(char::from).collect();
    for state in [every.repeat(15), "a+b%20c%2525".into(), "%00%0d%0a".into(), "\u{e9}\u{fffe}".into()] {
        let back = kit
            .complete_authorization(
                &build_authorize_query(&acme, &[("state", Some(&state))]),
                "alice",
                &["mt-alice-card"],
            )
            .await;
        assert!(query_parameter(&back, "code").is_some() && back.is_ascii());
        assert_eq!(query_parameter(&back, "state").as_ref(), Some(&state), "state is returned with a code");
        let error =
            kit.authorize(&build_authorize_query(&acme, &[("state", Some(&state)), ("scope", None)])).await;
        assert_eq!(
            query_parameter(&error.location.unwrap(), "state").as_ref(),
            Some(&state),
            "state is returned with an error"
        );
    }
}

/// Invalid UTF-8 cannot be returned unchanged, and control characters are rejected.
#[tokio::test]
async fn rfc6749_s4_1_2_unprintable_state_is_rejected() {
    for kit in
        [TestHub::new().await, TestHub::with_store(Some(crate::support::create_database().await)).await]
    {
        let acme = kit.acme();
        let without = build_authorize_query(&acme, &[("state", None)]);
        let url = crate::support::authorize_url("", &without);
        for state in ["%00", "a%00b", "%0D%0Ab", "%FF", "%C0%AE", "a%E9", "%7F", "%C2%85"] {
            let answer = kit.send_raw(&RawRequest::get(format!("{url}&state={state}"))).await;
            assert_eq!(answer.status, 302, "{state}: {}", answer.body);
            let location = answer.location.unwrap();
            assert!(location.starts_with(&acme.redirect_uri));
            assert_eq!(query_parameter(&location, "error").as_deref(), Some("invalid_request"), "{state}");
            assert_eq!(
                query_parameter(&location, "error_description").as_deref(),
                Some("state must be printable text")
            );
            assert_eq!(query_parameter(&location, "state"), None, "an invalid state is not returned");
        }
    }
}

#[tokio::test]
async fn rfc6749_s4_1_2_1_error_redirect_returns_the_sent_state() {
    let kit = TestHub::new().await;
    let acme = kit.acme();
    let with = kit
        .authorize(&build_authorize_query(&acme, &[("response_type", Some("token"))]))
        .await
        .location
        .unwrap();
    assert_eq!(query_parameter(&with, "state").as_deref(), Some("a state/with=odd&chars"));
    assert_eq!(query_parameter(&with, "code"), None);
    let without = kit.authorize(&build_authorize_query(&acme, &[("state", None)])).await.location.unwrap();
    assert!(!without.contains("state="), "{without}");
    for (change, error) in [
        (("response_type", Some("code token")), "unsupported_response_type"),
        (("response_type", Some("id_token")), "unsupported_response_type"),
        (("scope", Some("ACCOUNT_BASIC openid")), "invalid_scope"),
        (("provider_id", Some("9999")), "invalid_request"),
    ] {
        assert_eq!(fetch_redirect_error(&kit, &acme, &[change]).await.0, error, "{change:?}");
    }
    let elsewhere = kit.register_recipient(&[2000], SCOPE, false).await;
    assert_eq!(fetch_redirect_error(&kit, &elsewhere, &[]).await.0, "unauthorized_client");
    kit.suspend(&acme).await;
    assert_eq!(fetch_redirect_error(&kit, &acme, &[]).await.0, "unauthorized_client");
}

/// Intended deviation: Flinks requires `state` and `scope`.
#[tokio::test]
async fn rfc6749_s4_1_1_deviation_state_and_scope_are_required() {
    let kit = TestHub::new().await;
    for name in ["state", "scope"] {
        let error = fetch_redirect_error(&kit, &kit.acme(), &[(name, None)]).await;
        assert_eq!(error, ("invalid_request".into(), format!("{name} is missing")));
    }
}
