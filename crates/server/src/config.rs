//! Configuration: defaults, then a file, then `BOWLINE_<SECTION>__<KEY>`, then flags.

mod provider;
mod units;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use provider::ProviderEntry;
pub use units::{ByteSize, HumanDuration};

/// The documented defaults: the example file itself.
const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// Everything that can be configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is explained in config.example.toml")]
pub struct Config {
    pub server: ServerSection,
    pub store: StoreSection,
    pub keys: KeysSection,
    pub token: TokenSection,
    pub connection: ConnectionSection,
    pub page: PageSection,
    pub upstream: UpstreamSection,
    pub limit: LimitSection,
    pub job: JobSection,
    pub log: LogSection,
    #[serde(default)]
    pub provider: Vec<ProviderEntry>,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "each key is explained in config.example.toml")]
        pub struct $name { $(pub $field: $type),+ }
    };
}

section! {
    /// Where and how the hub is served.
    ServerSection {
        public_url: String, listen: String, admin_listen: String, admin_socket: String, probe_listen: String,
        body_limit: ByteSize, header_timeout: HumanDuration,
        request_timeout: HumanDuration, idle_timeout: HumanDuration, shutdown_grace: HumanDuration, connections: usize,
        trusted_proxies: usize,
    }
}
section! {
    /// Where the state lives.
    StoreSection { url: String, connections: usize, queue: usize }
}
section! {
    /// Where the keys live.
    KeysSection { file: PathBuf }
}
section! {
    /// How long tokens live.
    TokenSection { access_ttl: HumanDuration, code_ttl: HumanDuration, refresh_idle: HumanDuration }
}
section! {
    /// How long connections live, and how far back data goes.
    ConnectionSection { max_duration: HumanDuration, history: HumanDuration }
}
section! {
    /// Pages of lists.
    PageSection { size: u32, max: u32, cursor_ttl: HumanDuration }
}
section! {
    /// How providers are called.
    UpstreamSection { connect_timeout: HumanDuration, timeout: HumanDuration, max_body: ByteSize, statement_timeout: HumanDuration,
        max_statement: ByteSize, allow_loopback: bool,
        breaker_failures: u32, breaker_open: HumanDuration,
    }
}
section! {
    /// How often who may ask: calls a minute, and as many at once. Zero is no limit.
    LimitSection { recipient: u32, connection: u32, provider: u32, provider_share: u32, token: u32, revoke: u32,
        failed_authentication: u32,
    }
}
section! {
    /// Deferred work.
    JobSection { workers: usize, poll: HumanDuration }
}
section! {
    /// Logs.
    LogSection { format: LogFormat, level: String }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Why a configuration cannot be used; it names the place and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// It is not TOML, or not ours.
    #[error("{place}: {message}")]
    Content {
        /// The file or variable.
        place: String,
        /// What was expected.
        message: String,
    },
}

impl ConfigError {
    fn content(place: &(impl ToString + ?Sized), message: &(impl ToString + ?Sized)) -> Self {
        Self::Content { place: place.to_string(), message: message.to_string() }
    }
}

