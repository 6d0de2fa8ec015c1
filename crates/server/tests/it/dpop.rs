//! Tests of tokens that are bound to a key (DPoP, RFC 9449): proofs, nonces, wrong types of tokens, and the key in the store.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline::cli::BrowserResponse;
use domain::model::provider::{Dpop, RevokeMethod, RevokeTokens};
use http::Method;
use rstest::rstest;
use serde_json::json;

use crate::support::{CapturedLog, ConnectionTokens, DpopBank, HubApiClient, TestHub, query_parameter};

mod reads;

/// Signs in and consents; returns the redirect to the recipient, and the thumbprint in the authorization request.
async fn login(kit: &TestHub) -> (String, Option<String>) {
    let location = kit.consent().await.location.unwrap();
    let thumbprint = query_parameter(&location, "dpop_jkt");
    (kit.complete_flow(&location, "alice").await, thumbprint)
}

async fn connect(kit: &TestHub) -> (ConnectionTokens, Option<String>) {
    let (redirect, thumbprint) = login(kit).await;
    let code = query_parameter(&redirect, "code").unwrap_or_else(|| panic!("no code: {redirect}"));
    (ConnectionTokens::from_response(&kit.redeem(&kit.acme(), &code).await, code), thumbprint)
}

async fn read(kit: &TestHub, tokens: &ConnectionTokens) -> BrowserResponse {
    kit.read("/accounts", &tokens.access).await
}

/// Lets the provider's access token expire, and reads.
async fn refresh_and_read(kit: &TestHub, tokens: &ConnectionTokens) -> BrowserResponse {
    kit.advance(Duration::from_mins(1));
    read(kit, tokens).await
}

async fn set_dpop(kit: &TestHub, dpop: Dpop) {
    kit.update_provider_settings(1000, |settings| settings.dpop = dpop).await;
}

/// Starts a hub whose log is captured, with a provider that binds its tokens to a key.
async fn start_logged() -> (CapturedLog, TestHub, DpopBank) {
    let log = CapturedLog::start();
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    (log, kit, bank)
}

fn assert_rejection_logged_once(log: &CapturedLog) {
    assert_eq!(log.find_lines("rejects the DPoP proof").len(), 1, "{}", log.text());
}

/// Checks that a login has ended with an error, and that its code is not sent again later.
async fn assert_login_failed(kit: &TestHub, redirect: &str) {
    assert_eq!(query_parameter(redirect, "error").as_deref(), Some("server_error"));
    let description = query_parameter(redirect, "error_description").unwrap();
    assert_eq!(description, "The provider rejects the hub's request");
    assert_eq!(kit.sql("SELECT 1 FROM connections").await, [""; 0]);
    let recoveries = kit.sql("SELECT 1 FROM jobs WHERE kind = 'recover_authorization_code'").await;
    assert_eq!(recoveries, [""; 0], "the response proves that the code was not processed");
}

/// Checks that the outcome of each refresh is known.
async fn assert_refreshes_settled(kit: &TestHub) {
    let unsettled = kit.sql("SELECT 1 FROM upstream_credentials WHERE outcome_unknown = 1").await;
    assert_eq!(unsettled, [""; 0], "the response proves that the refresh was not processed");
}

/// Checks that the connection is active, and that no `invalid_grant` was counted.
async fn assert_untouched(kit: &TestHub, tokens: &ConnectionTokens) {
    assert_eq!(kit.load_end_cause(&tokens.id).await, None);
    let counted = "SELECT 1 FROM upstream_credentials WHERE invalid_grant_at IS NOT NULL";
    assert_eq!(kit.sql(counted).await, [""; 0], "no invalid_grant is counted");
}

#[tokio::test]
async fn rfc9449_s4_2_each_request_has_proof_of_one_key() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;

    let (tokens, thumbprint) = connect(&kit).await;
    assert_eq!(read(&kit, &tokens).await.status, 200);
    assert_eq!(refresh_and_read(&kit, &tokens).await.status, 200);
    let node = kit.start_other_node().await;
    let other = HubApiClient { browser: &kit.browser, hub: &node.url };
    let status = other.read("/accounts", &tokens.access).await.status;
    node.stop().await;

    assert_eq!(status, 200, "another node has the key");
    let fdx = ["/fdx/customers/current", "/fdx/accounts", "/fdx/accounts", "/fdx/accounts"];
    assert_eq!(bank.paths(), ["/token", fdx[0], fdx[1], "/token", fdx[2], fdx[3]]);
    let proofs = bank.proofs();
    let keys: BTreeSet<_> = proofs.iter().map(|proof| Some(proof.key.clone())).collect();
    assert_eq!(keys, BTreeSet::from([thumbprint]), "the key is that of the authorization request");
    assert_eq!(proofs.last().unwrap().issued_at, kit.app().now().unwrap().seconds());
    assert!(proofs.iter().all(|proof| proof.nonce.is_none() && proof.id.len() == 22), "{proofs:?}");
}

