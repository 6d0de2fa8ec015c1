//! The comparison of a provider's settings with the metadata of its issuer.

use super::CheckResult;
use crate::model::provider::{
    AuthorizationDetails, ClientAuthentication, CustomerIdentity, Dpop, ProviderEndpoint, ProviderMetadata,
    ProviderSettings, PushedRequests, RequestObject, RevokeMethod, SigningAlgorithm,
};

/// Compares settings with what the server states to support. There is no result about what it does not state, except about
/// revocation: without metadata, the settings themselves are evaluated.
pub fn compare_with_metadata(
    settings: &ProviderSettings,
    metadata: Option<&ProviderMetadata>,
) -> Vec<CheckResult> {
    let stated = metadata.into_iter().flat_map(|metadata| {
        [
            compare_authentication(settings, metadata),
            compare_scopes(settings, metadata),
            compare_pkce(metadata),
            compare_pushed_requests(settings, metadata),
            compare_request_objects(settings, metadata),
            compare_authorization_details(settings, metadata),
            compare_dpop(settings, metadata),
            compare_id_token(settings, metadata),
        ]
    });
    stated.chain([evaluate_revocation_methods(settings, metadata)]).flatten().collect()
}

fn compare_authentication(settings: &ProviderSettings, metadata: &ProviderMetadata) -> Option<CheckResult> {
    const NAME: &str = "authentication";
    let methods = metadata.token_endpoint_auth_methods_supported.as_ref()?;
    let own = settings.auth.as_str();
    if !methods.iter().any(|method| method == own) {
        let change = metadata.strongest_authentication().map_or_else(
            || "ask the provider for a method that the hub supports".to_owned(),
            |method| format!("set auth = \"{}\" with its secret, key or certificate", method.as_str()),
        );
        return Some(CheckResult::failed(NAME, format!("the metadata do not offer {own}"), change));
    }
    let offered = &metadata.token_endpoint_auth_signing_alg_values_supported;
    if settings.auth == ClientAuthentication::PrivateKeyJwt && !offered.is_empty() {
        let own = settings.auth_algorithm.map(SigningAlgorithm::as_str).unwrap_or_default();
        if !offered.iter().any(|name| name == own) {
            let known =
                ["ES256", "PS256", "EdDSA"].into_iter().filter(|name| offered.iter().any(|o| o == name));
            let known: Vec<_> = known.collect();
            let change = match known.first() {
                Some(known) => format!("set auth_algorithm = \"{known}\", and auth_key to a key for it"),
                None => "ask the provider for a client with ES256, PS256 or EdDSA".to_owned(),
            };
            let detail = format!("the metadata do not offer assertions that are signed with {own}");
            return Some(CheckResult::failed(NAME, detail, change));
        }
    }
    Some(CheckResult::passed(NAME, format!("the metadata offer {own}")))
}

fn compare_scopes(settings: &ProviderSettings, metadata: &ProviderMetadata) -> Option<CheckResult> {
    const NAME: &str = "scopes";
    let offered = &metadata.scopes_supported;
    if offered.is_empty() {
        return None;
    }
    let of_clusters = settings.scopes.iter().map(|(cluster, scope)| (format!("scopes.{cluster}"), scope));
    let extra = settings.extra_scopes.iter().map(|scope| ("extra_scopes".to_owned(), scope));
    let mut missing: Vec<_> = of_clusters
        .chain(extra)
        // One setting may contain several values.
        .filter(|(_, scope)| scope.split(' ').any(|value| !offered.iter().any(|offered| offered == value)))
        .map(|(setting, _)| setting)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Some(CheckResult::passed(NAME, "the metadata offer every scope value"));
    }
    // RFC 8414 §2: a server may choose not to advertise a value.
    let detail = format!("the metadata do not list the scope values of {}", missing.join(", "));
    let change = format!("correct {}, or ask the provider for the values", missing.join(", "));
    Some(CheckResult::warning(NAME, detail, change))
}

fn compare_pkce(metadata: &ProviderMetadata) -> Option<CheckResult> {
    const NAME: &str = "pkce";
    metadata.code_challenge_methods_supported.as_ref()?;
    Some(if metadata.lacks_pkce() {
        let detail = "the metadata do not offer PKCE with S256, which the hub always uses";
        CheckResult::warning(
            NAME,
            detail,
            "ask the provider for PKCE with S256: an attacker may use a stolen code",
        )
    } else {
        CheckResult::passed(NAME, "the metadata offer PKCE with S256")
    })
}

