//! A node, which consists of the listeners and background workers of one process.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::listener::{Listener, ShutdownOutcome, serve};
use super::probes::routes;
use super::unix_socket::LocalSocket;
use crate::app::App;
use crate::http::{HostPolicy, Route};
use crate::jobs;
use crate::router::{admin_routes, build_service, public_routes};

/// The time in which a node that has stopped records its last refused requests. It is shorter than what is left until the process
/// ends in any case.
const LAST_RECORD_TIMEOUT: Duration = Duration::from_secs(1);

/// The listeners of a node. They are bound before the node starts, so that an occupied port is an error at startup.
pub struct BoundListeners {
    /// The listener for customers, recipients and partners, which serves the pages and all APIs except the admin API.
    pub public: TcpListener,
    /// The listener for operators, which serves the admin API.
    pub admin: TcpListener,
    /// The Unix socket for operators on this machine, if one is configured.
    pub local: Option<LocalSocket>,
    /// The listener for probes of the platform, which serves liveness, readiness and metrics.
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
    grace: Duration,
    app: App,
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
        // It is not awaited, so that the node is ready earlier.
        let prepared = app.clone();
        tokio::task::spawn_blocking(move || prepared.vault().prepare_random_generator());
        Ok(Self {
            address,
            admin: admin_address,
            probes: probe_address,
            public: tokio::spawn(listen(app, public, public_routes(), &stopped)),
            other_listeners,
            workers: jobs::start(app, &stopped),
            stop,
            grace: app.config().server.shutdown_grace.duration(),
            app: app.clone(),
        })
    }

    /// Stops the node: requests and workers finish within the grace period, or are aborted.
    pub async fn stop(self) -> ShutdownOutcome {
        let Self { stop, public, mut other_listeners, mut workers, grace, app, .. } = self;
        let _ = stop.send(true);
        let join_listeners = async {
            while other_listeners.join_next().await.is_some() {}
            public.await.unwrap_or(ShutdownOutcome::GraceExceeded)
        };
        // The grace period is the same for both, so a stop takes no longer because there are workers.
        let (outcome, workers_ended) = tokio::join!(
            join_listeners,
            timeout(grace, async { while workers.join_next().await.is_some() {} })
        );
        if workers_ended.is_err() {
            // Aborting is safe: a job that was not completed is leased again when its lease has expired, and its calls
            // to the provider may be repeated. Aborted tasks are not awaited, because a blocking call cannot be
            // interrupted.
            tracing::warn!(
                "background work exceeded the shutdown grace period and was aborted; it is repeated later"
            );
            workers.abort_all();
        }
        // The worker recorded the refused requests when the stop began. Others were refused since then.
        if timeout(LAST_RECORD_TIMEOUT, jobs::record_remaining_denials(&app)).await.is_err() {
            tracing::warn!("the refused requests of the last seconds could not be recorded in time");
        }
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
        let hosts = HostPolicy::for_address(listener.local_address(), &section.public_url);
        serve(listener, build_service(&app, table, hosts), &section, stop).await
    }
}
