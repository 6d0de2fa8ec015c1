//! Commands that carry out the request of an operator or of a partner.

use domain::rule::authority::{Authority, AuthorityError};
use domain::{Moment, Timestamp};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::entity::client::{lock_client, lock_client_shared};
use crate::entity::operator::lock_operator_shared;
use crate::error::{Result, StoreError};
use crate::operation::CommandKind;
use crate::tx::Tx;
use crate::waiting_command::{BoxedCommand, WaitingCommand};

/// A command of an operator or partner. It does nothing if the caller may no longer perform the operation when the command
/// runs.
///
/// The caller was authenticated before, in a read of its own. A removal that was committed since then, and may have been
/// acknowledged, must not be followed by an operation of the removed caller.
pub(crate) struct AuthorizedCommand {
    authority: Authority,
    command: BoxedCommand,
    /// The reason why the last run did nothing.
    refusal: Option<AuthorityError>,
}

impl AuthorizedCommand {
    pub(crate) const fn new(authority: Authority, command: BoxedCommand) -> Self {
        Self { authority, command, refusal: None }
    }
}

impl WaitingCommand for AuthorizedCommand {
    fn kind(&self) -> CommandKind {
        self.command.kind()
    }

    fn locks_partner(&self) -> bool {
        self.command.locks_partner()
    }

    fn moment(&self) -> &Moment {
        self.command.moment()
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        let (now, locks_partner) = (self.moment().now, self.locks_partner());
        let Self { authority, command, refusal } = self;
        async move {
            *refusal = verify(authority, now, locks_partner, tx).await?.err();
            if refusal.is_some() {
                // A refused command commits, because an error would make SQLite run all commands of the batch again.
                return Ok(());
            }
            command.run(tx).await
        }
        .boxed()
    }

    fn send_reply(self: Box<Self>, result: Result<()>) {
        let Self { command, refusal, .. } = *self;
        command.send_reply(match (result, refusal) {
            (Ok(()), Some(error)) => Err(StoreError::CallerRefused(error)),
            (result, _) => result,
        });
    }
}

/// Verifies the caller. The lock makes a concurrent removal wait for the commit, so that one of the two is complete before the
/// other begins.
async fn verify(
    authority: &Authority,
    now: Timestamp,
    locks_partner: bool,
    tx: &mut Tx<'_>,
) -> Result<Result<(), AuthorityError>> {
    match authority {
        Authority::Operator(operator) => {
            let stored = lock_operator_shared(tx, &operator.id).await?;
            Ok(operator.verify(stored.as_ref(), now).map_err(AuthorityError::from))
        }
        Authority::Partner(partner) => {
            // Two commands with shared locks could not both get the exclusive one.
            let stored = if locks_partner {
                lock_client(tx, &partner.id).await?
            } else {
                lock_client_shared(tx, &partner.id).await?
            };
            Ok(partner.verify(stored.as_ref()))
        }
    }
}
