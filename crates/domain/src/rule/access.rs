//! The one access check: whether a connection may be used now.
//!
//! Everything that serves or mints goes through [`standing`]. [`Access`] has no other constructor.

use std::sync::Arc;
use std::time::Duration;

use crate::error::OAuthError;
use crate::id::{AccessTokenId, ClientId, ConnectionId, ProviderId};
use crate::model::access_token::{Bearing, Claims};
use crate::model::client::{Client, ClientKind, ClientState, Profile};
use crate::model::connection::{BankState, Cause, Status};
use crate::model::provider::ProviderState;
use crate::model::registration::RegistrationState;
use crate::scope::{ClientScope, Clusters, Operation};
use crate::time::Timestamp;

use super::client_auth::{AuthenticatedClient, not_suspended};

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
    pub status: Status,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// Whether a newer connection that took its place is active.
    pub successor_active: bool,
    /// What the provider knows of the end.
    pub bank: BankState,
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
pub enum Hold {
    /// The recipient or its registration is suspended.
    Recipient,
    /// The provider is paused, retired or tripped.
    Provider,
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
enum Standing {
    /// It may be used, unless it is held.
    Live(Option<Hold>),
    /// It is over.
    Ended(EndedConnection),
    /// Its code was not redeemed yet: no token of it can exist.
    NotYet,
}

fn standing(state: &AccessState, now: Timestamp) -> Standing {
    // A recipient that was removed is over with all that it had, before each of its connections is written down.
    let open = state.client_state != ClientState::Closed && now < state.expires_at;
    match state.status {
        Status::Pending => Standing::NotYet,
        Status::Active if open => Standing::Live(hold(state)),
        Status::Active | Status::Revoked | Status::Expired | Status::Abandoned => {
            Standing::Ended(EndedConnection {
                id: state.connection_id.clone(),
                successor_active: state.cause == Some(Cause::Replaced) && state.successor_active,
            })
        }
    }
}

fn hold(state: &AccessState) -> Option<Hold> {
    let registered = state.registration_state == Some(RegistrationState::Active);
    if state.client_state != ClientState::Active || !registered {
        Some(Hold::Recipient)
    } else if state.provider_state != ProviderState::Active {
        Some(Hold::Provider)
    } else {
        None
    }
}

/// Leave to use a connection, as of the moment it was checked.
#[derive(Clone, Debug)]
pub struct Access {
    state: AccessState,
    claims: Claims,
    clusters: Clusters,
    hold: Option<Hold>,
}

impl Access {
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
    pub fn allows(&self, operation: Operation) -> Result<(), DataRefusal> {
        match self.hold {
            Some(hold) => Err(DataRefusal::Held(hold)),
            None if operation.allowed(self.clusters) => Ok(()),
            None => Err(DataRefusal::NotConsented),
        }
    }

    /// The second passage of the same token, with a fresh time and a freshly read state.
    pub fn again(
        &self,
        state: Option<AccessState>,
        operation: Operation,
        now: Timestamp,
    ) -> Result<Self, Again> {
        if now >= self.claims.expires_at {
            return Err(Again::Refused(Refusal::Unknown));
        }
        match present(self.claims.clone(), state, now) {
            Presented::Live(access) => access.allows(operation).map_err(Again::Data).map(|()| *access),
            Presented::Ended(ended) => Err(Again::Ended(ended)),
            Presented::Refused(refusal) => Err(Again::Refused(refusal)),
        }
    }
}

/// Why a live connection does not serve an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataRefusal {
    /// It is held.
    Held(Hold),
    /// The customer did not agree to it.
    NotConsented,
}

/// Why a read that was under way is cut off.
#[derive(Debug)]
pub enum Again {
    /// The connection ended meanwhile.
    Ended(EndedConnection),
    /// It is held or narrowed meanwhile.
    Data(DataRefusal),
    /// The token died meanwhile.
    Refused(Refusal),
}

