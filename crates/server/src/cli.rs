//! The command line: defines the commands and dispatches each of them to its module.

mod admin_client;
mod args;
mod audit;
mod bench;
mod browser;
mod client;
mod config;
mod connection;
mod data_lock;
mod doctor;
mod error;
mod globals;
mod hub;
mod job;
mod listeners;
mod migrate;
mod openapi;
mod operator;
mod output;
mod partner;
mod private_files;
mod process_protection;
mod provider;
mod provider_template;
mod provider_test;
mod recipient;
mod registration;
mod reload;
mod replay;
mod sandbox;
mod serve;
mod stop_signals;
mod terminal;
mod tour;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::telemetry::flush_logs;
use admin_client::WithHub;
pub use browser::{Browser, BrowserRequest, BrowserResponse, find_hidden_field, resolve_url};
pub use error::CliError;
use globals::GlobalArgs;
pub use sandbox::{BankSecurity, BankSite, SandboxArgs, SandboxCredentials, SandboxEnvironment};

/// The time that blocking calls have to end after a command.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Open-banking hub in one binary: connects apps to banks with the customer's consent, serves the data in FDX format,
/// and ends a connection everywhere with one call
#[derive(Parser, Debug)]
#[command(name = "bowline", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Start with `bowline tour`: it needs no setup, takes a few seconds and shows every exchange.\n\n\
Exit codes: 0 success, 1 the operation or check failed, 2 wrong usage or configuration, 3 the hub or the database cannot be reached, \
or a port or the data folder is in use, 70 internal error, 130 or 143 a second SIGINT or SIGTERM ended the hub while it was stopping."
)]
pub struct Cli {
    #[command(flatten)]
    globals: GlobalArgs,
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand, Debug)]
enum CliCommand {
    /// Demonstrate the hub in a few seconds: connect a customer, read data, end the connection, then try every endpoint
    /// again
    ///
    /// Runs in a temporary sandbox, which is deleted at the end. Fails if an endpoint still works after the end of the
    /// connection.
    Tour,
    /// Run a sandbox on this machine: the hub, two banks with customers, and a demo app
    ///
    /// Everything listens on 127.0.0.1. Passwords and secrets are derived from a seed in the data folder, so they stay
    /// the same after a restart.
    Sandbox(SandboxArgs),
    /// Run the hub for real customers until SIGTERM or SIGINT
    ///
    /// A missing SQLite store and a missing key file are created. A SQLite store is migrated automatically, a PostgreSQL
    /// store by `bowline migrate`.
    Serve(serve::ServeArgs),
    /// Create the store, or migrate its schema to this version
    ///
    /// Prints each migration that was applied. No hub may run on a SQLite store in the meantime. Creates no key file.
    Migrate,
    /// Measure each operation of the hub over HTTP, and compare it with the simplest possible request or write, its
    /// "floor", which is measured in the same run
    ///
    /// The load generator, the hub and a stub provider share one process and its cores, so ignore the absolute numbers
    /// and compare the throughput of each operation with that of its floor, in percent.
    Bench(bench::BenchArgs),
    /// Check configuration, store, keys, clock and providers, and suggest a fix for each problem; changes nothing
    Doctor,
    /// Print the OpenAPI document of an API, as the hub serves it at `/openapi/API.json`; needs no configuration
    Openapi(openapi::OpenapiArgs),
    /// Check the configuration, or print it without secrets; neither opens the store
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Add, list, show, suspend and reinstate partners, and rotate their secrets; a partner manages data recipients through
    /// the API
    ///
    /// With --url, `list` and `show` need the role `viewer`, `suspend` and `reinstate` the role `operator`, `add` and
    /// `secret` the role `admin`.
    Partner(WithHub<partner::PartnerCommand>),
    /// Add, list, show, update, suspend, reinstate and remove data recipients, and rotate their secrets
    ///
    /// With --url, `list` and `show` need the role `viewer`, `suspend` and `reinstate` the role `operator`, the other
    /// commands the role `admin`.
    Recipient(WithHub<recipient::RecipientCommand>),
    /// List, show, add, test, pause, release and retire data providers; replay a saved response
    ///
    /// With --url, `list` and `show` need the role `viewer`, `add` the role `admin`, the other commands the role
    /// `operator`.
    Provider(WithHub<provider::ProviderCommand>),
    /// Request, list, show, approve, activate, reject, suspend and reinstate registrations of data recipients with data
    /// providers
    ///
    /// A recipient can connect customers to a provider only while its registration there is active. With --url, `list`
    /// and `show` need the role `viewer`, the other commands the role `operator`.
    Registration(WithHub<registration::RegistrationCommand>),
    /// List and show the connections of all data recipients, or end one of them
    ///
    /// With --url, `list` and `show` need the role `viewer`, `end` the role `operator`.
    Connection(WithHub<connection::ConnectionCommand>),
    /// List background jobs, which call data providers; retry or close failed ones
    ///
    /// With --url, `list` needs the role `viewer`, `retry` and `close` the role `operator`.
    Job(WithHub<job::JobCommand>),
    /// Search the audit log, which records each change with its time and the party that made it
    ///
    /// With --url, this needs the role `viewer`.
    Audit(WithHub<audit::AuditCommand>),
    /// Add, list and remove operators, who manage the hub with a token and a role
    ///
    /// With --url, all of these commands need the role `admin`.
    Operator(WithHub<operator::OperatorCommand>),
}

