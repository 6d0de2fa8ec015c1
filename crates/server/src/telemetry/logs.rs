//! Starts the log, which a thread writes to standard error, so that neither requests nor panics wait for its reader.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::log_queue::LogQueue;
use super::panic_log::log_panic;
use crate::config::{LogFormat, LogSection};

/// The time to write the rest of the log at the end of the process. Nothing waits longer for a reader that is stuck.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue of the log, which belongs to the process: standard error exists once.
static LOG_QUEUE: OnceLock<Arc<LogQueue>> = OnceLock::new();

/// Starts logging to standard error. Returns an error if `log.level` is not a valid filter.
///
/// From then on, neither a log message nor a panic waits for standard error.
pub fn start_logs(section: &LogSection, use_color: bool) -> Result<(), String> {
    let filter = section.parse_filter()?;
    let output = StderrOutput::open().map_err(|error| format!("standard error: {error}"))?;
    let queue = Arc::new(LogQueue::default());
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(use_color)
        // Errors of the log itself would be written to standard error directly, which may block.
        .log_internal_errors(false)
        .with_writer(queue.clone());
    let registry = tracing_subscriber::registry().with(filter);
    let started = match section.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.compact()).try_init(),
    };
    started.map_err(|e| e.to_string())?;
    let writer_queue = queue.clone();
    // The thread runs until the process ends. It is never joined, because a write may block forever.
    let thread = std::thread::Builder::new().name("log-writer".into());
    let spawned = thread.spawn(move || writer_queue.run_writer(output, report_dropped_lines));
    spawned.map_err(|error| format!("cannot start the thread of the log: {error}"))?;
    let _ = LOG_QUEUE.set(queue);
    install_panic_hook();
    Ok(())
}

/// Adds a line of text to the log, outside of its format. Returns false if logging has not started.
pub fn queue_line(line: &str) -> bool {
    let Some(queue) = LOG_QUEUE.get() else { return false };
    queue.push(format!("{line}\n").as_bytes());
    true
}

/// Waits until the log is written, for at most a second.
pub fn flush_logs() {
    if let Some(queue) = LOG_QUEUE.get() {
        queue.wait_until_written(FLUSH_TIMEOUT);
    }
}

/// Logs every panic. The hook of the standard library writes to standard error, which may block the panicking thread.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        log_panic(info);
        // A panic of the main thread ends the process. In other threads, nothing may wait for the log.
        if std::thread::current().name() == Some("main") {
            flush_logs();
        }
    }));
}

/// Returns the number of log lines that this process could not write.
pub(super) fn count_dropped_log_lines() -> u64 {
    LOG_QUEUE.get().map_or(0, |queue| queue.count_dropped())
}

fn report_dropped_lines(lines: u64) {
    tracing::warn!(lines, "log lines could not be written and were dropped");
}

/// A duplicate of standard error. It has no lock that other writers to standard error would wait for.
struct StderrOutput(File);

impl StderrOutput {
    fn open() -> io::Result<Self> {
        Ok(Self(io::stderr().as_fd().try_clone_to_owned()?.into()))
    }
}

impl Write for StderrOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                // The process that shares this pipe or terminal may have made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