fn compare_pushed_requests(settings: &ProviderSettings, metadata: &ProviderMetadata) -> Option<CheckResult> {
    let is_refused = metadata.require_pushed_authorization_requests && !settings.may_push_requests();
    is_refused.then(|| {
        let (detail, change) = if settings.par == PushedRequests::Off {
            (
                "the metadata require pushed authorization requests, and the setting turns them off",
                "set par = \"required\"",
            )
        } else {
            (
                "the metadata require pushed authorization requests, which an aggregator cannot send",
                "ask the provider how the request of a recipient's client is sent",
            )
        };
        CheckResult::failed("par", detail, change)
    })
}

fn compare_request_objects(settings: &ProviderSettings, metadata: &ProviderMetadata) -> Option<CheckResult> {
    let is_off = settings.request_object == RequestObject::Off;
    (is_off && metadata.require_signed_request_object).then(|| {
        let detail = "the metadata require signed request objects";
        let change = "set request_object = \"required\", which needs auth = \"private_key_jwt\"";
        CheckResult::failed("request_object", detail, change)
    })
}

fn compare_authorization_details(
    settings: &ProviderSettings,
    metadata: &ProviderMetadata,
) -> Option<CheckResult> {
    const NAME: &str = "authorization_details";
    let types = &metadata.authorization_details_types_supported;
    let is_offered = types.iter().any(|name| name == "fdx_v1.0");
    match settings.authorization_details {
        AuthorizationDetails::Off if is_offered => {
            let detail = "the metadata offer the consent request of FDX, and the setting turns it off";
            Some(CheckResult::warning(NAME, detail, "set authorization_details = \"fdx_v1.0\""))
        }
        AuthorizationDetails::Fdx if is_offered => {
            Some(CheckResult::passed(NAME, "the metadata offer the consent request of FDX"))
        }
        AuthorizationDetails::Fdx if !types.is_empty() => {
            let detail = "the metadata do not offer the consent request of FDX";
            Some(CheckResult::failed(NAME, detail, "set authorization_details = \"off\""))
        }
        AuthorizationDetails::Off | AuthorizationDetails::Fdx => None,
    }
}

fn compare_dpop(settings: &ProviderSettings, metadata: &ProviderMetadata) -> Option<CheckResult> {
    const NAME: &str = "dpop";
    let is_stated = !metadata.dpop_signing_alg_values_supported.is_empty();
    let bearer =
        "the metadata offer DPoP only with other algorithms than ES256, so the tokens are bearer tokens";
    Some(match (settings.dpop, metadata.offers_dpop()) {
        // A stolen token is useless without the key of the certificate.
        (Dpop::Off, true) if settings.has_certificate_bound_tokens(metadata) => return None,
        (Dpop::Off, true) => {
            let detail =
                "the metadata offer DPoP, which protects stolen tokens, and the setting turns it off";
            CheckResult::warning(NAME, detail, "set dpop = \"auto\"")
        }
        (Dpop::Auto | Dpop::Required, true) => {
            CheckResult::passed(NAME, "the metadata offer DPoP with ES256")
        }
        (Dpop::Auto, false) if is_stated => {
            CheckResult::warning(NAME, bearer, "ask the provider for DPoP with ES256")
        }
        (Dpop::Required, false) if is_stated => {
            let detail = "the metadata do not offer DPoP with ES256, and the setting requires it";
            CheckResult::failed(NAME, detail, "ask the provider for DPoP with ES256, or set dpop = \"auto\"")
        }
        // RFC 9449 §5.1: a server may support DPoP without stating it.
        (Dpop::Required, false) => {
            let detail = "the metadata do not state whether the provider supports DPoP";
            CheckResult::warning(NAME, detail, "ask the provider, or set dpop = \"auto\"")
        }
        (Dpop::Off | Dpop::Auto, false) => return None,
    })
}

fn compare_id_token(settings: &ProviderSettings, metadata: &ProviderMetadata) -> Option<CheckResult> {
    let offered = &metadata.id_token_signing_alg_values_supported;
    let is_needed = matches!(settings.customer_identity, CustomerIdentity::IdToken(_));
    let is_known = |name: &String| ["ES256", "PS256", "RS256", "EdDSA"].contains(&name.as_str());
    (is_needed && !offered.is_empty() && !offered.iter().any(is_known)).then(|| {
        let detail = "the metadata offer no signature of id tokens that the hub verifies";
        let change =
            "ask the provider for ES256, PS256, RS256 or EdDSA, or take customer_identity from another place";
        CheckResult::failed("id_token", detail, change)
    })
}

