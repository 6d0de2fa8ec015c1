//! `bowline job`

use clap::Subcommand;

use super::Failure;
use super::given::{Paging, filtered, id, path};
use super::reach::Desk;

/// Looks at deferred work, and after what was given up.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List jobs, the newest first.
    #[command(after_help = "Example:\n  bowline job list --state dead")]
    List(List),
    /// Have a job tried again that was given up.
    #[command(after_help = "Example:\n  bowline job retry job_1")]
    Retry(Which),
    /// Close a job that was given up: its sealed token is gone, and the bank stays untold.
    #[command(after_help = "Example:\n  bowline job close job_1")]
    Close(Which),
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct List {
    /// pending, done or dead.
    #[arg(long)]
    state: Option<String>,
    /// `tell_bank`, `revoke_orphan`, `recover_code`, `register_client` or `delete_client`.
    #[arg(long)]
    kind: Option<String>,
    /// For this provider.
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    #[command(flatten)]
    page: Paging,
}

/// Which one.
#[derive(clap::Args, Debug)]
pub(super) struct Which {
    /// The job's id.
    #[arg(value_name = "JOB_ID", value_parser = id)]
    id: String,
}

pub(super) async fn run(desk: &Desk, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(List { state, kind, provider, page }) => {
            let given = [
                ("state", &state),
                ("kind", &kind),
                ("provider_id", &provider),
                ("limit", &page.limit),
                ("after", &page.after),
            ];
            let columns = [
                "id",
                "state",
                "kind",
                "connection_id",
                "client_id",
                "provider_id",
                "attempts",
                "due_at",
                "outcome",
            ];
            desk.show_page(&desk.get(&filtered("/jobs", &given)).await?, &columns);
        }
        Command::Retry(which) => settle(desk, &which.id, "retry").await?,
        Command::Close(which) => settle(desk, &which.id, "close").await?,
    }
    Ok(())
}

async fn settle(desk: &Desk, id: &str, word: &str) -> Result<(), Failure> {
    desk.show_line(&desk.post(&path(&["jobs", id, word])).await?, &["id", "outcome"]);
    Ok(())
}
