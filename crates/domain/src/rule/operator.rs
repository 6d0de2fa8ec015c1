//! Authentication and authorization of operators for the admin API.

use crate::id::OperatorId;
use crate::model::audit_event::{Actor, ActorKind};
use crate::model::operator::{OperatorToken, Role};
use crate::secret::TokenHashes;
use crate::time::Timestamp;

/// The actor id of an operator who was admitted without a token, through the local socket.
pub const LOCAL_ACTOR_ID: &str = "cli";

/// An operator who may perform the requested operation. Only [`admit`] and [`admit_local`] create it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The authority on which the operation depends; `None` for an operator who was admitted through the local socket.
    authority: Option<OperatorAuthority>,
    role: Role,
}

impl Operator {
    /// Returns the role of the operator's token; `admin` for an operator who was admitted through the local socket.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns what every command of the operation verifies again in its transaction; `None` for an operator without a token,
    /// who cannot be removed.
    pub const fn authority(&self) -> Option<&OperatorAuthority> {
        self.authority.as_ref()
    }

    /// Returns the actor for audit events.
    pub fn actor(&self) -> Actor {
        let id = self.authority.as_ref().map_or(LOCAL_ACTOR_ID, |authority| authority.id.as_str());
        Actor::new(ActorKind::Operator, id)
    }
}

/// The operator whose request a command carries out, and the role that the operation requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorAuthority {
    /// The id of the operator's token.
    pub id: OperatorId,
    /// The role that the operator's role must cover.
    pub required_role: Role,
}

impl OperatorAuthority {
    /// Ensures that the operator may perform the operation. `stored` is the operator's token.
    pub fn verify(&self, stored: Option<&OperatorToken>, now: Timestamp) -> Result<(), OperatorAuthError> {
        let is_own = |token: &&OperatorToken| token.id == self.id && token.is_usable(now);
        let stored = stored.filter(is_own).ok_or(OperatorAuthError::Unknown)?;
        if stored.bootstrap {
            return Err(OperatorAuthError::BootstrapTokenOnly);
        }
        if !stored.role.covers(self.required_role) {
            return Err(OperatorAuthError::InsufficientRole(self.required_role));
        }
        Ok(())
    }
}

/// Error for a caller who is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorAuthError {
    /// The token is unknown, expired, removed or used up.
    #[error("the operator is unknown, expired or removed")]
    Unknown,
    /// The operation requires this role, and the operator's role does not cover it.
    #[error("the operation needs the role {0}")]
    InsufficientRole(Role),
    /// The token is a bootstrap token, which can only create the first operator with the role `admin`.
    #[error("a bootstrap token can only add the first admin")]
    BootstrapTokenOnly,
    /// The caller is another user of the machine.
    #[error("the caller is another user of the machine")]
    OtherLocalUser,
}

/// The user ids of both ends of a connection to the hub's local socket, as the kernel reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPeer {
    /// The user id of the caller.
    pub peer_uid: u32,
    /// The user id of the hub.
    pub hub_uid: u32,
}

/// Admits a caller through the hub's local socket as an administrator if the caller is the hub's user or root.
pub fn admit_local(peer: LocalPeer) -> Result<Operator, OperatorAuthError> {
    // Both can read the hub's keys and store, so a token would not protect anything from them.
    const ROOT: u32 = 0;
    if peer.peer_uid != peer.hub_uid && peer.peer_uid != ROOT {
        return Err(OperatorAuthError::OtherLocalUser);
    }
    Ok(Operator { authority: None, role: Role::Admin })
}

/// Admits the bearer of a usable token whose role covers the required one.
pub fn admit(
    presented: &TokenHashes,
    stored: Option<&OperatorToken>,
    required_role: Role,
    now: Timestamp,
) -> Result<Operator, OperatorAuthError> {
    let stored = find_usable_token(presented, stored, now).ok_or(OperatorAuthError::Unknown)?;
    let authority = OperatorAuthority { id: stored.id.clone(), required_role };
    authority.verify(Some(stored), now)?;
    Ok(Operator { authority: Some(authority), role: stored.role })
}

/// Returns the id of a presented bootstrap token that is usable.
pub fn verify_bootstrap_token(
    presented: &TokenHashes,
    stored: Option<&OperatorToken>,
    now: Timestamp,
) -> Option<OperatorId> {
    find_usable_token(presented, stored, now).filter(|token| token.bootstrap).map(|token| token.id.clone())
}

