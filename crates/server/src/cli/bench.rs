//! The command `bowline bench`, and the trait `BenchmarkTarget` implemented for the hub, so that the benchmark can
//! start it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Context;
use bench::{
    BenchmarkError, BenchmarkReport, BenchmarkSettings, BenchmarkTarget, MapCounters, ProviderFetch,
    SealedCredential, TargetRecipient, TargetSettings,
};
use domain::id::{ClientId, ConnectionId, ProviderId};
use domain::jose::AccessTokenKeys;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::LocalizedText;
use domain::model::provider::SettingsVersion;
use domain::secret::TokenHash;
use domain::{Moment, Secret};
use store::command::SealedValue;
use store::{Store, StorePurpose};
use tokio::net::TcpListener;
use url::Url;

use super::data_lock::DataLock;
use super::error::CliError;
use super::globals::GlobalArgs;
use super::hub::{ACTOR, create_or_open_app, migrate, parse_store_location, upsert_providers};
use super::private_files::create_temp_dir;
use super::terminal::{print_error_line, print_line};
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::context::RequestContext;
use crate::jobs;
use crate::outbound::Outbound;
use crate::recipients::{self, NewClientCredentials, RecipientDraft, RecipientError};
use crate::server::{BoundListeners, Node};
use crate::upstream::GrantSecret;
use crate::vault::{SealOwner, SealPurpose};

/// The arguments of `bench`: the stores to measure and the load.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  bowline bench --seconds 5\n  bowline bench --connections 1000,1000000 --callers 1,16,64,256 --markdown docs/benchmarks.md\n  bowline bench --store sqlite --store postgres://bench@127.0.0.1/empty_database"
)]
pub(super) struct BenchArgs {
    /// Store to fill: `sqlite` for a temporary file, or the URL of an empty store; repeat for several stores
    #[arg(long, value_name = "URL", default_value = "sqlite")]
    store: Vec<String>,
    /// Numbers of connections to measure with, comma-separated, in ascending order; connections are added before each
    /// measurement
    #[arg(long, value_delimiter = ',', default_value = "1000", value_name = "NUMBER")]
    connections: Vec<usize>,
    /// Numbers of concurrent callers to measure with, comma-separated; each caller sends one request at a time
    #[arg(long, value_delimiter = ',', default_value = "1,16,64", value_name = "NUMBER")]
    callers: Vec<usize>,
    /// Seconds for which each operation runs, for each number of callers; background deletion is included only in runs of
    /// two minutes or more
    #[arg(long, default_value_t = 120.0, value_name = "NUMBER")]
    seconds: f64,
    /// Number of runs of each operation; the run with the median share of its floor is reported
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    repetitions: usize,
    /// Measure only the operations whose names contain this text; the floors that they are compared with are always
    /// measured
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Folder on the disk to measure, in which temporary SQLite stores are created and then deleted [default: the
    /// system's temporary folder]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// File to write the result tables to, in Markdown, in addition to the output; an existing file is replaced
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

pub(super) async fn run(globals: &GlobalArgs, args: BenchArgs) -> Result<(), CliError> {
    let settings = BenchmarkSettings {
        connections: args.connections,
        callers: args.callers,
        seconds: args.seconds,
        repetitions: args.repetitions,
        name_filter: args.only.unwrap_or_default(),
        show_progress: if globals.quiet { |_| {} } else { |text| print_error_line(text) },
    };
    settings.validate()?;
    let mut report = BenchmarkReport::new(&settings);
    let parent = args.data.unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&parent).map_err(|error| CliError::for_path(&parent, error))?;
    for (index, store) in args.store.iter().enumerate() {
        let folder = create_temp_dir(&parent, &format!("bench-{index}"))?;
        let url = match store.as_str() {
            "sqlite" => format!("sqlite:{}", folder.join("bowline.db").display()),
            url => url.to_owned(),
        };
        let result = bench::measure_store::<HubTarget>(&settings, &folder, &url, &mut report).await;
        // The folder is removed after an error too, because a filled store may be large.
        let _ = std::fs::remove_dir_all(&folder);
        result?;
    }
    if let Some(file) = &args.markdown {
        std::fs::write(file, report.render_markdown()).map_err(|error| CliError::for_path(file, error))?;
    }
    if globals.json {
        print_line(report.to_json());
    } else {
        print_line(report.render_text());
    }
    Ok(())
}

impl From<BenchmarkError> for CliError {
    fn from(error: BenchmarkError) -> Self {
        match error {
            BenchmarkError::InvalidSettings(message) => Self::Usage(message),
            BenchmarkError::UnexpectedResponse(message) => Self::Failed(message),
            BenchmarkError::Store(error) => error.into(),
            BenchmarkError::Internal(error) => Self::Internal(error),
        }
    }
}

/// The hub that the benchmark measures. It runs in this process.
struct HubTarget {
    app: App,
    node: Node,
    config_file: PathBuf,
    /// Released when the target is dropped, after the hub has stopped.
    _lock: DataLock,
}

impl HubTarget {
    fn new_context(&self) -> Result<RequestContext, CliError> {
        Ok(jobs::new_job_context(&self.app, ACTOR)?)
    }
}

impl BenchmarkTarget for HubTarget {
    type Error = CliError;

