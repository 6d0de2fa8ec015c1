//! A node: the listeners and workers of one process.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::listener::{Listener, ShutdownOutcome, serve};
use super::probes::routes;
use super::unix_socket::LocalSocket;
use crate::app::App;
use crate::http::Route;
use crate::jobs;
use crate::router::{admin_routes, build_service, public_routes};

/// The listeners of a node. They are bound before the node starts, so that an occupied port is an error at startup.
pub struct BoundListeners {
    /// The listener for customers, recipients and partners.
    pub public: TcpListener,
    /// The listener for operators.
    pub admin: TcpListener,
    /// The Unix socket for operators on this machine, if one is configured.
    pub local: Option<LocalSocket>,
    /// The listener for probes of the platform.
    pub probes: TcpListener,
}

/// A running node. Its listeners and workers run until [`Node::stop`] is called.
pub struct Node {
    /// The address of the public listener.
    pub address: SocketAddr,
    /// The address of the admin listener.
    pub admin: SocketAddr,
    /// The address of the probe listener.
    pub probes: SocketAddr,
    stop: watch::Sender<bool>,
    public: JoinHandle<ShutdownOutcome>,
    other_listeners: JoinSet<ShutdownOutcome>,
    workers: JoinSet<()>,
}

impl Node {
    /// Starts the listeners, and the workers for background jobs.
    pub fn start(app: &App, listeners: BoundListeners) -> std::io::Result<Self> {
        let BoundListeners { public, admin, local, probes } = listeners;
        let (stop, stopped) = watch::channel(false);
        let (address, admin_address, probe_address) =
            (public.local_addr()?, admin.local_addr()?, probes.local_addr()?);
        let mut other_listeners = JoinSet::new();
        other_listeners.spawn(listen(app, admin, admin_routes(), &stopped));
        other_listeners.spawn(listen(app, probes, routes(), &stopped));
        if let Some(local) = local {
            other_listeners.spawn(listen(app, local, admin_routes(), &stopped));
        }
        Ok(Self {
            address,
            admin: admin_address,
            probes: probe_address,
            public: tokio::spawn(listen(app, public, public_routes(), &stopped)),
            other_listeners,
            workers: jobs::start(app, &stopped),
            stop,
        })
    }

    /// Stops the node: requests finish within the grace period, workers finish their current job.
    pub async fn stop(mut self) -> ShutdownOutcome {
        let _ = self.stop.send(true);
        let outcome = self.public.await.unwrap_or(ShutdownOutcome::GraceExceeded);
        while self.other_listeners.join_next().await.is_some() {}
        // No timeout is needed: the timeouts of calls to providers bound the duration of a job.
        while self.workers.join_next().await.is_some() {}
        outcome
    }
}

fn listen<L: Listener>(
    app: &App,
    listener: L,
    table: Vec<Route>,
    stopped: &watch::Receiver<bool>,
) -> impl Future<Output = ShutdownOutcome> + Send + 'static + use<L> {
    let (app, mut stopped) = (app.clone(), stopped.clone());
    let section = app.config().server.clone();
    async move {
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        serve(listener, build_service(&app, table), &section, stop).await
    }
}
