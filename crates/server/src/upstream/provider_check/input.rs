//! The input of the connectivity check of a provider.

use std::time::Duration;

use domain::Timestamp;
use domain::id::ProviderId;
use domain::model::provider::{ProviderMetadata, ProviderSettings};

use crate::outbound::Outbound;

/// The input of the checks of a provider's endpoints, which do not use the store.
#[derive(Clone, Copy)]
pub(crate) struct ProviderCheck<'a> {
    pub(crate) outbound: &'a Outbound,
    pub(crate) public_url: &'a str,
    pub(crate) id: ProviderId,
    pub(crate) settings: &'a ProviderSettings,
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
