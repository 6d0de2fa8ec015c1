//! The command `bowline sandbox`, which runs a hub with banks and a demo app on this machine, without any setup.

mod args;
mod environment;
mod fapi_files;
mod identity;
mod providers;
mod seed;

use std::fmt::Write;

use serde_json::json;

use super::error::CliError;
use super::globals::GlobalArgs;
use super::stop_signals::StopSignals;
use super::terminal::{ensure_output_written, print};
use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry;

pub use args::{BankSecurity, SandboxArgs};
use environment::CONFIG_FILE_NAME;
pub use environment::{BankSite, SandboxEnvironment};
pub use seed::SandboxCredentials;

pub(super) async fn run(globals: &GlobalArgs, args: SandboxArgs) -> Result<(), CliError> {
    // The configuration of a real hub must not affect the sandbox. A file that is named is an error, because its user
    // expects it to be used; the file of the current folder and the environment are ignored.
    globals.ensure_no_config_file("sandbox")?;
    let config = Config::load(None, std::iter::empty(), &[])?;
    let grace = config.server.shutdown_grace.duration();
    let mut log = config.log;
    "warn".clone_into(&mut log.level);
    telemetry::start_logs(&log, globals.use_color_for(&std::io::stderr())).map_err(CliError::Usage)?;
    let sandbox = SandboxEnvironment::start(&args, Clock::system()).await?;
    let mut stop_signals = StopSignals::install(grace).await?;
    let description = if globals.json {
        format!("{}\n", build_json(&sandbox))
    } else {
        render_description(&sandbox, &args)
    };
    // The sandbox serves although its description is not read: printing may block, and does not stop it.
    let printed = tokio::task::spawn_blocking(move || print(description));
    let output_failure = async {
        let _ = printed.await;
        if ensure_output_written().is_ok() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = stop_signals.wait_for_stop() => {}
        // Without its URLs and secrets, nothing can use the sandbox. The error is reported at the end of the command.
        () = output_failure => {}
    }
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
            if let Some(url) = &site.mutual_tls_url {
                provider["mutual_tls"] = url.as_str().into();
            }
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

fn render_description(sandbox: &SandboxEnvironment, args: &SandboxArgs) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "The sandbox is running on this machine only. Press Ctrl-C to stop it.\n");
    let _ = writeln!(text, "demo app     {}   start here, in a browser", sandbox.demo);
    let _ = writeln!(text, "hub          {}", sandbox.app.public_url());
    let _ = writeln!(text, "admin        http://{}/admin/v1", sandbox.node.admin);
    let _ = writeln!(text, "probes       http://{}/readyz", sandbox.node.probes);
    for site in &sandbox.banks {
        let _ = writeln!(
            text,
            "\nbank         {}   {}, provider_id {}",
            site.url,
            site.bank.name(),
            site.provider_id
        );
        let _ = writeln!(text, "faults       {}   make the bank slow or return errors", site.faults_url());
        if let Some(url) = &site.mutual_tls_url {
            let _ = writeln!(text, "mutual TLS   {url}   the endpoints that the hub calls");
        }
        if let Some(token) = site.bank.initial_access_token() {
            let _ = writeln!(
                text,
                "register     {}   dynamic client registration with this initial access token:",
                site.registration_url()
            );
            let _ = writeln!(text, "             {token}");
        }
        for login in site.bank.logins() {
            let _ = writeln!(text, "  {:<8}   {}", login.username, login.password);
        }
    }
    for (name, client) in [("the demo app", &sandbox.recipients[0]), ("your own app", &sandbox.recipients[1])]
    {
        let _ = writeln!(text, "\nrecipient    {}   {name}", client.client_id);
        let _ = writeln!(text, "secret       {}", client.client_secret.expose());
        for uri in &client.redirect_uris {
            let _ = writeln!(text, "redirect     {uri}");
        }
    }
    let _ = writeln!(text, "\npartner      {}   manages its own recipients", sandbox.partner.client_id);
    let _ = writeln!(text, "secret       {}", sandbox.partner.client_secret.expose());
    let _ = writeln!(text, "\noperator     {}   bearer token with the role admin", sandbox.operator.expose());
    let _ = writeln!(
        text,
        "commands     bowline --config {} connection list",
        args.data.join(CONFIG_FILE_NAME).display()
    );
    text
}
