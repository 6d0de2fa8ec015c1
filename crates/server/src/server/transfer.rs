//! The transfer of responses to a client: ends if the client does not take them, or may not have them any more.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use bytes::Buf;
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::response_guard::{ResponseGuard, Verdict};
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
    /// True if what was not yet received must be discarded.
    is_aborted: AtomicBool,
    aborted: AtomicWaker,
}

impl Transfer {
    fn has_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    fn record_progress(&self, bytes: usize) {
        self.progress.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends the transfer: nothing more is sent.
    fn abort(&self) {
        self.is_aborted.store(true, Ordering::Release);
        self.aborted.wake();
    }

    /// Returns whether the transfer was ended because its client may not have the response any more.
    pub(super) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Acquire)
    }

    fn poll_aborted(&self, context: &Context<'_>) -> Poll<()> {
        // The waker is registered before the check, so that no end can be missed.
        self.aborted.register(context.waker());
        if self.is_aborted() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Aborts the transfer as soon as a guard ends its response.
    fn abort_with(self: &Arc<Self>, guard: &ResponseGuard) {
        let (transfer, mut verdict) = (Arc::clone(self), guard.verdict());
        // The task ends with the guard.
        tokio::spawn(async move {
            if verdict.wait_for(|verdict| *verdict == Verdict::Ended).await.is_ok() {
                transfer.abort();
            }
        });
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
    /// The checks of the response go on until the chunk was sent.
    _guard: Option<ResponseGuard>,
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
    guard: Option<ResponseGuard>,
    /// True if the end is reported only after every byte was sent.
    delays_end: bool,
}

impl ResponseBody {
    /// Wraps the body of a response on a connection of its own (HTTP/1).
    pub(super) fn on_connection(body: Body, slot: ResponseSlot, transfer: Arc<Transfer>) -> Self {
        Self { body, slot, transfer, guard: None, delays_end: false }
    }

    /// Wraps the body of a response on a stream (HTTP/2).
    ///
    /// The task of a stream ends with the body, and later nothing can reset the stream any more. The end is therefore
    /// delayed until the client has taken the response.
    pub(super) fn on_stream(body: Body, slot: ResponseSlot, transfer: Arc<Transfer>) -> Self {
        Self { body, slot, transfer, guard: None, delays_end: true }
    }

    /// Ends the transfer when the guard of the response, if it has one, ends the response.
    pub(super) fn guarded_by(self, guard: Option<ResponseGuard>) -> Self {
        if let Some(guard) = &guard {
            self.transfer.abort_with(guard);
        }
        Self { guard, ..self }
    }
}

impl HttpBody for ResponseBody {
    type Data = Chunk;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if self.guard.as_ref().is_some_and(ResponseGuard::is_ended) {
            // The task that runs the transfer drops it. An error here would end the response before that.
            self.transfer.abort();
            return Poll::Pending;
        }
        let Some(frame) = frame else {
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
                let (transfer, guard) = (Arc::clone(&self.transfer), self.guard.clone());
                Chunk { bytes, length, transfer, _guard: guard, _charge: charge }
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

/// The reason why a transfer ended before its responses were sent.
#[derive(Debug)]
pub(super) enum TransferEnd {
    /// The client does not take its responses.
    Stalled,
    /// The client may not have the response any more.
    Aborted,
}

/// Runs a task that sends responses, and drops it if the transfer is aborted, or if the client takes too little in a
/// period of this length.
pub(super) async fn run_transfer<T>(
    task: impl Future<Output = T>,
    transfer: &Transfer,
    period: Duration,
) -> Result<T, TransferEnd> {
    let mut task = pin!(task);
    #[expect(
        clippy::disallowed_methods,
        reason = "the timeout itself; it is only polled together with the task"
    )]
    let mut end_of_period = pin!(tokio::time::sleep(period));
    let mut watched_from = None;
    poll_fn(|context| {
        // It comes first: the task would end the response itself, without discarding what was not yet received.
        if transfer.poll_aborted(context).is_ready() {
            return Poll::Ready(Err(TransferEnd::Aborted));
        }
        if let Poll::Ready(result) = task.as_mut().poll(context) {
            return Poll::Ready(Ok(result));
        }
        if !transfer.has_pending() {
            watched_from = None;
            return Poll::Pending;
        }
        poll_period(&mut watched_from, end_of_period.as_mut(), transfer, period, context)
            .map(|()| Err(TransferEnd::Stalled))
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