#[tokio::test]
async fn each_grant_has_key_of_its_own() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;

    let (_, first) = connect(&kit).await;
    let (_, second) = connect(&kit).await;

    assert!(first.is_some() && first != second, "{first:?}");
    assert_eq!(bank.proofs().len(), 4);
}

#[tokio::test]
async fn revocation_of_bound_token_needs_no_proof() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    let (tokens, _) = connect(&kit).await;

    assert_eq!(kit.revoke(&tokens.access).await.status, 204);

    kit.wait_until("the token is revoked", async || !bank.fields("/revoke", "token").is_empty()).await;
    assert_eq!(bank.fields("/revoke", "token"), [Some("rt-1".to_owned())]);
    let calls = bank.stub.calls();
    let revocation = calls.iter().find(|call| call.path == "/revoke").unwrap();
    assert!(!revocation.headers.contains_key("dpop"));
}

#[rstest]
#[case::consent(RevokeMethod::FdxConsent, "/fdx/consents/grant-1/revocation")]
#[case::grant(RevokeMethod::GrantManagement, "/grants/grant-1")]
#[tokio::test]
async fn revocation_of_consent_proves_key_of_own_token(#[case] method: RevokeMethod, #[case] path: &str) {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    let grants = format!("{}/grants", bank.stub.url);
    kit.update_provider_settings(1000, |settings| {
        settings.grant_management_endpoint = Some(grants);
        settings.revoke = vec![method];
    })
    .await;
    bank.change(|state| state.data_nonce = Some("n-1".to_owned()));
    let (tokens, thumbprint) = connect(&kit).await;

    assert_eq!(kit.revoke(&tokens.access).await.status, 204);

    kit.wait_until("the consent is revoked", async || {
        let path = format!("/connections/{}", tokens.id);
        kit.run_admin_operation(Method::GET, &path, None).await["provider_revocation"] == "accepted"
    })
    .await;
    let proofs = bank.proofs();
    let [.., token, revocation] = proofs.as_slice() else { panic!("{proofs:?}") };
    assert_eq!((&*token.path, &*revocation.path), ("/token", path));
    assert_eq!(token.key, revocation.key);
    assert_ne!(Some(&token.key), thumbprint.as_ref(), "the token is the hub's own");
}

#[tokio::test]
async fn rfc9449_s8_demanded_nonce_is_sent_and_remembered() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    bank.change(|state| {
        (state.token_nonce, state.data_nonce) = (Some("t-1".to_owned()), Some("d-1".to_owned()));
    });

    let (tokens, _) = connect(&kit).await;
    assert_eq!(read(&kit, &tokens).await.status, 200);
    assert_eq!(refresh_and_read(&kit, &tokens).await.status, 200);
    bank.change(|state| state.data_nonce = Some("d-2".to_owned()));
    assert_eq!(read(&kit, &tokens).await.status, 200);

    let nonces: Vec<_> = bank.proofs().into_iter().map(|proof| (proof.path, proof.nonce)).collect();
    let expected = [
        ("/token", None),
        ("/token", Some("t-1")),
        // The nonce of the server that issues tokens is not sent to the other one.
        ("/fdx/customers/current", None),
        ("/fdx/customers/current", Some("d-1")),
        ("/fdx/accounts", Some("d-1")),
        ("/token", Some("t-1")),
        ("/fdx/accounts", Some("d-1")),
        ("/fdx/accounts", Some("d-1")),
        ("/fdx/accounts", Some("d-2")),
    ];
    let expected = expected.map(|(path, nonce)| (path.to_owned(), nonce.map(str::to_owned)));
    assert_eq!(nonces, expected);
    let codes: BTreeSet<_> = bank.fields("/token", "code").into_iter().flatten().collect();
    assert_eq!(codes.len(), 1, "the code is sent again");
}

#[tokio::test]
async fn loop_of_nonces_ends_read_without_refresh() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    let (tokens, _) = connect(&kit).await;
    let before = bank.paths().len();
    bank.change(|state| state.loop_at = Some("/fdx"));

    let failed = read(&kit, &tokens).await;
    let paths = bank.paths().split_off(before);
    bank.change(|state| state.loop_at = None);
    let succeeded = read(&kit, &tokens).await;

    assert_eq!(paths, ["/fdx/accounts", "/fdx/accounts"], "it is repeated once, and no token is refreshed");
    assert_eq!((failed.status, &failed.json()["code"]), (500, &json!(500)), "{}", failed.body);
    assert_eq!(succeeded.status, 200, "{}", succeeded.body);
    assert_untouched(&kit, &tokens).await;
}

