//! `bowline recipient`

use clap::Subcommand;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::Localized;

use super::start::{ACTOR, load, opened, upsert_providers};
use super::{Failure, Globals};
use crate::job;
use crate::manage::{NewRecipient, NotRegistered, register};

/// Manages data recipients.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Register a recipient. Its secret is printed once and cannot be shown again.
    #[command(
        after_help = "Example:\n  bowline recipient add --name 'Acme Budget' \\\n    --purpose-en 'To show your spending in one place' \\\n    --purpose-fr 'Pour montrer vos dépenses en un seul endroit' \\\n    --redirect-uri https://acme.example.org/back --scope 'ACCOUNT_BASIC TRANSACTIONS' --provider 1000"
    )]
    Add(Add),
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
    /// The id of a provider that it may use. May be given several times.
    #[arg(long = "provider", value_name = "ID")]
    providers: Vec<i64>,
    /// Require PKCE of it.
    #[arg(long)]
    require_pkce: bool,
    /// The longest consent it asks for.
    #[arg(long, value_name = "DAYS")]
    max_duration_days: Option<u16>,
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<(), Failure> {
    let Command::Add(add) = command;
    let config = load(globals, &[])?;
    let (_lock, app) = opened(config).await?;
    upsert_providers(&app).await?;
    let new = NewRecipient {
        credentials: None,
        name: add.name,
        purpose: Localized { en: add.purpose_en, fr: add.purpose_fr },
        redirect_uris: add.redirect_uris,
        scope: add.scope,
        providers: add.providers,
        require_pkce: add.require_pkce,
        max_duration_days: add.max_duration_days,
    };
    let ctx = job::context(&app, ACTOR).map_err(|e| Failure::Fault(e.into()))?;
    let actor = Actor::new(ActorKind::Operator, ACTOR);
    let registered = register(&ctx, new, &actor).await.map_err(|error| match error {
        NotRegistered::Fault(fault) => Failure::Fault(fault.into()),
        refused => Failure::Usage(refused.to_string()),
    })?;
    let (id, secret) = (registered.client_id, registered.client_secret);
    if globals.json {
        println!("{}", serde_json::json!({"client_id": id, "client_secret": secret.expose()}));
    } else {
        println!("client_id      {id}\nclient_secret  {}", secret.expose());
        if !globals.quiet {
            eprintln!("Keep the secret: it is not stored and cannot be shown again.");
        }
    }
    Ok(())
}
