//! Tests of discovery and of authorization requests with the independent bank.

use bowline::cli::BrowserRequest;
use domain::model::provider::{
    AuthorizationDetails, CustomerIdentity, ProviderEndpoint, ProviderSettings, PushedRequests,
    RequestObject, SigningAlgorithm, TermsSource,
};
use http::Method;
use serde_json::Value;

use super::{IndependentBank, create_signing_key, jwt_settings, remove_endpoints};
use crate::support::{ConnectionTokens, TestAuthority, TestHub, query_parameter};

/// Creates a key, and lets Maple Trust be the bank with discovered endpoints and this client.
pub(super) async fn discover_bank(
    kit: &TestHub,
    bank: &IndependentBank,
    client: &str,
    change: impl FnOnce(&mut ProviderSettings),
) {
    let file = kit.data_folder().join("key.pem");
    std::fs::write(&file, create_signing_key(SigningAlgorithm::Es256)).unwrap();
    kit.use_independent_bank(bank, &bank.http, |settings| {
        jwt_settings(settings, SigningAlgorithm::Es256, &file);
        client.clone_into(&mut settings.client_id);
        remove_endpoints(settings);
        change(settings);
    })
    .await;
}

pub(super) fn use_consent_requests(settings: &mut ProviderSettings) {
    settings.authorization_details = AuthorizationDetails::Fdx;
    settings.authorize_parameters = [("resource".to_owned(), "https://bank.example/fdx".to_owned())].into();
}

#[tokio::test]
async fn endpoints_are_discovered_and_known_while_issuer_is_down() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    discover_bank(&kit, &bank, "jwt-es256", |_| {}).await;

    let tokens = kit.connect_at_independent_bank(&bank).await;
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    kit.wait_for_revocation(&tokens).await;
    assert!(!bank.introspect_issued_tokens(&kit.browser).await.contains(&true));
    let authorization_endpoint = format!("{}/auth", bank.http);
    drop(bank);

    // The server may close its open connections a little later than its listener.
    kit.wait_until("the issuer is down", async || {
        let (is_found, detail) = kit.check_of_provider(1000, "metadata").await;
        !is_found && detail.contains("no connection")
    })
    .await;
    let ctx = bowline::jobs::new_job_context(kit.app(), "test").unwrap();
    let query = store::query::GetProvider { id: domain::id::ProviderId::new(1000) };
    let provider = ctx.ask(&query).await.unwrap().unwrap();
    assert_eq!(provider.endpoint(ProviderEndpoint::Authorization), Ok(&*authorization_endpoint));
}

#[tokio::test]
async fn openid_scopes_nonce_and_constant_parameters_are_sent() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    discover_bank(&kit, &bank, "jwt-es256", |settings| {
        settings.extra_scopes = vec!["openid".into(), "offline_access".into()];
        settings.authorize_parameters = [("prompt".to_owned(), "consent".to_owned())].into();
        settings.par = PushedRequests::Off;
    })
    .await;

    let tokens = kit.connect_at_independent_bank(&bank).await;
    let (first, pushed) = bank.last_login(&kit).await;
    kit.connect_at_independent_bank(&bank).await;
    let (second, _) = bank.last_login(&kit).await;

    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    assert!(first["scope"].as_str().unwrap().starts_with("openid offline_access "), "{first}");
    assert_eq!((first["prompt"].as_str(), pushed), (Some("consent"), 0));
    let nonce = |login: &Value| login["nonce"].as_str().unwrap().to_owned();
    assert!(nonce(&first).len() == 43 && nonce(&first) != nonce(&second), "{first}");
    assert_ne!(nonce(&first), first["state"].as_str().unwrap());
}

#[tokio::test]
async fn id_token_and_introspection_identify_the_customer() {
    for source in [CustomerIdentity::IdToken("sub".into()), CustomerIdentity::Introspection] {
        let kit = TestHub::new().await;
        let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
        discover_bank(&kit, &bank, "jwt-es256", |settings| {
            settings.extra_scopes = vec!["openid".into()];
            settings.customer_identity = source.clone();
        })
        .await;

        let first = kit.connect_at_independent_bank(&bank).await;
        let second = kit.connect_at_independent_bank(&bank).await;

        let mut customers = Vec::new();
        for tokens in [first, second] {
            let path = format!("/connections/{}", tokens.id);
            customers.push(kit.run_admin_operation(Method::GET, &path, None).await["sub"].clone());
        }
        assert_eq!(customers[0], customers[1], "{source:?}");
    }
}

#[tokio::test]
async fn pushed_request_with_fdx_details_connects() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    // The client may not send requests in another way.
    discover_bank(&kit, &bank, "jwt-par", |settings| {
        use_consent_requests(settings);
        settings.history = Some("90 days".into());
    })
    .await;

    let tokens = kit.connect_at_independent_bank(&bank).await;
    let (login, pushed) = bank.last_login(&kit).await;

    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    assert_eq!(pushed, 1);
    let details: Value = serde_json::from_str(login["authorization_details"].as_str().unwrap()).unwrap();
    let request = &details[0]["consentRequest"];
    assert_eq!(
        (details[0]["type"].as_str(), request["lookbackPeriod"].as_i64()),
        (Some("fdx_v1.0"), Some(90))
    );
    assert_eq!(login["code_challenge_method"], "S256");
    assert_eq!(kit.revoke(&tokens.access).await.status, 204);
    kit.wait_for_revocation(&tokens).await;
}