#[tokio::test]
async fn loop_of_nonces_ends_refresh_and_keeps_token() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    let (tokens, _) = connect(&kit).await;
    bank.change(|state| state.loop_at = Some("/token"));

    let failed = refresh_and_read(&kit, &tokens).await;
    let sent = bank.fields("/token", "refresh_token");
    bank.change(|state| state.loop_at = None);
    let succeeded = read(&kit, &tokens).await;

    assert_eq!(failed.status, 500, "{}", failed.body);
    assert_eq!(sent, [None, Some("rt-1".to_owned()), Some("rt-1".to_owned())]);
    assert_eq!(succeeded.status, 200, "{}", succeeded.body);
    assert_untouched(&kit, &tokens).await;
    assert_refreshes_settled(&kit).await;
}

#[tokio::test]
async fn loop_of_nonces_ends_login_with_page() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    bank.change(|state| state.loop_at = Some("/token"));

    let (redirect, _) = login(&kit).await;

    assert_login_failed(&kit, &redirect).await;
    assert_eq!(bank.paths(), ["/token", "/token"], "the exchange is repeated once");
}

#[tokio::test]
async fn rejected_proof_ends_read_without_refresh() {
    let (log, kit, bank) = start_logged().await;
    let (tokens, _) = connect(&kit).await;
    let before = bank.paths().len();
    bank.change(|state| state.reject_at = Some("/fdx"));

    let failed = [read(&kit, &tokens).await, read(&kit, &tokens).await];
    let paths = bank.paths().split_off(before);
    bank.change(|state| state.reject_at = None);
    let succeeded = read(&kit, &tokens).await;

    assert_eq!(paths, ["/fdx/accounts", "/fdx/accounts"], "no read is repeated, and no token is refreshed");
    for failed in failed {
        assert_eq!((failed.status, &failed.json()["code"]), (500, &json!(500)), "{}", failed.body);
    }
    assert_rejection_logged_once(&log);
    assert_eq!(succeeded.status, 200, "{}", succeeded.body);
    assert_untouched(&kit, &tokens).await;
}

#[tokio::test]
async fn rejected_proof_ends_refresh_and_keeps_token() {
    let (log, kit, bank) = start_logged().await;
    let (tokens, _) = connect(&kit).await;
    bank.change(|state| state.reject_at = Some("/token"));

    let failed = refresh_and_read(&kit, &tokens).await;
    let sent = bank.fields("/token", "refresh_token");
    bank.change(|state| state.reject_at = None);
    let succeeded = read(&kit, &tokens).await;

    assert_eq!(failed.status, 500, "{}", failed.body);
    assert_eq!(sent, [None, Some("rt-1".to_owned())], "the refresh is not repeated");
    assert_rejection_logged_once(&log);
    assert_eq!(succeeded.status, 200, "{}", succeeded.body);
    assert_untouched(&kit, &tokens).await;
    assert_refreshes_settled(&kit).await;
}

#[tokio::test]
async fn rejected_proof_ends_login_with_page() {
    let (log, kit, bank) = start_logged().await;
    bank.change(|state| state.reject_at = Some("/token"));

    let (redirect, _) = login(&kit).await;

    assert_login_failed(&kit, &redirect).await;
    assert_eq!(bank.paths(), ["/token"], "the exchange is not repeated");
    assert_rejection_logged_once(&log);
}

#[rstest]
#[case::not_bound(Dpop::Required, "Bearer")]
#[case::without_type(Dpop::Required, "")]
#[case::not_proved(Dpop::Off, "DPoP")]
#[tokio::test]
async fn token_of_other_type_is_revoked(#[case] dpop: Dpop, #[case] token_type: &str) {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, dpop).await;
    bank.change(|state| state.token_type = json!(token_type));

    let (redirect, thumbprint) = login(&kit).await;

    assert_eq!(thumbprint.is_some(), dpop == Dpop::Required);
    assert_eq!(query_parameter(&redirect, "error").as_deref(), Some("server_error"));
    let description = query_parameter(&redirect, "error_description").unwrap();
    assert!(description.contains("a type that the hub does not accept"), "{description}");
    assert_eq!(kit.sql("SELECT 1 FROM connections").await, [""; 0]);
    kit.wait_until("the tokens are revoked", async || !bank.fields("/revoke", "token").is_empty()).await;
    assert_eq!(bank.fields("/revoke", "token"), [Some("rt-1".to_owned())]);
    assert!(
        bank.stub.calls().iter().all(|call| !call.path.starts_with("/fdx")),
        "the token is not presented"
    );
}

