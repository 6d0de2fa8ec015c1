//! Standard output and standard error of the commands. Nothing else in the program writes to them, except the log.
//!
//! A reader that has ended, such as `head`, is no error: the rest of the output is discarded, the command continues,
//! and its exit code is that of its result. Any other failure, such as a full disk, makes the command fail at its end.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use super::error::CliError;
use crate::telemetry::queue_line;

/// The first failure to write to standard output. Nothing is written after it: output with a gap would mislead.
static OUTPUT_FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Prints a text to standard output.
pub(super) fn print(text: impl Display) {
    print_with(|output| write!(output, "{text}"));
}

/// Prints a text and the end of a line to standard output.
pub(super) fn print_line(text: impl Display) {
    print_with(|output| writeln!(output, "{text}"));
}

/// Prints a line to standard error. If it cannot be written, there is no other place to report that.
pub(super) fn print_error_line(text: impl Display) {
    let line = text.to_string();
    // While logging runs, standard error may be a pipe that is not read. The queue of the log does not wait for it.
    if !queue_line(&line) {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Prints the help, the version or a usage error.
pub(super) fn print_usage(usage: &clap::Error) {
    if usage.use_stderr() {
        let _ = usage.print();
    } else {
        print_with(|_| usage.print());
    }
}

/// Returns an error if the output could not be written, except to a reader that has ended.
pub(super) fn ensure_output_written() -> Result<(), CliError> {
    match OUTPUT_FAILURE.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::Failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn print_with(write: impl FnOnce(&mut io::Stdout) -> io::Result<()>) {
    if OUTPUT_FAILURE.get().is_some() {
        return;
    }
    let mut output = io::stdout();
    // Without a flush, an error of the last line would occur while the process ends, where it is ignored.
    if let Err(error) = write(&mut output).and_then(|()| output.flush()) {
        let _ = OUTPUT_FAILURE.set(error);
    }
}
