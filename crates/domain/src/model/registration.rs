//! The registration: the permission of a recipient to use a provider.

use crate::id::{ClientId, ProviderId};
use crate::time::Timestamp;

crate::str_enum! {
    /// The state of a registration: pending, usable, suspended or rejected.
    pub enum RegistrationState {
        /// A partner requested the registration; an operator must approve it.
        PendingApproval = "pending_approval",
        /// An operator approved the registration; the provider must set the recipient up.
        PendingActivation = "pending_activation",
        /// The recipient may use the provider.
        Active = "active",
        /// The recipient gets no tokens and no data of this provider. Its connections remain, and it can revoke them.
        Suspended = "suspended",
        /// An operator or the provider rejected the registration. It can be requested again.
        Rejected = "rejected",
    }
}

crate::str_enum! {
    /// A step that changes the state of a registration.
    pub enum RegistrationStep {
        /// An operator approves the registration and sends it to the provider.
        Approve = "approve",
        /// The provider has set the recipient up.
        Activate = "activate",
        /// An operator or the provider rejects the registration.
        Reject = "reject",
        /// An operator suspends the registration.
        Suspend = "suspend",
        /// An operator ends the suspension.
        Reinstate = "reinstate",
    }
}

/// A registration, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The recipient whose registration this is.
    pub client_id: ClientId,
    /// The provider that the recipient may use once the registration is active.
    pub provider_id: ProviderId,
    /// The state of the registration, which decides whether the recipient can connect customers.
    pub state: RegistrationState,
    /// The time at which the registration was last requested.
    pub requested_at: Timestamp,
    /// The reason for a rejection or suspension.
    pub reason: Option<String>,
}

/// Error for a step that the state of the registration does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registration is {state}: {step} is not possible in this state")]
pub struct RegistrationTransitionError {
    /// The state, which does not allow the step.
    pub state: RegistrationState,
    /// The step that the state does not allow.
    pub step: RegistrationStep,
}

/// Error for a registration that already exists, with its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateRegistrationError(pub RegistrationState);

impl RegistrationState {
    /// Returns the state after a step, or an error if the current state does not allow the step.
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

    /// Returns the initial state of a requested registration. `previous` is the state of an existing registration,
    /// which must have been rejected.
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
    fn registration_step_outside_state_machine_is_rejected() {
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
