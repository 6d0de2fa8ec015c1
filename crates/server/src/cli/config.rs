//! `bowline config`

use anyhow::Context;
use clap::Subcommand;

use super::error::CliError;
use super::globals::GlobalArgs;

/// Looks at the configuration.
#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Check that the configuration can be used; names the place of what cannot.
    Check,
    /// Print the configuration as it is after all layers, with every secret left out.
    Show,
}

pub(super) fn run(globals: &GlobalArgs, command: &ConfigCommand) -> Result<(), CliError> {
    let config = globals.load_config(&[])?;
    match command {
        ConfigCommand::Check => println!("the configuration is fine: {} provider(s)", config.provider.len()),
        ConfigCommand::Show if globals.json => {
            let shown =
                serde_json::to_string(&config.to_redacted()).context("cannot render the configuration")?;
            println!("{shown}");
        }
        ConfigCommand::Show => {
            print!("{}", toml::to_string(&config.to_redacted()).context("cannot render the configuration")?);
        }
    }
    Ok(())
}
