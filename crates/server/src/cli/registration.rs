//! `bowline registration`

use clap::Subcommand;
use domain::Secret;
use serde_json::{Value, json};

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_object, build_path, parse_id, read_secret_input};
use super::error::CliError;

/// Manages registrations: a recipient's admission to a provider.
#[derive(Subcommand, Debug)]
pub(super) enum RegistrationCommand {
    /// Ask for a registration of each recipient with each provider, all or none.
    #[command(
        after_help = "Example:\n  bowline registration request --client dc-1 --provider 1000 --provider 2000"
    )]
    Request(RequestRegistrationsArgs),
    /// List registrations.
    #[command(after_help = "Example:\n  bowline registration list --state pending_approval")]
    List(ListRegistrationsArgs),
    /// Show a registration.
    #[command(after_help = "Example:\n  bowline registration show dc-1 1000")]
    Show(RegistrationPairArgs),
    /// Agree to a registration: it goes to the provider.
    #[command(after_help = "Example:\n  bowline registration approve dc-1 1000")]
    Approve(RegistrationPairArgs),
    /// Say that the provider has set the recipient up: it may connect customers from now on.
    #[command(
        after_help = "Examples:\n  bowline registration activate dc-1 1000\n  bowline registration activate dc-1 1000 --upstream-client-id acme --upstream-client-secret-file acme.secret\n  pass show bank/acme | bowline registration activate dc-1 1000 --upstream-client-id acme --upstream-client-secret-file -"
    )]
    Activate(ActivateRegistrationArgs),
    /// Turn a registration down; its partner reads why.
    #[command(
        after_help = "Example:\n  bowline registration reject dc-1 1000 --reason 'The purpose is not clear'"
    )]
    Reject(RejectRegistrationArgs),
    /// Hold a registration: tokens and data are refused, nothing is ended.
    #[command(after_help = "Example:\n  bowline registration suspend dc-1 1000 --reason 'Under review'")]
    Suspend(SuspendRegistrationArgs),
    /// Let a registration go on.
    #[command(after_help = "Example:\n  bowline registration reinstate dc-1 1000")]
    Reinstate(RegistrationPairArgs),
}

