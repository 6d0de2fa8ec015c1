//! `bowline bench`: what each operation costs here, beside its floor measured in the same run.

mod load;
mod report;
mod start;
mod world;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use store::command::TouchConnection;
use tokio::net::TcpListener;

use super::error::CliError;
use super::globals::GlobalArgs;
use super::private_files::create_temp_dir;
use crate::context::RequestContext;
use crate::jobs;
use load::{LoadStats, run_callers, send_requests};
use report::{BenchReport, BenchRow};
use world::{BenchConnection, BenchHub, NON_REVOKING_PROVIDER, REVOKING_PROVIDER};

/// Measures the hub on this machine: each operation over HTTP, beside its floor measured in the same run.
///
/// The load runs in the same process and on the same cores as the hub and its bank: read the shares, not the
/// absolute numbers.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  bowline bench\n  bowline bench --connections 1000,1000000 --callers 1,16,64,256 --markdown docs/benchmarks.md\n  bowline bench --store sqlite --store postgres://bench@127.0.0.1/empty_database"
)]
pub(super) struct BenchArgs {
    /// A store to fill: `sqlite` for a file of its own that is removed afterwards, or the URL of an empty one.
    /// Several are measured one after the other.
    #[arg(long, value_name = "URL", default_value = "sqlite")]
    store: Vec<String>,
    /// How many connections there are before anything is measured; the store grows from one number to the next.
    #[arg(long, value_delimiter = ',', default_value = "1000", value_name = "NUMBER")]
    connections: Vec<usize>,
    /// How many callers ask at once.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64", value_name = "NUMBER")]
    callers: Vec<usize>,
    /// Requests of a measurement that only reads; what writes takes a quarter of them.
    #[arg(long, default_value_t = 16_000, value_name = "NUMBER")]
    requests: usize,
    /// Measure only the operations whose name contains this, and their floors.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Where the stores are made: the disk that is measured.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Write the tables as Markdown too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

pub(super) async fn run(globals: &GlobalArgs, args: BenchArgs) -> Result<(), CliError> {
    if args.callers.contains(&0) || args.requests < 100 {
        return Err(CliError::Usage(
            "--callers and --requests: expected at least one caller and 100 requests".into(),
        ));
    }
    if !args.connections.is_sorted() || args.connections.contains(&0) {
        return Err(CliError::Usage("--connections: expected numbers above 0, the smaller first".into()));
    }
    let mut report = BenchReport::new(&args);
    for (nth, store) in args.store.iter().enumerate() {
        let place = args.data.clone().unwrap_or_else(std::env::temp_dir);
        std::fs::create_dir_all(&place).map_err(|e| CliError::Usage(format!("{}: {e}", place.display())))?;
        let folder = create_temp_dir(&place, &format!("bench-{nth}"))?;
        let url = match store.as_str() {
            "sqlite" => format!("sqlite:{}", folder.join("bowline.db").display()),
            url => url.to_owned(),
        };
        let measured = measure_store(&args, &folder, &url, &mut report, globals).await;
        let _ = std::fs::remove_dir_all(&folder);
        measured?;
    }
    if let Some(file) = &args.markdown {
        std::fs::write(file, report.render_markdown())
            .map_err(|e| CliError::Usage(format!("{}: {e}", file.display())))?;
    }
    if globals.json {
        println!("{}", report.to_json());
    } else {
        println!("{}", report.render_text());
    }
    Ok(())
}

/// The most connections that are asked for in turn: beside more, the others only lie there.
const MAX_ACTIVE_CONNECTIONS: usize = 8_000;

async fn measure_store(
    args: &BenchArgs,
    folder: &Path,
    store: &str,
    report: &mut BenchReport,
    globals: &GlobalArgs,
) -> Result<(), CliError> {
    report.add_note(store, 0, "4 KiB appended and synced", start::measure_syncs_per_second(folder)?);
    let (total, mut filled) = (to_i64(args.connections.last())?, 0);
    for connections in &args.connections {
        let print_progress = |what: &str| {
            if !globals.quiet {
                eprintln!("{connections} connections: {what}");
            }
        };
        let site = BenchHub::start(folder, store).await?;
        print_progress("filling the store");
        let begun = crate::telemetry::monotonic_now();
        let fill = to_i64(Some(&connections.saturating_sub(MAX_ACTIVE_CONNECTIONS)))?.max(filled);
        site.fill_store(filled..fill, total).await?;
        filled = fill;
        let seeded = site
            .seed_connections(MAX_ACTIVE_CONNECTIONS.min(*connections), NON_REVOKING_PROVIDER, false)
            .await?;
        report.add_note(store, *connections, "seconds to fill the store", begun.elapsed().as_secs_f64());
        let only = args.only.clone().unwrap_or_default();
        let bench = Bench {
            site: &site,
            store,
            connections: *connections,
            seeded,
            reads: args.requests,
            empty: start_empty_server().await?,
            only,
        };
        for count in &args.callers {
            print_progress(&format!("{count} callers"));
            report.rows.extend(bench.measure_operations(*count).await?);
        }
        print_progress("ends after refreshes");
        for (what, refreshes) in AFTER_REFRESHES {
            report.add_note(store, *connections, what, bench.measure_end_after(refreshes).await?);
        }
        let config = site.stop().await;
        print_progress("starting the program");
        let (ready, memory) = start::measure_program_start(&config).await?;
        report.add_note(store, *connections, "ms from start to ready", ready);
        report.add_note(store, *connections, "MiB of memory when ready", memory);
    }
    Ok(())
}

fn to_i64(count: Option<&usize>) -> Result<i64, CliError> {
    let count = count.copied().unwrap_or_default();
    i64::try_from(count).map_err(|_| CliError::Usage("--connections: expected a smaller number".into()))
}

/// How often a connection was refreshed before its end is measured.
const AFTER_REFRESHES: [(&str, usize); 4] = [
    ("ms to end a fresh connection", 0),
    ("ms to end one behind 1 refresh", 1),
    ("ms to end one behind 100 refreshes", 100),
    ("ms to end one behind 10,000 refreshes", 10_000),
];

/// The handler that does nothing, behind nothing: the floor of everything that speaks HTTP.
async fn start_empty_server() -> Result<SocketAddr, CliError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| CliError::Internal(e.into()))?;
    let address = listener.local_addr().map_err(|e| CliError::Internal(e.into()))?;
    let router = Router::new().route("/", get(|| async {}));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

