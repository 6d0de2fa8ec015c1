//! A registration: a recipient's admission to a provider.

use crate::id::{ClientId, ProviderId};
use crate::time::Timestamp;

crate::str_enum! {
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
        /// Turned down by the operator or the provider; it may be asked for again.
        Rejected = "rejected",
    }
}

crate::str_enum! {
    /// A step of a registration.
    pub enum RegistrationStep {
        /// The operator agrees and sends it to the provider.
        Approve = "approve",
        /// The provider has set the recipient up.
        Activate = "activate",
        /// The operator or the provider turns it down.
        Reject = "reject",
        /// The operator holds it.
        Suspend = "suspend",
        /// The operator lets it go on.
        Reinstate = "reinstate",
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
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Why it was rejected or suspended.
    pub reason: Option<String>,
}

/// A step that cannot be taken from where the registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a registration that is {state} cannot take the step {step}")]
pub struct RegistrationTransitionError {
    /// Where it stands.
    pub state: RegistrationState,
    /// The step.
    pub step: RegistrationStep,
}

/// The recipient has a registration there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateRegistrationError(pub RegistrationState);

impl RegistrationState {
    /// Where a step leads.
    pub fn apply(self, step: RegistrationStep) -> Result<Self, RegistrationTransitionError> {
        use RegistrationStep::{Activate, Approve, Reinstate, Reject, Suspend};
        match (self, step) {
            (Self::PendingApproval, Approve) => Ok(Self::PendingActivation),
            (Self::PendingActivation, Activate) | (Self::Suspended, Reinstate) => Ok(Self::Active),
            (Self::PendingApproval | Self::PendingActivation, Reject) => Ok(Self::Rejected),
            (Self::Active, Suspend) => Ok(Self::Suspended),
            (state, step) => Err(RegistrationTransitionError { state, step }),
        }
    }

    /// Where a registration begins that is asked for, whatever there is of it yet.
    pub const fn for_request(previous: Option<Self>) -> Result<Self, DuplicateRegistrationError> {
        match previous {
            None | Some(Self::Rejected) => Ok(Self::PendingApproval),
            Some(state) => Err(DuplicateRegistrationError(state)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registration_state_machine_allows_only_listed_steps() {
        use RegistrationState as S;
        use RegistrationStep as T;
        let transitions = [
            (S::PendingApproval, T::Approve, S::PendingActivation),
            (S::PendingApproval, T::Reject, S::Rejected),
            (S::PendingActivation, T::Activate, S::Active),
            (S::PendingActivation, T::Reject, S::Rejected),
            (S::Active, T::Suspend, S::Suspended),
            (S::Suspended, T::Reinstate, S::Active),
        ];
        for state in S::ALL {
            for step in T::ALL {
                let to = transitions
                    .iter()
                    .find(|(from, by, _)| (from, by) == (state, step))
                    .map(|(_, _, to)| *to);
                assert_eq!(state.apply(*step).ok(), to, "{state} {step}");
            }
        }
    }

    #[test]
    fn only_rejected_registration_can_be_requested_again() {
        let request = RegistrationState::for_request;
        assert_eq!(request(None), Ok(RegistrationState::PendingApproval));
        for previous in RegistrationState::ALL {
            let is_allowed = *previous == RegistrationState::Rejected;
            assert_eq!(request(Some(*previous)).is_ok(), is_allowed, "{previous}");
        }
    }
}
