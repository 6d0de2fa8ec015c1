//! The claims of an access token. The token itself is never stored.

use serde::{Deserialize, Serialize};

use crate::id::{AccessTokenId, ClientId, ConnectionId};
use crate::scope::{ClientScope, Clusters};
use crate::time::Timestamp;

/// The subject of an access token: a connection or a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSubject {
    /// A connection: the token allows its client to read the customer's data.
    Connection {
        /// The connection (claim `fdxConsentId`).
        id: ConnectionId,
        /// The subject identifier of the customer at this recipient (claim `sub`).
        sub: String,
        /// The granted data clusters (claim `scope`).
        clusters: Clusters,
        /// The token generation of the connection at issuance (claim `gen`). A higher generation of the connection
        /// revokes the token.
        generation: i64,
    },
    /// The client itself: the token was issued for the grant `client_credentials`.
    Client {
        /// The scope that the token grants (claim `scope`).
        scope: ClientScope,
        /// The credential generation of the client at issuance (claim `cgen`). A new client secret revokes the token.
        generation: i64,
    },
}

/// The claims of an access token that the hub issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The id of the token (claim `jti`).
    pub id: AccessTokenId,
    /// The client to which the token was issued (claim `client_id`).
    pub client_id: ClientId,
    /// The time of issuance (claim `iat`).
    pub issued_at: Timestamp,
    /// The time from which the token is rejected (claim `exp`, in whole seconds).
    pub expires_at: Timestamp,
    /// The connection or client for which the token was issued.
    pub subject: TokenSubject,
}

/// The JWT payload: the claims that Flinks documents (`client_id`, `sub`, `exp`) and those of RFC 9068.
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
                // RFC 9068 §2.2 requires `sub`. The prefix distinguishes it from the subject identifier of a customer.
                format!("client:{}", claims.client_id),
                scope.to_string(),
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

    /// Converts the payload to claims; returns `None` for a payload that the hub does not issue.
    pub(crate) fn into_claims(self) -> Option<Claims> {
        // The claims `gen` and `cgen` determine the kind of subject. A payload with both or with none is ambiguous.
        let subject = match (self.connection_id, self.generation, self.credential_generation) {
            (Some(id), Some(generation), None) => TokenSubject::Connection {
                id: id.parse().ok()?,
                sub: self.sub,
                clusters: self.scope.parse().ok()?,
                generation,
            },
            (None, None, Some(generation)) => {
                TokenSubject::Client { scope: self.scope.parse().ok()?, generation }
            }
            _ => return None,
        };
        Some(Claims {
            id: self.jti.parse().ok()?,
            client_id: self.client_id.parse().ok()?,
            issued_at: Timestamp::from_seconds(self.iat),
            expires_at: Timestamp::from_seconds(self.exp),
            subject,
        })
    }
}
