//! `bowline doctor`: what is wrong, and how to mend it.

use std::path::Path;

use domain::id::ProviderId;
use domain::model::audit_event::AuditKey;
use domain::model::provider::{SecretSource, UpstreamClientMode};
use store::query::GetMetadata;
use store::{Location, SCHEMA_VERSION, Store, StoreError, StoreSettings};

use super::data_lock::DataLock;
use super::error::CliError;
use super::globals::GlobalArgs;
use super::hub::parse_store_location;
use crate::clock::{Clock, MAX_CLOCK_SKEW_MS};
use crate::config::Config;
use crate::outbound::Outbound;
use crate::server::KEYS_METADATA_NAME;
use crate::upstream::{ProviderCheck, UpstreamClientCredentials, read_secret};
use crate::vault::{KeyFile, Vault};

/// What was looked at.
struct CheckFinding {
    check: String,
    detail: String,
    /// What to do; absent where all is well.
    fix: Option<String>,
}

impl CheckFinding {
    fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: what.into(), detail: detail.into(), fix: None }
    }

    fn problem(what: impl Into<String>, detail: impl std::fmt::Display, fix: impl Into<String>) -> Self {
        Self { check: what.into(), detail: detail.to_string(), fix: Some(fix.into()) }
    }
}

/// Looks at everything that the hub rests on. Nothing is changed.
pub(super) async fn run(globals: &GlobalArgs) -> Result<(), CliError> {
    let findings = match globals.load_config(&[]) {
        Ok(config) => run_checks(&config).await,
        Err(failure) => {
            let fix = "correct the place that is named; `bowline config check` looks at it alone";
            vec![CheckFinding::problem("configuration", failure, fix)]
        }
    };
    print_findings(globals, &findings);
    match findings.iter().filter(|f| f.fix.is_some()).count() {
        0 => Ok(()),
        wrong => Err(CliError::Failed(format!("{wrong} of {} checks found something", findings.len()))),
    }
}

async fn run_checks(config: &Config) -> Vec<CheckFinding> {
    let providers = config.provider.len();
    let mut findings = vec![if providers == 0 {
        let fix = "add a [[provider]] to the configuration: see config.example.toml";
        CheckFinding::problem("configuration", "no provider is configured", fix)
    } else {
        CheckFinding::ok("configuration", format!("{providers} provider(s)"))
    }];
    let keys = KeyFile::open(&config.keys.file).map(Vault::new);
    findings.extend(check_store(config, keys.as_ref().ok()).await);
    findings.push(match &keys {
        Ok(_) => CheckFinding::ok("keys", config.keys.file.display().to_string()),
        Err(error) if !config.keys.file.exists() => CheckFinding::problem(
            "keys",
            error,
            "`bowline serve` makes the file at its first start; else put the backup back",
        ),
        Err(error) => CheckFinding::problem(
            "keys",
            error,
            "give it back to the hub's user alone (chmod 600), or restore it",
        ),
    });
    match Outbound::new(&config.upstream) {
        Err(error) => {
            findings.push(CheckFinding::problem(
                "outbound",
                error,
                "the TLS roots of the program are not usable",
            ));
        }
        Ok(outbound) => {
            for entry in &config.provider {
                let (id, settings) = (ProviderId::new(entry.id), &entry.settings);
                let public_url = &config.server.public_url;
                findings.extend(
                    check_configured_provider(&ProviderCheck {
                        outbound: &outbound,
                        public_url,
                        id,
                        settings,
                    })
                    .await,
                );
            }
        }
    }
    findings
}

/// The store, its schema, its keys and its clock.
async fn check_store(config: &Config, vault: Option<&Vault>) -> Vec<CheckFinding> {
    let location = match parse_store_location(config) {
        Ok(location) => location,
        Err(failure) => return vec![CheckFinding::problem("store", failure, "correct store.url")],
    };
    let mut findings = Vec::new();
    if let Location::Sqlite(path) = &location {
        if !path.exists() {
            let detail = format!("{} is not there yet", path.display());
            return vec![CheckFinding::problem(
                "store",
                detail,
                "`bowline serve` makes it at its first start; else restore it",
            )];
        }
        findings.push(check_data_dir(path, &location));
    }
    let audit_key = vault.map_or_else(|| AuditKey::new(0, &[0; 32]), Vault::audit_key);
    let settings = StoreSettings { location, connections: 2, queue_capacity: 1, audit_key };
    match Store::open(settings).await {
        Err(error) => findings.push(CheckFinding::problem("store", &error, suggest_fix(&error))),
        Ok(store) => {
            findings.push(CheckFinding::ok("store", format!("open, schema {SCHEMA_VERSION:04}")));
            findings.extend(check_key_file(&store, vault).await);
            findings.push(check_clock(&store).await);
        }
    }
    findings
}

