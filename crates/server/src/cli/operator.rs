//! `bowline operator`

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_object, build_path, parse_id};
use super::error::CliError;

/// Looks after those who run the hub.
#[derive(Subcommand, Debug)]
pub(super) enum OperatorCommand {
    /// Print a token that makes the first admin: once, within a day. Refused if there is an admin.
    #[command(
        after_help = "Example:\n  curl -H \"Authorization: Bearer $(bowline operator bootstrap)\" -H 'Content-Type: application/json' \\\n    -d '{\"name\":\"ann\",\"role\":\"admin\"}' http://127.0.0.1:8408/admin/v1/operators"
    )]
    Bootstrap,
    /// List operators, the newest first, those that are gone too.
    #[command(after_help = "Example:\n  bowline operator list")]
    List(PageArgs),
    /// Add an operator. Its token is printed once and cannot be shown again.
    #[command(after_help = "Example:\n  bowline operator add --name ann --role admin")]
    Add(AddOperatorArgs),
    /// Remove an operator: its token is void at once.
    #[command(after_help = "Example:\n  bowline operator remove opr_1")]
    Remove(OperatorIdArgs),
}

/// What is to be known of an operator.
#[derive(clap::Args, Debug)]
pub(super) struct AddOperatorArgs {
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
pub(super) struct OperatorIdArgs {
    /// The operator's id.
    #[arg(value_name = "OPERATOR_ID", value_parser = parse_id)]
    id: String,
}

pub(super) async fn run(admin: &AdminClient, command: OperatorCommand) -> Result<(), CliError> {
    match command {
        OperatorCommand::Bootstrap => {
            let created = admin.post("/operators/bootstrap").await?;
            admin.output.print_fields(&created, &["token"]);
            admin
                .output
                .print_note("It makes the first admin by POST /admin/v1/operators: once, within 24 hours.");
        }
        OperatorCommand::List(page) => {
            let list = build_filtered_path("/operators", &[("limit", &page.limit), ("after", &page.after)]);
            admin.output.print_page(
                &admin.get(&list).await?,
                &["id", "name", "role", "state", "expires_at", "ended_at"],
            );
        }
        OperatorCommand::Add(AddOperatorArgs { name, role, expires_at }) => {
            let body = build_object([
                ("name", json!(name)),
                ("role", json!(role)),
                ("expires_at", json!(expires_at)),
            ]);
            let added = admin.post_json("/operators", &body).await?;
            if admin.output.is_json() {
                admin.output.print_json(&added);
            } else {
                admin.output.print_object(&json!({"id": added["operator"]["id"], "token": added["token"]}));
                admin.output.print_note("Keep the token: it is not stored and cannot be shown again.");
            }
        }
        OperatorCommand::Remove(operator) => {
            admin.call(Method::DELETE, &build_path(&["operators", &operator.id]), None).await?;
            admin.output.print_fields(&json!({"id": operator.id, "outcome": "removed"}), &["id", "outcome"]);
        }
    }
    Ok(())
}
