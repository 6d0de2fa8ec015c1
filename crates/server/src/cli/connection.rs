//! `bowline connection`

use clap::Subcommand;

use super::Failure;
use super::given::{Paging, filtered, id, path};
use super::reach::Desk;

/// Finds, shows and ends connections.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// List connections, the newest first.
    #[command(after_help = "Example:\n  bowline connection list --client dc-1 --state active")]
    List(List),
    /// Show everything that is known of a connection.
    #[command(after_help = "Example:\n  bowline connection show con_1")]
    Show(Which),
    /// End a connection: its tokens die at once and the bank is told.
    #[command(after_help = "Example:\n  bowline connection end con_1 --dry-run")]
    End(End),
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct List {
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
    #[command(flatten)]
    page: Paging,
}

/// Which one.
#[derive(clap::Args, Debug)]
pub(super) struct Which {
    /// The connection's id.
    #[arg(value_name = "CONNECTION_ID", value_parser = id)]
    id: String,
}

/// Which one, and whether in earnest.
#[derive(clap::Args, Debug)]
pub(super) struct End {
    #[command(flatten)]
    which: Which,
    /// Say what it would come to, and end nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(desk: &Desk, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(List { client, provider, sub, state, page }) => {
            let given = [
                ("client_id", &client),
                ("provider_id", &provider),
                ("sub", &sub),
                ("state", &state),
                ("limit", &page.limit),
                ("after", &page.after),
            ];
            let columns =
                ["id", "state", "client_id", "provider_id", "created_at", "ended_at", "cause", "bank"];
            desk.show_page(&desk.get(&filtered("/connections", &given)).await?, &columns);
        }
        Command::Show(which) => desk.show_all(&desk.get(&path(&["connections", &which.id])).await?),
        Command::End(End { which, dry_run }) => {
            let end = format!("{}?dry_run={dry_run}", path(&["connections", &which.id, "end"]));
            desk.show_line(&desk.post(&end).await?, &["connection.id", "outcome"]);
        }
    }
    Ok(())
}
