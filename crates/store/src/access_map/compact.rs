//! Rows and ids in the form in which the map keeps them. Most memory of the map is used for connections, so the ids of a
//! connection take 16 bytes each instead of a text of their own.

use std::sync::Arc;

use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::model::connection::{ConnectionStatus, EndCause, UpstreamRevocation};
use domain::model::refresh_token::RefreshToken;
use domain::{Clusters, Timestamp};

use super::entry_map::HeapSize;
use super::rows::{ALLOCATION_OVERHEAD, ConnectionRow, text_size};
use crate::value::{find_id_uuid, format_uuid_id};

/// A text that usually contains a UUID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CompactId {
    /// The UUID of a generated id, without its prefix, or of a subject identifier.
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl CompactId {
    /// Compacts the id of a connection or a client, whose prefix is known where it is expanded.
    fn new(prefix: &str, text: &str) -> Self {
        find_id_uuid(prefix, text).map_or_else(|| Self::Text(text.into()), Self::Uuid)
    }

    fn expand(&self, prefix: &str) -> String {
        match self {
            Self::Uuid(uuid) => format_uuid_id(prefix, *uuid),
            Self::Text(text) => text.as_ref().to_owned(),
        }
    }

    pub(super) fn from_connection(id: &ConnectionId) -> Self {
        Self::new(ConnectionId::PREFIX, id.as_str())
    }

    fn from_client(id: &ClientId) -> Self {
        Self::new(ClientId::PREFIX, id.as_str())
    }

    fn from_sub(sub: &str) -> Self {
        // Other spellings of a UUID stay texts, so that each identifier is returned as it was.
        let uuid = uuid::Uuid::try_parse(sub)
            .ok()
            .filter(|uuid| uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()) == sub);
        uuid.map_or_else(|| Self::Text(sub.into()), |uuid| Self::Uuid(uuid.into_bytes()))
    }
}

impl HeapSize for CompactId {
    fn heap_size(&self) -> usize {
        match self {
            Self::Uuid(_) => 0,
            Self::Text(text) => text_size(text),
        }
    }
}

/// A connection with its current terms, as an entry of the map.
pub(super) struct CompactRow {
    client_id: CompactId,
    sub: CompactId,
    pub(super) provider_id: ProviderId,
    pub(super) status: ConnectionStatus,
    pub(super) cause: Option<EndCause>,
    pub(super) replaced_by: Option<Box<CompactId>>,
    pub(super) provider_revocation: UpstreamRevocation,
    pub(super) expires_at: Timestamp,
    pub(super) token_generation: i64,
    pub(super) clusters: Clusters,
    pub(super) accounts: Option<Arc<[String]>>,
}

impl CompactRow {
    /// Returns the id of the client; `None` if it is not valid, which the row of a connection prevents.
    pub(super) fn client_id(&self) -> Option<ClientId> {
        ClientId::try_from(self.client_id.expand(ClientId::PREFIX)).ok()
    }

    pub(super) fn sub(&self) -> String {
        match &self.sub {
            CompactId::Uuid(uuid) => uuid::Uuid::from_bytes(*uuid).hyphenated().to_string(),
            CompactId::Text(text) => text.as_ref().to_owned(),
        }
    }
}

impl From<ConnectionRow> for CompactRow {
    fn from(row: ConnectionRow) -> Self {
        Self {
            client_id: CompactId::from_client(&row.client_id),
            sub: CompactId::from_sub(&row.sub),
            provider_id: row.provider_id,
            status: row.status,
            cause: row.cause,
            replaced_by: row.replaced_by.map(|id| Box::new(CompactId::from_connection(&id))),
            provider_revocation: row.provider_revocation,
            expires_at: row.expires_at,
            token_generation: row.token_generation,
            clusters: row.clusters,
            accounts: row.accounts,
        }
    }
}

impl HeapSize for Arc<CompactRow> {
    fn heap_size(&self) -> usize {
        let successor = self.replaced_by.as_deref().map_or(0, |id| size_of::<CompactId>() + id.heap_size());
        let ids = self.client_id.heap_size() + self.sub.heap_size() + successor;
        let accounts = self.accounts.iter().flat_map(|accounts| accounts.iter());
        let accounts: usize = accounts.map(|account| size_of::<String>() + text_size(account)).sum();
        size_of::<CompactRow>() + 2 * ALLOCATION_OVERHEAD + ids + accounts
    }
}

/// A refresh token, as an entry of the map.
#[derive(Clone)]
pub(super) struct CompactToken {
    connection_id: CompactId,
    client_id: CompactId,
    last_used_at: Timestamp,
}

impl CompactToken {
    pub(super) fn new(token: &RefreshToken) -> Self {
        Self {
            connection_id: CompactId::from_connection(&token.connection_id),
            client_id: CompactId::from_client(&token.client_id),
            last_used_at: token.last_used_at,
        }
    }

    /// Returns the token; `None` if one of its ids is not valid, which its row prevents.
    pub(super) fn expand(&self) -> Option<RefreshToken> {
        Some(RefreshToken {
            connection_id: self.connection_id.expand(ConnectionId::PREFIX).try_into().ok()?,
            client_id: self.client_id.expand(ClientId::PREFIX).try_into().ok()?,
            last_used_at: self.last_used_at,
        })
    }
}

impl HeapSize for CompactToken {
    fn heap_size(&self) -> usize {
        self.connection_id.heap_size() + self.client_id.heap_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_ids_expand_to_the_same_text() {
        let generated = "con_0190f2a07c3e7a4b8f0123456789abcd";
        for text in [generated, "con_legacy-1", "con_0190F2A07C3E7A4B8F0123456789ABCD", "con_0190f2a0"] {
            let id = ConnectionId::parse(text).unwrap();

            let compact = CompactId::from_connection(&id);

            assert_eq!(compact.expand(ConnectionId::PREFIX), text);
            assert_eq!(matches!(compact, CompactId::Uuid(_)), text == generated, "{text}");
        }
    }

    #[test]
    fn compact_subject_identifiers_expand_to_the_same_text() {
        let generated = "0190f2a0-7c3e-4a4b-8f01-23456789abcd";
        for text in
            [generated, "0190F2A0-7C3E-4A4B-8F01-23456789ABCD", "0190f2a07c3e4a4b8f0123456789abcd", "x"]
        {
            let row = CompactRow { sub: CompactId::from_sub(text), ..build_row() };

            assert_eq!(row.sub(), text);
            assert_eq!(matches!(row.sub, CompactId::Uuid(_)), text == generated, "{text}");
        }
    }

    #[test]
    fn compact_row_of_generated_ids_allocates_nothing_for_them() {
        let row = Arc::new(build_row());

        assert_eq!(row.heap_size(), size_of::<CompactRow>() + 2 * ALLOCATION_OVERHEAD);
        assert_eq!(row.client_id().unwrap().as_str(), "dc-0190f2a07c3e7a4b8f0123456789abcd");
    }

    fn build_row() -> CompactRow {
        let row = ConnectionRow {
            client_id: ClientId::parse("dc-0190f2a07c3e7a4b8f0123456789abcd").unwrap(),
            provider_id: ProviderId::new(1000),
            sub: "0190f2a0-7c3e-4a4b-8f01-23456789abcd".into(),
            status: ConnectionStatus::Active,
            cause: None,
            replaced_by: None,
            provider_revocation: UpstreamRevocation::NotNeeded,
            expires_at: Timestamp::EPOCH,
            token_generation: 1,
            clusters: Clusters::NONE,
            accounts: None,
        };
        row.into()
    }
}
