//! `bowline sandbox`: a whole world on this machine, from nothing.

use std::path::{Path, PathBuf};

use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::Localized;
use domain::{DataCluster, Secret};
use sandbox::bank::{Bank, Settings};
use serde_json::json;
use store::command::SetMark;
use tokio::net::TcpListener;

use super::start::{
    ACTOR, DataLock, SANDBOX_MARK, bind, build, location, migrate, stop_signal, upsert_providers,
};
use super::{Failure, Globals};
use crate::app::{App, Clock};
use crate::config::Config;
use crate::job;
use crate::manage::{NewRecipient, NotRegistered, register};
use crate::node::Node;
use crate::telemetry;

/// Runs the hub and the bank Maple Trust on loopback, with customers, accounts and two years of transactions.
///
/// Passwords and secrets follow from a seed that is kept in the data directory: a restart prints the same.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// The hub's port; the bank's is two above, the probes' nine above. 0 takes any that are free.
    #[arg(long, default_value_t = 8400, value_name = "PORT")]
    pub port: u16,
    /// Where the world is kept.
    #[arg(long, default_value = "data/sandbox", value_name = "FOLDER")]
    pub data: PathBuf,
    /// What everything follows from; any text. Kept with the data.
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
    /// The hub's store: sqlite:PATH or <postgres://USER@HOST/DATABASE>. Without it SQLite in the data folder.
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
}

const PROVIDER: i64 = 1000;
const HUB_AT_BANK: &str = "bowline";
const RECIPIENT: &str = "dc-sandbox";

/// A world that runs.
pub struct World {
    /// The hub's app.
    pub app: App,
    /// The hub.
    pub node: Node,
    /// The bank.
    pub bank: Bank,
    /// Where the bank is.
    pub bank_url: String,
    /// The recipient's id.
    pub client_id: String,
    /// The recipient's secret.
    pub client_secret: Secret<String>,
    /// Where the recipient's answers go.
    pub redirect_uri: String,
    serving: tokio::task::JoinHandle<()>,
    _lock: DataLock,
}

pub(super) async fn run(globals: &Globals, args: Args) -> Result<(), Failure> {
    let config = Config::load(None, std::iter::empty(), &[]).map_err(|e| Failure::Usage(e.to_string()))?;
    let mut log = config.log;
    "warn".clone_into(&mut log.level);
    telemetry::start_logs(&log).map_err(Failure::Usage)?;
    let world = World::start(&args, Clock::system()).await?;
    if globals.json {
        println!("{}", world.line());
    } else {
        world.describe();
    }
    stop_signal().await;
    world.stop().await;
    Ok(())
}

impl World {
    /// Builds and starts everything.
    pub async fn start(args: &Args, clock: Clock) -> Result<Self, Failure> {
        std::fs::create_dir_all(&args.data)
            .map_err(|e| Failure::Usage(format!("{}: {e}", args.data.display())))?;
        let seed = kept_seed(&args.data, args.seed.as_deref())?;
        let [hub, bank, probes] = listeners(args.port).await?;
        let hub_url = url(&hub)?;
        let (bank_url, bank_secret) = (url(&bank)?, derived(&seed, "hub-at-maple"));
        let config = config(args, &hub_url, &bank_url, &bank_secret)?;
        let location = location(&config)?;
        let lock = DataLock::take(&location)?;
        migrate(&location).await?;
        let app = build(config, clock.clone()).await?;
        let (client_secret, redirect_uri) = (derived(&seed, RECIPIENT), recipient_uri(args.port));
        seed_hub(&app, &client_secret, &redirect_uri).await?;
        let bank_app = Bank::maple(Settings {
            seed: seed.into_bytes(),
            origin: bank_url.clone(),
            client_id: HUB_AT_BANK.into(),
            client_secret: bank_secret,
            redirect_uris: vec![format!("{hub_url}/callback/{PROVIDER}")],
            journal: args.data.join("maple.jsonl"),
            clock: clock.reader(),
        })
        .map_err(|e| Failure::Fault(e.into()))?;
        let router = bank_app.router();
        let serving = tokio::spawn(async move {
            let _ = axum::serve(bank, router).await;
        });
        let node = Node::start(&app, hub, probes).map_err(|e| Failure::Fault(e.into()))?;
        let client_id = RECIPIENT.to_owned();
        let client_secret = Secret::new(client_secret);
        Ok(Self {
            app,
            node,
            bank: bank_app,
            bank_url,
            client_id,
            client_secret,
            redirect_uri,
            serving,
            _lock: lock,
        })
    }

