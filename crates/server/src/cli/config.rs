//! `bowline config`

use clap::Subcommand;

use super::start::load;
use super::{Failure, Globals};

/// Looks at the configuration.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Check that the configuration can be used; names the place of what cannot.
    Check,
    /// Print the configuration as it is after all layers, with every secret left out.
    Show,
}

pub(super) fn run(globals: &Globals, command: &Command) -> Result<(), Failure> {
    let config = load(globals, &[])?;
    match command {
        Command::Check => println!("the configuration is fine: {} provider(s)", config.provider.len()),
        Command::Show if globals.json => {
            let shown = serde_json::to_string(&config.redacted()).map_err(|e| Failure::Fault(e.into()))?;
            println!("{shown}");
        }
        Command::Show => {
            print!("{}", toml::to_string(&config.redacted()).map_err(|e| Failure::Fault(e.into()))?);
        }
    }
    Ok(())
}