/// Whom it is asked for.
#[derive(clap::Args, Debug)]
pub(super) struct RequestRegistrationsArgs {
    /// A recipient. May be given several times.
    #[arg(long = "client", required = true, value_name = "CLIENT_ID", value_parser = parse_id)]
    clients: Vec<String>,
    /// A provider. May be given several times.
    #[arg(long = "provider", required = true, value_name = "PROVIDER_ID", value_parser = clap::value_parser!(i64).range(1..))]
    providers: Vec<i64>,
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct ListRegistrationsArgs {
    /// Of this recipient.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// With this provider.
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    /// Of the recipients of this partner.
    #[arg(long, value_name = "CLIENT_ID")]
    partner: Option<String>,
    /// `pending_approval`, `pending_activation`, active, rejected or suspended.
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// A recipient and a provider.
#[derive(clap::Args, Debug)]
pub(super) struct RegistrationPairArgs {
    /// The recipient's id.
    #[arg(value_name = "CLIENT_ID", value_parser = parse_id)]
    client: String,
    /// The provider's id.
    #[arg(value_name = "PROVIDER_ID", value_parser = clap::value_parser!(i64).range(1..))]
    provider: i64,
}

/// Which one, and the recipient's own client at the provider.
#[derive(clap::Args, Debug)]
pub(super) struct ActivateRegistrationArgs {
    #[command(flatten)]
    pair: RegistrationPairArgs,
    /// The id of the recipient's own client there, where the provider has one for each.
    #[arg(long, value_name = "ID", requires = "upstream_client_secret_file")]
    upstream_client_id: Option<String>,
    /// A file that holds that client's secret; - is standard input.
    #[arg(long, value_name = "FILE", requires = "upstream_client_id")]
    upstream_client_secret_file: Option<String>,
}

/// Which one, and why not.
#[derive(clap::Args, Debug)]
pub(super) struct RejectRegistrationArgs {
    #[command(flatten)]
    pair: RegistrationPairArgs,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Which one, and why.
#[derive(clap::Args, Debug)]
pub(super) struct SuspendRegistrationArgs {
    #[command(flatten)]
    pair: RegistrationPairArgs,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

const COLUMNS: [&str; 3] = ["client_id", "provider_id", "state"];

pub(super) async fn run(admin: &AdminClient, command: RegistrationCommand) -> Result<(), CliError> {
    match command {
        RegistrationCommand::Request(RequestRegistrationsArgs { clients, providers }) => {
            admin.output.print_page(&request_registrations(admin, &clients, &providers).await?, &COLUMNS);
        }
        RegistrationCommand::List(ListRegistrationsArgs { client, provider, partner, state, page }) => {
            let given = [
                ("client_id", &client),
                ("provider_id", &provider),
                ("partner", &partner),
                ("state", &state),
                ("limit", &page.limit),
                ("after", &page.after),
            ];
            admin
                .output
                .print_page(&admin.get(&build_filtered_path("/registrations", &given)).await?, &COLUMNS);
        }
        RegistrationCommand::Show(pair) => admin.output.print_object(&admin.get(&pair.path(None)).await?),
        RegistrationCommand::Approve(pair) => run_step(admin, &pair, "approve", Value::Null).await?,
        RegistrationCommand::Activate(ActivateRegistrationArgs {
            pair,
            upstream_client_id,
            upstream_client_secret_file,
        }) => {
            let read = |file: String| read_secret_input(&file, "--upstream-client-secret-file");
            let secret = upstream_client_secret_file.map(read).transpose()?;
            let body = build_object([
                ("upstream_client_id", json!(upstream_client_id)),
                ("upstream_client_secret", json!(secret.as_ref().map(Secret::expose))),
            ]);
            run_step(admin, &pair, "activate", body).await?;
        }
        RegistrationCommand::Reject(RejectRegistrationArgs { pair, reason }) => {
            run_step(admin, &pair, "reject", json!({"reason": reason})).await?;
        }
        RegistrationCommand::Suspend(SuspendRegistrationArgs { pair, reason }) => {
            run_step(admin, &pair, "suspend", build_object([("reason", json!(reason))])).await?;
        }
        RegistrationCommand::Reinstate(pair) => run_step(admin, &pair, "reinstate", Value::Null).await?,
    }
    Ok(())
}

impl RegistrationPairArgs {
    fn path(&self, step: Option<&str>) -> String {
        let provider = self.provider.to_string();
        let segments = ["registrations", &self.client, &provider].into_iter().chain(step);
        build_path(&segments.collect::<Vec<_>>())
    }

    /// Takes a step; what goes with it is an object, or nothing.
    async fn post_step(&self, admin: &AdminClient, step: &str, body: &Value) -> Result<Value, CliError> {
        match body {
            Value::Null => admin.post(&self.path(Some(step))).await,
            body => admin.post_json(&self.path(Some(step)), body).await,
        }
    }
}

async fn run_step(
    admin: &AdminClient,
    pair: &RegistrationPairArgs,
    step: &str,
    body: Value,
) -> Result<(), CliError> {
    admin.output.print_fields(&pair.post_step(admin, step, &body).await?, &COLUMNS);
    Ok(())
}

async fn request_registrations(
    admin: &AdminClient,
    clients: &[String],
    providers: &[i64],
) -> Result<Value, CliError> {
    admin.post_json("/registrations", &json!({"client_ids": clients, "provider_ids": providers})).await
}

/// A provider that a recipient is registered with.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestedProvider {
    /// Its id.
    pub(super) id: i64,
    /// Whether its own answer activates a registration (RFC 7591).
    pub(super) activates_automatically: bool,
}

/// Registers a recipient with providers and takes every step that is ours: up to active, or up to the provider's answer.
pub(super) async fn register_and_activate(
    admin: &AdminClient,
    client: &str,
    providers: &[RequestedProvider],
) -> Result<(), CliError> {
    if providers.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = providers.iter().map(|provider| provider.id).collect();
    request_registrations(admin, &[client.to_owned()], &ids).await?;
    // Who is asked for a client comes last: nobody is asked in vain because of the others.
    let (automatic, manual): (Vec<_>, Vec<_>) =
        providers.iter().copied().partition(|provider| provider.activates_automatically);
    for RequestedProvider { id, activates_automatically } in manual.into_iter().chain(automatic) {
        let pair = RegistrationPairArgs { client: client.to_owned(), provider: id };
        pair.post_step(admin, "approve", &Value::Null).await?;
        if !activates_automatically {
            pair.post_step(admin, "activate", &json!({})).await?;
        }
    }
    Ok(())
}
