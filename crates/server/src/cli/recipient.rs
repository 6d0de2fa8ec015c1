//! The command `bowline recipient`, which manages data recipients through the admin API.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::admin_client::AdminClient;
use super::args::{PageArgs, build_filtered_path, build_object, build_path, parse_id};
use super::client::{change_client_state, print_secret, rotate_secret};
use super::error::CliError;
use super::output::{escape_terminal, print_json};
use super::registration::{RequestedProvider, has_registration_clients, register_and_activate};
use super::terminal::print_line;

/// The commands that manage data recipients.
#[derive(Subcommand, Debug)]
pub(super) enum RecipientCommand {
    /// Add a recipient and print its secret, which cannot be shown again
    #[command(
        after_help = "Example:\n  bowline recipient add --name 'Acme Budget' \\\n    --purpose-en 'To show your spending in one place' \\\n    --purpose-fr 'Pour montrer vos dépenses en un seul endroit' \\\n    --redirect-uri https://acme.example.org/back --scope 'ACCOUNT_BASIC TRANSACTIONS' --provider 1000"
    )]
    Add(Box<AddRecipientArgs>),
    /// List the recipients that match every filter, newest first, including removed ones
    #[command(after_help = "Example:\n  bowline recipient list --partner pt-1 --state active")]
    List(ListRecipientsArgs),
    /// Show a recipient with its scope, redirect URIs and other settings, but not its secret
    #[command(after_help = "Example:\n  bowline recipient show dc-1")]
    Show(RecipientIdArgs),
    /// Replace all redirect URIs of a recipient; its other settings and its connections remain
    #[command(
        after_help = "Example:\n  bowline recipient update dc-1 --redirect-uri https://acme.example.org/back"
    )]
    Update(UpdateRecipientArgs),
    /// Rotate the secret of a recipient and print the new one; the old secret is revoked immediately, connections
    /// remain active
    #[command(after_help = "Example:\n  bowline recipient secret dc-1")]
    Secret(RecipientIdArgs),
    /// Suspend a recipient: it gets no tokens and no data, but its connections remain
    #[command(after_help = "Example:\n  bowline recipient suspend dc-1")]
    Suspend(RecipientIdArgs),
    /// Reinstate a suspended recipient: it gets tokens and data again, also through its existing connections
    #[command(after_help = "Example:\n  bowline recipient reinstate dc-1")]
    Reinstate(RecipientIdArgs),
    /// Remove a recipient permanently: all its connections end immediately, and the providers are notified
    #[command(after_help = "Example:\n  bowline recipient remove dc-1 --dry-run")]
    Remove(RemoveRecipientArgs),
}

/// The arguments of `recipient add`: the settings of the new recipient.
#[derive(clap::Args, Debug)]
pub(super) struct AddRecipientArgs {
    /// Name of the recipient, exactly as customers see it
    #[arg(long)]
    name: String,
    /// Reason for reading data, in English, as the consent page shows it
    #[arg(long, value_name = "TEXT")]
    purpose_en: String,
    /// Reason for reading data, in French, as the consent page shows it
    #[arg(long, value_name = "TEXT")]
    purpose_fr: String,
    /// Redirect URI, compared as an exact string; repeat for several
    #[arg(long = "redirect-uri", required = true, value_name = "URI")]
    redirect_uris: Vec<String>,
    /// Maximum scope that the recipient may request, space-delimited, such as `ACCOUNT_BASIC TRANSACTIONS`
    #[arg(long)]
    scope: String,
    /// Id of a provider to register and activate the recipient with; repeat for several
    #[arg(long = "provider", value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    providers: Vec<i64>,
    /// Reject authorization requests of the recipient without PKCE (RFC 7636)
    #[arg(long)]
    require_pkce: bool,
    /// Maximum duration of a consent, from 1 to 366 days [default: `connection.max_duration` of the hub's
    /// configuration]
    #[arg(long, value_name = "DAYS")]
    max_duration_days: Option<u16>,
    /// Client id of the partner that manages the recipient [default: only operators manage it]
    #[arg(long, value_name = "CLIENT_ID")]
    partner: Option<String>,
    /// Description of the service, for operators, the partner, and providers with dynamic client registration;
    /// customers see --purpose-en or --purpose-fr instead
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Country in which the recipient is registered: `CA` or `US`
    #[arg(long)]
    country: Option<String>,
    /// URI of the recipient's logo image, which providers with dynamic client registration receive
    #[arg(long, value_name = "URI")]
    logo_uri: Option<String>,
    /// URI of the terms between the recipient and its customers, which providers with dynamic client registration
    /// receive
    #[arg(long, value_name = "URI")]
    terms_uri: Option<String>,
    /// URI of the recipient's website, which providers with dynamic client registration receive
    #[arg(long, value_name = "URI")]
    client_uri: Option<String>,
    /// E-mail address of a person responsible for the recipient, for operators and providers; repeat for several
    #[arg(long = "contact", value_name = "ADDRESS")]
    contacts: Vec<String>,
}