impl Config {
    /// Layers a file (if there is one), the environment and flags on the defaults.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let mut table = parse_toml("config.example.toml", EXAMPLE)?;
        let mut place = "configuration".to_owned();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::File { path: path.into(), source })?;
            place = path.display().to_string();
            merge(&mut table, parse_toml(&place, &text)?);
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix("BOWLINE_").filter(|key| key.contains("__")) {
                set_key(&mut table, &name, &key.to_lowercase().replace("__", "."), &value)?;
            }
        }
        for (key, value) in flags {
            set_key(&mut table, key, key, value)?;
        }
        let config: Self = Value::Table(table).try_into().map_err(|e| ConfigError::content(&place, &e))?;
        config.validate().map_err(|message| ConfigError::content(&place, &message))
    }

    fn validate(mut self) -> Result<Self, String> {
        let url = url::Url::parse(&self.server.public_url)
            .map_err(|_| "server.public_url: expected an absolute URL, as in https://hub.example.org")?;
        let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if url.scheme() != "https" && !loopback {
            return Err("server.public_url: expected https (http only on loopback)".into());
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("server.public_url: expected an origin without a path".into());
        }
        url.as_str().trim_end_matches('/').clone_into(&mut self.server.public_url);
        let lead = [
            ("server.listen", &self.server.listen),
            ("server.admin_listen", &self.server.admin_listen),
            ("server.probe_listen", &self.server.probe_listen),
        ];
        for (key, address) in lead {
            address
                .parse::<std::net::SocketAddr>()
                .map_err(|_| format!("{key}: expected an address and a port, as in 127.0.0.1:8400"))?;
        }
        self.validate_bounds()?;
        store::Location::parse(&self.store.url)
            .ok_or("store.url: expected sqlite:PATH or postgres://USER@HOST/DATABASE")?;
        let mut ids: Vec<i64> = self.provider.iter().map(|p| p.id).collect();
        ids.sort_unstable();
        if let Some([twice, _]) = ids.array_windows().find(|[one, next]| one == next) {
            return Err(format!("provider: id {twice} is given twice"));
        }
        self.provider.iter().try_for_each(|p| p.check(self.upstream.allow_loopback))?;
        Ok(self)
    }

    /// Refuses what would break a promise, as how long tokens, codes and consents live, and what would serve nobody.
    fn validate_bounds(&self) -> Result<(), String> {
        const DAY: u64 = 86_400;
        let most = [
            ("token.access_ttl", &self.token.access_ttl, 300, "300s"),
            ("token.code_ttl", &self.token.code_ttl, 60, "60s"),
            ("connection.max_duration", &self.connection.max_duration, 366 * DAY, "366d"),
        ];
        for (key, lasting, seconds, shown) in most {
            if lasting.duration() > Duration::from_secs(seconds) {
                return Err(format!("{key}: expected at most {shown}"));
            }
        }
        let least = [
            ("server.connections", self.server.connections),
            ("store.connections", self.store.connections),
            ("store.queue", self.store.queue),
        ];
        if let Some((key, _)) = least.iter().find(|(_, number)| *number == 0) {
            return Err(format!("{key}: expected at least 1"));
        }
        if self.server.idle_timeout.duration() <= self.server.request_timeout.duration() {
            return Err("server.idle_timeout: expected longer than server.request_timeout".into());
        }
        if !(1..=100).contains(&self.limit.provider_share) {
            return Err("limit.provider_share: expected a percentage from 1 to 100".into());
        }
        if !(1..=self.page.max).contains(&self.page.size) {
            return Err("page.size: expected a number from 1 to page.max".into());
        }
        Ok(())
    }

    /// Where operators on this machine are listened to, if anywhere: beside a SQLite store if nothing is said.
    pub fn admin_socket(&self) -> Option<PathBuf> {
        match (self.server.admin_socket.as_str(), store::Location::parse(&self.store.url)) {
            ("auto", Some(store::Location::Sqlite(path))) => Some(store_folder(&path).join("admin.sock")),
            ("" | "auto", _) => None,
            (path, _) => Some(path.into()),
        }
    }

    /// The same with every secret and password left out.
    pub fn to_redacted(&self) -> Self {
        let mut shown = self.clone();
        if !shown.store.url.starts_with("sqlite:") {
            shown.store.url = redact_url(&shown.store.url);
        }
        shown
    }
}

