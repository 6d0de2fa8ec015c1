//! Fills the store with connections, in the state in which logins would have left them.

use std::ops::Range;
use std::time::Duration;

use anyhow::Context;
use domain::id::{AccessTokenId, ClientId, ConnectionId, CustomerId, IdSource, ProviderId};
use domain::model::access_token::{Claims, TokenSubject};
use domain::{Clusters, Moment, Secret};
use store::command::{FillConnections, SeedConnections, SeededConnection};

use crate::error::BenchmarkError;
use crate::target::{BenchmarkTarget, SealedCredential, TargetProvider, TargetRecipient};

/// Id of the provider with a revocation endpoint: ending a connection queues a revocation job.
pub(crate) const REVOKING_PROVIDER: i64 = 1;
/// Id of the provider without a revocation endpoint: ending a connection queues no job.
pub(crate) const NON_REVOKING_PROVIDER: i64 = 2;

pub(crate) const PROVIDERS: [TargetProvider; 2] = [
    TargetProvider { id: REVOKING_PROVIDER, supports_revocation: true },
    TargetProvider { id: NON_REVOKING_PROVIDER, supports_revocation: false },
];

pub(crate) const RECIPIENT: TargetRecipient = TargetRecipient {
    client_id: "dc-bench",
    client_secret: "bench-secret-bench-secret-bench-secret",
    redirect_uri: "https://bench.example.org/back",
    scope: "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS",
};

/// Number of connections that one command inserts with ids and tokens from the benchmark.
const SEED_BATCH_SIZE: usize = 250;
/// Number of connections that one command inserts with ids that the database computes.
const FILL_BATCH_SIZE: i64 = 50_000;
/// Lifetime of inserted connections: longer than any benchmark, and within `connection.max_duration`.
const CONNECTION_TTL: Duration = Duration::from_hours(24 * 90);
const ACCESS_TOKEN_TTL: Duration = Duration::from_mins(30);
const PROVIDER_TOKENS: &[u8] = b"provider token of a benchmark";

/// The state in which a connection is inserted into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeedState {
    /// Active, with a refresh token.
    Active,
    /// Pending, with an authorization code that was not exchanged yet.
    AwaitingExchange,
}

/// A connection in the store, with the secret that its recipient would have.
pub(crate) struct BenchConnection {
    pub(crate) id: ConnectionId,
    /// The refresh token or the authorization code.
    pub(crate) secret: String,
}

/// Inserts connections that no request uses, with the sequence numbers `numbers`. `total` is the number of connections
/// in the store at its last size.
pub(crate) async fn fill_store<T: BenchmarkTarget>(
    target: &T,
    numbers: Range<i64>,
    total: i64,
) -> Result<(), T::Error> {
    // All connections get the same sealed credential, because it is never decrypted.
    let SealedCredential { data_key, credential } = target.seal_credential("filled", PROVIDER_TOKENS)?;
    let mut from = numbers.start;
    while from < numbers.end {
        let to = numbers.end.min(from + FILL_BATCH_SIZE);
        let moment = target.new_moment()?;
        let fill = FillConnections {
            client_id: client_id()?,
            provider_id: ProviderId::new(NON_REVOKING_PROVIDER),
            clusters: clusters()?,
            expires_at: moment.now.plus(CONNECTION_TTL),
            numbers: from..to,
            // The ids are spread over the whole range of keys, so that the rows of later batches are between those of
            // earlier ones.
            key_step: i64::MAX / total.max(1),
            data_key: data_key.clone(),
            credential: credential.clone(),
            moment,
        };
        target.store().run(fill).await.map_err(BenchmarkError::from)?;
        from = to;
    }
    Ok(())
}

/// Inserts connections, each with its own id and tokens, and returns them with their secrets.
pub(crate) async fn seed_connections<T: BenchmarkTarget>(
    target: &T,
    count: usize,
    provider: i64,
    state: SeedState,
) -> Result<Vec<BenchConnection>, T::Error> {
    let mut created = Vec::with_capacity(count);
    for begin in (0..count).step_by(SEED_BATCH_SIZE) {
        let moment = target.new_moment()?;
        let mut ids = IdSource::new(moment.now, moment.seed);
        let mut connections = Vec::with_capacity(SEED_BATCH_SIZE);
        for _ in 0..SEED_BATCH_SIZE.min(count - begin) {
            let (connection, row) = build_connection(target, &mut ids, state)?;
            created.push(connection);
            connections.push(row);
        }
        let seed = SeedConnections {
            // The command needs another moment: with the same seed it would generate the ids from above again.
            moment: target.new_moment()?,
            client_id: client_id()?,
            provider_id: ProviderId::new(provider),
            clusters: clusters()?,
            expires_at: moment.now.plus(CONNECTION_TTL),
            redirect_uri: RECIPIENT.redirect_uri.into(),
            connections,
        };
        target.store().run(seed).await.map_err(BenchmarkError::from)?;
    }
    Ok(created)
}

fn build_connection<T: BenchmarkTarget>(
    target: &T,
    ids: &mut IdSource,
    state: SeedState,
) -> Result<(BenchConnection, SeededConnection), T::Error> {
    let id = generate_connection_id(ids);
    let secret = target.generate_secret()?;
    let hash = Some(target.hash_secret(&secret));
    let (refresh_hash, code_hash) = match state {
        SeedState::Active => (hash, None),
        SeedState::AwaitingExchange => (None, hash),
    };
    let SealedCredential { data_key, credential } = target.seal_credential(id.as_str(), PROVIDER_TOKENS)?;
    let customer_id: CustomerId = ids.mint();
    let row = SeededConnection { id: id.clone(), customer_id, refresh_hash, code_hash, data_key, credential };
    Ok((BenchConnection { id, secret }, row))
}

/// Generates a connection id that is at a random position in the index.
///
/// Ids from a hub begin with their creation time. Connections that are used at the same time were created at different
/// times, so their rows are far from each other; ids that were generated at one time would share a few pages.
fn generate_connection_id(ids: &mut IdSource) -> ConnectionId {
    let text = format!("con_{}", ids.random_uuid().simple());
    text.parse::<ConnectionId>().unwrap_or_else(|_| ids.mint())
}

/// Signs an access token for a seeded connection.
pub(crate) fn sign_access_token<T: BenchmarkTarget>(
    target: &T,
    moment: &Moment,
    ids: &mut IdSource,
    connection: &BenchConnection,
) -> Result<Secret<String>, T::Error> {
    target.sign_access_token(&Claims {
        id: ids.mint::<AccessTokenId>(),
        client_id: client_id()?,
        issued_at: moment.now,
        expires_at: moment.now.plus(ACCESS_TOKEN_TTL),
        subject: TokenSubject::Connection {
            id: connection.id.clone(),
            sub: "measured".into(),
            clusters: clusters()?,
            generation: 1,
        },
    })
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
