//! `bowline partner`

use clap::Subcommand;
use serde_json::{Value, json};

use super::admin_client::AdminClient;
use super::args::{ClientIdArgs, PageArgs, build_filtered_path, build_path};
use super::error::CliError;

/// Manages partners: they register and look after data recipients through the API.
#[derive(Subcommand, Debug)]
pub(super) enum PartnerCommand {
    /// Register a partner. Its secret is printed once and cannot be shown again.
    #[command(after_help = "Example:\n  bowline partner add --name 'Flock of Apps'")]
    Add {
        /// Its name.
        #[arg(long)]
        name: String,
    },
    /// List partners.
    #[command(after_help = "Example:\n  bowline partner list --limit 100")]
    List(PageArgs),
    /// Show a partner.
    #[command(after_help = "Example:\n  bowline partner show pt-1")]
    Show(ClientIdArgs),
    /// Give a partner a new secret: the old one and its tokens are void at once.
    #[command(after_help = "Example:\n  bowline partner secret pt-1")]
    Secret(ClientIdArgs),
    /// Hold a partner: it may look at connections and end them, and nothing else.
    #[command(after_help = "Example:\n  bowline partner suspend pt-1")]
    Suspend(ClientIdArgs),
    /// Let a partner go on.
    #[command(after_help = "Example:\n  bowline partner reinstate pt-1")]
    Reinstate(ClientIdArgs),
}

pub(super) async fn run(admin: &AdminClient, command: PartnerCommand) -> Result<(), CliError> {
    match command {
        PartnerCommand::Add { name } => {
            let added = admin.post_json("/partners", &json!({"name": name})).await?;
            show_secret(admin, &added, &added["partner"]["client_id"]);
        }
        PartnerCommand::List(page) => {
            let list = build_filtered_path("/partners", &[("limit", &page.limit), ("after", &page.after)]);
            admin.output.print_page(&admin.get(&list).await?, &["client_id", "name", "state", "created_at"]);
        }
        PartnerCommand::Show(client) => {
            admin.output.print_object(&admin.get(&build_path(&["partners", &client.id])).await?);
        }
        PartnerCommand::Secret(client) => regenerate_secret(admin, "partners", &client.id).await?,
        PartnerCommand::Suspend(client) => {
            change_client_state(admin, "partners", &client.id, "suspend").await?;
        }
        PartnerCommand::Reinstate(client) => {
            change_client_state(admin, "partners", &client.id, "reinstate").await?;
        }
    }
    Ok(())
}

/// Takes a step with a client, and shows where it stands.
pub(super) async fn change_client_state(
    admin: &AdminClient,
    kind: &str,
    id: &str,
    step: &str,
) -> Result<(), CliError> {
    let client = admin.post(&build_path(&[kind, id, step])).await?;
    admin.output.print_fields(&client, &["client_id", "state"]);
    Ok(())
}

/// Gives a client a new secret, and shows it.
pub(super) async fn regenerate_secret(admin: &AdminClient, kind: &str, id: &str) -> Result<(), CliError> {
    let renewed = admin.post(&build_path(&[kind, id, "secret"])).await?;
    show_secret(admin, &renewed, &renewed["client_id"]);
    Ok(())
}

/// Shows an answer that holds a client's secret.
pub(super) fn show_secret(admin: &AdminClient, response: &Value, id: &Value) {
    if admin.output.is_json() {
        admin.output.print_json(response);
        return;
    }
    admin.output.print_object(&json!({"client_id": id, "client_secret": response["client_secret"]}));
    admin.output.print_note("Keep the secret: it is not stored and cannot be shown again.");
}
