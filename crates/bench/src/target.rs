//! The interface through which the benchmark starts, fills and measures a hub.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::Moment;
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::jose::AccessTokenKeys;
use domain::secret::TokenHash;
use store::Store;
use store::command::SealedValue;

use crate::error::BenchmarkError;

/// The data recipient that sends the requests. It must have an active registration with the provider.
#[derive(Clone, Copy, Debug)]
pub struct TargetRecipient {
    pub client_id: &'static str,
    pub client_secret: &'static str,
    pub redirect_uri: &'static str,
    /// The space-delimited scope that the recipient may request.
    pub scope: &'static str,
}

/// The environment in which [`BenchmarkTarget::start`] starts a hub.
#[derive(Clone, Debug)]
pub struct TargetSettings<'a> {
    /// The folder for the configuration and the key file of the hub.
    pub folder: &'a Path,
    pub store_url: &'a str,
    /// Origin of the stub provider, which has the paths `/token`, `/revoke` and `/fdx/v5`.
    pub provider_url: &'a str,
    /// The id of the provider to configure, at which the hub revokes tokens (RFC 7009).
    pub provider_id: i64,
    /// The time for which the hub does not call an endpoint that fails repeatedly.
    pub breaker_open: Duration,
    /// The recipient to register, unless an earlier start did.
    pub recipient: TargetRecipient,
}

/// The encrypted provider tokens of a connection, as the store contains them.
#[derive(Clone, Debug)]
pub struct SealedCredential {
    pub access_token: SealedValue,
    pub refresh_token: SealedValue,
}

/// A function that requests one resource from the stub provider with an HTTP client like that of the hub, and returns the
/// body of the response.
pub type ProviderFetch =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Bytes, BenchmarkError>> + Send>> + Send + Sync>;

/// The counters of the access states that the hub keeps in memory, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapCounters {
    /// Checks that found their state in memory.
    pub hits: u64,
    /// Checks that read their state from the database.
    pub misses: u64,
}

/// A hub that can be started, filled and measured.
///
/// The benchmark inserts rows directly into the store, as logins would have left them, because a million logins would
/// take longer than the benchmark. The target provides the hashes, encrypted tokens and access tokens that make such
/// rows usable.
pub trait BenchmarkTarget: Sized + Send + Sync {
    /// The error of every operation. A [`BenchmarkError`] can be converted to it.
    type Error: From<BenchmarkError> + Send + 'static;

    /// Starts a hub without rate limits on an address of its choice.
    fn start(settings: &TargetSettings<'_>) -> impl Future<Output = Result<Self, Self::Error>> + Send;

    /// Stops the hub, releases its store and returns its configuration file.
    fn stop(self) -> impl Future<Output = PathBuf> + Send;

    /// Returns the command that runs the hub as a separate process.
    fn serve_command(config_file: &Path, listen: &str, probe_listen: &str) -> Result<Command, Self::Error>;

    /// Returns the address on which the hub serves its public API.
    fn address(&self) -> SocketAddr;

    /// Returns the store of the running hub.
    fn store(&self) -> &Store;

    /// Returns the current time and a new random seed, for one command or query.
    fn new_moment(&self) -> Result<Moment, Self::Error>;

    /// Returns the hash under which the store keeps a refresh token or code.
    fn hash_secret(&self, secret: &str) -> TokenHash;

    /// Encrypts a token as the access token and as the refresh token of a connection of a recipient at a provider, in the form in
    /// which the store keeps them.
    fn seal_credential(
        &self,
        owner: (&ConnectionId, &ClientId, ProviderId),
        token: &str,
    ) -> Result<SealedCredential, Self::Error>;

    /// Returns keys that sign access tokens which the hub will accept, also after a restart.
    fn access_token_keys(&self) -> AccessTokenKeys;

    /// Builds a client of its own, like the one that the hub uses, that requests `url` with the bearer token `token`.
    fn provider_fetch(&self, url: &str, token: &'static str) -> Result<ProviderFetch, Self::Error>;

    /// Returns the counters of the access states in memory.
    fn map_counters(&self) -> MapCounters;
}
