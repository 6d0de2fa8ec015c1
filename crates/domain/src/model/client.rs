//! A client: whoever authenticates to the hub with a `parse_client_id`.

use serde::{Deserialize, Serialize};

use crate::id::ClientId;
use crate::scope::Clusters;
use crate::secret::TokenHash;

use super::audit_event::AuditHead;

crate::str_enum! {
    /// What a client is.
    pub enum ClientKind {
        /// Receives data with the customer's consent.
        Recipient = "recipient",
        /// Manages recipients through the API.
        Partner = "partner",
    }
}

crate::str_enum! {
    /// Which authorization face a client may use.
    pub enum Profile {
        /// The Flinks-compatible face.
        Flinks = "flinks",
        /// The FAPI 2.0 face.
        Fapi2 = "fapi2",
    }
}

crate::str_enum! {
    /// Whether a client may be served.
    pub enum ClientState {
        /// It may.
        Active = "active",
        /// Held: tokens and data are refused, nothing is destroyed, revoking works.
        Suspended = "suspended",
        /// Removed, for good: nothing of it is served or minted any more, its connections end.
        Closed = "closed",
    }
}

/// A text that customers read, in the two languages of the pages.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LocalizedText {
    /// English.
    pub en: String,
    /// French.
    pub fr: String,
}

/// What a recipient says of itself beyond what the protocol needs. None of it is read on the way of a token.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ClientProfile {
    /// What it does.
    pub description: Option<String>,
    /// Where it is registered: `CA` or `US`.
    pub country: Option<String>,
    /// Its logo.
    pub logo_uri: Option<String>,
    /// The terms between it and its customers.
    pub terms_uri: Option<String>,
    /// Its site.
    pub client_uri: Option<String>,
    /// The e-mail addresses of those who answer for it.
    pub contacts: Vec<String>,
}

/// A recipient with what it says of itself.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The client.
    pub client: Client,
    /// The rest.
    pub client_profile: ClientProfile,
}

/// A client as stored.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// What it is.
    pub kind: ClientKind,
    /// The partner that manages it; an operator alone does if absent.
    pub owner_id: Option<ClientId>,
    /// Which face it uses.
    pub profile: Profile,
    /// Whether it may be served.
    pub state: ClientState,
    /// Its name, exactly as customers should see it.
    pub name: String,
    /// Why it reads data, as customers should see it.
    pub purpose: LocalizedText,
    /// The most it may ask for.
    pub scope: Clusters,
    /// Where answers may go: compared as exact strings (RFC 9700 §2.1).
    pub redirect_uris: Vec<String>,
    /// How its secret is remembered.
    pub secret_hash: TokenHash,
    /// Counts regenerated secrets; ends the client's own tokens.
    pub credential_generation: i64,
    /// Whether an authorization request must carry a PKCE challenge.
    pub require_pkce: bool,
    /// The longest consent it asks for, in days; the hub's maximum if absent.
    pub max_duration_days: Option<u16>,
    /// The end of its audit chain.
    pub audit: AuditHead,
}
