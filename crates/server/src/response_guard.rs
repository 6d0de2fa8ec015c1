//! Ends a response that is being sent as soon as its client may not have it any more.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The permission to send the rest of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The rest may be sent.
    Permitted,
    /// A check is running. Nothing more is passed on before its result is known.
    Checking,
    /// Nothing more may be sent, and the unsent bytes are discarded.
    Ended,
}

/// The checks of one response, which run independently of its transfer. A response has it as an extension.
///
/// The checks go on as long as a clone exists: until every byte was passed to the kernel, or the response was dropped.
#[derive(Clone, Debug)]
pub(crate) struct ResponseGuard(Arc<Checks>);

#[derive(Debug)]
struct Checks {
    verdict: watch::Receiver<Verdict>,
    task: AbortHandle,
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ResponseGuard {
    /// Starts the checks. The response ends when they set the verdict to [`Verdict::Ended`].
    pub(crate) fn start<F>(checks: impl FnOnce(watch::Sender<Verdict>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, verdict) = watch::channel(Verdict::Permitted);
        let task = tokio::spawn(checks(sender)).abort_handle();
        Self(Arc::new(Checks { verdict, task }))
    }

    /// Returns whether the response must not be sent any more.
    pub(crate) fn is_ended(&self) -> bool {
        *self.0.verdict.borrow() == Verdict::Ended
    }

    /// Returns the verdict, which changes with the checks.
    pub(crate) fn verdict(&self) -> watch::Receiver<Verdict> {
        self.0.verdict.clone()
    }
}
