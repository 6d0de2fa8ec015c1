//! Tests of the settings of providers: what is derived from them, and their form in JSON.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::*;
use crate::model::audit_event::AuditHead;

fn settings() -> ProviderSettings {
    settings_with(json!({}))
}

/// Returns valid settings with these members in addition.
fn settings_with(members: Value) -> ProviderSettings {
    let mut value = json!({
        "name": "Maple Trust", "country": "CA",
        "authorization_endpoint": "https://maple.example/authorize",
        "token_endpoint": "https://maple.example/token",
        "client_id": "bowline", "client_secret": {"env": "MAPLE_SECRET"},
        "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
        "scopes": {"ACCOUNT_BASIC": "accounts", "TRANSACTIONS": "tx:read"},
        "customer_identity": {"token_field": "customer_id"},
        "revoke": ["rfc7009"],
    });
    let Value::Object(members) = members else { panic!("expected an object") };
    value.as_object_mut().unwrap().extend(members);
    serde_json::from_value(value).unwrap()
}

#[test]
fn provider_scopes_translate_in_both_directions() {
    let settings = settings();
    let requested = "ACCOUNT_BASIC TRANSACTIONS INVESTMENTS".parse::<Clusters>().unwrap();
    assert_eq!(settings.scope_for(requested), "accounts tx:read");
    assert_eq!(settings.clusters_from_scope("tx:read openid").to_string(), "TRANSACTIONS");
    assert_eq!(settings.clusters().to_string(), "ACCOUNT_BASIC TRANSACTIONS");
}

#[test]
fn provider_settings_reject_unknown_key() {
    let mut value = serde_json::to_value(settings()).unwrap();
    value["consent_show_by"] = "hub".into();
    assert!(serde_json::from_value::<ProviderSettings>(value).is_err());
}

#[test]
fn default_settings_are_not_written() {
    let written = serde_json::to_value(settings()).unwrap();
    for name in ["tls", "headers", "account_types"] {
        assert_eq!(written.get(name), None, "{name}");
    }

    let members = json!({
        "upstream_client": "registration", "revoke_tokens": "both", "account_types": ["loanAccount"],
        "par": "required", "request_object": "required", "authorization_details": "fdx_v1.0",
        "terms": ["introspection", "fdx_consent"],
    });
    for name in members.as_object().unwrap().keys() {
        assert_eq!(written.get(name), None, "{name}");
    }
    let written = serde_json::to_value(settings_with(members.clone())).unwrap();
    for (name, value) in members.as_object().unwrap() {
        assert_eq!(written.get(name), Some(value), "{name}");
    }
}

#[test]
fn only_retired_provider_accepts_no_recipients() {
    for state in ProviderState::ALL.iter().copied() {
        let (source, audit) = (ProviderSource::Config, AuditHead::default());
        let provider = Provider {
            id: ProviderId::new(1000),
            state,
            source,
            settings: settings(),
            discovered: None,
            version: SettingsVersion::FIRST,
            audit,
        };
        assert_eq!(provider.ensure_accepts_recipients().is_ok(), state != ProviderState::Retired, "{state}");
    }
}

#[test]
fn provider_without_account_types_has_all_of_them() {
    let limited = settings_with(json!({"account_types": ["loanAccount", "locAccount"]}));

    for account_type in AccountType::ALL.iter().copied() {
        let is_listed = matches!(account_type, AccountType::Loan | AccountType::Loc);
        assert_eq!(limited.has_account_type(account_type), is_listed, "{account_type}");
        assert!(settings().has_account_type(account_type), "{account_type}");
    }
}

#[test]
fn account_type_is_described_by_its_values() {
    let mut generator = schemars::SchemaGenerator::default();

    let reference = generator.subschema_for::<AccountType>().to_value();

    assert_eq!(reference, json!({"$ref": "#/$defs/AccountType"}));
    let values: Vec<_> = AccountType::ALL.iter().map(|account_type| account_type.as_str()).collect();
    assert_eq!(generator.definitions()["AccountType"], json!({"type": "string", "enum": values}));
    assert!(serde_json::from_value::<AccountType>(json!("petAccount")).is_err());
}