/// Why a token is not accepted. The caller is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It names no connection that it could name.
    Unknown,
    /// It is of an older generation.
    Superseded,
    /// It is of another face.
    WrongFace,
}

/// What a presented, authentic, unexpired connection token comes to.
#[derive(Debug)]
pub enum Presented {
    /// The connection lives.
    Live(Box<Access>),
    /// The connection has ended.
    Ended(EndedConnection),
    /// The token is not accepted.
    Refused(Refusal),
}

/// The access check of a connection token on the Flinks face.
///
/// The sender (the face) is checked before the state, so that a thief learns nothing of it.
pub fn present(claims: Claims, state: Option<AccessState>, now: Timestamp) -> Presented {
    let Bearing::Connection { id, clusters, generation, .. } = &claims.bearing else {
        return Presented::Refused(Refusal::Unknown);
    };
    let Some(state) = state.filter(|s| s.connection_id == *id && s.client_id == claims.client_id) else {
        return Presented::Refused(Refusal::Unknown);
    };
    if state.profile != Profile::Flinks {
        return Presented::Refused(Refusal::WrongFace);
    }
    match standing(&state, now) {
        Standing::NotYet => Presented::Refused(Refusal::Unknown),
        Standing::Ended(ended) => Presented::Ended(ended),
        Standing::Live(_) if *generation != state.token_generation => Presented::Refused(Refusal::Superseded),
        Standing::Live(hold) => {
            let clusters = clusters.intersection(state.clusters);
            Presented::Live(Box::new(Access { state, claims, clusters, hold }))
        }
    }
}

/// Why no token is minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintRefusal {
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
) -> Result<Claims, MintRefusal> {
    match standing(state, now) {
        Standing::Ended(_) | Standing::NotYet => return Err(MintRefusal::Ended),
        Standing::Live(Some(Hold::Recipient)) => return Err(MintRefusal::Suspended),
        Standing::Live(Some(Hold::Provider) | None) => {}
    }
    Ok(Claims {
        id,
        client_id: state.client_id.clone(),
        issued_at: now,
        expires_at: now.plus(ttl).min(state.expires_at),
        bearing: Bearing::Connection {
            id: state.connection_id.clone(),
            sub: state.sub.clone(),
            clusters: clusters.intersection(state.clusters),
            generation: state.token_generation,
        },
    })
}

/// The claims of a client's own token (`client_credentials`): the client has proven its secret and is not held.
pub fn mint_for_client(
    client: &AuthenticatedClient,
    scope: ClientScope,
    id: AccessTokenId,
    now: Timestamp,
    ttl: Duration,
) -> Result<Claims, OAuthError> {
    let client = client.client();
    not_suspended(client)?;
    Ok(Claims {
        id,
        client_id: client.id.clone(),
        issued_at: now,
        expires_at: now.plus(ttl),
        bearing: Bearing::Client { scope, generation: client.credential_generation },
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
    pub fn allows_more(&self) -> Result<(), OAuthError> {
        not_suspended(&self.client)
    }
}

/// The access check of a client's own token on the Flinks face: its client is there, its secret is still the one
/// that the token was asked for with.
pub fn present_client(claims: &Claims, client: Option<Client>) -> Result<ClientAccess, Refusal> {
    let Bearing::Client { scope, generation } = &claims.bearing else { return Err(Refusal::Unknown) };
    let kind = match scope {
        ClientScope::ProvidersRead => ClientKind::Recipient,
        ClientScope::ClientAdmin => ClientKind::Partner,
    };
    let known =
        client.filter(|c| c.id == claims.client_id && c.kind == kind && c.state != ClientState::Closed);
    let client = known.ok_or(Refusal::Unknown)?;
    if client.profile != Profile::Flinks {
        return Err(Refusal::WrongFace);
    }
    if client.credential_generation != *generation {
        return Err(Refusal::Superseded);
    }
    Ok(ClientAccess { client, scope: *scope })
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
