//! A node: listeners, workers, and a clean end.

mod http;

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::app::App;
use crate::job;
use crate::web::{Served, admin_table, public_table, serve, service};

pub use http::routes;

/// A hub that serves.
pub struct Node {
    /// Where the public listener is.
    pub address: SocketAddr,
    /// Where the operators' listener is.
    pub admin: SocketAddr,
    /// Where the probes are.
    pub probes: SocketAddr,
    stop: watch::Sender<bool>,
    public: JoinHandle<Served>,
    operators: JoinHandle<Served>,
    probing: JoinHandle<Served>,
    workers: JoinSet<()>,
}

impl Node {
    /// Serves on listeners that are bound already.
    pub fn start(
        app: &App,
        public: TcpListener,
        admin: TcpListener,
        probes: TcpListener,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (address, probe_address) = (public.local_addr()?, probes.local_addr()?);
        let section = app.config().server.clone();
        let listen = |listener, table, mut stopped: watch::Receiver<bool>| {
            let (app, section) = (app.clone(), section.clone());
            tokio::spawn(async move {
                let stop = async move {
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                serve(listener, service(&app, table), &section, stop).await
            })
        };
        Ok(Self {
            address,
            admin: admin.local_addr()?,
            probes: probe_address,
            public: listen(public, public_table(), stopped.clone()),
            operators: listen(admin, admin_table(), stopped.clone()),
            probing: listen(probes, routes(), stopped.clone()),
            workers: job::start(app, &stopped),
            stop,
        })
    }

    /// Stops accepting, lets requests under way finish within the grace, and jobs after what they have in hand,
    /// which the upstream timeouts bound.
    pub async fn stop(mut self) -> Served {
        let _ = self.stop.send(true);
        let served = self.public.await.unwrap_or(Served::CutOff);
        let _ = self.operators.await;
        let _ = self.probing.await;
        while self.workers.join_next().await.is_some() {}
        served
    }
}
