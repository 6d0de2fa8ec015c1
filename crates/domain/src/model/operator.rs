//! Operators of the hub: tokens with a name, a role and an expiry.

use std::time::Duration;

use crate::id::OperatorId;
use crate::secret::TokenHash;
use crate::time::Timestamp;

use super::audit_event::AuditHead;

crate::str_enum! {
    /// The role of an operator. Each role includes the permissions of the roles before it.
    pub enum Role {
        /// May read everything except the list of operators.
        Viewer = "viewer",
        /// May also end connections, suspend clients, pause providers, decide on registrations, and retry or close
        /// jobs.
        Operator = "operator",
        /// May also manage clients, providers and operators.
        Admin = "admin",
    }
}

impl Role {
    /// Returns whether this role includes the permissions of another.
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

/// The maximum lifetime of an operator's token: 366 days.
pub const MAX_OPERATOR_TOKEN_TTL: Duration = Duration::from_hours(366 * 24);

/// The lifetime of a bootstrap token.
pub const BOOTSTRAP_TOKEN_TTL: Duration = Duration::from_hours(24);

/// The name of the bootstrap token, which is also displayed as its role.
pub const BOOTSTRAP_TOKEN_NAME: &str = "bootstrap";

/// An operator's token, as it is stored.
#[derive(Clone, Debug)]
pub struct OperatorToken {
    /// The id, which the audit log shows as the actor.
    pub id: OperatorId,
    /// The name, unique among the tokens that were neither removed nor used up.
    pub name: String,
    /// The role, which limits the operations that the token allows.
    pub role: Role,
    /// True for a bootstrap token, which can only create the first administrator, once.
    pub bootstrap: bool,
    /// The hash of the token. The token itself is not stored.
    pub hash: TokenHash,
    /// The time at which the token was issued.
    pub created_at: Timestamp,
    /// The end of the token's lifetime.
    pub expires_at: Timestamp,
    /// The time of removal or, for a bootstrap token, of its use.
    pub ended_at: Option<Timestamp>,
    /// The last event of the operator's audit chain.
    pub audit: AuditHead,
}

impl OperatorToken {
    /// Returns whether the token has neither ended nor expired.
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

    #[test]
    fn operator_token_lasts_at_most_a_leap_year() {
        assert_eq!(MAX_OPERATOR_TOKEN_TTL, BOOTSTRAP_TOKEN_TTL * 366);
    }
}
