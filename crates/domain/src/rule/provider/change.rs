//! The comparison of a provider's settings before and after a change.

use serde_json::{Map, Value};
use url::Url;

use crate::model::provider::{Provider, ProviderEndpoint, ProviderSettings, UpstreamClientMode};

/// The differences between the former and the new settings of a provider. They contain no value of a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// The names of the settings with other values, in alphabetical order.
    pub members: Vec<String>,
    /// The endpoints with other values.
    pub endpoints: Vec<EndpointChange>,
    /// The new settings no longer describe the server or the client that existing grants belong to.
    pub leaves_endpoints: bool,
}

/// An endpoint with another value, or the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointChange {
    /// The name of the setting.
    pub member: &'static str,
    /// The former host; `None` if there was no endpoint.
    pub old_host: Option<String>,
    /// The new host; `None` if there is no endpoint any more.
    pub new_host: Option<String>,
}

impl SettingsChange {
    /// Returns whether the settings are the same.
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Adds names of settings, such as those of replaced secrets.
    pub fn add_members(&mut self, names: &[String]) {
        self.members.extend_from_slice(names);
        self.members.sort_unstable();
        self.members.dedup();
    }

    /// Returns the differences for the audit log.
    pub fn to_detail(&self) -> Value {
        serde_json::json!({"changed": self.members, "endpoints": self.describe_endpoints()})
    }

    /// Returns the changed endpoints with their hosts for the audit log.
    pub fn describe_endpoints(&self) -> Vec<Value> {
        let to_json = |change: &EndpointChange| serde_json::json!({"member": change.member, "old_host": change.old_host, "new_host": change.new_host});
        self.endpoints.iter().map(to_json).collect()
    }
}

/// The endpoints that only new logins use: no grant is used or revoked there. If one of them changes, existing grants stay.
const LOGIN_ENDPOINTS: [ProviderEndpoint; 3] =
    [ProviderEndpoint::PushedAuthorizationRequest, ProviderEndpoint::Introspection, ProviderEndpoint::Keys];

fn holds_grants(member: &str) -> bool {
    LOGIN_ENDPOINTS.iter().all(|endpoint| endpoint.as_str() != member)
}

/// Compares the settings of a provider, and the endpoints that result from them and from the metadata of the issuer, with new ones.
pub fn compare_providers(old: &Provider, new: &Provider) -> SettingsChange {
    let mut endpoints = Vec::new();
    // The token of a grant is known only to the client that it was issued to.
    let mut leaves_endpoints = old.settings.client_id != new.settings.client_id
        || old.settings.upstream_client != new.settings.upstream_client;
    for ((member, old_url), (_, new_url)) in old.endpoints().into_iter().zip(new.endpoints()) {
        if old_url == new_url {
            continue;
        }
        // An endpoint that was missing is one of the same server, and useful for existing grants too.
        leaves_endpoints |= old_url.is_some() && holds_grants(member);
        endpoints.push(EndpointChange { member, old_host: host(old_url), new_host: host(new_url) });
    }
    let (old, new) = (to_members(&old.settings), to_members(&new.settings));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let mut members: Vec<String> = names.filter(|name| old.get(*name) != new.get(*name)).cloned().collect();
    members.sort_unstable();
    SettingsChange { members, endpoints, leaves_endpoints }
}

/// Returns whether two versions of a provider have the same endpoints and the same client, so that a grant of one belongs to the
/// other too.
pub fn has_same_endpoints(first: &Provider, second: &Provider) -> bool {
    // An endpoint that only one of them has is left in one direction.
    !compare_providers(first, second).leaves_endpoints && !compare_providers(second, first).leaves_endpoints
}

/// A change of `upstream_client` would leave registrations without the client or the secret that the new value needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "upstream_client cannot be changed from {} to {} while recipients are registered with the provider, because their registrations \
     belong to the former value: remove these recipients, or add the provider again with another id", .old.as_str(), .new.as_str()
)]
pub struct UpstreamClientInUseError {
    old: UpstreamClientMode,
    new: UpstreamClientMode,
}

/// Returns an error if `upstream_client` changes while the provider has registrations in use.
///
/// The stored clients of registrations cannot be converted: a shared client leaves none, and that of an aggregator has no secret. A
/// change that needs neither is refused too, because it could not be undone.
pub fn ensure_upstream_client_is_kept(
    old: &ProviderSettings,
    new: &ProviderSettings,
    has_registrations: bool,
) -> Result<(), UpstreamClientInUseError> {
    let (old, new) = (old.upstream_client, new.upstream_client);
    if old != new && has_registrations { Err(UpstreamClientInUseError { old, new }) } else { Ok(()) }
}

fn to_members(settings: &ProviderSettings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(members)) => members,
        // Settings are always an object.
        _ => Map::new(),
    }
}

