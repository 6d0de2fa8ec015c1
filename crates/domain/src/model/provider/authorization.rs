//! The settings of the authorization requests that the hub sends to a provider.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ProviderSettings, UpstreamClientMode};
use crate::scope::Clusters;

/// Use of pushed authorization requests (RFC 9126).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushedRequests {
    /// Requests are pushed if the settings or the metadata name the endpoint.
    #[default]
    Auto,
    /// Requests are never pushed.
    Off,
    /// Requests are always pushed.
    Required,
}

impl PushedRequests {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// Use of signed request objects (RFC 9101).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestObject {
    /// Requests are not signed.
    #[default]
    Off,
    /// Each request is an object that `auth_key` signs.
    Required,
}

impl RequestObject {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// Use of rich authorization requests (RFC 9396).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AuthorizationDetails {
    /// Requests have no `authorization_details`.
    #[default]
    #[serde(rename = "off")]
    Off,
    /// Requests contain the consent request of FDX: duration, look-back period and data clusters.
    #[serde(rename = "fdx_v1.0")]
    Fdx,
}

impl AuthorizationDetails {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

impl ProviderSettings {
    /// Returns the scope of an authorization request: the extra scope values, and those of data clusters.
    pub fn authorization_scope(&self, clusters: Clusters) -> String {
        let values = self.extra_scopes.iter().cloned().chain(Some(self.scope_for(clusters)));
        values.filter(|value| !value.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Returns whether authorization requests may be pushed.
    ///
    /// RFC 9126 §2.1 and §2.2: a pushed request belongs to the client that has authenticated. An aggregator authenticates as the hub, so
    /// it cannot push the request of a recipient's client.
    pub fn may_push_requests(&self) -> bool {
        self.par != PushedRequests::Off && self.upstream_client != UpstreamClientMode::Aggregator
    }

    /// Returns whether the hub requests an id token, which OpenID Connect adds to the scope value `openid`.
    pub fn requests_id_token(&self) -> bool {
        self.extra_scopes.iter().chain(self.scopes.values()).any(|value| value == "openid")
    }
}
