//! `bowline partner`

use clap::Subcommand;
use serde_json::{Value, json};

use super::Failure;
use super::given::{Client, Paging, filtered, path};
use super::reach::Desk;
use super::show::json_text;

/// Manages partners: they register and look after data recipients through the API.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Register a partner. Its secret is printed once and cannot be shown again.
    #[command(after_help = "Example:\n  bowline partner add --name 'Flock of Apps'")]
    Add {
        /// Its name.
        #[arg(long)]
        name: String,
    },
    /// List partners.
    #[command(after_help = "Example:\n  bowline partner list --limit 100")]
    List(Paging),
    /// Show a partner.
    #[command(after_help = "Example:\n  bowline partner show pt-1")]
    Show(Client),
    /// Give a partner a new secret: the old one and its tokens are void at once.
    #[command(after_help = "Example:\n  bowline partner secret pt-1")]
    Secret(Client),
    /// Hold a partner: it may look at connections and end them, and nothing else.
    #[command(after_help = "Example:\n  bowline partner suspend pt-1")]
    Suspend(Client),
    /// Let a partner go on.
    #[command(after_help = "Example:\n  bowline partner reinstate pt-1")]
    Reinstate(Client),
}

pub(super) async fn run(desk: &Desk, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { name } => {
            let added = desk.post_json("/partners", &json!({"name": name})).await?;
            show_secret(desk, &added, &added["partner"]["client_id"]);
        }
        Command::List(page) => {
            let list = filtered("/partners", &[("limit", &page.limit), ("after", &page.after)]);
            desk.show_page(&desk.get(&list).await?, &["client_id", "name", "state", "created_at"]);
        }
        Command::Show(of) => desk.show_all(&desk.get(&path(&["partners", &of.id])).await?),
        Command::Secret(of) => renew(desk, "partners", &of.id).await?,
        Command::Suspend(of) => step(desk, "partners", &of.id, "suspend").await?,
        Command::Reinstate(of) => step(desk, "partners", &of.id, "reinstate").await?,
    }
    Ok(())
}

/// Takes a step with a client, and shows where it stands.
pub(super) async fn step(desk: &Desk, kind: &str, id: &str, step: &str) -> Result<(), Failure> {
    let client = desk.post(&path(&[kind, id, step])).await?;
    desk.show_line(&client, &["client_id", "state"]);
    Ok(())
}

/// Gives a client a new secret, and shows it.
pub(super) async fn renew(desk: &Desk, kind: &str, id: &str) -> Result<(), Failure> {
    let renewed = desk.post(&path(&[kind, id, "secret"])).await?;
    show_secret(desk, &renewed, &renewed["client_id"]);
    Ok(())
}

/// Shows an answer that holds a client's secret.
pub(super) fn show_secret(desk: &Desk, answer: &Value, id: &Value) {
    if desk.globals.json {
        println!("{}", json_text(answer));
        return;
    }
    desk.show_all(&json!({"client_id": id, "client_secret": answer["client_secret"]}));
    desk.say("Keep the secret: it is not stored and cannot be shown again.");
}
