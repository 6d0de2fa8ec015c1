//! `bowline doctor`: what is wrong, and how to mend it.

use std::path::Path;

use domain::id::ProviderId;
use domain::model::audit_event::AuditKey;
use domain::model::provider::{SecretSource, UpstreamClient};
use store::query::MarkOf;
use store::{Location, SCHEMA_VERSION, Settings, Store, StoreError};

use super::start::{DataLock, load, location};
use super::{Failure, Globals};
use crate::app::{Clock, MOST_OFF};
use crate::config::Config;
use crate::hub::{Look, OwnClient, read_secret};
use crate::outbound::Outbound;
use crate::ready::KEYS_MARK;
use crate::vault::{KeyFile, Vault};

/// What was looked at.
struct Finding {
    what: String,
    said: String,
    /// What to do; absent where all is well.
    mend: Option<String>,
}

impl Finding {
    fn well(what: impl Into<String>, said: impl Into<String>) -> Self {
        Self { what: what.into(), said: said.into(), mend: None }
    }

    fn wrong(what: impl Into<String>, said: impl std::fmt::Display, mend: impl Into<String>) -> Self {
        Self { what: what.into(), said: said.to_string(), mend: Some(mend.into()) }
    }
}

/// Looks at everything that the hub rests on. Nothing is changed.
pub(super) async fn run(globals: &Globals) -> Result<(), Failure> {
    let findings = match load(globals, &[]) {
        Ok(config) => examined(&config).await,
        Err(failure) => {
            let mend = "correct the place that is named; `bowline config check` looks at it alone";
            vec![Finding::wrong("configuration", failure, mend)]
        }
    };
    show(globals, &findings);
    match findings.iter().filter(|f| f.mend.is_some()).count() {
        0 => Ok(()),
        wrong => Err(Failure::DoesNotHold(format!("{wrong} of {} checks found something", findings.len()))),
    }
}

async fn examined(config: &Config) -> Vec<Finding> {
    let providers = config.provider.len();
    let mut findings = vec![if providers == 0 {
        let mend = "add a [[provider]] to the configuration: see config.example.toml";
        Finding::wrong("configuration", "no provider is configured", mend)
    } else {
        Finding::well("configuration", format!("{providers} provider(s)"))
    }];
    let keys = KeyFile::open(&config.keys.file).map(Vault::new);
    findings.extend(storage(config, keys.as_ref().ok()).await);
    findings.push(match &keys {
        Ok(_) => Finding::well("keys", config.keys.file.display().to_string()),
        Err(error) if !config.keys.file.exists() => Finding::wrong(
            "keys",
            error,
            "`bowline serve` makes the file at its first start; else put the backup back",
        ),
        Err(error) => {
            Finding::wrong("keys", error, "give it back to the hub's user alone (chmod 600), or restore it")
        }
    });
    match Outbound::new(&config.upstream) {
        Err(error) => {
            findings.push(Finding::wrong("outbound", error, "the TLS roots of the program are not usable"));
        }
        Ok(outbound) => {
            for entry in &config.provider {
                let (id, settings) = (ProviderId::new(entry.id), &entry.settings);
                let public_url = &config.server.public_url;
                findings.extend(provider(&Look { outbound: &outbound, public_url, id, settings }).await);
            }
        }
    }
    findings
}

/// The store, its schema, its keys and its clock.
async fn storage(config: &Config, vault: Option<&Vault>) -> Vec<Finding> {
    let location = match location(config) {
        Ok(location) => location,
        Err(failure) => return vec![Finding::wrong("store", failure, "correct store.url")],
    };
    let mut findings = Vec::new();
    if let Location::Sqlite(path) = &location {
        if !path.exists() {
            let said = format!("{} is not there yet", path.display());
            return vec![Finding::wrong(
                "store",
                said,
                "`bowline serve` makes it at its first start; else restore it",
            )];
        }
        findings.push(in_use(path, &location));
    }
    let audit_key = vault.map_or_else(|| AuditKey::new(0, &[0; 32]), Vault::audit_key);
    let settings = Settings { location, connections: 2, queue: 1, audit_key };
    match Store::open(settings).await {
        Err(error) => findings.push(Finding::wrong("store", &error, mend(&error))),
        Ok(store) => {
            findings.push(Finding::well("store", format!("open, schema {SCHEMA_VERSION:04}")));
            findings.extend(vault_of(&store, vault).await);
            findings.push(clock(&store).await);
        }
    }
    findings
}

