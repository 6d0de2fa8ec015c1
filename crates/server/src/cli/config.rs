//! The command `bowline config`, which checks or prints the configuration without opening the store.

use anyhow::Context;
use clap::Subcommand;

use super::error::CliError;
use super::globals::GlobalArgs;
use super::terminal::{print, print_line};

/// Commands on the configuration. They open no store.
#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Check the configuration; an error names the file or variable and the key
    Check,
    /// Print the configuration that results from defaults, file and environment, without secrets
    Show,
}

pub(super) fn run(globals: &GlobalArgs, command: &ConfigCommand) -> Result<(), CliError> {
    let config = globals.load_config(&[])?;
    match command {
        ConfigCommand::Check => {
            print_line(format_args!("The configuration is valid: {} provider(s).", config.provider.len()));
        }
        ConfigCommand::Show if globals.json => {
            let text = serde_json::to_string(&config.to_redacted());
            print_line(text.context("cannot render the configuration")?);
        }
        ConfigCommand::Show => {
            let text = toml::to_string(&config.to_redacted());
            print(text.context("cannot render the configuration")?);
        }
    }
    Ok(())
}
