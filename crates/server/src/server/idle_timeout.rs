//! A stream that fails when no byte is sent or received for too long, or when its client sends too many empty frames.
//!
//! A client that sends nothing, or does not read its response, would otherwise occupy a connection indefinitely. Requests of a
//! client that does not read are not read either. When the transfer of a response was aborted, what the kernel has not yet sent
//! is discarded.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::frame_allowance::{FrameAllowance, FrameCredit};
use super::transfer::Transfer;
use crate::config::ServerSection;

/// The length of the HTTP/2 connection preface in bytes (RFC 9113, section 3.4). hyper waits for these bytes without a
/// timeout, to detect the version of HTTP.
const HTTP2_PREFACE_LEN: usize = 24;

/// A stream with a limit on the time between two bytes, in either direction.
pub(super) struct IdleTimeoutStream<S: AsFd> {
    stream: S,
    idle: Duration,
    /// The number of bytes received, counted up to [`HTTP2_PREFACE_LEN`].
    bytes_read: usize,
    /// True while the client does not take what is sent. In this time nothing is read, because each request would add to
    /// what must be sent.
    is_write_blocked: bool,
    /// The task that waits to read until the client has taken something.
    blocked_reader: Option<Waker>,
    deadline: Pin<Box<Sleep>>,
    /// The transfer of the responses over HTTP/1.
    transfer: Arc<Transfer>,
    frames: FrameAllowance,
}

impl<S: AsFd> IdleTimeoutStream<S> {
    /// Wraps a stream. The first bytes must arrive within the header timeout, later ones within the idle timeout.
    pub(super) fn new(
        stream: S,
        section: &ServerSection,
        transfer: Arc<Transfer>,
        credit: Arc<FrameCredit>,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the timeout itself; it is only polled together with the stream"
        )]
        let deadline = Box::pin(tokio::time::sleep(section.header_timeout.duration()));
        Self {
            stream,
            idle: section.idle_timeout.duration(),
            bytes_read: 0,
            is_write_blocked: false,
            blocked_reader: None,
            deadline,
            transfer,
            frames: FrameAllowance::new(credit, Instant::now()),
        }
    }

    /// Sets the deadline to one idle timeout from now, after bytes were sent or received.
    fn record_progress(&mut self) {
        // Until as many bytes as a preface were received, the deadline is fixed: a client must not extend it byte by
        // byte.
        if self.bytes_read >= HTTP2_PREFACE_LEN {
            let deadline = self.deadline.deadline().max(Instant::now() + self.idle);
            self.deadline.as_mut().reset(deadline);
        }
    }

    /// Returns an error if the deadline has passed. Called when the stream is not ready.
    fn poll_idle_timeout<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn finish_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.is_write_blocked = written.is_pending();
        if !self.is_write_blocked
            && let Some(reader) = self.blocked_reader.take()
        {
            reader.wake();
        }
        match written {
            Poll::Pending => self.poll_idle_timeout(cx),
            Poll::Ready(Ok(bytes)) if bytes > 0 => {
                self.record_progress();
                self.frames.record_sent(bytes);
                written
            }
            Poll::Ready(_) => written,
        }
    }
}

impl<S: AsFd> Drop for IdleTimeoutStream<S> {
    fn drop(&mut self) {
        // The kernel would send what is in its buffer after the connection was closed. With this option it discards the
        // buffer and resets the connection.
        if self.transfer.is_aborted()
            && let Err(error) = set_socket_linger(&self.stream, Some(Duration::ZERO))
        {
            tracing::warn!(%error, "the unsent rest of a response could not be discarded");
        }
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for IdleTimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_write_blocked {
            self.blocked_reader = Some(cx.waker().clone());
            return self.poll_idle_timeout(cx);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match read {
            Poll::Pending => self.poll_idle_timeout(cx),
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                self.bytes_read = HTTP2_PREFACE_LEN.min(self.bytes_read + buffer.filled().len() - before);
                self.record_progress();
                let received = self.frames.receive(&buffer.filled()[before..], Instant::now());
                Poll::Ready(received.map_err(io::Error::other))
            }
            Poll::Ready(_) => read,
        }
    }
}

impl<S: AsyncWrite + AsFd + Unpin> AsyncWrite for IdleTimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.finish_write(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.finish_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