#[test]
fn authentication_secret_is_that_of_the_method() {
    let sources = json!({"client_secret": {"env": "SECRET"}, "auth_key": {"file": "key.pem"}});
    let (secret, key) = (SecretSource::Env("SECRET".to_owned()), SecretSource::File("key.pem".to_owned()));
    for (auth, expected) in [
        (ClientAuthentication::ClientSecretBasic, Some(("client_secret", &secret))),
        (ClientAuthentication::ClientSecretPost, Some(("client_secret", &secret))),
        (ClientAuthentication::PrivateKeyJwt, Some(("auth_key", &key))),
        (ClientAuthentication::TlsClientAuth, None),
        (ClientAuthentication::SelfSignedTlsClientAuth, None),
    ] {
        let settings = ProviderSettings { auth, ..settings_with(sources.clone()) };
        assert_eq!(settings.authentication_secret(), expected, "{auth:?}");
    }
    let without_secret = ProviderSettings { client_secret: None, ..settings() };
    assert_eq!(without_secret.authentication_secret(), None);
}

#[test]
fn next_version_has_next_number_and_same_endpoints() {
    let third = SettingsVersion::FIRST.next().next();

    assert_eq!(third, SettingsVersion { number: 3, ..SettingsVersion::FIRST });
}

#[test]
fn grant_id_is_read_from_setting_or_usual_members() {
    let fields = |members: Value| settings_with(members).grant_fields().join(" ");

    assert_eq!(fields(json!({})), "", "RFC 7009 needs no id of the grant");
    assert_eq!(fields(json!({"revoke": ["rfc7009", "fdx_consent"]})), "fdxConsentId grant_id");
    assert_eq!(fields(json!({"revoke": ["grant_management"]})), "fdxConsentId grant_id");
    assert_eq!(fields(json!({"grant_field": "consent"})), "consent");
}

#[test]
fn revocation_methods_have_names_of_settings() {
    use RevokeMethod::{FdxConsent, GrantManagement, Rfc7009};
    for (method, name) in
        [(Rfc7009, "rfc7009"), (FdxConsent, "fdx_consent"), (GrantManagement, "grant_management")]
    {
        assert_eq!((method.as_str(), serde_json::to_value(method).unwrap()), (name, json!(name)));
    }
}

#[test]
fn authentication_methods_and_algorithms_have_names_of_settings() {
    for method in [
        ClientAuthentication::ClientSecretBasic,
        ClientAuthentication::ClientSecretPost,
        ClientAuthentication::PrivateKeyJwt,
        ClientAuthentication::TlsClientAuth,
        ClientAuthentication::SelfSignedTlsClientAuth,
    ] {
        assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
    }
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Ps256, SigningAlgorithm::EdDsa] {
        assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
    }
}

#[test]
fn date_parameters_are_set_or_detected_or_those_of_the_version() {
    let (time, date) = (DateParameters::Time, DateParameters::Date);
    for (version, configured, detected, expected) in [
        (FdxVersion::V5, None, None, time),
        (FdxVersion::V6, None, None, date),
        (FdxVersion::V5, None, Some(date), date),
        (FdxVersion::V6, None, Some(time), time),
        (FdxVersion::V5, Some(date), Some(time), date),
        (FdxVersion::V6, Some(time), Some(date), time),
    ] {
        let endpoint = FdxEndpoint { version, date_parameters: configured, ..settings().fdx };
        assert_eq!(endpoint.date_parameters(detected), expected, "{endpoint:?} {detected:?}");
    }
    assert_eq!((time.names(), date.names()), (["startTime", "endTime"], ["startDate", "endDate"]));
    for parameters in [time, date] {
        assert_eq!(serde_json::to_value(parameters).unwrap(), parameters.names()[0]);
    }
}

#[test]
fn members_with_secrets_are_found_with_their_paths() {
    let mut members = json!({
        "client_id": "bowline", "client_secret": {"env": "A"}, "auth_key": {"env": "B"},
        "dynamic_registration": {"endpoint": "https://maple.example/r", "initial_access_token": {"env": "C"}},
        "identity_client": {"client_id": "sign-in", "client_secret": {"env": "H"}, "auth_key": {"env": "I"}},
        "tls": {"certificate": "hub.pem", "key": {"env": "D"}},
        "proxy": {"url": "http://egress.example", "credentials": {"env": "E"}},
        "secret_headers": {"x-first": {"env": "F"}, "x-second": {"env": "G"}},
        "headers": {"x-plain": "value"},
    });

    let mut found = secret_members(members.as_object_mut().unwrap());
    found.sort_by_key(|(_, value)| value["env"].as_str().map(str::to_owned));

    let paths: Vec<_> = found.iter().map(|(path, value)| (path.as_str(), value["env"].as_str())).collect();
    assert_eq!(
        paths,
        [
            ("client_secret", Some("A")),
            ("auth_key", Some("B")),
            ("dynamic_registration.initial_access_token", Some("C")),
            ("tls.key", Some("D")),
            ("proxy.credentials", Some("E")),
            ("secret_headers.x-first", Some("F")),
            ("secret_headers.x-second", Some("G")),
            ("identity_client.client_secret", Some("H")),
            ("identity_client.auth_key", Some("I")),
        ]
    );
}

