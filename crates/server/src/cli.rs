//! The command line.

mod admin_client;
mod args;
mod audit;
mod bench;
mod browser;
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
mod provider;
mod recipient;
mod registration;
mod sandbox;
mod serve;
mod tour;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use admin_client::WithHub;
pub use browser::{Browser, BrowserRequest, BrowserResponse, find_hidden_field, resolve_url};
pub use error::CliError;
use error::INTERNAL_EXIT_CODE;
use globals::GlobalArgs;
pub use sandbox::{BankSite, SandboxArgs, SandboxCredentials, SandboxEnvironment};

/// An open-banking hub in one binary: it connects apps to banks with the customer's consent, serves the data
/// in FDX form, and cuts a connection everywhere, at once, for good.
#[derive(Parser, Debug)]
#[command(name = "bowline", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Begin with `bowline tour`: it needs nothing, walks through the whole world in a few seconds \
and shows every exchange.\n\nExit codes: 0 done, 1 it does not hold, 2 usage or configuration, 3 unreachable, 70 fault."
)]
pub struct Cli {
    #[command(flatten)]
    globals: GlobalArgs,
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand, Debug)]
enum CliCommand {
    /// Walk through the whole world: connect a bank, read, refresh, revoke, then try every door.
    Tour,
    /// Run a whole world on this machine: the hub, two banks with customers in them, and a demo app.
    Sandbox(SandboxArgs),
    /// Run the hub for real customers.
    Serve(serve::ServeArgs),
    /// Bring the store's schema up to date.
    Migrate,
    /// Measure what each operation costs on this machine, beside its floor.
    Bench(bench::BenchArgs),
    /// Look at everything that the hub rests on, and say what is wrong and how to mend it. Changes nothing.
    Doctor,
    /// Print the OpenAPI document of a face.
    Openapi(openapi::OpenapiArgs),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Manage partners, who look after data recipients through the API.
    Partner(WithHub<partner::PartnerCommand>),
    /// Manage data recipients.
    Recipient(WithHub<recipient::RecipientCommand>),
    /// Look at data providers, add, hold and release them.
    Provider(WithHub<provider::ProviderCommand>),
    /// Manage registrations: a recipient's admission to a provider.
    Registration(WithHub<registration::RegistrationCommand>),
    /// Find, show and end connections.
    Connection(WithHub<connection::ConnectionCommand>),
    /// Look at deferred work, and after what was given up.
    Job(WithHub<job::JobCommand>),
    /// Look through the record.
    Audit(WithHub<audit::AuditCommand>),
    /// Look after those who run the hub.
    Operator(WithHub<operator::OperatorCommand>),
}

/// Runs the command line.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(INTERNAL_EXIT_CODE);
        }
    };
    match runtime.block_on(execute(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure:#}");
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn execute(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        CliCommand::Tour => tour::run(&cli.globals).await,
        CliCommand::Sandbox(args) => sandbox::run(&cli.globals, args).await,
        CliCommand::Serve(args) => serve::run(&cli.globals, args).await,
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
        CliCommand::Provider(args) => {
            provider::run(&args.hub.connect(&cli.globals).await?, args.command).await
        }
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
    use super::*;
    use clap::CommandFactory;

    /// What is wrong with the words of a command and those below it.
    fn find_unexplained(command: &clap::Command, above: &str) -> Vec<String> {
        let name = format!("{above}{}", command.get_name());
        let mut found: Vec<_> = command
            .get_subcommands()
            .flat_map(|below| find_unexplained(below, &format!("{name} ")))
            .collect();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        if about.len() < 10 {
            found.push(format!("{name} does not say what it does: {about:?}"));
        }
        for argument in command.get_arguments().filter(|argument| argument.get_help().is_none()) {
            found.push(format!("{name}: {} is not explained", argument.get_id()));
        }
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let needs_hub = command.get_arguments().any(|argument| argument.get_id() == "token");
        if needs_hub && !command.has_subcommands() && !after.contains(&name) {
            found.push(format!("{name} has no example: {after:?}"));
        }
        found
    }

    #[test]
    fn cli_commands_have_help_text_and_example() {
        let mut all = Cli::command();
        all.build();
        all.clone().debug_assert();
        assert_eq!(find_unexplained(&all, ""), Vec::<String>::new());
    }
}
