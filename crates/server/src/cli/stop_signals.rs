//! The signals that stop a hub or reload its configuration, and the limit for its stop.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::error::{CliError, INTERNAL_EXIT_CODE};
use crate::telemetry::flush_logs;

/// The time after the grace period in which the store is closed and the log is written.
const STOP_MARGIN: Duration = Duration::from_secs(5);
/// A shell reports the end by a signal as this number plus the number of the signal.
const SIGNAL_EXIT_BASE: u8 = 128;

/// The handlers of SIGINT, SIGTERM and SIGHUP. From their installation, these signals do not end the process
/// immediately.
pub(super) struct StopSignals {
    stop_requested: oneshot::Receiver<()>,
    /// Contains at most one request: several signals during a reload cause one more.
    reload_requested: mpsc::Receiver<()>,
}

/// A signal that the running command handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HubSignal {
    /// SIGINT or SIGTERM.
    Stop,
    /// SIGHUP.
    Reload,
}

/// A signal that asks the process to stop.
#[derive(Clone, Copy, Debug)]
enum StopSignal {
    Interrupt,
    Terminate,
}

impl StopSignal {
    /// Returns the exit code of a process that ended because of this signal.
    const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => SIGNAL_EXIT_BASE + 2,
            Self::Terminate => SIGNAL_EXIT_BASE + 15,
        }
    }
}

impl StopSignals {
    /// Installs the handlers. Call this before the listeners accept requests: a signal that arrives earlier ends the
    /// process without a graceful shutdown.
    ///
    /// After the first signal, the process ends within `grace` and five seconds, whatever step of the stop does not
    /// end. The handlers run in a thread with a runtime of its own: the other runtime may have no free thread, because
    /// reads of a SQLite store run on its threads.
    pub(super) async fn install(grace: Duration) -> Result<Self, CliError> {
        let (requested, stop_requested) = oneshot::channel();
        let (reload, reload_requested) = mpsc::channel(1);
        let (installed, result) = oneshot::channel();
        let handle = move || match SignalHandlers::install() {
            Ok((runtime, handlers)) => {
                let _ = installed.send(Ok(()));
                let code = runtime.block_on(handlers.run((requested, reload), grace + STOP_MARGIN));
                flush_logs();
                std::process::exit(code.into())
            }
            Err(error) => drop(installed.send(Err(error))),
        };
        thread::Builder::new().name("signals".into()).spawn(handle).context("cannot start a thread")?;
        result.await.context("the thread for signals ended")?.context("cannot handle signals")?;
        Ok(Self { stop_requested, reload_requested })
    }

    /// Waits for SIGINT or SIGTERM, for a command without a configuration that can be reloaded.
    pub(super) async fn wait_for_stop(&mut self) {
        while self.wait().await == HubSignal::Reload {}
    }

    /// Waits for a signal. A signal since the installation counts.
    pub(super) async fn wait(&mut self) -> HubSignal {
        tokio::select! {
            biased;
            // An error means that the thread for signals ended, and then nothing else could stop the process.
            _ = &mut self.stop_requested => HubSignal::Stop,
            Some(()) = self.reload_requested.recv() => HubSignal::Reload,
        }
    }
}

struct SignalHandlers {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl SignalHandlers {
    fn install() -> std::io::Result<(tokio::runtime::Runtime, Self)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let handlers = Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        };
        drop(guard);
        Ok((runtime, handlers))
    }

    /// Reports the first signal to the waiting command. Returns the exit code to end the process with, if it has not
    /// ended in time or another signal has arrived.
    async fn run(
        mut self,
        (stop_requested, reload): (oneshot::Sender<()>, mpsc::Sender<()>),
        limit: Duration,
    ) -> u8 {
        self.wait_for_stop(&reload).await;
        let _ = stop_requested.send(());
        if let Ok(signal) = tokio::time::timeout(limit, self.wait_for_stop(&reload)).await {
            tracing::warn!(?signal, "stopped by a second signal before running requests had finished");
            return signal.exit_code();
        }
        tracing::error!(seconds = limit.as_secs(), "the hub did not stop in time; it is ended now");
        INTERNAL_EXIT_CODE
    }

    async fn wait_for_stop(&mut self, reload: &mpsc::Sender<()>) -> StopSignal {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return StopSignal::Interrupt,
                _ = self.terminate.recv() => return StopSignal::Terminate,
                // A closed terminal must not stop a hub. If the channel is full, a reload is going to begin.
                _ = self.hangup.recv() => {
                    let _ = reload.try_send(());
                }
            }
        }
    }
}
