//! The authorization requests that the hub sends to providers (RFC 6749 §4.1.1, RFC 7636, RFC 9126, RFC 9396).

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::provider::{AuthorizationDetails, FdxVersion, ProviderSettings};
use crate::scope::{Clusters, DataCluster};
use crate::time::Timestamp;

/// The parts of an authorization request that differ between logins.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationParts<'a> {
    /// The id of the hub's client at the provider.
    pub client_id: &'a str,
    /// The callback of the hub for this provider.
    pub redirect_uri: &'a str,
    /// The data clusters to which the customer has consented.
    pub clusters: Clusters,
    /// The hub's own value, with which the callback is recognized.
    pub state: &'a str,
    /// The PKCE challenge.
    pub code_challenge: &'a str,
    /// The value that an id token must contain.
    pub nonce: &'a str,
    /// The thumbprint of the key that the tokens are to be bound to, if there is one.
    pub dpop_jkt: Option<&'a str>,
    /// The language of the pages.
    pub language: &'a str,
    /// The time of the request.
    pub now: Timestamp,
    /// The time for which the customer has consented.
    pub duration: Duration,
    /// The history that recipients may read.
    pub history: jiff::Span,
}

/// Builds the parameters of an authorization request.
pub fn build_parameters(
    settings: &ProviderSettings,
    parts: &AuthorizationParts<'_>,
) -> Vec<(String, String)> {
    let details = match settings.authorization_details {
        AuthorizationDetails::Off => None,
        AuthorizationDetails::Fdx => Some(build_fdx_details(settings, parts).to_string()),
    };
    let nonce = settings.requests_id_token().then_some(parts.nonce);
    let scope = settings.authorization_scope(parts.clusters);
    let parameters = [
        ("response_type", Some("code")),
        ("client_id", Some(parts.client_id)),
        ("redirect_uri", Some(parts.redirect_uri)),
        ("scope", Some(&scope)),
        // The hub generates its own `state` and PKCE values. The recipient's values never reach the provider.
        ("state", Some(parts.state)),
        ("code_challenge", Some(parts.code_challenge)),
        ("code_challenge_method", Some("S256")),
        // OpenID Connect Core §3.1.2.1. A provider that does not know the parameter ignores it (RFC 6749 §3.1).
        ("ui_locales", Some(parts.language)),
        ("nonce", nonce),
        // RFC 9449 §10: the code can be exchanged only with a proof of this key.
        ("dpop_jkt", parts.dpop_jkt),
        ("authorization_details", details.as_deref()),
    ];
    let constant = settings.authorize_parameters.iter().map(|(name, value)| (name.clone(), value.clone()));
    let own = parameters.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    own.chain(constant).collect()
}

/// Builds the `authorization_details` of FDX, whose consent request has no accounts: the customer chooses them at the provider.
fn build_fdx_details(settings: &ProviderSettings, parts: &AuthorizationParts<'_>) -> Value {
    let offered = parts.clusters.intersection(settings.clusters());
    let is_of_customer = |cluster: &DataCluster| {
        matches!(cluster, DataCluster::CustomerContact | DataCluster::CustomerPersonal)
    };
    let name = |cluster: DataCluster| match (cluster, settings.fdx.version) {
        // FDX 6 replaces this cluster.
        (DataCluster::AccountPayments, FdxVersion::V6) => "PAYMENT_SUPPORT",
        _ => cluster.as_str(),
    };
    let (of_customer, of_account): (Vec<_>, Vec<_>) = offered.iter().partition(is_of_customer);
    let resources: Vec<_> = [("ACCOUNT", of_account), ("CUSTOMER", of_customer)]
        .into_iter()
        .filter(|(_, clusters)| !clusters.is_empty())
        .map(|(kind, clusters)| {
            let clusters: Vec<_> = clusters.into_iter().map(name).collect();
            json!({"resourceType": kind, "dataClusters": clusters})
        })
        .collect();
    json!([{"type": "fdx_v1.0", "consentRequest": {
        "durationType": "TIME_BOUND",
        // The last day counts in full: the hub itself ends the connection in time.
        "durationPeriod": parts.duration.as_secs().div_ceil(86_400),
        "lookbackPeriod": count_history_days(settings, parts),
        "resources": resources,
    }}])
}

