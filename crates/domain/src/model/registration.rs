//! A registration: a recipient's admission to a provider.

use crate::id::{ClientId, ProviderId};
use crate::time::Timestamp;

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
        /// Turned down by the operator or the provider; it may be asked for again.
        Rejected = "rejected",
    }
}

crate::words! {
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
pub struct WrongState {
    /// Where it stands.
    pub state: RegistrationState,
    /// The step.
    pub step: RegistrationStep,
}

/// The recipient has a registration there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate(pub RegistrationState);

impl RegistrationState {
    /// Where a step leads.
    pub fn after(self, step: RegistrationStep) -> Result<Self, WrongState> {
        use RegistrationStep::{Activate, Approve, Reinstate, Reject, Suspend};
        match (self, step) {
            (Self::PendingApproval, Approve) => Ok(Self::PendingActivation),
            (Self::PendingActivation, Activate) | (Self::Suspended, Reinstate) => Ok(Self::Active),
            (Self::PendingApproval | Self::PendingActivation, Reject) => Ok(Self::Rejected),
            (Self::Active, Suspend) => Ok(Self::Suspended),
            (state, step) => Err(WrongState { state, step }),
        }
    }

    /// Where a registration begins that is asked for, whatever there is of it yet.
    pub const fn requested(former: Option<Self>) -> Result<Self, Duplicate> {
        match former {
            None | Some(Self::Rejected) => Ok(Self::PendingApproval),
            Some(state) => Err(Duplicate(state)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_leads_where_it_should_and_no_other_is_taken() {
        use RegistrationState as S;
        use RegistrationStep as T;
        let taken = [
            (S::PendingApproval, T::Approve, S::PendingActivation),
            (S::PendingApproval, T::Reject, S::Rejected),
            (S::PendingActivation, T::Activate, S::Active),
            (S::PendingActivation, T::Reject, S::Rejected),
            (S::Active, T::Suspend, S::Suspended),
            (S::Suspended, T::Reinstate, S::Active),
        ];
        for state in S::ALL {
            for step in T::ALL {
                let to = taken.iter().find(|(from, by, _)| (from, by) == (state, step)).map(|(_, _, to)| *to);
                assert_eq!(state.after(*step).ok(), to, "{state} {step}");
            }
        }
    }

    #[test]
    fn only_what_was_turned_down_may_be_asked_for_again() {
        let asked = RegistrationState::requested;
        assert_eq!(asked(None), Ok(RegistrationState::PendingApproval));
        for former in RegistrationState::ALL {
            let again = *former == RegistrationState::Rejected;
            assert_eq!(asked(Some(*former)).is_ok(), again, "{former}");
        }
    }
}
