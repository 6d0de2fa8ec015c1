//! Commands that carry out the request of an operator or of a partner.

use domain::Moment;
use domain::rule::authority::{Authority, AuthorityError};

use crate::entity::client::{lock_client, lock_client_shared};
use crate::entity::operator::lock_operator_shared;
use crate::error::Result;
use crate::operation::{Command, CommandKind};
use crate::tx::Tx;

/// A command of an operator or partner. It does nothing if the caller may no longer perform the operation when the command
/// runs.
///
/// The caller was authenticated before, in a read of its own. A removal that was committed since then, and may have been
/// acknowledged, must not be followed by an operation of the removed caller.
#[derive(Debug)]
pub(crate) struct AuthorizedCommand<C> {
    pub(crate) authority: Authority,
    pub(crate) command: C,
}

impl<C: Command> Command for AuthorizedCommand<C> {
    type Reply = Result<C::Reply, AuthorityError>;
    const KIND: CommandKind = C::KIND;

    fn moment(&self) -> &Moment {
        self.command.moment()
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        if let Err(error) = self.verify(tx).await? {
            return Ok(Err(error));
        }
        self.command.run(tx).await.map(Ok)
    }
}

impl<C: Command> AuthorizedCommand<C> {
    /// Verifies the caller. The lock makes a concurrent removal wait for the commit, so that one of the two is complete before the
    /// other begins.
    async fn verify(&self, tx: &mut Tx<'_>) -> Result<Result<(), AuthorityError>> {
        match &self.authority {
            Authority::Operator(operator) => {
                let stored = lock_operator_shared(tx, &operator.id).await?;
                Ok(operator.verify(stored.as_ref(), self.moment().now).map_err(AuthorityError::from))
            }
            Authority::Partner(partner) => {
                // Two commands with shared locks could not both get the exclusive one.
                let stored = if C::LOCKS_PARTNER {
                    lock_client(tx, &partner.id).await?
                } else {
                    lock_client_shared(tx, &partner.id).await?
                };
                Ok(partner.verify(stored.as_ref()))
            }
        }
    }
}
