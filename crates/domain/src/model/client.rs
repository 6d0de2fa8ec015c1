//! Clients: recipients and partners that authenticate to the hub with a `client_id`.

use serde::{Deserialize, Serialize};

use crate::id::ClientId;
use crate::scope::Clusters;
use crate::secret::TokenHash;

use super::audit_event::AuditHead;

crate::str_enum! {
    /// The kind of a client, which determines the operations that it may use.
    pub enum ClientKind {
        /// A data recipient, which reads data with the customer's consent.
        Recipient = "recipient",
        /// A partner, which manages recipients through the API.
        Partner = "partner",
    }
}

crate::str_enum! {
    /// The authorization API that a client uses.
    pub enum Profile {
        /// The API that is compatible with Flinks: OAuth 2.0 and FDX 5.
        Flinks = "flinks",
        /// The API that follows the security profile FAPI 2.0.
        Fapi2 = "fapi2",
    }
}

crate::str_enum! {
    /// The state of a client: in use, suspended or removed.
    pub enum ClientState {
        /// The client gets tokens and data.
        Active = "active",
        /// The client gets no tokens and no data. Its connections remain, and it can revoke them.
        Suspended = "suspended",
        /// The client was removed permanently. It gets no tokens and no data, and its connections are being ended.
        Closed = "closed",
    }
}

/// A text for customers, in English and French.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LocalizedText {
    /// The text in English.
    pub en: String,
    /// The text in French.
    pub fr: String,
}

/// Descriptive fields of a recipient. No token or data request depends on them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ClientProfile {
    /// A description of the recipient's service, for partners, operators and providers.
    pub description: Option<String>,
    /// The country of registration: `CA` or `US`.
    pub country: Option<String>,
    /// The URL of the recipient's logo.
    pub logo_uri: Option<String>,
    /// The URL of the terms between the recipient and its customers.
    pub terms_uri: Option<String>,
    /// The URL of the recipient's website.
    pub client_uri: Option<String>,
    /// The e-mail addresses of the people responsible for the recipient.
    pub contacts: Vec<String>,
}

/// A recipient with its descriptive fields.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The recipient as a client, with its credentials and permissions.
    pub client: Client,
    /// The fields that only describe the recipient.
    pub client_profile: ClientProfile,
}

/// A recipient or partner, as it is stored.
#[derive(Clone, Debug)]
pub struct Client {
    /// The id, which is the `client_id` of OAuth requests.
    pub id: ClientId,
    /// The kind of client: a recipient, which reads data, or a partner, which manages recipients.
    pub kind: ClientKind,
    /// The partner that manages the client; if absent, only operators manage it.
    pub owner_id: Option<ClientId>,
    /// The authorization API that the client uses.
    pub profile: Profile,
    /// The state. Only an active client gets tokens and data.
    pub state: ClientState,
    /// The name, exactly as customers see it.
    pub name: String,
    /// The purpose of reading data, as customers see it.
    pub purpose: LocalizedText,
    /// The largest scope that the client may request.
    pub scope: Clusters,
    /// The registered redirect URIs, compared as exact strings (RFC 9700 §2.1).
    pub redirect_uris: Vec<String>,
    /// The hash of the client secret. The secret itself is not stored.
    pub secret_hash: TokenHash,
    /// The generation of the client secret. A new secret increases it and invalidates the tokens that were issued to
    /// the client itself.
    pub credential_generation: i64,
    /// True if authorization requests must contain a PKCE challenge (RFC 7636).
    pub require_pkce: bool,
    /// The duration of consents for the client, in days, limited by the hub's maximum; if absent, the hub's maximum
    /// applies.
    pub max_duration_days: Option<u16>,
    /// The last event of the client's audit chain.
    pub audit: AuditHead,
}
