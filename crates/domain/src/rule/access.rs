//! The access check, which decides whether a connection may be used now.
//!
//! Every data response and every new access token depends on [`effective_status`]. Only [`check_access`] creates a
//! [`GrantedAccess`].

use std::sync::Arc;
use std::time::Duration;

use crate::error::OAuthError;
use crate::id::{AccessTokenId, ClientId, ConnectionId, ProviderId};
use crate::model::access_token::{Claims, TokenSubject};
use crate::model::client::{Client, ClientKind, ClientState, Profile};
use crate::model::connection::{ConnectionStatus, EndCause, UpstreamRevocation};
use crate::model::provider::ProviderState;
use crate::model::registration::RegistrationState;
use crate::scope::{ClientScope, Clusters, DataOperation};
use crate::time::Timestamp;

use super::client_auth::{AuthenticatedClient, CLIENT_REMOVED, ensure_client_active};

/// The input of the access check, asked from the store at each use.
#[derive(Clone, Debug)]
pub struct AccessState {
    /// The id of the connection that is checked.
    pub connection_id: ConnectionId,
    /// The recipient that uses the connection.
    pub client_id: ClientId,
    /// The provider that delivers the data.
    pub provider_id: ProviderId,
    /// The subject identifier of the customer at the recipient.
    pub sub: String,
    /// The stored status. After the consent has expired, it stays active until a worker stores the end.
    pub status: ConnectionStatus,
    /// The cause of the end, if the connection has ended.
    pub cause: Option<EndCause>,
    /// True if the newer connection that replaced this one is active.
    pub successor_active: bool,
    /// The progress of revoking the grant of an ended connection at the provider.
    pub provider_revocation: UpstreamRevocation,
    /// The time at which the consent ends.
    pub expires_at: Timestamp,
    /// The generation of the access tokens that are valid.
    pub token_generation: i64,
    /// The data clusters that the customer consented to.
    pub clusters: Clusters,
    /// The consented accounts, by the provider's ids; if absent, all accounts.
    pub accounts: Option<Arc<[String]>>,
    /// The state of the recipient. Only an active recipient gets tokens and data.
    pub client_state: ClientState,
    /// The authorization API that the recipient uses.
    pub profile: Profile,
    /// The state of the recipient's registration with the provider; absent if there is none.
    pub registration_state: Option<RegistrationState>,
    /// The state of the provider. Only the data of an active provider can be read.
    pub provider_state: ProviderState,
}

/// The reason why a live connection cannot be used at present. Revocation still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// The recipient or its registration is suspended.
    RecipientSuspended,
    /// The provider is paused or retired.
    ProviderPaused,
}

/// A connection that counts as ended: its end is stored, its consent has expired, or its recipient was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedConnection {
    /// The id of the ended connection.
    pub id: ConnectionId,
    /// The reason why the connection ended; absent if its end is not stored yet.
    pub cause: Option<EndCause>,
    /// True if a newer connection of the same customer replaced it and is active.
    pub successor_active: bool,
}

/// The status of a connection, in which an expired consent or a removed recipient counts as an end.
#[derive(Debug, PartialEq, Eq)]
enum EffectiveStatus {
    /// The connection is live. It can be used unless there is a reason for a pause.
    Active(Option<PauseReason>),
    /// The connection counts as ended, even if its end is not stored yet.
    Ended(EndedConnection),
    /// The code was not exchanged yet, so no token of the connection can exist.
    Pending,
}

fn effective_status(state: &AccessState, now: Timestamp) -> EffectiveStatus {
    // Connections of a removed recipient and expired consents count as ended from this moment on. A worker stores their
    // ends later, in batches, and the check must not wait for it.
    let is_open = state.client_state != ClientState::Closed && now < state.expires_at;
    match state.status {
        ConnectionStatus::Pending => EffectiveStatus::Pending,
        ConnectionStatus::Active if is_open => EffectiveStatus::Active(pause_reason(state)),
        ConnectionStatus::Active
        | ConnectionStatus::Revoked
        | ConnectionStatus::Expired
        | ConnectionStatus::Abandoned => EffectiveStatus::Ended(EndedConnection {
            id: state.connection_id.clone(),
            cause: state.cause,
            successor_active: state.cause == Some(EndCause::Replaced) && state.successor_active,
        }),
    }
}

fn pause_reason(state: &AccessState) -> Option<PauseReason> {
    let is_registered = state.registration_state == Some(RegistrationState::Active);
    if state.client_state != ClientState::Active || !is_registered {
        Some(PauseReason::RecipientSuspended)
    } else if state.provider_state != ProviderState::Active {
        Some(PauseReason::ProviderPaused)
    } else {
        None
    }
}

