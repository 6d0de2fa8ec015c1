//! The command `bowline registration`, which manages registrations of recipients with providers through the admin API.

use clap::Subcommand;
use domain::Secret;
use serde_json::{Value, json};

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_object, build_path, parse_id, read_secret_input};
use super::error::CliError;

/// Commands on registrations of recipients with providers.
#[derive(Subcommand, Debug)]
pub(super) enum RegistrationCommand {
    /// Request a registration of each recipient with each provider; if one of them is not possible, none is
    /// requested
    #[command(
        after_help = "Example:\n  bowline registration request --client dc-1 --provider 1000 --provider 2000"
    )]
    Request(RequestRegistrationsArgs),
    /// List the registrations that match every filter, with their states, newest first
    #[command(after_help = "Example:\n  bowline registration list --state pending_approval")]
    List(ListRegistrationsArgs),
    /// Show a registration with its state, and the reason if it was rejected or suspended
    #[command(after_help = "Example:\n  bowline registration show dc-1 1000")]
    Show(RegistrationPairArgs),
    /// Approve a requested registration, which then waits for its activation at the provider
    #[command(after_help = "Example:\n  bowline registration approve dc-1 1000")]
    Approve(RegistrationPairArgs),
    /// Activate a registration after the provider has set up the recipient
    #[command(
        after_help = "Examples:\n  bowline registration activate dc-1 1000\n  bowline registration activate dc-1 1000 --upstream-client-id acme --upstream-client-secret-file acme.secret\n  pass show bank/acme | bowline registration activate dc-1 1000 --upstream-client-id acme --upstream-client-secret-file -"
    )]
    Activate(ActivateRegistrationArgs),
    /// Reject a requested registration; its partner can read the reason
    #[command(
        after_help = "Example:\n  bowline registration reject dc-1 1000 --reason 'The purpose is not clear'"
    )]
    Reject(RejectRegistrationArgs),
    /// Suspend a registration: the recipient gets no tokens and no data of this provider, but connections remain
    #[command(after_help = "Example:\n  bowline registration suspend dc-1 1000 --reason 'Under review'")]
    Suspend(SuspendRegistrationArgs),
    /// Reinstate a suspended registration: the recipient gets tokens and data of this provider again
    #[command(after_help = "Example:\n  bowline registration reinstate dc-1 1000")]
    Reinstate(RegistrationPairArgs),
}

/// The arguments of `registration request`: the recipients and providers, of which every pair is requested.
#[derive(clap::Args, Debug)]
pub(super) struct RequestRegistrationsArgs {
    /// Client id of a recipient; repeat for several
    #[arg(long = "client", required = true, value_name = "CLIENT_ID", value_parser = parse_id)]
    clients: Vec<String>,
    /// Id of a provider; repeat for several
    #[arg(long = "provider", required = true, value_name = "PROVIDER_ID", value_parser = clap::value_parser!(i64).range(1..))]
    providers: Vec<i64>,
}

