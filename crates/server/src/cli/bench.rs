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

use super::start::passing_folder;
use super::{Failure, Globals};
use crate::ctx::Ctx;
use crate::job;
use load::{Figures, callers, requests};
use report::{Report, Row};
use world::{Held, Site, TOLD, UNTOLD};

/// Measures the hub on this machine: each operation over HTTP, beside its floor measured in the same run.
///
/// The load runs in the same process and on the same cores as the hub and its bank: read the shares, not the
/// absolute numbers.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  bowline bench\n  bowline bench --connections 1000,1000000 --callers 1,16,64,256 --markdown docs/benchmarks.md\n  bowline bench --store sqlite --store postgres://bench@127.0.0.1/empty_database"
)]
pub(super) struct Args {
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

pub(super) async fn run(globals: &Globals, args: Args) -> Result<(), Failure> {
    if args.callers.contains(&0) || args.requests < 100 {
        return Err(Failure::Usage(
            "--callers and --requests: expected at least one caller and 100 requests".into(),
        ));
    }
    if !args.connections.is_sorted() || args.connections.contains(&0) {
        return Err(Failure::Usage("--connections: expected numbers above 0, the smaller first".into()));
    }
    let mut report = Report::new(&args);
    for (nth, store) in args.store.iter().enumerate() {
        let place = args.data.clone().unwrap_or_else(std::env::temp_dir);
        std::fs::create_dir_all(&place).map_err(|e| Failure::Usage(format!("{}: {e}", place.display())))?;
        let folder = passing_folder(&place, &format!("bench-{nth}"))?;
        let url = match store.as_str() {
            "sqlite" => format!("sqlite:{}", folder.join("bowline.db").display()),
            url => url.to_owned(),
        };
        let measured = measure(&args, &folder, &url, &mut report, globals).await;
        let _ = std::fs::remove_dir_all(&folder);
        measured?;
    }
    if let Some(file) = &args.markdown {
        std::fs::write(file, report.markdown())
            .map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
    }
    if globals.json {
        println!("{}", report.json());
    } else {
        println!("{}", report.text());
    }
    Ok(())
}

/// The most connections that are asked for in turn: beside more, the others only lie there.
const HELD: usize = 8_000;

async fn measure(
    args: &Args,
    folder: &Path,
    store: &str,
    report: &mut Report,
    globals: &Globals,
) -> Result<(), Failure> {
    report.note(store, 0, "4 KiB appended and synced", start::syncs(folder)?);
    let (most, mut filled) = (number(args.connections.last())?, 0);
    for connections in &args.connections {
        let say = |what: &str| {
            if !globals.quiet {
                eprintln!("{connections} connections: {what}");
            }
        };
        let site = Site::start(folder, store).await?;
        say("filling the store");
        let begun = crate::telemetry::stopwatch();
        let fill = number(Some(&connections.saturating_sub(HELD)))?.max(filled);
        site.fill(filled..fill, most).await?;
        filled = fill;
        let held = site.seed(HELD.min(*connections), UNTOLD, false).await?;
        report.note(store, *connections, "seconds to fill the store", begun.elapsed().as_secs_f64());
        let only = args.only.clone().unwrap_or_default();
        let bench = Bench {
            site: &site,
            store,
            connections: *connections,
            held,
            reads: args.requests,
            empty: empty().await?,
            only,
        };
        for count in &args.callers {
            say(&format!("{count} callers"));
            report.rows.extend(bench.with(*count).await?);
        }
        say("ends after refreshes");
        for (what, refreshes) in AFTER_REFRESHES {
            report.note(store, *connections, what, bench.end_after(refreshes).await?);
        }
        let config = site.stop().await;
        say("starting the program");
        let (ready, memory) = start::of_the_program(&config).await?;
        report.note(store, *connections, "ms from start to ready", ready);
        report.note(store, *connections, "MiB of memory when ready", memory);
    }
    Ok(())
}

fn number(count: Option<&usize>) -> Result<i64, Failure> {
    let count = count.copied().unwrap_or_default();
    i64::try_from(count).map_err(|_| Failure::Usage("--connections: expected a smaller number".into()))
}

/// How often a connection was refreshed before its end is measured.
const AFTER_REFRESHES: [(&str, usize); 4] = [
    ("ms to end a fresh connection", 0),
    ("ms to end one behind 1 refresh", 1),
    ("ms to end one behind 100 refreshes", 100),
    ("ms to end one behind 10,000 refreshes", 10_000),
];

/// The handler that does nothing, behind nothing: the floor of everything that speaks HTTP.
async fn empty() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| Failure::Fault(e.into()))?;
    let address = listener.local_addr().map_err(|e| Failure::Fault(e.into()))?;
    let router = Router::new().route("/", get(|| async {}));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

