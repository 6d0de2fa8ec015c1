//! Fills the store with connections, in the state in which logins would have left them.

use std::ops::Range;
use std::time::Duration;

use anyhow::Context;
use domain::id::{AccessTokenId, ClientId, ConnectionId, IdSource, ProviderId};
use domain::jose::AccessTokenKeys;
use domain::model::access_token::{Claims, TokenSubject};
use domain::{Clusters, Moment, Secret};
use store::command::{SeedConnections, SeededConnection};
use tokio::task::{JoinError, JoinSet};

use crate::error::BenchmarkError;
use crate::identity::Identities;
use crate::target::{BenchmarkTarget, SealedCredential, TargetRecipient};

/// Id of the provider of all connections.
pub(crate) const PROVIDER: i64 = 1;

pub(crate) const RECIPIENT: TargetRecipient = TargetRecipient {
    client_id: "dc-bench",
    client_secret: "bench-secret-bench-secret-bench-secret",
    redirect_uri: "https://bench.example.org/back",
    scope: "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS",
};

/// Number of connections that one command inserts.
const SEED_BATCH_SIZE: usize = 250;
/// Number of commands that insert connections concurrently, so that the next one is prepared while others commit.
const SEED_CONCURRENCY: usize = 4;
/// Lifetime of inserted connections: longer than any benchmark, and within `connection.max_duration`.
const CONNECTION_TTL: Duration = Duration::from_hours(24 * 90);
const ACCESS_TOKEN_TTL: Duration = Duration::from_mins(30);
/// The provider's access token and refresh token of every connection.
pub(crate) const PROVIDER_TOKEN: &str = "provider token of a benchmark";

/// The state in which a connection is inserted into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeedState {
    /// Active, with a refresh token.
    Active,
    /// Pending, with an authorization code that was not exchanged yet.
    AwaitingExchange,
}

/// Inserts the connections with the given numbers, each with its own ids, tokens and keys.
pub(crate) async fn seed_connections<T: BenchmarkTarget>(
    target: &T,
    identities: &Identities,
    numbers: Range<u64>,
    state: SeedState,
) -> Result<(), T::Error> {
    let mut commands = JoinSet::new();
    for from in numbers.clone().step_by(SEED_BATCH_SIZE) {
        let batch = from..numbers.end.min(from + SEED_BATCH_SIZE as u64);
        let rows = batch.map(|number| build_connection(target, identities, number, state));
        let moment = target.new_moment()?;
        let seed = SeedConnections {
            client_id: client_id()?,
            provider_id: ProviderId::new(PROVIDER),
            clusters: clusters()?,
            expires_at: moment.now.plus(CONNECTION_TTL),
            redirect_uri: RECIPIENT.redirect_uri.into(),
            connections: rows.collect::<Result<_, _>>()?,
            moment,
        };
        // The commands in progress are limited, because each contains its rows.
        if commands.len() == SEED_CONCURRENCY {
            ensure_seeded(commands.join_next().await)?;
        }
        let store = target.store().clone();
        commands.spawn(async move { store.run(seed).await });
    }
    while let Some(result) = commands.join_next().await {
        ensure_seeded(Some(result))?;
    }
    Ok(())
}

fn ensure_seeded(result: Option<Result<store::Result<()>, JoinError>>) -> Result<(), BenchmarkError> {
    if let Some(result) = result {
        result.context("a task of the benchmark panicked")??;
    }
    Ok(())
}

fn build_connection<T: BenchmarkTarget>(
    target: &T,
    identities: &Identities,
    number: u64,
    state: SeedState,
) -> Result<SeededConnection, T::Error> {
    let id = identities.connection_id(number);
    let hash = Some(target.hash_secret(&identities.secret(number)));
    let (refresh_hash, code_hash) = match state {
        SeedState::Active => (hash, None),
        SeedState::AwaitingExchange => (None, hash),
    };
    let owner = (&id, &client_id()?, ProviderId::new(PROVIDER));
    let SealedCredential { access_token, refresh_token } = target.seal_credential(owner, PROVIDER_TOKEN)?;
    let customer_id = identities.customer_id(number);
    Ok(SeededConnection { id, customer_id, refresh_hash, code_hash, access_token, refresh_token })
}

/// Signs access tokens for connections.
pub(crate) struct TokenSigner {
    keys: AccessTokenKeys,
    client_id: ClientId,
    clusters: Clusters,
    moment: Moment,
    ids: IdSource,
}

impl TokenSigner {
    /// Creates a signer whose tokens are issued at `moment`.
    pub(crate) fn new(keys: AccessTokenKeys, moment: Moment) -> Result<Self, BenchmarkError> {
        let ids = IdSource::new(moment.now, moment.seed);
        Ok(Self { keys, client_id: client_id()?, clusters: clusters()?, moment, ids })
    }

    /// Signs a token with which the recipient reads the data of a connection.
    pub(crate) fn sign(&mut self, id: ConnectionId) -> Result<Secret<String>, BenchmarkError> {
        let claims = Claims {
            id: self.ids.mint::<AccessTokenId>(),
            client_id: self.client_id.clone(),
            issued_at: self.moment.now,
            expires_at: self.moment.now.plus(ACCESS_TOKEN_TTL),
            subject: TokenSubject::Connection {
                id,
                sub: "measured".into(),
                clusters: self.clusters,
                generation: 1,
            },
        };
        Ok(self.keys.sign(&claims).context("cannot sign an access token")?)
    }
}

fn client_id() -> Result<ClientId, BenchmarkError> {
    Ok(RECIPIENT.client_id.parse::<ClientId>().context("the client id of the benchmark is invalid")?)
}

fn clusters() -> Result<Clusters, BenchmarkError> {
    Ok(RECIPIENT.scope.parse::<Clusters>().context("the scope of the benchmark is invalid")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmark_recipient_and_scope_are_valid() {
        assert_eq!(client_id().unwrap().as_str(), RECIPIENT.client_id);
        assert_eq!(clusters().unwrap().iter().count(), 3);
    }
}
