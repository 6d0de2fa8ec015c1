//! A registration: a recipient's admission to a provider.

use crate::id::{ClientId, ProviderId};

crate::words! {
    /// Where a registration stands.
    pub enum RegistrationState {
        /// A partner asked; no operator has approved.
        PendingApproval = "pending_approval",
        /// Approved and sent to the provider.
        PendingActivation = "pending_activation",
        /// The recipient may use the provider.
        Active = "active",
        /// Held: tokens and data are refused, nothing is destroyed, revoking works.
        Suspended = "suspended",
    }
}

/// A registration as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The recipient.
    pub client_id: ClientId,
    /// The provider.
    pub provider_id: ProviderId,
    /// Where it stands.
    pub state: RegistrationState,
}