/// Proof that a connection token passed the access check at a point in time.
#[derive(Clone, Debug)]
pub struct GrantedAccess {
    state: AccessState,
    claims: Claims,
    clusters: Clusters,
    pause_reason: Option<PauseReason>,
}

impl GrantedAccess {
    /// Returns the id of the connection, which the token contains.
    pub const fn connection_id(&self) -> &ConnectionId {
        &self.state.connection_id
    }

    /// Returns the id of the recipient to which the token was issued.
    pub const fn client_id(&self) -> &ClientId {
        &self.state.client_id
    }

    /// Returns the id of the provider that delivers the data.
    pub const fn provider_id(&self) -> ProviderId {
        self.state.provider_id
    }

    /// Returns the subject identifier of the customer at the recipient.
    pub fn sub(&self) -> &str {
        &self.state.sub
    }

    /// Returns the data clusters that both the token and the current terms allow.
    pub const fn clusters(&self) -> Clusters {
        self.clusters
    }

    /// Returns whether the consent covers an account. `account` is the provider's id of the account.
    pub fn covers(&self, account: &str) -> bool {
        self.state.accounts.as_deref().is_none_or(|accounts| accounts.iter().any(|a| a == account))
    }

    /// Ensures that nothing pauses the connection and that a consented data cluster allows the operation.
    pub fn ensure_allows(&self, operation: DataOperation) -> Result<(), DataAccessError> {
        match self.pause_reason {
            Some(reason) => Err(DataAccessError::Paused(reason)),
            None if operation.is_allowed_by(self.clusters) => Ok(()),
            None => Err(DataAccessError::NotConsented),
        }
    }

    /// Repeats the access check for the same token, with a current time and a newly read state. It runs before a response
    /// is sent, so that nothing is served that ended while the provider responded.
    pub fn recheck(
        &self,
        state: Option<AccessState>,
        operation: DataOperation,
        now: Timestamp,
    ) -> Result<Self, RecheckError> {
        if now >= self.claims.expires_at {
            return Err(RecheckError::TokenRejected(TokenRejection::Unknown));
        }
        self.recheck_state(state, operation, now)
    }

    /// Repeats the access check while a response is being sent. The token may expire in the meantime: it was valid when the
    /// request began.
    pub fn recheck_state(
        &self,
        state: Option<AccessState>,
        operation: DataOperation,
        now: Timestamp,
    ) -> Result<Self, RecheckError> {
        match check_access(self.claims.clone(), state, now) {
            AccessDecision::Granted(access) => {
                access.ensure_allows(operation).map_err(RecheckError::Data).map(|()| *access)
            }
            AccessDecision::Ended(ended) => Err(RecheckError::Ended(ended)),
            AccessDecision::Rejected(rejection) => Err(RecheckError::TokenRejected(rejection)),
        }
    }
}

/// Error for an operation that a live connection does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAccessError {
    /// The connection cannot be used at present, for the contained reason.
    Paused(PauseReason),
    /// The customer did not consent to the data.
    NotConsented,
}

/// Error of the second access check, which runs before a response is sent.
#[derive(Debug)]
pub enum RecheckError {
    /// The connection has ended since the first check.
    Ended(EndedConnection),
    /// The connection was paused or its terms were narrowed since the first check.
    Data(DataAccessError),
    /// The token expired or became invalid since the first check.
    TokenRejected(TokenRejection),
}

/// The reason why a token is rejected. Responses do not contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRejection {
    /// No connection or client matches the token.
    Unknown,
    /// The token belongs to an older generation.
    Superseded,
    /// The client is registered for another authorization API than the one that received the token.
    WrongProfile,
}

/// The result of the access check for a verified connection token.
#[derive(Debug)]
pub enum AccessDecision {
    /// The token is accepted. The connection is live, but may be paused.
    Granted(Box<GrantedAccess>),
    /// The token is genuine, but its connection has ended.
    Ended(EndedConnection),
    /// The token cannot be used, for the contained reason.
    Rejected(TokenRejection),
}

