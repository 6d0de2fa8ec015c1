//! The one access check: whether a connection may be used now.
//!
//! Everything that serves or mints goes through [`standing`]. [`GrantedAccess`] has no other constructor.

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

use super::client_auth::{AuthenticatedClient, ensure_client_active};

/// Everything that the check needs to know, read from the store at each use.
#[derive(Clone, Debug)]
pub struct AccessState {
    /// The connection.
    pub connection_id: ConnectionId,
    /// Its recipient.
    pub client_id: ClientId,
    /// Its provider.
    pub provider_id: ProviderId,
    /// The customer's name towards the recipient.
    pub sub: String,
    /// Where the connection stands.
    pub status: ConnectionStatus,
    /// Why it ended.
    pub cause: Option<EndCause>,
    /// Whether a newer connection that took its place is active.
    pub successor_active: bool,
    /// What the provider knows of the end.
    pub provider_revocation: UpstreamRevocation,
    /// When the consent ends.
    pub expires_at: Timestamp,
    /// Access tokens of another generation are refused.
    pub token_generation: i64,
    /// What the customer agreed to.
    pub clusters: Clusters,
    /// Of which accounts (the provider's ids); all if absent.
    pub accounts: Option<Arc<[String]>>,
    /// Whether the recipient is held.
    pub client_state: ClientState,
    /// Which face the recipient uses.
    pub profile: Profile,
    /// Where the recipient's registration with the provider stands.
    pub registration_state: Option<RegistrationState>,
    /// Whether the provider is held.
    pub provider_state: ProviderState,
}

/// A pause: nothing is destroyed, revoking works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// The recipient or its registration is suspended.
    RecipientSuspended,
    /// The provider is paused, retired or tripped.
    ProviderPaused,
}

/// A connection that has ended, or whose time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedConnection {
    /// The connection.
    pub id: ConnectionId,
    /// Whether a newer login's connection lives in its place.
    pub successor_active: bool,
}

/// How a connection stands now.
#[derive(Debug, PartialEq, Eq)]
enum EffectiveStatus {
    /// It may be used, unless it is held.
    Active(Option<PauseReason>),
    /// It is over.
    Ended(EndedConnection),
    /// Its code was not redeemed yet: no token of it can exist.
    Pending,
}

