//! Who may use the operators' API: the only way to an [`Operator`].

use crate::id::OperatorId;
use crate::model::audit_event::{Actor, ActorKind};
use crate::model::operator::{OperatorToken, Role};
use crate::secret::TokenHashes;
use crate::time::Timestamp;

/// What the record calls an operator who came without a token, from the machine itself.
pub const LOCAL_ACTOR_ID: &str = "cli";

/// An operator who was let in. It has no other constructors than [`admit`] and [`admit_local`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    id: String,
    role: Role,
}

impl Operator {
    /// What it may do.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The operator as the record names it.
    pub fn actor(&self) -> Actor {
        Actor::new(ActorKind::Operator, self.id.as_str())
    }
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorAuthError {
    /// The token is unknown, expired, removed or spent.
    Unknown,
    /// The role is too small.
    InsufficientRole(Role),
    /// The token makes the first admin, and nothing else.
    BootstrapTokenOnly,
    /// Another user of the machine.
    OtherLocalUser,
}

/// Who is at the other end of the hub's own socket, as the kernel says: users of the machine, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPeer {
    /// The one who calls.
    pub peer_uid: u32,
    /// The one that the hub runs as.
    pub hub_uid: u32,
}

/// Lets in who calls through the hub's own socket, if that is the hub's own user or root: whoever may read the hub's
/// keys may do everything already, so they are admins and need no token.
pub fn admit_local(peer: LocalPeer) -> Result<Operator, OperatorAuthError> {
    const ROOT: u32 = 0;
    if peer.peer_uid != peer.hub_uid && peer.peer_uid != ROOT {
        return Err(OperatorAuthError::OtherLocalUser);
    }
    Ok(Operator { id: LOCAL_ACTOR_ID.to_owned(), role: Role::Admin })
}

/// Lets the bearer of a token in, if it lives and its role covers `least`.
pub fn admit(
    presented: &TokenHashes,
    stored: Option<&OperatorToken>,
    required_role: Role,
    now: Timestamp,
) -> Result<Operator, OperatorAuthError> {
    let stored = find_usable_token(presented, stored, now).ok_or(OperatorAuthError::Unknown)?;
    if stored.bootstrap {
        return Err(OperatorAuthError::BootstrapTokenOnly);
    }
    if !stored.role.covers(required_role) {
        return Err(OperatorAuthError::InsufficientRole(required_role));
    }
    Ok(Operator { id: stored.id.to_string(), role: stored.role })
}

/// The token that makes the first admin, if it is that one and lives.
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
            id: OperatorId::parse("opr_1").unwrap(),
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
            for least in Role::ALL {
                let expected = if role.covers(*least) {
                    Ok(*role)
                } else {
                    Err(OperatorAuthError::InsufficientRole(*least))
                };
                assert_eq!(admit_token(&token(*role), *least), expected);
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
    fn local_peer_is_admin_only_as_hub_user_or_root() {
        let admitted_role =
            |peer_uid, hub_uid| admit_local(LocalPeer { peer_uid, hub_uid }).map(|operator| operator.role());
        for (user, own) in [(0, 0), (0, 1000), (1000, 1000)] {
            assert_eq!(admitted_role(user, own), Ok(Role::Admin), "{user} at a hub of {own}");
        }
        for (user, own) in [(1000, 0), (1000, 1001), (u32::MAX, 1000)] {
            assert_eq!(
                admitted_role(user, own),
                Err(OperatorAuthError::OtherLocalUser),
                "{user} at a hub of {own}"
            );
        }
        let local = admit_local(LocalPeer { peer_uid: 0, hub_uid: 0 }).unwrap();
        assert_eq!(local.actor(), Actor::new(ActorKind::Operator, LOCAL_ACTOR_ID));
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
