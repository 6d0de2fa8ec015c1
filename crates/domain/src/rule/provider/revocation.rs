//! The validation of the settings with which grants are revoked at a provider.

use crate::model::provider::{ProviderSettings, RevokeMethod};
use crate::rule::validation::ValidationError;

/// Validates the order of the methods of revocation.
pub(super) fn validate_revocation(settings: &ProviderSettings) -> Result<(), ValidationError> {
    let reject = |expected: &str| Err(ValidationError::new("revoke", expected));
    let methods = &settings.revoke;
    if methods.iter().enumerate().any(|(index, method)| methods[..index].contains(method)) {
        return reject("expected each method once");
    }
    // The provider may delete the grant together with its last token. The other methods would then not find it.
    if methods.contains(&RevokeMethod::Rfc7009) && methods.last() != Some(&RevokeMethod::Rfc7009) {
        return reject(
            "expected rfc7009 as the last method, because it may end the grant that the others name",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn validate(methods: &Value) -> Result<(), String> {
        let value = json!({
            "name": "Maple Trust", "country": "CA", "client_id": "bowline",
            "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "accounts"}, "revoke": methods,
        });
        let settings = serde_json::from_value(value).unwrap();
        validate_revocation(&settings).map_err(|invalid| invalid.expected)
    }

    #[test]
    fn methods_of_revocation_have_an_order() {
        for methods in
            [json!([]), json!(["fdx_consent"]), json!(["fdx_consent", "grant_management", "rfc7009"])]
        {
            assert_eq!(validate(&methods), Ok(()), "{methods}");
        }
        for (methods, expected) in [
            (json!(["rfc7009", "fdx_consent"]), "rfc7009 as the last method"),
            (json!(["fdx_consent", "fdx_consent"]), "each method once"),
        ] {
            let error = validate(&methods).unwrap_err();
            assert!(error.contains(expected), "{methods}: {error}");
        }
    }
}
