//! The input of the connectivity check of a provider.

use std::time::Duration;

use domain::id::ProviderId;
use domain::model::provider::{ProviderMetadata, ProviderSettings};
use domain::{Secret, Timestamp};

use super::super::client_authentication::UpstreamClientCredentials;
use crate::outbound::Outbound;

/// The identity client of a provider: the settings with it in the place of the main client, and its credentials or the reason why there are
/// none.
pub(crate) struct IdentityClientInput {
    pub(crate) settings: ProviderSettings,
    pub(crate) credentials: Result<UpstreamClientCredentials, String>,
}

impl IdentityClientInput {
    /// Creates the input from the settings of the client, and its secret if its method of authentication has one.
    pub(crate) fn new(settings: ProviderSettings, secret: Result<Option<Secret<String>>, String>) -> Self {
        let credentials = secret.and_then(|secret| {
            UpstreamClientCredentials::for_hub(&settings, secret).map_err(|error| error.to_string())
        });
        Self { settings, credentials }
    }
}

/// The input of the checks of a provider's endpoints, which do not use the store.
#[derive(Clone, Copy)]
pub(crate) struct ProviderCheck<'a> {
    pub(crate) outbound: &'a Outbound,
    pub(crate) public_url: &'a str,
    pub(crate) id: ProviderId,
    pub(crate) settings: &'a ProviderSettings,
    /// The identity client, if there is one.
    pub(crate) identity_client: Option<&'a IdentityClientInput>,
    /// The stored metadata of the issuer.
    pub(crate) metadata: Option<&'a ProviderMetadata>,
    /// True if the metadata may name URLs with plain http.
    pub(crate) allow_http: bool,
    pub(crate) now: Timestamp,
    /// The longest consent that the hub requests.
    pub(crate) max_duration: Duration,
    /// The history that recipients may read.
    pub(crate) history: jiff::Span,
}
