//! The command `bowline doctor`, which checks everything that the hub depends on and suggests a fix for each problem.

use std::path::Path;

use domain::id::ProviderId;
use domain::model::provider::SecretSource;
use serde_json::json;
use store::query::GetMetadata;
use store::{Location, SCHEMA_VERSION, Store, StoreError};

use super::data_lock::DataLock;
use super::error::CliError;
use super::globals::GlobalArgs;
use super::hub::{minimal_store_settings, parse_store_location, protect_keys};
use super::output::escape_terminal;
use super::terminal::print_line;
use crate::clock::{Clock, MAX_CLOCK_SKEW_MS, MeasuredOffset, measure_offset};
use crate::config::{Config, ProviderEntry, store_folder};
use crate::outbound::Outbound;
use crate::server::KEYS_METADATA_NAME;
use crate::upstream::{
    IdentityClientInput, ProviderCheck, UpstreamClientCredentials, build_outbound, read_secret,
};
use crate::vault::{KeyFile, KeyFileError, Vault};

/// The result of one check, with a fix if it found a problem.
struct CheckFinding {
    check: String,
    detail: String,
    /// The way to fix the problem; `None` if there is none.
    fix: Option<String>,
}

impl CheckFinding {
    fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), detail: detail.into(), fix: None }
    }

    fn problem(check: impl Into<String>, detail: impl std::fmt::Display, fix: impl Into<String>) -> Self {
        Self { check: check.into(), detail: detail.to_string(), fix: Some(fix.into()) }
    }
}

/// Runs every check and prints the findings. Creates and changes nothing.
pub(super) async fn run(globals: &GlobalArgs) -> Result<(), CliError> {
    let findings = match globals.load_config(&[]) {
        Ok(config) => run_checks(&config).await,
        Err(error) => {
            let fix = "correct the named place; `bowline config check` checks the configuration only";
            vec![CheckFinding::problem("configuration", error, fix)]
        }
    };
    print_findings(globals, &findings);
    match findings.iter().filter(|finding| finding.fix.is_some()).count() {
        0 => Ok(()),
        problems => Err(CliError::Failed(format!("{problems} of {} checks found a problem", findings.len()))),
    }
}

async fn run_checks(config: &Config) -> Vec<CheckFinding> {
    let mut findings = vec![match config.provider.len() {
        0 => CheckFinding::problem(
            "configuration",
            "no provider is configured",
            "add a [[provider]] to the configuration, as in config.example.toml",
        ),
        count => CheckFinding::ok("configuration", format!("{count} provider(s)")),
    }];
    // The checks below take long enough for a debugger to read the keys.
    if let Err(error) = protect_keys(config) {
        findings.push(CheckFinding::problem("process", error, "set keys.allow_core_dumps to true"));
    }
    let keys = KeyFile::open(&config.keys.file).map(Vault::new);
    findings.extend(check_store(config, keys.as_ref().ok()).await);
    findings.push(match &keys {
        Ok(_) => CheckFinding::ok("keys", config.keys.file.display().to_string()),
        Err(error) if !config.keys.file.exists() => CheckFinding::problem(
            "keys",
            error,
            "start `bowline serve`, which creates the file of a new hub; for an existing hub restore it from a backup",
        ),
        Err(error) => CheckFinding::problem("keys", error, find_key_file_remedy(error)),
    });
    match Outbound::new(&config.upstream) {
        Err(error) => {
            let fix = "report this as a bug: the TLS roots of the program cannot be used";
            findings.push(CheckFinding::problem("outbound", error, fix));
        }
        Ok(outbound) => {
            for entry in &config.provider {
                findings.extend(check_configured_provider(config, entry, &outbound).await);
            }
        }
    }
    findings
}

/// Returns what an operator should do about a key file that cannot be used.
const fn find_key_file_remedy(error: &KeyFileError) -> &'static str {
    match error {
        KeyFileError::Io { .. } => "make the file readable for the hub's user",
        KeyFileError::ReadableByOthers(..) => "make the file readable by the hub's user only (chmod 600)",
        KeyFileError::ForeignOwner(..) => "let the file belong to the hub's user (chown)",
        KeyFileError::NotAFile(_) => "set keys.file to the path of the key file",
        KeyFileError::SymbolicLink(_) => "set keys.file to the path of the file itself, or copy the file",
        KeyFileError::Malformed(_) => "restore the file from a backup",
    }
}