fn check_data_dir(path: &Path, location: &Location) -> CheckFinding {
    let folder = path.parent().unwrap_or(path).display().to_string();
    match DataLock::acquire(location) {
        Ok(_) => CheckFinding::ok("data folder", format!("{folder}, no hub runs on it")),
        Err(CliError::Unreachable(_)) => {
            CheckFinding::ok("data folder", format!("{folder}, a hub runs on it"))
        }
        Err(failure) => CheckFinding::problem("data folder", failure, "let the hub's user write in it"),
    }
}

fn suggest_fix(error: &StoreError) -> &'static str {
    match error {
        StoreError::Incompatible(why) if why.contains("migrate") => "run `bowline migrate`",
        StoreError::Incompatible(_) => "set the database up as the message says",
        StoreError::Unavailable(_) => "start the database, or correct store.url and its credentials",
        StoreError::Busy | StoreError::Conflict | StoreError::Internal(_) => {
            "try again; if it stays, the file may be damaged"
        }
    }
}

async fn check_key_file(store: &Store, vault: Option<&Vault>) -> Option<CheckFinding> {
    let own = vault?.fingerprint();
    Some(match store.query(&GetMetadata { name: KEYS_METADATA_NAME }).await {
        Ok(Some(known)) if known == own => CheckFinding::ok("keys of the store", "they belong together"),
        Ok(None) => CheckFinding::ok("keys of the store", "the store is fresh"),
        Ok(Some(_)) => CheckFinding::problem(
            "keys of the store",
            "the store belongs to another key file",
            "correct keys.file",
        ),
        Err(error) => CheckFinding::problem("keys of the store", &error, suggest_fix(&error)),
    })
}

async fn check_clock(store: &Store) -> CheckFinding {
    match store.clock_offset_ms(Clock::system().now()).await {
        Ok(ahead) if ahead.abs() <= MAX_CLOCK_SKEW_MS => {
            CheckFinding::ok("clock", format!("{ahead} ms from the database's"))
        }
        Ok(ahead) => {
            let detail = format!("{ahead} ms from the database's: the hub would refuse everything");
            CheckFinding::problem("clock", detail, "synchronise both machines (NTP)")
        }
        Err(error) => CheckFinding::problem("clock", &error, suggest_fix(&error)),
    }
}

/// The provider's secret, whether anybody answers at its endpoints, and whether it knows the hub.
async fn check_configured_provider(target: &ProviderCheck<'_>) -> Vec<CheckFinding> {
    let (settings, named) = (target.settings, format!("provider {}", target.id));
    let secret = read_secret(&settings.client_secret);
    let mut findings =
        vec![check_secret(&format!("{named} secret"), &settings.client_secret, secret.as_ref().err())];
    let there = settings.dynamic_registration.as_ref();
    if let Some(source) = there.and_then(|there| there.initial_access_token.as_ref()) {
        let wrong = read_secret(source).err();
        findings.push(check_secret(&format!("{named} initial access token"), source, wrong.as_ref()));
    }
    let is_shared_client = settings.upstream_client == UpstreamClientMode::Shared;
    let own = secret.ok().filter(|_| is_shared_client);
    let own = own.map(|secret| UpstreamClientCredentials { id: settings.client_id.clone(), secret });
    for check in target.check_endpoints(own.as_ref()).await {
        let what = format!("{named} {}", check.name);
        findings.push(if check.ok {
            CheckFinding::ok(what, check.detail)
        } else {
            let fix = "check the address, the client, the network and the certificate, and ask the provider whether it \
                        is down; the hub calls no private addresses unless upstream.allow_loopback is set";
            CheckFinding::problem(what, check.detail, fix)
        });
    }
    findings
}

fn check_secret(what: &str, source: &SecretSource, wrong: Option<&&'static str>) -> CheckFinding {
    let place = match source {
        SecretSource::File(path) => path.clone(),
        SecretSource::Env(name) => format!("${name}"),
        SecretSource::Sealed => "the store".into(),
    };
    match wrong {
        None => CheckFinding::ok(what, place),
        Some(why) => CheckFinding::problem(
            what,
            format!("{place}: {why}"),
            "put it there, and let the hub's user read it",
        ),
    }
}

fn print_findings(globals: &GlobalArgs, findings: &[CheckFinding]) {
    if globals.json {
        let list: Vec<_> = findings
            .iter()
            .map(|f| serde_json::json!({"check": f.check, "well": f.fix.is_none(), "said": f.detail, "mend": f.fix}))
            .collect();
        println!("{}", serde_json::json!({ "checks": list }));
        return;
    }
    for finding in findings {
        match &finding.fix {
            None if globals.quiet => {}
            None => println!("ok     {:<24} {}", finding.check, finding.detail),
            Some(fix) => {
                println!("WRONG  {:<24} {}\n       {:<24} → {fix}", finding.check, finding.detail, "");
            }
        }
    }
}
