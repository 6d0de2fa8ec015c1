//! `bowline job`

use clap::Subcommand;
use http::Method;

use super::reach::{Hub, Reach, operator, page, query, told};
use super::{Failure, Globals};
use crate::admin::job;

/// Looks at deferred work, and after what was given up.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List jobs, the newest first.
    List(List),
    /// Have a job tried again that was given up.
    Retry(Retry),
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    hub: Hub,
    /// pending, done or dead.
    #[arg(long)]
    state: Option<String>,
    /// `tell_bank`, `revoke_orphan` or `recover_code`.
    #[arg(long)]
    kind: Option<String>,
    /// For this provider.
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    /// At most so many.
    #[arg(long)]
    limit: Option<String>,
    /// Where the former list ended.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
}

/// Which one.
#[derive(clap::Args, Debug)]
pub(super) struct Retry {
    #[command(flatten)]
    hub: Hub,
    /// The job's id.
    id: String,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(list) => run_list(globals, list).await,
        Command::Retry(retry) => {
            let id: String = form_urlencoded::byte_serialize(retry.id.as_bytes()).collect();
            let retried = match retry.hub.reach(globals).await? {
                Reach::Running(hub) => hub.call(Method::POST, &format!("/jobs/{id}/retry")).await?,
                Reach::Store(ctx, _lock) => told(job::retry(&ctx, &retry.id, operator()).await)?,
            };
            if globals.json {
                println!("{retried}");
            } else {
                println!("{}  {}", retry.id, retried["outcome"].as_str().unwrap_or_default());
            }
            Ok(())
        }
    }
}

async fn run_list(globals: &Globals, list: List) -> Result<(), Failure> {
    let query = query(&[
        ("state", list.state),
        ("kind", list.kind),
        ("provider_id", list.provider),
        ("limit", list.limit),
        ("after", list.after),
    ]);
    let found = match list.hub.reach(globals).await? {
        Reach::Running(hub) => hub.call(Method::GET, &format!("/jobs?{query}")).await?,
        Reach::Store(ctx, _lock) => told(job::list(&ctx, Some(&query)).await)?,
    };
    page(
        globals,
        &found,
        &["id", "state", "kind", "connection_id", "provider_id", "attempts", "due_at", "outcome"],
    );
    Ok(())
}
