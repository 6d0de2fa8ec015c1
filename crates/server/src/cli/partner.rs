//! `bowline partner`

use clap::Subcommand;
use serde_json::json;

use super::admin_client::AdminClient;
use super::args::{ClientIdArgs, PageArgs, build_filtered_path, build_path};
use super::client::{change_client_state, print_secret, rotate_secret};
use super::error::CliError;

/// Commands on partners.
#[derive(Subcommand, Debug)]
pub(super) enum PartnerCommand {
    /// Add a partner and print its secret, which cannot be shown again
    #[command(after_help = "Example:\n  bowline partner add --name 'Flock of Apps'")]
    Add {
        /// Name of the partner
        #[arg(long)]
        name: String,
    },
    /// List partners
    #[command(after_help = "Example:\n  bowline partner list --limit 100")]
    List(PageArgs),
    /// Show a partner
    #[command(after_help = "Example:\n  bowline partner show pt-1")]
    Show(ClientIdArgs),
    /// Rotate the secret of a partner: the old secret and its tokens are revoked immediately
    #[command(after_help = "Example:\n  bowline partner secret pt-1")]
    Secret(ClientIdArgs),
    /// Suspend a partner: it can only list, show and end connections
    #[command(after_help = "Example:\n  bowline partner suspend pt-1")]
    Suspend(ClientIdArgs),
    /// Reinstate a suspended partner
    #[command(after_help = "Example:\n  bowline partner reinstate pt-1")]
    Reinstate(ClientIdArgs),
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
