//! `bowline operator`

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::Failure;
use super::given::{Paging, fields, filtered, id, path};
use super::reach::Desk;
use super::show::json_text;

/// Looks after those who run the hub.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Print a token that makes the first admin: once, within a day. Refused if there is an admin.
    #[command(
        after_help = "Example:\n  curl -H \"Authorization: Bearer $(bowline operator bootstrap)\" -H 'Content-Type: application/json' \\\n    -d '{\"name\":\"ann\",\"role\":\"admin\"}' http://127.0.0.1:8408/admin/v1/operators"
    )]
    Bootstrap,
    /// List operators, the newest first, those that are gone too.
    #[command(after_help = "Example:\n  bowline operator list")]
    List(Paging),
    /// Add an operator. Its token is printed once and cannot be shown again.
    #[command(after_help = "Example:\n  bowline operator add --name ann --role admin")]
    Add(Add),
    /// Remove an operator: its token is void at once.
    #[command(after_help = "Example:\n  bowline operator remove opr_1")]
    Remove(Which),
}

/// What is to be known of an operator.
#[derive(clap::Args, Debug)]
pub(super) struct Add {
    /// Its name.
    #[arg(long)]
    name: String,
    /// What it may do: viewer, operator or admin.
    #[arg(long)]
    role: String,
    /// Until when its token lives, in RFC 3339; 90 days if nothing is said.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

/// Which one.
#[derive(clap::Args, Debug)]
pub(super) struct Which {
    /// The operator's id.
    #[arg(value_name = "OPERATOR_ID", value_parser = id)]
    id: String,
}

pub(super) async fn run(desk: &Desk, command: Command) -> Result<(), Failure> {
    match command {
        Command::Bootstrap => {
            let made = desk.post("/operators/bootstrap").await?;
            desk.show_line(&made, &["token"]);
            desk.say("It makes the first admin by POST /admin/v1/operators: once, within 24 hours.");
        }
        Command::List(page) => {
            let list = filtered("/operators", &[("limit", &page.limit), ("after", &page.after)]);
            desk.show_page(
                &desk.get(&list).await?,
                &["id", "name", "role", "state", "expires_at", "ended_at"],
            );
        }
        Command::Add(Add { name, role, expires_at }) => {
            let body =
                fields([("name", json!(name)), ("role", json!(role)), ("expires_at", json!(expires_at))]);
            let added = desk.post_json("/operators", &body).await?;
            if desk.globals.json {
                println!("{}", json_text(&added));
            } else {
                desk.show_all(&json!({"id": added["operator"]["id"], "token": added["token"]}));
                desk.say("Keep the token: it is not stored and cannot be shown again.");
            }
        }
        Command::Remove(which) => {
            desk.call(Method::DELETE, &path(&["operators", &which.id]), None).await?;
            desk.show_line(&json!({"id": which.id, "outcome": "removed"}), &["id", "outcome"]);
        }
    }
    Ok(())
}
