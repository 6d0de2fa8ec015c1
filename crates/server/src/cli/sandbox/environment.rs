//! The environment of a sandbox: listeners, banks, demo app and hub.

use std::path::Path;

use anyhow::Context;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::Secret;
use http::StatusCode;
use sandbox::bank::{self, Bank, ClientCertificate, FapiSettings, MutualTlsListener, SecurityProfile};
use sandbox::demo::{self, Demo};
use serde_json::json;
use store::{Location, Store, StorePurpose};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::data_lock::DataLock;
use super::super::error::CliError;
use super::super::hub::{create_or_open_app, migrate, parse_store_location};
use super::super::listeners::{bind, bind_admin_socket};
use super::super::private_files::write_private_file;
use super::args::{BankSecurity, SandboxArgs};
use super::fapi_files::FapiFiles;
use super::identity::SandboxIdentity;
use super::providers::{
    HIDDEN_PROVIDER, HUB_AT_BANK, ProviderAccess, SANDBOX_PROVIDERS, SandboxProvider, full_scope,
};
use super::seed::{SandboxCredentials, seed_hub};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::HostPolicy;
use crate::server::{BoundListeners, Node};

/// The configuration file of the hub, in the data folder.
pub(super) const CONFIG_FILE_NAME: &str = "bowline.toml";

/// A running sandbox, which consists of the hub, the banks and the demo app.
pub struct SandboxEnvironment {
    pub app: App,
    /// The hub, whose listeners and workers run in this process.
    pub node: Node,
    /// The banks, Maple Trust first.
    pub banks: Vec<BankSite>,
    /// The origin of the demo app.
    pub demo: String,
    /// The credentials of two recipients: the demo app, and the user's own app.
    pub recipients: [SandboxCredentials; 2],
    pub partner: SandboxCredentials,
    /// The token of an operator with the role `admin`.
    pub operator: Secret<String>,
    servers: JoinSet<()>,
    _lock: DataLock,
}

/// A running bank, and its address.
pub struct BankSite {
    /// The id of the bank at the hub.
    pub provider_id: i64,
    pub bank: Bank,
    /// The origin of the bank: scheme, host and port.
    pub url: String,
    /// The origin of the endpoints that the hub calls, if the bank requires mutual TLS.
    pub mutual_tls_url: Option<String>,
}

impl BankSite {
    /// Returns the URL of the bank's fault injection.
    pub fn faults_url(&self) -> String {
        format!("{}/faults", self.url)
    }

    /// Returns the URL of the registration endpoint (RFC 7591). Not every bank has one.
    pub fn registration_url(&self) -> String {
        format!("{}/register", self.url)
    }
}

/// The listeners of the sandbox. All of them are bound before anything else is built, because every URL contains a
/// port.
struct SandboxListeners {
    hub: TcpListener,
    demo: TcpListener,
    admin: TcpListener,
    probes: TcpListener,
    banks: Vec<BankListeners>,
}

/// A bank and its listeners: for browsers, and the one with mutual TLS if the bank requires it.
struct BankListeners {
    provider: SandboxProvider,
    http: TcpListener,
    mutual_tls: Option<TcpListener>,
}

/// The values that all banks are opened with.
struct BankParameters<'a> {
    identity: &'a SandboxIdentity,
    profile: BankSecurity,
    /// The keys and certificates, if the banks require mutual TLS.
    fapi: Option<FapiFiles>,
    hub_url: &'a str,
    data: &'a Path,
    clock: &'a Clock,
}

