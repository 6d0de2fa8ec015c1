//! The flags that every command accepts, and the configuration that they select.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::ValueEnum;

use super::error::CliError;
use crate::config::Config;

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

    /// Loads the configuration from defaults, file, environment and flags; later layers take precedence.
    pub(super) fn load_config(&self, flags: &[(&str, String)]) -> Result<Config, CliError> {
        // `std::env::vars` panics on a variable that is not UTF-8, and the panic would print its value, which may be
        // a secret. None of the hub's variables may have such a value, so these are skipped.
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
