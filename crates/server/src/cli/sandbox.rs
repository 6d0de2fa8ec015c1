//! `bowline sandbox`: a complete environment on this machine, without any setup.

mod args;
mod environment;
mod providers;
mod seed;

use serde_json::json;

use super::error::CliError;
use super::globals::GlobalArgs;
use super::stop_signals::StopSignals;
use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry;

pub use args::SandboxArgs;
use environment::CONFIG_FILE_NAME;
pub use environment::{BankSite, SandboxEnvironment};
pub use seed::SandboxCredentials;

pub(super) async fn run(globals: &GlobalArgs, args: SandboxArgs) -> Result<(), CliError> {
    // The configuration file and the environment are ignored: the configuration of a real hub must not affect the
    // sandbox.
    let config = Config::load(None, std::iter::empty(), &[])?;
    let grace = config.server.shutdown_grace.duration();
    let mut log = config.log;
    "warn".clone_into(&mut log.level);
    telemetry::start_logs(&log, globals.use_color_for(&std::io::stderr())).map_err(CliError::Usage)?;
    let sandbox = SandboxEnvironment::start(&args, Clock::system()).await?;
    let stop_signals = StopSignals::install(grace).await?;
    if globals.json {
        println!("{}", build_json(&sandbox));
    } else {
        print_description(&sandbox, &args);
    }
    stop_signals.wait().await;
    sandbox.stop().await;
    Ok(())
}

/// Builds the JSON output with all URLs and secrets. They stay the same after a restart in the same folder and on the
/// same ports.
fn build_json(sandbox: &SandboxEnvironment) -> serde_json::Value {
    let providers: Vec<_> = sandbox
        .banks
        .iter()
        .map(|site| {
            let logins = site.bank.logins().into_iter();
            let customers: Vec<_> =
                logins.map(|l| json!({"username": l.username, "password": l.password})).collect();
            let mut provider = json!({"provider_id": site.provider_id, "name": site.bank.name(), "url": site.url,
                "faults": site.faults_url(), "customers": customers});
            // `levers` is the former name of `faults`. It will be removed with the first release.
            provider["levers"] = site.faults_url().into();
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
                "redirect_uris": r.redirect_uris, "scope": providers::full_scope()})
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
    println!("The sandbox is running on this machine only. Press Ctrl-C to stop it.\n");
    println!("demo app     {}   start here, in a browser", sandbox.demo);
    println!("hub          {}", sandbox.app.public_url());
    println!("admin        http://{}/admin/v1", sandbox.node.admin);
    println!("probes       http://{}/readyz", sandbox.node.probes);
    for site in &sandbox.banks {
        println!("\nbank         {}   {}, provider_id {}", site.url, site.bank.name(), site.provider_id);
        println!("faults       {}   make the bank slow or return errors", site.faults_url());
        if let Some(token) = site.bank.initial_access_token() {
            println!(
                "register     {}   dynamic client registration with this initial access token:",
                site.registration_url()
            );
            println!("             {token}");
        }
        for login in site.bank.logins() {
            println!("  {:<8}   {}", login.username, login.password);
        }
    }
    for (name, client) in [("the demo app", &sandbox.recipients[0]), ("your own app", &sandbox.recipients[1])]
    {
        println!("\nrecipient    {}   {name}", client.client_id);
        println!("secret       {}", client.client_secret.expose());
        for uri in &client.redirect_uris {
            println!("redirect     {uri}");
        }
    }
    println!("\npartner      {}   manages its own recipients", sandbox.partner.client_id);
    println!("secret       {}", sandbox.partner.client_secret.expose());
    println!("\noperator     {}   bearer token with the role admin", sandbox.operator.expose());
    println!("commands     bowline --config {} connection list", args.data.join(CONFIG_FILE_NAME).display());
}
