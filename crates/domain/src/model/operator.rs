//! Those who run the hub, known by tokens: named, with a role, expiring.

use std::time::Duration;

use crate::id::OperatorId;
use crate::secret::TokenHash;
use crate::time::Timestamp;

use super::audit_event::AuditHead;

crate::str_enum! {
    /// What an operator may do; each role may also do what those before it may.
    pub enum Role {
        /// Looks.
        Viewer = "viewer",
        /// Ends connections, holds providers, settles jobs.
        Operator = "operator",
        /// Makes and removes operators.
        Admin = "admin",
    }
}

impl Role {
    /// Whether this role may do what `least` may.
    pub const fn covers(self, required: Self) -> bool {
        self.rank() >= required.rank()
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Viewer => 0,
            Self::Operator => 1,
            Self::Admin => 2,
        }
    }
}

/// The longest that an operator's token may live.
pub const MAX_OPERATOR_TOKEN_TTL: Duration = Duration::from_hours(366 * 24);

/// How long the token lives that makes the first admin.
pub const BOOTSTRAP_TOKEN_TTL: Duration = Duration::from_hours(24);

/// The name of the token that makes the first admin.
pub const BOOTSTRAP_TOKEN_NAME: &str = "bootstrap";

/// An operator's token as stored.
#[derive(Clone, Debug)]
pub struct OperatorToken {
    /// Its id; what the record names as the actor.
    pub id: OperatorId,
    /// Its name: one that lives has a name of its own.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it makes the first admin, once, and may do nothing else.
    pub bootstrap: bool,
    /// How it is remembered.
    pub hash: TokenHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it dies.
    pub expires_at: Timestamp,
    /// When it was removed or spent.
    pub ended_at: Option<Timestamp>,
    /// The end of its audit chain.
    pub audit: AuditHead,
}

impl OperatorToken {
    /// Whether it may be used.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_covers_itself_and_lower_roles() {
        for (place, role) in Role::ALL.iter().enumerate() {
            for (required_place, required) in Role::ALL.iter().enumerate() {
                assert_eq!(role.covers(*required), place >= required_place, "{role} {required}");
            }
        }
    }
}
