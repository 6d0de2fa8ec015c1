//! `bowline connection`

use clap::Subcommand;
use http::Method;

use super::reach::{Hub, Reach, one, operator, page, query, told};
use super::{Failure, Globals};
use crate::admin::connection;

/// Finds, shows and ends connections.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List connections, the newest first.
    List(List),
    /// Show everything that is known of a connection.
    Show(Show),
    /// End a connection: its tokens die at once and the bank is told.
    End(End),
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    hub: Hub,
    /// Of this recipient.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// At this provider.
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    /// Of the customer whom the recipient knows by this name.
    #[arg(long)]
    sub: Option<String>,
    /// pending, active, revoked, expired or abandoned.
    #[arg(long)]
    state: Option<String>,
    /// At most so many.
    #[arg(long)]
    limit: Option<String>,
    /// Where the former list ended.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

/// Which one.
#[derive(clap::Args, Debug)]
pub(super) struct Show {
    #[command(flatten)]
    hub: Hub,
    /// The connection's id.
    id: String,
}

/// Which one, and whether in earnest.
#[derive(clap::Args, Debug)]
pub(super) struct End {
    #[command(flatten)]
    hub: Hub,
    /// The connection's id.
    id: String,
    /// Say what it would come to, and end nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(list) => run_list(globals, list).await,
        Command::Show(show) => {
            let shown = match show.hub.reach(globals).await? {
                Reach::Running(hub) => hub.call(Method::GET, &path(&show.id)).await?,
                Reach::Store(ctx, _lock) => told(connection::show(&ctx, &show.id).await)?,
            };
            one(globals, &shown);
            Ok(())
        }
        Command::End(end) => run_end(globals, end).await,
    }
}

/// The path of a connection; whatever is given as its id stays one segment.
fn path(id: &str) -> String {
    format!("/connections/{}", form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>())
}

async fn run_list(globals: &Globals, list: List) -> Result<(), Failure> {
    let query = query(&[
        ("client_id", list.client),
        ("provider_id", list.provider),
        ("sub", list.sub),
        ("state", list.state),
        ("limit", list.limit),
        ("after", list.after),
    ]);
    let found = match list.hub.reach(globals).await? {
        Reach::Running(hub) => hub.call(Method::GET, &format!("/connections?{query}")).await?,
        Reach::Store(ctx, _lock) => told(connection::list(&ctx, Some(&query)).await)?,
    };
    page(
        globals,
        &found,
        &["id", "state", "client_id", "provider_id", "created_at", "ended_at", "cause", "bank"],
    );
    Ok(())
}

async fn run_end(globals: &Globals, end: End) -> Result<(), Failure> {
    let query = format!("dry_run={}", end.dry_run);
    let ended = match end.hub.reach(globals).await? {
        Reach::Running(hub) => hub.call(Method::POST, &format!("{}/end?{query}", path(&end.id))).await?,
        Reach::Store(ctx, _lock) => told(connection::end(&ctx, &end.id, Some(&query), operator()).await)?,
    };
    if globals.json {
        println!("{ended}");
    } else {
        println!("{}  {}", end.id, ended["outcome"].as_str().unwrap_or_default());
    }
    Ok(())
}
