//! `bowline registration`

use clap::Subcommand;
use domain::Secret;
use serde_json::{Value, json};

use super::Failure;
use super::given::{Paging, fields, filtered, id, path, secret_of};
use super::reach::Desk;

/// Manages registrations: a recipient's admission to a provider.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Ask for a registration of each recipient with each provider, all or none.
    #[command(
        after_help = "Example:\n  bowline registration request --client dc-1 --provider 1000 --provider 2000"
    )]
    Request(Request),
    /// List registrations.
    #[command(after_help = "Example:\n  bowline registration list --state pending_approval")]
    List(List),
    /// Show a registration.
    #[command(after_help = "Example:\n  bowline registration show dc-1 1000")]
    Show(Pair),
    /// Agree to a registration: it goes to the provider.
    #[command(after_help = "Example:\n  bowline registration approve dc-1 1000")]
    Approve(Pair),
    /// Say that the provider has set the recipient up: it may connect customers from now on.
    #[command(
        after_help = "Examples:\n  bowline registration activate dc-1 1000\n  bowline registration activate dc-1 1000 --upstream-client-id acme --upstream-client-secret-file acme.secret\n  pass show bank/acme | bowline registration activate dc-1 1000 --upstream-client-id acme --upstream-client-secret-file -"
    )]
    Activate(Activate),
    /// Turn a registration down; its partner reads why.
    #[command(
        after_help = "Example:\n  bowline registration reject dc-1 1000 --reason 'The purpose is not clear'"
    )]
    Reject(Reject),
    /// Hold a registration: tokens and data are refused, nothing is ended.
    #[command(after_help = "Example:\n  bowline registration suspend dc-1 1000 --reason 'Under review'")]
    Suspend(Suspend),
    /// Let a registration go on.
    #[command(after_help = "Example:\n  bowline registration reinstate dc-1 1000")]
    Reinstate(Pair),
}

/// Whom it is asked for.
#[derive(clap::Args, Debug)]
pub(super) struct Request {
    /// A recipient. May be given several times.
    #[arg(long = "client", required = true, value_name = "CLIENT_ID", value_parser = id)]
    clients: Vec<String>,
    /// A provider. May be given several times.
    #[arg(long = "provider", required = true, value_name = "PROVIDER_ID", value_parser = clap::value_parser!(i64).range(1..))]
    providers: Vec<i64>,
}

/// What is looked for.
#[derive(clap::Args, Debug)]
pub(super) struct List {
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
    page: Paging,
}

/// A recipient and a provider.
#[derive(clap::Args, Debug)]
pub(super) struct Pair {
    /// The recipient's id.
    #[arg(value_name = "CLIENT_ID", value_parser = id)]
    client: String,
    /// The provider's id.
    #[arg(value_name = "PROVIDER_ID", value_parser = clap::value_parser!(i64).range(1..))]
    provider: i64,
}

/// Which one, and the recipient's own client at the provider.
#[derive(clap::Args, Debug)]
pub(super) struct Activate {
    #[command(flatten)]
    pair: Pair,
    /// The id of the recipient's own client there, where the provider has one for each.
    #[arg(long, value_name = "ID", requires = "upstream_client_secret_file")]
    upstream_client_id: Option<String>,
    /// A file that holds that client's secret; - is standard input.
    #[arg(long, value_name = "FILE", requires = "upstream_client_id")]
    upstream_client_secret_file: Option<String>,
}

/// Which one, and why not.
#[derive(clap::Args, Debug)]
pub(super) struct Reject {
    #[command(flatten)]
    pair: Pair,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Which one, and why.
#[derive(clap::Args, Debug)]
pub(super) struct Suspend {
    #[command(flatten)]
    pair: Pair,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

const COLUMNS: [&str; 3] = ["client_id", "provider_id", "state"];

pub(super) async fn run(desk: &Desk, command: Command) -> Result<(), Failure> {
    match command {
        Command::Request(Request { clients, providers }) => {
            desk.show_page(&request(desk, &clients, &providers).await?, &COLUMNS);
        }
        Command::List(List { client, provider, partner, state, page }) => {
            let given = [
                ("client_id", &client),
                ("provider_id", &provider),
                ("partner", &partner),
                ("state", &state),
                ("limit", &page.limit),
                ("after", &page.after),
            ];
            desk.show_page(&desk.get(&filtered("/registrations", &given)).await?, &COLUMNS);
        }
        Command::Show(pair) => desk.show_all(&desk.get(&pair.path(None)).await?),
        Command::Approve(pair) => step(desk, &pair, "approve", Value::Null).await?,
        Command::Activate(Activate { pair, upstream_client_id, upstream_client_secret_file }) => {
            let read = |file: String| secret_of(&file, "--upstream-client-secret-file");
            let secret = upstream_client_secret_file.map(read).transpose()?;
            let body = fields([
                ("upstream_client_id", json!(upstream_client_id)),
                ("upstream_client_secret", json!(secret.as_ref().map(Secret::expose))),
            ]);
            step(desk, &pair, "activate", body).await?;
        }
        Command::Reject(Reject { pair, reason }) => {
            step(desk, &pair, "reject", json!({"reason": reason})).await?;
        }
        Command::Suspend(Suspend { pair, reason }) => {
            step(desk, &pair, "suspend", fields([("reason", json!(reason))])).await?;
        }
        Command::Reinstate(pair) => step(desk, &pair, "reinstate", Value::Null).await?,
    }
    Ok(())
}

impl Pair {
    fn path(&self, step: Option<&str>) -> String {
        let provider = self.provider.to_string();
        let segments = ["registrations", &self.client, &provider].into_iter().chain(step);
        path(&segments.collect::<Vec<_>>())
    }

    /// Takes a step; what goes with it is an object, or nothing.
    async fn take(&self, desk: &Desk, step: &str, with: &Value) -> Result<Value, Failure> {
        match with {
            Value::Null => desk.post(&self.path(Some(step))).await,
            with => desk.post_json(&self.path(Some(step)), with).await,
        }
    }
}

async fn step(desk: &Desk, pair: &Pair, step: &str, with: Value) -> Result<(), Failure> {
    desk.show_line(&pair.take(desk, step, &with).await?, &COLUMNS);
    Ok(())
}

async fn request(desk: &Desk, clients: &[String], providers: &[i64]) -> Result<Value, Failure> {
    desk.post_json("/registrations", &json!({"client_ids": clients, "provider_ids": providers})).await
}

/// A provider that a recipient is registered with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Its id.
    pub(super) id: i64,
    /// Whether its own answer activates a registration (RFC 7591).
    pub(super) by_itself: bool,
}

/// Registers a recipient with providers and takes every step that is ours: up to active, or up to the provider's answer.
pub(super) async fn whole_way(desk: &Desk, client: &str, providers: &[Wanted]) -> Result<(), Failure> {
    if providers.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = providers.iter().map(|provider| provider.id).collect();
    request(desk, &[client.to_owned()], &ids).await?;
    // Who is asked for a client comes last: nobody is asked in vain because of the others.
    let (asked, ours): (Vec<_>, Vec<_>) = providers.iter().copied().partition(|provider| provider.by_itself);
    for Wanted { id, by_itself } in ours.into_iter().chain(asked) {
        let pair = Pair { client: client.to_owned(), provider: id };
        pair.take(desk, "approve", &Value::Null).await?;
        if !by_itself {
            pair.take(desk, "activate", &json!({})).await?;
        }
    }
    Ok(())
}