/// Returns the host and the port of a URL.
fn host(url: Option<&str>) -> Option<String> {
    let url = Url::parse(url?).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::ProviderId;
    use crate::model::audit_event::AuditHead;
    use crate::model::provider::{ProviderMetadata, ProviderSource, ProviderState, SettingsVersion};

    fn compare(change: &Value) -> SettingsChange {
        compare_providers(&provider(&json!({})), &provider(change))
    }

    fn provider(change: &Value) -> Provider {
        let mut settings = json!({
            "name": "Maple Trust", "country": "CA", "issuer": "https://maple.example",
            "authorization_endpoint": "https://maple.example/authorize",
            "token_endpoint": "https://maple.example/token",
            "client_id": "bowline", "client_secret": {"env": "MAPLE_SECRET"},
            "fdx": {"base_url": "https://maple.example/fdx/v5", "version": "5"},
            "scopes": {"ACCOUNT_BASIC": "accounts"}, "revoke": [],
        });
        for (name, value) in change.as_object().unwrap() {
            settings[name] = value.clone();
        }
        Provider {
            id: ProviderId::new(1),
            state: ProviderState::Active,
            source: ProviderSource::Api,
            settings: serde_json::from_value(settings).unwrap(),
            discovered: None,
            version: SettingsVersion::FIRST,
            audit: AuditHead::default(),
        }
    }

    #[test]
    fn upstream_client_changes_only_without_registrations() {
        const MODES: [&str; 3] = ["hub", "registration", "aggregator"];
        let ensure = |old: &str, new: &str, has_registrations| {
            let [old, new] = [old, new].map(|mode| provider(&json!({"upstream_client": mode})).settings);
            ensure_upstream_client_is_kept(&old, &new, has_registrations).map_err(|error| error.to_string())
        };
        for (old, new) in MODES.iter().flat_map(|old| MODES.map(|new| (*old, new))) {
            assert_eq!(ensure(old, new, false), Ok(()), "{old} {new}");
            assert_eq!(ensure(old, new, true).is_ok(), old == new, "{old} {new}");
        }
        let error = ensure("hub", "aggregator", true).unwrap_err();
        assert!(error.starts_with("upstream_client cannot be changed from hub to aggregator"), "{error}");
    }

    #[test]
    fn settings_change_names_members_and_hosts() {
        let change = compare(&json!({
            "name": "Maple", "token_endpoint": "https://new.example:8443/token",
            "client_secret": {"file": "secret"},
        }));

        assert_eq!(change.members, ["client_secret", "name", "token_endpoint"]);
        let endpoint = EndpointChange {
            member: "token_endpoint",
            old_host: Some("maple.example".into()),
            new_host: Some("new.example:8443".into()),
        };
        assert_eq!(change.endpoints, [endpoint]);
        assert!(change.leaves_endpoints);
        let hosts = json!({"member": "token_endpoint", "old_host": "maple.example",
            "new_host": "new.example:8443"});
        assert_eq!(
            change.to_detail(),
            json!({"changed": ["client_secret", "name", "token_endpoint"], "endpoints": [hosts]})
        );
    }

    #[test]
    fn added_members_are_sorted_and_unique() {
        let mut change = compare(&json!({"name": "Maple"}));

        change.add_members(&["proxy".to_owned(), "auth_key".to_owned(), "name".to_owned()]);

        assert_eq!(change.members, ["auth_key", "name", "proxy"]);
    }

    #[test]
    fn change_without_members_is_empty() {
        assert!(compare(&json!({})).is_empty());
        assert!(!compare(&json!({"name": "Maple"})).is_empty());
    }

    #[test]
    fn grants_stay_at_endpoints_unless_server_or_client_changes() {
        let leaves = |change: Value| compare(&change).leaves_endpoints;

        assert!(!leaves(json!({})));
        assert!(!leaves(json!({"name": "Maple", "client_secret": {"file": "other"}})));
        assert!(!leaves(json!({"revocation_endpoint": "https://maple.example/revoke"})), "it was missing");
        assert!(leaves(json!({"issuer": "https://new.example"})));
        assert!(leaves(json!({"issuer": null})));
        assert!(leaves(json!({"fdx": {"base_url": "https://new.example/fdx", "version": "5"}})));
        assert!(leaves(json!({"client_id": "other"})));
        assert!(leaves(json!({"client_id": "other", "issuer": "https://new.example"})));
    }

    #[test]
    fn metadata_with_other_endpoint_leave_it() {
        let discover = |token_endpoint: &str| {
            let metadata = json!({"issuer": "https://maple.example", "token_endpoint": token_endpoint});
            let discovered: ProviderMetadata = serde_json::from_value(metadata).unwrap();
            Provider { discovered: Some(discovered), ..provider(&json!({"token_endpoint": null})) }
        };
        let (first, second) = (discover("https://maple.example/a"), discover("https://maple.example/b"));

        assert!(!compare_providers(&provider(&json!({"token_endpoint": null})), &first).leaves_endpoints);
        assert!(compare_providers(&first, &second).leaves_endpoints);
        assert!(has_same_endpoints(&first, &discover("https://maple.example/a")));
        assert!(!has_same_endpoints(&first, &provider(&json!({"token_endpoint": null}))), "one is missing");
        assert!(!compare_providers(&first, &first).leaves_endpoints);
    }

    #[test]
    fn grants_stay_if_endpoint_of_logins_moves() {
        let discover = |path: &str| {
            let discovered: ProviderMetadata = serde_json::from_value(json!({
                "issuer": "https://maple.example",
                "jwks_uri": format!("https://maple.example/{path}/keys"),
                "introspection_endpoint": format!("https://maple.example/{path}/introspect"),
                "pushed_authorization_request_endpoint": format!("https://maple.example/{path}/par"),
            }))
            .unwrap();
            Provider { discovered: Some(discovered), ..provider(&json!({})) }
        };

        let change = compare_providers(&discover("a"), &discover("b"));

        assert_eq!(change.endpoints.len(), 3);
        assert!(!change.leaves_endpoints);
    }
}
