//! A node: listeners, workers, and a clean end.

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

/// What a node listens on; each is bound already.
pub struct BoundListeners {
    /// For customers, recipients and partners.
    pub public: TcpListener,
    /// For operators.
    pub admin: TcpListener,
    /// For operators on this machine.
    pub local: Option<LocalSocket>,
    /// For the platform.
    pub probes: TcpListener,
}

/// A hub that serves.
pub struct Node {
    /// Where the public listener is.
    pub address: SocketAddr,
    /// Where the operators' listener is.
    pub admin: SocketAddr,
    /// Where the probes are.
    pub probes: SocketAddr,
    stop: watch::Sender<bool>,
    public: JoinHandle<ShutdownOutcome>,
    others: JoinSet<ShutdownOutcome>,
    workers: JoinSet<()>,
}

impl Node {
    /// Serves on listeners that are bound already.
    pub fn start(app: &App, listeners: BoundListeners) -> std::io::Result<Self> {
        let BoundListeners { public, admin, local, probes } = listeners;
        let (stop, stopped) = watch::channel(false);
        let (address, admin_address, probe_address) =
            (public.local_addr()?, admin.local_addr()?, probes.local_addr()?);
        let mut others = JoinSet::new();
        others.spawn(listen(app, admin, admin_routes(), &stopped));
        others.spawn(listen(app, probes, routes(), &stopped));
        if let Some(local) = local {
            others.spawn(listen(app, local, admin_routes(), &stopped));
        }
        Ok(Self {
            address,
            admin: admin_address,
            probes: probe_address,
            public: tokio::spawn(listen(app, public, public_routes(), &stopped)),
            others,
            workers: jobs::start(app, &stopped),
            stop,
        })
    }

    /// Stops accepting, lets requests under way finish within the grace, and jobs after what they have in hand,
    /// which the upstream timeouts bound.
    pub async fn stop(mut self) -> ShutdownOutcome {
        let _ = self.stop.send(true);
        let served = self.public.await.unwrap_or(ShutdownOutcome::GraceExceeded);
        while self.others.join_next().await.is_some() {}
        while self.workers.join_next().await.is_some() {}
        served
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
