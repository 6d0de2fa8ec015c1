//! The command `bowline partner`, which manages partners through the admin API.

use clap::Subcommand;
use serde_json::json;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_path, parse_id};
use super::client::{change_client_state, print_secret, rotate_secret};
use super::error::CliError;

/// The commands that manage partners.
#[derive(Subcommand, Debug)]
pub(super) enum PartnerCommand {
    /// Add a partner and print its secret, which cannot be shown again
    #[command(after_help = "Example:\n  bowline partner add --name 'Flock of Apps'")]
    Add {
        /// Name of the partner, as operators see it in lists
        #[arg(long)]
        name: String,
    },
    /// List partners with their states, newest first
    #[command(after_help = "Example:\n  bowline partner list --limit 100")]
    List(PageArgs),
    /// Show the name, the state and the time of creation of a partner, but not its secret
    #[command(after_help = "Example:\n  bowline partner show pt-1")]
    Show(PartnerIdArgs),
    /// Rotate the secret of a partner and print the new one; the old secret and the tokens of the partner are revoked
    /// immediately
    #[command(after_help = "Example:\n  bowline partner secret pt-1")]
    Secret(PartnerIdArgs),
    /// Suspend a partner: it can only list, show and end connections; its recipients are not affected
    #[command(after_help = "Example:\n  bowline partner suspend pt-1")]
    Suspend(PartnerIdArgs),
    /// Reinstate a suspended partner: it can manage its recipients again
    #[command(after_help = "Example:\n  bowline partner reinstate pt-1")]
    Reinstate(PartnerIdArgs),
}

/// The argument with the id of a partner.
#[derive(clap::Args, Debug)]
pub(super) struct PartnerIdArgs {
    /// Client id of the partner, as `partner list` prints it
    #[arg(value_name = "CLIENT_ID", value_parser = parse_id)]
    id: String,
}

pub(super) async fn run(admin: &AdminClient, command: PartnerCommand) -> Result<(), CliError> {
    match command {
        PartnerCommand::Add { name } => {
            let added = admin.post_json("/partners", &json!({"name": name})).await?;
            print_secret(admin, &added, &added["partner"]["client_id"]);
        }
        PartnerCommand::List(page) => {
            let filters = [("limit", &page.limit), ("after", &page.after)];
            let page = admin.get(&build_filtered_path("/partners", &filters)).await?;
            admin.output.print_page(&page, &["client_id", "name", "state", "created_at"]);
        }
        PartnerCommand::Show(client) => {
            admin.output.print_object(&admin.get(&build_path(&["partners", &client.id])).await?);
        }
        PartnerCommand::Secret(client) => rotate_secret(admin, "partners", &client.id).await?,
        PartnerCommand::Suspend(client) => {
            change_client_state(admin, "partners", &client.id, "suspend").await?;
        }
        PartnerCommand::Reinstate(client) => {
            change_client_state(admin, "partners", &client.id, "reinstate").await?;
        }
    }
    Ok(())
}