impl SandboxEnvironment {
    /// Starts the banks, the demo app and the hub, on the folder and the ports of the arguments.
    pub async fn start(args: &SandboxArgs, clock: Clock) -> Result<Self, CliError> {
        // All checks precede the first write: a wrong folder or store must not be changed.
        let identity = SandboxIdentity::load_or_create(&args.data, args.seed.as_deref())?;
        let location = parse_sandbox_store(args)?;
        let is_new_store = Store::check_purpose(&location, StorePurpose::Sandbox).await?;
        identity.ensure_owns_store(is_new_store)?;
        let listeners = SandboxListeners::bind(args).await?;
        // The lock precedes all other files, because a running sandbox in the same folder uses them.
        let lock = DataLock::acquire(&location)?;
        identity.store_if_new(&args.data)?;
        let (hub_url, demo_url) = (listener_url(&listeners.hub)?, listener_url(&listeners.demo)?);
        let mut servers = JoinSet::new();
        let is_fapi = args.bank_profile == BankSecurity::Fapi;
        let parameters = BankParameters {
            identity: &identity,
            profile: args.bank_profile,
            fapi: is_fapi.then(|| FapiFiles::load_or_create(&args.data)).transpose()?,
            hub_url: &hub_url,
            data: &args.data,
            clock: &clock,
        };
        let (banks, providers) = start_banks(&mut servers, listeners.banks, &parameters)?;
        let config =
            write_and_load_config(args, [&listeners.hub, &listeners.admin, &listeners.probes], &providers)?;
        migrate(&location, StorePurpose::Sandbox).await?;
        let app = create_or_open_app(config, clock.clone()).await?;
        let client = |client_id, redirect_uris| {
            let client_secret = Secret::new(identity.derive_secret(client_id));
            SandboxCredentials { client_id, client_secret, redirect_uris }
        };
        let recipients = [
            client("dc-sandbox", vec![format!("{demo_url}/callback")]),
            client("dc-yours", args.redirect_uris.clone()),
        ];
        let partner = client("pt-sandbox", Vec::new());
        let operator = Secret::new(identity.derive_secret("operator"));
        seed_hub(&app, &recipients, &partner, &operator).await?;
        spawn_server(
            &mut servers,
            listeners.demo,
            build_demo_router(&demo_url, &hub_url, &recipients[0], &banks, &clock)?,
        );
        // The sandbox also works without the admin socket, whose path may be too long, for example in nested temporary
        // folders.
        let local = bind_admin_socket(app.config()).unwrap_or_else(|error| {
            tracing::warn!(%error, "no admin socket: commands need --url and --token");
            None
        });
        let listeners =
            BoundListeners { public: listeners.hub, admin: listeners.admin, local, probes: listeners.probes };
        let node = Node::start(&app, listeners).context("cannot start the hub")?;
        Ok(Self { app, node, banks, demo: demo_url, recipients, partner, operator, servers, _lock: lock })
    }

    /// Returns the bank Maple Trust, which uses FDX 5.
    pub fn maple(&self) -> &BankSite {
        &self.banks[0]
    }

    /// Returns the credentials of the demo app.
    pub const fn acme(&self) -> &SandboxCredentials {
        &self.recipients[0]
    }

    /// Stops the hub gracefully, then the banks and the demo app.
    pub async fn stop(mut self) {
        self.node.stop().await;
        self.servers.shutdown().await;
    }
}

impl SandboxListeners {
    async fn bind(args: &SandboxArgs) -> Result<Self, CliError> {
        let port = |offset: u16| if args.port == 0 { 0 } else { args.port.saturating_add(offset) };
        let bind = |offset| async move { bind(&format!("127.0.0.1:{}", port(offset)), "--port").await };
        let (hub, demo) = (bind(0).await?, bind(1).await?);
        let (admin, probes) = (bind(8).await?, bind(9).await?);
        let mut banks = Vec::new();
        for provider in SANDBOX_PROVIDERS.into_iter().chain(args.hidden_bank.then_some(HIDDEN_PROVIDER)) {
            let http = bind(provider.port_offset).await?;
            let mutual_tls = match args.bank_profile {
                BankSecurity::Fapi => Some(bind(provider.mutual_tls_port_offset).await?),
                BankSecurity::Plain | BankSecurity::OpenId => None,
            };
            banks.push(BankListeners { provider, http, mutual_tls });
        }
        Ok(Self { hub, demo, admin, probes, banks })
    }
}

fn spawn_server(servers: &mut JoinSet<()>, listener: TcpListener, router: axum::Router) {
    let router = router.layer(axum::middleware::from_fn(reject_foreign_hosts));
    servers.spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
}

/// Serves a router to clients with a certificate.
fn spawn_mutual_tls_server(
    servers: &mut JoinSet<()>,
    listener: TcpListener,
    files: &FapiFiles,
    router: axum::Router,
) -> Result<(), CliError> {
    let listener = MutualTlsListener::new(listener, &files.bank, &files.authority);
    let listener = listener.context("cannot use the certificates of the sandbox")?;
    let router = router.layer(axum::middleware::from_fn(reject_foreign_hosts));
    servers.spawn(async move {
        let service = router.into_make_service_with_connect_info::<ClientCertificate>();
        let _ = axum::serve(listener, service).await;
    });
    Ok(())
}

/// Rejects requests to a bank or to the demo app that name another host than this machine.
async fn reject_foreign_hosts(request: Request, next: Next) -> Response {
    let policy = HostPolicy::Loopback { public_host: None };
    if policy.permits(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "The host is not a name of this machine").into_response()
}

/// Opens and serves the banks. Returns them with the sections of the hub's configuration.
fn start_banks(
    servers: &mut JoinSet<()>,
    listeners: Vec<BankListeners>,
    parameters: &BankParameters<'_>,
) -> Result<(Vec<BankSite>, String), CliError> {
    let (mut banks, mut sections) = (Vec::new(), String::new());
    for listeners in listeners {
        let (site, section) = open_bank(&listeners, parameters)?;
        spawn_server(servers, listeners.http, site.bank.router());
        if let (Some(listener), Some(files)) = (listeners.mutual_tls, &parameters.fapi) {
            spawn_mutual_tls_server(servers, listener, files, site.bank.mutual_tls_router())?;
        }
        sections.push_str(&section);
        banks.push(site);
    }
    Ok((banks, sections))
}