    /// Stops the hub cleanly, and the bank.
    pub async fn stop(self) {
        self.node.stop().await;
        self.serving.abort();
    }

    fn line(&self) -> serde_json::Value {
        let customers: Vec<_> = self
            .bank
            .logins()
            .iter()
            .map(|l| json!({"username": l.username, "password": l.password}))
            .collect();
        let levers = format!("{}/levers", self.bank_url);
        json!({
            "hub": self.app.public_url(), "demo": null, "admin": null,
            "probes": format!("http://{}", self.node.probes),
            "providers": [{"provider_id": PROVIDER, "name": "Maple Trust", "url": self.bank_url, "levers": levers,
                "customers": customers}],
            "recipients": [{"client_id": self.client_id, "client_secret": self.client_secret.expose(),
                "redirect_uris": [self.redirect_uri], "scope": scope()}],
            "partner": null, "operator": {"token": null},
        })
    }

    fn describe(&self) {
        let hub = self.app.public_url();
        println!("A world of open banking, on this machine alone. Stop it with Ctrl-C.\n");
        println!("hub          {hub}");
        println!("probes       http://{}/readyz", self.node.probes);
        println!("bank         {}   Maple Trust, provider_id {PROVIDER}", self.bank_url);
        println!("levers       {}/levers   make the bank slow, broken or forgetful", self.bank_url);
        println!("\nrecipient    {}", self.client_id);
        println!("secret       {}", self.client_secret.expose());
        println!("redirect     {}", self.redirect_uri);
        println!("\ncustomers");
        for login in self.bank.logins() {
            println!("  {:<8}   {}", login.username, login.password);
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &self.client_id),
                ("redirect_uri", &self.redirect_uri),
                ("scope", "ACCOUNT_BASIC ACCOUNT_DETAILED TRANSACTIONS"),
                ("state", "anything"),
                ("provider_id", "1000"),
            ])
            .finish();
        println!("\nConnect in a browser:\n  {hub}/api/v1/authorize?{query}");
    }
}

/// Everything the bank offers, in one scope.
pub(super) fn scope() -> String {
    let offered: Vec<&str> =
        DataCluster::ALL.iter().filter(|c| word(**c).is_some()).map(|c| c.as_str()).collect();
    offered.join(" ")
}

fn word(cluster: DataCluster) -> Option<&'static str> {
    match cluster {
        DataCluster::AccountBasic => Some("fdx:accountbasic:read"),
        DataCluster::AccountDetailed => Some("fdx:accountdetailed:read"),
        DataCluster::AccountPayments => Some("fdx:paymentnetworks:read"),
        DataCluster::Transactions => Some("fdx:transactions:read"),
        DataCluster::CustomerContact => Some("fdx:customercontact:read"),
        DataCluster::CustomerPersonal => Some("fdx:customerpersonal:read"),
        DataCluster::Investments | DataCluster::Statements => None,
    }
}

fn recipient_uri(port: u16) -> String {
    let port = if port == 0 { 8401 } else { port + 1 };
    format!("http://127.0.0.1:{port}/callback")
}

fn derived(seed: &str, label: &str) -> String {
    use base64::Engine;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, seed.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, label.as_bytes()))
}

/// The seed that the folder has; another one is refused.
fn kept_seed(data: &Path, given: Option<&str>) -> Result<String, Failure> {
    let file = data.join("seed");
    match (std::fs::read_to_string(&file), given) {
        (Ok(kept), Some(given)) if kept != given => Err(Failure::Usage(format!(
            "{} was made from another --seed: use that one, or another --data",
            data.display()
        ))),
        (Ok(kept), _) => Ok(kept),
        (Err(_), given) => {
            let seed = given.unwrap_or("bowline").to_owned();
            std::fs::write(&file, &seed).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
            Ok(seed)
        }
    }
}

