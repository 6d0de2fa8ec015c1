//! The attempts of this node to request the metadata of providers' issuers, by which it decides when the next one is due.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Timestamp;
use domain::id::ProviderId;
use domain::model::provider::Provider;
use domain::rule::provider_metadata::MetadataError;
use url::Url;

use crate::outbound::{OutboundError, TlsFailure};

/// The time after which metadata are requested again.
const REFRESH_INTERVAL: Duration = Duration::from_hours(1);
/// The time after which a failed request for metadata that are needed is repeated in the background.
const RETRY_INTERVAL: Duration = Duration::from_mins(1);
/// The time in which logins do not repeat a failed request. They can be started by untrusted clients.
const LOGIN_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The reason why the metadata of an issuer are not known. It contains nothing of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reasons}")]
pub(crate) struct DiscoveryError {
    /// The reason for each URL at which the metadata may be.
    reasons: String,
    /// True if there is a document, which is not acceptable.
    is_rejected: bool,
    /// The reason of a failed TLS handshake.
    tls_failure: Option<TlsFailure>,
}

impl DiscoveryError {
    /// Creates an error for an issuer that cannot be reached.
    pub(crate) fn new(reason: &(impl ToString + ?Sized)) -> Self {
        Self { reasons: reason.to_string(), is_rejected: false, tls_failure: None }
    }

    /// Creates an error from the error of each URL.
    pub(crate) fn for_urls(errors: &[(Url, Self)]) -> Self {
        let reasons: Vec<_> = errors.iter().map(|(url, error)| format!("{url}: {error}")).collect();
        Self {
            reasons: reasons.join("\n"),
            is_rejected: errors.iter().any(|(_, error)| error.is_rejected),
            tls_failure: errors.iter().find_map(|(_, error)| error.tls_failure),
        }
    }

    /// Creates an error for metadata that name other endpoints too often.
    pub(crate) fn too_many_changes() -> Self {
        let reasons =
            "the metadata have named other endpoints too often while connections with earlier ones exist";
        Self { is_rejected: true, ..Self::new(reasons) }
    }

    /// Returns whether there is a document, which is not acceptable.
    pub(crate) const fn is_rejected(&self) -> bool {
        self.is_rejected
    }

    /// Returns the reason of a failed TLS handshake with the issuer.
    pub(crate) const fn tls_failure(&self) -> Option<TlsFailure> {
        self.tls_failure
    }
}

impl From<MetadataError> for DiscoveryError {
    fn from(error: MetadataError) -> Self {
        Self { is_rejected: true, ..Self::new(&error) }
    }
}

impl From<OutboundError> for DiscoveryError {
    fn from(error: OutboundError) -> Self {
        let tls_failure = match error {
            OutboundError::Tls(failure) => Some(failure),
            _ => None,
        };
        Self { tls_failure, ..Self::new(&error) }
    }
}

/// The attempts of this node to request metadata.
#[derive(Default)]
pub(crate) struct DiscoveryAttempts(Mutex<HashMap<ProviderId, Arc<tokio::sync::Mutex<LastAttempt>>>>);

/// The last attempt at one provider.
#[derive(Default)]
pub(crate) struct LastAttempt {
    issuer: Option<String>,
    at: Option<Timestamp>,
    error: Option<DiscoveryError>,
}

impl DiscoveryAttempts {
    /// Returns the last attempt at a provider. While it is locked, no other one begins.
    pub(crate) fn of_provider(&self, id: ProviderId) -> Arc<tokio::sync::Mutex<LastAttempt>> {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(attempts.entry(id).or_default())
    }
}

/// The party that needs metadata.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    Login,
    Background,
}

impl LastAttempt {
    /// Creates an attempt; `error` is `None` if it has succeeded.
    pub(crate) fn new(provider: &Provider, at: Timestamp, error: Option<DiscoveryError>) -> Self {
        Self { issuer: provider.settings.issuer.clone(), at: Some(at), error }
    }

    /// Returns the reason why the attempt has failed.
    pub(crate) const fn error(&self) -> Option<&DiscoveryError> {
        self.error.as_ref()
    }

    /// Returns the result of the last attempt if it is too early for another one.
    pub(crate) fn find_recent_result(
        &self,
        provider: &Provider,
        occasion: Occasion,
        now: Timestamp,
    ) -> Option<Result<(), DiscoveryError>> {
        let is_needed = provider.settings.needs_metadata();
        let interval = match (occasion, &self.error) {
            (Occasion::Login, _) => LOGIN_RETRY_INTERVAL,
            (Occasion::Background, Some(_)) if is_needed => RETRY_INTERVAL,
            (Occasion::Background, _) => REFRESH_INTERVAL,
        };
        let is_recent = self.at.is_some_and(|at| at <= now && now < at.plus(interval));
        (is_recent && self.issuer == provider.settings.issuer).then(|| self.error.clone().map_or(Ok(()), Err))
    }
}
