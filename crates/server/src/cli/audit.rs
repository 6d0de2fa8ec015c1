//! `bowline audit`

use clap::Subcommand;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path};
use super::error::CliError;

/// Looks through the record.
#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List what happened, the newest first.
    #[command(
        after_help = "Examples:\n  bowline audit list --actor-kind operator --from 2026-11-01T00:00:00Z\n  bowline audit list --subject-kind connection --subject-id con_1"
    )]
    List(ListAuditEventsArgs),
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct ListAuditEventsArgs {
    /// What it is about: connection, client, provider or operator.
    #[arg(long, value_name = "KIND")]
    subject_kind: Option<String>,
    /// Which one, with --subject-kind.
    #[arg(long, value_name = "ID")]
    subject_id: Option<String>,
    /// What was done, as in connection.ended.
    #[arg(long)]
    action: Option<String>,
    /// Who did it: recipient, customer, provider, operator, partner or system.
    #[arg(long, value_name = "KIND")]
    actor_kind: Option<String>,
    /// Which one, with --actor-kind.
    #[arg(long, value_name = "ID")]
    actor_id: Option<String>,
    /// Not before this time, in RFC 3339.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

pub(super) async fn run(admin: &AdminClient, command: AuditCommand) -> Result<(), CliError> {
    let AuditCommand::List(list) = command;
    let given = [
        ("subject_kind", &list.subject_kind),
        ("subject_id", &list.subject_id),
        ("action", &list.action),
        ("actor_kind", &list.actor_kind),
        ("actor_id", &list.actor_id),
        ("from", &list.from),
        ("before", &list.before),
        ("limit", &list.page.limit),
        ("after", &list.page.after),
    ];
    let columns = ["at", "action", "subject.kind", "subject.id", "actor.kind", "actor.id"];
    admin.output.print_page(&admin.get(&build_filtered_path("/audit", &given)).await?, &columns);
    Ok(())
}
