//! Who may use the operators' API: the only way to an [`Operator`].

use crate::id::OperatorId;
use crate::model::audit_event::{Actor, ActorKind};
use crate::model::operator::{OperatorToken, Role};
use crate::secret::TokenHashes;
use crate::time::Timestamp;

/// What the record calls an operator who came without a token, from the machine itself.
pub const LOCAL: &str = "cli";

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
pub enum NotAdmitted {
    /// The token is unknown, expired, removed or spent.
    Unknown,
    /// The role is too small.
    Role(Role),
    /// The token makes the first admin, and nothing else.
    Bootstrap,
    /// Another user of the machine.
    Stranger,
}

/// Who is at the other end of the hub's own socket, as the kernel says: users of the machine, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPeer {
    /// The one who calls.
    pub user: u32,
    /// The one that the hub runs as.
    pub own: u32,
}

/// Lets in who calls through the hub's own socket, if that is the hub's own user or root: whoever may read the hub's
/// keys may do everything already, so they are admins and need no token.
pub fn admit_local(peer: LocalPeer) -> Result<Operator, NotAdmitted> {
    const ROOT: u32 = 0;
    if peer.user != peer.own && peer.user != ROOT {
        return Err(NotAdmitted::Stranger);
    }
    Ok(Operator { id: LOCAL.to_owned(), role: Role::Admin })
}

/// Lets the bearer of a token in, if it lives and its role covers `least`.
pub fn admit(
    presented: &TokenHashes,
    stored: Option<&OperatorToken>,
    least: Role,
    now: Timestamp,
) -> Result<Operator, NotAdmitted> {
    let stored = live(presented, stored, now).ok_or(NotAdmitted::Unknown)?;
    if stored.bootstrap {
        return Err(NotAdmitted::Bootstrap);
    }
    if !stored.role.covers(least) {
        return Err(NotAdmitted::Role(least));
    }
    Ok(Operator { id: stored.id.to_string(), role: stored.role })
}

/// The token that makes the first admin, if it is that one and lives.
pub fn bootstrap(
    presented: &TokenHashes,
    stored: Option<&OperatorToken>,
    now: Timestamp,
) -> Option<OperatorId> {
    live(presented, stored, now).filter(|token| token.bootstrap).map(|token| token.id.clone())
}

fn live<'a>(
    presented: &TokenHashes,
    stored: Option<&'a OperatorToken>,
    now: Timestamp,
) -> Option<&'a OperatorToken> {
    stored.filter(|token| token.hash.matches(presented) && token.lives(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::audit_event::AuditHead;
    use crate::secret::TokenHash;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn hash(token: &str) -> TokenHash {
        TokenHash::of(1, &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]), token.as_bytes())
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

    fn tried(stored: &OperatorToken, least: Role) -> Result<Role, NotAdmitted> {
        admit(&TokenHashes::new(vec![hash("token")]), Some(stored), least, NOW).map(|o| o.role())
    }

    #[test]
    fn a_live_token_is_let_in_up_to_its_role() {
        for role in Role::ALL {
            for least in Role::ALL {
                let expected = if role.covers(*least) { Ok(*role) } else { Err(NotAdmitted::Role(*least)) };
                assert_eq!(tried(&token(*role), *least), expected);
            }
        }
    }

    #[test]
    fn an_expired_removed_foreign_or_unknown_token_is_not() {
        let expired = OperatorToken { expires_at: NOW, ..token(Role::Admin) };
        let removed = OperatorToken { ended_at: Some(Timestamp::EPOCH), ..token(Role::Admin) };
        let foreign = OperatorToken { hash: hash("other"), ..token(Role::Admin) };
        for stored in [expired, removed, foreign] {
            assert_eq!(tried(&stored, Role::Viewer), Err(NotAdmitted::Unknown));
        }
        let nobody = admit(&TokenHashes::new(vec![hash("token")]), None, Role::Viewer, NOW);
        assert_eq!(nobody, Err(NotAdmitted::Unknown));
    }

    #[test]
    fn of_the_machine_the_hubs_own_user_and_root_are_let_in_as_admins() {
        let tried = |user, own| admit_local(LocalPeer { user, own }).map(|operator| operator.role());
        for (user, own) in [(0, 0), (0, 1000), (1000, 1000)] {
            assert_eq!(tried(user, own), Ok(Role::Admin), "{user} at a hub of {own}");
        }
        for (user, own) in [(1000, 0), (1000, 1001), (u32::MAX, 1000)] {
            assert_eq!(tried(user, own), Err(NotAdmitted::Stranger), "{user} at a hub of {own}");
        }
        let local = admit_local(LocalPeer { user: 0, own: 0 }).unwrap();
        assert_eq!(local.actor(), Actor::new(ActorKind::Operator, LOCAL));
    }

    #[test]
    fn a_bootstrap_token_makes_the_first_admin_and_may_nothing_else() {
        let first = OperatorToken { bootstrap: true, ..token(Role::Admin) };
        assert_eq!(tried(&first, Role::Viewer), Err(NotAdmitted::Bootstrap));
        let presented = TokenHashes::new(vec![hash("token")]);
        assert_eq!(bootstrap(&presented, Some(&first), NOW), Some(first.id.clone()));
        assert_eq!(bootstrap(&presented, Some(&first), first.expires_at), None);
        assert_eq!(bootstrap(&presented, Some(&token(Role::Admin)), NOW), None);
    }
}
