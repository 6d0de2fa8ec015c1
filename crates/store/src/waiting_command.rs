//! Commands without their types. The code that runs commands is then compiled once, and not once for each of them.

use domain::Moment;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::error::Result;
use crate::operation::{Command, CommandKind};
use crate::tx::Tx;

/// A command whose caller waits for the reply.
pub(crate) trait WaitingCommand: Send {
    fn kind(&self) -> CommandKind;

    /// Returns whether the command locks the row of the partner whose request it carries out.
    fn locks_partner(&self) -> bool;

    fn moment(&self) -> &Moment;

    /// Executes the body and keeps its reply. A later run replaces the reply.
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>>;

    /// Sends the reply of the last run if it was committed, or the error.
    fn send_reply(self: Box<Self>, result: Result<()>);
}

pub(crate) type BoxedCommand = Box<dyn WaitingCommand>;

/// Receives the reply of a command. An error means that the command was dropped without a reply.
pub(crate) type ReplyReceiver<T> = oneshot::Receiver<Result<T>>;

/// Boxes a command, and returns it with the receiver of its reply.
pub(crate) fn box_command<C: Command>(command: C) -> (BoxedCommand, ReplyReceiver<C::Reply>) {
    let (sender, receiver) = oneshot::channel();
    (Box::new(TypedCommand { command, reply: None, sender }), receiver)
}

struct TypedCommand<C: Command> {
    command: C,
    /// The reply of the last run that succeeded.
    reply: Option<C::Reply>,
    sender: oneshot::Sender<Result<C::Reply>>,
}

impl<C: Command> WaitingCommand for TypedCommand<C> {
    fn kind(&self) -> CommandKind {
        C::KIND
    }

    fn locks_partner(&self) -> bool {
        C::LOCKS_PARTNER
    }

    fn moment(&self) -> &Moment {
        self.command.moment()
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> BoxFuture<'a, Result<()>> {
        let Self { command, reply, .. } = self;
        async move {
            *reply = Some(command.run(tx).await?);
            Ok(())
        }
        .boxed()
    }

    fn send_reply(self: Box<Self>, result: Result<()>) {
        let Self { reply, sender, .. } = *self;
        // Without a reply the sender is dropped, which the caller notices. An error of `send` means that the caller no longer
        // waits.
        match (result, reply) {
            (Err(error), _) => drop(sender.send(Err(error))),
            (Ok(()), Some(reply)) => drop(sender.send(Ok(reply))),
            (Ok(()), None) => {}
        }
    }
}
