//! `bowline sandbox`: a whole world on this machine, from nothing.

mod party;
mod world;

use std::path::PathBuf;

use serde_json::json;

use super::start::wait_for_stop_signal;
use super::{CliError, GlobalArgs};
use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry;

use world::CONFIG_FILE_NAME;
pub use world::{BankSite, SandboxCredentials, SandboxEnvironment};

/// Runs the hub, two banks with customers in them, and a demo app, on loopback alone.
///
/// Passwords and secrets follow from a seed that is kept in the data directory: a restart prints the same.
#[derive(clap::Args, Debug, Clone)]
#[command(
    after_help = "Examples:\n  bowline sandbox                        open the demo app that it names, sign in as alice\n  bowline sandbox --json --quiet         one line of JSON with every address and secret, for scripts\n  bowline sandbox --redirect-uri http://127.0.0.1:3000/callback\n                                         develop an app of your own against it"
)]
pub struct SandboxArgs {
    /// The hub's port; the demo app's is one above, the banks' two and three, the operators' eight, the probes'
    /// nine. 0 takes any that are free.
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
    /// Where answers to an app of your own may go. May be given several times.
    #[arg(long = "redirect-uri", default_value = "http://127.0.0.1:3000/callback", value_name = "URI")]
    pub redirect_uris: Vec<String>,
    /// A third bank, whose customers have one grant for all recipients.
    #[arg(long, hide = true)]
    pub hidden_bank: bool,
    /// Keys of the hub's configuration that differ from their defaults, for tests.
    #[arg(skip)]
    pub settings: Vec<(&'static str, String)>,
}

impl SandboxArgs {
    /// A world on free ports, with the hidden bank, for tests.
    pub fn with_free_ports(data: PathBuf, store: Option<String>) -> Self {
        let redirect_uris = vec!["http://127.0.0.1:3000/callback".to_owned()];
        Self { port: 0, data, seed: None, store, redirect_uris, hidden_bank: true, settings: Vec::new() }
    }
}

pub(super) async fn run(globals: &GlobalArgs, args: SandboxArgs) -> Result<(), CliError> {
    let config = Config::load(None, std::iter::empty(), &[]).map_err(|e| CliError::Usage(e.to_string()))?;
    let mut log = config.log;
    "warn".clone_into(&mut log.level);
    telemetry::start_logs(&log).map_err(CliError::Usage)?;
    let sandbox = SandboxEnvironment::start(&args, Clock::system()).await?;
    if globals.json {
        println!("{}", build_json(&sandbox));
    } else {
        print_description(&sandbox, &args);
    }
    wait_for_stop_signal().await;
    sandbox.stop().await;
    Ok(())
}

/// Every address and secret, on one line. A restart in the same folder and on the same ports prints the same.
fn build_json(sandbox: &SandboxEnvironment) -> serde_json::Value {
    let providers: Vec<_> = sandbox
        .banks
        .iter()
        .map(|site| {
            let logins = site.bank.logins().into_iter();
            let customers: Vec<_> =
                logins.map(|l| json!({"username": l.username, "password": l.password})).collect();
            let mut provider = json!({"provider_id": site.provider_id, "name": site.bank.name(), "url": site.url,
                "levers": site.faults_url(), "customers": customers});
            if let Some(token) = site.bank.initial_access_token() {
                provider["registration"] = json!({"endpoint": site.registration_url(), "initial_access_token": token});
            }
            provider
        })
        .collect();
    let recipients: Vec<_> = sandbox
        .recipients
        .iter()
        .map(|r| {
            json!({"client_id": r.client_id, "client_secret": r.client_secret.expose(),
                "redirect_uris": r.redirect_uris, "scope": party::full_scope()})
        })
        .collect();
    let partner = &sandbox.partner;
    json!({
        "hub": sandbox.app.public_url(), "demo": sandbox.demo,
        "admin": format!("http://{}", sandbox.node.admin),
        "probes": format!("http://{}", sandbox.node.probes),
        "providers": providers, "recipients": recipients,
        "partner": {"client_id": partner.client_id, "client_secret": partner.client_secret.expose()},
        "operator": {"token": sandbox.operator.expose()},
    })
}

fn print_description(sandbox: &SandboxEnvironment, args: &SandboxArgs) {
    println!("A world of open banking, on this machine alone. Stop it with Ctrl-C.\n");
    println!("demo app     {}   begin here, in a browser", sandbox.demo);
    println!("hub          {}", sandbox.app.public_url());
    println!("admin        http://{}/admin/v1", sandbox.node.admin);
    println!("probes       http://{}/readyz", sandbox.node.probes);
    for site in &sandbox.banks {
        println!("\nbank         {}   {}, provider_id {}", site.url, site.bank.name(), site.provider_id);
        println!("levers       {}   make it slow, broken or forgetful", site.faults_url());
        if let Some(token) = site.bank.initial_access_token() {
            println!(
                "registers    {}   clients, for who has its initial access token:",
                site.registration_url()
            );
            println!("             {token}");
        }
        for login in site.bank.logins() {
            println!("  {:<8}   {}", login.username, login.password);
        }
    }
    for (name, client) in
        [("the demo app", &sandbox.recipients[0]), ("an app of yours", &sandbox.recipients[1])]
    {
        println!("\nrecipient    {}   {name}", client.client_id);
        println!("secret       {}", client.client_secret.expose());
        for uri in &client.redirect_uris {
            println!("redirect     {uri}");
        }
    }
    println!("\npartner      {}   it manages recipients of its own", sandbox.partner.client_id);
    println!("secret       {}", sandbox.partner.client_secret.expose());
    println!("\noperator     {}   an admin's bearer token", sandbox.operator.expose());
    println!("commands     bowline --config {} connection list", args.data.join(CONFIG_FILE_NAME).display());
}
