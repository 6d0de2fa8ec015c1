//! The sources of the terms of a grant at a provider.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ProviderSettings;

/// Source of the terms of a grant that costs a call at each login. The token response, which costs none, is always read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TermsSource {
    /// The introspection of the refresh token (RFC 7662): its scope, its expiry and `authorization_details`.
    Introspection,
    /// The consent (FDX Consent API, `GET /consents/{consentId}`): its resources and its end.
    FdxConsent,
}

impl TermsSource {
    /// Returns the name in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Introspection => "introspection",
            Self::FdxConsent => "fdx_consent",
        }
    }
}

impl ProviderSettings {
    /// Returns whether a login may need calls after the exchange of the code.
    pub const fn needs_login_calls(&self) -> bool {
        self.customer_identity.needs_calls() || !self.terms.is_empty()
    }
}