struct Bench<'a> {
    site: &'a Site,
    store: &'a str,
    connections: usize,
    held: Vec<Held>,
    reads: usize,
    empty: SocketAddr,
    only: String,
}

impl Bench<'_> {
    fn wanted(&self, what: &str) -> bool {
        what.contains(&self.only)
    }

    async fn with(&self, count: usize) -> Result<Vec<Row>, Failure> {
        let row = |what, figures, floor: Option<(&'static str, f64)>| Row {
            store: report::kind(self.store),
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
        let empty = requests(self.empty, count, nothing, 200).await?;
        let http = Some(("empty handler", empty.per_second));
        let touched = self.touch(count, writes).await?;
        let commit = Some(("bare update", touched.per_second));
        let mut rows = vec![row("empty handler", empty, None), row("bare update, no HTTP", touched, None)];
        let own = self.site.token("grant_type=client_credentials");
        for (what, status, asked) in [
            ("token: client_credentials", 200, vec![own; reads]),
            ("token: refresh", 200, self.refreshes(reads)),
            ("access check", 404, self.bearing("/accounts/acc_x", reads)?),
            ("data read", 200, self.bearing("/accounts", writes)?),
        ] {
            if self.wanted(what) {
                rows.push(row(what, self.ask(count, asked, status).await?, http));
            }
        }
        if self.wanted("token: code exchange") {
            let pending = self.site.seed(writes, UNTOLD, true).await?;
            let exchanges = pending.iter().map(|h| self.site.exchange(&h.secret)).collect();
            rows.push(row("token: code exchange", self.ask(count, exchanges, 200).await?, commit));
        }
        for (what, provider) in [("revoke", UNTOLD), ("revoke, bank told", TOLD)] {
            if self.wanted(what) {
                let held = self.site.seed(writes, provider, false).await?;
                rows.push(row(what, self.ask(count, self.ends(&held)?, 204).await?, commit));
            }
        }
        Ok(rows)
    }

    async fn ask(&self, count: usize, asked: Vec<Bytes>, status: u16) -> Result<Figures, Failure> {
        requests(self.site.node.address, count, asked.into(), status).await
    }

    fn ctx(&self) -> Result<Ctx, Failure> {
        job::context(&self.site.app, "bench").map_err(|e| Failure::Fault(e.into()))
    }

    /// Connections in an order that has nothing to do with the one they were made in.
    fn scattered(&self, number: usize) -> impl Iterator<Item = &Held> {
        (0..number).map(|n| &self.held[n.wrapping_mul(7_919) % self.held.len()])
    }

    fn refreshes(&self, number: usize) -> Vec<Bytes> {
        let fields = |h: &Held| format!("grant_type=refresh_token&refresh_token={}", h.secret);
        self.scattered(number).map(|h| self.site.token(&fields(h))).collect()
    }

    fn bearing(&self, path: &str, number: usize) -> Result<Vec<Bytes>, Failure> {
        let ctx = self.ctx()?;
        let path = format!("/api/fdx/5{path}");
        let bearing = |h| Ok(self.site.bearing("GET", &path, &self.site.access_token(&ctx, h)?));
        self.scattered(number).map(bearing).collect()
    }

    fn ends(&self, held: &[Held]) -> Result<Vec<Bytes>, Failure> {
        let ctx = self.ctx()?;
        let end = |h| Ok(self.site.bearing("DELETE", "/api/v1/revoke", &self.site.access_token(&ctx, h)?));
        held.iter().map(end).collect()
    }

    /// The same writer, with the least that can be durable.
    async fn touch(&self, count: usize, number: usize) -> Result<Figures, Failure> {
        let ids: Arc<[_]> = self.scattered(number).map(|h| h.id.clone()).collect();
        let ctx = self.ctx()?;
        callers(count, number, move |nth| {
            let (ctx, id) = (ctx.clone(), ids[nth].clone());
            async move {
                let moment = ctx.moment().map_err(|e| Failure::Fault(e.into()))?;
                ctx.run(TouchConnection { moment, id }).await.map_err(|e| Failure::Fault(e.into()))
            }
        })
        .await
    }

    /// The median time of an end, in milliseconds, of connections that were refreshed so often.
    async fn end_after(&self, refreshes: usize) -> Result<f64, Failure> {
        const TRIES: usize = 10;
        let held = self.site.seed(TRIES, UNTOLD, false).await?;
        if refreshes > 0 {
            for held in &held {
                let fields = format!("grant_type=refresh_token&refresh_token={}", held.secret);
                self.ask(16.min(refreshes), vec![self.site.token(&fields); refreshes], 200).await?;
            }
        }
        Ok(self.ask(1, self.ends(&held)?, 204).await?.p50.as_secs_f64() * 1000.0)
    }
}
