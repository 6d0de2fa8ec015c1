//! The methods by which the hub revokes grants at a provider.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ProviderSettings, TermsSource};

/// Method of notifying a provider that a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevokeMethod {
    /// Token revocation (RFC 7009) with the tokens of `revoke_tokens`.
    Rfc7009,
    /// Revocation of the consent (FDX Consent API, `PUT /consents/{consentId}/revocation`).
    FdxConsent,
    /// Revocation of the grant (FAPI Grant Management, `DELETE`).
    GrantManagement,
}

impl RevokeMethod {
    /// Returns the name in settings and in descriptions of jobs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rfc7009 => "rfc7009",
            Self::FdxConsent => "fdx_consent",
            Self::GrantManagement => "grant_management",
        }
    }

    /// Returns whether the method names the grant by its id at the provider, so that it ends every token of the grant.
    pub const fn names_grant(self) -> bool {
        match self {
            Self::Rfc7009 => false,
            Self::FdxConsent | Self::GrantManagement => true,
        }
    }
}

/// Tokens with which a grant is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevokeTokens {
    /// The refresh token, or the access token if there is no other or the provider does not revoke refresh tokens.
    #[default]
    Refresh,
    /// The access token while it is valid, for providers that end the whole grant with it; otherwise the refresh token.
    Access,
    /// The refresh token, and the access token while it is valid.
    Both,
}

impl RevokeTokens {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_refresh(&self) -> bool {
        *self == Self::Refresh
    }
}

impl ProviderSettings {
    /// Returns the names under which a token response may contain the id of the grant, in the order of preference. Empty if
    /// the id is not needed.
    pub fn grant_fields(&self) -> Vec<&str> {
        match &self.grant_field {
            Some(name) => vec![name],
            None if self.needs_grant_id() => vec!["fdxConsentId", "grant_id"],
            None => Vec::new(),
        }
    }

    /// Returns whether a method of revocation, or a source of terms, needs the id of the grant at the provider.
    pub fn needs_grant_id(&self) -> bool {
        self.revoke.iter().any(|method| method.names_grant()) || self.terms.contains(&TermsSource::FdxConsent)
    }
}
