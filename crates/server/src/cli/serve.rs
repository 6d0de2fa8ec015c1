//! The command `bowline serve`, which runs the hub until a signal stops it.

use anyhow::Context;

use super::error::CliError;
use super::globals::GlobalArgs;
use super::hub::{create_or_open_hub, upsert_providers};
use super::listeners::{bind, bind_admin_socket};
use super::reload::reload;
use super::stop_signals::{HubSignal, StopSignals};
use crate::server::{BoundListeners, Node, ShutdownOutcome};
use crate::telemetry;

/// Arguments of `serve`. They take precedence over the configuration.
#[derive(clap::Args, Debug)]
pub(super) struct ServeArgs {
    /// Address on which customers, recipients and partners reach the hub [default: `server.listen` of the
    /// configuration]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Address of the admin API, for operators [default: `server.admin_listen` of the configuration]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// Address of `/livez`, `/readyz` and `/metrics`, for the platform [default: `server.probe_listen` of the
    /// configuration]
    #[arg(long, value_name = "ADDRESS:PORT")]
    probe_listen: Option<String>,
    /// URL of the store: `sqlite:PATH` or `postgres://USER@HOST/DATABASE` [default: `store.url` of the configuration]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

pub(super) async fn run(globals: &GlobalArgs, args: ServeArgs) -> Result<(), CliError> {
    let flags = [
        ("server.listen", args.listen),
        ("server.admin_listen", args.admin_listen),
        ("server.probe_listen", args.probe_listen),
        ("store.url", args.store),
    ];
    let flags: Vec<_> = flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let config = globals.load_config(&flags)?;
    telemetry::start_logs(&config.log, globals.use_color_for(&std::io::stderr())).map_err(CliError::Usage)?;
    let (lock, app) = create_or_open_hub(config).await?;
    upsert_providers(&app, &app.config().provider).await?;
    let server = app.config().server.clone();
    let mut stop_signals = StopSignals::install(server.shutdown_grace.duration()).await?;
    let listeners = BoundListeners {
        public: bind(&server.listen, "--listen").await?,
        admin: bind(&server.admin_listen, "--admin-listen").await?,
        local: bind_admin_socket(app.config())?,
        probes: bind(&server.probe_listen, "--probe-listen").await?,
    };
    let socket = listeners.local.as_ref().map(|socket| socket.path().display().to_string());
    let node = Node::start(&app, listeners).context("cannot start the hub")?;
    tracing::info!(address = %node.address, admin = %node.admin, socket, probes = %node.probes, public_url = app.public_url(), "serving");
    while stop_signals.wait().await == HubSignal::Reload {
        reload(globals, &flags, &app).await;
    }
    tracing::info!("stopping");
    if node.stop().await == ShutdownOutcome::GraceExceeded {
        tracing::warn!("some requests exceeded the shutdown grace period and were aborted");
    }
    // No other process may open the store while aborted requests or the store's threads still use it. The kernel
    // releases the lock when this process has ended.
    std::mem::forget(lock);
    Ok(())
}
