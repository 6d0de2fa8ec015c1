//! `bowline connection`

use clap::Subcommand;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_path, parse_id};
use super::error::CliError;

/// Commands on connections.
#[derive(Subcommand, Debug)]
pub(super) enum ConnectionCommand {
    /// List connections, newest first
    #[command(after_help = "Example:\n  bowline connection list --client dc-1 --state active")]
    List(ListConnectionsArgs),
    /// Show a connection with its terms, jobs and audit events
    #[command(after_help = "Example:\n  bowline connection show con_1")]
    Show(ConnectionIdArgs),
    /// End a connection: its tokens are revoked immediately, and the provider is notified
    #[command(after_help = "Example:\n  bowline connection end con_1 --dry-run")]
    End(EndConnectionArgs),
}

/// Filters of `connection list`.
#[derive(clap::Args, Debug)]
pub(super) struct ListConnectionsArgs {
    /// Client id of the recipient
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// Select results of the provider with this id
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    /// Subject identifier of the customer, as the recipient knows it
    #[arg(long)]
    sub: Option<String>,
    /// State: `pending`, `active`, `revoked`, `expired` or `abandoned`
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// The argument with the id of a connection.
#[derive(clap::Args, Debug)]
pub(super) struct ConnectionIdArgs {
    /// Id of the connection, as `connection list` prints it
    #[arg(value_name = "CONNECTION_ID", value_parser = parse_id)]
    id: String,
}

/// Arguments of `connection end`.
#[derive(clap::Args, Debug)]
pub(super) struct EndConnectionArgs {
    #[command(flatten)]
    connection: ConnectionIdArgs,
    /// Print the result without ending the connection
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(admin: &AdminClient, command: ConnectionCommand) -> Result<(), CliError> {
    match command {
        ConnectionCommand::List(ListConnectionsArgs { client, provider, sub, state, page }) => {
            let filters = [
                ("client_id", &client),
                ("provider_id", &provider),
                ("sub", &sub),
                ("state", &state),
                ("limit", &page.limit),
                ("after", &page.after),
            ];
            let page = admin.get(&build_filtered_path("/connections", &filters)).await?;
            admin.output.print_page(&page, &LIST_COLUMNS);
        }
        ConnectionCommand::Show(connection) => {
            admin.output.print_object(&admin.get(&build_path(&["connections", &connection.id])).await?);
        }
        ConnectionCommand::End(EndConnectionArgs { connection, dry_run }) => {
            let path = build_path(&["connections", &connection.id, "end"]);
            let result = admin.post(&format!("{path}?dry_run={dry_run}")).await?;
            admin.output.print_fields(&result, &["connection.id", "outcome"]);
        }
    }
    Ok(())
}

const LIST_COLUMNS: [&str; 8] =
    ["id", "state", "client_id", "provider_id", "created_at", "ended_at", "cause", "provider_revocation"];
