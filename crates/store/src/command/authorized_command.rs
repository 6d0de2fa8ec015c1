//! Commands that carry out the request of an operator.

use domain::Moment;
use domain::rule::operator::{OperatorAuthError, OperatorAuthority};

use crate::entity::operator::lock_operator_shared;
use crate::error::Result;
use crate::operation::{Command, CommandKind};
use crate::tx::Tx;

/// A command of an operator. It does nothing if the operator may no longer perform the operation when the command runs.
///
/// The operator was authenticated before, in a read of its own. A removal that was committed since then, and may have been
/// acknowledged, must not be followed by an operation of the removed operator.
#[derive(Debug)]
pub(crate) struct AuthorizedCommand<C> {
    pub(crate) operator: OperatorAuthority,
    pub(crate) command: C,
}

impl<C: Command> Command for AuthorizedCommand<C> {
    type Reply = Result<C::Reply, OperatorAuthError>;
    const KIND: CommandKind = C::KIND;

    fn moment(&self) -> &Moment {
        self.command.moment()
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Reply> {
        // The lock makes a concurrent removal wait for the commit, so that one of the two is complete before the other begins.
        let stored = lock_operator_shared(tx, &self.operator.id).await?;
        if let Err(error) = self.operator.verify(stored.as_ref(), self.moment().now) {
            return Ok(Err(error));
        }
        self.command.run(tx).await.map(Ok)
    }
}