/// Runs the command line and returns the exit code of the process.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` end here too, with the exit code 0.
            terminal::print_usage(&error);
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return report(terminal::ensure_output_written(), code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(anyhow::Error::from(error).into()), 0),
    };
    let result = runtime.block_on(execute(cli));
    // Without a limit, this would wait for every blocking call, for example of a request that was aborted.
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
    let code = match result {
        Ok(()) => report(terminal::ensure_output_written(), 0),
        // The command's own error determines the exit code, even if the output is incomplete, too.
        Err(error) => report(Err(error), 0),
    };
    flush_logs();
    code
}

/// Prints an error and returns its exit code, or else the given one.
fn report(result: Result<(), CliError>, code: u8) -> ExitCode {
    let Err(error) = result else { return ExitCode::from(code) };
    // The alternate form includes the causes of an internal error.
    terminal::print_error_line(format_args!("error: {error:#}"));
    ExitCode::from(error.exit_code())
}

async fn execute(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        CliCommand::Tour => tour::run(&cli.globals).await,
        CliCommand::Sandbox(args) => sandbox::run(&cli.globals, args).await,
        CliCommand::Serve(args) => Box::pin(serve::run(&cli.globals, args)).await,
        CliCommand::Migrate => migrate::run(&cli.globals).await,
        CliCommand::Bench(args) => bench::run(&cli.globals, args).await,
        CliCommand::Doctor => doctor::run(&cli.globals).await,
        CliCommand::Openapi(args) => {
            openapi::run(&args);
            Ok(())
        }
        CliCommand::Config(command) => config::run(&cli.globals, &command),
        CliCommand::Partner(args) => partner::run(&args.hub.connect(&cli.globals).await?, args.command).await,
        CliCommand::Recipient(args) => {
            recipient::run(&args.hub.connect(&cli.globals).await?, args.command).await
        }
        CliCommand::Provider(args) => provider::run(&cli.globals, args).await,
        CliCommand::Registration(args) => {
            registration::run(&args.hub.connect(&cli.globals).await?, args.command).await
        }
        CliCommand::Connection(args) => {
            connection::run(&args.hub.connect(&cli.globals).await?, args.command).await
        }
        CliCommand::Job(args) => job::run(&args.hub.connect(&cli.globals).await?, args.command).await,
        CliCommand::Audit(args) => audit::run(&args.hub.connect(&cli.globals).await?, args.command).await,
        CliCommand::Operator(args) => {
            operator::run(&args.hub.connect(&cli.globals).await?, args.command).await
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Lists the commands and arguments without help text, and the admin commands without an example.
    fn find_undocumented(command: &clap::Command, parent: &str) -> Vec<String> {
        let name = format!("{parent}{}", command.get_name());
        let mut findings: Vec<_> = command
            .get_subcommands()
            .flat_map(|subcommand| find_undocumented(subcommand, &format!("{name} ")))
            .collect();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        if about.len() < 10 {
            findings.push(format!("{name} has no description: {about:?}"));
        }
        for argument in command.get_arguments().filter(|argument| argument.get_help().is_none()) {
            findings.push(format!("{name}: {} has no help text", argument.get_id()));
        }
        let after_help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let uses_hub = command.get_arguments().any(|argument| argument.get_id() == "token");
        if uses_hub && !command.has_subcommands() && !after_help.contains(&name) {
            findings.push(format!("{name} has no example: {after_help:?}"));
        }
        findings
    }

    #[test]
    fn operator_token_may_begin_with_hyphen() {
        let arguments = ["bowline", "connection", "list", "--url", "http://127.0.0.1:1", "--token", "-token"];

        let parsed = Cli::command().try_get_matches_from(arguments);

        assert!(parsed.is_ok(), "{parsed:?}");
    }

    #[test]
    fn cli_commands_have_help_text_and_example() {
        let mut command = Cli::command();
        command.build();

        command.clone().debug_assert();

        assert_eq!(find_undocumented(&command, ""), Vec::<String>::new());
    }
}