/// Evaluates the methods of revocation. Endpoints that a method needs and that are missing are reported with the metadata.
fn evaluate_revocation_methods(
    settings: &ProviderSettings,
    metadata: Option<&ProviderMetadata>,
) -> Option<CheckResult> {
    const NAME: &str = "revoke";
    let has_endpoint = settings.find_endpoint(metadata, ProviderEndpoint::Revocation).is_ok();
    if settings.revoke.is_empty() {
        let detail = "no method is set, so tokens of ended connections stay valid at the provider";
        let change = if has_endpoint {
            "set revoke = [\"rfc7009\"]"
        } else {
            "ask the provider how grants are revoked"
        };
        return Some(CheckResult::warning(NAME, detail, change));
    }
    if has_endpoint && !settings.revoke.contains(&RevokeMethod::Rfc7009) {
        let detail = "the provider has a revocation endpoint that the hub does not call";
        return Some(CheckResult::warning(
            NAME,
            detail,
            "add \"rfc7009\" to revoke, if tokens survive the grant",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{CheckVerdict, tests::settings};
    use super::*;

    fn compare(changes: &Value, stated: &Value) -> Vec<(&'static str, CheckVerdict, String)> {
        let mut document = json!({"issuer": "https://bank.example", "token_endpoint": "https://bank.example/token",
            "revocation_endpoint": "https://bank.example/revoke"});
        document.as_object_mut().unwrap().extend(stated.as_object().unwrap().clone());
        let metadata = serde_json::from_value(document).unwrap();
        let results = compare_with_metadata(&settings(changes), Some(&metadata)).into_iter();
        results.map(|result| (result.name, result.verdict, result.change.unwrap_or_default())).collect()
    }

    fn assert_single(changes: &Value, stated: &Value, expected: (&str, CheckVerdict, &str)) {
        let results = compare(changes, stated);
        let [(name, verdict, change)] = results.as_slice() else { panic!("{stated}: {results:?}") };
        assert_eq!((*name, *verdict), (expected.0, expected.1), "{stated}");
        assert!(change.starts_with(expected.2), "{change}");
    }

    #[test]
    fn settings_are_not_compared_with_what_is_not_stated() {
        assert_eq!(compare(&json!({}), &json!({})), []);
        assert_eq!(compare_with_metadata(&settings(&json!({})), None), []);
    }

    #[test]
    fn authentication_that_is_not_offered_fails() {
        let methods = json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["PS256"]});
        let signed = |algorithm: &str| json!({"auth": "private_key_jwt", "auth_algorithm": algorithm});
        let name = "authentication";

        assert_single(&json!({}), &methods, (name, CheckVerdict::Failed, "set auth = \"private_key_jwt\""));
        assert_single(
            &signed("ES256"),
            &methods,
            (name, CheckVerdict::Failed, "set auth_algorithm = \"PS256\""),
        );
        assert_single(&signed("PS256"), &methods, (name, CheckVerdict::Passed, ""));
        // The algorithms concern only clients that sign, and an empty list states none.
        let secret = json!({"token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "token_endpoint_auth_signing_alg_values_supported": ["PS256"]});
        assert_single(&json!({}), &secret, (name, CheckVerdict::Passed, ""));
        let any = json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]});
        assert_single(&signed("ES256"), &any, (name, CheckVerdict::Passed, ""));
        let none = json!({"token_endpoint_auth_methods_supported": ["none"]});
        assert_single(&json!({}), &none, (name, CheckVerdict::Failed, "ask the provider"));
    }

    #[test]
    fn scope_values_that_are_not_listed_are_named() {
        let extra = json!({"extra_scopes": ["openid", "offline_access"]});
        let scopes = |values: &[&str]| json!({"scopes_supported": values});

        assert_single(
            &extra,
            &scopes(&["tx", "openid", "offline_access"]),
            ("scopes", CheckVerdict::Passed, ""),
        );
        let cluster = ("scopes", CheckVerdict::Warning, "correct scopes.TRANSACTIONS, or");
        assert_single(&extra, &scopes(&["openid", "offline_access"]), cluster);
        let only_extra = ("scopes", CheckVerdict::Warning, "correct extra_scopes, or");
        assert_single(&extra, &scopes(&["tx"]), only_extra);
    }

    #[test]
    fn requirements_of_metadata_that_settings_turn_off_fail() {
        let required = json!({"require_pushed_authorization_requests": true});
        assert_single(&json!({"par": "off"}), &required, ("par", CheckVerdict::Failed, "set par = "));
        assert_eq!(compare(&json!({}), &required), []);
        let aggregator = json!({"upstream_client": "aggregator"});
        assert_single(&aggregator, &required, ("par", CheckVerdict::Failed, "ask the provider"));
        let signed = json!({"require_signed_request_object": true});
        assert_single(&json!({}), &signed, ("request_object", CheckVerdict::Failed, "set request_object = "));
        let plain = json!({"code_challenge_methods_supported": ["plain"]});
        assert_single(&json!({}), &plain, ("pkce", CheckVerdict::Warning, "ask the provider"));
        let pkce = json!({"code_challenge_methods_supported": ["S256"]});
        assert_single(&json!({}), &pkce, ("pkce", CheckVerdict::Passed, ""));
    }

    #[test]
    fn consent_request_depends_on_offered_types() {
        let name = "authorization_details";
        let (fdx, other) = (["fdx_v1.0"], ["payment"]);
        let types = |types: [&str; 1]| json!({"authorization_details_types_supported": types});
        let on = json!({"authorization_details": "fdx_v1.0"});

        assert_single(
            &json!({}),
            &types(fdx),
            (name, CheckVerdict::Warning, "set authorization_details = \"fdx"),
        );
        assert_single(&on, &types(fdx), (name, CheckVerdict::Passed, ""));
        assert_single(
            &on,
            &types(other),
            (name, CheckVerdict::Failed, "set authorization_details = \"off\""),
        );
        assert_eq!(compare(&json!({}), &types(other)), []);
        assert_eq!(compare(&on, &json!({})), [], "the metadata state no types");
    }

    #[test]
    fn dpop_is_compared_with_offered_algorithms() {
        let offer = |algorithm: &str| json!({"dpop_signing_alg_values_supported": [algorithm]});
        let setting = |dpop: &str| json!({"dpop": dpop});
        let (es256, ps256) = (offer("ES256"), offer("PS256"));

        for (dpop, stated, verdict, change) in [
            ("off", &es256, CheckVerdict::Warning, "set dpop = \"auto\""),
            ("auto", &es256, CheckVerdict::Passed, ""),
            ("required", &es256, CheckVerdict::Passed, ""),
            ("auto", &ps256, CheckVerdict::Warning, "ask the provider for DPoP"),
            ("required", &ps256, CheckVerdict::Failed, "ask the provider for DPoP"),
            ("required", &json!({}), CheckVerdict::Warning, "ask the provider, or set"),
        ] {
            assert_single(&setting(dpop), stated, ("dpop", verdict, change));
        }
        let certificate =
            json!({"dpop": "off", "tls": {"certificate": "hub.pem", "key": {"file": "hub.key"}}});
        let bound = json!({"dpop_signing_alg_values_supported": ["ES256"],
            "tls_client_certificate_bound_access_tokens": true});
        assert_eq!(compare(&certificate, &bound), [], "the certificate binds the tokens");
        for (settings, stated) in [(&setting("off"), &bound), (&certificate, &es256)] {
            assert_single(settings, stated, ("dpop", CheckVerdict::Warning, "set dpop = \"auto\""));
        }
        assert_eq!(compare(&setting("off"), &ps256), []);
        assert_eq!(compare(&setting("auto"), &json!({})), []);
    }

    #[test]
    fn id_token_with_unknown_signature_fails() {
        let identity = json!({"customer_identity": {"id_token": "sub"}});
        let algorithms = |name: &str| json!({"id_token_signing_alg_values_supported": [name]});

        assert_single(
            &identity,
            &algorithms("HS256"),
            ("id_token", CheckVerdict::Failed, "ask the provider"),
        );
        assert_eq!(compare(&identity, &algorithms("RS256")), []);
        assert_eq!(compare(&json!({}), &algorithms("HS256")), []);
    }

    #[test]
    fn missing_revocation_is_a_warning_with_the_method() {
        let none = json!({"revoke": []});

        assert_single(&none, &json!({}), ("revoke", CheckVerdict::Warning, "set revoke = [\"rfc7009\"]"));
        let without = json!({"revocation_endpoint": null});
        assert_single(&none, &without, ("revoke", CheckVerdict::Warning, "ask the provider"));
        let consent = json!({"revoke": ["fdx_consent"]});
        assert_single(&consent, &json!({}), ("revoke", CheckVerdict::Warning, "add \"rfc7009\""));
    }
}