/// Returns the days before the request whose data recipients may read and the provider has.
fn count_history_days(settings: &ProviderSettings, parts: &AuthorizationParts<'_>) -> i64 {
    let today = parts.now.date();
    let days = |span: jiff::Span| {
        let earliest = today.checked_sub(span).ok()?;
        Some(i64::from(today.since(earliest).ok()?.get_days()))
    };
    let spans = [Some(parts.history), settings.history_span()];
    spans.into_iter().flatten().filter_map(days).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parts() -> AuthorizationParts<'static> {
        AuthorizationParts {
            client_id: "hub",
            redirect_uri: "https://hub.example/callback/1",
            clusters: Clusters::from_bits(u8::MAX),
            state: "state-1",
            code_challenge: "challenge-1",
            nonce: "nonce-1",
            dpop_jkt: None,
            language: "fr",
            // 2026-03-01.
            now: Timestamp::from_seconds(1_772_323_200),
            duration: Duration::from_hours(90 * 24 - 1),
            history: "24 months".parse().unwrap(),
        }
    }

    fn build(changes: Value) -> BTreeMap<String, String> {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "client_id": "bowline", "client_secret": "sealed",
            "fdx": {"base_url": "https://maple.example/fdx", "version": "6"},
            "scopes": {"ACCOUNT_PAYMENTS": "pay", "TRANSACTIONS": "tx", "CUSTOMER_CONTACT": "contact"},
        });
        let Value::Object(changes) = changes else { panic!("expected an object") };
        value.as_object_mut().unwrap().extend(changes);
        let parameters = build_parameters(&serde_json::from_value(value).unwrap(), &parts());
        let count = parameters.len();
        let unique: BTreeMap<_, _> = parameters.into_iter().collect();
        assert_eq!(unique.len(), count, "a parameter is repeated");
        unique
    }

    #[test]
    fn request_has_pkce_and_no_nonce_without_openid() {
        let parameters = build(json!({}));

        assert_eq!(parameters["code_challenge_method"], "S256");
        assert_eq!(parameters["code_challenge"], "challenge-1");
        assert_eq!(parameters["scope"], "pay tx contact");
        assert!(!parameters.contains_key("nonce") && !parameters.contains_key("authorization_details"));
    }

    #[test]
    fn extra_scopes_and_constant_parameters_are_added() {
        let parameters = build(
            json!({"extra_scopes": ["openid", "offline_access"], "authorize_parameters": {"prompt": "consent"}}),
        );

        assert_eq!(parameters["scope"], "openid offline_access pay tx contact");
        assert_eq!(parameters["nonce"], "nonce-1");
        assert_eq!(parameters["prompt"], "consent");
    }

    #[test]
    fn rfc9449_s10_request_names_key_of_tokens() {
        let settings: ProviderSettings = serde_json::from_value(json!({
            "name": "Maple Trust", "country": "CA", "client_id": "bowline", "client_secret": "sealed",
            "fdx": {"base_url": "https://maple.example/fdx", "version": "6"}, "scopes": {},
        }))
        .unwrap();
        let build = |dpop_jkt| build_parameters(&settings, &AuthorizationParts { dpop_jkt, ..parts() });
        let named = ("dpop_jkt".to_owned(), "thumbprint".to_owned());

        assert!(build(Some("thumbprint")).contains(&named));
        assert!(!build(None).iter().any(|(name, _)| name == "dpop_jkt"));
    }

    #[test]
    fn fdx_details_describe_consent() {
        let details = |changes: Value| {
            let mut settings = json!({"authorization_details": "fdx_v1.0"});
            settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            serde_json::from_str::<Value>(&build(settings)["authorization_details"]).unwrap()
        };

        assert_eq!(
            details(json!({})),
            json!([{"type": "fdx_v1.0", "consentRequest": {
                "durationType": "TIME_BOUND", "durationPeriod": 90, "lookbackPeriod": 730,
                "resources": [
                    {"resourceType": "ACCOUNT", "dataClusters": ["PAYMENT_SUPPORT", "TRANSACTIONS"]},
                    {"resourceType": "CUSTOMER", "dataClusters": ["CUSTOMER_CONTACT"]},
                ],
            }}])
        );
        let shorter = json!({"history": "90 days", "scopes": {"ACCOUNT_PAYMENTS": "pay"},
            "fdx": {"base_url": "https://maple.example/fdx", "version": "5"}});
        let request = &details(shorter)[0]["consentRequest"];
        assert_eq!(request["lookbackPeriod"], 90);
        assert_eq!(
            request["resources"],
            json!([{"resourceType": "ACCOUNT", "dataClusters": ["ACCOUNT_PAYMENTS"]}])
        );
    }
}