/// Opens a bank and returns it with its section of the hub's configuration.
fn open_bank(
    listeners: &BankListeners,
    parameters: &BankParameters<'_>,
) -> Result<(BankSite, String), CliError> {
    let BankParameters { identity, profile, fapi, hub_url, data, clock } = parameters;
    let provider = &listeners.provider;
    let url = listener_url(&listeners.http)?;
    let mutual_tls = listeners.mutual_tls.as_ref().map(listener_address).transpose()?;
    let mutual_tls_url = mutual_tls.map(|address| format!("https://{address}"));
    let client_secret = identity.derive_secret(&format!("hub-at-{}", provider.key));
    let secret_file = data.join(format!("{}.secret", provider.key));
    let (security, access) = match (profile, fapi, &mutual_tls_url) {
        (BankSecurity::OpenId, ..) => {
            (SecurityProfile::OpenId, ProviderAccess::OpenId { secret: &secret_file })
        }
        (BankSecurity::Fapi, Some(files), Some(mutual_tls_origin)) => {
            let settings = FapiSettings {
                mutual_tls_origin: mutual_tls_origin.clone(),
                client_keys_url: format!("{hub_url}/.well-known/jwks.json"),
            };
            (SecurityProfile::Fapi(settings), ProviderAccess::Fapi { files, mutual_tls_origin })
        }
        (BankSecurity::Fapi, ..) => {
            return Err(anyhow::anyhow!("a bank with mutual TLS has no listener or no certificates").into());
        }
        (BankSecurity::Plain, ..) => (SecurityProfile::Plain, ProviderAccess::Plain { secret: &secret_file }),
    };
    if *profile != BankSecurity::Fapi {
        write_private_file(&secret_file, &client_secret)?;
    }
    let section = provider.render_provider_config(&url, &access);
    let bank = (provider.open)(bank::BankSettings {
        seed: identity.seed.as_bytes().to_vec(),
        secret_key: identity.derive_secret(&format!("bank-{}", provider.key)).into_bytes(),
        origin: url.clone(),
        client_id: HUB_AT_BANK.into(),
        client_secret,
        redirect_uris: vec![format!("{hub_url}/callback/{}", provider.provider_id)],
        journal: data.join(format!("{}.jsonl", provider.key)),
        clock: clock.to_fn(),
        security,
    });
    let bank = bank.context("cannot open a sandbox bank")?;
    Ok((BankSite { provider_id: provider.provider_id, bank, url, mutual_tls_url }, section))
}

fn build_demo_router(
    origin: &str,
    hub: &str,
    credentials: &SandboxCredentials,
    banks: &[BankSite],
    clock: &Clock,
) -> Result<axum::Router, CliError> {
    // The third bank is for tests of the hub, not for visitors of the demo app.
    let offered = banks.iter().filter(|site| site.provider_id != HIDDEN_PROVIDER.provider_id);
    let providers =
        offered.map(|site| demo::OfferedBank { id: site.provider_id, name: site.bank.name().to_owned() });
    let settings = demo::DemoSettings {
        origin: origin.to_owned(),
        hub: hub.to_owned(),
        client_id: credentials.client_id.to_owned(),
        client_secret: credentials.client_secret.expose().clone(),
        redirect_uri: format!("{origin}/callback"),
        scope: full_scope(),
        providers: providers.collect(),
        clock: clock.to_fn(),
    };
    Ok(Demo::new(settings).context("cannot start the demo app")?.router())
}

/// Returns the URL of the store: that of the arguments, or a SQLite file in the data folder.
fn store_url(args: &SandboxArgs) -> String {
    let in_data = || format!("sqlite:{}", args.data.join("bowline.db").display());
    args.store.clone().unwrap_or_else(in_data)
}

/// Parses the location of the store, before the configuration is written.
fn parse_sandbox_store(args: &SandboxArgs) -> Result<Location, CliError> {
    let settings = [args.settings.clone(), vec![("store.url", store_url(args))]].concat();
    parse_store_location(&Config::load(None, std::iter::empty(), &settings)?)
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
    let sections = json!({
        "server": {
            "public_url": listener_url(hub)?, "listen": listener_address(hub)?, "admin_listen": listener_address(admin)?,
            "probe_listen": listener_address(probes)?, "admin_socket": in_data("admin.sock"),
        },
        "store": {"url": store_url(args)},
        "keys": {"file": in_data("bowline.keys")},
        "upstream": {"allow_loopback": true},
    });
    // The complete configuration is written, so that other commands find this hub with --config.
    let sections = toml::to_string(&sections).context("cannot render the configuration")?;
    write_private_file(&file, &format!("{sections}\n{providers}"))?;
    Ok(Config::load(Some(&file), std::iter::empty(), &args.settings)?)
}