    async fn start(settings: &TargetSettings<'_>) -> Result<Self, CliError> {
        let [public, admin, probes] =
            [bind_free_port().await?, bind_free_port().await?, bind_free_port().await?];
        let address = public.local_addr().context("a listener has no address")?;
        let config_file = write_config(settings, address)?;
        let config = Config::load(Some(&config_file), std::iter::empty(), &[])?;
        let location = parse_store_location(&config)?;
        let lock = DataLock::acquire(&location)?;
        migrate(&location, StorePurpose::Hub).await?;
        let app = create_or_open_app(config, Clock::system()).await?;
        upsert_providers(&app, &app.config().provider).await?;
        register_recipient(&app, settings).await?;
        let listeners = BoundListeners { public, admin, local: None, probes };
        let node = Node::start(&app, listeners).context("cannot start the hub")?;
        Ok(Self { app, node, config_file, _lock: lock })
    }

    async fn stop(self) -> PathBuf {
        self.node.stop().await;
        self.config_file
    }

    fn serve_command(config_file: &Path, listen: &str, probe_listen: &str) -> Result<Command, CliError> {
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        let mut command = Command::new(program);
        command.arg("--config").arg(config_file);
        command.args(["serve", "--listen", listen, "--probe-listen", probe_listen]);
        Ok(command)
    }

    fn address(&self) -> SocketAddr {
        self.node.address
    }

    fn store(&self) -> &Store {
        self.app.store()
    }

    fn new_moment(&self) -> Result<Moment, CliError> {
        Ok(self.new_context()?.new_moment()?)
    }

    fn hash_secret(&self, secret: &str) -> TokenHash {
        self.app.vault().hash(secret)
    }

    fn seal_credential(
        &self,
        (connection, client, provider): (&ConnectionId, &ClientId, ProviderId),
        token: &str,
    ) -> Result<SealedCredential, CliError> {
        let (context, owner) = (self.new_context()?, SealOwner::for_connection(connection, client, provider));
        // The provider never changes, so its endpoints have the first version.
        let text = GrantSecret::to_text(&Secret::from(token), SettingsVersion::FIRST.endpoints, None);
        let seal = |purpose| {
            let random = context.random_bytes()?;
            let sealed = self.app.vault().seal(random, owner, purpose, text.expose().as_bytes());
            let (key, sealed) = sealed.context("cannot seal a credential")?;
            Ok::<_, CliError>(SealedValue { key, sealed })
        };
        Ok(SealedCredential {
            access_token: seal(SealPurpose::AccessToken)?,
            refresh_token: seal(SealPurpose::RefreshToken)?,
        })
    }

    fn access_token_keys(&self) -> AccessTokenKeys {
        self.app.vault().access_token_keys(self.app.public_url())
    }

    fn provider_fetch(&self, url: &str, token: &'static str) -> Result<ProviderFetch, CliError> {
        // The client must not keep the hub alive after its stop, so it is not that of the hub.
        let outbound = Outbound::new(&self.app.config().upstream).context("cannot build an HTTP client")?;
        let (outbound, url) = (Arc::new(outbound), Url::parse(url).context("the stub provider has no URL")?);
        Ok(Arc::new(move || {
            let (outbound, url) = (Arc::clone(&outbound), url.clone());
            Box::pin(async move {
                let request = outbound.get(&url).map_err(anyhow::Error::from)?;
                Ok(outbound.send(request.bearer_auth(token)).await.map_err(anyhow::Error::from)?.body)
            })
        }))
    }

