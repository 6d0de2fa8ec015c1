//! Tests of the check of a provider with the independent bank.

use domain::model::provider::{
    ClientAuthentication, CustomerIdentity, IdentityClient, SecretSource, SigningAlgorithm,
};
use http::Method;
use serde_json::Value;

use super::IndependentBank;
use super::authorization::{discover_bank, use_consent_requests};
use super::create_signing_key;
use crate::support::{TestAuthority, TestHub};

/// Returns the verdict and what to change of each check, by its name.
async fn list_checks(kit: &TestHub) -> Vec<(String, String, String)> {
    let report = kit.run_admin_operation(Method::POST, "/providers/1000/test", None).await;
    let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    checks.map(|check| (text(check, "name"), text(check, "verdict"), text(check, "change"))).collect()
}

fn find<'c>(checks: &'c [(String, String, String)], name: &str) -> (&'c str, &'c str) {
    let check = checks.iter().find(|(known, ..)| known == name);
    let (_, verdict, change) = check.unwrap_or_else(|| panic!("{name}: {checks:?}"));
    (verdict, change)
}

#[tokio::test]
async fn check_of_provider_proves_each_ability() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    discover_bank(&kit, &bank, "jwt-par", |settings| {
        use_consent_requests(settings);
        settings.customer_identity = CustomerIdentity::Introspection;
    })
    .await;

    let checks = list_checks(&kit).await;

    for name in [
        "auth_key",
        "metadata",
        "token",
        "par",
        "revocation",
        "introspection",
        "data",
        "authentication",
        "pkce",
    ] {
        assert_eq!(find(&checks, name), ("passed", ""), "{name}: {checks:?}");
    }
    assert_eq!(find(&checks, "authorization_details"), ("passed", ""), "{checks:?}");
    let (_, pushed) = bank.last_login(&kit).await;
    assert_eq!(pushed, 1);
}

#[tokio::test]
async fn check_of_provider_authenticates_the_identity_client() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    let file = kit.data_folder().join("identity-key.pem");
    std::fs::write(&file, create_signing_key(SigningAlgorithm::Ps256)).unwrap();
    let mut results = Vec::new();
    // The bank finds the public key in the document that the hub publishes.
    for client_id in ["jwt-ps256", "unknown-client"] {
        discover_bank(&kit, &bank, "jwt-es256", |settings| {
            settings.identity_client = Some(IdentityClient {
                client_id: client_id.to_owned(),
                auth: ClientAuthentication::PrivateKeyJwt,
                client_secret: None,
                auth_key: Some(SecretSource::File(file.display().to_string())),
                auth_algorithm: Some(SigningAlgorithm::Ps256),
            });
        })
        .await;
        // The document of the published keys is kept for ten seconds.
        kit.advance(std::time::Duration::from_secs(11));

        let checks = list_checks(&kit).await;

        let (verdict, change) = find(&checks, "identity_client");
        results.push((verdict.to_owned(), change.to_owned()));
    }

    assert_eq!(results[0], ("passed".to_owned(), String::new()));
    assert_eq!(results[1].0, "failed");
    assert!(results[1].1.starts_with("for identity_client: correct client_id"), "{results:?}");
}

#[tokio::test]
async fn check_of_provider_names_wrong_settings() {
    let kit = TestHub::new().await;
    let bank = IndependentBank::start(&kit, &TestAuthority::new(), &[]).await;
    let secret = kit.data_folder().join("secret");
    std::fs::write(&secret, "not-the-secret").unwrap();
    discover_bank(&kit, &bank, "jwt-par", |settings| {
        settings.auth = ClientAuthentication::ClientSecretBasic;
        (settings.auth_key, settings.auth_algorithm) = (None, None);
        settings.client_secret = Some(SecretSource::File(secret.display().to_string()));
        settings.extra_scopes = vec!["not-a-scope".into()];
    })
    .await;

    let checks = list_checks(&kit).await;

    let client = "correct client_id, auth, and its client_secret, auth_key or tls.certificate";
    assert_eq!(find(&checks, "token"), ("failed", client), "{checks:?}");
    assert_eq!(find(&checks, "par"), ("failed", client), "{checks:?}");
    let method = "set auth = \"private_key_jwt\" with its secret, key or certificate";
    assert_eq!(find(&checks, "authentication"), ("failed", method), "{checks:?}");
    let scope = "correct extra_scopes, or ask the provider for the values";
    assert_eq!(find(&checks, "scopes"), ("warning", scope), "{checks:?}");
}