async fn listeners(port: u16) -> Result<[TcpListener; 3], Failure> {
    let place = |above: u16| if port == 0 { 0 } else { port.saturating_add(above) };
    let bind = |above| async move { bind(&format!("127.0.0.1:{}", place(above)), "--port").await };
    Ok([bind(0).await?, bind(2).await?, bind(9).await?])
}

fn url(listener: &TcpListener) -> Result<String, Failure> {
    let address = listener.local_addr().map_err(|e| Failure::Fault(e.into()))?;
    Ok(format!("http://{address}"))
}

fn config(args: &Args, hub: &str, bank: &str, secret: &str) -> Result<Config, Failure> {
    let secret_file = args.data.join("maple.secret");
    std::fs::write(&secret_file, secret)
        .map_err(|e| Failure::Usage(format!("{}: {e}", secret_file.display())))?;
    let file = args.data.join("bowline.toml");
    let scopes: Vec<String> =
        DataCluster::ALL.iter().filter_map(|c| Some(format!("{} = \"{}\"", c.as_str(), word(*c)?))).collect();
    let text = format!(
        "[[provider]]\nid = {PROVIDER}\nname = \"Maple Trust\"\ncountry = \"CA\"\nissuer = \"{bank}\"\n\
         authorization_endpoint = \"{bank}/authorize\"\ntoken_endpoint = \"{bank}/token\"\n\
         revocation_endpoint = \"{bank}/revoke\"\nclient_id = \"{HUB_AT_BANK}\"\n\
         client_secret = {{ file = {secret:?} }}\nfdx = {{ base_url = \"{bank}/fdx/v5\", version = \"5\" }}\n\
         scopes = {{ {scopes} }}\ncustomer_identity = {{ token_field = \"customer_id\" }}\n\
         accounts_field = \"accounts\"\ngrant_field = \"grant_id\"\nrevoke = [\"rfc7009\"]\n",
        secret = secret_file.display().to_string(),
        scopes = scopes.join(", "),
    );
    std::fs::write(&file, text).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
    let store =
        args.store.clone().unwrap_or_else(|| format!("sqlite:{}", args.data.join("bowline.db").display()));
    let flags = [
        ("server.public_url", hub.to_owned()),
        ("store.url", store),
        ("keys.file", args.data.join("bowline.keys").display().to_string()),
        ("upstream.allow_loopback", "true".to_owned()),
    ];
    Config::load(Some(&file), std::iter::empty(), &flags).map_err(|e| Failure::Usage(e.to_string()))
}

/// Seeds the hub through the same use cases that its API calls.
async fn seed_hub(app: &App, client_secret: &str, redirect_uri: &str) -> Result<(), Failure> {
    upsert_providers(app).await?;
    let ctx = job::context(app, ACTOR).map_err(|e| Failure::Fault(e.into()))?;
    let moment = ctx.moment().map_err(|e| Failure::Fault(e.into()))?;
    let mark = SetMark { moment, name: SANDBOX_MARK, value: "yes".into() };
    ctx.run(mark).await.map_err(super::start::stored)?;
    let recipient = NewRecipient {
        credentials: Some((RECIPIENT.into(), Secret::from(client_secret))),
        name: "Acme Budget".into(),
        purpose: Localized {
            en: "To show your spending and your balances in one place.".into(),
            fr: "Pour montrer vos dépenses et vos soldes en un seul endroit.".into(),
        },
        redirect_uris: vec![redirect_uri.to_owned()],
        scope: scope(),
        providers: vec![PROVIDER],
        require_pkce: false,
        max_duration_days: Some(90),
    };
    match register(&ctx, recipient, &Actor::new(ActorKind::Operator, "sandbox")).await {
        Ok(_) | Err(NotRegistered::Taken) => Ok(()),
        Err(error) => Err(Failure::Fault(error.into())),
    }
}
