//! `bowline recipient`

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::admin_client::AdminClient;
use super::args::{ClientIdArgs, PageArgs, build_filtered_path, build_object, build_path};
use super::error::CliError;
use super::output::escape_terminal;
use super::partner::{change_client_state, regenerate_secret, show_secret};
use super::registration::{RequestedProvider, register_and_activate};

/// Manages data recipients.
#[derive(Subcommand, Debug)]
pub(super) enum RecipientCommand {
    /// Register a recipient. Its secret is printed once and cannot be shown again.
    #[command(
        after_help = "Example:\n  bowline recipient add --name 'Acme Budget' \\\n    --purpose-en 'To show your spending in one place' \\\n    --purpose-fr 'Pour montrer vos dépenses en un seul endroit' \\\n    --redirect-uri https://acme.example.org/back --scope 'ACCOUNT_BASIC TRANSACTIONS' --provider 1000"
    )]
    Add(Box<AddRecipientArgs>),
    /// List recipients.
    #[command(after_help = "Example:\n  bowline recipient list --partner pt-1 --state active")]
    List(ListRecipientsArgs),
    /// Show a recipient.
    #[command(after_help = "Example:\n  bowline recipient show dc-1")]
    Show(ClientIdArgs),
    /// Replace a recipient's redirect URIs.
    #[command(
        after_help = "Example:\n  bowline recipient update dc-1 --redirect-uri https://acme.example.org/back"
    )]
    Update(UpdateRecipientArgs),
    /// Give a recipient a new secret: the old one is void at once, its connections live on.
    #[command(after_help = "Example:\n  bowline recipient secret dc-1")]
    Secret(ClientIdArgs),
    /// Hold a recipient: tokens and data are refused, nothing is ended.
    #[command(after_help = "Example:\n  bowline recipient suspend dc-1")]
    Suspend(ClientIdArgs),
    /// Let a recipient go on.
    #[command(after_help = "Example:\n  bowline recipient reinstate dc-1")]
    Reinstate(ClientIdArgs),
    /// Remove a recipient: all its connections end at once and for good, and the banks are told.
    #[command(after_help = "Example:\n  bowline recipient remove dc-1 --dry-run")]
    Remove(RemoveRecipientArgs),
}

