//! The command `bowline job`, which lists background jobs and resolves failed ones through the admin API.

use clap::Subcommand;
use serde_json::json;

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_path, parse_id};
use super::error::CliError;
use super::output::{escape_terminal, print_json};
use super::terminal::print_line;

/// The commands that list background jobs and resolve failed ones.
#[derive(Subcommand, Debug)]
pub(super) enum JobCommand {
    /// List the jobs that match every filter, newest first, with the outcome of their last attempt
    #[command(after_help = "Example:\n  bowline job list --state failed")]
    List(ListJobsArgs),
    /// Retry a failed job, the failed jobs of a provider, or all of them: the hub attempts each again for up to seven
    /// days
    #[command(
        after_help = "Examples:\n  bowline job retry job_1\n  bowline job retry --provider 1000 --dry-run"
    )]
    Retry(RetryJobsArgs),
    /// Close a failed job without retrying: its stored token is deleted, and the provider is not notified
    #[command(after_help = "Example:\n  bowline job close job_1")]
    Close(JobIdArgs),
}

/// The filters of `job list`. A job must match all of them.
#[derive(clap::Args, Debug)]
pub(super) struct ListJobsArgs {
    /// Select jobs in this state: `pending`, `done`, or `failed`, which means that an operator must retry or
    /// close the job
    #[arg(long)]
    state: Option<String>,
    /// Select jobs of this kind: `revoke_at_provider` (the grant of an ended connection), `revoke_orphaned_grant` (a grant
    /// that belongs to no connection), `recover_authorization_code` (a code whose exchange had no known result),
    /// `register_upstream_client` or `delete_upstream_client` (the client of a recipient at a provider),
    /// `confirm_invalid_grant` (a refresh that the provider rejected once)
    #[arg(long)]
    kind: Option<String>,
    /// Select jobs that call the provider with this id
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

/// The arguments of `job retry`: the jobs, and whether they are only counted.
#[derive(clap::Args, Debug)]
#[group(skip)]
pub(super) struct RetryJobsArgs {
    #[command(flatten)]
    selection: JobSelection,
    /// Print the number of jobs that would be retried, without retrying them
    #[arg(long, conflicts_with = "id")]
    dry_run: bool,
}

/// The jobs that are retried. Exactly one of the arguments is required.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct JobSelection {
    /// Id of the job, as `job list` prints it
    #[arg(value_name = "JOB_ID", value_parser = parse_id)]
    id: Option<String>,
    /// Retry all failed jobs of the provider with this id
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<i64>,
    /// Retry the failed jobs of all providers
    #[arg(long)]
    all: bool,
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
        JobCommand::Retry(args) => match &args.selection.id {
            Some(id) => resolve_failed_job(admin, id, "retry").await?,
            None => retry_jobs(admin, &args).await?,
        },
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

/// Retries the selected jobs in batches until none is left, and prints their number.
async fn retry_jobs(admin: &AdminClient, args: &RetryJobsArgs) -> Result<(), CliError> {
    let path = format!("/jobs/retry?dry_run={}", args.dry_run);
    let mut body = match args.selection.provider {
        Some(id) => json!({"provider_id": id}),
        None => json!({"all": true}),
    };
    let (mut total, mut skipped) = (0, 0);
    loop {
        let mut batch = admin.post_json(&path, &body).await?;
        total += batch["jobs"].as_u64().unwrap_or_default();
        skipped += batch["skipped"].as_u64().unwrap_or_default();
        let is_last = args.dry_run || batch["has_more"] != true;
        if is_last {
            (batch["jobs"], batch["skipped"]) = (total.into(), skipped.into());
            let text =
                if batch["has_more"] == true { format!("more than {total}") } else { total.to_string() };
            if admin.output.is_json() {
                print_json(&batch);
            } else {
                let outcome = batch["outcome"].as_str().unwrap_or_default();
                print_line(escape_terminal(&format!("{outcome}  {text} jobs")));
                if skipped > 0 {
                    let note = format!(
                        "{skipped} jobs were skipped: the row of their provider was changed; see the log"
                    );
                    admin.output.print_note(&note);
                }
            }
            return Ok(());
        }
        body["failed_until"] = batch["failed_until"].take();
        body["after"] = batch["next"].take();
    }
}
