//! The world itself: listeners, banks, demo app and hub, seeded through the hub's own use cases.

use std::path::Path;

use anyhow::Context;
use domain::Secret;
use sandbox::bank::{self, Bank};
use sandbox::demo::{self, Demo};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::data_lock::DataLock;
use super::super::error::CliError;
use super::super::hub::{build_app, migrate, parse_store_location};
use super::super::listeners::{bind, bind_admin_socket};
use super::super::private_files::{create_private_dir, write_private_file};
use super::args::SandboxArgs;
use super::providers::{HIDDEN_PROVIDER, HUB_AT_BANK, SANDBOX_PROVIDERS, SandboxProvider, full_scope};
use super::seed::{SandboxCredentials, derive_secret, seed_hub};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::server::{BoundListeners as Listening, Node};

/// The file in its folder that configures a sandbox's hub.
pub(super) const CONFIG_FILE_NAME: &str = "bowline.toml";

/// A world that runs.
pub struct SandboxEnvironment {
    /// The hub's app.
    pub app: App,
    /// The hub.
    pub node: Node,
    /// The banks, Maple Trust first.
    pub banks: Vec<BankSite>,
    /// Where the demo app is.
    pub demo: String,
    /// The demo app's credentials at the hub, and those for an app of one's own.
    pub recipients: [SandboxCredentials; 2],
    /// A partner's credentials.
    pub partner: SandboxCredentials,
    /// An operator's token, with the role of an admin.
    pub operator: Secret<String>,
    serving: JoinSet<()>,
    _lock: DataLock,
}

/// A bank that answers.
pub struct BankSite {
    /// Its id at the hub.
    pub provider_id: i64,
    /// The bank.
    pub bank: Bank,
    /// Where it is.
    pub url: String,
}

impl BankSite {
    /// URL of the bank's fault injection.
    pub fn faults_url(&self) -> String {
        format!("{}/faults", self.url)
    }

    /// Where it registers clients (RFC 7591), if it does.
    pub fn registration_url(&self) -> String {
        format!("{}/register", self.url)
    }
}

/// What is bound before anything is built.
struct SandboxListeners {
    hub: TcpListener,
    demo: TcpListener,
    admin: TcpListener,
    probes: TcpListener,
    banks: Vec<(SandboxProvider, TcpListener)>,
}

impl SandboxEnvironment {
    /// Builds and starts everything.
    pub async fn start(args: &SandboxArgs, clock: Clock) -> Result<Self, CliError> {
        create_private_dir(&args.data).map_err(|error| CliError::for_path(&args.data, error))?;
        let seed = load_or_store_seed(&args.data, args.seed.as_deref())?;
        let listeners = SandboxListeners::bind(args).await?;
        let (hub_url, demo_url) = (listener_url(&listeners.hub)?, listener_url(&listeners.demo)?);
        let mut serving = JoinSet::new();
        let mut banks = Vec::new();
        let mut providers = String::new();
        for (party, listener) in listeners.banks {
            let (site, provider) = open_bank(&party, &listener, &seed, &hub_url, &args.data, &clock)?;
            spawn_server(&mut serving, listener, site.bank.router());
            providers.push_str(&provider);
            banks.push(site);
        }
        let config =
            write_and_load_config(args, [&listeners.hub, &listeners.admin, &listeners.probes], &providers)?;
        let location = parse_store_location(&config)?;
        let lock = DataLock::acquire(&location)?;
        migrate(&location).await?;
        let app = build_app(config, clock.clone()).await?;
        let client = |client_id, redirect_uris| {
            let client_secret = Secret::new(derive_secret(&seed, client_id));
            SandboxCredentials { client_id, client_secret, redirect_uris }
        };
        let recipients = [
            client("dc-sandbox", vec![format!("{demo_url}/callback")]),
            client("dc-yours", args.redirect_uris.clone()),
        ];
        let partner = client("pt-sandbox", Vec::new());
        let operator = Secret::new(derive_secret(&seed, "operator"));
        seed_hub(&app, &recipients, &partner, &operator).await?;
        spawn_server(
            &mut serving,
            listeners.demo,
            build_demo_router(&demo_url, &hub_url, &recipients[0], &banks, &clock)?,
        );
        // A world that is not real goes on without.
        let local = bind_admin_socket(app.config()).unwrap_or_else(|failure| {
            tracing::warn!(%failure, "commands cannot reach the hub without its address");
            None
        });
        let listening =
            Listening { public: listeners.hub, admin: listeners.admin, local, probes: listeners.probes };
        let node = Node::start(&app, listening).context("cannot start the hub")?;
        Ok(Self { app, node, banks, demo: demo_url, recipients, partner, operator, serving, _lock: lock })
    }

    /// The bank that comes first.
    pub fn maple(&self) -> &BankSite {
        &self.banks[0]
    }

    /// The demo app's credentials at the hub.
    pub const fn acme(&self) -> &SandboxCredentials {
        &self.recipients[0]
    }

