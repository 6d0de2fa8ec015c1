//! A TCP proxy that can fall silent, like a network in which packets are dropped: no connection is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::reserve_ports;

/// The state of a silent proxy. Any other value is the number of times that it has fallen silent.
const SILENT: u64 = u64::MAX;

pub(crate) struct TcpProxy {
    pub(crate) port: u16,
    epoch: Arc<AtomicU64>,
    silences: AtomicU64,
}

impl TcpProxy {
    /// Starts a proxy to a port of this machine.
    pub(crate) async fn start(target: u16) -> Self {
        let port = reserve_ports(1);
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let epoch = Arc::new(AtomicU64::new(0));
        let current = Arc::clone(&epoch);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target, Arc::clone(&current)));
            }
        });
        Self { port, epoch, silences: AtomicU64::new(0) }
    }

    /// Drops everything on all connections from now on. New connections are accepted, and get no response either.
    pub(crate) fn fall_silent(&self) {
        self.epoch.store(SILENT, Ordering::SeqCst);
    }

    /// Forwards new connections again. Those that were open during the silence stay silent.
    pub(crate) fn restore(&self) {
        let silences = self.silences.fetch_add(1, Ordering::SeqCst) + 1;
        self.epoch.store(silences, Ordering::SeqCst);
    }
}

/// Forwards a connection as long as the proxy does not fall silent, and then leaves it open.
async fn forward(mut client: TcpStream, target: u16, current: Arc<AtomicU64>) {
    let epoch = current.load(Ordering::SeqCst);
    let is_alive = || epoch != SILENT && current.load(Ordering::SeqCst) == epoch;
    if is_alive()
        && let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await
    {
        let (mut from_client, mut from_server) = ([0; 16_384], [0; 16_384]);
        while is_alive() {
            tokio::select! {
                count = client.read(&mut from_client) => match count {
                    Ok(count) if count > 0 && is_alive() => {
                        if server.write_all(&from_client[..count]).await.is_err() {
                            return;
                        }
                    }
                    Ok(count) if count > 0 => break,
                    _ => return,
                },
                count = server.read(&mut from_server) => match count {
                    Ok(count) if count > 0 && is_alive() => {
                        if client.write_all(&from_server[..count]).await.is_err() {
                            return;
                        }
                    }
                    Ok(count) if count > 0 => break,
                    _ => return,
                },
            }
        }
        // The sockets stay open, so that neither side learns anything.
        std::future::pending::<()>().await;
    }
    std::future::pending::<()>().await;
}
