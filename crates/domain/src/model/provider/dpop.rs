//! The use of DPoP at a provider, which binds access tokens to a key of the hub.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Provider, ProviderMetadata, ProviderSettings};

/// Use of DPoP (RFC 9449), which binds access tokens to a key of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dpop {
    /// Tokens of new grants are bearer tokens.
    #[default]
    Off,
    /// Tokens are bound to a key if the metadata offer proofs that are signed with ES256.
    Auto,
    /// Tokens are always bound to a key. A token of another type is not used.
    Required,
}

impl Dpop {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

impl ProviderMetadata {
    /// Returns whether the server accepts proofs that are signed with ES256, the algorithm of the hub.
    pub fn offers_dpop(&self) -> bool {
        self.dpop_signing_alg_values_supported.iter().any(|algorithm| algorithm == "ES256")
    }
}

impl ProviderSettings {
    /// Returns whether the hub binds the tokens of new grants to a key at a server with these metadata.
    pub fn uses_dpop(&self, metadata: Option<&ProviderMetadata>) -> bool {
        match self.dpop {
            Dpop::Off => false,
            Dpop::Auto => metadata.is_some_and(ProviderMetadata::offers_dpop),
            Dpop::Required => true,
        }
    }
}

impl Provider {
    /// Returns whether the hub binds the tokens of new grants to a key. An existing grant keeps the key that it has.
    pub fn uses_dpop(&self) -> bool {
        self.settings.uses_dpop(self.metadata())
    }
}
