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
const PREFACE: usize = 24;

/// A stream with a limit on the time in which no byte goes either way.
pub(super) struct Stalling<S> {
    stream: S,
    /// The most that may pass between two bytes.
    idle: Duration,
    /// Bytes heard so far, up to [`PREFACE`].
    heard: usize,
    until: Pin<Box<Sleep>>,
}

impl<S> Stalling<S> {
    /// The first bytes must come as fast as a header; after that something must move now and then.
    pub(super) fn new(stream: S, section: &ServerSection) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the limit itself; it is never waited for alone")]
        let until = Box::pin(tokio::time::sleep(section.header_timeout.duration()));
        Self { stream, idle: section.idle_timeout.duration(), heard: 0, until }
    }

    /// Bytes have moved.
    fn moved(&mut self) {
        if self.heard >= PREFACE {
            let until = self.until.deadline().max(Instant::now() + self.idle);
            self.until.as_mut().reset(until);
        }
    }

    /// Nothing moves now: an error if that lasts too long already.
    fn stalled<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn written(&mut self, wrote: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Pending => self.stalled(cx),
            Poll::Ready(Ok(bytes)) if bytes > 0 => {
                self.moved();
                wrote
            }
            Poll::Ready(_) => wrote,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match read {
            Poll::Pending => self.stalled(cx),
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                self.heard = PREFACE.min(self.heard + buffer.filled().len() - before);
                self.moved();
                read
            }
            Poll::Ready(_) => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(wrote, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(wrote, cx)
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
