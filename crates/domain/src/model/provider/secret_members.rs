//! The members of a provider's settings that name a secret.

use serde_json::{Map, Value};

/// Returns each member of a provider's settings that contains a secret or its location, with its path. The settings are in the
/// form of the configuration, which need not be valid.
pub fn secret_members(settings: &mut Map<String, Value>) -> Vec<(String, &mut Value)> {
    let mut found = Vec::new();
    for (name, value) in settings {
        let nested = match name.as_str() {
            "client_secret" | "auth_key" => {
                found.push((name.clone(), value));
                continue;
            }
            "dynamic_registration" => "initial_access_token",
            "tls" => "key",
            "proxy" => "credentials",
            "secret_headers" => {
                let headers = value.as_object_mut().into_iter().flatten();
                found.extend(headers.map(|(header, secret)| (format!("{name}.{header}"), secret)));
                continue;
            }
            _ => continue,
        };
        if let Some(secret) = value.get_mut(nested) {
            found.push((format!("{name}.{nested}"), secret));
        }
    }
    found
}
