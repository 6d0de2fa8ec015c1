//! `bowline job`

use clap::Subcommand;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_path, parse_id};
use super::error::CliError;

/// Commands on background jobs.
#[derive(Subcommand, Debug)]
pub(super) enum JobCommand {
    /// List jobs, newest first
    #[command(after_help = "Example:\n  bowline job list --state failed")]
    List(ListJobsArgs),
    /// Retry a failed job
    #[command(after_help = "Example:\n  bowline job retry job_1")]
    Retry(JobIdArgs),
    /// Close a failed job without retrying: its stored token is deleted, and the provider is not notified
    #[command(after_help = "Example:\n  bowline job close job_1")]
    Close(JobIdArgs),
}

/// Filters of `job list`.
#[derive(clap::Args, Debug)]
pub(super) struct ListJobsArgs {
    /// State: `pending`, `done` or `failed`
    #[arg(long)]
    state: Option<String>,
    /// Kind: `revoke_at_provider`, `revoke_orphaned_grant`, `recover_authorization_code`, `register_upstream_client`
    /// or `delete_upstream_client`
    #[arg(long)]
    kind: Option<String>,
    /// Select results of the provider with this id
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// The argument with the id of a job.
#[derive(clap::Args, Debug)]
pub(super) struct JobIdArgs {
    /// Id of the job, as `job list` prints it
    #[arg(value_name = "JOB_ID", value_parser = parse_id)]
    id: String,
}

pub(super) async fn run(admin: &AdminClient, command: JobCommand) -> Result<(), CliError> {
    match command {
        JobCommand::List(ListJobsArgs { state, kind, provider, page }) => {
            let filters = [
                ("state", &state),
                ("kind", &kind),
                ("provider_id", &provider),
                ("limit", &page.limit),
                ("after", &page.after),
            ];
            let page = admin.get(&build_filtered_path("/jobs", &filters)).await?;
            admin.output.print_page(&page, &LIST_COLUMNS);
        }
        JobCommand::Retry(job) => resolve_failed_job(admin, &job.id, "retry").await?,
        JobCommand::Close(job) => resolve_failed_job(admin, &job.id, "close").await?,
    }
    Ok(())
}

const LIST_COLUMNS: [&str; 9] =
    ["id", "state", "kind", "connection_id", "client_id", "provider_id", "attempts", "due_at", "outcome"];

async fn resolve_failed_job(admin: &AdminClient, id: &str, action: &str) -> Result<(), CliError> {
    let job = admin.post(&build_path(&["jobs", id, action])).await?;
    admin.output.print_fields(&job, &["id", "outcome"]);
    Ok(())
}