fn effective_status(state: &AccessState, now: Timestamp) -> EffectiveStatus {
    // A recipient that was removed is over with all that it had, before each of its connections is written down.
    let is_open = state.client_state != ClientState::Closed && now < state.expires_at;
    match state.status {
        ConnectionStatus::Pending => EffectiveStatus::Pending,
        ConnectionStatus::Active if is_open => EffectiveStatus::Active(pause_reason(state)),
        ConnectionStatus::Active
        | ConnectionStatus::Revoked
        | ConnectionStatus::Expired
        | ConnectionStatus::Abandoned => EffectiveStatus::Ended(EndedConnection {
            id: state.connection_id.clone(),
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

/// Leave to use a connection, as of the moment it was checked.
#[derive(Clone, Debug)]
pub struct GrantedAccess {
    state: AccessState,
    claims: Claims,
    clusters: Clusters,
    pause_reason: Option<PauseReason>,
}

impl GrantedAccess {
    /// The connection.
    pub const fn connection_id(&self) -> &ConnectionId {
        &self.state.connection_id
    }

    /// The recipient.
    pub const fn client_id(&self) -> &ClientId {
        &self.state.client_id
    }

    /// The provider.
    pub const fn provider_id(&self) -> ProviderId {
        self.state.provider_id
    }

    /// The customer's name towards the recipient.
    pub fn sub(&self) -> &str {
        &self.state.sub
    }

    /// What the token and the customer's terms both allow.
    pub const fn clusters(&self) -> Clusters {
        self.clusters
    }

    /// Whether the consent covers an account, by the provider's id.
    pub fn covers(&self, account: &str) -> bool {
        self.state.accounts.as_deref().is_none_or(|accounts| accounts.iter().any(|a| a == account))
    }

    /// Leave to read: no hold, and a cluster that opens the operation.
    pub fn ensure_allows(&self, operation: DataOperation) -> Result<(), DataAccessError> {
        match self.pause_reason {
            Some(reason) => Err(DataAccessError::Paused(reason)),
            None if operation.is_allowed_by(self.clusters) => Ok(()),
            None => Err(DataAccessError::NotConsented),
        }
    }

    /// The second passage of the same token, with a fresh time and a freshly read state.
    pub fn recheck(
        &self,
        state: Option<AccessState>,
        operation: DataOperation,
        now: Timestamp,
    ) -> Result<Self, RecheckError> {
        if now >= self.claims.expires_at {
            return Err(RecheckError::TokenRejected(TokenRejection::Unknown));
        }
        match check_access(self.claims.clone(), state, now) {
            AccessDecision::Granted(access) => {
                access.ensure_allows(operation).map_err(RecheckError::Data).map(|()| *access)
            }
            AccessDecision::Ended(ended) => Err(RecheckError::Ended(ended)),
            AccessDecision::Rejected(rejection) => Err(RecheckError::TokenRejected(rejection)),
        }
    }
}

/// Why a live connection does not serve an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAccessError {
    /// It is held.
    Paused(PauseReason),
    /// The customer did not agree to it.
    NotConsented,
}

/// Why a read that was under way is cut off.
#[derive(Debug)]
pub enum RecheckError {
    /// The connection ended meanwhile.
    Ended(EndedConnection),
    /// It is held or narrowed meanwhile.
    Data(DataAccessError),
    /// The token died meanwhile.
    TokenRejected(TokenRejection),
}

/// Why a token is not accepted. The caller is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRejection {
    /// It names no connection that it could name.
    Unknown,
    /// It is of an older generation.
    Superseded,
    /// It is of another face.
    WrongProfile,
}

/// What a presented, authentic, unexpired connection token comes to.
#[derive(Debug)]
pub enum AccessDecision {
    /// The connection lives.
    Granted(Box<GrantedAccess>),
    /// The connection has ended.
    Ended(EndedConnection),
    /// The token is not accepted.
    Rejected(TokenRejection),
}

/// The access check of a connection token on the Flinks face.
///
/// The sender (the face) is checked before the state, so that a thief learns nothing of it.
pub fn check_access(claims: Claims, state: Option<AccessState>, now: Timestamp) -> AccessDecision {
    let TokenSubject::Connection { id, clusters, generation, .. } = &claims.subject else {
        return AccessDecision::Rejected(TokenRejection::Unknown);
    };
    let Some(state) = state.filter(|s| s.connection_id == *id && s.client_id == claims.client_id) else {
        return AccessDecision::Rejected(TokenRejection::Unknown);
    };
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
            let clusters = clusters.intersection(state.clusters);
            AccessDecision::Granted(Box::new(GrantedAccess { state, claims, clusters, pause_reason: reason }))
        }
    }
}

/// Why no token is minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintError {
    /// The connection is over, or not there yet.
    Ended,
    /// The recipient or its registration is suspended. A held provider does not matter here.
    Suspended,
}

/// The claims of a new access token: the same check, then a life within the consent's.
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

/// The claims of a client's own token (`build_client_credentials_request`): the client has proven its secret and is not held.
pub fn mint_for_client(
    client: &AuthenticatedClient,
    scope: ClientScope,
    id: AccessTokenId,
    now: Timestamp,
    ttl: Duration,
) -> Result<Claims, OAuthError> {
    let client = client.client();
    ensure_client_active(client)?;
    Ok(Claims {
        id,
        client_id: client.id.clone(),
        issued_at: now,
        expires_at: now.plus(ttl),
        subject: TokenSubject::Client { scope, generation: client.credential_generation },
    })
}

/// Leave of a client on its own account, as of the moment it was checked.
#[derive(Clone, Debug)]
pub struct ClientAccess {
    client: Client,
    scope: ClientScope,
}

impl ClientAccess {
    /// The client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// What its token is for.
    pub const fn scope(&self) -> ClientScope {
        self.scope
    }

    /// Leave to do more than to look at connections and to end them, which always works.
    pub fn ensure_not_suspended(&self) -> Result<(), OAuthError> {
        ensure_client_active(&self.client)
    }
}

/// The access check of a client's own token on the Flinks face: its client is there, its secret is still the one
/// that the token was asked for with.
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
