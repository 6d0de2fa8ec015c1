//! The flags that every command accepts, and the configuration that they select.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::error::CliError;
use crate::config::Config;
use crate::http::current_user_id;

/// The configuration file that is used if none is named.
pub(super) const DEFAULT_CONFIG_FILE: &str = "bowline.toml";

/// The heading of the global flags in help texts. It separates them from the flags of the command.
pub(super) const GLOBAL_HEADING: &str = "Global options";

/// The flags that every command accepts.
#[derive(clap::Args, Debug, Clone)]
pub(super) struct GlobalArgs {
    /// Configuration file, in TOML; environment variables take precedence over it [default: ./bowline.toml, if it
    /// exists]
    #[arg(long, global = true, help_heading = GLOBAL_HEADING, env = "BOWLINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print results as JSON, for scripts, instead of text and tables
    #[arg(long, global = true, help_heading = GLOBAL_HEADING)]
    pub(super) json: bool,
    /// Print results only, without notes or progress
    #[arg(long, short, global = true, help_heading = GLOBAL_HEADING)]
    pub(super) quiet: bool,
    /// Use color in the output always, never, or only on a terminal
    #[arg(long, global = true, help_heading = GLOBAL_HEADING, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Color,
}

/// The cases in which the output is colored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    /// Use color on a terminal, unless `NO_COLOR` is set
    Auto,
    /// Use color even if the output goes to a file or another program
    Always,
    /// Use no color, not even on a terminal
    Never,
}

impl GlobalArgs {
    /// Returns the configuration file that is in use, if there is one.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        let default = PathBuf::from(DEFAULT_CONFIG_FILE);
        self.config.clone().or_else(|| default.exists().then_some(default))
    }

    /// Ensures that the configuration file of the current folder belongs to this user or to root, and that not every user may
    /// write to it. In a folder such as `/tmp`, another user could have put it there to obtain the hub's secrets.
    fn ensure_trusted_config_file(&self) -> Result<(), CliError> {
        let file = Path::new(DEFAULT_CONFIG_FILE);
        if self.config.is_some() || !file.exists() {
            return Ok(());
        }
        // The link itself counts, because its owner decides which file is read.
        let owner = file.symlink_metadata().map_err(|error| CliError::for_path(file, error))?.uid();
        let mode = file.metadata().map_err(|error| CliError::for_path(file, error))?.mode();
        let problem = if !is_trusted_owner(owner, current_user_id()) {
            "belongs to another user: expected your own file or one of root; to use it anyway, pass --config"
        } else if mode & OTHERS_WRITE_MASK != 0 {
            "every user may write to it: remove the permission (chmod o-w); to use it anyway, pass --config"
        } else {
            return Ok(());
        };
        Err(CliError::for_path(file, problem))
    }

    /// Ensures that no configuration file is named, for a command that uses none.
    pub(super) fn ensure_no_config_file(&self, command: &str) -> Result<(), CliError> {
        match &self.config {
            None => Ok(()),
            Some(_) => Err(CliError::Usage(format!(
                "--config and BOWLINE_CONFIG: {command} uses no configuration file, so that that of a real hub cannot affect it"
            ))),
        }
    }

    /// Loads the configuration from defaults, file, environment and flags; later layers take precedence.
    pub(super) fn load_config(&self, flags: &[(&str, String)]) -> Result<Config, CliError> {
        // `std::env::vars` panics on a variable that is not UTF-8, and the panic would print its value, which may be
        // a secret. None of the hub's variables may have such a value, so these are skipped.
        self.ensure_trusted_config_file()?;
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        Ok(Config::load(self.config_file().as_deref(), environment, flags)?)
    }

    /// Decides whether the output on a stream is colored.
    pub(super) fn use_color_for(&self, stream: &impl IsTerminal) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: the variable counts whatever its value is.
            Color::Auto => stream.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}

/// The permission bit that lets users outside the file's group write. The group often contains only the owner.
const OTHERS_WRITE_MASK: u32 = 0o002;

/// Returns whether a user trusts the files of an owner.
const fn is_trusted_owner(owner: u32, user: u32) -> bool {
    owner == user || owner == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_files_and_those_of_root_are_trusted() {
        assert!(is_trusted_owner(1000, 1000) && is_trusted_owner(0, 1000) && is_trusted_owner(0, 0));
        assert!(!is_trusted_owner(1001, 1000) && !is_trusted_owner(1000, 0));
    }
}
