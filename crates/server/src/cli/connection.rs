//! `bowline connection`

use clap::Subcommand;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_path, parse_id};
use super::error::CliError;

/// Finds, shows and ends connections.
#[derive(Subcommand, Debug)]
pub(super) enum ConnectionCommand {
    /// List connections, the newest first.
    #[command(after_help = "Example:\n  bowline connection list --client dc-1 --state active")]
    List(ListConnectionsArgs),
    /// Show everything that is known of a connection.
    #[command(after_help = "Example:\n  bowline connection show con_1")]
    Show(ConnectionIdArgs),
    /// End a connection: its tokens die at once and the bank is told.
    #[command(after_help = "Example:\n  bowline connection end con_1 --dry-run")]
    End(EndConnectionArgs),
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct ListConnectionsArgs {
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
    page: PageArgs,
}

/// Which one.
#[derive(clap::Args, Debug)]
pub(super) struct ConnectionIdArgs {
    /// The connection's id.
    #[arg(value_name = "CONNECTION_ID", value_parser = parse_id)]
    id: String,
}

/// Which one, and whether in earnest.
#[derive(clap::Args, Debug)]
pub(super) struct EndConnectionArgs {
    #[command(flatten)]
    which: ConnectionIdArgs,
    /// Say what it would come to, and end nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(admin: &AdminClient, command: ConnectionCommand) -> Result<(), CliError> {
    match command {
        ConnectionCommand::List(ListConnectionsArgs { client, provider, sub, state, page }) => {
            let given = [
                ("client_id", &client),
                ("provider_id", &provider),
                ("sub", &sub),
                ("state", &state),
                ("limit", &page.limit),
                ("after", &page.after),
            ];
            let columns = [
                "id",
                "state",
                "client_id",
                "provider_id",
                "created_at",
                "ended_at",
                "cause",
                "provider_revocation",
            ];
            admin
                .output
                .print_page(&admin.get(&build_filtered_path("/connections", &given)).await?, &columns);
        }
        ConnectionCommand::Show(connection) => {
            admin.output.print_object(&admin.get(&build_path(&["connections", &connection.id])).await?);
        }
        ConnectionCommand::End(EndConnectionArgs { which, dry_run }) => {
            let end = format!("{}?dry_run={dry_run}", build_path(&["connections", &which.id, "end"]));
            admin.output.print_fields(&admin.post(&end).await?, &["connection.id", "outcome"]);
        }
    }
    Ok(())
}
