//! The command `bowline audit`, which searches the audit log through the admin API.

use clap::Subcommand;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path};
use super::error::CliError;

/// The commands that read the audit log.
#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// List the audit events that match every filter, newest first
    #[command(
        after_help = "Examples:\n  bowline audit list --actor-kind operator --from 2026-11-01T00:00:00Z\n  bowline audit list --subject-kind connection --subject-id con_1"
    )]
    List(ListAuditEventsArgs),
}

/// The filters of `audit list`. An event must match all of them.
#[derive(clap::Args, Debug)]
pub(super) struct ListAuditEventsArgs {
    /// Select events about subjects of this kind: `connection`, `client`, `provider` or `operator`
    #[arg(long, value_name = "KIND")]
    subject_kind: Option<String>,
    /// Select events about the subject with this id; requires --subject-kind
    #[arg(long, value_name = "ID")]
    subject_id: Option<String>,
    /// Select events with this action, such as `connection.ended`
    #[arg(long)]
    action: Option<String>,
    /// Select events caused by actors of this kind: `recipient`, `customer`, `provider`, `operator`, `partner` or
    /// `system`
    #[arg(long, value_name = "KIND")]
    actor_kind: Option<String>,
    /// Select events caused by the actor with this id; requires --actor-kind
    #[arg(long, value_name = "ID")]
    actor_id: Option<String>,
    /// Select events at or after this time, in RFC 3339 format
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Select events before this time, in RFC 3339 format
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
