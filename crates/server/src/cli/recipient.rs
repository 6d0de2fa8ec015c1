//! `bowline recipient`

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::given::{Client, Paging, fields, filtered, path};
use super::partner::{renew, show_secret, step};
use super::reach::Desk;
use super::registration::{Wanted, whole_way};
use super::show::{json_text, plain};

/// Manages data recipients.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Register a recipient. Its secret is printed once and cannot be shown again.
    #[command(
        after_help = "Example:\n  bowline recipient add --name 'Acme Budget' \\\n    --purpose-en 'To show your spending in one place' \\\n    --purpose-fr 'Pour montrer vos dépenses en un seul endroit' \\\n    --redirect-uri https://acme.example.org/back --scope 'ACCOUNT_BASIC TRANSACTIONS' --provider 1000"
    )]
    Add(Box<Add>),
    /// List recipients.
    #[command(after_help = "Example:\n  bowline recipient list --partner pt-1 --state active")]
    List(List),
    /// Show a recipient.
    #[command(after_help = "Example:\n  bowline recipient show dc-1")]
    Show(Client),
    /// Replace a recipient's redirect URIs.
    #[command(
        after_help = "Example:\n  bowline recipient update dc-1 --redirect-uri https://acme.example.org/back"
    )]
    Update(Update),
    /// Give a recipient a new secret: the old one is void at once, its connections live on.
    #[command(after_help = "Example:\n  bowline recipient secret dc-1")]
    Secret(Client),
    /// Hold a recipient: tokens and data are refused, nothing is ended.
    #[command(after_help = "Example:\n  bowline recipient suspend dc-1")]
    Suspend(Client),
    /// Let a recipient go on.
    #[command(after_help = "Example:\n  bowline recipient reinstate dc-1")]
    Reinstate(Client),
    /// Remove a recipient: all its connections end at once and for good, and the banks are told.
    #[command(after_help = "Example:\n  bowline recipient remove dc-1 --dry-run")]
    Remove(Remove),
}

/// What is to be known of a recipient.
#[derive(clap::Args, Debug)]
pub(super) struct Add {
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
pub(super) struct List {
    /// Of this partner.
    #[arg(long, value_name = "CLIENT_ID")]
    partner: Option<String>,
    /// active, suspended or closed.
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    page: Paging,
}

/// Which one, and its new redirect URIs.
#[derive(clap::Args, Debug)]
pub(super) struct Update {
    #[command(flatten)]
    client: Client,
    /// Where answers may go from now on. May be given several times.
    #[arg(long = "redirect-uri", required = true, value_name = "URI")]
    redirect_uris: Vec<String>,
}

/// Which one, and whether in earnest.
#[derive(clap::Args, Debug)]
pub(super) struct Remove {
    #[command(flatten)]
    client: Client,
    /// Say what it would come to, and end nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(desk: &Desk, command: Command) -> Result<(), Failure> {
    match command {
        Command::Add(new) => add(desk, *new).await?,
        Command::List(List { partner, state, page }) => {
            let given =
                [("partner", &partner), ("state", &state), ("limit", &page.limit), ("after", &page.after)];
            let list = desk.get(&filtered("/recipients", &given)).await?;
            desk.show_page(&list, &["client_id", "name", "state", "partner", "scope", "created_at"]);
        }
        Command::Show(of) => desk.show_all(&desk.get(&path(&["recipients", &of.id])).await?),
        Command::Update(update) => {
            let body = json!({"redirect_uris": update.redirect_uris});
            let path = path(&["recipients", &update.client.id]);
            desk.show_line(
                &desk.call(Method::PUT, &path, Some(&body)).await?,
                &["client_id", "redirect_uris"],
            );
        }
        Command::Secret(of) => renew(desk, "recipients", &of.id).await?,
        Command::Suspend(of) => step(desk, "recipients", &of.id, "suspend").await?,
        Command::Reinstate(of) => step(desk, "recipients", &of.id, "reinstate").await?,
        Command::Remove(Remove { client, dry_run }) => {
            let path = format!("{}?dry_run={dry_run}", path(&["recipients", &client.id]));
            let removed = desk.call(Method::DELETE, &path, None).await?;
            if desk.globals.json {
                println!("{}", json_text(&removed));
            } else {
                let (outcome, count) =
                    (removed["outcome"].as_str().unwrap_or_default(), &removed["connections"]);
                println!("{}", plain(&format!("{}  {outcome}  {count} connections", client.id)));
            }
        }
    }
    Ok(())
}

async fn add(desk: &Desk, new: Add) -> Result<(), Failure> {
    let providers = open(desk, &new.providers).await?;
    let body = fields([
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
    let mut added = desk.post_json("/recipients", &body).await?;
    let id = added["recipient"]["client_id"].clone();
    let client_id = id.as_str().unwrap_or_default();
    if let Err(failure) = whole_way(desk, client_id, &providers).await {
        return Err(undone(desk, client_id, failure).await);
    }
    added["client_id"] = id.clone();
    show_secret(desk, &added, &id);
    for provider in providers.iter().filter(|provider| provider.by_itself).map(|provider| provider.id) {
        desk.say(&format!(
            "Provider {provider} is asked for a client; its answer activates the registration: \
             bowline registration show {client_id} {provider}"
        ));
    }
    Ok(())
}

/// Refuses providers that are not there, or that need a client brought for each registration: before anything is made.
async fn open(desk: &Desk, providers: &[i64]) -> Result<Vec<Wanted>, Failure> {
    let mut all = Vec::new();
    for id in providers {
        let provider = desk.get(&format!("/providers/{id}")).await.map_err(|failure| match failure {
            Failure::DoesNotHold(_) => Failure::Usage(format!("provider: {id} is none of this hub")),
            failure => failure,
        })?;
        let by_itself = provider["settings"]["dynamic_registration"].is_object();
        if provider["settings"]["upstream_client"] == "registration" && !by_itself {
            return Err(Failure::Usage(format!(
                "provider: {id} has a client for each registration: leave it out, then `registration request`, \
                 `approve` and `activate`"
            )));
        }
        all.push(Wanted { id: *id, by_itself });
    }
    Ok(all)
}

/// Takes a recipient back that was made only in part, and says why; all or nothing, as far as can be told.
async fn undone(desk: &Desk, client_id: &str, failure: Failure) -> Failure {
    let removed = desk.call(Method::DELETE, &path(&["recipients", client_id]), None).await;
    let rest = match removed {
        Ok(_) => "no recipient was added".to_owned(),
        Err(error) => format!("and {client_id}, which was added, could not be removed: {error}"),
    };
    match failure {
        Failure::DoesNotHold(why) => Failure::DoesNotHold(format!("{why}; {rest}")),
        Failure::Usage(why) => Failure::Usage(format!("{why}; {rest}")),
        Failure::Unreachable(why) => Failure::Unreachable(format!("{why}; {rest}")),
        Failure::Fault(fault) => Failure::Fault(fault.context(rest)),
    }
}