fn find_usable_token<'a>(
    presented: &TokenHashes,
    stored: Option<&'a OperatorToken>,
    now: Timestamp,
) -> Option<&'a OperatorToken> {
    stored.filter(|token| token.hash.matches(presented) && token.is_usable(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit_event::AuditHead;
    use crate::secret::TokenHash;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn hash(token: &str) -> TokenHash {
        TokenHash::for_token(
            1,
            &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]),
            token.as_bytes(),
        )
    }

    fn token(role: Role) -> OperatorToken {
        OperatorToken {
            id: "opr_1".parse().unwrap(),
            name: "ann".into(),
            role,
            bootstrap: false,
            hash: hash("token"),
            created_at: Timestamp::EPOCH,
            expires_at: Timestamp::from_millis(1_001),
            ended_at: None,
            audit: AuditHead::default(),
        }
    }

    fn admit_token(stored: &OperatorToken, required_role: Role) -> Result<Role, OperatorAuthError> {
        admit(&TokenHashes::new(vec![hash("token")]), Some(stored), required_role, NOW).map(|o| o.role())
    }

    #[test]
    fn usable_operator_token_is_admitted_up_to_its_role() {
        for role in Role::ALL {
            for required in Role::ALL {
                let expected = if role.covers(*required) {
                    Ok(*role)
                } else {
                    Err(OperatorAuthError::InsufficientRole(*required))
                };
                assert_eq!(admit_token(&token(*role), *required), expected);
            }
        }
    }

    #[test]
    fn expired_removed_or_unknown_operator_token_is_rejected() {
        let expired = OperatorToken { expires_at: NOW, ..token(Role::Admin) };
        let removed = OperatorToken { ended_at: Some(Timestamp::EPOCH), ..token(Role::Admin) };
        let foreign = OperatorToken { hash: hash("other"), ..token(Role::Admin) };
        for stored in [expired, removed, foreign] {
            assert_eq!(admit_token(&stored, Role::Viewer), Err(OperatorAuthError::Unknown));
        }
        let without_token = admit(&TokenHashes::new(vec![hash("token")]), None, Role::Viewer, NOW);
        assert_eq!(without_token, Err(OperatorAuthError::Unknown));
    }

    #[test]
    fn admitted_operator_has_authority_for_the_operation() {
        let stored = token(Role::Admin);

        let operator =
            admit(&TokenHashes::new(vec![hash("token")]), Some(&stored), Role::Viewer, NOW).unwrap();

        let expected = OperatorAuthority { id: stored.id, required_role: Role::Viewer };
        assert_eq!(operator.authority(), Some(&expected));
    }

    #[test]
    fn authority_ends_with_operator_or_its_role() {
        let stored = token(Role::Operator);
        let required = |required_role| OperatorAuthority { id: stored.id.clone(), required_role };
        let authority = required(Role::Operator);
        let removed = OperatorToken { ended_at: Some(NOW), ..stored.clone() };
        let other = OperatorToken { id: "opr_2".parse().unwrap(), ..stored.clone() };
        let bootstrap = OperatorToken { bootstrap: true, ..stored.clone() };

        assert_eq!(authority.verify(Some(&stored), NOW), Ok(()));
        assert_eq!(required(Role::Viewer).verify(Some(&stored), NOW), Ok(()));
        let insufficient = Err(OperatorAuthError::InsufficientRole(Role::Admin));
        assert_eq!(required(Role::Admin).verify(Some(&stored), NOW), insufficient);
        for ended in [None, Some(&removed), Some(&other)] {
            assert_eq!(authority.verify(ended, NOW), Err(OperatorAuthError::Unknown), "{ended:?}");
        }
        assert_eq!(authority.verify(Some(&stored), stored.expires_at), Err(OperatorAuthError::Unknown));
        assert_eq!(authority.verify(Some(&bootstrap), NOW), Err(OperatorAuthError::BootstrapTokenOnly));
    }

    #[test]
    fn local_peer_is_admin_only_as_hub_user_or_root() {
        let admitted_role =
            |peer_uid, hub_uid| admit_local(LocalPeer { peer_uid, hub_uid }).map(|operator| operator.role());
        for (peer_uid, hub_uid) in [(0, 0), (0, 1000), (1000, 1000)] {
            assert_eq!(admitted_role(peer_uid, hub_uid), Ok(Role::Admin), "user {peer_uid}, hub {hub_uid}");
        }
        for (peer_uid, hub_uid) in [(1000, 0), (1000, 1001), (u32::MAX, 1000)] {
            assert_eq!(
                admitted_role(peer_uid, hub_uid),
                Err(OperatorAuthError::OtherLocalUser),
                "user {peer_uid}, hub {hub_uid}"
            );
        }
        let local = admit_local(LocalPeer { peer_uid: 0, hub_uid: 0 }).unwrap();
        assert_eq!(local.actor(), Actor::new(ActorKind::Operator, LOCAL_ACTOR_ID));
        assert_eq!(local.authority(), None);
    }

    #[test]
    fn bootstrap_token_can_only_create_first_admin() {
        let first = OperatorToken { bootstrap: true, ..token(Role::Admin) };
        assert_eq!(admit_token(&first, Role::Viewer), Err(OperatorAuthError::BootstrapTokenOnly));
        let presented = TokenHashes::new(vec![hash("token")]);
        assert_eq!(verify_bootstrap_token(&presented, Some(&first), NOW), Some(first.id.clone()));
        assert_eq!(verify_bootstrap_token(&presented, Some(&first), first.expires_at), None);
        assert_eq!(verify_bootstrap_token(&presented, Some(&token(Role::Admin)), NOW), None);
    }
}
