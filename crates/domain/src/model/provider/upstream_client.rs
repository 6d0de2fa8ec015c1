//! The clients that the hub uses at a provider: its own, and those of registrations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretSource;

/// Client that the hub uses at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamClientMode {
    /// The hub's client, for all recipients.
    #[default]
    #[serde(rename = "hub")]
    Shared,
    /// One client for each registration. Its id and secret are stored when the registration is activated, by an
    /// operator or by the provider's response (`dynamic_registration`).
    #[serde(rename = "registration")]
    PerRegistration,
    /// The client of each registration in the authorization request, and the hub's client, which authenticates, everywhere
    /// else. Only the id of the former is stored when the registration is activated.
    Aggregator,
}

impl UpstreamClientMode {
    /// Returns the name in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "hub",
            Self::PerRegistration => "registration",
            Self::Aggregator => "aggregator",
        }
    }

    /// Returns whether the hub authenticates with the client of its settings.
    pub const fn authenticates_as_hub(self) -> bool {
        matches!(self, Self::Shared | Self::Aggregator)
    }

    /// Returns whether each registration has a client at the provider.
    pub const fn has_registration_clients(self) -> bool {
        matches!(self, Self::PerRegistration | Self::Aggregator)
    }

    /// Returns whether the client of each registration has a secret, with which the hub authenticates.
    pub const fn has_registration_secrets(self) -> bool {
        matches!(self, Self::PerRegistration)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_shared(&self) -> bool {
        *self == Self::Shared
    }
}

/// Dynamic client registration at a provider (RFC 7591).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamicRegistration {
    /// Client registration endpoint (RFC 7591 §3).
    pub endpoint: String,
    /// Location of the initial access token, if the provider requires one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_access_token: Option<SecretSource>,
}

#[cfg(test)]
mod tests {
    use super::UpstreamClientMode::{Aggregator, PerRegistration, Shared};

    #[test]
    fn only_per_registration_clients_have_secrets() {
        let modes = [Shared, PerRegistration, Aggregator].map(|mode| {
            let (of_hub, of_registration) = (mode.authenticates_as_hub(), mode.has_registration_secrets());
            (mode.as_str(), of_hub, mode.has_registration_clients(), of_registration)
        });

        assert_eq!(
            modes,
            [
                ("hub", true, false, false),
                ("registration", false, true, true),
                ("aggregator", true, true, false)
            ]
        );
    }
}