/// Checks a verified connection token of the Flinks API against the current state of its connection.
pub fn check_access(claims: Claims, state: Option<AccessState>, now: Timestamp) -> AccessDecision {
    let TokenSubject::Connection { id, clusters, generation, .. } = &claims.subject else {
        return AccessDecision::Rejected(TokenRejection::Unknown);
    };
    let Some(state) = state.filter(|s| s.connection_id == *id && s.client_id == claims.client_id) else {
        return AccessDecision::Rejected(TokenRejection::Unknown);
    };
    // The API is checked before the status: a stolen token that is used at the wrong API must not reveal the status.
    if state.profile != Profile::Flinks {
        return AccessDecision::Rejected(TokenRejection::WrongProfile);
    }
    match effective_status(&state, now) {
        EffectiveStatus::Pending => AccessDecision::Rejected(TokenRejection::Unknown),
        EffectiveStatus::Ended(ended) => AccessDecision::Ended(ended),
        EffectiveStatus::Active(_) if *generation != state.token_generation => {
            AccessDecision::Rejected(TokenRejection::Superseded)
        }
        EffectiveStatus::Active(reason) => {
            // The terms may have been narrowed after the token was issued.
            let clusters = clusters.intersection(state.clusters);
            AccessDecision::Granted(Box::new(GrantedAccess { state, claims, clusters, pause_reason: reason }))
        }
    }
}

/// Error for a connection for which no access token may be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintError {
    /// The connection has ended, or its code was not exchanged yet.
    Ended,
    /// The recipient or its registration is suspended.
    Suspended,
}

/// Creates the claims of a new access token if the connection is live and its recipient is not suspended. The token
/// expires no later than the consent.
pub fn mint(
    state: &AccessState,
    id: AccessTokenId,
    clusters: Clusters,
    now: Timestamp,
    ttl: Duration,
) -> Result<Claims, MintError> {
    match effective_status(state, now) {
        EffectiveStatus::Ended(_) | EffectiveStatus::Pending => return Err(MintError::Ended),
        EffectiveStatus::Active(Some(PauseReason::RecipientSuspended)) => return Err(MintError::Suspended),
        // Apps still get access tokens while a provider is paused; only data requests are rejected.
        EffectiveStatus::Active(Some(PauseReason::ProviderPaused) | None) => {}
    }
    Ok(Claims {
        id,
        client_id: state.client_id.clone(),
        issued_at: now,
        expires_at: now.plus(ttl).min(state.expires_at),
        subject: TokenSubject::Connection {
            id: state.connection_id.clone(),
            sub: state.sub.clone(),
            clusters: clusters.intersection(state.clusters),
            generation: state.token_generation,
        },
    })
}

/// Creates the claims of a client token, for the grant `client_credentials`. A suspended client gets one too, with which
/// it can only list and end connections.
pub fn mint_for_client(
    client: &AuthenticatedClient,
    scope: ClientScope,
    id: AccessTokenId,
    now: Timestamp,
    ttl: Duration,
) -> Result<Claims, OAuthError> {
    let client = client.client();
    if client.state == ClientState::Closed {
        return Err(CLIENT_REMOVED);
    }
    Ok(Claims {
        id,
        client_id: client.id.clone(),
        issued_at: now,
        expires_at: now.plus(ttl),
        subject: TokenSubject::Client { scope, generation: client.credential_generation },
    })
}

/// Proof that a client token passed the access check at a point in time.
#[derive(Clone, Debug)]
pub struct ClientAccess {
    client: Client,
    scope: ClientScope,
}

impl ClientAccess {
    /// Returns the client to which the token was issued, in its current state.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the scope of the token, which is `providers:read` or `client:admin`.
    pub const fn scope(&self) -> ClientScope {
        self.scope
    }

    /// Ensures that the client is active. A suspended client may only list and end connections.
    pub fn ensure_not_suspended(&self) -> Result<(), OAuthError> {
        ensure_client_active(&self.client)
    }
}

/// Checks a verified client token of the Flinks API against the current state of the client. A new client secret
/// invalidates the token.
pub fn check_client_access(claims: &Claims, client: Option<Client>) -> Result<ClientAccess, TokenRejection> {
    let TokenSubject::Client { scope, generation } = &claims.subject else {
        return Err(TokenRejection::Unknown);
    };
    let kind = match scope {
        ClientScope::ProvidersRead => ClientKind::Recipient,
        ClientScope::ClientAdmin => ClientKind::Partner,
    };
    let known =
        client.filter(|c| c.id == claims.client_id && c.kind == kind && c.state != ClientState::Closed);
    let client = known.ok_or(TokenRejection::Unknown)?;
    if client.profile != Profile::Flinks {
        return Err(TokenRejection::WrongProfile);
    }
    if client.credential_generation != *generation {
        return Err(TokenRejection::Superseded);
    }
    Ok(ClientAccess { client, scope: *scope })
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
