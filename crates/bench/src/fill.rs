//! Rows for the store: connections as logins would have left them.

use std::ops::Range;
use std::time::Duration;

use anyhow::Context;
use domain::id::{AccessTokenId, ClientId, ConnectionId, CustomerId, IdSource, ProviderId};
use domain::model::access_token::{Claims, TokenSubject};
use domain::{Clusters, Moment, Secret};
use store::command::{FillConnections, SeedConnections, SeededConnection};

use crate::error::BenchmarkError;
use crate::target::{BenchmarkTarget, SealedCredential, TargetProvider, TargetRecipient};

/// Provider that the hub revokes tokens at.
pub(crate) const REVOKING_PROVIDER: i64 = 1;
/// Provider without a revocation endpoint: an end of a connection queues no job.
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

/// Connections that one command inserts with their own ids and tokens.
const SEED_BATCH_SIZE: usize = 250;
/// Connections that one command inserts by SQL only.
const FILL_BATCH_SIZE: i64 = 50_000;
/// Longer than any benchmark, and within `connection.max_duration`.
const CONNECTION_TTL: Duration = Duration::from_hours(24 * 90);
const ACCESS_TOKEN_TTL: Duration = Duration::from_mins(30);
const PROVIDER_TOKENS: &[u8] = b"provider token of a benchmark";

/// State of a seeded connection.
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

/// Fills the store with connections that no request uses: those with these numbers, of `total` in the end.
pub(crate) async fn fill_store<T: BenchmarkTarget>(
    target: &T,
    numbers: Range<i64>,
    total: i64,
) -> Result<(), T::Error> {
    // One sealed credential serves all of them, because none is ever opened.
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
            // The keys spread over the whole range of keys, so that later batches fall between earlier ones.
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

/// Inserts connections with tokens of their own.
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
            // The command's moment is another one: its ids must not repeat those that were drawn above.
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

/// Generates an id at a random place of the index.
///
/// Ids of a store begin with their time. Connections that are in use at the same time were created at different
/// times, so their rows lie far from each other; ids of one moment would lie on few pages.
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
    fn recipient_and_scope_of_the_benchmark_are_valid() {
        assert_eq!(client_id().unwrap().as_str(), RECIPIENT.client_id);
        assert_eq!(clusters().unwrap().iter().count(), 3);
    }
}