/// Checks the store, its schema, its key file and its clock.
async fn check_store(config: &Config, vault: Option<&Vault>) -> Vec<CheckFinding> {
    let location = match parse_store_location(config) {
        Ok(location) => location,
        Err(error) => return vec![CheckFinding::problem("store", error, "correct store.url")],
    };
    let mut findings = Vec::new();
    if let Location::Sqlite(path) = &location {
        if !path.exists() {
            return vec![CheckFinding::problem(
                "store",
                format!("{} does not exist", path.display()),
                "start `bowline serve`, which creates a new store; for an existing hub restore it, or correct store.url",
            )];
        }
        findings.push(check_data_folder(path));
    }
    // The checks read only rows that have no MAC, so they run without a key file too.
    match Store::open(minimal_store_settings(config, location)).await {
        Err(error) => findings.push(CheckFinding::problem("store", &error, suggest_fix(&error))),
        Ok(store) => {
            findings.push(CheckFinding::ok("store", format!("can be opened, schema {SCHEMA_VERSION:04}")));
            findings.extend(check_key_file(&store, vault).await);
            findings.push(check_clock(&store).await);
        }
    }
    findings
}

fn check_data_folder(store: &Path) -> CheckFinding {
    let folder = store_folder(store).display().to_string();
    // Taking the lock would create its file, which would belong to the user of this command, such as root.
    match DataLock::is_locked(store) {
        Ok(false) => CheckFinding::ok("data folder", format!("{folder}, no hub is running")),
        Ok(true) => CheckFinding::ok("data folder", format!("{folder}, a hub is running")),
        Err(error) => CheckFinding::problem(
            "data folder",
            error,
            "give the hub's user read and write access to the folder",
        ),
    }
}

fn suggest_fix(error: &StoreError) -> &'static str {
    match error {
        StoreError::Incompatible(reason) if reason.contains("migrate") => "run `bowline migrate`",
        StoreError::Incompatible(_) => "set up the database as the message says",
        StoreError::FileFailed(_) => "check the disk and the file system; the file may be damaged",
        StoreError::Unavailable(_) => "start the database, or correct store.url and its credentials",
        StoreError::UnverifiedRow { .. } => {
            "find out which program wrote to the database, and restore the row from a backup"
        }
        StoreError::Busy | StoreError::Conflict | StoreError::CallerRefused(_) | StoreError::Internal(_) => {
            "try again; if the problem remains, the file may be damaged"
        }
    }
}

async fn check_key_file(store: &Store, vault: Option<&Vault>) -> Option<CheckFinding> {
    let fingerprint = vault?.fingerprint();
    Some(match store.query(&GetMetadata { name: KEYS_METADATA_NAME }).await {
        Ok(Some(stored)) if stored == fingerprint => {
            CheckFinding::ok("keys of the store", "store and key file belong together")
        }
        Ok(None) => CheckFinding::ok("keys of the store", "the store is new and belongs to no key file yet"),
        Ok(Some(_)) => CheckFinding::problem(
            "keys of the store",
            "the store belongs to another key file",
            "correct keys.file or store.url",
        ),
        Err(error) => CheckFinding::problem("keys of the store", &error, suggest_fix(&error)),
    })
}

async fn check_clock(store: &Store) -> CheckFinding {
    match measure_offset(&Clock::system(), store).await {
        Ok(MeasuredOffset { millis: offset, .. }) if offset.abs() <= MAX_CLOCK_SKEW_MS => {
            CheckFinding::ok("clock", format!("{offset} ms offset to the clock of the database"))
        }
        Ok(MeasuredOffset { millis: offset, .. }) => {
            let detail = format!(
                "{offset} ms offset to the clock of the database: the hub would reject every request"
            );
            CheckFinding::problem("clock", detail, "synchronize the clocks of both machines (NTP)")
        }
        Err(error) => CheckFinding::problem("clock", &error, suggest_fix(&error)),
    }
}

