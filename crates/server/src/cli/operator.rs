//! The command `bowline operator`, which adds, lists and removes operators through the admin API.

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_object, build_path, parse_id};
use super::error::CliError;
use super::output::print_json;

/// The commands that add, list and remove operators.
#[derive(Subcommand, Debug)]
pub(super) enum OperatorCommand {
    /// Print a token that can add the first admin, once and within 24 hours; fails if an admin already exists
    #[command(
        after_help = "Example:\n  curl -H \"Authorization: Bearer $(bowline operator bootstrap)\" -H 'Content-Type: application/json' \\\n    -d '{\"name\":\"ann\",\"role\":\"admin\"}' http://127.0.0.1:8408/admin/v1/operators"
    )]
    Bootstrap,
    /// List operators, newest first, including removed and expired ones
    #[command(after_help = "Example:\n  bowline operator list")]
    List(PageArgs),
    /// Add an operator and print the operator's token, which cannot be shown again
    #[command(after_help = "Example:\n  bowline operator add --name ann --role admin")]
    Add(AddOperatorArgs),
    /// Remove an operator: the operator's token is revoked immediately
    #[command(after_help = "Example:\n  bowline operator remove opr_1")]
    Remove(OperatorIdArgs),
}

/// The arguments of `operator add`.
#[derive(clap::Args, Debug)]
pub(super) struct AddOperatorArgs {
    /// Name of the operator, unique among the operators: 1 to 64 letters, digits or -._@
    #[arg(long)]
    name: String,
    /// Role: `viewer` reads everything except the list of operators; `operator` also ends connections, suspends
    /// clients, pauses providers, and decides on registrations and failed jobs; `admin` also manages clients, providers
    /// and operators
    #[arg(long)]
    role: String,
    /// Expiry of the token, in RFC 3339 format, at most 366 days from now [default: in 90 days]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

/// The argument with the id of an operator.
#[derive(clap::Args, Debug)]
pub(super) struct OperatorIdArgs {
    /// Id of the operator, as `operator list` prints it
    #[arg(value_name = "OPERATOR_ID", value_parser = parse_id)]
    id: String,
}

pub(super) async fn run(admin: &AdminClient, command: OperatorCommand) -> Result<(), CliError> {
    match command {
        OperatorCommand::Bootstrap => {
            let created = admin.post("/operators/bootstrap").await?;
            admin.output.print_fields(&created, &["token"]);
            admin.output.print_note(
                "Add the first admin with this token by POST /admin/v1/operators. It works once, within 24 hours.",
            );
        }
        OperatorCommand::List(page) => {
            let filters = [("limit", &page.limit), ("after", &page.after)];
            let page = admin.get(&build_filtered_path("/operators", &filters)).await?;
            admin.output.print_page(&page, &["id", "name", "role", "state", "expires_at", "ended_at"]);
        }
        OperatorCommand::Add(AddOperatorArgs { name, role, expires_at }) => {
            let body = build_object([
                ("name", json!(name)),
                ("role", json!(role)),
                ("expires_at", json!(expires_at)),
            ]);
            let added = admin.post_json("/operators", &body).await?;
            if admin.output.is_json() {
                print_json(&added);
            } else {
                let result = json!({"id": added["operator"]["id"], "token": added["token"]});
                admin.output.print_object(&result);
                admin.output.print_note("Store the token now: it cannot be shown again.");
            }
        }
        OperatorCommand::Remove(operator) => {
            admin.call(Method::DELETE, &build_path(&["operators", &operator.id]), None).await?;
            let result = json!({"id": operator.id, "outcome": "removed"});
            admin.output.print_fields(&result, &["id", "outcome"]);
        }
    }
    Ok(())
}
