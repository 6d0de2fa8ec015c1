//! The authority of the caller of a request, which every command of the request verifies again in its own transaction.
//!
//! The caller was authenticated before, in a read of its own. A removal or suspension that was committed since then, and may have
//! been acknowledged, must not be followed by an operation of that caller.

use crate::id::ClientId;
use crate::model::client::{Client, ClientKind, ClientState};

use super::operator::{OperatorAuthError, OperatorAuthority};

/// The caller whose request a command carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// An operator with a token.
    Operator(OperatorAuthority),
    /// A partner that manages its recipients.
    Partner(PartnerAuthority),
}

/// The partner whose request a command carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerAuthority {
    /// The id of the partner.
    pub id: ClientId,
    /// The generation of the secret with which the partner's token was requested.
    pub credential_generation: i64,
    /// True if a suspended partner may perform the operation too.
    pub may_be_suspended: bool,
}

impl PartnerAuthority {
    /// Ensures that the partner may perform the operation. `stored` is the partner in its current state.
    pub fn verify(&self, stored: Option<&Client>) -> Result<(), AuthorityError> {
        let is_own = |client: &&Client| {
            client.id == self.id
                && client.kind == ClientKind::Partner
                && client.state != ClientState::Closed
                && client.credential_generation == self.credential_generation
        };
        let stored = stored.filter(is_own).ok_or(AuthorityError::PartnerEnded)?;
        if stored.state == ClientState::Suspended && !self.may_be_suspended {
            return Err(AuthorityError::PartnerSuspended);
        }
        Ok(())
    }
}

/// Error for a caller who may not perform an operation any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The operator was removed, has expired or has lost its role.
    #[error(transparent)]
    Operator(#[from] OperatorAuthError),
    /// The partner was removed, or its secret was replaced.
    #[error("the partner was removed, or its secret was replaced")]
    PartnerEnded,
    /// The partner is suspended.
    #[error("the partner is suspended")]
    PartnerSuspended,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit_event::AuditHead;
    use crate::model::client::{LocalizedText, Profile};
    use crate::scope::Clusters;
    use crate::secret::TokenHash;

    fn build_partner(state: ClientState) -> Client {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]);
        Client {
            id: "dc-partner".parse().unwrap(),
            kind: ClientKind::Partner,
            owner_id: None,
            profile: Profile::Flinks,
            state,
            name: "Partner".into(),
            purpose: LocalizedText::default(),
            scope: Clusters::NONE,
            redirect_uris: Vec::new(),
            secret_hash: TokenHash::for_token(1, &key, b"secret"),
            credential_generation: 3,
            require_pkce: false,
            max_duration_days: None,
            audit: AuditHead::default(),
        }
    }

    #[test]
    fn partner_authority_ends_with_partner_or_its_secret() {
        let active = build_partner(ClientState::Active);
        let closed = build_partner(ClientState::Closed);
        let suspended = build_partner(ClientState::Suspended);
        let renewed = Client { credential_generation: 4, ..active.clone() };
        let recipient = Client { kind: ClientKind::Recipient, ..active.clone() };
        let other = Client { id: "dc-other".parse().unwrap(), ..active.clone() };
        let authority = |may_be_suspended| PartnerAuthority {
            id: active.id.clone(),
            credential_generation: 3,
            may_be_suspended,
        };

        for may_be_suspended in [false, true] {
            let authority = authority(may_be_suspended);
            assert_eq!(authority.verify(Some(&active)), Ok(()));
            for ended in [None, Some(&closed), Some(&renewed), Some(&recipient), Some(&other)] {
                assert_eq!(authority.verify(ended), Err(AuthorityError::PartnerEnded), "{ended:?}");
            }
        }
        assert_eq!(authority(false).verify(Some(&suspended)), Err(AuthorityError::PartnerSuspended));
        assert_eq!(authority(true).verify(Some(&suspended)), Ok(()));
    }
}
