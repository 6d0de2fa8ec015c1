//! The accept loop: a half-sent header, a silent peer, one that does not read and a crowd are all bounded.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Service, ServiceExt};

use super::idle_timeout::IdleTimeoutStream;
use crate::config::ServerSection;
use crate::http::RemotePeer;

/// How a listener stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownOutcome {
    /// Every request that had begun was answered.
    Completed,
    /// Some took longer than the grace that they were given.
    GraceExceeded,
}

/// What connections come from, and who is at their other end.
pub trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, RemotePeer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, RemotePeer)> {
        let (stream, address) = Self::accept(self).await?;
        let _ = stream.set_nodelay(true);
        Ok((stream, RemotePeer::from_address(address.ip())))
    }
}

/// Serves until `stop`, then lets what is under way finish.
pub async fn serve<L, S>(
    listener: L,
    service: S,
    section: &ServerSection,
    stop: impl Future<Output = ()>,
) -> ShutdownOutcome
where
    L: Listener,
    S: Service<http::Request<Body>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let builder = Arc::new(build_connection_builder(section));
    let open = Arc::new(Semaphore::new(section.connections));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &open) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let service = service.clone().map_request(move |request: http::Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            request
        });
        let stream = TokioIo::new(IdleTimeoutStream::new(stream, section));
        let connection = builder.serve_connection(stream, TowerToHyperService::new(service)).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A peer that breaks off is no event of ours.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    match tokio::time::timeout(section.shutdown_grace.duration(), graceful.shutdown()).await {
        Ok(()) => ShutdownOutcome::Completed,
        Err(_) => ShutdownOutcome::GraceExceeded,
    }
}

async fn accept<L: Listener>(
    listener: &L,
    open: &Arc<Semaphore>,
) -> Option<(L::Stream, RemotePeer, OwnedSemaphorePermit)> {
    let permit = Arc::clone(open).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            pause_after_accept_error(&error).await;
            None
        }
    }
}

/// Out of file descriptors: a moment without accepting, so that the loop does not spin.
async fn pause_after_accept_error(error: &io::Error) {
    let peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !peer {
        #[expect(clippy::disallowed_methods, reason = "back-off of the accept loop itself")]
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn build_connection_builder(section: &ServerSection) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(section.header_timeout.duration())
        .max_buf_size(32 * 1024)
        .max_headers(64);
    // No pings of ours: an answer to them would keep a connection open that nobody uses.
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(100);
    builder
}
