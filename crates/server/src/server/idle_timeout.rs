//! A stream that breaks off when nothing moves on it: who is silent, or does not read, holds no connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::config::ServerSection;

/// So many bytes tell the versions of HTTP apart (RFC 9113 §3.4). hyper waits for them without a limit of its own.
const HTTP2_PREFACE_LEN: usize = 24;

/// A stream with a limit on the time in which no byte goes either way.
pub(super) struct IdleTimeoutStream<S> {
    stream: S,
    /// The most that may pass between two bytes.
    idle: Duration,
    /// Bytes heard so far, up to [`HTTP2_PREFACE_LEN`].
    bytes_read: usize,
    until: Pin<Box<Sleep>>,
}

impl<S> IdleTimeoutStream<S> {
    /// The first bytes must come as fast as a header; after that something must move now and then.
    pub(super) fn new(stream: S, section: &ServerSection) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the limit itself; it is never waited for alone")]
        let until = Box::pin(tokio::time::sleep(section.header_timeout.duration()));
        Self { stream, idle: section.idle_timeout.duration(), bytes_read: 0, until }
    }

    /// Bytes have moved.
    fn record_progress(&mut self) {
        if self.bytes_read >= HTTP2_PREFACE_LEN {
            let until = self.until.deadline().max(Instant::now() + self.idle);
            self.until.as_mut().reset(until);
        }
    }

    /// Nothing moves now: an error if that lasts too long already.
    fn poll_idle_timeout<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn finish_write(
        &mut self,
        wrote: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Pending => self.poll_idle_timeout(cx),
            Poll::Ready(Ok(bytes)) if bytes > 0 => {
                self.record_progress();
                wrote
            }
            Poll::Ready(_) => wrote,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleTimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match read {
            Poll::Pending => self.poll_idle_timeout(cx),
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                self.bytes_read = HTTP2_PREFACE_LEN.min(self.bytes_read + buffer.filled().len() - before);
                self.record_progress();
                read
            }
            Poll::Ready(_) => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleTimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.finish_write(wrote, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.finish_write(wrote, cx)
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