    fn map_counters(&self) -> MapCounters {
        let stats = self.store().access_map_stats();
        MapCounters { hits: stats.hits, misses: stats.misses }
    }
}

async fn bind_free_port() -> Result<TcpListener, CliError> {
    Ok(TcpListener::bind("127.0.0.1:0").await.context("cannot listen on 127.0.0.1")?)
}

/// Writes the configuration of the hub, and the client secret for its provider.
fn write_config(settings: &TargetSettings<'_>, address: SocketAddr) -> Result<PathBuf, CliError> {
    let TargetSettings { folder, store_url, provider_url, provider_id, breaker_open, .. } = settings;
    let secret_file = folder.join("provider.secret");
    std::fs::write(&secret_file, "bench").map_err(|error| CliError::for_path(&secret_file, error))?;
    let keys_file = folder.join("bowline.keys").display().to_string();
    // Rate limits are turned off, because the benchmark would measure them instead of the hub.
    let text = format!(
        "[server]\npublic_url = \"http://{address}\"\nlisten = \"{address}\"\n\
         admin_listen = \"127.0.0.1:0\"\nprobe_listen = \"127.0.0.1:0\"\n\
         [store]\nurl = {store_url:?}\nconnections = 32\n[keys]\nfile = {keys_file:?}\n\
         [upstream]\nallow_loopback = true\nbreaker_open = \"{breaker_seconds}s\"\n[log]\nlevel = \"error\"\n\
         [limit]\nrecipient = 0\nconnection = 0\nprovider = 0\ntoken = 0\nrevoke = 0\n\
         [[provider]]\nid = {provider_id}\nname = \"Provider {provider_id}\"\ncountry = \"CA\"\n\
         authorization_endpoint = \"{provider_url}/authorize\"\ntoken_endpoint = \"{provider_url}/token\"\n\
         revocation_endpoint = \"{provider_url}/revoke\"\nclient_id = \"hub\"\n\
         client_secret = {{ file = {secret:?} }}\n\
         fdx = {{ base_url = \"{provider_url}/fdx/v5\", version = \"5\" }}\n\
         scopes = {{ ACCOUNT_BASIC = \"b\", ACCOUNT_DETAILED = \"d\", TRANSACTIONS = \"t\" }}\n\
         revoke = [\"rfc7009\"]\n",
        breaker_seconds = breaker_open.as_secs(),
        secret = secret_file.display().to_string(),
    );
    let config_file = folder.join("bowline.toml");
    std::fs::write(&config_file, text).map_err(|error| CliError::for_path(&config_file, error))?;
    Ok(config_file)
}

async fn register_recipient(app: &App, settings: &TargetSettings<'_>) -> Result<(), CliError> {
    let TargetRecipient { client_id, client_secret, redirect_uri, scope } = settings.recipient;
    let ctx = jobs::new_job_context(app, ACTOR)?;
    let actor = Actor::new(ActorKind::Operator, "bench");
    let client_id = ClientId::parse(client_id).context("the client id of the benchmark is malformed")?;
    let draft = RecipientDraft {
        name: "Benchmark".into(),
        purpose: Some(LocalizedText { en: "To measure.".into(), fr: "Pour mesurer.".into() }),
        redirect_uris: vec![redirect_uri.into()],
        scope: scope.into(),
        ..RecipientDraft::default()
    };
    let credentials =
        NewClientCredentials { client_id: client_id.clone(), client_secret: client_secret.into() };
    match recipients::create_recipient(&ctx, draft, Some(credentials), &actor).await {
        // The recipient exists if the same store was already measured at a smaller size.
        Err(RecipientError::IdTaken) => return Ok(()),
        result => result.map(drop).map_err(|error| CliError::Internal(error.into()))?,
    }
    let providers = [ProviderId::new(settings.provider_id)];
    let activated = recipients::activate_with_providers(&ctx, &client_id, &providers, &actor).await;
    activated.map_err(|error| CliError::Internal(error.into()))
}