#[tokio::test]
async fn granted_details_and_introspection_state_terms() {
    for (sources, accounts, clusters) in [
        (vec![], Some(1), "ACCOUNT_BASIC ACCOUNT_DETAILED"),
        (vec![TermsSource::Introspection], Some(1), "ACCOUNT_BASIC ACCOUNT_DETAILED"),
        (vec![TermsSource::Introspection], None, crate::support::SCOPE),
    ] {
        let kit = TestHub::new().await;
        let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
        let is_introspected = !sources.is_empty();
        discover_bank(&kit, &bank, if accounts.is_some() { "jwt-par" } else { "jwt-es256" }, |settings| {
            if accounts.is_some() {
                use_consent_requests(settings);
            }
            settings.terms = sources;
        })
        .await;

        let tokens = kit.connect_at_independent_bank(&bank).await;

        let path = format!("/connections/{}", tokens.id);
        let shown = kit.run_admin_operation(Method::GET, &path, None).await;
        assert_eq!(shown["terms"]["accounts"], serde_json::json!(accounts), "{shown}");
        assert_eq!(shown["terms"]["clusters"], clusters);
        let end: jiff::Timestamp = shown["expires_at"].as_str().unwrap().parse().unwrap();
        let lifetime = end.as_second() - kit.app().now().unwrap().seconds();
        // The bank's refresh tokens last one day, which only introspection states. Its clock is a little ahead.
        assert_eq!((86_300..=87_000).contains(&lifetime), is_introspected, "{shown}");
        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
    }
}

#[tokio::test]
async fn rejected_pushed_request_ends_with_page() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    discover_bank(&kit, &bank, "jwt-par", |settings| settings.extra_scopes = vec!["payments".into()]).await;

    let rejected = kit.consent().await;
    discover_bank(&kit, &bank, "jwt-par", |settings| settings.par = PushedRequests::Off).await;
    let location = kit.consent().await.location.unwrap();
    let not_pushed = kit.browser.send(BrowserRequest::new(Method::GET, &location)).await.unwrap();

    assert_eq!(rejected.status, 503, "{}", rejected.body);
    assert!(rejected.body.contains("error=invalid_scope"), "{}", rejected.body);
    let refused = not_pushed.location.unwrap_or_default() + &not_pushed.body;
    assert!(refused.contains("invalid_request"), "the bank must require pushed requests: {refused}");
}

#[tokio::test]
async fn posted_response_continues_in_the_browser_that_began() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    discover_bank(&kit, &bank, "jwt-es256", |settings| {
        settings.authorize_parameters = [("response_mode".to_owned(), "form_post".to_owned())].into();
    })
    .await;
    let mut at = kit.consent().await.location.unwrap();
    let page = loop {
        let answer = kit.browser.send(BrowserRequest::new(Method::GET, &at)).await.unwrap();
        let Some(location) = &answer.location else { break answer.body };
        at = bowline::cli::resolve_url(&at, location);
    };
    let field =
        |name| bowline::cli::find_hidden_field(&page, name).unwrap_or_else(|| panic!("{name}: {page}"));
    let [code, state, iss] = ["code", "state", "iss"].map(field);
    let form = [("code", &*code), ("state", &*state), ("iss", &*iss), ("other", "value")];
    // A browser sends no flow cookie with a form of another site, so another browser posts it.
    let post = BrowserRequest::new(Method::POST, &kit.url("/callback/1000")).form(&form);
    let without_cookies = bowline::cli::Browser::new().unwrap();
    let posted = without_cookies.send(post).await.unwrap();
    let location = posted.location.unwrap_or_else(|| panic!("{}", posted.body));
    let continued = kit.url(&location);

    let foreign = without_cookies.send(BrowserRequest::new(Method::GET, &continued)).await.unwrap();
    let own = kit.send(BrowserRequest::new(Method::GET, &continued)).await;

    assert_eq!(posted.status, 303);
    assert!(!location.contains(&code) && !location.contains(&state), "{location}");
    assert_eq!((foreign.status, own.status), (400, 302), "{}", own.body);
    let code = query_parameter(&own.location.unwrap(), "code").unwrap();
    let tokens = ConnectionTokens::from_response(&kit.redeem(&kit.acme(), &code).await, code);
    assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200);
}

#[tokio::test]
async fn signed_request_object_connects() {
    for par in [PushedRequests::Off, PushedRequests::Auto] {
        let kit = TestHub::new().await;
        let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
        discover_bank(&kit, &bank, "jwt-jar", |settings| {
            settings.request_object = RequestObject::Required;
            use_consent_requests(settings);
            settings.par = par;
        })
        .await;

        let tokens = kit.connect_at_independent_bank(&bank).await;

        assert_eq!(kit.read("/accounts", &tokens.access).await.status, 200, "{par:?}");
        let (login, pushed) = bank.last_login(&kit).await;
        assert!(login["authorization_details"].as_str().unwrap().contains("consentRequest"), "{login}");
        assert_eq!(pushed, u64::from(par == PushedRequests::Auto));
    }
}
