//! The members of a provider's settings that name a secret.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{ProviderSettings, SecretSource};

/// Returns each member of a provider's settings that contains a secret or its location, with its path. The settings are in the
/// form of the configuration, which need not be valid.
pub fn secret_members(settings: &mut Map<String, Value>) -> Vec<(String, &mut Value)> {
    let mut found = Vec::new();
    for (name, value) in settings {
        let is_secret: fn(&str) -> bool = match name.as_str() {
            "client_secret" | "auth_key" => {
                found.push((name.clone(), value));
                continue;
            }
            "dynamic_registration" => |member| member == "initial_access_token",
            "identity_client" => |member| matches!(member, "client_secret" | "auth_key"),
            "tls" => |member| member == "key",
            "proxy" => |member| member == "credentials",
            "secret_headers" => |_| true,
            _ => continue,
        };
        let members = value.as_object_mut().into_iter().flatten();
        let secrets = members.filter(|(member, _)| is_secret(member));
        found.extend(secrets.map(|(member, secret)| (format!("{name}.{member}"), secret)));
    }
    found
}

impl ProviderSettings {
    /// Returns the location of each secret, by the path of its setting.
    pub fn secret_sources(&self) -> BTreeMap<String, SecretSource> {
        let mut settings = self.clone();
        let sources = settings.secret_sources_mut().into_iter();
        sources.map(|(path, source)| (path, source.clone())).collect()
    }

    /// Returns the location of each secret, to replace it, with the path of its setting.
    pub fn secret_sources_mut(&mut self) -> Vec<(String, &mut SecretSource)> {
        let registration = self.dynamic_registration.as_mut();
        let (identity_secret, identity_key) = match &mut self.identity_client {
            Some(client) => (client.client_secret.as_mut(), client.auth_key.as_mut()),
            None => (None, None),
        };
        let single = [
            ("client_secret", self.client_secret.as_mut()),
            ("auth_key", self.auth_key.as_mut()),
            ("identity_client.client_secret", identity_secret),
            ("identity_client.auth_key", identity_key),
            ("tls.key", self.tls.as_mut().and_then(|tls| tls.key.as_mut())),
            ("proxy.credentials", self.proxy.as_mut().and_then(|proxy| proxy.credentials.as_mut())),
            (
                "dynamic_registration.initial_access_token",
                registration.and_then(|registration| registration.initial_access_token.as_mut()),
            ),
        ];
        let single = single.into_iter().filter_map(|(path, source)| Some((path.to_owned(), source?)));
        let headers = self.secret_headers.iter_mut();
        single.chain(headers.map(|(name, source)| (format!("secret_headers.{name}"), source))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secret_sources_are_those_of_all_secret_members() {
        let value = json!({
            "name": "Maple Trust", "country": "CA", "client_id": "bowline", "client_secret": {"file": "a"},
            "auth_key": {"env": "B"}, "tls": {"certificate": "c.pem", "key": {"file": "c"}},
            "proxy": {"url": "http://proxy.example", "credentials": {"env": "D"}},
            "secret_headers": {"x-key": {"file": "e"}, "x-other": "sealed"},
            "dynamic_registration": {"endpoint": "https://bank.example/register", "initial_access_token": {"env": "F"}},
            "identity_client": {"client_id": "sign-in", "client_secret": {"env": "G"}, "auth_key": {"env": "H"}},
            "fdx": {"base_url": "https://bank.example/fdx", "version": "6"}, "scopes": {},
        });
        let settings: ProviderSettings = serde_json::from_value(value.clone()).unwrap();
        let Value::Object(mut members) = value else { panic!("expected an object") };

        let sources = settings.secret_sources();

        let to_source = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        let expected = secret_members(&mut members).into_iter().map(|(path, value)| (path, to_source(value)));
        assert_eq!(sources, expected.collect());
        assert_eq!(sources.len(), 9);
    }
}
