//! The transfer of responses to a client: notices whether it takes them, and ends the transfer if it does not.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use bytes::Buf;
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::response_memory::{Charge, ResponseSlot};

/// The number of bytes that a client must take in each period.
const MIN_TAKEN_BYTES: usize = 16 * 1024;

/// The state of a transfer: of a connection over HTTP/1, or of one stream over HTTP/2.
#[derive(Default)]
pub(super) struct Transfer {
    /// The bytes that were passed to the HTTP connection, and that it has not yet sent completely.
    pending: AtomicUsize,
    /// A number that grows with the bytes that are taken. It may overflow.
    progress: AtomicUsize,
    all_taken: AtomicWaker,
}

impl Transfer {
    fn has_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    fn record_progress(&self, bytes: usize) {
        self.progress.fetch_add(bytes, Ordering::Relaxed);
    }

    fn poll_all_taken(&self, context: &Context<'_>) -> Poll<()> {
        // The waker is registered before the check, so that the last chunk cannot be missed.
        self.all_taken.register(context.waker());
        if self.has_pending() { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// A chunk of a response. It is dropped when it was sent or when its transfer has ended.
pub(super) struct Chunk {
    bytes: Bytes,
    length: usize,
    transfer: Arc<Transfer>,
    _charge: Charge,
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.transfer.record_progress(count);
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.transfer.pending.fetch_sub(self.length, Ordering::AcqRel) == self.length {
            // The client has taken everything, however little it was.
            self.transfer.record_progress(MIN_TAKEN_BYTES);
            self.transfer.all_taken.wake();
        }
    }
}

/// The body of a response, whose bytes count as used until they are sent.
pub(super) struct ResponseBody {
    body: Body,
    slot: ResponseSlot,
    transfer: Arc<Transfer>,
    /// True if the end is reported only after every byte was sent.
    delays_end: bool,
}

impl ResponseBody {
    /// Wraps the body of a response on a connection of its own (HTTP/1).
    pub(super) fn on_connection(body: Body, slot: ResponseSlot, transfer: Arc<Transfer>) -> Self {
        Self { body, slot, transfer, delays_end: false }
    }

    /// Wraps the body of a response on a stream (HTTP/2).
    ///
    /// The task of a stream ends with the body, and later nothing can reset the stream any more. The end is therefore
    /// delayed until the client has taken the response.
    pub(super) fn on_stream(body: Body, slot: ResponseSlot, transfer: Arc<Transfer>) -> Self {
        Self { body, slot, transfer, delays_end: true }
    }
}

impl HttpBody for ResponseBody {
    type Data = Chunk;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            if self.delays_end {
                ready!(self.transfer.poll_all_taken(context));
            }
            return Poll::Ready(None);
        };
        Poll::Ready(Some(frame.map(|frame| {
            frame.map_data(|bytes| {
                let length = bytes.len();
                self.transfer.pending.fetch_add(length, Ordering::AcqRel);
                let charge = self.slot.charge_chunk(length);
                Chunk { bytes, length, transfer: Arc::clone(&self.transfer), _charge: charge }
            })
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !(self.delays_end && self.transfer.has_pending())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Error for a transfer whose client does not take its responses.
#[derive(Debug)]
pub(super) struct TransferStalled;

/// Runs a task that sends responses, and drops it if the client takes too little in a period of this length.
pub(super) async fn run_until_stalled<T>(
    task: impl Future<Output = T>,
    transfer: &Transfer,
    period: Duration,
) -> Result<T, TransferStalled> {
    let mut task = pin!(task);
    #[expect(
        clippy::disallowed_methods,
        reason = "the timeout itself; it is only polled together with the task"
    )]
    let mut end_of_period = pin!(tokio::time::sleep(period));
    let mut watched_from = None;
    poll_fn(|context| {
        if let Poll::Ready(result) = task.as_mut().poll(context) {
            return Poll::Ready(Ok(result));
        }
        if !transfer.has_pending() {
            watched_from = None;
            return Poll::Pending;
        }
        poll_period(&mut watched_from, end_of_period.as_mut(), transfer, period, context)
            .map(|()| Err(TransferStalled))
    })
    .await
}

/// Completes at the end of a period in which the client has taken too little. `watched_from` is the progress at its start.
fn poll_period(
    watched_from: &mut Option<usize>,
    mut end_of_period: Pin<&mut Sleep>,
    transfer: &Transfer,
    period: Duration,
    context: &mut Context<'_>,
) -> Poll<()> {
    loop {
        let progress = transfer.progress.load(Ordering::Relaxed);
        if let Some(start) = *watched_from {
            ready!(end_of_period.as_mut().poll(context));
            if progress.wrapping_sub(start) < MIN_TAKEN_BYTES {
                return Poll::Ready(());
            }
        }
        *watched_from = Some(progress);
        end_of_period.as_mut().reset(Instant::now() + period);
    }
}
