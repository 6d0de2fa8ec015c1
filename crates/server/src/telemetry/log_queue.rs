//! The queue between the code that logs and the thread that writes the log.
//!
//! A request must neither wait for the reader of the log nor fail because there is none. Lines are therefore added to a
//! bounded buffer and written by a thread of their own. A line that does not fit, or that cannot be written, is dropped
//! and counted. The reasons for an own queue are in `docs/decisions/0015`.

use std::cell::Cell;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The maximum size of the lines that wait to be written.
const MAX_QUEUED_BYTES: usize = 1024 * 1024;
/// The maximum size of lines that are written together: `PIPE_BUF` of Linux. A larger write to a pipe may be mixed with
/// the writes of another process.
const MAX_WRITE_BYTES: usize = 4096;

thread_local! {
    static IS_WRITER_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// A bounded queue of log lines, which a thread writes in the order of their arrival.
#[derive(Default)]
pub(super) struct LogQueue {
    state: Mutex<QueueState>,
    line_added: Condvar,
    batch_written: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct QueueState {
    /// Complete lines that wait to be written.
    lines: Vec<u8>,
    /// The writer thread has taken lines and is not done with them.
    is_writing: bool,
    /// The number of dropped lines that no log line has reported yet.
    unreported: u64,
}

impl LogQueue {
    /// Adds a line, or drops and counts it if the queue is full. Never waits for the writer thread.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        // The report on dropped lines comes from the writer thread. It must fit even if others fill the queue again.
        let is_report = IS_WRITER_THREAD.get();
        if state.lines.len() + line.len() > MAX_QUEUED_BYTES && !is_report {
            state.unreported += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.lines.extend_from_slice(line);
        drop(state);
        self.line_added.notify_one();
    }

    /// Returns the number of lines that were dropped since the start of the process.
    pub(super) fn count_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until every line is written or dropped, up to a time limit.
    pub(super) fn wait_until_written(&self, limit: Duration) {
        let has_lines = |state: &mut QueueState| state.is_writing || !state.lines.is_empty();
        // The caller is about to end the process, so the result of the wait changes nothing.
        drop(self.batch_written.wait_timeout_while(self.lock(), limit, has_lines));
    }

    /// Writes lines as they arrive, forever. `report` logs the number of dropped lines once writing works again.
    pub(super) fn run_writer(&self, output: impl Write, report: impl Fn(u64)) {
        IS_WRITER_THREAD.set(true);
        let mut writer = LineWriter { output, has_open_line: false };
        let mut batch = Vec::new();
        loop {
            self.write_batch(&mut writer, &mut batch, &report);
        }
    }

    /// Waits for lines and writes them. The mutex is unlocked during the write, which may block.
    fn write_batch<W: Write>(&self, writer: &mut LineWriter<W>, batch: &mut Vec<u8>, report: &impl Fn(u64)) {
        let waiting = self.line_added.wait_while(self.lock(), |state| state.lines.is_empty());
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        batch.clear();
        // The buffers are exchanged, so that neither is allocated again for each batch.
        std::mem::swap(&mut state.lines, batch);
        state.is_writing = true;
        drop(state);
        let lost = writer.write_lines(batch);
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        let mut state = self.lock();
        state.unreported += lost;
        // A report before a successful write would be lost, too.
        let reported = if lost == 0 { std::mem::take(&mut state.unreported) } else { 0 };
        drop(state);
        if reported > 0 {
            report(reported);
        }
        self.lock().is_writing = false;
        self.batch_written.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // The state is consistent after each statement, so that a panic in another thread does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of `tracing_subscriber`, which writes each event with one call. Writing never fails, because
/// `tracing_subscriber` would report the error on standard error.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes whole lines and counts those that cannot be written.
struct LineWriter<W> {
    output: W,
    /// The last write ended within a line, for example on a full disk.
    has_open_line: bool,
}

impl<W: Write> LineWriter<W> {
    /// Writes lines and returns the number of those that were not written completely.
    fn write_lines(&mut self, mut lines: &[u8]) -> u64 {
        let mut lost = 0;
        while !lines.is_empty() {
            let (chunk, rest) = lines.split_at(find_chunk_end(lines));
            let written = self.write_chunk(chunk);
            lost += count_lines(&chunk[written..]);
            lines = rest;
        }
        lost
    }

    /// Writes a chunk and returns the number of bytes that were written before an error.
    fn write_chunk(&mut self, chunk: &[u8]) -> usize {
        // The rest of an incomplete line was dropped, so the next line begins on a line of its own.
        if self.has_open_line && self.write_bytes(b"\n") == 0 {
            return 0;
        }
        let written = self.write_bytes(chunk);
        self.has_open_line = chunk[..written].last().is_some_and(|byte| *byte != b'\n');
        written
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match self.output.write(&bytes[written..]) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        written
    }
}

/// Returns the position after the last line that fits into one write, or, if none fits, after the first line.
fn find_chunk_end(lines: &[u8]) -> usize {
    let is_end = |byte: &u8| *byte == b'\n';
    let window = &lines[..lines.len().min(MAX_WRITE_BYTES)];
    let last = window.iter().rposition(is_end);
    last.or_else(|| lines.iter().position(is_end)).map_or(lines.len(), |end| end + 1)
}

/// Counts lines, and a last line without its end.
fn count_lines(bytes: &[u8]) -> u64 {
    bytes.split_inclusive(|byte| *byte == b'\n').map(|_| 1).sum()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// An output that accepts a number of bytes, like a disk with little space.
    struct LimitedOutput<'a> {
        written: &'a RefCell<Vec<u8>>,
        space: &'a Cell<usize>,
    }

    impl Write for LimitedOutput<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.space.get());
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.space.set(self.space.get() - count);
            self.written.borrow_mut().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn full_queue_drops_and_counts_further_lines() {
        let queue = LogQueue::default();
        let line = [b'x'; 1024];

        for _ in 0..1030 {
            queue.push(&line);
        }

        assert_eq!(queue.lock().lines.len(), MAX_QUEUED_BYTES);
        assert_eq!(queue.count_dropped(), 6);
    }

    #[test]
    fn dropped_lines_are_reported_once_when_writing_works_again() {
        let queue = LogQueue::default();
        let (written, space, reports) = (RefCell::new(Vec::new()), Cell::new(6), RefCell::new(Vec::new()));
        let output = LimitedOutput { written: &written, space: &space };
        let mut writer = LineWriter { output, has_open_line: false };
        let mut batch = Vec::new();
        let report = |count| reports.borrow_mut().push(count);

        queue.push(b"one\ntwo\nthree\n");
        queue.write_batch(&mut writer, &mut batch, &report);
        let reports_while_full = reports.borrow().len();
        space.set(100);
        for line in ["four\n", "five\n"] {
            queue.push(line.as_bytes());
            queue.write_batch(&mut writer, &mut batch, &report);
        }

        assert_eq!(String::from_utf8_lossy(&written.borrow()), "one\ntw\nfour\nfive\n");
        assert_eq!((reports_while_full, reports.borrow().clone(), queue.count_dropped()), (0, vec![2], 2));
    }

    #[test]
    fn lines_are_written_in_chunks_that_pipes_keep_together() {
        let line = [[b'x'; 999].as_slice(), b"\n"].concat();
        let long = [[b'y'; 9999].as_slice(), b"\n"].concat();

        let ends = [line.repeat(10), long.clone(), [line, long].concat()].map(|lines| find_chunk_end(&lines));

        assert_eq!(ends, [4000, 10_000, 1000]);
    }

    #[test]
    fn wait_for_stuck_writer_ends_after_its_limit() {
        let queue = LogQueue::default();
        queue.push(b"never written\n");

        queue.wait_until_written(Duration::from_millis(1));

        assert_eq!(queue.lock().lines, b"never written\n");
    }
}
