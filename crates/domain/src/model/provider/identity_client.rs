//! A second client of the hub at a provider, with which customers sign in without giving access to data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientAuthentication, ProviderSettings, SecretSource, SigningAlgorithm, UpstreamClientMode};

/// Second client of the hub at a provider, for sign-in without data access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityClient {
    /// Client id, which differs from that of the hub's main client.
    pub client_id: String,
    /// Authentication method of this client. A method with a certificate uses that of `tls`.
    #[serde(default)]
    pub auth: ClientAuthentication,
    /// Location of the secret of this client, for an authentication method with a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretSource>,
    /// Location of the private keys of this client, in PEM form. The public part of each is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_key: Option<SecretSource>,
    /// Signature algorithm of `auth_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_algorithm: Option<SigningAlgorithm>,
}

impl IdentityClient {
    /// The name of the setting.
    pub const SETTING: &'static str = "identity_client";

    /// Returns the path of one of its members in the settings of the provider.
    pub fn member_path(member: &str) -> String {
        format!("{}.{member}", Self::SETTING)
    }
}

impl ProviderSettings {
    /// Returns the settings with the identity client in the place of the main client, if there is one.
    pub fn for_identity_client(&self) -> Option<Self> {
        let client = self.identity_client.clone()?;
        Some(Self {
            client_id: client.client_id,
            auth: client.auth,
            client_secret: client.client_secret,
            auth_key: client.auth_key,
            auth_algorithm: client.auth_algorithm,
            upstream_client: UpstreamClientMode::Shared,
            dynamic_registration: None,
            identity_client: None,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identity_client_takes_place_of_main_client() {
        let mut value = json!({
            "name": "Maple Trust", "country": "CA", "client_id": "bowline", "client_secret": {"env": "A"},
            "upstream_client": "aggregator", "fdx": {"base_url": "https://bank.example/fdx", "version": "6"},
            "scopes": {},
        });
        let parse = |value: &serde_json::Value| {
            serde_json::from_value::<ProviderSettings>(value.clone()).unwrap().for_identity_client()
        };
        assert_eq!(parse(&value), None);

        value["identity_client"] = json!({"client_id": "sign-in", "auth": "private_key_jwt", "auth_key": {"env": "B"}, "auth_algorithm": "ES256"});
        let settings = parse(&value).unwrap();

        assert_eq!((settings.client_id.as_str(), settings.auth.as_str()), ("sign-in", "private_key_jwt"));
        let key = SecretSource::Env("B".to_owned());
        assert_eq!(settings.authentication_secret(), Some(("auth_key", &key)));
        assert_eq!((settings.client_secret, settings.upstream_client), (None, UpstreamClientMode::Shared));
    }
}