/// The filters of `recipient list`. A recipient must match all of them.
#[derive(clap::Args, Debug)]
pub(super) struct ListRecipientsArgs {
    /// Select recipients that the partner with this client id manages
    #[arg(long, value_name = "CLIENT_ID")]
    partner: Option<String>,
    /// Select recipients in this state: `active`, `suspended`, or `closed`, which means removed
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// The argument with the id of a recipient.
#[derive(clap::Args, Debug)]
pub(super) struct RecipientIdArgs {
    /// Client id of the recipient, as `recipient list` prints it
    #[arg(value_name = "CLIENT_ID", value_parser = parse_id)]
    id: String,
}

/// The arguments of `recipient update`.
#[derive(clap::Args, Debug)]
pub(super) struct UpdateRecipientArgs {
    #[command(flatten)]
    client: RecipientIdArgs,
    /// New redirect URI, compared as an exact string; repeat for several
    #[arg(long = "redirect-uri", required = true, value_name = "URI")]
    redirect_uris: Vec<String>,
}

/// The arguments of `recipient remove`.
#[derive(clap::Args, Debug)]
pub(super) struct RemoveRecipientArgs {
    #[command(flatten)]
    client: RecipientIdArgs,
    /// Print the number of connections that would end, without removing the recipient
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(admin: &AdminClient, command: RecipientCommand) -> Result<(), CliError> {
    match command {
        RecipientCommand::Add(args) => add_recipient(admin, *args).await?,
        RecipientCommand::List(ListRecipientsArgs { partner, state, page }) => {
            let filters =
                [("partner", &partner), ("state", &state), ("limit", &page.limit), ("after", &page.after)];
            let page = admin.get(&build_filtered_path("/recipients", &filters)).await?;
            let columns = ["client_id", "name", "state", "partner", "scope", "created_at"];
            admin.output.print_page(&page, &columns);
        }
        RecipientCommand::Show(client) => {
            admin.output.print_object(&admin.get(&build_path(&["recipients", &client.id])).await?);
        }
        RecipientCommand::Update(UpdateRecipientArgs { client, redirect_uris }) => {
            let path = build_path(&["recipients", &client.id]);
            let body = json!({"redirect_uris": redirect_uris});
            let updated = admin.call(Method::PUT, &path, Some(&body)).await?;
            admin.output.print_fields(&updated, &["client_id", "redirect_uris"]);
        }
        RecipientCommand::Secret(client) => rotate_secret(admin, "recipients", &client.id).await?,
        RecipientCommand::Suspend(client) => {
            change_client_state(admin, "recipients", &client.id, "suspend").await?;
        }
        RecipientCommand::Reinstate(client) => {
            change_client_state(admin, "recipients", &client.id, "reinstate").await?;
        }
        RecipientCommand::Remove(args) => remove_recipient(admin, &args).await?,
    }
    Ok(())
}

async fn add_recipient(admin: &AdminClient, args: AddRecipientArgs) -> Result<(), CliError> {
    let providers = load_requested_providers(admin, &args.providers).await?;
    let body = build_object([
        ("name", json!(args.name)),
        ("purpose_en", json!(args.purpose_en)),
        ("purpose_fr", json!(args.purpose_fr)),
        ("redirect_uris", json!(args.redirect_uris)),
        ("scope", json!(args.scope.split_whitespace().collect::<Vec<_>>())),
        ("require_pkce", json!(args.require_pkce)),
        ("max_duration_days", json!(args.max_duration_days)),
        ("partner", json!(args.partner)),
        ("description", json!(args.description)),
        ("country", json!(args.country)),
        ("logo_uri", json!(args.logo_uri)),
        ("terms_uri", json!(args.terms_uri)),
        ("client_uri", json!(args.client_uri)),
        ("contacts", if args.contacts.is_empty() { Value::Null } else { json!(args.contacts) }),
    ]);
    let mut added = admin.post_json("/recipients", &body).await?;
    let id = added["recipient"]["client_id"].clone();
    let client_id = id.as_str().unwrap_or_default();
    if let Err(error) = register_and_activate(admin, client_id, &providers).await {
        return Err(roll_back(admin, client_id, error).await);
    }
    added["client_id"] = id.clone();
    print_secret(admin, &added, &id);
    for provider in providers.iter().filter(|provider| provider.activates_automatically) {
        let id = provider.id;
        admin.output.print_note(&format!(
            "Provider {id} registers a client and so activates the registration. To see its state: \
             bowline registration show {client_id} {id}"
        ));
    }
    Ok(())
}

/// Loads the providers to register a new recipient with. Fails, before anything is created, if one of them does not
/// exist or needs an upstream client that an operator enters for each registration.
async fn load_requested_providers(
    admin: &AdminClient,
    ids: &[i64],
) -> Result<Vec<RequestedProvider>, CliError> {
    let mut providers = Vec::new();
    for id in ids {
        let provider = admin.get(&format!("/providers/{id}")).await.map_err(|error| match error {
            CliError::Failed(_) => {
                CliError::Usage(format!("provider: {id} does not exist; `bowline provider list` lists all"))
            }
            error => error,
        })?;
        let activates_automatically = provider["settings"]["dynamic_registration"].is_object();
        if has_registration_clients(&provider["settings"]) && !activates_automatically {
            return Err(CliError::Usage(format!(
                "provider: {id} needs an upstream client for each registration: add the recipient without it, then \
                 use `registration request`, `approve` and `activate`"
            )));
        }
        providers.push(RequestedProvider { id: *id, activates_automatically });
    }
    Ok(providers)
}

/// Removes a recipient whose registration failed, so that `recipient add` creates everything or nothing.
async fn roll_back(admin: &AdminClient, client_id: &str, error: CliError) -> CliError {
    let removed = admin.call(Method::DELETE, &build_path(&["recipients", client_id]), None).await;
    match removed {
        Ok(_) => error.with_message("no recipient was added"),
        Err(removal) => {
            let message = format!("the recipient {client_id} was added and could not be removed: {removal}");
            error.with_message(&message)
        }
    }
}

async fn remove_recipient(admin: &AdminClient, args: &RemoveRecipientArgs) -> Result<(), CliError> {
    let id = &args.client.id;
    let path = format!("{}?dry_run={}", build_path(&["recipients", id]), args.dry_run);
    let removed = admin.call(Method::DELETE, &path, None).await?;
    if admin.output.is_json() {
        print_json(&removed);
    } else {
        let (outcome, count) = (removed["outcome"].as_str().unwrap_or_default(), &removed["connections"]);
        print_line(escape_terminal(&format!("{id}  {outcome}  {count} connections")));
    }
    Ok(())
}
