//! `bowline serve`

use anyhow::Context;

use super::error::CliError;
use super::globals::GlobalArgs;
use super::hub::{open_app, read_sandbox_flag, upsert_providers};
use super::listeners::{bind, bind_admin_socket, wait_for_stop_signal};
use crate::server::{BoundListeners, Node, ShutdownOutcome};
use crate::telemetry;

/// Runs the hub until it is told to stop (SIGTERM or SIGINT).
///
/// A SQLite store is made and brought up to date by itself; a PostgreSQL store by `bowline migrate`.
#[derive(clap::Args, Debug)]
pub(super) struct ServeArgs {
    /// The address to serve on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The address of the operators' API.
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// The address of /livez, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS:PORT")]
    probe_listen: Option<String>,
    /// sqlite:PATH or <postgres://USER@HOST/DATABASE>
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

pub(super) async fn run(globals: &GlobalArgs, args: ServeArgs) -> Result<(), CliError> {
    let given = [
        ("server.listen", args.listen),
        ("server.admin_listen", args.admin_listen),
        ("server.probe_listen", args.probe_listen),
        ("store.url", args.store),
    ];
    let flags: Vec<_> = given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    // The generator's first use takes as long as all the rest of the start: it runs beside it.
    drop(tokio::task::spawn_blocking(|| crate::context::fill_random(&mut [0; 1])));
    let config = globals.load_config(&flags)?;
    telemetry::start_logs(&config.log).map_err(CliError::Usage)?;
    let (lock, app) = open_app(config).await?;
    if read_sandbox_flag(&app).await? {
        return Err(CliError::Usage(
            "this store is a sandbox's: its world is not real, `serve` refuses it".into(),
        ));
    }
    upsert_providers(&app).await?;
    let server = app.config().server.clone();
    let listeners = BoundListeners {
        public: bind(&server.listen, "--listen").await?,
        admin: bind(&server.admin_listen, "--admin-listen").await?,
        local: bind_admin_socket(app.config())?,
        probes: bind(&server.probe_listen, "--probe-listen").await?,
    };
    let socket = listeners.local.as_ref().map(|socket| socket.path().display().to_string());
    let node = Node::start(&app, listeners).context("cannot start the hub")?;
    tracing::info!(address = %node.address, admin = %node.admin, socket, probes = %node.probes, public_url = app.public_url(), "serving");
    wait_for_stop_signal().await;
    tracing::info!("stopping");
    if node.stop().await == ShutdownOutcome::GraceExceeded {
        tracing::warn!("some requests took longer than the grace and were cut off");
    }
    drop(lock);
    Ok(())
}
