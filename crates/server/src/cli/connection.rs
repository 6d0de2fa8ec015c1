//! The command `bowline connection`, which lists, shows and ends connections through the admin API.

use clap::Subcommand;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_path, parse_id};
use super::error::CliError;

/// The commands that list, show and end connections.
#[derive(Subcommand, Debug)]
pub(super) enum ConnectionCommand {
    /// List the connections that match every filter, newest first, including ended ones
    #[command(after_help = "Example:\n  bowline connection list --client dc-1 --state active")]
    List(ListConnectionsArgs),
    /// Show a connection with its terms, jobs and audit events
    #[command(after_help = "Example:\n  bowline connection show con_1")]
    Show(ConnectionIdArgs),
    /// End a connection: its tokens are revoked immediately, and the provider is notified
    #[command(after_help = "Example:\n  bowline connection end con_1 --dry-run")]
    End(EndConnectionArgs),
}

/// The filters of `connection list`. A connection must match all of them.
#[derive(clap::Args, Debug)]
pub(super) struct ListConnectionsArgs {
    /// Select connections of the recipient with this client id
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// Select connections with the provider that has this id
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    /// Select connections of the customer with this subject identifier, a UUID that differs for each recipient
    #[arg(long)]
    sub: Option<String>,
    /// Select connections in this state: `pending`, `active`, `revoked`, `expired` or `abandoned`
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

/// The arguments of `connection end`.
#[derive(clap::Args, Debug)]
pub(super) struct EndConnectionArgs {
    #[command(flatten)]
    connection: ConnectionIdArgs,
    /// Print the result that the command would have, without ending the connection
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
