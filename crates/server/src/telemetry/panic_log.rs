//! Writes panics to the log, without values that their messages quote.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// Logs a panic with its location and message, but without values that the message quotes.
pub(super) fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let payload = redact_quoted(info.payload_as_str().unwrap_or("no message"));
    // The backtrace is captured if `RUST_BACKTRACE` is set. It contains names of functions, never values.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(location, payload, backtrace, "panic");
}

/// Removes the text between the first and the last backtick. The standard library quotes values there, for example the
/// text that was sliced within a character, which may be a token.
fn redact_quoted(message: &str) -> String {
    match (message.find('`'), message.rfind('`')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}…{}", &message[..=first], &message[last..])
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn panic_is_logged_with_location_and_without_quoted_values() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let captured = lines.clone();
        let writer = move || CapturedLines(captured.clone());
        let subscriber = tracing_subscriber::fmt().json().with_writer(writer).finish();
        let previous = std::panic::take_hook();
        let test_thread = std::thread::current().id();
        // Other tests of this process keep their hook.
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == test_thread { log_panic(info) } else { previous(info) }
        }));

        let token = "secret-é";
        let panicked = tracing::subscriber::with_default(subscriber, || {
            std::panic::catch_unwind(|| token[..8].len()).is_err()
        });

        let log = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        assert!(panicked && log.contains("panic_log.rs:") && log.contains("ERROR"), "{log}");
        assert!(!log.contains("secret"), "{log}");
    }

    struct CapturedLines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for CapturedLines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
