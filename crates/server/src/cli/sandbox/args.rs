//! Flags of `bowline sandbox`.

use std::path::PathBuf;

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
