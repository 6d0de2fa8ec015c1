//! An access token's claims. The token itself is never stored.

use serde::{Deserialize, Serialize};

use crate::id::{AccessTokenId, ClientId, ConnectionId};
use crate::scope::{ClientScope, Clusters};
use crate::time::Timestamp;

/// What a token names: a connection, or the client alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSubject {
    /// A customer's connection, and the token generation it was issued in.
    Connection {
        /// The connection (claim `fdxConsentId`).
        id: ConnectionId,
        /// The customer's name towards this recipient.
        sub: String,
        /// What was granted.
        clusters: Clusters,
        /// The connection's token generation (claim `gen`).
        generation: i64,
    },
    /// The client itself (`build_client_credentials_request`).
    Client {
        /// What it may do.
        scope: ClientScope,
        /// The client's credential generation (claim `cgen`).
        generation: i64,
    },
}

/// An authentic token's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The token's id.
    pub id: AccessTokenId,
    /// To whom it was issued.
    pub client_id: ClientId,
    /// When.
    pub issued_at: Timestamp,
    /// Until when (whole seconds).
    pub expires_at: Timestamp,
    /// What it names.
    pub subject: TokenSubject,
}

/// The JWT payload: the documented claims (`parse_client_id`, `sub`, `exp`) beside those of RFC 9068.
#[derive(Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) client_id: String,
    pub(crate) sub: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
    pub(crate) scope: String,
    #[serde(rename = "fdxConsentId", default, skip_serializing_if = "Option::is_none")]
    pub(crate) connection_id: Option<String>,
    #[serde(rename = "gen", default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<i64>,
    #[serde(rename = "cgen", default, skip_serializing_if = "Option::is_none")]
    pub(crate) credential_generation: Option<i64>,
}

impl Payload {
    pub(crate) fn from_claims(claims: &Claims, issuer: &str, audience: &str) -> Self {
        let (sub, scope, connection_id, generation, credential_generation) = match &claims.subject {
            TokenSubject::Connection { id, sub, clusters, generation } => {
                (sub.clone(), clusters.to_string(), Some(id.to_string()), Some(*generation), None)
            }
            TokenSubject::Client { scope, generation } => (
                format!("client:{}", claims.client_id),
                scope.as_str().to_owned(),
                None,
                None,
                Some(*generation),
            ),
        };
        Self {
            iss: issuer.to_owned(),
            aud: audience.to_owned(),
            client_id: claims.client_id.to_string(),
            sub,
            iat: claims.issued_at.seconds(),
            exp: claims.expires_at.seconds(),
            jti: claims.id.to_string(),
            scope,
            connection_id,
            generation,
            credential_generation,
        }
    }

    /// The claims, or `None` if the payload is not one that we write.
    pub(crate) fn into_claims(self) -> Option<Claims> {
        let subject = match (self.connection_id, self.generation, self.credential_generation) {
            (Some(id), Some(generation), None) => TokenSubject::Connection {
                id: ConnectionId::parse(&id).ok()?,
                sub: self.sub,
                clusters: Clusters::parse(&self.scope).ok()?,
                generation,
            },
            (None, None, Some(generation)) => {
                TokenSubject::Client { scope: ClientScope::from_word(&self.scope)?, generation }
            }
            _ => return None,
        };
        Some(Claims {
            id: AccessTokenId::parse(&self.jti).ok()?,
            client_id: ClientId::parse(&self.client_id).ok()?,
            issued_at: Timestamp::from_seconds(self.iat),
            expires_at: Timestamp::from_seconds(self.exp),
            subject,
        })
    }
}