fn in_use(path: &Path, location: &Location) -> Finding {
    let folder = path.parent().unwrap_or(path).display().to_string();
    match DataLock::take(location) {
        Ok(_) => Finding::well("data folder", format!("{folder}, no hub runs on it")),
        Err(Failure::Unreachable(_)) => Finding::well("data folder", format!("{folder}, a hub runs on it")),
        Err(failure) => Finding::wrong("data folder", failure, "let the hub's user write in it"),
    }
}

fn mend(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unfit(why) if why.contains("migrate") => "run `bowline migrate`",
        StoreError::Unfit(_) => "set the database up as the message says",
        StoreError::Unavailable(_) => "start the database, or correct store.url and its credentials",
        StoreError::Busy | StoreError::Race | StoreError::Fault(_) => {
            "try again; if it stays, the file may be damaged"
        }
    }
}

async fn vault_of(store: &Store, vault: Option<&Vault>) -> Option<Finding> {
    let own = vault?.fingerprint();
    Some(match store.ask(&MarkOf { name: KEYS_MARK }).await {
        Ok(Some(known)) if known == own => Finding::well("keys of the store", "they belong together"),
        Ok(None) => Finding::well("keys of the store", "the store is fresh"),
        Ok(Some(_)) => {
            Finding::wrong("keys of the store", "the store belongs to another key file", "correct keys.file")
        }
        Err(error) => Finding::wrong("keys of the store", &error, mend(&error)),
    })
}

async fn clock(store: &Store) -> Finding {
    match store.clock_ahead(Clock::system().now()).await {
        Ok(ahead) if ahead.abs() <= MOST_OFF => {
            Finding::well("clock", format!("{ahead} ms from the database's"))
        }
        Ok(ahead) => {
            let said = format!("{ahead} ms from the database's: the hub would refuse everything");
            Finding::wrong("clock", said, "synchronise both machines (NTP)")
        }
        Err(error) => Finding::wrong("clock", &error, mend(&error)),
    }
}

/// The provider's secret, whether anybody answers at its endpoints, and whether it knows the hub.
async fn provider(look: &Look<'_>) -> Vec<Finding> {
    let (settings, named) = (look.settings, format!("provider {}", look.id));
    let secret = read_secret(&settings.client_secret);
    let mut findings =
        vec![found_secret(&format!("{named} secret"), &settings.client_secret, secret.as_ref().err())];
    let there = settings.dynamic_registration.as_ref();
    if let Some(source) = there.and_then(|there| there.initial_access_token.as_ref()) {
        let wrong = read_secret(source).err();
        findings.push(found_secret(&format!("{named} initial access token"), source, wrong.as_ref()));
    }
    let of_the_hub = settings.upstream_client == UpstreamClient::Hub;
    let own = secret.ok().filter(|_| of_the_hub);
    let own = own.map(|secret| OwnClient { id: settings.client_id.clone(), secret });
    for check in look.endpoints(own.as_ref()).await {
        let what = format!("{named} {}", check.name);
        findings.push(if check.ok {
            Finding::well(what, check.detail)
        } else {
            let mend = "check the address, the client, the network and the certificate, and ask the provider whether it \
                        is down; the hub calls no private addresses unless upstream.allow_loopback is set";
            Finding::wrong(what, check.detail, mend)
        });
    }
    findings
}

fn found_secret(what: &str, source: &SecretSource, wrong: Option<&&'static str>) -> Finding {
    let place = match source {
        SecretSource::File(path) => path.clone(),
        SecretSource::Env(name) => format!("${name}"),
        SecretSource::Sealed => "the store".into(),
    };
    match wrong {
        None => Finding::well(what, place),
        Some(why) => {
            Finding::wrong(what, format!("{place}: {why}"), "put it there, and let the hub's user read it")
        }
    }
}

fn show(globals: &Globals, findings: &[Finding]) {
    if globals.json {
        let list: Vec<_> = findings
            .iter()
            .map(|f| serde_json::json!({"check": f.what, "well": f.mend.is_none(), "said": f.said, "mend": f.mend}))
            .collect();
        println!("{}", serde_json::json!({ "checks": list }));
        return;
    }
    for finding in findings {
        match &finding.mend {
            None if globals.quiet => {}
            None => println!("ok     {:<24} {}", finding.what, finding.said),
            Some(mend) => {
                println!("WRONG  {:<24} {}\n       {:<24} → {mend}", finding.what, finding.said, "");
            }
        }
    }
}