#[test]
fn members_of_other_types_contain_no_secret() {
    let mut members: Map<String, Value> = ["tls", "proxy", "secret_headers", "dynamic_registration"]
        .into_iter()
        .zip([json!({"ca": "ca.pem"}), json!("http://egress.example"), json!([]), Value::Null])
        .map(|(name, value)| (name.to_owned(), value))
        .collect();

    assert!(secret_members(&mut members).is_empty());
}

/// Each setting of the HTTP client.
fn transport_changes() -> [Value; 5] {
    [
        json!({"tls": {"ca": "ca.pem"}}),
        json!({"headers": {"x-fapi-financial-id": "1"}}),
        json!({"secret_headers": {"x-gateway-key": {"env": "K"}}}),
        json!({"proxy": {"url": "http://egress.example:3128"}}),
        json!({"timeout": "5s"}),
    ]
}

#[test]
fn each_transport_setting_needs_an_http_client() {
    assert!(!settings().has_own_transport());
    for change in transport_changes() {
        assert!(settings_with(change.clone()).has_own_transport(), "{change}");
    }
}

#[test]
fn http_client_is_kept_until_a_transport_setting_changes() {
    let plain = TransportSettings::from_settings(&settings());
    let renamed = ProviderSettings { name: "Maple".to_owned(), ..settings() };
    assert!(plain.equals_settings_of(&settings()) && plain.equals_settings_of(&renamed));

    for change in transport_changes() {
        let changed = settings_with(change.clone());
        let transport = TransportSettings::from_settings(&changed);
        assert!(!plain.equals_settings_of(&changed), "{change}");
        assert!(!transport.equals_settings_of(&settings()), "{change}");
        assert!(transport.equals_settings_of(&changed), "{change}");
    }
}

#[test]
fn transport_secrets_have_names_of_their_settings() {
    let settings = settings_with(json!({
        "tls": {"certificate": "hub.pem", "key": {"file": "hub.key"}},
        "proxy": {"url": "http://egress.example:3128", "credentials": {"env": "PROXY"}},
        "secret_headers": {"x-gateway-key": {"env": "GATEWAY"}},
    }));

    let secrets = settings.transport_secrets();

    assert_eq!(
        secrets,
        [
            ("tls.key".to_owned(), &SecretSource::File("hub.key".to_owned())),
            ("proxy.credentials".to_owned(), &SecretSource::Env("PROXY".to_owned())),
            ("secret_headers.x-gateway-key".to_owned(), &SecretSource::Env("GATEWAY".to_owned())),
        ]
    );
    assert_eq!(self::settings().transport_secrets(), []);
}

#[test]
fn invalid_timeout_history_or_range_counts_as_absent() {
    let timeout = |text: &str| settings_with(json!({"timeout": text})).call_timeout();
    let history = |text: &str| settings_with(json!({"history": text})).history_span();

    assert_eq!(timeout("1.5s"), Some(Duration::from_millis(1_500)));
    assert_eq!(["0s", "-1s", "soon"].map(timeout), [None; 3]);
    assert_eq!(settings().call_timeout(), None);
    assert_eq!(
        history("24 months").map(jiff::Span::fieldwise),
        Some(jiff::Span::new().months(24).fieldwise())
    );
    assert!(["0 days", "-1 day", "long"].into_iter().all(|text| history(text).is_none()));
    assert!(settings().history_span().is_none());
    let ranges = settings_with(json!({"tls": {"allow_private": ["10.8.0.0/16", "bank", "fd00::/8"]}}));
    assert_eq!(ranges.private_ranges(), ["10.8.0.0/16", "fd00::/8"].map(|range| range.parse().unwrap()));
    assert_eq!(settings().private_ranges(), []);
}

#[test]
fn login_needs_calls_for_terms_or_identity() {
    for source in [TermsSource::Introspection, TermsSource::FdxConsent] {
        assert!(settings_with(json!({"terms": [source.as_str()]})).needs_login_calls());
    }
    assert!(settings_with(json!({"customer_identity": "fdx_customer"})).needs_login_calls());
    assert!(!settings().needs_login_calls());
}

#[test]
fn dpop_is_written_unless_it_is_off() {
    let written = |settings: &ProviderSettings| serde_json::to_value(settings).unwrap()["dpop"].clone();

    assert_eq!(written(&settings_with(json!({"dpop": "off"}))), Value::Null);
    for dpop in ["auto", "required"] {
        assert_eq!(written(&settings_with(json!({"dpop": dpop}))), dpop);
    }
}