    /// Stops the hub cleanly, and the others.
    pub async fn stop(mut self) {
        self.node.stop().await;
        self.serving.shutdown().await;
    }
}

impl SandboxListeners {
    async fn bind(args: &SandboxArgs) -> Result<Self, CliError> {
        let place = |above: u16| if args.port == 0 { 0 } else { args.port.saturating_add(above) };
        let bind = |above| async move { bind(&format!("127.0.0.1:{}", place(above)), "--port").await };
        let (hub, demo) = (bind(0).await?, bind(1).await?);
        let (admin, probes) = (bind(8).await?, bind(9).await?);
        let mut banks = Vec::new();
        for party in SANDBOX_PROVIDERS.into_iter().chain(args.hidden_bank.then_some(HIDDEN_PROVIDER)) {
            let listener = bind(party.port).await?;
            banks.push((party, listener));
        }
        Ok(Self { hub, demo, admin, probes, banks })
    }
}

fn spawn_server(serving: &mut JoinSet<()>, listener: TcpListener, router: axum::Router) {
    serving.spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
}

/// Opens a bank, and says how the hub is configured for it.
fn open_bank(
    party: &SandboxProvider,
    listener: &TcpListener,
    seed: &str,
    hub_url: &str,
    data: &Path,
    clock: &Clock,
) -> Result<(BankSite, String), CliError> {
    let url = listener_url(listener)?;
    let client_secret = derive_secret(seed, &format!("hub-at-{}", party.key));
    let secret_file = data.join(format!("{}.secret", party.key));
    write_private_file(&secret_file, &client_secret)?;
    let bank = (party.open)(bank::BankSettings {
        seed: seed.as_bytes().to_vec(),
        origin: url.clone(),
        client_id: HUB_AT_BANK.into(),
        client_secret,
        redirect_uris: vec![format!("{hub_url}/callback/{}", party.provider_id)],
        journal: data.join(format!("{}.jsonl", party.key)),
        clock: clock.to_fn(),
    });
    let bank = bank.context("cannot open a sandbox bank")?;
    let provider = party.render_provider_config(&url, &secret_file);
    Ok((BankSite { provider_id: party.provider_id, bank, url }, provider))
}

fn build_demo_router(
    origin: &str,
    hub: &str,
    own: &SandboxCredentials,
    banks: &[BankSite],
    clock: &Clock,
) -> Result<axum::Router, CliError> {
    let offered = banks.iter().filter(|site| site.provider_id != HIDDEN_PROVIDER.provider_id);
    let providers =
        offered.map(|site| demo::OfferedBank { id: site.provider_id, name: site.bank.name().to_owned() });
    let settings = demo::DemoSettings {
        origin: origin.to_owned(),
        hub: hub.to_owned(),
        client_id: own.client_id.to_owned(),
        client_secret: own.client_secret.expose().clone(),
        redirect_uri: format!("{origin}/callback"),
        scope: full_scope(),
        providers: providers.collect(),
        clock: clock.to_fn(),
    };
    Ok(Demo::new(settings).context("cannot start the demo app")?.router())
}

/// The seed that the folder has; another one is refused.
fn load_or_store_seed(data: &Path, given: Option<&str>) -> Result<String, CliError> {
    let file = data.join("seed");
    match (std::fs::read_to_string(&file), given) {
        (Ok(stored), Some(given)) if stored != given => Err(CliError::Usage(format!(
            "{} was made from another --seed: use that one, or another --data",
            data.display()
        ))),
        (Ok(stored), _) => Ok(stored),
        (Err(_), given) => {
            let seed = given.unwrap_or("bowline").to_owned();
            write_private_file(&file, &seed)?;
            Ok(seed)
        }
    }
}

fn listener_url(listener: &TcpListener) -> Result<String, CliError> {
    Ok(format!("http://{}", listener_address(listener)?))
}

fn listener_address(listener: &TcpListener) -> Result<String, CliError> {
    Ok(listener.local_addr().context("a listener has no address")?.to_string())
}

fn write_and_load_config(
    args: &SandboxArgs,
    [hub, admin, probes]: [&TcpListener; 3],
    providers: &str,
) -> Result<Config, CliError> {
    let file = args.data.join(CONFIG_FILE_NAME);
    let in_data = |name: &str| args.data.join(name).display().to_string();
    let store = args.store.clone().unwrap_or_else(|| format!("sqlite:{}", in_data("bowline.db")));
    let sections = json!({
        "server": {
            "public_url": listener_url(hub)?, "listen": listener_address(hub)?, "admin_listen": listener_address(admin)?,
            "probe_listen": listener_address(probes)?, "admin_socket": in_data("admin.sock"),
        },
        "store": {"url": store},
        "keys": {"file": in_data("bowline.keys")},
        "upstream": {"allow_loopback": true},
    });
    // Whole, so that the program's other commands find this hub by it.
    let sections = toml::to_string(&sections).context("cannot render the configuration")?;
    write_private_file(&file, &format!("{sections}\n{providers}"))?;
    Ok(Config::load(Some(&file), std::iter::empty(), &args.settings)?)
}