/// The filters of `registration list`. A registration must match all of them.
#[derive(clap::Args, Debug)]
pub(super) struct ListRegistrationsArgs {
    /// Select registrations of the recipient with this client id
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// Select registrations with the provider that has this id
    #[arg(long, value_name = "PROVIDER_ID")]
    provider: Option<String>,
    /// Select registrations of recipients that the partner with this client id manages
    #[arg(long, value_name = "CLIENT_ID")]
    partner: Option<String>,
    /// Select registrations in this state: `pending_approval`, `pending_activation`, `active`, `rejected` or
    /// `suspended`
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// The arguments that identify a registration: a recipient and a provider.
#[derive(clap::Args, Debug)]
pub(super) struct RegistrationPairArgs {
    /// Client id of the recipient, as `recipient list` prints it
    #[arg(value_name = "CLIENT_ID", value_parser = parse_id)]
    client: String,
    /// Id of the provider, as `provider list` prints it
    #[arg(value_name = "PROVIDER_ID", value_parser = clap::value_parser!(i64).range(1..))]
    provider: i64,
}

/// The arguments of `registration activate`: the registration, and the recipient's client at the provider.
#[derive(clap::Args, Debug)]
pub(super) struct ActivateRegistrationArgs {
    #[command(flatten)]
    pair: RegistrationPairArgs,
    /// Id of the recipient's client at the provider, if the provider has one for each recipient
    #[arg(long, value_name = "ID")]
    upstream_client_id: Option<String>,
    /// File with the secret of the client of --upstream-client-id, or `-` for standard input; not for `upstream_client =
    /// "aggregator"`
    #[arg(long, value_name = "FILE", requires = "upstream_client_id")]
    upstream_client_secret_file: Option<String>,
}

/// The arguments of `registration reject`.
#[derive(clap::Args, Debug)]
pub(super) struct RejectRegistrationArgs {
    #[command(flatten)]
    pair: RegistrationPairArgs,
    /// Reason for the rejection, which the partner can read
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// The arguments of `registration suspend`.
#[derive(clap::Args, Debug)]
pub(super) struct SuspendRegistrationArgs {
    #[command(flatten)]
    pair: RegistrationPairArgs,
    /// Reason for the suspension, which the partner can read
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

const STATE_FIELDS: [&str; 3] = ["client_id", "provider_id", "state"];

pub(super) async fn run(admin: &AdminClient, command: RegistrationCommand) -> Result<(), CliError> {
    match command {
        RegistrationCommand::Request(RequestRegistrationsArgs { clients, providers }) => {
            let requested = request_registrations(admin, &clients, &providers).await?;
            admin.output.print_page(&requested, &STATE_FIELDS);
        }
        RegistrationCommand::List(ListRegistrationsArgs { client, provider, partner, state, page }) => {
            let filters = [
                ("client_id", &client),
                ("provider_id", &provider),
                ("partner", &partner),
                ("state", &state),
                ("limit", &page.limit),
                ("after", &page.after),
            ];
            let page = admin.get(&build_filtered_path("/registrations", &filters)).await?;
            admin.output.print_page(&page, &STATE_FIELDS);
        }
        RegistrationCommand::Show(pair) => admin.output.print_object(&admin.get(&pair.path(None)).await?),
        RegistrationCommand::Approve(pair) => run_step(admin, &pair, "approve", None).await?,
        RegistrationCommand::Activate(args) => activate_registration(admin, args).await?,
        RegistrationCommand::Reject(RejectRegistrationArgs { pair, reason }) => {
            run_step(admin, &pair, "reject", Some(json!({"reason": reason}))).await?;
        }
        RegistrationCommand::Suspend(SuspendRegistrationArgs { pair, reason }) => {
            run_step(admin, &pair, "suspend", Some(build_object([("reason", json!(reason))]))).await?;
        }
        RegistrationCommand::Reinstate(pair) => run_step(admin, &pair, "reinstate", None).await?,
    }
    Ok(())
}

impl RegistrationPairArgs {
    fn path(&self, step: Option<&str>) -> String {
        let provider = self.provider.to_string();
        let segments = ["registrations", &self.client, &provider].into_iter().chain(step);
        build_path(&segments.collect::<Vec<_>>())
    }

    async fn post_step(
        &self,
        admin: &AdminClient,
        step: &str,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let path = self.path(Some(step));
        match body {
            Some(body) => admin.post_json(&path, body).await,
            None => admin.post(&path).await,
        }
    }
}

async fn run_step(
    admin: &AdminClient,
    pair: &RegistrationPairArgs,
    step: &str,
    body: Option<Value>,
) -> Result<(), CliError> {
    admin.output.print_fields(&pair.post_step(admin, step, body.as_ref()).await?, &STATE_FIELDS);
    Ok(())
}

async fn activate_registration(admin: &AdminClient, args: ActivateRegistrationArgs) -> Result<(), CliError> {
    let file = args.upstream_client_secret_file;
    let secret = file.map(|file| read_secret_input(&file, "--upstream-client-secret-file")).transpose()?;
    let body = build_object([
        ("upstream_client_id", json!(args.upstream_client_id)),
        ("upstream_client_secret", json!(secret.as_ref().map(Secret::expose))),
    ]);
    run_step(admin, &args.pair, "activate", Some(body)).await
}

async fn request_registrations(
    admin: &AdminClient,
    clients: &[String],
    providers: &[i64],
) -> Result<Value, CliError> {
    admin.post_json("/registrations", &json!({"client_ids": clients, "provider_ids": providers})).await
}

/// Returns whether each registration has a client at the provider with these settings.
pub(super) fn has_registration_clients(settings: &Value) -> bool {
    settings["upstream_client"] == "registration" || settings["upstream_client"] == "aggregator"
}

/// A provider that `recipient add` registers the new recipient with.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestedProvider {
    pub(super) id: i64,
    /// The provider supports dynamic registration (RFC 7591), so its response activates the registration.
    pub(super) activates_automatically: bool,
}

/// Requests registrations of a recipient with providers and approves them, and activates them too, except with providers
/// that support dynamic client registration: there the registration becomes active later, when the provider responds to
/// the hub's registration request.
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
    // Providers with dynamic registration come last: if a step at another provider fails, the recipient is removed, and
    // no client may have been registered for it by then.
    let (automatic, manual): (Vec<_>, Vec<_>) =
        providers.iter().copied().partition(|provider| provider.activates_automatically);
    for RequestedProvider { id, activates_automatically } in manual.into_iter().chain(automatic) {
        let pair = RegistrationPairArgs { client: client.to_owned(), provider: id };
        pair.post_step(admin, "approve", None).await?;
        if !activates_automatically {
            pair.post_step(admin, "activate", Some(&json!({}))).await?;
        }
    }
    Ok(())
}