/// What is to be known of a recipient.
#[derive(clap::Args, Debug)]
pub(super) struct AddRecipientArgs {
    /// Its name, exactly as customers should see it.
    #[arg(long)]
    name: String,
    /// Why it reads data, in English: shown on the consent page.
    #[arg(long, value_name = "TEXT")]
    purpose_en: String,
    /// Why it reads data, in French.
    #[arg(long, value_name = "TEXT")]
    purpose_fr: String,
    /// Where answers may go: compared as an exact string. May be given several times.
    #[arg(long = "redirect-uri", required = true, value_name = "URI")]
    redirect_uris: Vec<String>,
    /// The most it may ask for: words such as `ACCOUNT_BASIC` TRANSACTIONS.
    #[arg(long)]
    scope: String,
    /// The id of a provider that it may use at once. May be given several times.
    #[arg(long = "provider", value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    providers: Vec<i64>,
    /// Require PKCE of it.
    #[arg(long)]
    require_pkce: bool,
    /// The longest consent it asks for.
    #[arg(long, value_name = "DAYS")]
    max_duration_days: Option<u16>,
    /// The partner that looks after it.
    #[arg(long, value_name = "CLIENT_ID")]
    partner: Option<String>,
    /// What it does, for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Where it is at home, as in CA.
    #[arg(long)]
    country: Option<String>,
    /// Its logo.
    #[arg(long, value_name = "URI")]
    logo_uri: Option<String>,
    /// Its terms of use.
    #[arg(long, value_name = "URI")]
    terms_uri: Option<String>,
    /// Its site.
    #[arg(long, value_name = "URI")]
    client_uri: Option<String>,
    /// Whom to write to. May be given several times.
    #[arg(long = "contact", value_name = "ADDRESS")]
    contacts: Vec<String>,
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct ListRecipientsArgs {
    /// Of this partner.
    #[arg(long, value_name = "CLIENT_ID")]
    partner: Option<String>,
    /// active, suspended or closed.
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Which one, and its new redirect URIs.
#[derive(clap::Args, Debug)]
pub(super) struct UpdateRecipientArgs {
    #[command(flatten)]
    client: ClientIdArgs,
    /// Where answers may go from now on. May be given several times.
    #[arg(long = "redirect-uri", required = true, value_name = "URI")]
    redirect_uris: Vec<String>,
}

/// Which one, and whether in earnest.
#[derive(clap::Args, Debug)]
pub(super) struct RemoveRecipientArgs {
    #[command(flatten)]
    client: ClientIdArgs,
    /// Say what it would come to, and end nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(admin: &AdminClient, command: RecipientCommand) -> Result<(), CliError> {
    match command {
        RecipientCommand::Add(new) => add_recipient(admin, *new).await?,
        RecipientCommand::List(ListRecipientsArgs { partner, state, page }) => {
            let given =
                [("partner", &partner), ("state", &state), ("limit", &page.limit), ("after", &page.after)];
            let list = admin.get(&build_filtered_path("/recipients", &given)).await?;
            admin.output.print_page(&list, &["client_id", "name", "state", "partner", "scope", "created_at"]);
        }
        RecipientCommand::Show(client) => {
            admin.output.print_object(&admin.get(&build_path(&["recipients", &client.id])).await?);
        }
        RecipientCommand::Update(update) => {
            let body = json!({"redirect_uris": update.redirect_uris});
            let path = build_path(&["recipients", &update.client.id]);
            admin.output.print_fields(
                &admin.call(Method::PUT, &path, Some(&body)).await?,
                &["client_id", "redirect_uris"],
            );
        }
        RecipientCommand::Secret(client) => regenerate_secret(admin, "recipients", &client.id).await?,
        RecipientCommand::Suspend(client) => {
            change_client_state(admin, "recipients", &client.id, "suspend").await?;
        }
        RecipientCommand::Reinstate(client) => {
            change_client_state(admin, "recipients", &client.id, "reinstate").await?;
        }
        RecipientCommand::Remove(RemoveRecipientArgs { client, dry_run }) => {
            let path = format!("{}?dry_run={dry_run}", build_path(&["recipients", &client.id]));
            let removed = admin.call(Method::DELETE, &path, None).await?;
            if admin.output.is_json() {
                admin.output.print_json(&removed);
            } else {
                let (outcome, count) =
                    (removed["outcome"].as_str().unwrap_or_default(), &removed["connections"]);
                println!("{}", escape_terminal(&format!("{}  {outcome}  {count} connections", client.id)));
            }
        }
    }
    Ok(())
}

async fn add_recipient(admin: &AdminClient, new: AddRecipientArgs) -> Result<(), CliError> {
    let providers = load_requested_providers(admin, &new.providers).await?;
    let body = build_object([
        ("name", json!(new.name)),
        ("purpose_en", json!(new.purpose_en)),
        ("purpose_fr", json!(new.purpose_fr)),
        ("redirect_uris", json!(new.redirect_uris)),
        ("scope", json!(new.scope.split_whitespace().collect::<Vec<_>>())),
        ("require_pkce", json!(new.require_pkce)),
        ("max_duration_days", json!(new.max_duration_days)),
        ("partner", json!(new.partner)),
        ("description", json!(new.description)),
        ("country", json!(new.country)),
        ("logo_uri", json!(new.logo_uri)),
        ("terms_uri", json!(new.terms_uri)),
        ("client_uri", json!(new.client_uri)),
        ("contacts", if new.contacts.is_empty() { Value::Null } else { json!(new.contacts) }),
    ]);
    let mut added = admin.post_json("/recipients", &body).await?;
    let id = added["recipient"]["client_id"].clone();
    let client_id = id.as_str().unwrap_or_default();
    if let Err(failure) = register_and_activate(admin, client_id, &providers).await {
        return Err(roll_back(admin, client_id, failure).await);
    }
    added["client_id"] = id.clone();
    show_secret(admin, &added, &id);
    for provider in
        providers.iter().filter(|provider| provider.activates_automatically).map(|provider| provider.id)
    {
        admin.output.print_note(&format!(
            "Provider {provider} is asked for a client; its answer activates the registration: \
             bowline registration show {client_id} {provider}"
        ));
    }
    Ok(())
}

/// Refuses providers that are not there, or that need a client brought for each registration: before anything is made.
async fn load_requested_providers(
    admin: &AdminClient,
    providers: &[i64],
) -> Result<Vec<RequestedProvider>, CliError> {
    let mut all = Vec::new();
    for id in providers {
        let provider = admin.get(&format!("/providers/{id}")).await.map_err(|failure| match failure {
            CliError::Failed(_) => CliError::Usage(format!("provider: {id} is none of this hub")),
            failure => failure,
        })?;
        let activates_automatically = provider["settings"]["dynamic_registration"].is_object();
        if provider["settings"]["upstream_client"] == "registration" && !activates_automatically {
            return Err(CliError::Usage(format!(
                "provider: {id} has a client for each registration: leave it out, then `registration request`, \
                 `approve` and `activate`"
            )));
        }
        all.push(RequestedProvider { id: *id, activates_automatically });
    }
    Ok(all)
}

/// Takes a recipient back that was made only in part, and says why; all or nothing, as far as can be told.
async fn roll_back(admin: &AdminClient, client_id: &str, failure: CliError) -> CliError {
    let removed = admin.call(Method::DELETE, &build_path(&["recipients", client_id]), None).await;
    let rest = match removed {
        Ok(_) => "no recipient was added".to_owned(),
        Err(error) => format!("and {client_id}, which was added, could not be removed: {error}"),
    };
    failure.with_message(&rest)
}
