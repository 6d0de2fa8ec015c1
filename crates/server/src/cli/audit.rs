//! `bowline audit`

use clap::Subcommand;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path};
use super::error::CliError;

/// Commands on the audit log.
#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List audit events, newest first
    #[command(
        after_help = "Examples:\n  bowline audit list --actor-kind operator --from 2026-11-01T00:00:00Z\n  bowline audit list --subject-kind connection --subject-id con_1"
    )]
    List(ListAuditEventsArgs),
}

/// Filters of `audit list`.
#[derive(clap::Args, Debug)]
pub(super) struct ListAuditEventsArgs {
    /// Kind of the subject: connection, client, provider or operator
    #[arg(long, value_name = "KIND")]
    subject_kind: Option<String>,
    /// Id of the subject; requires --subject-kind
    #[arg(long, value_name = "ID")]
    subject_id: Option<String>,
    /// Name of the action, such as connection.ended
    #[arg(long)]
    action: Option<String>,
    /// Kind of the actor: recipient, customer, provider, operator, partner or system
    #[arg(long, value_name = "KIND")]
    actor_kind: Option<String>,
    /// Id of the actor; requires --actor-kind
    #[arg(long, value_name = "ID")]
    actor_id: Option<String>,
    /// Start of the time range, inclusive, in RFC 3339 format
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the time range, exclusive, in RFC 3339 format
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(admin: &AdminClient, command: AuditCommand) -> Result<(), CliError> {
    let AuditCommand::List(args) = command;
    let filters = [
        ("subject_kind", &args.subject_kind),
        ("subject_id", &args.subject_id),
        ("action", &args.action),
        ("actor_kind", &args.actor_kind),
        ("actor_id", &args.actor_id),
        ("from", &args.from),
        ("before", &args.before),
        ("limit", &args.page.limit),
        ("after", &args.page.after),
    ];
    let columns = ["at", "action", "subject.kind", "subject.id", "actor.kind", "actor.id"];
    let page = admin.get(&build_filtered_path("/audit", &filters)).await?;
    admin.output.print_page(&page, &columns);
    Ok(())
}
