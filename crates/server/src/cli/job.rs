//! `bowline job`

use clap::Subcommand;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_path, parse_id};
use super::error::CliError;

/// Looks at deferred work, and after what was given up.
#[derive(Subcommand, Debug)]
pub(super) enum JobCommand {
    /// List jobs, the newest first.
    #[command(after_help = "Example:\n  bowline job list --state failed")]
    List(ListJobsArgs),
    /// Have a job tried again that was given up.
    #[command(after_help = "Example:\n  bowline job retry job_1")]
    Retry(JobIdArgs),
    /// Close a job that was given up: its sealed token is gone, and the bank stays untold.
    #[command(after_help = "Example:\n  bowline job close job_1")]
    Close(JobIdArgs),
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct ListJobsArgs {
    /// pending, done or dead.
    #[arg(long)]
    state: Option<String>,
    /// `revoke_at_provider`, `revoke_orphaned_grant`, `recover_authorization_code`, `register_upstream_client` or `delete_upstream_client`.
    #[arg(long)]
    kind: Option<String>,
    /// For this provider.
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Which one.
#[derive(clap::Args, Debug)]
pub(super) struct JobIdArgs {
    /// The job's id.
    #[arg(value_name = "JOB_ID", value_parser = parse_id)]
    id: String,
}

pub(super) async fn run(admin: &AdminClient, command: JobCommand) -> Result<(), CliError> {
    match command {
        JobCommand::List(ListJobsArgs { state, kind, provider, page }) => {
            let given = [
                ("state", &state),
                ("kind", &kind),
                ("provider_id", &provider),
                ("limit", &page.limit),
                ("after", &page.after),
            ];
            let columns = [
                "id",
                "state",
                "kind",
                "connection_id",
                "client_id",
                "provider_id",
                "attempts",
                "due_at",
                "outcome",
            ];
            admin.output.print_page(&admin.get(&build_filtered_path("/jobs", &given)).await?, &columns);
        }
        JobCommand::Retry(job) => resolve_job(admin, &job.id, "retry").await?,
        JobCommand::Close(job) => resolve_job(admin, &job.id, "close").await?,
    }
    Ok(())
}

async fn resolve_job(admin: &AdminClient, id: &str, action: &str) -> Result<(), CliError> {
    admin.output.print_fields(&admin.post(&build_path(&["jobs", id, action])).await?, &["id", "outcome"]);
    Ok(())
}
