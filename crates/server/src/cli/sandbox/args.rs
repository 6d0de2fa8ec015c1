//! The arguments of `bowline sandbox`, and their values in tests.

use std::path::PathBuf;

/// The security profile of all banks of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BankSecurity {
    /// OAuth 2.0 with a client secret.
    Plain,
    /// OpenID Connect.
    #[value(name = "openid")]
    OpenId,
    /// FAPI 2.0 with mutual TLS.
    Fapi,
}

/// The arguments of `sandbox`.
#[derive(clap::Args, Debug, Clone)]
#[command(
    after_help = "Examples:\n  bowline sandbox                        open the demo app at the printed URL, sign in as alice\n  bowline sandbox --json --quiet         print one line of JSON with all URLs and secrets, for scripts\n  bowline sandbox --redirect-uri http://127.0.0.1:3000/callback\n                                         develop your own app against the sandbox\n  bowline sandbox --bank-profile fapi    let the hub connect to banks with mutual TLS; see bowline.toml in the data folder"
)]
pub struct SandboxArgs {
    /// Port of the hub, or 0 for any free ports. The demo app listens on PORT+1, the banks on PORT+2 and PORT+3, the
    /// admin API on PORT+8, the probes on PORT+9
    #[arg(long, default_value_t = 8400, value_name = "PORT")]
    pub port: u16,
    /// Folder for the data of the sandbox; it is created if necessary, and a later start continues with its data
    #[arg(long, default_value = "data/sandbox", value_name = "FOLDER")]
    pub data: PathBuf,
    /// Seed of all accounts and secrets, any text; it cannot change later. Secrets are random without a seed
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
    /// URL of the store: `sqlite:PATH` or `postgres://USER@HOST/DATABASE` [default: SQLite in the data folder]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Redirect URI of your own app, which the sandbox registers as a second recipient; repeat for several
    #[arg(long = "redirect-uri", default_value = "http://127.0.0.1:3000/callback", value_name = "URI")]
    pub redirect_uris: Vec<String>,
    /// Security of the banks: `plain` (client secret, RFC 7009), `openid` (metadata, id tokens, introspection) or `fapi`
    /// (`private_key_jwt`, pushed requests, mutual TLS, FDX Consent API). With `fapi`, the hub calls the banks on PORT+5 and PORT+6
    #[arg(long, value_enum, default_value_t = BankSecurity::Plain, value_name = "PROFILE")]
    pub bank_profile: BankSecurity,
    /// Start a third bank, whose customers have one grant for all recipients
    #[arg(long, hide = true)]
    pub hidden_bank: bool,
    /// Configuration keys that tests override, with their values.
    #[arg(skip)]
    pub settings: Vec<(&'static str, String)>,
}

impl SandboxArgs {
    /// Selects free ports and starts the third bank, for tests.
    pub fn with_free_ports(data: PathBuf, store: Option<String>) -> Self {
        let redirect_uris = vec!["http://127.0.0.1:3000/callback".to_owned()];
        Self {
            port: 0,
            data,
            seed: None,
            store,
            redirect_uris,
            bank_profile: BankSecurity::Plain,
            hidden_bank: true,
            settings: Vec::new(),
        }
    }
}
