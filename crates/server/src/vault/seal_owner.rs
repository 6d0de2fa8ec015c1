//! The associated data of sealed values, which binds each of them to the rows that it belongs to and to its purpose.
//!
//! A value that was copied to another row, or whose row was given to another recipient or provider, cannot be opened. Stored
//! values depend on the text of the associated data, so it must not change.

use std::fmt::Write;

use domain::id::{ClientId, ConnectionId, ProviderId};

/// The length of the longest provider id and of three line breaks.
const MAX_NUMBER_LEN: usize = 23;

/// The purpose of a sealed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealPurpose {
    /// An access token of a connection at its provider, and the key of this token.
    AccessToken,
    /// A refresh token of a connection at its provider, and the key of this token.
    RefreshToken,
    /// The id of the grant of a connection at its provider, and the key of this id.
    GrantId,
    /// The ids of the accounts of a connection, and the key of these ids.
    Accounts,
    /// The key of the values of a login: the provider's code and the PKCE verifier.
    LoginKey,
    /// An authorization code of a provider.
    ProviderCode,
    /// A PKCE verifier that the hub sends to a provider.
    PkceVerifier,
    /// The key of the secrets of a registration's client at a provider.
    RegistrationKey,
    /// The secret of a registration's client at a provider.
    ClientSecret,
    /// The access to the configuration of a registration's client at a provider (RFC 7592).
    ClientConfiguration,
    /// The key of the hub's own secrets at a provider.
    HubKey,
    /// The hub's own secrets at a provider.
    HubSecrets,
}

impl SealPurpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
            Self::GrantId => "grant_id",
            Self::Accounts => "accounts",
            Self::LoginKey => "login_key",
            Self::ProviderCode => "provider_code",
            Self::PkceVerifier => "pkce_verifier",
            Self::RegistrationKey => "registration_key",
            Self::ClientSecret => "client_secret",
            Self::ClientConfiguration => "client_configuration",
            Self::HubKey => "hub_key",
            Self::HubSecrets => "hub_secrets",
        }
    }
}

/// The connection, the recipient and the provider that a sealed value belongs to.
#[derive(Clone, Copy, Debug)]
pub struct SealOwner<'a> {
    connection: Option<&'a ConnectionId>,
    client: Option<&'a ClientId>,
    provider: ProviderId,
}

impl<'a> SealOwner<'a> {
    /// Returns the owner of the values of a connection, or of the login that opens it.
    pub const fn for_connection(
        connection: &'a ConnectionId,
        client: &'a ClientId,
        provider: ProviderId,
    ) -> Self {
        Self { connection: Some(connection), client: Some(client), provider }
    }

    /// Returns the owner of the values of a registration.
    pub const fn for_registration(client: &'a ClientId, provider: ProviderId) -> Self {
        Self { connection: None, client: Some(client), provider }
    }

    /// Returns the owner of the hub's own values at a provider.
    pub const fn for_provider(provider: ProviderId) -> Self {
        Self { connection: None, client: None, provider }
    }

    /// Returns the associated data of a value of this owner with a purpose.
    pub fn bind(&self, purpose: SealPurpose) -> String {
        let connection = self.connection.map_or("", ConnectionId::as_str);
        let client = self.client.map_or("", ClientId::as_str);
        let (purpose, provider) = (purpose.as_str(), self.provider.number());
        // Every read opens a token, so the text is allocated once.
        let mut bound =
            String::with_capacity(purpose.len() + connection.len() + client.len() + MAX_NUMBER_LEN);
        for part in [purpose, connection, client] {
            bound.push_str(part);
            // No id contains a line break, so two owners never have the same text.
            bound.push('\n');
        }
        // Writing to a text cannot fail.
        let _ = write!(bound, "{provider}");
        bound
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn associated_data_differs_for_every_owner_and_purpose() {
        let connections: [ConnectionId; 2] = ["con_1".parse().unwrap(), "con_2".parse().unwrap()];
        let clients: [ClientId; 2] = ["dc-1".parse().unwrap(), "dc-2".parse().unwrap()];
        let providers = [ProviderId::new(1), ProviderId::new(2)];
        let mut owners = Vec::new();
        for provider in providers {
            owners.push(SealOwner::for_provider(provider));
            for client in &clients {
                owners.push(SealOwner::for_registration(client, provider));
                owners.extend(connections.iter().map(|id| SealOwner::for_connection(id, client, provider)));
            }
        }

        let bound: BTreeSet<String> = owners
            .iter()
            .flat_map(|owner| [SealPurpose::AccessToken, SealPurpose::RefreshToken].map(|p| owner.bind(p)))
            .collect();

        assert_eq!(bound.len(), 2 * owners.len());
        let owner = SealOwner::for_connection(&connections[0], &clients[0], providers[0]);
        assert_eq!(owner.bind(SealPurpose::AccessToken), "access_token\ncon_1\ndc-1\n1");
    }
}