/// Checks the settings of the calls to a configured provider, and the provider with them. `shared` is the client of providers
/// without such settings.
async fn check_configured_provider(
    config: &Config,
    entry: &ProviderEntry,
    shared: &Outbound,
) -> Vec<CheckFinding> {
    let (id, settings) = (ProviderId::new(entry.id), &entry.settings);
    let outbound = if settings.has_own_transport() {
        let read = |(name, source): (String, &SecretSource)| match read_secret(source) {
            Ok(secret) => Ok((name, secret)),
            Err(error) => Err(format!("{name}: {error}")),
        };
        let secrets: Result<_, String> = settings.transport_secrets().into_iter().map(read).collect();
        secrets.and_then(|secrets| build_outbound(&config.upstream, settings, secrets))
    } else {
        Ok(shared.clone())
    };
    let outbound = match outbound {
        Ok(outbound) => outbound,
        Err(error) => {
            let fix = "provide the certificates, keys and secrets there, and let the hub's user read them";
            return vec![CheckFinding::problem(format!("provider {id} transport"), error, fix)];
        }
    };
    let identity_client = settings.for_identity_client().map(|settings| {
        let secret = settings.authentication_secret().map(|(_, source)| read_secret(source)).transpose();
        IdentityClientInput::new(settings, secret.map_err(str::to_owned))
    });
    let (public_url, now) = (&config.server.public_url, Clock::system().now());
    let allow_http = config.upstream.allow_loopback;
    let check = ProviderCheck {
        outbound: &outbound,
        public_url,
        id,
        settings,
        identity_client: identity_client.as_ref(),
        metadata: None,
        allow_http,
        now,
        max_duration: config.connection.max_duration.duration(),
        history: config.connection.history.span(),
    };
    check_provider_secrets_and_endpoints(&check).await
}

/// Checks the secrets of a provider, its endpoints, and whether it accepts the hub as a client.
async fn check_provider_secrets_and_endpoints(provider: &ProviderCheck<'_>) -> Vec<CheckFinding> {
    let (settings, label) = (provider.settings, format!("provider {}", provider.id));
    let mut findings = Vec::new();
    let mut read = |name: &str, source: &SecretSource| {
        let secret = read_secret(source);
        let words = name.replace('_', " ");
        findings.push(check_secret(&format!("{label} {words}"), source, secret.as_ref().err()));
        secret.ok()
    };
    let secret = settings.authentication_secret().map(|(name, source)| (name, read(name, source)));
    let registration = settings.dynamic_registration.as_ref();
    let initial_access_token = registration
        .and_then(|registration| registration.initial_access_token.as_ref())
        .and_then(|source| read("initial_access_token", source));
    // If each registration has its own upstream client, the configured client is not used, so it is not checked.
    let is_used = settings.upstream_client.authenticates_as_hub();
    let credentials = match secret {
        Some((name, Some(secret))) => match UpstreamClientCredentials::for_hub(settings, Some(secret)) {
            Ok(credentials) => Some(credentials),
            Err(error) => {
                let fix = "correct the key or auth_algorithm";
                findings.push(CheckFinding::problem(format!("{label} {name}"), error, fix));
                None
            }
        },
        Some((_, None)) => None,
        None => UpstreamClientCredentials::for_hub(settings, None).ok(),
    };
    let credentials = credentials.filter(|_| is_used);
    for result in provider.check_endpoints(credentials.as_ref(), initial_access_token.as_ref()).await {
        let check = format!("{label} {}", result.name);
        findings.push(match result.change {
            Some(change) if !result.ok => CheckFinding::problem(check, result.detail, change),
            Some(change) => CheckFinding::ok(check, format!("{}; {change}", result.detail)),
            None => CheckFinding::ok(check, result.detail),
        });
    }
    findings
}

fn check_secret(check: &str, source: &SecretSource, error: Option<&&'static str>) -> CheckFinding {
    let place = match source {
        SecretSource::File(path) => path.clone(),
        SecretSource::Env(name) => format!("${name}"),
        SecretSource::Sealed => "the store".into(),
    };
    match error {
        None => CheckFinding::ok(check, place),
        Some(error) => CheckFinding::problem(
            check,
            format!("{place}: {error}"),
            "provide the secret there, and let the hub's user read it",
        ),
    }
}

fn print_findings(globals: &GlobalArgs, findings: &[CheckFinding]) {
    if globals.json {
        let checks: Vec<_> = findings
            .iter()
            .map(|f| json!({"check": f.check, "ok": f.fix.is_none(), "detail": f.detail, "fix": f.fix}))
            .collect();
        print_line(json!({ "checks": checks }));
        return;
    }
    for CheckFinding { check, detail, fix } in findings {
        // The detail may quote a response of a provider, which is untrusted.
        let detail = escape_terminal(detail);
        match fix {
            None if globals.quiet => {}
            None => print_line(format_args!("ok       {check:<24} {detail}")),
            Some(fix) => {
                print_line(format_args!("PROBLEM  {check:<24} {detail}\n         {:<24} fix: {fix}", ""));
            }
        }
    }
}