/// The folder of a SQLite store. A file that is reached by a link lies elsewhere.
pub fn store_folder(store: &Path) -> PathBuf {
    let path = if store.is_symlink() { store.canonicalize() } else { Ok(store.to_owned()) };
    let path = path.unwrap_or_else(|_| store.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// A database's URL without its password, wherever it stands in it. One that cannot be read is not shown.
fn redact_url(text: &str) -> String {
    let hidden = || "postgres://redacted".to_owned();
    let Ok(mut url) = url::Url::parse(text) else { return hidden() };
    if url.password().is_some() && url.set_password(Some("redacted")).is_err() {
        return hidden();
    }
    if url.query_pairs().any(|(name, _)| name.contains("password")) {
        url.set_query(Some("redacted"));
    }
    url.into()
}

/// An error names the line and does not show it: a password may stand in it.
fn parse_toml(place: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError::content(place, &format!("line {line}: {}", error.message()))
    })
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Sets `section.key`; the text takes the type that the default has.
fn set_key(table: &mut Table, place: &str, dotted: &str, text: &str) -> Result<(), ConfigError> {
    let unknown = || ConfigError::content(place, &format!("there is no key {dotted}"));
    let (section, key) = dotted.split_once('.').ok_or_else(unknown)?;
    let section = table.get_mut(section).and_then(Value::as_table_mut).ok_or_else(unknown)?;
    let known = section.get_mut(key).ok_or_else(unknown)?;
    let wrong = |wanted| ConfigError::content(place, &format!("expected {wanted}"));
    *known = match known {
        Value::Integer(_) => Value::Integer(text.parse().map_err(|_| wrong("a number"))?),
        Value::Boolean(_) => Value::Boolean(text.parse().map_err(|_| wrong("true or false"))?),
        _ => Value::String(text.to_owned()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::model::provider::GrantScope;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bowline.toml");
        std::fs::write(&file, text).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(&file), environment, &[])
    }

    /// The example with every optional key in force.
    fn uncomment_example() -> String {
        let lines = EXAMPLE.lines().map(|line| line.strip_prefix("#:").unwrap_or(line));
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    #[test]
    fn config_example_is_default_and_parses_uncommented() {
        let config = load("", &[]).unwrap();
        assert_eq!(config.server.listen, "127.0.0.1:8400");
        let open = uncomment_example();
        assert_ne!(open, EXAMPLE);
        assert!(!load(&open, &[]).unwrap().provider.is_empty());
        let shared = open.replace("\"per_token\"\n", "\"per_client_customer\"\n");
        assert_ne!(shared, open);
        assert_eq!(
            load(&shared, &[]).unwrap().provider[0].settings.grant_scope,
            GrantScope::PerClientCustomer
        );
    }

    #[test]
    fn config_parse_error_does_not_show_content() {
        for (text, place) in [
            ("[store]\nurl = 'postgres://hub:hunter2@db", "line 2"),
            ("[store]\nurl = 'postgres://hub:hunter2@db' x", "line 2"),
            (
                "[store]\nurl = 'postgres://hub:hunter2@db/hub'\nurl = 'postgres://hub:hunter2@db/hub'",
                "line 3",
            ),
        ] {
            let error = load(text, &[]).unwrap_err().to_string();
            assert!(error.contains("bowline.toml") && error.contains(place), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn config_inline_secret_is_rejected_and_not_shown() {
        let open = uncomment_example().replace("{ env = \"MAPLE_CLIENT_SECRET\" }", "\"hunter2\"");
        let error = load(&open, &[]).unwrap_err().to_string();
        assert!(error.contains("provider 1000: client_secret: expected { file ="), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        for written in ["\"hunter2\"", "\"sealed\"", "[\"hunter2\"]"] {
            let open = uncomment_example().replace("{ env = \"RIDEAU_INITIAL_ACCESS_TOKEN\" }", written);
            let error = load(&open, &[]).unwrap_err().to_string();
            assert!(error.contains("provider 2000") && error.contains("dynamic_registration"), "{error}");
            assert!(!error.contains("hunter2"), "{written}: {error}");
        }
    }

    #[test]
    fn dynamic_registration_requires_client_per_registration() {
        let wrong = uncomment_example().replace("upstream_client = \"registration\"\n", "");
        let error = load(&wrong, &[]).unwrap_err().to_string();
        let expected = "provider 2000: dynamic_registration: needs upstream_client = \"registration\"";
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn config_zero_connections_or_queue_is_rejected() {
        for key in ["server.connections", "store.connections", "store.queue"] {
            let (section, name) = key.split_once('.').unwrap();
            let error = load(&format!("[{section}]\n{name} = 0"), &[]).unwrap_err().to_string();
            assert!(error.contains(&format!("{key}: expected at least 1")), "{error}");
        }
    }

    #[test]
    fn config_later_layer_overrides_earlier() {
        let file = "[server]\nlisten = '127.0.0.1:1'\n[store]\nconnections = 3";
        let config = load(file, &[("BOWLINE_SERVER__LISTEN", "127.0.0.1:2"), ("BOWLINE_PATH", "x")]).unwrap();
        assert_eq!((config.server.listen.as_str(), config.store.connections), ("127.0.0.1:2", 3));
        let flags = [("server.listen", "127.0.0.1:3".to_owned())];
        assert_eq!(Config::load(None, std::iter::empty(), &flags).unwrap().server.listen, "127.0.0.1:3");
    }

    #[test]
    fn admin_socket_default_is_next_to_sqlite_store() {
        let socket = |text: &str| load(text, &[]).unwrap().admin_socket();
        assert_eq!(socket(""), Some("data/admin.sock".into()));
        assert_eq!(socket("[store]\nurl = 'sqlite:hub.db'"), Some("./admin.sock".into()));
        assert_eq!(socket("[store]\nurl = 'postgres://hub@db/hub'"), None);
        assert_eq!(socket("[server]\nadmin_socket = ''"), None);
        let named = "[server]\nadmin_socket = '/run/hub/s'\n[store]\nurl = 'postgres://hub@db/hub'";
        assert_eq!(socket(named), Some("/run/hub/s".into()));
    }

    #[test]
    fn config_error_names_place_and_expected_value() {
        let assert_error_contains = |text: &str, wanted: &str| {
            let error = load(text, &[]).unwrap_err().to_string();
            assert!(error.contains("bowline.toml") && error.contains(wanted), "{error}");
        };
        assert_error_contains("[server]\nlisten = 'nowhere'", "server.listen: expected an address");
        assert_error_contains("[server]\nlistn = 'x'", "listn");
        assert_error_contains(
            "[server]\nidle_timeout = '30s'",
            "idle_timeout: expected longer than server.request_timeout",
        );
        assert_error_contains("[token]\naccess_ttl = '301s'", "token.access_ttl: expected at most 300s");
        assert_error_contains("[token]\ncode_ttl = '2m'", "token.code_ttl: expected at most 60s");
        assert_error_contains(
            "[connection]\nmax_duration = '367d'",
            "connection.max_duration: expected at most 366d",
        );
        assert_error_contains("[page]\nmax = 0", "page.size: expected a number from 1 to page.max");
        assert_error_contains(
            "[limit]\nprovider_share = 0",
            "limit.provider_share: expected a percentage from 1 to 100",
        );
        assert_error_contains("[token]\naccess_ttl = 'soon'", "as in \"10s\"");
        assert_error_contains("[server]\nbody_limit = '64 apples'", "as in \"64KiB\"");
        assert_error_contains("[server]\npublic_url = 'http://hub.example.org'", "expected https");
        assert_error_contains("[store]\nurl = 'mysql://x'", "store.url: expected sqlite:PATH");
        let anonymous = uncomment_example()
            .replace("\"per_token\"\n", "\"per_client_customer\"\n")
            .replace("customer_identity = { token_field = \"customer_id\" }", "customer_identity = \"none\"");
        assert_error_contains(
            &anonymous,
            "provider 1000: grant_scope: per_client_customer needs a customer_identity",
        );
        let error = load("", &[("BOWLINE_STORE__CONNECTIONS", "many")]).unwrap_err().to_string();
        assert_eq!(error, "BOWLINE_STORE__CONNECTIONS: expected a number");
        let error = load("", &[("BOWLINE_STORE__COLOUR", "red")]).unwrap_err().to_string();
        assert_eq!(error, "BOWLINE_STORE__COLOUR: there is no key store.colour");
    }

    #[test]
    fn config_redacted_contains_no_password() {
        let config = load("[store]\nurl = 'postgres://hub:hunter2@db.example.org/hub'", &[]).unwrap();
        assert!(!toml::to_string(&config.to_redacted()).unwrap().contains("hunter2"));
        for url in [
            "postgres://hub:hunter2@one:5432,two:5432/hub",
            "postgres://hub@db.example.org/hub?sslmode=disable&password=hunter2",
            "postgresql://db/hub?user=hub&pass%77ord=hunter2",
            "postgres://hub:hunter2@[not an address/hub",
        ] {
            let shown = load(&format!("[store]\nurl = '{url}'"), &[]).unwrap().to_redacted().store.url;
            assert!(!shown.contains("hunter2") && shown.starts_with("postgres"), "{shown}");
        }
        let plain =
            load("[store]\nurl = 'postgres://hub@db/hub?sslmode=disable'", &[]).unwrap().to_redacted();
        assert_eq!(plain.store.url, "postgres://hub@db/hub?sslmode=disable");
    }
}