#[tokio::test]
async fn refresh_with_token_of_other_type_keeps_grant() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    let (tokens, _) = connect(&kit).await;
    let before = bank.paths().len();
    bank.change(|state| state.token_type = json!("Bearer"));

    let failed = refresh_and_read(&kit, &tokens).await;
    let paths = bank.paths().split_off(before);
    bank.change(|state| state.token_type = json!("DPoP"));
    let succeeded = read(&kit, &tokens).await;

    assert_eq!(failed.status, 500, "{}", failed.body);
    assert_eq!(paths, ["/token"], "the bearer token is not presented");
    assert_eq!(succeeded.status, 200, "{}", succeeded.body);
    let sent = bank.fields("/token", "refresh_token");
    assert_eq!(
        sent[1..],
        [Some("rt-1".to_owned()), Some("rt-2".to_owned())],
        "the new refresh token is kept"
    );
    assert_untouched(&kit, &tokens).await;
}

#[tokio::test]
async fn grant_keeps_its_key_when_setting_changes() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    let (tokens, thumbprint) = connect(&kit).await;
    set_dpop(&kit, Dpop::Off).await;

    assert_eq!(refresh_and_read(&kit, &tokens).await.status, 200);
    // A provider that stops to bind tokens is served as long as the setting allows it.
    bank.change(|state| state.token_type = json!("Bearer"));
    assert_eq!(refresh_and_read(&kit, &tokens).await.status, 200);
    bank.change(|state| state.token_type = json!("DPoP"));
    assert_eq!(refresh_and_read(&kit, &tokens).await.status, 200);

    let keys: BTreeSet<_> = bank.proofs().into_iter().map(|proof| Some(proof.key)).collect();
    assert_eq!(keys, BTreeSet::from([thumbprint]));
    assert_eq!(bank.paths().iter().filter(|path| *path == "/token").count(), 4, "each refresh has a proof");
}

#[tokio::test]
async fn grant_gets_key_at_refresh_when_setting_changes() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Off).await;
    bank.change(|state| state.token_type = json!("Bearer"));
    let (tokens, thumbprint) = connect(&kit).await;
    assert_eq!((read(&kit, &tokens).await.status, thumbprint), (200, None));
    bank.change(|state| state.token_type = json!("DPoP"));
    set_dpop(&kit, Dpop::Required).await;

    assert_eq!(refresh_and_read(&kit, &tokens).await.status, 200);
    assert_eq!(refresh_and_read(&kit, &tokens).await.status, 200);

    assert_eq!(bank.paths(), ["/token", "/fdx/accounts", "/token", "/fdx/accounts"]);
    let keys: BTreeSet<_> = bank.proofs().into_iter().map(|proof| proof.key).collect();
    assert_eq!(keys.len(), 1, "the new key is that of the grant");
}

#[tokio::test]
async fn recovery_of_exchange_proves_key_of_its_code() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    bank.change(|state| state.lost_responses = 1);

    let (redirect, thumbprint) = login(&kit).await;

    assert!(query_parameter(&redirect, "error").is_some(), "{redirect}");
    kit.wait_until("the recovered token is revoked", async || {
        // The next attempt of the job becomes due.
        kit.advance(Duration::from_secs(10));
        !bank.fields("/revoke", "token").is_empty()
    })
    .await;
    let proofs = bank.proofs();
    let keys: BTreeSet<_> = proofs.iter().map(|proof| Some(proof.key.clone())).collect();
    assert_eq!((proofs.len(), keys), (2, BTreeSet::from([thumbprint])));
}

#[rstest]
#[case::access(RevokeTokens::Access)]
#[case::both(RevokeTokens::Both)]
#[tokio::test]
async fn token_of_other_type_is_revoked_at_end(#[case] revoked: RevokeTokens) {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Required).await;
    kit.update_provider_settings(1000, |settings| settings.revoke_tokens = revoked).await;
    let (tokens, _) = connect(&kit).await;
    bank.change(|state| state.token_type = json!("Bearer"));
    assert_eq!(refresh_and_read(&kit, &tokens).await.status, 500);

    assert_eq!(kit.revoke(&tokens.access).await.status, 204);

    let access_token = Some("at-2".to_owned());
    kit.wait_until("the access token is revoked", async || {
        bank.fields("/revoke", "token").contains(&access_token)
    })
    .await;
}

#[tokio::test]
async fn bearer_token_is_refreshed_when_setting_requires_key() {
    let kit = TestHub::new().await;
    let bank = DpopBank::install(&kit, Dpop::Off).await;
    bank.change(|state| state.token_type = json!("Bearer"));
    let (tokens, _) = connect(&kit).await;
    bank.change(|state| state.token_type = json!("DPoP"));
    set_dpop(&kit, Dpop::Required).await;

    assert_eq!(read(&kit, &tokens).await.status, 200);

    assert_eq!(bank.paths(), ["/token", "/fdx/accounts"]);
}