struct Bench<'a> {
    site: &'a BenchHub,
    store: &'a str,
    connections: usize,
    seeded: Vec<BenchConnection>,
    reads: usize,
    empty: SocketAddr,
    only: String,
}

impl Bench<'_> {
    fn is_selected(&self, what: &str) -> bool {
        what.contains(&self.only)
    }

    async fn measure_operations(&self, count: usize) -> Result<Vec<BenchRow>, CliError> {
        let row = |what, figures, floor: Option<(&'static str, f64)>| BenchRow {
            store: report::store_label(self.store),
            connections: self.connections,
            callers: count,
            what,
            figures,
            floor,
        };
        let reads = if count == 1 { self.reads / 4 } else { self.reads };
        let writes = reads / 4;
        let nothing: Arc<[Bytes]> =
            vec![Bytes::from_static(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"); reads].into();
        let empty = send_requests(self.empty, count, nothing, 200).await?;
        let http = Some(("empty handler", empty.per_second));
        let touched = self.measure_bare_updates(count, writes).await?;
        let commit = Some(("bare update", touched.per_second));
        let mut rows = vec![row("empty handler", empty, None), row("bare update, no HTTP", touched, None)];
        let own = self.site.build_token_request("grant_type=client_credentials");
        for (what, status, messages) in [
            ("token: client_credentials", 200, vec![own; reads]),
            ("token: refresh", 200, self.build_refresh_requests(reads)),
            ("access check", 404, self.build_data_requests("/accounts/acc_x", reads)?),
            ("data read", 200, self.build_data_requests("/accounts", writes)?),
        ] {
            if self.is_selected(what) {
                rows.push(row(what, self.send_all(count, messages, status).await?, http));
            }
        }
        if self.is_selected("token: code exchange") {
            let pending = self.site.seed_connections(writes, NON_REVOKING_PROVIDER, true).await?;
            let exchanges = pending.iter().map(|h| self.site.build_exchange_request(&h.secret)).collect();
            rows.push(row("token: code exchange", self.send_all(count, exchanges, 200).await?, commit));
        }
        for (what, provider) in [("revoke", NON_REVOKING_PROVIDER), ("revoke, bank told", REVOKING_PROVIDER)]
        {
            if self.is_selected(what) {
                let connections = self.site.seed_connections(writes, provider, false).await?;
                rows.push(row(
                    what,
                    self.send_all(count, self.build_end_requests(&connections)?, 204).await?,
                    commit,
                ));
            }
        }
        Ok(rows)
    }

    async fn send_all(&self, count: usize, messages: Vec<Bytes>, status: u16) -> Result<LoadStats, CliError> {
        send_requests(self.site.node.address, count, messages.into(), status).await
    }

    fn ctx(&self) -> Result<RequestContext, CliError> {
        jobs::new_job_context(&self.site.app, "bench").map_err(|e| CliError::Internal(e.into()))
    }

    /// Connections in an order that has nothing to do with the one they were made in.
    fn iter_scattered(&self, number: usize) -> impl Iterator<Item = &BenchConnection> {
        (0..number).map(|n| &self.seeded[n.wrapping_mul(7_919) % self.seeded.len()])
    }

    fn build_refresh_requests(&self, number: usize) -> Vec<Bytes> {
        let fields = |h: &BenchConnection| format!("grant_type=refresh_token&refresh_token={}", h.secret);
        self.iter_scattered(number).map(|h| self.site.build_token_request(&fields(h))).collect()
    }

    fn build_data_requests(&self, path: &str, number: usize) -> Result<Vec<Bytes>, CliError> {
        let ctx = self.ctx()?;
        let path = format!("/api/fdx/5{path}");
        let build =
            |h| Ok(self.site.build_bearer_request("GET", &path, &self.site.sign_access_token(&ctx, h)?));
        self.iter_scattered(number).map(build).collect()
    }

    fn build_end_requests(&self, connections: &[BenchConnection]) -> Result<Vec<Bytes>, CliError> {
        let ctx = self.ctx()?;
        let end = |h| {
            Ok(self.site.build_bearer_request(
                "DELETE",
                "/api/v1/revoke",
                &self.site.sign_access_token(&ctx, h)?,
            ))
        };
        connections.iter().map(end).collect()
    }

    /// The same writer, with the least that can be durable.
    async fn measure_bare_updates(&self, count: usize, number: usize) -> Result<LoadStats, CliError> {
        let ids: Arc<[_]> = self.iter_scattered(number).map(|h| h.id.clone()).collect();
        let ctx = self.ctx()?;
        run_callers(count, number, move |nth| {
            let (ctx, id) = (ctx.clone(), ids[nth].clone());
            async move {
                let moment = ctx.new_moment().map_err(|e| CliError::Internal(e.into()))?;
                ctx.run(TouchConnection { moment, id }).await.map_err(|e| CliError::Internal(e.into()))
            }
        })
        .await
    }

    /// The median time of an end, in milliseconds, of connections that were refreshed so often.
    async fn measure_end_after(&self, refreshes: usize) -> Result<f64, CliError> {
        const TRIES: usize = 10;
        let connections = self.site.seed_connections(TRIES, NON_REVOKING_PROVIDER, false).await?;
        if refreshes > 0 {
            for connection in &connections {
                let fields = format!("grant_type=refresh_token&refresh_token={}", connection.secret);
                self.send_all(
                    16.min(refreshes),
                    vec![self.site.build_token_request(&fields); refreshes],
                    200,
                )
                .await?;
            }
        }
        Ok(self.send_all(1, self.build_end_requests(&connections)?, 204).await?.p50.as_secs_f64() * 1000.0)
    }
}
