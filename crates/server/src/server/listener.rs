//! Accepts connections, and limits their number in total and from each network.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::serve_connection;
use super::network_connections::NetworkConnections;
use crate::config::ServerSection;
use crate::http::{RemotePeer, RequestDispatcher};

/// The size of the kernel's buffer for the responses of one connection. The kernel doubles it for its own data.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// The result of a shutdown: completed, or ended by the grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownOutcome {
    /// Every request in progress was completed.
    Completed,
    /// Some requests were aborted after the grace period.
    GraceExceeded,
}

/// A source of connections, such as a TCP or Unix socket.
pub trait Listener: Send + Sync + 'static {
    /// The byte stream of a connection.
    type Stream: AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static;

    /// Returns the IP address on which connections arrive; `None` for a Unix socket.
    fn local_address(&self) -> Option<IpAddr>;

    /// Waits for the next connection and returns it with its peer.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, RemotePeer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn local_address(&self) -> Option<IpAddr> {
        self.local_addr().ok().map(|address| address.ip())
    }

    async fn accept(&self) -> io::Result<(TcpStream, RemotePeer)> {
        let (stream, address) = Self::accept(self).await?;
        // A small response must not wait until earlier packets are acknowledged (Nagle's algorithm).
        let _ = stream.set_nodelay(true);
        // The kernel would keep up to some MiB for each client that does not read.
        let _ = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
        Ok((stream, RemotePeer::from_address(address.ip())))
    }
}

/// Serves requests until `stop` completes, then waits for the requests in progress, up to the grace period.
pub async fn serve<L: Listener>(
    listener: L,
    service: RequestDispatcher,
    section: &ServerSection,
    stop: impl Future<Output = ()>,
) -> ShutdownOutcome {
    let connection_limit = Arc::new(Semaphore::new(section.connections));
    let network_connections = NetworkConnections::new(section);
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            // `stop` is checked first: under load a connection is always ready, which could delay the shutdown.
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &connection_limit) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let Ok(network_connection) = network_connections.open(peer.address()) else {
            service.app().telemetry().count_listener_rejection("network_connections");
            continue;
        };
        let (service, section, watcher) = (service.clone(), section.clone(), graceful.watcher());
        tokio::spawn(async move {
            serve_connection(stream, peer, service, &section, watcher).await;
            drop((permit, network_connection));
        });
    }
    // New connections are refused immediately instead of waiting for a process that is about to exit.
    drop(listener);
    match tokio::time::timeout(section.shutdown_grace.duration(), graceful.shutdown()).await {
        Ok(()) => ShutdownOutcome::Completed,
        Err(_) => ShutdownOutcome::GraceExceeded,
    }
}

async fn accept<L: Listener>(
    listener: &L,
    connection_limit: &Arc<Semaphore>,
) -> Option<(L::Stream, RemotePeer, OwnedSemaphorePermit)> {
    // The permit comes first: connections above the limit wait in the backlog of the kernel, and cost us nothing.
    let permit = Arc::clone(connection_limit).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            tracing::warn!(%error, "failed to accept a connection");
            pause_after_accept_error(&error).await;
            None
        }
    }
}

/// Pauses after an error of the system, such as no free file descriptor, so that the accept loop does not spin.
async fn pause_after_accept_error(error: &io::Error) {
    // These errors concern one connection. The next one may succeed immediately.
    let is_peer_error = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !is_peer_error {
        #[expect(clippy::disallowed_methods, reason = "back-off of the accept loop")]
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
